//! The one thread that reads and writes snapshots, and builds engines from them.
//!
//! It owns a group's directory. Jobs come in order, and each is answered by an event or by none. A
//! view that is read apart from its engine is copied in slices between other jobs, and a suspected
//! file is verified in slices, so that a snapshot is sent meanwhile.
//!
//! An installation overtakes what is being written: its view is of an engine that no longer counts.
//! The loop may have sent jobs for it before it heard of that, and they are passed over until it
//! has ([`Job::Retire`]).

mod writing;

use std::io;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use bytes::Bytes;
use consensus::{Membership, NodeId};
use replication::{
    InstallFailure, Position, SnapshotId, SnapshotMeta, SnapshotTask, to_snapshot_id,
    to_snapshot_meta,
};
use storage::{
    Backend, DirectoryError, Disk, FrozenRows, GroupDirectory, IncomingSnapshot, OutgoingSnapshot,
    RowBuffer, SnapshotError, SnapshotReader, SnapshotWriter,
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
    /// This one is needed no more, though it may be the newest.
    Remove(SnapshotId),
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
    /// What was to be stored is not of this snapshot; up to here all is right and durable.
    Spoiled(SnapshotId, u64),
    ReceiveFailed(SnapshotId),
    /// An engine filled from this snapshot counts now.
    Installed(SnapshotMeta, E),
    InstallFailed(SnapshotId, InstallFailure),
    /// A complete snapshot is damaged or cannot be read.
    Lost(SnapshotId),
    /// The disk is in a state that nobody knows.
    Fatal(DirectoryError),
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
            Worker::new(directory, outgoing).work(&incoming);
        })?;
    Ok((jobs, SnapshotEvents(events)))
}

struct Worker<D: Disk, B: Backend> {
    directory: GroupDirectory<D, B>,
    events: UnboundedSender<SnapshotEvent<B::Engine>>,
    writing: Option<SnapshotWriter<D>>,
    /// Where the rows of `writing` come from, if not from jobs.
    copying: Option<Box<dyn FrozenRows>>,
    /// An engine was installed, and the loop may not know yet: what it wants written is of the old
    /// one.
    overtaken: bool,
    sending: Option<(SnapshotId, OutgoingSnapshot<D>)>,
    receiving: Option<(SnapshotId, IncomingSnapshot<D>)>,
    /// Bytes of `receiving` have been stored and not synced: one sync for all that have come.
    unsynced: Option<SnapshotId>,
    /// A file that is read through because somebody found it damaged.
    verifying: Option<(SnapshotId, SnapshotReader<D>)>,
}

impl<D: Disk, B: Backend> Worker<D, B> {
    fn new(
        directory: GroupDirectory<D, B>,
        events: UnboundedSender<SnapshotEvent<B::Engine>>,
    ) -> Self {
        Worker {
            directory,
            events,
            writing: None,
            copying: None,
            overtaken: false,
            sending: None,
            receiving: None,
            unsynced: None,
            verifying: None,
        }
    }

    fn work(mut self, jobs: &Receiver<Job>) {
        loop {
            let idle = !self.has_work();
            let job = match jobs.try_recv() {
                Err(TryRecvError::Empty) if idle => {
                    jobs.recv().map_err(|_| TryRecvError::Disconnected)
                }
                job => job,
            };
            match job {
                Ok(job) => self.carry_out(job),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => self.go_on(),
            }
        }
    }

    fn has_work(&self) -> bool {
        self.copying.is_some() || self.unsynced.is_some() || self.verifying.is_some()
    }

    /// Does a little of what takes long.
    fn go_on(&mut self) {
        self.sync_received();
        self.copy_slice();
        self.verify_slice();
    }

    fn tell(&self, event: SnapshotEvent<B::Engine>) {
        // Nobody listens any more when the node ends.
        let _ = self.events.send(event);
    }

