//! The state machine: what it holds, and which of its parts an input concerns.
//!
//! Inputs are stepped one by one; what follows for others is produced lazily when the host drains
//! [`poll`](Consensus::poll), so that everything stepped before a drain shares one write, one
//! append per peer, one acknowledgement, one commit and one round of reads. A write is always the
//! first output of a drain, hence before anything that depends on it.
//!
//! Invariants: `delivered ≤ commit_index ≤ last`; `applied ≤ delivered`; a message leaves only
//! while the term and the vote are durable ([`Raft::say`]).

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use consensus::{
    Consensus, Done, Epoch, FetchId, Index, Input, LogOp, Membership, Micros, NodeId, Output,
    Position, Recovered, Refusal, RequestId, Role, Status, WriteSeq,
};

use crate::config::Config;
use crate::durability::Durability;
use crate::election::Campaign;
use crate::follow::Following;
use crate::hard_state::HardState;
use crate::log::Log;
use crate::message::Message;
use crate::random::Random;
use crate::replicate::Reign;

/// How far a message's term may lie above this node's: more is forgery or damage, and would bring
/// the end of all terms near.
pub(crate) const TERM_JUMP: u64 = 1 << 32;

/// What the node is at the moment, with what it needs only then.
#[derive(Debug)]
pub(crate) enum State {
    Follower(Following),
    Candidate(Campaign),
    Leader(Reign),
}

/// One node of a Raft group.
///
/// See the [crate] for what it does and [`Consensus`] for how to drive it.
#[derive(Debug)]
pub struct Raft {
    pub(crate) config: Config,
    pub(crate) random: Random,
    pub(crate) now: Micros,
    pub(crate) started: bool,
    pub(crate) out: VecDeque<Output<Message>>,
    /// Whether there may be more to say than what is in `out`.
    pub(crate) dirty: bool,
    pub(crate) dropped: u64,

    pub(crate) hard: HardState,
    /// If the log has lost entries that are not made good yet: up to where it is known to be some
    /// leader's. What stands above may have been truncated by a write that is lost.
    pub(crate) vouched: Option<Index>,
    pub(crate) membership: Membership,
    pub(crate) leader: Option<NodeId>,
    pub(crate) state: State,
    pub(crate) announced: (u64, Option<NodeId>),

    pub(crate) log: Log,
    pub(crate) durability: Durability,
    pub(crate) commit_index: Index,
    /// The last index handed out by [`Output::Commit`].
    pub(crate) delivered: Index,
    pub(crate) applied: Index,
    /// The last entry that the log held when the node started: so much is probably committed, and
    /// will have to be replayed.
    pub(crate) held_at_start: Index,
    /// Committed entries being read back.
    pub(crate) commit_fetch: Option<FetchId>,
    /// Up to where the state machine must have come before more committed entries are read back:
    /// what is read back waits in memory until it is applied.
    pub(crate) fetch_after: Index,
    /// Where the last stretch ended that was read back.
    pub(crate) fetched_upto: Index,
    /// Whether nothing more can be committed before a snapshot is installed.
    pub(crate) commit_blocked: bool,
    /// The next entry to hand out, if it could not be read, and when to try again.
    pub(crate) unreadable: Option<Index>,
    pub(crate) retry_at: Option<Micros>,
    /// An entry that a peer needed could not be read: others lead better.
    pub(crate) corrupt: Option<Index>,
    /// The snapshot that is being installed.
    pub(crate) installing: Option<Position>,
    pub(crate) fetches: u64,

    /// When to stand for election, unless a leader is heard before.
    pub(crate) election_at: Micros,
    /// Whether that has been put off once, because too much is yet to be applied.
    pub(crate) held_back: bool,
    /// When the leader of this term was last heard.
    pub(crate) heard_leader_at: Option<Micros>,
    /// How many requests for a read index this life has sent.
    pub(crate) read_number: u64,
}

