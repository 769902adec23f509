//! One node of the cluster: a protocol, its disk, and a state machine that only counts.

use std::collections::VecDeque;

use super::disk::Disk;
use super::ledger::Life;
use crate::{Entry, Epoch, Index, Membership, Micros, NodeId, Position, WriteSeq};

/// A node, running or not.
pub struct Node<C> {
    pub(super) id: NodeId,
    /// `None` while it is down.
    pub(super) core: Option<C>,
    /// How often it was started.
    pub(super) life: u32,
    /// What its log store holds.
    pub disk: Disk,
    /// How far its state machine has come.
    pub applied: Position,
    /// How far its state machine would have come after a crash.
    pub applied_durably: Position,
    /// What its log store reports as damage.
    pub(super) damaged: bool,
    /// The clock it sees, when that stands still.
    pub(super) stopped_clock: Option<Micros>,
    /// Commits that its state machine has yet to apply.
    pub(super) to_apply: VecDeque<Position>,
    /// The number of the snapshot that is being installed.
    pub(super) installing: Option<u64>,
    /// While true, commits wait in `to_apply`.
    pub(super) apply_held: bool,
    /// The next index it must commit.
    pub(super) next_commit: Index,
    /// The last write it issued.
    pub(super) last_write: WriteSeq,
    /// What it last said of the leadership.
    pub leadership: Option<(Epoch, Option<NodeId>)>,
    /// How often it asked for entries, in all its lives.
    pub fetches: u64,
    /// How often it asked for a tick, in all its lives.
    pub ticks: u64,
    /// How many writes it issued, in all its lives.
    pub writes: u64,
}

impl<C> Node<C> {
    pub(super) fn new(id: NodeId, membership: Membership) -> Self {
        Node {
            id,
            core: None,
            life: 0,
            disk: Disk::new(membership),
            applied: Position::ZERO,
            applied_durably: Position::ZERO,
            damaged: false,
            stopped_clock: None,
            to_apply: VecDeque::new(),
            installing: None,
            apply_held: false,
            next_commit: Index(1),
            last_write: WriteSeq(0),
            leadership: None,
            fetches: 0,
            ticks: 0,
            writes: 0,
        }
    }

    /// Whether it is installing a snapshot.
    #[must_use]
    pub const fn installs(&self) -> bool {
        self.installing.is_some()
    }

    /// Whether it runs.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// The last index it has committed in this life.
    #[must_use]
    pub const fn committed(&self) -> Index {
        self.next_commit.prev()
    }

    /// Whether it holds `entry` where no crash can take it: in its log, or in its state machine.
    #[must_use]
    pub fn holds_durably(&self, entry: &Entry) -> bool {
        self.applied_durably.index >= entry.index || self.disk.durable.holds(entry)
    }

    /// The epoch in which it says of itself that it leads.
    #[must_use]
    pub fn leads(&self) -> Option<Epoch> {
        match self.leadership {
            Some((epoch, Some(leader))) if leader == self.id && self.is_up() => Some(epoch),
            _ => None,
        }
    }

    pub(super) const fn this_life(&self) -> Life {
        (self.id, self.life)
    }

    /// Stops it; of what was not durable, the first `keep` log operations survive.
    pub(super) fn crash(&mut self, keep: usize) {
        self.core = None;
        self.disk.crash(keep);
        self.stopped_clock = None;
        self.to_apply.clear();
        self.apply_held = false;
        self.installing = None;
        self.applied = self.applied_durably;
        self.leadership = None;
    }
}
