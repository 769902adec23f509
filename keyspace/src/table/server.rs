//! The server itself.

use super::flags::*;
use super::{Command, Group, Id, help};

pub(super) const ROWS: &[Command] = &[
    Command::new("dbsize", Id::DbSize, 1)
        .flags(READONLY | FAST)
        .categories(&["@keyspace"])
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .docs(
            Group::Server,
            "1.0.0",
            "O(N) where N is the number of keys of all databases, O(1) if nothing has changed",
            "Return the number of keys in the selected database.",
        ),
    Command::new("flushall", Id::FlushAll, -1)
        .flags(WRITE)
        .categories(&["@keyspace", "@dangerous"])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(
            Group::Server,
            "1.0.0",
            "O(N) where N is the number of databases",
            "Remove all keys from all databases.",
        )
        .arguments("[async:oneof(async=ASYNC@4.0.0 sync=SYNC@6.2.0)]"),
    Command::new("flushdb", Id::FlushDb, -1)
        .flags(WRITE)
        .categories(&["@keyspace", "@dangerous"])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(
            Group::Server,
            "1.0.0",
            "O(1)",
            "Remove all keys from the current database.",
        )
        .arguments("[async:oneof(async=ASYNC@4.0.0 sync=SYNC@6.2.0)]"),
    Command::new("swapdb", Id::SwapDb, 3)
        .flags(WRITE | FAST)
        .categories(&["@keyspace", "@dangerous"])
        .docs(
            Group::Server,
            "4.0.0",
            "O(1)",
            "Swap two databases.",
        )
        .arguments("index1:integer index2:integer"),
    Command::new("command", Id::Command, -1)
        .flags(LOADING | STALE)
        .categories(&["@connection"])
        .tips(&["nondeterministic_output_order"])
        .docs(
            Group::Server,
            "2.8.13",
            "O(N) where N is the total number of Redis commands",
            "Get array of Redis command details.",
        )
        .subcommands(&[
    Command::new("command|count", Id::CommandCount, 2)
        .flags(LOADING | STALE)
        .categories(&["@connection"])
        .docs(Group::Server, "2.8.13", "O(1)", "Get total number of Redis commands."),
    Command::new("command|info", Id::CommandInfo, -2)
        .flags(LOADING | STALE)
        .categories(&["@connection"])
        .tips(&["nondeterministic_output_order"])
        .docs(
            Group::Server,
            "2.8.13",
            "O(N) where N is the number of commands to look up",
            "Get array of specific Redis command details, or all when no argument is given.",
        )
        .arguments("[command-name:string*]"),
    Command::new("command|docs", Id::CommandDocs, -2)
        .flags(LOADING | STALE)
        .categories(&["@connection"])
        .tips(&["nondeterministic_output_order"])
        .docs(
            Group::Server,
            "7.0.0",
            "O(N) where N is the number of commands to look up",
            "Get array of specific Redis command documentation.",
        )
        .arguments("[command-name:string*]"),
    Command::new("command|list", Id::CommandList, -2)
        .flags(LOADING | STALE)
        .categories(&["@connection"])
        .tips(&["nondeterministic_output_order"])
        .docs(
            Group::Server,
            "7.0.0",
            "O(N) where N is the total number of Redis commands",
            "Get an array of Redis command names.",
        )
        .arguments(
            "[filterby:oneof(module-name:string=MODULE category:string=ACLCAT \
             pattern:pattern=PATTERN)=FILTERBY]",
        ),
    Command::new("command|getkeys", Id::CommandGetKeys, -4)
        .flags(LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Server,
            "2.8.13",
            "O(N) where N is the number of arguments to the command",
            "Extract keys given a full Redis command.",
        ),
    Command::new("command|getkeysandflags", Id::CommandGetKeysAndFlags, -4)
        .flags(LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Server,
            "7.0.0",
            "O(N) where N is the number of arguments to the command",
            "Extract keys and access flags given a full Redis command.",
        ),
help("command|help", Id::CommandHelp, Group::Server).categories(&["@connection"]),
]),
    Command::new("config", Id::Config, -2)
        .docs(
            Group::Server,
            "2.0.0",
            "Depends on subcommand.",
            "A container for server configuration commands.",
        )
        .subcommands(&[
    Command::new("config|get", Id::ConfigGet, -3)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .docs(
            Group::Server,
            "2.0.0",
            "O(N) when N is the number of configuration parameters provided",
            "Get the values of configuration parameters.",
        )
        .arguments("parameter:block(parameter:string)*"),
    Command::new("config|set", Id::ConfigSet, -4)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .docs(
            Group::Server,
            "2.0.0",
            "O(N) when N is the number of configuration parameters provided",
            "Set configuration parameters to the given values.",
        )
        .arguments("parameter_value:block(parameter:string value:string)*"),
    Command::new("config|resetstat", Id::ConfigResetStat, 2)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .docs(Group::Server, "2.0.0", "O(1)", "Reset the stats returned by INFO."),
    Command::new("config|rewrite", Id::ConfigRewrite, 2)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .docs(
            Group::Server,
            "2.8.0",
            "O(1)",
            "Rewrite the configuration file with the in memory configuration.",
        ),
help("config|help", Id::ConfigHelp, Group::Server),
]),
    Command::new("info", Id::Info, -1)
        .flags(LOADING | STALE)
        .categories(&["@dangerous"])
        .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
        .docs(Group::Server, "1.0.0", "O(1)", "Get information and statistics about the server.")
        .arguments("[section:string*]"),
    Command::new("time", Id::Time, 1)
        .flags(LOADING | STALE | FAST)
        .tips(&["nondeterministic_output"])
        .docs(Group::Server, "2.6.0", "O(1)", "Return the current server time."),
    Command::new("role", Id::Role, 1)
        .flags(NOSCRIPT | LOADING | STALE | FAST)
        .categories(&["@admin", "@dangerous"])
        .docs(
            Group::Server,
            "2.8.12",
            "O(1)",
            "Return the role of the instance in the context of replication.",
        ),
];
