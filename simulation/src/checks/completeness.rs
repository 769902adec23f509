//! Leader completeness (Raft §5.4): what is committed stands in the log of every leader of a later
//! term. By log matching it is enough to look at the newest committed entry.

use consensus::{Epoch, NodeId};

use super::Verdict;
use super::picture::Picture;
use crate::node::id;
use crate::observed::Entry;

/// Who leads, as far as they know.
#[derive(Debug)]
pub(crate) struct Completeness {
    leads: Vec<Option<Epoch>>,
}

impl Completeness {
    pub(crate) fn new(nodes: usize) -> Self {
        Completeness {
            leads: vec![None; nodes],
        }
    }

    /// The reign in which a node leads, if it does.
    pub(crate) fn leads(&self, node: usize) -> Option<Epoch> {
        self.leads[node]
    }

    pub(crate) fn led(
        &mut self,
        picture: &Picture,
        node: usize,
        epoch: Epoch,
        leader: Option<NodeId>,
    ) -> Verdict {
        self.leads[node] = (leader == Some(id(node))).then_some(epoch);
        if self.leads[node].is_none() {
            return Ok(());
        }
        match picture.committed_at(picture.committed()) {
            Some(entry) if entry.at.epoch < epoch => holds(picture, node, epoch, entry),
            _ => Ok(()),
        }
    }

    /// An entry was committed for the first time.
    pub(crate) fn committed(&self, picture: &Picture, entry: Entry) -> Verdict {
        for (node, leads) in self.leads.iter().enumerate() {
            if let Some(epoch) = leads.filter(|epoch| *epoch > entry.at.epoch) {
                holds(picture, node, epoch, entry)?;
            }
        }
        Ok(())
    }

    pub(crate) fn stopped(&mut self, node: usize) {
        self.leads[node] = None;
    }
}

fn holds(picture: &Picture, node: usize, epoch: Epoch, entry: Entry) -> Verdict {
    let (log, index) = (picture.seen(node), entry.at.index.0);
    if index <= log.purged() || log.epoch(index) == Some(entry.at.epoch) {
        return Ok(());
    }
    let (node, at) = (id(node), entry.at);
    Err((
        "leader completeness",
        format!("{node} leads in term {epoch} without entry {at}, which is committed"),
    ))
}
