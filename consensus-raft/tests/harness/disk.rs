//! A log store in memory: a queue of writes, what they leave, and what survives a crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use consensus::{
    Entry, Epoch, EpochRuns, Fetched, Index, LogOp, Membership, NodeId, Payload, Position,
    Recovered, WriteSeq,
};

/// What a log store holds.
#[derive(Clone, Default)]
pub(crate) struct Log {
    pub(crate) hard_state: Option<Bytes>,
    pub(crate) purged: Position,
    pub(crate) entries: BTreeMap<u64, Entry>,
}

impl Log {
    pub(crate) fn apply(&mut self, op: &LogOp) {
        match op {
            LogOp::HardState(bytes) => self.hard_state = Some(bytes.clone()),
            LogOp::Put(entry) => drop(self.entries.insert(entry.index.0, entry.clone())),
            LogOp::TruncateFrom(from) => drop(self.entries.split_off(&from.0)),
            LogOp::PurgeTo(upto) => {
                self.entries = self.entries.split_off(&(upto.index.0 + 1));
                self.purged = *upto;
            }
        }
    }

    pub(crate) fn last(&self) -> Position {
        let last = self.entries.values().next_back();
        last.map_or(self.purged, Entry::position)
    }

    /// Whether `entry` stands there, or is purged.
    pub(crate) fn holds(&self, entry: &Entry) -> bool {
        entry.index <= self.purged.index || self.entries.get(&entry.index.0) == Some(entry)
    }

    pub(crate) fn epoch(&self, index: u64) -> u64 {
        match self.entries.get(&index) {
            Some(entry) => entry.epoch.round,
            None if index == self.purged.index.0 => self.purged.epoch.round,
            None => 0,
        }
    }

    /// Term and vote, read from the layout that `hard_state.rs` documents.
    pub(crate) fn term_and_vote(&self) -> (u64, Option<NodeId>) {
        let Some(bytes) = &self.hard_state else {
            return (0, None);
        };
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let vote = number(10);
        (number(2), (vote != 0).then_some(NodeId(vote)))
    }
}

/// A hard state at `term` in which nobody was voted for.
pub(crate) fn hard_state(term: u64) -> Bytes {
    let mut bytes = vec![1, 0];
    bytes.extend(term.to_le_bytes());
    bytes.extend([0; 16]);
    Bytes::from(bytes)
}

/// An entry named by its place.
pub(crate) fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index: Index(index),
        epoch: Epoch::term(term),
        payload: Payload::Batch(format!("{index}@{term}").into()),
    }
}

/// A node's disk.
#[derive(Default)]
pub(crate) struct Disk {
    /// What survives a crash.
    pub(crate) durable: Log,
    /// What queued writes will leave.
    pub(crate) view: Log,
    pub(crate) queue: VecDeque<(WriteSeq, Vec<LogOp>)>,
    pub(crate) hung: bool,
    /// Entries that cannot be read back until they are written again.
    pub(crate) unreadable: BTreeSet<u64>,
}

impl Disk {
    /// Makes the next write durable.
    pub(crate) fn persist(&mut self) -> Option<WriteSeq> {
        if self.hung {
            return None;
        }
        let (seq, ops) = self.queue.pop_front()?;
        ops.iter().for_each(|op| self.durable.apply(op));
        Some(seq)
    }

    /// Loses what was queued, but for the first `keep` operations.
    pub(crate) fn crash(&mut self, keep: usize) {
        let ops = self.queue.drain(..).flat_map(|(_, ops)| ops);
        ops.take(keep).for_each(|op| self.durable.apply(&op));
        self.view = self.durable.clone();
        self.hung = false;
    }

    pub(crate) fn fetch(&self, from: Index, to: Index, max_bytes: usize) -> Fetched {
        if from <= self.view.purged.index {
            return Fetched::Purged;
        }
        if self.unreadable.contains(&from.0) {
            return Fetched::Corrupt;
        }
        let (mut found, mut bytes) = (Vec::new(), 0);
        for entry in self.view.entries.range(from.0..=to.0).map(|(_, e)| e) {
            bytes += entry.size();
            let ends = bytes > max_bytes || self.unreadable.contains(&entry.index.0);
            if ends && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Fetched::Entries(found)
    }

    pub(crate) fn recovered(&self, members: &Membership, applied: Position) -> Recovered {
        let mut log = EpochRuns::default();
        let entries = self.durable.entries.values();
        entries.for_each(|entry| log.put(entry.position()));
        Recovered {
            hard_state: self.durable.hard_state.clone(),
            purged: self.durable.purged,
            log,
            memberships: vec![(Index::ZERO, members.clone())],
            applied,
            damaged: false,
        }
    }
}
