//! Batches that this node has forwarded to a leader and not heard of again.
//!
//! The rules, which together keep a connection's commands in order and never execute one twice:
//!
//! * A batch names the epoch of the leader it is meant for. A leader at any other epoch refuses it
//!   unexecuted, and having refused one it refuses all later ones of that epoch too: so a refusal
//!   stands for the whole rest.
//! * Only what was refused is sent again, and only while nothing that arrived after it has been
//!   sent to a newer leader; otherwise it is answered as not executed.
//! * When the connection breaks, what is under way is unknown. Nothing unknown is sent again.

use std::collections::VecDeque;

use bytes::Bytes;
use consensus::{Consensus, Epoch, Micros, NodeId};

use crate::batch::Batch;
use crate::machine::Millis;
use crate::message::{Failure, ForwardId, Message};
use crate::queue::{Run, Waiting};
use crate::replica::Replica;

/// Forwarded batches under way before more commands are gathered into the next one.
const FORWARDS_IN_FLIGHT: usize = 2;

/// A batch under way to a leader.
#[derive(Debug)]
pub(crate) struct Forwarded<T> {
    pub(crate) id: ForwardId,
    pub(crate) leader: NodeId,
    pub(crate) epoch: Epoch,
    pub(crate) batch: Batch,
    pub(crate) waiting: Waiting<T>,
    pub(crate) since: Micros,
}

impl<T> Forwarded<T> {
    /// Who waits; only clients of this node can, for nothing is forwarded twice.
    pub(crate) fn into_tokens(self) -> Vec<T> {
        local_tokens(self.waiting)
    }
}

/// The clients among those who wait.
pub(crate) fn local_tokens<T>(waiting: Waiting<T>) -> Vec<T> {
    let mut all = Vec::new();
    for run in waiting.runs {
        match run {
            Run::Local(tokens) if all.is_empty() => all = tokens,
            Run::Local(tokens) => all.extend(tokens),
            Run::Remote { .. } => {}
        }
    }
    all
}

/// Everything under way, oldest first.
#[derive(Debug)]
pub(crate) struct InFlight<T> {
    forwarded: VecDeque<Forwarded<T>>,
    bytes: usize,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        InFlight {
            forwarded: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<T> InFlight<T> {
    /// Payload bytes under way.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, forwarded: Forwarded<T>) {
        self.bytes += forwarded.batch.bytes().len();
        self.forwarded.push_back(forwarded);
    }

    /// Whether something is under way to a leader of another reign than this.
    pub(crate) fn awaits_before(&self, epoch: Epoch) -> bool {
        self.forwarded
            .front()
            .is_some_and(|front| front.epoch != epoch)
    }

    /// Takes the batch of that name, if `peer` is whom it was sent to. Answers come in order, so
    /// it is nearly always the first.
    pub(crate) fn take(&mut self, peer: NodeId, id: ForwardId) -> Option<Forwarded<T>> {
        let at = self
            .forwarded
            .iter()
            .position(|sent| sent.id == id && sent.leader == peer)?;
        let taken = self.forwarded.remove(at)?;
        self.bytes -= taken.batch.bytes().len();
        Some(taken)
    }

    /// Takes the refused batch and every later one of its epoch, oldest first.
    pub(crate) fn take_refused(&mut self, peer: NodeId, id: ForwardId) -> Vec<Forwarded<T>> {
        let epoch = self
            .forwarded
            .iter()
            .find(|sent| sent.id == id && sent.leader == peer)
            .map(|sent| sent.epoch);
        match epoch {
            Some(epoch) => self.take_where(|sent| sent.epoch == epoch && sent.id >= id),
            None => Vec::new(),
        }
    }

    /// Takes everything under way to somebody who does not lead now.
    pub(crate) fn take_orphans(
        &mut self,
        epoch: Epoch,
        leader: Option<NodeId>,
    ) -> Vec<Forwarded<T>> {
        self.take_where(|sent| sent.epoch != epoch || Some(sent.leader) != leader)
    }

    /// Takes everything under way to `peer`.
    pub(crate) fn take_sent_to(&mut self, peer: NodeId) -> Vec<Forwarded<T>> {
        self.take_where(|sent| sent.leader == peer)
    }

    /// How many batches are under way to the leader of this reign.
    pub(crate) fn sent_in(&self, epoch: Epoch) -> usize {
        let of_reign = self.forwarded.iter().filter(|sent| sent.epoch == epoch);
        of_reign.count()
    }

    /// Whether something is under way to somebody who does not lead now.
    pub(crate) fn is_orphaned(&self, epoch: Epoch, leader: Option<NodeId>) -> bool {
        let orphan = |sent: &Forwarded<T>| sent.epoch != epoch || Some(sent.leader) != leader;
        self.forwarded.iter().any(orphan)
    }

    fn take_where(&mut self, which: impl Fn(&Forwarded<T>) -> bool) -> Vec<Forwarded<T>> {
        let (taken, kept): (Vec<_>, Vec<_>) = self.forwarded.drain(..).partition(which);
        self.forwarded = kept.into();
        self.bytes = self
            .forwarded
            .iter()
            .map(|sent| sent.batch.bytes().len())
            .sum();
        taken
    }
}

impl<C: Consensus, T: Copy> Replica<C, T> {
    pub(crate) fn may_forward(&self, gathered: bool) -> bool {
        !self.is_stuck()
            && (gathered || self.in_flight.sent_in(self.epoch) < FORWARDS_IN_FLIGHT)
            && self.in_flight.bytes() < self.config.max_waiting_bytes / 2
    }

    pub(crate) fn forward(&mut self, leader: NodeId, now: Micros) {
        let Some(mut front) = self.queue.pop() else {
            return;
        };
        let id = self.next_forward.take();
        let batch = front.builder.finish(Millis(0));
        self.send(
            leader,
            Message::Forward {
                epoch: self.epoch,
                id,
                batch: batch.bytes().clone(),
            },
        );
        self.newest_sent = self.newest_sent.max(self.epoch);
        self.forwarded += u64::from(batch.len());
        self.in_flight.push(Forwarded {
            id,
            leader,
            epoch: self.epoch,
            batch,
            waiting: front.waiting,
            since: now.min(front.since),
        });
    }

    pub(crate) fn take_forward(
        &mut self,
        now: Micros,
        from: NodeId,
        epoch: Epoch,
        id: ForwardId,
        batch: Bytes,
    ) {
        let last = self.last_forward.entry(from).or_default();
        if id <= *last {
            tracing::warn!(%from, ?id, "a forwarded batch came twice or late: dropped");
            return;
        }
        *last = id;
        if !self.leads() || epoch != self.epoch {
            return self.send(from, Message::Refused { id });
        }
        match Batch::decode(batch) {
            Ok(batch) => self.queue.extend(now, from, id, &batch),
            Err(error) => {
                tracing::warn!(%from, %error, "a forwarded batch cannot be read");
                let failure = Failure::NotExecuted;
                self.send(from, Message::Failed { id, failure });
            }
        }
    }

    pub(crate) fn forward_refused(&mut self, from: NodeId, id: ForwardId) {
        for sent in self.in_flight.take_refused(from, id).into_iter().rev() {
            self.refused_epoch = self.refused_epoch.max(sent.epoch);
            if self.newest_sent > sent.epoch {
                self.fail(sent.waiting, Failure::NotExecuted);
            } else {
                self.queue.push_front(&sent.batch, sent.waiting, sent.since);
            }
        }
    }
}
