//! The log on RocksDB passes the suite, and keeps what it has acknowledged when it is killed.
#![cfg(feature = "rocksdb")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use storage::{Epoch, GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, Record, RocksLog};

mod log {
    use super::*;
    storage::log_store_suite!({
        let directory = tempfile::tempdir().unwrap();
        move || RocksLog::open(directory.path())
    });
}

const GROUP: GroupId = GroupId(3);

fn append(log: &mut RocksLog, index: u64) {
    let record = Record {
        index,
        epoch: Epoch { round: 1, node: 0 },
        kind: 1,
        payload: Bytes::from(index.to_be_bytes().repeat(10)),
    };
    let ops = vec![LogOp::Put(record)];
    log.write(&[GroupWrite { group: GROUP, ops }]).unwrap();
}

#[test]
fn kill_nine_loses_nothing_acknowledged() {
    const PLACE: &str = "STORAGE_KILL_PLACE";
    if let Some(place) = std::env::var_os(PLACE) {
        let mut log = RocksLog::open(Path::new(&place)).unwrap();
        let last = log.recovered(GROUP).records.last().map_or(0, |last| last.0);
        for index in last + 1.. {
            append(&mut log, index);
            writeln!(std::io::stdout(), "at {index}").unwrap();
        }
    }
    let place = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..4 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "kill_nine_loses_nothing_acknowledged",
                "--exact",
                "--nocapture",
            ])
            .env(PLACE, place.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for (seen, line) in lines.enumerate() {
            if let Some(index) = line.unwrap().strip_prefix("at ") {
                acknowledged = index.parse().unwrap();
            }
            if seen == 50 + 70 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let mut log = RocksLog::open(place.path()).unwrap();
        let indexes = log
            .recovered(GROUP)
            .records
            .into_iter()
            .map(|record| record.0);
        let found: Vec<u64> = indexes.collect();
        assert!(
            found.iter().copied().eq(1..=found.len() as u64),
            "holes: {found:?}"
        );
        assert!(
            found.len() as u64 >= acknowledged,
            "{acknowledged} acknowledged, {} there",
            found.len()
        );
        let LogRead::Records(records) = log.read(GROUP, acknowledged, acknowledged, 1).unwrap()
        else {
            panic!("an acknowledged record cannot be read")
        };
        assert_eq!(records[0].payload, acknowledged.to_be_bytes().repeat(10));
    }
    assert!(acknowledged > 300, "only {acknowledged} records");
}

#[test]
fn a_log_is_open_only_once() {
    let place = tempfile::tempdir().unwrap();
    let log = RocksLog::open(place.path()).unwrap();
    let error = RocksLog::open(place.path()).unwrap_err();
    assert!(matches!(error, LogError::Locked { .. }), "{error}");
    drop(log);
    RocksLog::open(place.path()).unwrap();
}

#[test]
fn damage_within_the_write_ahead_log_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let mut log = RocksLog::open(place.path()).unwrap();
    (1..=500).for_each(|index| append(&mut log, index));
    drop(log);
    for entry in fs::read_dir(place.path()).unwrap() {
        let path = entry.unwrap().path();
        let damaged = path
            .extension()
            .is_some_and(|end| end == "log" || end == "sst");
        if damaged && fs::metadata(&path).unwrap().len() > 20_000 {
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.write_all_at(&[0xa5; 16], 10_000).unwrap();
        }
    }
    // Refused at once, or known of at the record: never less than was acknowledged, in silence.
    match RocksLog::open(place.path()) {
        Err(error) => assert!(matches!(error, LogError::Corrupt { .. }), "{error}"),
        Ok(log) => panic!("{} of 500 records", log.recovered(GROUP).records.len()),
    }
}
