//! Storage: engines, logs and disks behind traits.
#[cfg(feature = "conformance")]
pub mod conformance;
mod disk;
mod engine;
mod log;
mod memory;
mod random;
mod segmented;

pub use disk::{
    Disk, DiskFile, MemoryDisk, MemoryFile, MemoryLock, RealDisk, RealFile, RealLock, SECTOR_BYTES,
};
pub use engine::{Engine, EngineError};
pub use log::{
    Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryLog, Record, RecoveredLog,
};
pub use memory::MemoryEngine;
pub use segmented::{Damage, LogOptions, Loss, SegmentedLog};
