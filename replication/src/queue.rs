//! Commands on their way into the log: in order of arrival, gathered into batches, each with who
//! waits for its replies.

use std::collections::VecDeque;

use consensus::{Micros, NodeId};

use crate::batch::{Batch, BatchBuilder};
use crate::machine::Millis;
use crate::message::ForwardId;

/// How long a batch that cannot be sent stays open for more: what is held longer than its time is
/// refused batch by batch, so this is also how exactly the time is kept.
const OPEN_FOR: Micros = Micros::from_millis(50);

/// Who waits for the replies of a batch, in the order of its commands.
#[derive(Clone, Debug)]
pub struct Waiting<T> {
    pub(crate) runs: Vec<Run<T>>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Waiting { runs: Vec::new() }
    }
}

/// Consecutive commands of a batch that came the same way.
#[derive(Clone, Debug)]
pub(crate) enum Run<T> {
    /// From clients of this node: one token each.
    Local(Vec<T>),
    /// Forwarded by a peer, `count` of them.
    Remote {
        peer: NodeId,
        id: ForwardId,
        count: u32,
    },
}

impl<T> Waiting<T> {
    pub(crate) fn push(&mut self, token: T) {
        match self.runs.last_mut() {
            Some(Run::Local(tokens)) => tokens.push(token),
            _ => self.runs.push(Run::Local(vec![token])),
        }
    }
}

/// A batch that is not in the log yet.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    pub(crate) builder: BatchBuilder,
    pub(crate) waiting: Waiting<T>,
    /// When its first command arrived.
    pub(crate) since: Micros,
}

/// The batches that wait, oldest first. Only the last one still takes commands.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    pending: VecDeque<Pending<T>>,
    max_batch_bytes: usize,
}

impl<T> Queue<T> {
    pub(crate) fn new(max_batch_bytes: usize) -> Self {
        Queue {
            pending: VecDeque::new(),
            max_batch_bytes,
        }
    }

    /// Adds a client's command.
    pub(crate) fn push(&mut self, now: Micros, token: T, command: &[u8]) {
        let open = self.open(now, command.len());
        open.builder.push(command);
        open.waiting.push(token);
    }

    /// Adds a batch that a peer forwarded.
    pub(crate) fn extend(&mut self, now: Micros, peer: NodeId, id: ForwardId, batch: &Batch) {
        let open = self.open(now, batch.bytes().len());
        open.builder.extend(batch);
        let count = batch.len();
        open.waiting.runs.push(Run::Remote { peer, id, count });
    }

    /// Puts a batch back where it came from: before everything else.
    pub(crate) fn push_front(&mut self, batch: &Batch, waiting: Waiting<T>, since: Micros) {
        let mut builder = BatchBuilder::default();
        builder.extend(batch);
        self.pending.push_front(Pending {
            builder,
            waiting,
            since,
        });
    }

    /// The oldest batch.
    pub(crate) fn front(&self) -> Option<&Pending<T>> {
        self.pending.front()
    }

    /// Takes the oldest batch.
    pub(crate) fn pop(&mut self) -> Option<Pending<T>> {
        self.pending.pop_front()
    }

    /// Whether the oldest batch takes no more commands.
    pub(crate) fn front_is_full(&self) -> bool {
        self.pending.len() > 1
            || self
                .front()
                .is_some_and(|front| front.builder.size() >= self.max_batch_bytes)
    }

    /// The size of everything that waits, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.pending.iter().map(|p| p.builder.size()).sum()
    }

    /// Takes out what peers forwarded, telling who and what: this node no longer leads in the
    /// epoch they named, and a forwarded command never travels on.
    pub(crate) fn expel_forwarded(&mut self) -> Vec<(NodeId, ForwardId)> {
        let mut expelled = Vec::new();
        for pending in &mut self.pending {
            let is_remote = |run: &Run<T>| matches!(run, Run::Remote { .. });
            if !pending.waiting.runs.iter().any(is_remote) {
                continue;
            }
            let batch = pending.builder.finish(Millis(0));
            let mut commands = batch.commands();
            for run in &pending.waiting.runs {
                match run {
                    Run::Local(tokens) => commands
                        .by_ref()
                        .take(tokens.len())
                        .for_each(|command| pending.builder.push(command)),
                    Run::Remote { peer, id, count } => {
                        expelled.push((*peer, *id));
                        commands.by_ref().take(*count as usize).for_each(drop);
                    }
                }
            }
            pending.waiting.runs.retain(|run| !is_remote(run));
        }
        self.pending
            .retain(|pending| !pending.waiting.runs.is_empty());
        expelled
    }

    fn open(&mut self, now: Micros, bytes: usize) -> &mut Pending<T> {
        let full = self.pending.back().is_none_or(|back| {
            (back.builder.size() + bytes > self.max_batch_bytes && !back.waiting.runs.is_empty())
                || now.since(back.since) > OPEN_FOR
        });
        if full {
            self.pending.push_back(Pending {
                builder: BatchBuilder::default(),
                waiting: Waiting::default(),
                since: now,
            });
        }
        let last = self.pending.len() - 1;
        &mut self.pending[last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(0);

    fn commands<T>(queue: &mut Queue<T>) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(mut pending) = queue.pop() {
            let batch = pending.builder.finish(Millis(0));
            all.extend(batch.commands().map(<[u8]>::to_vec));
        }
        all
    }

    #[test]
    fn a_batch_is_cut_at_its_size() {
        let mut queue = Queue::new(40);
        for token in 0..4 {
            queue.push(NOW, token, b"12345678");
        }
        assert_eq!(queue.pending.len(), 2);
        assert!(queue.front_is_full());
        queue.push(NOW, 4, &[0; 1_000]);
        assert_eq!(
            queue.pending.len(),
            3,
            "a larger command has a batch of its own"
        );
        assert_eq!(commands(&mut queue).len(), 5);
    }

    #[test]
    fn forwarded_commands_leave_and_own_ones_stay_in_order() {
        let mut other = BatchBuilder::default();
        other.push(b"x");
        other.push(b"y");
        let mut queue = Queue::new(1_000);
        queue.push(NOW, 1, b"a");
        queue.extend(NOW, NodeId(2), ForwardId(7), &other.finish(Millis(0)));
        queue.push(NOW, 2, b"b");
        assert_eq!(queue.expel_forwarded(), [(NodeId(2), ForwardId(7))]);
        assert_eq!(commands(&mut queue), [b"a", b"b"]);
    }
}
