//! A log store in memory that loses whatever was not made durable.
//!
//! It is a slot map, as the contract asks of every log store: [`LogOp::Put`] replaces what stands
//! at an index and may leave holes below it. Writes queue in order. Until one is made durable it
//! shows only in [`Disk::view`], which is what the protocol reads back; a crash falls back to
//! [`Disk::durable`], with as many of the queued operations as the case chooses, in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::{
    Entry, EpochRuns, Fetched, Index, LogOp, Membership, Micros, Payload, Position, Recovered,
    WriteSeq,
};

/// What a log store holds.
#[derive(Clone, Debug)]
pub struct Log {
    /// The protocol's own state, as last written.
    pub hard_state: Option<Bytes>,
    /// The last entry that was purged.
    pub purged: Position,
    /// Every entry above it, holes and all.
    pub entries: BTreeMap<Index, Entry>,
    /// The membership in force at `purged`.
    base: (Index, Membership),
}

impl Log {
    fn new(membership: Membership) -> Self {
        Log {
            hard_state: None,
            purged: Position::ZERO,
            entries: BTreeMap::new(),
            base: (Index::ZERO, membership),
        }
    }

    /// Whether `entry` stands at its index.
    #[must_use]
    pub fn holds(&self, entry: &Entry) -> bool {
        self.entries.get(&entry.index) == Some(entry)
    }

    /// The last entry's index; what was purged when there is none.
    #[must_use]
    pub fn last_index(&self) -> Index {
        let last = self.entries.keys().next_back().copied();
        last.unwrap_or_default().max(self.purged.index)
    }

    pub(super) fn apply(&mut self, op: &LogOp) {
        match op {
            LogOp::HardState(state) => self.hard_state = Some(state.clone()),
            LogOp::Put(entry) => {
                self.entries.insert(entry.index, entry.clone());
            }
            LogOp::TruncateFrom(from) => {
                self.entries.split_off(from);
            }
            LogOp::PurgeTo(upto) => self.purge(*upto),
        }
    }

    fn purge(&mut self, upto: Position) {
        let kept = self
            .entries
            .split_off(&Index(upto.index.0.saturating_add(1)));
        for (index, entry) in std::mem::replace(&mut self.entries, kept) {
            if let Payload::Membership(membership) = entry.payload {
                self.base = (index, membership);
            }
        }
        self.purged = self.purged.max(upto);
    }

    fn recovered(&self, applied: Position, damaged: bool) -> Recovered {
        let mut log = EpochRuns::default();
        let mut memberships = vec![self.base.clone()];
        for (index, entry) in &self.entries {
            log.put(entry.position());
            if let Payload::Membership(membership) = &entry.payload {
                memberships.push((*index, membership.clone()));
            }
        }
        Recovered {
            hard_state: self.hard_state.clone(),
            purged: self.purged,
            log,
            memberships,
            applied,
            damaged,
        }
    }
}

struct Queued {
    seq: WriteSeq,
    ops: Vec<LogOp>,
    ready_at: Micros,
}

/// One node's log store.
pub struct Disk {
    /// What a crash leaves.
    pub durable: Log,
    /// What the protocol has written, durable or not.
    pub view: Log,
    queue: VecDeque<Queued>,
    /// While true, nothing becomes durable.
    pub hung: bool,
    /// Entries that cannot be read back until they are written again.
    pub unreadable: BTreeSet<Index>,
}

impl Disk {
    pub(super) fn new(membership: Membership) -> Self {
        let log = Log::new(membership);
        Disk {
            durable: log.clone(),
            view: log,
            queue: VecDeque::new(),
            hung: false,
            unreadable: BTreeSet::new(),
        }
    }

    /// Takes a write in, to be durable no earlier than `ready_at` and than the one before it.
    /// Returns when that is.
    pub(super) fn enqueue(&mut self, seq: WriteSeq, ops: Vec<LogOp>, ready_at: Micros) -> Micros {
        let after = self.queue.back().map_or(Micros(0), |write| write.ready_at);
        let ready_at = ready_at.max(after);
        for op in &ops {
            self.view.apply(op);
            if let LogOp::Put(entry) = op {
                self.unreadable.remove(&entry.index);
            }
        }
        self.queue.push_back(Queued { seq, ops, ready_at });
        ready_at
    }

