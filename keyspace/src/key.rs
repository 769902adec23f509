//! How a key stands in the engine.
//!
//! ```text
//! space u16 · slot u16 · hash u32 · kind u8 · key          all big-endian: rows sort by these
//! ```
//!
//! A database stands in the space of its own number until it is emptied: then it moves to another,
//! and nobody looks at the rows it leaves behind any more. Rows of one slot lie together, so that a
//! slot can move; within it they lie in the order of a hash, so that SCAN needs no state and
//! RANDOMKEY can seek. The kind leaves room for the members of collections next to their key.
//! Spaces end at `FEFF`: what follows is the machine's own.
//!
//! Slot and hash stand in persisted rows: neither function may ever change.

/// The slots of Redis Cluster.
pub const SLOTS: u16 = 16_384;

/// The highest database number. The spaces above it are for databases that have been emptied.
pub const DATABASE_MAX: u16 = 0x7FFF;

/// The highest space; above it stand the machine's own rows.
pub(crate) const SPACE_MAX: u16 = 0xFEFF;

/// The row's kind: a key's metadata and, for strings, its value.
const KIND_KEY: u8 = 0;

/// Everything in a row before the key itself.
const PREFIX_BYTES: usize = 9;

/// CRC16/XMODEM by sixteen tables, so that sixteen bytes are looked up independently.
static CRC: [[u16; 256]; 16] = crc_tables();

const fn crc_tables() -> [[u16; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut after = 1;
    while after < 16 {
        let mut byte = 0;
        while byte < 256 {
            let before: u16 = tables[after - 1][byte];
            tables[after][byte] = (before << 8) ^ tables[0][(before >> 8) as usize];
            byte += 1;
        }
        after += 1;
    }
    tables
}

/// CRC16/XMODEM, as Redis Cluster uses it. About a nanosecond per two bytes: this CRC starts at
/// zero, where leading zeros change nothing, so that a short input is padded in front and then
/// takes the same sixteen independent look-ups as a long one's blocks.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    let (head, blocks) = bytes.split_at(bytes.len() % 16);
    let mut crc = 0;
    if !head.is_empty() {
        let mut padded = [0; 16];
        for (to, from) in padded.iter_mut().rev().zip(head.iter().rev()) {
            *to = *from;
        }
        crc = crc16_block(crc, padded);
    }
    let (blocks, _) = blocks.as_chunks::<16>();
    for block in blocks {
        crc = crc16_block(crc, *block);
    }
    crc
}

#[inline]
fn crc16_block(crc: u16, mut block: [u8; 16]) -> u16 {
    let [high, low] = crc.to_be_bytes();
    block[0] ^= high;
    block[1] ^= low;
    block
        .iter()
        .zip(CRC.iter().rev())
        .fold(0, |sum, (byte, table)| sum ^ table[usize::from(*byte)])
}

/// The slot of a key: CRC16 of what stands between the first `{` and the next `}`, or of the
/// whole key where there is no such thing or nothing between them.
#[must_use]
pub fn slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let tagged = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close)
    });
    match tagged {
        Some(tag) if !tag.is_empty() => tag,
        _ => key,
    }
}

/// A hash that spreads keys within a slot. Reads eight bytes at a time, the last padded with
/// zeros; each is folded in by a 128-bit product of which both halves count (as wyhash does).
#[must_use]
pub fn hash(key: &[u8]) -> u32 {
    const FIRST: u64 = 0x9E37_79B9_7F4A_7C15;
    const SECOND: u64 = 0xD6E8_FEB8_6659_FD93;
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (words, tail) = key.as_chunks::<8>();
    let mut hash = FIRST ^ key.len() as u64;
    for word in words {
        hash = fold(hash ^ u64::from_le_bytes(*word), SECOND);
    }
    if !tail.is_empty() {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(tail) {
            *to = *from;
        }
        hash = fold(hash ^ u64::from_le_bytes(word), SECOND);
    }
    hash = fold(hash ^ FIRST, SECOND);
    (hash ^ (hash >> 32)) as u32
}

/// Where a row stands: rows sort by this, and nearly every one has a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) space: u16,
    pub(crate) slot: u16,
    pub(crate) hash: u32,
}

impl Place {
    /// Where the row of `key` stands.
    #[inline]
    pub(crate) fn of(space: u16, key: &[u8]) -> Self {
        Place {
            space,
            slot: slot(key),
            hash: hash(key),
        }
    }

    /// What every row at this place begins with.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let [s0, s1] = self.space.to_be_bytes();
        let [t0, t1] = self.slot.to_be_bytes();
        let [h0, h1, h2, h3] = self.hash.to_be_bytes();
        [s0, s1, t0, t1, h0, h1, h2, h3]
    }
}

/// Writes the row of `key` over what stood in `row`.
pub(crate) fn write_row(row: &mut Vec<u8>, space: u16, key: &[u8]) {
    row.clear();
    row.extend_from_slice(&Place::of(space, key).to_bytes());
    row.push(KIND_KEY);
    row.extend_from_slice(key);
}

/// The place and key of a row, if it is one that [`write_row`] wrote.
pub(crate) fn parse_row(row: &[u8]) -> Option<(Place, &[u8])> {
    let (prefix, key) = row.split_first_chunk::<PREFIX_BYTES>()?;
    let [s0, s1, t0, t1, h0, h1, h2, h3, kind] = *prefix;
    let place = Place {
        space: u16::from_be_bytes([s0, s1]),
        slot: u16::from_be_bytes([t0, t1]),
        hash: u32::from_be_bytes([h0, h1, h2, h3]),
    };
    (kind == KIND_KEY && place.space <= SPACE_MAX).then_some((place, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_crc_is_the_one_in_the_catalogue(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            let reference = crc::Crc::<u16>::new(&crc::CRC_16_XMODEM);
            prop_assert_eq!(crc16(&bytes), reference.checksum(&bytes));
        }
    }

    #[test]
    fn slots_are_those_of_redis() {
        for (key, expected) in [
            ("", 0),
            ("foo", 12182),
            ("somekey", 11058),
            ("foo{hash_tag}", 2515),
            ("{hash_tag}bar", 2515),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn the_hash_never_changes() {
        // Computed by another implementation of the description above; such values stand in
        // engines on disk, so a change of any of them loses data.
        assert_eq!(hash(b""), 0);
        assert_eq!(hash(b"key"), 1989469435);
        assert_eq!(hash(b"key:000000012345"), 429537153);
        assert_eq!(hash(b"a key that is longer than sixteen bytes"), 3667134247);
    }

    #[test]
    fn the_hash_spreads_the_keys_of_a_benchmark() {
        let mut buckets = [0_u32; 256];
        for i in 0..25_600 {
            buckets[(hash(format!("key:{i:012}").as_bytes()) >> 24) as usize] += 1;
        }
        let (least, most) = (buckets.iter().min().unwrap(), buckets.iter().max().unwrap());
        assert!(*least > 50 && *most < 150, "{least} {most}");
    }

    #[test]
    fn a_row_says_which_key_it_is() {
        let mut row = Vec::new();
        write_row(&mut row, 3, b"foo");
        let place = Place {
            space: 3,
            slot: 12182,
            hash: hash(b"foo"),
        };
        assert_eq!(parse_row(&row), Some((place, &b"foo"[..])));
        assert_eq!(parse_row(&row[..8]), None);
        row[0] = 0xFF;
        assert_eq!(parse_row(&row), None);
    }
}
