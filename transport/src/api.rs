//! The trait, and the words its callers need: channels, events, errors, counters.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Identity, NodeId};

/// Frames between this node and its peers.
///
/// A peer is reached over two connections, one per [`Channel`]. Each lives from its
/// [`Event::Connected`] to its [`Event::Disconnected`], and within that life the promise is:
/// **what arrives is a prefix of what was sent**, in order, without gap, duplicate or damage.
/// Nothing is promised across connections: frames that had not arrived when a connection
/// ended are gone, and whether they had arrived is not known.
///
/// Calls never block. All state lives behind `&mut self`, so a table lookup and a queue push
/// are the whole cost of [`send`](Transport::send), and no event is seen out of turn.
#[async_trait]
pub trait Transport: Send {
    /// Queues a frame for a peer; never blocks. What is queued during one turn of the caller
    /// goes out together.
    ///
    /// # Errors
    /// An error means that the frame was not queued. [`SendError::QueueFull`] moreover means
    /// that the connection has been closed for it, because a frame left out would be a gap.
    fn send(&mut self, to: NodeId, channel: Channel, payload: Bytes) -> Result<(), SendError>;

    /// Waits for at least one event, then appends all that are ready, control before bulk, up
    /// to a bound of a few thousand.
    ///
    /// Cancel safe: a future that is dropped has taken nothing.
    async fn receive(&mut self, events: &mut Vec<Event>);

    /// Says which peers there are and where (`host:port`), replacing what was said before. A
    /// peer that is no longer named is disconnected; one that moved is dialed anew. This node's
    /// own entry is ignored, so every node can be given the same table.
    ///
    /// The table says whom to dial, not whom to let in: a peer with a greater id dials by
    /// itself, before it is named and after, and only the check of identities keeps it out.
    fn set_peers(&mut self, peers: BTreeMap<NodeId, String>);

    /// What went over the wire since this transport was made.
    fn stats(&self) -> Stats;
}

/// Which of the two connections to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// Small and urgent: heartbeats and votes queue behind nothing.
    Control,
    /// Everything large: entries, snapshots.
    Bulk,
}

impl Channel {
    /// Both channels.
    pub const ALL: [Channel; 2] = [Channel::Control, Channel::Bulk];

    pub(crate) const fn index(self) -> usize {
        match self {
            Channel::Control => 0,
            Channel::Bulk => 1,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Channel::Control => "control",
            Channel::Bulk => "bulk",
        })
    }
}

/// What happened on a connection, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The handshake is done and both directions are usable.
    Connected {
        /// Who the peer is now. After a restart its `boot` is higher.
        peer: Identity,
        /// On which channel.
        channel: Channel,
    },
    /// The connection has ended. Every `Connected` is followed by exactly one of these before
    /// the next `Connected` of the same peer and channel.
    Disconnected {
        /// The peer.
        peer: NodeId,
        /// On which channel.
        channel: Channel,
    },
    /// A frame arrived. The payload may share its allocation (256 KiB) with its neighbours:
    /// copy what is kept for long on its own.
    Frame {
        /// The peer that sent it.
        from: NodeId,
        /// On which channel.
        channel: Channel,
        /// What it passed to [`Transport::send`].
        payload: Bytes,
    },
}

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no connection to this peer now; `Connected` will say when there is.
    #[error("{to} is not connected on {channel}; wait for its Connected event")]
    NotConnected {
        /// The peer.
        to: NodeId,
        /// On which channel.
        channel: Channel,
    },
    /// The peer takes less than is sent to it. Its connection has been closed.
    #[error(
        "{queued} bytes were waiting for {to} on {channel}, the limit is {limit}: the connection \
         was closed, send again after its next Connected event"
    )]
    QueueFull {
        /// The peer.
        to: NodeId,
        /// On which channel.
        channel: Channel,
        /// Bytes that were waiting.
        queued: usize,
        /// Bytes that may wait.
        limit: usize,
    },
    /// The payload is longer than one frame may be. The connection stays.
    #[error("a payload of {length} bytes for {to} exceeds the frame limit of {limit}; split it")]
    TooLarge {
        /// The peer.
        to: NodeId,
        /// Bytes of the payload.
        length: usize,
        /// Bytes that both sides accept.
        limit: usize,
    },
    /// A node does not send to itself.
    #[error("{0} is this node; deliver to it directly")]
    ToSelf(NodeId),
}

/// Counters since the transport was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames that were handed to the operating system whole.
    pub frames_sent: u64,
    /// Bytes handed to the operating system, headers included.
    pub bytes_sent: u64,
    /// Calls that wrote: one per peer, channel and turn, so far fewer than frames. In memory
    /// there are none.
    pub writes: u64,
    /// Frames that arrived whole.
    pub frames_received: u64,
    /// Bytes that arrived, headers included.
    pub bytes_received: u64,
    /// Calls that read.
    pub reads: u64,
}
