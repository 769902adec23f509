//! Handing out what is committed, and reading back what is no longer in memory.
//!
//! One fetch is under way per purpose: one for the commits this node has yet to hand out, one per
//! peer that is far behind. Commits are read back one stretch ahead of the one that is being
//! applied, and no further: a long replay must not end up in memory. An answer is taken in only if
//! it names the fetch that is waited for, and only entries whose epochs are the log's.
//!
//! A committed entry that cannot be read is damage: until it can be, the node commits nothing, does
//! not vote and does not lead. It tells its leader that it lacks the entry and gets it again, or a
//! snapshot; and it tries once per election timeout, since disks have been known to recover.
//!
//! A leader that cannot read what a peer needs, and has applied it itself, gives way to somebody
//! who can, once. If it is elected all the same nobody else could be, and it sends a snapshot.

use alloc::vec::Vec;

use consensus::{Entry, FetchId, Fetched, Index, NodeId, Output};

use crate::progress::Mode;
use crate::raft::{Raft, State};

impl Raft {
    /// Hands out everything committed that is in memory, or asks for what is not.
    pub(crate) fn deliver(&mut self) {
        let (from, to) = (self.delivered.next(), self.commit_index);
        let busy =
            self.commit_fetch.is_some() || self.retry_at.is_some() || self.installing.is_some();
        if from > to || busy || self.commit_blocked {
            return;
        }
        let cached = self.log.cached_from();
        if from < cached && self.applied < self.fetch_after {
            // Asked for when the state machine has come so far.
        } else if from < cached {
            let id = self.next_fetch();
            self.commit_fetch = Some(id);
            self.out.push_back(Output::Fetch {
                id,
                from,
                to: to.min(cached.prev()),
                max_bytes: self.config.max_append_bytes,
            });
        } else {
            // Shares the payloads with the cache.
            let entries: Vec<Entry> = self.log.cached(from, to).cloned().collect();
            self.delivered = to;
            self.out.push_back(Output::Commit(entries));
        }
    }

    pub(crate) fn on_retry_time(&mut self) {
        if self.retry_at.take_if(|at| self.now >= *at).is_some() {
            self.dirty = true;
        }
    }

    pub(crate) fn on_fetched(&mut self, id: FetchId, result: Fetched) {
        if self.commit_fetch == Some(id) {
            self.commit_fetch = None;
            self.deliver_fetched(result);
        } else if let Some((peer, from)) = self.take_peer_fetch(id) {
            let corrupt = !matches!(result, Fetched::Purged) && from > self.log.purged().index;
            let found = self.found(result, from, self.log.last().index);
            if !found.is_empty() {
                self.send_fetched(peer, found);
            } else if corrupt && self.corrupt.is_none() {
                self.corrupt = Some(from);
                self.become_follower();
            } else {
                self.send_snapshot(peer);
            }
        }
        self.dirty = true;
    }

    fn deliver_fetched(&mut self, result: Fetched) {
        let found = self.found(result, self.delivered.next(), self.commit_index);
        match found.last() {
            Some(last) => {
                self.unreadable = None;
                self.delivered = last.index;
                self.fetch_after = self.fetched_upto;
                self.fetched_upto = last.index;
                self.out.push_back(Output::Commit(found));
            }
            None => {
                let next = self.delivered.next();
                self.unreadable = Some(next);
                self.retry_at = Some(self.now + self.config.election_timeout);
                match &mut self.state {
                    State::Follower(following) => following.lacks(next),
                    State::Candidate(_) | State::Leader(_) => self.become_follower(),
                }
            }
        }
    }

    /// Of what was read, the consecutive entries from `from` to `to` that are the log's.
    fn found(&self, result: Fetched, from: Index, to: Index) -> Vec<Entry> {
        let Fetched::Entries(mut entries) = result else {
            return Vec::new();
        };
        let expected = (from.0..=to.0).map(Index);
        let good = entries.iter().zip(expected).take_while(|(entry, index)| {
            entry.index == *index && self.log.epoch(*index) == Some(entry.epoch)
        });
        let good = good.count();
        entries.truncate(good);
        entries
    }

    fn take_peer_fetch(&mut self, id: FetchId) -> Option<(NodeId, Index)> {
        let State::Leader(reign) = &mut self.state else {
            return None;
        };
        reign.peers.iter_mut().find_map(|(peer, progress)| {
            let (_, from) = progress.fetch.take_if(|(fetch, _)| *fetch == id)?;
            Some((*peer, from))
        })
    }

    /// The peer needs what is not, or cannot be read, in any log.
    pub(crate) fn send_snapshot(&mut self, to: NodeId) {
        if let State::Leader(reign) = &mut self.state
            && let Some(progress) = reign.peers.get_mut(&to)
            && progress.mode != (Mode::Snapshot { sending: true })
        {
            progress.mode = Mode::Snapshot { sending: true };
            self.out.push_back(Output::SendSnapshot { to });
        }
    }
}
