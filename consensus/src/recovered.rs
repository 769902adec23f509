//! What a node found on its disk, as its protocol is told when it starts.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::{Epoch, Index, Membership, Position};

/// The durable state a protocol starts from. `Recovered::fresh` is a node that never ran.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The protocol's own state, as it last wrote it by [`LogOp::HardState`](crate::LogOp).
    pub hard_state: Option<Bytes>,
    /// The last entry that is gone from the log because the state machine holds it.
    pub purged: Position,
    /// The epoch of every entry in the log above `purged`.
    pub log: EpochRuns,
    /// The memberships in force, oldest first: the one at `purged` (index 0 for the one the
    /// cluster was made with), then each that stands in the log.
    pub memberships: Vec<(Index, Membership)>,
    /// What the state machine holds durably. Entries up to here are never applied again.
    pub applied: Position,
    /// The disk is known to have lost acknowledged entries: the node neither votes nor
    /// campaigns until its peers have repaired it. What the protocol writes may supersede the loss,
    /// so that a later start is not told of it: until it is repaired the protocol remembers.
    pub damaged: bool,
}

impl Recovered {
    /// The state of a node that never ran, in a cluster made of `membership`.
    #[must_use]
    pub fn fresh(membership: Membership) -> Self {
        Recovered {
            memberships: alloc::vec![(Index::ZERO, membership)],
            ..Recovered::default()
        }
    }
}

/// Index → epoch for a stretch of the log, kept as runs because epochs change rarely:
/// a log of a million entries under three leaders takes three runs.
///
/// Holes are allowed, as Paxos leaves them; Raft never does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochRuns {
    /// (first, last, epoch), ascending and disjoint.
    runs: Vec<(Index, Index, Epoch)>,
}

