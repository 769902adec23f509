//! A quorum behind every commit: when an entry is first said to be committed, the disks of a
//! majority hold it. A disk that was damaged counts as one that held it: what it has lost since is
//! the fault's doing.

use consensus::{Epoch, majority};

use super::Verdict;
use super::picture::Picture;
use crate::node::id;
use crate::observed::Entry;

const CHECKER: &str = "quorum behind every commit";

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Quorum;

impl Quorum {
    pub(crate) fn committed(&self, picture: &Picture, node: usize, entry: Entry) -> Verdict {
        let (index, nodes) = (entry.at.index.0, picture.nodes());
        let holds = |node: &usize| {
            let log = picture.durable(*node);
            picture.is_damaged(*node)
                || index <= log.purged()
                || log.epoch(index) == Some(entry.at.epoch)
        };
        let holders = (0..nodes).filter(holds).count();
        if holders >= majority(nodes) {
            return Ok(());
        }
        let (node, at) = (id(node), entry.at);
        Err((
            CHECKER,
            format!(
                "{node} says that entry {at} is committed, and {holders} of {nodes} disks hold it"
            ),
        ))
    }

    /// Figure 8 of the Raft paper: a leader of `epoch` may say that an entry of an earlier term is
    /// committed only once a majority holds one of its own.
    pub(crate) fn committed_by_leader(
        &self,
        picture: &Picture,
        node: usize,
        epoch: Epoch,
        entry: Entry,
    ) -> Verdict {
        let nodes = picture.nodes();
        let holds = |node: &usize| {
            picture.is_damaged(*node) || picture.durable(*node).last_epoch() >= epoch
        };
        if entry.at.epoch == epoch || (0..nodes).filter(holds).count() >= majority(nodes) {
            return Ok(());
        }
        let (node, at) = (id(node), entry.at);
        Err((
            CHECKER,
            format!(
                "{node} leads in term {epoch} and commits entry {at} before a majority holds an \
                 entry of its own term"
            ),
        ))
    }
}
