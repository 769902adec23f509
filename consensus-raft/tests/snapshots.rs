//! Purging, asking for a snapshot, installing one (§7), and what a node says that has lost entries.

mod harness;

use consensus::{
    Consensus, Epoch, FetchId, Fetched, Index, Input, Position, Role, SnapshotOutcome,
};
use consensus_raft::{Config, Message};
use harness::disk::entry;
use harness::{World, n};

fn at(index: u64, term: u64) -> Position {
    Position {
        index: Index(index),
        epoch: Epoch::term(term),
    }
}

fn offer(world: &mut World, at: Position) {
    let membership = world.members.clone();
    let from = n(1);
    world.step(
        n(2),
        Input::SnapshotOffered {
            from,
            at,
            membership,
        },
    );
}

fn install(world: &mut World, at: Position) {
    let membership = world.members.clone();
    let node = world.node(n(2));
    node.next_commit = at.index.0 + 1;
    node.applied_durably = at;
    world.step(n(2), Input::SnapshotInstalled { at, membership });
}

fn append(world: &mut World, prev: Position, index: u64, commit: u64) {
    let message = Message::Append {
        term: 5,
        prev,
        entries: vec![entry(index, 5)],
        commit: Index(commit),
    };
    world.hand(n(1), n(2), message);
}

fn installs(world: &World) -> usize {
    let asks = |line: &&String| line.contains("install snapshot");
    world.trace.iter().filter(asks).count()
}

#[test]
fn a_snapshot_is_installed_only_above_what_is_committed() {
    let mut world = World::with_logs(&[&[1, 5], &[1], &[1, 5]], 5);
    append(&mut world, at(1, 1), 2, 2);
    offer(&mut world, at(2, 5));
    assert_eq!(installs(&world), 0);
    offer(&mut world, at(3, 5));
    assert_eq!(installs(&world), 1);
}

#[test]
fn nothing_is_committed_while_a_snapshot_is_installed() {
    let mut world = World::with_logs(&[&[1, 5], &[1], &[1, 5]], 5);
    offer(&mut world, at(9, 5));
    append(&mut world, at(1, 1), 2, 2);
    world.answer_fetch(n(2));
    assert!(!world.trace.iter().any(|line| line.starts_with("n2 commit")));
    install(&mut world, at(9, 5));
    let status = world.core(n(2)).status();
    assert_eq!((status.committed, status.applied), (Index(9), Index(9)));
}

#[test]
fn the_log_restarts_after_a_snapshot_and_goes_on() {
    let mut world = World::with_logs(&[&[1, 5], &[1, 2, 2], &[1, 5]], 5);
    append(&mut world, at(1, 1), 2, 0);
    install(&mut world, at(9, 5));
    world.persist(n(2), 9);
    assert_eq!(world.nodes[&n(2)].disk.durable.last(), at(9, 5));
    assert!(world.nodes[&n(2)].disk.durable.entries.is_empty());
    let acked = Message::Acked {
        term: 5,
        matched: Index(9),
    };
    assert!(world.take_sent(n(2)).contains(&(n(1), acked)));
    append(&mut world, at(9, 5), 10, 0);
    assert_eq!(world.core(n(2)).status().last, at(10, 5));
}

/// Also where nothing had to be cut off for that.
#[test]
fn a_snapshot_is_acknowledged_once_the_log_begins_there_on_the_disk() {
    let mut world = World::with_logs(&[&[1, 5], &[], &[1, 5]], 5);
    append(&mut world, at(2, 5), 3, 0);
    world.take_sent(n(2));
    install(&mut world, at(9, 5));
    assert_eq!(world.take_sent(n(2)), []);
    world.persist(n(2), 9);
    let acked = Message::Acked {
        term: 5,
        matched: Index(9),
    };
    assert_eq!(world.take_sent(n(2)), [(n(1), acked)]);
}

