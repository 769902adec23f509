//! The receiver's side: asks for what it lacks, has it stored and, when all is there, installed.
//!
//! A receiver trusts nobody: offers that make no sense, pieces that do not fit and pieces of what
//! it did not ask for are dropped. Whether the whole is what its name says is verified by the host
//! before it is installed; if it is not, it is fetched once more.
//!
//! Its sender may lose the leadership and go on sending. The new leader is told then, again and
//! again while pieces come, so that it need not send its own.

use bytes::Bytes;
use consensus::{Consensus, Input, Micros, NodeId, Position};

use crate::action::Action;
use crate::message::{Failure, Message};
use crate::replica::Replica;
use crate::transfer::{InstallFailure, SnapshotEnd, SnapshotId, SnapshotMeta, SnapshotTask};

/// How often a leader is told that another sends.
const TELL_EVERY: Micros = Micros::from_millis(1_000);

/// What is being received.
#[derive(Debug)]
pub(crate) struct Incoming {
    from: NodeId,
    meta: SnapshotMeta,
    stage: Stage,
    /// Up to where pieces have arrived.
    received: u64,
    /// Up to where the host has stored them.
    stored: u64,
    /// When it last got on, or said so.
    at: Micros,
    /// When the last piece came, or the offer.
    heard_at: Micros,
    /// When a leader that does not send it was last told.
    told_at: Micros,
    /// How often the whole, or a piece that came whole, was found to be corrupt.
    spoiled: u32,
    /// Where the piece that came did not fit and another was asked for. Those that were on their
    /// way behind it do not fit either, and are no reason to ask again.
    complained: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The host looks how much is here.
    Opening,
    Pulling,
    /// Whoever sent it does so no longer. Somebody will offer it again, or another.
    Orphaned,
    Installing,
}

impl<C: Consensus, T: Copy> Replica<C, T> {
    pub(crate) fn snapshot_offered(&mut self, now: Micros, from: NodeId, meta: SnapshotMeta) {
        let id = meta.id;
        if self.leads() || meta.bytes == 0 || meta.membership.voters.is_empty() {
            return self.end_receiving(from, id, SnapshotEnd::Failed);
        }
        if let Some(at_least) = self.is_useless(&meta) {
            return self.end_receiving(from, id, SnapshotEnd::Unwanted { at_least });
        }
        match &mut self.incoming {
            Some(incoming) if incoming.meta.id == id => {
                incoming.from = from;
                incoming.heard_at = now;
                if incoming.stage == Stage::Orphaned {
                    incoming.stage = Stage::Pulling;
                }
                self.want(now, true);
            }
            Some(Incoming {
                stage: Stage::Installing,
                ..
            }) => self.end_receiving(from, id, SnapshotEnd::Failed),
            _ => self.open_incoming(now, from, meta, 0),
        }
    }

    /// The host is ready, and has stored this much of it already.
    pub fn incoming_opened(&mut self, now: Micros, id: SnapshotId, stored: u64) {
        if let Some(incoming) = self.incoming_of(id, Stage::Opening) {
            incoming.stage = Stage::Pulling;
            incoming.stored = stored.min(incoming.meta.bytes);
            incoming.received = incoming.stored;
            self.go_on(now, true);
        }
    }

    /// The host cannot receive it.
    pub fn incoming_failed(&mut self, id: SnapshotId) {
        if let Some(incoming) = self.incoming.take_if(|incoming| incoming.meta.id == id) {
            self.end_receiving(incoming.from, id, SnapshotEnd::Failed);
        }
    }

    pub(crate) fn snapshot_chunk(
        &mut self,
        now: Micros,
        from: NodeId,
        id: SnapshotId,
        offset: u64,
        bytes: Bytes,
        crc: u32,
    ) {
        let window = self.config.snapshots.window_bytes as u64;
        let Some(incoming) = self.incoming_of(id, Stage::Pulling) else {
            return;
        };
        let end = offset.checked_add(bytes.len() as u64);
        let within = end.is_some_and(|end| {
            end <= incoming.meta.bytes && end <= incoming.stored.saturating_add(window)
        });
        let whole = crc32c::crc32c(&bytes) == crc;
        if incoming.from != from || bytes.is_empty() || offset < incoming.received {
            return;
        }
        if offset > incoming.received || !within || !whole {
            if incoming.complained == Some(incoming.received) {
                return;
            }
            incoming.complained = Some(incoming.received);
            tracing::warn!(%from, at = %id.at, offset, whole, "a piece of a snapshot does not fit");
            return self.want(now, true);
        }
        incoming.received += bytes.len() as u64;
        incoming.at = now;
        incoming.heard_at = now;
        let task = SnapshotTask::Store { id, offset, bytes };
        self.actions.push_back(Action::Snapshot(task));
    }

