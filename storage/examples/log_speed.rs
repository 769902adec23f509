//! How fast the segmented log is on a real disk, and what its options cost.
//!
//! ```text
//! cargo run --release -p storage --example log_speed -- DIRECTORY [sync|steps|write|stores|open|reopen]...
//! ```

use std::io::{Error, IoSlice};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use storage::{
    Disk, DiskFile, Epoch, GroupId, GroupWrite, LogError, LogOp, LogOptions, LogStore, RealDisk,
    Record, SegmentedLog,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        return Err("name a directory on the disk to be measured".into());
    };
    let chosen: Vec<String> = arguments.collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    for name in ["sync", "steps", "write", "stores", "open", "reopen"] {
        if !is_chosen(name) {
            continue;
        }
        let path = fresh(&directory)?;
        match name {
            "sync" => sync(&path)?,
            "steps" => steps(&path)?,
            "write" => write(&path)?,
            "stores" => stores(&path)?,
            "open" => open(&path)?,
            _ => reopen(&path)?,
        }
    }
    fresh(&directory)?;
    Ok(())
}

/// An empty directory to work in.
fn fresh(directory: &Path) -> Result<PathBuf> {
    let path = directory.join("lockstep-log-speed");
    if path.exists() {
        std::fs::remove_dir_all(&path)?;
    }
    std::fs::create_dir_all(&path)?;
    Ok(path)
}

/// Durations, sorted.
struct Samples(Vec<Duration>);

impl Samples {
    fn take(count: usize, mut act: impl FnMut() -> Result<()>) -> Result<Self> {
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let start = Instant::now();
            act()?;
            samples.push(start.elapsed());
        }
        samples.sort();
        Ok(Samples(samples))
    }

    fn at(&self, percent: f64) -> u128 {
        let at = (self.0.len() as f64 * percent / 100.0) as usize;
        let at = at.min(self.0.len().saturating_sub(1));
        self.0.get(at).map_or(0, Duration::as_micros)
    }

    fn report(&self, what: &str, records: u64, bytes: u64) {
        let total = self.0.iter().sum::<Duration>().as_secs_f64();
        println!(
            "{what:40} p50 {:6} p99 {:6} p99.9 {:6} max {:7} µs {:7.0} calls/s {:8.0} records/s {:5.0} MB/s",
            self.at(50.0),
            self.at(99.0),
            self.at(99.9),
            self.at(100.0),
            self.0.len() as f64 / total,
            records as f64 / total,
            bytes as f64 / total / 1e6,
        );
    }
}

/// One 4 KiB write and fdatasync, growing a file and writing over zeros.
fn sync(path: &Path) -> Result<()> {
    let disk = RealDisk::open(path)?;
    let block = vec![7; 4096];
    for (round, prefilled) in [false, true, false, true].into_iter().enumerate() {
        let file = disk.create(&round.to_string())?;
        if prefilled {
            file.write_at(&mut [IoSlice::new(&vec![0; 16 << 20])], 0)?;
        }
        file.sync_data()?;
        let mut at = 0;
        let samples = Samples::take(3_000, || {
            file.write_at(&mut [IoSlice::new(&block)], at)?;
            file.sync_data()?;
            at += 4096;
            Ok(())
        })?;
        let what = if prefilled { "over zeros" } else { "growing" };
        samples.report(&format!("sync: 4 KiB, {what}"), 3_000, at);
    }
    Ok(())
}

/// The log stores beside each other: writes of 1, 16 and 256 records of 300 bytes, three times over.
fn stores(path: &Path) -> Result<()> {
    for round in 0..3 {
        for (records, writes) in [(1, 3_000), (16, 3_000), (256, 1_500)] {
            let segmented = SegmentedLog::open(
                RealDisk::open(path.join(format!("segmented-{round}-{records}")))?,
                LogOptions::default(),
            )?;
            one_store("segmented", segmented, records, writes)?;
            #[cfg(feature = "rocksdb")]
            {
                let rocks =
                    storage::RocksLog::open(&path.join(format!("rocks-{round}-{records}")))?;
                one_store("RocksDB", rocks, records, writes)?;
            }
        }
    }
    Ok(())
}

fn one_store<L: LogStore>(name: &str, log: L, records: u64, writes: usize) -> Result<()> {
    let mut load = Load { log, next: 1 };
    let cpu = cpu()?;
    let samples = Samples::take(writes, || Ok(load.write(records, 300)?))?;
    let total = writes as u64 * records;
    samples.report(
        &format!("stores: {name}, {records} records"),
        total,
        total * 300,
    );
    println!(
        "{:40} {:.2} µs of CPU per record",
        "",
        (self::cpu()? - cpu) * 1e6 / total as f64
    );
    Ok(())
}

