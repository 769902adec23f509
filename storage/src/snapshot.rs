//! Snapshots: all rows of an engine at one index of its group's log, as a file.
//!
//! The format knows no engine: rows in ascending order. So a snapshot that a node with one engine
//! wrote fills a node with another, and a memory engine, which keeps nothing itself, starts from
//! one. A file is written under a temporary name and gets its own when it is whole and durable;
//! everything goes through [`Disk`](crate::Disk), so that a simulation can fail every step.
//!
//! | file | what |
//! |---|---|
//! | `format` | what the bytes mean |
//! | `check` | whether they are what was written, in pieces of any size |
//! | `writer`, `reader` | rows in, rows out |
//! | `incoming` | a snapshot as it arrives from another node, resumable |
//!
//! Left out: compression (rows arrive from an engine that may have compressed them, and the network
//! is not the bottleneck), and encryption.

mod check;
mod format;
mod incoming;
mod reader;
mod writer;

pub use incoming::IncomingSnapshot;
pub use reader::{OutgoingSnapshot, SnapshotReader};
pub use writer::{RowBuffer, SnapshotWriter};

pub(crate) use incoming::PART;
pub(crate) use reader::read_meta;
pub(crate) use writer::WRITING;

use std::fmt;
use std::io;

use bytes::Bytes;

use crate::disk::Disk;
use crate::log::{Epoch, GroupId};

/// The end of the name of a complete snapshot.
pub(crate) const SNAPSHOT: &str = ".snapshot";

/// Names one snapshot of a group. Two files that differ in anything have different ids; files that
/// are equal to the byte have the same, whichever node wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The last index of the log whose effects are in it.
    pub index: u64,
    /// The epoch of the record there.
    pub epoch: Epoch,
    /// A digest of the whole file.
    pub digest: u64,
}

impl SnapshotId {
    /// The name of the complete file.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{self}{SNAPSHOT}")
    }

    /// The id whose name, ending aside, this is.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-').map(|part| u64::from_str_radix(part, 16));
        let mut next = || parts.next()?.ok();
        let id = SnapshotId {
            index: next()?,
            epoch: Epoch {
                round: next()?,
                node: next()?,
            },
            digest: next()?,
        };
        (id.to_string() == name).then_some(id)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Epoch { round, node } = self.epoch;
        let (index, digest) = (self.index, self.digest);
        write!(f, "{index:016x}-{round:x}-{node:x}-{digest:016x}")
    }
}

/// What there is to know of a snapshot without its rows: what one node offers another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Which one it is.
    pub id: SnapshotId,
    /// Whose rows it has.
    pub group: GroupId,
    /// Who takes part in the group as of its index; opaque to this crate.
    pub membership: Bytes,
    /// The length of the file.
    pub bytes: u64,
}

/// Why a snapshot could not be written, read or received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The disk failed.
    #[error(
        "the snapshot {file:?} could not be {action}: {source}. Look at the disk (space, kernel \
         log); what was there before still counts, and the snapshot can be made or fetched again"
    )]
    Io {
        /// What was to be done to it: `"written"`, `"read"`.
        action: &'static str,
        /// The file's name within the group's directory.
        file: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The bytes are not the ones that were written.
    #[error(
        "the snapshot {file:?} is damaged at byte {offset} ({what}) and was not used. If another \
         node of the group is up, remove it and let this node fetch it again; if this node starts \
         from it, restore it from a copy, or empty the node's directory and let it join again \
         under a new disk id"
    )]
    Corrupt {
        /// The file's name within the group's directory.
        file: String,
        /// Where, in bytes from its beginning; everything before is as it was written.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// It was written in a format this version does not know.
    #[error(
        "the snapshot {file:?} is of format {found}, this version knows format {supported}; start \
         the version that wrote it"
    )]
    Version {
        /// The file's name within the group's directory.
        file: String,
        /// The format it names.
        found: u32,
        /// The format this version knows.
        supported: u32,
    },
    /// It is not the one that was asked for: another group's, or of another index.
    #[error(
        "the snapshot {file:?} is of {found}, but {expected} was expected; it was not used. Put \
         back the file that belongs there"
    )]
    Other {
        /// The file's name within the group's directory.
        file: String,
        /// Whose it is, and of when.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// There is no such snapshot here.
    #[error("there is no snapshot {file:?} here (any more); ask for one that is there")]
    Missing {
        /// The name it would have.
        file: String,
    },
}

impl SnapshotError {
    pub(crate) fn io(action: &'static str, file: &str, source: io::Error) -> Self {
        let file = file.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            return SnapshotError::Missing { file };
        }
        SnapshotError::Io {
            action,
            file,
            source,
        }
    }
}

/// Gives a file that is whole and synced the name of a complete snapshot, durably. A name of which
/// nobody knows whether it lasts goes again: it would be the newest, and the one before it, which
/// does last, might be removed.
fn complete<D: Disk>(disk: &D, from: &str, to: &str) -> io::Result<()> {
    let is_new = disk.open(to).is_err();
    disk.rename(from, to)?;
    disk.sync_dir().inspect_err(|_| {
        if is_new {
            // If that fails too, no worse.
            let _ = disk.remove(to);
        }
    })
}
