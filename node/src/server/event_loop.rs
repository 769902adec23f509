//! The event loop's state: everything that sockets, groups and sessions of a node share.
//!
//! One thread owns it. Connection tasks borrow it for as long as it takes to hand over what was
//! read, never across an await; the turn at the end of each round of the loop lets everything that
//! has come together go on its way at once.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use consensus::Micros;
use consensus_raft::Raft;
use keyspace::{Keyspace, KeyspaceError, Session, Settings};
use replication::{Group, Millis};
use storage::Engine;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use transport::Transport;

use super::DATA_GROUP;
use super::clock::Clock;
use super::connections::{Connections, Token, Written};
use super::hosting::{Hosting, HostingError};
use super::session_host::SessionHost;
use super::snapshots::{SnapshotEvent, Snapshots, SnapshotsError, Step};
use super::view::{Facts, Totals};

/// What is read from a socket at a time, in bytes; one buffer for all connections.
const READ_BYTES: usize = 64 << 10;
/// How often sessions may go on within one turn before the loop looks at its sockets again.
const RESUMES_MAX: usize = 16;

/// A group of a node.
pub(super) type NodeGroup<E> = Group<Raft, Keyspace<E>, Token>;
/// Why the loop cannot go on.
pub(crate) type LoopError = HostingError<KeyspaceError>;

/// The state of the loop.
pub(super) struct Loop<E> {
    pub(super) hosting: Hosting<Raft, Keyspace<E>, Token>,
    pub(super) snapshots: Snapshots,
    pub(super) connections: Connections,
    pub(super) settings: Settings,
    pub(super) facts: Facts,
    pub(super) totals: Totals,
    pub(super) clock: Clock,
    /// The longest turn since that was last published.
    pub(super) longest_turn: Duration,
    /// Sockets are not read: too much waits already.
    paused: bool,
    scratch: Vec<u8>,
}

/// The loop's state as its tasks share it.
pub(super) struct Shared<E> {
    pub(super) state: RefCell<Loop<E>>,
    /// A turn is due.
    pub(super) turn_due: Notify,
}

impl<E: Engine> Loop<E> {
    pub(super) fn new(
        hosting: Hosting<Raft, Keyspace<E>, Token>,
        snapshots: Snapshots,
        settings: Settings,
        facts: Facts,
    ) -> Self {
        Loop {
            hosting,
            snapshots,
            connections: Connections::default(),
            settings,
            facts,
            totals: Totals::default(),
            clock: Clock::default(),
            longest_turn: Duration::ZERO,
            paused: false,
            scratch: vec![0; READ_BYTES],
        }
    }

    /// The group in which commands of database 0 run.
    pub(super) fn data_group(&mut self) -> Option<&mut NodeGroup<E>> {
        self.hosting.group(DATA_GROUP)
    }

    /// Ends a turn: groups go on, sessions go on with what they had not consumed, replies leave.
    /// Returns whether there is more to do at once.
    pub(super) fn turn(&mut self, transport: &mut impl Transport) -> Result<bool, LoopError> {
        // As the round began: within it nobody has listened.
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut again = true;
        for _ in 0..RESUMES_MAX {
            self.hosting
                .turn(now, wall, transport, &mut self.connections)?;
            let finished = self.connections.flush();
            finished.into_iter().for_each(|key| self.close(key));
            let resumed = self.connections.take_resumed();
            again = !resumed.is_empty() | self.carry_out_tasks(now)?;
            if !again {
                break;
            }
            resumed.into_iter().for_each(|key| self.go_on(key));
        }
        if let Some(group) = self.hosting.group(DATA_GROUP) {
            let sliced = self.snapshots.slice(now, group);
            sliced.map_err(SnapshotsError::from)?;
        }
        Ok(again | self.hosting.has_work())
    }

