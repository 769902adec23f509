//! Getting the oldest segment free: what is still needed of it is written again, so that it can go.
//!
//! Segments go in the order they came. A truncation or purge is therefore always younger than what
//! it removed, and needs no keeping: when its segment goes, its victims' segments are gone.
//!
//! Most segments empty themselves, as logs are purged and hard states superseded. An idle group's
//! tail does not, and would pin everything behind it. So once the log takes more than twice what is
//! live and two segments besides, each write carries along a part of what is live in the oldest
//! segment, a bounded one, in the same batch and under the same sync.

use bytes::Bytes;
use tracing::warn;

use super::LogOptions;
use super::files::Files;
use super::format::{Op, RECORD_HEADER, RecordHeader, StoredRecord, file_name, record_bytes};
use super::group::Location;
use super::index::{Index, Live};
use crate::disk::{Disk, DiskFile};

/// How much a write carries along at least, if there is so much to do.
const CARRY_BYTES_MIN: u64 = 256 << 10;

/// The state of the cleaning under way.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    /// What remains to be looked at of which segment, last first.
    left: Option<(u32, Vec<Live>)>,
    /// A segment that cannot be read stays, and with it all behind it, until the next start.
    stuck: bool,
}

/// A record to write again.
pub(super) type Copy = (RecordHeader, Bytes);

impl Cleaner {
    /// What a write of `own` bytes is to carry along; with what it takes up in a batch.
    pub(super) fn carry<D: Disk>(
        &mut self,
        index: &mut Index,
        files: &Files<D>,
        options: &LogOptions,
        own: u64,
    ) -> (Vec<Copy>, u64) {
        let (mut copies, mut bytes) = (Vec::new(), 0);
        let Some(oldest) = files.oldest_closed().filter(|_| !self.stuck) else {
            return (copies, bytes);
        };
        if self
            .left
            .as_ref()
            .is_none_or(|(segment, _)| *segment != oldest)
        {
            self.left = None;
            let worth_it = 2 * index.ledger.total() + 2 * options.segment_bytes;
            if files.bytes() <= worth_it || index.ledger.live(oldest) == 0 {
                return (copies, bytes);
            }
            self.left = Some((oldest, index.live_in(oldest)));
        }
        // Twice the caller's own: so the log shrinks faster than it grows.
        let budget = CARRY_BYTES_MIN.max(2 * own);
        while bytes < budget {
            let Some(live) = self.left.as_mut().and_then(|(_, left)| left.pop()) else {
                break;
            };
            match copy(index, files, oldest, live) {
                Ok(Some(copy)) => {
                    bytes += record_bytes(copy.1.len());
                    copies.push(copy);
                }
                Ok(None) => {}
                Err(error) => {
                    let file = file_name(oldest);
                    warn!(file, %error, "cannot read a segment that is to be cleaned; it stays");
                    self.stuck = true;
                    break;
                }
            }
        }
        (copies, bytes)
    }
}

/// The record that says again what `live` says, unless something newer says it by now.
fn copy<D: Disk>(
    index: &mut Index,
    files: &Files<D>,
    segment: u32,
    live: Live,
) -> std::io::Result<Option<Copy>> {
    let of = |group| index.groups.get(&group);
    Ok(match live {
        Live::HardState(group) => of(group)
            .and_then(|log| log.hard_state_in(segment, group))
            .map(|(header, state)| (header, Bytes::copy_from_slice(state))),
        Live::Purged(group) => of(group)
            .and_then(|log| log.purged_in(segment, group))
            .map(|header| (header, Bytes::new())),
        Live::Damage => index.take_damage_in(segment).map(|(groups, spared)| {
            let header = RecordHeader {
                op: Op::Damage,
                copy: true,
                index: groups,
                ..RecordHeader::default()
            };
            (header, Bytes::from(spared))
        }),
        Live::Entry(group, at) => match of(group).and_then(|log| log.entry_in(segment, at)) {
            Some(location) => Some(copy_entry(files, group, &location)?),
            None => None,
        },
    })
}

fn copy_entry<D: Disk>(files: &Files<D>, group: u32, location: &Location) -> std::io::Result<Copy> {
    let header = RecordHeader {
        group,
        op: Op::Put,
        lost: false,
        copy: true,
        kind: location.kind,
        index: location.index,
        round: location.epoch.round,
        node: location.epoch.node,
    };
    Ok(match read_entry(files, group, location)? {
        Some(payload) => (header, payload),
        // That the record was there must not be forgotten with its bytes.
        None => (
            RecordHeader {
                lost: true,
                ..header
            },
            Bytes::new(),
        ),
    })
}

/// Reads one record's payload; `None` if it is not what was written.
///
/// What did not read well is read a second time: a read can go astray, and what is copied as lost
/// is lost for good.
fn read_entry<D: Disk>(
    files: &Files<D>,
    group: u32,
    location: &Location,
) -> std::io::Result<Option<Bytes>> {
    match read_once(files, group, location)? {
        None => read_once(files, group, location),
        found => Ok(found),
    }
}

fn read_once<D: Disk>(
    files: &Files<D>,
    group: u32,
    location: &Location,
) -> std::io::Result<Option<Bytes>> {
    let Some(segment) = files.get(location.segment).filter(|_| !location.lost) else {
        return Ok(None);
    };
    let mut bytes = vec![0; (RECORD_HEADER + u64::from(location.length)) as usize];
    let read = segment.file.read_at(&mut bytes, location.at())?;
    bytes.truncate(read);
    let bytes = Bytes::from(bytes);
    Ok(entry_payload(&bytes, segment.salt, group, location))
}

/// The payload of the record at `location`, if `bytes`, which were read there, are what was written.
pub(super) fn entry_payload(
    bytes: &Bytes,
    salt: u64,
    group: u32,
    location: &Location,
) -> Option<Bytes> {
    let record = StoredRecord::decode(bytes, salt, location.at(), |_| true)?;
    let header = &record.header;
    let is_it = header.op == Op::Put && header.group == group && header.index == location.index;
    let payload = record.payload(bytes)?;
    is_it.then(|| bytes.slice_ref(payload))
}
