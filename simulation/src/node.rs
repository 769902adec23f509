//! A node: a machine with a disk and clocks that outlive its process, and the process itself, put
//! together from the real parts as the binary puts them together.
//!
//! The process works in turns like the real event loop: inputs gather until it looks, and then all
//! of them go in before anything comes out.

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus::{Channel, FetchId, Index, LogOp, Membership, Micros, NodeId, WriteSeq};
use replication::{
    Config, Failure, Frame, Group, Held, Io, Message, Millis, Replica, SnapshotTask,
    StateMachine as _, to_log, to_recovered,
};
use storage::{
    LogOptions, LogRead, LogStore as _, MemoryDisk, MemoryEngine, RecoveredLog, SegmentedLog,
};

use crate::clock::Clock;
use crate::log_writer::{Fetch, GROUP, LogEvent, LogWriter, Request};
use crate::network::End;
use crate::observed::{Notes, Observed, Reader};
use crate::plan::{Retention, Weather};
use crate::queue::Time;
use crate::random::Random;
use crate::snapshots::{SnapshotEvent, Snapshots};
use crate::subject::{Gate, Message as CoreMessage, Outcome, Port as _, Service, Subject};

/// Bytes of messages that share a frame, as in the binary.
const FRAME_BYTES: usize = 8 << 20;

/// Names whoever waits for a reply: a connection, and a slot of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    connection: u64,
    slot: u64,
    /// It asks beside the log.
    read: bool,
}

/// A machine.
pub(crate) struct Machine<S: Subject> {
    pub(crate) disk: MemoryDisk,
    /// The directory of snapshots.
    pub(crate) files: MemoryDisk,
    /// The disk's identity; a lost disk is replaced by one with another.
    pub(crate) disk_id: u64,
    pub(crate) boot: u64,
    pub(crate) clock: Clock,
    pub(crate) process: Option<Process<S>>,
    /// Stands still until then.
    pub(crate) paused_until: Time,
    /// Counts processes: what was planned for an earlier one is void.
    pub(crate) life: u32,
    /// How much longer a write may take, and how many faults let the disk hang.
    pub(crate) slow: u64,
    pub(crate) hung: u32,
    /// How many faults have filled the disk.
    pub(crate) full: u32,
    pub(crate) random: Random,
    /// It refuses to start: its disk cannot be trusted any more.
    pub(crate) refuses: Option<String>,
    /// What is started there is one version behind.
    pub(crate) behind: bool,
}

/// A running process.
pub(crate) struct Process<S: Subject> {
    pub(crate) group: Group<Observed<S::Core>, S::Machine, Token>,
    pub(crate) log: LogWriter,
    /// If the subject takes snapshots.
    pub(crate) snapshots: Option<Snapshots>,
    /// A job of theirs is under way.
    pub(crate) files_busy: bool,
    /// It runs the version before the newest.
    behind: bool,
    looked_at: Micros,
    ports: BTreeMap<u64, <S::Service as Service>::Port>,
    pub(crate) notes: Notes,
    /// What it has not looked at yet.
    pub(crate) inbox: Inbox<CoreMessage<S>>,
    /// When it looks next; nothing earlier is planned.
    pub(crate) wakes: Time,
}

/// What a process finds when it looks.
pub(crate) struct Inbox<M> {
    pub(crate) log: Vec<LogEvent>,
    pub(crate) snapshots: Vec<SnapshotEvent>,
    pub(crate) peers: Vec<Heard<M>>,
    /// (connection, bytes); no bytes when the client has hung up.
    pub(crate) clients: Vec<(u64, Option<Vec<u8>>)>,
}

impl<M> Default for Inbox<M> {
    fn default() -> Self {
        Inbox {
            log: Vec::new(),
            snapshots: Vec::new(),
            peers: Vec::new(),
            clients: Vec::new(),
        }
    }
}

/// Something between this node and a peer.
pub(crate) enum Heard<M> {
    Up(usize, Channel),
    Down(usize, Channel),
    Frame(usize, Bytes),
    /// A message that was held back or repeated on its way.
    Stray(usize, M),
}

/// What a turn has come to.
pub(crate) struct Turn<M> {
    /// Messages by peer and channel.
    pub(crate) messages: Vec<(usize, Message<M>)>,
    pub(crate) request: Request,
    /// What is to be done with snapshots; `None` if nothing can be.
    tasks: Option<Vec<SnapshotTask>>,
    /// A state machine was replaced.
    pub(crate) installed: bool,
    answers: Vec<Answer>,
}

/// Who is answered, where in the log that was, and what.
type Answer = (Token, Option<Index>, Result<Vec<u8>, Failure>);

