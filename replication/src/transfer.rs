//! How a snapshot travels: a peer that needs what is no longer in the log gets a file instead.
//!
//! ```text
//! sender                                          receiver
//!   SendSnapshot (protocol) → Take → snapshot_ready
//!   ── SnapshotOffer ───────────────────────────→ Open → incoming_opened: so much is here already
//!   ←─────────────────────────── SnapshotWant ──  from here, up to there
//!   Read → snapshot_read
//!   ── SnapshotChunk ───────────────────────────→ Store → chunk_stored, and wants more
//!                                                 … all of it is here: SnapshotOffered (protocol)
//!                                                 InstallSnapshot (protocol) → Install
//!                                                 Group::install: SnapshotInstalled (protocol)
//!   ←─────────────────────────── SnapshotDone ──
//!   SnapshotSent (protocol)
//! ```
//!
//! The receiver pulls, so what it has on its disk is all there is to know: a transfer goes on after
//! a broken link or a restart of either side wherever that is, whoever sends, as long as it is the
//! same file. The protocol hears of an offer only when the file is here: until then it commits as
//! far as it can, and a sender that disappears leaves nothing to be undone.
//!
//! Invariants: at most one transfer per peer, and one that is received; no more than a window is
//! asked for beyond what is stored; bytes are stored in order, each once; every request of the
//! protocol's is answered; what is sent is bounded by a budget, over all peers.
//!
//! Left out: files, and whether what is in them is right. The host does both.

pub(crate) mod budget;
pub(crate) mod receiver;
pub(crate) mod sender;

use bytes::Bytes;
use consensus::{Index, Membership, NodeId, Position};
use serde::{Deserialize, Serialize};

/// Names one snapshot of a group: no two that differ in a byte have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotId {
    /// The last entry whose effects are in it.
    pub at: Position,
    /// A digest of the whole.
    pub digest: u64,
}

/// What there is to know of a snapshot before it is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// Which one.
    pub id: SnapshotId,
    /// The members as of its last entry.
    pub membership: Membership,
    /// Its length.
    pub bytes: u64,
}

impl SnapshotMeta {
    /// The last index whose effects are in it.
    #[must_use]
    pub fn index(&self) -> Index {
        self.id.at.index
    }
}

/// How a transfer ended at the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotEnd {
    /// It is installed.
    Installed,
    /// It is of no use there.
    Unwanted {
        /// What would be.
        at_least: Index,
    },
    /// It, or a piece of it, arrived twice, and both times it was not what its name says.
    Corrupt,
    /// The receiver could not store or install it now.
    Failed,
}

/// What the driver wants done with snapshots, and with what makes them needless. The host answers
/// each by the method named, now or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotTask {
    /// Find or make a snapshot at this index or above:
    /// [`snapshot_ready`](crate::Replica::snapshot_ready) or
    /// [`snapshot_failed`](crate::Replica::snapshot_failed). It may be read until
    /// [`snapshots_in_use`](crate::Replica::snapshots_in_use) no longer names it.
    Take {
        /// The lowest index that helps.
        at_least: Index,
    },
    /// Read from a snapshot for a peer: [`snapshot_read`](crate::Replica::snapshot_read).
    Read {
        /// For whom.
        to: NodeId,
        /// Which.
        id: SnapshotId,
        /// Where.
        offset: u64,
        /// How many bytes; there are so many.
        len: usize,
    },
    /// Peers found this snapshot to be corrupt, or it could not be read: verify it, and if it is not
    /// what its name says, never find it again. Not answered.
    Suspect {
        /// Which.
        id: SnapshotId,
    },
    /// Be ready to receive this one and no other, keeping what is here of it:
    /// [`incoming_opened`](crate::Replica::incoming_opened) or
    /// [`incoming_failed`](crate::Replica::incoming_failed).
    Open {
        /// What is to come.
        meta: SnapshotMeta,
    },
    /// Append to what is being received: [`chunk_stored`](crate::Replica::chunk_stored) once it is
    /// durable, or [`incoming_failed`](crate::Replica::incoming_failed). A host that finds at once
    /// that this is not of the snapshot says so:
    /// [`incoming_corrupt`](crate::Replica::incoming_corrupt).
    Store {
        /// Of which.
        id: SnapshotId,
        /// Where; right behind the last.
        offset: u64,
        /// What.
        bytes: Bytes,
    },
    /// All of it is here: verify it, build a state machine from it, durably, and hand that to
    /// [`Group::install`](crate::Group::install); or
    /// [`install_failed`](crate::Replica::install_failed).
    Install {
        /// Which.
        meta: SnapshotMeta,
    },
    /// Throw away what is here of it. Not answered.
    Discard {
        /// Which.
        id: SnapshotId,
    },
    /// The log has grown, or the group is idle: begin to make durable what is applied, or take a
    /// snapshot of it. Not answered, but by [`durable`](crate::Replica::durable) in time.
    Persist,
}

/// Why a snapshot that is here could not be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallFailure {
    /// It is not what its name says.
    Corrupt,
    /// The environment did not let it.
    Environment,
}
