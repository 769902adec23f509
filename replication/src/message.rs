//! What the nodes of a group say to each other, and the frame that carries it.
//!
//! | source | target | message | meaning |
//! |---|---|---|---|
//! | any | any | `Consensus` | the protocol's own |
//! | origin | leader | `Forward` | execute this batch, if you lead in this epoch |
//! | leader | origin | `Refused` | not executed, and nothing later from you under that epoch will be |
//! | leader | origin | `Outcome` | executed at this index; one reply per command |
//! | leader | origin | `Failed` | executed perhaps, or certainly not: see [`Failure`] |
//! | origin | leader | `Wait` | tell me when so many replicas hold this index |
//! | leader | origin | `Waited` | so many do |
//! | sender | receiver | `SnapshotOffer` | I have this for you |
//! | receiver | sender | `SnapshotWant` | send it from here, up to there; or only: I am still there |
//! | sender | receiver | `SnapshotChunk` | a piece of it |
//! | sender | receiver | `SnapshotGone` | I do not send that, or no longer |
//! | receiver | sender | `SnapshotDone` | how it ended: see [`SnapshotEnd`] |
//! | receiver | leader | `Receiving` | another sends me a snapshot: keep the log above it |
//! | leader | any | `Keep` | somebody needs the log above this index, whoever leads next |
//! | any | any | `Understands` | the newest version of the commands' meaning that I know |

use bytes::Bytes;
use consensus::{Channel, Epoch, Index};
use serde::{Deserialize, Serialize};

use crate::machine::Millis;
use crate::transfer::{SnapshotEnd, SnapshotId, SnapshotMeta};

/// Names a forwarded batch. Unique per origin for ever, because it starts with the boot counter:
/// an answer that outlives its question is recognised and dropped.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ForwardId(pub u64);

impl ForwardId {
    /// The first of a process: 2^40 per boot, 2^24 boots.
    #[must_use]
    pub const fn first_of_boot(boot: u64) -> ForwardId {
        ForwardId(boot << 40)
    }

    /// The next one, and steps on.
    pub fn take(&mut self) -> ForwardId {
        let id = *self;
        self.0 += 1;
        id
    }
}

/// Why a command has no reply of the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// It may have taken effect or may still: nobody can tell at this moment.
    Unknown,
    /// It has not taken effect and never will: another entry stands in its place.
    NotExecuted,
    /// It was held until its time was up because nobody led; it was never sent.
    NoLeader,
}

/// What one node of a group says to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message<M> {
    /// The protocol's own.
    Consensus(M),
    /// Commands that arrived at the sender, for the leader of `epoch` alone.
    Forward {
        /// The reign for which they are meant.
        epoch: Epoch,
        /// The sender's name for them.
        id: ForwardId,
        /// The encoded batch.
        batch: Bytes,
    },
    /// A forwarded batch was not executed: the receiver does not lead in that epoch.
    Refused {
        /// Which.
        id: ForwardId,
    },
    /// A forwarded batch was executed.
    Outcome {
        /// Which.
        id: ForwardId,
        /// Where it stands in the log.
        index: Index,
        /// One reply per command, each behind its length (u32, little-endian).
        replies: Bytes,
    },
    /// A forwarded batch has no replies.
    Failed {
        /// Which.
        id: ForwardId,
        /// Why.
        failure: Failure,
    },
    /// Asks how many replicas hold an index durably.
    Wait {
        /// The sender's name for the question.
        id: ForwardId,
        /// The index.
        index: Index,
        /// How many are wanted.
        replicas: u32,
        /// When to answer with what there is; 0 is as late as the leader likes.
        timeout_ms: u64,
    },
    /// Answers `Wait`.
    Waited {
        /// Which.
        id: ForwardId,
        /// How many replicas besides the leader hold it.
        replicas: u32,
        /// Whether the leader's own disk holds it.
        leader: bool,
    },
    /// The sender has a snapshot that the receiver needs.
    SnapshotOffer {
        /// What it is.
        meta: SnapshotMeta,
    },
    /// Asks for a part of a snapshot that was offered. Everything below `offset` is here.
    SnapshotWant {
        /// Which.
        id: SnapshotId,
        /// From where.
        offset: u64,
        /// Where to stop until the next such message.
        upto: u64,
        /// Whether what was sent from there on before may be lost.
        again: bool,
    },
    /// A piece of a snapshot.
    SnapshotChunk {
        /// Which.
        id: SnapshotId,
        /// Where it belongs.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
        /// Their CRC32C.
        crc: u32,
    },
    /// The sender does not send that snapshot, or no longer.
    SnapshotGone {
        /// Which.
        id: SnapshotId,
    },
    /// The receiver needs no more of a snapshot.
    SnapshotDone {
        /// Which.
        id: SnapshotId,
        /// How it ended.
        end: SnapshotEnd,
    },
    /// The sender is sent a snapshot by somebody who leads no more. It needs no other, but the log
    /// above it.
    Receiving {
        /// The last index whose effects are in it.
        index: Index,
    },
    /// Says up to where the log may be purged, for the sake of those who lag.
    Keep {
        /// Above which index somebody needs it; `None` if nobody lags.
        above: Option<Index>,
    },
    /// The first thing on a connection: what a leader may write, it writes for the one who knows
    /// the least.
    Understands {
        /// The newest [`SEMANTICS`](crate::SEMANTICS) that the sender understands.
        semantics: u8,
    },
}

impl<M: consensus::Message> Message<M> {
    /// Which of a peer's connections carries it. Everything that must keep its order with
    /// forwarded commands shares one.
    #[must_use]
    pub fn channel(&self) -> Channel {
        match self {
            Message::Consensus(message) => message.channel(),
            Message::Receiving { .. } | Message::Keep { .. } => Channel::Control,
            _ => Channel::Bulk,
        }
    }

    /// How large it is on the wire, about, in bytes.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        64 + match self {
            Message::Consensus(message) => message.payload_bytes(),
            Message::Forward { batch, .. } => batch.len(),
            Message::Outcome { replies, .. } => replies.len(),
            Message::SnapshotChunk { bytes, .. } => bytes.len(),
            _ => 0,
        }
    }
}

/// Everything a node has to say to a peer on one channel at the end of a turn, for all groups.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame<M> {
    /// The sender's clock, in milliseconds since 1970: what bounds a leader's stamps.
    pub clock: u64,
    /// (group, message), in order.
    pub messages: Vec<(u32, Message<M>)>,
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the peer's frame is not one of ours ({0}): it runs another version, or is not Lockstep")]
pub struct FrameError(#[from] rmp_serde::decode::Error);

impl<M: consensus::Message> Frame<M> {
    /// An empty frame.
    #[must_use]
    pub fn new(clock: Millis) -> Self {
        Frame {
            clock: clock.0,
            messages: Vec::new(),
        }
    }

    /// The frame in MessagePack; batches and replies stand in it as `bin`, copied once.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let payloads = (self.messages.iter()).map(|(_, message)| message.payload_bytes());
        let mut bytes = Vec::with_capacity(64 + payloads.sum::<usize>());
        let encoded = rmp_serde::encode::write(&mut bytes, self);
        assert!(
            encoded.is_ok(),
            "a message type that MessagePack cannot express"
        );
        bytes.into()
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// When the bytes are not a frame of this version.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        Ok(rmp_serde::from_slice(bytes)?)
    }
}
