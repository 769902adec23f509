//! The engine on RocksDB passes the suite.
#![cfg(feature = "rocksdb")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod kept;

use std::fs;
use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;

use kept::{Kept, histories, lasting};
use storage::{Backend, CopiedRows, Engine, Frozen, RocksBackend, RocksResources};

/// A backend with little memory, so that everything happens that happens to much data.
fn backend() -> RocksBackend {
    RocksBackend::new(RocksResources::new(16 << 20).unwrap())
}

mod engine {
    use super::*;
    storage::engine_suite!(Kept::new(&backend()));
}

/// Everything becomes a table at once, and rows are found in all of them.
mod engine_of_many_tables {
    use super::*;
    storage::engine_suite!(Kept::new(&RocksBackend::new(
        RocksResources::new(6_000).unwrap()
    )));
}

/// Tables of a unit each, of some units, and of many. More: `STORAGE_SEEDS=500 cargo nextest run …`.
#[test]
fn random_histories_match_a_map() {
    for memory in [6_000, 120_000, 1 << 20] {
        let backend = RocksBackend::new(RocksResources::new(memory).unwrap());
        histories::random_histories_match_a_map(&backend);
    }
}

#[test]
fn a_view_shows_what_was_committed_when_it_was_frozen() {
    let place = tempfile::tempdir().unwrap();
    let mut engine = backend().open(&place.path().join("engine-1")).unwrap();
    let mut views = Vec::new();
    for unit in 0..20_u32 {
        engine.put(b"unit", &unit.to_be_bytes()).unwrap();
        engine.put(&unit.to_be_bytes(), &[1; 1_000]).unwrap();
        engine.commit().unwrap();
        let Frozen::Apart(view) = engine.freeze().unwrap() else {
            panic!("a view within")
        };
        views.push((unit, view));
    }
    while !views.iter_mut().all(|(_, view)| view.ready().unwrap()) {
        thread::yield_now();
    }
    for (unit, mut view) in views {
        assert_eq!(
            view.get(b"unit").unwrap(),
            Some(unit.to_be_bytes().to_vec())
        );
        let mut count = 0;
        while view.read(2_000, &mut |_, _| count += 1).unwrap() {}
        assert_eq!(count, unit + 2);
    }
}

#[test]
fn kill_nine_leaves_a_prefix_of_the_units() {
    lasting::kill_nine_leaves_a_prefix_of_the_units(
        "kill_nine_leaves_a_prefix_of_the_units",
        backend,
    );
}

#[test]
fn what_is_durable_is_there_again() {
    lasting::what_is_durable_is_there_again(&backend());
}

#[test]
fn an_engine_is_open_only_once() {
    lasting::an_engine_is_open_only_once(&backend());
}

#[test]
fn a_damaged_table_is_an_error_and_not_data() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("engine-1");
    let rows = (0..20_000_u32).map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; 100]));
    let mut engine = backend().open(&path).unwrap();
    engine.load(&mut CopiedRows::new(rows.collect())).unwrap();
    drop(engine);
    let tables = fs::read_dir(path.join("db")).unwrap();
    let is_table = |path: &PathBuf| path.extension().is_some_and(|end| end == "sst");
    for table in tables.map(|entry| entry.unwrap().path()).filter(is_table) {
        let file = fs::File::options().write(true).open(table).unwrap();
        file.write_all_at(&[0xa5; 64], 200_000).unwrap();
    }
    let engine = backend().open(&path).unwrap();
    let mut right = 0;
    let error = engine.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
        let n = u32::from_be_bytes(key.try_into().unwrap());
        assert_eq!(value, [n as u8; 100]);
        right += 1;
        ControlFlow::Continue(())
    });
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("could not scan its keys: Corruption"),
        "{error}"
    );
    assert!(
        right > 100 && right < 20_000,
        "{right} rows before the damage"
    );
}

#[test]
fn a_view_outlives_the_engine_and_is_cleared_away() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("engine-1");
    let mut engine = backend().open(&path).unwrap();
    for n in 0..1_000_u32 {
        engine.put(&n.to_be_bytes(), &[1; 100]).unwrap();
    }
    engine.commit().unwrap();
    let Frozen::Apart(mut rows) = engine.freeze().unwrap() else {
        panic!("a view within")
    };
    let mut count = 0;
    assert!(rows.read(10_000, &mut |_, _| count += 1).unwrap());
    drop(engine);
    let reader = thread::spawn(move || {
        while rows.read(10_000, &mut |_, _| count += 1).unwrap() {}
        count
    });
    assert_eq!(reader.join().unwrap(), 1_000);
    assert_eq!(fs::read_dir(path.join("views")).unwrap().count(), 0);
}

#[test]
fn four_times_the_memory_is_served_within_it() {
    const MEMORY: usize = 64 << 20;
    let place = tempfile::tempdir().unwrap();
    let resources = RocksResources::new(MEMORY).unwrap();
    let before = resident_bytes();
    let mut engine = RocksBackend::new(resources.clone())
        .open(&place.path().join("engine-1"))
        .unwrap();
    let count = (4 * MEMORY / 256) as u32;
    // Bytes that do not compress.
    let noise: Vec<u8> = (0..1_024_u32)
        .map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8)
        .collect();
    let scattered = |n: u32| n.wrapping_mul(0x9e37_79b1).to_be_bytes();
    for n in 0..count {
        engine
            .put(&scattered(n), &noise[n as usize % 700..][..256])
            .unwrap();
        if n % 256 == 255 {
            engine.commit().unwrap();
        }
    }
    engine.commit().unwrap();
    for n in 0..count / 4 {
        let n = n.wrapping_mul(0x85eb_ca6b) % count;
        let found = engine.get(&scattered(n)).unwrap().unwrap();
        assert_eq!(*found, noise[n as usize % 700..][..256]);
    }
    let resident = resident_bytes() - before;
    assert!(
        resident < MEMORY * 5 / 4,
        "{resident} bytes resident of {MEMORY}, {} of them accounted for",
        resources.used_bytes()
    );
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        << 10
}