#[test]
fn what_stands_above_a_snapshot_stays() {
    let mut world = World::with_logs(&[&[1, 2, 2, 5], &[1, 2, 2], &[1]], 5);
    append(&mut world, at(3, 2), 4, 0);
    install(&mut world, at(2, 2));
    assert_eq!(world.terms(n(2)), [2, 5]);
    assert_eq!(world.core(n(2)).status().last, at(4, 5));
}

/// Else its log would end in a later term than its hard state, which counts as a lost one.
#[test]
fn a_snapshot_of_a_later_term_brings_that_term() {
    let mut world = World::with_logs(&[&[1, 5], &[1], &[1, 5]], 5);
    install(&mut world, at(9, 7));
    assert_eq!(world.core(n(2)).status().epoch, Epoch::term(7));
}

#[test]
fn a_leader_whose_state_is_replaced_leads_no_more() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(2));
    install(&mut world, at(9, 1));
    assert_eq!(world.core(n(2)).status().role, Role::Follower);
}

#[test]
fn what_could_not_be_read_is_forgotten_with_a_snapshot_above_it() {
    let mut world = World::with_logs(&[&[1, 5], &[1], &[1, 5]], 5);
    append(&mut world, at(1, 1), 2, 2);
    let (id, result) = (FetchId(1), Fetched::Corrupt);
    world.step(n(2), Input::Fetched { id, result });
    offer(&mut world, at(9, 5));
    install(&mut world, at(9, 5));
    append(&mut world, at(9, 5), 10, 0);
    world.persist(n(2), 9);
    let acked = Message::Acked {
        term: 5,
        matched: Index(10),
    };
    assert!(world.take_sent(n(2)).contains(&(n(1), acked)));
}

#[test]
fn the_log_is_purged_no_further_than_applied() {
    let mut world = World::new(1, 0, Config::new);
    world.elect(n(1));
    world.propose(n(1), "a");
    world.settle();
    world.propose(n(1), "b");
    world.persist(n(1), 9);
    let status = world.core(n(1)).status();
    assert_eq!((status.committed, status.applied), (Index(3), Index(2)));
    let upto = Index(9);
    world.step(n(1), Input::Compact { upto });
    assert_eq!(world.core(n(1)).status().purged, Index(2));
}

#[test]
fn a_peer_that_needs_what_is_purged_is_sent_a_snapshot_at_the_pace_of_heartbeats() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    world.crash(n(3), 0);
    world.propose(n(1), "a");
    world.settle();
    let upto = Index(2);
    world.step(n(1), Input::Compact { upto });
    // It lost its log, and its answer shows it.
    world.node(n(3)).disk.durable.entries.clear();
    world.node(n(3)).disk.crash(0);
    world.start(n(3));
    for _ in 0..5 {
        world.advance(consensus::Micros::from_millis(60));
        world.settle();
        for (from, to) in std::mem::take(&mut world.snapshots) {
            assert_eq!((from, to), (n(1), n(3)));
            let (index, outcome) = (Index(2), SnapshotOutcome::Failed);
            world.step(n(1), Input::SnapshotSent { to, index, outcome });
            assert!(world.snapshots.is_empty(), "asked again at once");
        }
    }
    let asked = world.trace.iter().filter(|l| l.contains("snapshot for n3"));
    assert!((2..=5).contains(&asked.count()));
}

#[test]
fn entries_that_are_purged_while_they_are_read_back_are_not_sent() {
    for upto in 2..=6 {
        let logs: [&[u64]; 3] = [&[1, 1, 1, 1, 1, 1], &[1, 1, 1, 1, 1, 1], &[1]];
        let mut world = World::with_logs(&logs, 1);
        world.crash(n(3), 0);
        world.elect(n(1));
        world.start(n(3));
        world.advance(consensus::Micros::from_millis(200));
        while world.nodes[&n(1)].fetches.is_empty() && !world.net.is_empty() {
            world.deliver(0);
            world.persist(n(3), 9);
        }
        assert!(!world.nodes[&n(1)].fetches.is_empty());
        let upto = Index(upto);
        world.step(n(1), Input::Compact { upto });
        world.answer_fetch(n(1));
        assert_eq!(world.snapshots, [(n(1), n(3))]);
    }
}

