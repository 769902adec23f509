//! What happened: a digest of every event, always; and for people, when they want it, a line for
//! each, and what the timeline is drawn from.

use std::fmt::Write as _;

use crate::digest::Digest;
use crate::queue::Time;

/// The record of a run.
#[derive(Debug, Default)]
pub struct Trace {
    digest: Digest,
    /// Whether anything besides the digest is kept.
    pub(crate) on: bool,
    /// Whether lines are printed as they come.
    pub(crate) print: bool,
    /// From when on.
    pub(crate) from: Time,
    /// What was seen, in order.
    pub(crate) records: Vec<Record>,
}

/// Something that a timeline shows.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// A message has arrived.
    Arrow {
        from: usize,
        to: usize,
        sent: Time,
        arrived: Time,
        label: String,
    },
    /// A fault strikes; until when, if that is known, and whom, if it is about one node.
    Fault {
        at: Time,
        until: Option<Time>,
        node: Option<usize>,
        label: String,
    },
    /// A process starts or ends.
    Process { at: Time, node: usize, runs: bool },
    /// A node leads, or no longer does.
    Leads {
        at: Time,
        node: usize,
        term: Option<u64>,
    },
    /// A node has committed up to here.
    Commit { at: Time, node: usize, index: u64 },
    /// A client calls or is answered, at a node.
    Client {
        at: Time,
        node: usize,
        label: String,
    },
    /// What was found.
    Finding { at: Time, label: String },
}

impl Trace {
    /// What a checker said ends the record.
    pub(crate) fn finding(&mut self, at: Time, label: String) {
        self.push(Record::Finding { at, label });
    }

    /// Adds to the digest.
    pub(crate) fn add(&mut self, at: Time, tag: u64, what: u64) {
        self.digest.add(at.0 ^ (tag << 56));
        self.digest.add(what);
    }

    /// Two runs with the same digest were the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.0
    }

    /// Adds a line; `text` is only made if somebody wants it.
    pub(crate) fn line(&mut self, at: Time, node: Option<usize>, text: impl FnOnce() -> String) {
        if !self.print || at < self.from {
            return;
        }
        let mut line = format!("{at}  ");
        match node {
            Some(node) => write!(line, "n{}  ", node + 1),
            None => write!(line, "--  "),
        }
        .unwrap_or_default();
        line.push_str(&text());
        println!("{line}");
    }

    pub(crate) fn push(&mut self, record: Record) {
        if self.on {
            self.records.push(record);
        }
    }
}
