//! Members that say anything at all: no promise holds any more, but nothing panics.

mod harness;

use consensus::{
    Consensus, Entry, Epoch, FetchId, Fetched, Index, Input, Membership, Micros, NodeId, Output,
    Payload, Position, ReadMode, Recovered, RequestId, SnapshotOutcome, WriteSeq,
};
use consensus_raft::{Config, Message, Raft, ReadId};
use harness::Random;

/// A small number mostly, so that things fit by chance; sometimes an extreme one.
fn number(r: &mut Random) -> u64 {
    match r.below(40) {
        0 => u64::MAX,
        1 => u64::MAX - 1,
        _ => r.below(8),
    }
}

fn index(r: &mut Random) -> Index {
    Index(number(r))
}

fn position(r: &mut Random) -> Position {
    let node = NodeId(u64::from(r.chance(3)));
    let round = number(r);
    Position {
        index: index(r),
        epoch: Epoch { round, node },
    }
}

/// Entries that follow each other, mostly.
fn entries(r: &mut Random, from: Index) -> Vec<Entry> {
    let (mut index, mut round) = (from, number(r));
    let mut entries = Vec::new();
    for _ in 0..r.below(5) {
        index = Index(index.0.wrapping_add(u64::from(!r.chance(3))));
        round = round.saturating_add(r.below(3) / 2);
        entries.push(Entry {
            index,
            epoch: Epoch::term(round),
            payload: Payload::Blank,
        });
    }
    entries
}

fn message(r: &mut Random, near: u64) -> Message {
    let term = if r.chance(80) { near } else { number(r) };
    let granted = r.chance(70);
    let id = ReadId {
        life: r.below(3),
        number: r.below(3),
    };
    match r.below(13) {
        0 => Message::PreVote {
            term: term.saturating_add(1),
            last: position(r),
        },
        1 => Message::PreVoted {
            term: term.saturating_add(1),
            granted,
        },
        2 => Message::Vote {
            term,
            last: position(r),
        },
        3 => Message::Voted { term, granted },
        4..=6 => {
            let prev = position(r);
            let entries = entries(r, prev.index);
            Message::Append {
                term,
                prev,
                entries,
                commit: index(r),
            }
        }
        7 => Message::Acked {
            term,
            matched: index(r),
        },
        8 => Message::Rejected {
            term,
            prev: index(r),
            conflict: position(r),
        },
        9 => Message::Heartbeat {
            term,
            round: number(r),
            prev: position(r),
            commit: index(r),
        },
        10 => {
            let (round, prev, received) = (number(r), index(r), index(r));
            Message::HeartbeatAck {
                term,
                round,
                prev,
                received,
            }
        }
        11 => Message::ReadIndex { term, id },
        _ if r.chance(50) => Message::ReadIndexed {
            term,
            id,
            index: index(r),
        },
        _ if r.chance(50) => Message::Commit {
            term,
            commit: index(r),
        },
        _ => Message::StaleTerm { term },
    }
}

/// What the host has seen of the node under test.
#[derive(Default)]
struct Host {
    writes: u64,
    persisted: u64,
    committed: u64,
    fetches: u64,
}

fn input(r: &mut Random, host: &mut Host, term: u64) -> Input<Message> {
    let request = RequestId(r.below(1 << 40));
    match r.below(100) {
        0..50 => {
            let from = NodeId(1 + r.below(4));
            Input::Message {
                from,
                message: message(r, term),
            }
        }
        50..60 => Input::Tick,
        60..75 => {
            host.persisted += r.below(host.writes - host.persisted + 1);
            Input::Persisted(WriteSeq(host.persisted))
        }
        75..80 => Input::Propose {
            request,
            batch: "batch".into(),
        },
        80..84 => Input::Read {
            request,
            mode: ReadMode::Quorum,
        },
        84..88 => Input::Applied(Index(r.below(host.committed + 1))),
        88..94 => {
            let id = FetchId(r.below(host.fetches + 2));
            let from = index(r);
            let result = match r.below(4) {
                0 => Fetched::Purged,
                1 => Fetched::Corrupt,
                _ => Fetched::Entries(entries(r, from)),
            };
            Input::Fetched { id, result }
        }
        94..97 => Input::Compact { upto: index(r) },
        97 => {
            let (to, index) = (NodeId(r.below(4)), Index(r.below(8)));
            let outcome = match r.chance(50) {
                true => SnapshotOutcome::Installed,
                false => SnapshotOutcome::Failed,
            };
            Input::SnapshotSent { to, index, outcome }
        }
        98 => {
            let (from, membership) = (NodeId(2), Membership::default());
            Input::SnapshotOffered {
                from,
                at: position(r),
                membership,
            }
        }
        _ => {
            // The host's own word, so it makes sense: a snapshot of a term that has been.
            let at = Position {
                index: Index(1 + r.below(8)),
                epoch: Epoch::term(1 + r.below(term.clamp(1, 8))),
            };
            let membership = Membership::default();
            Input::SnapshotInstalled { at, membership }
        }
    }
}

fn run(seed: u64) {
    let mut r = Random(seed);
    let members = Membership::of_voters([1, 2, 3].map(NodeId));
    let mut core = Raft::new(Config::new(NodeId(1)), seed, Recovered::fresh(members));
    let (mut host, mut now) = (Host::default(), Micros(0));
    for _ in 0..300 {
        now = now + Micros(r.below(100_000));
        let term = core.status().epoch.round;
        let input = input(&mut r, &mut host, term);
        core.step(now, input);
        while let Some(output) = core.poll() {
            match output {
                Output::Write { seq, .. } => host.writes = seq.0,
                Output::Commit(entries) => {
                    host.committed = entries.last().expect("a commit holds entries").index.0
                }
                Output::Fetch { id, .. } => host.fetches = id.0,
                _ => {}
            }
        }
        assert!(core.deadline().is_some());
    }
}

#[test]
fn nonsense_never_panics() {
    for seed in 0..5_000 {
        let caught = std::panic::catch_unwind(|| run(seed));
        assert!(caught.is_ok(), "seed {seed}");
    }
}
