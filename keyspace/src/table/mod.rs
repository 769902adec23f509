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
mod command;
mod connection;
mod generic;
mod lookup;
mod server;
mod string;

use command::help;
pub use command::{Command, Group, Keys};
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

/// Commands from here on are the session's own and never stand in a log.
const FIRST_LOCAL: u16 = 0x8000;

/// Which command it is. Up to `ObjectFreq` the values stand in logs: append, never
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
    SubStr = 38,
    SetRange = 39,
    IncrByFloat = 40,
    Lcs = 41,
    Rename = 42,
    RenameNx = 43,
    Copy = 44,
    Move = 45,
    Keys = 46,
    Scan = 47,
    RandomKey = 48,
    SwapDb = 49,
    ObjectEncoding = 50,
    ObjectRefCount = 51,
    ObjectIdleTime = 52,
    ObjectFreq = 53,

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
    Object,
    ObjectHelp,
}

/// Every command, containers and not their subcommands.
pub fn all() -> impl Iterator<Item = &'static Command> {
    lookup::COMMANDS.iter().copied()
}
