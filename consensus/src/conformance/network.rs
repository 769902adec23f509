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

    /// Whether a message from `from` would reach `to`.
    #[must_use]
    pub fn connected(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut.contains(&(from, to))
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
        if self.cut.contains(&(from, to)) || r.chance(self.loss_percent) {
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
