//! The segmented log against the suites, on the simulated disk and on the real one.
use storage::{LogOptions, MemoryDisk, RealDisk, SegmentedLog};

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
            SegmentedLog::open(
                RealDisk::open(directory.path()).unwrap(),
                LogOptions::default(),
            )
        }
    });
}

mod crashes {
    use super::*;
    storage::log_crash_suite!(|disk: MemoryDisk| SegmentedLog::open(disk, small()));
}
