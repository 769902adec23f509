//! How much of the log is kept: purged is what the state machine holds durably, unless somebody
//! who is expected back soon still needs it.
//!
//! The log is the only write-ahead log, so it may never be purged above what a crash would leave of
//! the state machine; that the host says ([`durable`](Replica::durable)). It is kept above a
//! snapshot that is being sent, whatever its size: purging it would make the snapshot worthless.
//! For a follower that lags it is kept as far as a number of bytes goes; beyond that a snapshot is
//! cheaper. One that has just installed a snapshot lags by all that was written while it travelled:
//! for it the log is kept as long as it gets on ([`CatchingUp`]), or it would be sent one snapshot
//! after the other. When too much of the log is not durable in the state machine, or nothing has
//! happened for a while, the host is asked to persist ([`SnapshotTask::Persist`]): so a busy
//! group's log is bounded, and an idle group's is empty.
//!
//! A node that does not lead may lead next, and then what it has purged is lacking. So the leader
//! says once a second above which index somebody needs the log ([`Message::Keep`]), and all keep
//! it; of what nobody seemed to need, each keeps a part.

use std::collections::{BTreeMap, VecDeque};

use consensus::{Consensus, Index, Input, LogOp, Micros, NodeId, Status};

use crate::action::Action;
use crate::message::Message;
use crate::replica::Replica;
use crate::transfer::SnapshotTask;

/// What a record takes in the log besides its payload, about.
const RECORD_BYTES: u64 = 48;
/// What part of what is purged at once the log's bytes are known to.
const GRAINS: u64 = 16;
/// What part of the bytes that are kept for a follower that lags is kept by those who do not lead:
/// who lags when the leadership changes lags by little.
const SPARE: u64 = 8;
/// Without a write for this long a group is not busy.
const QUIET: Micros = Micros::from_millis(1_000);
/// How often a leader says who needs the log.
const SAY_EVERY: Micros = Micros::from_millis(1_000);
/// How often all this is looked at.
const EVERY: Micros = Micros::from_millis(100);

/// What is known of the log's size, and of who needs it.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    pub(crate) size: LogSize,
    /// When each peer was last heard of.
    seen: BTreeMap<NodeId, Micros>,
    /// Peers that have installed a snapshot and lack what was written meanwhile.
    pub(crate) catching_up: BTreeMap<NodeId, CatchingUp>,
    /// Above which index the leader has said that the log is needed, and when.
    told: Option<(Index, Micros)>,
    /// What this node has said, and when, since it leads.
    pub(crate) said: Option<(Option<Index>, Micros)>,
    /// When the log last grew.
    written_at: Micros,
    looked_at: Micros,
    /// The log's size when the host was last asked to persist, until it has.
    asked: Option<u64>,
}

/// A peer on its way from a snapshot to the end of the log.
#[derive(Debug)]
pub(crate) struct CatchingUp {
    /// Up to where it holds the log.
    matched: Index,
    /// When it last got on.
    at: Micros,
    /// More than this it must not lack, in bytes: it loses ground, and another snapshot is cheaper.
    most: u64,
}

impl Retention {
    /// For a log that begins after `purged`, of which so much is purged at once.
    pub(crate) fn new(purged: Index, purge_bytes: u64) -> Self {
        let mut retention = Retention {
            size: LogSize::new(purge_bytes / GRAINS),
            ..Retention::default()
        };
        retention.size.purge_to(purged);
        retention
    }
}

impl<C: Consensus, T: Copy> Replica<C, T> {
    /// A crash at this moment would leave everything up to `index` in the state machine.
    pub fn durable(&mut self, now: Micros, index: Index) {
        let index = index.min(self.applied);
        if index > self.durable {
            self.durable = index;
            self.retention.asked = None;
            self.retention.looked_at = Micros(0);
            self.wake_at = Some(now);
        }
    }

    /// What the log held when this node started: entries up to `last` in so many bytes.
    pub fn log_holds(&mut self, last: Index, bytes: u64) {
        if last > self.retention.size.last {
            self.retention.size.put(last, bytes);
        }
    }

