//! The one thread that reads and writes snapshots, and builds engines from them.
//!
//! It owns a group's directory. Jobs come in order, and each is answered by an event or by none. A
//! view that is read apart from its engine is copied in slices between other jobs, so that a
//! snapshot is written while another one is being sent.

use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use bytes::Bytes;
use consensus::{Membership, NodeId};
use keyspace::{KeyspaceError, frozen_at};
use replication::{
    InstallFailure, Position, RecordError, SnapshotId, SnapshotMeta, SnapshotTask,
    from_snapshot_meta, to_snapshot_id, to_snapshot_meta, to_snapshot_start,
};
use storage::{
    Backend, DirectoryError, Disk, EngineError, FrozenRows, GroupDirectory, IncomingSnapshot,
    OutgoingSnapshot, RowBuffer, SnapshotError, SnapshotWriter,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::SnapshotEvents;

/// How much of a view that is read apart is copied between two looks at the jobs, in bytes.
const SLICE_BYTES: usize = 4 << 20;
/// How much this thread yields to others: snapshots may take longer, clients may not.
const NICENESS: i32 = 10;

/// What is to be done.
pub(super) enum Job {
    /// Begin a snapshot of rows that follow; one that is unfinished is given up.
    Begin(Position, Membership),
    /// Its next rows.
    Rows(RowBuffer),
    /// It is whole.
    Finish,
    /// Write a snapshot of this view. The members, unless it names them itself.
    Copy(Box<dyn FrozenRows>, Membership),
    /// What the driver wants done with a file.
    Task(SnapshotTask),
    /// The newest complete snapshot and these are needed, the others are not.
    Keep(Vec<SnapshotId>),
    /// Close what was replaced, and remove it.
    Retire(Box<dyn Send>),
}

/// What became of it.
pub(in crate::server) enum SnapshotEvent<E> {
    /// Rows were taken; here is their buffer.
    Taken(RowBuffer),
    /// A snapshot is complete and durable.
    Written(SnapshotMeta),
    /// The snapshot being written was given up.
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
    /// An engine filled from this snapshot counts now.
    Installed(SnapshotMeta, E),
    InstallFailed(SnapshotId, InstallFailure),
    /// A complete snapshot was damaged, and is gone.
    Lost(SnapshotId),
    /// The disk is in a state that nobody knows.
    Fatal(DirectoryError),
}

/// Why a snapshot could not be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Keys(#[from] KeyspaceError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Starts the thread on an open directory. It ends once the jobs' end is dropped.
///
/// # Errors
/// When the operating system has no thread to give.
pub(super) fn start<D: Disk, B: Backend>(
    directory: GroupDirectory<D, B>,
) -> io::Result<(Sender<Job>, SnapshotEvents<B::Engine>)> {
    let (jobs, incoming) = channel();
    let (outgoing, events) = unbounded_channel();
    std::thread::Builder::new()
        .name("snapshots".into())
        .spawn(move || {
            let me = rustix::thread::gettid();
            if let Err(error) = rustix::process::setpriority_process(Some(me), NICENESS) {
                tracing::debug!(%error, "snapshots are made at the priority of everything else");
            }
            let worker = Worker {
                directory,
                events: outgoing,
                writing: None,
                copying: None,
                sending: None,
                receiving: None,
                unsynced: None,
            };
            worker.work(&incoming);
        })?;
    Ok((jobs, SnapshotEvents(events)))
}

struct Worker<D: Disk, B: Backend> {
    directory: GroupDirectory<D, B>,
    events: UnboundedSender<SnapshotEvent<B::Engine>>,
    writing: Option<SnapshotWriter<D>>,
    /// Where the rows of `writing` come from, if not from jobs.
    copying: Option<Box<dyn FrozenRows>>,
    sending: Option<(SnapshotId, OutgoingSnapshot<D>)>,
    receiving: Option<(SnapshotId, IncomingSnapshot<D>)>,
    /// Bytes of `receiving` have been stored and not synced: one sync for all that have come.
    unsynced: Option<SnapshotId>,
}

impl<D: Disk, B: Backend> Worker<D, B> {
    fn work(mut self, jobs: &Receiver<Job>) {
        loop {
            let idle = self.copying.is_none() && self.unsynced.is_none();
            let job = match jobs.try_recv() {
                Err(TryRecvError::Empty) if idle => {
                    jobs.recv().map_err(|_| TryRecvError::Disconnected)
                }
                job => job,
            };
            match job {
                Ok(job) => self.carry_out(job),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.sync_received();
                    self.copy_slice();
                }
            }
        }
    }

    fn tell(&self, event: SnapshotEvent<B::Engine>) {
        // Nobody listens any more when the node ends.
        let _ = self.events.send(event);
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Begin(at, members) => {
                let begun = self.begin(at, &members);
                self.check(begun);
            }
            Job::Rows(mut buffer) => {
                let written = self.writing.as_mut().map(|writer| writer.rows(&buffer));
                self.check(written.transpose().map(drop).map_err(WriteError::from));
                buffer.clear();
                self.tell(SnapshotEvent::Taken(buffer));
            }
            Job::Finish => self.finish(),
            Job::Copy(mut rows, members) => {
                let begun = frozen_at(&mut *rows).map_err(WriteError::from);
                let begun = begun.and_then(|(at, own)| {
                    let named = !own.members.is_empty();
                    self.begin(at, if named { &own } else { &members })
                });
                self.copying = begun.is_ok().then_some(rows);
                self.check(begun);
            }
            Job::Task(task) => self.task(task),
            Job::Keep(needed) => {
                let needed: Vec<_> = needed.into_iter().map(to_snapshot_id).collect();
                if let Err(error) = self.tidy(&needed) {
                    tracing::warn!(%error, "old snapshots stay for now");
                }
            }
            Job::Retire(old) => {
                drop(old);
                if let Err(error) = self.directory.retire() {
                    tracing::warn!(%error, "the replaced engine stays until the next start");
                }
            }
        }
    }

    fn begin(&mut self, at: Position, members: &Membership) -> Result<(), WriteError> {
        self.copying = None;
        let (at, members) = to_snapshot_start(at, members);
        self.writing = Some(self.directory.begin_snapshot(at, members)?);
        Ok(())
    }

    /// Gives the snapshot being written up if something failed.
    fn check(&mut self, done: Result<(), WriteError>) {
        if let Err(error) = done {
            tracing::error!(%error, "a snapshot could not be written");
            self.copying = None;
            self.writing = None;
            self.tell(SnapshotEvent::WriteFailed);
        }
    }

    fn copy_slice(&mut self) {
        let (Some(rows), Some(writer)) = (&mut self.copying, &mut self.writing) else {
            return;
        };
        let mut buffer = RowBuffer::default();
        let read = rows.read(SLICE_BYTES, &mut |key, value| buffer.push(key, value));
        let written = (read.map_err(WriteError::from)).and_then(|more| {
            writer
                .rows(&buffer)
                .map(|()| more)
                .map_err(WriteError::from)
        });
        match written {
            Ok(true) => {}
            Ok(false) => {
                self.copying = None;
                self.finish();
            }
            Err(error) => self.check(Err(error)),
        }
    }

    fn finish(&mut self) {
        let Some(writer) = self.writing.take() else {
            return;
        };
        let finished = writer
            .finish(self.directory.disk())
            .map_err(WriteError::from);
        let finished = finished.and_then(|meta| Ok(from_snapshot_meta(&meta)?));
        match finished {
            Ok(meta) => self.tell(SnapshotEvent::Written(meta)),
            Err(error) => self.check(Err(error)),
        }
    }

    fn task(&mut self, task: SnapshotTask) {
        match task {
            SnapshotTask::Read {
                to,
                id,
                offset,
                len,
            } => {
                let bytes = self.read(id, offset, len);
                let bytes = bytes
                    .inspect_err(|error| tracing::warn!(%error, "a snapshot cannot be sent"))
                    .ok();
                self.tell(SnapshotEvent::Read {
                    to,
                    id,
                    offset,
                    bytes,
                });
            }
            SnapshotTask::Open { meta } => self.open(&meta),
            SnapshotTask::Store { id, offset, bytes } => self.store(id, offset, &bytes),
            SnapshotTask::Install { meta } => self.install(meta),
            SnapshotTask::Discard { id } => {
                self.receiving = None;
                self.forget(id);
            }
            SnapshotTask::Suspect { id } => self.verify(id),
            // The event loop's own.
            SnapshotTask::Take { .. } | SnapshotTask::Persist => {}
        }
    }

    fn read(&mut self, id: SnapshotId, offset: u64, len: usize) -> Result<Bytes, SnapshotError> {
        if let Some((open, file)) = &self.sending
            && *open == id
        {
            return file.read(offset, len);
        }
        let file = self.directory.outgoing(to_snapshot_id(id))?;
        let bytes = file.read(offset, len);
        self.sending = Some((id, file));
        bytes
    }

    fn open(&mut self, meta: &SnapshotMeta) {
        let id = meta.id;
        self.receiving = None;
        self.unsynced = None;
        let complete = self.directory.snapshots();
        if complete.is_ok_and(|all| all.contains(&to_snapshot_id(id))) {
            // A crash came between completing and installing it.
            return self.tell(SnapshotEvent::Opened(id, meta.bytes));
        }
        let group = self.directory.current().group;
        match self.directory.incoming(to_snapshot_meta(group, meta)) {
            Ok(file) => {
                let durable = file.durable();
                self.receiving = Some((id, file));
                self.tell(SnapshotEvent::Opened(id, durable));
            }
            Err(error) => self.cannot_receive(id, &error),
        }
    }

    fn store(&mut self, id: SnapshotId, offset: u64, bytes: &[u8]) {
        let Some((open, file)) = &mut self.receiving else {
            return;
        };
        if *open != id {
            return;
        }
        match file.store(offset, bytes) {
            Ok(_) => self.unsynced = Some(id),
            Err(error) => {
                self.receiving = None;
                self.unsynced = None;
                self.cannot_receive(id, &error);
            }
        }
    }

    fn sync_received(&mut self) {
        let Some(id) = self.unsynced.take() else {
            return;
        };
        let Some((_, file)) = &mut self.receiving else {
            return;
        };
        match file.sync() {
            Ok(()) => {
                let received = file.received();
                self.tell(SnapshotEvent::Stored(id, received));
            }
            Err(error) => {
                // Not tried again: what the disk holds is known only after opening it anew.
                self.receiving = None;
                self.cannot_receive(id, &error);
            }
        }
    }

    fn cannot_receive(&self, id: SnapshotId, error: &dyn std::error::Error) {
        tracing::error!(%error, "a snapshot cannot be received");
        self.tell(SnapshotEvent::ReceiveFailed(id));
    }

    fn install(&mut self, meta: SnapshotMeta) {
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
            Ok(engine) => self.tell(SnapshotEvent::Installed(meta, engine)),
            Err(error @ DirectoryError::Io { .. }) => self.tell(SnapshotEvent::Fatal(error)),
            Err(error) => {
                tracing::error!(%error, "a snapshot could not be installed");
                let why = match error {
                    DirectoryError::Snapshot(SnapshotError::Io { .. })
                    | DirectoryError::Engine(_) => InstallFailure::Environment,
                    _ => InstallFailure::Corrupt,
                };
                self.tell(SnapshotEvent::InstallFailed(id, why));
            }
        }
    }

    fn verify(&mut self, id: SnapshotId) {
        let file = self.directory.rows(to_snapshot_id(id));
        let whole = file.and_then(|mut rows| {
            while rows.next_rows(SLICE_BYTES, &mut |_, _| {})? {}
            Ok(())
        });
        if let Err(error) = whole {
            tracing::error!(%error, "a snapshot is damaged, and is removed");
            self.forget(id);
            self.tell(SnapshotEvent::Lost(id));
        }
    }

    fn forget(&mut self, id: SnapshotId) {
        self.sending.take_if(|(open, _)| *open == id);
        if let Err(error) = self.directory.remove_snapshot(to_snapshot_id(id)) {
            tracing::warn!(%error, "a snapshot that is of no use stays for now");
        }
    }

    fn tidy(&mut self, needed: &[storage::SnapshotId]) -> Result<(), DirectoryError> {
        let mut all = self.directory.snapshots()?;
        // A memory engine starts from the newest.
        all.pop();
        for id in all.into_iter().filter(|id| !needed.contains(id)) {
            self.directory.remove_snapshot(id)?;
        }
        Ok(())
    }
}
