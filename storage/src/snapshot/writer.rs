//! Writes a snapshot: rows go in, chunks go out, and the file gets its name when it is whole.

use std::io::IoSlice;

use bytes::Bytes;

use super::format::{
    CHUNK_BYTES, FOOTER_BYTES, Footer, Header, chunk_crc, decode_row, encode_row, fold,
};
use super::{SnapshotError, SnapshotId, SnapshotMeta, complete};
use crate::disk::{Disk, DiskFile};
use crate::log::{Epoch, GroupId};

/// What a file is called that is being written. One per group: a second begins it anew.
pub(crate) const WRITING: &str = "writing.tmp";

/// How much may be written before it is synced: one long sync at the end would keep the log, which
/// syncs to the same disk, waiting for gigabytes.
pub(super) const SYNC_BYTES: u64 = 8 << 20;

/// Rows on their way from whoever reads an engine to whoever writes a snapshot, on another thread
/// perhaps: one allocation for many.
#[derive(Clone, Debug, Default)]
pub struct RowBuffer {
    payload: Vec<u8>,
}

impl RowBuffer {
    /// Adds a row.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        encode_row(&mut self.payload, key, value);
    }

    /// How many bytes it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Whether it holds no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Forgets the rows and keeps the room.
    pub fn clear(&mut self) {
        self.payload.clear();
    }
}

/// A snapshot being written. Dropped unfinished, it leaves a temporary file, which the next one
/// replaces.
#[derive(Debug)]
pub struct SnapshotWriter<D: Disk> {
    file: D::File,
    header: Header,
    header_crc: u32,
    payload: Vec<u8>,
    rows: u64,
    bytes: u64,
    chunks: u64,
    digest: u64,
    offset: u64,
    synced: u64,
    last_key: Option<Vec<u8>>,
}

impl<D: Disk> SnapshotWriter<D> {
    /// Begins a snapshot of `group` as of (`index`, `epoch`).
    ///
    /// # Errors
    /// The disk failed.
    ///
    /// # Panics
    /// When the membership is longer than 16 MiB.
    pub fn begin(
        disk: &D,
        group: GroupId,
        (index, epoch): (u64, Epoch),
        membership: Bytes,
    ) -> Result<Self, SnapshotError> {
        let failed = |source| SnapshotError::io("written", WRITING, source);
        match disk.remove(WRITING) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        let file = disk.create(WRITING).map_err(failed)?;
        let header = Header {
            group,
            index,
            epoch,
            membership,
        };
        let (bytes, header_crc) = header.encode();
        file.write_at(&mut [IoSlice::new(&bytes)], 0)
            .map_err(failed)?;
        Ok(SnapshotWriter {
            file,
            digest: fold(0, header_crc, header.membership.len() as u32),
            header,
            header_crc,
            payload: Vec::with_capacity(CHUNK_BYTES),
            rows: 0,
            bytes: 0,
            chunks: 0,
            offset: bytes.len() as u64,
            synced: 0,
            last_key: None,
        })
    }

    /// Adds the next row.
    ///
    /// # Errors
    /// The disk failed; the snapshot is not to be had.
    ///
    /// # Panics
    /// When its key is not above the one before.
    pub fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
        assert!(
            self.last_key.as_deref().is_none_or(|last| last < key),
            "rows of a snapshot ascend"
        );
        let last = self.last_key.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        encode_row(&mut self.payload, key, value);
        self.rows += 1;
        if self.payload.len() >= CHUNK_BYTES {
            self.write_chunk()?;
        }
        Ok(())
    }

    /// Adds the rows of a buffer.
    ///
    /// # Errors
    /// Those of [`row`](Self::row).
    ///
    /// # Panics
    /// Likewise.
    pub fn rows(&mut self, buffer: &RowBuffer) -> Result<(), SnapshotError> {
        let mut rest = buffer.payload.as_slice();
        while let Some((key, value, next)) = decode_row(rest) {
            self.row(key, value)?;
            rest = next;
        }
        Ok(())
    }

    /// How long the file is so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.offset
    }

    fn write_chunk(&mut self) -> Result<(), SnapshotError> {
        let Ok(length) = u32::try_from(self.payload.len()) else {
            panic!("a row of 4 GiB");
        };
        let crc = chunk_crc(self.header_crc, self.chunks, length);
        let crc = crc32c::crc32c_append(crc, &self.payload);
        let payload = std::mem::take(&mut self.payload);
        let written = self.write(length, crc, &payload);
        self.payload = payload;
        self.payload.clear();
        self.digest = fold(self.digest, crc, length);
        self.chunks += 1;
        self.bytes += u64::from(length);
        written
    }

    /// Writes a head with what belongs to it.
    fn write(&mut self, length: u32, crc: u32, what: &[u8]) -> Result<(), SnapshotError> {
        let (length, crc) = (length.to_le_bytes(), crc.to_le_bytes());
        let failed = |source| SnapshotError::io("written", WRITING, source);
        let pieces = &mut [
            IoSlice::new(&length),
            IoSlice::new(&crc),
            IoSlice::new(what),
        ];
        self.file.write_at(pieces, self.offset).map_err(failed)?;
        self.offset += (length.len() + crc.len() + what.len()) as u64;
        if self.offset - self.synced >= SYNC_BYTES {
            self.file.sync_data().map_err(failed)?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Completes the file: when this returns it is durable and bears its own name.
    ///
    /// # Errors
    /// The disk failed; there is no such snapshot then, or, after a failed sync of the directory,
    /// there may be.
    pub fn finish(mut self, disk: &D) -> Result<SnapshotMeta, SnapshotError> {
        if !self.payload.is_empty() {
            self.write_chunk()?;
        }
        let footer = Footer {
            rows: self.rows,
            bytes: self.bytes,
            chunks: self.chunks,
            digest: self.digest,
        };
        let fields: [u8; FOOTER_BYTES] = footer.encode();
        let crc = crc32c::crc32c_append(chunk_crc(self.header_crc, self.chunks, 0), &fields);
        self.write(0, crc, &fields)?;
        let id = SnapshotId {
            index: self.header.index,
            epoch: self.header.epoch,
            digest: self.digest,
        };
        let name = id.file();
        let failed = |source| SnapshotError::io("written", &name, source);
        self.file.sync_data().map_err(failed)?;
        complete(disk, WRITING, &name).map_err(failed)?;
        Ok(SnapshotMeta {
            id,
            group: self.header.group,
            membership: self.header.membership,
            bytes: self.offset,
        })
    }
}
