//! The sender's side: finds a snapshot, offers it, and sends what is asked for.
//!
//! When the link breaks the protocol is told that it failed, and asks again when it next hears of
//! the peer. The snapshot is kept for that while, and the log above it, so that it can go on where
//! it was ([`Stage::Kept`]).
//!
//! A peer that fails again and again without getting any further, because its disk is full say, is
//! left alone for that while in between: or it would pin the log of everybody for ever.
//!
//! Losing the leadership ends nothing that is being sent: half of a snapshot is of no use to whoever
//! leads next, as its own has other bytes. The receiver tells the new leader, which keeps the log
//! above that snapshot, or, if it has that no more, offers its own instead.

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus::{Consensus, Index, Input, Micros, NodeId, SnapshotOutcome};

use crate::action::Action;
use crate::config::SnapshotConfig;
use crate::message::Message;
use crate::replica::Replica;
use crate::transfer::budget::Budget;
use crate::transfer::{InstallFailure, SnapshotEnd, SnapshotId, SnapshotMeta, SnapshotTask};

/// Everything that is being sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    peers: BTreeMap<NodeId, Sending>,
    /// Below this a peer has said that no snapshot helps it.
    needs: BTreeMap<NodeId, Index>,
    /// Before this there is no point in trying again.
    not_before: BTreeMap<NodeId, Micros>,
    /// When each peer last said that another sends it a snapshot.
    elsewhere: BTreeMap<NodeId, Micros>,
    /// Peers that have failed to take what they were sent, and got no further since.
    failing: BTreeMap<NodeId, Failing>,
    /// Whether the host is finding or making one.
    taking: bool,
    budget: Budget,
}

/// What is sent to one peer.
#[derive(Debug)]
struct Sending {
    stage: Stage,
    /// When it last got on.
    at: Micros,
}

/// A peer that does not get on.
#[derive(Clone, Copy, Debug)]
struct Failing {
    id: SnapshotId,
    /// Where it wanted no more when it failed.
    upto: u64,
    since: Micros,
}

#[derive(Debug)]
enum Stage {
    /// The host finds or makes a snapshot.
    Taking { at_least: Index },
    /// The peer asks for it, piece by piece.
    Offered(Pulled),
    /// Broken off; the peer will probably be back.
    Kept(SnapshotMeta),
}

#[derive(Debug)]
struct Pulled {
    meta: SnapshotMeta,
    /// What is sent next.
    next: u64,
    /// Where the peer wants no more for now.
    upto: u64,
    /// Whether the host is reading.
    reading: bool,
}

impl Pulled {
    fn new(meta: SnapshotMeta) -> Self {
        Pulled {
            meta,
            next: 0,
            upto: 0,
            reading: false,
        }
    }

    /// How much to read next, if anything.
    fn due(&self, config: &SnapshotConfig) -> Option<u64> {
        let len = (self.upto.saturating_sub(self.next)).min(config.chunk_bytes as u64);
        (len > 0 && !self.reading).then_some(len)
    }
}

impl Stage {
    fn meta(&self) -> Option<&SnapshotMeta> {
        match self {
            Stage::Taking { .. } => None,
            Stage::Offered(pulled) => Some(&pulled.meta),
            Stage::Kept(meta) => Some(meta),
        }
    }
}

impl Outgoing {
    pub(crate) fn new(config: &SnapshotConfig) -> Self {
        let burst = config.chunk_bytes.max(config.window_bytes) as u64;
        Outgoing {
            peers: BTreeMap::new(),
            needs: BTreeMap::new(),
            not_before: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            failing: BTreeMap::new(),
            taking: false,
            budget: Budget::new(config.bytes_per_second, burst),
        }
    }

    /// Up to where the log may be purged for all that is sent, `purged` being where it begins.
    pub(crate) fn pinned(&self, purged: Index) -> Option<Index> {
        let pins = self.peers.values().map(|sending| match &sending.stage {
            Stage::Taking { .. } => purged,
            stage => stage.meta().map_or(purged, SnapshotMeta::index),
        });
        pins.min()
    }

    /// When something is to be given up, or sent.
    pub(crate) fn wake_at(&self, config: &SnapshotConfig) -> Option<Micros> {
        let wake = |sending: &Sending| match &sending.stage {
            Stage::Taking { .. } => None,
            Stage::Kept(_) => Some(sending.at + config.kept_for),
            Stage::Offered(pulled) => {
                let due = pulled.due(config).map(|len| self.budget.ready_at(len));
                let lost = sending.at + config.patience;
                Some(due.map_or(lost, |due| due.min(lost)))
            }
        };
        self.peers.values().filter_map(wake).min()
    }
}

