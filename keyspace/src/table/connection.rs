//! The connection itself.

use super::flags::*;
use super::{Command, Group, Id, help};

pub(super) const ROWS: &[Command] = &[
    Command::new("ping", Id::Ping, -1)
        .flags(FAST)
        .categories(&["@connection"])
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .docs(Group::Connection, "1.0.0", "O(1)", "Ping the server.")
        .arguments("[message:string]"),
    Command::new("echo", Id::Echo, 2)
        .flags(LOADING | STALE | FAST)
        .categories(&["@connection"])
        .docs(Group::Connection, "1.0.0", "O(1)", "Echo the given string.")
        .arguments("message:string"),
    Command::new("auth", Id::Auth, -2)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "1.0.0",
            "O(N) where N is the number of passwords defined for the user",
            "Authenticate to the server.",
        )
        .arguments("[username:string@6.0.0] password:string"),
    Command::new("hello", Id::Hello, -1)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
        .categories(&["@connection"])
        .docs(Group::Connection, "6.0.0", "O(1)", "Handshake with Redis.")
        .arguments(
            "[arguments:block(protover:integer [username_password:block(username:string \
             password:string)=AUTH] [clientname:string=SETNAME])]",
        ),
    Command::new("select", Id::Select, 2)
        .flags(LOADING | STALE | FAST)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "1.0.0",
            "O(1)",
            "Change the selected database for the current connection.",
        )
        .arguments("index:integer"),
    Command::new("quit", Id::Quit, -1)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
        .categories(&["@connection"])
        .docs(Group::Connection, "1.0.0", "O(1)", "Close the connection."),
    Command::new("reset", Id::Reset, 1)
        .flags(NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY)
        .categories(&["@connection"])
        .docs(Group::Connection, "6.2.0", "O(1)", "Reset the connection."),
    Command::new("client", Id::Client, -2)
        .docs(
            Group::Connection,
            "2.4.0",
            "Depends on subcommand.",
            "A container for client connection commands.",
        )
        .subcommands(&[
    Command::new("client|id", Id::ClientId, 2)
        .flags(NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "5.0.0",
            "O(1)",
            "Returns the client ID for the current connection.",
        ),
    Command::new("client|setname", Id::ClientSetName, 3)
        .flags(NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(Group::Connection, "2.6.9", "O(1)", "Set the current connection name.")
        .arguments("connection-name:string"),
    Command::new("client|getname", Id::ClientGetName, 2)
        .flags(NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(Group::Connection, "2.6.9", "O(1)", "Get the current connection name."),
    Command::new("client|list", Id::ClientList, -2)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .tips(&["nondeterministic_output"])
        .docs(
            Group::Connection,
            "2.4.0",
            "O(N) where N is the number of client connections",
            "Get the list of client connections.",
        )
        .arguments(
            "[normal_master_replica_pubsub:oneof(normal=NORMAL master=MASTER replica=REPLICA \
             pubsub=PUBSUB)=TYPE@5.0.0] [id:block(client-id:integer*)=ID@6.2.0]",
        ),
    Command::new("client|info", Id::ClientInfo, 2)
        .flags(NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .tips(&["nondeterministic_output"])
        .docs(
            Group::Connection,
            "6.2.0",
            "O(1)",
            "Returns information about the current client connection.",
        ),
    Command::new("client|kill", Id::ClientKill, -3)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "2.4.0",
            "O(N) where N is the number of client connections",
            "Kill the connection of a client.",
        )
        .arguments(
            "filter:oneof(addr:string new-format:oneof([client-id:integer=ID@2.8.12] \
             [normal_master_slave_pubsub:oneof(normal=NORMAL master=MASTER@3.2.0 slave=SLAVE \
             replica=REPLICA@5.0.0 pubsub=PUBSUB)=TYPE@2.8.12] [username:string=USER] \
             [addr:string=ADDR] [addr:string=LADDR@6.2.0] [skipme:string=SKIPME])*)",
        ),
    Command::new("client|reply", Id::ClientReply, 3)
        .flags(NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "3.2.0",
            "O(1)",
            "Instruct the server whether to reply to commands.",
        )
        .arguments("on_off_skip:oneof(on=ON off=OFF skip=SKIP)"),
    Command::new("client|no-evict", Id::ClientNoEvict, 3)
        .flags(ADMIN | NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "7.0.0",
            "O(1)",
            "Set client eviction mode for the current connection.",
        )
        .arguments("enabled:oneof(on=ON off=OFF)"),
    Command::new("client|setinfo", Id::ClientSetInfo, 4)
        .flags(NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "7.2.0",
            "O(1)",
            "Sets information specific to the client or connection.",
        )
        .arguments("attr:oneof(libname:string=LIB-NAME libver:string=LIB-VER)"),
    Command::new("client|no-touch", Id::ClientNoTouch, 3)
        .flags(NOSCRIPT | LOADING | STALE)
        .categories(&["@connection"])
        .docs(
            Group::Connection,
            "7.2.0",
            "O(1)",
            "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.",
        )
        .arguments("enabled:oneof(on=ON off=OFF)"),
help("client|help", Id::ClientHelp, Group::Connection).categories(&["@connection"]),
]),
];
