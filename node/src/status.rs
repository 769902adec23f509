//! Where a node stands: what `/status` answers, and what `lockstep status` makes a table of.
//!
//! The types are the interface between a node and whoever watches it, so they are plain numbers
//! and texts: unknown fields are ignored and missing ones defaulted, and releases can be mixed.

pub(crate) mod client;
pub(crate) mod command;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use consensus::Status;
use serde::{Deserialize, Serialize};

/// A node, as of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    /// The node's number.
    pub(crate) node: u64,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// The disk's id, 32 hex digits.
    pub(crate) disk: String,
    /// How often the node was started on this disk.
    pub(crate) boot: u64,
    /// Lockstep's version.
    pub(crate) version: String,
    /// What holds the keys.
    pub(crate) engine: String,
    /// Where clients are told to connect.
    pub(crate) client_address: String,
    /// Milliseconds since the process started.
    pub(crate) uptime_ms: u64,
    /// Clients connected now.
    pub(crate) connected_clients: u64,
    /// The process' resident memory.
    pub(crate) memory_bytes: u64,
    /// Fsyncs of the log since the start, for all groups together.
    pub(crate) fsyncs: u64,
    /// What clients asked since the start.
    pub(crate) operations: Operations,
    /// The groups that the node takes part in.
    pub(crate) groups: Vec<GroupStatus>,
}

/// What clients asked of a node since it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Operations {
    /// Commands of every kind.
    pub(crate) commands: u64,
    /// Those that write.
    pub(crate) writes: u64,
    /// Those that read keys.
    pub(crate) reads: u64,
    /// Those that this node sent on to a leader.
    pub(crate) forwarded: u64,
    /// Error replies.
    pub(crate) errors: u64,
}

/// A node's part in one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct GroupStatus {
    /// The group's number.
    pub(crate) group: u32,
    /// What keeps it in step.
    pub(crate) mode: String,
    /// What the node does in it: `leader`, `follower`, …
    pub(crate) role: String,
    /// The reign: Raft's term, or a ballot's round.
    pub(crate) epoch: u64,
    /// A ballot's node; zero in Raft.
    pub(crate) epoch_node: u64,
    /// Who leads in that reign, as far as the node knows.
    pub(crate) leader: Option<u64>,
    /// The last index of its log.
    pub(crate) last: u64,
    /// The last index its disk holds.
    pub(crate) persisted: u64,
    /// The last index known to be decided.
    pub(crate) committed: u64,
    /// The last index its keys reflect.
    pub(crate) applied: u64,
    /// The last index that has left the log.
    pub(crate) purged: u64,
    /// The group's clock, in milliseconds since 1970; it decides what has expired.
    pub(crate) time_ms: u64,
    /// The members in force.
    pub(crate) membership: Members,
    /// What a leader knows of the others; empty on everybody else.
    pub(crate) peers: Vec<PeerStatus>,
}

/// A group's members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Members {
    /// Everybody who receives the log, with the disk it joined with if that is known.
    pub(crate) disks: BTreeMap<u64, Option<String>>,
    /// Those whose votes count.
    pub(crate) voters: Vec<u64>,
    /// Those whose votes counted before the change under way.
    pub(crate) outgoing: Vec<u64>,
}

/// What a leader knows of another member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PeerStatus {
    /// The member.
    pub(crate) node: u64,
    /// Up to where its log is durably the leader's.
    pub(crate) matched: u64,
    /// How many entries of the leader's log it lacks.
    pub(crate) lag: u64,
    /// Whether it has answered within an election timeout.
    pub(crate) active: bool,
    /// Appends on their way to it.
    pub(crate) in_flight: u64,
}

impl GroupStatus {
    /// A group's part that consensus knows; `time_ms` is the group's clock.
    pub(crate) fn of(group: u32, mode: &str, status: &Status, time_ms: u64) -> GroupStatus {
        let members = &status.membership;
        let disk = |disk: consensus::DiskId| (disk.0 != 0).then(|| disk.to_string());
        GroupStatus {
            group,
            mode: mode.to_owned(),
            role: status.role.name().to_owned(),
            epoch: status.epoch.round,
            epoch_node: status.epoch.node.0,
            leader: status.leader.map(|leader| leader.0),
            last: status.last.index.0,
            persisted: status.persisted.0,
            committed: status.committed.0,
            applied: status.applied.0,
            purged: status.purged.0,
            time_ms,
            membership: Members {
                disks: members
                    .members
                    .iter()
                    .map(|(n, m)| (n.0, disk(m.disk)))
                    .collect(),
                voters: members.voters.iter().map(|node| node.0).collect(),
                outgoing: members.outgoing.iter().map(|node| node.0).collect(),
            },
            peers: status
                .peers
                .iter()
                .map(|peer| PeerStatus {
                    node: peer.node.0,
                    matched: peer.matched.0,
                    lag: status.last.index.0.saturating_sub(peer.matched.0),
                    active: peer.active,
                    in_flight: peer.in_flight as u64,
                })
                .collect(),
        }
    }

    /// Whether the node leads the group.
    pub(crate) fn leads(&self) -> bool {
        self.role == consensus::Role::Leader.name()
    }

    /// Whether a leader hears from a majority of the voters, of both configurations when joint.
    pub(crate) fn has_quorum(&self, me: u64) -> bool {
        let heard = |node: &&u64| {
            **node == me
                || self
                    .peers
                    .iter()
                    .any(|peer| peer.node == **node && peer.active)
        };
        [&self.membership.voters, &self.membership.outgoing]
            .into_iter()
            .all(|voters| {
                voters.is_empty() || voters.iter().filter(heard).count() * 2 > voters.len()
            })
    }
}

impl NodeStatus {
    /// Why the node should get no traffic now; `None` when it should.
    ///
    /// Catching up means that more than [`NodeStatus::BEHIND`] decided entries are not applied: a
    /// node that is always a batch behind is what replication looks like.
    pub(crate) fn not_ready(&self) -> Option<String> {
        for group in &self.groups {
            if group.leader.is_none() {
                return Some(format!("group {}: no leader is known", group.group));
            }
            let behind = group.committed.saturating_sub(group.applied);
            if behind > Self::BEHIND {
                return Some(format!(
                    "group {}: catching up, {behind} entries to go",
                    group.group
                ));
            }
        }
        self.groups.is_empty().then(|| "starting".to_owned())
    }

    /// Entries.
    const BEHIND: u64 = 1_000;
}