    /// Does what the groups want done about snapshots. Returns whether there was anything.
    fn carry_out_tasks(&mut self, now: Micros) -> Result<bool, LoopError> {
        let tasks = self.hosting.take_tasks();
        let any = !tasks.is_empty();
        for (number, task) in tasks {
            if let Some(group) = self.hosting.group(number) {
                let done = self.snapshots.task(now, group, task);
                done.map_err(SnapshotsError::from)?;
            }
        }
        Ok(any)
    }

    /// Takes what the snapshots' worker reported.
    pub(super) fn take_snapshot_events(
        &mut self,
        now: Micros,
        events: &mut Vec<SnapshotEvent<E>>,
    ) -> Result<(), LoopError> {
        for event in events.drain(..) {
            let Some(group) = self.hosting.group(DATA_GROUP) else {
                continue;
            };
            let begun = Instant::now();
            if let Some(machine) = self.snapshots.take(now, group, event)? {
                let connections = &mut self.connections;
                let old = self.hosting.install(now, DATA_GROUP, machine, connections);
                self.snapshots.retire(old);
                self.snapshots.ended(Step::Install, begun);
            }
        }
        Ok(())
    }

    /// Looks, once a second, at what of the groups is durable.
    pub(super) fn look_at_snapshots(&mut self) -> Result<(), LoopError> {
        let now = self.clock.now();
        if let Some(group) = self.hosting.group(DATA_GROUP) {
            let looked = self.snapshots.look(now, group);
            looked.map_err(SnapshotsError::from)?;
        }
        Ok(())
    }

    /// All that happens between two looks at the sockets has happened, and took so long.
    pub(super) fn turn_ended(&mut self, took: Duration) {
        self.longest_turn = self.longest_turn.max(took);
    }

    /// When the next turn is due if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Micros> {
        let deadlines = [self.hosting.deadline(), self.snapshots.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Hands a session input that it has not seen, or not consumed.
    fn feed(&mut self, key: usize, fresh: &[u8]) {
        let Some(connection) = self.connections.all.get_mut(key) else {
            return;
        };
        let Some(mut session) = connection.session.take() else {
            return;
        };
        let id = connection.id;
        connection.heard_ms = self.clock.now().0 / 1_000;
        let mut kept = std::mem::take(&mut connection.input);
        if kept.is_empty() {
            let consumed = session.receive(fresh, &mut SessionHost::new(self, key, id));
            kept.extend_from_slice(fresh.get(consumed..).unwrap_or_default());
        } else {
            kept.extend_from_slice(fresh);
            let consumed = session.receive(&kept, &mut SessionHost::new(self, key, id));
            kept.drain(..consumed.min(kept.len()));
        }
        if kept.is_empty() {
            // An idle connection keeps no buffer.
            kept = Vec::new();
        }
        self.totals.count(&mut session);
        if let Some(connection) = self.connections.all.get_mut(key) {
            connection.input = kept;
        }
        self.connections.put_back(key, session);
    }

    fn go_on(&mut self, key: usize) {
        self.feed(key, &[]);
        // Its task may have stopped reading; now it may go on.
        if let Some(connection) = self.connections.all.get_mut(key)
            && !connection.is_glutted()
        {
            connection.wake();
        }
    }

    /// Forgets a connection; its task ends when it next looks.
    pub(super) fn close(&mut self, key: usize) {
        if let Some(connection) = self.connections.all.try_remove(key) {
            connection.wake();
            let id = connection.id;
            self.hosting.forget(|token| token.id == id);
        }
    }

    /// Closes connections that have been silent for longer than `timeout` allows.
    pub(super) fn close_silent(&mut self) {
        let timeout_ms = u64::from(self.settings.timeout) * 1_000;
        if timeout_ms == 0 {
            return;
        }
        let now_ms = self.clock.now().0 / 1_000;
        let silent: Vec<usize> = (self.connections.all.iter())
            .filter(|(_, connection)| now_ms.saturating_sub(connection.heard_ms) > timeout_ms)
            .filter(|(_, connection)| !connection.session.as_ref().is_some_and(Session::is_waiting))
            .map(|(key, _)| key)
            .collect();
        silent.into_iter().for_each(|key| self.close(key));
    }

    /// The time of this turn.
    pub(super) fn now(&self) -> Micros {
        self.clock.now()
    }

    /// This node's clock as of this turn.
    pub(super) fn wall(&self) -> Millis {
        self.clock.wall()
    }
}

impl<E: Engine> Shared<E> {
    pub(super) fn new(state: Loop<E>) -> Rc<Self> {
        Rc::new(Shared {
            state: RefCell::new(state),
            turn_due: Notify::new(),
        })
    }

