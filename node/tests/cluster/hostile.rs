//! Bytes that no client and no peer sends. Whatever comes, the sender is answered with an
//! error or cut off, it is counted, the node's memory stays put, and others are served.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use serde::Serialize;

use crate::support::{
    Client, Cluster, NODES, Options,
    client::encode,
    watch::{Refusals, Watch},
};

/// How a node may take a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// It answers an error that names the protocol, and closes.
    ProtocolError,
    /// It answers an error, or closes, or both.
    ErrorOrClosed,
    /// It waits for the rest, which would be legal; or any of the above.
    Anything,
}
use Taken::{Anything, ErrorOrClosed, ProtocolError};

/// A name, the bytes, and how they may be taken.
type Case = (&'static str, Vec<u8>, Taken);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Bytes without a pattern; the same every time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// How a browser or a library begins TLS 1.3.
fn client_hello() -> Vec<u8> {
    let mut hello = vec![
        0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03,
    ];
    hello.extend(noise(506));
    hello
}

fn client_cases() -> Vec<Case> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (
            "negative count",
            text("*-5\r\nPING\r\nNOSUCHCOMMAND\r\n"),
            ErrorOrClosed,
        ),
        (
            "count beyond 32 bits",
            text("*2147483648\r\n"),
            ProtocolError,
        ),
        (
            "count beyond 64 bits",
            text("*99999999999999999999\r\n"),
            ProtocolError,
        ),
        ("count that is no number", text("*abc\r\n"), ProtocolError),
        (
            "huge count, nothing behind it",
            text("*1000000000\r\n"),
            Anything,
        ),
        ("huge count, small arguments", huge_count(), Anything),
        ("negative length", text("*1\r\n$-5\r\n"), ProtocolError),
        (
            "length beyond the limit",
            text("*1\r\n$4294967296\r\n"),
            ProtocolError,
        ),
        (
            "length beyond 64 bits",
            text("*1\r\n$99999999999999999999\r\n"),
            ProtocolError,
        ),
        (
            "length that is no number",
            text("*1\r\n$x\r\n"),
            ProtocolError,
        ),
        // Redis does not look at the two bytes behind a string.
        (
            "length that lies",
            text("*2\r\n$3\r\nGETxx$1\r\na\r\n"),
            Anything,
        ),
        (
            "simple string in a request",
            text("*1\r\n+PING\r\n"),
            ProtocolError,
        ),
        ("nested arrays", b"*1\r\n".repeat(100_000), ProtocolError),
        ("endless inline line", vec![b'a'; MIB], ProtocolError),
        (
            "endless count line",
            [&b"*"[..], &vec![b'1'; MIB]].concat(),
            ProtocolError,
        ),
        (
            "endless length line",
            [&b"*1\r\n$"[..], &vec![b'1'; MIB]].concat(),
            ProtocolError,
        ),
        ("unbalanced quotes", text("SET k \"v\r\n"), ProtocolError),
        ("zeros", vec![0; MIB], ErrorOrClosed),
        ("noise", noise(MIB), ErrorOrClosed),
        (
            "http",
            text("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x\r\n\r\n"),
            ErrorOrClosed,
        ),
        (
            "http post",
            text("POST / HTTP/1.1\r\nHost: x\r\n\r\nSET k v\r\n"),
            ErrorOrClosed,
        ),
        ("tls", client_hello(), Anything),
        (
            "resp3 map as a request",
            text("%1\r\n$1\r\na\r\n$1\r\nb\r\n"),
            ErrorOrClosed,
        ),
        (
            "half a command",
            text("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nabc"),
            Anything,
        ),
        (
            "a large value that never comes",
            text("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$33554432\r\nabc"),
            Anything,
        ),
        (
            "ssh",
            text("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
            ErrorOrClosed,
        ),
        (
            "our own peers' magic",
            text("Lk\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\r\n"),
            ErrorOrClosed,
        ),
    ]
}

fn huge_count() -> Vec<u8> {
    let mut bytes = b"*1000000\r\n".to_vec();
    bytes.extend(b"$1\r\na\r\n".repeat(100_000));
    bytes
}

