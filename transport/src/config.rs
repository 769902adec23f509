//! What a TCP transport is told when it is made.

use std::fmt;
use std::time::Duration;

use crate::{Backoff, Identity, Refusal};

/// Decides whether a peer is let in, by its identity. Called once per handshake, on whichever
/// task runs it; it must not block.
pub type Check = Box<dyn Fn(&Identity) -> Result<(), Refusal> + Send + Sync>;

/// What a transport needs to know. [`Config::new`] fills in the defaults.
#[non_exhaustive]
pub struct Config {
    /// Who this node is.
    pub identity: Identity,
    /// Whether a peer may connect. Cluster, version, target and direction are checked before
    /// it is asked; what is left is whether the node is a member and its disk the known one.
    pub check: Check,
    /// Longest payload of a frame, in bytes; the smaller of both sides' limits holds. 64 MiB.
    pub frame_limit: u32,
    /// Bytes that may wait to be sent on one connection. While more wait, one more frame
    /// closes the connection instead of waiting too; so the most that is held is this and
    /// one frame. 16 MiB.
    pub queue_limit: usize,
    /// Bytes that may wait on one connection to be taken by
    /// [`receive`](crate::Transport::receive) before reading pauses. 4 MiB.
    pub receive_limit: u32,
    /// Time for connecting and the handshake together. 3 s.
    pub handshake_timeout: Duration,
    /// Inbound connections that may be within their handshake. One more, and the oldest of
    /// them is closed: whoever shakes hands promptly gets through a flood of idle
    /// connections. 64.
    pub handshakes_max: usize,
    /// How long to wait before dialing again.
    pub backoff: Backoff,
    /// After how long without any acknowledgement by the peer's kernel a connection is given
    /// up (`TCP_USER_TIMEOUT` and keepalive). 10 s.
    pub dead_after: Duration,
}

impl Config {
    /// The defaults for this node, with this check of peers.
    pub fn new(
        identity: Identity,
        check: impl Fn(&Identity) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        Config {
            identity,
            check: Box::new(check),
            frame_limit: 64 << 20,
            queue_limit: 16 << 20,
            receive_limit: 4 << 20,
            handshake_timeout: Duration::from_secs(3),
            handshakes_max: 64,
            backoff: Backoff::default(),
            dead_after: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("identity", &self.identity)
            .field("frame_limit", &self.frame_limit)
            .field("queue_limit", &self.queue_limit)
            .field("receive_limit", &self.receive_limit)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("handshakes_max", &self.handshakes_max)
            .field("backoff", &self.backoff)
            .field("dead_after", &self.dead_after)
            .finish_non_exhaustive()
    }
}
