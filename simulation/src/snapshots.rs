//! The snapshots of a node: what its event loop and its snapshot thread do with files, as something
//! that takes time. Jobs are carried out one after the other, each some time after the one before;
//! what they report is seen at the next turn. The files are real, over a simulated disk.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::{Micros, NodeId};
use replication::{
    Group, InstallFailure, Replica, SnapshotId, SnapshotMeta, SnapshotTask, StateMachine,
    from_snapshot_meta, to_snapshot_id, to_snapshot_meta, to_snapshot_start,
};
use storage::{
    DirectoryError, Frozen, GroupDirectory, IncomingSnapshot, MemoryBackend, MemoryDisk,
    MemoryEngine, RowBuffer, SnapshotError, SnapshotWriter, ViewId,
};

use crate::log_writer::GROUP;

/// How much of a frozen view is read in one turn, in bytes: little, so that it takes many.
const SLICE_BYTES: usize = 512;
/// How often, in microseconds.
const SLICE_EVERY: Micros = Micros(1_000);

/// A group's directory in the simulation.
pub(crate) type Directory = GroupDirectory<MemoryDisk, MemoryBackend>;

/// What a job has come to.
pub(crate) enum SnapshotEvent {
    Written(SnapshotMeta),
    WriteFailed,
    Read {
        to: NodeId,
        id: SnapshotId,
        offset: u64,
        bytes: Option<Bytes>,
    },
    Opened(SnapshotId, u64),
    Stored(SnapshotId, u64),
    ReceiveFailed(SnapshotId),
    Installed(SnapshotMeta, MemoryEngine),
    InstallFailed(SnapshotId, InstallFailure),
    Lost(SnapshotId),
    /// The process must end.
    Fatal(String),
}

impl SnapshotEvent {
    /// What it is, for lines and counts.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            SnapshotEvent::Written(_) => "written",
            SnapshotEvent::WriteFailed => "not written",
            SnapshotEvent::Read { .. } => "read to be sent",
            SnapshotEvent::Opened(..) => "to be received",
            SnapshotEvent::Stored(..) => "received further",
            SnapshotEvent::ReceiveFailed(_) => "not received",
            SnapshotEvent::Installed(..) => "installed",
            SnapshotEvent::InstallFailed(..) => "not installed",
            SnapshotEvent::Lost(_) => "lost",
            SnapshotEvent::Fatal(_) => "in an unknown state",
        }
    }
}

enum Job {
    Begin(consensus::Position, consensus::Membership),
    Rows(RowBuffer),
    Finish,
    Task(SnapshotTask),
    Keep(Vec<SnapshotId>),
}

/// See the module's head.
pub(crate) struct Snapshots {
    directory: Directory,
    newest: Option<SnapshotMeta>,
    /// The view that is being written, and when its next slice is due.
    reading: Option<(ViewId, Micros)>,
    /// Between freezing a view and the end of the file.
    under_way: bool,
    writing: Option<SnapshotWriter<MemoryDisk>>,
    receiving: Option<(SnapshotId, IncomingSnapshot<MemoryDisk>)>,
    wanted: bool,
    kept: Vec<SnapshotId>,
    jobs: VecDeque<Job>,
    /// A snapshot is due when the log is this much ahead, in bytes.
    after_bytes: u64,
}

impl Snapshots {
    /// Opens what a disk holds: the engine that the newest snapshot fills.
    ///
    /// The error is what the process says when it refuses to start.
    pub(crate) fn open(disk: MemoryDisk, after_bytes: u64) -> Result<(Self, MemoryEngine), String> {
        let directory = GroupDirectory::open(disk, "", GROUP, MemoryBackend);
        let directory = directory.map_err(|error| error.to_string())?;
        let (engine, _) = directory.open_engine().map_err(|error| error.to_string())?;
        let newest = directory
            .snapshots()
            .map_err(|error| error.to_string())?
            .pop();
        let newest = newest.and_then(|id| from_snapshot_meta(&directory.meta(id).ok()?).ok());
        let snapshots = Snapshots {
            directory,
            newest,
            reading: None,
            under_way: false,
            writing: None,
            receiving: None,
            wanted: false,
            kept: Vec::new(),
            jobs: VecDeque::new(),
            after_bytes,
        };
        Ok((snapshots, engine))
    }

    /// Tells a driver that has just started what is durable.
    pub(crate) fn begin<C: consensus::Consensus, T: Copy>(
        &self,
        now: Micros,
        replica: &mut Replica<C, T>,
    ) {
        self.set_size(replica);
        if let Some(newest) = &self.newest {
            replica.durable(now, newest.index());
        }
    }

    fn set_size<C: consensus::Consensus, T: Copy>(&self, replica: &mut Replica<C, T>) {
        let size = self.newest.as_ref().map_or(0, |newest| newest.bytes);
        replica.persist_after(self.after_bytes.max(size * 2));
    }

