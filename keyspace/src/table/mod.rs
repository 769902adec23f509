//! Every command this server answers, once: for dispatch, arity, keys, COMMAND and the log.
//!
//! The rows stand in one file per group. What they say is what Redis says of its own commands, so
//! that clients which route and retry by COMMAND (redis-py's cluster client above all) treat this
//! server as they treat Redis.
//!
//! Invariants: a command's number in the log never changes and is never given to another; which
//! numbers exist belongs to the version of the commands' meaning
//! ([`SEMANTICS`](replication::SEMANTICS)). Left out: history, and the parts of a key's
//! specification that none of these commands needs.

pub mod arguments;
mod cluster;
mod connection;
mod generic;
mod lookup;
mod server;
mod string;

pub use lookup::{by_number, lookup, lookup_subcommand};

/// What a command is, as COMMAND names it.
pub mod flags {
    /// The names, in the order of the bits, which is the order COMMAND lists them in.
    pub const NAMES: [&str; 11] = [
        "write",
        "readonly",
        "denyoom",
        "admin",
        "noscript",
        "blocking",
        "loading",
        "stale",
        "fast",
        "no_auth",
        "allow_busy",
    ];
    /// It may change data, so it travels in the log.
    pub const WRITE: u32 = 1;
    /// It reads data.
    pub const READONLY: u32 = 1 << 1;
    /// It may need memory for data.
    pub const DENYOOM: u32 = 1 << 2;
    /// It is for administrators.
    pub const ADMIN: u32 = 1 << 3;
    /// Scripts may not use it.
    pub const NOSCRIPT: u32 = 1 << 4;
    /// It may make the connection wait.
    pub const BLOCKING: u32 = 1 << 5;
    /// It is answered while data is being loaded.
    pub const LOADING: u32 = 1 << 6;
    /// It is answered by a replica that has lost its primary.
    pub const STALE: u32 = 1 << 7;
    /// It takes constant or logarithmic time.
    pub const FAST: u32 = 1 << 8;
    /// It is answered before authentication.
    pub const NO_AUTH: u32 = 1 << 9;
    /// It is answered while a script runs.
    pub const ALLOW_BUSY: u32 = 1 << 10;
}

/// Which part of the documentation a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Strings and counters.
    String,
    /// Keys of any type.
    Generic,
    /// The server.
    Server,
    /// The connection.
    Connection,
    /// The cluster.
    Cluster,
}

impl Group {
    /// What COMMAND DOCS says.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Group::String => "string",
            Group::Generic => "generic",
            Group::Server => "server",
            Group::Connection => "connection",
            Group::Cluster => "cluster",
        }
    }
}

/// Which arguments are keys. Positions count the name as 0; `last` counts from the end when
/// negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The first key; 0 if there are none.
    pub first: u16,
    /// The last key.
    pub last: i16,
    /// From one key to the next.
    pub step: u16,
    /// What is done to them, as COMMAND's key specification names it.
    pub flags: &'static [&'static str],
}

impl Keys {
    /// The positions of the keys in a request of `len` arguments, the name included.
    pub fn positions(&self, len: usize) -> impl Iterator<Item = usize> + use<> {
        let last = if self.last < 0 {
            len.saturating_sub(usize::from(self.last.unsigned_abs()))
        } else {
            usize::from(self.last.unsigned_abs())
        };
        let first = usize::from(self.first);
        let end = if first == 0 { 0 } else { (last + 1).min(len) };
        (first..end.max(first)).step_by(usize::from(self.step.max(1)))
    }
}

/// A command.
#[derive(Debug)]
pub struct Command {
    /// Its name in lower case; a subcommand's is `container|name`.
    pub name: &'static str,
    /// Which it is.
    pub id: Id,
    /// How many arguments it takes, the name included; at least so many when negative.
    pub arity: i16,
    /// What it is: [`flags`].
    pub flags: u32,
    /// Its ACL categories, besides those that follow from its flags.
    pub categories: &'static [&'static str],
    /// Which arguments are keys.
    pub keys: Keys,
    /// What proxies and cluster clients may do with it.
    pub tips: &'static [&'static str],
    /// Its part of the documentation.
    pub group: Group,
    /// The release of Redis that had it first.
    pub since: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Its arguments, in the notation of [`arguments`].
    pub arguments: &'static str,
    /// Its subcommands.
    pub subcommands: &'static [Command],
}

impl Command {
    const fn new(name: &'static str, id: Id, arity: i16) -> Self {
        Command {
            name,
            id,
            arity,
            flags: 0,
            categories: &[],
            keys: Keys {
                first: 0,
                last: 0,
                step: 0,
                flags: &[],
            },
            tips: &[],
            group: Group::Server,
            since: "",
            complexity: "",
            summary: "",
            arguments: "",
            subcommands: &[],
        }
    }

