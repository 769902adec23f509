//! What no honest peer and no honest host would say is counted and dropped, and changes nothing.

mod harness;

use consensus::{Consensus, Epoch, Index, Input, Membership, NodeId, Position, WriteSeq};
use consensus_raft::{Config, Message, ReadId};
use harness::disk::entry;
use harness::{World, n};

fn at(index: u64, term: u64) -> Position {
    Position {
        index: Index(index),
        epoch: Epoch::term(term),
    }
}

fn append(term: u64, prev: Position, entries: &[(u64, u64)]) -> Message {
    Message::Append {
        term,
        prev,
        entries: entries.iter().map(|(i, t)| entry(*i, *t)).collect(),
        commit: Index(u64::MAX),
    }
}

/// Node 2 follows node 1 at term 5 with log 1 2 2 5, committed up to 3.
fn follower() -> World {
    let mut world = World::with_logs(&[&[1, 2, 2, 5], &[1, 2, 2], &[1, 2, 2]], 5);
    let mut message = append(5, at(3, 2), &[(4, 5)]);
    if let Message::Append { commit, .. } = &mut message {
        *commit = Index(3);
    }
    world.hand(n(1), n(2), message);
    world.persist(n(2), 9);
    world.take_sent(n(2));
    world
}

/// Expects that node `to` counts and ignores `message`.
fn is_dropped(world: &mut World, from: NodeId, to: NodeId, message: Message) {
    let before = (world.core(to).status(), world.core(to).dropped());
    let text = format!("{from} → {to} {message:?}");
    world.hand(from, to, message);
    let after = (world.core(to).status(), world.core(to).dropped());
    assert_eq!(after, (before.0, before.1 + 1), "{text}");
    assert_eq!(world.take_sent(to), [], "{text}");
    assert_eq!(world.nodes[&to].disk.queue.len(), 0, "{text}");
}

#[test]
fn strangers_are_not_heard() {
    let mut world = follower();
    let message = append(5, at(4, 5), &[(5, 5)]);
    is_dropped(&mut world, n(9), n(2), message.clone());
    is_dropped(&mut world, n(2), n(2), message);
}

#[test]
fn a_term_that_jumps_is_not_believed() {
    let mut world = follower();
    for term in [5 + (1 << 32) + 1, u64::MAX] {
        for message in [
            append(term, at(4, 5), &[]),
            Message::Vote {
                term,
                last: at(9, 5),
            },
            Message::PreVote {
                term,
                last: at(9, 5),
            },
            Message::StaleTerm { term },
        ] {
            is_dropped(&mut world, n(3), n(2), message);
        }
    }
    world.hand(
        n(3),
        n(2),
        Message::StaleTerm {
            term: 5 + (1 << 32),
        },
    );
    assert_eq!(world.core(n(2)).status().epoch.round, 5 + (1 << 32));
}

#[test]
fn impossible_appends_are_dropped() {
    let cases: [(Position, &[(u64, u64)]); 9] = [
        (at(4, 5), &[(6, 5)]),
        (at(4, 5), &[(5, 5), (7, 5)]),
        (at(4, 5), &[(5, 5), (5, 5)]),
        (at(4, 5), &[(5, 4)]),
        (at(4, 5), &[(5, 6)]),
        (at(4, 6), &[]),
        (at(1, 1), &[(2, 3)]),
        (at(2, 1), &[]),
        (at(3, 2), &[(4, 3)]),
    ];
    for (prev, entries) in cases {
        is_dropped(&mut follower(), n(1), n(2), append(5, prev, entries));
    }
    let end = at(u64::MAX, 5);
    is_dropped(&mut follower(), n(1), n(2), append(5, end, &[(0, 5)]));
}

#[test]
fn a_term_has_one_leader() {
    let mut world = follower();
    is_dropped(&mut world, n(3), n(2), append(5, at(4, 5), &[(5, 5)]));
    let heartbeat = Message::Heartbeat {
        term: 5,
        round: 0,
        prev: at(4, 5),
        commit: Index(4),
    };
    is_dropped(&mut world, n(3), n(2), heartbeat.clone());
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    let term = world.core(n(1)).status().epoch.round;
    is_dropped(&mut world, n(3), n(1), append(term, Position::ZERO, &[]));
}

#[test]
fn a_leader_is_not_told_of_what_it_never_sent() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    let term = world.core(n(1)).status().epoch.round;
    let (matched, far) = (Index(2), Index(u64::MAX));
    for message in [
        Message::Acked { term, matched },
        Message::Acked { term, matched: far },
        Message::Rejected {
            term,
            prev: far,
            conflict: at(u64::MAX, 1),
        },
        Message::HeartbeatAck {
            term,
            round: 0,
            prev: far,
            received: far,
        },
        Message::HeartbeatAck {
            term,
            round: 1,
            prev: Index(1),
            received: Index(1),
        },
    ] {
        is_dropped(&mut world, n(2), n(1), message);
    }
}

#[test]
fn answers_that_nobody_waits_for_do_nothing() {
    let mut world = follower();
    let before = world.core(n(2)).status();
    let id = ReadId { life: 0, number: 0 };
    for message in [
        Message::Voted {
            term: 5,
            granted: true,
        },
        Message::PreVoted {
            term: 6,
            granted: true,
        },
        Message::Acked {
            term: 5,
            matched: Index(4),
        },
        Message::ReadIndexed {
            term: 5,
            id,
            index: Index(1),
        },
    ] {
        world.hand(n(1), n(2), message);
    }
    assert_eq!(world.core(n(2)).status(), before);
}

#[test]
fn a_host_that_miscounts_is_not_believed() {
    let mut world = follower();
    let before = world.core(n(2)).status();
    for input in [
        Input::Persisted(WriteSeq(99)),
        Input::Persisted(WriteSeq(0)),
        Input::Applied(Index(99)),
    ] {
        let dropped = world.core(n(2)).dropped();
        world.step(n(2), input);
        assert_eq!(world.core(n(2)).dropped(), dropped + 1);
    }
    assert_eq!(world.core(n(2)).status(), before);
}

/// A vote cannot be an answer to a request that has not left yet.
#[test]
fn votes_that_were_not_asked_for_do_not_count() {
    let mut world = World::new(3, 0, Config::new);
    world.advance(consensus::Micros(1));
    world.expire(n(1));
    let (term, granted) = (1, true);
    world.hand(n(2), n(1), Message::PreVoted { term, granted });
    let dropped = world.core(n(1)).dropped();
    world.hand(n(2), n(1), Message::Voted { term, granted });
    world.hand(n(3), n(1), Message::Voted { term, granted });
    assert_eq!(world.core(n(1)).dropped(), dropped + 2);
    assert_eq!(world.leaders(), []);
}

/// With no members there is no quorum, not an easy one.
#[test]
fn nobody_is_elected_among_nobody() {
    let mut world = World::of(Membership::default(), 0, Config::new);
    assert!(world.ids().is_empty());
    let recovered = consensus::Recovered::default();
    let mut core = consensus_raft::Raft::new(Config::new(n(1)), 0, recovered);
    for ms in 0..5_000 {
        core.step(consensus::Micros::from_millis(ms), Input::Tick);
        assert!(core.poll().is_none());
    }
    world.advance(consensus::Micros(1));
}