/// Seconds of CPU of this process so far, as Linux counts them: in hundredths.
fn cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("a strange /proc")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

/// A log, and a stream of records for it that is purged 20,000 records behind its head.
struct Load<L = SegmentedLog<RealDisk>> {
    log: L,
    next: u64,
}

impl Load {
    fn open(path: &Path, options: LogOptions) -> Result<Self> {
        let log = SegmentedLog::open(RealDisk::open(path)?, options)?;
        Ok(Load { log, next: 1 })
    }
}

impl<L: LogStore> Load<L> {
    fn write(&mut self, records: u64, bytes: usize) -> std::result::Result<(), LogError> {
        let from = self.next;
        self.next += records;
        let mut ops: Vec<LogOp> = (from..self.next)
            .map(|index| record(index, bytes))
            .collect();
        if self.next > 20_000 {
            ops.push(LogOp::PurgeTo {
                index: self.next - 20_000,
                epoch: Epoch::default(),
            });
        }
        self.log.write(&[GroupWrite {
            group: GroupId(1),
            ops,
        }])
    }
}

fn record(index: u64, bytes: usize) -> LogOp {
    LogOp::Put(Record {
        index,
        epoch: Epoch { round: 1, node: 0 },
        kind: 0,
        payload: Bytes::from(vec![index as u8; bytes]),
    })
}

/// 184 MiB in batches of 77 KiB, with segments and steps of several sizes, three times over.
fn steps(path: &Path) -> Result<()> {
    let sizes = [
        (64, 0),
        (64, 1),
        (64, 4),
        (64, 8),
        (64, 16),
        (64, 64),
        (16, 16),
        (256, 16),
    ];
    for _ in 0..3 {
        for (segment_mib, step_mib) in sizes {
            let directory = path.join("log");
            let options = LogOptions::default()
                .segment_bytes(segment_mib << 20)
                .step_bytes(step_mib << 20);
            let mut load = Load::open(&directory, options)?;
            let samples = Samples::take(2_500, || Ok(load.write(256, 300)?))?;
            let what = format!("steps: segment {segment_mib} MiB, step {step_mib} MiB");
            samples.report(&what, 2_500 * 256, 2_500 * 256 * 300);
            drop(load);
            std::fs::remove_dir_all(&directory)?;
        }
    }
    Ok(())
}

/// 1, 16 and 256 records of 300 bytes per call.
fn write(path: &Path) -> Result<()> {
    for (records, calls) in [(1, 10_000), (16, 10_000), (256, 5_000)] {
        let directory = path.join(records.to_string());
        let mut load = Load::open(&directory, LogOptions::default())?;
        let samples = Samples::take(calls, || Ok(load.write(records, 300)?))?;
        let written = calls as u64 * records;
        samples.report(
            &format!("write: {records} records of 300 bytes"),
            written,
            written * 300,
        );
    }
    Ok(())
}

/// An empty directory.
fn open(path: &Path) -> Result<()> {
    let mut number = 0;
    let samples = Samples::take(20, || {
        number += 1;
        Load::open(&path.join(number.to_string()), LogOptions::default())?;
        Ok(())
    })?;
    samples.report("open: an empty directory", 20, 0);
    Ok(())
}

/// A log of about 1 GiB, in the page cache: records of 4,000 bytes, and of 300.
fn reopen(path: &Path) -> Result<()> {
    for (bytes, calls) in [(4_000, 1_025), (300, 11_500)] {
        let directory = path.join(bytes.to_string());
        let mut log = SegmentedLog::open(RealDisk::open(&directory)?, LogOptions::default())?;
        let mut next = 1;
        for _ in 0..calls {
            let ops = (next..next + 256)
                .map(|index| record(index, bytes))
                .collect();
            next += 256;
            log.write(&[GroupWrite {
                group: GroupId(1),
                ops,
            }])?;
        }
        let size = log.disk_bytes();
        drop(log);
        let samples = Samples::take(3, || {
            let log = SegmentedLog::open(RealDisk::open(&directory)?, LogOptions::default())?;
            let found = log.recovered(GroupId(1)).records.len() as u64;
            if found != next - 1 {
                return Err(
                    Error::other(format!("{found} records instead of {}", next - 1)).into(),
                );
            }
            Ok(())
        })?;
        let what = format!("reopen: {} MiB in records of {bytes}", size >> 20);
        samples.report(&what, 3 * next, 3 * size);
        std::fs::remove_dir_all(&directory)?;
    }
    Ok(())
}
