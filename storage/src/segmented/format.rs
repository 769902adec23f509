//! What the segmented log's bytes mean: headers of segments, batches and records.
//!
//! ```text
//! segment   header in the first 4,096 bytes │ batch │ batch │ … │ zeros
//! batch     starts at a sector │ header, 40 bytes │ record │ record │ …
//! record    starts at 8 bytes  │ header, 56 bytes │ payload │ padding to 8 bytes
//! ```
//!
//! All numbers are little-endian. A batch starts at a sector of its own, so that writing it touches
//! no sector that holds something acknowledged, and so that a reader who lost the thread finds it
//! again.
//!
//! Every checksum is a CRC32C that begins with the segment's salt, a random number from its header,
//! and the place in the file. Bytes that stand where they were not written, be they of a misdirected
//! write, of a recycled file or of a payload that happens to hold a piece of a log, do not pass.
//! A record's header has a checksum apart from its payload's: where only a payload is lost, it is
//! still known which record that was.

use crate::SECTOR_BYTES;

/// The format written by this version; it stands in every segment's header.
pub(super) const VERSION: u32 = 1;
/// Where a segment's first batch starts.
pub(super) const DATA_START: u64 = 4096;
/// The length of a batch's header.
pub(super) const BATCH_HEADER: u64 = 40;
/// The length of a record's header.
pub(super) const RECORD_HEADER: u64 = 56;
/// No batch's number comes near this.
const NUMBERS_MAX: u64 = 1 << 62;
/// The longest payload of a record.
pub(super) const PAYLOAD_MAX: usize = 1 << 30;

const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"LOCKSTEP");
const SEGMENT_HEADER: usize = 64;
const BATCH_MAGIC: u32 = u32::from_le_bytes(*b"LSBT");
/// Flags of a record.
const LOST: u8 = 1;
const COPY: u8 = 2;
/// Where a record's header names its batch: looked at before the checksum is computed.
const RECORD_BATCH_AT: usize = 16;

/// The name of segment `id`'s file. Names sort as ids do.
pub(super) fn file_name(id: u32) -> String {
    format!("{id:010}.log")
}

/// The id in a segment file's name.
pub(super) fn file_id(name: &str) -> Option<u32> {
    let id = name.strip_suffix(".log")?.parse().ok()?;
    (file_name(id) == name).then_some(id)
}

/// The first multiple of 8 that is not below `n`.
pub(super) const fn align_record(n: u64) -> u64 {
    n.next_multiple_of(8)
}

/// The first sector's start that is not below `n`.
pub(super) const fn align_sector(n: u64) -> u64 {
    n.next_multiple_of(SECTOR_BYTES)
}

/// What a record with a payload of this length takes up in a batch.
pub(super) const fn record_bytes(payload: usize) -> u64 {
    RECORD_HEADER + align_record(payload as u64)
}

/// The bit that stands for a group in a batch's summary of the groups it is about.
pub(super) const fn group_bit(group: u32) -> u64 {
    1 << (group % 64)
}

/// A segment's first bytes: written once, durable before the segment gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) id: u32,
    /// Random; every checksum in the segment begins with it.
    pub(super) salt: u64,
    /// Every batch up to this one was intact in the segments before when this one was made; what
    /// they hold beyond it is void.
    pub(super) required: u64,
    /// The number of this segment's first batch.
    pub(super) first: u64,
    /// Segments below this one hold nothing that is needed.
    pub(super) floor: u32,
}

