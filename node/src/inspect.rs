//! `lockstep inspect`: what is on the disk of a node that is not running.
//!
//! It takes the directory's lock, so that nothing moves while it looks. The log is only read: what a
//! start would cut or copy stays as it is. A group's own directory is opened as a start would open
//! it, as far as this binary was built with its engine, to ask how far that has applied.

use std::fmt;
use std::path::Path;

use consensus::Position;
use keyspace::Keyspace;
use replication::StateMachine as _;
use serde::Serialize;
use storage::{
    Backend, Damage, GroupDirectory, GroupId, LogReport, Loss, MemoryBackend, RealDisk,
    RecoveredLog, SegmentedLog,
};

use crate::directory::{Directory, DirectoryError};

/// How much of a snapshot is read at once.
const READ_BYTES: usize = 1 << 20;

/// What a node's directory holds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    node: u64,
    cluster: String,
    disk: String,
    /// How often the node was started on this disk.
    boot: u64,
    engine: String,
    segments: Vec<Segment>,
    groups: Vec<Group>,
    /// Where the disk does not hold what was written, and what cannot be read at all; each with what
    /// to do about it.
    damage: Vec<String>,
    /// What looks like damage and is none.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Segment {
    file: String,
    bytes: u64,
    first_batch: u64,
}

