//! Writing a snapshot: rows that the event loop sends, or a view that is read here.
//!
//! One is written at a time; a second takes its place. What fails leaves no file behind: a disk that
//! is full needs the room for the log.

use consensus::Membership;
use keyspace::{KeyspaceError, frozen_at};
use replication::{Position, RecordError, from_snapshot_meta, to_snapshot_start};
use storage::{Backend, Disk, EngineError, FrozenRows, RowBuffer, SnapshotError};

use super::{SLICE_BYTES, SnapshotEvent, Worker};

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

impl<D: Disk, B: Backend> Worker<D, B> {
    /// Begins a snapshot of rows that are sent.
    pub(super) fn begin(&mut self, at: Position, members: &Membership) {
        self.copying = None;
        let begun = self.try_begin(at, members);
        self.check(begun);
    }

    fn try_begin(&mut self, at: Position, members: &Membership) -> Result<(), WriteError> {
        let (at, members) = to_snapshot_start(at, members);
        self.writing = Some(self.directory.begin_snapshot(at, members)?);
        Ok(())
    }

    /// Takes rows, and gives their buffer back.
    pub(super) fn write(&mut self, mut rows: RowBuffer) {
        if let Some(writer) = &mut self.writing {
            let written = writer.rows(&rows).map_err(WriteError::from);
            self.check(written);
        }
        rows.clear();
        self.tell(SnapshotEvent::Taken(rows));
    }

    /// Begins a snapshot of a view that is read here.
    pub(super) fn copy(&mut self, mut rows: Box<dyn FrozenRows>, members: &Membership) {
        self.copying = None;
        let begun = frozen_at(&mut *rows).map_err(WriteError::from);
        let begun = begun.and_then(|(at, own)| {
            let named = !own.members.is_empty();
            self.try_begin(at, if named { &own } else { members })
        });
        self.copying = begun.is_ok().then_some(rows);
        self.check(begun);
    }

    pub(super) fn copy_slice(&mut self) {
        let (Some(rows), Some(writer)) = (&mut self.copying, &mut self.writing) else {
            return;
        };
        let mut buffer = RowBuffer::default();
        let read = rows.read(SLICE_BYTES, &mut |key, value| buffer.push(key, value));
        let written = (read.map_err(WriteError::from)).and_then(|more| {
            writer.rows(&buffer)?;
            Ok(more)
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

    /// Completes what is being written.
    pub(super) fn finish(&mut self) {
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

    /// Gives the snapshot being written up if something failed.
    fn check(&mut self, done: Result<(), WriteError>) {
        if let Err(error) = done {
            tracing::error!(%error, "a snapshot could not be written");
            self.abandon();
            self.tell(SnapshotEvent::WriteFailed);
        }
    }

    /// Gives the snapshot being written up.
    pub(super) fn abandon(&mut self) {
        self.copying = None;
        self.writing = None;
        if let Err(error) = self.directory.abandon_snapshot() {
            tracing::warn!(%error, "an unfinished snapshot stays until the next one");
        }
    }
}
