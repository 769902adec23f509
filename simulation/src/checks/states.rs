//! State-machine safety (Raft §5.4.3): no two nodes decide differently at an index, and two states
//! at the same index are the same. And a running node's state never goes back.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use consensus::Index;

use super::Verdict;
use super::linearizability::Quick;
use crate::node::id;
use crate::observed::Entry;

/// A process' state was at one index, and is at another.
pub(crate) fn moved(node: usize, from: Index, to: Index) -> Verdict {
    if from <= to {
        return Ok(());
    }
    let node = id(node);
    let what = format!("{node} had applied everything up to {from}, and goes back to {to}");
    Err(("equal states", what))
}

/// What was decided, and what became of it.
#[derive(Debug, Default)]
pub(crate) struct States {
    /// (epoch and digest, who said so first), from index 1.
    decided: Vec<Option<(Entry, usize)>>,
    states: HashMap<Index, (u64, usize), BuildHasherDefault<Quick>>,
}

impl States {
    pub(crate) fn decided(&mut self, node: usize, entry: Entry) -> Verdict {
        let at = entry.at.index.0 as usize - 1;
        if self.decided.len() <= at {
            self.decided.resize(at + 1, None);
        }
        let known = self.decided[at].get_or_insert((entry, node));
        if known.0.says == entry.says {
            return Ok(());
        }
        let (first, second) = (id(known.1), id(node));
        let (one, other) = (known.0.at, entry.at);
        Err((
            "state-machine safety",
            format!(
                "{first} has committed {one}, and {second} has committed {other}, which says something else"
            ),
        ))
    }

    pub(crate) fn state(&mut self, node: usize, applied: Index, digest: u64) -> Verdict {
        let known = *self.states.entry(applied).or_insert((digest, node));
        if known.0 == digest {
            return Ok(());
        }
        let (first, second) = (id(known.1), id(node));
        Err((
            "equal states",
            format!(
                "{first} and {second} have applied everything up to {applied}, and their states differ"
            ),
        ))
    }
}
