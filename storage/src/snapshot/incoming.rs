//! A snapshot as it arrives, piece by piece, from another node.
//!
//! Every byte is checked before it is written, so what is complete is known to be right without
//! reading it again. After a crash nobody knows which of the last bytes are on the disk, whatever
//! the file's length says: so a part is read again when it is opened, and goes on behind the last
//! chunk whose checksum is right.

use std::io::{self, IoSlice};

use super::check::Check;
use super::format::{HEADER_BYTES, Header};
use super::writer::SYNC_BYTES;
use super::{SnapshotError, SnapshotMeta, complete};
use crate::disk::{Disk, DiskFile};

/// The end of the name of a snapshot that is being received.
pub(crate) const PART: &str = ".part";

/// How much of a part is read at once when it is opened again.
const READ_BYTES: usize = 1 << 20;

/// A snapshot being received. Dropped, it leaves its part, from which the next one goes on.
#[derive(Debug)]
pub struct IncomingSnapshot<D: Disk> {
    file: D::File,
    name: String,
    meta: SnapshotMeta,
    check: Check,
    synced: u64,
}

impl<D: Disk> IncomingSnapshot<D> {
    /// Goes on with the part of exactly this snapshot, or begins one.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(disk: &D, meta: SnapshotMeta) -> Result<Self, SnapshotError> {
        let name = format!("{}{PART}", meta.id);
        let failed = |source| SnapshotError::io("received", &name, source);
        let file = match disk.open(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk.create(&name).map_err(failed)?
            }
            opened => opened.map_err(failed)?,
        };
        let end = file.len().map_err(failed)?.min(meta.bytes);
        let check = check_up_to(&file, end).map_err(failed)?;
        // What was found may be in the page cache only.
        sync_or_spoil(&file).map_err(failed)?;
        disk.sync_dir().map_err(failed)?;
        let mut incoming = IncomingSnapshot {
            file,
            name,
            meta,
            synced: check.good(),
            check,
        };
        incoming.rewind();
        Ok(incoming)
    }

    /// Which one it is.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// How many bytes are here: the offset of the next piece.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.check.offset()
    }

    /// How many bytes a crash would leave: what a sender need not send again.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.synced
    }

    /// Whether all of it is here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.check.footer().is_some()
    }

    /// Takes the piece that begins at `offset`. One that does not begin where the last ended is
    /// none of ours any more (a duplicate, or of before a restart) and is passed over; `false`
    /// says so.
    ///
    /// # Errors
    /// The piece is not of this snapshot: [`SnapshotError::Corrupt`]; then what
    /// [`received`](Self::received) says is right, and pieces may be taken from there. Or the disk
    /// failed; then it is to be dropped.
    pub fn store(&mut self, offset: u64, bytes: &[u8]) -> Result<bool, SnapshotError> {
        if offset != self.check.offset() || bytes.is_empty() {
            return Ok(false);
        }
        let fed = if bytes.len() as u64 > self.meta.bytes - offset {
            Err(self.corrupt("more bytes than it has"))
        } else {
            self.check
                .feed(bytes)
                .map_err(|defect| defect.of(&self.name))
                .and_then(|()| self.is_the_one())
        };
        if fed.is_err() {
            self.rewind();
        }
        // Of a piece that is wrong somewhere, the chunks before that are right.
        let right = self.check.offset().saturating_sub(offset) as usize;
        let failed = |source| SnapshotError::io("received", &self.name, source);
        if let Some(bytes) = bytes.get(..right).filter(|bytes| !bytes.is_empty()) {
            self.file
                .write_at(&mut [IoSlice::new(bytes)], offset)
                .map_err(failed)?;
        }
        if self.check.good() >= self.synced + SYNC_BYTES {
            self.sync()?;
        }
        fed.map(|()| true)
    }

    /// Makes what is here durable.
    ///
    /// # Errors
    /// The disk failed.
    pub fn sync(&mut self) -> Result<(), SnapshotError> {
        sync_or_spoil(&self.file)
            .map_err(|source| SnapshotError::io("received", &self.name, source))?;
        // Only whole chunks are found again after a crash.
        self.synced = self.check.good();
        Ok(())
    }

    /// Makes it a complete snapshot, durably.
    ///
    /// # Errors
    /// It is not complete, or the disk failed.
    pub fn finish(mut self, disk: &D) -> Result<SnapshotMeta, SnapshotError> {
        if !self.is_complete() {
            return Err(self.corrupt("it ends too early"));
        }
        self.sync()?;
        let failed = |source| SnapshotError::io("received", &self.name, source);
        complete(disk, &self.name, &self.meta.id.file()).map_err(failed)?;
        Ok(self.meta)
    }

    fn corrupt(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Corrupt {
            file: self.name.clone(),
            offset: self.check.good(),
            what,
        }
    }

    /// Whether what has come so far may be the snapshot that was announced.
    fn is_the_one(&self) -> Result<(), SnapshotError> {
        if !self
            .check
            .header()
            .is_none_or(|header| fits(header, &self.meta))
        {
            return Err(self.corrupt("a header that is not the announced one's"));
        }
        match self.check.footer() {
            Some(footer)
                if footer.digest != self.meta.id.digest
                    || self.check.offset() != self.meta.bytes =>
            {
                Err(self.corrupt("it is not the one that was announced"))
            }
            None if self.check.offset() == self.meta.bytes => {
                Err(self.corrupt("it has no end where it should"))
            }
            _ => Ok(()),
        }
    }

    /// Forgets what is not right: the section that is not complete, or everything if that is right
    /// in itself and another snapshot.
    fn rewind(&mut self) {
        self.check.rewind();
        if self.is_the_one().is_err() {
            self.check = Check::new();
        }
        self.synced = self.synced.min(self.check.offset());
    }
}

/// Syncs a part. If that fails nobody knows any more what of it is on the disk, and reading would
/// show the page cache: without a header, the next one begins anew.
fn sync_or_spoil<F: DiskFile>(file: &F) -> io::Result<()> {
    let synced = file.sync_data();
    if synced.is_err() {
        // If that fails too, no worse.
        let _ = file.write_at(&mut [IoSlice::new(&[0; HEADER_BYTES])], 0);
    }
    synced
}

fn fits(header: &Header, meta: &SnapshotMeta) -> bool {
    (header.group, header.index, header.epoch) == (meta.group, meta.id.index, meta.id.epoch)
        && header.membership == meta.membership
}

/// Checks a file up to there or to the first defect.
fn check_up_to<F: DiskFile>(file: &F, end: u64) -> io::Result<Check> {
    let mut check = Check::new();
    let mut buffer = vec![0; READ_BYTES];
    while check.offset() < end {
        let left = usize::try_from(end - check.offset()).unwrap_or(READ_BYTES);
        let place = buffer.get_mut(..left.min(READ_BYTES)).unwrap_or_default();
        let found = file.read_at(place, check.offset())?;
        let found = buffer.get(..found).unwrap_or_default();
        if found.is_empty() || check.feed(found).is_err() {
            break;
        }
    }
    Ok(check)
}
