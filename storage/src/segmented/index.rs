//! What the log knows by heart: for every group where its records stand, and for every segment how
//! much of it is still needed.
//!
//! Recovery and writing feed the same [`Index::apply`], record by record in log order, so what a
//! restart finds is what the running store had. Records are small and fixed in size (40 bytes), in
//! one sorted queue per group: appending, truncating and purging cost nothing per record that stays,
//! filling a hole near the end costs a short move.
//!
//! **Damage.** A *lost* record is one whose header is known and whose payload is not; it ends when
//! the record is superseded. A *gap* is a place where it is not known what stood there; for a group
//! it ends once the group has stated everything anew: hard state, purged index, and a truncation no
//! later than right behind that. That is what installing a snapshot writes; so damage needs no
//! operation of its own to end it, and nothing else ends it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::format::{Op, RecordHeader, StoredRecord, group_bit, record_bytes};
use crate::log::{Epoch, GroupId, RecoveredLog};

/// Everything known of all groups.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) groups: BTreeMap<u32, GroupIndex>,
    pub(super) ledger: Ledger,
    /// Segments below this one hold nothing that is needed.
    pub(super) floor: u32,
    /// Where damage that cannot be attributed to a record is on record, as live bytes.
    damage: Vec<Place>,
    /// The groups that a gap may have been about though no record of theirs is known.
    unheard: u64,
    /// Groups that `unheard` does not mean, whatever their bit.
    spared: BTreeSet<u32>,
}

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

/// Some live bytes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: u32,
    bytes: u64,
}

/// What a group has stated since a gap.
#[derive(Clone, Copy, Debug, Default)]
struct Restated {
    hard_state: bool,
    purged: bool,
    truncated_from: Option<u64>,
}

/// A piece of what must outlive a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Live {
    HardState(u32),
    Purged(u32),
    Entry(u32, u64),
    Damage,
}

impl Index {
    /// Takes in one record that stands in `segment`; `payload` is `None` if it cannot be read.
    pub(super) fn apply(&mut self, segment: u32, record: &StoredRecord, payload: Option<&[u8]>) {
        let header = &record.header;
        let place = Place {
            segment,
            bytes: record_bytes(record.length as usize),
        };
        match header.op {
            Op::Release => {
                self.floor = self
                    .floor
                    .max(u32::try_from(header.index).unwrap_or(u32::MAX));
                return;
            }
            Op::Damage => {
                let spared = payload.map(group_ids).unwrap_or_default();
                return self.lose(place, header.index, spared);
            }
            Op::HardState | Op::Put | Op::Truncate | Op::Purge => {}
        }
        let gap = (self.is_unheard(header.group)).then(Restated::default);
        let ledger = &mut self.ledger;
        let group = self
            .groups
            .entry(header.group)
            .or_insert_with(|| GroupIndex {
                gap,
                ..GroupIndex::default()
            });
        match header.op {
            Op::HardState => group.set_hard_state(ledger, place, header.lost, payload),
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
                group.put(ledger, location);
            }
            Op::Truncate => group.truncate_from(ledger, header.index),
            _ => group.purge_to(ledger, place, header.index, epoch(header)),
        }
        group.close_gap();
    }

    /// Something stood in `segment` that cannot be read; it was about groups of these bits.
    pub(super) fn gap(&mut self, segment: u32, groups: u64) {
        self.lose(Place { segment, bytes: 1 }, groups, BTreeSet::new());
    }

    fn lose(&mut self, place: Place, groups: u64, spared: BTreeSet<u32>) {
        self.ledger.add(place);
        self.damage.push(place);
        for (id, group) in &mut self.groups {
            if groups & group_bit(*id) != 0 && !spared.contains(id) {
                group.gap = Some(Restated::default());
            }
        }
        // A group of which nothing is known may have been in the gap with everything it ever wrote.
        self.spared = if self.unheard == 0 {
            spared
        } else {
            &self.spared & &spared
        };
        self.unheard |= groups;
    }

    fn is_unheard(&self, group: u32) -> bool {
        self.unheard & group_bit(group) != 0
            && !self.spared.contains(&group)
            && !self.groups.contains_key(&group)
    }

    /// The groups of these bits of which anything is known.
    pub(super) fn known(&self, groups: u64) -> Vec<GroupId> {
        let ids = self.groups.keys().copied();
        ids.filter(|id| groups & group_bit(*id) != 0)
            .map(GroupId)
            .collect()
    }

    /// Whether there is a gap in which anything whatever may have stood.
    pub(super) fn anything_lost(&self) -> bool {
        self.unheard == u64::MAX
    }

    /// The group's log as it stands now.
    pub(super) fn recovered(&self, group: u32) -> RecoveredLog {
        match self.groups.get(&group) {
            Some(log) => log.recovered(),
            None => RecoveredLog {
                damaged: self.is_unheard(group),
                ..RecoveredLog::default()
            },
        }
    }

    pub(super) fn ids(&self) -> Vec<GroupId> {
        self.groups.keys().copied().map(GroupId).collect()
    }

    /// What stands in `segment` and is still needed. Looks at every record of every group.
    pub(super) fn live_in(&self, segment: u32) -> Vec<Live> {
        let is_here = |place: &Option<Place>| place.is_some_and(|place| place.segment == segment);
        let mut live = Vec::new();
        for (id, group) in &self.groups {
            if is_here(&group.hard_state_at) {
                live.push(Live::HardState(*id));
            }
            if is_here(&group.purged_at) {
                live.push(Live::Purged(*id));
            }
            let entries = group.entries.iter();
            live.extend(
                entries
                    .filter(|entry| entry.segment == segment)
                    .map(|entry| Live::Entry(*id, entry.index)),
            );
        }
        if self.damage.iter().any(|place| place.segment == segment) {
            live.push(Live::Damage);
        }
        live
    }

    /// The hard state to write again because it stands in `segment`: header and payload.
    pub(super) fn hard_state_in(&self, segment: u32, id: u32) -> Option<(RecordHeader, &[u8])> {
        let group = self.groups.get(&id)?;
        group.hard_state_at.filter(|at| at.segment == segment)?;
        let header = RecordHeader {
            group: id,
            op: Op::HardState,
            lost: group.hard_state_lost,
            ..RecordHeader::default()
        };
        Some((header, group.hard_state.as_deref().unwrap_or_default()))
    }

    /// The purged index to write again because it stands in `segment`.
    pub(super) fn purged_in(&self, segment: u32, id: u32) -> Option<RecordHeader> {
        let group = self.groups.get(&id)?;
        group.purged_at.filter(|at| at.segment == segment)?;
        let (index, epoch) = group.purged;
        Some(RecordHeader {
            group: id,
            op: Op::Purge,
            index,
            round: epoch.round,
            node: epoch.node,
            ..RecordHeader::default()
        })
    }

    /// The place of the record at `index`, if it stands in `segment`.
    pub(super) fn entry_in(&self, segment: u32, id: u32, index: u64) -> Option<Location> {
        let entry = self.groups.get(&id)?.get(index)?;
        (entry.segment == segment).then_some(*entry)
    }

    /// The damage to write again because some stands in `segment`: the bits of the groups concerned,
    /// and the groups spared. The places it stood at are forgotten.
    pub(super) fn take_damage_in(&mut self, segment: u32) -> Option<(u64, Vec<u8>)> {
        let before = self.damage.len();
        let ledger = &mut self.ledger;
        self.damage.retain(|place| {
            if place.segment == segment {
                ledger.remove(*place);
            }
            place.segment != segment
        });
        if self.damage.len() == before {
            return None;
        }
        let mut groups = self.unheard;
        let mut spared = self.spared.clone();
        for (id, group) in &self.groups {
            if group.gap.is_some() {
                groups |= group_bit(*id);
            } else {
                spared.insert(*id);
            }
        }
        let spared = spared.iter().flat_map(|id| id.to_le_bytes()).collect();
        Some((groups, spared))
    }
}

