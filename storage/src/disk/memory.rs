//! A disk in memory that fails as disks fail, and the same way again for the same seed.
//!
//! Each file has two images: what readers see, and what is durable. A write changes the first and
//! marks its sectors dirty; a sync copies dirty sectors to the second. At a [crash](MemoryDisk::crash)
//! every dirty sector is kept or lost on its own, so a torn write is any subset of its sectors; and
//! every creation, removal and rename that no `sync_dir` followed happened or did not. A failed sync
//! leaves the sectors readable and clean, with any subset of them durable, as Linux does it: a later
//! sync succeeds without writing them.
//!
//! Left out: misdirected writes (tests write them themselves through [`MemoryDisk::damage`]) and
//! sectors torn within themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, DiskFile, SECTOR_BYTES};
use crate::random::Random;

/// A directory in memory. Clones are the same directory, as two processes would see it.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// Counts crashes: what was opened before one is dead after it.
    life: u64,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// What happened to names since the last `sync_dir`, in order.
    changes: Vec<Change>,
    files: BTreeMap<u64, Image>,
    locks: BTreeSet<String>,
    writes: Countdown,
    syncs: Countdown,
    power: Countdown,
    room: Option<u64>,
    operations: u64,
    reads_fail: bool,
    misdirected: Countdown,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, u64),
    Remove(String),
    Rename(String, String, u64),
}

#[derive(Debug, Default)]
struct Image {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<u64>,
}

/// Fails the n-th operation from now.
#[derive(Debug, Default)]
struct Countdown(Option<u64>);

impl Countdown {
    fn strikes(&mut self) -> bool {
        match self.0 {
            Some(0) => {
                self.0 = None;
                true
            }
            Some(left) => {
                self.0 = Some(left - 1);
                false
            }
            None => false,
        }
    }
}

impl MemoryDisk {
    /// An empty directory whose faults follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        MemoryDisk {
            state: Arc::new(Mutex::new(State {
                random: Random::new(seed),
                life: 0,
                next_inode: 0,
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                changes: Vec::new(),
                files: BTreeMap::new(),
                locks: BTreeSet::new(),
                writes: Countdown::default(),
                syncs: Countdown::default(),
                power: Countdown::default(),
                room: None,
                operations: 0,
                reads_fail: false,
                misdirected: Countdown::default(),
            })),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock held is failing anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The power fails: unsynced sectors and names are kept or lost by chance, open files are dead
    /// (`BrokenPipe`), locks are free, planned faults are forgotten.
    pub fn crash(&self) {
        self.state().crash();
    }

    /// The process dies and the machine does not: open files are dead, locks are free, but whatever
    /// was written is seen, durable or not.
    pub fn kill(&self) {
        self.state().end_process();
    }

    /// Fails a write with `EIO`, after `after` more have succeeded; any part of it may have been
    /// written.
    pub fn fail_write(&self, after: u64) {
        self.state().writes.0 = Some(after);
    }

    /// Fails a sync, of a file or of the directory, with `EIO`, after `after` more have succeeded.
    pub fn fail_sync(&self, after: u64) {
        self.state().syncs.0 = Some(after);
    }

    /// The power fails at an operation, after `after` more have succeeded: it does not happen, and
    /// fails with `BrokenPipe`, as does everything that is open. Operations are those that
    /// [`operations`](Self::operations) counts.
    pub fn cut_power(&self, after: u64) {
        self.state().power.0 = Some(after);
    }

    /// Leaves room for that many bytes in all files together: a write that needs more fails with
    /// `ENOSPC` where the room ends. `None` takes the limit away.
    pub fn limit(&self, bytes: Option<u64>) {
        self.state().room = bytes;
    }

    /// Lets every read fail with `EIO`, or none.
    pub fn fail_reads(&self, fail: bool) {
        self.state().reads_fail = fail;
    }

    /// Lets a read bring the bytes of the sector behind the one asked for, after `after` more reads
    /// have been right. The disk itself is sound.
    pub fn misdirect_read(&self, after: u64) {
        self.state().misdirected.0 = Some(after);
    }

    /// Forgets every fault that was planned and has not happened.
    pub fn calm(&self) {
        self.state().calm();
    }