    /// Makes the next write durable if its time has come.
    pub(super) fn persist_due(&mut self, now: Micros) -> Option<(WriteSeq, Vec<LogOp>)> {
        if self.hung || self.queue.front()?.ready_at > now {
            return None;
        }
        self.persist_next()
    }

    /// Makes the next write durable, whatever hangs.
    pub(super) fn persist_next(&mut self) -> Option<(WriteSeq, Vec<LogOp>)> {
        let write = self.queue.pop_front()?;
        write.ops.iter().for_each(|op| self.durable.apply(op));
        Some((write.seq, write.ops))
    }

    /// How many writes are under way.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How many operations those writes hold: what a crash may keep a prefix of.
    #[must_use]
    pub fn queued_ops(&self) -> usize {
        self.queue.iter().map(|write| write.ops.len()).sum()
    }

    /// Loses what was not durable, except the first `keep` operations.
    pub(super) fn crash(&mut self, keep: usize) {
        let ops = self.queue.drain(..).flat_map(|write| write.ops);
        for op in ops.take(keep) {
            self.durable.apply(&op);
        }
        self.hung = false;
        self.view = self.durable.clone();
    }

    /// Replaces what the disk holds: for histories that are cheaper to write than to act out.
    pub(super) fn rewrite(&mut self, change: impl FnOnce(&mut Log)) {
        assert!(self.queue.is_empty(), "rewriting a disk that is in use");
        change(&mut self.durable);
        self.view = self.durable.clone();
    }

    pub(super) fn recovered(&self, applied: Position, damaged: bool) -> Recovered {
        self.durable.recovered(applied, damaged)
    }

