//! The event loop's state: everything that sockets, groups and sessions of a node share.
//!
//! One thread owns it. Connection tasks borrow it for as long as it takes to hand over what was
//! read, never across an await; the turn at the end of each round of the loop lets everything that
//! has come together go on its way at once.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use consensus::Micros;
use consensus_raft::Raft;
use keyspace::{Keyspace, Session, Settings};
use replication::{Group, Millis};
use storage::{GroupId, MemoryEngine};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;
use transport::Transport;

use super::clock::Clock;
use super::connections::{Connections, Token, Written};
use super::hosting::{Hosting, HostingError};
use super::session_host::SessionHost;
use super::view::{Facts, Totals};

/// What is read from a socket at a time, in bytes; one buffer for all connections.
const READ_BYTES: usize = 64 << 10;
/// How often sessions may go on within one turn before the loop looks at its sockets again.
const RESUMES_MAX: usize = 16;

/// The state machine of this build.
pub(super) type Machine = Keyspace<MemoryEngine>;
/// A group of this build.
pub(super) type NodeGroup = Group<Raft, Machine, Token>;
/// Why the loop cannot go on.
pub(crate) type LoopError = HostingError<<Machine as replication::StateMachine>::Error>;

/// The state of the loop.
pub(super) struct Loop {
    pub(super) hosting: Hosting<Raft, Machine, Token>,
    pub(super) connections: Connections,
    pub(super) settings: Settings,
    pub(super) facts: Facts,
    pub(super) totals: Totals,
    pub(super) clock: Clock,
    /// Sockets are not read: too much waits already.
    paused: bool,
    scratch: Vec<u8>,
}

/// The loop's state as its tasks share it.
pub(super) struct Shared {
    pub(super) state: RefCell<Loop>,
    /// A turn is due.
    pub(super) turn_due: Notify,
    /// Reading goes on after a pause.
    resume: Notify,
}

/// What a look at a socket brought.
enum Heard {
    /// Something, handed to the session.
    Input,
    /// The client has gone.
    Gone,
}

impl Loop {
    pub(super) fn new(
        groups: Hosting<Raft, Machine, Token>,
        settings: Settings,
        facts: Facts,
    ) -> Self {
        Loop {
            hosting: groups,
            connections: Connections::default(),
            settings,
            facts,
            totals: Totals::default(),
            clock: Clock::default(),
            paused: false,
            scratch: vec![0; READ_BYTES],
        }
    }

    /// The group in which commands of database 0 run.
    pub(super) fn data_group(&mut self) -> Option<&mut NodeGroup> {
        self.hosting.group(GroupId(0))
    }

    /// Ends a turn: groups go on, sessions go on with what they had not consumed, replies leave.
    /// Returns whether there is more to do at once.
    pub(super) fn turn(&mut self, transport: &mut impl Transport) -> Result<bool, LoopError> {
        let (now, wall) = self.clock.read();
        let mut again = true;
        for _ in 0..RESUMES_MAX {
            self.hosting
                .turn(now, wall, transport, &mut self.connections)?;
            let finished = self.connections.flush();
            finished.into_iter().for_each(|key| self.close(key));
            let resumed = self.connections.take_resumed();
            again = !resumed.is_empty();
            if !again {
                break;
            }
            resumed.into_iter().for_each(|key| self.go_on(key));
        }
        Ok(again)
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
            connection.wake.notify_one();
        }
    }

    /// Forgets a connection; its task ends when it next looks.
    pub(super) fn close(&mut self, key: usize) {
        if let Some(connection) = self.connections.all.try_remove(key) {
            connection.wake.notify_one();
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

impl Shared {
    pub(super) fn new(state: Loop) -> Rc<Self> {
        Rc::new(Shared {
            state: RefCell::new(state),
            turn_due: Notify::new(),
            resume: Notify::new(),
        })
    }

    /// Stops reading sockets while too much waits, and goes on when it no longer does.
    pub(super) fn relieve(&self) {
        let mut state = self.state.borrow_mut();
        let overloaded = state.hosting.overloaded();
        if state.paused && !overloaded {
            self.resume.notify_waiters();
        }
        state.paused = overloaded;
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
        let (reader, writer) = socket.into_split();
        let (key, wake) = state
            .connections
            .insert(id, session, writer, state.clock.now());
        tokio::task::spawn_local(serve(Rc::clone(self), key, id, reader, wake));
        Ok(())
    }

    /// Reads once, as much as there is room for, and hands it to the session.
    fn poll_read(
        &self,
        context: &mut Context<'_>,
        (key, id): (usize, u64),
        reader: &mut OwnedReadHalf,
    ) -> Poll<Heard> {
        let mut state = self.state.borrow_mut();
        let mut scratch = std::mem::take(&mut state.scratch);
        let mut buffer = ReadBuf::new(&mut scratch);
        let polled = Pin::new(reader).poll_read(context, &mut buffer);
        let heard = match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                state.totals.bytes_in += buffer.filled().len() as u64;
                if state.connections.get_mut(key, id).is_some() {
                    state.feed(key, buffer.filled());
                }
                self.turn_due.notify_one();
                Poll::Ready(Heard::Input)
            }
            Poll::Ready(_) => Poll::Ready(Heard::Gone),
        };
        state.scratch = scratch;
        heard
    }
}

/// A connection's task: reads while the session takes, waits for room while the socket is full.
async fn serve(
    shared: Rc<Shared>,
    key: usize,
    id: u64,
    mut reader: OwnedReadHalf,
    wake: Rc<Notify>,
) {
    loop {
        let (socket, full, glutted, paused) = {
            let mut state = shared.state.borrow_mut();
            let paused = state.paused;
            let Some(connection) = state.connections.get_mut(key, id) else {
                return;
            };
            if connection.killed {
                state.close(key);
                return;
            }
            let glutted = connection.is_glutted();
            (
                Rc::clone(&connection.socket),
                connection.full,
                glutted,
                paused,
            )
        };
        tokio::select! {
            biased;
            () = wake.notified() => {}
            () = shared.resume.notified(), if paused => {}
            _ = socket.writable(), if full => {
                let mut state = shared.state.borrow_mut();
                if state.connections.write(key) == Written::Close {
                    state.close(key);
                }
                shared.turn_due.notify_one();
            }
            heard = std::future::poll_fn(|context| shared.poll_read(context, (key, id), &mut reader)),
                if !paused && !glutted =>
            {
                if matches!(heard, Heard::Gone) {
                    shared.state.borrow_mut().close(key);
                    return;
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
