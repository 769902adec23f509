//! Election safety (Raft §5.2): at most one leader in a reign.

use std::collections::HashMap;

use consensus::{Epoch, NodeId};

use super::Verdict;
use crate::node::id;

/// Who led when.
#[derive(Debug, Default)]
pub(crate) struct Elections {
    leaders: HashMap<Epoch, NodeId>,
}

impl Elections {
    pub(crate) fn led(&mut self, node: usize, epoch: Epoch, leader: NodeId) -> Verdict {
        let known = *self.leaders.entry(epoch).or_insert(leader);
        if known == leader {
            return Ok(());
        }
        let node = id(node);
        Err((
            "election safety",
            format!(
                "two leaders in term {epoch}: {known} led in it, and now {node} says that {leader} does"
            ),
        ))
    }
}
