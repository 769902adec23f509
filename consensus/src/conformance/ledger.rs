//! What the whole cluster has ever shown to the outside, and what it therefore must not show any
//! more. Nothing here knows a protocol.
//!
//! The ledger survives every crash. It checks, as things happen:
//!
//! * an epoch has one leader: one node in one life, since a restarted node that leads the same
//!   epoch again could fill it with other entries;
//! * a position (index and epoch) names one entry, for ever;
//! * what is committed at an index is the same on all nodes and never changes;
//! * a batch is committed only if somebody proposed it, once, where it was accepted, and never
//!   after it was refused;
//! * a request is answered once, and with an answer of its kind;
//! * a read's index covers everything that was committed anywhere when the read was issued.
//!
//! Each check returns what is wrong as a sentence; the cluster adds the trace and panics.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Done, Entry, Epoch, Index, NodeId, Payload, Position, ReadMode, Refusal, RequestId};

/// What is wrong, in words.
pub(super) type Checked = Result<(), String>;

/// One of a node's lives: each restart begins another.
pub(super) type Life = (NodeId, u32);

/// What was asked for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Propose(Bytes),
    Read { mode: ReadMode, floor: Index },
    Reconfigure,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A batch or change has this position in its leader's log.
    Accepted(Position),
    /// It was not taken in.
    Refused(Refusal),
    /// A read may be served once everything up to here is applied.
    Ready(Index),
}

pub(super) struct Request {
    pub(super) life: Life,
    pub(super) asked: Asked,
    pub(super) answer: Option<Answer>,
}

#[derive(Default)]
pub(super) struct Ledger {
    leaders: BTreeMap<Epoch, Life>,
    named: BTreeMap<Epoch, (NodeId, NodeId)>,
    entries: BTreeMap<Position, Payload>,
    committed: BTreeMap<Index, Entry>,
    batches: BTreeMap<Bytes, RequestId>,
    batch_committed: BTreeMap<RequestId, Position>,
    accepted: BTreeMap<Position, RequestId>,
    pub(super) requests: BTreeMap<RequestId, Request>,
}

impl Ledger {
    pub(super) fn ask(&mut self, life: Life, asked: Asked) -> RequestId {
        let request = RequestId(self.requests.len() as u64 + 1);
        if let Asked::Propose(batch) = &asked {
            self.batches.insert(batch.clone(), request);
        }
        let answer = None;
        let asked = Request {
            life,
            asked,
            answer,
        };
        self.requests.insert(request, asked);
        request
    }

    /// The last index that anybody has seen committed.
    pub(super) fn committed(&self) -> Index {
        let last = self.committed.keys().next_back();
        last.copied().unwrap_or_default()
    }

    pub(super) fn committed_at(&self, index: Index) -> Option<&Entry> {
        self.committed.get(&index)
    }

    pub(super) fn committed_from(&self, from: Index) -> impl Iterator<Item = &Entry> {
        self.committed.range(from..).map(|(_, entry)| entry)
    }

    pub(super) fn batch_committed(&self, request: RequestId) -> Option<Position> {
        self.batch_committed.get(&request).copied()
    }

    pub(super) fn leads(&mut self, life: Life, epoch: Epoch) -> Checked {
        let first = *self.leaders.entry(epoch).or_insert(life);
        check(first == life, || {
            format!(
                "epoch {epoch} has two leaders: {} (life {}) and {} (life {})",
                first.0, first.1, life.0, life.1
            )
        })?;
        self.names(life.0, epoch, life.0)
    }

    /// `who` says that `leader` leads `epoch`; it may hear so before the leader itself does.
    pub(super) fn names(&mut self, who: NodeId, epoch: Epoch, leader: NodeId) -> Checked {
        let (first, named) = *self.named.entry(epoch).or_insert((who, leader));
        check(named == leader, || {
            format!("{who} says that {leader} leads epoch {epoch}, {first} says that {named} does")
        })
    }

    pub(super) fn puts(&mut self, who: NodeId, entry: &Entry) -> Checked {
        let at = entry.position();
        let first = self.entries.entry(at).or_insert(entry.payload.clone());
        check(*first == entry.payload, || {
            format!("{who} puts another entry at {at} than stood there before")
        })
    }

    pub(super) fn commits(&mut self, who: NodeId, entry: &Entry) -> Checked {
        let index = entry.index;
        if let Some(first) = self.committed.get(&index) {
            return check(first == entry, || {
                format!(
                    "{who} commits {} where {} is committed already ({})",
                    entry.position(),
                    first.position(),
                    if first.epoch == entry.epoch {
                        "with another payload"
                    } else {
                        "of another epoch"
                    }
                )
            });
        }
        self.committed.insert(index, entry.clone());
        if let Payload::Batch(batch) = &entry.payload {
            self.commits_batch(who, entry.position(), batch)?;
        }
        match self.accepted.get(&entry.position()) {
            Some(request) => check(self.batch_is(*request, &entry.payload), || {
                format!(
                    "{who} commits something else at {} than was accepted there",
                    entry.position()
                )
            }),
            None => Ok(()),
        }
    }