    /// Everything up to `upto` is durable.
    pub fn chunk_stored(&mut self, now: Micros, id: SnapshotId, upto: u64) {
        if let Some(incoming) = self.being_stored(id) {
            incoming.stored = incoming.stored.max(upto.min(incoming.received));
            incoming.at = now;
            self.go_on(now, false);
        }
    }

    /// What was to be stored is not of this snapshot, though it arrived as it was sent. Up to `good`
    /// all is right and durable.
    pub fn incoming_corrupt(&mut self, now: Micros, id: SnapshotId, good: u64) {
        let Some(incoming) = self.being_stored(id) else {
            return;
        };
        incoming.stored = good.min(incoming.received);
        incoming.received = incoming.stored;
        incoming.spoiled += 1;
        let (from, spoiled) = (incoming.from, incoming.spoiled);
        tracing::warn!(%from, at = %id.at, good, spoiled, "a piece of a snapshot was sent corrupt");
        if spoiled > 1 {
            self.incoming = None;
            self.end_receiving(from, id, SnapshotEnd::Corrupt);
        } else {
            self.want(now, true);
        }
    }

    /// The snapshot is durable in the state machine, which has taken the place of the old one.
    pub(crate) fn snapshot_installed(&mut self, now: Micros, at: Position) {
        let Some(incoming) = self.incoming.take() else {
            return;
        };
        assert!(
            incoming.meta.id.at == at && incoming.stage == Stage::Installing,
            "a state machine at {at} was installed for {incoming:?}"
        );
        tracing::info!(from = %incoming.from, %at, "a snapshot is installed");
        for waiting in self.committed.clear() {
            self.fail(waiting, Failure::Unknown);
        }
        let jumped: Vec<_> = self
            .proposed
            .extract_if(.., |(index, _), _| *index <= at.index)
            .collect();
        for (_, waiting) in jumped {
            self.fail(waiting, Failure::Unknown);
        }
        let SnapshotMeta { id, membership, .. } = incoming.meta;
        self.membership = membership.clone();
        self.applied = at.index;
        self.durable = self.durable.max(at.index);
        self.step(now, Input::SnapshotInstalled { at, membership });
        self.release_reads();
        self.end_receiving(incoming.from, id, SnapshotEnd::Installed);
    }

    /// The snapshot could not be installed: the state machine is what it was.
    pub fn install_failed(&mut self, now: Micros, id: SnapshotId, why: InstallFailure) {
        if self.incoming_of(id, Stage::Installing).is_none() {
            return;
        }
        let Some(incoming) = self.incoming.take() else {
            return;
        };
        self.step(now, Input::SnapshotAbandoned { at: id.at });
        let (from, spoiled) = (incoming.from, incoming.spoiled + 1);
        if why == InstallFailure::Environment {
            return self.end_receiving(from, id, SnapshotEnd::Failed);
        }
        tracing::warn!(%from, at = %id.at, spoiled, "a snapshot arrived corrupt");
        let task = SnapshotTask::Discard { id };
        self.actions.push_back(Action::Snapshot(task));
        if spoiled > 1 {
            self.end_receiving(from, id, SnapshotEnd::Corrupt);
        } else {
            self.open_incoming(now, from, incoming.meta, spoiled);
        }
    }

    pub(crate) fn snapshot_gone(&mut self, from: NodeId, id: SnapshotId) {
        if let Some(incoming) = self.incoming_of(id, Stage::Pulling)
            && incoming.from == from
        {
            incoming.stage = Stage::Orphaned;
        }
    }

    /// The protocol wants what it was offered.
    pub(crate) fn install_snapshot(&mut self, now: Micros, at: Position) {
        match &mut self.incoming {
            Some(incoming) if incoming.meta.id.at == at => {
                incoming.stage = Stage::Installing;
                incoming.at = now;
                let meta = incoming.meta.clone();
                let task = SnapshotTask::Install { meta };
                self.actions.push_back(Action::Snapshot(task));
            }
            _ => self.step(now, Input::SnapshotAbandoned { at }),
        }
    }

    /// Says again what it waits for, and throws away what nobody needs any more.
    pub(crate) fn pump_receiving(&mut self, now: Micros) {
        let told_at = self.incoming.as_ref().map(|incoming| incoming.told_at);
        if told_at.is_some_and(|at| now.since(at) >= TELL_EVERY) {
            self.tell_of_incoming(now);
        }
        let Some(incoming) = &self.incoming else {
            return;
        };
        if incoming.stage != Stage::Installing && incoming.meta.index() <= self.applied {
            let id = incoming.meta.id;
            self.incoming = None;
            let task = SnapshotTask::Discard { id };
            self.actions.push_back(Action::Snapshot(task));
        } else if now.since(incoming.at) >= self.config.snapshots.ask_again {
            self.want(now, true);
        }
    }

