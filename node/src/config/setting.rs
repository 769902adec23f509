//! The list of settings, and the flags that clap makes of it.
//!
//! The flags are built from the list instead of being derived from a struct, so that a setting
//! stands in one place only.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Its name; the flag's and the file's spelling of it.
    pub(crate) key: &'static str,
    /// What stands for its value in help texts.
    pub(crate) value: &'static str,
    /// What it is when nobody says; empty when there is no default.
    pub(crate) default: &'static str,
    /// Whether it says the same thing to every node, so that `lockstep local` can pass it on.
    pub(crate) shared: bool,
    /// What it does, for `--help` and the README.
    pub(crate) help: &'static str,
}

/// Every setting, in the order in which help shows them.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        key: "node",
        value: "N",
        default: "",
        shared: false,
        help: "This node's number within its cluster, from 1",
    },
    Setting {
        key: "cluster",
        value: "NAME",
        default: "lockstep",
        shared: false,
        help: "The cluster's name, or its id as 32 hex digits; nodes of another cluster are refused",
    },
    Setting {
        key: "dir",
        value: "DIR",
        default: "",
        shared: false,
        help: "Where the node keeps its data; formatted at the first start",
    },
    Setting {
        key: "engine",
        value: "ENGINE",
        default: "memory",
        shared: false,
        help: "What holds the keys: memory, or for data that outgrows it rocksdb or fjall",
    },
    Setting {
        key: "engine-memory",
        value: "BYTES",
        default: "256mb",
        shared: true,
        help: "What an engine on disk may keep in memory: blocks, indexes and what is not flushed yet",
    },
    Setting {
        key: "log-keep",
        value: "BYTES",
        default: "512mb",
        shared: true,
        help: "How much of the log is kept for a node that lags; one that lags further gets a snapshot",
    },
    Setting {
        key: "persist-after",
        value: "BYTES",
        default: "256mb",
        shared: true,
        help: "How far the log may be ahead of what the engine has on disk; in memory, of the newest snapshot",
    },
    Setting {
        key: "mode",
        value: "MODE",
        default: "raft",
        shared: true,
        help: "How copies are kept in step: raft; paxos, primary-replica and multi-primary are planned",
    },
    Setting {
        key: "client-listen",
        value: "ADDR",
        default: "127.0.0.1:6379",
        shared: false,
        help: "Where Redis clients connect",
    },
    Setting {
        key: "client-advertise",
        value: "HOST:PORT",
        default: "",
        shared: false,
        help: "What clients are told about this node; by default its entry in peers, else client-listen",
    },
    Setting {
        key: "peer-listen",
        value: "ADDR",
        default: "127.0.0.1:7379",
        shared: false,
        help: "Where the other nodes connect",
    },
    Setting {
        key: "admin-listen",
        value: "ADDR",
        default: "127.0.0.1:8379",
        shared: false,
        help: "Where /metrics, /livez, /readyz and /status are served over HTTP",
    },
    Setting {
        key: PEERS,
        value: "N=PEER/CLIENT,...",
        default: "",
        shared: false,
        help: "The cluster's nodes: number, address for nodes, address for clients; may list this node too",
    },
    Setting {
        key: "cluster-enabled",
        value: "yes|no",
        default: "no",
        shared: true,
        help: "yes: clients see a Redis cluster and are redirected to the leader; no: any node forwards",
    },
    Setting {
        key: "requirepass",
        value: "PASSWORD",
        default: "",
        shared: true,
        help: "What clients must AUTH with; visible in process lists, so prefer requirepass-file",
    },
    Setting {
        key: "requirepass-file",
        value: "FILE",
        default: "",
        shared: true,
        help: "A file whose first line is that password",
    },
    Setting {
        key: "insecure",
        value: "yes|no",
        default: "no",
        shared: false,
        help: "Allows listening beyond loopback, without encryption, until TLS exists",
    },
    Setting {
        key: "hold-ms",
        value: "MS",
        default: "2000",
        shared: true,
        help: "How long a request waits for a leader before it is refused with -CLUSTERDOWN",
    },
    Setting {
        key: "heartbeat-ms",
        value: "MS",
        default: "50",
        shared: true,
        help: "How often a leader lets itself be heard",
    },
    Setting {
        key: "election-timeout-ms",
        value: "MS",
        default: "300",
        shared: true,
        help: "How long a follower misses its leader before it stands for election (once to twice this)",
    },
    Setting {
        key: "disk-patience-ms",
        value: "MS",
        default: "2000",
        shared: true,
        help: "How long this node's disk may show no progress before the node gives up leading",
    },
    Setting {
        key: "maxclients",
        value: "N",
        default: "10000",
        shared: true,
        help: "Client connections at a time",
    },
    Setting {
        key: "proto-max-bulk-len",
        value: "BYTES",
        default: "32mb",
        shared: true,
        help: "The largest argument of a command",
    },
    Setting {
        key: "client-output-buffer-limit",
        value: "BYTES",
        default: "64mb",
        shared: true,
        help: "Replies that may wait for one client before it is disconnected",
    },
    Setting {
        key: "databases",
        value: "N",
        default: "16",
        shared: true,
        help: "How many databases there are",
    },
    Setting {
        key: "log-level",
        value: "LEVEL",
        default: "info",
        shared: true,
        help: "error, warn, info, debug, trace, or a filter such as info,consensus_raft=debug",
    },
    Setting {
        key: "log-format",
        value: "text|json",
        default: "text",
        shared: true,
        help: "How log lines look",
    },
];

