//! What stands in a segment, judged by its bytes alone.
//!
//! Reading a segment happens in two steps. [`survey`] hops from batch header to batch header and
//! finds out how far the segment goes, whatever lies damaged in between: where no batch starts as it
//! should it tries every sector. Only then, when it is known which batch is the highest, [`walk`] goes
//! through the records of one piece at a time and says what is there and what is not.
//!
//! Everything here is a pure function of bytes. What damage *means*, a torn tail or corruption, is
//! decided in [`recovery`](super::recovery).

use std::ops::Range;

use super::format::{
    BATCH_HEADER, BatchHeader, DATA_START, RECORD_HEADER, StoredRecord, align_sector, slice,
};
use crate::SECTOR_BYTES;

/// A stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A batch whose header is intact.
    Batch { at: u64, header: BatchHeader },
    /// Where a batch should have started, and none does until `to`. Empty if batches follow each
    /// other with a number missing.
    Rubble { from: u64, to: u64 },
}

/// What a walk comes across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A record, with its payload if that is what was written.
    Record(StoredRecord, Option<&'a [u8]>),
    /// Records that should be here and cannot be read; these are the bits of the groups they may
    /// have been about.
    Gap { from: u64, to: u64, groups: u64 },
}

/// The pieces of a segment whose first batch is numbered `first`, in order; the zeros behind the
/// last are none.
pub(super) fn survey(segment: &[u8], salt: u64, first: u64) -> Vec<Piece> {
    let length = segment.len() as u64;
    let mut pieces = Vec::new();
    let (mut at, mut expected) = (DATA_START, first);
    while at < length {
        let found = next_batch(segment, salt, at, &(expected..numbers_end(segment, first)));
        let to = found.map_or(length, |(to, _)| to);
        let missing = found.is_some_and(|(_, header)| header.number != expected);
        if missing || !is_zero(segment, at, to) {
            pieces.push(Piece::Rubble { from: at, to });
        }
        let Some((to, header)) = found else { break };
        pieces.push(Piece::Batch { at: to, header });
        expected = header.number + 1;
        let end = to.saturating_add(BATCH_HEADER).saturating_add(header.body);
        at = align_sector(end.min(length));
    }
    pieces
}

/// The highest number of a batch that left any trace in the segment.
pub(super) fn highest(segment: &[u8], salt: u64, first: u64, pieces: &[Piece]) -> Option<u64> {
    let mut highest = None;
    for piece in pieces {
        match *piece {
            Piece::Batch { header, .. } => highest = highest.max(Some(header.number)),
            Piece::Rubble { from, to } => {
                let above = highest.unwrap_or(first.saturating_sub(1));
                let numbers = above + 1..numbers_end(segment, first);
                let mut at = from;
                while let Some(record) =
                    next_record(segment, salt, at, to, |n| numbers.contains(&n))
                {
                    highest = highest.max(Some(record.batch));
                    at = record.at + 8;
                }
            }
        }
    }
    highest
}

/// Goes through one piece. Of rubble only records of batches that `wanted` names are shown, behind
/// a gap of all groups.
pub(super) fn walk<'a>(
    segment: &'a [u8],
    salt: u64,
    piece: Piece,
    wanted: impl Fn(u64) -> bool,
    mut visit: impl FnMut(Found<'a>),
) {
    match piece {
        Piece::Batch { at, header } => walk_batch(segment, salt, at, header, &mut visit),
        Piece::Rubble { from, to } => {
            visit(Found::Gap {
                from,
                to,
                groups: u64::MAX,
            });
            let mut at = from;
            while let Some(record) = next_record(segment, salt, at, to, &wanted) {
                visit(Found::Record(record, payload(segment, &record)));
                at = record.end();
            }
        }
    }
}

