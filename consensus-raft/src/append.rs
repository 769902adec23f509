//! Appends: how entries reach the peers (§5.3).
//!
//! Entries leave in the drain in which they are proposed, in parallel with the leader's own write
//! (thesis §10.2.1); a leader's term is durable since before it was elected. Each drain sends a
//! peer what it lacks, as far as its window allows: from memory, or, for a peer that is far behind,
//! read back from the log, one fetch at a time.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use consensus::{Entry, FetchId, Index, Micros, NodeId, Output, Position};

use crate::log::Log;
use crate::message::Message;
use crate::progress::{Mode, Progress};
use crate::raft::{Raft, State};

impl Raft {
    /// Sends every peer what it lacks.
    pub(crate) fn send_appends(&mut self) {
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        let (last, purged) = (self.log.last().index, self.log.purged().index);
        let cached = self.log.cached_from();
        for (to, progress) in &mut reign.peers {
            while progress.next_index <= last && progress.may_send(&self.config) {
                let next = progress.next_index;
                if next <= purged {
                    progress.mode = Mode::Snapshot { sending: true };
                    self.out.push_back(Output::SendSnapshot { to: *to });
                } else if next >= cached {
                    let entries = self.log.batch(next, self.config.max_append_bytes);
                    Append::new(&self.log, self.hard.term, self.commit_index, entries).send(
                        self.now,
                        &mut self.out,
                        *to,
                        progress,
                    );
                } else {
                    if progress.fetch.is_none() {
                        self.fetches += 1;
                        let id = FetchId(self.fetches);
                        progress.fetch = Some((id, next));
                        self.out.push_back(Output::Fetch {
                            id,
                            from: next,
                            to: cached.prev(),
                            max_bytes: self.config.max_append_bytes,
                        });
                    }
                    break;
                }
            }
        }
    }

    /// Sends entries that were read back for a peer, if they are still what it needs next.
    pub(crate) fn send_fetched(&mut self, to: NodeId, entries: Vec<Entry>) {
        let State::Leader(reign) = &mut self.state else {
            return;
        };
        let purged = self.log.purged().index;
        let first = entries.first().map(|entry| entry.index);
        if let Some(progress) = reign.peers.get_mut(&to)
            && first == Some(progress.next_index)
            && progress.next_index > purged
            && progress.may_send(&self.config)
        {
            Append::new(&self.log, self.hard.term, self.commit_index, entries).send(
                self.now,
                &mut self.out,
                to,
                progress,
            );
        }
    }
}

/// The append of `entries`, of which there is at least one, as far as the leader decides it.
struct Append {
    message: Message,
    commit: Index,
    end: Index,
    bytes: usize,
}

impl Append {
    fn new(log: &Log, term: u64, commit: Index, entries: Vec<Entry>) -> Self {
        let index = entries
            .first()
            .map_or(Index::ZERO, |first| first.index.prev());
        let epoch = log.epoch(index);
        assert!(epoch.is_some(), "appending after {index}, which is unknown");
        let prev = Position {
            index,
            epoch: epoch.unwrap_or_default(),
        };
        Append {
            end: Index(index.0 + entries.len() as u64),
            bytes: entries.iter().map(Entry::size).sum(),
            commit,
            message: Message::Append {
                term,
                prev,
                entries,
                commit,
            },
        }
    }

    /// Books it and sends it. The commit index rides along.
    fn send(
        self,
        now: Micros,
        out: &mut VecDeque<Output<Message>>,
        to: NodeId,
        peer: &mut Progress,
    ) {
        peer.sent(now, self.end, self.bytes);
        peer.commit_sent = self.commit;
        let message = self.message;
        out.push_back(Output::Send { to, message });
    }
}
