//! A replica together with its state machine: what a node hosts, once per group.
//!
//! [`Replica`] decides, [`StateMachine`] applies, and this type lets the one follow the other. What
//! remains for the host is I/O, named by [`Io`].
//!
//! A query may take longer than a turn should. It is then answered in slices, one a turn, while
//! [`deadline`](Group::deadline) says that the next turn is due at once: other work goes in between.

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus::{Consensus, Entry, FetchId, Index, LogOp, Micros, NodeId, Payload, WriteSeq};

use crate::action::{Action, Committed};
use crate::batch::{Batch, BatchError, Commands};
use crate::machine::{EntryInfo, LongId, Millis, Query, StateMachine};
use crate::message::{Failure, ForwardId, Message};
use crate::queue::{Run, Waiting};
use crate::reads::ReadBatch;
use crate::replica::{BUSY_RETRY, Replica};
use crate::transfer::SnapshotTask;
use crate::waits::Held;

/// More bytes of replies to one forwarded batch than this are not sent back: they would not fit
/// into a frame. Whoever waits is told that the outcome is unknown.
const REPLIES_BYTES_MAX: usize = 48 << 20;

/// What a group needs done in the world, and whom it answers.
pub trait Io<M, T> {
    /// Send to a peer, or lose it.
    fn send(&mut self, to: NodeId, message: Message<M>);
    /// Make durable after all earlier writes; then call [`Replica::persisted`].
    fn write(&mut self, seq: WriteSeq, ops: Vec<LogOp>);
    /// Read from the log after all earlier writes; then call [`Replica::fetched`].
    fn fetch(&mut self, id: FetchId, from: Index, to: Index, max_bytes: usize);
    /// A command was executed at `index`, or a query answered (then `index` is `None`).
    fn reply(&mut self, token: T, index: Option<Index>, reply: &[u8]);
    /// A command or query has no reply.
    fn fail(&mut self, token: T, failure: Failure);
    /// The answer to WAIT.
    fn held(&mut self, token: T, held: Held);
    /// Do something with snapshots, now or later; gives the task back if this host cannot, and then
    /// nobody gets a snapshot from here or installs one.
    ///
    /// # Errors
    /// The task, if it cannot be done at all.
    fn snapshot(&mut self, task: SnapshotTask) -> Result<(), SnapshotTask> {
        Err(task)
    }
    /// Whether this turn has applied for long enough. Asked after each entry; what is left is due
    /// in the next turn, at once. [`Config`](crate::Config) bounds a turn in commands and bytes
    /// besides, so that a host without a clock need not say.
    fn must_yield(&mut self) -> bool {
        false
    }
}

/// Why a group cannot go on. Its node stops: to skip an entry would be to diverge.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GroupError<E: std::error::Error + 'static> {
    /// The storage behind the state machine failed.
    #[error("the state machine stopped: {0}")]
    Machine(#[source] E),
    /// A committed entry cannot be read by this build.
    #[error("entry {index} cannot be applied: {source}")]
    Batch {
        /// Which entry.
        index: Index,
        /// Why.
        source: BatchError,
    },
}

/// One group on one node.
#[derive(Debug)]
pub struct Group<C: Consensus, S, T> {
    replica: Replica<C, T>,
    machine: S,
    /// Reused for every reply.
    reply: Vec<u8>,
    /// Questions about this node's own state, for the end of the turn.
    looks: Vec<(T, Vec<u8>)>,
    /// Who waits for an answer that is given in slices.
    long: BTreeMap<LongId, T>,
    next_long: LongId,
}

impl<C: Consensus, S: StateMachine, T: Copy> Group<C, S, T> {
    /// Joins the two. `machine` must hold what `replica` was told it has applied.
    pub fn new(mut replica: Replica<C, T>, machine: S) -> Self {
        replica.semantics = machine.semantics();
        Group {
            replica,
            machine,
            reply: Vec::new(),
            looks: Vec::new(),
            long: BTreeMap::new(),
            next_long: LongId(0),
        }
    }

