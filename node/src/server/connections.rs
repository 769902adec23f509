//! The client connections of a node: which sockets there are, what has been read and not consumed,
//! and which have something to be written.
//!
//! Replies are written straight from the end of the turn that made them, with one write per
//! connection; only when a socket is full does its task wait for room.

use std::task::{Context, Waker};

use consensus::{Index, Micros};
use keyspace::{Outcome, Session, Slot};
use replication::{Failure, Held};
use slab::Slab;
use tokio::net::TcpStream;

use super::hosting::Replies;

/// An idle connection keeps no larger buffer than this, in bytes.
const KEEP_BYTES: usize = 4 << 10;

/// A connection that has sent this much more than its session takes is read no further, in bytes,
/// unless one command needs more.
const INPUT_BYTES_MAX: usize = 256 << 10;

/// What one connection is written at most before it is the turn of others, in bytes.
const WRITE_BYTES: usize = 1 << 20;

/// Who waits for a reply: a slot of a session of a connection. Keys are used again, ids never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) key: usize,
    pub(super) id: u64,
    pub(super) slot: Slot,
}

/// One client connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    /// Absent while it handles input.
    pub(super) session: Option<Session>,
    /// What has been read and not consumed.
    pub(super) input: Vec<u8>,
    pub(super) socket: TcpStream,
    /// The connection's task, once it has waited for the first time.
    waker: Option<Waker>,
    /// How much of the session's output has been written.
    written: usize,
    /// The socket is full; the task waits for room.
    pub(super) full: bool,
    /// To be closed without waiting for anything.
    pub(super) killed: bool,
    dirty: bool,
    resumed: bool,
    /// When it was last heard of, in milliseconds of the loop's clock.
    pub(super) heard_ms: u64,
    pub(super) bytes_out: u64,
}

impl Connection {
    /// Whether more has been read than the session takes for now.
    pub(super) fn is_glutted(&self) -> bool {
        let session = self.session.as_ref();
        self.input.len() >= INPUT_BYTES_MAX && session.is_some_and(Session::is_blocked)
    }

    /// Wakes the connection's task: there is room to be waited for, or input to go on with, or it
    /// is to end.
    pub(super) fn wake(&self) {
        self.waker.iter().for_each(Waker::wake_by_ref);
    }

    /// The task to be woken.
    pub(super) fn wait(&mut self, context: &Context<'_>) {
        if self.waker.is_none() {
            self.waker = Some(context.waker().clone());
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) all: Slab<Connection>,
    next_id: u64,
    /// Those with something to write.
    dirty: Vec<usize>,
    /// Those whose session may go on with input it has not consumed.
    resumed: Vec<usize>,
}

/// What is to become of a connection after writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It goes on.
    Open,
    /// It is finished.
    Close,
}

impl Connections {
    /// The id of the next connection.
    pub(super) fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Adds a connection.
    pub(super) fn insert(
        &mut self,
        id: u64,
        session: Session,
        socket: TcpStream,
        now: Micros,
    ) -> usize {
        self.all.insert(Connection {
            id,
            session: Some(session),
            input: Vec::new(),
            socket,
            waker: None,
            written: 0,
            full: false,
            killed: false,
            dirty: false,
            resumed: false,
            heard_ms: now.0 / 1_000,
            bytes_out: 0,
        })
    }

    /// The connection of that key and id, if it still stands.
    pub(super) fn get_mut(&mut self, key: usize, id: u64) -> Option<&mut Connection> {
        self.all.get_mut(key).filter(|found| found.id == id)
    }

    /// Puts a session back after it has handled input.
    pub(super) fn put_back(&mut self, key: usize, mut session: Session) {
        let Some(connection) = self.all.get_mut(key) else {
            return;
        };
        let dirty = !session.output().is_empty() || session.closing();
        connection.session = Some(session);
        if dirty {
            self.mark_dirty(key);
        }
    }

    /// There is something to write.
    fn mark_dirty(&mut self, key: usize) {
        if let Some(connection) = self.all.get_mut(key)
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(key);
        }
    }

    /// The session may go on with its input.
    fn mark_resumed(&mut self, key: usize) {
        if let Some(connection) = self.all.get_mut(key)
            && !connection.resumed
            && !connection.input.is_empty()
        {
            connection.resumed = true;
            self.resumed.push(key);
        }
    }

    /// Takes those whose session may go on with input it has not consumed.
    pub(super) fn take_resumed(&mut self) -> Vec<usize> {
        for key in &self.resumed {
            if let Some(connection) = self.all.get_mut(*key) {
                connection.resumed = false;
            }
        }
        std::mem::take(&mut self.resumed)
    }

    /// Writes what there is to write, one write per connection. Returns those that are finished.
    pub(super) fn flush(&mut self) -> Vec<usize> {
        let mut finished = Vec::new();
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            if self.write(key) == Written::Close {
                finished.push(key);
            }
        }
        // Keep the allocation, unless writing has marked somebody anew.
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
        finished
    }

    /// Writes to one connection.
    pub(super) fn write(&mut self, key: usize) -> Written {
        let Some(connection) = self.all.get_mut(key) else {
            return Written::Open;
        };
        connection.dirty = false;
        let Some(session) = &mut connection.session else {
            return Written::Open;
        };
        let output = session.output();
        let mut left = WRITE_BYTES;
        while !output.is_empty() {
            let rest = output.get(connection.written..).unwrap_or_default();
            let Some(part) = rest
                .get(..left.min(rest.len()))
                .filter(|part| !part.is_empty())
            else {
                // The socket may have room, but it is the turn of others.
                connection.full = true;
                connection.wake();
                return Written::Open;
            };
            match connection.socket.try_write(part) {
                Ok(n) => {
                    left -= n;
                    connection.bytes_out += n as u64;
                    connection.written += n;
                    if connection.written == output.len() {
                        connection.written = 0;
                        output.clear();
                        output.shrink_to(KEEP_BYTES);
                    } else if connection.written > output.len() / 2 {
                        // Moving the rest costs no more than writing what came before it did.
                        output.drain(..connection.written);
                        connection.written = 0;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    connection.full = true;
                    connection.wake();
                    return Written::Open;
                }
                Err(_) => return Written::Close,
            }
        }
        connection.full = false;
        if session.closing() {
            return Written::Close;
        }
        if session.can_continue() {
            self.mark_resumed(key);
        }
        Written::Open
    }

    /// Hands a session an outcome.
    fn complete(&mut self, token: Token, index: Option<Index>, outcome: Outcome<'_>) {
        let Some(connection) = self.get_mut(token.key, token.id) else {
            return;
        };
        let Some(session) = &mut connection.session else {
            return;
        };
        session.complete(token.slot, index.map(|index| index.0), outcome);
        let resumes = session.can_continue();
        if !session.output().is_empty() || session.closing() {
            self.mark_dirty(token.key);
        }
        if resumes {
            self.mark_resumed(token.key);
        }
    }
}

impl Replies<Token> for Connections {
    fn reply(&mut self, token: Token, index: Option<Index>, reply: &[u8]) {
        self.complete(token, index, Outcome::Reply(reply));
    }

    fn fail(&mut self, token: Token, failure: Failure) {
        let outcome = match failure {
            Failure::Unknown => Outcome::Unknown,
            Failure::NotExecuted => Outcome::NotExecuted,
            Failure::NoLeader => Outcome::NoLeader,
        };
        self.complete(token, None, outcome);
    }

    fn held(&mut self, token: Token, held: Held) {
        let outcome = Outcome::Durable {
            local: held.leader,
            replicas: held.replicas,
        };
        self.complete(token, None, outcome);
    }
}