    /// Stops reading sockets while too much waits, and goes on when it no longer does.
    pub(super) fn relieve(&self) {
        let mut state = self.state.borrow_mut();
        let overloaded = state.hosting.overloaded();
        let resumes = state.paused && !overloaded;
        state.paused = overloaded;
        if resumes {
            (state.connections.all.iter()).for_each(|(_, connection)| connection.wake());
        }
    }

    /// Takes in a client, or refuses it when there are too many.
    pub(super) fn accept(self: &Rc<Self>, socket: TcpStream) -> std::io::Result<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let (peer, local) = (socket.peer_addr()?, socket.local_addr()?);
        socket.set_nodelay(true)?;
        if state.connections.all.len() >= state.settings.maxclients as usize {
            state.totals.rejected += 1;
            // As Redis does; a client that does not read it is closed all the same.
            let _ = socket.try_write(b"-ERR max number of clients reached\r\n");
            return Ok(());
        }
        keep_alive(&socket, state.settings.tcp_keepalive)?;
        state.totals.accepted += 1;
        let id = state.connections.take_id();
        let now = std::time::Duration::from_millis(state.clock.wall().0);
        let session = Session::new(id, peer, local, &state.settings, now);
        let now = state.clock.now();
        let key = state.connections.insert(id, session, socket, now);
        let shared = Rc::clone(self);
        let task = poll_fn(move |context| shared.poll_connection(context, key, id));
        tokio::task::spawn_local(task);
        Ok(())
    }

    /// A connection's task: reads while the session takes, waits for room while the socket is full.
    /// Ready when the connection has ended.
    fn poll_connection(&self, context: &mut Context<'_>, key: usize, id: u64) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let mut wrote = false;
        loop {
            let Some(connection) = state.connections.get_mut(key, id) else {
                return Poll::Ready(());
            };
            connection.wait(context);
            if connection.killed {
                state.close(key);
                return Poll::Ready(());
            }
            let full = connection.full && !wrote;
            if full && connection.socket.poll_write_ready(context).is_ready() {
                // Once: a socket that is drained as fast as it is filled must not keep the others.
                wrote = true;
                if state.connections.write(key) == Written::Close {
                    state.close(key);
                }
                self.turn_due.notify_one();
                continue;
            }
            if state.paused || connection.is_glutted() {
                return Poll::Pending;
            }
            let mut buffer = ReadBuf::new(&mut state.scratch);
            let read = Pin::new(&mut connection.socket).poll_read(context, &mut buffer);
            let bytes = buffer.filled().len();
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if bytes > 0 => {
                    let scratch = std::mem::take(&mut state.scratch);
                    state.totals.bytes_in += bytes as u64;
                    state.feed(key, scratch.get(..bytes).unwrap_or_default());
                    state.scratch = scratch;
                    self.turn_due.notify_one();
                    if bytes == READ_BYTES {
                        // There is more; the others first.
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(_) => {
                    state.close(key);
                    return Poll::Ready(());
                }
            }
        }
    }
}

fn keep_alive(socket: &TcpStream, seconds: u32) -> std::io::Result<()> {
    if seconds == 0 {
        return Ok(());
    }
    let time = std::time::Duration::from_secs(seconds.into());
    let probes = socket2::TcpKeepalive::new().with_time(time);
    socket2::SockRef::from(socket).set_tcp_keepalive(&probes)
}
