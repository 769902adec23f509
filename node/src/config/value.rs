//! The types of settings, and how each is read from its text.
//!
//! A parser here returns `None` for what is not a value of its type; who calls it knows the name
//! and the origin, and says what was expected.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use consensus::NodeId;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Names a cluster, so that nodes of two clusters never mix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterId {
    /// As it was given.
    pub(crate) name: String,
    /// What goes into handshakes and directories: the 32 hex digits given, or a hash of the name.
    pub(crate) id: u128,
}

impl ClusterId {
    /// The id of a cluster called `name`; 32 hex digits are taken as they are.
    pub(crate) fn named(name: &str) -> ClusterId {
        let hex = name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
        let id = match u128::from_str_radix(name, 16) {
            Ok(id) if hex => id,
            _ => fnv1a_128(name.as_bytes()),
        };
        ClusterId {
            name: name.to_owned(),
            id,
        }
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:032x})", self.name, self.id)
    }
}

/// FNV-1a with 128 bits: a name's id must be the same in every version and on every machine, and
/// nobody attacks it.
fn fnv1a_128(bytes: &[u8]) -> u128 {
    const OFFSET_BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

/// What holds the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// In memory; durable through the replicated log and snapshots.
    Memory,
    /// On disk, for data that outgrows memory.
    #[cfg(feature = "rocksdb")]
    RocksDb,
    /// The same, without a line of C++.
    #[cfg(feature = "fjall")]
    Fjall,
}

impl Engine {
    /// As settings, directories and status spell it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Engine::Memory => "memory",
            #[cfg(feature = "rocksdb")]
            Engine::RocksDb => "rocksdb",
            #[cfg(feature = "fjall")]
            Engine::Fjall => "fjall",
        }
    }
}

/// How copies are kept in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// By Raft.
    Raft,
}

impl Mode {
    /// As settings, directories and status spell it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Mode::Raft => "raft",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Another node, as this one reaches it and as clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Where it listens for the other nodes.
    pub(crate) peer: HostPort,
    /// What clients are told.
    pub(crate) client: HostPort,
}

/// A host, by name or by number, and a port. Names are resolved by whoever connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// Without brackets, also when it is an IPv6 address.
    pub(crate) host: String,
    /// Never zero.
    pub(crate) port: u16,
}

impl HostPort {
    /// Reads `host:port` or `[v6]:port`.
    pub(crate) fn parse(text: &str) -> Option<HostPort> {
        let (host, port) = text.rsplit_once(':')?;
        let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let fits = match bracketed {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(plain),
        };
        fits.then(|| HostPort {
            host: host.to_owned(),
            port,
        })
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        HostPort {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A password. It has no way into a log line: `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Secret(text)
    }

    /// The password itself, for comparing in constant time and for handing to a child.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

pub(super) fn node_id(text: &str) -> Option<NodeId> {
    text.parse().ok().filter(|id| *id != 0).map(NodeId)
}

pub(super) fn cluster(text: &str) -> Option<ClusterId> {
    (!text.is_empty()).then(|| ClusterId::named(text))
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

pub(super) fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|a: &SocketAddr| a.port() != 0)
}

pub(super) fn switch(text: &str) -> Option<bool> {
    match text {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None,
    }
}

pub(super) fn millis(text: &str) -> Option<Duration> {
    // An hour bounds every span here, and keeps arithmetic on them far from overflow.
    let ms = text.parse().ok().filter(|ms| *ms <= 3_600_000)?;
    Some(Duration::from_millis(ms))
}

pub(super) fn some_millis(text: &str) -> Option<Duration> {
    millis(text).filter(|span| !span.is_zero())
}

pub(super) fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n| *n != 0)
}

pub(super) fn databases(text: &str) -> Option<u16> {
    text.parse().ok().filter(|n| (1..=16_384).contains(n))
}

/// Redis' sizes: a number, and perhaps `kb`, `mb`, `gb` (powers of 1024) or `k`, `m`, `g` (of 1000).
pub(super) fn some_bytes(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: usize = match unit {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let number: usize = number.parse().ok()?;
    number.checked_mul(unit).filter(|bytes| *bytes >= 1 << 10)
}

/// A bare word is a level here: as the name of a module, which it could be as well, a misspelt level
/// would silence everything else.
pub(super) fn log_filter(text: &str) -> Option<String> {
    let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
    let mut words = text.split(',').filter(|part| !part.contains(['=', '[']));
    let known = words.all(is_level) && EnvFilter::try_new(text).is_ok();
    known.then(|| text.to_owned())
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    }
}
