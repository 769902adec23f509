//! One client connection, without the connection.

use std::net::SocketAddr;
use std::time::Duration;

use crate::clients::ClientInfo;
use crate::host::{Host, Outcome, Slot};
use crate::settings::Settings;

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
    output: Vec<u8>,
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
        let _ = (id, peer, local, settings, now);
        Session { output: Vec::new() }
    }

    /// Handles the complete commands in `input`, which starts where the last call stopped
    /// consuming; returns how many bytes are done with. Keep the rest, and give it again, with
    /// what has come in since, when more arrives, or, while [`is_blocked`](Session::is_blocked),
    /// after `complete` has been called or output has been taken.
    pub fn receive<H: Host>(&mut self, input: &[u8], host: &mut H) -> usize {
        let _ = host;
        input.len()
    }

    /// What was asked under `slot` is done. `index` is the log index of a command that went
    /// through the log.
    pub fn complete(&mut self, slot: Slot, index: Option<u64>, outcome: Outcome<'_>) {
        let _ = (slot, index, outcome);
    }

    /// Replies in order, ready to be written. The node drains what it has written.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Whether complete commands may be waiting in the input.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        false
    }

    /// Whether the connection is to be closed once `output` is written. Nothing more is awaited
    /// then.
    #[must_use]
    pub fn closing(&self) -> bool {
        false
    }

    /// What has been counted since the last call.
    pub fn take_counters(&mut self) -> SessionCounters {
        SessionCounters::default()
    }

    /// The connection as CLIENT LIST shows it.
    #[must_use]
    pub fn info(&self, now: Duration) -> ClientInfo {
        let _ = now;
        unreachable!("not yet")
    }
}
