//! A protocol's state, rendered once: for metrics, for `lockstep status`, for golden files.

use alloc::vec::Vec;

use crate::{Epoch, Index, Membership, NodeId, Position};

/// What a node does at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    #[default]
    Follower,
    /// Asks whether an election could be won, without disturbing anybody.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
    /// Receives the log without a vote.
    Learner,
}

impl Role {
    /// The role's name, as metrics and people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Role::Follower => "follower",
            Role::PreCandidate => "pre-candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
            Role::Learner => "learner",
        }
    }
}

/// Where a protocol stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// This node.
    pub node: NodeId,
    /// What it does.
    pub role: Role,
    /// The reign it knows of.
    pub epoch: Epoch,
    /// Who leads in that reign, if known.
    pub leader: Option<NodeId>,
    /// The last entry of its log.
    pub last: Position,
    /// The last index this node's disk holds.
    pub persisted: Index,
    /// What is committed.
    pub committed: Index,
    /// What the state machine has applied.
    pub applied: Index,
    /// What is gone from the log.
    pub purged: Index,
    /// The members in force.
    pub membership: Membership,
    /// What a leader knows of the others; empty on everybody else.
    pub peers: Vec<PeerStatus>,
}

/// What a leader knows of another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member.
    pub node: NodeId,
    /// Up to where its log is durably the leader's.
    pub matched: Index,
    /// Whether it has answered within an election timeout.
    pub active: bool,
    /// Appends on their way to it.
    pub in_flight: usize,
}