    /// Takes a query to be answered from this node's state as it is, however old that may be, and
    /// though nobody leads.
    pub fn look(&mut self, token: T, query: &[u8]) {
        self.looks.push((token, query.to_vec()));
    }

    /// Nobody waits any more for answers to the tokens that `gone` recognises.
    pub fn forget(&mut self, gone: impl Fn(T) -> bool) {
        self.replica.forget(&gone);
        self.looks.retain(|(token, _)| !gone(*token));
        for (id, _) in self.long.extract_if(.., |_, token| gone(*token)) {
            self.machine.cancel_long(id);
        }
    }

    /// When to call [`turn`](Group::turn) if nothing happens before.
    pub fn deadline(&self) -> Option<Micros> {
        if self.has_work() {
            return Some(Micros(0));
        }
        let soon = self
            .machine
            .has_work()
            .then(|| self.replica.now + BUSY_RETRY);
        self.replica.deadline().into_iter().chain(soon).min()
    }

    /// Whether the next turn has work to do, whatever happens.
    pub fn has_work(&self) -> bool {
        let machine = self.machine.has_work() && !self.machine.is_waiting();
        !self.looks.is_empty() || machine || self.replica.is_behind()
    }

    /// The driver, for everything that goes in.
    pub fn replica(&mut self) -> &mut Replica<C, T> {
        &mut self.replica
    }

    /// The driver, to look at.
    pub fn view(&self) -> &Replica<C, T> {
        &self.replica
    }

    /// The state machine.
    pub fn machine(&self) -> &S {
        &self.machine
    }

    /// The state machine, to freeze it or to have it persisted.
    pub fn machine_mut(&mut self) -> &mut S {
        &mut self.machine
    }

    /// Puts `machine` in the place of this group's: the answer to [`SnapshotTask::Install`]. It
    /// must hold what it was built from durably. Returns the old one, whose long queries have no
    /// answer now.
    ///
    /// # Panics
    /// When it is not the snapshot that was to be installed.
    pub fn install(&mut self, now: Micros, machine: S, io: &mut impl Io<C::Message, T>) -> S {
        for (_, token) in std::mem::take(&mut self.long) {
            io.fail(token, Failure::Unknown);
        }
        self.replica.snapshot_installed(now, machine.applied());
        std::mem::replace(&mut self.machine, machine)
    }

    /// Ends a turn: everything that came in goes on its way, and everything that follows is handed
    /// to `io` or applied.
    ///
    /// # Errors
    /// When an entry cannot be applied; the node must stop.
    pub fn turn(
        &mut self,
        now: Micros,
        wall: Millis,
        io: &mut impl Io<C::Message, T>,
    ) -> Result<(), GroupError<S::Error>> {
        let mut again = true;
        while std::mem::take(&mut again) {
            let due = self.machine.next_due();
            self.replica.busy(self.machine.is_busy());
            self.replica.turn(now, wall, due);
            again = self.follow(now, wall, io)?;
        }
        for (token, query) in std::mem::take(&mut self.looks) {
            // Without a clock of its own no query needs a tick.
            self.ask(now, Millis(0), token, &query, io)?;
        }
        if self.machine.has_work() {
            let long = &mut self.long;
            let mut answer = |id: LongId, reply: &[u8]| {
                if let Some(token) = long.remove(&id) {
                    io.reply(token, None, reply);
                }
            };
            let worked = self.machine.work(&mut answer);
            worked.map_err(GroupError::Machine)?;
        }
        Ok(())
    }

    /// Carries out what the driver wants done. Returns whether it has been given something anew.
    fn follow(
        &mut self,
        now: Micros,
        wall: Millis,
        io: &mut impl Io<C::Message, T>,
    ) -> Result<bool, GroupError<S::Error>> {
        let mut again = false;
        while let Some(action) = self.replica.poll() {
            match action {
                Action::Send(to, message) => io.send(to, message),
                Action::Write(seq, ops) => io.write(seq, ops),
                Action::Fetch {
                    id,
                    from,
                    to,
                    max_bytes,
                } => io.fetch(id, from, to, max_bytes),
                Action::Apply(committed) => self.apply(now, committed, io)?,
                Action::Query(batch) => again |= self.query(now, wall, &batch, io)?,
                Action::Answer {
                    tokens,
                    index,
                    replies,
                } => answer(&tokens, index, &replies, io),
                Action::Fail(tokens, failure) => {
                    tokens.into_iter().for_each(|token| io.fail(token, failure));
                }
                Action::Held(token, held) => io.held(token, held),
                Action::Snapshot(task) => {
                    if let Err(task) = io.snapshot(task) {
                        self.replica.refuse_task(now, task);
                    }
                }
            }
        }
        Ok(again)
    }

