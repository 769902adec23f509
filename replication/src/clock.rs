//! What time a leader may say it is.
//!
//! Expiry follows the leader's stamps, so one wrong clock must not be able to expire everything:
//! a stamp is the newest time that the clocks of a majority have reached. With three nodes that is
//! the middle one, whichever node leads.

use std::collections::BTreeMap;

use consensus::{Membership, Micros, NodeId};

use crate::machine::Millis;

/// The clocks of the other nodes, as their frames last showed them.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    seen: BTreeMap<NodeId, (Micros, Millis)>,
}

impl Clocks {
    /// A frame of `node`'s showed this clock.
    pub(crate) fn saw(&mut self, now: Micros, node: NodeId, clock: Millis) {
        self.seen.insert(node, (now, clock));
    }

    /// The stamp for an entry proposed now, on a node whose own clock shows `own`; zero, which
    /// moves nothing, while fewer than a majority of the clocks are known.
    pub(crate) fn stamp(
        &self,
        now: Micros,
        me: NodeId,
        own: Millis,
        membership: &Membership,
    ) -> Millis {
        let reached = membership
            .quorum()
            .reached(|node| match self.seen.get(&node) {
                _ if node == me => own,
                Some((at, clock)) => Millis(clock.0.saturating_add(now.since(*at).0 / 1_000)),
                None => Millis(0),
            });
        reached.unwrap_or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(clocks: &Clocks, own: u64) -> u64 {
        let membership = Membership::of_voters([1, 2, 3].map(NodeId));
        clocks
            .stamp(Micros::from_millis(60), NodeId(1), Millis(own), &membership)
            .0
    }

    #[test]
    fn a_clock_a_year_ahead_is_not_believed() {
        let mut clocks = Clocks::default();
        clocks.saw(Micros::from_millis(10), NodeId(2), Millis(1_000));
        assert_eq!(stamp(&clocks, 31_536_000_000), 1_050);
        clocks.saw(Micros::from_millis(10), NodeId(3), Millis(31_536_000_000));
        assert_eq!(stamp(&clocks, 1_040), 1_050);
    }

    #[test]
    fn a_clock_a_year_behind_does_not_stop_time() {
        let mut clocks = Clocks::default();
        clocks.saw(Micros::from_millis(60), NodeId(2), Millis(31_536_000_000));
        clocks.saw(Micros::from_millis(60), NodeId(3), Millis(31_536_000_001));
        assert_eq!(stamp(&clocks, 5), 31_536_000_000);
    }

    #[test]
    fn without_a_majority_of_clocks_time_stands() {
        assert_eq!(stamp(&Clocks::default(), 1_000), 0);
    }
}