    /// From now on the state machine is to be persisted when the log is ahead of it by so many
    /// bytes: where that means a snapshot of everything, it should grow with the data.
    pub fn persist_after(&mut self, bytes: u64) {
        self.config.log.persist_bytes = bytes;
    }

    /// The bytes of the log that the state machine does not hold durably, about.
    #[must_use]
    pub fn log_bytes_not_durable(&self) -> u64 {
        self.retention.size.above(self.durable)
    }

    /// A snapshot up to `index` is installed at `peer`.
    pub(crate) fn catches_up(&mut self, now: Micros, peer: NodeId, index: Index) {
        let lacks = self.retention.size.above(index);
        let catching_up = CatchingUp {
            matched: index,
            at: now,
            most: lacks.saturating_mul(2).max(self.config.log.kept_bytes),
        };
        self.retention.catching_up.insert(peer, catching_up);
    }

    pub(crate) fn log_written(&mut self, now: Micros, ops: &[LogOp]) {
        let retention = &mut self.retention;
        for op in ops {
            match op {
                LogOp::Put(entry) => {
                    retention.written_at = now;
                    let bytes = entry.size() as u64 + RECORD_BYTES;
                    retention.size.put(entry.index, bytes);
                }
                LogOp::TruncateFrom(from) => retention.size.truncate_from(*from),
                LogOp::PurgeTo(at) => retention.size.purge_to(at.index),
                LogOp::HardState(_) => {}
            }
        }
    }

    /// Has the log purged, and the state machine persisted, as far as is due.
    pub(crate) fn retain(&mut self, now: Micros) {
        if now < self.retention.looked_at + EVERY {
            return;
        }
        self.retention.looked_at = now;
        self.ask_to_persist(now);
        if !self.leads() && !self.purge_is_due(now, self.durable) {
            return;
        }
        let status = self.core.status();
        let needed = self.needed_above(now, &status);
        if self.leads() && now.since(self.leadership_since) >= QUIET {
            self.say_needed(now, needed, &status);
        }
        let upto = self.durable.min(needed).min(self.spared(now, &status));
        if upto > status.purged && self.purge_is_due(now, upto) {
            self.step(now, Input::Compact { upto });
        }
    }

    /// Whether purging up to there is worth a record in the log.
    fn purge_is_due(&self, now: Micros, upto: Index) -> bool {
        let Retention {
            size, written_at, ..
        } = &self.retention;
        let quiet = now.since(*written_at) >= QUIET;
        upto > size.purged_to && (quiet || size.total_up_to(upto) >= self.config.log.purge_bytes)
    }

    /// When there is something to do here though nothing happens.
    pub(crate) fn retention_wakes_at(&self) -> Option<Micros> {
        let retention = &self.retention;
        let unasked = retention.asked != Some(retention.size.total);
        let persist = (self.applied > self.durable && unasked)
            .then_some(retention.written_at + self.config.log.persist_idle_after);
        let quiet = match self.leads() {
            true => QUIET,
            false => self.config.log.kept_for,
        };
        let purge = (self.durable > retention.size.purged_to)
            .then_some((retention.written_at + quiet).max(retention.looked_at + EVERY));
        persist.into_iter().chain(purge).min()
    }

    fn ask_to_persist(&mut self, now: Micros) {
        let config = self.config.log;
        let retention = &mut self.retention;
        let total = retention.size.total;
        // What has yet to be applied, after a restart, is let go no sooner for it.
        let above = |index| retention.size.above(index);
        let behind = above(self.durable).saturating_sub(above(self.applied));
        let since_asked = retention
            .asked
            .map_or(u64::MAX, |asked| total.saturating_sub(asked));
        let much = behind >= config.persist_bytes && since_asked >= config.persist_bytes;
        let idle = self.applied > self.durable
            && since_asked > 0
            && now.since(retention.written_at) >= config.persist_idle_after;
        if much || idle {
            retention.asked = Some(total);
            self.actions
                .push_back(Action::Snapshot(SnapshotTask::Persist));
        }
    }