/// A session was told what became of a command.
pub(crate) struct Answered {
    pub(crate) connection: u64,
    pub(crate) slot: u64,
    pub(crate) read: bool,
    /// If it was executed: where in the log, or beside it.
    pub(crate) executed: Option<Option<Index>>,
}

impl<M> Default for Turn<M> {
    fn default() -> Self {
        Turn {
            messages: Vec::new(),
            request: Request::default(),
            tasks: None,
            installed: false,
            answers: Vec::new(),
        }
    }
}

pub(crate) const fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

pub(crate) const fn number(id: NodeId) -> usize {
    id.0 as usize - 1
}

/// Why a process ends by itself.
pub(crate) enum Stop {
    /// Its environment failed it.
    Environment(String),
    /// What the log says makes no sense to it.
    Nonsense(String),
}

fn of_version<S: Subject>(subject: &S, machine: S::Machine, behind: bool) -> S::Machine {
    match behind {
        true => subject.behind(machine),
        false => machine,
    }
}

/// What starting a process came to.
pub(crate) struct Started<S: Subject> {
    pub(crate) process: Process<S>,
    pub(crate) found: RecoveredLog,
    /// What its state holds.
    pub(crate) applied: Index,
}

impl<S: Subject> Machine<S> {
    /// Starts a process from what the disk holds.
    ///
    /// The error is what the process said when it refused.
    pub(crate) fn start(
        &mut self,
        subject: &S,
        node: usize,
        nodes: usize,
        at: Time,
        (weather, retention): (&Weather, &Retention),
    ) -> Result<Started<S>, String> {
        let segment_bytes = weather.segment_bytes;
        self.boot += 1;
        self.life += 1;
        let options = LogOptions::default()
            .segment_bytes(segment_bytes)
            .step_bytes((segment_bytes / 4).min(32 << 10))
            .salt(self.random.draw());
        let mut log =
            SegmentedLog::open(self.disk.clone(), options).map_err(|error| error.to_string())?;
        let members = Membership::of_voters((0..nodes).map(id));
        let (snapshots, machine) = match subject.restore(MemoryEngine::default()) {
            None => (None, subject.machine()),
            Some(_) => {
                let (snapshots, engine) =
                    Snapshots::open(self.files.clone(), retention.snapshot_bytes)?;
                let machine = subject.restore(engine);
                (
                    Some(snapshots),
                    machine.unwrap_or_else(|| subject.machine()),
                )
            }
        };
        let machine = of_version(subject, machine, self.behind);
        let applied = machine.applied();
        let found = log.recovered(GROUP);
        let read = |index| match log.read(GROUP, index, index, 0) {
            Ok(LogRead::Records(records)) => records.into_iter().next(),
            _ => None,
        };
        let recovered = to_recovered(found.clone(), members.clone(), applied, read)
            .map_err(|error| error.to_string())?;
        let core = subject.core(id(node), self.random.draw(), recovered);
        let notes = Notes::default();
        let reader = Reader {
            claim: S::claim,
            ballot: S::ballot,
        };
        let core = Observed::new(core, notes.clone(), reader);
        let mut config = Config::new(id(node), self.boot);
        config.log.persist_bytes = retention.snapshot_bytes;
        config.log.persist_idle_after = Micros(4_000_000);
        config.log.purge_bytes = retention.purge_bytes;
        config.log.kept_bytes = retention.kept_bytes;
        config.log.kept_for = Micros(2_000_000);
        config.snapshots.chunk_bytes = weather.chunk_bytes as usize;
        config.snapshots.window_bytes = 3 * weather.chunk_bytes as usize;
        config.snapshots.bytes_per_second = 100 * weather.chunk_bytes;
        let mut replica = Replica::new(core, config, members, applied.index);
        let last = found.records.last().map_or(0, |last| last.0);
        replica.log_holds(Index(last), log.disk_bytes());
        let now = self.clock.monotonic(at);
        if let Some(snapshots) = &snapshots {
            snapshots.begin(now, &mut replica);
        }
        let process = Process {
            group: Group::new(replica, machine),
            log: LogWriter::new(log, weather.gathers),
            snapshots,
            files_busy: false,
            behind: self.behind,
            looked_at: now,
            ports: BTreeMap::new(),
            notes,
            inbox: Inbox::default(),
            wakes: Time(u64::MAX),
        };
        Ok(Started {
            process,
            found,
            applied: applied.index,
        })
    }
}

