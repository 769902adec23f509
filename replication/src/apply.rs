//! What is committed and waits to be applied: handed out in slices, one per turn.
//!
//! A node that has been away, or whose state machine starts empty, may have millions of commands to
//! replay. Applied in one go they would keep it from its peers' heartbeats for seconds, and it
//! would stand for election, and win. So a turn applies about as much as takes a millisecond or
//! two, and the next turn is due at once.
//!
//! Invariant: entries leave in the order in which they came, each whole.

use std::collections::VecDeque;

use consensus::Payload;

use crate::action::Committed;
use crate::batch::Batch;
use crate::config::Config;
use crate::queue::Waiting;

/// Committed entries, and what this turn may still take of them.
#[derive(Debug)]
pub(crate) struct Backlog<T> {
    entries: VecDeque<Committed<T>>,
    /// What the entries weigh.
    bytes: usize,
    commands_left: usize,
    bytes_left: usize,
}

impl<T> Default for Backlog<T> {
    fn default() -> Self {
        Backlog {
            entries: VecDeque::new(),
            bytes: 0,
            commands_left: 0,
            bytes_left: 0,
        }
    }
}

impl<T> Backlog<T> {
    pub(crate) fn push(&mut self, committed: Committed<T>) {
        self.bytes += committed.entry.size();
        self.entries.push_back(committed);
    }

    /// What waits to be applied weighs, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A turn begins, in which nothing is applied if the state machine is `busy`.
    pub(crate) fn begin_turn(&mut self, config: &Config, busy: bool) {
        self.commands_left = if busy { 0 } else { config.apply_slice_commands };
        self.bytes_left = config.apply_slice_bytes;
    }

    /// The next entries to apply; empty when there are none or this turn has had its share.
    pub(crate) fn take(&mut self) -> Vec<Committed<T>> {
        let mut slice = Vec::new();
        while self.commands_left > 0
            && self.bytes_left > 0
            && let Some(next) = self.entries.pop_front()
        {
            let (commands, bytes) = cost(&next);
            self.bytes -= bytes;
            self.commands_left = self.commands_left.saturating_sub(commands);
            self.bytes_left = self.bytes_left.saturating_sub(bytes);
            slice.push(next);
        }
        slice
    }

    /// Gives back what was taken and not applied: this turn has had its share.
    pub(crate) fn put_back(&mut self, rest: impl DoubleEndedIterator<Item = Committed<T>>) {
        for committed in rest.rev() {
            self.bytes += committed.entry.size();
            self.entries.push_front(committed);
        }
        self.commands_left = 0;
    }

    /// Drops everything, and says who waited for it.
    pub(crate) fn clear(&mut self) -> Vec<Waiting<T>> {
        self.bytes = 0;
        let entries = self.entries.drain(..);
        entries.filter_map(|committed| committed.waiting).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What applying an entry costs, in commands and bytes. An entry without commands counts as one.
fn cost<T>(committed: &Committed<T>) -> (usize, usize) {
    let commands = match &committed.entry.payload {
        Payload::Batch(bytes) => Batch::count_in(bytes) as usize,
        Payload::Blank | Payload::Membership(_) => 0,
    };
    (commands.max(1), committed.entry.size())
}