    /// Above which index somebody needs the log, as far as this node knows.
    fn needed_above(&mut self, now: Micros, status: &Status) -> Index {
        let config = self.config.log;
        let told = self.retention.told;
        let told = told.filter(|(_, at)| now.since(*at) < config.kept_for);
        let pinned = self.outgoing.pinned(status.purged);
        let pins = pinned.into_iter().chain(told.map(|(above, _)| above));
        let mut needed = pins.min().unwrap_or(status.last.index);
        for peer in &status.peers {
            let catching_up = self.catching_up_from(now, peer.node, peer.matched);
            needed = needed.min(catching_up.unwrap_or(needed));
            let since = self.leadership_since;
            let seen = self.retention.seen.entry(peer.node).or_insert(since);
            if peer.active {
                *seen = now;
            }
            let expected = now.since(*seen) < config.kept_for;
            let cheap = self.retention.size.above(peer.matched) <= config.kept_bytes;
            if expected && cheap {
                needed = needed.min(peer.matched);
            }
        }
        needed
    }

    /// Up to where the log is not kept for those of whom this node may not know yet.
    fn spared(&self, now: Micros, status: &Status) -> Index {
        let config = self.config.log;
        let settled = now.since(self.leadership_since);
        let idle = now.since(self.retention.written_at) >= config.kept_for;
        match (self.leads(), self.leader) {
            (true, _) if settled >= QUIET => status.last.index,
            (false, Some(_)) if settled >= QUIET + SAY_EVERY && idle => status.last.index,
            // It has yet to be told what is needed.
            (false, None) => status.purged,
            (false, _) if settled < QUIET + SAY_EVERY => status.purged,
            // Whoever leads next is asked for what others lack, and learns only then who lacks what.
            _ => self.retention.size.all_but(config.kept_bytes / SPARE),
        }
    }

    /// Tells those who may lead next what to keep.
    fn say_needed(&mut self, now: Micros, needed: Index, status: &Status) {
        let retention = &mut self.retention;
        let spare = self.config.log.kept_bytes / SPARE;
        let above = (retention.size.above(needed) > spare).then_some(needed);
        let due = match retention.said {
            None => true,
            Some((None, _)) => above.is_some(),
            Some((Some(_), at)) => above.is_none() || now.since(at) >= SAY_EVERY,
        };
        if due {
            retention.said = Some((above, now));
            for peer in &status.peers {
                self.send(peer.node, Message::Keep { above });
            }
        }
    }

    /// The leader says what others need of the log.
    pub(crate) fn keep_above(&mut self, now: Micros, from: NodeId, above: Option<Index>) {
        if self.leader == Some(from) && !self.leads() {
            self.retention.told = above.map(|above| (above, now));
        }
    }

    /// Up to where the log may be purged for a peer that catches up after a snapshot.
    fn catching_up_from(&mut self, now: Micros, peer: NodeId, matched: Index) -> Option<Index> {
        let Retention {
            catching_up, size, ..
        } = &mut self.retention;
        let one = catching_up.get_mut(&peer)?;
        if matched > one.matched {
            (one.matched, one.at) = (matched, now);
        }
        let lacks = size.above(one.matched);
        // What it holds by its own word is spared like any other's.
        let near = matched >= one.matched && lacks <= self.config.log.kept_bytes;
        let stalls = now.since(one.at) >= self.config.snapshots.patience;
        if near || stalls || lacks > one.most {
            catching_up.remove(&peer);
            return None;
        }
        Some(one.matched)
    }
}

/// How many bytes stand where in the log, to a grain.
#[derive(Debug, Default)]
pub(crate) struct LogSize {
    grain: u64,
    /// (index, bytes up to it since the count began), both rising.
    marks: VecDeque<(Index, u64)>,
    /// Bytes that are purged, and up to where.
    purged: u64,
    purged_to: Index,
    last: Index,
    total: u64,
}

impl LogSize {
    /// A log whose bytes are known to a grain of so many.
    fn new(grain: u64) -> Self {
        LogSize {
            grain,
            ..LogSize::default()
        }
    }

    fn put(&mut self, index: Index, bytes: u64) {
        if index <= self.last {
            self.truncate_from(index);
        }
        self.last = index;
        self.total += bytes;
        let marked = self.marks.back().map_or(self.purged, |(_, bytes)| *bytes);
        if self.total - marked >= self.grain {
            self.marks.push_back((index, self.total));
        }
    }