impl<C: Consensus, T: Copy> Replica<C, T> {
    /// The protocol says that `to` needs a snapshot.
    pub(crate) fn send_snapshot(&mut self, now: Micros, to: NodeId) {
        let not_before = self.outgoing.not_before.get(&to);
        let too_early = not_before.is_some_and(|at| now < *at);
        if too_early || self.receives_elsewhere(now, to) || !self.connected.contains(&to) {
            return self.snapshot_sent(now, to, Index::ZERO, SnapshotOutcome::Failed);
        }
        let needs = self.outgoing.needs.get(&to).copied().unwrap_or_default();
        let at_least = self.core.status().purged.max(needs);
        match self.outgoing.peers.remove(&to).map(|sending| sending.stage) {
            Some(Stage::Kept(meta)) if meta.index() >= at_least => self.offer(now, to, meta),
            Some(stage @ (Stage::Taking { .. } | Stage::Offered(_))) => {
                self.put_stage(now, to, stage);
            }
            _ => {
                self.put_stage(now, to, Stage::Taking { at_least });
                self.take_snapshot();
            }
        }
    }

    /// The host has a snapshot, and keeps it for as long as it is in use.
    pub fn snapshot_ready(&mut self, now: Micros, meta: &SnapshotMeta) {
        self.outgoing.taking = false;
        // What was asked for when it was asked for may be purged by now, by no fault of the host.
        let enough = meta.index() >= self.core.status().purged;
        for (to, at_least) in self.taking() {
            match meta.index() >= at_least && enough && meta.bytes > 0 {
                true if self.connected.contains(&to) => self.offer(now, to, meta.clone()),
                true => self.end_sending(now, to, Index::ZERO, SnapshotOutcome::Failed),
                false => {}
            }
        }
        if meta.bytes == 0 || !enough {
            self.snapshot_failed(now);
        } else {
            self.take_snapshot();
        }
    }

    /// The host has none and cannot make one now. It is asked again after a while.
    pub fn snapshot_failed(&mut self, now: Micros) {
        self.outgoing.taking = false;
        for (to, _) in self.taking() {
            self.hold_off(to, now + self.config.snapshots.ask_again);
            self.end_sending(now, to, Index::ZERO, SnapshotOutcome::Failed);
        }
    }

    /// What the host read for a peer; `None` when it could not be read.
    pub fn snapshot_read(
        &mut self,
        now: Micros,
        to: NodeId,
        id: SnapshotId,
        offset: u64,
        read: Option<Bytes>,
    ) {
        let Some(pulled) = self.pulled(to, id) else {
            return;
        };
        pulled.reading = false;
        match read {
            // The peer has asked for other bytes meanwhile.
            Some(_) if offset != pulled.next => {}
            Some(bytes) if !bytes.is_empty() => {
                pulled.next += bytes.len() as u64;
                let crc = crc32c::crc32c(&bytes);
                self.snapshot_bytes_sent += bytes.len() as u64;
                self.send(
                    to,
                    Message::SnapshotChunk {
                        id,
                        offset,
                        bytes,
                        crc,
                    },
                );
            }
            _ => {
                tracing::warn!(%to, at = %id.at, "a snapshot cannot be read any more");
                self.send(to, Message::SnapshotGone { id });
                // Else it would be found again, and fail at the same place.
                let task = SnapshotTask::Suspect { id };
                self.actions.push_back(Action::Snapshot(task));
                self.hold_off(to, now + self.config.snapshots.ask_again);
                self.end_sending(now, to, id.at.index, SnapshotOutcome::Failed);
            }
        }
        self.wake_at = Some(now);
    }

    pub(crate) fn snapshot_wanted(
        &mut self,
        now: Micros,
        from: NodeId,
        id: SnapshotId,
        offset: u64,
        upto: u64,
        again: bool,
    ) {
        let Some(pulled) = self.pulled(from, id) else {
            return self.send(from, Message::SnapshotGone { id });
        };
        let end = pulled.meta.bytes;
        if again || offset > pulled.next {
            pulled.next = offset.min(end);
        }
        pulled.upto = upto.min(end);
        if let Some(sending) = self.outgoing.peers.get_mut(&from) {
            sending.at = now;
        }
    }

