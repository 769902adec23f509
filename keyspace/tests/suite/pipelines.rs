//! Pipelines: cut anywhere, completed late and in any order, they are answered the same.

use keyspace::Access;
use proptest::prelude::*;

use crate::determinism::any_command;
use crate::harness::{Asked, Client, request};

const SCRIPT: &[u8] = b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\nGET k\r\n\
    *2\r\n$4\r\nINCR\r\n$1\r\nn\r\n\r\nHELLO 3\r\nMGET k n none\r\nCLIENT REPLY SKIP\r\nGET k\r\n\
    *1\r\n$4\r\nNOPE\r\n*0\r\nDEL k\r\nSET \"a b\" 'c'\r\nGET \"a b\"\r\nDBSIZE\r\nRESET\r\nGET k\r\nQUIT\r\n";

#[test]
fn a_pipeline_split_at_every_byte_is_answered_the_same() {
    let mut whole = Client::default();
    whole.feed(SCRIPT);
    whole.settle();
    let expected = whole.output();
    assert!(whole.session.closing());
    for cut in 0..=SCRIPT.len() {
        let mut client = Client::default();
        let (head, tail) = SCRIPT.split_at(cut);
        client.feed(head);
        client.settle();
        client.feed(tail);
        client.settle();
        assert_eq!(client.output(), expected, "cut at {cut}");
    }
    let mut client = Client::default();
    for byte in SCRIPT {
        client.feed(&[*byte]);
        client.settle();
    }
    assert_eq!(client.output(), expected, "cut everywhere");
}

/// Completes whatever is asked for in an order drawn from `choices`: queries in any order, what
/// goes through the log in its own.
fn settle_in_any_order(client: &mut Client, choices: &mut impl Iterator<Item = usize>) {
    loop {
        while !client.node.asked.is_empty() {
            let mut open = Vec::new();
            let mut logged = false;
            for (at, asked) in client.node.asked.iter().enumerate() {
                match asked {
                    Asked::Command(_, Access::Read, _) => open.push(at),
                    _ if !logged => {
                        logged = true;
                        open.push(at);
                    }
                    _ => {}
                }
            }
            client.complete(open[choices.next().unwrap() % open.len()]);
        }
        if !client.session.can_continue() {
            return;
        }
        client.go_on();
    }
}

/// What a connection may be told between its commands.
fn any_line() -> impl Strategy<Value = Vec<String>> {
    let local = prop::sample::select(vec![
        "PING",
        "ECHO x",
        "HELLO 2",
        "HELLO 3",
        "NOPE a b",
        "GET",
        "CLIENT REPLY ON",
        "CLIENT REPLY SKIP",
        "CLIENT REPLY OFF",
        "CLIENT ID",
        "RESET",
        "WAIT 1 0",
        "READONLY",
        "CLUSTER COUNTKEYSINSLOT 15495",
    ])
    .prop_map(|line| line.split(' ').map(String::from).collect());
    prop_oneof![6 => any_command(), 1 => local]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_pipeline_completed_late_and_shuffled_is_answered_the_same(
        lines in prop::collection::vec(any_line(), 1..60),
        choices in prop::collection::vec(any::<usize>(), 1..50),
        pieces in prop::collection::vec(1_usize..200, 1..10),
    ) {
        let bytes: Vec<u8> = lines
            .iter()
            .flat_map(|line| request(&line.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>()))
            .collect();
        let mut one_by_one = Client::default();
        for line in &lines {
            one_by_one.feed(&request(&line.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>()));
            one_by_one.settle();
        }
        let expected = one_by_one.output();

        let mut late = Client::default();
        let mut choices = choices.into_iter().cycle();
        let mut rest = bytes.as_slice();
        let mut pieces = pieces.into_iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(pieces.next().unwrap().min(rest.len()));
            rest = after;
            late.feed(piece);
            // Now and then something completes before more comes in.
            if choices.next().unwrap() % 3 == 0 && !late.node.asked.is_empty() {
                late.complete(0);
            }
        }
        settle_in_any_order(&mut late, &mut choices);
        prop_assert_eq!(late.output(), expected);
        prop_assert_eq!(late.session.outstanding(), 0);
        prop_assert!(late.input.is_empty());
    }
}