/// Why a segment's header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadSegment {
    Version(u32),
    Damaged(&'static str),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; DATA_START as usize] {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER);
        bytes.extend_from_slice(&SEGMENT_MAGIC.to_le_bytes());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.id.to_le_bytes());
        for number in [self.salt, self.required, self.first, self.floor.into()] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let mut block = [0; DATA_START as usize];
        block
            .iter_mut()
            .zip(bytes)
            .for_each(|(place, byte)| *place = byte);
        block
    }

    pub(super) fn decode(block: &[u8], id: u32) -> Result<Self, BadSegment> {
        let mut fields = Fields(block);
        let parsed = (|| {
            let magic = fields.u64()?;
            let version = fields.u32()?;
            let header = SegmentHeader {
                id: fields.u32()?,
                salt: fields.u64()?,
                required: fields.u64()?,
                first: fields.u64()?,
                floor: u32::try_from(fields.u64()?).ok()?,
            };
            let covered = block.get(..block.len() - fields.0.len())?;
            Some((
                magic,
                version,
                header,
                fields.u32()? == crc32c::crc32c(covered),
            ))
        })();
        let Some((magic, version, header, intact)) = parsed else {
            return Err(BadSegment::Damaged("its header is cut short"));
        };
        if magic != SEGMENT_MAGIC {
            return Err(BadSegment::Damaged("it does not begin as a segment does"));
        }
        if version != VERSION {
            return Err(BadSegment::Version(version));
        }
        if !intact || header.id != id {
            return Err(BadSegment::Damaged(
                "its header's checksum or number is wrong",
            ));
        }
        // Batches are numbered from 1, and nobody writes so many that counting on would overflow.
        let numbered = header.required < header.first && header.first <= NUMBERS_MAX;
        if !numbered || header.id == u32::MAX || header.floor > header.id {
            return Err(BadSegment::Damaged("its header says what cannot be"));
        }
        Ok(header)
    }
}

/// What a batch begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) number: u64,
    /// The length of all its records.
    pub(super) body: u64,
    pub(super) records: u32,
    /// The [`group_bit`]s of the groups it is about.
    pub(super) groups: u64,
}

impl BatchHeader {
    pub(super) fn encode(&self, salt: u64, at: u64) -> [u8; BATCH_HEADER as usize] {
        let mut bytes = [0; BATCH_HEADER as usize];
        let fields = [
            &BATCH_MAGIC.to_le_bytes()[..],
            &[0; 4],
            &self.number.to_le_bytes(),
            &self.body.to_le_bytes(),
            &self.groups.to_le_bytes(),
            &self.records.to_le_bytes(),
            &[0; 4],
        ];
        fill(&mut bytes, &fields);
        let checksum = batch_checksum(&bytes, salt, at);
        bytes
            .iter_mut()
            .skip(4)
            .zip(checksum.to_le_bytes())
            .for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// The batch that starts at `at`, if one does.
    pub(super) fn decode(segment: &[u8], salt: u64, at: u64) -> Option<Self> {
        let bytes = slice(segment, at, BATCH_HEADER)?;
        let mut fields = Fields(bytes);
        if fields.u32()? != BATCH_MAGIC {
            return None;
        }
        let checksum = fields.u32()?;
        let header = BatchHeader {
            number: fields.u64()?,
            body: fields.u64()?,
            groups: fields.u64()?,
            records: fields.u32()?,
        };
        (checksum == batch_checksum(bytes, salt, at)).then_some(header)
    }
}

/// What a record is, beside what it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) group: u32,
    pub(super) op: Op,
    /// The payload was lost before this record was written: all that is known is that it was there.
    pub(super) lost: bool,
    /// Cleaning wrote it: it repeats what was known, and says nothing about what was lost since.
    pub(super) copy: bool,
    pub(super) kind: u8,
    pub(super) index: u64,
    pub(super) round: u64,
    pub(super) node: u64,
}

/// What a record does. The first four are a caller's operations, the others the log's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    #[default]
    HardState = 1,
    Put = 2,
    Truncate = 3,
    Purge = 4,
    /// Segments below `index` hold nothing that is needed.
    Release = 5,
    /// Something was lost before here; `index` holds the bits of the groups it may have been about,
    /// and the payload the groups that it was not about.
    Damage = 6,
}

impl Op {
    fn from_byte(byte: u8) -> Option<Op> {
        [
            Op::HardState,
            Op::Put,
            Op::Truncate,
            Op::Purge,
            Op::Release,
            Op::Damage,
        ]
        .into_iter()
        .find(|op| *op as u8 == byte)
    }
}