/// Sends the bytes and says how they were taken, if not as they should be.
fn attack(port: u16, (name, bytes, taken): &Case) -> Result<(), String> {
    let client = Client::connect(port).expect("a connection");
    let mut client = client.patience(Duration::from_secs(2));
    // The other side may close before it has read everything.
    drop(client.send(bytes));
    let answer = client.read_to_end();
    let closed = answer.is_some();
    // With the connection still open, what was said so far has been lost to the reader;
    // ask again on a connection whose patience ends sooner.
    let answer = answer.unwrap_or_else(|| said(port, bytes));
    let said = String::from_utf8_lossy(&answer);
    let error = said.lines().any(|line| line.starts_with('-'));
    let fits = match taken {
        ProtocolError => closed && said.contains("-ERR Protocol error"),
        ErrorOrClosed => closed || error,
        Anything => true,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{name}: closed: {closed}, said {said:.200}"))
    }
}

/// What the other side says within half a second.
fn said(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    drop(stream.write_all(bytes));
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        said.extend_from_slice(&buffer[..length]);
    }
    said
}

#[test]
fn hostile_bytes_on_the_client_port() {
    let mut cluster = Cluster::start(Options::plain());
    let node = cluster.follower();
    let refusals = Refusals::begin(&cluster, node);
    let cases = client_cases();
    let refused = cases
        .iter()
        .filter(|(_, _, taken)| *taken != Anything)
        .count();
    let mut problems = Vec::new();
    for case in cases {
        let watch = Watch::begin(&cluster, node);
        problems.extend(attack(cluster.port(node), &case).err());
        let (name, ..) = case;
        problems.extend(watch.problems(&mut cluster, name));
    }
    assert!(problems.is_empty(), "{problems:#?}");
    refusals.end(&mut cluster, refused);
}

#[test]
fn strangers_cannot_send_much_before_they_authenticate() {
    let mut cluster = Cluster::start(Options::plain().password("secret"));
    let cases: [(&str, Vec<u8>); 3] = [
        (
            "a large value",
            encode([&b"SET"[..], b"k", &vec![b'x'; 20 * MIB]]),
        ),
        ("many arguments", encode(vec!["PING"; 10_000])),
        ("a long line", vec![b'a'; 20 * MIB]),
    ];
    for (name, bytes) in cases {
        let process = cluster.node(0);
        process.reset_peak();
        let before = process.resident_bytes();
        let mut clients: Vec<Client> = (0..8)
            .map(|_| cluster.connect(0).patience(Duration::from_secs(5)))
            .collect();
        for client in &mut clients {
            drop(client.send(&bytes));
        }
        for client in &mut clients {
            let answer = client
                .read_to_end()
                .unwrap_or_else(|| panic!("{name}: kept open"));
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.is_empty() || answer.starts_with('-'),
                "{name}: {answer:.100}"
            );
        }
        let growth = cluster.node(0).peak_bytes().saturating_sub(before);
        assert!(
            growth < 16 << 20,
            "{name}: strangers made the node grow by {} MiB",
            growth >> 20
        );
        cluster.assert_healthy();
    }
}

#[test]
fn half_a_command_for_ever() {
    let mut cluster = Cluster::start(Options::plain());
    let node = cluster.follower();
    let watch = Watch::begin(&cluster, node);
    let halves: [&[u8]; 4] = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$30000000\r\nabc",
        b"*1000000\r\n$1\r\n",
        b"GET k",
        b"*",
    ];
    let mut clients: Vec<Client> = Vec::new();
    for half in halves.iter().cycle().take(400) {
        let mut client = cluster.connect(node);
        client.send(half).expect("sent");
        clients.push(client);
    }
    thread::sleep(Duration::from_secs(2));
    watch.end(&mut cluster, "400 halves of commands");
}

