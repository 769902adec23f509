//! Bytes that no client of good will sends.

use keyspace::{Access, Outcome};

use crate::harness::{Asked, Client, Node, shown};

#[test]
fn what_is_no_protocol_is_answered_once_and_closed() {
    let endless = vec![b'x'; 70_000];
    let cases: [(&[u8], &str); 11] = [
        (b"*-2147483649\r\n", ""),
        (
            b"*1000000000\r\n",
            "-ERR Protocol error: invalid multibulk length",
        ),
        (b"*x\r\n", "-ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length"),
        (
            b"*1\r\n$999999999999\r\n",
            "-ERR Protocol error: invalid bulk length",
        ),
        (
            b"*1\r\n*1\r\n$4\r\nPING\r\n",
            "-ERR Protocol error: expected '$', got '*'",
        ),
        (
            b"*1\r\n:5\r\n",
            "-ERR Protocol error: expected '$', got ':'",
        ),
        (&endless, "-ERR Protocol error: too big inline request"),
        (
            b"GET \"k\r\n",
            "-ERR Protocol error: unbalanced quotes in request",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", ""),
        (
            b"\x16\x03\x01\x02\x00\x01\x00",
            "-ERR Protocol error: this port does not speak TLS",
        ),
    ];
    for (bytes, expected) in cases {
        let mut client = Client::default();
        client.feed(bytes);
        assert_eq!(shown(&client.output()), expected, "{bytes:?}");
        let negative = bytes.starts_with(b"*-");
        assert_eq!(
            client.session.closing(),
            !negative,
            "{:?}",
            &bytes[..bytes.len().min(40)]
        );
        if !negative {
            client.feed(b"PING\r\n");
            assert_eq!(client.output(), b"", "nothing more is answered");
            assert!(client.input.is_empty(), "what comes is thrown away");
        }
    }
}

#[test]
fn a_protocol_error_waits_for_the_replies_before_it() {
    let mut client = Client::default();
    client.feed(b"GET k\r\n*x\r\nPING\r\n");
    assert!(!client.session.closing());
    client.settle();
    assert_eq!(
        shown(&client.output()),
        "$-1 -ERR Protocol error: invalid multibulk length"
    );
    assert!(client.session.closing());
}

#[test]
fn half_a_command_costs_nothing_and_says_nothing() {
    let mut client = Client::default();
    client.feed(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$33554432\r\nabc");
    for _ in 0..1_000 {
        client.feed(b"x");
    }
    assert_eq!(client.output(), b"");
    assert!(!client.session.is_blocked() && !client.session.closing());
    assert!(client.session.wanted() <= 32 << 10);
}

#[test]
fn arguments_of_any_bytes_are_harmless() {
    let mut client = Client::default();
    let all: Vec<u8> = (0..=255).collect();
    for name in [
        "SET", "GET", "CLIENT", "CONFIG", "HELLO", "AUTH", "CLUSTER", "COMMAND", "INFO",
    ] {
        for count in 0..6 {
            let mut args: Vec<&[u8]> = vec![name.as_bytes()];
            args.extend(std::iter::repeat_n(all.as_slice(), count));
            client.feed(&crate::harness::request(&args));
            client.settle();
            let reply = client.output();
            assert_eq!(
                resp::reply_len(&reply),
                Ok(Some(reply.len())),
                "{name} {count}"
            );
        }
    }
    assert_eq!(client.say("PING"), "+PONG");
}

#[test]
fn commands_that_no_session_wrote_are_refused_without_effect() {
    let mut node = Node::default();
    let mut good = Vec::new();
    let args: [&[u8]; 4] = [b"a", b"1", b"b", b"2"];
    keyspace::command::encode(&mut good, 0, 10, args.into_iter());
    let mut cases: Vec<Vec<u8>> = (0..good.len()).map(|cut| good[..cut].to_vec()).collect();
    for number in [0, 38, 63, 64, 0x8000, u16::MAX] {
        let mut bad = good.clone();
        bad[2..4].copy_from_slice(&number.to_le_bytes());
        cases.push(bad);
    }
    let mut reserved = good.clone();
    reserved[0..2].copy_from_slice(&[0xFF, 0xFF]);
    cases.push(reserved);
    for case in &cases {
        for access in [Access::Write, Access::Read] {
            let (reply, _) = node.execute(access, case);
            assert!(reply.starts_with(b"-ERR "), "{case:?}: {}", shown(&reply));
        }
        assert_eq!(
            crate::harness::dump(node.keyspace.engine()).len(),
            1,
            "{case:?}"
        );
    }
    assert_eq!(
        node.execute(Access::Read, &good).0[..5],
        *b"-ERR ",
        "a write is no query"
    );
    assert_eq!(node.execute(Access::Write, &good).0, b"+OK\r\n");
}

#[test]
#[should_panic(expected = "is not awaited")]
fn an_answer_nobody_asked_for_is_a_bug_of_the_node() {
    let mut client = Client::default();
    client.feed(b"GET k\r\n");
    let Some(Asked::Command(slot, ..)) = client.node.asked.pop_front() else {
        panic!("nothing was asked for");
    };
    client
        .session
        .complete(slot, None, Outcome::Reply(b"_\r\n"));
    client
        .session
        .complete(slot, None, Outcome::Reply(b"_\r\n"));
}
