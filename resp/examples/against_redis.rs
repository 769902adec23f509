//! Sends random almost-requests to a real Redis and compares its answers with what the decoder
//! makes of the same bytes: which requests it sees, with which arguments, and which protocol
//! error ends the connection. Commands are unknown ones, since that error names the arguments.
//!
//! ```text
//! redis-server --port 6399 --save '' &
//! cargo run --release -p resp --example against_redis -- 127.0.0.1:6399 20000 1
//! ```
//!
//! The arguments are the server's address, how many inputs to try, the seed, and `auth` if the
//! server wants a password. Left out on purpose: NUL bytes, after which Redis waits for ever.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use resp::{Limits, ProtocolError, Request, RequestDecoder, encode};

/// What the inputs are made of.
const WORDS: [&[u8]; 44] = [
    b"*",
    b"$",
    b"\r\n",
    b"\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"0",
    b"1",
    b"2",
    b"3",
    b"9",
    b"-",
    b"+",
    b" ",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\"",
    b"\"",
    b"'",
    b"'",
    b"\\",
    b"\\x4",
    b"\\x41",
    b"\\n",
    b"foo",
    b"x",
    b"\xff",
    b"*1\r\n",
    b"*2\r\n",
    b"*1\r\n",
    b"$1\r\n",
    b"$3\r\n",
    b"$3\r\nfoo\r\n",
    b"$0\r\n\r\n",
    b"*11\r\n",
    b"$16385\r\n",
    b"$536870912\r\n",
    b"$536870913\r\n",
    b"9223372036854775807",
    b"99999999999999999999",
    b"post",
    b"host:",
];

/// How long a server may take to answer before the connection counts as left open.
const PATIENCE: Duration = Duration::from_millis(10);

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address = args.next().ok_or("name the address of a Redis server")?;
    let inputs: u32 = args.next().unwrap_or("2000".into()).parse()?;
    let seed: u64 = args.next().unwrap_or("1".into()).parse()?;
    let limits = match args.next().as_deref() {
        Some("auth") => Limits::unauthenticated(),
        _ => Limits::default(),
    };
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n as u64) as usize
    };
    let mut differ = 0;
    for _ in 0..inputs {
        let words = 1 + below(16);
        let input: Vec<u8> = (0..words)
            .flat_map(|_| WORDS[below(WORDS.len())])
            .copied()
            .collect();
        let (ours, theirs) = (ours(limits, &input), theirs(&address, &input)?);
        if ours != theirs {
            differ += 1;
            println!("input  {}", input.escape_ascii());
            println!("ours   {}", ours.escape_ascii());
            println!("theirs {}\n", theirs.escape_ascii());
        }
    }
    println!("{inputs} inputs, {differ} of them understood differently");
    if differ > 0 {
        return Err("the decoder and Redis disagree".into());
    }
    Ok(())
}

fn ours(limits: Limits, input: &[u8]) -> Vec<u8> {
    let mut decoder = RequestDecoder::new(limits);
    let mut replies = Vec::new();
    let mut at = 0;
    loop {
        match decoder.decode(&input[at..]) {
            Ok(None) => break replies.extend_from_slice(b"(open)"),
            Ok(Some(request)) => {
                at += request.consumed();
                if !request.is_empty() {
                    unknown_command(&request, &mut replies);
                }
            }
            // Redis drops the connection together with replies that were not sent yet.
            Err(ProtocolError::Http) => return b"(closed)".to_vec(),
            Err(error) => {
                error.reply(&mut replies);
                break replies.extend_from_slice(b"(closed)");
            }
        }
    }
    replies
}

/// Redis' answer to a command that it does not know: 128 bytes of its name, 128 of its arguments.
fn unknown_command(request: &Request<'_>, out: &mut Vec<u8>) {
    let cut = |arg: &[u8], len: usize| arg.iter().take(len).copied().collect::<Vec<u8>>();
    let name = cut(request.arg(0).unwrap_or_default(), 128);
    let mut args = Vec::new();
    for arg in request.args().skip(1) {
        if args.len() < 128 {
            let arg = cut(arg, 128 - args.len());
            args.extend_from_slice(&[b"'", &arg[..], b"' "].concat());
        }
    }
    let text = [
        b"ERR unknown command '",
        &name[..],
        b"', with args beginning with: ",
        &args,
    ];
    encode::error(out, text.concat());
}

fn theirs(address: &str, input: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(input)?;
    let mut replies = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break replies.extend_from_slice(b"(closed)"),
            Ok(n) => replies.extend_from_slice(&buffer[..n]),
            Err(e)
                if matches!(
                    e.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                break replies.extend_from_slice(b"(open)");
            }
            // It was closed with bytes of ours unread.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => {
                break replies.extend_from_slice(b"(closed)");
            }
            Err(e) => return Err(e),
        }
    }
    Ok(replies)
}
