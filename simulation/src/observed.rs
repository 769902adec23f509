//! A protocol that is looked at: it does what the one inside does, and notes what went out.

use std::cell::RefCell;
use std::rc::Rc;

use consensus::{
    Consensus, Epoch, Index, Input, LogOp, Micros, NodeId, Output, Payload, Position, Recovered,
    Status, WriteSeq,
};

use crate::digest;
use crate::subject::{Ballot, Claim};

/// What a protocol has done.
#[derive(Debug)]
pub(crate) enum Note {
    /// It wants this written.
    Wrote(WriteSeq, Vec<Written>),
    /// It has decided this entry.
    Committed(Entry),
    /// It says who leads, and knows that everything up to there is committed.
    Led(Epoch, Option<NodeId>, Index),
    /// It tells somebody.
    Said(NodeId, Claim),
}

/// An entry's name and a digest of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: Position,
    pub(crate) says: u64,
}

/// An operation on the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The reign and the vote, if the subject can tell.
    Ballot(Option<Ballot>),
    Put(Entry),
    TruncateFrom(u64),
    PurgeTo(Position),
}

/// What is noted, in order, until the world takes it.
pub(crate) type Notes = Rc<RefCell<Vec<Note>>>;

/// The protocol with its notebook.
pub(crate) struct Observed<C: Consensus> {
    core: C,
    notes: Notes,
    reader: Reader<C::Message>,
}

/// How a subject's messages and hard state are read.
pub(crate) struct Reader<M> {
    pub(crate) claim: fn(&M) -> Claim,
    pub(crate) ballot: fn(&[u8]) -> Option<Ballot>,
}

impl<C: Consensus> Observed<C> {
    pub(crate) fn new(core: C, notes: Notes, reader: Reader<C::Message>) -> Self {
        Observed {
            core,
            notes,
            reader,
        }
    }

    /// The protocol itself.
    pub(crate) fn inside(&self) -> &C {
        &self.core
    }

    fn written(&self, op: &LogOp) -> Written {
        match op {
            LogOp::HardState(bytes) => Written::Ballot((self.reader.ballot)(bytes)),
            LogOp::Put(entry) => Written::Put(note(entry)),
            LogOp::TruncateFrom(index) => Written::TruncateFrom(index.0),
            LogOp::PurgeTo(position) => Written::PurgeTo(*position),
        }
    }
}

pub(crate) fn note(entry: &consensus::Entry) -> Entry {
    let says = match &entry.payload {
        Payload::Blank => 1,
        Payload::Batch(bytes) => digest::bytes(bytes),
        Payload::Membership(members) => 2 + members.voters.len() as u64,
    };
    Entry {
        at: entry.position(),
        says,
    }
}

impl<C: Consensus> Consensus for Observed<C> {
    type Config = C::Config;
    type Message = C::Message;

    fn new(_: C::Config, _: u64, _: Recovered) -> Self {
        unreachable!("the world makes the protocol and hands it in")
    }

    fn step(&mut self, now: Micros, input: Input<C::Message>) {
        self.core.step(now, input);
    }

    fn poll(&mut self) -> Option<Output<C::Message>> {
        let output = self.core.poll()?;
        let mut notes = self.notes.borrow_mut();
        match &output {
            Output::Send { to, message } => {
                let claim = (self.reader.claim)(message);
                if claim != Claim::default() {
                    notes.push(Note::Said(*to, claim));
                }
            }
            Output::Write { seq, ops } => {
                let written = ops.iter().map(|op| self.written(op)).collect();
                notes.push(Note::Wrote(*seq, written));
            }
            Output::Commit(entries) => {
                notes.extend(entries.iter().map(|entry| Note::Committed(note(entry))));
            }
            Output::Leadership { epoch, leader } => {
                let committed = self.core.status().committed;
                notes.push(Note::Led(*epoch, *leader, committed));
            }
            _ => {}
        }
        Some(output)
    }

    fn deadline(&self) -> Option<Micros> {
        self.core.deadline()
    }

    fn status(&self) -> Status {
        self.core.status()
    }
}
