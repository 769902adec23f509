//! What every [`Transport`] must keep, as one named test per case.
//!
//! A transport of your own passes when this compiles and runs green:
//!
//! ```text
//! transport::conformance!(MyNetwork::new());
//! ```
//!
//! where `MyNetwork` is a [`Network`], and the calling crate's tests may use tokio. Each case
//! runs twice, on a runtime of one thread and on one of two.
//!
//! A case drives two nodes and says [`Violation`] when the promise is broken. Whatever the
//! case is about, the order of events is checked on the way: see [`Pair`].

mod connections;
mod delivery;
mod frames;
mod pair;
mod refusals;

use std::fmt;
use std::future::Future;

use async_trait::async_trait;

use crate::{Identity, NodeId, Transport};

pub use connections::{
    delivers_nothing_of_an_old_connection_after_the_new, disconnects_a_removed_peer,
    leaves_no_gap_within_a_connection, meets_a_restarted_greater_node,
    meets_a_restarted_lower_node, tells_of_each_end_once,
};
pub use delivery::{
    connects_on_both_channels, delivers_large_frames, delivers_many_small_frames,
    keeps_channels_independent, keeps_order_within_a_channel, loses_nothing_to_cancelled_receives,
};
pub use pair::{Node, Pair};
pub use refusals::{refuses_to_send_to_itself, refuses_to_send_without_a_connection};

/// What the suite needs of an implementation: nodes that can be started, stopped and found.
#[async_trait]
pub trait Network: Send {
    /// The implementation under test.
    type Transport: Transport;

    /// Starts a node. One that was stopped before comes back at the same address.
    async fn start(&mut self, identity: Identity) -> Self::Transport;

    /// Stops a node as a crash would.
    async fn stop(&mut self, transport: Self::Transport);

    /// Where a started node is, as its peers are told by [`Transport::set_peers`].
    fn address(&self, node: NodeId) -> String;
}

/// How a transport broke its promise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Violation(pub String);

impl Violation {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Violation(what.to_string())
    }
}

/// The runtime a case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// tokio's `current_thread`: every task on the caller's thread.
    One,
    /// tokio's `multi_thread` with two workers.
    Two,
}

/// Runs one case to its end; what [`conformance!`](crate::conformance!) expands to.
///
/// # Panics
/// When the case reports a violation: this is a test.
pub fn run(threads: Threads, case: impl Future<Output = Result<(), Violation>>) {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Two => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads == Threads::Two {
        builder.worker_threads(2);
    }
    match builder.enable_all().build() {
        Ok(runtime) => {
            if let Err(violation) = runtime.block_on(case) {
                panic!("{violation}");
            }
        }
        Err(error) => panic!("no runtime for the test: {error}"),
    }
}

/// Expands to the whole suite for a [`Network`](mod@crate::conformance), given as an
/// expression that makes a new one.
#[macro_export]
macro_rules! conformance {
    ($network:expr) => {
        $crate::for_each_conformance_case!($crate::conformance => [$network]);
    };
    ([$network:expr] $($case:ident)*) => {
        mod one_thread {
            use super::*;
            $(
                #[test]
                fn $case() {
                    let case = $crate::conformance::$case($network);
                    $crate::conformance::run($crate::conformance::Threads::One, case);
                }
            )*
        }

        mod two_threads {
            use super::*;
            $(
                #[test]
                fn $case() {
                    let case = $crate::conformance::$case($network);
                    $crate::conformance::run($crate::conformance::Threads::Two, case);
                }
            )*
        }
    };
}

/// Calls a macro with the name of every case: the one list of them.
#[macro_export]
macro_rules! for_each_conformance_case {
    ($callback:path => [$($arguments:tt)*]) => {
        $callback! {
            [$($arguments)*]
            connects_on_both_channels
            keeps_order_within_a_channel
            delivers_many_small_frames
            delivers_large_frames
            keeps_channels_independent
            loses_nothing_to_cancelled_receives
            meets_a_restarted_lower_node
            meets_a_restarted_greater_node
            tells_of_each_end_once
            leaves_no_gap_within_a_connection
            delivers_nothing_of_an_old_connection_after_the_new
            disconnects_a_removed_peer
            refuses_to_send_without_a_connection
            refuses_to_send_to_itself
        }
    };
}
