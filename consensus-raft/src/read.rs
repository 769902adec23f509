//! Reads (ReadIndex; thesis §6.4).
//!
//! A leader that has committed an entry of its own term knows everything that was committed before
//! it. It notes its commit index, confirms by one round of heartbeats that it still leads, and
//! answers all reads that had arrived when the round began. Reads that arrive during a round wait
//! for the next, which begins when that one ends: two rounds at most lie between a read and its
//! answer, and their number does not depend on the number of reads.
//!
//! Round numbers grow within a term and are only compared within it, and a term is led in one life
//! at most: no round is ever named twice. A follower's requests carry a life, too (see
//! [`crate::message::ReadId`]).
//!
//! [`ReadMode::Lease`](consensus::ReadMode) is served the same way for now: surer than asked for.

use alloc::vec::Vec;

use consensus::{Index, LogOp, Micros, NodeId, Output, Refusal, RequestId, Tally};

use crate::message::{Message, ReadId};
use crate::raft::{Raft, State};

/// Who waits for a read index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    Host(RequestId),
    Peer(NodeId, ReadId),
}

/// A leader's reads.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Those that the next round will answer.
    waiting: Vec<Reader>,
    /// Those that the running round answers.
    running: Vec<Reader>,
    /// What they must see.
    index: Index,
    newest: u64,
}

impl Rounds {
    pub(crate) const fn newest(&self) -> u64 {
        self.newest
    }
}

/// A follower's reads.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// Those that the next request will ask for.
    waiting: Vec<RequestId>,
    /// Those that the request under way asks for.
    asked: Vec<RequestId>,
    id: ReadId,
    again_at: Micros,
}

impl Asking {
    pub(crate) fn ask_again_at(&self) -> Option<Micros> {
        (!self.asked.is_empty()).then_some(self.again_at)
    }
}

impl Raft {
    pub(crate) fn on_read(&mut self, request: RequestId) {
        match &mut self.state {
            State::Leader(reign) => reign.rounds.waiting.push(Reader::Host(request)),
            State::Follower(following) if self.leader.is_some() => {
                following.reads.waiting.push(request);
            }
            _ => return self.refuse(request, Refusal::NotLeader),
        }
        self.dirty = true;
    }

    /// A follower asks on behalf of its reads. Of its requests only the newest matters.
    pub(crate) fn on_read_index(&mut self, from: NodeId, id: ReadId) {
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        let rounds = &mut reign.rounds;
        let reader = Reader::Peer(from, id);
        if !rounds.running.contains(&reader) {
            let other = |r: &Reader| !matches!(r, Reader::Peer(peer, _) if *peer == from);
            rounds.waiting.retain(other);
            rounds.waiting.push(reader);
            self.dirty = true;
        }
    }

    /// Begins a round for all reads that wait, unless one is running.
    pub(crate) fn begin_round(&mut self) {
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        let rounds = &mut reign.rounds;
        let knows_all = self.commit_index >= reign.first;
        if rounds.waiting.is_empty() || !rounds.running.is_empty() || !knows_all {
            return;
        }
        core::mem::swap(&mut rounds.waiting, &mut rounds.running);
        rounds.index = self.commit_index;
        rounds.newest += 1;
        if !self.finish_round() {
            self.send_heartbeats();
        }
    }

    /// Answers the running round's reads if a quorum has confirmed it; says whether.
    pub(crate) fn finish_round(&mut self) -> bool {
        let State::Leader(reign) = &mut self.state else {
            return false;
        };
        let rounds = &mut reign.rounds;
        let confirms = |node| match reign.peers.get(&node) {
            Some(peer) => (peer.round >= rounds.newest).then_some(true),
            None => Some(true),
        };
        if rounds.running.is_empty() || self.membership.quorum().tally(confirms) != Tally::Won {
            return false;
        }
        let (index, term) = (rounds.index, self.hard.term);
        for reader in rounds.running.drain(..) {
            self.out.push_back(match reader {
                Reader::Host(request) => Output::ReadReady { request, index },
                Reader::Peer(to, id) => Output::Send {
                    to,
                    message: Message::ReadIndexed { term, id, index },
                },
            });
        }
        self.dirty = true;
        true
    }

    /// Asks the leader on behalf of all reads that wait, unless a request is under way.
    pub(crate) fn ask_for_reads(&mut self) {
        let (State::Follower(following), Some(leader)) = (&mut self.state, self.leader) else {
            return;
        };
        let reads = &mut following.reads;
        if reads.waiting.is_empty() || !reads.asked.is_empty() {
            return;
        }
        core::mem::swap(&mut reads.waiting, &mut reads.asked);
        if self.read_number == 0 {
            // The first request of a life waits until that life is counted durably.
            self.hard.lives += 1;
            let state = LogOp::HardState(self.hard.encode());
            self.durability.stage(self.now, state);
        }
        self.read_number += 1;
        reads.id = ReadId {
            life: self.hard.lives,
            number: self.read_number,
        };
        reads.again_at = self.now + self.config.heartbeat_interval;
        let id = reads.id;
        let term = self.hard.term;
        self.say(leader, Message::ReadIndex { term, id });
    }

    /// A request that goes unanswered is sent again. One that cannot leave, because the disk hangs
    /// that must first hold this life's number, is given up: another node may serve the reads.
    pub(crate) fn on_follower_time(&mut self) {
        let hung = self.durability.overdue_at(self.config.disk_patience);
        let hung = hung.is_some_and(|at| self.now >= at);
        let (State::Follower(following), Some(leader)) = (&mut self.state, self.leader) else {
            return;
        };
        let reads = &mut following.reads;
        if reads.ask_again_at().is_none_or(|at| self.now < at) {
            return;
        }
        if hung && !self.durability.hard_state_durable() {
            self.refuse_reads();
        } else {
            reads.again_at = self.now + self.config.heartbeat_interval;
            let (term, id) = (self.hard.term, reads.id);
            self.say(leader, Message::ReadIndex { term, id });
        }
    }

    pub(crate) fn on_read_indexed(&mut self, from: NodeId, id: ReadId, index: Index) {
        if !self.follow(from) {
            return;
        }
        let State::Follower(following) = &mut self.state else {
            return;
        };
        let reads = &mut following.reads;
        if reads.id != id {
            return;
        }
        for request in reads.asked.drain(..) {
            self.out.push_back(Output::ReadReady { request, index });
        }
        self.dirty = true;
        self.learn_commit(index);
    }

    /// Whoever waits for a read index is told that this node cannot give it any more.
    pub(crate) fn refuse_reads(&mut self) {
        let mut requests = Vec::new();
        match &mut self.state {
            State::Leader(reign) => {
                let rounds = &mut reign.rounds;
                let readers = rounds.running.drain(..).chain(rounds.waiting.drain(..));
                requests.extend(readers.filter_map(|reader| match reader {
                    Reader::Host(request) => Some(request),
                    Reader::Peer(..) => None,
                }));
            }
            State::Follower(following) => {
                requests.append(&mut following.reads.asked);
                requests.append(&mut following.reads.waiting);
            }
            State::Candidate(_) => {}
        }
        for request in requests {
            self.refuse(request, Refusal::NotLeader);
        }
    }
}
