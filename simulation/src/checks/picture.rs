//! What the checkers know of the cluster: each node's log, as it is and as its disk holds it, and
//! everything that was ever committed.

use std::collections::VecDeque;

use consensus::{Epoch, Index, NodeId, Position, WriteSeq};
use storage::RecoveredLog;

use crate::observed::{Entry, Written};
use crate::subject::Ballot;

/// A log, as epochs and digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mirror {
    purged: Position,
    /// From the one after `purged`; holes are `None`.
    entries: VecDeque<Option<(Epoch, u64)>>,
    pub(crate) ballot: Option<Ballot>,
}

impl Mirror {
    /// The epoch at an index: that of an entry, or of the last one purged.
    pub(crate) fn epoch(&self, index: u64) -> Option<Epoch> {
        if index == self.purged.index.0 {
            return Some(self.purged.epoch);
        }
        let at = index.checked_sub(self.purged.index.0 + 1)?;
        self.entries.get(at as usize)?.map(|(epoch, _)| epoch)
    }

    /// Whether everything up to an index is there, or was purged because it is applied.
    pub(crate) fn reaches(&self, index: u64) -> bool {
        index <= self.last()
    }

    pub(crate) fn last(&self) -> u64 {
        self.purged.index.0 + self.entries.len() as u64
    }

    /// The epoch of the last entry.
    pub(crate) fn last_epoch(&self) -> Epoch {
        let last = self.entries.back().copied().flatten();
        last.map_or(self.purged.epoch, |(epoch, _)| epoch)
    }

    pub(crate) fn purged(&self) -> u64 {
        self.purged.index.0
    }

    pub(crate) fn apply(&mut self, op: Written) {
        match op {
            Written::Ballot(ballot) => self.ballot = ballot.or(self.ballot),
            Written::Put(entry) => self.put(entry),
            Written::TruncateFrom(from) => {
                let keep = from.saturating_sub(self.purged.index.0 + 1);
                self.entries.truncate(keep as usize);
            }
            Written::PurgeTo(position) => {
                while self.purged.index < position.index && !self.entries.is_empty() {
                    self.entries.pop_front();
                    self.purged.index = self.purged.index.next();
                }
                if self.purged.index <= position.index {
                    self.purged = position;
                }
            }
        }
    }

    fn put(&mut self, entry: Entry) {
        let Some(at) = entry.at.index.0.checked_sub(self.purged.index.0 + 1) else {
            return;
        };
        let at = at as usize;
        if self.entries.len() <= at {
            self.entries.resize(at + 1, None);
        }
        if let Some(place) = self.entries.get_mut(at) {
            *place = Some((entry.at.epoch, entry.says));
        }
    }

    fn found(
        log: &RecoveredLog,
        ballot: Option<Ballot>,
        says: impl Fn(Position) -> Option<u64>,
    ) -> Mirror {
        let epoch = |epoch: storage::Epoch| Epoch {
            round: epoch.round,
            node: NodeId(epoch.node),
        };
        let mut mirror = Mirror {
            purged: Position {
                index: Index(log.purged.0),
                epoch: epoch(log.purged.1),
            },
            entries: VecDeque::new(),
            ballot,
        };
        for (index, under, _) in &log.records {
            let at = Position {
                index: Index(*index),
                epoch: epoch(*under),
            };
            mirror.put(Entry {
                at,
                says: says(at).unwrap_or(0),
            });
        }
        mirror
    }

    /// Whether a recovered log is this one; digests are not compared, as recovery reads none.
    pub(crate) fn is(&self, log: &RecoveredLog, ballot: Option<Ballot>) -> bool {
        let found = Mirror::found(log, ballot, |_| None);
        let epochs = |mirror: &Mirror| -> Vec<Option<Epoch>> {
            let entries = mirror.entries.iter();
            entries.map(|entry| entry.map(|(epoch, _)| epoch)).collect()
        };
        self.purged == found.purged && self.ballot == ballot && epochs(self) == epochs(&found)
    }
}

/// The cluster.
#[derive(Debug)]
pub(crate) struct Picture {
    seen: Vec<Mirror>,
    durable: Vec<Mirror>,
    /// Writes that are under way.
    under_way: Vec<VecDeque<(WriteSeq, Vec<Written>)>>,
    /// What was committed, from index 1.
    committed: Vec<Option<Entry>>,
    damaged: Vec<bool>,
}

impl Picture {
    pub(crate) fn new(nodes: usize) -> Self {
        Picture {
            seen: vec![Mirror::default(); nodes],
            durable: vec![Mirror::default(); nodes],
            under_way: vec![VecDeque::new(); nodes],
            committed: Vec::new(),
            damaged: vec![false; nodes],
        }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.seen.len()
    }

    /// A node's log as its protocol sees it.
    pub(crate) fn seen(&self, node: usize) -> &Mirror {
        &self.seen[node]
    }

    /// A node's log as its disk holds it.
    pub(crate) fn durable(&self, node: usize) -> &Mirror {
        &self.durable[node]
    }

    /// What is on its way to a node's disk.
    pub(crate) fn under_way(&self, node: usize) -> impl Iterator<Item = Written> + '_ {
        let writes = self.under_way[node].iter();
        writes.flat_map(|(_, ops)| ops.iter().copied())
    }

    pub(crate) fn write(&mut self, node: usize, op: Written) {
        self.seen[node].apply(op);
    }

    pub(crate) fn issue(&mut self, node: usize, seq: WriteSeq, ops: Vec<Written>) {
        self.under_way[node].push_back((seq, ops));
    }

    /// Books writes as durable, and tells which ballots those were.
    pub(crate) fn harden(&mut self, node: usize, seq: WriteSeq) -> Vec<Ballot> {
        let mut ballots = Vec::new();
        while self.under_way[node]
            .front()
            .is_some_and(|(at, _)| *at <= seq)
        {
            let Some((_, ops)) = self.under_way[node].pop_front() else {
                break;
            };
            for op in ops {
                if let Written::Ballot(Some(ballot)) = op {
                    ballots.push(ballot);
                }
                self.durable[node].apply(op);
            }
        }
        ballots
    }

    pub(crate) fn recover(
        &mut self,
        node: usize,
        found: &RecoveredLog,
        ballot: Option<Ballot>,
        says: impl Fn(Position) -> Option<u64>,
    ) {
        let mirror = Mirror::found(found, ballot, says);
        self.under_way[node].clear();
        self.durable[node] = mirror.clone();
        self.seen[node] = mirror;
    }

    /// A node's disk may have lost what it had held.
    pub(crate) fn damage(&mut self, node: usize) {
        self.damaged[node] = true;
    }

    pub(crate) fn is_damaged(&self, node: usize) -> bool {
        self.damaged[node]
    }

    pub(crate) fn wipe(&mut self, node: usize) {
        self.under_way[node].clear();
        self.durable[node] = Mirror::default();
        self.seen[node] = Mirror::default();
    }

    /// Books an entry as committed; true if it is the first time.
    pub(crate) fn commit(&mut self, entry: Entry) -> bool {
        let at = entry.at.index.0 as usize - 1;
        if self.committed.len() <= at {
            self.committed.resize(at + 1, None);
        }
        match self.committed.get_mut(at) {
            Some(place) if place.is_none() => {
                *place = Some(entry);
                true
            }
            _ => false,
        }
    }

    /// The last index that was ever committed.
    pub(crate) fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// What was committed at an index.
    pub(crate) fn committed_at(&self, index: u64) -> Option<Entry> {
        let at = index.checked_sub(1)?;
        self.committed.get(at as usize).copied().flatten()
    }
}
