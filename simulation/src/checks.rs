//! What must never happen, however the world behaves. One file per promise; this one hands each
//! of them what it needs, after every event.

pub(crate) mod acknowledged;
pub(crate) mod ballots;
pub(crate) mod completeness;
pub(crate) mod elections;
pub(crate) mod history;
pub mod linearizability;
pub(crate) mod matching;
pub(crate) mod picture;
pub(crate) mod progress;
pub(crate) mod quorum;
pub(crate) mod recovery;
pub(crate) mod sessions;
pub(crate) mod states;

use std::fmt;

use consensus::{Index, WriteSeq};
use storage::RecoveredLog;

use self::picture::Picture;
use crate::node::id;
use crate::observed::{Note, Written};
use crate::queue::Time;
use crate::subject::Ballot;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which checker says so.
    pub checker: &'static str,
    /// What happened, in a sentence.
    pub sentence: String,
    /// When it was noticed.
    pub at: Time,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.checker, self.at, self.sentence)
    }
}

/// What a checker says.
pub(crate) type Verdict = Result<(), (&'static str, String)>;

/// All checkers of the protocol and of the state behind it.
pub(crate) struct Checks {
    picture: Picture,
    elections: elections::Elections,
    matching: Option<matching::Matching>,
    completeness: completeness::Completeness,
    quorum: quorum::Quorum,
    ballots: ballots::Ballots,
    acknowledged: acknowledged::Acknowledged,
    states: states::States,
    pub(crate) sessions: sessions::Sessions,
}

impl Checks {
    pub(crate) fn new(nodes: usize, clients: usize, prefix_log: bool) -> Self {
        Checks {
            picture: Picture::new(nodes),
            elections: elections::Elections::default(),
            matching: prefix_log.then(matching::Matching::default),
            completeness: completeness::Completeness::new(nodes),
            quorum: quorum::Quorum,
            ballots: ballots::Ballots::new(nodes),
            acknowledged: acknowledged::Acknowledged::default(),
            states: states::States::default(),
            sessions: sessions::Sessions::new(clients),
        }
    }

    /// A node's protocol did something.
    pub(crate) fn noted(&mut self, node: usize, note: Note) -> Verdict {
        match note {
            Note::Wrote(seq, ops) => {
                for op in &ops {
                    if let (Written::Put(entry), Some(matching)) = (op, &mut self.matching) {
                        let before = self.picture.seen(node).epoch(entry.at.index.0 - 1);
                        matching.put(node, *entry, before)?;
                    }
                    self.picture.write(node, *op);
                }
                self.picture.issue(node, seq, ops);
                Ok(())
            }
            Note::Committed(entry) => {
                self.states.decided(node, entry)?;
                if self.picture.commit(entry) {
                    self.quorum.committed(&self.picture, node, entry)?;
                    if self.matching.is_some() {
                        // What it knew to be committed before its reign it may hand out later.
                        if let Some((epoch, known)) = self.completeness.leads(node)
                            && entry.at.index > known
                        {
                            let (picture, quorum) = (&self.picture, &self.quorum);
                            quorum.committed_by_leader(picture, node, epoch, entry)?;
                        }
                        self.completeness.committed(&self.picture, node, entry)?;
                    }
                }
                Ok(())
            }
            Note::Led(epoch, leader, committed) => {
                if let Some(leader) = leader {
                    self.elections.led(node, epoch, leader)?;
                }
                if self.matching.is_some() {
                    let reign = (leader == Some(id(node))).then_some((epoch, committed));
                    self.completeness.led(&self.picture, node, epoch, reign)?;
                }
                Ok(())
            }
            Note::Said(to, claim) => self.ballots.said(&self.picture, node, to, claim),
        }
    }

    /// A node's disk holds every write up to this one.
    pub(crate) fn durable(&mut self, node: usize, seq: WriteSeq) -> Verdict {
        let ballots = self.picture.harden(node, seq);
        self.ballots.durable(node, &ballots)
    }

    /// A node has started from what its disk holds.
    pub(crate) fn recovered(
        &mut self,
        node: usize,
        found: &RecoveredLog,
        ballot: Option<Ballot>,
    ) -> Verdict {
        recovery::check(&self.picture, node, found, ballot)?;
        let says = |position| self.matching.as_ref().and_then(|m| m.says(position));
        self.picture.recover(node, found, ballot, says);
        self.ballots.recovered(node, ballot);
        self.completeness.stopped(node);
        Ok(())
    }

    /// A node's process is gone.
    pub(crate) fn stopped(&mut self, node: usize) {
        self.completeness.stopped(node);
    }

    /// A node's disk may have lost what it held.
    pub(crate) fn damaged(&mut self, node: usize) {
        self.picture.damage(node);
    }

    /// A node's disk was replaced by an empty one.
    pub(crate) fn wiped(&mut self, node: usize) {
        self.picture.damage(node);
        self.picture.wipe(node);
    }

    /// A node has answered a command with what it did at an index.
    pub(crate) fn acknowledged(&mut self, node: usize, index: Index) -> Verdict {
        self.acknowledged.answered(&self.picture, node, index)
    }

    /// A process' state was at one index, and is at another.
    pub(crate) fn moved(&self, node: usize, from: Index, to: Index) -> Verdict {
        states::moved(node, from, to)
    }

    /// A node's state, after everything up to an index.
    pub(crate) fn state(&mut self, node: usize, applied: Index, digest: u64) -> Verdict {
        self.states.state(node, applied, digest)
    }

    /// The end: what was acknowledged must be in every state that is up to date.
    pub(crate) fn end(&self, node: usize, applied: Index) -> Verdict {
        self.acknowledged.end(node, applied)
    }

    /// How many entries were committed.
    pub(crate) fn committed(&self) -> u64 {
        self.picture.committed()
    }
}
