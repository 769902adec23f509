//! A directory of the operating system's.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FlockOperation, OFlags};

use super::{Disk, DiskFile, SECTOR_BYTES};

/// How many pieces one `pwritev` takes at most: Linux' `IOV_MAX`.
const PIECES_MAX: usize = 1024;

/// How much is written past the page cache at a time, in bytes.
const DIRECT_BYTES_MAX: usize = 1 << 20;
/// What every file system and device is content with, in bytes.
const DIRECT_ALIGNMENT: usize = 4096;

/// A directory on a real disk.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    directory: File,
    buffer: Buffer,
}

/// Aligned memory from which all files of a disk are written past the page cache.
type Buffer = Arc<Mutex<Vec<u8>>>;

impl RealDisk {
    /// The directory at `path`, made durably if it is not there.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        make_durably(path)?;
        Ok(RealDisk {
            path: path.to_owned(),
            directory: File::open(path)?,
            buffer: Buffer::default(),
        })
    }

    fn open_file(&self, name: &str, options: &OpenOptions) -> io::Result<RealFile> {
        let path = self.path.join(name);
        let file = options.open(&path)?;
        let mut direct = OpenOptions::new();
        direct
            .write(true)
            .custom_flags(OFlags::DIRECT.bits().cast_signed());
        Ok(RealFile {
            file,
            // Some file systems have no such thing.
            direct: direct.open(path).ok(),
            unsuited: Cell::new(false),
            buffer: Arc::clone(&self.buffer),
        })
    }
}

/// Like `create_dir_all`, but a directory that had to be made outlives a power cut.
fn make_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    make_durably(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

impl Disk for RealDisk {
    type File = RealFile;
    type Lock = RealLock;

    fn create(&self, name: &str) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        self.open_file(name, &options)
    }

    fn open(&self, name: &str) -> io::Result<RealFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        self.open_file(name, &options)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names: io::Result<Vec<OsString>> = fs::read_dir(&self.path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect();
        // A name that is not text is none of ours.
        Ok(names?
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn lock(&self, name: &str) -> io::Result<RealLock> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(self.path.join(name))?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(RealLock { _file: file })
    }
}

/// An exclusive `flock`, which ends with the file's last descriptor.
#[derive(Debug)]
pub struct RealLock {
    _file: File,
}

/// An open file on a real disk.
///
/// What begins and ends with a sector is written past the page cache, where the file system and the
/// device let it: a log is written once and hardly ever read again, and copying it into fresh pages
/// cost more than a tenth of all the CPU of a cluster. Everything else, and reading, goes through the
/// cache, which the kernel keeps true to what is written past it.
#[derive(Debug)]
pub struct RealFile {
    file: File,
    /// The same file, for writing past the page cache.
    direct: Option<File>,
    /// The device wants another alignment.
    unsuited: Cell<bool>,
    buffer: Buffer,
}

impl RealFile {
    /// Writes past the page cache, as far as that is possible, and says how far it was. What was
    /// written is gone from `pieces`.
    fn write_direct(&self, pieces: &mut &mut [IoSlice<'_>], offset: u64) -> io::Result<u64> {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let sector = SECTOR_BYTES as usize;
        let aligned = offset.is_multiple_of(SECTOR_BYTES) && length.is_multiple_of(sector);
        let Some(direct) = (self.direct.as_ref()).filter(|_| aligned && !self.unsuited.get())
        else {
            return Ok(0);
        };
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = 0;
        while done < length {
            buffer.clear();
            buffer.reserve(DIRECT_ALIGNMENT + DIRECT_BYTES_MAX.min(length - done));
            let start = buffer.as_ptr().align_offset(DIRECT_ALIGNMENT);
            buffer.resize(start, 0);
            for piece in pieces.iter() {
                let room = start + DIRECT_BYTES_MAX - buffer.len();
                buffer.extend_from_slice(piece.get(..room).unwrap_or(piece));
            }
            let from = buffer.get(start..).unwrap_or_default();
            match rustix::io::pwrite(direct, from, offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    done += bytes;
                    IoSlice::advance_slices(pieces, bytes);
                    if !bytes.is_multiple_of(sector) {
                        break;
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::INVAL) => {
                    self.unsuited.set(true);
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(done as u64)
    }
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(bytes) => done += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, mut pieces: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut pieces, 0);
        offset += self.write_direct(&mut pieces, offset)?;
        while !pieces.is_empty() {
            let (now, _) = pieces.split_at(pieces.len().min(PIECES_MAX));
            match rustix::io::pwritev(&self.file, now, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    offset += bytes as u64;
                    IoSlice::advance_slices(&mut pieces, bytes);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        // Never repeated: after a failure the kernel takes the lost pages for clean.
        Ok(rustix::fs::fdatasync(&self.file)?)
    }
}
