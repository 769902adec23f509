//! The event loop's part in snapshots: which are there, when one is written, and what the driver
//! waits for. Files are the [`worker`]'s.
//!
//! A view that is frozen within the engine is read here, a slice every millisecond at most, so that
//! clients hardly notice; two buffers go back and forth between the loop and the worker, so that what
//! waits for the disk is bounded.

mod spent;
mod worker;

use std::sync::mpsc::Sender;
use std::time::Instant;

use consensus::Micros;
use keyspace::{Keyspace, KeyspaceError};
use replication::{SnapshotId, SnapshotMeta, SnapshotTask, StateMachine as _};
use storage::{
    Backend, DirectoryError, Disk, Engine, Flush, Frozen, GroupDirectory, RowBuffer, ViewId,
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::event_loop::NodeGroup;
use spent::Spent;
pub(super) use spent::Step;
use worker::Job;
pub(super) use worker::SnapshotEvent;

/// How much of a frozen view is read in one turn, in bytes: about half a millisecond.
const SLICE_BYTES: usize = 128 << 10;
/// How often.
const SLICE_EVERY: Micros = Micros(1_000);
/// Buffers on their way between loop and worker.
const BUFFERS: usize = 2;

/// Where reports of the worker come out.
pub(super) struct SnapshotEvents<E>(UnboundedReceiver<SnapshotEvent<E>>);

impl<E> SnapshotEvents<E> {
    /// Waits for at least one report, then takes all there are. Cancel safe.
    pub(super) async fn receive(&mut self, into: &mut Vec<SnapshotEvent<E>>) {
        if self.0.recv_many(into, usize::MAX).await == 0 {
            std::future::pending::<()>().await;
        }
    }
}

/// What is known of the snapshots of a group.
pub(super) struct Snapshots {
    jobs: Sender<Job>,
    keeps: bool,
    /// How far the log may be ahead of what is durable, in bytes; of a snapshot, at least twice its
    /// size.
    persist_after: u64,
    newest: Option<SnapshotMeta>,
    writing: Option<Writing>,
    /// The driver waits for one.
    wanted: bool,
    /// What the worker was last told to keep.
    kept: Vec<SnapshotId>,
    spent: Spent,
}

/// A snapshot under way.
struct Writing {
    /// Read here, if the view is frozen within the engine.
    view: Option<ViewId>,
    buffers: Vec<RowBuffer>,
    next: Micros,
}

impl Snapshots {
    /// Starts the worker on an open directory. `newest` is the newest complete snapshot in it.
    ///
    /// # Errors
    /// When the operating system has no thread to give.
    pub(super) fn start<D: Disk, B: Backend>(
        directory: GroupDirectory<D, B>,
        keeps: bool,
        newest: Option<SnapshotMeta>,
        persist_after: u64,
    ) -> std::io::Result<(Self, SnapshotEvents<B::Engine>)> {
        let (jobs, events) = worker::start(directory)?;
        let snapshots = Snapshots {
            jobs,
            keeps,
            persist_after,
            newest,
            writing: None,
            wanted: false,
            kept: Vec::new(),
            spent: Spent::default(),
        };
        Ok((snapshots, events))
    }

    /// Tells a group that has just started what is durable of it.
    pub(super) fn begin<E: Engine>(
        &self,
        now: Micros,
        group: &mut NodeGroup<E>,
    ) -> Result<(), KeyspaceError> {
        if self.keeps {
            let durable = group.machine().durable()?;
            group.replica().durable(now, durable.index);
        } else {
            self.persist_after(group);
            if let Some(newest) = &self.newest {
                group.replica().durable(now, newest.index());
            }
        }
        Ok(())
    }

    fn persist_after<E: Engine>(&self, group: &mut NodeGroup<E>) {
        let size = self.newest.as_ref().map_or(0, |newest| newest.bytes);
        let bytes = self.persist_after.max(size.saturating_mul(2));
        group.replica().persist_after(bytes);
    }

    /// Does what the driver asks for, or has it done.
    pub(super) fn task<E: Engine>(
        &mut self,
        now: Micros,
        group: &mut NodeGroup<E>,
        task: SnapshotTask,
    ) -> Result<(), KeyspaceError> {
        match task {
            SnapshotTask::Take { at_least } => match &self.newest {
                Some(newest) if newest.index() >= at_least => {
                    group.replica().snapshot_ready(now, newest);
                }
                _ => {
                    self.wanted = true;
                    self.write(now, group)?;
                }
            },
            SnapshotTask::Persist => {
                let begun = Instant::now();
                let flushed = group.machine_mut().flush()?;
                self.ended(Step::Flush, begun);
                match flushed {
                    Flush::Started => {}
                    Flush::KeepsNothing => self.write(now, group)?,
                }
            }
            task => self.send(Job::Task(task)),
        }
        Ok(())
    }

    fn send(&self, job: Job) {
        // The worker ends only with the node.
        let _ = self.jobs.send(job);
    }

    /// Begins a snapshot, unless one is under way.
    fn write<E: Engine>(
        &mut self,
        now: Micros,
        group: &mut NodeGroup<E>,
    ) -> Result<(), KeyspaceError> {
        if self.writing.is_some() {
            return Ok(());
        }
        let members = group.view().membership().clone();
        let machine = group.machine_mut();
        let at = machine.applied();
        let begun = Instant::now();
        let frozen = machine.freeze()?;
        self.spent.ended(Step::Freeze, begun);
        let view = match frozen {
            Some(Frozen::Within(view)) => {
                self.send(Job::Begin(at, members));
                Some(view)
            }
            Some(Frozen::Apart(rows)) => {
                self.send(Job::Copy(rows, members));
                None
            }
            None => return Ok(()),
        };
        self.writing = Some(Writing {
            view,
            buffers: vec![RowBuffer::default(); BUFFERS],
            next: now,
        });
        Ok(())
    }

    /// Reads on in the view that is being written, if it is time.
    pub(super) fn slice<E: Engine>(
        &mut self,
        now: Micros,
        group: &mut NodeGroup<E>,
    ) -> Result<(), KeyspaceError> {
        let Some(writing) = &mut self.writing else {
            return Ok(());
        };
        let Some(view) = writing.view.filter(|_| writing.next <= now) else {
            return Ok(());
        };
        let Some(mut buffer) = writing.buffers.pop() else {
            return Ok(());
        };
        writing.next = now + SLICE_EVERY;
        let begun = Instant::now();
        let machine = group.machine_mut();
        let more =
            machine.read_frozen(view, SLICE_BYTES, &mut |key, value| buffer.push(key, value))?;
        if !more {
            machine.thaw(view);
            writing.view = None;
        }
        self.ended(Step::Slice, begun);
        self.send(Job::Rows(buffer));
        if !more {
            self.send(Job::Finish);
        }
        Ok(())
    }

    /// When the next slice is due.
    pub(super) fn deadline(&self) -> Option<Micros> {
        let writing = self.writing.as_ref()?;
        let reads = writing.view.is_some() && !writing.buffers.is_empty();
        reads.then_some(writing.next)
    }

    /// Looks, once a second, how far an engine is durable by itself, and which files are needed.
    pub(super) fn look<E: Engine>(
        &mut self,
        now: Micros,
        group: &mut NodeGroup<E>,
    ) -> Result<(), KeyspaceError> {
        if self.keeps {
            let begun = Instant::now();
            let durable = group.machine().durable()?;
            self.ended(Step::Durable, begun);
            group.replica().durable(now, durable.index);
        }
        let needed: Vec<_> = group.view().snapshots_in_use().collect();
        if self.keeps
            && let Some(newest) = &self.newest
            && newest.index() < group.view().status().purged
            && !needed.contains(&newest.id)
        {
            // The log goes on above it: nobody can be helped with it any more.
            self.send(Job::Remove(newest.id));
            self.newest = None;
        }
        if needed != self.kept {
            self.kept.clone_from(&needed);
            self.send(Job::Keep(needed));
        }
        Ok(())
    }

    /// A step that began at `begun` has ended.
    pub(super) fn ended(&mut self, step: Step, begun: Instant) {
        self.spent.ended(step, begun);
    }

    /// Publishes how long snapshots have kept the loop.
    pub(super) fn publish(&self) {
        self.spent.publish();
    }

    /// Takes a report of the worker's. An engine that was installed comes back, to be put in its
    /// place.
    pub(super) fn take<E: Engine>(
        &mut self,
        now: Micros,
        group: &mut NodeGroup<E>,
        event: SnapshotEvent<E>,
    ) -> Result<Option<Keyspace<E>>, SnapshotsError> {
        let replica = group.replica();
        match event {
            SnapshotEvent::Taken(buffer) => {
                if let Some(writing) = &mut self.writing {
                    writing.buffers.push(buffer);
                }
            }
            SnapshotEvent::Written(meta) => {
                self.writing = None;
                if std::mem::take(&mut self.wanted) {
                    replica.snapshot_ready(now, &meta);
                }
                if !self.keeps {
                    replica.durable(now, meta.index());
                }
                tracing::info!(at = %meta.id.at, bytes = meta.bytes, "a snapshot is written");
                self.renew(group, meta);
            }
            SnapshotEvent::WriteFailed => {
                if let Some(view) = self.writing.take().and_then(|writing| writing.view) {
                    group.machine_mut().thaw(view);
                }
                if std::mem::take(&mut self.wanted) {
                    group.replica().snapshot_failed(now);
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
            SnapshotEvent::Spoiled(id, good) => replica.incoming_corrupt(now, id, good),
            SnapshotEvent::ReceiveFailed(id) => replica.incoming_failed(id),
            SnapshotEvent::InstallFailed(id, why) => replica.install_failed(now, id, why),
            SnapshotEvent::Installed(meta, engine) => {
                // Its view was of the engine that goes.
                if self.writing.take().is_some() && std::mem::take(&mut self.wanted) {
                    replica.snapshot_failed(now);
                }
                self.renew(group, meta);
                return Ok(Some(Keyspace::open(engine)?));
            }
            SnapshotEvent::Lost(id) => {
                let newest = self.newest.take_if(|newest| newest.id == id);
                if newest.is_some() && !self.keeps {
                    // The log is purged up to there: a crash would leave nothing to go on from.
                    self.write(now, group)?;
                }
            }
            SnapshotEvent::Fatal(error) => return Err(error.into()),
        }
        Ok(None)
    }

    /// There is a new newest snapshot: older ones may go.
    fn renew<E: Engine>(&mut self, group: &mut NodeGroup<E>, newest: SnapshotMeta) {
        self.newest = Some(newest);
        if !self.keeps {
            self.persist_after(group);
        }
        self.kept = group.view().snapshots_in_use().collect();
        self.send(Job::Keep(self.kept.clone()));
    }

    /// What an installation has replaced is to be closed and removed.
    pub(super) fn retire(&self, old: impl Send + 'static) {
        // Closing it, or freeing its memory, takes a while.
        self.send(Job::Retire(Box::new(old)));
    }
}

/// Why snapshots cannot go on, and with them the node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SnapshotsError {
    /// Nobody knows what the disk holds.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// An engine holds what this build cannot read.
    #[error("the keys of a snapshot cannot be opened: {0}")]
    Keys(#[from] KeyspaceError),
}
