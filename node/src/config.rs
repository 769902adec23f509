//! What a node is told before it starts: flags beat `LOCKSTEP_*` variables beat a TOML file beat
//! defaults.
//!
//! A setting has one name and three spellings of it: `--client-listen`, `LOCKSTEP_CLIENT_LISTEN`,
//! `client-listen` in the file. [`setting::SETTINGS`] is the only list of them; help texts, the
//! layers and the README's table come from it or are tested against it. [`layers`] collects texts
//! with their origins, this file turns them into a [`Config`], and whatever is wrong is said with
//! the name, the value, its origin and what to do ([`error`]).
//!
//! Nothing here reaches the state machine: replicas with different settings apply alike. What is
//! left out on purpose: reloading, and settings that change while a node runs.

pub(crate) mod error;
pub(crate) mod layers;
pub(crate) mod read;
pub(crate) mod setting;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use consensus::NodeId;

pub(crate) use error::ConfigError;
pub(crate) use layers::Layers;
pub(crate) use value::{ClusterId, Engine, HostPort, LogFormat, Mode, Peer, Secret};

const ADDRESS: &str = "an IP address and a port, such as 127.0.0.1:6379";
const SPAN: &str = "milliseconds, from 1 to 3600000";
const BYTES: &str = "bytes, such as 1048576 or 1mb, at least 1kb";

/// A node's settings, checked: what is here can be acted on.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// This node. Never zero.
    pub(crate) node: NodeId,
    /// The cluster it belongs to.
    pub(crate) cluster: ClusterId,
    /// Where it keeps its data. May not exist yet.
    pub(crate) dir: PathBuf,
    /// What holds the keys.
    pub(crate) engine: Engine,
    /// What an engine on disk may keep in memory, in bytes.
    #[cfg_attr(
        not(any(feature = "rocksdb", feature = "fjall")),
        expect(dead_code, reason = "no engine on disk was built in")
    )]
    pub(crate) engine_memory: usize,
    /// How much of the log is kept for a node that lags, in bytes.
    pub(crate) log_keep: usize,
    /// How far the log may be ahead of what is durable in the state machine, in bytes.
    pub(crate) persist_after: usize,
    /// How copies are kept in step.
    pub(crate) mode: Mode,
    /// Where clients connect.
    pub(crate) client_listen: SocketAddr,
    /// What CLUSTER, MOVED and ROLE tell clients about this node.
    pub(crate) client_advertise: HostPort,
    /// Where the other nodes connect.
    pub(crate) peer_listen: SocketAddr,
    /// Where metrics, health and status are served.
    pub(crate) admin_listen: SocketAddr,
    /// The *other* nodes of the cluster; this one is never among them.
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    /// Whether clients see a cluster and are redirected, or see one server and are forwarded.
    pub(crate) cluster_enabled: bool,
    /// What clients must AUTH with, if anything.
    pub(crate) requirepass: Option<Secret>,
    /// How long a request waits for a leader before it is refused with `-CLUSTERDOWN`.
    pub(crate) hold: Duration,
    /// How often a leader lets itself be heard.
    pub(crate) heartbeat: Duration,
    /// How long a follower waits for a leader before it stands for election; elections are drawn
    /// from once to twice this.
    pub(crate) election_timeout: Duration,
    /// How long this node's disk may show no progress before it counts as hung.
    pub(crate) disk_patience: Duration,
    /// What a client may use up.
    pub(crate) limits: Limits,
    /// How many databases there are: SELECT accepts 0 to one less.
    pub(crate) databases: u16,
    /// Which log lines are written: a level or a tracing filter, parsed by `logging`.
    pub(crate) log_level: String,
    /// How log lines look.
    pub(crate) log_format: LogFormat,
}

/// What clients may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Client connections at a time.
    pub(crate) maxclients: u32,
    /// The largest argument of a command, in bytes.
    pub(crate) proto_max_bulk_len: usize,
    /// Reply bytes that wait for one client before it is disconnected.
    pub(crate) client_output_buffer_limit: usize,
}

impl Config {
    /// Every node of the cluster, this one included.
    pub(crate) fn members(&self) -> BTreeSet<NodeId> {
        self.peers.keys().copied().chain([self.node]).collect()
    }

    /// Turns texts into settings and checks them against each other.
    pub(crate) fn from_layers(layers: &Layers) -> Result<Config, ConfigError> {
        let node: NodeId = layers.parse("node", "a number from 1", value::node_id)?;
        let client_listen = layers.parse("client-listen", ADDRESS, value::address)?;
        let peer_listen = layers.parse("peer-listen", ADDRESS, value::address)?;
        let admin_listen = layers.parse("admin-listen", ADDRESS, value::address)?;
        let mut peers = read::peers(layers)?;
        let own = peers.remove(&node);
        let config = Config {
            node,
            cluster: layers.parse("cluster", "a name or 32 hex digits", value::cluster)?,
            dir: layers.parse("dir", "a directory", value::path)?,
            engine: read::engine(layers)?,
            engine_memory: layers.parse("engine-memory", BYTES, value::some_bytes)?,
            log_keep: layers.parse("log-keep", BYTES, value::some_bytes)?,
            persist_after: layers.parse("persist-after", BYTES, value::some_bytes)?,
            mode: read::mode(layers)?,
            client_listen,
            client_advertise: read::advertised(layers, client_listen, own.as_ref())?,
            peer_listen,
            admin_listen,
            peers,
            cluster_enabled: layers.parse("cluster-enabled", "yes or no", value::switch)?,
            requirepass: read::requirepass(layers)?,
            hold: layers.parse("hold-ms", "milliseconds, at most 3600000", value::millis)?,
            heartbeat: layers.parse("heartbeat-ms", SPAN, value::some_millis)?,
            election_timeout: layers.parse("election-timeout-ms", SPAN, value::some_millis)?,
            disk_patience: layers.parse("disk-patience-ms", SPAN, value::some_millis)?,
            limits: Limits {
                maxclients: layers.parse("maxclients", "a number from 1", value::count)?,
                proto_max_bulk_len: layers.parse("proto-max-bulk-len", BYTES, value::some_bytes)?,
                client_output_buffer_limit: layers.parse(
                    "client-output-buffer-limit",
                    BYTES,
                    value::some_bytes,
                )?,
            },
            databases: layers.parse("databases", "a number from 1 to 16384", value::databases)?,
            log_level: layers.parse(
                "log-level",
                "a level or a filter, such as info or info,consensus_raft=debug",
                value::log_filter,
            )?,
            log_format: layers.parse("log-format", "text or json", value::log_format)?,
        };
        read::check(&config, layers)?;
        Ok(config)
    }
}
