//! The settings that clients can see and, some of them, change: CONFIG GET and CONFIG SET.
//!
//! Only what tools ask for stands here. A node has more settings than these; its own
//! configuration is not Redis' business. None of them ever reaches `apply`.

/// Settings as Redis names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The password; empty when none is needed.
    pub requirepass: String,
    /// How many connections there may be.
    pub maxclients: u32,
    /// After how many silent seconds a connection is closed; 0 never.
    pub timeout: u32,
    /// Whether this is a Redis Cluster to its clients: followers answer MOVED.
    pub cluster_enabled: bool,
    /// How many databases there are.
    pub databases: u16,
    /// The longest bulk string that is accepted, in bytes.
    pub proto_max_bulk_len: u64,
    /// Seconds of silence before TCP asks whether the peer is there.
    pub tcp_keepalive: u32,
    /// How long a request is held while nobody leads, in milliseconds.
    pub leader_wait_ms: u64,
    /// Where the node listens, for show.
    pub bind: String,
    /// The port it listens on, for show.
    pub port: u16,
    /// Where it keeps its data, for show.
    pub dir: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            requirepass: String::new(),
            maxclients: 10_000,
            timeout: 0,
            cluster_enabled: false,
            databases: 1,
            proto_max_bulk_len: BULK_BYTES_MAX,
            tcp_keepalive: 300,
            leader_wait_ms: 2_000,
            bind: "127.0.0.1".into(),
            port: 6379,
            dir: ".".into(),
        }
    }
}

/// What Redis has settings for and this server does not let anybody choose: every acknowledged
/// write is durable on a majority, nothing is evicted, and replicas pass writes on.
const FIXED: [(&str, &str); 14] = [
    ("save", ""),
    ("appendonly", "yes"),
    ("appendfsync", "always"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("replica-read-only", "no"),
    ("slave-read-only", "no"),
    ("replica-serve-stale-data", "no"),
    ("min-replicas-to-write", "0"),
    ("cluster-require-full-coverage", "yes"),
    ("notify-keyspace-events", ""),
    ("daemonize", "no"),
    ("io-threads", "1"),
    ("lazyfree-lazy-user-flush", "no"),
];

/// The longest argument that can be allowed: a command goes to the peers in one frame.
const BULK_BYTES_MAX: u64 = 32 << 20;

impl Settings {
    /// Every setting with its value, as CONFIG GET shows them.
    #[must_use]
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let yes_no = |set: bool| if set { "yes" } else { "no" }.to_string();
        let mut entries = vec![
            ("requirepass", self.requirepass.clone()),
            ("maxclients", self.maxclients.to_string()),
            ("timeout", self.timeout.to_string()),
            ("tcp-keepalive", self.tcp_keepalive.to_string()),
            ("proto-max-bulk-len", self.proto_max_bulk_len.to_string()),
            ("leader-wait-ms", self.leader_wait_ms.to_string()),
            ("cluster-enabled", yes_no(self.cluster_enabled)),
            ("databases", self.databases.to_string()),
            ("bind", self.bind.clone()),
            ("port", self.port.to_string()),
            ("dir", self.dir.clone()),
        ];
        entries.extend(FIXED.map(|(name, value)| (name, value.to_string())));
        entries
    }

    /// Changes one setting; `name` in any case. All or nothing.
    ///
    /// # Errors
    /// When there is no such setting, it cannot be changed while the node runs, or not to that.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "requirepass" => self.requirepass = value.to_string(),
            "maxclients" => self.maxclients = number(value, 1, u32::MAX)?,
            "timeout" => self.timeout = number(value, 0, i32::MAX as u32)?,
            "tcp-keepalive" => self.tcp_keepalive = number(value, 0, i32::MAX as u32)?,
            "leader-wait-ms" => self.leader_wait_ms = number(value, 0, u64::from(u32::MAX))?,
            "proto-max-bulk-len" => {
                self.proto_max_bulk_len = memory(value, 1 << 20, BULK_BYTES_MAX)?;
            }
            "cluster-enabled" | "databases" | "bind" | "port" | "dir" => {
                return Err(SettingError::Immutable);
            }
            _ => {
                let (_, fixed) = FIXED
                    .into_iter()
                    .find(|(known, _)| *known == name)
                    .ok_or(SettingError::Unknown)?;
                if !fixed.eq_ignore_ascii_case(value) {
                    return Err(SettingError::Invalid(format!(
                        "this server does not let '{name}' be anything but '{fixed}'"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn number<N>(value: &str, least: N, most: N) -> Result<N, SettingError>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let unread = || SettingError::Invalid("argument couldn't be parsed into an integer".into());
    // Digits that are too many for the type are still a number, only out of range.
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(unread());
    }
    value
        .parse()
        .ok()
        .filter(|number| (&least..=&most).contains(&number))
        .ok_or_else(|| {
            SettingError::Invalid(format!(
                "argument must be between {least} and {most} inclusive"
            ))
        })
}

/// A number of bytes, perhaps with a unit: `k` is a thousand, `kb` is 1,024.
fn memory(value: &str, least: u64, most: u64) -> Result<u64, SettingError> {
    let lower = value.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match lower.get(digits.len()..).unwrap_or_default() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => {
            return Err(SettingError::Invalid(
                "argument must be a memory value".into(),
            ));
        }
    };
    let bytes = number::<u64>(digits, 0, u64::MAX)?.saturating_mul(unit);
    number(&bytes.to_string(), least, most)
}

/// Why a setting was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// There is none of that name.
    #[error("there is no such setting")]
    Unknown,
    /// It is fixed while the node runs.
    #[error("can't set immutable config")]
    Immutable,
    /// The value makes no sense.
    #[error("{0}")]
    Invalid(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_shown_can_be_set_to_what_is_shown_or_is_immutable() {
        let mut settings = Settings::default();
        for (name, value) in settings.entries() {
            match settings.set(name, &value) {
                Ok(()) | Err(SettingError::Immutable) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn values_are_checked() {
        let mut settings = Settings::default();
        settings.set("Timeout", "30").unwrap();
        settings.set("proto-max-bulk-len", "2mb").unwrap();
        assert_eq!(
            (settings.timeout, settings.proto_max_bulk_len),
            (30, 2 << 20)
        );
        for (name, value, expected) in [
            (
                "maxclients",
                "0",
                "argument must be between 1 and 4294967295 inclusive",
            ),
            (
                "maxclients",
                "-1",
                "argument must be between 1 and 4294967295 inclusive",
            ),
            (
                "maxclients",
                "x",
                "argument couldn't be parsed into an integer",
            ),
            (
                "proto-max-bulk-len",
                "1gb",
                "argument must be between 1048576 and 33554432 inclusive",
            ),
            (
                "proto-max-bulk-len",
                "1zb",
                "argument must be a memory value",
            ),
            ("port", "1", "can't set immutable config"),
            (
                "appendonly",
                "no",
                "this server does not let 'appendonly' be anything but 'yes'",
            ),
            ("nonesuch", "1", "there is no such setting"),
        ] {
            let error = settings.set(name, value).unwrap_err();
            assert_eq!(error.to_string(), expected, "{name} {value}");
        }
    }
}
