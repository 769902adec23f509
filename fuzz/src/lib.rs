#![doc = include_str!("../README.md")]

mod configuration;
mod log_records;
mod messages;
mod node;
mod peer_frames;
mod requests;
mod script;
mod seal;
mod seeds;
mod snapshots;

#[path = "../../node/src"]
#[expect(
    dead_code,
    reason = "node is a program and no library: its configuration is compiled here once more, and only parsed"
)]
mod node_source {
    pub(crate) mod config;
}
use node_source::config;

pub use seeds::seeds;

/// One thing that takes in bytes which anybody may have made up.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its corpus and of its program.
    pub name: &'static str,
    /// Feeds it these bytes. Panics if it does not keep what it promises.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: [Target; 5] = [
    Target {
        name: "requests",
        run: requests::run,
    },
    Target {
        name: "peer_frames",
        run: peer_frames::run,
    },
    Target {
        name: "log_records",
        run: log_records::run,
    },
    Target {
        name: "snapshots",
        run: snapshots::run,
    },
    Target {
        name: "configuration",
        run: configuration::run,
    },
];

/// The target of that name.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn target(name: &str) -> fn(&[u8]) {
    let found = TARGETS.iter().find(|target| target.name == name);
    match found {
        Some(target) => target.run,
        None => panic!("there is no target {name:?}"),
    }
}

/// Runs `act`, which must not hold more memory at any moment than `bytes`.
fn within<T>(bytes: usize, act: impl FnOnce() -> T) -> T {
    let mut done = None;
    let memory = allocation_counter::measure(|| done = Some(act()));
    assert!(
        memory.bytes_max <= bytes as u64,
        "{} bytes were held where {bytes} are allowed",
        memory.bytes_max
    );
    match done {
        Some(done) => done,
        None => unreachable!("it was run"),
    }
}
