//! What the bytes of a snapshot mean. All numbers are little-endian.
//!
//! ```text
//! header  magic [8] · version u32 · group u32 · index u64 · round u64 · node u64 ·
//!         membership_length u32 · crc u32 (of all that and the membership) · membership
//! chunk   length u32, not 0 · crc u32 (of header's crc, ordinal, length, payload) · payload
//! footer  0 u32 · crc u32 (of header's crc, 0, what follows) · rows u64 · payload bytes u64 ·
//!         chunks u64 · digest u64
//! payload (key_length u32 · value_length u32 · key · value)*
//! ```
//!
//! A chunk's checksum includes whose it is and which: one that was swapped with another, or comes
//! from another file, does not pass. The digest folds the checksums of header and chunks.

use bytes::Bytes;

use crate::log::{Epoch, GroupId};

pub(super) const MAGIC: [u8; 8] = *b"LKSTSNAP";
pub(super) const VERSION: u32 = 1;
/// The header without the membership.
pub(super) const HEADER_BYTES: usize = 48;
/// What stands before a payload, and before the footer's fields.
pub(super) const HEAD_BYTES: usize = 8;
/// The footer's fields, without the head.
pub(super) const FOOTER_BYTES: usize = 32;
/// What stands before each row.
pub(super) const ROW_HEAD_BYTES: usize = 8;
/// How much payload a chunk gathers before it is written; a larger row makes a larger chunk.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// More membership than any protocol has: a longer one is damage.
pub(super) const MEMBERSHIP_MAX: usize = 16 << 20;

/// What stands at the beginning of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) group: GroupId,
    pub(super) index: u64,
    pub(super) epoch: Epoch,
    pub(super) membership: Bytes,
}

/// What stands at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) chunks: u64,
    pub(super) digest: u64,
}

/// Takes a number off the front.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).map(u64::from_le_bytes)
}

impl Header {
    /// The bytes, and the checksum within them.
    pub(super) fn encode(&self) -> (Vec<u8>, u32) {
        assert!(
            self.membership.len() <= MEMBERSHIP_MAX,
            "a membership of 16 MiB"
        );
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.membership.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.group.0.to_le_bytes());
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.round.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.node.to_le_bytes());
        bytes.extend_from_slice(&(self.membership.len() as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &self.membership);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&self.membership);
        (bytes, crc)
    }

    /// How long the membership behind these first [`HEADER_BYTES`] is, and which version they name;
    /// `None` if this is no snapshot.
    pub(super) fn begin(mut bytes: &[u8]) -> Option<(u32, usize)> {
        let rest = &mut bytes;
        let magic: [u8; 8] = take(rest)?;
        let version = take_u32(rest)?;
        let _: [u8; 28] = take(rest)?;
        let length = take_u32(rest)? as usize;
        (magic == MAGIC).then_some((version, length))
    }

    /// The header and its checksum, if it is the one written.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, u32)> {
        let (fields, membership) = bytes.split_at_checked(HEADER_BYTES)?;
        let (covered, mut crc) = fields.split_at_checked(HEADER_BYTES - 4)?;
        let crc = take_u32(&mut crc)?;
        let found = crc32c::crc32c_append(crc32c::crc32c(covered), membership);
        let mut rest = covered.get(12..)?;
        let rest = &mut rest;
        let header = Header {
            group: GroupId(take_u32(rest)?),
            index: take_u64(rest)?,
            epoch: Epoch {
                round: take_u64(rest)?,
                node: take_u64(rest)?,
            },
            membership: Bytes::copy_from_slice(membership),
        };
        (found == crc).then_some((header, crc))
    }
}

impl Footer {
    pub(super) fn encode(&self) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        let fields = [self.rows, self.bytes, self.chunks, self.digest];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        Some(Footer {
            rows: take_u64(rest)?,
            bytes: take_u64(rest)?,
            chunks: take_u64(rest)?,
            digest: take_u64(rest)?,
        })
    }
}

/// Length and checksum, as they stand before a payload.
pub(super) fn decode_head(mut bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = &mut bytes;
    Some((take_u32(rest)?, take_u32(rest)?))
}

/// The checksum of a chunk so far: of everything before its payload.
pub(super) fn chunk_crc(header_crc: u32, ordinal: u64, length: u32) -> u32 {
    let crc = crc32c::crc32c_append(header_crc, &ordinal.to_le_bytes());
    crc32c::crc32c_append(crc, &length.to_le_bytes())
}

/// The digest with one more section folded in: its checksum and its length.
pub(super) fn fold(digest: u64, crc: u32, length: u32) -> u64 {
    // The finalizer of SplitMix64: every bit of what goes in moves half of those that come out.
    let mut z = digest ^ (u64::from(crc) << 32 | u64::from(length));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)).wrapping_add(0x9e37_79b9_7f4a_7c15)
}

/// Appends a row as it stands in a payload.
pub(super) fn encode_row(payload: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let (Ok(key_length), Ok(value_length)) = (u32::try_from(key.len()), u32::try_from(value.len()))
    else {
        panic!("a row of 4 GiB");
    };
    payload.extend_from_slice(&key_length.to_le_bytes());
    payload.extend_from_slice(&value_length.to_le_bytes());
    payload.extend_from_slice(key);
    payload.extend_from_slice(value);
}

/// The first row of a payload, and what follows it.
pub(super) fn decode_row(mut payload: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let rest = &mut payload;
    let (key_length, value_length) = (take_u32(rest)?, take_u32(rest)?);
    let (key, rest) = rest.split_at_checked(key_length as usize)?;
    let (value, rest) = rest.split_at_checked(value_length as usize)?;
    Some((key, value, rest))
}