    fn apply(
        &mut self,
        now: Micros,
        committed: Vec<Committed<T>>,
        io: &mut impl Io<C::Message, T>,
    ) -> Result<(), GroupError<S::Error>> {
        let mut last = Index::ZERO;
        // Answers go out only once the whole range is one atomic unit in the engine.
        let mut answers = Answers::default();
        let mut committed = committed.into_iter();
        while let Some(Committed { entry, waiting }) = committed.next() {
            last = entry.index;
            self.apply_entry(&entry, waiting, &mut answers)?;
            if committed.len() > 0 && io.must_yield() {
                self.replica.apply_later(committed);
                break;
            }
        }
        self.machine.commit().map_err(GroupError::Machine)?;
        for (token, index, reply) in answers.local() {
            io.reply(token, Some(index), reply);
        }
        for (peer, id, index, replies) in answers.remote {
            if replies.len() <= REPLIES_BYTES_MAX {
                self.replica.answer(peer, id, index, replies.into());
            } else {
                self.replica.answer_none(peer, id);
            }
        }
        self.replica.applied(now, last);
        Ok(())
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        waiting: Option<Waiting<T>>,
        answers: &mut Answers<T>,
    ) -> Result<(), GroupError<S::Error>> {
        let known = self.machine.semantics();
        let batch = match &entry.payload {
            Payload::Batch(bytes) => Some(decode(entry.index, bytes, known)?),
            Payload::Blank | Payload::Membership(_) => None,
        };
        let info = EntryInfo {
            position: entry.position(),
            stamp: batch.as_ref().map_or(Millis(0), Batch::stamp),
            semantics: batch.as_ref().map_or(0, Batch::semantics),
            membership: match &entry.payload {
                Payload::Membership(membership) => Some(membership),
                _ => None,
            },
        };
        self.machine.begin(info).map_err(GroupError::Machine)?;
        match (batch, waiting) {
            (Some(batch), Some(waiting)) => {
                self.apply_and_keep(entry.index, &batch, waiting, answers)?;
            }
            (Some(batch), None) => {
                let mut commands = Announced::new(&batch);
                while let Some(command) = commands.next(&self.machine) {
                    let applied = self.machine.apply(command, None);
                    applied.map_err(GroupError::Machine)?;
                }
            }
            (None, _) => {}
        }
        Ok(())
    }

    fn apply_and_keep(
        &mut self,
        index: Index,
        batch: &Batch,
        waiting: Waiting<T>,
        answers: &mut Answers<T>,
    ) -> Result<(), GroupError<S::Error>> {
        let mut commands = Announced::new(batch);
        for run in waiting.runs {
            match run {
                Run::Local(tokens) => {
                    for token in tokens {
                        let Some(command) = commands.next(&self.machine) else {
                            break;
                        };
                        let applied = self.machine.apply(command, Some(&mut answers.replies));
                        applied.map_err(GroupError::Machine)?;
                        answers.locals.push((token, index, answers.replies.len()));
                    }
                }
                Run::Remote { peer, id, count } => {
                    let mut replies = Vec::new();
                    for _ in 0..count {
                        let Some(command) = commands.next(&self.machine) else {
                            break;
                        };
                        self.reply.clear();
                        let applied = self.machine.apply(command, Some(&mut self.reply));
                        applied.map_err(GroupError::Machine)?;
                        push_framed(&mut replies, &self.reply);
                    }
                    answers.remote.push((peer, id, index, replies));
                }
            }
        }
        Ok(())
    }

