//! Elections (§5.2, §5.4.1; pre-vote and check-quorum: thesis §9.6 and §6.2).
//!
//! A node that hears no leader first asks whether it could win (pre-vote), changing nobody's
//! state; only with a quorum's consent does it raise its term. The vote request leaves, and its
//! own vote counts, only once term and vote are durable; so does any answer to a vote request.
//!
//! Two that ask at the same moment would consent to each other, stand, each vote for itself, and
//! cost everybody another timeout: so the one with the larger number withdraws.
//!
//! A node that has heard a leader within the shortest election timeout, and a leader itself,
//! ignores votes and pre-votes altogether: whoever asks has merely lost touch.
//!
//! A node does not stand while it is damaged, has no vote, or its disk hangs: a leader with a hung
//! disk is no use. Nor is one that has yet to replay much of its log, since it serves no read and
//! answers no write before it has: it lets the others go first, and stands an election timeout
//! later if nobody has won by then. Where all have as much to replay, that is all it costs.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use consensus::{Epoch, Index, NodeId, Position, Tally};

use crate::follow::Following;
use crate::message::Message;
use crate::raft::{Raft, State};
use crate::replicate::Reign;

/// A campaign under way.
#[derive(Debug)]
pub(crate) struct Campaign {
    /// Whether it only asks.
    pub(crate) pre: bool,
    votes: BTreeMap<NodeId, bool>,
}

/// What an election compares (§5.4.1): the later epoch wins, then the longer log.
const fn rank(last: Position) -> (Epoch, Index) {
    (last.epoch, last.index)
}

impl Raft {
    /// The first input has come: now there is a clock.
    pub(crate) fn start(&mut self) {
        self.started = true;
        self.durability.start(self.now);
        self.arm_election();
        if self.wins_alone() {
            self.election_at = self.now;
        }
    }

    pub(crate) fn arm_election(&mut self) {
        let timeout = self.config.election_timeout;
        let spread = self.random.below(timeout.0);
        self.election_at = self.now + timeout + consensus::Micros(spread);
        self.held_back = false;
    }

    /// Whether somebody else would lead better: so much of the log is yet to be applied, or cannot
    /// be read for those who lack it.
    fn lags(&self) -> bool {
        let held = self.held_at_start.min(self.log.last().index);
        let due = held.max(self.commit_index);
        let replays = due.0.saturating_sub(self.applied.0) > self.config.max_apply_lag;
        replays || self.corrupt.is_some()
    }

    fn wins_alone(&self) -> bool {
        let me = self.me();
        let mine = |node| Some(node == me);
        self.membership.is_voter(me) && self.membership.quorum().tally(mine) == Tally::Won
    }

    fn may_campaign(&self) -> bool {
        let overdue = self.durability.overdue_at(self.config.disk_patience);
        self.membership.is_voter(self.me())
            && !self.is_damaged()
            && overdue.is_none_or(|at| at > self.now)
    }

    pub(crate) fn on_election_timeout(&mut self) {
        if self.lags() && !self.held_back && !self.wins_alone() {
            self.held_back = true;
            self.election_at = self.now + self.config.election_timeout;
            return;
        }
        self.arm_election();
        if !self.may_campaign() {
            self.become_follower();
        } else if self.wins_alone() {
            self.campaign();
        } else {
            self.pre_campaign();
        }
    }

    /// Asks whether an election could be won.
    fn pre_campaign(&mut self) {
        self.become_follower();
        self.state = State::Candidate(Campaign {
            pre: true,
            votes: BTreeMap::from([(self.me(), true)]),
        });
        let (term, last) = (self.hard.term + 1, self.log.last());
        self.ask_voters(&Message::PreVote { term, last });
    }

    /// Stands for election.
    fn campaign(&mut self) {
        self.hard.term += 1;
        self.hard.voted_for = Some(self.me());
        self.stage_hard_state();
        self.become_follower();
        self.state = State::Candidate(Campaign {
            pre: false,
            votes: BTreeMap::new(),
        });
        let (term, last) = (self.hard.term, self.log.last());
        self.ask_voters(&Message::Vote { term, last });
    }

    fn ask_voters(&mut self, message: &Message) {
        let voters = self.membership.peers(self.me());
        let voters: Vec<NodeId> = voters
            .filter(|node| self.membership.is_voter(*node))
            .collect();
        for voter in voters {
            self.say(voter, message.clone());
        }
    }