    /// Does what the driver asks for, or plans it.
    pub(crate) fn task<C: consensus::Consensus, M: StateMachine, T: Copy>(
        &mut self,
        now: Micros,
        group: &mut Group<C, M, T>,
        task: SnapshotTask,
    ) -> Result<(), M::Error> {
        match (task, &self.newest) {
            (SnapshotTask::Take { at_least }, Some(newest)) if newest.index() >= at_least => {
                group.replica().snapshot_ready(now, newest);
            }
            (SnapshotTask::Take { .. }, _) => {
                self.wanted = true;
                self.write(now, group)?;
            }
            (SnapshotTask::Persist, _) => self.write(now, group)?,
            (task, _) => self.jobs.push_back(Job::Task(task)),
        }
        Ok(())
    }

    fn write<C: consensus::Consensus, M: StateMachine, T: Copy>(
        &mut self,
        now: Micros,
        group: &mut Group<C, M, T>,
    ) -> Result<(), M::Error> {
        if self.under_way {
            return Ok(());
        }
        let members = group.view().membership().clone();
        let at = group.machine().applied();
        if let Some(Frozen::Within(view)) = group.machine_mut().freeze()? {
            self.under_way = true;
            self.reading = Some((view, now));
            self.jobs.push_back(Job::Begin(at, members));
        }
        Ok(())
    }

    /// Reads on in the view that is being written, if it is time.
    pub(crate) fn slice<M: StateMachine>(
        &mut self,
        now: Micros,
        machine: &mut M,
    ) -> Result<(), M::Error> {
        let Some((view, due)) = self.reading.filter(|(_, due)| *due <= now) else {
            return Ok(());
        };
        let mut rows = RowBuffer::default();
        let more =
            machine.read_frozen(view, SLICE_BYTES, &mut |key, value| rows.push(key, value))?;
        self.jobs.push_back(Job::Rows(rows));
        self.reading = more.then_some((view, due.max(now) + SLICE_EVERY));
        if !more {
            machine.thaw(view);
            self.jobs.push_back(Job::Finish);
        }
        Ok(())
    }

