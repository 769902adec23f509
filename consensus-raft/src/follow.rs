//! The follower's side of replication (§5.3).
//!
//! `received` is how far its log is known to be the leader's of this term; nothing above it may be
//! committed on the leader's word, whatever stands there. An acknowledgement says the durable part
//! of that, and is made anew whenever a write has become durable: several appends under one fsync
//! are acknowledged once, and nothing that was truncated meanwhile can be.

use alloc::vec::Vec;

use consensus::{Entry, Epoch, Index, LogOp, NodeId, Position};

use crate::message::Message;
use crate::raft::{Raft, State};
use crate::read::Asking;

/// What a follower keeps for as long as it follows.
#[derive(Debug, Default)]
pub(crate) struct Following {
    /// Up to where its log is known to be the leader's.
    received: Index,
    /// What it has acknowledged.
    acked: Index,
    /// Whether an append waits for its answer.
    owes_ack: bool,
    /// Whether a part of an answer is news, since a write has become durable.
    news: bool,
    pub(crate) reads: Asking,
}

impl Following {
    /// A write has become durable.
    pub(crate) const fn persisted(&mut self) {
        self.news = true;
    }

    /// The entry at `index` cannot be read: the leader has to send it again.
    pub(crate) fn lacks(&mut self, index: Index) {
        self.received = self.received.min(index.prev());
        self.acked = self.acked.min(self.received);
    }

    /// A snapshot up to `index` is installed: that much is the leader's, and the leader should
    /// know.
    pub(crate) fn holds_snapshot(&mut self, index: Index) {
        self.received = index;
        self.owes_ack = true;
    }
}

impl Raft {
    /// Whether `from` may lead this term; if so it is followed from now on.
    pub(crate) fn follow(&mut self, from: NodeId) -> bool {
        let other = self.leader.is_some_and(|leader| leader != from);
        if self.is_leader() || other || !self.membership.is_voter(from) {
            self.drop_input();
            return false;
        }
        if matches!(self.state, State::Candidate(_)) {
            self.become_follower();
        }
        self.leader = Some(from);
        self.heard_leader_at = Some(self.now);
        self.arm_election();
        true
    }

    pub(crate) fn on_append(
        &mut self,
        from: NodeId,
        prev: Position,
        entries: Vec<Entry>,
        commit: Index,
    ) {
        if !is_possible(prev, &entries, self.epoch()) || self.contradicts_settled(prev, &entries) {
            return self.drop_input();
        }
        if !self.follow(from) {
            return;
        }
        let lacks = prev.index > self.commit_index && !self.log.holds(prev);
        if lacks || prev.index > self.readable() {
            let (term, prev) = (self.hard.term, prev.index);
            let conflict = self.conflict_at(prev);
            let rejected = Message::Rejected {
                term,
                prev,
                conflict,
            };
            return self.say(from, rejected);
        }
        let last = Index(prev.index.0 + entries.len() as u64);
        entries.into_iter().for_each(|entry| self.accept(entry));
        self.vouch(last);
        if let State::Follower(following) = &mut self.state {
            following.received = following.received.max(last);
            following.owes_ack = true;
        }
        self.learn_commit(commit);
        self.dirty = true;
    }

    /// Takes an entry in, unless it stands there already. What stands there with another epoch
    /// goes, and with it everything above; what agrees is never truncated, so an append that was
    /// delayed does no harm.
    fn accept(&mut self, entry: Entry) {
        let (index, last) = (entry.index, self.log.last().index);
        if self.unreadable == Some(index) && self.log.holds(entry.position()) {
            // It stands there, and is put again in place of what cannot be read.
            self.stage(LogOp::Put(entry));
            self.retry_at = None;
            return;
        }
        if index <= self.commit_index || self.log.holds(entry.position()) {
            return;
        }
        if index <= last {
            self.log.truncate_from(index);
            self.stage(LogOp::TruncateFrom(index));
        }
        // Shares the payload with the write.
        self.stage(LogOp::Put(entry.clone()));
        self.log.append(entry);
    }

    /// How much of the log the leader may be told of: what cannot be read is as good as lost, and of
    /// a damaged log nobody knows what it holds.
    fn readable(&self) -> Index {
        let lacks = self.unreadable.map(Index::prev);
        let bounds = lacks.into_iter().chain(self.vouched);
        bounds.min().unwrap_or(Index(u64::MAX))
    }

    /// Everything up to `index` is a leader's.
    pub(crate) fn vouch(&mut self, index: Index) {
        self.vouched = self.vouched.map(|vouched| vouched.max(index));
    }

