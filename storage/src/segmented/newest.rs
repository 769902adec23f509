//! The file `newest`: which segment is the newest, and how long it is at least.
//!
//! What a segment's successor says of it protects every segment but the last: were that one missing,
//! or cut off, nothing else in the log would show it, and the node would go on without what it had
//! acknowledged and without its newest vote. So both stand here: the segment durably before anything
//! in it is acknowledged; the length, which grows by a step of zeros at a time, as soon as the kernel
//! writes it, since a sync of its own would cost more than it is worth.
//!
//! It is a single sector, written over in place: a torn write leaves the old one or the new one. What
//! it says is never more than is durable; a log without it is one of a version that wrote none, and
//! one whose mark is unreadable is as safe as that.

use std::io::{self, IoSlice};

use tracing::warn;

use crate::SECTOR_BYTES;
use crate::disk::{Disk, DiskFile};

/// The file's name.
pub(super) const NEWEST: &str = "newest";

const MAGIC: [u8; 8] = *b"LKSTNEW1";
/// Magic, segment, length, checksum.
const BYTES: usize = 8 + 8 + 8 + 4;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// The newest segment.
    pub(super) id: u32,
    /// How long its file is at least.
    pub(super) bytes: u64,
}

impl Newest {
    fn encode(self) -> [u8; SECTOR_BYTES as usize] {
        let mut sector = [0; SECTOR_BYTES as usize];
        let fields = [
            MAGIC,
            u64::from(self.id).to_le_bytes(),
            self.bytes.to_le_bytes(),
        ]
        .concat();
        let checksum = crc32c::crc32c(&fields).to_le_bytes();
        let bytes = fields.into_iter().chain(checksum);
        (sector.iter_mut().zip(bytes)).for_each(|(place, byte)| *place = byte);
        sector
    }

    fn decode(sector: &[u8]) -> Option<Self> {
        let (fields, checksum) = sector.get(..BYTES)?.split_last_chunk()?;
        let (magic, numbers) = fields.split_first_chunk()?;
        let (id, bytes) = numbers.split_first_chunk()?;
        let bytes = bytes.first_chunk()?;
        let newest = Newest {
            id: u32::try_from(u64::from_le_bytes(*id)).ok()?,
            bytes: u64::from_le_bytes(*bytes),
        };
        let intact = crc32c::crc32c(fields) == u32::from_le_bytes(*checksum);
        (intact && *magic == MAGIC).then_some(newest)
    }

    /// What is known, if anything.
    pub(super) fn read<D: Disk>(disk: &D) -> io::Result<Option<Self>> {
        let file = match disk.open(NEWEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut sector = [0; SECTOR_BYTES as usize];
        let found = file.read_at(&mut sector, 0)?;
        let newest = Newest::decode(sector.get(..found).unwrap_or_default());
        if newest.is_none() {
            warn!(
                file = NEWEST,
                "it does not read as it was written, and is written anew"
            );
        }
        Ok(newest)
    }

    /// Writes it, over what was there.
    pub(super) fn write(self, file: &impl DiskFile) -> io::Result<()> {
        file.write_at(&mut [IoSlice::new(&self.encode())], 0)
    }

    /// The file, made if there is none. Its name is durable with the next sync of the directory.
    pub(super) fn file<D: Disk>(disk: &D) -> io::Result<D::File> {
        match disk.open(NEWEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(NEWEST),
            opened => opened,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_written_and_no_flipped_bit_passes() {
        let newest = Newest {
            id: 7,
            bytes: 1 << 40,
        };
        let sector = newest.encode();
        assert_eq!(Newest::decode(&sector), Some(newest));
        for bit in 0..BYTES * 8 {
            let mut damaged = sector;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Newest::decode(&damaged), None, "bit {bit}");
        }
    }
}
