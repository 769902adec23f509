//! The network between the nodes: who hears whom, how late, how often.
//!
//! It holds no clock and no queue: it says what becomes of one message, and the cluster's
//! agenda does it. Links are directed, since half a partition is the more interesting one. Between
//! two nodes run two channels that keep no order between them, as in the real transport; within
//! one the order holds unless [`Network::reorder`] is set.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;
use crate::{Channel, Micros, NodeId};

/// A link and a channel on it.
type Lane = (NodeId, NodeId, Channel);

/// What becomes of messages.
#[derive(Debug)]
pub struct Network {
    cut: BTreeSet<(NodeId, NodeId)>,
    held: BTreeSet<Lane>,
    last: BTreeMap<Lane, Micros>,
    sent: BTreeMap<(NodeId, NodeId), Traffic>,
    /// How long a message takes: least and most, in microseconds.
    pub latency_us: (u64, u64),
    /// How many of a hundred messages are lost.
    pub loss_percent: u64,
    /// How many of a hundred messages arrive twice, the second time much later.
    pub duplicate_percent: u64,
    /// Whether messages of one channel may overtake each other.
    pub reorder: bool,
}

/// What went over a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Messages sent, whether or not they arrived.
    pub messages: u64,
    /// Their size, encoded.
    pub bytes: u64,
}

/// What becomes of one message.
pub(super) enum Fate {
    Lost,
    Held,
    Arrives(Micros, Option<Micros>),
}

impl Network {
    pub(super) fn new() -> Self {
        Network {
            cut: BTreeSet::new(),
            held: BTreeSet::new(),
            last: BTreeMap::new(),
            sent: BTreeMap::new(),
            latency_us: (300, 1_200),
            loss_percent: 0,
            duplicate_percent: 0,
            reorder: false,
        }
    }

    /// Lets nothing from `from` reach `to`, starting now; what is under way still arrives.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Undoes a cut.
    pub fn mend(&mut self, from: NodeId, to: NodeId) {
        self.cut.remove(&(from, to));
    }

    /// Undoes every cut.
    pub fn mend_all(&mut self) {
        self.cut.clear();
    }

    /// Keeps what `from` sends to `to` on `channel` back until it is released.
    pub fn hold(&mut self, from: NodeId, to: NodeId, channel: Channel) {
        self.held.insert((from, to, channel));
    }

    /// What `from` has sent to `to` so far.
    #[must_use]
    pub fn traffic(&self, from: NodeId, to: NodeId) -> Traffic {
        self.sent.get(&(from, to)).copied().unwrap_or_default()
    }

    /// What everybody has sent so far.
    #[must_use]
    pub fn total(&self) -> Traffic {
        self.sent
            .values()
            .fold(Traffic::default(), |sum, link| Traffic {
                messages: sum.messages + link.messages,
                bytes: sum.bytes + link.bytes,
            })
    }

    /// Undoes every cut, hold, loss, duplication and disorder.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.held.clear();
        self.latency_us = (300, 1_200);
        self.loss_percent = 0;
        self.duplicate_percent = 0;
        self.reorder = false;
    }

    pub(super) fn unhold(&mut self, from: NodeId, to: NodeId, channel: Channel) {
        self.held.remove(&(from, to, channel));
    }

    pub(super) fn fate(&mut self, now: Micros, lane: Lane, size: usize, r: &mut Random) -> Fate {
        let (from, to, _) = lane;
        let traffic = self.sent.entry((from, to)).or_default();
        traffic.messages += 1;
        traffic.bytes += size as u64;
        if self.is_cut(from, to) || r.chance(self.loss_percent) {
            return Fate::Lost;
        }
        if self.held.contains(&lane) {
            return Fate::Held;
        }
        let mut at = now + self.latency(r);
        if !self.reorder {
            let last = self.last.entry(lane).or_default();
            at = at.max(*last);
            *last = at;
        }
        let again = r
            .chance(self.duplicate_percent)
            .then(|| at + Micros(r.between(0, 20 * self.latency_us.1)));
        Fate::Arrives(at, again)
    }

    fn latency(&self, r: &mut Random) -> Micros {
        Micros(r.between(self.latency_us.0, self.latency_us.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = (NodeId(1), NodeId(2), Channel::Bulk);

    /// When the first arrivals of `count` messages sent at once are.
    fn arrivals(net: &mut Network, lane: Lane, count: usize) -> Vec<Micros> {
        let mut random = Random::new(3);
        let mut at = || match net.fate(Micros(0), lane, 10, &mut random) {
            Fate::Arrives(at, _) => at,
            _ => panic!("lost or held"),
        };
        (0..count).map(|_| at()).collect()
    }

    #[test]
    fn a_channel_keeps_its_order_unless_told_otherwise() {
        let mut net = Network::new();
        assert!(arrivals(&mut net, LANE, 50).is_sorted());
        net.reorder = true;
        assert!(!arrivals(&mut net, LANE, 50).is_sorted());
    }

    #[test]
    fn one_channel_does_not_wait_for_the_other() {
        let mut net = Network::new();
        net.latency_us = (1_000, 1_000);
        arrivals(&mut net, LANE, 1);
        net.latency_us = (10, 10);
        let control = (LANE.0, LANE.1, Channel::Control);
        assert_eq!(arrivals(&mut net, LANE, 1), [Micros(1_000)]);
        assert_eq!(arrivals(&mut net, control, 1), [Micros(10)]);
    }

    #[test]
    fn a_cut_is_one_way() {
        let mut net = Network::new();
        net.cut(NodeId(1), NodeId(2));
        let mut random = Random::new(1);
        let mut fate = |from, to| {
            let lane = (NodeId(from), NodeId(to), Channel::Control);
            net.fate(Micros(0), lane, 10, &mut random)
        };
        assert!(matches!(fate(1, 2), Fate::Lost));
        assert!(matches!(fate(2, 1), Fate::Arrives(..)));
        assert_eq!(net.total().messages, 2);
    }

    #[test]
    fn loss_and_duplication_come_as_often_as_told() {
        let mut net = Network::new();
        (net.loss_percent, net.duplicate_percent) = (20, 50);
        let mut random = Random::new(1);
        let (mut lost, mut twice) = (0, 0);
        for _ in 0..1_000 {
            match net.fate(Micros(0), LANE, 10, &mut random) {
                Fate::Lost => lost += 1,
                Fate::Arrives(_, Some(_)) => twice += 1,
                _ => {}
            }
        }
        assert!((150..250).contains(&lost), "{lost}");
        assert!((340..460).contains(&twice), "{twice}");
    }
}
