//! Messages made up of a script: of every kind, with numbers most of which are small, so that they
//! fit what went before, and some at the end of their range.

use bytes::Bytes;
use consensus::{Entry, Epoch, Index, Membership, NodeId, Payload, Position};
use consensus_raft::{Message as Raft, ReadId};
use replication::{
    BatchBuilder, Failure, ForwardId, Frame, Message, Millis, SnapshotEnd, SnapshotId, SnapshotMeta,
};

use crate::script::Script;

/// A frame with up to four messages.
pub(crate) fn frame(script: &mut Script<'_>) -> Frame<Raft> {
    let mut frame = Frame::new(Millis(script.number()));
    for _ in 0..=script.below(4) {
        let group = u32::from(script.below(32) == 31);
        frame.messages.push((group, message(script)));
    }
    frame
}

fn message(script: &mut Script<'_>) -> Message<Raft> {
    let id = ForwardId(script.number());
    match script.below(24) {
        0 => Message::Forward {
            epoch: epoch(script),
            id,
            batch: batch(script),
        },
        1 => Message::Refused { id },
        2 => Message::Outcome {
            id,
            index: index(script),
            replies: Bytes::copy_from_slice(script.bytes(40)),
        },
        3 => Message::Failed {
            id,
            failure: [Failure::Unknown, Failure::NotExecuted, Failure::NoLeader][script.below(3)],
        },
        4 => Message::Wait {
            id,
            index: index(script),
            replicas: script.number() as u32,
            timeout_ms: script.number(),
        },
        5 => Message::Waited {
            id,
            replicas: script.number() as u32,
            leader: script.byte() & 1 == 1,
        },
        6 => Message::SnapshotOffer {
            meta: SnapshotMeta {
                id: snapshot(script),
                membership: membership(script),
                bytes: script.number(),
            },
        },
        7 => Message::SnapshotWant {
            id: snapshot(script),
            offset: script.number(),
            upto: script.number(),
            again: script.byte() & 1 == 1,
        },
        8 => {
            let bytes = Bytes::copy_from_slice(script.bytes(80));
            Message::SnapshotChunk {
                id: snapshot(script),
                offset: script.number(),
                crc: crc32c::crc32c(&bytes) ^ u32::from(script.below(8) == 7),
                bytes,
            }
        }
        9 => Message::SnapshotGone {
            id: snapshot(script),
        },
        10 => Message::SnapshotDone {
            id: snapshot(script),
            end: match script.below(4) {
                0 => SnapshotEnd::Installed,
                1 => SnapshotEnd::Corrupt,
                2 => SnapshotEnd::Failed,
                _ => SnapshotEnd::Unwanted {
                    at_least: index(script),
                },
            },
        },
        11 => Message::Receiving {
            index: index(script),
        },
        12 => Message::Keep {
            above: (script.byte() & 1 == 1).then(|| index(script)),
        },
        13 => Message::Understands {
            semantics: script.byte(),
        },
        _ => Message::Consensus(raft(script)),
    }
}

fn raft(script: &mut Script<'_>) -> Raft {
    let kind = script.below(16);
    let term = script.number();
    match kind {
        0 => Raft::PreVote {
            term,
            last: position(script),
        },
        1 => Raft::PreVoted {
            term,
            granted: script.byte() & 1 == 1,
        },
        2 => Raft::Vote {
            term,
            last: position(script),
        },
        3 => Raft::Voted {
            term,
            granted: script.byte() & 1 == 1,
        },
        4 => Raft::Acked {
            term,
            matched: index(script),
        },
        5 => Raft::Rejected {
            term,
            prev: index(script),
            conflict: position(script),
        },
        6 => Raft::Heartbeat {
            term,
            round: script.number(),
            prev: position(script),
            commit: index(script),
        },
        7 => Raft::HeartbeatAck {
            term,
            round: script.number(),
            prev: index(script),
            received: index(script),
        },
        8 => Raft::NeedsSnapshot { term },
        9 => Raft::Commit {
            term,
            commit: index(script),
        },
        10 => Raft::ReadIndex {
            term,
            id: read(script),
        },
        11 => Raft::ReadIndexed {
            term,
            id: read(script),
            index: index(script),
        },
        12 => Raft::StaleTerm { term },
        _ => append(script, term),
    }
}

/// Entries that follow each other, for the most part.
fn append(script: &mut Script<'_>, term: u64) -> Raft {
    let prev = position(script);
    let mut entries = Vec::new();
    let mut at = prev;
    for _ in 0..script.below(4) {
        at.index = match script.below(16) {
            15 => index(script),
            _ => Index(at.index.0.wrapping_add(1)),
        };
        at.epoch = match script.below(4) {
            0 => epoch(script),
            1 => at.epoch.max(Epoch::term(1)),
            _ => Epoch::term(term),
        };
        let payload = match script.below(8) {
            0 => Payload::Blank,
            1 => Payload::Membership(membership(script)),
            2 => Payload::Batch(Bytes::copy_from_slice(script.bytes(40))),
            _ => Payload::Batch(batch(script)),
        };
        entries.push(Entry {
            index: at.index,
            epoch: at.epoch,
            payload,
        });
    }
    Raft::Append {
        term,
        prev,
        entries,
        commit: index(script),
    }
}

/// A batch of commands; what stands in them need not be ones.
fn batch(script: &mut Script<'_>) -> Bytes {
    let mut builder = BatchBuilder::default();
    for _ in 0..script.below(4) {
        let mut command = Vec::new();
        match script.below(4) {
            0 => command.extend_from_slice(script.bytes(60)),
            _ => {
                let args: Vec<&[u8]> = (0..script.below(5)).map(|_| script.bytes(12)).collect();
                let (database, number) = (script.below(3), script.below(120));
                let args = args.into_iter();
                keyspace::command::encode(&mut command, database as u16, number as u16, args);
            }
        }
        builder.push(&command);
    }
    let mut bytes = builder.finish(Millis(script.number())).bytes().to_vec();
    if script.below(8) == 7 {
        script.damage(&mut bytes);
    }
    bytes.into()
}

fn index(script: &mut Script<'_>) -> Index {
    Index(script.number())
}

fn epoch(script: &mut Script<'_>) -> Epoch {
    Epoch {
        round: script.number(),
        node: NodeId(u64::from(script.below(16) == 15)),
    }
}

fn position(script: &mut Script<'_>) -> Position {
    match script.below(4) {
        0 => Position::ZERO,
        _ => Position {
            index: index(script),
            epoch: epoch(script),
        },
    }
}

fn read(script: &mut Script<'_>) -> ReadId {
    ReadId {
        life: script.number(),
        number: script.number(),
    }
}

fn snapshot(script: &mut Script<'_>) -> SnapshotId {
    SnapshotId {
        at: position(script),
        digest: script.number() & 3,
    }
}

fn membership(script: &mut Script<'_>) -> Membership {
    let mut some = |max| -> Vec<NodeId> {
        let count = script.below(max);
        (0..count).map(|_| NodeId(script.number())).collect()
    };
    let mut membership = Membership::of_voters(some(5));
    membership.outgoing.extend(some(4));
    let more = Membership::of_voters(some(3));
    membership.members.extend(more.members);
    membership
}
