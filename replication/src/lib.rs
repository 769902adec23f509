//! How a write reaches the copies.

mod batch;
mod machine;

pub use batch::{Batch, BatchBuilder, BatchError, Commands, SEMANTICS};
pub use machine::{EntryInfo, Millis, Query, StateMachine};

/// The words of the contract that stand in [`StateMachine`], for crates that implement it.
pub use consensus::{DiskId, Epoch, Index, Member, Membership, NodeId, Position};