/// One group's part.
#[derive(Debug, Serialize)]
struct Group {
    group: u32,
    /// The protocol's own state, in its words.
    hard_state: String,
    /// The last index that is purged.
    purged: u64,
    first: Option<u64>,
    last: Option<u64>,
    records: usize,
    /// Something acknowledged is lost, and not made up for.
    damaged: bool,
    /// Complete snapshots, ascending.
    snapshots: Vec<Snapshot>,
    /// The last entry that the engine holds durably; from the newest snapshot if the engine keeps
    /// nothing itself.
    applied: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Snapshot {
    file: String,
    index: u64,
    bytes: u64,
}

/// Looks into `path`.
///
/// # Errors
/// When it is no node's directory, or a node is running on it.
pub(crate) fn inspect(path: &Path) -> Result<Report, DirectoryError> {
    let directory = Directory::inspect(path)?;
    let (node, cluster, engine) = directory.owner_of();
    let mut report = Report {
        node: node.0,
        cluster: cluster.to_owned(),
        disk: directory.disk().to_string(),
        boot: directory.boot(),
        engine: engine.to_owned(),
        segments: Vec::new(),
        groups: Vec::new(),
        damage: Vec::new(),
        notes: Vec::new(),
    };
    let log = open(&directory.log()).and_then(|disk| {
        let read = SegmentedLog::inspect(&disk);
        read.map_err(|error| error.to_string())
    });
    match log {
        Ok(log) => report.log(&directory, &log),
        Err(error) => report.damage.push(error),
    }
    Ok(report)
}

fn open(path: &Path) -> Result<RealDisk, String> {
    if !path.is_dir() {
        return Err(format!("{} is missing", path.display()));
    }
    RealDisk::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

impl Report {
    /// Whether anything is damaged, a torn tail excepted.
    pub(crate) fn is_damaged(&self) -> bool {
        !self.damage.is_empty() || self.groups.iter().any(|group| group.damaged)
    }

    fn log(&mut self, directory: &Directory, log: &LogReport) {
        self.segments = (log.segments.iter())
            .map(|segment| Segment {
                file: segment.file.clone(),
                bytes: segment.bytes,
                first_batch: segment.first_batch,
            })
            .collect();
        for damage in &log.damage {
            match describe(damage) {
                (true, text) => self.damage.push(text),
                (false, text) => self.notes.push(text),
            }
        }
        for (group, log) in &log.groups {
            let found = self.group(directory, *group, log);
            self.groups.push(found);
        }
    }

    fn group(&mut self, directory: &Directory, group: GroupId, log: &RecoveredLog) -> Group {
        let state = log.hard_state.as_deref();
        let state = state.map(consensus_raft::describe_hard_state);
        let hard_state = match state {
            Some(Some(state)) => state,
            Some(None) => "unreadable".to_owned(),
            None => "none".to_owned(),
        };
        let index = |record: Option<&(u64, storage::Epoch, u8)>| record.map(|(index, ..)| *index);
        let mut found = Group {
            group: group.0,
            hard_state,
            purged: log.purged.0,
            first: index(log.records.first()),
            last: index(log.records.last()),
            records: log.records.len(),
            damaged: log.damaged,
            snapshots: Vec::new(),
            applied: None,
        };
        let path = directory.group(group);
        let files = match self.engine.as_str() {
            #[cfg(feature = "rocksdb")]
            "rocksdb" => storage::RocksResources::new(64 << 20)
                .map_err(|error| error.to_string())
                .and_then(|resources| files(&path, group, storage::RocksBackend::new(resources))),
            #[cfg(feature = "fjall")]
            "fjall" => files(&path, group, storage::FjallBackend::new(64 << 20)),
            "memory" => files(&path, group, MemoryBackend),
            other => Err(format!("this binary was built without the engine {other}")),
        };
        match files {
            Ok(files) => {
                found.snapshots = files.snapshots;
                found.applied = files.applied.map(|applied| applied.index.0);
                self.damage.extend(files.damage);
            }
            Err(error) => self.damage.push(error),
        }
        found
    }
}

/// What a group's directory holds.
#[derive(Default)]
struct Files {
    snapshots: Vec<Snapshot>,
    applied: Option<Position>,
    damage: Vec<String>,
}

/// Reads every snapshot to its end, and asks the engine how far it has applied.
fn files<B: Backend>(path: &Path, group: GroupId, backend: B) -> Result<Files, String> {
    let opened = GroupDirectory::open(open(path)?, path, group, backend);
    let directory = opened.map_err(|error| error.to_string())?;
    let ids = directory.snapshots().map_err(|error| error.to_string())?;
    let mut files = Files::default();
    for id in ids {
        let whole = directory.meta(id).and_then(|meta| {
            let mut rows = directory.rows(id)?;
            while rows.next_rows(READ_BYTES, &mut |_, _| {})? {}
            Ok(meta)
        });
        match whole {
            Ok(meta) => files.snapshots.push(Snapshot {
                file: id.file(),
                index: id.index,
                bytes: meta.bytes,
            }),
            Err(error) => files.damage.push(error.to_string()),
        }
    }
    let applied = directory
        .open_engine()
        .map_err(|error| error.to_string())
        .and_then(|(engine, _)| Keyspace::open(engine).map_err(|error| error.to_string()));
    match applied {
        Ok(keys) => files.applied = Some(keys.applied()),
        // A snapshot that the engine starts from was complained of before.
        Err(error) if files.damage.contains(&error) => {}
        Err(error) => files.damage.push(error),
    }
    Ok(files)
}

/// A sentence, and whether it is about damage: the end of a write of which nobody was told is none.
fn describe(damage: &Damage) -> (bool, String) {
    let Damage {
        file,
        offset,
        bytes,
        loss,
        ..
    } = damage;
    let lost = match loss {
        Loss::TornTail => {
            let text = format!(
                "{file} at byte {offset}, {bytes} bytes: the end of a write that a crash \
                 interrupted; nobody was told that it is there, and the next start cuts it"
            );
            return (false, text);
        }
        Loss::Payload { group, index: 0 } => format!("the hard state of {group}"),
        Loss::Payload { group, index } => format!("entry {index} of {group}"),
        Loss::Unknown {
            groups: Some(groups),
        } if !groups.is_empty() => {
            let groups: Vec<_> = groups.iter().map(ToString::to_string).collect();
            format!("anything of {}", groups.join(", "))
        }
        _ => "anything of any group".to_owned(),
    };
    let text = format!(
        "{file} at byte {offset}, {bytes} bytes do not read as they were written: {lost} may be \
         lost. Start the node while the others are up: it neither votes nor leads until they have \
         repaired it"
    );
    (true, text)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "node {} of cluster {}, disk {}, started {} times, engine {}",
            self.node, self.cluster, self.disk, self.boot, self.engine
        )?;
        writeln!(f, "log: {} segments", self.segments.len())?;
        for segment in &self.segments {
            writeln!(
                f,
                "  {}  {:>10} bytes, from batch {}",
                segment.file, segment.bytes, segment.first_batch
            )?;
        }
        for group in &self.groups {
            write!(f, "group {}: {}", group.group, group.hard_state)?;
            writeln!(f, "{}", if group.damaged { ", DAMAGED" } else { "" })?;
            let range = match (group.first, group.last) {
                (Some(first), Some(last)) => format!("{first} to {last}"),
                _ => "none".to_owned(),
            };
            let (records, purged) = (group.records, group.purged);
            writeln!(f, "  entries {range} ({records}), purged to {purged}")?;
            match group.applied {
                Some(applied) => writeln!(f, "  the engine holds everything to {applied}")?,
                None => writeln!(f, "  the engine cannot be read")?,
            }
            for snapshot in &group.snapshots {
                let Snapshot { file, index, bytes } = snapshot;
                writeln!(f, "  snapshot to {index}, {bytes} bytes: {file}")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        match self.damage.as_slice() {
            [] => write!(f, "no damage"),
            damage => {
                write!(f, "DAMAGE:")?;
                damage.iter().try_for_each(|one| write!(f, "\n  {one}"))
            }
        }
    }
}
