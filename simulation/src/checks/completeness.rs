//! Leader completeness (Raft §5.4): what is committed in a term stands in the log of every leader of a
//! later one. By log matching it is enough to look at the newest committed entry. It is committed in
//! the term of whoever first says so, or in an earlier one: an entry may lie about for terms before
//! (figure 8), and who led meanwhile need not have it.

use consensus::{Epoch, Index};

use super::Verdict;
use super::picture::Picture;
use crate::node::id;
use crate::observed::Entry;

/// Who leads, as far as they know.
#[derive(Debug)]
pub(crate) struct Completeness {
    leads: Vec<Option<Reign>>,
    /// The term that each node is in.
    terms: Vec<Epoch>,
    /// The newest committed entry, and the term in which that was first said.
    newest: Option<(Entry, Epoch)>,
}

/// A reign, and up to where its leader knew everything to be committed when it began.
type Reign = (Epoch, Index);

impl Completeness {
    pub(crate) fn new(nodes: usize) -> Self {
        Completeness {
            leads: vec![None; nodes],
            terms: vec![Epoch::ZERO; nodes],
            newest: None,
        }
    }

    /// The reign in which a node leads, if it does.
    pub(crate) fn leads(&self, node: usize) -> Option<Reign> {
        self.leads[node]
    }

    /// A node is in `term`, and perhaps leads it.
    pub(crate) fn led(
        &mut self,
        picture: &Picture,
        node: usize,
        term: Epoch,
        reign: Option<Reign>,
    ) -> Verdict {
        self.terms[node] = self.terms[node].max(term);
        self.leads[node] = reign;
        match (reign, self.newest) {
            (Some((epoch, _)), Some((entry, term))) if term < epoch => {
                holds(picture, node, epoch, entry)
            }
            _ => Ok(()),
        }
    }

    /// A node says that an entry is committed, and is the first to say so.
    pub(crate) fn committed(&mut self, picture: &Picture, by: usize, entry: Entry) -> Verdict {
        let term = self.terms[by].max(entry.at.epoch);
        if (self.newest).is_none_or(|(newest, _)| newest.at.index < entry.at.index) {
            self.newest = Some((entry, term));
        }
        for (node, leads) in self.leads.iter().enumerate() {
            if let Some((epoch, _)) = leads.filter(|(epoch, _)| *epoch > term) {
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
