//! What Raft can be tuned by, with defaults for a cluster within one data centre.

use core::fmt;

use consensus::{Micros, NodeId};

/// How a node behaves. [`Config::new`] gives the defaults, [`Config::validate`] refuses what
/// cannot work. All nodes of a cluster should agree on the times: check-quorum and the refusal of
/// votes under a live leader compare one node's timeout with another's heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// This node.
    pub node: NodeId,
    /// How often a leader speaks to each peer, if nothing else does. Default 50 ms.
    pub heartbeat_interval: Micros,
    /// How long a follower hears nothing before it stands for election: between this and twice
    /// this, drawn anew each time. A leader steps down after this long without a quorum. Default
    /// 300 ms.
    pub election_timeout: Micros,
    /// How long this node's disk may show no progress before it counts as hung: then it leads no
    /// more, and does not stand. Longer than a busy disk ever pauses: until then a quorum of the
    /// others commits without it, and where there is none, nobody could be elected without its
    /// disk either. Default 2 s.
    pub disk_patience: Micros,
    /// Payload bytes in one append; a larger entry still travels, alone. Default 1 MiB.
    pub max_append_bytes: usize,
    /// Appends on their way to one peer. Default 64.
    pub max_in_flight_messages: usize,
    /// Payload bytes on their way to one peer. Default 8 MiB.
    pub max_in_flight_bytes: usize,
    /// Payload bytes of recent entries kept in memory, beyond those that are not committed or not
    /// persisted yet. Default 64 MiB.
    pub cache_bytes: usize,
    /// Payload bytes proposed and not yet committed, above which proposals are refused as busy.
    /// One proposal is always taken in. Default 64 MiB.
    pub max_uncommitted_bytes: usize,
    /// How long a new commit index waits for a message to ride on before it travels alone.
    /// Default 5 ms.
    pub commit_notice: Micros,
    /// How many entries of its log a node may have yet to apply and still stand for election as
    /// soon as others would. One that has more to replay lets them go first: it would win, and
    /// then answer nobody until it has caught up. Default 1,000.
    pub max_apply_lag: u64,
}

impl Config {
    /// The defaults, for `node`.
    #[must_use]
    pub const fn new(node: NodeId) -> Self {
        const MIB: usize = 1 << 20;
        Config {
            node,
            heartbeat_interval: Micros::from_millis(50),
            election_timeout: Micros::from_millis(300),
            disk_patience: Micros::from_millis(2_000),
            max_append_bytes: MIB,
            max_in_flight_messages: 64,
            max_in_flight_bytes: 8 * MIB,
            cache_bytes: 64 * MIB,
            max_uncommitted_bytes: 64 * MIB,
            commit_notice: Micros::from_millis(5),
            max_apply_lag: 1_000,
        }
    }

    /// Checks that a cluster can work under this configuration.
    ///
    /// # Errors
    /// Names the first field that cannot stand, and why.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        if self.node.0 == 0 {
            return Err(ConfigError::NodeIsZero);
        }
        if self.heartbeat_interval.0 == 0 {
            return Err(ConfigError::IsZero("heartbeat_interval"));
        }
        if self.election_timeout.0 / 2 < self.heartbeat_interval.0 {
            return Err(ConfigError::ElectionTimeoutTooShort {
                election_timeout: self.election_timeout,
                heartbeat_interval: self.heartbeat_interval,
            });
        }
        if self.election_timeout.0 > MAX_TIMEOUT.0 {
            return Err(ConfigError::ElectionTimeoutTooLong(self.election_timeout));
        }
        if self.disk_patience.0 == 0 {
            return Err(ConfigError::IsZero("disk_patience"));
        }
        if self.max_append_bytes == 0 {
            return Err(ConfigError::IsZero("max_append_bytes"));
        }
        if self.max_in_flight_messages == 0 {
            return Err(ConfigError::IsZero("max_in_flight_messages"));
        }
        if self.max_in_flight_bytes == 0 {
            return Err(ConfigError::IsZero("max_in_flight_bytes"));
        }
        Ok(())
    }

    /// How long a peer may show no sign of what was sent to it before that counts as lost.
    pub(crate) const fn lost_after(&self) -> Micros {
        Micros(self.election_timeout.0 / 2)
    }
}

/// An hour: longer is a mistake in the unit, and sums of times stay far from overflowing.
const MAX_TIMEOUT: Micros = Micros::from_millis(3_600_000);

/// Why a configuration cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// `node` is zero, which names nobody.
    NodeIsZero,
    /// A field that must be positive is zero.
    IsZero(&'static str),
    /// Two heartbeats must fit into an election timeout, or one lost heartbeat is an election.
    ElectionTimeoutTooShort {
        /// What was configured.
        election_timeout: Micros,
        /// What it must be at least twice of.
        heartbeat_interval: Micros,
    },
    /// More than an hour.
    ElectionTimeoutTooLong(Micros),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::NodeIsZero => f.write_str("node is 0; give each node an id from 1"),
            ConfigError::IsZero(field) => write!(f, "{field} is 0; it must be positive"),
            ConfigError::ElectionTimeoutTooShort {
                election_timeout,
                heartbeat_interval,
            } => write!(
                f,
                "election_timeout is {} µs; it must be at least twice heartbeat_interval ({} µs)",
                election_timeout.0, heartbeat_interval.0
            ),
            ConfigError::ElectionTimeoutTooLong(timeout) => write!(
                f,
                "election_timeout is {} µs; it must be at most an hour ({} µs)",
                timeout.0, MAX_TIMEOUT.0
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::new(NodeId(1)).validate(), Ok(()));
    }

    #[test]
    fn what_cannot_work_is_named() {
        let with = |change: fn(&mut Config)| {
            let mut config = Config::new(NodeId(1));
            change(&mut config);
            config.validate().map_err(|error| error.to_string())
        };
        type Change = fn(&mut Config);
        let cases: [(Change, &str); 8] = [
            (|c| c.node = NodeId(0), "node is 0"),
            (|c| c.heartbeat_interval = Micros(0), "heartbeat_interval"),
            (|c| c.disk_patience = Micros(0), "disk_patience"),
            (|c| c.election_timeout = Micros(99_999), "at least twice"),
            (|c| c.election_timeout = Micros(u64::MAX), "at most an hour"),
            (|c| c.max_append_bytes = 0, "max_append_bytes"),
            (|c| c.max_in_flight_messages = 0, "max_in_flight_messages"),
            (|c| c.max_in_flight_bytes = 0, "max_in_flight_bytes"),
        ];
        for (change, expected) in cases {
            let error = with(change).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