impl Raft {
    /// How many inputs were dropped because no honest peer or host would give them.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) const fn drop_input(&mut self) {
        self.dropped += 1;
    }

    pub(crate) const fn me(&self) -> NodeId {
        self.config.node
    }

    pub(crate) const fn epoch(&self) -> Epoch {
        Epoch::term(self.hard.term)
    }

    pub(crate) const fn is_leader(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    /// Sends `message`, at once if the term and the vote as they stand are durable, else as soon
    /// as they are.
    pub(crate) fn say(&mut self, to: NodeId, message: Message) {
        if self.durability.hard_state_durable() {
            self.out.push_back(Output::Send { to, message });
        } else {
            self.durability.withhold(to, message);
        }
    }

    pub(crate) fn answer(&mut self, request: RequestId, done: Done) {
        self.out.push_back(Output::Done { request, done });
    }

    pub(crate) fn refuse(&mut self, request: RequestId, why: Refusal) {
        self.answer(request, Done::Refused(why));
    }

    pub(crate) fn stage(&mut self, op: LogOp) {
        self.durability.stage(self.now, op);
    }

    pub(crate) fn stage_hard_state(&mut self) {
        let bytes = self.hard.encode();
        self.stage(LogOp::HardState(bytes));
    }

    pub(crate) const fn next_fetch(&mut self) -> FetchId {
        self.fetches += 1;
        FetchId(self.fetches)
    }

    fn on_persisted(&mut self, seq: WriteSeq) {
        if !self.durability.persist(self.now, seq) {
            return self.drop_input();
        }
        while let Some((to, message)) = self.durability.release() {
            self.out.push_back(Output::Send { to, message });
        }
        self.dirty = true;
        if let State::Follower(following) = &mut self.state {
            following.persisted();
        }
        self.count_own_vote();
    }

    fn on_applied(&mut self, index: Index) {
        if index > self.delivered {
            return self.drop_input();
        }
        self.applied = self.applied.max(index);
        self.dirty = true;
    }

    fn on_message(&mut self, from: NodeId, message: Message) {
        let term = message.term();
        let known = from != self.me() && self.membership.members.contains_key(&from);
        if !known || term == 0 || term.saturating_sub(self.hard.term) > TERM_JUMP {
            return self.drop_input();
        }
        match message {
            Message::PreVote { term, last } => return self.on_pre_vote(from, term, last),
            Message::PreVoted { term, granted } => return self.on_pre_voted(from, term, granted),
            Message::Vote { .. } if self.must_ignore_votes() => return,
            _ => {}
        }
        if term < self.hard.term {
            return self.on_stale(from, &message);
        }
        if term > self.hard.term {
            self.enter_term(term);
        }
        match message {
            Message::Vote { last, .. } => self.on_vote(from, last),
            Message::Voted { granted, .. } => self.on_voted(from, granted),
            Message::Append {
                prev,
                entries,
                commit,
                ..
            } => self.on_append(from, prev, entries, commit),
            Message::Heartbeat {
                round,
                prev,
                commit,
                ..
            } => self.on_heartbeat(from, round, prev, commit),
            Message::Commit { commit, .. } => self.on_commit(from, commit),
            Message::NeedsSnapshot { .. } => self.send_snapshot(from),
            Message::Acked { matched, .. } => self.on_acked(from, matched),
            Message::Rejected { prev, conflict, .. } => self.on_rejected(from, prev, conflict),
            Message::HeartbeatAck {
                round,
                prev,
                received,
                ..
            } => self.on_heartbeat_ack(from, round, prev, received),
            Message::ReadIndex { id, .. } => self.on_read_index(from, id),
            Message::ReadIndexed { id, index, .. } => self.on_read_indexed(from, id, index),
            Message::PreVote { .. } | Message::PreVoted { .. } | Message::StaleTerm { .. } => {}
        }
    }

    /// Tells whoever acts in a term that is over. Without this a node that had been away, and has
    /// the higher term, could neither follow the leader nor, by pre-vote, depose it.
    fn on_stale(&mut self, from: NodeId, message: &Message) {
        if matches!(
            message,
            Message::Append { .. } | Message::Heartbeat { .. } | Message::Vote { .. }
        ) {
            self.tell_stale(from);
        }
    }

    pub(crate) fn tell_stale(&mut self, to: NodeId) {
        let term = self.hard.term;
        self.say(to, Message::StaleTerm { term });
    }

    /// Whether its disk has lost something: then it neither votes nor campaigns.
    pub(crate) const fn is_damaged(&self) -> bool {
        self.vouched.is_some() || self.hard.lost || self.unreadable.is_some() || self.commit_blocked
    }

    fn on_time(&mut self) {
        self.on_retry_time();
        if self.is_leader() {
            self.on_leader_time();
        } else {
            if self.now >= self.election_at {
                self.on_election_timeout();
            }
            self.on_follower_time();
        }
    }

    /// Hands out what each role owes, once per drain.
    fn produce(&mut self) {
        match &self.state {
            State::Leader(_) => self.produce_leader(),
            State::Follower(_) => self.produce_follower(),
            State::Candidate(_) => {}
        }
        self.deliver();
        let safe = self.durability.durable(self.log.last().index);
        let safe = safe.min(self.commit_index);
        self.log.shrink_cache(self.config.cache_bytes, safe);
    }

    fn announce(&mut self) {
        let now = (self.hard.term, self.leader);
        if self.announced != now {
            self.announced = now;
            self.out.push_back(Output::Leadership {
                epoch: self.epoch(),
                leader: self.leader,
            });
        }
    }
}