    fn truncate_from(&mut self, from: Index) {
        if from > self.last {
            return;
        }
        while self.marks.back().is_some_and(|(index, _)| *index >= from) {
            self.marks.pop_back();
        }
        self.last = from.prev();
        self.total = self.marks.back().map_or(self.purged, |(_, bytes)| *bytes);
    }

    fn purge_to(&mut self, upto: Index) {
        self.purged += self.total_up_to(upto);
        while self.marks.front().is_some_and(|(index, _)| *index <= upto) {
            self.marks.pop_front();
        }
        self.last = self.last.max(upto);
        self.purged_to = self.purged_to.max(upto);
    }

    /// The bytes that are not purged, up to `index`; a grain too few at most.
    fn total_up_to(&self, index: Index) -> u64 {
        self.count(index) - self.purged
    }

    /// The bytes above `index`; a grain too many at most.
    fn above(&self, index: Index) -> u64 {
        self.total - self.count(index)
    }

    /// Above which index the last `bytes` stand; a grain more at most.
    fn all_but(&self, bytes: u64) -> Index {
        let before = self.total.saturating_sub(bytes);
        let at = self.marks.partition_point(|(_, upto)| *upto <= before);
        let mark = at.checked_sub(1).and_then(|at| self.marks.get(at));
        mark.map_or(self.purged_to, |(index, _)| *index)
    }

    fn count(&self, index: Index) -> u64 {
        if index >= self.last {
            return self.total;
        }
        let at = self.marks.partition_point(|(mark, _)| *mark <= index);
        let mark = at.checked_sub(1).and_then(|at| self.marks.get(at));
        mark.map_or(self.purged, |(_, bytes)| *bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAIN_BYTES: u64 = 64 << 10;

    /// A log of entries 1 to 10, each a grain.
    fn size() -> LogSize {
        let mut size = LogSize::new(GRAIN_BYTES);
        (1..=10).for_each(|index| size.put(Index(index), GRAIN_BYTES));
        size
    }

    fn grains(bytes: u64) -> u64 {
        bytes / GRAIN_BYTES
    }

    #[test]
    fn bytes_are_counted_above_and_below_an_index() {
        let size = size();
        assert_eq!(grains(size.above(Index(4))), 6);
        assert_eq!(grains(size.total_up_to(Index(4))), 4);
        assert_eq!((size.above(Index(10)), size.above(Index(99))), (0, 0));
        assert_eq!(grains(size.above(Index(0))), 10);
    }

    #[test]
    fn what_is_purged_or_truncated_counts_no_more() {
        let mut size = size();
        size.purge_to(Index(3));
        assert_eq!(grains(size.total_up_to(Index(5))), 2);
        assert_eq!(grains(size.above(Index(0))), 7);
        size.truncate_from(Index(9));
        assert_eq!(grains(size.above(Index(3))), 5);
        size.put(Index(9), GRAIN_BYTES);
        size.put(Index(8), GRAIN_BYTES);
        assert_eq!(grains(size.above(Index(3))), 5, "8 was written again");
    }

    #[test]
    fn the_last_bytes_are_found() {
        let mut size = size();
        assert_eq!(size.all_but(3 * GRAIN_BYTES), Index(7));
        assert_eq!(size.all_but(3 * GRAIN_BYTES - 1), Index(7));
        assert_eq!(size.all_but(99 * GRAIN_BYTES), Index(0));
        assert_eq!(size.all_but(0), Index(10));
        size.purge_to(Index(4));
        assert_eq!(size.all_but(99 * GRAIN_BYTES), Index(4));
    }

    #[test]
    fn small_entries_are_counted_to_a_grain() {
        let mut size = LogSize::new(GRAIN_BYTES);
        (1..=1_000).for_each(|index| size.put(Index(index), 1_000));
        let exact = |index: u64| 1_000 * (1_000 - index);
        for index in [0, 1, 77, 500, 999] {
            let above = size.above(Index(index));
            assert!((exact(index)..=exact(index) + GRAIN_BYTES + 1_000).contains(&above));
        }
        size.purge_to(Index(1_000));
        assert_eq!(
            (size.above(Index(0)), size.total_up_to(Index(2_000))),
            (0, 0)
        );
    }
}
