//! The numbers a protocol counts in, each a type of its own so that they cannot be mixed up.

use core::fmt;
use core::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A point on the host's monotonic clock, in microseconds since an origin of the host's choice.
///
/// Only differences mean anything, and only within one process: clocks affect when a
/// protocol acts, never what is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Micros {
    /// A span of `ms` milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Micros(ms.saturating_mul(1_000))
    }

    /// The time from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Micros) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Micros {
    type Output = Micros;
    /// Saturates: a time that cannot be reached is as good as never.
    fn add(self, span: Micros) -> Micros {
        Micros(self.0.saturating_add(span.0))
    }
}

/// A node's name within its cluster, given by the configuration. Never zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// The identity of a formatted disk: random, made once, so that a node whose disk was
/// wiped cannot vote under its old name. Zero means not known yet.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct DiskId(pub u128);

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A place in the replicated log. The first entry has index 1; 0 is before the log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Index(pub u64);

impl Index {
    /// Before the first entry.
    pub const ZERO: Index = Index(0);

    /// The index after this one.
    #[must_use]
    pub const fn next(self) -> Index {
        Index(self.0 + 1)
    }

    /// The index before this one; zero stays zero.
    #[must_use]
    pub const fn prev(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

impl Sub for Index {
    type Output = u64;
    fn sub(self, other: Index) -> u64 {
        self.0 - other.0
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A reign: Raft's term, or a Paxos ballot (round, node). At most one node leads in an epoch.
///
/// Raft leaves `node` zero: its votes already make a term's leader unique.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Epoch {
    /// Raft's term, or the ballot's round.
    pub round: u64,
    /// The ballot's node; zero in Raft.
    pub node: NodeId,
}

impl Epoch {
    /// Before every reign.
    pub const ZERO: Epoch = Epoch {
        round: 0,
        node: NodeId(0),
    };

    /// The epoch of a Raft term.
    #[must_use]
    pub const fn term(term: u64) -> Epoch {
        Epoch {
            round: term,
            node: NodeId(0),
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node == NodeId(0) {
            write!(f, "{}", self.round)
        } else {
            write!(f, "{}.{}", self.round, self.node.0)
        }
    }
}

/// An index together with the epoch of the entry there: what names an entry.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// Where in the log.
    pub index: Index,
    /// Under whose reign the entry was proposed.
    pub epoch: Epoch,
}

impl Position {
    /// Before the first entry.
    pub const ZERO: Position = Position {
        index: Index::ZERO,
        epoch: Epoch::ZERO,
    };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.epoch)
    }
}
