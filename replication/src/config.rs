//! What the driver can be tuned by.

use consensus::{Micros, NodeId};

/// What the driver can be tuned by.
#[derive(Clone, Debug)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// How often this node has been started: keeps names of forwarded batches unique for ever.
    pub boot: u64,
    /// How long commands are held while nobody leads.
    pub hold: Micros,
    /// Where a batch is cut, in bytes; a larger command has a batch of its own.
    pub max_batch_bytes: usize,
    /// How many bytes may wait here before [`Replica::overloaded`](crate::Replica::overloaded) says so.
    pub max_waiting_bytes: usize,
    /// How many commands are applied in one turn. The entry that goes beyond this, or beyond
    /// `apply_slice_bytes`, is still applied whole; the next one waits for the next turn, so that
    /// heartbeats are answered while a long log is replayed.
    pub apply_slice_commands: usize,
    /// How many bytes of commands are applied in one turn.
    pub apply_slice_bytes: usize,
    /// How much of the log is kept.
    pub log: LogConfig,
    /// How snapshots travel.
    pub snapshots: SnapshotConfig,
}

/// How much of the log is kept, and when the state machine is to be made durable.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// How many bytes of the log the state machine may not hold durably before it is to be
    /// persisted. Where that means a snapshot of everything it should grow with the data.
    pub persist_bytes: u64,
    /// How long after the last write it is to be persisted though the log is short.
    pub persist_idle_after: Micros,
    /// How many bytes of the log are purged at once at least, while the group is busy: each purge is
    /// a record itself.
    pub purge_bytes: u64,
    /// How many bytes of the log are kept for a follower that lags; beyond, it gets a snapshot.
    pub kept_bytes: u64,
    /// How long after it was last heard a follower is expected back.
    pub kept_for: Micros,
}

/// How snapshots travel.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotConfig {
    /// How many bytes of snapshots leave this node per second, to all peers together.
    pub bytes_per_second: u64,
    /// The largest piece, in bytes.
    pub chunk_bytes: usize,
    /// How many bytes a receiver asks for beyond what it has stored.
    pub window_bytes: usize,
    /// How long a receiver waits before it asks again, or says that it is still there.
    pub ask_again: Micros,
    /// How long a sender hears nothing before it gives up for now.
    pub patience: Micros,
    /// How long a snapshot that broke off is kept, and the log above it.
    pub kept_for: Micros,
}

impl Default for LogConfig {
    /// 64 MiB not durable, 30 s idle; 1 MiB purged at once; 64 MiB kept for followers heard within a minute.
    fn default() -> Self {
        LogConfig {
            persist_bytes: 64 << 20,
            persist_idle_after: Micros::from_millis(30_000),
            purge_bytes: 1 << 20,
            kept_bytes: 64 << 20,
            kept_for: Micros::from_millis(60_000),
        }
    }
}

impl Default for SnapshotConfig {
    /// 64 MiB per second in pieces of 256 KiB, four at a time; asked for again after 2 s, given up
    /// after 15 s, kept for a minute.
    fn default() -> Self {
        SnapshotConfig {
            bytes_per_second: 64 << 20,
            chunk_bytes: 256 << 10,
            window_bytes: 1 << 20,
            ask_again: Micros::from_millis(2_000),
            patience: Micros::from_millis(15_000),
            kept_for: Micros::from_millis(60_000),
        }
    }
}

impl Config {
    /// The defaults: held 2 s, batches of 1 MiB, 64 MiB waiting, 2,048 commands or 1 MiB applied
    /// per turn.
    #[must_use]
    pub fn new(node: NodeId, boot: u64) -> Self {
        Config {
            node,
            boot,
            hold: Micros::from_millis(2_000),
            max_batch_bytes: 1 << 20,
            max_waiting_bytes: 64 << 20,
            apply_slice_commands: 2_048,
            apply_slice_bytes: 1 << 20,
            log: LogConfig::default(),
            snapshots: SnapshotConfig::default(),
        }
    }
}
