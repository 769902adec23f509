//! The engine on fjall, a log-structured merge tree in Rust: the same trait in a few hundred lines.
//!
//! fjall keeps a journal of its own and cannot do without. It is written without a sync, and synced
//! when a flush is asked for, on a thread of its own: what was committed before that is durable then.
//! fjall cannot tell what a crash would leave, so the engine remembers: the view of the moment at
//! which the last finished sync began. That view holds overwritten values back from compaction, until
//! the next flush; so flush now and then.
//!
//! A batch of fjall's has no order within itself: what is staged is settled before it is written, the
//! last operation on a key counting. A range is deleted key by key.
//!
//! Keys are limited to 65,534 bytes. A longer one is an error, which stops the node: nobody who has
//! such keys may choose this engine.
//!
//! Left out: memory shared between engines (each has a cache of its own), and any promise about the
//! time of a commit: fjall puts a writer to sleep, for a tenth of a second at a time, when it falls
//! behind with flushing.

use std::ops::{Bound, ControlFlow, Deref};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use fjall::{
    Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot, UserValue,
};

use crate::backend::Backend;
use crate::engine::{Engine, EngineError};
use crate::frozen::{Flush, Frozen, FrozenRows, Rows};
use crate::write_buffer::{Found, Visit, WriteBuffer};

/// How much a memtable holds at most.
const MEMTABLE_MAX: u64 = 16 << 20;
const LOAD_BYTES: usize = 1 << 20;
/// What every key begins with: fjall knows no empty ones.
const PREFIX: u8 = 0;
/// The longest key: fjall's limit, less the prefix.
const KEY_MAX: usize = u16::MAX as usize - 1;

/// Opens [`FjallEngine`]s.
#[derive(Clone, Copy, Debug)]
pub struct FjallBackend {
    memory_bytes: usize,
}

impl FjallBackend {
    /// Each engine gets `memory_bytes`, for blocks and memtables.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Self {
        FjallBackend { memory_bytes }
    }
}

impl Backend for FjallBackend {
    type Engine = FjallEngine;

    fn name(&self) -> &'static str {
        "fjall"
    }

    fn keeps(&self) -> bool {
        true
    }

    fn open(&self, directory: &Path) -> Result<FjallEngine, EngineError> {
        FjallEngine::open(directory, self.memory_bytes)
    }
}

/// An [`Engine`] on fjall.
///
/// Why this one and not redb: what blind puts cost, because every copy applies every write. Both as
/// they are, without this crate around them, 256-byte values, keys in random order, nothing synced;
/// µs of CPU of the writing thread per operation, on two cores that others used too.
///
/// | | put, batches of 16 | of 128 | of 1,024 | get | scan, per row | flush |
/// |---|---|---|---|---|---|---|
/// | fjall 3.1, 100,000 keys | 1.8 | 2.2 | 1.9 | 3.5 | 0.8 | beside the writer |
/// | redb 4.6, 100,000 keys | 6.3 | 5.1 | 4.3 | 1.0 | 0.1 | 70 to 120 ms of the writer's time |
/// | fjall 3.1, 1,000,000 keys | 3.6 | 6.5 | 8.2 | 11.6 | 2.0 | beside the writer |
/// | redb 4.6, 1,000,000 keys | 15.2 | 15.8 | 19.7 | 4.8 | 0.6 | 450 to 770 ms of the writer's time |
///
/// Slower than RocksDB in everything; it is here to compile in a minute, and to show that a backend
/// is a few hundred lines.
pub struct FjallEngine {
    /// What is not committed yet.
    staged: WriteBuffer,
    rows: Keyspace,
    /// What is durable, and whether making it so has failed.
    durable: Arc<Mutex<Durable>>,
    /// Asks for a sync, naming what it will make durable; gone when the engine is.
    flushes: Option<Sender<Snapshot>>,
    syncing: Option<JoinHandle<()>>,
    // Closed last.
    db: Database,
}

struct Durable {
    view: Snapshot,
    failure: Option<String>,
}

