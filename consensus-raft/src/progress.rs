//! What a leader knows of one peer, and what it has under way to it (§5.3; the states are those
//! of etcd's `tracker`).
//!
//! Probing: where the logs agree is not known; one append at a time. Replicating: it is known,
//! and appends are pipelined, `next_index` running ahead of `match_index` as far as the window
//! allows, in messages and in bytes. Snapshot: what the peer needs is purged.
//!
//! Invariant: `match_index < next_index`.

use alloc::collections::VecDeque;

use consensus::{FetchId, Index, Micros};

use crate::config::Config;

/// How entries are sent to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One append at a time, until one is accepted: the one under way, if any.
    Probe { sent: Option<Probe> },
    /// As many as the window holds.
    Replicate,
    /// None: the peer needs a snapshot. `sending` until the host says how that went.
    Snapshot { sending: bool },
}

/// The append that is under way to a peer that is being probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    at: Micros,
    last: Index,
    bytes: usize,
}

/// A peer as its leader sees it.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) mode: Mode,
    /// Up to where the peer durably holds the leader's log.
    pub(crate) match_index: Index,
    /// The next entry to send.
    pub(crate) next_index: Index,
    /// Up to where the peer has received the leader's log, durable or not.
    received: Index,
    window: VecDeque<(Index, usize)>,
    window_bytes: usize,
    /// When the peer last showed a sign of what is under way, or nothing was.
    sign_at: Micros,
    pub(crate) heard_at: Micros,
    /// The newest read round it has answered.
    pub(crate) round: u64,
    /// The commit index it was last told.
    pub(crate) commit_sent: Index,
    /// Entries being read back for it: the fetch, and the index it starts at.
    pub(crate) fetch: Option<(FetchId, Index)>,
}

impl Progress {
    /// A peer of which nothing is known, except that it was alive at `now`.
    pub(crate) fn new(now: Micros, next_index: Index) -> Self {
        Progress {
            mode: Mode::Probe { sent: None },
            match_index: Index::ZERO,
            next_index,
            received: Index::ZERO,
            window: VecDeque::new(),
            window_bytes: 0,
            sign_at: now,
            heard_at: now,
            round: 0,
            commit_sent: Index::ZERO,
            fetch: None,
        }
    }

    /// Whether another append may be sent now.
    pub(crate) fn may_send(&self, config: &Config) -> bool {
        match self.mode {
            Mode::Probe { sent } => sent.is_none(),
            Mode::Replicate => {
                self.window.len() < config.max_in_flight_messages
                    && self.window_bytes < config.max_in_flight_bytes
            }
            Mode::Snapshot { .. } => false,
        }
    }

    /// Books an append of entries up to `last`.
    pub(crate) fn sent(&mut self, now: Micros, last: Index, bytes: usize) {
        match &mut self.mode {
            Mode::Probe { sent } => {
                *sent = Some(Probe {
                    at: now,
                    last,
                    bytes,
                });
            }
            Mode::Replicate if last >= self.next_index => self.enter_window(now, last, bytes),
            Mode::Replicate | Mode::Snapshot { .. } => {}
        }
    }

    fn enter_window(&mut self, now: Micros, last: Index, bytes: usize) {
        if self.window.is_empty() {
            self.sign_at = now;
        }
        self.window.push_back((last, bytes));
        self.window_bytes += bytes;
        self.next_index = last.next();
    }

    /// The peer durably holds the log up to `matched`.
    pub(crate) fn acked(&mut self, now: Micros, matched: Index) {
        if matched > self.match_index {
            self.match_index = matched;
            self.sign_at = now;
        }
        while self
            .window
            .front()
            .is_some_and(|(last, _)| *last <= matched)
        {
            if let Some((_, bytes)) = self.window.pop_front() {
                self.window_bytes -= bytes;
            }
        }
        // An acknowledgement from before the probe says nothing about the probe.
        match self.mode {
            Mode::Probe { sent } if matched >= self.next_index.prev() => {
                self.mode = Mode::Replicate;
                // What the probe carried is under way, and need not be sent again.
                if let Some(probe) = sent.filter(|probe| probe.last > matched) {
                    self.enter_window(probe.at, probe.last, probe.bytes);
                }
            }
            _ => {}
        }
        self.received = self.received.max(matched);
        self.next_index = self.next_index.max(self.match_index.next());
    }

    /// Whether a rejection of an append after `prev` is news.
    pub(crate) fn is_news(&self, prev: Index) -> bool {
        match self.mode {
            Mode::Probe { .. } => prev == self.next_index.prev() && prev > self.match_index,
            Mode::Replicate => prev > self.match_index && prev < self.next_index,
            Mode::Snapshot { .. } => false,
        }
    }

    /// Probes from `next`.
    pub(crate) fn probe(&mut self, next: Index) {
        self.mode = Mode::Probe { sent: None };
        self.next_index = next.max(self.match_index.next());
        self.window.clear();
        self.window_bytes = 0;
        self.fetch = None;
    }