impl GroupIndex {
    fn set_hard_state(
        &mut self,
        ledger: &mut Ledger,
        place: Place,
        lost: bool,
        payload: Option<&[u8]>,
    ) {
        let lost = lost || payload.is_none();
        // A lost one leaves the last that is known: too old, but better than nothing to people.
        if let Some(payload) = payload.filter(|payload| !lost || !payload.is_empty()) {
            let state = self.hard_state.get_or_insert_default();
            state.clear();
            state.extend_from_slice(payload);
        }
        self.hard_state_lost = lost;
        ledger.move_to(&mut self.hard_state_at, place);
        if let Some(restated) = &mut self.gap {
            restated.hard_state |= !lost;
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

    fn purge_to(&mut self, ledger: &mut Ledger, place: Place, index: u64, epoch: Epoch) {
        if index < self.purged.0 {
            return;
        }
        let gone = self.position(index.saturating_add(1));
        let gone = self.entries.drain(..gone);
        gone.for_each(|entry| ledger.remove(entry.place()));
        self.purged = (index, epoch);
        ledger.move_to(&mut self.purged_at, place);
        if let Some(restated) = &mut self.gap {
            restated.purged = true;
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

    fn get(&self, index: u64) -> Option<&Location> {
        let entry = self.entries.get(self.position(index))?;
        (entry.index == index).then_some(entry)
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

    fn recovered(&self) -> RecoveredLog {
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

/// How many bytes of each segment are still needed.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    first: u32,
    live: VecDeque<u64>,
}

impl Ledger {
    /// The live bytes of `segment`, headers included.
    pub(super) fn live(&self, segment: u32) -> u64 {
        let at = segment.checked_sub(self.first).map(|at| at as usize);
        at.and_then(|at| self.live.get(at)).copied().unwrap_or(0)
    }

    /// The live bytes of all segments.
    pub(super) fn total(&self) -> u64 {
        self.live.iter().sum()
    }

    /// Forgets the segments below `floor`; nothing in them is live.
    pub(super) fn release_below(&mut self, floor: u32) {
        if self.live.is_empty() {
            self.first = self.first.max(floor);
        }
        while self.first < floor {
            let live = self.live.pop_front();
            assert!(
                live.unwrap_or(0) == 0,
                "a released segment holds what is needed"
            );
            self.first += 1;
        }
    }

    fn add(&mut self, place: Place) {
        if self.live.is_empty() {
            self.first = place.segment;
        }
        while self.first > place.segment {
            self.live.push_front(0);
            self.first -= 1;
        }
        let at = (place.segment - self.first) as usize;
        if self.live.len() <= at {
            self.live.resize(at + 1, 0);
        }
        if let Some(live) = self.live.get_mut(at) {
            *live += place.bytes;
        }
    }

    fn remove(&mut self, place: Place) {
        let at = (place.segment - self.first) as usize;
        if let Some(live) = self.live.get_mut(at) {
            // Overflow checks are on: more than was added cannot be taken away.
            *live -= place.bytes;
        }
    }

    fn move_to(&mut self, from: &mut Option<Place>, to: Place) {
        self.add(to);
        if let Some(from) = from.replace(to) {
            self.remove(from);
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

fn group_ids(payload: &[u8]) -> BTreeSet<u32> {
    let (ids, _) = payload.as_chunks();
    ids.iter().map(|id| u32::from_le_bytes(*id)).collect()
}
