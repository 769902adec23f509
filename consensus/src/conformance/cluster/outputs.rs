//! Carries out what a node wants done, and judges it.

use std::fmt::{self, Display};

use bytes::Bytes;

use super::super::ledger::{Checked, check};
use super::super::network::Fate;
use super::{Cluster, Event, Held};
use crate::{
    Consensus, Done, Entry, FetchId, Fetched, Index, LogOp, Message, Micros, NodeId, Output,
    Payload, Position, WriteSeq, majority,
};

/// How many outputs may follow from one input before that is an endless loop.
const OUTPUTS_AT_ONCE: usize = 100_000;

impl<C: Consensus> Cluster<'_, C> {
    pub(super) fn drain(&mut self, id: NodeId) {
        let mut accepted = Vec::new();
        for _ in 0..OUTPUTS_AT_ONCE {
            let Some(output) = self.node_mut(id).core.as_mut().and_then(C::poll) else {
                let stands = self.all_stand(id, &accepted);
                return self.judge(stands);
            };
            if let Output::Done {
                done: Done::Accepted(at),
                ..
            } = &output
            {
                accepted.push(*at);
            }
            self.carry_out(id, output);
        }
        self.fail(format_args!("{id} answers one input without end"));
    }

    /// What was accepted stands in the leader's log once the input is dealt with.
    fn all_stand(&self, id: NodeId, accepted: &[Position]) -> Checked {
        let entries = &self.node(id).disk.view.entries;
        let missing = accepted.iter().find(|at| {
            let found = entries.get(&at.index).map(Entry::position);
            found != Some(**at)
        });
        missing.map_or(Ok(()), |at| {
            Err(format!("{id} accepts at {at}, but puts nothing there"))
        })
    }

    fn carry_out(&mut self, id: NodeId, output: Output<C::Message>) {
        let life = self.node(id).this_life();
        match output {
            Output::Send { to, message } => self.send(id, to, &message),
            Output::Write { seq, ops } => self.write(id, seq, ops),
            Output::Commit(entries) => self.decide(id, &entries),
            Output::Fetch {
                id: fetch,
                from,
                to,
                max_bytes,
            } => self.fetch(id, fetch, (from, to), max_bytes),
            Output::ReadReady { request, index } => {
                self.say(format_args!("{id} may serve {request:?} at {index}"));
                let ready = self.ledger.ready(life, request, index);
                self.judge(ready);
            }
            Output::Done { request, done } => {
                self.say(format_args!("{id} answers {request:?}: {done:?}"));
                let answered = self.ledger.done(life, request, done);
                self.judge(answered);
            }
            Output::SendSnapshot { to } => self.send_snapshot(id, to),
            Output::InstallSnapshot { from, at } => {
                let installs = self.install_snapshot(id, from, at);
                self.judge(installs);
            }
            Output::Membership(_) => {}
            Output::Leadership { epoch, leader } => {
                self.say(format_args!("{id} says {} leads {epoch}", Who(leader)));
                self.node_mut(id).leadership = Some((epoch, leader));
                let fits = match leader {
                    Some(leader) if leader == id => self.ledger.leads(life, epoch),
                    Some(leader) => self.ledger.names(id, epoch, leader),
                    None => Ok(()),
                };
                self.judge(fits);
            }
        }
    }

    /// A message leaves as bytes, so that whatever serde loses is lost.
    fn send(&mut self, from: NodeId, to: NodeId, message: &C::Message) {
        if from == to {
            return self.judge(Err(format!("{from} sends to itself: {message:?}")));
        }
        let bytes = match rmp_serde::to_vec(message) {
            Ok(bytes) => bytes,
            Err(error) => self.fail(format_args!("{message:?} cannot be encoded: {error}")),
        };
        if self.compare_messages {
            self.judge(round_trip(message, &bytes));
        }
        if let Some(record) = &mut self.record {
            record.push((from, to, bytes.clone()));
        }
        if !self.nodes.contains_key(&to) {
            return self.judge(Err(format!("{from} sends to {to}, who is no member")));
        }
        let channel = message.channel();
        let lane = (from, to, channel);
        match self.net.fate(self.now, lane, bytes.len(), &mut self.random) {
            Fate::Lost => self.say(format_args!("{from} ⇢ {to}  lost: {message:?}")),
            Fate::Held => self.held.push(Held { from, to, bytes }),
            Fate::Arrives(at, again) => {
                if let Some(again) = again {
                    let bytes = bytes.clone();
                    self.at(again, Event::Arrive { from, to, bytes });
                }
                self.at(at, Event::Arrive { from, to, bytes });
            }
        }
    }

    fn write(&mut self, id: NodeId, seq: WriteSeq, ops: Vec<LogOp>) {
        self.say(format_args!("{id} writes #{} {}", seq.0, Ops(&ops)));
        let may = self.may_write(id, seq, &ops);
        self.judge(may);
        self.issued_writes += 1;
        let takes = self.random.between(self.disk_us.0, self.disk_us.1);
        let ready_at = self.now + Micros(takes);
        let node = self.node_mut(id);
        node.last_write = seq;
        node.writes += 1;
        let life = node.life;
        let ready_at = node.disk.enqueue(seq, ops, ready_at);
        self.at(ready_at, Event::DiskTurn(id, life));
    }

    fn may_write(&mut self, id: NodeId, seq: WriteSeq, ops: &[LogOp]) -> Checked {
        let last = self.node(id).last_write;
        check(seq.0 == last.0 + 1, || {
            format!("{id} issues write #{} after #{}", seq.0, last.0)
        })?;
        for op in ops {
            match op {
                LogOp::Put(entry) => self.ledger.puts(id, entry)?,
                LogOp::PurgeTo(upto) => self.may_purge(id, *upto)?,
                LogOp::HardState(_) | LogOp::TruncateFrom(_) => {}
            }
        }
        Ok(())
    }

    fn may_purge(&self, id: NodeId, upto: Position) -> Checked {
        let held = self.node(id).applied_durably.index;
        check(upto.index <= held, || {
            format!("{id} purges its log to {upto}, but its state machine holds only {held}")
        })
    }

    fn decide(&mut self, id: NodeId, entries: &[Entry]) {
        for entry in entries {
            let may = self.may_commit(id, entry);
            self.judge(may);
            let node = self.node_mut(id);
            if entry.index == node.next_commit {
                node.next_commit = entry.index.next();
                node.to_apply.push_back(entry.position());
            }
        }
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let (first, last) = (first.position(), last.position());
            self.say(format_args!("{id} commits {first} to {last}"));
            let life = self.node(id).life;
            self.at(self.now, Event::Apply(id, life));
        }
    }

    fn may_commit(&mut self, id: NodeId, entry: &Entry) -> Checked {
        let node = self.node(id);
        let (at, next) = (entry.position(), node.next_commit);
        check(entry.index == next, || {
            format!("{id} commits {at} where {next} is next")
        })?;
        check(node.installing.is_none(), || {
            format!("{id} commits {at} while it installs a snapshot")
        })?;
        check(node.disk.view.holds(entry), || {
            format!("{id} commits {at}, which does not stand in its log")
        })?;
        self.on_a_quorum(entry)?;
        self.ledger.commits(id, entry)
    }

    /// A committed entry survives the crash of everybody.
    fn on_a_quorum(&self, entry: &Entry) -> Checked {
        let holds = |node: &&super::Node<C>| node.holds_durably(entry);
        let holders = self.nodes.values().filter(holds).count();
        let needed = majority(self.membership.voters.len());
        check(holders >= needed, || {
            format!(
                "{} is committed, but durable on {holders} of {} nodes",
                entry.position(),
                self.nodes.len()
            )
        })
    }

    /// After `ops` became durable on `id`: what they removed or replaced was not the last copy
    /// but one of something committed.
    pub(super) fn still_durable(&self, id: NodeId, ops: &[LogOp]) -> Checked {
        for op in ops {
            match op {
                LogOp::TruncateFrom(from) => {
                    for entry in self.ledger.committed_from(*from) {
                        self.on_a_quorum(entry)
                            .map_err(|why| format!("{id} has truncated from {from}: {why}"))?;
                    }
                }
                LogOp::Put(put) => match self.ledger.committed_at(put.index) {
                    Some(entry) if entry.epoch != put.epoch => {
                        let at = put.position();
                        self.on_a_quorum(entry)
                            .map_err(|why| format!("{id} has overwritten {at}: {why}"))?;
                    }
                    _ => {}
                },
                LogOp::HardState(_) | LogOp::PurgeTo(_) => {}
            }
        }
        Ok(())
    }

    fn fetch(&mut self, id: NodeId, fetch: FetchId, range: (Index, Index), max_bytes: usize) {
        let (from, to) = range;
        self.say(format_args!("{id} fetches {from} to {to} (#{})", fetch.0));
        let node = self.node_mut(id);
        node.fetches += 1;
        let life = node.life;
        let result = if self.fetch_corrupt == Some(id) {
            Fetched::Corrupt
        } else {
            let most = self.fetch_most;
            self.node(id).disk.fetch(from, to, max_bytes, most)
        };
        let at = self.now + Micros(self.random.between(50, 500));
        let noise = self.fetch_noise;
        let mut answer = |id_answered, result| {
            let event = Event::Fetched {
                to: id,
                life,
                id: id_answered,
                result,
            };
            self.at(at, event);
        };
        if noise {
            let nobodys = FetchId(u64::MAX - fetch.0);
            answer(nobodys, forged(&result));
            answer(nobodys, Fetched::Purged);
            answer(fetch, result.clone());
            answer(fetch, forged(&result));
            answer(fetch, Fetched::Corrupt);
        } else {
            answer(fetch, result);
        }
    }

    pub(super) fn say(&mut self, event: fmt::Arguments<'_>) {
        self.trace.line(self.now, event);
    }
}

