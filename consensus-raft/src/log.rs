//! The log as Raft sees it: the epoch of every entry, and the newest entries themselves.
//!
//! Epochs are kept as runs ([`EpochRuns`]), so that a log of any length fits in memory and the
//! consistency check (§5.3) needs no disk. Entries are kept in a cache that is bounded in bytes;
//! what fell out of it is read back through [`Output::Fetch`](consensus::Output). Entries that are
//! not committed or not persisted are never dropped from the cache: they are what peers need next,
//! and reading them back would race with writing them.
//!
//! Invariants: indexes run without holes from `purged.index + 1` to the last; epochs never
//! decrease; the cache is a suffix of the log.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use consensus::{Entry, Epoch, EpochRuns, Index, Position};

/// The log.
#[derive(Debug)]
pub(crate) struct Log {
    purged: Position,
    epochs: EpochRuns,
    last: Position,
    cache: VecDeque<Entry>,
    cached_bytes: usize,
}

impl Log {
    /// A log whose entries above `purged` have these epochs, none of them in memory.
    pub(crate) fn new(purged: Position, epochs: EpochRuns) -> Self {
        let last = epochs.last().unwrap_or(purged);
        Log {
            purged,
            epochs,
            last,
            cache: VecDeque::new(),
            cached_bytes: 0,
        }
    }

    pub(crate) const fn purged(&self) -> Position {
        self.purged
    }

    pub(crate) const fn last(&self) -> Position {
        self.last
    }

    /// The epoch at `index`: of an entry, or of the last purged one.
    pub(crate) fn epoch(&self, index: Index) -> Option<Epoch> {
        if index == self.last.index {
            Some(self.last.epoch)
        } else if index == self.purged.index {
            Some(self.purged.epoch)
        } else {
            self.epochs.get(index)
        }
    }