    pub(crate) fn snapshot_done(
        &mut self,
        now: Micros,
        from: NodeId,
        id: SnapshotId,
        end: SnapshotEnd,
    ) {
        let sent = self.outgoing.peers.get(&from);
        if sent
            .and_then(|sending| sending.stage.meta())
            .map(|meta| meta.id)
            != Some(id)
        {
            return;
        }
        tracing::info!(%from, at = %id.at, ?end, "a snapshot was sent");
        let index = id.at.index;
        match end {
            SnapshotEnd::Installed => {
                self.outgoing.needs.remove(&from);
                self.outgoing.failing.remove(&from);
                if self.leads() {
                    self.catches_up(now, from, index);
                }
                self.end_sending(now, from, index, SnapshotOutcome::Installed);
            }
            SnapshotEnd::Unwanted { at_least } if at_least > self.core.status().last.index => {
                // One snapshot after the other would be made, and none would do.
                tracing::warn!(%from, %at_least, "a peer wants a snapshot of what is not written yet");
                self.hold_off(from, now + self.config.snapshots.ask_again);
                self.end_sending(now, from, index, SnapshotOutcome::Failed);
            }
            SnapshotEnd::Unwanted { at_least } => {
                self.outgoing.needs.insert(from, at_least);
                self.end_sending(now, from, index, SnapshotOutcome::Failed);
            }
            SnapshotEnd::Corrupt => {
                let task = SnapshotTask::Suspect { id };
                self.actions.push_back(Action::Snapshot(task));
                self.hold_off(from, now + self.config.snapshots.ask_again);
                self.end_sending(now, from, index, SnapshotOutcome::Failed);
            }
            SnapshotEnd::Failed if self.fails_for_good(now, from, id) => {
                tracing::warn!(%from, at = %id.at, "a peer can take no snapshot: it is left alone for a while");
                self.hold_off(from, now + self.config.snapshots.kept_for);
                self.end_sending(now, from, index, SnapshotOutcome::Failed);
            }
            SnapshotEnd::Failed => {
                self.hold_off(from, now + self.config.snapshots.ask_again);
                self.keep(now, from);
            }
        }
    }

    /// A peer has failed to take a snapshot: whether it has done nothing else for as long as one is
    /// kept.
    fn fails_for_good(&mut self, now: Micros, peer: NodeId, id: SnapshotId) -> bool {
        let upto = self.pulled(peer, id).map_or(0, |pulled| pulled.upto);
        let before = self.outgoing.failing.get(&peer).copied();
        let before = before.filter(|failing| failing.id == id && upto <= failing.upto);
        let since = before.map_or(now, |failing| failing.since);
        let for_good = now.since(since) >= self.config.snapshots.kept_for;
        if for_good {
            self.outgoing.failing.remove(&peer);
        } else if before.is_none() {
            let failing = Failing { id, upto, since };
            self.outgoing.failing.insert(peer, failing);
        }
        for_good
    }

    /// The host can do nothing with snapshots.
    pub(crate) fn refuse_task(&mut self, now: Micros, task: SnapshotTask) {
        match task {
            SnapshotTask::Take { .. } => self.snapshot_failed(now),
            SnapshotTask::Read { to, id, offset, .. } => {
                self.snapshot_read(now, to, id, offset, None);
            }
            SnapshotTask::Open { meta } => self.incoming_failed(meta.id),
            SnapshotTask::Store { id, .. } => self.incoming_failed(id),
            SnapshotTask::Install { meta } => {
                self.install_failed(now, meta.id, InstallFailure::Environment);
            }
            SnapshotTask::Suspect { .. } | SnapshotTask::Discard { .. } | SnapshotTask::Persist => {
            }
        }
    }

