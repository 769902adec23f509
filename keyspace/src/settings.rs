//! The settings that clients can see and, some of them, change: CONFIG GET and CONFIG SET.
//!
//! Only what tools ask for stands here. A node has more settings than these; its own
//! configuration is not Redis' business. None of them ever reaches `apply`.

/// Settings as Redis names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The password; empty when none is needed.
    pub requirepass: String,
    /// How many connections there may be.
    pub maxclients: u32,
    /// After how many silent seconds a connection is closed; 0 never.
    pub timeout: u32,
    /// Whether this is a Redis Cluster to its clients: followers answer MOVED.
    pub cluster_enabled: bool,
    /// How many databases there are.
    pub databases: u16,
    /// The longest bulk string that is accepted, in bytes.
    pub proto_max_bulk_len: u64,
    /// Seconds of silence before TCP asks whether the peer is there.
    pub tcp_keepalive: u32,
    /// How long a request is held while nobody leads, in milliseconds.
    pub leader_wait_ms: u64,
    /// Where the node listens, for show.
    pub bind: String,
    /// The port it listens on, for show.
    pub port: u16,
    /// Where it keeps its data, for show.
    pub dir: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            requirepass: String::new(),
            maxclients: 10_000,
            timeout: 0,
            cluster_enabled: false,
            databases: 1,
            proto_max_bulk_len: 512 << 20,
            tcp_keepalive: 300,
            leader_wait_ms: 2_000,
            bind: "127.0.0.1".into(),
            port: 6379,
            dir: ".".into(),
        }
    }
}

/// Why a setting was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// There is none of that name.
    #[error("there is no such setting")]
    Unknown,
    /// It is fixed while the node runs.
    #[error("can't set immutable config")]
    Immutable,
    /// The value makes no sense.
    #[error("{0}")]
    Invalid(String),
}