impl<S: Subject> Process<S> {
    /// Looks at everything that has come in.
    ///
    /// The error is why the node stops.
    pub(crate) fn take_inbox(
        &mut self,
        (subject, service): (&S, &S::Service),
        turn: &mut Turn<CoreMessage<S>>,
        now: Micros,
        wall: Millis,
        mangle: &mut dyn FnMut(usize, CoreMessage<S>) -> Option<CoreMessage<S>>,
    ) -> Result<(), String> {
        let inbox = std::mem::take(&mut self.inbox);
        for event in inbox.log {
            match event {
                LogEvent::Durable(seq) => self.group.replica().persisted(now, seq),
                LogEvent::Fetched(id, fetched) => self.group.replica().fetched(now, id, fetched),
                LogEvent::Failed(why) => return Err(why),
            }
        }
        for event in inbox.snapshots {
            let Some(snapshots) = &mut self.snapshots else {
                break;
            };
            if let Some(engine) = snapshots.take(now, &mut self.group, event)? {
                let machine = subject.restore(engine);
                let machine = machine.ok_or("a snapshot that cannot be opened")?;
                let machine = of_version(subject, machine, self.behind);
                self.group.install(now, machine, turn);
                turn.installed = true;
            }
        }
        for heard in inbox.peers {
            self.hear(now, heard, mangle);
        }
        for (connection, bytes) in inbox.clients {
            match bytes {
                Some(bytes) => self.feed(service, connection, &bytes, now, wall),
                None => {
                    self.ports.remove(&connection);
                    self.group.forget(|token| token.connection == connection);
                }
            }
        }
        Ok(())
    }

    fn hear(
        &mut self,
        now: Micros,
        heard: Heard<CoreMessage<S>>,
        mangle: &mut dyn FnMut(usize, CoreMessage<S>) -> Option<CoreMessage<S>>,
    ) {
        let replica = self.group.replica();
        match heard {
            Heard::Up(peer, Channel::Bulk) => replica.link_up(id(peer)),
            Heard::Down(peer, Channel::Bulk) => replica.link_down(id(peer)),
            Heard::Up(..) | Heard::Down(..) => {}
            Heard::Frame(from, payload) => {
                let frame = Frame::<CoreMessage<S>>::decode(&payload);
                let frame = frame.unwrap_or_else(|error| panic!("{error}"));
                for (_, message) in frame.messages {
                    replica.saw_clock(now, id(from), Millis(frame.clock));
                    let message = match message {
                        Message::Consensus(message) => match mangle(from, message) {
                            Some(message) => Message::Consensus(message),
                            None => continue,
                        },
                        other => other,
                    };
                    replica.receive(now, id(from), message);
                }
            }
            Heard::Stray(from, message) => {
                replica.receive(now, id(from), Message::Consensus(message));
            }
        }
    }

    fn feed(
        &mut self,
        service: &S::Service,
        connection: u64,
        bytes: &[u8],
        now: Micros,
        wall: Millis,
    ) {
        let port = self
            .ports
            .entry(connection)
            .or_insert_with(|| service.port(connection, wall));
        let mut gate = ReplicaGate {
            replica: self.group.replica(),
            connection,
            now,
            wall,
        };
        port.receive(bytes, &mut gate);
    }

    /// Ends the turn: what has come in goes on its way, answers reach their sessions, and sessions
    /// go on with what they had not taken yet.
    pub(crate) fn turn(
        &mut self,
        service: &S::Service,
        now: Micros,
        wall: Millis,
        turn: &mut Turn<CoreMessage<S>>,
        replies: &mut Vec<(u64, Vec<u8>)>,
        answered: &mut dyn FnMut(Answered),
    ) -> Result<(), Stop> {
        loop {
            turn.tasks = self.snapshots.is_some().then(Vec::new);
            let went = self.group.turn(now, wall, turn);
            went.map_err(|error| Stop::Nonsense(error.to_string()))?;
            let had_tasks = self.snapshot_tasks(now, turn);
            let had_tasks = had_tasks.map_err(Stop::Environment)?;
            let mut resumed: Vec<u64> = Vec::new();
            for (token, index, answer) in turn.answers.drain(..) {
                let Some(port) = self.ports.get_mut(&token.connection) else {
                    continue;
                };
                answered(Answered {
                    connection: token.connection,
                    slot: token.slot,
                    read: token.read,
                    executed: answer.is_ok().then_some(index),
                });
                let outcome = match &answer {
                    Ok(reply) => Outcome::Reply(reply),
                    Err(failure) => Outcome::Failed(*failure),
                };
                port.complete(token.slot, index, outcome);
                if port.can_continue() && !resumed.contains(&token.connection) {
                    resumed.push(token.connection);
                }
            }
            for (connection, port) in &mut self.ports {
                let output = port.output();
                if !output.is_empty() {
                    replies.push((*connection, std::mem::take(output)));
                }
            }
            if resumed.is_empty() && !had_tasks {
                return Ok(());
            }
            for connection in resumed {
                self.feed(service, connection, &[], now, wall);
            }
        }
    }