#[test]
fn a_client_that_never_reads() {
    let mut cluster = Cluster::start(Options::plain());
    let node = cluster.follower();
    let value = noise(MIB);
    assert_eq!(
        cluster.connect(node).call([&b"SET"[..], b"large", &value]),
        "OK"
    );
    let watch = Watch::begin(&cluster, node);
    let mut client = cluster.connect(node).patience(Duration::from_secs(2));
    let batch = encode(["GET", "large"]).repeat(100);
    // Ten thousand replies, ten gigabytes; until it is cut off or nobody reads any more.
    let took = (0..100).take_while(|_| client.send(&batch).is_ok()).count();
    println!("{took} hundreds of requests were taken");
    thread::sleep(Duration::from_secs(1));
    watch.end(&mut cluster, "never reads");
}

#[test]
fn many_clients_that_never_read() {
    let mut cluster = Cluster::start(Options::plain());
    let node = cluster.follower();
    let value = noise(64 * KIB);
    assert_eq!(
        cluster.connect(node).call([&b"SET"[..], b"large", &value]),
        "OK"
    );
    let watch = Watch::begin(&cluster, node);
    let requests = encode(["GET", "large"]).repeat(20);
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..40 {
        let mut client = cluster.connect(node);
        drop(client.send(&requests));
        clients.push(client);
    }
    thread::sleep(Duration::from_secs(2));
    watch.end(&mut cluster, "40 clients that never read 1.25 MiB each");
}

#[test]
fn a_million_commands_in_one_pipeline() {
    const COMMANDS: usize = 1_000_000;
    let mut cluster = Cluster::start(Options::plain());
    let node = cluster.follower();
    for (name, command, expected) in [
        ("a million PINGs", encode(["PING"]), "PONG"),
        ("a million SETs", encode(["SET", "million", "1"]), "OK"),
        ("a million GETs", encode(["GET", "million"]), "1"),
    ] {
        let watch = Watch::begin(&cluster, node);
        let mut client = cluster.connect(node).patience(Duration::from_secs(60));
        let mut sender = client.sender();
        let sending = thread::spawn(move || {
            let batch = command.repeat(1000);
            for _ in 0..COMMANDS / 1000 {
                sender.write_all(&batch).expect("every command is taken");
            }
        });
        for nth in 0..COMMANDS {
            let answer = client.receive().expect("every command is answered");
            assert_eq!(answer, expected, "reply {nth}");
        }
        sending.join().expect("the sender");
        watch.end(&mut cluster, name);
    }
}

#[test]
fn connections_that_come_and_go() {
    let mut cluster = Cluster::start(Options::plain());
    let node = cluster.follower();
    let watch = Watch::begin(&cluster, node);
    for nth in 0..3000_usize {
        let mut stream = TcpStream::connect(("127.0.0.1", cluster.port(node))).expect("connected");
        // Gone in the middle of whatever they began.
        let begun = encode(["SET", "k", "v"]);
        drop(stream.write_all(&begun[..nth % (begun.len() + 1)]));
    }
    watch.end(&mut cluster, "3,000 connections that come and go");
}

/// CRC32C, bit by bit: the peers' checksum, without their code.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0x82F6_3B78
            } else {
                crc >> 1
            }
        })
    })
}

const DATA: u8 = 0;
const HELLO: u8 = 1;

/// A frame as peers send it, with a length that may lie.
fn frame(version: u8, kind: u8, length: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![b'L', b'k', version, kind];
    frame.extend(length.to_le_bytes());
    frame.extend(crc32c(payload).to_le_bytes());
    frame.extend(crc32c(&frame).to_le_bytes());
    frame.extend(payload);
    frame
}

fn honest_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    frame(1, kind, payload.len() as u32, payload)
}

#[derive(Serialize)]
struct Hello {
    oldest: u16,
    newest: u16,
    identity: Identity,
    channel: &'static str,
    target: u64,
    frame_limit: u32,
}

#[derive(Serialize)]
struct Identity {
    cluster: u128,
    node: u64,
    disk: u128,
    boot: u64,
}

