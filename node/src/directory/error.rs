//! Why a directory cannot be used, or a peer not be believed.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use consensus::{DiskId, NodeId};

/// What is wrong with a directory, or with the disk that a peer came with.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source.kind()))]
    Io {
        /// What was tried: "create", "write" …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process is using it.
    #[error("{} is in use by another process: end that one first, or give another --dir", path.display())]
    Locked {
        /// Which directory.
        path: PathBuf,
    },
    /// It holds somebody else's data.
    #[error("{} is not a Lockstep directory and not empty ({found} is in it): give an empty or new --dir", path.display())]
    NotOurs {
        /// Which directory.
        path: PathBuf,
        /// One thing that is in it.
        found: String,
    },
    /// No node has ever been started in it.
    #[error("{} holds no node: give the --dir that one was started with", path.display())]
    Nobody {
        /// Which directory.
        path: PathBuf,
    },
    /// Its identity cannot be read.
    #[error(
        "{} is damaged: {problem}; put it back from a backup of this disk, and if there is none \
         treat the node's disk as lost", path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A later release wrote it.
    #[error(
        "{} has format {found}, and this release knows formats up to {known}: start it with the \
         release that wrote it or a later one", path.display()
    )]
    Newer {
        /// Which directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// It is another node's, or was made with other settings.
    #[error("{} belongs to {what} {found}, not to {wanted}: give --{key} as it was, or another --dir", path.display())]
    Other {
        /// Which directory.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As the directory says.
        found: String,
        /// As the configuration says.
        wanted: String,
        /// The setting.
        key: &'static str,
    },
    /// A peer came with another disk than before.
    #[error(
        "node {} came with disk {disk}, known is {known}: its disk was wiped or replaced; it has \
         forgotten what it acknowledged and is not let in; give it back its disk (replacing a node \
         comes with membership changes)", peer.0
    )]
    OtherDisk {
        /// The peer.
        peer: NodeId,
        /// What it showed.
        disk: DiskId,
        /// What it showed at first contact.
        known: DiskId,
    },
    /// A peer came with a disk that is another node's.
    #[error(
        "node {} came with disk {disk}, which is node {}'s: its directory is a copy; start it with \
         an empty --dir", peer.0, owner.0
    )]
    CopiedDisk {
        /// The peer.
        peer: NodeId,
        /// What it showed.
        disk: DiskId,
        /// Whose it is.
        owner: NodeId,
    },
    /// A peer came without a disk id.
    #[error("node {} came without a disk id and is not let in", peer.0)]
    NoDisk {
        /// The peer.
        peer: NodeId,
    },
}

impl DirectoryError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        DirectoryError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// What to do about it, where that is known.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "; free some space on that disk, or give another --dir"
        }
        ErrorKind::PermissionDenied => "; let this user write there, or give another --dir",
        ErrorKind::ReadOnlyFilesystem => "; mount it writable, or give another --dir",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "; a file is in the way: give another --dir"
        }
        _ => "",
    }
}
