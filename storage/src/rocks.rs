//! The engine on RocksDB: for data that outgrows memory.
//!
//! It is written without RocksDB's write-ahead log, one batch per commit: the consensus log is the
//! write-ahead log. What is flushed is durable, in the order of the commits, and the persisted read
//! tier, which leaves the memtables out, tells how far that is. After a crash there is a prefix of
//! the units, and the rest is replayed.
//!
//! One instance per group with one column family; they share a block cache, a budget for memtables
//! and a few threads, which [`RocksResources`] holds. Those threads run at low priority: a core that
//! compacts must not keep the event loop waiting.
//!
//! ```text
//! DIRECTORY/db/        RocksDB's own
//! DIRECTORY/views/     checkpoints that are being read; means nothing after a restart
//! DIRECTORY/load/      tables on their way into an empty engine; likewise
//! ```
//!
//! Left out: prefix extractors (keys are spread by their hash), and a rate limiter (low priority, and
//! syncing as it goes, has been enough).

mod load;
mod log;
mod options;
mod view;

pub use log::RocksLog;
pub use options::RocksResources;

use std::fs;
use std::io;
use std::ops::{Bound, ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{DB, DBPinnableSlice, FlushOptions, ReadOptions, ReadTier, WriteBatch, WriteOptions};

use self::view::Checkpointed;
use crate::backend::Backend;
use crate::engine::{Engine, EngineError};
use crate::frozen::{Flush, Frozen, Rows};
use crate::staged::{Found, Staged, StagedOp};

/// Opens [`RocksEngine`]s that share their resources.
#[derive(Clone)]
pub struct RocksBackend {
    resources: RocksResources,
}

impl RocksBackend {
    /// Engines that live within these resources.
    #[must_use]
    pub fn new(resources: RocksResources) -> Self {
        RocksBackend { resources }
    }
}

impl Backend for RocksBackend {
    type Engine = RocksEngine;

    fn name(&self) -> &'static str {
        "rocksdb"
    }

    fn keeps(&self) -> bool {
        true
    }

    fn open(&self, directory: &Path) -> Result<RocksEngine, EngineError> {
        RocksEngine::open(directory, &self.resources)
    }
}

/// An [`Engine`] on RocksDB.
pub struct RocksEngine {
    db: Arc<DB>,
    directory: PathBuf,
    resources: RocksResources,
    staged: Staged,
    read: ReadOptions,
    read_durable: ReadOptions,
    write: WriteOptions,
    next_view: u64,
}

/// A value lent out: by what is staged, or by a block that stays pinned.
pub enum RocksValue<'a> {
    /// Not committed yet.
    Staged(&'a [u8]),
    /// Committed.
    Committed(DBPinnableSlice<'a>),
}

impl Deref for RocksValue<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            RocksValue::Staged(value) => value,
            RocksValue::Committed(value) => value,
        }
    }
}

fn failed(action: &'static str) -> impl Fn(rocksdb::Error) -> EngineError {
    move |error| EngineError::new(action, error)
}

/// Removes a directory and what is in it; none is fine.
fn clear(directory: &Path) -> Result<(), EngineError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(EngineError::new("tidy its directory", error))
        }
        _ => Ok(()),
    }
}

impl RocksEngine {
    /// Opens the engine in `directory`, or a new one if there is none.
    ///
    /// # Errors
    /// Another process has it open, it is damaged, or the disk failed.
    pub fn open(directory: &Path, resources: &RocksResources) -> Result<Self, EngineError> {
        clear(&directory.join("views"))?;
        clear(&directory.join("load"))?;
        fs::create_dir_all(directory)
            .map_err(|error| EngineError::new("make its directory", error))?;
        let db = DB::open(&resources.options(), directory.join("db"))
            .map_err(failed("open its database"))?;
        let mut read_durable = ReadOptions::default();
        read_durable.set_read_tier(ReadTier::Persisted);
        let mut write = WriteOptions::default();
        write.disable_wal(true);
        Ok(RocksEngine {
            db: Arc::new(db),
            directory: directory.to_owned(),
            resources: resources.clone(),
            staged: Staged::default(),
            read: ReadOptions::default(),
            read_durable,
            write,
            next_view: 0,
        })
    }
}

impl Engine for RocksEngine {
    type Value<'a> = RocksValue<'a>;

    fn get(&self, key: &[u8]) -> Result<Option<RocksValue<'_>>, EngineError> {
        match self.staged.get(key) {
            Found::Value(value) => return Ok(Some(RocksValue::Staged(value))),
            Found::Deleted => return Ok(None),
            Found::Nothing => {}
        }
        let found = self.db.get_pinned_opt(key, &self.read);
        let found = found.map_err(failed("read a key"))?;
        Ok(found.map(RocksValue::Committed))
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.staged.scan((from, to), visit, |visit| {
            view::scan(&self.db, ReadOptions::default(), from, to, visit)
        })
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.staged.put(key, value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.staged.delete(key);
        Ok(())
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        self.staged.delete_range(from, to);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let mut batch = WriteBatch::with_capacity_bytes(self.staged.bytes());
        for op in self.staged.ops() {
            match op {
                StagedOp::Put(key, value) => batch.put(key, value),
                StagedOp::Delete(key) => batch.delete(key),
                StagedOp::DeleteRange(from, to) => batch.delete_range(from, to),
            }
        }
        let written = self.db.write_opt(batch, &self.write);
        written.map_err(failed("write a batch"))?;
        self.staged.clear();
        Ok(())
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let found = self.db.get_opt(key, &self.read_durable);
        found.map_err(failed("read what is durable"))
    }

    fn flush(&mut self) -> Result<Flush, EngineError> {
        let mut options = FlushOptions::default();
        options.set_wait(false);
        let begun = self.db.flush_opt(&options);
        begun.map_err(failed("begin to flush"))?;
        Ok(Flush::Started)
    }

    fn freeze(&mut self) -> Result<Frozen, EngineError> {
        self.next_view += 1;
        let name = self.next_view.to_string();
        Ok(Frozen::Apart(Box::new(Checkpointed::new(
            Arc::clone(&self.db),
            self.directory.join("views").join(name),
            self.resources.clone(),
        ))))
    }

    fn load(&mut self, rows: &mut dyn Rows) -> Result<(), EngineError> {
        let directory = self.directory.join("load");
        let loaded = load::load(&self.db, &self.resources, &directory, rows);
        let cleared = clear(&directory);
        loaded.and(cleared)
    }
}
