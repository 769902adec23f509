//! Snapshots: what the host does when a peer needs what is no longer in any log.
//!
//! A state machine here is a position, so a snapshot is one too. It travels over a link that may
//! be cut, is installed durably before the protocol hears of it, or cannot be, and its sender is
//! told once how it went: installed, or not within [`PATIENCE`].

use super::super::ledger::{Checked, check};
use super::{Cluster, Event};
use crate::{Consensus, Index, Input, Micros, NodeId, Position, SnapshotOutcome};

/// How long a sender waits before it counts a snapshot as lost.
const PATIENCE: Micros = Micros::from_millis(300);

/// A snapshot under way.
#[derive(Clone, Copy)]
pub(super) struct Transfer {
    from: NodeId,
    /// The sender's life: if it crashes, nobody is told.
    life: u32,
    to: NodeId,
    at: Position,
    /// Tells this transfer from an earlier one between the same nodes.
    number: u64,
}

impl<C: Consensus> Cluster<'_, C> {
    /// Asking again while one is under way changes nothing.
    pub(super) fn send_snapshot(&mut self, from: NodeId, to: NodeId) {
        let life = self.node(from).life;
        let same = |one: &Transfer| (one.from, one.life, one.to) == (from, life, to);
        if self.transfers.values().any(same) {
            return;
        }
        let transfer = self.snapshot_of(from, to);
        let at = transfer.at;
        self.say(format_args!("{from} ⇒ {to}  snapshot at {at}"));
        self.transfers.insert(self.snapshots, transfer);
        self.at(self.now + PATIENCE, Event::SnapshotLost(transfer));
        if at > Position::ZERO && !self.net.is_cut(from, to) {
            let takes = Micros(self.random.between(500, 5_000));
            self.at(self.now + takes, Event::SnapshotOffered(transfer));
        }
    }

    fn snapshot_of(&mut self, from: NodeId, to: NodeId) -> Transfer {
        let node = self.node(from);
        let (life, at) = (node.life, node.applied);
        self.snapshots += 1;
        let number = self.snapshots;
        Transfer {
            from,
            life,
            to,
            at,
            number,
        }
    }

    /// Offers `to` the state machine of `from`, asked for or not, whatever the links.
    pub fn offer_snapshot(&mut self, from: NodeId, to: NodeId) {
        let transfer = self.snapshot_of(from, to);
        self.snapshot_offered(transfer);
    }

    pub(super) fn snapshot_offered(&mut self, transfer: Transfer) {
        let Transfer { from, to, at, .. } = transfer;
        let membership = self.membership.clone();
        self.say(format_args!("{to} is offered a snapshot at {at}"));
        self.offers.insert(to, transfer);
        let offer = Input::SnapshotOffered {
            from,
            at,
            membership,
        };
        self.step(to, offer);
    }

    /// The protocol wants what it was offered; whatever it wanted before, it wants no more.
    pub(super) fn install_snapshot(&mut self, id: NodeId, from: NodeId, at: Position) -> Checked {
        let node = self.node(id);
        let committed = node.committed();
        check(at.index > committed, || {
            format!("{id} installs a snapshot at {at}, and has committed {committed} already")
        })?;
        let life = node.life;
        let offer = self.offers.remove(&id);
        let Some(transfer) = offer.filter(|offer| (offer.from, offer.at) == (from, at)) else {
            return Err(format!("{id} installs a snapshot it was not offered"));
        };
        self.node_mut(id).installing = Some(transfer.number);
        let takes = Micros(self.random.between(500, 5_000));
        let event = Event::SnapshotInstalled(transfer, life);
        self.at(self.now + takes, event);
        Ok(())
    }

    /// The state machine comes first, durably; then the log hears of it; then the sender.
    pub(super) fn snapshot_installed(&mut self, transfer: Transfer, life: u32) {
        let Transfer { to, at, number, .. } = transfer;
        if !self.lives(to, life) || self.node(to).installing != Some(number) {
            return;
        }
        if self.refused_installs > 0 {
            self.refused_installs -= 1;
            self.node_mut(to).installing = None;
            self.say(format_args!("{to} cannot install a snapshot at {at}"));
            return self.step(to, Input::SnapshotAbandoned { at });
        }
        let membership = self.membership.clone();
        let node = self.node_mut(to);
        node.installing = None;
        node.to_apply.clear();
        node.applied = at;
        node.applied_durably = at;
        node.next_commit = Index(at.index.0 + 1);
        self.say(format_args!("{to} has installed a snapshot at {at}"));
        self.step(to, Input::SnapshotInstalled { at, membership });
        self.tell_sender(number, SnapshotOutcome::Installed);
    }

    pub(super) fn snapshot_lost(&mut self, transfer: Transfer) {
        self.tell_sender(transfer.number, SnapshotOutcome::Failed);
    }

    fn tell_sender(&mut self, number: u64, outcome: SnapshotOutcome) {
        let Some(transfer) = self.transfers.remove(&number) else {
            return;
        };
        let Transfer {
            from, life, to, at, ..
        } = transfer;
        if self.lives(from, life) {
            let index = at.index;
            self.step(from, Input::SnapshotSent { to, index, outcome });
        }
    }

    /// How many snapshots were sent.
    #[must_use]
    pub const fn snapshots_sent(&self) -> u64 {
        self.snapshots
    }
}