    /// Its own vote counts like any other: once it is durable.
    pub(crate) fn count_own_vote(&mut self) {
        let me = self.me();
        if let State::Candidate(campaign) = &mut self.state
            && !campaign.pre
            && self.durability.hard_state_durable()
        {
            campaign.votes.insert(me, true);
            self.tally();
        }
    }

    /// Whether somebody else's campaign can be no more than a mistake.
    pub(crate) fn must_ignore_votes(&self) -> bool {
        let timeout = self.config.election_timeout;
        self.is_damaged()
            || self.is_leader()
            || self
                .heard_leader_at
                .is_some_and(|heard| self.now.since(heard) < timeout)
    }

    fn is_up_to_date(&self, last: Position) -> bool {
        rank(last) >= rank(self.log.last())
    }

    pub(crate) fn on_pre_vote(&mut self, from: NodeId, term: u64, last: Position) {
        if last.epoch >= Epoch::term(term) || !self.membership.is_voter(from) {
            return self.drop_input();
        }
        if self.must_ignore_votes() {
            return;
        }
        if term <= self.hard.term {
            return self.tell_stale(from);
        }
        let granted = self.is_up_to_date(last);
        self.say(from, Message::PreVoted { term, granted });
        if granted && from < self.me() && self.asks() {
            self.become_follower();
        }
    }

    /// Whether it is asking whether it could win.
    fn asks(&self) -> bool {
        matches!(&self.state, State::Candidate(campaign) if campaign.pre)
    }

    pub(crate) fn on_pre_voted(&mut self, from: NodeId, term: u64, granted: bool) {
        match &mut self.state {
            State::Candidate(campaign) if campaign.pre && term == self.hard.term + 1 => {
                campaign.votes.insert(from, granted);
                self.tally();
            }
            _ => {}
        }
    }

    pub(crate) fn on_vote(&mut self, from: NodeId, last: Position) {
        if last.epoch >= self.epoch() || !self.membership.is_voter(from) {
            return self.drop_input();
        }
        let free = self.hard.voted_for.is_none_or(|node| node == from);
        let granted = free && self.is_up_to_date(last);
        if granted && self.hard.voted_for.is_none() {
            self.hard.voted_for = Some(from);
            self.stage_hard_state();
        }
        if granted {
            self.arm_election();
        }
        let term = self.hard.term;
        self.say(from, Message::Voted { term, granted });
    }

    /// A vote that comes before this node has asked for it is nobody's honest vote.
    pub(crate) fn on_voted(&mut self, from: NodeId, granted: bool) {
        let asked = self.durability.hard_state_durable();
        if let State::Candidate(campaign) = &mut self.state
            && !campaign.pre
        {
            if !asked {
                return self.drop_input();
            }
            campaign.votes.insert(from, granted);
            self.tally();
        }
    }

    fn tally(&mut self) {
        let State::Candidate(campaign) = &self.state else {
            return;
        };
        let answer = |node| campaign.votes.get(&node).copied();
        match (self.membership.quorum().tally(answer), campaign.pre) {
            (Tally::Won, true) => self.campaign(),
            (Tally::Won, false) => self.become_leader(),
            (Tally::Lost, _) => self.become_follower(),
            (Tally::Open, _) => {}
        }
    }

    /// Moves to a later term, in which it has not voted.
    pub(crate) fn enter_term(&mut self, term: u64) {
        assert!(term > self.hard.term, "terms only grow");
        self.hard.term = term;
        self.hard.voted_for = None;
        self.stage_hard_state();
        self.become_follower();
    }

    /// Follows nobody, for now. Every read that waits is answered.
    pub(crate) fn become_follower(&mut self) {
        self.refuse_reads();
        self.state = State::Follower(Following::default());
        self.leader = None;
        self.heard_leader_at = None;
        self.arm_election();
    }

    fn become_leader(&mut self) {
        assert!(
            self.durability.hard_state_durable(),
            "elected before its term and vote are durable"
        );
        let first = self.log.last().index.next();
        let peers = self.membership.peers(self.me());
        self.state = State::Leader(Reign::new(self.now, &self.config, peers, first));
        self.leader = Some(self.me());
        self.heard_leader_at = None;
        self.append_own(consensus::Payload::Blank);
    }
}
