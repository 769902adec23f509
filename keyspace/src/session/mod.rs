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
mod docs;
mod info;
mod introspection;
mod replies;
mod wait;

use std::net::SocketAddr;
use std::time::Duration;

use resp::{Limits, ProtocolError, Request, RequestDecoder};

use self::replies::{Kind, Protocol, Replies, Style};
use crate::clients::ClientInfo;
use crate::command;
use crate::host::{Access, Host, Leadership, Outcome, Slot};
use crate::key;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::table::{self, Command, Id, flags};

/// Unanswered commands of one session.
pub const OUTSTANDING_MAX: usize = 10_000;

/// What a session's unanswered commands may weigh together before it takes no more, in bytes.
pub const COMMAND_BYTES_MAX: usize = 64 << 20;

/// What a session's replies may weigh before it takes no more commands, in bytes: those not yet
/// taken from it, and a guess at those still to come.
pub const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// A scratch buffer that has grown beyond this is given back after use.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// What a session has counted since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionCounters {
    /// Commands handled.
    pub commands: u64,
    /// Error replies.
    pub errors: u64,
}

/// Why a session does not take the next command yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// A write awaits the reads before it.
    Reads,
    /// WAIT awaits the writes before it.
    Writes,
    /// Everything awaits WAIT.
    Wait,
    /// Too much is unanswered, or unread.
    Full,
}

/// Which replies CLIENT REPLY lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mute {
    On,
    Off,
    SkipNext,
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    decoder: RequestDecoder,
    state: State,
}

/// Everything of a session besides its decoder, from which requests are borrowed.
#[derive(Debug)]
struct State {
    id: u64,
    peer: SocketAddr,
    local: SocketAddr,
    since: Duration,
    active: Duration,
    protocol: Protocol,
    authenticated: bool,
    database: u16,
    readonly: bool,
    mute: Mute,
    name: String,
    library: String,
    library_version: String,
    replies: Replies,
    /// The log index of the last write that was answered.
    last_write: Option<u64>,
    block: Option<Block>,
    closing: bool,
    commands: u64,
    bytes_in: u64,
    last_command: &'static str,
    /// The limits no longer fit: authentication came or went.
    limits_stale: bool,
    /// The longest bulk string that the decoder lets through.
    bulk_bytes_max: u64,
    /// An encoded command, reused.
    command: Vec<u8>,
    /// A reply of the session's own, reused.
    reply: Vec<u8>,
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
        let state = State {
            id,
            peer,
            local,
            since: now,
            active: now,
            protocol: Protocol::Resp2,
            authenticated: settings.requirepass.is_empty(),
            database: 0,
            readonly: false,
            mute: Mute::On,
            name: String::new(),
            library: String::new(),
            library_version: String::new(),
            replies: Replies::new(),
            last_write: None,
            block: None,
            closing: false,
            commands: 0,
            bytes_in: 0,
            last_command: "",
            limits_stale: false,
            bulk_bytes_max: settings.proto_max_bulk_len,
            command: Vec::new(),
            reply: Vec::new(),
        };
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
        let bulk_bytes_max = host.settings().proto_max_bulk_len;
        state.limits_stale |= state.bulk_bytes_max != bulk_bytes_max;
        state.bulk_bytes_max = bulk_bytes_max;
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

impl State {
    fn limits(&self) -> Limits {
        if !self.authenticated {
            return Limits::unauthenticated();
        }
        Limits {
            max_bulk: usize::try_from(self.bulk_bytes_max).unwrap_or(usize::MAX),
            ..Limits::default()
        }
    }

    /// Whether no command at all may be taken at the moment.
    fn full(&self) -> Option<Block> {
        let replies = &self.replies;
        if replies.waits > 0 {
            return Some(Block::Wait);
        }
        let unread = replies.output.len() + replies.early_bytes;
        let full = replies.outstanding() >= OUTSTANDING_MAX
            || replies.command_bytes >= COMMAND_BYTES_MAX
            || unread >= OUTPUT_BYTES_MAX
            || (replies.outstanding() > 0 && unread + replies.expected_bytes() >= OUTPUT_BYTES_MAX);
        full.then_some(Block::Full)
    }