    /// Whether an append would change what is committed, or what this term's leader has said
    /// before.
    fn contradicts_settled(&self, prev: Position, entries: &[Entry]) -> bool {
        let settled = match &self.state {
            State::Follower(following) => following.received.max(self.commit_index),
            _ => self.commit_index,
        };
        let contradicts = |at: Position| {
            let epoch = self.log.epoch(at.index);
            at.index <= settled && epoch.is_some_and(|epoch| epoch != at.epoch)
        };
        let overlap = entries.iter().take_while(|entry| entry.index <= settled);
        contradicts(prev)
            || overlap
                .into_iter()
                .any(|entry| contradicts(entry.position()))
    }

    /// Where the leader should look instead of at `prev` (§5.3, end): at the first entry of the
    /// epoch that stands there, or at the end of a log that is too short, or cannot be read.
    fn conflict_at(&self, prev: Index) -> Position {
        let end = self.log.last().index.min(self.readable());
        match self.log.epoch(prev) {
            Some(epoch) if prev <= end => Position {
                index: self.log.run_start(prev),
                epoch,
            },
            _ => Position {
                index: end.next(),
                epoch: Epoch::ZERO,
            },
        }
    }

    /// The leader has committed up to `commit`; so has this node, as far as its log is the
    /// leader's.
    pub(crate) fn learn_commit(&mut self, commit: Index) {
        if let State::Follower(following) = &self.state {
            let commit = commit.min(following.received);
            if commit > self.commit_index {
                self.commit_index = commit;
                self.dirty = true;
            }
        }
    }

    pub(crate) fn on_heartbeat(&mut self, from: NodeId, round: u64, prev: Position, commit: Index) {
        if !self.follow(from) {
            return;
        }
        let readable = self.readable();
        let vouched = self.vouched.is_none_or(|vouched| prev.index <= vouched);
        let holds = prev.index <= self.commit_index || (self.log.holds(prev) && vouched);
        if let State::Follower(following) = &mut self.state {
            if holds {
                following.received = following.received.max(prev.index);
            }
            // The leader does not know of what was acknowledged above `prev`: it was lost, or is
            // under way. Say it again.
            if following.acked > prev.index {
                following.acked = prev.index;
                following.news = true;
            }
            self.dirty = true;
            let answer = Message::HeartbeatAck {
                term: self.hard.term,
                round,
                prev: prev.index,
                received: following.received.min(readable),
            };
            self.say(from, answer);
        }
        if self.commit_blocked && self.installing.is_none() {
            let term = self.hard.term;
            self.say(from, Message::NeedsSnapshot { term });
        }
        self.learn_commit(commit);
    }

    pub(crate) fn on_commit(&mut self, from: NodeId, commit: Index) {
        if self.follow(from) {
            self.learn_commit(commit);
        }
    }

    /// Acknowledges, once per drain, what has become durable.
    pub(crate) fn produce_follower(&mut self) {
        let readable = self.readable();
        let State::Follower(following) = &self.state else {
            return;
        };
        let received = following.received;
        let durable = self.durability.durable(self.log.last().index);
        let matched = durable.min(received).min(readable);
        // This term is later than any in which it acknowledged what it may have lost. Once its leader
        // has committed an entry of it, what is committed up to there is everything, and it is here.
        let settled = self.commit_index.min(matched);
        if self.vouched.is_some() && self.log.epoch(settled) == Some(Epoch::term(self.hard.term)) {
            // Where that entry was put, everything went that no leader had confirmed: no entry that
            // was found at the start is of this term.
            self.vouched = None;
            self.hard.damaged = false;
            self.stage_hard_state();
        }
        let State::Follower(following) = &mut self.state else {
            return;
        };
        let complete = durable >= received;
        let news = core::mem::take(&mut following.news);
        if let Some(leader) = self.leader
            && self.durability.hard_state_durable()
            && ((news && matched > following.acked) || (following.owes_ack && complete))
        {
            following.acked = matched;
            following.owes_ack &= !complete;
            let term = self.hard.term;
            self.say(leader, Message::Acked { term, matched });
        }
        self.ask_for_reads();
    }
}

/// Whether a leader of `term` could have sent these entries: consecutive, their epochs never
/// decreasing and never above the leader's.
fn is_possible(prev: Position, entries: &[Entry], term: Epoch) -> bool {
    let mut before = prev;
    let consecutive = entries.iter().all(|entry| {
        let follows = before.index.0.checked_add(1) == Some(entry.index.0)
            && entry.epoch >= before.epoch
            && entry.epoch.node == NodeId(0)
            && entry.epoch > Epoch::ZERO;
        before = entry.position();
        follows
    });
    consecutive
        && before.epoch <= term
        && (prev.index == Index::ZERO) == (prev.epoch == Epoch::ZERO)
}
