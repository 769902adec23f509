//! A node's directory and the identity in it.
//!
//! A disk gets a random id when its directory is formatted. The id stands in every handshake, and
//! a node remembers the ids of the peers it has met: so a node whose disk was wiped, and which has
//! forgotten what it voted and acknowledged, cannot come back under its old name. A counter of
//! starts tells apart what a node said before and after a crash.
//!
//! ```text
//! DIR/identity.toml   who this is; replaced as a whole, never edited in place
//! DIR/lock            held while a process has the directory open
//! DIR/log/            the segmented log
//! DIR/groups/N/       the engine of group N, and its snapshots
//! ```
//!
//! Invariants: nothing is reported that is not durable: neither the counter of this start nor the
//! binding of a peer's disk; a directory is open in one process at a time; a directory that is not
//! ours, or not this node's, is never written to. Left out: replacing a peer's disk, which needs a
//! change of membership, and repairing an identity, which nobody can guess.

pub(crate) mod error;
pub(crate) mod file;
mod identity;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use consensus::{DiskId, NodeId};
use storage::GroupId;

use crate::config::Config;
pub(crate) use error::DirectoryError;
use identity::Identity;

/// An open directory. Dropping it lets another process open it.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    identity: Identity,
    _lock: file::Lock,
}

impl Directory {
    /// Opens `config.dir`, formatting it if it is new, and counts this start durably.
    ///
    /// Blocks on a few fsyncs, and up to two seconds on a process that is still leaving.
    ///
    /// # Errors
    /// When it belongs to another cluster, node, engine or protocol, to a newer release or to
    /// somebody else; when another process has it open; when the disk refuses.
    pub(crate) fn open(config: &Config) -> Result<Directory, DirectoryError> {
        let path = config.dir.clone();
        file::create_directory(&path)?;
        if !Identity::exists(&path)? {
            // What a node leaves that died while formatting.
            let own = |name: &str| [identity::FILE, identity::NEW, file::LOCK].contains(&name);
            file::refuse_foreign(&path, own)?;
        }
        let lock = file::Lock::take(&path)?;
        let mut identity = match Identity::read(&path)? {
            Some(identity) => identity,
            None => Identity::format(config, random_disk(&path)?),
        };
        identity.check(&path, config)?;
        identity.boot += 1;
        identity.write(&path)?;
        Ok(Directory {
            path,
            identity,
            _lock: lock,
        })
    }

    /// Opens the directory of a node that is not running, to look at it. Counts no start.
    ///
    /// # Errors
    /// When there is no identity in it, or one that cannot be read; when a process has it open.
    pub(crate) fn inspect(path: &Path) -> Result<Directory, DirectoryError> {
        let identity = Identity::read(path)?;
        let identity = identity.ok_or_else(|| DirectoryError::Nobody {
            path: path.to_owned(),
        })?;
        Ok(Directory {
            path: path.to_owned(),
            identity,
            _lock: file::Lock::take(path)?,
        })
    }

    /// Whose it is: the node, its cluster, and the engine.
    pub(crate) fn owner_of(&self) -> (NodeId, &str, &str) {
        let Identity {
            node,
            cluster_name,
            engine,
            ..
        } = &self.identity;
        (*node, cluster_name, engine)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log of all groups goes. May not exist yet.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where the engine and the snapshots of a group go. May not exist yet.
    pub(crate) fn group(&self, group: GroupId) -> PathBuf {
        self.path.join("groups").join(group.0.to_string())
    }

    /// This disk. Never zero.
    pub(crate) fn disk(&self) -> DiskId {
        self.identity.disk
    }

    /// How often the node has been started on this disk, this time included.
    pub(crate) fn boot(&self) -> u64 {
        self.identity.boot
    }

    /// Checks the disk with which `peer` came; the first contact binds it.
    ///
    /// Costs two fsyncs at the first contact ever and nothing afterwards. After an error that says
    /// nothing about the peer the binding is not known to be durable, and the peer must be refused.
    ///
    /// # Errors
    /// When the peer came with another disk before, with the disk of another node or with none;
    /// when the binding cannot be written.
    pub(crate) fn meet(&mut self, peer: NodeId, disk: DiskId) -> Result<(), DirectoryError> {
        if disk == DiskId::default() {
            return Err(DirectoryError::NoDisk { peer });
        }
        match self.identity.disks.get(&peer) {
            Some(known) if *known == disk => return Ok(()),
            Some(known) => {
                let known = *known;
                return Err(DirectoryError::OtherDisk { peer, disk, known });
            }
            None => {}
        }
        if let Some(owner) = self.owner(disk) {
            return Err(DirectoryError::CopiedDisk { peer, disk, owner });
        }
        self.identity.disks.insert(peer, disk);
        if let Err(error) = self.identity.write(&self.path) {
            self.identity.disks.remove(&peer);
            return Err(error);
        }
        Ok(())
    }

    /// The node that is known to have `disk`.
    fn owner(&self, disk: DiskId) -> Option<NodeId> {
        let own = (&self.identity.node, &self.identity.disk);
        let mut known = self.identity.disks.iter().chain([own]);
        known
            .find(|(_, known)| **known == disk)
            .map(|(node, _)| *node)
    }
}

fn random_disk(path: &Path) -> Result<DiskId, DirectoryError> {
    let mut bytes = [0; 16];
    loop {
        // Up to 256 bytes come at once or not at all.
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|error| DirectoryError::io("draw a random disk id for", path, error.into()))?;
        let disk = DiskId(u128::from_le_bytes(bytes));
        if disk != DiskId::default() {
            return Ok(disk);
        }
    }
}
