//! Reads snapshots: their rows, checked on the way, or their bytes, to be sent.

use bytes::Bytes;

use super::check::{Check, Defect, What};
use super::format::{
    FOOTER_BYTES, Footer, HEAD_BYTES, HEADER_BYTES, Header, MEMBERSHIP_MAX, ROW_HEAD_BYTES,
    VERSION, decode_head, decode_row,
};
use super::{SnapshotError, SnapshotId, SnapshotMeta};
use crate::disk::{Disk, DiskFile};
use crate::engine::EngineError;
use crate::frozen::Rows;
use crate::log::GroupId;

impl Defect {
    pub(super) fn of(self, file: &str) -> SnapshotError {
        let file = file.to_owned();
        match self.what {
            What::Version(found) => SnapshotError::Version {
                file,
                found,
                supported: VERSION,
            },
            What::Damage(what) => SnapshotError::Corrupt {
                file,
                offset: self.offset,
                what,
            },
        }
    }
}

/// Reads exactly so many bytes, which a whole file has there.
fn read_exactly<F: DiskFile>(
    file: &F,
    name: &str,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, SnapshotError> {
    let end = file
        .len()
        .map_err(|source| SnapshotError::io("read", name, source))?;
    // Before room is made for what may be a damaged number.
    if end.saturating_sub(offset) < length as u64 {
        return Err(corrupt(name, end, "it ends too early"));
    }
    let mut bytes = vec![0; length];
    let found = file
        .read_at(&mut bytes, offset)
        .map_err(|source| SnapshotError::io("read", name, source))?;
    if found < length {
        return Err(corrupt(name, offset + found as u64, "it ends too early"));
    }
    Ok(bytes)
}

fn corrupt(name: &str, offset: u64, what: &'static str) -> SnapshotError {
    SnapshotError::Corrupt {
        file: name.to_owned(),
        offset,
        what,
    }
}

/// Begins to check a file: reads its header.
fn read_header<F: DiskFile>(file: &F, name: &str) -> Result<(Check, Header), SnapshotError> {
    let mut check = Check::new();
    let mut bytes = read_exactly(file, name, 0, HEADER_BYTES)?;
    if let Some((VERSION, membership)) = Header::begin(&bytes)
        && membership <= MEMBERSHIP_MAX
    {
        bytes = read_exactly(file, name, 0, HEADER_BYTES + membership)?;
    }
    check.feed(&bytes).map_err(|defect| defect.of(name))?;
    match check.header().cloned() {
        Some(header) => Ok((check, header)),
        None => Err(corrupt(name, 0, "a header that cannot be")),
    }
}

/// What a complete file says it is; its rows are not looked at.
pub(crate) fn read_meta<D: Disk>(
    disk: &D,
    group: GroupId,
    id: SnapshotId,
) -> Result<SnapshotMeta, SnapshotError> {
    OutgoingSnapshot::open(disk, group, id).map(|outgoing| outgoing.meta)
}

/// A complete snapshot whose bytes are sent elsewhere. It can be read to its end even if it is
/// removed meanwhile.
#[derive(Debug)]
pub struct OutgoingSnapshot<D: Disk> {
    file: D::File,
    name: String,
    meta: SnapshotMeta,
}

impl<D: Disk> OutgoingSnapshot<D> {
    /// Opens the file, and looks at its beginning and its end. What is in between, the receiver
    /// checks.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or it is not what its name says.
    pub fn open(disk: &D, group: GroupId, id: SnapshotId) -> Result<Self, SnapshotError> {
        let name = id.file();
        let failed = |source| SnapshotError::io("read", &name, source);
        let file = disk.open(&name).map_err(failed)?;
        let bytes = file.len().map_err(failed)?;
        let (_, header) = read_header(&file, &name)?;
        let Some(footer_at) = bytes.checked_sub(FOOTER_BYTES as u64) else {
            return Err(corrupt(&name, bytes, "it ends too early"));
        };
        let footer = read_exactly(&file, &name, footer_at, FOOTER_BYTES)?;
        let digest = Footer::decode(&footer).map(|footer| footer.digest);
        same(&name, group, id, &header, digest.unwrap_or_default())?;
        Ok(OutgoingSnapshot {
            meta: SnapshotMeta {
                id,
                group,
                membership: header.membership,
                bytes,
            },
            file,
            name,
        })
    }

    /// What it is.
    #[must_use]
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// The bytes from `offset` on, at most `max`; none at the end.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, offset: u64, max: usize) -> Result<Bytes, SnapshotError> {
        let left = self.meta.bytes.saturating_sub(offset);
        let length = usize::try_from(left).map_or(max, |left| left.min(max));
        read_exactly(&self.file, &self.name, offset, length).map(Bytes::from)
    }
}