    fn commits_batch(&mut self, who: NodeId, at: Position, batch: &Bytes) -> Checked {
        let Some(request) = self.batches.get(batch).copied() else {
            return Err(format!("{who} commits at {at} a batch nobody proposed"));
        };
        if let Some(first) = self.batch_committed.insert(request, at) {
            return Err(format!(
                "{request:?} is committed twice: at {first} and at {at}"
            ));
        }
        self.batch_agrees(request)
    }

    /// What became of a batch must fit how it was answered, whichever came first.
    fn batch_agrees(&self, request: RequestId) -> Checked {
        let answer = self.requests.get(&request).and_then(|asked| asked.answer);
        let committed = self.batch_committed.get(&request);
        match (answer, committed) {
            (Some(Answer::Refused(why)), Some(at)) => Err(format!(
                "{request:?} was refused ({why:?}), and is committed at {at} all the same"
            )),
            (Some(Answer::Accepted(accepted)), Some(at)) => check(accepted == *at, || {
                format!("{request:?} was accepted at {accepted}, and is committed at {at}")
            }),
            _ => Ok(()),
        }
    }

    fn batch_is(&self, request: RequestId, payload: &Payload) -> bool {
        match self.requests.get(&request).map(|request| &request.asked) {
            Some(Asked::Propose(batch)) => matches!(payload, Payload::Batch(b) if b == batch),
            Some(Asked::Reconfigure) => matches!(payload, Payload::Membership(_)),
            _ => false,
        }
    }

    pub(super) fn done(&mut self, life: Life, request: RequestId, done: Done) -> Checked {
        let answer = match done {
            Done::Accepted(at) => Answer::Accepted(at),
            Done::Refused(why) => Answer::Refused(why),
        };
        let asked = self.answer(life, request, answer)?;
        if let Answer::Accepted(at) = answer {
            if matches!(asked, Asked::Read { .. }) {
                return Err(format!("{request:?} is a read, and was accepted at {at}"));
            }
            self.leads(life, at.epoch)?;
            if let Some(first) = self.accepted.insert(at, request) {
                return Err(format!("{first:?} and {request:?} are both at {at}"));
            }
        }
        self.batch_agrees(request)
    }

    pub(super) fn ready(&mut self, life: Life, request: RequestId, index: Index) -> Checked {
        match self.answer(life, request, Answer::Ready(index))? {
            Asked::Read { mode, floor } => check(index >= floor, || {
                format!(
                    "stale read: {request:?} ({mode:?}) may be served at {index}, \
                     but {floor} was committed when it was issued"
                )
            }),
            other => Err(format!(
                "{request:?} is {other:?}, and was answered as a read"
            )),
        }
    }

    fn answer(&mut self, life: Life, request: RequestId, answer: Answer) -> Result<Asked, String> {
        let Some(asked) = self.requests.get_mut(&request) else {
            return Err(format!("{} answers {request:?}, never asked", life.0));
        };
        check(asked.life == life, || {
            format!(
                "{} (life {}) answers {request:?} of {} (life {})",
                life.0, life.1, asked.life.0, asked.life.1
            )
        })?;
        if let Some(first) = asked.answer.replace(answer) {
            return Err(format!(
                "{request:?} is answered twice: {first:?}, then {answer:?}"
            ));
        }
        Ok(asked.asked.clone())
    }
}