    /// How many writes, syncs and changes of names there have been: the places a test can put a
    /// fault at.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// The names of all files, ascending.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// What a reader would see of a file; empty if there is none.
    #[must_use]
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        let image = state
            .names
            .get(name)
            .and_then(|inode| state.files.get(inode));
        image.map_or_else(Vec::new, |image| image.seen.clone())
    }

    /// Overwrites bytes of a file behind everybody's back, durably: rot, or a misdirected write.
    pub fn damage(&self, name: &str, offset: u64, bytes: &[u8]) {
        let mut state = self.state();
        let Some(inode) = state.names.get(name).copied() else {
            return;
        };
        if let Some(image) = state.files.get_mut(&inode) {
            for target in [&mut image.seen, &mut image.durable] {
                if let Some(place) = target.get_mut(offset as usize..offset as usize + bytes.len())
                {
                    place.copy_from_slice(bytes);
                }
            }
        }
    }

    /// Flips one bit of a file, durably.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) {
        let byte = self.contents(name).get(offset as usize).copied();
        if let Some(byte) = byte {
            self.damage(name, offset, &[byte ^ (1 << (bit % 8))]);
        }
    }
}

/// Which names are there after a crash: each unsynced change happened with `odds` per cent.
fn names_after_crash(state: &mut State, odds: u64) -> BTreeMap<String, u64> {
    let mut names = state.durable_names.clone();
    for change in std::mem::take(&mut state.changes) {
        if state.random.below(100) >= odds {
            continue;
        }
        match change {
            Change::Create(name, inode) => {
                names.insert(name, inode);
            }
            Change::Remove(name) => {
                names.remove(&name);
            }
            Change::Rename(from, to, inode) => {
                // It is this file that gets the name, whatever else has borne the old one.
                if names.get(&from) == Some(&inode) {
                    names.remove(&from);
                }
                names.insert(to, inode);
            }
        }
    }
    names
}

impl State {
    fn crash(&mut self) {
        // One coin per crash, so that "all lost" and "all kept" happen often enough.
        let odds = [0, 25, 50, 75, 100][self.random.below(5) as usize];
        self.names = names_after_crash(self, odds);
        self.durable_names = self.names.clone();
        let live: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|inode, _| live.contains(inode));
        for image in self.files.values_mut() {
            let dirty = std::mem::take(&mut image.dirty);
            for sector in dirty {
                if self.random.below(100) < odds {
                    image.harden(sector);
                }
            }
            image.seen = image.durable.clone();
        }
        self.end_process();
    }

    /// Counts an operation; fails if it is the one at which the power does.
    fn operation(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.power.strikes() {
            self.crash();
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }

    /// How many of `bytes` from `offset` on a file may still take.
    fn room_for(&self, image: &Image, offset: u64, bytes: u64) -> u64 {
        let Some(room) = self.room else {
            return bytes;
        };
        let others: usize = self.files.values().map(|file| file.seen.len()).sum();
        let end = room
            .saturating_sub(others as u64)
            .max(image.seen.len() as u64);
        bytes.min(end.saturating_sub(offset))
    }

    fn end_process(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.calm();
    }

    fn calm(&mut self) {
        self.power = Countdown::default();
        self.writes = Countdown::default();
        self.syncs = Countdown::default();
        self.misdirected = Countdown::default();
        self.reads_fail = false;
    }

    fn inode(&self, name: &str) -> io::Result<u64> {
        let inode = self.names.get(name).copied();
        inode.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Image {
    fn write(&mut self, bytes: &[u8], offset: u64) {
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        if self.seen.len() < to {
            self.seen.resize(to, 0);
        }
        if let Some(place) = self.seen.get_mut(from..to) {
            place.copy_from_slice(bytes);
        }
        if to > from {
            self.dirty
                .extend(offset / SECTOR_BYTES..=(to as u64 - 1) / SECTOR_BYTES);
        }
    }

    /// Makes one sector durable as readers see it.
    fn harden(&mut self, sector: u64) {
        let from = (sector * SECTOR_BYTES) as usize;
        let to = (from + SECTOR_BYTES as usize).min(self.seen.len());
        if self.durable.len() < to {
            self.durable.resize(to, 0);
        }
        if let (Some(place), Some(bytes)) =
            (self.durable.get_mut(from..to), self.seen.get(from..to))
        {
            place.copy_from_slice(bytes);
        }
    }
}

impl Disk for MemoryDisk {
    type File = MemoryFile;
    type Lock = MemoryLock;

    fn create(&self, name: &str) -> io::Result<MemoryFile> {
        let mut state = self.state();
        state.operation()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.names.insert(name.to_owned(), inode);
        state.changes.push(Change::Create(name.to_owned(), inode));
        state.files.insert(inode, Image::default());
        Ok(self.file(&state, inode))
    }

    fn open(&self, name: &str) -> io::Result<MemoryFile> {
        let state = self.state();
        let inode = state.inode(name)?;
        Ok(self.file(&state, inode))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        state.inode(name)?;
        state.names.remove(name);
        state.changes.push(Change::Remove(name.to_owned()));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let inode = state.inode(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), inode);
        state
            .changes
            .push(Change::Rename(from.to_owned(), to.to_owned(), inode));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut guard = self.state();
        let state = &mut *guard;
        state.operation()?;
        if state.syncs.strikes() {
            // The changes stay pending: a crash may still keep or lose each.
            return Err(eio());
        }
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn lock(&self, name: &str) -> io::Result<MemoryLock> {
        let mut state = self.state();
        if !state.locks.insert(name.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(MemoryLock {
            disk: self.clone(),
            life: state.life,
            name: name.to_owned(),
        })
    }
}

impl MemoryDisk {
    fn file(&self, state: &State, inode: u64) -> MemoryFile {
        MemoryFile {
            disk: self.clone(),
            life: state.life,
            inode,
        }
    }
}

/// A lock on a [`MemoryDisk`], released when dropped.
#[derive(Debug)]
pub struct MemoryLock {
    disk: MemoryDisk,
    life: u64,
    name: String,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.name);
        }
    }
}

