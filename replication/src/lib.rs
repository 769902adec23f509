#![doc = include_str!("../README.md")]

mod action;
mod apply;
mod batch;
mod clock;
mod config;
mod forward;
mod group;
mod machine;
mod message;
mod queue;
mod reads;
mod records;
mod replica;
mod retention;
mod transfer;
mod waits;

pub mod local;

/// The contract's words that stand in [`StateMachine`], for crates that implement it.
pub use consensus::{DiskId, Epoch, Index, Member, Membership, NodeId, Position};

pub use action::{Action, Committed};
pub use batch::{Batch, BatchBuilder, BatchError, Commands, SEMANTICS};
pub use config::{Config, LogConfig, SnapshotConfig};
pub use group::{Group, GroupError, Io};
pub use machine::{EntryInfo, LongId, Millis, Query, StateMachine};
pub use message::{Failure, ForwardId, Frame, FrameError, Message};
pub use queue::Waiting;
pub use reads::ReadBatch;
pub use records::{
    RecordError, from_snapshot_meta, to_fetched, to_log, to_recovered, to_snapshot_id,
    to_snapshot_meta, to_snapshot_start,
};
pub use replica::Replica;
pub use transfer::{InstallFailure, SnapshotEnd, SnapshotId, SnapshotMeta, SnapshotTask};
pub use waits::{Held, Wait};