    const fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }

    const fn keys(
        mut self,
        first: u16,
        last: i16,
        step: u16,
        flags: &'static [&'static str],
    ) -> Self {
        self.keys = Keys {
            first,
            last,
            step,
            flags,
        };
        self
    }

    const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    const fn docs(
        mut self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.group = group;
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    const fn arguments(mut self, arguments: &'static str) -> Self {
        self.arguments = arguments;
        self
    }

    const fn subcommands(mut self, subcommands: &'static [Command]) -> Self {
        self.subcommands = subcommands;
        self
    }

    /// Whether it has all these flags.
    #[must_use]
    pub const fn is(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }

    /// Whether it may be given so many arguments, its name (and its container's) included.
    #[must_use]
    pub const fn takes(&self, len: usize) -> bool {
        let arity = self.arity.unsigned_abs() as usize;
        if self.arity < 0 {
            len >= arity
        } else {
            len == arity
        }
    }

    /// Its number in the log, if it is executed by the state machine.
    #[must_use]
    pub const fn number(&self) -> Option<u16> {
        let number = self.id as u16;
        if number < FIRST_LOCAL {
            Some(number)
        } else {
            None
        }
    }

    /// Its name without its container's.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name
            .split_once('|')
            .map_or(self.name, |(_, name)| name)
    }

    /// Its ACL categories, in the order COMMAND lists them in.
    pub fn all_categories(&self) -> impl Iterator<Item = &'static str> + '_ {
        const ORDER: [&str; 10] = [
            "@keyspace",
            "@read",
            "@write",
            "@string",
            "@admin",
            "@fast",
            "@slow",
            "@blocking",
            "@dangerous",
            "@connection",
        ];
        ORDER.into_iter().filter(|category| match *category {
            "@read" => self.is(flags::READONLY),
            "@write" => self.is(flags::WRITE),
            "@fast" => self.is(flags::FAST),
            "@slow" => !self.is(flags::FAST),
            "@blocking" => self.is(flags::BLOCKING),
            "@admin" | "@dangerous" => self.is(flags::ADMIN) || self.categories.contains(category),
            _ => self.categories.contains(category),
        })
    }
}

const fn help(name: &'static str, id: Id, group: Group) -> Command {
    Command::new(name, id, 2)
        .flags(flags::LOADING | flags::STALE)
        .docs(
            group,
            "5.0.0",
            "O(1)",
            "Show helpful text about the different subcommands.",
        )
}

/// Commands from here on are the session's own and never stand in a log.
const FIRST_LOCAL: u16 = 0x8000;

/// Which command it is. Up to `ClusterGetKeysInSlot` the values stand in logs: append, never
/// renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[expect(
    missing_docs,
    reason = "each is named like the command in the table that it names"
)]
pub enum Id {
    Get = 1,
    Set = 2,
    Del = 3,
    Exists = 4,
    Incr = 5,
    Decr = 6,
    IncrBy = 7,
    DecrBy = 8,
    MGet = 9,
    MSet = 10,
    Expire = 11,
    PExpire = 12,
    Ttl = 13,
    PTtl = 14,
    Persist = 15,
    Type = 16,
    DbSize = 17,
    FlushAll = 18,
    FlushDb = 19,
    ExpireAt = 20,
    PExpireAt = 21,
    ExpireTime = 22,
    PExpireTime = 23,
    SetNx = 24,
    GetSet = 25,
    StrLen = 26,
    Append = 27,
    SetEx = 28,
    PSetEx = 29,
    GetDel = 30,
    Unlink = 31,
    Touch = 32,
    MSetNx = 33,
    GetEx = 34,
    GetRange = 35,
    ClusterCountKeysInSlot = 36,
    ClusterGetKeysInSlot = 37,

    Ping = FIRST_LOCAL,
    Echo,
    Auth,
    Hello,
    Select,
    Quit,
    Reset,
    Client,
    ClientId,
    ClientSetName,
    ClientGetName,
    ClientSetInfo,
    ClientList,
    ClientInfo,
    ClientKill,
    ClientReply,
    ClientNoEvict,
    ClientNoTouch,
    ClientHelp,
    Command,
    CommandCount,
    CommandInfo,
    CommandDocs,
    CommandList,
    CommandGetKeys,
    CommandGetKeysAndFlags,
    CommandHelp,
    Config,
    ConfigGet,
    ConfigSet,
    ConfigResetStat,
    ConfigRewrite,
    ConfigHelp,
    Info,
    Time,
    Role,
    Wait,
    WaitAof,
    Cluster,
    ClusterInfo,
    ClusterMyId,
    ClusterMyShardId,
    ClusterNodes,
    ClusterSlots,
    ClusterShards,
    ClusterKeySlot,
    ClusterReplicas,
    ClusterHelp,
    ReadOnly,
    ReadWrite,
}

/// Every command, containers and not their subcommands.
pub fn all() -> impl Iterator<Item = &'static Command> {
    lookup::COMMANDS.iter().copied()
}