    /// Handles one request, or says why it has to wait.
    fn handle<H: Host>(&mut self, request: &Request<'_>, host: &mut H) -> Option<Block> {
        let name = request.arg(0)?;
        let command = match find(name, request) {
            Ok(command) => command,
            Err(refusal) => {
                self.refuse(&refusal);
                return None;
            }
        };
        if !self.authenticated && !command.is(flags::NO_AUTH) {
            self.refuse(&Refusal::Text("NOAUTH Authentication required."));
            return None;
        }
        match command.number() {
            Some(number) => self.submit(command, number, request, host),
            None if matches!(command.id, Id::Wait | Id::WaitAof) => {
                self.wait(command, request, host)
            }
            None => {
                self.answer(command, request, host);
                None
            }
        }
    }

    /// A command of the state machine's.
    fn submit<H: Host>(
        &mut self,
        command: &'static Command,
        number: u16,
        request: &Request<'_>,
        host: &mut H,
    ) -> Option<Block> {
        let write = command.is(flags::WRITE);
        if host.settings().cluster_enabled
            && let Some(moved) = self.moved(command, request, host)
        {
            self.refuse(&moved);
            return None;
        }
        let (kind, access) = match write {
            true if self.replies.reads > 0 => return Some(Block::Reads),
            true => (Kind::Write, Access::Write),
            false if self.replies.logged > 0 => (Kind::LoggedRead, Access::Write),
            false => (Kind::Read, Access::Read),
        };
        let names = if command.name.contains('|') { 2 } else { 1 };
        command::encode(
            &mut self.command,
            self.database,
            number,
            request.args().skip(names),
        );
        let style = self.begin(command);
        let slot = self.replies.expect(kind, style, self.command.len());
        host.submit(slot, access, &self.command);
        if self.command.capacity() > SCRATCH_BYTES_MAX {
            self.command = Vec::new();
        }
        None
    }

    /// Where to ask instead, if this is a cluster to its clients and another node leads.
    fn moved<H: Host>(
        &self,
        command: &Command,
        request: &Request<'_>,
        host: &H,
    ) -> Option<Refusal> {
        let Leadership::Other(leader) = host.leader() else {
            return None;
        };
        if self.readonly && !command.is(flags::WRITE) {
            return None;
        }
        let key = command.keys.positions(request.len()).next()?;
        let slot = key::slot(request.arg(key)?);
        let overview = host.overview();
        let leader = overview.member(leader)?;
        let text = format!("MOVED {slot} {}:{}", leader.host, leader.port);
        Some(Refusal::Owned(text.into_bytes()))
    }

    /// A command of the session's own.
    fn answer<H: Host>(&mut self, command: &'static Command, request: &Request<'_>, host: &mut H) {
        let mut style = self.begin(command);
        let mut reply = std::mem::take(&mut self.reply);
        reply.clear();
        if let Err(refusal) = self.execute(command, request, host, &mut reply) {
            reply.clear();
            refusal.write(&mut reply);
        } else if matches!(command.id, Id::ClientReply | Id::Reset) {
            style.silent = self.mute != Mute::On;
        }
        // HELLO is answered in the protocol that it chose.
        style.protocol = self.protocol;
        self.replies.answer(style, &reply);
        if reply.capacity() <= SCRATCH_BYTES_MAX {
            self.reply = reply;
        }
    }

    /// Counts a command that is really being handled, and says how its reply is to be rendered.
    fn begin(&mut self, command: &'static Command) -> Style {
        self.last_command = command.name;
        self.style()
    }