/// Whether a file is the one that its name, and whoever asked for it, say.
fn same(
    name: &str,
    group: GroupId,
    id: SnapshotId,
    header: &Header,
    digest: u64,
) -> Result<(), SnapshotError> {
    let found = SnapshotId {
        index: header.index,
        epoch: header.epoch,
        digest,
    };
    if (header.group, found) == (group, id) {
        return Ok(());
    }
    Err(SnapshotError::Other {
        file: name.to_owned(),
        found: format!("{} at {found}", header.group),
        expected: format!("{group} at {id}"),
    })
}

/// The rows of a complete snapshot, each chunk checked before any of its rows is given out, and the
/// whole at the end.
#[derive(Debug)]
pub struct SnapshotReader<D: Disk> {
    file: D::File,
    group: GroupId,
    id: SnapshotId,
    name: String,
    length: u64,
    check: Check,
    header: Header,
    /// A chunk, and how much of it has been given out.
    chunk: Vec<u8>,
    given: usize,
    rows: u64,
    last_key: Option<Vec<u8>>,
}

impl<D: Disk> SnapshotReader<D> {
    /// Opens the file and checks its header.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or it is not what its name says.
    pub fn open(disk: &D, group: GroupId, id: SnapshotId) -> Result<Self, SnapshotError> {
        let name = id.file();
        let failed = |source| SnapshotError::io("read", &name, source);
        let file = disk.open(&name).map_err(failed)?;
        let length = file.len().map_err(failed)?;
        let (check, header) = read_header(&file, &name)?;
        same(&name, group, id, &header, id.digest)?;
        Ok(SnapshotReader {
            file,
            group,
            id,
            name,
            length,
            check,
            header,
            chunk: Vec::new(),
            given: 0,
            rows: 0,
            last_key: None,
        })
    }

    /// The membership of the group as of this snapshot.
    #[must_use]
    pub fn membership(&self) -> &Bytes {
        &self.header.membership
    }

    /// Visits the next rows, as [`Rows::read`] does.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was written.
    pub fn next_rows(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, SnapshotError> {
        let mut bytes = 0;
        loop {
            let rest = self.chunk.get(self.given..).unwrap_or_default();
            if rest.is_empty() {
                if !self.next_chunk()? {
                    return Ok(false);
                }
                continue;
            }
            let Some((key, value, _)) = decode_row(rest) else {
                return Err(corrupt(
                    &self.name,
                    self.check.good(),
                    "a row that cannot be",
                ));
            };
            if self.last_key.as_deref().is_some_and(|last| last >= key) {
                return Err(corrupt(&self.name, self.check.good(), "rows out of order"));
            }
            visit(key, value);
            let last = self.last_key.get_or_insert_default();
            last.clear();
            last.extend_from_slice(key);
            self.given += ROW_HEAD_BYTES + key.len() + value.len();
            self.rows += 1;
            bytes += key.len() + value.len();
            if bytes >= max_bytes {
                return Ok(true);
            }
        }
    }

    /// Reads and checks the next chunk; false, once all is checked, at the end.
    fn next_chunk(&mut self) -> Result<bool, SnapshotError> {
        if self.check.footer().is_some() {
            return Ok(false);
        }
        let offset = self.check.offset();
        let head = read_exactly(&self.file, &self.name, offset, HEAD_BYTES)?;
        let (length, _) = decode_head(&head).unwrap_or_default();
        let length = if length == 0 {
            FOOTER_BYTES
        } else {
            length as usize
        };
        let offset = offset + HEAD_BYTES as u64;
        self.chunk = read_exactly(&self.file, &self.name, offset, length)?;
        self.given = 0;
        for bytes in [&head, &self.chunk] {
            self.check
                .feed(bytes)
                .map_err(|defect| defect.of(&self.name))?;
        }
        let Some(footer) = self.check.footer() else {
            return Ok(true);
        };
        self.chunk.clear();
        if self.check.offset() != self.length || footer.rows != self.rows {
            return Err(corrupt(
                &self.name,
                self.check.offset(),
                "an end that does not fit what is before it",
            ));
        }
        same(&self.name, self.group, self.id, &self.header, footer.digest)?;
        Ok(false)
    }
}

impl<D: Disk> Rows for SnapshotReader<D> {
    fn read(
        &mut self,
        max_bytes: usize,
        visit: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<bool, EngineError> {
        self.next_rows(max_bytes, visit)
            .map_err(|error| EngineError::new("read the snapshot", error))
    }
}