impl Consensus for Raft {
    type Config = Config;
    type Message = Message;

    /// # Panics
    /// When `config` does not pass [`Config::validate`].
    fn new(config: Config, seed: u64, recovered: Recovered) -> Self {
        if let Err(error) = config.validate() {
            panic!("{error}");
        }
        crate::recover::recover(config, Random::new(seed), recovered)
    }

    fn step(&mut self, now: Micros, input: Input<Message>) {
        self.now = self.now.max(now);
        if !self.started {
            self.start();
        }
        match input {
            Input::Tick => {}
            Input::Message { from, message } => self.on_message(from, message),
            Input::Propose { request, batch } => self.on_propose(request, batch),
            Input::Read { request, .. } => self.on_read(request),
            Input::Reconfigure { request, .. } => self.refuse(request, Refusal::Invalid),
            Input::Persisted(seq) => self.on_persisted(seq),
            Input::Applied(index) => self.on_applied(index),
            Input::Fetched { id, result } => self.on_fetched(id, result),
            Input::SnapshotOffered { from, at, .. } => self.on_snapshot_offered(from, at),
            Input::SnapshotInstalled { at, membership } => {
                self.on_snapshot_installed(at, membership);
            }
            Input::SnapshotAbandoned { at } => self.on_snapshot_abandoned(at),
            Input::SnapshotSent { to, index, outcome } => {
                self.on_snapshot_sent(to, index, outcome);
            }
            Input::Compact { upto } => self.on_compact(upto),
            Input::Transfer { .. } => {}
        }
        self.on_time();
        self.announce();
    }

    fn poll(&mut self) -> Option<Output<Message>> {
        loop {
            if let Some((seq, ops)) = self.durability.take_write() {
                return Some(Output::Write { seq, ops });
            }
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            if !core::mem::take(&mut self.dirty) {
                return None;
            }
            self.produce();
        }
    }

    fn deadline(&self) -> Option<Micros> {
        if !self.started {
            return Some(self.now);
        }
        let timer = match &self.state {
            State::Leader(reign) => {
                let overdue = self.durability.overdue_at(self.config.disk_patience);
                let timer = reign.deadline();
                overdue.map_or(timer, |at| at.min(timer))
            }
            State::Follower(following) => {
                let ask = following.reads.ask_again_at();
                ask.map_or(self.election_at, |at| at.min(self.election_at))
            }
            State::Candidate(_) => self.election_at,
        };
        Some(self.retry_at.map_or(timer, |at| at.min(timer)))
    }

    fn status(&self) -> Status {
        let (role, peers) = match &self.state {
            State::Leader(reign) => (Role::Leader, reign.peer_status(self.now, &self.config)),
            State::Candidate(Campaign { pre: true, .. }) => (Role::PreCandidate, Vec::new()),
            State::Candidate(_) => (Role::Candidate, Vec::new()),
            State::Follower(_) if self.membership.is_voter(self.me()) => {
                (Role::Follower, Vec::new())
            }
            State::Follower(_) => (Role::Learner, Vec::new()),
        };
        Status {
            node: self.me(),
            role,
            epoch: self.epoch(),
            leader: self.leader,
            last: self.log.last(),
            persisted: self.durability.durable(self.log.last().index),
            committed: self.commit_index,
            applied: self.applied,
            purged: self.log.purged().index,
            membership: self.membership.clone(),
            peers,
        }
    }
}