/// A record as it stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredRecord {
    pub(super) header: RecordHeader,
    pub(super) batch: u64,
    pub(super) ordinal: u32,
    pub(super) length: u32,
    payload_checksum: u32,
    pub(super) at: u64,
}

impl StoredRecord {
    /// A record as it will stand at `at`. The payload's checksum is computed here, once.
    pub(super) fn new(
        header: RecordHeader,
        batch: u64,
        ordinal: u32,
        payload: &[u8],
        at: u64,
    ) -> Self {
        assert!(
            payload.len() <= PAYLOAD_MAX,
            "payloads are checked on entry"
        );
        StoredRecord {
            header,
            batch,
            ordinal,
            length: payload.len() as u32,
            payload_checksum: crc32c::crc32c(payload),
            at,
        }
    }

    pub(super) fn encode(&self, salt: u64) -> [u8; RECORD_HEADER as usize] {
        let mut bytes = [0; RECORD_HEADER as usize];
        let header = &self.header;
        let flags = u8::from(header.lost) * LOST + u8::from(header.copy) * COPY;
        let fields = [
            &[0; 4][..],
            &self.payload_checksum.to_le_bytes(),
            &self.length.to_le_bytes(),
            &header.group.to_le_bytes(),
            &self.batch.to_le_bytes(),
            &header.index.to_le_bytes(),
            &header.round.to_le_bytes(),
            &header.node.to_le_bytes(),
            &self.ordinal.to_le_bytes(),
            &[header.op as u8, header.kind, flags, 0],
        ];
        fill(&mut bytes, &fields);
        let checksum = record_checksum(&bytes, salt, self.at);
        fill(&mut bytes, &[&checksum.to_le_bytes()]);
        bytes
    }

    /// The record whose header `bytes` begin with, if they do and `wanted` agrees with the number of
    /// its batch. They were read at `at`. The payload is another matter: [`payload`](Self::payload).
    pub(super) fn decode(
        bytes: &[u8],
        salt: u64,
        at: u64,
        wanted: impl FnOnce(u64) -> bool,
    ) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER as usize)?;
        let batch = Fields(bytes.get(RECORD_BATCH_AT..)?).u64()?;
        if !wanted(batch) {
            return None;
        }
        let mut fields = Fields(bytes);
        let checksum = fields.u32()?;
        if checksum != record_checksum(bytes, salt, at) {
            return None;
        }
        let payload_checksum = fields.u32()?;
        let length = fields.u32()?;
        let group = fields.u32()?;
        let batch = fields.u64()?;
        let (index, round, node) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let ordinal = fields.u32()?;
        let [op, kind, flags, _] = fields.u32()?.to_le_bytes();
        let header = RecordHeader {
            group,
            op: Op::from_byte(op)?,
            lost: flags & LOST != 0,
            copy: flags & COPY != 0,
            kind,
            index,
            round,
            node,
        };
        Some(StoredRecord {
            header,
            batch,
            ordinal,
            length,
            payload_checksum,
            at,
        })
    }

    /// Where the next record of the batch would stand.
    pub(super) fn end(&self) -> u64 {
        self.at + record_bytes(self.length as usize)
    }

    /// Whether these bytes are the payload that was written.
    fn is_payload(&self, payload: &[u8]) -> bool {
        payload.len() == self.length as usize && crc32c::crc32c(payload) == self.payload_checksum
    }

    /// The payload behind the header that `bytes` begin with, if it is what was written.
    pub(super) fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let payload = slice(bytes, RECORD_HEADER, self.length.into())?;
        self.is_payload(payload).then_some(payload)
    }
}

/// A record's checksum: its header but for the checksum itself, which includes the payload's.
fn record_checksum(header: &[u8], salt: u64, at: u64) -> u32 {
    let rest = header.get(4..).unwrap_or_default();
    crc32c::crc32c_append(seed(salt, at), rest)
}

