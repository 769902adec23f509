//! A session's own state, and the way a request takes through it.

use std::net::SocketAddr;
use std::time::Duration;

use resp::{Limits, ProtocolError, Request, encode};

use super::replies::{Kind, Protocol, Replies, Style};
use super::texts::{help, unknown_command, unknown_subcommand};
use super::{COMMAND_BYTES_MAX, OUTPUT_BYTES_MAX, OUTSTANDING_MAX};
use super::{config, connection, databases, info, introspection};
use crate::command;
use crate::host::{Access, Host, Leadership, Slot};
use crate::key;
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::table::{self, Command, Group, Id, flags};

/// A scratch buffer that has grown beyond this is given back after use.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// How long a command may be as a whole, in bytes: it goes to the peers in one frame.
const REQUEST_BYTES_MAX: usize = 48 << 20;

/// Why a session does not take the next command yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// A write awaits the reads before it.
    Reads,
    /// WAIT awaits the writes before it.
    Writes,
    /// Everything awaits WAIT.
    Wait,
    /// Everything awaits a query that takes long.
    Long,
    /// Too much is unanswered, or unread.
    Full,
}

/// Which replies CLIENT REPLY lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mute {
    On,
    Off,
    SkipNext,
}

/// Everything of a session besides its decoder, from which requests are borrowed.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: u64,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) since: Duration,
    pub(super) active: Duration,
    pub(super) protocol: Protocol,
    pub(super) authenticated: bool,
    pub(super) database: u16,
    pub(super) readonly: bool,
    pub(super) mute: Mute,
    pub(super) name: String,
    pub(super) library: String,
    pub(super) library_version: String,
    pub(super) replies: Replies,
    /// The log index of the last write that was answered.
    pub(super) last_write: Option<u64>,
    pub(super) block: Option<Block>,
    pub(super) closing: bool,
    pub(super) commands: u64,
    pub(super) bytes_in: u64,
    pub(super) last_command: &'static str,
    /// The limits no longer fit: authentication came or went.
    pub(super) limits_stale: bool,
    /// The longest bulk string that the decoder lets through.
    pub(super) bulk_bytes_max: u64,
    /// An encoded command, reused.
    pub(super) command: Vec<u8>,
    /// A reply of the session's own, reused.
    pub(super) reply: Vec<u8>,
    /// What is being answered in slices. Nothing else is taken meanwhile.
    pub(super) long: Option<Long>,
}

/// A query that takes long.
#[derive(Debug)]
pub(super) struct Long {
    pub(super) slot: Slot,
    /// What it was submitted as.
    pub(super) command: Vec<u8>,
    /// It has been through the log, where there was no time for it: to be submitted again.
    pub(super) again: bool,
    /// What INFO says before it comes to the databases.
    pub(super) prefix: String,
}

impl State {
    pub(super) fn new(
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        settings: &Settings,
        now: Duration,
    ) -> Self {
        State {
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
            long: None,
        }
    }

    pub(super) fn limits(&self) -> Limits {
        if !self.authenticated {
            return Limits::unauthenticated();
        }
        Limits {
            max_bulk: usize::try_from(self.bulk_bytes_max).unwrap_or(usize::MAX),
            max_request: REQUEST_BYTES_MAX,
            ..Limits::default()
        }
    }

    /// Whether no command at all may be taken at the moment.
    pub(super) fn full(&self) -> Option<Block> {
        let replies = &self.replies;
        if replies.waits > 0 {
            return Some(Block::Wait);
        }
        if replies.longs > 0 {
            return Some(Block::Long);
        }
        let unread = replies.output.len() + replies.early_bytes;
        let full = replies.outstanding() >= OUTSTANDING_MAX
            || replies.command_bytes >= COMMAND_BYTES_MAX
            || unread >= OUTPUT_BYTES_MAX
            || (replies.outstanding() > 0 && unread + replies.expected_bytes() >= OUTPUT_BYTES_MAX);
        full.then_some(Block::Full)
    }

