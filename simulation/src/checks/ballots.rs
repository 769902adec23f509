//! Durable before used: a message asserts nothing of its sender that the sender's disk does not
//! hold. And no node votes for two in one term, whatever happens to it in between.

use std::collections::HashMap;

use consensus::NodeId;

use super::Verdict;
use super::picture::Picture;
use crate::node::id;
use crate::subject::{Ballot, Claim, Vote};

const CHECKER: &str = "durable before used";

/// What each node has voted for, by what its disk has ever held and by what it has said.
#[derive(Debug)]
pub(crate) struct Ballots {
    votes: Vec<HashMap<u64, NodeId>>,
    /// The term that each disk holds.
    terms: Vec<u64>,
}

impl Ballots {
    pub(crate) fn new(nodes: usize) -> Self {
        Ballots {
            votes: vec![HashMap::new(); nodes],
            terms: vec![0; nodes],
        }
    }

    pub(crate) fn durable(&mut self, node: usize, ballots: &[Ballot]) -> Verdict {
        for (term, vote) in ballots {
            self.terms[node] = self.terms[node].max(*term);
            if let Some(vote) = vote {
                self.vote(node, *term, *vote)?;
            }
        }
        Ok(())
    }

    fn vote(&mut self, node: usize, term: u64, vote: NodeId) -> Verdict {
        let known = *self.votes[node].entry(term).or_insert(vote);
        if known == vote {
            return Ok(());
        }
        let node = id(node);
        let what = format!("{node} voted for {known} in term {term}, and then for {vote}");
        Err(("one vote per term", what))
    }

    /// A node starts from what it found: what was under way may have become durable.
    pub(crate) fn recovered(&mut self, node: usize, ballot: Option<Ballot>) {
        if let Some((term, vote)) = ballot {
            self.terms[node] = self.terms[node].max(term);
            if let Some(vote) = vote {
                self.votes[node].entry(term).or_insert(vote);
            }
        }
    }

    pub(crate) fn said(
        &mut self,
        picture: &Picture,
        node: usize,
        to: NodeId,
        claim: Claim,
    ) -> Verdict {
        let from = id(node);
        if let Some(epoch) = claim.epoch.filter(|epoch| *epoch > self.terms[node]) {
            let known = self.terms[node];
            let what = format!("{from} speaks in term {epoch}, and its disk knows of {known}");
            return Err((CHECKER, what));
        }
        if let Some((term, vote)) = claim.vote {
            let whom = match vote {
                Vote::Sender => from,
                Vote::Receiver => to,
            };
            // Where the disk holds a later term, no other vote can follow in this one, and the
            // vote itself need not be there.
            let settled = self.terms[node] > term;
            if !settled && self.votes[node].get(&term) != Some(&whom) {
                let what = format!(
                    "{from} says that it votes for {whom} in term {term}, and its disk does not"
                );
                return Err((CHECKER, what));
            }
            self.vote(node, term, whom)?;
        }
        match claim.holds {
            Some(index) if !picture.durable(node).reaches(index.0) => {
                let held = picture.durable(node).last();
                let what = format!(
                    "{from} acknowledges everything up to {index}, and its disk ends at {held}"
                );
                Err((CHECKER, what))
            }
            // The same entry that the log shows, not one that was truncated and written anew.
            Some(index)
                if (picture.durable(node).epoch(index.0))
                    .zip(picture.seen(node).epoch(index.0))
                    .is_some_and(|(holds, shows)| holds != shows) =>
            {
                let what = format!(
                    "{from} acknowledges everything up to {index}, and its disk holds another \
                     entry there"
                );
                Err((CHECKER, what))
            }
            _ => Ok(()),
        }
    }
}