    /// When the next slice is due.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        self.reading.map(|(_, due)| due)
    }

    /// Says which files are needed, if that has changed.
    pub(crate) fn look<C: consensus::Consensus, T: Copy>(&mut self, replica: &Replica<C, T>) {
        let needed: Vec<_> = replica.snapshots_in_use().collect();
        if needed != self.kept {
            self.kept.clone_from(&needed);
            self.jobs.push_back(Job::Keep(needed));
        }
    }

    /// Whether the next thing to do is to make an engine of a snapshot.
    pub(crate) fn is_to_install(&self) -> bool {
        matches!(
            self.jobs.front(),
            Some(Job::Task(SnapshotTask::Install { .. }))
        )
    }

    /// Whether there is something to do for the disk.
    pub(crate) fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Takes a report. An engine that was installed comes back.
    pub(crate) fn take<C: consensus::Consensus, M: StateMachine, T: Copy>(
        &mut self,
        now: Micros,
        group: &mut Group<C, M, T>,
        event: SnapshotEvent,
    ) -> Result<Option<MemoryEngine>, String> {
        let replica = group.replica();
        match event {
            SnapshotEvent::Written(meta) => {
                self.under_way = false;
                if std::mem::take(&mut self.wanted) {
                    replica.snapshot_ready(now, &meta);
                }
                replica.durable(now, meta.index());
                self.renew(replica, meta);
            }
            SnapshotEvent::WriteFailed => {
                self.under_way = false;
                if std::mem::take(&mut self.wanted) {
                    replica.snapshot_failed(now);
                }
                if let Some((view, _)) = self.reading.take() {
                    group.machine_mut().thaw(view);
                }
            }
            SnapshotEvent::Read {
                to,
                id,
                offset,
                bytes,
            } => replica.snapshot_read(now, to, id, offset, bytes),
            SnapshotEvent::Opened(id, stored) => replica.incoming_opened(now, id, stored),
            SnapshotEvent::Stored(id, upto) => replica.chunk_stored(now, id, upto),
            SnapshotEvent::ReceiveFailed(id) => replica.incoming_failed(id),
            SnapshotEvent::InstallFailed(id, why) => replica.install_failed(now, id, why),
            SnapshotEvent::Installed(meta, engine) => {
                // The view was of the engine that goes.
                self.reading = None;
                if std::mem::take(&mut self.under_way) && std::mem::take(&mut self.wanted) {
                    replica.snapshot_failed(now);
                }
                self.writing = None;
                self.renew(replica, meta);
                return Ok(Some(engine));
            }
            SnapshotEvent::Lost(id) => {
                self.newest.take_if(|newest| newest.id == id);
            }
            SnapshotEvent::Fatal(why) => return Err(why),
        }
        Ok(None)
    }

    fn renew<C: consensus::Consensus, T: Copy>(
        &mut self,
        replica: &mut Replica<C, T>,
        newest: SnapshotMeta,
    ) {
        self.newest = Some(newest);
        self.set_size(replica);
        self.kept = replica.snapshots_in_use().collect();
        self.jobs.push_back(Job::Keep(self.kept.clone()));
    }

    /// Carries out the oldest job.
    pub(crate) fn work(&mut self, events: &mut Vec<SnapshotEvent>) {
        let Some(job) = self.jobs.pop_front() else {
            return;
        };
        let done = match job {
            Job::Begin(at, members) => {
                let (at, members) = to_snapshot_start(at, &members);
                let begun = self.directory.begin_snapshot(at, members);
                begun.map(|writer| self.writing = Some(writer))
            }
            Job::Rows(rows) => match &mut self.writing {
                Some(writer) => writer.rows(&rows),
                None => Ok(()),
            },
            Job::Finish => match self.writing.take() {
                Some(writer) => writer.finish(self.directory.disk()).map(|meta| {
                    if let Ok(meta) = from_snapshot_meta(&meta) {
                        events.push(SnapshotEvent::Written(meta));
                    }
                }),
                None => Ok(()),
            },
            Job::Task(task) => {
                self.file_task(task, events);
                Ok(())
            }
            Job::Keep(needed) => {
                let needed: Vec<_> = needed.into_iter().map(to_snapshot_id).collect();
                let mut all = self.directory.snapshots().unwrap_or_default();
                all.pop();
                for id in all.into_iter().filter(|id| !needed.contains(id)) {
                    // It stays for now.
                    let _ = self.directory.remove_snapshot(id);
                }
                Ok(())
            }
        };
        if done.is_err() {
            self.writing = None;
            self.jobs
                .retain(|job| !matches!(job, Job::Rows(_) | Job::Finish));
            events.push(SnapshotEvent::WriteFailed);
        }
    }

    fn file_task(&mut self, task: SnapshotTask, events: &mut Vec<SnapshotEvent>) {
        match task {
            SnapshotTask::Read {
                to,
                id,
                offset,
                len,
            } => {
                let file = self.directory.outgoing(to_snapshot_id(id));
                let bytes = file.and_then(|file| file.read(offset, len)).ok();
                events.push(SnapshotEvent::Read {
                    to,
                    id,
                    offset,
                    bytes,
                });
            }
            SnapshotTask::Open { meta } => events.push(self.open_incoming(&meta)),
            SnapshotTask::Store { id, offset, bytes } => {
                let Some((_, file)) = self.receiving.as_mut().filter(|(open, _)| *open == id)
                else {
                    return;
                };
                let stored = file.store(offset, &bytes).and_then(|_| file.sync());
                let received = file.received();
                events.push(match stored {
                    Ok(()) => SnapshotEvent::Stored(id, received),
                    Err(_) => {
                        self.receiving = None;
                        SnapshotEvent::ReceiveFailed(id)
                    }
                });
            }
            SnapshotTask::Install { meta } => events.push(self.install(meta)),
            SnapshotTask::Discard { id } => {
                self.receiving = None;
                let _ = self.directory.remove_snapshot(to_snapshot_id(id));
            }
            SnapshotTask::Suspect { id } => {
                let whole = self
                    .directory
                    .rows(to_snapshot_id(id))
                    .and_then(|mut rows| {
                        while rows.next_rows(1 << 20, &mut |_, _| {})? {}
                        Ok(())
                    });
                if whole.is_err() {
                    let _ = self.directory.remove_snapshot(to_snapshot_id(id));
                    events.push(SnapshotEvent::Lost(id));
                }
            }
            SnapshotTask::Take { .. } | SnapshotTask::Persist => {}
        }
    }

    fn open_incoming(&mut self, meta: &SnapshotMeta) -> SnapshotEvent {
        let id = meta.id;
        self.receiving = None;
        let complete = self.directory.snapshots();
        if complete.is_ok_and(|all| all.contains(&to_snapshot_id(id))) {
            return SnapshotEvent::Opened(id, meta.bytes);
        }
        match self.directory.incoming(to_snapshot_meta(GROUP, meta)) {
            Ok(file) => {
                let durable = file.durable();
                self.receiving = Some((id, file));
                SnapshotEvent::Opened(id, durable)
            }
            Err(_) => SnapshotEvent::ReceiveFailed(id),
        }
    }

    fn install(&mut self, meta: SnapshotMeta) -> SnapshotEvent {
        let id = meta.id;
        let received = self.receiving.take().map(|(_, file)| file);
        let complete = match received {
            Some(file) => file.finish(self.directory.disk()).map(drop),
            None => Ok(()),
        };
        let installed = complete
            .map_err(DirectoryError::from)
            .and_then(|()| self.directory.install(to_snapshot_id(id)));
        match installed {
            Ok(engine) => SnapshotEvent::Installed(meta, engine),
            Err(error @ DirectoryError::Io { .. }) => SnapshotEvent::Fatal(error.to_string()),
            Err(DirectoryError::Snapshot(SnapshotError::Io { .. }) | DirectoryError::Engine(_)) => {
                SnapshotEvent::InstallFailed(id, InstallFailure::Environment)
            }
            Err(_) => SnapshotEvent::InstallFailed(id, InstallFailure::Corrupt),
        }
    }
}