/// Whether every record of a batch is there as it was written.
pub(super) fn is_whole(segment: &[u8], salt: u64, piece: Piece) -> bool {
    let mut whole = true;
    walk(
        segment,
        salt,
        piece,
        |_| false,
        |found| {
            whole &= matches!(found, Found::Record(_, Some(_)));
        },
    );
    whole
}

fn walk_batch<'a>(
    segment: &'a [u8],
    salt: u64,
    start: u64,
    header: BatchHeader,
    visit: &mut impl FnMut(Found<'a>),
) {
    let end = start
        .saturating_add(BATCH_HEADER)
        .saturating_add(header.body);
    let is_ours = |batch| batch == header.number;
    let (mut at, mut ordinal) = (start + BATCH_HEADER, 0);
    while ordinal < header.records {
        let here = decode(segment, salt, at, is_ours);
        let record = here
            .filter(|record| record.ordinal == ordinal)
            .or_else(|| {
                let mut from = at;
                std::iter::from_fn(|| {
                    let record = next_record(segment, salt, from, end, is_ours)?;
                    from = record.at + 8;
                    Some(record)
                })
                .find(|record| record.ordinal >= ordinal)
            })
            .filter(|record| record.end() <= end);
        let to = record.map_or(end, |record| record.at);
        if record.is_none_or(|record| record.at > at || record.ordinal > ordinal) {
            let groups = header.groups;
            visit(Found::Gap {
                from: at,
                to,
                groups,
            });
        }
        let Some(record) = record else { return };
        visit(Found::Record(record, payload(segment, &record)));
        at = record.end();
        ordinal = record.ordinal.saturating_add(1);
    }
}

/// Above every number that a batch in this segment can have: each takes at least a sector. What
/// chance makes look like a header names another number, nearly always.
fn numbers_end(segment: &[u8], first: u64) -> u64 {
    first.saturating_add(segment.len() as u64 / SECTOR_BYTES)
}

/// The first batch at or behind `from` of one of these numbers, and where it starts.
fn next_batch(
    segment: &[u8],
    salt: u64,
    from: u64,
    numbers: &Range<u64>,
) -> Option<(u64, BatchHeader)> {
    let mut at = from;
    while at < segment.len() as u64 {
        let header = BatchHeader::decode(segment, salt, at);
        if let Some(header) = header.filter(|header| numbers.contains(&header.number)) {
            return Some((at, header));
        }
        at += SECTOR_BYTES;
    }
    None
}

/// The first record between `from` and `to` of a batch that is `wanted`.
fn next_record(
    segment: &[u8],
    salt: u64,
    from: u64,
    to: u64,
    wanted: impl Fn(u64) -> bool,
) -> Option<StoredRecord> {
    let mut at = from;
    while at + RECORD_HEADER <= to.min(segment.len() as u64) {
        let sector = align_sector(at + 1);
        if is_zero(segment, at, sector) {
            at = sector;
            continue;
        }
        while at < sector {
            if let Some(record) = decode(segment, salt, at, &wanted) {
                return Some(record);
            }
            at += 8;
        }
    }
    None
}

fn decode(
    segment: &[u8],
    salt: u64,
    at: u64,
    wanted: impl FnOnce(u64) -> bool,
) -> Option<StoredRecord> {
    StoredRecord::decode(slice(segment, at, RECORD_HEADER)?, salt, at, wanted)
}

fn payload<'a>(segment: &'a [u8], record: &StoredRecord) -> Option<&'a [u8]> {
    record.payload(slice(segment, record.at, record.end() - record.at)?)
}

/// Whether there is nothing but zeros from `from` to `to`, or to the end.
fn is_zero(segment: &[u8], from: u64, to: u64) -> bool {
    let to = to.min(segment.len() as u64);
    let bytes = slice(segment, from, to.saturating_sub(from)).unwrap_or_default();
    // In blocks, so that the compiler can compare many bytes at once and still stop early.
    bytes
        .chunks(512)
        .all(|block| block.iter().fold(0, |or, byte| or | byte) == 0)
}
