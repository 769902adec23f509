//! A group's directory: which engine counts, and the snapshots.
//!
//! ```text
//! current                which engine counts, and of which kind it is
//! engine-8/              the engine's own; nothing for one that keeps nothing
//! ID.snapshot            complete snapshots; the newest is what a memory engine starts from
//! ID.part                a snapshot being received
//! *.tmp                  something being written; means nothing
//! lock                   held while a process has the directory open
//! ```
//!
//! A snapshot is installed by filling a new engine beside the old one, and then replacing `current`:
//! a crash at any point leaves exactly one that counts, and whole. What is left over of the other is
//! removed at the next opening.
//!
//! Everything but the engines' own files goes through [`Disk`](crate::Disk). Nothing in here runs by
//! itself: whoever hosts it decides when snapshots are made, and which are kept.

mod pointer;

pub use pointer::Current;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::pointer::Found;
use crate::backend::Backend;
use crate::disk::Disk;
use crate::engine::{Engine, EngineError};
use crate::log::{Epoch, GroupId};
use crate::snapshot::{
    IncomingSnapshot, OutgoingSnapshot, PART, SNAPSHOT, SnapshotError, SnapshotId, SnapshotMeta,
    SnapshotReader, SnapshotWriter, WRITING, read_meta,
};

const LOCK: &str = "lock";
const TEMPORARY: &str = ".tmp";

/// The open directory of one group. Dropping it lets another process open it.
#[derive(Debug)]
pub struct GroupDirectory<D: Disk, B: Backend> {
    disk: D,
    path: PathBuf,
    backend: B,
    current: Current,
    _lock: D::Lock,
}

