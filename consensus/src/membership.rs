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

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::Tally;

    fn nodes(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn everybody_votes_when_a_cluster_is_made() {
        let membership = Membership::of_voters(nodes(&[3, 1, 2]));
        assert!(
            nodes(&[1, 2, 3])
                .into_iter()
                .all(|n| membership.is_voter(n))
        );
        assert!(!membership.is_voter(NodeId(4)));
        assert_eq!(
            membership.peers(NodeId(2)).collect::<Vec<_>>(),
            nodes(&[1, 3])
        );
    }

    #[test]
    fn learners_receive_the_log_without_a_vote() {
        let mut membership = Membership::of_voters(nodes(&[1]));
        membership.members.insert(NodeId(2), Member::default());
        assert!(!membership.is_voter(NodeId(2)));
        assert_eq!(membership.peers(NodeId(1)).collect::<Vec<_>>(), nodes(&[2]));
        assert_eq!(
            membership.quorum().tally(|n| Some(n == NodeId(1))),
            Tally::Won
        );
    }

    #[test]
    fn while_joint_both_memberships_decide() {
        let mut membership = Membership::of_voters(nodes(&[3, 4, 5]));
        membership.outgoing = nodes(&[1, 2, 3]).into_iter().collect();
        assert!(membership.is_voter(NodeId(1)));
        let quorum = membership.quorum();
        assert_eq!(quorum.tally(|n| Some(n.0 >= 3)), Tally::Lost);
        assert_eq!(quorum.tally(|n| Some(n.0 >= 2)), Tally::Won);
    }

    #[test]
    fn a_membership_with_no_voters_never_reaches_anything() {
        assert_eq!(Membership::default().quorum().reached(|_| 9), None);
    }
}
