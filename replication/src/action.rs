//! What the driver wants done.

use bytes::Bytes;
use consensus::{Entry, FetchId, Index, LogOp, NodeId, WriteSeq};

use crate::message::{Failure, Message};
use crate::queue::Waiting;
use crate::reads::ReadBatch;
use crate::transfer::SnapshotTask;
use crate::waits::Held;

/// A committed entry, and who waits for its replies.
#[derive(Debug)]
pub struct Committed<T> {
    pub(crate) entry: Entry,
    pub(crate) waiting: Option<Waiting<T>>,
}

impl<T> Committed<T> {
    /// Where the entry stands.
    #[must_use]
    pub fn index(&self) -> Index {
        self.entry.index
    }
}

/// What the driver wants done, in order.
#[derive(Debug)]
pub enum Action<M, T> {
    /// Tell a peer. May be lost.
    Send(NodeId, Message<M>),
    /// Make durable after all earlier writes; then call [`Replica::persisted`](crate::Replica::persisted).
    Write(WriteSeq, Vec<LogOp>),
    /// Read back from the log; then call [`Replica::fetched`](crate::Replica::fetched).
    Fetch {
        /// The fetch's name.
        id: FetchId,
        /// The first index.
        from: Index,
        /// The last index.
        to: Index,
        /// Where to stop.
        max_bytes: usize,
    },
    /// Apply these in order; then call [`Replica::applied`](crate::Replica::applied).
    Apply(Vec<Committed<T>>),
    /// Answer these from the state as it is.
    Query(ReadBatch<T>),
    /// These commands were executed elsewhere: one reply each, behind its length (u32 LE).
    Answer {
        /// Who waits, in order.
        tokens: Vec<T>,
        /// Where in the log.
        index: Index,
        /// The replies.
        replies: Bytes,
    },
    /// These have no reply.
    Fail(Vec<T>, Failure),
    /// Answers [`Replica::wait`](crate::Replica::wait).
    Held(T, Held),
    /// Do something with snapshots; each says what follows.
    Snapshot(SnapshotTask),
}
