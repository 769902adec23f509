//! Keys of any type, and waiting for copies.

use super::flags::*;
use super::{Command, Group, Id, help};

pub(super) const ROWS: &[Command] = &[
    Command::new("del", Id::Del, -2)
        .flags(WRITE)
        .categories(&["@keyspace"])
        .keys(1, -1, 1, &["RM", "delete"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys that will be removed",
            "Delete a key.",
        )
        .arguments("key:key#0*"),
    Command::new("exists", Id::Exists, -2)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .keys(1, -1, 1, &["RO"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys to check",
            "Determine if a key exists.",
        )
        .arguments("key:key#0*"),
    Command::new("expire", Id::Expire, -3)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RW", "update"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Set a key's time to live in seconds.",
        )
        .arguments("key:key#0 seconds:integer [condition:oneof(nx=NX xx=XX gt=GT lt=LT)@7.0.0]"),
    Command::new("pexpire", Id::PExpire, -3)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RW", "update"])
        .docs(
            Group::Generic,
            "2.6.0",
            "O(1)",
            "Set a key's time to live in milliseconds.",
        )
        .arguments(
            "key:key#0 milliseconds:integer [condition:oneof(nx=NX xx=XX gt=GT lt=LT)@7.0.0]",
        ),
    Command::new("ttl", Id::Ttl, 2)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RO", "access"])
        .tips(&["nondeterministic_output"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Get the time to live for a key in seconds.",
        )
        .arguments("key:key#0"),
    Command::new("pttl", Id::PTtl, 2)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RO", "access"])
        .tips(&["nondeterministic_output"])
        .docs(
            Group::Generic,
            "2.6.0",
            "O(1)",
            "Get the time to live for a key in milliseconds.",
        )
        .arguments("key:key#0"),
    Command::new("persist", Id::Persist, 2)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RW", "update"])
        .docs(
            Group::Generic,
            "2.2.0",
            "O(1)",
            "Remove the expiration from a key.",
        )
        .arguments("key:key#0"),
    Command::new("type", Id::Type, 2)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RO"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(1)",
            "Determine the type stored at key.",
        )
        .arguments("key:key#0"),
    Command::new("expireat", Id::ExpireAt, -3)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RW", "update"])
        .docs(
            Group::Generic,
            "1.2.0",
            "O(1)",
            "Set the expiration for a key as a UNIX timestamp.",
        )
        .arguments(
            "key:key#0 unix-time-seconds:unix-time [condition:oneof(nx=NX xx=XX gt=GT \
             lt=LT)@7.0.0]",
        ),
    Command::new("pexpireat", Id::PExpireAt, -3)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RW", "update"])
        .docs(
            Group::Generic,
            "2.6.0",
            "O(1)",
            "Set the expiration for a key as a UNIX timestamp specified in milliseconds.",
        )
        .arguments(
            "key:key#0 unix-time-milliseconds:unix-time [condition:oneof(nx=NX xx=XX gt=GT \
             lt=LT)@7.0.0]",
        ),
    Command::new("expiretime", Id::ExpireTime, 2)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RO", "access"])
        .docs(
            Group::Generic,
            "7.0.0",
            "O(1)",
            "Get the expiration Unix timestamp for a key.",
        )
        .arguments("key:key#0"),
    Command::new("pexpiretime", Id::PExpireTime, 2)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RO", "access"])
        .docs(
            Group::Generic,
            "7.0.0",
            "O(1)",
            "Get the expiration Unix timestamp for a key in milliseconds.",
        )
        .arguments("key:key#0"),
    Command::new("unlink", Id::Unlink, -2)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, -1, 1, &["RM", "delete"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs(
            Group::Generic,
            "4.0.0",
            "O(1) for each key removed regardless of its size",
            "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but \
             non blocking.",
        )
        .arguments("key:key#0*"),
    Command::new("touch", Id::Touch, -2)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .keys(1, -1, 1, &["RO"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .docs(
            Group::Generic,
            "3.2.1",
            "O(N) where N is the number of keys that will be touched",
            "Alters the last access time of a key(s). Returns the number of existing keys \
             specified.",
        )
        .arguments("key:key#0*"),
    Command::new("rename", Id::Rename, 3)
        .flags(WRITE)
        .categories(&["@keyspace"])
        .keys(1, 2, 1, &["RW", "access", "update"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the size of the value",
            "Give a key another name, and replace what has that name.",
        )
        .arguments("key:key#0 newkey:key#0"),
    Command::new("renamenx", Id::RenameNx, 3)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, 2, 1, &["RW", "access", "insert"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the size of the value",
            "Give a key another name, unless a key has that name.",
        )
        .arguments("key:key#0 newkey:key#0"),
    Command::new("copy", Id::Copy, -3)
        .flags(WRITE | DENYOOM)
        .categories(&["@keyspace"])
        .keys(1, 2, 1, &["RW", "access", "update"])
        .docs(
            Group::Generic,
            "6.2.0",
            "O(N) where N is the size of the value",
            "Copy a key to another name, or another database.",
        )
        .arguments("source:key#0 destination:key#0 [destination-db:integer=DB] [replace=REPLACE]"),
    Command::new("move", Id::Move, 3)
        .flags(WRITE | FAST)
        .categories(&["@keyspace"])
        .keys(1, 1, 1, &["RW", "access", "delete"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the size of the value",
            "Move a key to another database.",
        )
        .arguments("key:key#0 db:integer"),
    Command::new("keys", Id::Keys, 2)
        .flags(READONLY)
        .categories(&["@keyspace", "@dangerous"])
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(N) where N is the number of keys of all databases",
            "Find all keys that match a pattern, as of one moment.",
        )
        .arguments("pattern:pattern"),
    Command::new("scan", Id::Scan, -2)
        .flags(READONLY)
        .categories(&["@keyspace"])
        .tips(&["nondeterministic_output", "request_policy:special"])
        .docs(
            Group::Generic,
            "2.8.0",
            "O(1) for every call, O(N) for a complete iteration",
            "Iterate over the keys of the selected database, on any node.",
        )
        .arguments(
            "cursor:integer [pattern:pattern=MATCH] [count:integer=COUNT] \
             [type:string=TYPE@6.0.0]",
        ),
    Command::new("randomkey", Id::RandomKey, 1)
        .flags(READONLY)
        .categories(&["@keyspace"])
        .tips(&["request_policy:all_shards", "nondeterministic_output"])
        .docs(
            Group::Generic,
            "1.0.0",
            "O(log(N))",
            "Get a random key of the selected database.",
        ),
    Command::new("object", Id::Object, -2)
        .docs(
            Group::Generic,
            "2.2.3",
            "Depends on subcommand.",
            "A container for commands about how a key is held.",
        )
        .subcommands(&[
            object("object|encoding", Id::ObjectEncoding, "2.2.3")
                .summary("Get how Redis would hold the value of a key."),
            object("object|refcount", Id::ObjectRefCount, "2.2.3")
                .summary("Get how many references Redis would have to the value of a key."),
            object("object|idletime", Id::ObjectIdleTime, "2.2.3")
                .summary("Get how long a key has not been used; not kept here, and always 0."),
            object("object|freq", Id::ObjectFreq, "4.0.0")
                .summary("Get how often a key is used; not kept here, and always an error."),
            help("object|help", Id::ObjectHelp, Group::Generic).categories(&["@keyspace"]),
        ]),
    Command::new("wait", Id::Wait, 3)
        .flags(NOSCRIPT)
        .categories(&["@connection"])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs(
            Group::Generic,
            "3.0.0",
            "O(1)",
            "Wait for the synchronous replication of all the write commands sent in the \
             context of the current connection.",
        )
        .arguments("numreplicas:integer timeout:integer"),
    Command::new("waitaof", Id::WaitAof, 4)
        .flags(NOSCRIPT | BLOCKING)
        .categories(&["@connection"])
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .docs(
            Group::Generic,
            "7.2.0",
            "O(1)",
            "Blocks until all of the preceding write commands sent by the connection are \
             written to the append-only file of the master and/or replicas.",
        )
        .arguments("numlocal:integer numreplicas:integer timeout:integer"),
];

const fn object(name: &'static str, id: Id, since: &'static str) -> Command {
    Command::new(name, id, 3)
        .flags(READONLY)
        .categories(&["@keyspace"])
        .keys(2, 2, 1, &["RO"])
        .tips(&["nondeterministic_output"])
        .docs(Group::Generic, since, "O(1)", "")
        .arguments("key:key#0")
}