/// An introduction to the cluster's first node by its third, which dials it.
fn hello(change: impl FnOnce(&mut Hello)) -> Vec<u8> {
    let identity = Identity {
        cluster: 1,
        node: 3,
        disk: 1,
        boot: 1,
    };
    let mut hello = Hello {
        oldest: 1,
        newest: 1,
        identity,
        channel: "bulk",
        target: 1,
        frame_limit: 1 << 20,
    };
    change(&mut hello);
    honest_frame(
        HELLO,
        &rmp_serde::to_vec_named(&hello).expect("MessagePack"),
    )
}

fn peer_cases() -> Vec<(&'static str, Vec<u8>)> {
    let good = hello(|_| {});
    let mut wrong_payload = good.clone();
    *wrong_payload.last_mut().expect("a payload") ^= 1;
    let mut wrong_header = good.clone();
    wrong_header[5] ^= 1;
    vec![
        ("nothing", Vec::new()),
        ("truncated in the header", good[..7].to_vec()),
        ("truncated in the payload", good[..good.len() - 3].to_vec()),
        ("wrong checksum of the payload", wrong_payload),
        ("wrong checksum of the header", wrong_header),
        ("oversized", frame(1, HELLO, u32::MAX, b"")),
        (
            "oversized for a greeting",
            honest_frame(HELLO, &vec![0; MIB]),
        ),
        ("wrong cluster", good.clone()),
        ("unknown version of the frame", frame(9, HELLO, 0, b"")),
        (
            "unknown version of the protocol",
            hello(|h| (h.oldest, h.newest) = (77, 99)),
        ),
        ("unknown kind", honest_frame(200, b"")),
        ("data before the greeting", honest_frame(DATA, &noise(KIB))),
        (
            "greeting that is no MessagePack",
            honest_frame(HELLO, &noise(KIB)),
        ),
        (
            "greeting that nests for ever",
            honest_frame(HELLO, &vec![0x91; 4 * KIB]),
        ),
        (
            "greeting that announces much",
            honest_frame(HELLO, b"\xdf\xff\xff\xff\xff"),
        ),
        ("zeros", vec![0; MIB]),
        ("noise", noise(MIB)),
        ("http", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("tls", client_hello()),
        ("redis", encode(["SET", "k", "v"])),
        (
            "ten thousand frames",
            honest_frame(DATA, b"").repeat(10_000),
        ),
    ]
}

#[test]
fn hostile_bytes_on_the_peer_port() {
    let mut cluster = Cluster::start(Options::plain());
    // The first node, whom the greetings address, in whatever role.
    let node = 0;
    let refusals = Refusals::begin(&cluster, node);
    let cases = peer_cases();
    let refused = cases.len();
    let mut problems = Vec::new();
    for (name, bytes) in cases {
        let watch = Watch::begin(&cluster, node);
        let mut stranger = Client::connect(cluster.peer_port(node))
            .expect("connected")
            .patience(Duration::from_secs(15));
        drop(stranger.send(&bytes));
        drop(stranger.finish());
        if stranger.read_to_end().is_none() {
            problems.push(format!("{name}: the connection was kept"));
        }
        problems.extend(watch.problems(&mut cluster, name));
    }
    assert!(problems.is_empty(), "{problems:#?}");
    refusals.end(&mut cluster, refused);
    // The cluster's own connections were not disturbed.
    for node in 0..NODES {
        assert_eq!(cluster.connect(node).call(["SET", "after", "all"]), "OK");
    }
}

#[test]
fn strangers_that_say_nothing_on_the_peer_port() {
    let mut cluster = Cluster::start(Options::plain());
    let node = cluster.leader();
    let watch = Watch::begin(&cluster, node);
    let refusals = Refusals::begin(&cluster, node);
    let strangers: Vec<TcpStream> = (0..500)
        .map(|_| TcpStream::connect(("127.0.0.1", cluster.peer_port(node))).expect("connected"))
        .collect();
    thread::sleep(Duration::from_millis(500));
    // A node that restarts finds its way past them.
    let other = (node + 1) % NODES;
    cluster.kill(other);
    cluster.restart(other);
    cluster.wait_until_ready();
    drop(strangers);
    thread::sleep(Duration::from_millis(500));
    watch.end(&mut cluster, "500 silent strangers");
    refusals.end(&mut cluster, 500);
}