    /// What stands at `from..=to`, as queued writes leave it.
    pub(super) fn fetch(&self, from: Index, to: Index, max_bytes: usize, most: usize) -> Fetched {
        if from <= self.view.purged.index {
            return Fetched::Purged;
        }
        if self.unreadable.contains(&from) {
            return Fetched::Corrupt;
        }
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, from);
        while let Some(entry) = self.view.entries.get(&next) {
            let full = bytes + entry.size() > max_bytes || entries.len() >= most;
            let full = full || self.unreadable.contains(&next);
            if next > to || (full && !entries.is_empty()) {
                break;
            }
            bytes += entry.size();
            entries.push(entry.clone());
            next = next.next();
        }
        Fetched::Entries(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, NodeId};

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            index: Index(index),
            epoch: Epoch::term(term),
            payload: Payload::Batch(Bytes::from(format!("{index}@{term}"))),
        }
    }

    fn put(index: u64, term: u64) -> LogOp {
        LogOp::Put(entry(index, term))
    }

    /// A disk with entries 1 to 3 durable, and two writes of two operations under way.
    fn disk() -> Disk {
        let mut disk = Disk::new(Membership::of_voters([NodeId(1)]));
        let now = Micros(10);
        disk.enqueue(WriteSeq(1), vec![put(1, 1), put(2, 1), put(3, 1)], now);
        assert!(disk.persist_due(now).is_some());
        let over = vec![LogOp::TruncateFrom(Index(3)), put(3, 2)];
        disk.enqueue(WriteSeq(2), over, Micros(20));
        disk.enqueue(WriteSeq(3), vec![put(4, 2), put(6, 2)], Micros(15));
        disk
    }

    fn epochs(log: &Log) -> Vec<(u64, u64)> {
        let entries = log.entries.values();
        entries.map(|e| (e.index.0, e.epoch.round)).collect()
    }

    #[test]
    fn the_view_shows_what_is_queued_and_the_rest_is_durable() {
        let disk = disk();
        assert_eq!(epochs(&disk.durable), [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(epochs(&disk.view), [(1, 1), (2, 1), (3, 2), (4, 2), (6, 2)]);
        assert_eq!((disk.queued(), disk.queued_ops()), (2, 4));
    }

    #[test]
    fn writes_become_durable_in_order_whatever_each_takes() {
        let mut disk = disk();
        assert!(disk.persist_due(Micros(19)).is_none());
        let mut written = || disk.persist_due(Micros(20)).map(|(seq, _)| seq.0);
        assert_eq!((written(), written(), written()), (Some(2), Some(3), None));
        assert_eq!(epochs(&disk.durable), epochs(&disk.view));
    }

    #[test]
    fn a_hung_disk_writes_nothing() {
        let mut disk = disk();
        disk.hung = true;
        assert!(disk.persist_due(Micros(99)).is_none());
    }

    #[test]
    fn a_crash_keeps_a_prefix_of_the_operations() {
        let left = |keep| {
            let mut disk = disk();
            disk.crash(keep);
            assert_eq!(epochs(&disk.durable), epochs(&disk.view));
            epochs(&disk.durable)
        };
        assert_eq!(left(0), [(1, 1), (2, 1), (3, 1)]);
        assert_eq!(left(1), [(1, 1), (2, 1)]);
        assert_eq!(left(3), [(1, 1), (2, 1), (3, 2), (4, 2)]);
    }

    #[test]
    fn a_restart_is_told_what_is_durable() {
        let mut disk = disk();
        let joined = Membership::of_voters([NodeId(1), NodeId(2)]);
        let change = Entry {
            payload: Payload::Membership(joined.clone()),
            ..entry(7, 2)
        };
        disk.enqueue(WriteSeq(4), vec![LogOp::Put(change)], Micros(0));
        disk.crash(usize::MAX);
        let recovered = disk.recovered(Position::ZERO, true);
        assert!(recovered.damaged);
        assert_eq!(recovered.log.get(Index(3)), Some(Epoch::term(2)));
        assert_eq!(recovered.log.get(Index(5)), None);
        assert_eq!(recovered.memberships[1], (Index(7), joined.clone()));
        disk.durable.apply(&LogOp::PurgeTo(entry(7, 2).position()));
        let recovered = disk.recovered(Position::ZERO, false);
        assert_eq!(recovered.memberships, [(Index(7), joined)]);
        assert_eq!(recovered.purged, entry(7, 2).position());
    }

    #[test]
    fn what_is_unreadable_is_so_until_it_is_written_again() {
        let mut disk = disk();
        disk.unreadable.insert(Index(3));
        let fetch = |disk: &Disk, from| disk.fetch(Index(from), Index(9), usize::MAX, usize::MAX);
        assert!(matches!(fetch(&disk, 3), Fetched::Corrupt));
        assert!(matches!(fetch(&disk, 1), Fetched::Entries(two) if two.len() == 2));
        disk.enqueue(WriteSeq(4), vec![put(3, 2)], Micros(0));
        assert!(matches!(fetch(&disk, 1), Fetched::Entries(four) if four.len() == 4));
    }

    #[test]
    fn a_fetch_reads_the_view_up_to_a_hole_or_a_limit() {
        let disk = disk();
        let fetch = |from, to, bytes, most| -> Vec<u64> {
            let Fetched::Entries(entries) = disk.fetch(Index(from), Index(to), bytes, most) else {
                panic!("nothing to read");
            };
            entries.iter().map(|entry| entry.index.0).collect()
        };
        let all = usize::MAX;
        assert_eq!(fetch(1, 9, all, all), [1, 2, 3, 4]);
        assert_eq!(fetch(2, 3, all, all), [2, 3]);
        assert_eq!(fetch(2, 4, 7, all), [2, 3]);
        assert_eq!(fetch(2, 4, 0, all), [2]);
        assert_eq!(fetch(2, 4, all, 1), [2]);
        assert_eq!(fetch(5, 6, all, all), [0_u64; 0]);
        assert!(matches!(
            disk.fetch(Index(0), Index(1), all, all),
            Fetched::Purged
        ));
    }
}