/// The one setting that holds several values.
pub(crate) const PEERS: &str = "peers";
/// Settings that a flag may turn on without naming a value.
const SWITCHES: [&str; 2] = ["cluster-enabled", "insecure"];
/// The one value that is never repeated to anybody.
const SECRET: &str = "requirepass";

impl Setting {
    /// The setting called `key`.
    pub(crate) fn find(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// The environment's spelling of its name.
    pub(crate) fn variable(&self) -> String {
        variable(self.key)
    }

    /// Whether its value must not be shown.
    pub(crate) fn secret(&self) -> bool {
        self.key == SECRET
    }

    fn arg(&self) -> Arg {
        let default = match self.default {
            "" => String::new(),
            text => format!(" [default: {text}]"),
        };
        let arg = Arg::new(self.key)
            .long(self.key)
            .value_name(self.value)
            .allow_hyphen_values(false)
            .help(format!("{}{default}", self.help));
        if SWITCHES.contains(&self.key) {
            arg.num_args(0..=1).default_missing_value("yes")
        } else {
            arg
        }
    }
}

/// The environment's spelling of a setting's name.
pub(crate) fn variable(key: &str) -> String {
    let upper = key.to_ascii_uppercase().replace('-', "_");
    format!("{}{upper}", super::layers::PREFIX)
}

/// The settings given on a command line, as texts: all of them for `lockstep start`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(pub(crate) BTreeMap<&'static str, String>);

/// The settings that say the same thing to every node: those that `lockstep local` passes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedFlags(pub(crate) BTreeMap<&'static str, String>);

fn augment(command: Command, settings: impl Iterator<Item = &'static Setting>) -> Command {
    command
        .next_help_heading("Settings")
        .args(settings.map(Setting::arg))
}

fn collect(
    matches: &ArgMatches,
    settings: impl Iterator<Item = &'static Setting>,
) -> BTreeMap<&'static str, String> {
    settings
        .filter_map(|s| Some((s.key, matches.get_one::<String>(s.key)?.clone())))
        .collect()
}

fn shared() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.shared)
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        augment(command, SETTINGS.iter())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Flags(collect(matches, SETTINGS.iter())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(collect(matches, SETTINGS.iter()));
        Ok(())
    }
}

impl Args for SharedFlags {
    fn augment_args(command: Command) -> Command {
        augment(command, shared())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SharedFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(SharedFlags(collect(matches, shared())))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.extend(collect(matches, shared()));
        Ok(())
    }
}