    fn query(
        &mut self,
        now: Micros,
        wall: Millis,
        batch: &ReadBatch<T>,
        io: &mut impl Io<C::Message, T>,
    ) -> Result<bool, GroupError<S::Error>> {
        let mut again = false;
        for (token, query) in batch.iter() {
            again |= self.ask(now, wall, token, query, io)?;
        }
        Ok(again)
    }

    fn ask(
        &mut self,
        now: Micros,
        wall: Millis,
        token: T,
        query: &[u8],
        io: &mut impl Io<C::Message, T>,
    ) -> Result<bool, GroupError<S::Error>> {
        self.reply.clear();
        let asked = self.machine.query(query, wall, &mut self.reply);
        match asked.map_err(GroupError::Machine)? {
            Query::Answered => io.reply(token, None, &self.reply),
            // Through the log it is answered as of its own entry's stamp.
            Query::NeedsTick => {
                self.replica.submit(now, token, query);
                return Ok(true);
            }
            Query::Long => {
                let id = self.next_long;
                self.next_long = LongId(id.0 + 1);
                let begun = self.machine.begin_long(id, query);
                begun.map_err(GroupError::Machine)?;
                self.long.insert(id, token);
            }
        }
        Ok(false)
    }
}

/// How many commands a machine is told of before they are applied: more would push each other out
/// of the processor's caches.
const ANNOUNCED: usize = 32;

/// The commands of a batch, each announced to the machine before it is applied.
struct Announced<'a> {
    commands: Commands<'a>,
    announced: usize,
}

impl<'a> Announced<'a> {
    fn new(batch: &'a Batch) -> Self {
        Announced {
            commands: batch.commands(),
            announced: 0,
        }
    }

    fn next(&mut self, machine: &impl StateMachine) -> Option<&'a [u8]> {
        if self.announced == 0 {
            machine.expect(&mut self.commands.clone().take(ANNOUNCED));
            self.announced = ANNOUNCED;
        }
        self.announced -= 1;
        self.commands.next()
    }
}

/// The replies of a committed range, kept until it is committed to the engine.
struct Answers<T> {
    replies: Vec<u8>,
    /// (who, where in the log, where its reply ends).
    locals: Vec<(T, Index, usize)>,
    remote: Vec<(NodeId, ForwardId, Index, Vec<u8>)>,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Answers {
            replies: Vec::new(),
            locals: Vec::new(),
            remote: Vec::new(),
        }
    }
}

impl<T: Copy> Answers<T> {
    fn local(&self) -> impl Iterator<Item = (T, Index, &[u8])> {
        let mut start = 0;
        self.locals.iter().map(move |(token, index, end)| {
            let reply = self.replies.get(start..*end).unwrap_or_default();
            start = *end;
            (*token, *index, reply)
        })
    }
}

fn decode<E: std::error::Error>(
    index: Index,
    bytes: &Bytes,
    known: u8,
) -> Result<Batch, GroupError<E>> {
    let batch = Batch::decode(bytes.clone()).and_then(|batch| match batch.semantics() {
        found if found > known => Err(BatchError::Newer { found, known }),
        _ => Ok(batch),
    });
    batch.map_err(|source| GroupError::Batch { index, source })
}

fn push_framed(replies: &mut Vec<u8>, reply: &[u8]) {
    let length = u32::try_from(reply.len()).unwrap_or(u32::MAX);
    assert!(
        length < u32::MAX,
        "a reply of 4 GiB cannot be sent to a peer"
    );
    replies.extend_from_slice(&length.to_le_bytes());
    replies.extend_from_slice(reply);
}

/// Hands each token its reply. A peer that sent fewer replies than commands leaves the rest
/// unknown.
fn answer<M, T: Copy>(tokens: &[T], index: Index, replies: &[u8], io: &mut impl Io<M, T>) {
    let mut rest = replies;
    for token in tokens {
        let reply = rest
            .split_first_chunk::<4>()
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
        match reply {
            Some((reply, after)) => {
                io.reply(*token, Some(index), reply);
                rest = after;
            }
            None => io.fail(*token, Failure::Unknown),
        }
    }
}