    /// Tells whoever leads what another sends, as long as that gets on.
    pub(crate) fn tell_of_incoming(&mut self, now: Micros) {
        let patience = Micros(2 * self.config.snapshots.ask_again.0);
        let (Some(incoming), Some(leader)) = (&mut self.incoming, self.leader) else {
            return;
        };
        let comes = self.connected.contains(&incoming.from)
            && now.since(incoming.heard_at) < patience
            && incoming.stage == Stage::Pulling;
        if leader != incoming.from && (comes || incoming.stage == Stage::Installing) {
            incoming.told_at = now;
            let index = incoming.meta.index();
            self.send(leader, Message::Receiving { index });
        }
    }

    /// When to say again what is waited for.
    pub(crate) fn receiving_wakes_at(&self) -> Option<Micros> {
        let incoming = self.incoming.as_ref()?;
        let asks = matches!(incoming.stage, Stage::Pulling | Stage::Installing);
        asks.then_some(incoming.at + self.config.snapshots.ask_again)
    }

    fn open_incoming(&mut self, now: Micros, from: NodeId, meta: SnapshotMeta, spoiled: u32) {
        tracing::info!(%from, at = %meta.id.at, bytes = meta.bytes, "a snapshot is received");
        self.incoming = Some(Incoming {
            from,
            meta: meta.clone(),
            stage: Stage::Opening,
            received: 0,
            stored: 0,
            at: now,
            heard_at: now,
            told_at: now,
            spoiled,
            complained: None,
        });
        let task = SnapshotTask::Open { meta };
        self.actions.push_back(Action::Snapshot(task));
    }

    /// Offers to the protocol what is here, or asks for more.
    fn go_on(&mut self, now: Micros, again: bool) {
        let Some(incoming) = &self.incoming else {
            return;
        };
        if incoming.stored < incoming.meta.bytes {
            return self.want(now, again);
        }
        let (from, meta) = (incoming.from, incoming.meta.clone());
        let (id, membership) = (meta.id, meta.membership.clone());
        let offered = Input::SnapshotOffered {
            from,
            at: id.at,
            membership,
        };
        self.step(now, offered);
        self.drain();
        if self.being_stored(id).is_some() {
            // The protocol has not asked for it: it has got on by itself meanwhile.
            self.incoming = None;
            let task = SnapshotTask::Discard { id };
            self.actions.push_back(Action::Snapshot(task));
            let at_least = self.useful_from();
            self.end_receiving(from, id, SnapshotEnd::Unwanted { at_least });
        }
    }

    /// Asks for the next bytes; `again` if some may have been lost on the way. While nothing is
    /// needed it only says that this node is there.
    fn want(&mut self, now: Micros, again: bool) {
        let window = self.config.snapshots.window_bytes as u64;
        let Some(incoming) = &mut self.incoming else {
            return;
        };
        if !matches!(incoming.stage, Stage::Pulling | Stage::Installing) {
            return;
        }
        incoming.at = now;
        let want = Message::SnapshotWant {
            id: incoming.meta.id,
            offset: incoming.received,
            upto: incoming
                .stored
                .saturating_add(window)
                .min(incoming.meta.bytes),
            again,
        };
        let from = incoming.from;
        if self.connected.contains(&from) {
            self.send(from, want);
        }
    }

    /// The lowest index at which a snapshot helps this node.
    fn useful_from(&self) -> consensus::Index {
        self.applied.next().max(self.core.status().purged)
    }

    fn is_useless(&self, meta: &SnapshotMeta) -> Option<consensus::Index> {
        let useful = self.useful_from();
        (meta.index() < useful).then_some(useful)
    }

    fn incoming_of(&mut self, id: SnapshotId, stage: Stage) -> Option<&mut Incoming> {
        let incoming = self.incoming.as_mut();
        incoming.filter(|incoming| incoming.meta.id == id && incoming.stage == stage)
    }

    /// What the host may still be storing pieces of: it goes on when their sender is gone, and they
    /// are not asked for again.
    fn being_stored(&mut self, id: SnapshotId) -> Option<&mut Incoming> {
        let stored = |incoming: &&mut Incoming| {
            matches!(incoming.stage, Stage::Pulling | Stage::Orphaned) && incoming.meta.id == id
        };
        self.incoming.as_mut().filter(stored)
    }

    fn end_receiving(&mut self, from: NodeId, id: SnapshotId, end: SnapshotEnd) {
        self.send(from, Message::SnapshotDone { id, end });
    }
}
