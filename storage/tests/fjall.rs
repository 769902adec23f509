//! The engine on fjall passes the suite.
#![cfg(feature = "fjall")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod kept;

use kept::{Kept, histories, lasting};
use storage::FjallBackend;

/// A backend with little memory, so that everything happens that happens to much data.
fn backend() -> FjallBackend {
    FjallBackend::new(16 << 20)
}

mod engine {
    use super::*;
    storage::engine_suite!(Kept::new(&backend()));
}

#[test]
fn random_histories_match_a_map() {
    histories::random_histories_match_a_map(&backend());
}

#[test]
fn kill_nine_leaves_a_prefix_of_the_units() {
    lasting::kill_nine_leaves_a_prefix_of_the_units(
        "kill_nine_leaves_a_prefix_of_the_units",
        backend,
    );
}

#[test]
fn what_is_durable_is_there_again() {
    lasting::what_is_durable_is_there_again(&backend());
}

#[test]
fn an_engine_is_open_only_once() {
    lasting::an_engine_is_open_only_once(&backend());
}
