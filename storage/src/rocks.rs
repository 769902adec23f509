//! The engine on RocksDB: for data that outgrows memory.
//!
//! RocksDB keeps the tables: it writes them, finds rows in them, and compacts them. What is newer than
//! the tables is in memory, in the same tree that the memory engine is made of, and is lost in a
//! crash: the consensus log is the write-ahead log. When the tree is full it is sealed, between two
//! units, and becomes one table as a whole, on a thread of its own. So what is in tables is a prefix
//! of the units, is durable, and tells itself how far it is.
//!
//! Why not RocksDB's memtable: putting a row into its skip list costs a microsecond of cache misses,
//! on every copy of every write, and it keeps every version of a row, so that a key that is
//! written again and again is flushed again and again. The tree costs a quarter of that, and keeps
//! the last one.
//!
//! One instance per group with one column family; they share a block cache, a budget for what is in
//! memory, and a thread that compacts at low priority, which [`RocksResources`] holds: a core that
//! compacts must not keep the event loop waiting.
//!
//! ```text
//! DIRECTORY/db/        RocksDB's own
//! DIRECTORY/tables/    tables on their way into it; means nothing after a restart
//! DIRECTORY/views/     checkpoints that are being read; likewise
//! ```
//!
//! Left out: prefix extractors (keys are spread by their hash), and a rate limiter (low priority, and
//! syncing as it goes, has been enough).

mod load;
mod log;
mod options;
mod tables;
mod view;

pub use log::RocksLog;
pub use options::RocksResources;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::mem;
use std::ops::{Bound, ControlFlow, Deref};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{DBPinnableSlice, ReadOptions};

use self::options::{BUFFERS, Share};
use self::tables::Tables;
use self::view::Checkpointed;
use crate::backend::Backend;
use crate::engine::{Engine, EngineError};
use crate::frozen::{Flush, Frozen, Rows};
use crate::write_buffer::{Found, Range, Visit, WriteBuffer};

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
    tables: Tables,
    directory: PathBuf,
    resources: RocksResources,
    /// What is newer than all else.
    buffer: WriteBuffer,
    /// Whether the buffer ends in the middle of a unit.
    staged: bool,
    /// What becomes tables, or has just become one: the newest last, each with its number.
    sealed: VecDeque<(u64, Arc<WriteBuffer>)>,
    next_view: u64,
    _share: Share,
}

/// A value lent out: by what is in memory, or by a block that stays pinned.
pub enum RocksValue<'a> {
    /// Not in a table yet.
    Buffered(&'a [u8]),
    /// From a table.
    Stored(DBPinnableSlice<'a>),
}

impl Deref for RocksValue<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            RocksValue::Buffered(value) => value,
            RocksValue::Stored(value) => value,
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
        Ok(RocksEngine {
            tables: Tables::open(directory, resources)?,
            directory: directory.to_owned(),
            resources: resources.clone(),
            buffer: WriteBuffer::default(),
            staged: false,
            sealed: VecDeque::new(),
            next_view: 0,
            _share: resources.share(),
        })
    }

    /// What is in memory, the newest first.
    fn buffers(&self) -> impl Iterator<Item = &WriteBuffer> + Clone {
        let sealed = self.sealed.iter().rev().map(|(_, buffer)| &**buffer);
        std::iter::once(&self.buffer).chain(sealed)
    }

    /// Hands what is in memory over to be made a table. Between two units only: a table is whole or
    /// not there, and so must a unit be.
    fn seal(&mut self) {
        assert!(!self.staged, "a unit would be torn");
        if !self.buffer.is_empty() {
            let buffer = Arc::new(mem::take(&mut self.buffer));
            let number = self.tables.write(Arc::clone(&buffer));
            self.sealed.push_back((number, buffer));
        }
    }

    /// Lets go of what is in tables.
    fn let_go(&mut self) -> Result<(), EngineError> {
        if self.sealed.is_empty() {
            return Ok(());
        }
        let written = self.tables.written()?;
        while let Some((_, buffer)) = self.sealed.pop_front_if(|(number, _)| *number <= written) {
            self.tables.free(buffer);
        }
        Ok(())
    }

    fn scan_below<'a>(
        &'a self,
        mut buffers: impl Iterator<Item = &'a WriteBuffer> + Clone,
        range: Range<'_>,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        match buffers.next() {
            Some(buffer) => buffer.scan(range, visit, |range, visit| {
                self.scan_below(buffers.clone(), range, visit)
            }),
            None => view::scan(self.tables.db(), ReadOptions::default(), range, visit),
        }
    }
}

impl Engine for RocksEngine {
    type Value<'a> = RocksValue<'a>;

    fn get(&self, key: &[u8]) -> Result<Option<RocksValue<'_>>, EngineError> {
        for buffer in self.buffers() {
            match buffer.get(key) {
                Found::Value(value) => return Ok(Some(RocksValue::Buffered(value))),
                Found::Deleted => return Ok(None),
                Found::Nothing => {}
            }
        }
        let found = self.tables.db().get_pinned(key);
        let found = found.map_err(failed("read a key"))?;
        Ok(found.map(RocksValue::Stored))
    }

    fn expect(&self, beginnings: &[[u8; 8]]) {
        self.buffer.expect(beginnings);
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.scan_below(self.buffers(), (from, to), visit)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.staged = true;
        self.buffer.put(key, value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.staged = true;
        self.buffer.delete(key);
        Ok(())
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        self.staged = true;
        self.buffer.delete_range(from, to);
        Ok(())
    }

    fn is_busy(&self) -> bool {
        // Half a buffer is room enough for what comes before this is asked again.
        let written = self.tables.written();
        self.buffer.size() >= self.resources.buffer_bytes() / 2
            && self.sealed.len() + 2 >= BUFFERS
            && (self.sealed.front())
                .is_some_and(|(oldest, _)| written.is_ok_and(|written| written < *oldest))
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        self.staged = false;
        self.let_go()?;
        if self.buffer.size() < self.resources.buffer_bytes() {
            return Ok(());
        }
        // Whoever writes faster than the disk does waits here, as memory is bounded.
        if let Some((oldest, _)) = self.sealed.front()
            && self.sealed.len() + 2 >= BUFFERS
        {
            self.tables.wait_for(*oldest)?;
            self.let_go()?;
        }
        self.seal();
        Ok(())
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        self.tables.written()?;
        let found = self.tables.db().get(key);
        found.map_err(failed("read what is durable"))
    }

    fn flush(&mut self) -> Result<Flush, EngineError> {
        self.let_go()?;
        self.seal();
        Ok(Flush::Started)
    }

    fn freeze(&mut self) -> Result<Frozen, EngineError> {
        self.let_go()?;
        self.seal();
        self.next_view += 1;
        let directory = self
            .directory
            .join("views")
            .join(self.next_view.to_string());
        let view = self.tables.view(directory.clone());
        Ok(Frozen::Apart(Box::new(Checkpointed::new(directory, view))))
    }

    fn load(&mut self, rows: &mut dyn Rows) -> Result<(), EngineError> {
        let directory = self.directory.join("tables");
        load::load(self.tables.db(), &self.resources, &directory, rows)
    }
}

#[cfg(test)]
mod tests;
