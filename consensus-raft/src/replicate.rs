//! The leader's side of replication (§5.3, §5.4.2): proposals, answers to appends, commit, and what
//! time demands of a leader. How appends are made stands in `append.rs`.
//!
//! The leader counts itself by what is durable, like any peer. Only an entry of its own term is committed by counting (figure 8); what stands below it is committed with it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use consensus::{
    Done, Entry, Index, LogOp, Micros, NodeId, Output, Payload, PeerStatus, Position, Refusal,
    RequestId,
};

use crate::config::Config;
use crate::message::Message;
use crate::progress::Progress;
use crate::raft::{Raft, State};
use crate::read::Rounds;

/// What a leader keeps for as long as it leads.
#[derive(Debug)]
pub(crate) struct Reign {
    pub(crate) peers: BTreeMap<NodeId, Progress>,
    /// The first entry of its term.
    pub(crate) first: Index,
    /// Payload bytes of its term's entries that are not committed.
    uncommitted_bytes: usize,
    heartbeat_at: Micros,
    /// When to check that a quorum still answers.
    check_at: Micros,
    /// When to tell those who have not heard of it that the commit index has moved.
    notice_at: Option<Micros>,
    pub(crate) rounds: Rounds,
}

impl Reign {
    pub(crate) fn new(
        now: Micros,
        config: &Config,
        peers: impl Iterator<Item = NodeId>,
        first: Index,
    ) -> Self {
        Reign {
            peers: peers.map(|id| (id, Progress::new(now, first))).collect(),
            first,
            uncommitted_bytes: 0,
            heartbeat_at: now + config.heartbeat_interval,
            check_at: now + config.election_timeout,
            notice_at: None,
            rounds: Rounds::default(),
        }
    }

    pub(crate) fn deadline(&self) -> Micros {
        let timer = self.heartbeat_at.min(self.check_at);
        self.notice_at.map_or(timer, |at| at.min(timer))
    }

    pub(crate) fn peer_status(&self, now: Micros, config: &Config) -> Vec<PeerStatus> {
        let status = |(node, progress): (&NodeId, &Progress)| PeerStatus {
            node: *node,
            matched: progress.match_index,
            active: now.since(progress.heard_at) < config.election_timeout,
            in_flight: progress.in_flight(),
        };
        self.peers.iter().map(status).collect()
    }
}

impl Raft {
    /// The hot path: no copy of the payload, constant time.
    pub(crate) fn on_propose(&mut self, request: RequestId, batch: Bytes) {
        let limit = self.config.max_uncommitted_bytes;
        match &self.state {
            State::Leader(reign)
                if reign.uncommitted_bytes > 0 && reign.uncommitted_bytes + batch.len() > limit =>
            {
                self.refuse(request, Refusal::Busy);
            }
            State::Leader(_) => {
                let position = self.append_own(Payload::Batch(batch));
                self.answer(request, Done::Accepted(position));
            }
            _ => self.refuse(request, Refusal::NotLeader),
        }
    }

    /// Appends an entry of the leader's own term.
    pub(crate) fn append_own(&mut self, payload: Payload) -> Position {
        let entry = Entry {
            index: self.log.last().index.next(),
            epoch: self.epoch(),
            payload,
        };
        if let State::Leader(reign) = &mut self.state {
            reign.uncommitted_bytes += entry.size();
        }
        let position = entry.position();
        // Shares the payload with the write.
        self.stage(LogOp::Put(entry.clone()));
        self.log.append(entry);
        self.dirty = true;
        position
    }

    /// The progress of the peer that says something about `index`; `None`, and counted, when it
    /// speaks of what this leader does not have.
    fn heard(&mut self, from: NodeId, index: Index) -> Option<&mut Progress> {
        let last = self.log.last().index;
        let State::Leader(reign) = &mut self.state else {
            return None;
        };
        match reign.peers.get_mut(&from) {
            Some(progress) if index <= last => {
                progress.heard_at = self.now;
                self.dirty = true;
                Some(progress)
            }
            _ => {
                self.dropped += 1;
                None
            }
        }
    }

    pub(crate) fn on_acked(&mut self, from: NodeId, matched: Index) {
        let now = self.now;
        if let Some(progress) = self.heard(from, matched) {
            progress.acked(now, matched);
        }
    }

