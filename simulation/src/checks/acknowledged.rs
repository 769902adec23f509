//! Acknowledged writes are still there: what a client was told stands in the committed log, and in
//! every state at the end.

use consensus::Index;

use super::Verdict;
use super::picture::Picture;
use crate::node::id;

/// The highest index that a client was told of.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged {
    highest: Index,
}

impl Acknowledged {
    pub(crate) fn answered(&mut self, picture: &Picture, node: usize, index: Index) -> Verdict {
        self.highest = self.highest.max(index);
        if picture.committed_at(index.0).is_some() {
            return Ok(());
        }
        let node = id(node);
        Err((
            "acknowledged writes",
            format!("{node} answers a write at index {index}, which nobody has committed"),
        ))
    }

    pub(crate) fn end(&self, node: usize, applied: Index) -> Verdict {
        if applied >= self.highest {
            return Ok(());
        }
        let (node, highest) = (id(node), self.highest);
        Err((
            "acknowledged writes",
            format!(
                "a write at index {highest} was acknowledged, and at the end {node} has applied \
                 everything up to {applied} and nothing more"
            ),
        ))
    }
}