/// An open file of a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryFile {
    disk: MemoryDisk,
    life: u64,
    inode: u64,
}

impl MemoryFile {
    /// Counts an operation on this file, unless it is dead.
    fn operation(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.operation()?;
        }
        Ok(())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State, &mut Image) -> io::Result<T>) -> io::Result<T> {
        let mut guard = self.disk.state();
        let state = &mut *guard;
        if state.life != self.life {
            return Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "this file was opened before the crash",
            ));
        }
        // Taken out while it is worked on, so that the dice in `state` can be thrown meanwhile.
        let Some(mut image) = state.files.remove(&self.inode) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let result = act(state, &mut image);
        state.files.insert(self.inode, image);
        result
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|_, image| Ok(image.seen.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state, image| {
            if state.reads_fail {
                return Err(eio());
            }
            let offset = offset + u64::from(state.misdirected.strikes()) * SECTOR_BYTES;
            let rest = image.seen.get(offset as usize..).unwrap_or_default();
            let bytes = rest.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..bytes), rest.get(..bytes)) {
                to.copy_from_slice(from);
            }
            Ok(bytes)
        })
    }

    fn write_at(&self, pieces: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.operation()?;
        self.with(|state, image| {
            let total = pieces.iter().map(|piece| piece.len() as u64).sum();
            let mut left = state.room_for(image, offset, total);
            let mut outcome = Ok(());
            if left < total {
                outcome = Err(io::ErrorKind::StorageFull.into());
            }
            if state.writes.strikes() {
                left = state.random.below(left + 1);
                outcome = Err(eio());
            }
            let mut at = offset;
            for piece in pieces {
                let bytes = (piece.len() as u64).min(left);
                image.write(piece.get(..bytes as usize).unwrap_or_default(), at);
                at += bytes;
                left -= bytes;
            }
            outcome
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operation()?;
        self.with(|state, image| {
            let fails = state.syncs.strikes();
            for sector in std::mem::take(&mut image.dirty) {
                if !fails || state.random.below(2) == 0 {
                    image.harden(sector);
                }
            }
            if fails { Err(eio()) } else { Ok(()) }
        })
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}
