//! Strings and counters.

use super::flags::*;
use super::{Command, Group, Id};

pub(super) const ROWS: &[Command] = &[
    Command::new("get", Id::Get, 2)
        .flags(READONLY | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RO", "access"])
        .docs(Group::String, "1.0.0", "O(1)", "Get the value of a key.")
        .arguments("key:key#0"),
    Command::new("set", Id::Set, -3)
        .flags(WRITE | DENYOOM)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update", "variable_flags"])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Set the string value of a key.",
        )
        .arguments(
            "key:key#0 value:string [condition:oneof(nx=NX xx=XX)@2.6.12] [get=GET@6.2.0] \
             [expiration:oneof(seconds:integer=EX@2.6.12 milliseconds:integer=PX@2.6.12 \
             unix-time-seconds:unix-time=EXAT@6.2.0 \
             unix-time-milliseconds:unix-time=PXAT@6.2.0 keepttl=KEEPTTL@6.0.0)]",
        ),
    Command::new("incr", Id::Incr, 2)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update"])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Increment the integer value of a key by one.",
        )
        .arguments("key:key#0"),
    Command::new("decr", Id::Decr, 2)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update"])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Decrement the integer value of a key by one.",
        )
        .arguments("key:key#0"),
    Command::new("incrby", Id::IncrBy, 3)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update"])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Increment the integer value of a key by the given amount.",
        )
        .arguments("key:key#0 increment:integer"),
    Command::new("decrby", Id::DecrBy, 3)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update"])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Decrement the integer value of a key by the given number.",
        )
        .arguments("key:key#0 decrement:integer"),
    Command::new("mget", Id::MGet, -2)
        .flags(READONLY | FAST)
        .categories(&["@string"])
        .keys(1, -1, 1, &["RO", "access"])
        .tips(&["request_policy:multi_shard"])
        .docs(
            Group::String,
            "1.0.0",
            "O(N) where N is the number of keys to retrieve",
            "Get the values of all the given keys.",
        )
        .arguments("key:key#0*"),
    Command::new("mset", Id::MSet, -3)
        .flags(WRITE | DENYOOM)
        .categories(&["@string"])
        .keys(1, -1, 2, &["OW", "update"])
        .tips(&[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ])
        .docs(
            Group::String,
            "1.0.1",
            "O(N) where N is the number of keys to set",
            "Set multiple keys to multiple values.",
        )
        .arguments("key_value:block(key:key#0 value:string)*"),
    Command::new("setnx", Id::SetNx, 3)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["OW", "insert"])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Set the value of a key, only if the key does not exist.",
        )
        .arguments("key:key#0 value:string"),
    Command::new("getset", Id::GetSet, 3)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update"])
        .docs(
            Group::String,
            "1.0.0",
            "O(1)",
            "Set the string value of a key and return its old value.",
        )
        .arguments("key:key#0 value:string"),
    Command::new("strlen", Id::StrLen, 2)
        .flags(READONLY | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RO"])
        .docs(
            Group::String,
            "2.2.0",
            "O(1)",
            "Get the length of the value stored in a key.",
        )
        .arguments("key:key#0"),
    Command::new("append", Id::Append, 3)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "insert"])
        .docs(Group::String, "2.0.0", "O(1)", "Append a value to a key.")
        .arguments("key:key#0 value:string"),
    Command::new("setex", Id::SetEx, 4)
        .flags(WRITE | DENYOOM)
        .categories(&["@string"])
        .keys(1, 1, 1, &["OW", "update"])
        .docs(
            Group::String,
            "2.0.0",
            "O(1)",
            "Set the value and expiration of a key.",
        )
        .arguments("key:key#0 seconds:integer value:string"),
    Command::new("psetex", Id::PSetEx, 4)
        .flags(WRITE | DENYOOM)
        .categories(&["@string"])
        .keys(1, 1, 1, &["OW", "update"])
        .docs(
            Group::String,
            "2.6.0",
            "O(1)",
            "Set the value and expiration in milliseconds of a key.",
        )
        .arguments("key:key#0 milliseconds:integer value:string"),
    Command::new("getdel", Id::GetDel, 2)
        .flags(WRITE | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "delete"])
        .docs(
            Group::String,
            "6.2.0",
            "O(1)",
            "Get the value of a key and delete the key.",
        )
        .arguments("key:key#0"),
    Command::new("msetnx", Id::MSetNx, -3)
        .flags(WRITE | DENYOOM)
        .categories(&["@string"])
        .keys(1, -1, 2, &["OW", "insert"])
        .tips(&["request_policy:multi_shard", "response_policy:agg_min"])
        .docs(
            Group::String,
            "1.0.1",
            "O(N) where N is the number of keys to set",
            "Set multiple keys to multiple values, only if none of the keys exist.",
        )
        .arguments("key_value:block(key:key#0 value:string)*"),
    Command::new("getex", Id::GetEx, -2)
        .flags(WRITE | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update"])
        .docs(
            Group::String,
            "6.2.0",
            "O(1)",
            "Get the value of a key and optionally set its expiration.",
        )
        .arguments(
            "key:key#0 [expiration:oneof(seconds:integer=EX milliseconds:integer=PX \
             unix-time-seconds:unix-time=EXAT unix-time-milliseconds:unix-time=PXAT \
             persist=PERSIST)]",
        ),
    Command::new("getrange", Id::GetRange, 4)
        .flags(READONLY)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RO", "access"])
        .docs(
            Group::String,
            "2.4.0",
            "O(N) where N is the length of the returned string",
            "Get a substring of the string stored at a key.",
        )
        .arguments("key:key#0 start:integer end:integer"),
    Command::new("substr", Id::SubStr, 4)
        .flags(READONLY)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RO", "access"])
        .docs(
            Group::String,
            "1.0.0",
            "O(N) where N is the length of the returned string",
            "Get a substring of the string stored at a key; the older name of GETRANGE.",
        )
        .arguments("key:key#0 start:integer end:integer"),
    Command::new("setrange", Id::SetRange, 4)
        .flags(WRITE | DENYOOM)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "update"])
        .docs(
            Group::String,
            "2.2.0",
            "O(N) where N is the length of the string that results",
            "Overwrite part of a string at an offset; what is missing before it becomes zeros.",
        )
        .arguments("key:key#0 offset:integer value:string"),
    Command::new("incrbyfloat", Id::IncrByFloat, 3)
        .flags(WRITE | DENYOOM | FAST)
        .categories(&["@string"])
        .keys(1, 1, 1, &["RW", "access", "update"])
        .docs(
            Group::String,
            "2.6.0",
            "O(1)",
            "Increment the number stored at a key by a fraction.",
        )
        .arguments("key:key#0 increment:double"),
    Command::new("lcs", Id::Lcs, -3)
        .flags(READONLY)
        .categories(&["@string"])
        .keys(1, 2, 1, &["RO", "access"])
        .docs(
            Group::String,
            "7.0.0",
            "O(N*M) where N and M are the lengths of the strings",
            "Find the longest common subsequence of two strings.",
        )
        .arguments(
            "key1:key#0 key2:key#0 [len=LEN] [idx=IDX] [min-match-len:integer=MINMATCHLEN] \
             [withmatchlen=WITHMATCHLEN]",
        ),
];