    /// Goes back to where the logs may agree, over whole epochs at a time (§5.3, end).
    pub(crate) fn on_rejected(&mut self, from: NodeId, prev: Index, conflict: Position) {
        let Some(progress) = self.heard(from, prev) else {
            return;
        };
        if !progress.is_news(prev) || conflict.index > prev {
            return;
        }
        let common = self.log.last_at_most(prev.prev(), conflict.epoch);
        let next = if conflict.epoch.round == 0 {
            conflict.index
        } else if self.log.epoch(common) == Some(conflict.epoch) {
            common.next()
        } else {
            common.next().min(conflict.index)
        };
        if let Some(progress) = self.heard(from, prev) {
            progress.probe(next);
        }
    }

    pub(crate) fn on_heartbeat_ack(
        &mut self,
        from: NodeId,
        round: u64,
        prev: Index,
        received: Index,
    ) {
        let (now, patience) = (self.now, self.config.lost_after());
        if matches!(&self.state, State::Leader(reign) if round > reign.rounds.newest()) {
            return self.drop_input();
        }
        let Some(progress) = self.heard(from, prev.max(received)) else {
            return;
        };
        progress.alive(now, prev, received, patience);
        progress.round = progress.round.max(round);
        self.finish_round();
    }

    /// What a leader owes when time has passed.
    pub(crate) fn on_leader_time(&mut self) {
        let (now, patience) = (self.now, self.config.election_timeout);
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        let hung = self.durability.overdue_at(self.config.disk_patience);
        if hung.is_some_and(|at| now >= at) {
            return self.become_follower();
        }
        if now >= reign.check_at {
            let heard = |node| reign.peers.get(&node).map_or(now, |peer| peer.heard_at);
            let quorum = self.membership.quorum().reached(heard);
            let until = quorum.unwrap_or_default() + patience;
            if until <= now {
                return self.become_follower();
            }
            reign.check_at = until;
        }
        if reign.notice_at.is_some_and(|at| now >= at) {
            reign.notice_at = None;
            self.send_commit();
        }
        self.send_heartbeats_if_due();
    }

    fn send_commit(&mut self) {
        let (term, commit) = (self.hard.term, self.commit_index);
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        for (to, progress) in &mut reign.peers {
            if progress.commit_sent < commit {
                progress.commit_sent = commit;
                let message = Message::Commit { term, commit };
                self.out.push_back(Output::Send { to: *to, message });
            }
        }
    }

    fn send_heartbeats_if_due(&mut self) {
        if let State::Leader(reign) = &self.state
            && self.now >= reign.heartbeat_at
        {
            self.send_heartbeats();
        }
    }

    /// Speaks to every peer, with the newest round of reads.
    pub(crate) fn send_heartbeats(&mut self) {
        let (term, commit) = (self.hard.term, self.commit_index);
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        reign.heartbeat_at = self.now + self.config.heartbeat_interval;
        for (to, progress) in &mut reign.peers {
            let index = progress.match_index;
            let epoch = self.log.epoch(index);
            let prev = epoch.map_or(Position::ZERO, |epoch| Position { index, epoch });
            progress.commit_sent = commit;
            let message = Message::Heartbeat {
                term,
                round: reign.rounds.newest(),
                prev,
                commit,
            };
            self.out.push_back(Output::Send { to: *to, message });
        }
    }

    /// Commits what a quorum holds, sends what the peers lack, begins a round of reads.
    pub(crate) fn produce_leader(&mut self) {
        self.advance_commit();
        self.send_appends();
        self.begin_round();
    }

    fn advance_commit(&mut self) {
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        let durable = self.durability.durable(self.log.last().index);
        let matched = |node| reign.peers.get(&node).map_or(durable, |p| p.match_index);
        let reached = self.membership.quorum().reached(matched);
        let Some(commit) = reached.filter(|index| *index > self.commit_index) else {
            return;
        };
        // Figure 8: what a former term's leader left is never committed by counting.
        if commit < reign.first {
            return;
        }
        let from = self.commit_index.next().max(reign.first);
        let committed = self
            .log
            .cached(from, commit)
            .map(Entry::size)
            .sum::<usize>();
        reign.uncommitted_bytes -= committed;
        self.commit_index = commit;
        if reign.notice_at.is_none() && !reign.peers.is_empty() {
            reign.notice_at = Some(self.now + self.config.commit_notice);
        }
    }
}