/// A value lent out: by what is staged, or shared with the tree.
#[derive(Debug)]
pub enum FjallValue<'a> {
    /// Not committed yet.
    Staged(&'a [u8]),
    /// Committed.
    Committed(UserValue),
}

impl Deref for FjallValue<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            FjallValue::Staged(value) => value,
            FjallValue::Committed(value) => value,
        }
    }
}

fn failed(action: &'static str) -> impl Fn(fjall::Error) -> EngineError {
    move |error| EngineError::new(action, error)
}

/// A key as it is stored.
fn stored(key: &[u8]) -> Vec<u8> {
    [&[PREFIX], key].concat()
}

impl FjallEngine {
    /// Opens the engine in `directory`, or a new one if there is none.
    ///
    /// # Errors
    /// Another process has it open, it is damaged, or the disk failed.
    pub fn open(directory: &Path, memory_bytes: usize) -> Result<Self, EngineError> {
        let memtable = (memory_bytes as u64 / 16).clamp(1 << 20, MEMTABLE_MAX);
        // Up to five memtables are in memory at a time.
        let cache = (memory_bytes as u64)
            .saturating_sub(5 * memtable)
            .max(1 << 20);
        let db = Database::builder(directory)
            .cache_size(cache)
            .manual_journal_persist(true)
            .worker_threads(1)
            .open()
            .map_err(failed("open its database"))?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable);
        let rows = db
            .keyspace("rows", options)
            .map_err(failed("open its keyspace"))?;
        // What was found may be in the page cache only.
        db.persist(PersistMode::SyncAll)
            .map_err(failed("sync its journal"))?;
        let durable = Arc::new(Mutex::new(Durable {
            view: db.snapshot(),
            failure: None,
        }));
        let (flushes, asked) = channel();
        let (syncing_db, syncing_durable) = (db.clone(), Arc::clone(&durable));
        let syncing = thread::Builder::new()
            .name("fjall-sync".to_owned())
            .spawn(move || sync_when_asked(&syncing_db, &asked, &syncing_durable))
            .map_err(|error| EngineError::new("start its thread", error))?;
        Ok(FjallEngine {
            staged: WriteBuffer::default(),
            rows,
            durable,
            flushes: Some(flushes),
            syncing: Some(syncing),
            db,
        })
    }

    /// The view of what is durable.
    fn durable(&self) -> Result<Snapshot, EngineError> {
        let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        match &durable.failure {
            Some(failure) => Err(EngineError::new("sync its journal", failure.clone())),
            None => Ok(durable.view.clone()),
        }
    }
}

/// Syncs once for all that have asked, again and again, until the engine is gone.
fn sync_when_asked(db: &Database, asked: &Receiver<Snapshot>, durable: &Mutex<Durable>) {
    while let Ok(first) = asked.recv() {
        let view = asked.try_iter().last().unwrap_or(first);
        let synced = db.persist(PersistMode::SyncAll);
        let mut durable = durable.lock().unwrap_or_else(PoisonError::into_inner);
        match synced {
            Ok(()) => durable.view = view,
            Err(error) => {
                durable.failure = Some(error.to_string());
                return;
            }
        }
    }
}