    /// A heartbeat that named `prev` was answered: the peer has `received` so much. What was sent
    /// and shows no sign for `patience` is taken for lost, and probed for again.
    pub(crate) fn alive(&mut self, now: Micros, prev: Index, received: Index, patience: Micros) {
        if received < prev {
            // It has acknowledged `prev` durably and does not have it: its disk has lost it.
            self.match_index = self.match_index.min(received);
            self.received = received;
            return self.probe(received.next());
        }
        // What it says last counts, even if that is less: what it had received and not persisted is
        // gone if it crashed since.
        let received = received.max(self.match_index);
        if received > self.received {
            self.sign_at = now;
        }
        self.received = received;
        match &mut self.mode {
            Mode::Probe { sent } => drop(sent.take_if(|sent| now.since(sent.at) >= patience)),
            Mode::Replicate => {
                let missing = self.received < self.next_index.prev();
                if missing && now.since(self.sign_at) >= patience {
                    self.probe(self.received.next());
                }
            }
            // Tried again at the pace of heartbeats.
            Mode::Snapshot { sending: false } => self.probe(self.next_index),
            Mode::Snapshot { sending: true } => {}
        }
    }

    /// Appends under way.
    pub(crate) fn in_flight(&self) -> usize {
        match self.mode {
            Mode::Probe { sent } => usize::from(sent.is_some()),
            Mode::Replicate => self.window.len(),
            Mode::Snapshot { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use consensus::NodeId;

    use super::*;

    const PATIENCE: Micros = Micros(100);

    fn config() -> Config {
        Config {
            max_in_flight_messages: 3,
            max_in_flight_bytes: 50,
            ..Config::new(NodeId(1))
        }
    }

    /// A peer that holds five entries and is sent more.
    fn replicating() -> Progress {
        let mut peer = Progress::new(Micros(0), Index(6));
        peer.sent(Micros(0), Index(6), 10);
        peer.acked(Micros(0), Index(6));
        assert_eq!(peer.mode, Mode::Replicate);
        peer
    }

    #[test]
    fn a_probe_is_alone_until_it_is_answered() {
        let mut peer = Progress::new(Micros(0), Index(6));
        assert!(peer.may_send(&config()));
        peer.sent(Micros(0), Index(8), 10);
        assert!(!peer.may_send(&config()));
        assert_eq!(peer.next_index, Index(6));
        // An answer from before the probe settles nothing.
        peer.acked(Micros(0), Index(3));
        assert!(!peer.may_send(&config()));
        peer.acked(Micros(0), Index(5));
        assert_eq!((peer.mode, peer.next_index), (Mode::Replicate, Index(9)));
        assert_eq!(peer.in_flight(), 1);
    }

    #[test]
    fn the_window_is_bounded_in_messages() {
        let mut peer = replicating();
        for last in 7..10 {
            assert!(peer.may_send(&config()));
            peer.sent(Micros(0), Index(last), 1);
        }
        assert!(!peer.may_send(&config()));
        peer.acked(Micros(0), Index(8));
        assert_eq!((peer.in_flight(), peer.next_index), (1, Index(10)));
        assert!(peer.may_send(&config()));
    }

    #[test]
    fn the_window_is_bounded_in_bytes() {
        let mut peer = replicating();
        peer.sent(Micros(0), Index(7), 49);
        assert!(peer.may_send(&config()));
        peer.sent(Micros(0), Index(8), 1);
        assert!(!peer.may_send(&config()));
    }

    #[test]
    fn a_rejection_is_news_only_if_it_fits_what_was_sent() {
        let mut peer = replicating();
        peer.sent(Micros(0), Index(9), 1);
        assert!(!peer.is_news(Index(6)), "that much is acknowledged");
        assert!(peer.is_news(Index(9)));
        assert!(!peer.is_news(Index(10)), "that was never sent");
        peer.probe(Index(8));
        assert!(!peer.is_news(Index(9)), "that was before the probe");
        assert!(peer.is_news(Index(7)));
    }

    #[test]
    fn what_shows_no_sign_is_taken_for_lost() {
        let mut peer = replicating();
        peer.sent(Micros(10), Index(9), 1);
        peer.alive(Micros(109), Index(6), Index(6), PATIENCE);
        assert_eq!(peer.mode, Mode::Replicate);
        peer.alive(Micros(110), Index(6), Index(6), PATIENCE);
        assert_eq!(peer.mode, Mode::Probe { sent: None });
        assert_eq!(peer.next_index, Index(7));
    }

    #[test]
    fn a_slow_disk_is_not_taken_for_loss() {
        let mut peer = replicating();
        peer.sent(Micros(10), Index(9), 1);
        peer.alive(Micros(999), Index(6), Index(9), PATIENCE);
        assert_eq!(peer.mode, Mode::Replicate);
    }

    #[test]
    fn a_peer_that_has_lost_what_it_acknowledged_counts_no_more() {
        let mut peer = replicating();
        peer.alive(Micros(1), Index(6), Index(2), PATIENCE);
        assert_eq!((peer.match_index, peer.next_index), (Index(2), Index(3)));
    }
}
