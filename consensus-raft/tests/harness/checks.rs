//! What must hold after every event (figure 3), and what a node may say given what its disk holds.

use std::collections::BTreeMap;

use consensus::{Entry, NodeId, Payload, Position, majority};
use consensus_raft::Message;

use super::{Node, World};

/// Everything that was ever true in the cluster.
#[derive(Default)]
pub(crate) struct Truth {
    /// term → (leader, its life).
    leaders: BTreeMap<u64, (NodeId, u32)>,
    /// (index, term) → (payload, the term of the entry before it).
    entries: BTreeMap<(u64, u64), (Payload, u64)>,
    /// The committed entries, from index 1.
    pub(crate) committed: Vec<Entry>,
}

impl World {
    /// Election safety and leader completeness.
    pub(crate) fn check_leads(&mut self, id: NodeId, term: u64) {
        let life = self.nodes[&id].life;
        let before = self.truth.leaders.insert(term, (id, life));
        let same = before.is_none_or(|leader| leader == (id, life));
        self.check(same, || {
            format!("term {term} has two leaders: {before:?} and {id}")
        });
        let node = &self.nodes[&id];
        let log = &node.disk.view;
        let lacks = self.truth.committed.iter().find(|e| !log.holds(e));
        let lacks = lacks.map(Entry::position);
        self.check(lacks.is_none(), || {
            format!("{id} leads {term} without {lacks:?}, which is committed")
        });
    }

    /// Log matching: an index and a term name one entry, and one history before it.
    pub(crate) fn check_put(&mut self, id: NodeId, entry: &Entry) {
        let before = self.nodes[&id].disk.view.epoch(entry.index.0 - 1);
        let key = (entry.index.0, entry.epoch.round);
        let is = (entry.payload.clone(), before);
        let known = self.truth.entries.entry(key).or_insert_with(|| is.clone());
        let same = *known == is;
        self.check(same, || {
            format!("{id} puts {}, and not as it was", entry.position())
        });
    }

    /// State machine safety, and that a commit survives the crash of everybody.
    pub(crate) fn check_commit(&mut self, id: NodeId, entry: &Entry) {
        let at = entry.position();
        let next = self.nodes[&id].next_commit;
        self.check(at.index.0 == next, || {
            format!("{id} commits {at} where {next} is next")
        });
        let stands = self.nodes[&id].disk.view.entries.get(&at.index.0) == Some(entry);
        self.check(stands, || format!("{id} commits {at}, not in its log"));
        self.check_quorum(entry);
        match self.truth.committed.get(at.index.0 as usize - 1) {
            Some(known) => {
                let (same, known) = (known == entry, known.position());
                self.check(same, || format!("{id} commits {at}, others {known}"));
            }
            None => {
                let end = self.truth.committed.len() as u64;
                self.check(at.index.0 == end + 1, || format!("{at} leaves a hole"));
                self.truth.committed.push(entry.clone());
            }
        }
    }

    fn check_quorum(&self, entry: &Entry) {
        let holds = |node: &&Node| {
            node.applied_durably.index >= entry.index || node.disk.durable.holds(entry)
        };
        let count = self.nodes.values().filter(holds).count();
        let need = majority(self.members.voters.len());
        self.check(count >= need, || {
            format!("{} is committed, durable on {count}", entry.position())
        });
    }

    /// Durable before asserted.
    pub(crate) fn check_send(&self, id: NodeId, to: NodeId, message: &Message) {
        let disk = &self.nodes[&id].disk;
        let (durable_term, durable_vote) = disk.durable.term_and_vote();
        let term = match message {
            Message::PreVote { term, .. } => term - 1,
            Message::PreVoted { .. } => 0,
            other => other.term(),
        };
        self.check(term <= durable_term, || {
            format!("{id} says {message:?}, but its disk is at term {durable_term}")
        });
        let claimed = match message {
            Message::Vote { .. } => Some(id),
            Message::Voted { granted: true, .. } => Some(to),
            _ => None,
        };
        let kept = claimed.is_none_or(|_| term < durable_term || claimed == durable_vote);
        self.check(kept, || {
            format!("{id} says {message:?} to {to}, but its disk voted for {durable_vote:?}")
        });
        if let Message::Acked { matched, .. } = message {
            let purged = disk.durable.purged.max(disk.view.purged).index;
            let lacks = (purged.0 + 1..=matched.0).find(|index| {
                let durable = disk.durable.entries.get(index);
                durable.is_none() || durable != disk.view.entries.get(index)
            });
            self.check(lacks.is_none(), || {
                format!("{id} acknowledges {matched}, {lacks:?} is not durable")
            });
        }
    }

    #[track_caller]
    pub(crate) fn check(&self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            let tail = self.trace.len().saturating_sub(80);
            let trace = self.trace[tail..].join("\n");
            panic!("{}\nseed {}\n{trace}", why(), self.seed);
        }
    }
}

/// Where a committed log ends.
pub(crate) fn end(committed: &[Entry]) -> Position {
    committed.last().map_or(Position::ZERO, Entry::position)
}
