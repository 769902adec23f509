//! What the log knows by heart: where everything stands, and what is lost.
//!
//! Recovery and writing feed the same [`Index::apply`], record by record in log order, so what a
//! restart finds is what the running store had.
//!
//! **Damage.** A *lost* record is one whose header is known and whose payload is not; it ends when
//! the record is superseded. A *gap* is a place where it is not known what stood there; for a group
//! it ends once the group has stated everything anew: hard state, purged index, and a truncation no
//! later than right behind that. That is what installing a snapshot writes; so damage needs no
//! operation of its own to end it, and nothing else ends it.

use std::collections::{BTreeMap, BTreeSet};

use super::format::{Op, StoredRecord, group_bit, record_bytes};
use super::group::GroupIndex;
use super::ledger::{Ledger, Place};
use crate::log::{GroupId, RecoveredLog};

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
        match header.op {
            Op::Release => {
                let floor = u32::try_from(header.index).ok();
                // Nobody releases the segment in which he says so.
                if let Some(floor) = floor.filter(|floor| *floor <= segment) {
                    self.floor = self.floor.max(floor);
                }
            }
            Op::Damage => {
                let place = Place {
                    segment,
                    bytes: record_bytes(record.length as usize),
                };
                let spared = payload.map(group_ids).unwrap_or_default();
                self.lose(place, header.index, spared);
            }
            Op::HardState | Op::Put | Op::Truncate | Op::Purge => {
                let unheard = self.is_unheard(header.group);
                let group = self.groups.entry(header.group);
                let group = group.or_insert_with(|| GroupIndex::new(unheard));
                group.apply(&mut self.ledger, segment, record, payload);
            }
        }
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
                group.open_gap();
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
        let mut live = Vec::new();
        for (id, group) in &self.groups {
            live.extend(
                group
                    .hard_state_in(segment, *id)
                    .map(|_| Live::HardState(*id)),
            );
            live.extend(group.purged_in(segment, *id).map(|_| Live::Purged(*id)));
            live.extend(
                group
                    .entries_in(segment)
                    .map(|index| Live::Entry(*id, index)),
            );
        }
        if self.damage.iter().any(|place| place.segment == segment) {
            live.push(Live::Damage);
        }
        live
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
            if group.has_gap() {
                groups |= group_bit(*id);
            } else {
                spared.insert(*id);
            }
        }
        let spared = spared.iter().flat_map(|id| id.to_le_bytes()).collect();
        Some((groups, spared))
    }
}

fn group_ids(payload: &[u8]) -> BTreeSet<u32> {
    let (ids, _) = payload.as_chunks();
    ids.iter().map(|id| u32::from_le_bytes(*id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmented::format::RecordHeader;

    #[test]
    fn a_release_of_segments_to_come_is_not_believed() {
        let mut index = Index::default();
        for (released, floor) in [(7, 7), (8, 7), (u64::MAX, 7)] {
            let header = RecordHeader {
                op: Op::Release,
                index: released,
                ..RecordHeader::default()
            };
            let record = StoredRecord::new(header, 1, 0, &[], 4096);
            index.apply(7, &record, Some(&[]));
            assert_eq!(index.floor, floor, "{released}");
        }
    }
}
