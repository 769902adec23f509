//! What the cluster is asked, and what its users expect of it.

use bytes::Bytes;

use super::super::ledger::{Answer, Asked};
use super::Cluster;
use crate::{Change, Consensus, Index, Input, Micros, NodeId, ReadMode, RequestId};

/// How long anything may take that must happen at last.
pub const LIMIT: Micros = Micros(60_000_000);

impl<C: Consensus> Cluster<'_, C> {
    /// Proposes a small batch on `id`.
    pub fn propose(&mut self, id: NodeId) -> RequestId {
        self.propose_sized(id, 0)
    }

    /// Proposes a batch of at least `size` bytes on `id`. No two batches are the same.
    pub fn propose_sized(&mut self, id: NodeId, size: usize) -> RequestId {
        let mut batch = format!("batch {} ", self.ledger.requests.len() + 1).into_bytes();
        batch.resize(batch.len().max(size), b'.');
        let batch = Bytes::from(batch);
        let asked = Asked::Propose(batch.clone());
        let request = self.ask(id, asked);
        self.step(id, Input::Propose { request, batch });
        request
    }

    /// Reads on `id`.
    pub fn read(&mut self, id: NodeId, mode: ReadMode) -> RequestId {
        let floor = self.ledger.committed();
        let request = self.ask(id, Asked::Read { mode, floor });
        self.step(id, Input::Read { request, mode });
        request
    }

    /// Asks `id` for the membership there is already.
    pub fn reconfigure(&mut self, id: NodeId) -> RequestId {
        let request = self.ask(id, Asked::Reconfigure);
        let change = Change::Members(self.membership.clone());
        self.step(id, Input::Reconfigure { request, change });
        request
    }

    fn ask(&mut self, id: NodeId, asked: Asked) -> RequestId {
        let node = self.node(id);
        self.check(
            node.is_up(),
            format_args!("the case asks {id}, but it is down"),
        );
        let life = node.this_life();
        let what = match &asked {
            Asked::Propose(_) => "asked to propose",
            Asked::Read { .. } => "asked to read",
            Asked::Reconfigure => "asked to reconfigure",
        };
        let request = self.ledger.ask(life, asked);
        self.say(format_args!("{id} is {what} ({request:?})"));
        request
    }

    /// Waits until a majority follows a leader.
    pub fn elect(&mut self) -> NodeId {
        let led = self.run_until(LIMIT, Self::is_led);
        match self.leader() {
            Some(leader) if led => leader,
            _ => self.fail("no leader in a minute, though a majority is up and connected"),
        }
    }

    /// Proposes `count` batches, and again whatever a change of leader costs, until that many are
    /// committed. Returns the last index committed.
    pub fn commit(&mut self, count: usize) -> Index {
        let until = self.now + LIMIT;
        let mut open = Vec::new();
        let mut left = count;
        while left > 0 {
            let leader = self.elect();
            while open.len() < left {
                open.push(self.propose(leader));
            }
            let done = |cluster: &Self| {
                let settled = |request: &RequestId| cluster.is_settled(*request);
                cluster.leader() != Some(leader) || open.iter().all(settled)
            };
            self.run_until(Micros::from_millis(5_000), done);
            left -= open
                .iter()
                .filter(|request| self.committed_batch(**request).is_some())
                .count();
            open.clear();
            // Whoever says Busy needs time, not more requests.
            self.run_for(Micros::from_millis(1));
            if self.now > until {
                self.fail("nothing is committed in a minute, though a majority is connected");
            }
        }
        self.committed()
    }

    fn is_settled(&self, request: RequestId) -> bool {
        matches!(self.answer(request), Some(Answer::Refused(_)))
            || self.committed_batch(request).is_some()
    }

    /// Waits until every running node has applied all that is committed.
    pub fn settle(&mut self) {
        let level = |cluster: &Self| {
            let committed = cluster.committed();
            let mut running = cluster.nodes.values().filter(|node| node.is_up());
            running.all(|node| node.applied.index == committed)
        };
        if !self.run_until(LIMIT, level) {
            let behind = |node: &super::Node<C>| format!("{} at {}", node.id, node.applied);
            let nodes: Vec<String> = self.nodes.values().map(behind).collect();
            self.fail(format_args!(
                "after a minute not everybody has applied {}: {}",
                self.committed(),
                nodes.join(", ")
            ));
        }
    }

    /// Heals everything, starts everybody, and expects what a healthy cluster owes: a leader,
    /// progress, agreement, nothing lost, and an answer to every request.
    pub fn converge(&mut self) {
        self.heal();
        self.start_all();
        self.elect();
        self.commit(1);
        self.settle();
        self.all_answered();
    }

    /// Expects that every request whose node has not crashed since is answered.
    pub fn all_answered(&mut self) {
        let open = |cluster: &Self| {
            let lives = |life: (NodeId, u32)| cluster.lives(life.0, life.1);
            let mut requests = cluster.ledger.requests.iter();
            requests
                .find(|(_, asked)| asked.answer.is_none() && lives(asked.life))
                .map(|(request, asked)| (*request, asked.life.0))
        };
        if !self.run_until(LIMIT, |cluster| open(cluster).is_none())
            && let Some((request, node)) = open(self)
        {
            self.fail(format_args!("{node} never answers {request:?}"));
        }
    }
}