    /// Handles one request, or says why it has to wait.
    pub(super) fn handle<H: Host>(&mut self, request: &Request<'_>, host: &mut H) -> Option<Block> {
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
            None if command.id == Id::Info => self.info_of_node(command, request, host),
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
        if let Err(refusal) = databases::check(command.id, request, host.settings()) {
            self.refuse(&refusal);
            return None;
        }
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
            // In the log there would be no time for it.
            false if command.is_long() && self.replies.logged > 0 => return Some(Block::Writes),
            false if command.is_long() => (Kind::Long, Access::Read),
            false if self.replies.logged > 0 => (Kind::LoggedRead, Access::Write),
            false => (Kind::Read, Access::Read),
        };
        // CLUSTER describes database 0, whichever is selected.
        let database = match command.group {
            Group::Cluster => 0,
            _ => self.database,
        };
        let args = request.args().skip(command.words);
        if command.id == Id::RandomKey {
            let chance = self.chance(host.now()).to_be_bytes();
            command::encode(
                &mut self.command,
                database,
                number,
                [&chance[..]].into_iter(),
            );
        } else {
            command::encode(&mut self.command, database, number, args);
        }
        let style = self.begin(command);
        let slot = self.replies.expect(kind, style, self.command.len());
        host.submit(slot, access, &self.command);
        if kind == Kind::Long {
            self.long = Some(Long {
                slot,
                command: self.command.clone(),
                again: false,
                prefix: String::new(),
            });
        }
        if self.command.capacity() > SCRATCH_BYTES_MAX {
            self.command = Vec::new();
        }
        None
    }

    /// What differs from command to command and from connection to connection. It decides nothing
    /// that is replicated.
    fn chance(&self, now: Duration) -> u64 {
        let mut mixed = self.id ^ self.commands.rotate_left(32) ^ (now.as_nanos() as u64);
        for factor in [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB_u64] {
            mixed = (mixed ^ (mixed >> 30)).wrapping_add(0x9E37_79B9_7F4A_7C15);
            mixed = mixed.wrapping_mul(factor);
        }
        mixed ^ (mixed >> 31)
    }

    /// INFO: what it says of the databases may have to be counted.
    fn info_of_node<H: Host>(
        &mut self,
        command: &'static Command,
        request: &Request<'_>,
        host: &mut H,
    ) -> Option<Block> {
        // Counted on this node, which has applied the connection's writes once they are answered.
        if self.replies.logged > 0 {
            return Some(Block::Writes);
        }
        let (prefix, databases) = info::info(request, host);
        let style = self.begin(command);
        if !databases {
            let mut reply = Vec::new();
            encode::verbatim(&mut reply, *b"txt", prefix);
            self.replies.answer(style, &reply);
            return None;
        }
        let number = Id::DbSize as u16 | command::ALL_DATABASES | command::SETTLED;
        let mut query = Vec::new();
        command::encode(&mut query, 0, number, [].into_iter());
        let slot = self.replies.expect(Kind::Info, style, query.len());
        host.submit(slot, Access::Local, &query);
        self.long = Some(Long {
            slot,
            command: query,
            again: false,
            prefix,
        });
        None
    }

    /// Submits again what the log had no time for.
    pub(super) fn resubmit<H: Host>(&mut self, host: &mut H) {
        if let Some(long) = self.long.as_mut().filter(|long| long.again) {
            long.again = false;
            command::mark(&mut long.command, command::SETTLED);
            host.submit(long.slot, Access::Read, &long.command);
        }
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
    pub(super) fn begin(&mut self, command: &'static Command) -> Style {
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
    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        let style = self.style();
        let mut reply = Vec::new();
        refusal.write(&mut reply);
        self.replies.answer(style, &reply);
    }

    #[cold]
    pub(super) fn protocol_error(&mut self, error: &ProtocolError) {
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
            Group::Connection if command.name.starts_with("client") => {
                self.client(command.id, request, host, reply)
            }
            Group::Connection => self.connection(command.id, request, host, reply),
            Group::Cluster => self.cluster(command.id, request, host, reply),
            _ => match command.id {
                Id::ConfigGet
                | Id::ConfigSet
                | Id::ConfigResetStat
                | Id::ConfigRewrite
                | Id::ConfigHelp => config::config(command.id, request, host, reply),
                Id::Role => {
                    info::role(&host.overview(), reply);
                    Ok(())
                }
                Id::Time => {
                    connection::time(host.now(), reply);
                    Ok(())
                }
                Id::ObjectHelp => {
                    help("object", reply);
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
