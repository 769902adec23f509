//! What the RocksDB engine does when something is dropped early, opened twice, or left behind.
#![cfg(feature = "rocksdb")]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use storage::{Backend, Engine, Frozen, FrozenRows, RocksBackend, RocksEngine, RocksResources};

fn backend() -> RocksBackend {
    RocksBackend::new(RocksResources::new(16 << 20).unwrap())
}

/// Waits until it is so.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < Duration::from_secs(60), "never {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn entries(directory: &Path) -> usize {
    fs::read_dir(directory).unwrap().count()
}

fn put(engine: &mut RocksEngine, keys: std::ops::Range<u32>, value: &[u8]) {
    for n in keys {
        engine.put(&n.to_be_bytes(), value).unwrap();
    }
    engine.commit().unwrap();
}

/// Makes everything committed durable.
fn settle(engine: &mut RocksEngine, key: u32, value: &[u8]) {
    engine.flush().unwrap();
    until("durable", || {
        engine.get_durable(&key.to_be_bytes()).unwrap().as_deref() == Some(value)
    });
}

fn freeze(engine: &mut RocksEngine) -> Box<dyn FrozenRows> {
    match engine.freeze().unwrap() {
        Frozen::Apart(view) => view,
        Frozen::Within(_) => panic!("a view within"),
    }
}

#[test]
fn views_that_are_dropped_while_they_are_made_leave_nothing() {
    let place = tempfile::tempdir().unwrap();
    let mut engine = backend().open(place.path()).unwrap();
    for n in 0..20 {
        put(&mut engine, n..n + 1, &[1; 1_000]);
        drop(freeze(&mut engine));
    }
    // One that is read is made after all of them.
    let mut last = freeze(&mut engine);
    assert!(last.get(&19_u32.to_be_bytes()).unwrap().is_some());
    drop(last);
    let views = place.path().join("views");
    until("without views", || entries(&views) == 0);
}

#[test]
fn what_a_crash_leaves_beside_the_database_is_cleared_away() {
    let place = tempfile::tempdir().unwrap();
    let parts = ["tables", "views"].map(|part| place.path().join(part));
    for part in &parts {
        fs::create_dir_all(part.join("1/half")).unwrap();
        fs::write(part.join("sealed.sst"), "half a table").unwrap();
    }
    let mut engine = backend().open(place.path()).unwrap();
    for part in &parts {
        assert_eq!(entries(part), 0);
    }
    put(&mut engine, 0..10, b"value");
    let mut view = freeze(&mut engine);
    assert!(view.get(&9_u32.to_be_bytes()).unwrap().is_some());
}

#[test]
fn whoever_opens_it_in_vain_disturbs_nobody() {
    let place = tempfile::tempdir().unwrap();
    let mut engine = backend().open(place.path()).unwrap();
    put(&mut engine, 0..100, &[1; 100]);
    let mut view = freeze(&mut engine);
    until("made", || view.ready().unwrap());
    let written = place.path().join("tables/on-its-way");
    fs::write(&written, "a table").unwrap();
    let views = entries(&place.path().join("views"));
    assert!(backend().open(place.path()).is_err());
    assert!(written.exists(), "a table that is being written is gone");
    assert_eq!(entries(&place.path().join("views")), views);
}

#[test]
fn a_table_whose_first_name_could_not_be_removed_is_not_written_over() {
    let place = tempfile::tempdir().unwrap();
    let mut engine = backend().open(place.path()).unwrap();
    put(&mut engine, 0..1_000, &[1; 100]);
    settle(&mut engine, 999, &[1; 100]);
    let is_table = |path: &Path| path.extension().is_some_and(|end| end == "sst");
    let mut tables = fs::read_dir(place.path().join("db")).unwrap();
    let table = tables.find_map(|entry| Some(entry.unwrap().path()).filter(|path| is_table(path)));
    // As if the disk had not let it go.
    fs::hard_link(table.unwrap(), place.path().join("tables/sealed.sst")).unwrap();
    put(&mut engine, 1_000..1_010, &[2; 100]);
    settle(&mut engine, 1_009, &[2; 100]);
    drop(engine);
    let engine = backend().open(place.path()).unwrap();
    let mut count = 0;
    let scanned = engine.scan(Bound::Unbounded, Bound::Unbounded, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    assert_eq!(count, 1_010);
}

#[test]
fn what_is_emptied_slice_by_slice_takes_no_longer_from_slice_to_slice() {
    const ROWS: u32 = 300_000;
    const SLICE: u32 = 1_000;
    let place = tempfile::tempdir().unwrap();
    let resources = RocksResources::new(512 << 20).unwrap();
    let mut engine = RocksBackend::new(resources).open(place.path()).unwrap();
    put(&mut engine, 0..ROWS, b"value");
    settle(&mut engine, ROWS - 1, b"value");
    let start = Instant::now();
    let from = 0_u32.to_be_bytes();
    for slice in 1..=ROWS / SLICE {
        let (mut seen, mut next) = (0, ROWS);
        let to = ROWS.to_be_bytes();
        let range = (Bound::Included(&from[..]), Bound::Excluded(&to[..]));
        let scanned = engine.scan(range.0, range.1, &mut |key, _| {
            next = u32::from_be_bytes(key.try_into().unwrap());
            seen += 1;
            match seen > SLICE {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        scanned.unwrap();
        let next = if seen > SLICE { next } else { ROWS };
        assert_eq!(next, slice * SLICE);
        engine.delete_range(&from, &next.to_be_bytes()).unwrap();
        engine.commit().unwrap();
    }
    // A tenth of a second is usual; looking at all that is gone for every slice takes ten.
    assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
}