    fn carry_out(&mut self, job: Job) {
        match job {
            Job::Begin(..) | Job::Rows(_) | Job::Finish | Job::Copy(..) if self.overtaken => {}
            Job::Begin(at, members) => self.begin(at, &members),
            Job::Rows(rows) => self.write(rows),
            Job::Finish => self.finish(),
            Job::Copy(rows, members) => self.copy(rows, &members),
            Job::Task(task) => self.task(task),
            Job::Keep(needed) => {
                let needed: Vec<_> = needed.into_iter().map(to_snapshot_id).collect();
                if let Err(error) = self.tidy(&needed) {
                    tracing::warn!(%error, "old snapshots stay for now");
                }
            }
            Job::Remove(id) => self.forget(id),
            Job::Retire(old) => {
                drop(old);
                self.overtaken = false;
                if let Err(error) = self.directory.retire() {
                    tracing::warn!(%error, "the replaced engine stays until the next start");
                }
            }
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
                self.receiving.take_if(|(receiving, _)| *receiving == id);
                self.forget(id);
            }
            SnapshotTask::Suspect { id } => self.suspect(id),
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
            Err(error @ (SnapshotError::Corrupt { .. } | SnapshotError::Version { .. })) => {
                tracing::warn!(%error, "a snapshot is sent corrupt");
                if self.sync(id)
                    && let Some((_, file)) = &self.receiving
                {
                    self.tell(SnapshotEvent::Spoiled(id, file.durable()));
                }
            }
            Err(error) => {
                self.receiving = None;
                self.unsynced = None;
                self.cannot_receive(id, &error);
            }
        }
    }

    fn sync_received(&mut self) {
        if let Some(id) = self.unsynced
            && self.sync(id)
            && let Some((_, file)) = &self.receiving
        {
            self.tell(SnapshotEvent::Stored(id, file.received()));
        }
    }

    /// Makes durable what was received; whether that is so.
    fn sync(&mut self, id: SnapshotId) -> bool {
        self.unsynced = None;
        let Some((_, file)) = &mut self.receiving else {
            return false;
        };
        let synced = file.sync();
        if let Err(error) = &synced {
            // Not tried again: what the disk holds is known only after opening it anew.
            self.receiving = None;
            self.cannot_receive(id, error);
        }
        synced.is_ok()
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
            Ok(engine) => {
                self.abandon();
                self.overtaken = true;
                self.tell(SnapshotEvent::Installed(meta, engine));
            }
            Err(error @ DirectoryError::Io { .. }) => self.tell(SnapshotEvent::Fatal(error)),
            Err(error) => {
                tracing::error!(%error, "a snapshot could not be installed");
                let why = match error {
                    // What cannot be read here is to be fetched anew, as if it were damaged.
                    DirectoryError::Snapshot(SnapshotError::Io { action: "read", .. }) => {
                        InstallFailure::Corrupt
                    }
                    DirectoryError::Snapshot(SnapshotError::Io { .. })
                    | DirectoryError::Engine(_) => InstallFailure::Environment,
                    _ => InstallFailure::Corrupt,
                };
                self.tell(SnapshotEvent::InstallFailed(id, why));
            }
        }
    }

    /// Begins to verify a file.
    fn suspect(&mut self, id: SnapshotId) {
        if self.verifying.is_some() {
            // Whoever still cannot read it says so again.
            return;
        }
        match self.directory.rows(to_snapshot_id(id)) {
            Ok(file) => self.verifying = Some((id, file)),
            Err(error) => self.lose(id, &error),
        }
    }

    fn verify_slice(&mut self) {
        let Some((id, file)) = &mut self.verifying else {
            return;
        };
        let id = *id;
        match file.next_rows(SLICE_BYTES, &mut |_, _| {}) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(at = %id.at, "a suspected snapshot was verified: it is as it was written");
                self.verifying = None;
            }
            Err(error) => {
                self.verifying = None;
                self.lose(id, &error);
            }
        }
    }

    fn lose(&mut self, id: SnapshotId, error: &SnapshotError) {
        tracing::error!(
            %error,
            "a snapshot of this node is not used any more; another is made when one is needed"
        );
        self.forget(id);
        self.tell(SnapshotEvent::Lost(id));
    }

    fn forget(&mut self, id: SnapshotId) {
        self.sending.take_if(|(open, _)| *open == id);
        self.verifying.take_if(|(open, _)| *open == id);
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

#[cfg(test)]
mod tests;
