//! Reading a database in order, and views of it that are read apart.
//!
//! A view is a checkpoint: hard links to the tables, after a flush. Making one takes as long as the
//! flush does, so it is made by whoever reads it, at the first read: what it shows is what some
//! commit since the freezing has left, which its rows tell.

use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::sync::Arc;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, ReadOptions};

use super::{RocksResources, clear, failed};
use crate::engine::{EngineError, Visit};
use crate::frozen::{FrozenRows, Rows};

/// How far a long read reads ahead.
const READAHEAD_BYTES: usize = 256 << 10;

/// Visits the rows between two bounds that are neither empty nor upside down.
pub(super) fn scan(
    db: &DB,
    mut options: ReadOptions,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
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

/// A view, made when it is first read.
pub(super) struct Checkpointed {
    /// The live database, until the checkpoint is there.
    db: Option<Arc<DB>>,
    directory: PathBuf,
    resources: RocksResources,
    checkpoint: Option<DB>,
    last: Option<Vec<u8>>,
    ended: bool,
}

impl Checkpointed {
    pub(super) fn new(db: Arc<DB>, directory: PathBuf, resources: RocksResources) -> Self {
        Checkpointed {
            db: Some(db),
            directory,
            resources,
            checkpoint: None,
            last: None,
            ended: false,
        }
    }

    fn make_once(&mut self) -> Result<(), EngineError> {
        if let Some(db) = self.db.take() {
            self.checkpoint = Some(self.make(&db)?);
        }
        Ok(())
    }

    fn make(&mut self, db: &DB) -> Result<DB, EngineError> {
        clear(&self.directory)?;
        if let Some(parent) = self.directory.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| EngineError::new("make a place for a view", error))?;
        }
        let action = "make a checkpoint";
        let checkpoint = Checkpoint::new(db).map_err(failed(action))?;
        checkpoint
            .create_checkpoint(&self.directory)
            .map_err(failed(action))?;
        let mut options = self.resources.options();
        options.create_if_missing(false);
        DB::open_for_read_only(&options, &self.directory, false)
            .map_err(failed("open a checkpoint"))
    }
}

impl FrozenRows for Checkpointed {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.make_once()?;
        let found = self.checkpoint.as_ref().map(|db| db.get(key));
        Ok(found.transpose().map_err(failed("read a key"))?.flatten())
    }
}

impl Rows for Checkpointed {
    fn read(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        self.make_once()?;
        let Some(db) = self.checkpoint.as_ref().filter(|_| !self.ended) else {
            return Ok(false);
        };
        let mut options = ReadOptions::default();
        // What is read once must not push out what is read often.
        options.fill_cache(false);
        options.set_readahead_size(READAHEAD_BYTES);
        let last = self.last.take();
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes = 0;
        scan(db, options, from, Bound::Unbounded, &mut |key, value| {
            visit(key, value);
            bytes += key.len() + value.len();
            if bytes < max_bytes {
                return ControlFlow::Continue(());
            }
            self.last = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        self.ended = self.last.is_none();
        Ok(!self.ended)
    }
}

impl Drop for Checkpointed {
    fn drop(&mut self) {
        self.checkpoint = None;
        // What is left over goes when the engine is opened next.
        let _ = clear(&self.directory);
    }
}
