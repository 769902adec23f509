#![doc = include_str!("../README.md")]
//!
//! # For those who work on it
//!
//! | module | what |
//! |---|---|
//! | `engine`, `log`, `disk` | the traits, and the plainest implementation of each |
//! | `frozen` | views of an engine at one commit, and streams of rows |
//! | `memory` | the memory engine: a tree of wide nodes, and views within it |
//! | `snapshot` | all rows at one index, as a file for any engine |
//! | `backend`, `directory` | opening engines; a group's directory, and what counts in it |
//! | `rocks`, `fjall_engine`, `write_buffer` | the engines on RocksDB and on fjall; what they hold back in memory |
//! | `segmented` | the log that lasts: format, batches, files, index, cleaning, recovery |
//! | `conformance` | the suites |
//!
//! Errors of the environment are typed; what only our own mistake could cause is asserted. Nothing in
//! here retries a failed write or sync.

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
mod directory;
mod disk;
mod engine;
#[cfg(feature = "fjall")]
mod fjall_engine;
mod frozen;
mod log;
mod memory;
mod random;
#[cfg(feature = "rocksdb")]
mod rocks;
mod segmented;
mod snapshot;
#[cfg(any(feature = "rocksdb", feature = "fjall"))]
mod write_buffer;

pub use backend::{Backend, MemoryBackend};
pub use directory::{Current, DirectoryError, GroupDirectory};
pub use disk::{
    Disk, DiskFile, MemoryDisk, MemoryFile, MemoryLock, RealDisk, RealFile, RealLock, SECTOR_BYTES,
};
pub use engine::{Engine, EngineError};
#[cfg(feature = "fjall")]
pub use fjall_engine::{FjallBackend, FjallEngine, FjallValue};
pub use frozen::{CopiedRows, Flush, Frozen, FrozenRows, Rows, ViewId};
pub use log::{
    Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryLog, Record, RecoveredLog,
};
pub use memory::MemoryEngine;
#[cfg(feature = "rocksdb")]
pub use rocks::{RocksBackend, RocksEngine, RocksLog, RocksResources, RocksValue};
pub use segmented::{Damage, LogOptions, LogReport, Loss, SegmentReport, SegmentedLog};
pub use snapshot::{
    IncomingSnapshot, OutgoingSnapshot, RowBuffer, SnapshotError, SnapshotId, SnapshotMeta,
    SnapshotReader, SnapshotWriter,
};