impl EpochRuns {
    /// The epoch of the entry at `index`, if there is one. Binary search over the runs.
    #[must_use]
    pub fn get(&self, index: Index) -> Option<Epoch> {
        let at = self.runs.partition_point(|(_, last, _)| *last < index);
        let (first, _, epoch) = self.runs.get(at)?;
        (*first <= index).then_some(*epoch)
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<Position> {
        let (_, index, epoch) = *self.runs.last()?;
        Some(Position { index, epoch })
    }

    /// The first index held.
    #[must_use]
    pub fn first_index(&self) -> Option<Index> {
        self.runs.first().map(|(first, _, _)| *first)
    }

    /// The first index of the run that `index` stands in.
    #[must_use]
    pub fn run_start(&self, index: Index) -> Option<Index> {
        let at = self.runs.partition_point(|(_, last, _)| *last < index);
        let (first, _, _) = self.runs.get(at)?;
        (*first <= index).then_some(*first)
    }

    /// Adds the entry at `position`, replacing one that stands at the same index. Constant
    /// when it comes after all others, else linear in the number of runs.
    pub fn put(&mut self, position: Position) {
        let Position { index, epoch } = position;
        match self.runs.last_mut() {
            Some((_, last, run)) if last.next() == index && *run == epoch => *last = index,
            Some((_, last, _)) if *last >= index => self.replace(index, epoch),
            _ => self.runs.push((index, index, epoch)),
        }
    }

    /// Forgets every entry at `from` and above.
    pub fn truncate_from(&mut self, from: Index) {
        self.runs.retain(|(first, _, _)| *first < from);
        if let Some((_, last, _)) = self.runs.last_mut() {
            *last = (*last).min(from.prev());
        }
    }

    /// Forgets every entry at `upto` and below.
    pub fn purge_to(&mut self, upto: Index) {
        self.runs.retain(|(_, last, _)| *last > upto);
        if let Some((first, _, _)) = self.runs.first_mut() {
            *first = (*first).max(upto.next());
        }
    }

    fn replace(&mut self, index: Index, epoch: Epoch) {
        let mut rebuilt = EpochRuns::default();
        let mut placed = false;
        for (first, last, run) in core::mem::take(&mut self.runs) {
            if !placed && first > index {
                rebuilt.push_run(index, index, epoch);
                placed = true;
            }
            if first <= index && index <= last {
                if first < index {
                    rebuilt.push_run(first, index.prev(), run);
                }
                rebuilt.push_run(index, index, epoch);
                placed = true;
                if index < last {
                    rebuilt.push_run(index.next(), last, run);
                }
            } else {
                rebuilt.push_run(first, last, run);
            }
        }
        *self = rebuilt;
    }

    fn push_run(&mut self, first: Index, last: Index, epoch: Epoch) {
        match self.runs.last_mut() {
            Some((_, end, run)) if end.next() == first && *run == epoch => *end = last,
            _ => self.runs.push((first, last, epoch)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(index: u64, term: u64) -> Position {
        Position {
            index: Index(index),
            epoch: Epoch::term(term),
        }
    }

    fn runs(entries: &[(u64, u64)]) -> EpochRuns {
        let mut runs = EpochRuns::default();
        entries
            .iter()
            .for_each(|(index, term)| runs.put(at(*index, *term)));
        runs
    }

    #[test]
    fn entries_of_one_epoch_are_one_run() {
        let log = runs(&[(1, 1), (2, 1), (3, 2), (4, 2)]);
        assert_eq!(log.runs.len(), 2);
        assert_eq!(log.get(Index(2)), Some(Epoch::term(1)));
        assert_eq!(log.get(Index(5)), None);
        assert_eq!(log.last(), Some(at(4, 2)));
        assert_eq!(log.run_start(Index(4)), Some(Index(3)));
    }

    #[test]
    fn a_slot_can_be_overwritten_and_holes_can_be_filled() {
        let mut log = runs(&[(1, 1), (2, 1), (3, 1), (6, 1)]);
        log.put(at(2, 5));
        log.put(at(5, 4));
        let epochs: Vec<_> = (1..=6)
            .map(|i| log.get(Index(i)).map(|e| e.round))
            .collect();
        assert_eq!(epochs, [Some(1), Some(5), Some(1), None, Some(4), Some(1)]);
    }

    #[test]
    fn both_ends_can_be_cut_inside_a_run() {
        let mut log = runs(&[(1, 1), (2, 1), (3, 1), (4, 1)]);
        log.truncate_from(Index(4));
        log.purge_to(Index(1));
        assert_eq!(
            (log.first_index(), log.last()),
            (Some(Index(2)), Some(at(3, 1)))
        );
        log.truncate_from(Index(2));
        assert_eq!(log, EpochRuns::default());
    }

    #[test]
    fn nothing_is_nowhere() {
        let log = EpochRuns::default();
        assert_eq!((log.last(), log.first_index()), (None, None));
        assert_eq!((log.get(Index(1)), log.run_start(Index(1))), (None, None));
        let fresh = Recovered::fresh(Membership::default());
        assert_eq!((fresh.applied, fresh.hard_state), (Position::ZERO, None));
        assert_eq!(fresh.memberships.len(), 1);
    }

    /// What happens to a log, in any order a Paxos could bring it about.
    #[derive(Clone, Copy, Debug)]
    enum Change {
        Put(u64, u64),
        TruncateFrom(u64),
        PurgeTo(u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            6 => (1..20_u64, 1..4_u64).prop_map(|(index, term)| Change::Put(index, term)),
            1 => (1..20_u64).prop_map(Change::TruncateFrom),
            1 => (0..20_u64).prop_map(Change::PurgeTo),
        ]
    }

    proptest! {
        #[test]
        fn runs_say_what_a_map_says(changes in proptest::collection::vec(change(), 0..60)) {
            let (mut log, mut map) = (EpochRuns::default(), BTreeMap::new());
            for change in changes {
                match change {
                    Change::Put(index, term) => {
                        log.put(at(index, term));
                        map.insert(Index(index), Epoch::term(term));
                    }
                    Change::TruncateFrom(from) => {
                        log.truncate_from(Index(from));
                        map.split_off(&Index(from));
                    }
                    Change::PurgeTo(upto) => {
                        log.purge_to(Index(upto));
                        map = map.split_off(&Index(upto + 1));
                    }
                }
                for index in (0..22).map(Index) {
                    prop_assert_eq!(log.get(index), map.get(&index).copied());
                    prop_assert_eq!(log.run_start(index), run_start(&map, index));
                }
                let last = map.last_key_value().map(|(i, e)| Position { index: *i, epoch: *e });
                prop_assert_eq!(log.last(), last);
                prop_assert_eq!(log.first_index(), map.keys().next().copied());
                // As few runs as can be: neighbours of one epoch are never apart.
                let apart = log.runs.windows(2).all(|two| {
                    two[0].1.next() != two[1].0 || two[0].2 != two[1].2
                });
                prop_assert!(apart, "{:?}", log.runs);
            }
        }
    }

    fn run_start(map: &BTreeMap<Index, Epoch>, index: Index) -> Option<Index> {
        let epoch = map.get(&index)?;
        let mut start = index;
        while map.get(&start.prev()) == Some(epoch) && start > Index::ZERO {
            start = start.prev();
        }
        Some(start)
    }
}
