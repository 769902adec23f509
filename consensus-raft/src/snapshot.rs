//! Where the log begins: compaction, and the little of snapshots (§7) that exists so far.
//!
//! The log is purged only up to what the host says its state machine holds durably. A snapshot is
//! installed only above what is committed here, and nothing is handed out as committed while one
//! is being installed. Making, sending and receiving one are the host's.

use consensus::{Index, LogOp, NodeId, Output, Position, SnapshotOutcome};

use crate::progress::Mode;
use crate::raft::{Raft, State};

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
    }

    pub(crate) fn on_snapshot_offered(&mut self, from: NodeId, at: Position) {
        if self.is_leader() || at.index <= self.commit_index {
            return;
        }
        self.installing = Some(at);
        self.commit_fetch = None;
        self.out.push_back(Output::InstallSnapshot { from, at });
    }

    /// The state machine stands at `at` now, and the log follows: what stands above `at` stays if
    /// `at` itself stands in the log, else everything goes.
    pub(crate) fn on_snapshot_installed(&mut self, at: Position) {
        self.installing = None;
        self.dirty = true;
        if at.index <= self.delivered || at.index < self.log.purged().index {
            return;
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
        self.unreadable = false;
        self.retry_at = None;
        if let State::Follower(following) = &mut self.state {
            following.holds_snapshot(at.index);
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
            self.log.restart_at(at);
        }
        self.stage(LogOp::PurgeTo(at));
    }

    pub(crate) fn on_snapshot_sent(&mut self, to: NodeId, index: Index, how: SnapshotOutcome) {
        if let State::Leader(reign) = &mut self.state
            && let Some(progress) = reign.peers.get_mut(&to)
            && matches!(progress.mode, Mode::Snapshot { .. })
        {
            match how {
                SnapshotOutcome::Installed => progress.probe(index.next()),
                // Tried again when the peer next answers a heartbeat.
                SnapshotOutcome::Failed => progress.mode = Mode::Snapshot { sending: false },
            }
            self.dirty = true;
        }
    }
}
