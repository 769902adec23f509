//! A batch under construction: what one `write` call will put on the disk, as pieces for one
//! vectored write.
//!
//! Headers and small payloads are copied into one buffer, large payloads are written from where
//! they are. The buffer is kept from batch to batch.

use std::io::IoSlice;

use bytes::Bytes;

use super::format::{
    BATCH_HEADER, BatchHeader, Op, RecordHeader, StoredRecord, align_record, align_sector,
    group_bit,
};
use crate::disk::SECTOR_BYTES;

/// Payloads from this length on are not copied: below it, another piece costs the kernel about as
/// much as the copy costs us.
const SHARE_BYTES: usize = 4096;

/// What fills the last sector up.
static PADDING: [u8; SECTOR_BYTES as usize] = [0; SECTOR_BYTES as usize];

/// A batch that is being put together.
#[derive(Debug, Default)]
pub(super) struct BatchBuilder {
    buffer: Vec<u8>,
    /// Payloads that are not in the buffer, each with how much of the buffer precedes it.
    shared: Vec<(usize, Bytes)>,
    number: u64,
    salt: u64,
    start: u64,
    /// How long the batch is so far.
    length: u64,
    records: u32,
    groups: u64,
}

/// What a record says.
pub(super) enum Payload<'a> {
    Borrowed(&'a [u8]),
    Shared(&'a Bytes),
}

impl Payload<'_> {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Payload::Borrowed(bytes) => bytes,
            Payload::Shared(bytes) => bytes,
        }
    }
}

impl BatchBuilder {
    /// Begins batch `number`, which will stand at `start` in a segment of this salt.
    pub(super) fn begin(&mut self, number: u64, salt: u64, start: u64) {
        self.buffer.clear();
        self.buffer.resize(BATCH_HEADER as usize, 0);
        self.shared.clear();
        self.number = number;
        self.salt = salt;
        self.start = start;
        self.length = BATCH_HEADER;
        self.records = 0;
        self.groups = 0;
    }

    /// Appends a record and says where it will stand.
    pub(super) fn add(&mut self, header: RecordHeader, payload: &Payload<'_>) -> StoredRecord {
        let bytes = payload.as_slice();
        let at = self.start + self.length;
        let record = StoredRecord::new(header, self.number, self.records, bytes, at);
        self.buffer.extend_from_slice(&record.encode(self.salt));
        match payload {
            Payload::Shared(shared) if bytes.len() >= SHARE_BYTES => {
                // One count of references per payload of at least 4 KiB.
                self.shared.push((self.buffer.len(), Bytes::clone(shared)));
            }
            _ => self.buffer.extend_from_slice(bytes),
        }
        let padding = align_record(bytes.len() as u64) as usize - bytes.len();
        self.buffer.resize(self.buffer.len() + padding, 0);
        self.length = record.end() - self.start;
        self.records += 1;
        self.groups |= match header.op {
            // Without these nobody knows what else is true.
            Op::Release | Op::Damage => u64::MAX,
            Op::HardState | Op::Put | Op::Truncate | Op::Purge => group_bit(header.group),
        };
        record
    }

    /// Completes the batch; its pieces are then [`pieces`](Self::pieces).
    pub(super) fn finish(&mut self) {
        let header = BatchHeader {
            number: self.number,
            body: self.length - BATCH_HEADER,
            records: self.records,
            groups: self.groups,
        };
        let bytes = header.encode(self.salt, self.start);
        self.buffer
            .iter_mut()
            .zip(bytes)
            .for_each(|(place, byte)| *place = byte);
    }

    /// Where the batch ends, in bytes from the segment's start.
    pub(super) fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Where it starts.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Everything, in order, and zeros up to the end of its last sector. One allocation per batch,
    /// that is, per sync.
    pub(super) fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(2 * self.shared.len() + 1);
        let mut rest = self.buffer.as_slice();
        let mut done = 0;
        for (at, payload) in &self.shared {
            let (before, after) = rest.split_at(at - done);
            pieces.push(IoSlice::new(before));
            pieces.push(IoSlice::new(payload));
            (rest, done) = (after, *at);
        }
        pieces.push(IoSlice::new(rest));
        let padding = (align_sector(self.end()) - self.end()) as usize;
        pieces.push(IoSlice::new(PADDING.get(..padding).unwrap_or_default()));
        pieces
    }

    /// Lets go of the payloads, and of a buffer that one large batch has blown up.
    pub(super) fn clear(&mut self) {
        self.shared.clear();
        if self.buffer.capacity() > 4 << 20 {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_batch_whether_payloads_are_copied_or_shared() {
        let small = Bytes::from_static(b"small");
        let large = Bytes::from(vec![7; SHARE_BYTES + 3]);
        let mut batch = BatchBuilder::default();
        batch.begin(9, 1, 512);
        let header = RecordHeader {
            op: Op::Put,
            group: 3,
            ..RecordHeader::default()
        };
        let records: Vec<_> = [&large, &small, &large]
            .into_iter()
            .map(|payload| (batch.add(header, &Payload::Shared(payload)), payload))
            .collect();
        batch.finish();

        let mut file = vec![0; 512];
        batch
            .pieces()
            .iter()
            .for_each(|piece| file.extend_from_slice(piece));
        assert_eq!(file.len() as u64, align_sector(batch.end()));
        assert_eq!(batch.pieces().len(), 6, "large payloads are not copied");
        let found = BatchHeader::decode(&file, 1, 512).unwrap();
        assert_eq!((found.number, found.records, found.groups), (9, 3, 1 << 3));
        assert_eq!(found.body, batch.end() - 512 - BATCH_HEADER);
        for (record, payload) in records {
            let bytes = &file[record.at as usize..];
            assert_eq!(
                StoredRecord::decode(bytes, 1, record.at, |_| true),
                Some(record)
            );
            assert_eq!(record.payload(bytes), Some(&payload[..]));
        }
    }
}
