//! Reading a database in order, and views of it that are read apart.
//!
//! A view is a checkpoint: hard links to the tables. It is made by the thread that writes tables, as
//! soon as all that was committed before is in one.

use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError};

use rocksdb::{DB, ReadOptions};

use super::{clear, failed};
use crate::engine::EngineError;
use crate::frozen::{FrozenRows, Rows};
use crate::write_buffer::Visit;

/// Visits the rows between two bounds that are neither empty nor upside down.
pub(super) fn scan(
    db: &DB,
    mut options: ReadOptions,
    (from, to): (Bound<&[u8]>, Bound<&[u8]>),
    visit: Visit<'_>,
) -> Result<(), EngineError> {
    match to {
        Bound::Unbounded => {}
        Bound::Excluded(to) => options.set_iterate_upper_bound(to),
        // The first key behind it is the same with a zero.
        Bound::Included(to) => options.set_iterate_upper_bound([to, &[0]].concat()),
    }
    let mut rows = db.raw_iterator_opt(options);
    match from {
        Bound::Unbounded => rows.seek_to_first(),
        Bound::Included(from) => rows.seek(from),
        Bound::Excluded(from) => rows.seek([from, &[0]].concat()),
    }
    while let Some((key, value)) = rows.item() {
        if visit(key, value).is_break() {
            return Ok(());
        }
        rows.next();
    }
    rows.status().map_err(failed("scan its keys"))
}

/// A view.
pub(super) struct Checkpointed {
    directory: PathBuf,
    state: State,
    last: Option<Vec<u8>>,
    ended: bool,
}

enum State {
    /// Being made.
    Awaited(Receiver<Result<DB, EngineError>>),
    Made(DB),
    Failed,
}

impl Checkpointed {
    /// The view that is being made in `directory`.
    pub(super) fn new(directory: PathBuf, view: Receiver<Result<DB, EngineError>>) -> Self {
        Checkpointed {
            directory,
            state: State::Awaited(view),
            last: None,
            ended: false,
        }
    }

    /// The checkpoint, when it is made.
    fn db(&mut self) -> Result<&DB, EngineError> {
        if let State::Awaited(view) = &self.state {
            let made = view.recv();
            self.settle(made.ok())?;
        }
        match &self.state {
            State::Made(db) => Ok(db),
            _ => Err(EngineError::new("read a view", "it could not be made")),
        }
    }

    fn settle(&mut self, made: Option<Result<DB, EngineError>>) -> Result<(), EngineError> {
        self.state = State::Failed;
        let closed = || EngineError::new("make a view", "the engine was closed, or has failed");
        self.state = State::Made(made.ok_or_else(closed)??);
        Ok(())
    }
}

impl FrozenRows for Checkpointed {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.db()?.get(key).map_err(failed("read a key"))
    }
}

impl Rows for Checkpointed {
    fn ready(&mut self) -> Result<bool, EngineError> {
        let State::Awaited(view) = &self.state else {
            return Ok(true);
        };
        match view.try_recv() {
            Err(TryRecvError::Empty) => return Ok(false),
            made => self.settle(made.ok())?,
        }
        Ok(true)
    }

    fn read(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        if self.ended {
            return Ok(false);
        }
        let last = self.last.take();
        let db = self.db()?;
        let mut options = ReadOptions::default();
        // What is read once must not push out what is read often. It is read ahead as far as RocksDB
        // sees fit: every slice begins anew in every young table.
        options.fill_cache(false);
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut bytes, mut next) = (0, None);
        scan(db, options, (from, Bound::Unbounded), &mut |key, value| {
            visit(key, value);
            bytes += key.len() + value.len();
            if bytes < max_bytes {
                return ControlFlow::Continue(());
            }
            next = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        self.last = next;
        self.ended = self.last.is_none();
        Ok(!self.ended)
    }
}

impl Drop for Checkpointed {
    fn drop(&mut self) {
        self.state = State::Failed;
        // What is left over goes when the engine is opened next.
        let _ = clear(&self.directory);
    }
}
