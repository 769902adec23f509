//! The contract of a log store: the durable log and hard state of every group of a node.
//!
//! One store serves all groups because one fsync must: whatever the groups have to write while a
//! sync is running goes out with the next, as one [`write`](LogStore::write). A group's log is a map
//! from index to record that is cut at both ends: protocols that truncate (Raft) and protocols that
//! overwrite slots and leave holes (Paxos) are both at home in it.
//!
//! The store knows nothing of what it keeps: hard state and payloads are opaque, an [`Epoch`] is a
//! pair of numbers. [`MemoryLog`] is the contract in its plainest form; the one that lasts is
//! [`SegmentedLog`](crate::SegmentedLog).

mod memory;

pub use memory::MemoryLog;

use std::fmt;
use std::io;

use bytes::Bytes;

/// Names a consensus group of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

/// Under whose reign a record was proposed: Raft's term, a Paxos ballot. Stored, never judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Raft's term, or the ballot's round.
    pub round: u64,
    /// The ballot's node; zero in Raft.
    pub node: u64,
}

/// One record of a group's log. Cloning is cheap: the payload is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it stands. The first index is 1; holes are allowed.
    pub index: u64,
    /// Under whose reign it was proposed.
    pub epoch: Epoch,
    /// What the payload is; the caller's numbering.
    pub kind: u8,
    /// What it says; less than 1 GiB.
    pub payload: Bytes,
}

/// One change to a group's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOp {
    /// Replaces the protocol's own state.
    HardState(Bytes),
    /// Puts a record, replacing one that stands at its index and leaving all others. A record at or
    /// below the purged index is dropped.
    Put(Record),
    /// Drops every record at this index and above.
    TruncateFrom(u64),
    /// Drops every record at `index` and below. Below the index already purged it does nothing;
    /// above the last record it makes the log start anew after `index`.
    PurgeTo {
        /// The last index that goes.
        index: u64,
        /// The epoch of the record there, kept because the next record's predecessor is asked for.
        epoch: Epoch,
    },
}

/// What one group has to write, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupWrite {
    /// Whose log.
    pub group: GroupId,
    /// What changes, in order.
    pub ops: Vec<LogOp>,
}

/// A group's log without its payloads: what a protocol needs to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredLog {
    /// The protocol's own state, as last written. When `damaged`, possibly older than that.
    pub hard_state: Option<Bytes>,
    /// The last index purged, with its epoch; zeros if nothing ever was.
    pub purged: (u64, Epoch),
    /// Index, epoch and kind of every record above `purged`, ascending by index; holes are allowed.
    pub records: Vec<(u64, Epoch, u8)>,
    /// Something acknowledged is known to be lost, and nothing written since has made up for it.
    pub damaged: bool,
}

/// What was found at an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogRead {
    /// Records at consecutive indexes from the first asked for: at least one.
    Records(Vec<Record>),
    /// The first asked for is purged.
    Purged,
    /// There is no record at the first index asked for.
    Missing,
    /// There is one, and its bytes are not what was written.
    Corrupt,
}

/// The durable log of every group of a node.
///
/// The conformance suites (`conformance::log` and `conformance::crash`, feature `conformance`) say
/// in tests what this says in prose.
pub trait LogStore: Send {
    /// The groups that have ever written, ascending.
    fn groups(&self) -> Vec<GroupId>;

    /// The group's log as found at open, and as every write since has left it; empty for a group
    /// that never wrote. Allocates for every record: for starting up, not for running.
    fn recovered(&self, group: GroupId) -> RecoveredLog;

    /// Writes all of this, for all groups, in order, and returns once everything is durable: one
    /// sync, however many groups. After a crash in the middle each group has a prefix of its
    /// operations, never anything else. Without any operation it does nothing.
    ///
    /// # Errors
    /// What has become of the write is unknown. The store is poisoned: every later call fails, since
    /// after a failed sync nobody can say what the disk holds. Start anew from
    /// [`recovered`](Self::recovered) of a store opened again.
    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), LogError>;

    /// Reads the records at consecutive indexes from `from` to at most `to` (inclusive): about
    /// `max_bytes` of payload, but at least one record. Stops in front of a hole and in front of a
    /// corrupt record.
    ///
    /// # Errors
    /// Only when the store is poisoned. What cannot be read is [`LogRead::Corrupt`].
    fn read(
        &mut self,
        group: GroupId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<LogRead, LogError>;

    /// Does a part of what has time, such as giving back room on the disk, and says whether there is
    /// more. To be called while there is nothing else to do; nothing depends on it but the room.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    fn tidy(&mut self) -> Result<bool, LogError> {
        Ok(false)
    }

    /// How many times something was synced to the disk since the store was opened.
    fn fsyncs(&self) -> u64;
}

/// Why a log store could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The disk failed.
    #[error(
        "the log could not {action} {file:?}: {source}; this process must not go on writing. Look \
         at the disk (space, kernel log), then start the node again: it recovers what is durable"
    )]
    Io {
        /// What was being done: `"write"`, `"sync"`.
        action: &'static str,
        /// The file's name within the log's directory; empty for the directory itself.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// An earlier call failed, and this store does nothing any more.
    #[error("the log was closed by an earlier failure ({reason}); start the node again")]
    Poisoned {
        /// The earlier failure.
        reason: String,
    },
    /// Another process has the log open.
    #[error(
        "another process has this log open (it holds {file:?} locked); two writers would destroy \
         it. Stop the other process, or give this node a directory of its own"
    )]
    Locked {
        /// The lock file's name.
        file: String,
    },
    /// A segment was written in a format this version does not know.
    #[error(
        "{file:?} is of log format {found}, this version knows format {supported}; start the \
         version that wrote it"
    )]
    Version {
        /// The segment's file name.
        file: String,
        /// The format it names.
        found: u32,
        /// The format this version knows.
        supported: u32,
    },
    /// A place is damaged without which nothing behind it can be interpreted.
    #[error(
        "{file:?} is damaged at byte {offset} ({what}), and the log cannot be trusted without it. \
         Nothing was changed. Restore the file from a copy of this very node, or empty the node's \
         directory and let it join again under a new disk id"
    )]
    Corrupt {
        /// The segment's file name.
        file: String,
        /// Where the damage is, in bytes from the file's start.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// A segment is not there.
    #[error(
        "{file:?} is missing from the log's directory: acknowledged writes stood in it. Nothing was \
         changed. Put it back, or empty the node's directory and let it join again under a new disk \
         id"
    )]
    MissingSegment {
        /// The segment's file name.
        file: String,
    },
    /// A payload is larger than any record can be.
    #[error("a payload of {bytes} bytes for {group} exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Whose.
        group: GroupId,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
}
