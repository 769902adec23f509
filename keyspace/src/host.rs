//! What a session asks of the node it runs in.
//!
//! A session decides and never acts: it names no socket, clock or thread. Whatever it needs done
//! it asks of a [`Host`]; whatever takes time comes back through
//! [`Session::complete`](crate::Session::complete) under the [`Slot`] it was asked for with.

use std::time::Duration;

use crate::clients::{ClientInfo, KillFilter};
use crate::overview::Overview;
use crate::settings::{SettingError, Settings};

/// Names one awaited reply within a session. Ascending from 0, never used twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

/// Which way a command goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// [`query`](replication::StateMachine::query), linearizable. Several reads of one session may
    /// be under way and may complete in any order.
    Read,
    /// Through the log, in the order of submission. Also a read that follows an unanswered write
    /// of its own connection: behind it in the log it sees it.
    Write,
    /// [`query`](replication::StateMachine::query), from this node's own state, however old that
    /// is and whoever leads.
    Local,
}

/// What became of a submitted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was executed; this is its reply, in RESP3.
    Reply(&'a [u8]),
    /// It may or may not have taken effect, now or later.
    Unknown,
    /// It was held until its time was up because nobody led. It was not executed.
    NoLeader,
    /// Leadership changed over it. It is known not to have been executed.
    NotExecuted,
    /// The answer to [`Host::wait`]: who holds the write durably now.
    Durable {
        /// Whether this node does.
        local: bool,
        /// How many other nodes do.
        replicas: u32,
    },
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// This node.
    Me,
    /// The node with this id.
    Other(u64),
    /// Nobody, as far as this node knows.
    None,
}

/// WAIT and WAITAOF: how durable the connection's writes must become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The log index of the connection's last write; `None` when it has written nothing, so that
    /// every connected node counts.
    pub index: Option<u64>,
    /// Whether this node must hold it durably.
    pub local: bool,
    /// How many other nodes must.
    pub replicas: u32,
    /// When to answer with what has been reached; `None` waits for ever.
    pub timeout: Option<Duration>,
}

/// The node, as its sessions see it.
pub trait Host {
    /// Executes `command` (see [`command`](crate::command)); answered later, never from within
    /// this call, by [`Session::complete`](crate::Session::complete).
    fn submit(&mut self, slot: Slot, access: Access, command: &[u8]);

    /// Waits for copies; answered later by [`Outcome::Durable`].
    fn wait(&mut self, slot: Slot, wait: Wait);

    /// Who leads. Asked for each command that names a key while `cluster-enabled`: must be cheap.
    fn leader(&self) -> Leadership;

    /// The settings in force. Asked for often: must be cheap.
    fn settings(&self) -> &Settings;

    /// CONFIG SET of one setting, named in lower case. [`Settings::set`] does the checking.
    ///
    /// # Errors
    /// When there is no such setting, it cannot be changed now, or not to that.
    fn set_setting(&mut self, name: &str, value: &str) -> Result<(), SettingError>;

    /// The node and its cluster, for INFO, CLUSTER, ROLE and MOVED. May cost microseconds.
    fn overview(&self) -> Overview;

    /// The connections, for CLIENT LIST. The asking session may be missing: it adds itself.
    fn clients(&self) -> Vec<ClientInfo>;

    /// Closes every connection that `filter` [matches](KillFilter::matches), except the asking
    /// one, which sees to itself. Returns how many those were.
    fn kill(&mut self, filter: &KillFilter) -> usize;

    /// CONFIG RESETSTAT: counters start from zero again.
    fn reset_statistics(&mut self);

    /// The time since 1970 by this node's clock; that of the current turn will do.
    fn now(&self) -> Duration;
}
