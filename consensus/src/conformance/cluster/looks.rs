//! What a case can see of the cluster. Nothing here changes it.

use super::super::ledger::{Answer, Asked};
use super::super::node::Node;
use super::Cluster;
use crate::{Consensus, Entry, Epoch, Index, NodeId, Payload, RequestId, Status};

impl<C: Consensus> Cluster<'_, C> {
    /// How a request was answered, if it was.
    #[must_use]
    pub fn answer(&self, request: RequestId) -> Option<Answer> {
        self.ledger.requests.get(&request)?.answer
    }

    /// Where a proposed batch is committed, if it is.
    #[must_use]
    pub fn committed_batch(&self, request: RequestId) -> Option<Index> {
        Some(self.ledger.batch_committed(request)?.index)
    }

    /// The last index that any node has ever seen committed.
    #[must_use]
    pub fn committed(&self) -> Index {
        self.ledger.committed()
    }

    /// The leader: of those who say that they lead, the one of the highest epoch.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        let leads = |node: &Node<C>| Some((node.leads()?, node.id));
        Some(self.nodes.values().filter_map(leads).max()?.1)
    }

    /// A running node that does not lead.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn follower(&self) -> NodeId {
        let leader = self.leader();
        match self.up().into_iter().find(|id| Some(*id) != leader) {
            Some(follower) => follower,
            None => self.fail("there is no follower"),
        }
    }

    /// The running nodes that do not lead.
    #[must_use]
    pub fn followers(&self) -> Vec<NodeId> {
        let leader = self.leader();
        let up = self.up().into_iter();
        up.filter(|id| Some(*id) != leader).collect()
    }

    /// The reign of the leader, if there is one.
    #[must_use]
    pub fn reign(&self) -> Option<(Epoch, NodeId)> {
        let leader = self.leader()?;
        Some((self.node(leader).leads()?, leader))
    }

    /// Whether a leader is known as such to a majority of the nodes.
    #[must_use]
    pub fn is_led(&self) -> bool {
        let Some((epoch, leader)) = self.reign() else {
            return false;
        };
        let knows = |node: &&Node<C>| node.leadership == Some((epoch, Some(leader)));
        let known = self.nodes.values().filter(|node| node.is_up());
        known.filter(knows).count() >= crate::majority(self.nodes.len())
    }

    /// What is committed at `index`, as far as anybody has seen.
    #[must_use]
    pub fn committed_entry(&self, index: Index) -> Option<&Entry> {
        self.ledger.committed_at(index)
    }

    /// Whether the batch of `request` stands in `id`'s log, durable or not.
    #[must_use]
    pub fn is_written(&self, id: NodeId, request: RequestId) -> bool {
        self.stands(request, self.node(id).disk.view.entries.values())
    }

    /// Whether the batch of `request` stands durably in `id`'s log.
    #[must_use]
    pub fn is_durable(&self, id: NodeId, request: RequestId) -> bool {
        self.stands(request, self.node(id).disk.durable.entries.values())
    }

    fn stands<'e>(
        &self,
        request: RequestId,
        log: impl DoubleEndedIterator<Item = &'e Entry>,
    ) -> bool {
        let Some(Asked::Propose(batch)) = self.ledger.requests.get(&request).map(|r| &r.asked)
        else {
            return false;
        };
        log.rev()
            .any(|entry| matches!(&entry.payload, Payload::Batch(b) if b == batch))
    }

    /// What a running node says of itself.
    #[must_use]
    pub fn status(&self, id: NodeId) -> Status {
        match &self.node(id).core {
            Some(core) => core.status(),
            None => self.fail(format_args!("{id} is down")),
        }
    }
}