    fn style(&mut self) -> Style {
        self.commands += 1;
        let silent = self.mute != Mute::On;
        if self.mute == Mute::SkipNext {
            self.mute = Mute::On;
        }
        Style {
            protocol: self.protocol,
            silent,
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: &Refusal) {
        let style = self.style();
        let mut reply = Vec::new();
        refusal.write(&mut reply);
        self.replies.answer(style, &reply);
    }

    #[cold]
    fn protocol_error(&mut self, error: &ProtocolError) {
        tracing::debug!(client = self.id, peer = %self.peer, %error, "connection closed");
        let style = self.style();
        let mut reply = Vec::new();
        error.reply(&mut reply);
        self.replies.answer(style, &reply);
        self.closing = true;
    }

    fn execute<H: Host>(
        &mut self,
        command: &'static Command,
        request: &Request<'_>,
        host: &mut H,
        reply: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        match command.group {
            table::Group::Connection if command.name.starts_with("client") => {
                self.client(command.id, request, host, reply)
            }
            table::Group::Connection => self.connection(command.id, request, host, reply),
            table::Group::Cluster => self.cluster(command.id, request, host, reply),
            _ => match command.id {
                Id::ConfigGet
                | Id::ConfigSet
                | Id::ConfigResetStat
                | Id::ConfigRewrite
                | Id::ConfigHelp => config::config(command.id, request, host, reply),
                Id::Info => info::info(request, host, reply),
                Id::Role => {
                    info::role(&host.overview(), reply);
                    Ok(())
                }
                Id::Time => {
                    connection::time(host.now(), reply);
                    Ok(())
                }
                id => introspection::command(id, request, reply),
            },
        }
    }
}

/// The command that a request means, if it has the right number of arguments.
#[inline]
fn find(name: &[u8], request: &Request<'_>) -> Result<&'static Command, Refusal> {
    let Some(mut command) = table::lookup(name) else {
        return Err(unknown_command(name, request));
    };
    if !command.subcommands.is_empty()
        && let Some(subcommand) = request.arg(1)
    {
        command = table::lookup_subcommand(command, subcommand)
            .ok_or_else(|| unknown_subcommand(command, subcommand))?;
    }
    if !command.takes(request.len()) {
        return Err(Refusal::Arity(command.name));
    }
    Ok(command)
}

/// As much of an argument as C would print of it, at most `most` bytes.
fn printable(arg: &[u8], most: usize) -> &[u8] {
    let text = arg.split(|byte| *byte == 0).next().unwrap_or_default();
    text.get(..most).unwrap_or(text)
}

#[cold]
fn unknown_command(name: &[u8], request: &Request<'_>) -> Refusal {
    const SHOWN_MAX: usize = 128;
    let mut args = Vec::new();
    for arg in request.args().skip(1) {
        if args.len() >= SHOWN_MAX {
            break;
        }
        let shown = printable(arg, SHOWN_MAX - args.len());
        args.extend_from_slice(&[b"'", shown, b"' "].concat());
    }
    Refusal::Owned(
        [
            b"ERR unknown command '",
            printable(name, SHOWN_MAX),
            b"', with args beginning with: ",
            &args,
        ]
        .concat(),
    )
}

#[cold]
fn unknown_subcommand(container: &Command, name: &[u8]) -> Refusal {
    Refusal::Owned(
        [
            b"ERR unknown subcommand '",
            printable(name, 128),
            b"'. Try ",
            container.name.to_ascii_uppercase().as_bytes(),
            b" HELP.",
        ]
        .concat(),
    )
}

/// What a container's HELP says: its subcommands, from the table.
fn help(container: &str, reply: &mut Vec<u8>) {
    let Some(command) = table::lookup(container.as_bytes()) else {
        return;
    };
    let mut lines = vec![format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        container.to_ascii_uppercase()
    )];
    for subcommand in command.subcommands {
        let name = subcommand.short_name().to_ascii_uppercase();
        let syntax = table::arguments::syntax(subcommand.arguments);
        lines.push(format!("{name} {syntax}").trim_end().to_string());
        lines.push(format!("    {}", subcommand.summary));
    }
    resp::encode::array(reply, lines.len());
    lines
        .iter()
        .for_each(|line| resp::encode::simple(reply, line));
}
