//! What one group's log holds: where its records stand, what its last hard state and purge were, and
//! whether anything of it is lost.
//!
//! Records are small and fixed in size (40 bytes), in one sorted queue: appending, truncating and
//! purging cost nothing per record that stays, filling a hole near the end costs a short move.

use std::collections::VecDeque;

use bytes::Bytes;

use super::format::{Op, RecordHeader, StoredRecord, record_bytes};
use super::ledger::{Ledger, Place};
use crate::log::{Epoch, RecoveredLog};

/// What one group's log holds.
#[derive(Debug, Default)]
pub(super) struct GroupIndex {
    hard_state: Option<Vec<u8>>,
    hard_state_lost: bool,
    hard_state_at: Option<Place>,
    purged: (u64, Epoch),
    purged_at: Option<Place>,
    entries: VecDeque<Location>,
    /// There is a gap, and this is what has been stated since.
    gap: Option<Restated>,
}

/// Where a record stands, with what is asked of it without reading it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Location {
    pub(super) index: u64,
    pub(super) epoch: Epoch,
    pub(super) segment: u32,
    /// The place in the segment in units of 8 bytes.
    slot: u32,
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) lost: bool,
}

impl Location {
    /// Where the record's header starts, in bytes.
    pub(super) fn at(&self) -> u64 {
        u64::from(self.slot) * 8
    }

    fn place(&self) -> Place {
        Place {
            segment: self.segment,
            bytes: record_bytes(self.length as usize),
        }
    }
}

/// What a group has stated since a gap.
#[derive(Clone, Copy, Debug, Default)]
struct Restated {
    hard_state: bool,
    purged: bool,
    truncated_from: Option<u64>,
}

impl GroupIndex {
    /// A group of which nothing is known, or one that may have been in a gap with everything it ever
    /// wrote.
    pub(super) fn new(gap: bool) -> Self {
        GroupIndex {
            gap: gap.then(Restated::default),
            ..GroupIndex::default()
        }
    }

    /// Takes in one of the group's records; `payload` is `None` if it cannot be read.
    pub(super) fn apply(
        &mut self,
        ledger: &mut Ledger,
        segment: u32,
        record: &StoredRecord,
        payload: Option<&[u8]>,
    ) {
        let header = &record.header;
        let place = Place {
            segment,
            bytes: record_bytes(record.length as usize),
        };
        match header.op {
            Op::HardState => self.set_hard_state(ledger, place, header, payload),
            Op::Put => {
                let location = Location {
                    index: header.index,
                    epoch: epoch(header),
                    segment,
                    slot: slot(record.at),
                    length: record.length,
                    kind: header.kind,
                    lost: header.lost || payload.is_none(),
                };
                self.put(ledger, location);
            }
            Op::Truncate => self.truncate_from(ledger, header.index),
            Op::Purge => self.purge_to(ledger, place, header),
            Op::Release | Op::Damage => {}
        }
        self.close_gap();
    }

    /// Something of the group may have been lost before here.
    pub(super) fn open_gap(&mut self) {
        self.gap = Some(Restated::default());
    }

    /// Whether something may be missing that cannot be named.
    pub(super) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    fn set_hard_state(
        &mut self,
        ledger: &mut Ledger,
        place: Place,
        header: &RecordHeader,
        payload: Option<&[u8]>,
    ) {
        let lost = header.lost || payload.is_none();
        // A lost one leaves the last that is known: too old, but better than nothing to people.
        if let Some(payload) = payload.filter(|payload| !lost || !payload.is_empty()) {
            let state = self.hard_state.get_or_insert_default();
            state.clear();
            state.extend_from_slice(payload);
        }
        self.hard_state_lost = lost;
        ledger.move_to(&mut self.hard_state_at, place);
        if let Some(restated) = &mut self.gap {
            restated.hard_state |= !lost && !header.copy;
        }
    }

    fn put(&mut self, ledger: &mut Ledger, location: Location) {
        if location.index <= self.purged.0 {
            return;
        }
        ledger.add(location.place());
        if self
            .entries
            .back()
            .is_none_or(|last| last.index < location.index)
        {
            return self.entries.push_back(location);
        }
        let at = self.position(location.index);
        match self.entries.get_mut(at) {
            Some(entry) if entry.index == location.index => {
                ledger.remove(entry.place());
                *entry = location;
            }
            _ => self.entries.insert(at, location),
        }
    }

