//! Who takes part: voters, voters on their way out, learners.

use alloc::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{DiskId, NodeId, Quorum};

/// What the cluster knows of one of its nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The disk it joined with; zero while unknown. A node that shows another disk is not
    /// this member any more.
    pub disk: DiskId,
}

/// The members of a group. While `outgoing` is not empty the membership is joint: every
/// decision needs a majority of `voters` and one of `outgoing` (Raft §6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Everybody who receives the log, with what is known of them.
    pub members: BTreeMap<NodeId, Member>,
    /// Those whose votes count.
    pub voters: BTreeSet<NodeId>,
    /// Those whose votes counted before the change under way.
    pub outgoing: BTreeSet<NodeId>,
}

impl Membership {
    /// A membership in which each of `nodes` votes.
    #[must_use]
    pub fn of_voters(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let voters: BTreeSet<NodeId> = nodes.into_iter().collect();
        Membership {
            members: voters
                .iter()
                .map(|node| (*node, Member::default()))
                .collect(),
            voters,
            outgoing: BTreeSet::new(),
        }
    }

    /// The quorums in force.
    #[must_use]
    pub fn quorum(&self) -> Quorum<'_> {
        Quorum::new(&self.voters, &self.outgoing)
    }

    /// Whether `node`'s vote counts.
    #[must_use]
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.contains(&node) || self.outgoing.contains(&node)
    }

    /// Everybody but `me`, in order.
    pub fn peers(&self, me: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.members.keys().copied().filter(move |node| *node != me)
    }
}
