//! A Redis client of a few lines, blocking, for what `redis-benchmark` cannot do:
//! ask who leads, fill the keys, write through a dying leader.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A simple or a bulk string.
    Text(Vec<u8>),
    /// An error, its code included.
    Error(String),
    /// A number.
    Integer(i64),
    /// No value.
    Nil,
    /// Several replies.
    Array(Vec<Reply>),
}

/// A connection.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a server on loopback. `patience` bounds the connecting and every
    /// later wait for a reply.
    pub(crate) fn connect(port: u16, patience: Duration) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends one command and waits for its reply.
    pub(crate) fn call(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        encode(words, &mut bytes);
        self.stream.get_mut().write_all(&bytes)?;
        self.read_reply()
    }

    /// Sends commands that are encoded already, and reads `replies` replies.
    pub(crate) fn pipeline(&mut self, bytes: &[u8], replies: usize) -> io::Result<Vec<Reply>> {
        self.stream.get_mut().write_all(bytes)?;
        (0..replies).map(|_| self.read_reply()).collect()
    }

    fn read_reply(&mut self) -> io::Result<Reply> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        let line = line
            .strip_suffix(b"\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let (&kind, rest) = line.split_first().ok_or(io::ErrorKind::InvalidData)?;
        let text = String::from_utf8_lossy(rest);
        let number = || {
            text.parse::<i64>()
                .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))
        };
        Ok(match kind {
            b'+' => Reply::Text(rest.to_vec()),
            b'-' => Reply::Error(text.into_owned()),
            b':' => Reply::Integer(number()?),
            b'$' => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Text(bytes)
                }
            },
            b'*' => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => Reply::Array(
                    (0..length)
                        .map(|_| self.read_reply())
                        .collect::<io::Result<_>>()?,
                ),
            },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        })
    }
}

/// Appends one command to `bytes`.
pub(crate) fn encode(words: &[&[u8]], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
}

/// The key that `redis-benchmark -r` makes of a number.
pub(crate) fn key(number: u64) -> Vec<u8> {
    format!("key:{number:012}").into_bytes()
}

/// Writes every key once, so that a later GET finds a value.
pub(crate) fn fill(port: u16, keys: u64, value: &[u8]) -> io::Result<()> {
    const BATCH: u64 = 500;
    let mut client = Client::connect(port, Duration::from_secs(30))?;
    for first in (0..keys).step_by(BATCH as usize) {
        let numbers = first..keys.min(first + BATCH);
        let mut bytes = Vec::new();
        for number in numbers.clone() {
            encode(&[b"SET", &key(number), value], &mut bytes);
        }
        for reply in client.pipeline(&bytes, numbers.count())? {
            if reply != Reply::Text(b"OK".to_vec()) {
                return Err(io::Error::other(format!("SET answered {reply:?}")));
            }
        }
    }
    Ok(())
}
