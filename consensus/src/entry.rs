//! What the replicated log is made of.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Epoch, Index, Membership, Position};

/// One entry of the log. Cloning is cheap: the payload is shared, never copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub index: Index,
    /// The reign under which it was proposed.
    pub epoch: Epoch,
    /// What it says.
    pub payload: Payload,
}

impl Entry {
    /// What names this entry.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            index: self.index,
            epoch: self.epoch,
        }
    }

    /// The payload's size in bytes, for limits and accounting; a membership counts as 64.
    #[must_use]
    pub fn size(&self) -> usize {
        match &self.payload {
            Payload::Blank => 0,
            Payload::Batch(batch) => batch.len(),
            Payload::Membership(_) => 64,
        }
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// Nothing: a new leader's first entry, or a hole that was filled.
    Blank,
    /// A batch of commands, opaque to the protocol.
    Batch(Bytes),
    /// The members from here on. It takes effect when it is appended, not when it is committed.
    Membership(Membership),
}
