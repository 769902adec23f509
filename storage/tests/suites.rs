//! The segmented log against the suites, on the simulated disk and on a real one.

use storage::conformance::crash;
use storage::{LogOptions, MemoryDisk, RealDisk, SegmentedLog};

/// Segments so small that everything happens to them in a short test.
fn small() -> LogOptions {
    LogOptions::default()
        .segment_bytes(16 << 10)
        .step_bytes(2 << 10)
        .salt(1)
}

mod simulated {
    use super::*;
    storage::log_store_suite!({
        let disk = MemoryDisk::new(1);
        move || SegmentedLog::open(disk.clone(), small())
    });
}

mod real {
    use super::*;
    storage::log_store_suite!({
        let directory = tempfile::tempdir().unwrap();
        move || {
            let disk = RealDisk::open(directory.path()).unwrap();
            SegmentedLog::open(disk, LogOptions::default())
        }
    });
}

mod crashes {
    use super::*;
    storage::log_crash_suite!(|disk: MemoryDisk| SegmentedLog::open(disk, small()));
}

/// More random histories than the suite's: `STORAGE_SEEDS=50000 cargo nextest run … more_histories`.
#[test]
fn more_histories_lose_nothing() {
    let seeds = std::env::var("STORAGE_SEEDS").map_or(300, |seeds| seeds.parse().unwrap());
    let mut open = || |disk: MemoryDisk| SegmentedLog::open(disk, small());
    crash::histories(&mut open, 1_000..1_000 + seeds).unwrap();
}
