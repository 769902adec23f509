//! The log's records and the protocol's entries: one is made into the other here and nowhere else.
//!
//! `storage` knows nothing of consensus: a record is an index, an epoch, a kind and bytes.

use bytes::Bytes;
use consensus::{
    Entry, Epoch, EpochRuns, Fetched, Index, LogOp, Membership, NodeId, Payload, Position,
    Recovered,
};
use storage::{LogRead, Record, RecoveredLog};

use crate::transfer::{SnapshotId, SnapshotMeta};

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Why what the log holds is not an entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Written by a newer build.
    #[error("record {index} is of kind {kind}, which this build does not know: upgrade this node")]
    Kind {
        /// Where.
        index: u64,
        /// What it says it is.
        kind: u8,
    },
    /// Its bytes are not a membership.
    #[error("record {index} should be a membership and is not ({source})")]
    Membership {
        /// Where.
        index: u64,
        /// Why not.
        source: rmp_serde::decode::Error,
    },
}

/// What the log is to do, in its own terms.
#[must_use]
pub fn to_log(op: LogOp) -> storage::LogOp {
    match op {
        LogOp::HardState(bytes) => storage::LogOp::HardState(bytes),
        LogOp::Put(entry) => storage::LogOp::Put(to_record(entry)),
        LogOp::TruncateFrom(index) => storage::LogOp::TruncateFrom(index.0),
        LogOp::PurgeTo(position) => storage::LogOp::PurgeTo {
            index: position.index.0,
            epoch: to_log_epoch(position.epoch),
        },
    }
}

/// What was read from the log, in the protocol's terms.
///
/// # Errors
/// When a record is not an entry of this version.
pub fn to_fetched(read: LogRead) -> Result<Fetched, RecordError> {
    Ok(match read {
        LogRead::Records(records) => {
            let entries: Result<_, _> = records.into_iter().map(to_entry).collect();
            Fetched::Entries(entries?)
        }
        LogRead::Purged => Fetched::Purged,
        // A protocol asks only for what it has put there, so what is missing has been lost.
        LogRead::Missing | LogRead::Corrupt => Fetched::Corrupt,
    })
}

/// What a node found in its log, in the protocol's terms. `members` are those the group was made
/// with, `applied` is what its state machine holds; `read` reads one record, and is called for
/// each membership in the log.
///
/// # Errors
/// When a record is not an entry of this version.
pub fn to_recovered(
    log: RecoveredLog,
    members: Membership,
    applied: Position,
    mut read: impl FnMut(u64) -> Option<Record>,
) -> Result<Recovered, RecordError> {
    let mut runs = EpochRuns::default();
    let mut memberships = vec![(Index::ZERO, members)];
    let mut damaged = log.damaged;
    for (index, epoch, kind) in log.records {
        runs.put(Position {
            index: Index(index),
            epoch: to_epoch(epoch),
        });
        if kind == MEMBERSHIP {
            match read(index).map(to_entry).transpose()? {
                Some(Entry {
                    payload: Payload::Membership(membership),
                    ..
                }) => memberships.push((Index(index), membership)),
                _ => damaged = true,
            }
        }
    }
    Ok(Recovered {
        hard_state: log.hard_state,
        purged: Position {
            index: Index(log.purged.0),
            epoch: to_epoch(log.purged.1),
        },
        log: runs,
        memberships,
        applied,
        damaged,
    })
}

/// What a snapshot's file is called, in its own terms.
#[must_use]
pub fn to_snapshot_id(id: SnapshotId) -> storage::SnapshotId {
    storage::SnapshotId {
        index: id.at.index.0,
        epoch: to_log_epoch(id.at.epoch),
        digest: id.digest,
    }
}

/// What a snapshot's file says of itself.
#[must_use]
pub fn to_snapshot_meta(group: storage::GroupId, meta: &SnapshotMeta) -> storage::SnapshotMeta {
    storage::SnapshotMeta {
        id: to_snapshot_id(meta.id),
        group,
        membership: encode(&meta.membership),
        bytes: meta.bytes,
    }
}

/// What a snapshot is begun with: where it stands, and who the members are.
#[must_use]
pub fn to_snapshot_start(at: Position, membership: &Membership) -> ((u64, storage::Epoch), Bytes) {
    ((at.index.0, to_log_epoch(at.epoch)), encode(membership))
}

/// What the driver knows of a snapshot, from its file.
///
/// # Errors
/// When its members cannot be read.
pub fn from_snapshot_meta(meta: &storage::SnapshotMeta) -> Result<SnapshotMeta, RecordError> {
    let index = meta.id.index;
    let at = Position {
        index: Index(index),
        epoch: to_epoch(meta.id.epoch),
    };
    let membership = rmp_serde::from_slice(&meta.membership)
        .map_err(|source| RecordError::Membership { index, source })?;
    Ok(SnapshotMeta {
        id: SnapshotId {
            at,
            digest: meta.id.digest,
        },
        membership,
        bytes: meta.bytes,
    })
}

fn to_record(entry: Entry) -> Record {
    let (kind, payload) = match entry.payload {
        Payload::Blank => (BLANK, Bytes::new()),
        Payload::Batch(batch) => (BATCH, batch),
        Payload::Membership(membership) => (MEMBERSHIP, encode(&membership)),
    };
    Record {
        index: entry.index.0,
        epoch: to_log_epoch(entry.epoch),
        kind,
        payload,
    }
}

fn to_entry(record: Record) -> Result<Entry, RecordError> {
    let Record {
        index,
        epoch,
        kind,
        payload,
    } = record;
    let payload = match kind {
        BLANK => Payload::Blank,
        BATCH => Payload::Batch(payload),
        MEMBERSHIP => Payload::Membership(
            rmp_serde::from_slice(&payload)
                .map_err(|source| RecordError::Membership { index, source })?,
        ),
        kind => return Err(RecordError::Kind { index, kind }),
    };
    Ok(Entry {
        index: Index(index),
        epoch: to_epoch(epoch),
        payload,
    })
}

fn encode(membership: &Membership) -> Bytes {
    let encoded = rmp_serde::to_vec(membership);
    assert!(
        encoded.is_ok(),
        "a membership that MessagePack cannot express"
    );
    encoded.unwrap_or_default().into()
}

fn to_log_epoch(epoch: Epoch) -> storage::Epoch {
    storage::Epoch {
        round: epoch.round,
        node: epoch.node.0,
    }
}

fn to_epoch(epoch: storage::Epoch) -> Epoch {
    Epoch {
        round: epoch.round,
        node: NodeId(epoch.node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::{DiskId, Member};

    #[test]
    fn every_payload_comes_back_as_it_went() {
        let mut membership = Membership::of_voters([1, 2, 3].map(NodeId));
        membership.members.insert(
            NodeId(3),
            Member {
                disk: DiskId(u128::MAX),
            },
        );
        for payload in [
            Payload::Blank,
            Payload::Batch(Bytes::from_static(b"set k v")),
            Payload::Membership(membership),
        ] {
            let entry = Entry {
                index: Index(7),
                epoch: Epoch {
                    round: 3,
                    node: NodeId(2),
                },
                payload,
            };
            assert_eq!(to_entry(to_record(entry.clone())).unwrap(), entry);
        }
    }

    #[test]
    fn a_record_of_the_future_is_refused() {
        let record = Record {
            index: 1,
            epoch: storage::Epoch { round: 1, node: 0 },
            kind: 9,
            payload: Bytes::new(),
        };
        assert!(matches!(
            to_entry(record),
            Err(RecordError::Kind { index: 1, kind: 9 })
        ));
    }
}
