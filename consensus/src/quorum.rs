//! Majorities: how many are enough, and what they agree on.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::NodeId;

/// The size of a majority of `n` voters: ⌊n/2⌋ + 1. Two majorities always share a voter.
#[must_use]
pub const fn majority(n: usize) -> usize {
    n / 2 + 1
}

/// How a vote stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A quorum said yes.
    Won,
    /// A quorum can no longer be reached.
    Lost,
    /// Not decided yet.
    Open,
}

/// One set of voters, or two while membership changes (joint consensus, Raft §6): then
/// both must agree.
#[derive(Clone, Copy, Debug)]
pub struct Quorum<'a> {
    incoming: &'a BTreeSet<NodeId>,
    outgoing: &'a BTreeSet<NodeId>,
}

impl<'a> Quorum<'a> {
    /// The quorum system of `incoming`, jointly with `outgoing` unless that is empty.
    #[must_use]
    pub const fn new(incoming: &'a BTreeSet<NodeId>, outgoing: &'a BTreeSet<NodeId>) -> Self {
        Quorum { incoming, outgoing }
    }

    /// How the vote stands, given each node's answer: yes, no, or none yet.
    pub fn tally(&self, answer: impl Fn(NodeId) -> Option<bool>) -> Tally {
        match (
            tally_one(self.incoming, &answer),
            tally_one(self.outgoing, &answer),
        ) {
            (Tally::Won, Tally::Won) => Tally::Won,
            (Tally::Lost, _) | (_, Tally::Lost) => Tally::Lost,
            _ => Tally::Open,
        }
    }

    /// The largest value that a quorum has reached: what is committed, when `reached` is
    /// each voter's durable index. Costs a sort of the voters.
    pub fn reached<V: Ord + Copy>(&self, reached: impl Fn(NodeId) -> V) -> Option<V> {
        let incoming = reached_one(self.incoming, &reached);
        let outgoing = reached_one(self.outgoing, &reached);
        match (incoming, outgoing) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) => one,
            (None, _) => None,
        }
    }
}

/// An empty set of voters agrees to everything: it is the half that does not exist.
fn tally_one(voters: &BTreeSet<NodeId>, answer: &impl Fn(NodeId) -> Option<bool>) -> Tally {
    if voters.is_empty() {
        return Tally::Won;
    }
    let need = majority(voters.len());
    let (mut yes, mut open) = (0, 0);
    for voter in voters {
        match answer(*voter) {
            Some(true) => yes += 1,
            Some(false) => {}
            None => open += 1,
        }
    }
    if yes >= need {
        Tally::Won
    } else if yes + open >= need {
        Tally::Open
    } else {
        Tally::Lost
    }
}

fn reached_one<V: Ord + Copy>(
    voters: &BTreeSet<NodeId>,
    reached: &impl Fn(NodeId) -> V,
) -> Option<V> {
    let mut values: Vec<V> = voters.iter().map(|voter| reached(*voter)).collect();
    values.sort_unstable();
    values
        .len()
        .checked_sub(majority(voters.len()))
        .and_then(|i| values.get(i).copied())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_majority_is_more_than_half() {
        assert_eq!(
            (1..=7).map(majority).collect::<Vec<_>>(),
            [1, 2, 2, 3, 3, 4, 4]
        );
    }

    #[test]
    fn an_index_is_reached_when_a_majority_holds_it() {
        let (voters, none) = (nodes(&[1, 2, 3]), nodes(&[]));
        let quorum = Quorum::new(&voters, &none);
        assert_eq!(quorum.reached(|n| [0, 9, 5, 3][n.0 as usize]), Some(5));
        assert_eq!(quorum.reached(|n| [0, 9, 0, 0][n.0 as usize]), Some(0));
    }

    #[test]
    fn a_joint_quorum_needs_both_halves() {
        let (new, old) = (nodes(&[3, 4, 5]), nodes(&[1, 2, 3]));
        let quorum = Quorum::new(&new, &old);
        assert_eq!(quorum.tally(|n| (n.0 >= 3).then_some(true)), Tally::Open);
        assert_eq!(quorum.tally(|n| Some(n.0 >= 3)), Tally::Lost);
        assert_eq!(quorum.tally(|n| Some(n.0 >= 2)), Tally::Won);
        assert_eq!(quorum.reached(|n| if n.0 >= 3 { 7 } else { 2 }), Some(2));
    }

    #[test]
    fn nobody_reaches_anything() {
        let none = nodes(&[]);
        assert_eq!(Quorum::new(&none, &none).reached(|_| 7), None);
    }

    /// A majority, by counting every subset: the definition, without arithmetic.
    fn has_majority(of: &BTreeSet<NodeId>, yes: &BTreeSet<NodeId>) -> bool {
        of.is_empty() || 2 * of.intersection(yes).count() > of.len()
    }

    /// Whether both halves agree.
    fn both(quorum: &Quorum<'_>, yes: &BTreeSet<NodeId>) -> bool {
        has_majority(quorum.incoming, yes) && has_majority(quorum.outgoing, yes)
    }

    fn some_nodes() -> impl Strategy<Value = BTreeSet<NodeId>> {
        proptest::collection::btree_set((1..=7_u64).prop_map(NodeId), 0..=5)
    }

    proptest! {
        #[test]
        fn a_tally_is_what_every_completion_of_the_vote_comes_to(
            incoming in some_nodes(),
            outgoing in some_nodes(),
            answers in proptest::collection::vec(proptest::option::of(any::<bool>()), 8),
        ) {
            let quorum = Quorum::new(&incoming, &outgoing);
            let answer = |node: NodeId| answers[node.0 as usize];
            // Those who have not answered may say yes, all of them, or none of them.
            let those = |yes: &dyn Fn(Option<bool>) -> bool| -> BTreeSet<NodeId> {
                (1..=7).map(NodeId).filter(|node| yes(answer(*node))).collect()
            };
            let (at_least, at_most) = (those(&|a| a == Some(true)), those(&|a| a != Some(false)));
            let expected = match (both(&quorum, &at_least), both(&quorum, &at_most)) {
                (true, _) => Tally::Won,
                (false, true) => Tally::Open,
                (false, false) => Tally::Lost,
            };
            prop_assert_eq!(quorum.tally(answer), expected);
        }

        #[test]
        fn what_is_reached_is_the_highest_value_a_quorum_stands_at(
            incoming in some_nodes(),
            outgoing in some_nodes(),
            values in proptest::collection::vec(0..9_u64, 8),
        ) {
            let quorum = Quorum::new(&incoming, &outgoing);
            let value = |node: NodeId| values[node.0 as usize];
            let stands = |least: &u64| -> bool {
                let there = (1..=7).map(NodeId).filter(|node| value(*node) >= *least).collect();
                both(&quorum, &there)
            };
            let expected = if incoming.is_empty() { None } else { (0..9).rev().find(stands) };
            prop_assert_eq!(quorum.reached(value), expected);
        }

        #[test]
        fn any_two_winning_sets_of_voters_share_one(
            incoming in some_nodes(),
            outgoing in some_nodes(),
            one in some_nodes(),
            other in some_nodes(),
        ) {
            prop_assume!(!incoming.is_empty());
            let quorum = Quorum::new(&incoming, &outgoing);
            let wins = |yes: &BTreeSet<NodeId>| {
                quorum.tally(|node| Some(yes.contains(&node))) == Tally::Won
            };
            if wins(&one) && wins(&other) {
                prop_assert!(one.intersection(&other).next().is_some());
            }
        }
    }
}
