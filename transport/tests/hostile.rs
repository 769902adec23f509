//! Whatever comes in on the peer port: the connection is closed, the reason counted, and a
//! healthy pair of nodes does not notice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::wire::{
    DATA, HELLO, Hello, READY, REFUSED, Refused, frame, header, hello, pack, read_to_close, shake,
};
use common::{Counters, Healthy, Log, config, identity};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use transport::{
    Channel, ClusterId, Config, DiskId, Event, Identity, NodeId, Refusal, SendError, Transport,
};

/// When the bytes are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// As the very first.
    AtOnce,
    /// As the very first, and then the sending side is closed.
    AtOnceThenClose,
    /// After a faultless handshake.
    AfterHandshake,
    AfterHandshakeThenClose,
}

use When::{AfterHandshake, AfterHandshakeThenClose, AtOnce, AtOnceThenClose};

struct Attack {
    name: &'static str,
    when: When,
    bytes: Vec<u8>,
    /// The label under which it must be counted.
    reason: &'static str,
    /// Whether the attacker must be told, in a frame, with this code.
    told: bool,
}

fn attack(
    name: &'static str,
    when: When,
    bytes: impl Into<Vec<u8>>,
    reason: &'static str,
) -> Attack {
    Attack {
        name,
        when,
        bytes: bytes.into(),
        reason,
        told: false,
    }
}

/// A handshake that is refused with the reason.
fn refused(name: &'static str, hello: Hello, reason: &'static str) -> Attack {
    Attack {
        told: true,
        ..attack(name, AtOnce, frame(HELLO, &pack(&hello)), reason)
    }
}

