//! Why a peer is not let in. The refused side is told the same sentence that the refusing
//! side logs, so it speaks of nodes by number and never of "us" and "them".

use crate::{ClusterId, DiskId, NodeId};

/// Why a handshake was refused. The message says what is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The two nodes belong to different clusters.
    #[error(
        "{refused} belongs to cluster {refused_cluster}, but {refusing} to cluster \
         {refusing_cluster}: correct the peer address, or start {refused} on a directory of \
         this cluster"
    )]
    WrongCluster {
        /// Who refuses.
        refusing: NodeId,
        /// Its cluster.
        refusing_cluster: ClusterId,
        /// Who is refused.
        refused: NodeId,
        /// Its cluster.
        refused_cluster: ClusterId,
    },
    /// The node is not a member.
    #[error("{0} is not a member of this cluster: add it to the membership first, or stop it")]
    UnknownNode(NodeId),
    /// The node came back with another disk, so it has forgotten what it promised.
    #[error(
        "{node} presents disk {presented}, but is known by disk {known}: restore its old \
         directory, or remove {node} from the membership and add it anew"
    )]
    DiskChanged {
        /// The node.
        node: NodeId,
        /// The disk the cluster knows.
        known: DiskId,
        /// The disk it presents.
        presented: DiskId,
    },
    /// No protocol version is spoken by both.
    #[error(
        "{refusing} speaks protocol versions {} to {}, the other side {} to {}: upgrade the \
         older node", .speaks.0, .speaks.1, .offered.0, .offered.1
    )]
    IncompatibleVersion {
        /// Who refuses.
        refusing: NodeId,
        /// Oldest and newest version it speaks.
        speaks: (u16, u16),
        /// Oldest and newest version that the refused side speaks.
        offered: (u16, u16),
    },
    /// The address of one node leads to another.
    #[error(
        "{dialed} was expected at this address, but {reached} lives there: correct the peer address of {dialed}"
    )]
    WrongTarget {
        /// Who was expected.
        dialed: NodeId,
        /// Who is there.
        reached: NodeId,
    },
    /// Two processes use one node id.
    #[error(
        "both sides call themselves {0}: give every node its own id, and check that no peer address leads back to its own node"
    )]
    SameNode(NodeId),
    /// The node with the greater id dials, so that two nodes never dial each other at once.
    #[error("{dialer} dialed {reached}, but the node with the greater id dials: upgrade {dialer}")]
    WrongDialer {
        /// Who dialed.
        dialer: NodeId,
        /// Whom.
        reached: NodeId,
    },
    /// What was said could not be understood.
    #[error("the handshake could not be read: check that both sides run compatible versions")]
    Malformed,
    /// A reason of the embedding program. At most 512 bytes of it reach the other side.
    #[error("{0}")]
    Other(String),
}

impl Refusal {
    /// A short stable word for counters.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::WrongCluster { .. } => "wrong_cluster",
            Refusal::UnknownNode(_) => "unknown_node",
            Refusal::DiskChanged { .. } => "disk_changed",
            Refusal::IncompatibleVersion { .. } => "incompatible_version",
            Refusal::WrongTarget { .. } => "wrong_target",
            Refusal::SameNode(_) => "same_node",
            Refusal::WrongDialer { .. } => "wrong_dialer",
            Refusal::Malformed => "malformed",
            Refusal::Other(_) => "other",
        }
    }
}
