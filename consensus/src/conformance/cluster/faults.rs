//! What goes wrong, and how it is made good again.

use super::super::disk::Log;
use super::{Cluster, Event};
use crate::{Channel, Consensus, Index, Micros, NodeId, Position, WriteSeq};

impl<C: Consensus> Cluster<'_, C> {
    /// Starts a node from what its disk and its state machine hold durably.
    ///
    /// # Panics
    /// When it runs already.
    pub fn start(&mut self, id: NodeId) {
        let config = (self.configure)(id);
        let seed = self.random.next();
        let node = self.node_mut(id);
        assert!(!node.is_up(), "{id} runs already");
        node.life += 1;
        node.last_write = WriteSeq(0);
        node.applied = node.applied_durably;
        node.next_commit = node.applied.index.next();
        let recovered = node.disk.recovered(node.applied, node.damaged);
        let (life, applied) = (node.life, node.applied);
        self.say(format_args!("{id} starts (life {life}), applied {applied}"));
        self.node_mut(id).core = Some(C::new(config, seed, recovered));
        self.drain(id);
    }

    /// Stops a node; of what it wrote, only what is durable survives, and the first `keep`
    /// operations of the rest.
    pub fn crash(&mut self, id: NodeId, keep: usize) {
        let queued = self.node(id).disk.queued_ops();
        self.say(format_args!("{id} crashes, keeps {keep} of {queued} ops"));
        self.node_mut(id).crash(keep);
    }

    /// Crashes every node at once; each keeps what is durable, and by chance some of the rest if
    /// [`Cluster::crashes_keep_some`].
    pub fn crash_all(&mut self) {
        for id in self.up() {
            let most = self.node(id).disk.queued_ops() as u64;
            let keep = if self.crashes_keep_some {
                self.random.between(0, most)
            } else {
                0
            };
            self.crash(id, keep as usize);
        }
    }

    /// Crashes these nodes; each keeps only what is durable.
    pub fn crash_all_of(&mut self, ids: &[NodeId]) {
        for id in ids {
            self.crash(*id, 0);
        }
    }

    /// Starts every node that is down.
    pub fn start_all(&mut self) {
        for id in self.ids() {
            if !self.node(id).is_up() {
                self.start(id);
            }
        }
    }

    /// Crashes and starts a node.
    pub fn restart(&mut self, id: NodeId) {
        self.crash(id, 0);
        self.start(id);
    }

    /// Crashes every node at the moment the `k`th write from now becomes durable, before anybody
    /// hears of it.
    pub fn crash_all_at_persisted_write(&mut self, k: u64) {
        self.crash_all_at = Some(self.persisted_writes + k);
    }

    /// Crashes whoever issues the `k`th write from now, once what it says with that write is sent.
    pub fn crash_writer_at_write(&mut self, k: u64) {
        self.crash_writer_at = Some(self.issued_writes + k);
    }

    /// How many writes have become durable, on all nodes together.
    #[must_use]
    pub const fn persisted_writes(&self) -> u64 {
        self.persisted_writes
    }

    /// How many writes were issued, on all nodes together.
    #[must_use]
    pub const fn issued_writes(&self) -> u64 {
        self.issued_writes
    }

    /// Lets nothing of what a node writes become durable any more.
    pub fn hang_disk(&mut self, id: NodeId) {
        self.say(format_args!("{id}'s disk hangs"));
        self.node_mut(id).disk.hung = true;
    }

    /// Ends the hanging. Everything written meanwhile becomes durable, reported at once.
    pub fn free_disk(&mut self, id: NodeId) {
        self.say(format_args!("{id}'s disk writes again"));
        let node = self.node_mut(id);
        node.disk.hung = false;
        let life = node.life;
        self.at(self.now + Micros(100), Event::DiskTurn(id, life));
    }

    /// Makes the next write of a hung disk durable, that one alone, and reports it.
    pub fn persist_next(&mut self, id: NodeId) {
        if let Some((seq, ops)) = self.node_mut(id).disk.persist_next() {
            self.persisted(id, &ops);
            self.report(id, Some(seq));
        }
    }

    /// Keeps commits from being applied, and so from being reported as applied.
    pub fn hold_apply(&mut self, id: NodeId) {
        self.node_mut(id).apply_held = true;
    }

    /// Applies what was held.
    pub fn release_apply(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.apply_held = false;
        let life = node.life;
        self.at(self.now, Event::Apply(id, life));
    }

    /// Makes durable what a node's state machine holds.
    pub fn flush_state(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        node.applied_durably = node.applied;
    }

    /// Says how much a stopped node's state machine held durably, whatever its log does.
    ///
    /// # Panics
    /// When it runs.
    pub fn set_applied(&mut self, id: NodeId, applied: Position) {
        assert!(!self.node(id).is_up(), "{id} runs");
        self.node_mut(id).applied_durably = applied;
    }

    /// Has an entry become unreadable on a node's disk, until it is written again.
    pub fn spoil_entry(&mut self, id: NodeId, index: Index) {
        self.say(format_args!("{id} cannot read {index} any more"));
        self.node_mut(id).disk.unreadable.insert(index);
    }

    /// Rewrites what a stopped node's disk holds.
    ///
    /// # Panics
    /// When it runs.
    pub fn rewrite_log(&mut self, id: NodeId, change: impl FnOnce(&mut Log)) {
        assert!(!self.node(id).is_up(), "{id} runs");
        self.node_mut(id).disk.rewrite(change);
    }

    /// Marks a disk as damaged, or as repaired; the node hears of it when it next starts.
    pub fn set_damaged(&mut self, id: NodeId, damaged: bool) {
        self.node_mut(id).damaged = damaged;
    }

    /// Stops the clock that a node sees, as when its process is paused but still drains its
    /// sockets.
    pub fn stop_clock(&mut self, id: NodeId) {
        let now = self.now;
        self.say(format_args!("{id}'s clock stops"));
        self.node_mut(id).stopped_clock = Some(now);
    }

    /// Sets that clock right.
    pub fn start_clock(&mut self, id: NodeId) {
        self.node_mut(id).stopped_clock = None;
    }

    /// Lets nothing pass between `left` and everybody else, in either direction.
    pub fn isolate(&mut self, left: &[NodeId]) {
        self.say(format_args!("{left:?} cut off"));
        for a in self.ids() {
            for b in self.ids() {
                if left.contains(&a) != left.contains(&b) {
                    self.net.cut(a, b);
                }
            }
        }
    }

    /// Lets nothing that others send reach `id`.
    pub fn deafen(&mut self, id: NodeId) {
        self.say(format_args!("{id} hears nobody"));
        for other in self.ids() {
            self.net.cut(other, id);
        }
    }

    /// Lets nothing that `id` sends reach anybody.
    pub fn silence(&mut self, id: NodeId) {
        self.say(format_args!("nobody hears {id}"));
        for other in self.ids() {
            self.net.cut(id, other);
        }
    }

    /// Keeps back what `from` sends to `to`, on both channels.
    pub fn hold(&mut self, from: NodeId, to: NodeId) {
        self.net.hold(from, to, Channel::Control);
        self.net.hold(from, to, Channel::Bulk);
    }

    /// Lets what was kept back arrive, whether or not the link is cut by now.
    pub fn release(&mut self, from: NodeId, to: NodeId) {
        self.net.unhold(from, to, Channel::Control);
        self.net.unhold(from, to, Channel::Bulk);
        let held = std::mem::take(&mut self.held);
        for message in held {
            if (message.from, message.to) == (from, to) {
                let bytes = message.bytes;
                self.at(self.now + Micros(10), Event::Arrive { from, to, bytes });
            } else {
                self.held.push(message);
            }
        }
    }

    /// Loses what `from` has sent and nobody has received yet.
    pub fn lose_under_way(&mut self, from: NodeId) {
        let arrives = |event: &Event| matches!(event, Event::Arrive { from: f, .. } if *f == from);
        self.agenda.retain(|_, event| !arrives(event));
    }

    /// Sends bytes as if `from` had; those that are no message are dropped.
    pub fn forge(&mut self, from: NodeId, to: NodeId, bytes: Vec<u8>) -> bool {
        if rmp_serde::from_slice::<C::Message>(&bytes).is_err() {
            return false;
        }
        let at = self.now + Micros(self.random.between(10, 1_000));
        self.at(at, Event::Arrive { from, to, bytes });
        true
    }

    /// Undoes everything that was done to network, disks and clocks; what was kept back arrives.
    pub fn heal(&mut self) {
        self.say(format_args!("everything heals"));
        self.net.heal();
        self.disk_us = (300, 1_500);
        (self.fetch_most, self.fetch_corrupt) = (usize::MAX, None);
        for message in std::mem::take(&mut self.held) {
            let (from, to, bytes) = (message.from, message.to, message.bytes);
            self.at(self.now + Micros(10), Event::Arrive { from, to, bytes });
        }
        for id in self.ids() {
            self.start_clock(id);
            self.release_apply(id);
            if self.node(id).disk.hung {
                self.free_disk(id);
            }
        }
    }
}