fn strangers() -> Vec<Attack> {
    let http = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(20);
    let noise: Vec<u8> = (0..100_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    vec![
        attack("HTTP", AtOnce, http, "magic"),
        attack("TLS ClientHello", AtOnce, tls, "magic"),
        attack("Redis", AtOnce, "*1\r\n$4\r\nPING\r\n", "magic"),
        attack("zeros", AtOnce, [0; 64], "magic"),
        attack("two bytes", AtOnce, [0xFF, 0xFF], "magic"),
        attack("noise", AtOnce, noise, "magic"),
        attack("nothing", AtOnceThenClose, [], "closed_early"),
        attack("silence", AtOnce, [], "handshake_timeout"),
        attack(
            "half a header, for ever",
            AtOnce,
            &frame(HELLO, b"x")[..9],
            "handshake_timeout",
        ),
        attack(
            "half a hello, for ever",
            AtOnce,
            &frame(HELLO, b"xyz")[..18],
            "handshake_timeout",
        ),
        attack(
            "half a header",
            AtOnceThenClose,
            &frame(HELLO, b"x")[..9],
            "truncated",
        ),
        attack(
            "half a hello",
            AtOnceThenClose,
            &frame(HELLO, b"xyz")[..18],
            "truncated",
        ),
    ]
}

fn bad_frames() -> Vec<Attack> {
    let mut attacks = Vec::new();
    for (when, limit) in [(AtOnce, 4096), (AfterHandshake, 64 << 20)] {
        let kind = if when == AtOnce { HELLO } else { DATA };
        let mut bad_header = header(kind, 1, 0);
        bad_header[12] ^= 1;
        let mut bad_payload = frame(kind, b"payload");
        bad_payload[20] ^= 1;
        let mut other_version = frame(kind, b"");
        other_version[2] = 2;
        attacks.extend([
            attack("wrong header checksum", when, bad_header, "header_checksum"),
            attack("wrong payload checksum", when, bad_payload, "checksum"),
            attack(
                "unknown frame version",
                when,
                other_version,
                "frame_version",
            ),
            attack(
                "a byte too many",
                when,
                header(kind, limit + 1, 0),
                "oversized",
            ),
            attack("4 GiB", when, header(kind, u32::MAX, 0), "oversized"),
            attack("unknown kind", when, frame(77, b""), "unknown_kind"),
            attack(
                "ready out of turn",
                when,
                frame(READY, b""),
                "unexpected_kind",
            ),
        ]);
    }
    let whole = frame(DATA, &[7; 1000]);
    attacks.extend([
        attack(
            "data before the handshake",
            AtOnce,
            whole.clone(),
            "unexpected_kind",
        ),
        attack(
            "noise after the handshake",
            AfterHandshake,
            [0xAA; 5000],
            "magic",
        ),
        attack(
            "hello again",
            AfterHandshake,
            frame(HELLO, &pack(&hello(Channel::Bulk))),
            "unexpected_kind",
        ),
        attack(
            "half a frame",
            AfterHandshakeThenClose,
            &whole[..500],
            "truncated",
        ),
        attack(
            "half a header after the handshake",
            AfterHandshakeThenClose,
            &whole[..5],
            "truncated",
        ),
        attack(
            "a frame, then noise",
            AfterHandshake,
            [&whole[..], &[0xAA; 50]].concat(),
            "magic",
        ),
    ]);
    attacks
}

fn bad_handshakes() -> Vec<Attack> {
    let honest = || hello(Channel::Bulk);
    let with = |identity: Identity| Hello {
        identity,
        ..honest()
    };
    let nested = vec![0x91; 4096];
    let endless = b"\xdd\xff\xff\xff\xff".to_vec();
    let silent = frame(HELLO, &pack(&honest()));
    let hasty = [silent.clone(), frame(DATA, b"too early")].concat();
    let told = |name, bytes: Vec<u8>| Attack {
        told: true,
        ..attack(name, AtOnce, frame(HELLO, &bytes), "malformed")
    };
    vec![
        told("an empty hello", Vec::new()),
        told("a hello of noise", vec![0xC1; 100]),
        told("4096 nested arrays", nested),
        told("an array of 4 billion", endless),
        refused(
            "wrong cluster",
            with(Identity {
                cluster: ClusterId(9),
                ..identity(3)
            }),
            "wrong_cluster",
        ),
        refused("unknown node", with(identity(66)), "unknown_node"),
        refused(
            "changed disk",
            with(Identity {
                disk: DiskId(9),
                ..identity(3)
            }),
            "disk_changed",
        ),
        refused("node 1 itself", with(identity(1)), "same_node"),
        refused("a lower node dials", with(identity(0)), "wrong_dialer"),
        refused(
            "wrong target",
            Hello {
                target: NodeId(2),
                ..honest()
            },
            "wrong_target",
        ),
        refused(
            "too new",
            Hello {
                oldest: 2,
                newest: 9,
                ..honest()
            },
            "incompatible_version",
        ),
        refused(
            "too old",
            Hello {
                oldest: 0,
                newest: 0,
                ..honest()
            },
            "incompatible_version",
        ),
        refused(
            "backwards",
            Hello {
                oldest: 9,
                newest: 1,
                ..honest()
            },
            "incompatible_version",
        ),
        attack("hello, then silence", AtOnce, silent, "handshake_timeout"),
        attack("hello, then data", AtOnce, hasty, "unexpected_kind"),
    ]
}

/// Node 1 knows nodes 2 and 3 by their disks.
fn careful() -> Config {
    let mut careful = Config::new(identity(1), |peer| match peer.node {
        NodeId(node @ 2..=40) if peer.disk == identity(node).disk => Ok(()),
        NodeId(node @ 2..=40) => Err(Refusal::DiskChanged {
            node: peer.node,
            known: identity(node).disk,
            presented: peer.disk,
        }),
        _ => Err(Refusal::UnknownNode(peer.node)),
    });
    careful.handshake_timeout = Duration::from_millis(200);
    careful
}

async fn carry_out(attack: &Attack, address: std::net::SocketAddr) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    if matches!(attack.when, AfterHandshake | AfterHandshakeThenClose) {
        shake(&mut stream, 3, Channel::Bulk).await;
    }
    // The other side may close, rightly, while this is still writing.
    let _ = stream.write_all(&attack.bytes).await;
    if matches!(attack.when, AtOnceThenClose | AfterHandshakeThenClose) {
        let _ = stream.shutdown().await;
    }
    read_to_close(&mut stream).await
}

