//! Keys of any type, and waiting for copies.

use super::flags::*;
use super::{Command, Group, Id};

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
