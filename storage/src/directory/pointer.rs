//! The file `current`: which engine of a group counts. A few lines that a person can read, with a
//! checksum; replaced as a whole.
//!
//! ```text
//! lockstep group directory, format 1
//! group 7
//! engine rocksdb, format 1
//! number 8
//! check 3f0a11c2
//! ```

use std::io::{self, IoSlice};

use crate::disk::{Disk, DiskFile};
use crate::log::GroupId;

pub(super) const CURRENT: &str = "current";
const NEW: &str = "current.tmp";
const FORMAT: u32 = 1;
/// Longer than any pointer.
const LENGTH_MAX: u64 = 4096;

/// What a group's directory says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Whose directory it is.
    pub group: GroupId,
    /// The backend that made it.
    pub engine: String,
    /// The format of that backend's directories.
    pub engine_format: u32,
    /// The engine's own directory is `engine-NUMBER`.
    pub number: u64,
}

/// What was found in the place of a pointer.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Current(Current),
    Format(u32),
    Damage,
}

impl Current {
    fn encode(&self) -> String {
        let body = format!(
            "lockstep group directory, format {FORMAT}\ngroup {}\nengine {}, format {}\nnumber {}\n",
            self.group.0, self.engine, self.engine_format, self.number
        );
        let check = crc32c::crc32c(body.as_bytes());
        format!("{body}check {check:08x}\n")
    }

    fn decode(text: &str) -> Found {
        let parse = || {
            let mut lines = text.lines();
            let format = lines.next()?;
            let format = format.strip_prefix("lockstep group directory, format ")?;
            let format: u32 = format.parse().ok()?;
            if format != FORMAT {
                return Some(Found::Format(format));
            }
            let group = GroupId(lines.next()?.strip_prefix("group ")?.parse().ok()?);
            let engine = lines.next()?.strip_prefix("engine ")?;
            let (engine, engine_format) = engine.split_once(", format ")?;
            let current = Current {
                group,
                engine: engine.to_owned(),
                engine_format: engine_format.parse().ok()?,
                number: lines.next()?.strip_prefix("number ")?.parse().ok()?,
            };
            // Written anew and compared: the checksum, and everything the lines above let pass.
            (current.encode() == text).then_some(Found::Current(current))
        };
        parse().unwrap_or(Found::Damage)
    }

    /// Reads the pointer of a directory.
    pub(super) fn read<D: Disk>(disk: &D) -> io::Result<Found> {
        let file = match disk.open(CURRENT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            opened => opened?,
        };
        let mut bytes = vec![0; file.len()?.min(LENGTH_MAX) as usize];
        let found = file.read_at(&mut bytes, 0)?;
        bytes.truncate(found);
        Ok(String::from_utf8(bytes).map_or(Found::Damage, |text| Current::decode(&text)))
    }

    /// Replaces the pointer, durably. After a failure either may count.
    pub(super) fn write<D: Disk>(&self, disk: &D) -> io::Result<()> {
        match disk.remove(NEW) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = disk.create(NEW)?;
        file.write_at(&mut [IoSlice::new(self.encode().as_bytes())], 0)?;
        file.sync_data()?;
        disk.rename(NEW, CURRENT)?;
        disk.sync_dir()
    }
}
