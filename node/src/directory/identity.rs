//! The file in which a directory says whose it is.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use consensus::{DiskId, NodeId};
use serde::{Deserialize, Serialize};

use super::error::DirectoryError;
use super::file;
use crate::config::Config;

/// The file.
pub(super) const FILE: &str = "identity.toml";
/// The file while it is being written.
pub(super) const NEW: &str = "identity.toml.new";
/// The version of everything in the directory. A release reads its own and all earlier ones.
const FORMAT: u32 = 1;
const HEADER: &str = "\
# Who this directory belongs to. Lockstep writes this file; editing or copying it can lose
# acknowledged writes.
";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) cluster: u128,
    pub(super) cluster_name: String,
    pub(super) node: NodeId,
    pub(super) disk: DiskId,
    pub(super) boot: u64,
    pub(super) engine: String,
    /// The protocol of each group.
    pub(super) protocols: BTreeMap<u32, String>,
    /// The disks of the peers met so far.
    pub(super) disks: BTreeMap<NodeId, DiskId>,
}

impl Identity {
    /// The identity of a new directory, not started yet and not written yet.
    pub(super) fn format(config: &Config, disk: DiskId) -> Identity {
        Identity {
            cluster: config.cluster.id,
            cluster_name: config.cluster.name.clone(),
            node: config.node,
            disk,
            boot: 0,
            engine: config.engine.name().to_owned(),
            protocols: BTreeMap::from([(0, config.mode.name().to_owned())]),
            disks: BTreeMap::new(),
        }
    }

    /// Whether `directory` has an identity, good or not.
    pub(super) fn exists(directory: &Path) -> Result<bool, DirectoryError> {
        let path = directory.join(FILE);
        path.try_exists()
            .map_err(|source| DirectoryError::io("look at", &path, source))
    }

    /// Reads it; `None` when there is none.
    pub(super) fn read(directory: &Path) -> Result<Option<Identity>, DirectoryError> {
        let path = directory.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DirectoryError::io("read", &path, source)),
        };
        let damaged = |problem: String| DirectoryError::Damaged {
            path: path.clone(),
            problem,
        };
        // The version comes first: a newer file may look different in everything else.
        let version: Version =
            toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        if version.format > FORMAT {
            return Err(DirectoryError::Newer {
                path: directory.to_owned(),
                found: version.format,
                known: FORMAT,
            });
        }
        let stored: Stored =
            toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
        stored
            .identity()
            .map(Some)
            .ok_or_else(|| damaged("an id in it is not one".to_owned()))
    }

    /// Writes it durably.
    pub(super) fn write(&self, directory: &Path) -> Result<(), DirectoryError> {
        let text = toml::to_string(&Stored::of(self)).map_err(|error| DirectoryError::Damaged {
            path: directory.join(FILE),
            problem: error.to_string(),
        })?;
        file::replace(directory, FILE, NEW, &format!("{HEADER}{text}"))
    }

    /// Refuses a directory that `config` does not describe.
    pub(super) fn check(&self, directory: &Path, config: &Config) -> Result<(), DirectoryError> {
        let other = |what, found: String, wanted: String, key| DirectoryError::Other {
            path: directory.to_owned(),
            what,
            found,
            wanted,
            key,
        };
        if self.cluster != config.cluster.id {
            let found = format!("{} ({:032x})", self.cluster_name, self.cluster);
            return Err(other(
                "cluster",
                found,
                config.cluster.to_string(),
                "cluster",
            ));
        }
        if self.node != config.node {
            let (found, wanted) = (self.node.0.to_string(), config.node.0.to_string());
            return Err(other("node", found, wanted, "node"));
        }
        if self.engine != config.engine.name() {
            let wanted = config.engine.name().to_owned();
            return Err(other("engine", self.engine.clone(), wanted, "engine"));
        }
        let protocol = self.protocols.get(&0).map_or("", String::as_str);
        if protocol != config.mode.name() {
            let wanted = config.mode.name().to_owned();
            return Err(other("mode", protocol.to_owned(), wanted, "mode"));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// The file's shape. TOML's integers are signed 64-bit numbers and its keys are texts, so ids are
/// hex texts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    cluster: String,
    cluster_name: String,
    node: u64,
    disk: String,
    boot: u64,
    engine: String,
    #[serde(default)]
    protocols: BTreeMap<String, String>,
    #[serde(default)]
    disks: BTreeMap<String, String>,
}

impl Stored {
    fn of(identity: &Identity) -> Stored {
        let disks = identity.disks.iter();
        let protocols = identity.protocols.iter();
        Stored {
            format: FORMAT,
            cluster: format!("{:032x}", identity.cluster),
            cluster_name: identity.cluster_name.clone(),
            node: identity.node.0,
            disk: identity.disk.to_string(),
            boot: identity.boot,
            engine: identity.engine.clone(),
            protocols: protocols.map(|(g, p)| (g.to_string(), p.clone())).collect(),
            disks: disks
                .map(|(n, d)| (n.0.to_string(), d.to_string()))
                .collect(),
        }
    }

    fn identity(self) -> Option<Identity> {
        let hex = |text: &str| u128::from_str_radix(text, 16).ok();
        let disk = |text: &str| hex(text).filter(|disk| *disk != 0).map(DiskId);
        let mut protocols = BTreeMap::new();
        for (group, protocol) in self.protocols {
            protocols.insert(group.parse().ok()?, protocol);
        }
        let mut disks = BTreeMap::new();
        for (node, text) in &self.disks {
            disks.insert(NodeId(node.parse().ok()?), disk(text)?);
        }
        Some(Identity {
            cluster: hex(&self.cluster)?,
            cluster_name: self.cluster_name,
            node: NodeId(self.node),
            disk: disk(&self.disk)?,
            boot: self.boot,
            engine: self.engine,
            protocols,
            disks,
        })
    }
}
