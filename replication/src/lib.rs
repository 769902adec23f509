//! How a write reaches the copies.

mod batch;
mod machine;

pub use batch::{Batch, BatchBuilder, BatchError, Commands, SEMANTICS};
pub use machine::{EntryInfo, Millis, Query, StateMachine};