    /// Does, or plans, what the driver wants done with snapshots. Whether there was anything.
    fn snapshot_tasks(
        &mut self,
        now: Micros,
        turn: &mut Turn<CoreMessage<S>>,
    ) -> Result<bool, String> {
        let Some(snapshots) = &mut self.snapshots else {
            return Ok(false);
        };
        let tasks = turn.tasks.take().unwrap_or_default();
        let had_tasks = !tasks.is_empty();
        for task in tasks {
            let done = snapshots.task(now, &mut self.group, task);
            done.map_err(|error| error.to_string())?;
        }
        let read = snapshots.slice(now, self.group.machine_mut());
        read.map_err(|error| error.to_string())?;
        if now.since(self.looked_at) >= Micros(1_000_000) {
            self.looked_at = now;
            snapshots.look(self.group.view());
        }
        Ok(had_tasks)
    }

    /// When to look though nothing has come in, by its own clock.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        let slice = self.snapshots.as_ref().and_then(Snapshots::deadline);
        self.group.deadline().into_iter().chain(slice).min()
    }

    /// One frame per peer and channel, or several where one would be too large.
    pub(crate) fn frames(
        &self,
        node: usize,
        wall: Millis,
        messages: Vec<(usize, Message<CoreMessage<S>>)>,
    ) -> Vec<(End, Bytes)> {
        let mut open: Vec<(End, usize, Frame<CoreMessage<S>>)> = Vec::new();
        for (peer, message) in messages {
            let end = End {
                node,
                peer,
                channel: message.channel(),
            };
            let bytes = message.payload_bytes();
            let fits = |(at, size, _): &(End, usize, _)| *at == end && size + bytes <= FRAME_BYTES;
            match open.iter_mut().rev().find(|frame| frame.0 == end) {
                Some(frame) if fits(frame) => {
                    frame.1 += bytes;
                    frame.2.messages.push((GROUP.0, message));
                }
                _ => {
                    let mut frame = Frame::new(wall);
                    frame.messages.push((GROUP.0, message));
                    open.push((end, bytes, frame));
                }
            }
        }
        open.into_iter()
            .map(|(end, _, frame)| (end, frame.encode()))
            .collect()
    }
}

/// A connection's way into the replica.
struct ReplicaGate<'a, C: consensus::Consensus> {
    replica: &'a mut Replica<C, Token>,
    connection: u64,
    now: Micros,
    wall: Millis,
}

impl<C: consensus::Consensus> ReplicaGate<'_, C> {
    fn token(&self, slot: u64, read: bool) -> Token {
        Token {
            connection: self.connection,
            slot,
            read,
        }
    }
}

impl<C: consensus::Consensus> Gate for ReplicaGate<'_, C> {
    fn submit(&mut self, slot: u64, command: &[u8]) {
        let token = self.token(slot, false);
        self.replica.submit(self.now, token, command);
    }

    fn read(&mut self, slot: u64, query: &[u8]) {
        let token = self.token(slot, true);
        self.replica.read(self.now, token, query);
    }

    fn now(&self) -> Millis {
        self.wall
    }

    fn leads(&self) -> Option<bool> {
        let leader = self.replica.leadership().1;
        leader.map(|_| self.replica.leads())
    }
}

impl<M: consensus::Message> Io<M, Token> for Turn<M> {
    fn send(&mut self, to: NodeId, message: Message<M>) {
        self.messages.push((number(to), message));
    }

    fn write(&mut self, seq: WriteSeq, ops: Vec<LogOp>) {
        self.request.ops.extend(ops.into_iter().map(to_log));
        self.request.seq = Some(seq);
    }

    fn fetch(&mut self, id: FetchId, from: Index, to: Index, max_bytes: usize) {
        self.request.fetches.push(Fetch {
            id,
            from,
            to,
            max_bytes,
        });
    }

    fn reply(&mut self, token: Token, index: Option<Index>, reply: &[u8]) {
        self.answers.push((token, index, Ok(reply.to_vec())));
    }

    fn fail(&mut self, token: Token, failure: Failure) {
        self.answers.push((token, None, Err(failure)));
    }

    fn held(&mut self, _: Token, _: Held) {}

    fn snapshot(&mut self, task: SnapshotTask) -> Result<(), SnapshotTask> {
        match &mut self.tasks {
            Some(tasks) => {
                tasks.push(task);
                Ok(())
            }
            None => Err(task),
        }
    }
}
