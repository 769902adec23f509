//! One client connection, without the connection.
//!
//! Bytes come in by [`receive`](Session::receive), replies go out by [`output`](Session::output);
//! what has to be done in the world is asked of the [`Host`], and comes back by
//! [`complete`](Session::complete).
//!
//! # The order it keeps
//!
//! * Replies come in the order of their commands, whatever order the commands complete in.
//! * Commands take effect in order. Writes follow one another in the log and need not wait for each
//!   other; reads may run side by side. A read behind an unanswered write travels in the log behind
//!   it. A write behind unanswered reads waits for them, and with it everything that follows.
//! * What a command says about replies (HELLO, CLIENT REPLY) holds from its place in that order.
//!
//! # How much it holds
//!
//! At most [`OUTSTANDING_MAX`] unanswered commands of [`COMMAND_BYTES_MAX`] together, and about
//! [`OUTPUT_BYTES_MAX`] of replies that the client does not read, those expected included. Beyond
//! that it stops consuming; so should its node then stop reading the socket.
//!
//! Left out: MULTI, WATCH and blocked calls, which come with the commands that need them; delays
//! after a wrong password and idle timeouts, which are the node's.

mod client;
mod cluster;
mod config;
mod connection;
mod databases;
mod docs;
mod info;
mod introspection;
mod replies;
mod state;
mod texts;
mod wait;

use std::net::SocketAddr;
use std::time::Duration;

use resp::RequestDecoder;

use self::replies::Kind;
use self::state::{Block, State};
use crate::clients::ClientInfo;
use crate::command::ASK_AGAIN;
use crate::host::{Host, Outcome, Slot};
use crate::settings::Settings;

/// Unanswered commands of one session.
pub const OUTSTANDING_MAX: usize = 10_000;

/// What a session's unanswered commands may weigh together before it takes no more, in bytes.
pub const COMMAND_BYTES_MAX: usize = 64 << 20;

/// What a session's replies may weigh before it takes no more commands, in bytes: those not yet
/// taken from it, and a guess at those still to come.
pub const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// What a session has counted since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Commands handled.
    pub commands: u64,
    /// Error replies.
    pub errors: u64,
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    decoder: RequestDecoder,
    state: State,
}

impl Session {
    /// A connection begins. `id` is unique while the node runs; `now` is the time since 1970.
    #[must_use]
    pub fn new(
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        settings: &Settings,
        now: Duration,
    ) -> Self {
        let state = State::new(id, peer, local, settings, now);
        Session {
            decoder: RequestDecoder::new(state.limits()),
            state,
        }
    }

    /// Handles the complete commands in `input`, which begins where the last call stopped
    /// consuming; returns how many bytes are done with. Give the rest again, with what has come in
    /// since, when more arrives. While [`is_blocked`](Session::is_blocked), give it again once
    /// [`can_continue`](Session::can_continue), and leave the socket unread until then.
    pub fn receive<H: Host>(&mut self, input: &[u8], host: &mut H) -> usize {
        let state = &mut self.state;
        state.active = host.now();
        state.replies.trim();
        let bulk_bytes_max = host.settings().proto_max_bulk_len;
        state.limits_stale |= state.bulk_bytes_max != bulk_bytes_max;
        state.bulk_bytes_max = bulk_bytes_max;
        state.resubmit(host);
        let mut consumed = 0;
        while !state.closing {
            state.block = state.full();
            if state.block.is_some() {
                break;
            }
            if state.limits_stale {
                state.limits_stale = false;
                self.decoder.set_limits(state.limits());
            }
            match self
                .decoder
                .decode(input.get(consumed..).unwrap_or_default())
            {
                Ok(Some(request)) => {
                    state.block = state.handle(&request, host);
                    if state.block.is_some() {
                        break;
                    }
                    consumed += request.consumed();
                }
                Ok(None) => break,
                Err(error) => state.protocol_error(&error),
            }
        }
        if state.closing {
            state.block = None;
            consumed = input.len();
        }
        state.bytes_in += consumed as u64;
        consumed
    }

    /// What was asked under `slot` is done. `index` is the log index of a command that went through
    /// the log, where it is known.
    ///
    /// # Panics
    /// When nothing is awaited under `slot`: a node that answers twice has lost count.
    pub fn complete(&mut self, slot: Slot, index: Option<u64>, outcome: Outcome<'_>) {
        if let Some(long) = self.state.long.as_mut().filter(|long| long.slot == slot) {
            match outcome {
                Outcome::Reply(ASK_AGAIN) => {
                    long.again = true;
                    return;
                }
                Outcome::Reply(statistics) if !long.prefix.is_empty() => {
                    let reply = info::with_databases(&long.prefix, statistics);
                    self.state.long = None;
                    self.state.replies.complete(slot, Outcome::Reply(&reply));
                    return;
                }
                _ => self.state.long = None,
            }
        }
        let kind = self.state.replies.complete(slot, outcome);
        if kind == Kind::Write {
            // Several writes may be under way; they are answered in any order.
            self.state.last_write = self.state.last_write.max(index);
        }
    }

    /// Replies in order, ready to be written. The node drains what it has written.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.state.replies.output
    }

    /// Whether complete commands may be waiting in the input.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.state.block.is_some()
    }

    /// Whether it is blocked for a reason that has gone: call [`receive`](Session::receive) again
    /// with the rest of the input. Cheap; ask after `complete`, and after draining the output.
    #[must_use]
    pub fn can_continue(&self) -> bool {
        let replies = &self.state.replies;
        match self.state.block {
            None => false,
            Some(Block::Reads) => replies.reads == 0,
            Some(Block::Writes) => replies.logged == 0,
            Some(Block::Wait) => replies.waits == 0,
            Some(Block::Long) => {
                replies.longs == 0 || self.state.long.as_ref().is_some_and(|long| long.again)
            }
            Some(Block::Full) => self.state.full().is_none(),
        }
    }

    /// Whether the connection is to be closed once `output` is written. Nothing more is awaited
    /// then, and input is thrown away.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.state.closing && self.state.replies.outstanding() == 0
    }

    /// How many commands are unanswered.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.state.replies.outstanding()
    }

    /// How much more input the request that is being received wants, in bytes; a hint for the
    /// node's buffer, never more than about what it holds already.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.decoder.wanted()
    }

    /// When input last came in, as time since 1970.
    #[must_use]
    pub fn active(&self) -> Duration {
        self.state.active
    }

    /// Whether it waits in WAIT or WAITAOF.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.state.replies.waits > 0
    }

    /// What has been counted since the last call.
    pub fn take_counters(&mut self) -> SessionCounters {
        SessionCounters {
            commands: std::mem::take(&mut self.state.commands),
            errors: std::mem::take(&mut self.state.replies.errors),
        }
    }

    /// The connection as CLIENT LIST shows it. `now` is the time since 1970.
    #[must_use]
    pub fn info(&self, now: Duration) -> ClientInfo {
        self.state.info(now)
    }
}