/// A batch's checksum: its header but for the magic and the checksum itself.
fn batch_checksum(header: &[u8], salt: u64, at: u64) -> u32 {
    let rest = header.get(8..).unwrap_or_default();
    crc32c::crc32c_append(seed(salt, at), rest)
}

fn seed(salt: u64, at: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &at.to_le_bytes())
}

/// `length` bytes from `at` on, if they are there.
pub(super) fn slice(bytes: &[u8], at: u64, length: u64) -> Option<&[u8]> {
    let from = usize::try_from(at).ok()?;
    let to = from.checked_add(usize::try_from(length).ok()?)?;
    bytes.get(from..to)
}

fn fill(target: &mut [u8], fields: &[&[u8]]) {
    target
        .iter_mut()
        .zip(fields.iter().copied().flatten())
        .for_each(|(place, byte)| *place = *byte);
}

/// Reads numbers off the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        id: 7,
        salt: 99,
        required: 41,
        first: 43,
        floor: 3,
    };

    fn record() -> (StoredRecord, Vec<u8>) {
        let header = RecordHeader {
            group: 5,
            op: Op::Put,
            lost: false,
            copy: true,
            kind: 2,
            index: 11,
            round: 3,
            node: 1,
        };
        let record = StoredRecord::new(header, 43, 6, b"payload", 512);
        let mut file = vec![0; 512];
        file.extend_from_slice(&record.encode(99));
        file.extend_from_slice(b"payload\0");
        (record, file)
    }

    #[test]
    fn headers_come_back_as_they_were_written() {
        assert_eq!(SegmentHeader::decode(&HEADER.encode(), 7), Ok(HEADER));

        let batch = BatchHeader {
            number: 43,
            body: 1_000,
            records: 7,
            groups: group_bit(5) | group_bit(70),
        };
        let mut file = vec![0; 1024];
        file.extend_from_slice(&batch.encode(99, 1024));
        assert_eq!(BatchHeader::decode(&file, 99, 1024), Some(batch));

        let (record, file) = record();
        let read = StoredRecord::decode(&file[512..], 99, 512, |batch| batch == 43).unwrap();
        assert_eq!(read, record);
        assert_eq!(read.payload(&file[512..]), Some(&b"payload"[..]));
        assert_eq!(read.end(), file.len() as u64);
    }

    #[test]
    fn every_flipped_bit_of_a_segment_header_is_noticed() {
        for bit in 0..(8 + 4 + 4 + 32 + 4) * 8 {
            let mut block = HEADER.encode();
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&block, 7).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_segment_header_that_cannot_be_is_refused_though_its_checksum_is_right() {
        let first = |first| SegmentHeader { first, ..HEADER };
        let last = SegmentHeader {
            id: u32::MAX,
            ..HEADER
        };
        let floor = SegmentHeader { floor: 8, ..HEADER };
        for header in [first(0), first(41), first(u64::MAX), last, floor] {
            let decoded = SegmentHeader::decode(&header.encode(), header.id);
            assert!(matches!(decoded, Err(BadSegment::Damaged(_))), "{header:?}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let (record, file) = record();
        let end = record.at + RECORD_HEADER + u64::from(record.length);
        for bit in 512 * 8..end as usize * 8 {
            let mut file = file.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            let read = StoredRecord::decode(&file[512..], 99, 512, |_| true);
            let intact = read.is_some_and(|read| read.payload(&file[512..]).is_some());
            assert!(!intact, "bit {bit}");
        }
    }

    #[test]
    fn a_record_is_only_valid_where_it_was_written() {
        let (_, file) = record();
        let record = &file[512..];
        assert_eq!(StoredRecord::decode(record, 99, 1024, |_| true), None);
        assert_eq!(StoredRecord::decode(record, 98, 512, |_| true), None);
    }

    #[test]
    fn names_are_ids_and_nothing_else_is() {
        assert_eq!(file_id(&file_name(42)), Some(42));
        assert_eq!(file_id("42.log"), None);
        assert_eq!(file_id("lock"), None);
    }
}
