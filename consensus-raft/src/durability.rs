//! What waits for which write.
//!
//! A write is named by its [`WriteSeq`], never by term and index: after a truncation the same
//! index is written again, maybe with the same term, and only the last write that touched it
//! makes it durable. Operations are staged while inputs are stepped and leave as one write with
//! the next drain; what they touch is booked under that write's name at once.
//!
//! The durable part of the log is a prefix: it ends before the lowest index that any unpersisted
//! write touches. That minimum over a queue is kept as a monotonic queue (as for the minimum of a
//! sliding window), so that booking and persisting cost O(1) amortised however many writes a slow
//! disk lets pile up.
//!
//! Invariants: `persisted < staged`; `touched` rises in both columns; `withheld` rises in its
//! first.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem::discriminant;

use consensus::{Index, LogOp, Micros, NodeId, WriteSeq};

use crate::message::Message;

/// The books.
#[derive(Debug)]
pub(crate) struct Durability {
    /// The name of the write that `ops` will leave as.
    staged: WriteSeq,
    ops: Vec<LogOp>,
    persisted: WriteSeq,
    /// (write, lowest index it touches) of those unpersisted writes that no later write undercuts.
    touched: VecDeque<(WriteSeq, Index)>,
    /// The last write that holds a hard state.
    hard_state: WriteSeq,
    withheld: VecDeque<(WriteSeq, NodeId, Message)>,
    /// When the disk last showed progress, or was last idle.
    progress_at: Micros,
}

impl Durability {
    pub(crate) fn new() -> Self {
        Durability {
            staged: WriteSeq(1),
            ops: Vec::new(),
            persisted: WriteSeq(0),
            touched: VecDeque::new(),
            hard_state: WriteSeq(0),
            withheld: VecDeque::new(),
            progress_at: Micros(0),
        }
    }

    /// Stages an operation for the next write.
    pub(crate) fn stage(&mut self, now: Micros, op: LogOp) {
        if !self.pending() {
            self.progress_at = now;
        }
        match &op {
            LogOp::HardState(_) => self.hard_state = self.staged,
            LogOp::Put(entry) => self.touch(entry.index),
            LogOp::TruncateFrom(from) => self.touch(*from),
            LogOp::PurgeTo(_) => {}
        }
        match (self.ops.last_mut(), op) {
            // Of two hard states in a row only the second would survive.
            (Some(last @ LogOp::HardState(_)), op @ LogOp::HardState(_)) => *last = op,
            (_, op) => self.ops.push(op),
        }
    }

    fn touch(&mut self, index: Index) {
        while self.touched.back().is_some_and(|(_, low)| *low > index) {
            self.touched.pop_back();
        }
        match self.touched.back_mut() {
            // A later write keeps the same index unpersisted for longer.
            Some((seq, low)) if *low == index => *seq = self.staged,
            Some((seq, _)) if *seq == self.staged => {}
            _ => self.touched.push_back((self.staged, index)),
        }
    }

    /// The write that is due, if any.
    pub(crate) fn take_write(&mut self) -> Option<(WriteSeq, Vec<LogOp>)> {
        if self.ops.is_empty() {
            return None;
        }
        let seq = self.staged;
        self.staged = WriteSeq(seq.0 + 1);
        Some((seq, core::mem::take(&mut self.ops)))
    }

    /// Books that every write up to `seq` is durable; false when that says nothing new, or speaks
    /// of a write that was never issued.
    pub(crate) fn persist(&mut self, now: Micros, seq: WriteSeq) -> bool {
        if seq <= self.persisted || seq >= self.staged {
            return false;
        }
        self.persisted = seq;
        self.progress_at = now;
        while self.touched.front().is_some_and(|(write, _)| *write <= seq) {
            self.touched.pop_front();
        }
        true
    }

    /// The last index of the durable prefix of a log that ends at `last`.
    pub(crate) fn durable(&self, last: Index) -> Index {
        match self.touched.front() {
            Some((_, low)) => last.min(low.prev()),
            None => last,
        }
    }

    /// Whether the term and the vote as they stand are durable.
    pub(crate) fn hard_state_durable(&self) -> bool {
        self.hard_state <= self.persisted
    }

    /// Keeps a message, as it is now, until the hard state is durable. It replaces an older one of
    /// its kind to the same peer, so that a disk that hangs does not let them pile up.
    pub(crate) fn withhold(&mut self, to: NodeId, message: Message) {
        let kind = discriminant(&message);
        self.withheld
            .retain(|(_, peer, older)| *peer != to || discriminant(older) != kind);
        self.withheld.push_back((self.hard_state, to, message));
    }

    /// The next withheld message that may leave.
    pub(crate) fn release(&mut self) -> Option<(NodeId, Message)> {
        let (seq, ..) = self.withheld.front()?;
        if *seq > self.persisted {
            return None;
        }
        self.withheld
            .pop_front()
            .map(|(_, to, message)| (to, message))
    }

    /// The clock starts: what was staged before is as old as this.
    pub(crate) const fn start(&mut self, now: Micros) {
        self.progress_at = now;
    }

    /// Whether anything is staged or under way.
    fn pending(&self) -> bool {
        !self.ops.is_empty() || self.persisted.0 + 1 < self.staged.0
    }

    /// When the disk counts as hung unless it shows progress before, given how long it may take.
    pub(crate) fn overdue_at(&self, patience: Micros) -> Option<Micros> {
        self.pending().then(|| self.progress_at + patience)
    }
}
