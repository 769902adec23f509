//! WAIT: answers once enough replicas hold an index durably.
//!
//! Only the leader knows, so a follower passes the question on and the answer back.

use consensus::{Index, Micros, NodeId, Status};

use crate::message::ForwardId;

/// A question: how many replicas hold `index`?
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    /// The index.
    pub index: Index,
    /// Answer as soon as so many do.
    pub replicas: u32,
    /// Answer with what there is after this long; `None` waits for ever.
    pub timeout: Option<Micros>,
}

/// The answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// How many replicas besides the leader hold it durably.
    pub replicas: u32,
    /// Whether the leader's own disk holds it.
    pub leader: bool,
}

impl Held {
    /// Who holds `index`, as a leader sees it.
    pub(crate) fn count(status: &Status, index: Index) -> Held {
        let peers = status.peers.iter().filter(|peer| peer.matched >= index);
        Held {
            replicas: u32::try_from(peers.count()).unwrap_or(u32::MAX),
            leader: status.persisted >= index,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asker<T> {
    Local(T),
    Remote(NodeId, ForwardId),
}

/// A question without an answer yet.
#[derive(Debug)]
pub(crate) struct Open<T> {
    pub(crate) asker: Asker<T>,
    pub(crate) wait: Wait,
    pub(crate) deadline: Option<Micros>,
    /// Passed on to this leader under this name.
    pub(crate) asked: Option<(NodeId, ForwardId)>,
}