/// Why a group's directory could not be opened, or a snapshot installed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The disk failed.
    #[error(
        "the directory of {group} could not be {action}: {source}. Look at the disk (space, kernel \
         log), then start the node again: what counted before counts still"
    )]
    Io {
        /// Whose directory.
        group: GroupId,
        /// What was to be done to it.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "another process has the directory of {group} open; two would destroy it. Stop the other \
         process, or give this node a directory of its own"
    )]
    Locked {
        /// Whose directory.
        group: GroupId,
    },
    /// The pointer is not what was written.
    #[error(
        "the file \"current\" in the directory of {group} is damaged, and without it nobody knows \
         which engine counts. Nothing was changed. Restore it from a copy of this very node, or \
         empty the node's directory and let it join again under a new disk id"
    )]
    Damaged {
        /// Whose directory it should be.
        group: GroupId,
    },
    /// It was written by a version that came after this one.
    #[error(
        "the directory of {group} is of format {found} ({what}), this version knows format \
         {supported}; start the version that wrote it"
    )]
    Version {
        /// Whose directory.
        group: GroupId,
        /// What is of that format: the directory, or the engine in it.
        what: String,
        /// The format it names.
        found: u32,
        /// The format this version knows.
        supported: u32,
    },
    /// It belongs to another group.
    #[error(
        "this is the directory of {found}, not of {group}; nothing was changed. Put the right \
         directory in its place"
    )]
    OtherGroup {
        /// Whose it should be.
        group: GroupId,
        /// Whose it is.
        found: GroupId,
    },
    /// It was made by another engine.
    #[error(
        "the directory of {group} was made by the engine {found:?}, and this node is configured for \
         {wanted:?}; nothing was changed. Start it with engine {found:?}, or empty the node's \
         directory and let it join again under a new disk id: then it fetches its data with the \
         new engine"
    )]
    OtherEngine {
        /// Whose directory.
        group: GroupId,
        /// The engine that made it.
        found: String,
        /// The engine that was to open it.
        wanted: &'static str,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A snapshot could not be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl<D: Disk, B: Backend> GroupDirectory<D, B> {
    /// Opens the directory of `group`, which `disk` and `path` both name, and makes it the
    /// backend's if it is new. What an interrupted installation or writing has left is removed.
    ///
    /// # Errors
    /// It is another group's or another engine's, of a later version, damaged, or open already; or
    /// the disk failed.
    pub fn open(
        disk: D,
        path: impl Into<PathBuf>,
        group: GroupId,
        backend: B,
    ) -> Result<Self, DirectoryError> {
        let failed = |action| {
            move |source| DirectoryError::Io {
                group,
                action,
                source,
            }
        };
        let lock = disk.lock(LOCK).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => DirectoryError::Locked { group },
            _ => failed("locked")(source),
        })?;
        let current = match Current::read(&disk).map_err(failed("read"))? {
            Found::Current(current) => current,
            Found::Nothing => {
                let current = Current {
                    group,
                    engine: backend.name().to_owned(),
                    engine_format: backend.format(),
                    number: 1,
                };
                refuse_to_guess(&disk, group)?;
                current.write(&disk).map_err(failed("formatted"))?;
                current
            }
            Found::Format(found) => {
                return Err(DirectoryError::Version {
                    group,
                    what: "the directory".to_owned(),
                    found,
                    supported: 1,
                });
            }
            Found::Damage => return Err(DirectoryError::Damaged { group }),
        };
        check(&current, group, &backend)?;
        let directory = GroupDirectory {
            disk,
            path: path.into(),
            backend,
            current,
            _lock: lock,
        };
        directory.tidy()?;
        Ok(directory)
    }

    /// Reads what a directory says about itself, locking and changing nothing: for inspection.
    /// `None` if it says nothing.
    ///
    /// # Errors
    /// The disk failed, or what is there is damaged or of a later version.
    pub fn inspect(disk: &D, group: GroupId) -> Result<Option<Current>, DirectoryError> {
        match Current::read(disk) {
            Ok(Found::Current(current)) => Ok(Some(current)),
            Ok(Found::Nothing) => Ok(None),
            Ok(Found::Damage) => Err(DirectoryError::Damaged { group }),
            Ok(Found::Format(found)) => Err(DirectoryError::Version {
                group,
                what: "the directory".to_owned(),
                found,
                supported: 1,
            }),
            Err(source) => Err(DirectoryError::Io {
                group,
                action: "read",
                source,
            }),
        }
    }

    /// Which engine counts.
    #[must_use]
    pub fn current(&self) -> &Current {
        &self.current
    }

    /// Where it stands.
    #[must_use]
    pub fn disk(&self) -> &D {
        &self.disk
    }

    fn engine_path(&self, number: u64) -> PathBuf {
        self.path.join(format!("engine-{number}"))
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> DirectoryError + use<D, B> {
        let group = self.current.group;
        move |source| DirectoryError::Io {
            group,
            action,
            source,
        }
    }

    /// Removes what means nothing: temporary files, and the engines before and after the one that
    /// counts, of which an installation leaves at most one. And makes the names that stay durable: a
    /// process that ended between a renaming and its sync has left one that the next power loss
    /// takes away, and what is found here is counted on from now on.
    fn tidy(&self) -> Result<(), DirectoryError> {
        let failed = self.failed("tidied");
        for name in self.disk.list().map_err(&failed)? {
            if name.ends_with(TEMPORARY) {
                self.disk.remove(&name).map_err(&failed)?;
            }
        }
        let number = self.current.number;
        for other in [number.saturating_sub(1), number.saturating_add(1)] {
            if other != number {
                self.backend.remove(&self.engine_path(other))?;
            }
        }
        self.disk.sync_dir().map_err(&failed)
    }

    /// Opens the engine that counts. One that keeps nothing is filled from the newest snapshot,
    /// whose id is given back.
    ///
    /// # Errors
    /// The engine failed; or that snapshot is damaged, and an older one would lack what the log has
    /// let go.
    pub fn open_engine(&self) -> Result<(B::Engine, Option<SnapshotId>), DirectoryError> {
        let path = self.engine_path(self.current.number);
        let mut engine = self.backend.open(&path)?;
        // It may be new, and what it says it keeps must outlast the power.
        settle(&path).map_err(self.failed("given an engine"))?;
        self.disk
            .sync_dir()
            .map_err(self.failed("given an engine"))?;
        if self.backend.keeps() {
            return Ok((engine, None));
        }
        let newest = self.snapshots()?.pop();
        if let Some(id) = newest {
            self.fill(&mut engine, id)?;
        }
        Ok((engine, newest))
    }

    fn fill(&self, engine: &mut B::Engine, id: SnapshotId) -> Result<(), DirectoryError> {
        let mut reader = SnapshotReader::open(&self.disk, self.current.group, id)?;
        engine.load(&mut reader).map_err(|error| {
            // What is wrong with the snapshot says more than that the engine could not load it.
            error
                .downcast::<SnapshotError>()
                .map_or_else(DirectoryError::Engine, DirectoryError::Snapshot)
        })
    }

    /// Fills a new engine from a complete snapshot and makes it the one that counts, durably. The
    /// engine before it stays until [`retire`](Self::retire).
    ///
    /// # Errors
    /// The snapshot is damaged or not there, the engine or the disk failed. The engine before
    /// counts, except when only the last sync failed: then nobody knows, and the process must end.
    pub fn install(&mut self, id: SnapshotId) -> Result<B::Engine, DirectoryError> {
        let number = self.current.number + 1;
        let path = self.engine_path(number);
        self.backend.remove(&path)?;
        let filled = self.backend.open(&path).map_err(DirectoryError::Engine);
        let filled = filled.and_then(|mut engine| self.fill(&mut engine, id).map(|()| engine));
        let engine = match filled {
            Ok(engine) => engine,
            Err(error) => {
                // Of two failures the first is the one to report.
                let _ = self.backend.remove(&path);
                return Err(error);
            }
        };
        let failed = self.failed("given its new engine");
        // The engine's directory must be there, with all it holds, before the name that points to it.
        settle(&path).map_err(&failed)?;
        self.disk.sync_dir().map_err(&failed)?;
        let current = Current {
            number,
            ..self.current.clone()
        };
        current.write(&self.disk).map_err(&failed)?;
        self.current = current;
        Ok(engine)
    }

    /// Removes the engine that an installation has replaced, once nobody has it open any more.
    ///
    /// # Errors
    /// The engine failed; the next opening tries again.
    pub fn retire(&self) -> Result<(), DirectoryError> {
        let before = self.current.number - 1;
        Ok(self.backend.remove(&self.engine_path(before))?)
    }

    /// The complete snapshots, ascending by index.
    ///
    /// # Errors
    /// The disk failed.
    pub fn snapshots(&self) -> Result<Vec<SnapshotId>, DirectoryError> {
        self.ids(SNAPSHOT)
    }

    fn ids(&self, ending: &str) -> Result<Vec<SnapshotId>, DirectoryError> {
        let names = self.disk.list().map_err(self.failed("listed"))?;
        let names = names.iter().filter_map(|name| name.strip_suffix(ending));
        let mut ids: Vec<_> = names.filter_map(SnapshotId::parse).collect();
        ids.sort();
        Ok(ids)
    }

    /// What a complete snapshot says it is.
    ///
    /// # Errors
    /// There is none, or it cannot be read, or is not what its name says.
    pub fn meta(&self, id: SnapshotId) -> Result<SnapshotMeta, SnapshotError> {
        read_meta(&self.disk, self.current.group, id)
    }

    /// Begins to write a snapshot as of (index, epoch), which
    /// [`SnapshotWriter::finish`] completes.
    ///
    /// # Errors
    /// The disk failed.
    pub fn begin_snapshot(
        &self,
        at: (u64, Epoch),
        membership: Bytes,
    ) -> Result<SnapshotWriter<D>, SnapshotError> {
        SnapshotWriter::begin(&self.disk, self.current.group, at, membership)
    }

    /// Removes what an unfinished snapshot has left; none is fine. The next one would replace it, but
    /// a disk that is full needs the room now. Not while one is being written.
    ///
    /// # Errors
    /// The disk failed.
    pub fn abandon_snapshot(&self) -> Result<(), DirectoryError> {
        self.remove_file(WRITING)
    }

    /// Opens a complete snapshot to send it.
    ///
    /// # Errors
    /// There is none, or it cannot be read, or is not what its name says.
    pub fn outgoing(&self, id: SnapshotId) -> Result<OutgoingSnapshot<D>, SnapshotError> {
        OutgoingSnapshot::open(&self.disk, self.current.group, id)
    }

    /// Opens a complete snapshot to read its rows.
    ///
    /// # Errors
    /// There is none, or it cannot be read, or is not what its name says.
    pub fn rows(&self, id: SnapshotId) -> Result<SnapshotReader<D>, SnapshotError> {
        SnapshotReader::open(&self.disk, self.current.group, id)
    }

    /// Goes on receiving this snapshot, or begins. Parts of others are removed: only the last one
    /// offered is of use. Look first whether it is among the complete ones: a crash may have come
    /// between completing and installing it.
    ///
    /// # Errors
    /// The disk failed.
    pub fn incoming(&self, meta: SnapshotMeta) -> Result<IncomingSnapshot<D>, DirectoryError> {
        for id in self.ids(PART)?.into_iter().filter(|id| *id != meta.id) {
            self.remove_file(&format!("{id}{PART}"))?;
        }
        Ok(IncomingSnapshot::open(&self.disk, meta)?)
    }

    /// Removes the parts of snapshots up to `index`: a state machine that stands there needs none of
    /// them.
    ///
    /// # Errors
    /// The disk failed.
    pub fn drop_parts(&self, index: u64) -> Result<(), DirectoryError> {
        let useless = self.ids(PART)?.into_iter().filter(|id| id.index <= index);
        for id in useless {
            self.remove_file(&format!("{id}{PART}"))?;
        }
        Ok(())
    }

    /// Removes a snapshot, complete or in part; none is fine.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove_snapshot(&self, id: SnapshotId) -> Result<(), DirectoryError> {
        self.remove_file(&id.file())?;
        self.remove_file(&format!("{id}{PART}"))
    }

    fn remove_file(&self, name: &str) -> Result<(), DirectoryError> {
        match self.disk.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("tidied")(error))
            }
            _ => Ok(()),
        }
    }
}