pub(super) fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Life = (NodeId(1), 1);

    fn at(index: u64, term: u64) -> Position {
        Position {
            index: Index(index),
            epoch: Epoch::term(term),
        }
    }

    fn entry(at: Position, text: &'static str) -> Entry {
        Entry {
            index: at.index,
            epoch: at.epoch,
            payload: Payload::Batch(Bytes::from_static(text.as_bytes())),
        }
    }

    /// A ledger with a proposal of each of these texts.
    fn proposed(texts: &[&'static str]) -> Ledger {
        let mut ledger = Ledger::default();
        for text in texts {
            ledger.ask(LIFE, Asked::Propose(Bytes::from_static(text.as_bytes())));
        }
        ledger
    }

    fn says(checked: Checked, part: &str) {
        let why = checked.expect_err(part);
        assert!(why.contains(part), "{why}");
    }

    #[test]
    fn an_epoch_has_one_leader_in_one_life() {
        let mut ledger = Ledger::default();
        ledger.leads(LIFE, Epoch::term(1)).unwrap();
        ledger.leads(LIFE, Epoch::term(1)).unwrap();
        says(ledger.leads((NodeId(1), 2), Epoch::term(1)), "two leaders");
        says(ledger.leads((NodeId(2), 1), Epoch::term(1)), "two leaders");
        ledger.names(NodeId(2), Epoch::term(2), NodeId(3)).unwrap();
        says(ledger.leads(LIFE, Epoch::term(2)), "n3 does");
    }

    #[test]
    fn a_position_names_one_entry() {
        let mut ledger = Ledger::default();
        ledger.puts(NodeId(1), &entry(at(1, 1), "a")).unwrap();
        ledger.puts(NodeId(2), &entry(at(1, 1), "a")).unwrap();
        ledger.puts(NodeId(2), &entry(at(1, 2), "b")).unwrap();
        says(
            ledger.puts(NodeId(2), &entry(at(1, 1), "b")),
            "another entry",
        );
    }

    #[test]
    fn what_is_committed_stays() {
        let mut ledger = proposed(&["a", "b"]);
        ledger.commits(NodeId(1), &entry(at(1, 1), "a")).unwrap();
        ledger.commits(NodeId(2), &entry(at(1, 1), "a")).unwrap();
        let other_epoch = ledger.commits(NodeId(2), &entry(at(1, 2), "a"));
        says(other_epoch, "of another epoch");
        let other_payload = ledger.commits(NodeId(2), &entry(at(1, 1), "b"));
        says(other_payload, "another payload");
    }

    #[test]
    fn a_batch_is_committed_once_and_only_if_proposed() {
        let mut ledger = proposed(&["a"]);
        says(
            ledger.commits(NodeId(1), &entry(at(1, 1), "x")),
            "nobody proposed",
        );
        ledger.commits(NodeId(1), &entry(at(2, 1), "a")).unwrap();
        says(
            ledger.commits(NodeId(1), &entry(at(3, 1), "a")),
            "committed twice",
        );
    }

    #[test]
    fn a_batch_is_committed_where_it_was_accepted_and_not_if_refused() {
        let accept = |at| Done::Accepted(at);
        let refuse = Done::Refused(Refusal::Busy);
        let mut ledger = proposed(&["a", "b", "c", "d"]);
        ledger.done(LIFE, RequestId(1), accept(at(1, 1))).unwrap();
        says(
            ledger.commits(NodeId(1), &entry(at(2, 1), "a")),
            "was accepted at 1@1",
        );
        ledger.done(LIFE, RequestId(2), refuse).unwrap();
        says(
            ledger.commits(NodeId(1), &entry(at(3, 1), "b")),
            "was refused",
        );
        ledger.commits(NodeId(1), &entry(at(4, 1), "c")).unwrap();
        says(ledger.done(LIFE, RequestId(3), refuse), "was refused");
        says(
            ledger.done(LIFE, RequestId(4), accept(at(1, 1))),
            "both at 1@1",
        );
    }

    #[test]
    fn a_position_that_was_accepted_is_not_committed_with_something_else() {
        let mut ledger = proposed(&["a", "b"]);
        let accepted = Done::Accepted(at(1, 1));
        ledger.done(LIFE, RequestId(1), accepted).unwrap();
        says(
            ledger.commits(NodeId(2), &entry(at(1, 1), "b")),
            "something else at 1@1",
        );
    }

    #[test]
    fn a_request_is_answered_once_by_whom_it_was_asked_and_in_kind() {
        let mut ledger = proposed(&["a", "b"]);
        let refuse = Done::Refused(Refusal::NotLeader);
        says(ledger.done(LIFE, RequestId(9), refuse), "never asked");
        says(ledger.done((NodeId(1), 2), RequestId(1), refuse), "life 2");
        ledger.done(LIFE, RequestId(1), refuse).unwrap();
        says(ledger.done(LIFE, RequestId(1), refuse), "answered twice");
        says(ledger.ready(LIFE, RequestId(2), Index(1)), "as a read");
        let (mode, floor) = (ReadMode::Quorum, Index(0));
        let read = ledger.ask(LIFE, Asked::Read { mode, floor });
        says(
            ledger.done(LIFE, read, Done::Accepted(at(1, 1))),
            "is a read",
        );
    }

    #[test]
    fn a_read_covers_what_was_committed_when_it_was_issued() {
        let mut ledger = Ledger::default();
        let (mode, floor) = (ReadMode::Quorum, Index(5));
        let [fresh, stale] = [(); 2].map(|()| ledger.ask(LIFE, Asked::Read { mode, floor }));
        ledger.ready(LIFE, fresh, Index(5)).unwrap();
        says(ledger.ready(LIFE, stale, Index(4)), "stale read");
    }
}