    /// Whether the entry named `position` stands in the log, or was the last to be purged.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.epoch(position.index) == Some(position.epoch)
    }

    /// The first index of the run of equal epochs in which `index` stands.
    pub(crate) fn run_start(&self, index: Index) -> Index {
        self.epochs.run_start(index).unwrap_or(index)
    }

    /// The last index at or below `index` whose epoch is at most `epoch`.
    pub(crate) fn last_at_most(&self, index: Index, epoch: Epoch) -> Index {
        let mut at = index.min(self.last.index);
        while at > self.purged.index && self.epoch(at).is_some_and(|found| found > epoch) {
            at = self.run_start(at).prev();
        }
        at
    }

    /// Adds an entry right after the last. Constant time.
    pub(crate) fn append(&mut self, entry: Entry) {
        let position = entry.position();
        assert!(
            position.index == self.last.index.next() && position.epoch >= self.last.epoch,
            "{position} cannot follow {}",
            self.last
        );
        self.epochs.put(position);
        self.last = position;
        self.cached_bytes += entry.size();
        self.cache.push_back(entry);
    }

    /// Drops every entry at `from` and above.
    pub(crate) fn truncate_from(&mut self, from: Index) {
        assert!(from > self.purged.index, "truncating what was purged");
        while self.cache.back().is_some_and(|entry| entry.index >= from) {
            self.pop(VecDeque::pop_back);
        }
        self.epochs.truncate_from(from);
        self.last = self.epochs.last().unwrap_or(self.purged);
    }

    /// Drops every entry up to `upto`, which stands in the log.
    pub(crate) fn purge_to(&mut self, upto: Position) {
        assert!(self.holds(upto), "purging {upto}, which is not there");
        while self.cache.front().is_some_and(|e| e.index <= upto.index) {
            self.pop(VecDeque::pop_front);
        }
        self.epochs.purge_to(upto.index);
        self.purged = upto;
    }

    /// Drops everything: the log goes on after `purged`.
    pub(crate) fn restart_at(&mut self, purged: Position) {
        *self = Log::new(purged, EpochRuns::default());
    }

    /// The first index in memory; the one after the last when there is none.
    pub(crate) fn cached_from(&self) -> Index {
        Index(self.last.index.0 + 1 - self.cache.len() as u64)
    }

    /// The entries in memory from `from` to `to`.
    pub(crate) fn cached(&self, from: Index, to: Index) -> impl Iterator<Item = &Entry> + '_ {
        let first = self.cached_from();
        let skip = from.0.saturating_sub(first.0).min(self.cache.len() as u64);
        let end = (to.0 + 1).saturating_sub(first.0);
        let end = end.clamp(skip, self.cache.len() as u64);
        self.cache.range(skip as usize..end as usize)
    }

    /// Entries in memory from `from` on, about `max_bytes` of them but at least one. Payloads are
    /// shared, not copied.
    pub(crate) fn batch(&self, from: Index, max_bytes: usize) -> Vec<Entry> {
        let (mut count, mut bytes) = (0, 0);
        for entry in self.cached(from, self.last.index) {
            let size = entry.size();
            if count > 0 && bytes + size > max_bytes {
                break;
            }
            count += 1;
            bytes += size;
        }
        let entries = self.cached(from, self.last.index).take(count);
        entries.cloned().collect()
    }

    /// Drops the oldest entries from memory, as far as `upto`, while more than `max_bytes` are
    /// held.
    pub(crate) fn shrink_cache(&mut self, max_bytes: usize, upto: Index) {
        while self.cached_bytes > max_bytes
            && self.cache.front().is_some_and(|entry| entry.index <= upto)
        {
            self.pop(VecDeque::pop_front);
        }
    }

    fn pop(&mut self, end: fn(&mut VecDeque<Entry>) -> Option<Entry>) {
        if let Some(entry) = end(&mut self.cache) {
            self.cached_bytes -= entry.size();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus::Payload;

    use super::*;

    /// A log of these terms, each entry ten bytes.
    fn log(terms: &[u64]) -> Log {
        let mut log = Log::new(Position::ZERO, EpochRuns::default());
        for term in terms {
            log.append(Entry {
                index: log.last().index.next(),
                epoch: Epoch::term(*term),
                payload: Payload::Batch(Bytes::from_static(b"0123456789")),
            });
        }
        log
    }

    fn indexes(log: &Log, from: u64, to: u64) -> Vec<u64> {
        let cached = log.cached(Index(from), Index(to));
        cached.map(|entry| entry.index.0).collect()
    }

    #[test]
    fn the_cache_is_bounded_but_keeps_what_may_not_go() {
        let mut log = log(&[1, 1, 1, 1, 1]);
        log.shrink_cache(25, Index(2));
        assert_eq!(log.cached_from(), Index(3));
        log.shrink_cache(25, Index(5));
        assert_eq!(log.cached_from(), Index(4));
        assert_eq!(indexes(&log, 1, 9), [4, 5]);
        assert_eq!(log.epoch(Index(1)), Some(Epoch::term(1)));
    }

    #[test]
    fn a_batch_is_about_so_many_bytes_but_at_least_one_entry() {
        let log = log(&[1, 1, 1]);
        let count = |max| log.batch(Index(1), max).len();
        assert_eq!([1, 10, 19, 20, 99].map(count), [1, 1, 1, 2, 3]);
        assert_eq!(log.batch(Index(4), 99), []);
    }

    #[test]
    fn truncation_and_purge_cut_the_cache_too() {
        let mut log = log(&[1, 1, 2, 2]);
        log.truncate_from(Index(4));
        log.purge_to(Position {
            index: Index(1),
            epoch: Epoch::term(1),
        });
        assert_eq!(indexes(&log, 1, 9), [2, 3]);
        assert_eq!(log.cached_bytes, 20);
        assert_eq!(log.epoch(Index(1)), Some(Epoch::term(1)));
        assert_eq!(log.epoch(Index(0)), None);
        log.truncate_from(Index(2));
        assert_eq!(log.last(), log.purged());
        assert_eq!(log.cached_from(), Index(2));
    }

    #[test]
    fn the_last_entry_of_an_epoch_or_an_earlier_one_is_found() {
        let log = log(&[1, 1, 3, 3, 5]);
        let find = |index, term| log.last_at_most(Index(index), Epoch::term(term)).0;
        assert_eq!(find(9, 9), 5);
        assert_eq!(find(5, 4), 4);
        assert_eq!(find(5, 2), 2);
        assert_eq!(find(3, 3), 3);
        assert_eq!(find(5, 0), 0);
    }

    #[test]
    #[should_panic(expected = "cannot follow")]
    fn an_entry_that_leaves_a_hole_is_our_own_mistake() {
        log(&[1, 1]).append(Entry {
            index: Index(4),
            epoch: Epoch::term(1),
            payload: Payload::Blank,
        });
    }
}