    /// The snapshots that are being sent, or soon will be again: their files are needed.
    pub fn snapshots_in_use(&self) -> impl Iterator<Item = SnapshotId> + '_ {
        let stages = self.outgoing.peers.values().map(|sending| &sending.stage);
        stages.filter_map(|stage| stage.meta().map(|meta| meta.id))
    }

    /// Payload bytes of snapshots sent so far.
    pub fn snapshot_bytes_sent(&self) -> u64 {
        self.snapshot_bytes_sent
    }

    /// The link to a peer broke: what it was sent is kept for when it is back.
    pub(crate) fn break_sending(&mut self, now: Micros, to: NodeId) {
        let stage = self.outgoing.peers.get(&to).map(|sending| &sending.stage);
        if matches!(stage, Some(Stage::Offered(_) | Stage::Taking { .. })) {
            self.keep(now, to);
        }
    }

    /// This node no longer leads: what is under way goes on, the rest is whoever leads'.
    pub(crate) fn abandon_sending(&mut self) {
        let under_way = |sending: &Sending| matches!(sending.stage, Stage::Offered(_));
        self.outgoing.peers.retain(|_, sending| under_way(sending));
        self.outgoing.needs.clear();
        self.retention.catching_up.clear();
        self.outgoing.not_before.clear();
        self.outgoing.elsewhere.clear();
        self.outgoing.failing.clear();
    }

    /// A peer is sent a snapshot up to `index` by another. What is purged above that it will need from
    /// here all the same.
    pub(crate) fn peer_receives(&mut self, now: Micros, peer: NodeId, index: Index) {
        if !self.leads() || index < self.core.status().purged {
            return;
        }
        self.outgoing.elsewhere.insert(peer, now);
        self.catches_up(now, peer, index);
        let stage = self.outgoing.peers.get(&peer).map(|sending| &sending.stage);
        if matches!(stage, Some(Stage::Taking { .. })) {
            self.end_sending(now, peer, Index::ZERO, SnapshotOutcome::Failed);
        }
    }

    fn receives_elsewhere(&self, now: Micros, peer: NodeId) -> bool {
        let said = self.outgoing.elsewhere.get(&peer);
        said.is_some_and(|at| now.since(*at).0 < 3 * self.config.snapshots.ask_again.0)
    }

    /// Sends what is wanted, as far as the budget goes, and gives up what nobody asks for.
    pub(crate) fn pump_sending(&mut self, now: Micros) {
        let config = self.config.snapshots;
        let peers: Vec<NodeId> = self.outgoing.peers.keys().copied().collect();
        for to in peers {
            let Outgoing { peers, budget, .. } = &mut self.outgoing;
            let Some(Sending { stage, at }) = peers.get_mut(&to) else {
                continue;
            };
            match stage {
                Stage::Kept(_) if now.since(*at) >= config.kept_for => {
                    peers.remove(&to);
                }
                Stage::Offered(_) if now.since(*at) >= config.patience => self.keep(now, to),
                Stage::Offered(pulled) => {
                    let due = pulled.due(&config);
                    if let Some(len) = due.filter(|len| budget.take(now, *len)) {
                        pulled.reading = true;
                        let (id, offset) = (pulled.meta.id, pulled.next);
                        let len = usize::try_from(len).unwrap_or(config.chunk_bytes);
                        let task = SnapshotTask::Read {
                            to,
                            id,
                            offset,
                            len,
                        };
                        self.actions.push_back(Action::Snapshot(task));
                    }
                }
                Stage::Kept(_) | Stage::Taking { .. } => {}
            }
        }
    }

    fn offer(&mut self, now: Micros, to: NodeId, meta: SnapshotMeta) {
        tracing::info!(%to, at = %meta.id.at, bytes = meta.bytes, "a snapshot is offered");
        let stage = Stage::Offered(Pulled::new(meta.clone()));
        self.put_stage(now, to, stage);
        self.send(to, Message::SnapshotOffer { meta });
    }

    /// Who waits for the host to have a snapshot, and at what index.
    fn taking(&self) -> Vec<(NodeId, Index)> {
        let waits = |(to, sending): (&NodeId, &Sending)| match sending.stage {
            Stage::Taking { at_least } => Some((*to, at_least)),
            _ => None,
        };
        self.outgoing.peers.iter().filter_map(waits).collect()
    }

    fn take_snapshot(&mut self) {
        let highest = self.taking().into_iter().map(|(_, at_least)| at_least);
        if let Some(at_least) = highest.max().filter(|_| !self.outgoing.taking) {
            self.outgoing.taking = true;
            let task = SnapshotTask::Take { at_least };
            self.actions.push_back(Action::Snapshot(task));
        }
    }

    fn pulled(&mut self, to: NodeId, id: SnapshotId) -> Option<&mut Pulled> {
        match &mut self.outgoing.peers.get_mut(&to)?.stage {
            Stage::Offered(pulled) if pulled.meta.id == id => Some(pulled),
            _ => None,
        }
    }

    fn put_stage(&mut self, at: Micros, to: NodeId, stage: Stage) {
        self.outgoing.peers.insert(to, Sending { stage, at });
    }

    /// The protocol would try again with the next heartbeat, and to no avail.
    fn hold_off(&mut self, to: NodeId, until: Micros) {
        self.outgoing.not_before.insert(to, until);
    }

    /// It failed for now; the file stays.
    fn keep(&mut self, now: Micros, to: NodeId) {
        let sending = self.outgoing.peers.remove(&to);
        let meta = sending.and_then(|sending| sending.stage.meta().cloned());
        let index = meta.as_ref().map_or(Index::ZERO, SnapshotMeta::index);
        if let Some(meta) = meta {
            self.put_stage(now, to, Stage::Kept(meta));
        }
        self.snapshot_sent(now, to, index, SnapshotOutcome::Failed);
    }

    fn end_sending(&mut self, now: Micros, to: NodeId, index: Index, outcome: SnapshotOutcome) {
        self.outgoing.peers.remove(&to);
        self.snapshot_sent(now, to, index, outcome);
    }

    fn snapshot_sent(&mut self, now: Micros, to: NodeId, index: Index, outcome: SnapshotOutcome) {
        let sent = Input::SnapshotSent { to, index, outcome };
        self.step(now, sent);
    }
}
