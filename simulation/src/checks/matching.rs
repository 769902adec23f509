//! Log matching (Raft §5.3): where two logs hold an entry of the same index and term, they are the
//! same up to there. By induction it is enough that the entries say the same and stand behind
//! entries of the same term.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use consensus::{Epoch, Position};

use super::Verdict;
use super::linearizability::Quick;
use crate::node::id;
use crate::observed::Entry;

/// Every entry that ever stood in a log.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    entries: HashMap<Position, (u64, Option<Epoch>), BuildHasherDefault<Quick>>,
}

impl Matching {
    pub(crate) fn put(&mut self, node: usize, entry: Entry, before: Option<Epoch>) -> Verdict {
        let known = *self.entries.entry(entry.at).or_insert((entry.says, before));
        if known == (entry.says, before) {
            return Ok(());
        }
        let (node, at) = (id(node), entry.at);
        let what = if known.0 == entry.says {
            "stands behind an entry of another term than in another log"
        } else {
            "says something else than in another log"
        };
        Err((
            "log matching",
            format!("entry {at} in the log of {node} {what}"),
        ))
    }

    /// What the entry of that name says.
    pub(crate) fn says(&self, at: Position) -> Option<u64> {
        self.entries.get(&at).map(|(says, _)| *says)
    }
}
