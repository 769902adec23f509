//! The product as a subject: Raft, and the keyspace on the memory engine.

use consensus::{NodeId, Recovered};
use consensus_raft::{Config, Message, Raft};
use keyspace::Keyspace;
use replication::StateMachine;
use std::ops::{Bound, ControlFlow};
use storage::{Engine, MemoryEngine};

use crate::random::Random;
use crate::redis::Redis;
use crate::subject::{Ballot, Claim, Subject, Vote};
use crate::versions::Versioned;

/// What the binary `lockstep` runs: Raft under the Redis keyspace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lockstep;

impl Subject for Lockstep {
    type Core = Raft;
    type Machine = Versioned;
    type Service = Redis;

    fn core(&self, node: NodeId, seed: u64, recovered: Recovered) -> Raft {
        use consensus::Consensus as _;
        let mut random = Random::new(seed);
        let mut config = Config::new(node);
        // Limits that are reached: then what usually travels together does not.
        config.max_append_bytes = *random.pick(&[1 << 20, 4_096, 256, 1]);
        config.max_in_flight_messages = *random.pick(&[64, 4, 1]);
        config.cache_bytes = *random.pick(&[64 << 20, 16 << 10, 512]);
        Raft::new(config, seed, recovered)
    }

    fn machine(&self) -> Self::Machine {
        let opened = Keyspace::open(MemoryEngine::default());
        let opened = opened.unwrap_or_else(|error| panic!("an empty engine: {error}"));
        Versioned::new(opened)
    }

    fn restore(&self, engine: MemoryEngine) -> Option<Self::Machine> {
        let opened = Keyspace::open(engine);
        let opened = opened.unwrap_or_else(|error| panic!("a snapshot: {error}"));
        Some(Versioned::new(opened))
    }

    fn behind(&self, machine: Versioned) -> Versioned {
        machine.behind()
    }

    fn digest(&self, machine: &Self::Machine) -> u64 {
        let mut digest = machine.applied().index.0;
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let scanned = machine
            .engine()
            .scan(everything.0, everything.1, &mut |key, value| {
                for bytes in [key, value] {
                    digest = digest.rotate_left(17) ^ crate::digest::bytes(bytes);
                    digest = digest.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                }
                ControlFlow::Continue(())
            });
        assert!(scanned.is_ok(), "the memory engine cannot fail");
        digest
    }

    fn service(&self) -> Redis {
        Redis
    }

    fn claim(message: &Message) -> Claim {
        let epoch = match message {
            // About a term that nobody has entered.
            Message::PreVote { .. } | Message::PreVoted { .. } => None,
            other => Some(other.term()),
        };
        let holds = match message {
            Message::Acked { matched, .. } => Some(*matched),
            _ => None,
        };
        Claim {
            epoch,
            vote: match message {
                Message::Voted {
                    term,
                    granted: true,
                } => Some((*term, Vote::Receiver)),
                Message::Vote { term, .. } => Some((*term, Vote::Sender)),
                _ => None,
            },
            holds,
        }
    }

    fn ballot(hard_state: &[u8]) -> Option<Ballot> {
        // The layout is documented, and a test of the crate keeps it from changing.
        let term = hard_state.get(2..10)?.try_into().ok()?;
        let voted_for = hard_state.get(10..18)?.try_into().ok()?;
        let voted_for = NodeId(u64::from_le_bytes(voted_for));
        Some((
            u64::from_le_bytes(term),
            (voted_for != NodeId(0)).then_some(voted_for),
        ))
    }

    fn describe(message: &Message) -> String {
        match message {
            Message::Append {
                term,
                prev,
                entries,
                commit,
            } => {
                let (first, last) = (entries.first(), entries.last());
                let what = match first.zip(last) {
                    Some((first, last)) => format!("{}..{}", first.position(), last.index),
                    None => "nothing".into(),
                };
                format!("Append t{term} after {prev}: {what}, commit {commit}")
            }
            Message::Acked { term, matched } => format!("Acked t{term} up to {matched}"),
            Message::Rejected {
                term,
                prev,
                conflict,
            } => {
                format!("Rejected t{term}: no {prev}, see {conflict}")
            }
            Message::Heartbeat {
                term,
                round,
                prev,
                commit,
            } => {
                format!("Heartbeat t{term} round {round}, you hold {prev}, commit {commit}")
            }
            Message::HeartbeatAck {
                term,
                round,
                received,
                ..
            } => {
                format!("HeartbeatAck t{term} round {round}, received {received}")
            }
            Message::Commit { term, commit } => format!("Commit t{term} up to {commit}"),
            Message::PreVote { term, last } => format!("PreVote for t{term}? last {last}"),
            Message::PreVoted { term, granted } => {
                format!("PreVoted t{term}: {}", yes_no(*granted))
            }
            Message::Vote { term, last } => format!("Vote for me in t{term}, last {last}"),
            Message::Voted { term, granted } => format!("Voted t{term}: {}", yes_no(*granted)),
            Message::ReadIndex { term, id } => {
                format!("ReadIndex t{term}? {}.{}", id.life, id.number)
            }
            Message::ReadIndexed { term, id, index } => {
                format!("ReadIndexed t{term} {}.{}: {index}", id.life, id.number)
            }
            Message::StaleTerm { term } => format!("StaleTerm: mine is t{term}"),
            other => format!("{other:?}").chars().take(120).collect(),
        }
    }
}

const fn yes_no(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}
