//! A quorum behind every commit: when an entry is first said to be committed, the disks of a
//! majority hold it. A disk that was damaged counts as one that held it: what it has lost since is
//! the fault's doing.

use consensus::majority;

use super::Verdict;
use super::picture::Picture;
use crate::node::id;
use crate::observed::Entry;

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
            "quorum behind every commit",
            format!(
                "{node} says that entry {at} is committed, and {holders} of {nodes} disks hold it"
            ),
        ))
    }
}