impl Drop for FjallEngine {
    fn drop(&mut self) {
        self.flushes = None;
        if let Some(thread) = self.syncing.take() {
            // It only ends with a panic if fjall does; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Visits the rows of a view between two bounds that are neither empty nor upside down.
fn scan(
    view: &Snapshot,
    rows: &Keyspace,
    range: (Bound<&[u8]>, Bound<&[u8]>),
    visit: Visit<'_>,
) -> Result<(), EngineError> {
    let (from, to) = range;
    for row in view.range::<Vec<u8>, _>(rows, (from.map(stored), to.map(stored))) {
        let (key, value) = row.into_inner().map_err(failed("scan its keys"))?;
        if visit(key.get(1..).unwrap_or_default(), &value).is_break() {
            break;
        }
    }
    Ok(())
}

impl Engine for FjallEngine {
    type Value<'a> = FjallValue<'a>;

    fn get(&self, key: &[u8]) -> Result<Option<FjallValue<'_>>, EngineError> {
        match self.staged.get(key) {
            Found::Value(value) => return Ok(Some(FjallValue::Staged(value))),
            Found::Deleted => return Ok(None),
            Found::Nothing => {}
        }
        let found = self.rows.get(stored(key)).map_err(failed("read a key"))?;
        Ok(found.map(FjallValue::Committed))
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let view = self.db.snapshot();
        self.staged.scan((from, to), visit, |range, visit| {
            scan(&view, &self.rows, range, visit)
        })
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        if key.len() > KEY_MAX {
            let length = key.len();
            let what = format!("fjall takes keys of {KEY_MAX} bytes, this one has {length}");
            return Err(EngineError::new("store a key", what));
        }
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
        let mut removed = Vec::new();
        let view = self.db.snapshot();
        let mut batch = self.db.batch().durability(None);
        let staged = &self.staged;
        for (from, to) in staged.emptied() {
            let range = (Bound::Included(from), Bound::Excluded(to));
            scan(&view, &self.rows, range, &mut |key, _| {
                // One that is set again must not be removed by the same batch.
                if staged.get(key) == Found::Deleted {
                    removed.push(stored(key));
                }
                ControlFlow::Continue(())
            })?;
        }
        for (key, value) in staged.entries((Bound::Unbounded, Bound::Unbounded)) {
            match value {
                Some(value) => batch.insert(&self.rows, stored(key), value),
                None => batch.remove(&self.rows, stored(key)),
            }
        }
        for key in removed {
            batch.remove(&self.rows, key);
        }
        drop(view);
        batch.commit().map_err(failed("write a batch"))?;
        self.staged = WriteBuffer::default();
        Ok(())
    }

    fn get_durable(&self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let found = self.durable()?.get(&self.rows, stored(key));
        let found = found.map_err(failed("read what is durable"))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn flush(&mut self) -> Result<Flush, EngineError> {
        self.durable()?;
        if let Some(flushes) = &self.flushes {
            // Nobody listens only after a failure, which the next call tells of.
            let _ = flushes.send(self.db.snapshot());
        }
        Ok(Flush::Started)
    }

    fn freeze(&mut self) -> Result<Frozen, EngineError> {
        Ok(Frozen::Apart(Box::new(View {
            view: self.db.snapshot(),
            rows: self.rows.clone(),
            last: None,
            ended: false,
            _db: self.db.clone(),
        })))
    }

    fn load(&mut self, rows: &mut dyn Rows) -> Result<(), EngineError> {
        let action = "load rows";
        let mut tables = self.rows.start_ingestion().map_err(failed(action))?;
        let mut more = true;
        while more {
            let mut written = Ok(());
            more = rows.read(LOAD_BYTES, &mut |key, value| {
                if written.is_ok() {
                    written = tables.write(stored(key), value);
                }
            })?;
            written.map_err(failed(action))?;
        }
        tables.finish().map_err(failed(action))?;
        self.db
            .persist(PersistMode::SyncAll)
            .map_err(failed("sync its journal"))?;
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        durable.view = self.db.snapshot();
        Ok(())
    }
}

/// What was committed at one moment, read on any thread.
struct View {
    view: Snapshot,
    rows: Keyspace,
    last: Option<Vec<u8>>,
    ended: bool,
    _db: Database,
}

impl FrozenRows for View {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let found = self.view.get(&self.rows, stored(key));
        let found = found.map_err(failed("read a key"))?;
        Ok(found.map(|value| value.to_vec()))
    }
}

impl Rows for View {
    fn read(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        if self.ended {
            return Ok(false);
        }
        let last = self.last.take();
        let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut bytes = 0;
        let range = (from, Bound::Unbounded);
        scan(&self.view, &self.rows, range, &mut |key, value| {
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