/// The same positions with another content: whoever takes it in shows it.
fn forged(result: &Fetched) -> Fetched {
    let Fetched::Entries(entries) = result else {
        return Fetched::Purged;
    };
    let forge = |entry: &Entry| Entry {
        payload: Payload::Batch(Bytes::from_static(b"forged")),
        ..entry.clone()
    };
    Fetched::Entries(entries.iter().map(forge).collect())
}

/// What a peer decodes is what was sent.
fn round_trip<M: Message>(message: &M, bytes: &[u8]) -> Checked {
    let again: M = match rmp_serde::from_slice(bytes) {
        Ok(again) => again,
        Err(error) => return Err(format!("{message:?} cannot be decoded: {error}")),
    };
    let (sent, decoded) = (format!("{message:?}"), format!("{again:?}"));
    check(sent == decoded, || {
        format!("a message changes on its way:\n  {sent}\n  {decoded}")
    })?;
    check(message.channel() == again.channel(), || {
        format!("{sent} changes its channel on its way")
    })
}

/// A leader, or nobody.
struct Who(Option<NodeId>);

impl Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(leader) => leader.fmt(f),
            None => f.write_str("nobody"),
        }
    }
}

/// A write's operations, in short.
struct Ops<'a>(&'a [LogOp]);

impl Display for Ops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for op in self.0 {
            match op {
                LogOp::HardState(state) => write!(f, "[hard state {:x}] ", Hex(state))?,
                LogOp::Put(entry) => write!(f, "[put {}] ", entry.position())?,
                LogOp::TruncateFrom(from) => write!(f, "[truncate from {from}] ")?,
                LogOp::PurgeTo(upto) => write!(f, "[purge to {upto}] ")?,
            }
        }
        Ok(())
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
