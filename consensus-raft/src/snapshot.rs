//! Where the log begins: compaction, and snapshots (§7).
//!
//! The log is purged only up to what the host says its state machine holds durably. Making a
//! snapshot, sending and receiving it are the host's; what stands here is when one is needed and
//! what follows from it.
//!
//! A leader whose log begins above what a peer needs asks the host to send one, and sends that
//! peer no entries until it hears how that went ([`Mode::Snapshot`]). Losing the leadership ends
//! its interest; the next leader finds out for itself.
//!
//! A follower installs only above what it has handed out as committed, and hands out nothing while
//! it installs. The log then goes on from the snapshot (figure 13, steps 6 to 8): what stands above
//! its last entry stays if that entry stands in the log with that term, else everything goes.

use consensus::{Epoch, Index, LogOp, Membership, NodeId, Output, Position, SnapshotOutcome};

use crate::progress::Mode;
use crate::raft::{Raft, State, TERM_JUMP};

impl Raft {
    pub(crate) fn on_compact(&mut self, upto: Index) {
        let index = upto.min(self.applied);
        if index <= self.log.purged().index {
            return;
        }
        let Some(epoch) = self.log.epoch(index) else {
            return self.drop_input();
        };
        let upto = Position { index, epoch };
        self.stage(LogOp::PurgeTo(upto));
        self.log.purge_to(upto);
        self.corrupt.take_if(|at| *at <= index);
    }

    pub(crate) fn on_snapshot_offered(&mut self, from: NodeId, at: Position) {
        if !self.is_possible_snapshot(at) {
            return self.drop_input();
        }
        if self.is_leader() || !self.is_above_committed(at.index) {
            return;
        }
        self.installing = Some(at);
        self.commit_fetch = None;
        self.out.push_back(Output::InstallSnapshot { from, at });
    }

    /// Whether a snapshot up to `index` would bring anything. Where committed entries cannot be
    /// had from this node's disk, what counts is what was handed out of them.
    fn is_above_committed(&self, index: Index) -> bool {
        let stuck = self.commit_blocked || self.unreadable.is_some();
        match stuck {
            true => index > self.delivered && index >= self.log.purged().index,
            false => index > self.commit_index,
        }
    }

    /// Whether an honest state machine could stand there.
    fn is_possible_snapshot(&self, at: Position) -> bool {
        at.index > Index::ZERO
            && at.index.0 < u64::MAX / 2
            && at.epoch > Epoch::ZERO
            && at.epoch.node == NodeId(0)
            && at.epoch.round.saturating_sub(self.hard.term) <= TERM_JUMP
    }

    pub(crate) fn on_snapshot_abandoned(&mut self, at: Position) {
        self.installing.take_if(|installing| *installing == at);
        self.dirty = true;
    }

    /// The state machine stands at `at` now, and the log follows: what stands above `at` stays if
    /// `at` itself stands in the log, else everything goes.
    pub(crate) fn on_snapshot_installed(&mut self, at: Position, membership: Membership) {
        self.installing = None;
        self.dirty = true;
        let below = at.index <= self.delivered || at.index < self.log.purged().index;
        if below || !self.is_possible_snapshot(at) {
            return self.drop_input();
        }
        if at.epoch > self.epoch() {
            self.enter_term(at.epoch.round);
        } else if self.is_leader() {
            self.become_follower();
        }
        self.restart_log_at(at);
        let last = self.log.last().index;
        self.commit_index = self.commit_index.clamp(at.index, last);
        self.delivered = at.index;
        self.applied = at.index;
        self.commit_fetch = None;
        self.commit_blocked = false;
        self.unreadable = None;
        self.corrupt.take_if(|corrupt| *corrupt <= at.index);
        self.retry_at = None;
        if let State::Follower(following) = &mut self.state {
            following.holds_snapshot(at.index);
        }
        if membership != self.membership && !membership.voters.is_empty() {
            self.membership = membership.clone();
            self.out.push_back(Output::Membership(membership));
        }
    }

    /// Makes the log begin right after `at`.
    pub(crate) fn restart_log_at(&mut self, at: Position) {
        if self.log.holds(at) {
            self.log.purge_to(at);
        } else {
            let first = self.log.purged().index.next();
            if self.log.last().index >= first {
                self.stage(LogOp::TruncateFrom(first));
            }
            // Nothing of the log counts as durable before the disk knows where it begins.
            self.durability.touch(first);
            self.log.restart_at(at);
        }
        self.vouch(at.index);
        self.stage(LogOp::PurgeTo(at));
    }

    pub(crate) fn on_snapshot_sent(&mut self, to: NodeId, index: Index, how: SnapshotOutcome) {
        if let State::Leader(reign) = &mut self.state
            && let Some(progress) = reign.peers.get_mut(&to)
            && matches!(progress.mode, Mode::Snapshot { .. })
        {
            match how {
                // What the peer says for itself comes with its answer to the probe.
                SnapshotOutcome::Installed => progress.probe(index.next()),
                // Tried again when the peer next answers a heartbeat.
                SnapshotOutcome::Failed => progress.mode = Mode::Snapshot { sending: false },
            }
            self.dirty = true;
        }
    }
}