async fn withstand(attacks: Vec<Attack>) {
    let (counters, log) = (Counters::default(), Log::default());
    let _guards = (counters.install(), log.install());
    let mut healthy = Healthy::new(careful()).await;
    let address = healthy.one.local_addr();
    for attack in attacks {
        let name = attack.name;
        let before = counters.rejected(attack.reason);
        let rounds = healthy.rounds;
        let (received, _) = healthy.play_while(carry_out(&attack, address)).await;
        // The count follows the close when the attacker hangs up first.
        let counted = async {
            while counters.rejected(attack.reason) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let counted = timeout(Duration::from_secs(5), counted);
        let (counted, _) = healthy.play_while(counted).await;
        counted.unwrap_or_else(|_| panic!("{name} was not counted as {}", attack.reason));
        assert_eq!(counters.rejected(attack.reason), before + 1, "{name}");
        // Most attacks are over within a round; the pair plays on all the same.
        while healthy.rounds < rounds + 5 {
            healthy.play().await;
        }
        if attack.told {
            assert_eq!(received[3], REFUSED, "{name}");
            let refused: Refused = rmp_serde::from_slice(&received[16..]).unwrap();
            assert_eq!(refused.code, attack.reason, "{name}");
            assert!(refused.reason.contains(':'), "{name}: {}", refused.reason);
        }
    }
    // At ten lines per second not every attack is written out; the first always is.
    assert!(!log.lines(&["rejected", "127.0.0.1"]).is_empty());
}

#[tokio::test]
async fn strangers_are_turned_away() {
    withstand(strangers()).await;
}

#[tokio::test]
async fn bad_frames_end_their_connection() {
    withstand(bad_frames()).await;
}

#[tokio::test]
async fn bad_handshakes_are_refused() {
    withstand(bad_handshakes()).await;
}

#[tokio::test]
async fn a_flood_of_idle_connections_keeps_nobody_out() {
    let counters = Counters::default();
    let _guard = counters.install();
    let mut one = config(1);
    one.handshakes_max = 8;
    one.handshake_timeout = Duration::from_secs(60);
    let mut healthy = Healthy::new(one).await;
    let address = healthy.one.local_addr();
    let flood = async {
        let mut idle = Vec::new();
        for _ in 0..200 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        while counters.rejected("flood") < 192 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // All places are taken, and still a peer gets in.
        let mut peer = TcpStream::connect(address).await.unwrap();
        shake(&mut peer, 3, Channel::Control).await;
        for evicted in &mut idle[..192] {
            assert!(read_to_close(evicted).await.is_empty());
        }
        (peer, idle)
    };
    let (_open, rounds) = healthy.play_while(flood).await;
    assert!(rounds > 0);
    while healthy.others.is_empty() {
        healthy.play().await;
    }
    assert_eq!(counters.rejected("flood"), 193);
}

#[tokio::test]
async fn a_peer_that_never_reads_is_disconnected() {
    let counters = Counters::default();
    let _guard = counters.install();
    let mut healthy = Healthy::new(config(1)).await;
    let mut lazy = TcpStream::connect(healthy.one.local_addr()).await.unwrap();
    healthy.play_while(shake(&mut lazy, 3, Channel::Bulk)).await;
    while healthy.others.is_empty() {
        healthy.play().await;
    }
    let frame = bytes::Bytes::from(vec![0; 100_000]);
    let mut sent = 0;
    let error = loop {
        match healthy.one.send(NodeId(3), Channel::Bulk, frame.clone()) {
            Ok(()) => sent += frame.len(),
            Err(error) => break error,
        }
        assert!(sent < 64 << 20, "queued without bound");
        healthy.play().await;
    };
    assert!(matches!(error, SendError::QueueFull { .. }), "{error}");
    assert_eq!(counters.rejected("queue_full"), 1);
    healthy.others.clear();
    while healthy.others.is_empty() {
        healthy.play().await;
    }
    let gone = Event::Disconnected {
        peer: NodeId(3),
        channel: Channel::Bulk,
    };
    assert_eq!(healthy.others, [gone]);
    // The socket is closed too, not merely forgotten.
    healthy.play_while(read_to_close(&mut lazy)).await;
}

#[tokio::test]
async fn a_program_that_does_not_receive_holds_a_bounded_amount() {
    let one = common::bind(config(1)).await;
    let mut eager = TcpStream::connect(one.local_addr()).await.unwrap();
    shake(&mut eager, 3, Channel::Bulk).await;
    let stream = frame(DATA, &[1; 1000]).repeat(64_000);
    let mut rest = &stream[..];
    let patience = Duration::from_millis(300);
    while let Ok(written) = timeout(patience, eager.write(rest)).await {
        rest = &rest[written.unwrap()..];
        assert!(!rest.is_empty(), "64 MB were taken and not delivered");
    }
    let held = one.stats().bytes_received;
    assert!(held <= 5 << 20, "{held} bytes are held");
}

/// Claims of 64 MiB on many connections, each backed by a few bytes.
#[tokio::test]
async fn a_claimed_length_takes_no_memory() {
    let mut healthy = Healthy::new(config(1)).await;
    let address = healthy.one.local_addr();
    let before = resident();
    let claims = async {
        let mut open = Vec::new();
        for node in 3..=40 {
            for channel in Channel::ALL {
                let mut stream = TcpStream::connect(address).await.unwrap();
                shake(&mut stream, node, channel).await;
                stream.write_all(&header(DATA, 64 << 20, 0)).await.unwrap();
                stream.write_all(&[0; 70_000]).await.unwrap();
                open.push(stream);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        open
    };
    let (open, rounds) = healthy.play_while(claims).await;
    let grown = resident().saturating_sub(before);
    assert!(rounds > 0);
    assert_eq!(open.len(), 76);
    assert!(grown < 48 << 20, "76 connections hold {grown} bytes");
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
