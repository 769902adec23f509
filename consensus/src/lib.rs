#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "conformance"), no_std)]

extern crate alloc;

mod contract;
mod entry;
mod ids;
mod membership;
mod quorum;
mod recovered;
mod status;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use contract::{
    Change, Channel, Consensus, Done, FetchId, Fetched, Input, LogOp, Message, Output, ReadMode,
    Refusal, RequestId, SnapshotOutcome, WriteSeq,
};
pub use entry::{Entry, Payload};
pub use ids::{DiskId, Epoch, Index, Micros, NodeId, Position};
pub use membership::{Member, Membership};
pub use quorum::{Quorum, Tally, majority};
pub use recovered::{EpochRuns, Recovered};
pub use status::{PeerStatus, Role, Status};
