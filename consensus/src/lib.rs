//! The contract between a consensus protocol and whoever runs it.
//!
//! A protocol is a state machine that does no I/O: [`Consensus::step`] takes an
//! [`Input`], [`Consensus::poll`] hands out [`Output`]s, and time is a parameter.
//! What it must never do, above all never to assert what is not yet durable, is
//! written down at [`Consensus`] and checked by the [`conformance`] kit, which every
//! protocol's crate runs as one named test per case.
//!
//! The crate also holds what protocols share: identifiers, log entries, quorum
//! arithmetic and membership. It names no socket, file, clock or thread, and the
//! compiler enforces it: `no_std` with `alloc`.
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