#[test]
fn a_peer_that_asks_again_for_a_snapshot_that_is_sent_is_sent_no_second_one() {
    let mut world = World::new(3, 0, Config::new);
    world.elect(n(1));
    for _ in 0..2 {
        world.hand(n(3), n(1), Message::NeedsSnapshot { term: 1 });
    }
    assert_eq!(world.snapshots, [(n(1), n(3))]);
    let (to, index, outcome) = (n(3), Index(1), SnapshotOutcome::Failed);
    world.step(n(1), Input::SnapshotSent { to, index, outcome });
    world.hand(n(3), n(1), Message::NeedsSnapshot { term: 1 });
    assert_eq!(world.snapshots, [(n(1), n(3)), (n(1), n(3))]);
}

/// A follower that cannot read its second entry, and has said so.
fn unreadable() -> World {
    let mut world = World::with_logs(&[&[1; 4], &[1; 4], &[1; 4]], 1);
    world.node(n(2)).disk.unreadable.insert(2);
    heartbeat(&mut world, at(4, 1));
    for _ in 0..2 {
        world.answer_fetch(n(2));
        world.report_applied(n(2));
    }
    world.take_sent(n(2));
    world
}

fn heartbeat(world: &mut World, prev: Position) {
    let message = Message::Heartbeat {
        term: 1,
        round: 0,
        prev,
        commit: Index(4),
    };
    world.hand(n(1), n(2), message);
}

#[test]
fn what_cannot_be_read_is_not_acknowledged_again() {
    let mut world = unreadable();
    heartbeat(&mut world, at(4, 1));
    heartbeat(&mut world, at(1, 1));
    let claims = |message: &Message| match message {
        Message::Acked { matched, .. } => matched.0,
        Message::HeartbeatAck { received, .. } => received.0,
        other => panic!("{other:?}"),
    };
    let sent = world.take_sent(n(2));
    let most = sent.iter().map(|(_, message)| claims(message)).max();
    assert_eq!(most, Some(1), "{sent:?}");
}

#[test]
fn an_append_above_what_cannot_be_read_is_rejected() {
    let mut world = unreadable();
    let message = Message::Append {
        term: 1,
        prev: at(4, 1),
        entries: vec![entry(5, 1)],
        commit: Index(4),
    };
    world.hand(n(1), n(2), message);
    let conflict = Position {
        index: Index(2),
        epoch: Epoch::ZERO,
    };
    let rejected = Message::Rejected {
        term: 1,
        prev: Index(4),
        conflict,
    };
    assert_eq!(world.take_sent(n(2)), [(n(1), rejected)]);
}

#[test]
fn a_damaged_node_is_whole_once_a_later_leader_has_committed_in_its_own_term() {
    let mut world = World::with_logs(&[&[1, 1], &[1, 1], &[1, 1]], 1);
    world.crash(n(3), 0);
    world.start_damaged(n(3), true);
    world.persist(n(3), 9);
    let votes = |world: &mut World| {
        world.now = world.now + consensus::Micros::from_millis(400);
        world.take_sent(n(3));
        let (term, last) = (9, at(9, 8));
        world.hand(n(2), n(3), Message::PreVote { term, last });
        let sent = world.take_sent(n(3));
        let granted = |message: &Message| matches!(message, Message::PreVoted { .. });
        sent.iter().any(|(_, message)| granted(message))
    };
    let say = |world: &mut World, prev, entries, commit| {
        let message = Message::Append {
            term: 2,
            prev,
            entries,
            commit: Index(commit),
        };
        world.hand(n(1), n(3), message);
    };
    say(&mut world, at(0, 0), vec![entry(1, 1), entry(2, 1)], 2);
    assert!(!votes(&mut world), "what is committed may be more");
    say(&mut world, at(2, 1), vec![entry(3, 2)], 3);
    assert!(!votes(&mut world), "that is not durable yet");
    world.persist(n(3), 9);
    assert!(!votes(&mut world), "nor is that it is whole");
    world.persist(n(3), 9);
    assert!(votes(&mut world));
}