/// Makes the names durable that an engine has made in its own directory: what is below them the engine
/// syncs itself. One without a directory is fine.
fn settle(engine: &Path) -> io::Result<()> {
    match fs::File::open(engine) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        directory => directory?.sync_all(),
    }
}

/// A directory without a pointer may be new; one that holds snapshots is not.
fn refuse_to_guess<D: Disk>(disk: &D, group: GroupId) -> Result<(), DirectoryError> {
    let names = disk.list().map_err(|source| DirectoryError::Io {
        group,
        action: "listed",
        source,
    })?;
    let ours = |name: &String| {
        name.ends_with(SNAPSHOT) || name.ends_with(PART) || name.starts_with("engine-")
    };
    if names.iter().any(ours) {
        return Err(DirectoryError::Damaged { group });
    }
    Ok(())
}

/// Whether the directory belongs to whoever opens it.
fn check<B: Backend>(current: &Current, group: GroupId, backend: &B) -> Result<(), DirectoryError> {
    if current.group != group {
        return Err(DirectoryError::OtherGroup {
            group,
            found: current.group,
        });
    }
    if current.engine != backend.name() {
        return Err(DirectoryError::OtherEngine {
            group,
            found: current.engine.clone(),
            wanted: backend.name(),
        });
    }
    if current.engine_format != backend.format() {
        return Err(DirectoryError::Version {
            group,
            what: format!("the engine {}", current.engine),
            found: current.engine_format,
            supported: backend.format(),
        });
    }
    Ok(())
}