    fn truncate_from(&mut self, ledger: &mut Ledger, from: u64) {
        let keep = self.position(from);
        let gone = self.entries.drain(keep..);
        gone.for_each(|entry| ledger.remove(entry.place()));
        if let Some(restated) = &mut self.gap {
            let earliest = restated.truncated_from.unwrap_or(from);
            restated.truncated_from = Some(earliest.min(from));
        }
    }

    fn purge_to(&mut self, ledger: &mut Ledger, place: Place, header: &RecordHeader) {
        if header.index < self.purged.0 {
            return;
        }
        let gone = self.position(header.index.saturating_add(1));
        let gone = self.entries.drain(..gone);
        gone.for_each(|entry| ledger.remove(entry.place()));
        self.purged = (header.index, epoch(header));
        ledger.move_to(&mut self.purged_at, place);
        if let Some(restated) = &mut self.gap {
            restated.purged |= !header.copy;
        }
    }

    fn close_gap(&mut self) {
        let purged = self.purged.0;
        self.gap = self.gap.filter(|restated| {
            let from = restated.truncated_from;
            let emptied = from.is_some_and(|from| from <= purged.saturating_add(1));
            !(restated.hard_state && restated.purged && emptied)
        });
    }

    /// Where in `entries` the first at or above `index` is.
    fn position(&self, index: u64) -> usize {
        self.entries.partition_point(|entry| entry.index < index)
    }

    /// What repeats the hard state, if it stands in `segment`: header and payload.
    pub(super) fn hard_state_in(&self, segment: u32, group: u32) -> Option<(RecordHeader, &[u8])> {
        self.hard_state_at.filter(|at| at.segment == segment)?;
        let header = RecordHeader {
            group,
            op: Op::HardState,
            lost: self.hard_state_lost,
            copy: true,
            ..RecordHeader::default()
        };
        Some((header, self.hard_state.as_deref().unwrap_or_default()))
    }

    /// What repeats the last purge, if it stands in `segment`.
    pub(super) fn purged_in(&self, segment: u32, group: u32) -> Option<RecordHeader> {
        self.purged_at.filter(|at| at.segment == segment)?;
        let (index, epoch) = self.purged;
        Some(RecordHeader {
            group,
            op: Op::Purge,
            copy: true,
            index,
            round: epoch.round,
            node: epoch.node,
            ..RecordHeader::default()
        })
    }

    /// The place of the record at `index`, if it stands in `segment`.
    pub(super) fn entry_in(&self, segment: u32, index: u64) -> Option<Location> {
        let entry = self.entries.get(self.position(index))?;
        (entry.index == index && entry.segment == segment).then_some(*entry)
    }

    /// The indexes of the records that stand in `segment`. Looks at every record.
    pub(super) fn entries_in(&self, segment: u32) -> impl Iterator<Item = u64> {
        let entries = self.entries.iter();
        entries
            .filter(move |entry| entry.segment == segment)
            .map(|entry| entry.index)
    }

    pub(super) fn purged_index(&self) -> u64 {
        self.purged.0
    }

    /// The records at consecutive indexes from `from` to at most `to`, as far as they can be read.
    pub(super) fn run(&self, from: u64, to: u64) -> impl Iterator<Item = &Location> {
        let entries = self.entries.range(self.position(from)..);
        entries
            .zip(from..=to)
            .take_while(|(entry, index)| entry.index == *index)
            .map(|(entry, _)| entry)
    }

    /// The group's log as it stands now.
    pub(super) fn recovered(&self) -> RecoveredLog {
        let lost = self.hard_state_lost || self.entries.iter().any(|entry| entry.lost);
        RecoveredLog {
            hard_state: self.hard_state.as_deref().map(Bytes::copy_from_slice),
            purged: self.purged,
            records: self
                .entries
                .iter()
                .map(|entry| (entry.index, entry.epoch, entry.kind))
                .collect(),
            damaged: lost || self.gap.is_some(),
        }
    }
}

fn slot(at: u64) -> u32 {
    assert!(at.is_multiple_of(8), "records are aligned");
    u32::try_from(at / 8).unwrap_or_else(|_| panic!("a segment of 32 GiB"))
}

fn epoch(header: &RecordHeader) -> Epoch {
    Epoch {
        round: header.round,
        node: header.node,
    }
}
