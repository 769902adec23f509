//! Everything a log does to a file system, as a trait, so that every fault of one can be simulated.
//!
//! A [`Disk`] is one directory, flat; names are plain file names. [`RealDisk`] is the real thing,
//! [`MemoryDisk`] one that loses power, tears writes, flips bits and fails on demand.
//!
//! The traits promise what POSIX does and no more: a write may reach the disk in any order and in
//! pieces of [`SECTOR_BYTES`] until [`sync_data`](DiskFile::sync_data) returns; a name may appear,
//! change or vanish, or not, until [`sync_dir`](Disk::sync_dir) returns.

mod memory;
mod real;

use std::io::{self, IoSlice};

pub use memory::{MemoryDisk, MemoryFile, MemoryLock};
pub use real::{RealDisk, RealFile, RealLock};

/// What a disk writes entirely or not at all: 512 bytes, aligned.
pub const SECTOR_BYTES: u64 = 512;

/// A directory of files.
pub trait Disk: Send + 'static {
    /// An open file, readable and writable.
    type File: DiskFile;
    /// A held lock; dropping it, or the end of the process, releases it.
    type Lock: Send + 'static;

    /// Creates an empty file.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; else what the operating system says.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// `NotFound` if it does not; else what the operating system says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// The names of all files, in no particular order.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Removes a file's name; whoever has it open may go on using it.
    ///
    /// # Errors
    /// `NotFound` if there is none; else what the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames a file, in place of one that has the new name already. After a crash exactly one of
    /// the two names is there.
    ///
    /// # Errors
    /// `NotFound` if there is no `from`; else what the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the creations, removals and renames so far durable.
    ///
    /// # Errors
    /// What the operating system says; then nobody knows which of them are.
    fn sync_dir(&self) -> io::Result<()>;

    /// Takes the lock of that name, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if another holder has it, in this process or another; else what the operating
    /// system says.
    fn lock(&self, name: &str) -> io::Result<Self::Lock>;
}

/// An open file.
pub trait DiskFile: Send + 'static {
    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset` on, as far as the file reaches, and says how far that was.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `pieces`, one behind the other, from `offset` on; the file grows as needed, a
    /// gap reads as zeros. The slices are consumed on the way.
    ///
    /// # Errors
    /// What the operating system says; any part of it may have been written.
    fn write_at(&self, pieces: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes what was written so far durable, and the length.
    ///
    /// # Errors
    /// What the operating system says. What was written is then lost or not, and a later success
    /// does not mean that it is there.
    fn sync_data(&self) -> io::Result<()>;
}
