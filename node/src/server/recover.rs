//! From what the disk holds to a group that can go on: the log, the engine, and how the two fit.
//!
//! The engine may be behind the log, which is then replayed, or ahead of it, when the log was cut and
//! a snapshot had been installed before a crash; the protocol decides which, from what it is told.

use consensus::{Consensus as _, Index, Membership};
use consensus_raft::Raft;
use keyspace::{Keyspace, KeyspaceError};
use replication::{
    Group, RecordError, Replica, SnapshotMeta, StateMachine as _, from_snapshot_meta, to_recovered,
};
use storage::{
    Backend, DirectoryError, EngineError, GroupDirectory, LogError, LogRead, LogStore as _,
    RealDisk, SegmentedLog,
};

use super::event_loop::NodeGroup;
use super::{DATA_GROUP, micros, random};
use crate::config::Config;
use crate::directory::Directory;

/// How much of a snapshot is asked for ahead, in bytes: what arrives during a sync is synced next.
const WINDOW_BYTES: usize = 4 << 20;

/// A node's group and its log, ready to go on.
pub(super) struct Recovered<B: Backend> {
    pub(super) group: NodeGroup<B::Engine>,
    pub(super) log: SegmentedLog<RealDisk>,
    pub(super) files: GroupDirectory<RealDisk, B>,
    /// The newest complete snapshot.
    pub(super) newest: Option<SnapshotMeta>,
}

/// Why what the disk holds cannot be used.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    /// A directory cannot be opened.
    #[error("cannot open {path}: {source}")]
    Disk {
        /// Which.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The log cannot be opened.
    #[error("cannot open the log: {0}")]
    Log(#[from] LogError),
    /// The log holds what this build cannot read.
    #[error("cannot read the log: {0}")]
    Record(#[from] RecordError),
    /// The engine, or the snapshot it starts from, cannot be opened.
    #[error(transparent)]
    Group(#[from] DirectoryError),
    /// An engine cannot be had.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine holds what this build cannot read.
    #[error("cannot open the keys: {0}")]
    Keys(#[from] KeyspaceError),
}

/// Puts the group together from what the disk holds.
pub(super) fn recover<B: Backend>(
    config: &Config,
    directory: &Directory,
    backend: B,
) -> Result<Recovered<B>, RecoverError> {
    let open = |path: &std::path::Path| {
        RealDisk::open(path).map_err(|source| RecoverError::Disk {
            path: path.display().to_string(),
            source,
        })
    };
    let mut log = SegmentedLog::open(open(&directory.log())?, Default::default())?;
    let path = directory.group(DATA_GROUP);
    let files = GroupDirectory::open(open(&path)?, path, DATA_GROUP, backend)?;
    let (engine, _) = files.open_engine()?;
    let newest = newest(&files)?;
    let machine = Keyspace::open(engine)?;
    let applied = machine.applied();
    files.drop_parts(applied.index.0)?;
    let members = match machine.membership() {
        known if known.members.is_empty() => Membership::of_voters(config.members()),
        known => known.clone(),
    };
    let found = log.recovered(DATA_GROUP);
    if found.damaged {
        tracing::error!(
            "the log has lost entries: this node neither votes nor stands for election"
        );
    }
    let mut failed = None;
    let read_one = |index| match log.read(DATA_GROUP, index, index, 0) {
        Ok(LogRead::Records(records)) => records.into_iter().next(),
        Ok(_) => None,
        Err(error) => {
            failed = Some(error);
            None
        }
    };
    let last = Index(found.records.last().map_or(0, |(index, _, _)| *index));
    let recovered = to_recovered(found, members.clone(), applied, read_one)?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    let mut raft = consensus_raft::Config::new(config.node);
    raft.heartbeat_interval = micros(config.heartbeat);
    raft.election_timeout = micros(config.election_timeout);
    raft.disk_patience = micros(config.disk_patience);
    let core = Raft::new(raft, random(), recovered);
    let mut driver = replication::Config::new(config.node, directory.boot());
    driver.hold = micros(config.hold);
    driver.log.kept_bytes = config.log_keep as u64;
    driver.log.persist_bytes = config.persist_after as u64;
    driver.snapshots.window_bytes = WINDOW_BYTES;
    let replica = Replica::new(core, driver, members, applied.index);
    let mut group = Group::new(replica, machine);
    group.replica().log_holds(last, log.disk_bytes());
    Ok(Recovered {
        group,
        log,
        files,
        newest,
    })
}

/// The newest complete snapshot. One that cannot be read is no reason to stop: an engine that needs
/// it has been opened from it by now.
fn newest<B: Backend>(
    files: &GroupDirectory<RealDisk, B>,
) -> Result<Option<SnapshotMeta>, RecoverError> {
    let Some(id) = files.snapshots()?.pop() else {
        return Ok(None);
    };
    match files.meta(id) {
        Ok(meta) => Ok(Some(from_snapshot_meta(&meta)?)),
        Err(error) => {
            tracing::warn!(%error, "the newest snapshot cannot be sent to others");
            Ok(None)
        }
    }
}
