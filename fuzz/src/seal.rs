//! Gives made-up files the checksums they would have had to have: chance finds none, and behind them
//! is most of what reads a file.
//!
//! This knows the formats a second time, on purpose: what is sealed here and was written by the
//! product does not change, which the corpus shows.

use storage::{Epoch, SnapshotId};

/// Where a segment's first batch starts.
pub(crate) const DATA_START: usize = 4096;
/// How long a segment's header is that counts; zeros follow.
pub(crate) const SEGMENT_HEADER: usize = 52;
const SECTOR: usize = 512;
const BATCH_HEADER: usize = 40;
const RECORD_HEADER: usize = 56;

const SNAPSHOT_HEADER: usize = 48;
const SNAPSHOT_FOOTER: usize = 32;
const HEAD: usize = 8;

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Segment `id` of a log.
pub(crate) fn segment(bytes: &mut [u8], id: u32) {
    put(bytes, 0, b"LOCKSTEP");
    put(bytes, 8, &1_u32.to_le_bytes());
    put(bytes, 12, &id.to_le_bytes());
    let checksum = crc32c::crc32c(bytes.get(..48).unwrap_or_default());
    put(bytes, 48, &checksum.to_le_bytes());
    let salt = u64_at(bytes, 16).unwrap_or_default();
    for at in (DATA_START..bytes.len()).step_by(SECTOR) {
        if bytes[at..].starts_with(b"LSBT") {
            batch(bytes, at, salt);
        }
    }
}

fn batch(bytes: &mut [u8], at: usize, salt: u64) {
    let Some(header) = bytes.get(at + 8..at + BATCH_HEADER) else {
        return;
    };
    let checksum = crc32c::crc32c_append(seed(salt, at), header);
    let records = u32_at(bytes, at + 32).unwrap_or_default();
    put(bytes, at + 4, &checksum.to_le_bytes());
    let mut at = at + BATCH_HEADER;
    for _ in 0..records {
        let Some(length) = u32_at(bytes, at + 8) else {
            return;
        };
        let (payload, length) = (at + RECORD_HEADER, length as usize);
        let Some(checksum) = bytes.get(payload..payload + length).map(crc32c::crc32c) else {
            return;
        };
        put(bytes, at + 4, &checksum.to_le_bytes());
        let header = bytes.get(at + 4..payload).unwrap_or_default();
        let checksum = crc32c::crc32c_append(seed(salt, at), header);
        put(bytes, at, &checksum.to_le_bytes());
        at = payload + length.next_multiple_of(8);
    }
}

fn seed(salt: u64, at: usize) -> u32 {
    crc32c::crc32c_append(
        crc32c::crc32c(&salt.to_le_bytes()),
        &(at as u64).to_le_bytes(),
    )
}

/// A snapshot: its checksums, and what its end says of the rest but for the number of rows.
pub(crate) fn snapshot(bytes: &mut [u8]) {
    put(bytes, 0, b"LKSTSNAP");
    put(bytes, 8, &1_u32.to_le_bytes());
    let membership = u32_at(bytes, 40).unwrap_or_default() as usize;
    let Some(membership) = bytes.get(SNAPSHOT_HEADER..SNAPSHOT_HEADER + membership) else {
        return;
    };
    let header = bytes.get(..44).unwrap_or_default();
    let header_crc = crc32c::crc32c_append(crc32c::crc32c(header), membership);
    let mut at = SNAPSHOT_HEADER + membership.len();
    let mut digest = fold(0, header_crc, membership.len() as u32);
    put(bytes, 44, &header_crc.to_le_bytes());
    let (mut chunks, mut total) = (0_u64, 0_u64);
    while let Some(length) = u32_at(bytes, at) {
        let crc = crc32c::crc32c_append(header_crc, &chunks.to_le_bytes());
        if length == 0 {
            let crc = crc32c::crc32c_append(
                crc32c::crc32c_append(header_crc, &chunks.to_le_bytes()),
                &length.to_le_bytes(),
            );
            put(bytes, at + HEAD + 8, &total.to_le_bytes());
            put(bytes, at + HEAD + 16, &chunks.to_le_bytes());
            put(bytes, at + HEAD + 24, &digest.to_le_bytes());
            let fields = bytes.get(at + HEAD..at + HEAD + SNAPSHOT_FOOTER);
            let crc = crc32c::crc32c_append(crc, fields.unwrap_or_default());
            return put(bytes, at + 4, &crc.to_le_bytes());
        }
        let crc = crc32c::crc32c_append(crc, &length.to_le_bytes());
        let Some(payload) = bytes.get(at + HEAD..at + HEAD + length as usize) else {
            return;
        };
        let crc = crc32c::crc32c_append(crc, payload);
        put(bytes, at + 4, &crc.to_le_bytes());
        digest = fold(digest, crc, length);
        chunks += 1;
        total += u64::from(length);
        at += HEAD + length as usize;
    }
}

fn fold(digest: u64, crc: u32, length: u32) -> u64 {
    let mut z = digest ^ (u64::from(crc) << 32 | u64::from(length));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).wrapping_add(0x9e37_79b9_7f4a_7c15)
}

/// The id under which a snapshot of these bytes would be looked for, and whose it is.
pub(crate) fn snapshot_id(bytes: &[u8]) -> (u32, SnapshotId) {
    let field = |at| u64_at(bytes, at).unwrap_or_default();
    let id = SnapshotId {
        index: field(16),
        epoch: Epoch {
            round: field(24),
            node: field(32),
        },
        digest: field(bytes.len().saturating_sub(8)),
    };
    (u32_at(bytes, 12).unwrap_or_default(), id)
}
