//! The thread that turns sealed buffers into tables, in the order in which they were sealed.
//!
//! A table is written beside the database and then taken over whole, which is atomic and durable
//! when it returns. Everything that must be of one moment with that goes through the same queue: a
//! view is a checkpoint, made behind the buffers that belong to it.

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::mem;
use std::num::NonZeroU64;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{DB, IngestExternalFileOptions, SstFileWriter};
use rustix::fs::{Advice, fadvise};

use super::{RocksResources, clear, failed};
use crate::engine::EngineError;
use crate::write_buffer::WriteBuffer;

/// A database, and the thread that writes its tables.
pub(super) struct Tables {
    db: Arc<DB>,
    /// Gone when the engine is.
    jobs: Option<Sender<Job>>,
    progress: Arc<Progress>,
    thread: Option<JoinHandle<()>>,
    sealed: u64,
}

enum Job {
    Write(Arc<WriteBuffer>),
    /// There is something to free.
    Free,
    View(PathBuf, Sender<Result<DB, EngineError>>),
    /// Does it on the thread: waits, or panics.
    #[cfg(test)]
    Do(Box<dyn FnOnce() + Send>),
}

#[derive(Default)]
struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many buffers have been written.
    written: u64,
    failure: Option<String>,
    /// Buffers to be dropped there: giving back a hundred thousand rows takes its time. Before the
    /// next table is written, and not in the order of the queue: memory is counted on that.
    freed: Vec<Arc<WriteBuffer>>,
    /// Nobody waits any more for what is queued.
    closing: bool,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Opens the database in `directory`, or a new one if there is none.
    pub(super) fn open(directory: &Path, resources: &RocksResources) -> Result<Self, EngineError> {
        let make = |directory: &Path| {
            fs::create_dir_all(directory)
                .map_err(|error| EngineError::new("make its directory", error))
        };
        make(directory)?;
        // First, because it locks: what stands beside it may be of an engine that is open.
        let db = DB::open(&resources.options(), directory.join("db"))
            .map_err(failed("open its database"))?;
        for part in ["tables", "views"] {
            clear(&directory.join(part))?;
            make(&directory.join(part))?;
        }
        let db = Arc::new(db);
        let progress = Arc::new(Progress::default());
        let (jobs, queue) = channel();
        let writer = Writer {
            db: Arc::clone(&db),
            resources: resources.clone(),
            directory: directory.join("tables"),
            progress: Arc::clone(&progress),
        };
        let thread = thread::Builder::new()
            .name("tables".to_owned())
            .spawn(move || writer.run(&queue))
            .map_err(|error| EngineError::new("start its thread", error))?;
        Ok(Tables {
            db,
            jobs: Some(jobs),
            progress,
            thread: Some(thread),
            sealed: 0,
        })
    }

    pub(super) fn db(&self) -> &DB {
        &self.db
    }

    fn send(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Nobody listens only after a failure, which the next question tells of.
            let _ = jobs.send(job);
        }
    }

    /// Queues a buffer; it is written when [`written`](Tables::written) has come to the number given
    /// back.
    pub(super) fn write(&mut self, buffer: Arc<WriteBuffer>) -> u64 {
        self.send(Job::Write(buffer));
        self.sealed += 1;
        self.sealed
    }

    /// Takes a buffer that is written and not needed any more.
    pub(super) fn free(&self, buffer: Arc<WriteBuffer>) {
        self.progress.state().freed.push(buffer);
        self.send(Job::Free);
    }

    /// A view of everything queued so far, to be made in `directory`.
    pub(super) fn view(&self, directory: PathBuf) -> Receiver<Result<DB, EngineError>> {
        let (sender, view) = channel();
        self.send(Job::View(directory, sender));
        view
    }

    /// Has the thread do something before what is queued later.
    #[cfg(test)]
    pub(super) fn interpose(&self, something: impl FnOnce() + Send + 'static) {
        self.send(Job::Do(Box::new(something)));
    }

    /// How many buffers have been written.
    ///
    /// # Errors
    /// One could not be written.
    pub(super) fn written(&self) -> Result<u64, EngineError> {
        checked(&self.progress.state())
    }

    /// Waits until so many buffers have been written.
    ///
    /// # Errors
    /// One could not be written.
    pub(super) fn wait_for(&self, number: u64) -> Result<(), EngineError> {
        let mut state = self.progress.state();
        while checked(&state)? < number {
            let woken = self.progress.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}

fn checked(state: &State) -> Result<u64, EngineError> {
    match &state.failure {
        Some(failure) => Err(EngineError::new("write a table", failure.clone())),
        None => Ok(state.written),
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.progress.state().closing = true;
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It only ends with a panic if RocksDB does; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

/// Tells whoever waits for tables that the thread has panicked.
struct Ended(Arc<Progress>);

impl Drop for Ended {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.state().failure = Some("its thread panicked, which is a bug".to_owned());
            self.0.changed.notify_all();
        }
    }
}

/// What the thread works with.
struct Writer {
    db: Arc<DB>,
    resources: RocksResources,
    directory: PathBuf,
    progress: Arc<Progress>,
}

impl Writer {
    fn run(self, queue: &Receiver<Job>) {
        let _ended = Ended(Arc::clone(&self.progress));
        for job in queue {
            let mut state = self.progress.state();
            let freed = mem::take(&mut state.freed);
            if state.closing {
                return;
            }
            drop(state);
            drop(freed);
            match job {
                Job::Write(buffer) => {
                    let written = self.write(&buffer);
                    let mut state = self.progress.state();
                    match written {
                        Ok(()) => state.written += 1,
                        Err(error) => state.failure = Some(error.to_string()),
                    }
                    let failed = state.failure.is_some();
                    drop(state);
                    self.progress.changed.notify_all();
                    if failed {
                        return;
                    }
                }
                Job::Free => {}
                Job::View(directory, sender) => self.view(directory, sender),
                #[cfg(test)]
                Job::Do(something) => something(),
            }
        }
    }

    fn write(&self, buffer: &WriteBuffer) -> Result<(), Box<dyn Error>> {
        let path = self.directory.join("sealed.sst");
        match fs::remove_file(&path) {
            // RocksDB does not say if it could not remove the name under which it has taken a table
            // over: writing to that would be writing over the table.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let options = self.resources.young_table_options();
        let mut table = SstFileWriter::create(&options);
        table.open(&path)?;
        for (from, to) in buffer.emptied() {
            table.delete_range(from, to)?;
        }
        for (key, value) in buffer.entries((Bound::Unbounded, Bound::Unbounded)) {
            match value {
                Some(value) => table.put(key, value)?,
                None => table.delete(key)?,
            }
        }
        table.finish()?;
        let file = File::open(&path);
        take_over(&self.db, vec![path])?;
        // A hint that only costs time if it fails.
        let _ = file.map(|file| fetch(&file));
        Ok(())
    }

    fn view(&self, directory: PathBuf, sender: Sender<Result<DB, EngineError>>) {
        let made = Checkpoint::new(&self.db).and_then(|now| now.create_checkpoint(&directory));
        let resources = self.resources.clone();
        let open = move || {
            let mut options = resources.options();
            options.create_if_missing(false);
            let opened = made.map_err(failed("make a checkpoint")).and_then(|()| {
                let opened = DB::open_for_read_only(&options, &directory, false);
                opened.map_err(failed("open a checkpoint"))
            });
            if let Err(unwanted) = sender.send(opened) {
                // It was dropped before there was anything to clear away, and its links would keep
                // every table of this moment on the disk.
                drop(unwanted);
                let _ = clear(&directory);
            }
        };
        // Opening reads from every table, and tables must not wait for that. Without a thread the
        // sender is dropped, and whoever waits is told.
        let _ = thread::Builder::new().name("view".to_owned()).spawn(open);
    }
}

/// Has the system read a table into its page cache. RocksDB's table writer has it forget what was
/// written, and what was written last is read most.
fn fetch(file: &File) -> io::Result<()> {
    // The system reads no more than about a mebibyte when it is asked once.
    const STEP: u64 = 512 << 10;
    let length = file.metadata()?.len();
    for offset in (0..length).step_by(STEP as usize) {
        fadvise(file, offset, NonZeroU64::new(STEP), Advice::WillNeed)?;
    }
    Ok(())
}

/// Takes tables over into a database, all or none of them; they are durable when this returns.
pub(super) fn take_over(db: &DB, tables: Vec<PathBuf>) -> Result<(), rocksdb::Error> {
    let mut options = IngestExternalFileOptions::default();
    options.set_move_files(true);
    db.ingest_external_file_opts(&options, tables)
}
