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

    /// Books that the write that is being staged touches the log from `index` on.
    pub(crate) fn touch(&mut self, index: Index) {
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

#[cfg(test)]
mod tests {
    use consensus::{Entry, Epoch, Payload};

    use super::*;

    fn put(index: u64) -> LogOp {
        LogOp::Put(Entry {
            index: Index(index),
            epoch: Epoch::term(1),
            payload: Payload::Blank,
        })
    }

    fn books(writes: &[&[LogOp]]) -> Durability {
        let mut books = Durability::new();
        for ops in writes {
            ops.iter().for_each(|op| books.stage(Micros(0), op.clone()));
            books.take_write();
        }
        books
    }

    fn durable_after(books: &mut Durability, persisted: u64) -> u64 {
        books.persist(Micros(0), WriteSeq(persisted));
        books.durable(Index(9)).0
    }

    #[test]
    fn the_durable_part_ends_before_the_lowest_unpersisted_index() {
        let mut books = books(&[&[put(8)], &[put(9)]]);
        assert_eq!(books.durable(Index(9)), Index(7));
        assert_eq!(durable_after(&mut books, 1), 8);
        assert_eq!(durable_after(&mut books, 2), 9);
    }

    #[test]
    fn one_report_covers_all_earlier_writes() {
        let mut books = books(&[&[put(7)], &[put(8)], &[put(9)]]);
        assert_eq!(durable_after(&mut books, 2), 8);
    }

    #[test]
    fn only_the_last_write_to_an_index_counts() {
        let truncate = LogOp::TruncateFrom(Index(8));
        let mut books = books(&[&[put(8)], &[put(9)], &[truncate, put(8)], &[put(9)]]);
        assert_eq!(durable_after(&mut books, 2), 7);
        assert_eq!(durable_after(&mut books, 3), 8);
        assert_eq!(durable_after(&mut books, 4), 9);
    }

    #[test]
    fn a_report_of_a_write_that_was_never_issued_is_not_believed() {
        let mut books = books(&[&[put(9)]]);
        books.stage(Micros(0), put(10));
        assert!(!books.persist(Micros(0), WriteSeq(2)));
        assert!(books.persist(Micros(0), WriteSeq(1)));
        assert!(!books.persist(Micros(0), WriteSeq(1)));
    }

    #[test]
    fn a_withheld_message_leaves_with_the_hard_state_it_waits_for() {
        let mut books = books(&[&[LogOp::HardState([1].as_slice().into())], &[put(1)]]);
        let message = Message::StaleTerm { term: 1 };
        assert!(!books.hard_state_durable());
        books.withhold(NodeId(2), message.clone());
        assert_eq!(books.release(), None);
        books.persist(Micros(0), WriteSeq(1));
        assert!(books.hard_state_durable());
        assert_eq!(books.release(), Some((NodeId(2), message)));
        assert_eq!(books.release(), None);
    }

    #[test]
    fn withheld_messages_do_not_pile_up() {
        let mut books = books(&[&[LogOp::HardState([1].as_slice().into())]]);
        for round in 0..100 {
            let message = Message::HeartbeatAck {
                term: 1,
                round,
                prev: Index(0),
                received: Index(0),
            };
            books.withhold(NodeId(2), message);
        }
        assert_eq!(books.withheld.len(), 1);
    }

    #[test]
    fn a_disk_is_overdue_when_it_shows_no_progress() {
        let mut books = Durability::new();
        assert_eq!(books.overdue_at(Micros(10)), None);
        books.stage(Micros(5), put(1));
        books.take_write();
        books.stage(Micros(9), put(2));
        books.take_write();
        assert_eq!(books.overdue_at(Micros(10)), Some(Micros(15)));
        books.persist(Micros(12), WriteSeq(1));
        assert_eq!(books.overdue_at(Micros(10)), Some(Micros(22)));
        books.persist(Micros(13), WriteSeq(2));
        assert_eq!(books.overdue_at(Micros(10)), None);
    }
}
