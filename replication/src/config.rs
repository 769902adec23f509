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
        }
    }
}
