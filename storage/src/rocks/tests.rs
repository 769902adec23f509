//! What needs a look inside: the thread that writes tables is made to wait, to fail, or to panic.

use std::ops::{Bound, ControlFlow};
use std::sync::mpsc::{Sender, channel};

use tempfile::TempDir;

use super::*;

fn engine(memory_bytes: usize) -> (RocksEngine, TempDir) {
    let place = tempfile::tempdir().unwrap();
    let resources = RocksResources::new(memory_bytes).unwrap();
    let engine = RocksEngine::open(place.path(), &resources).unwrap();
    (engine, place)
}

/// Lets no table be written until what is given back is dropped.
fn hold(engine: &RocksEngine) -> Sender<()> {
    let (held, released) = channel();
    engine.tables.interpose(move || {
        // Its sender is dropped.
        let _ = released.recv();
    });
    held
}

fn commit(engine: &mut RocksEngine, unit: u32) {
    engine.put(&unit.to_be_bytes(), &[7; 1_000]).unwrap();
    engine.commit().unwrap();
}

fn buffer() -> Arc<WriteBuffer> {
    let mut buffer = WriteBuffer::default();
    (0..1_000_u32).for_each(|n| buffer.put(&n.to_be_bytes(), &[7; 1_000]));
    Arc::new(buffer)
}

#[test]
fn a_buffer_is_freed_before_those_behind_it_are_written() {
    let (mut engine, _place) = engine(16 << 20);
    let first = buffer();
    let kept = Arc::downgrade(&first);
    let number = engine.tables.write(Arc::clone(&first));
    engine.tables.wait_for(number).unwrap();
    let held = hold(&engine);
    let second = engine.tables.write(buffer());
    let held_longer = hold(&engine);
    engine.tables.write(buffer());
    engine.tables.free(first);
    drop(held);
    engine.tables.wait_for(second).unwrap();
    assert_eq!(kept.strong_count(), 0);
    drop(held_longer);
}

#[test]
fn whoever_waits_for_a_thread_that_panicked_is_told() {
    let (mut engine, _place) = engine(16 << 20);
    let tables = &mut engine.tables;
    tables.interpose(|| panic!("as a test wants it"));
    let number = tables.write(buffer());
    let error = tables.wait_for(number).unwrap_err().to_string();
    assert!(
        error.contains("could not write a table: its thread"),
        "{error}"
    );
    assert!(tables.written().is_err());
}

#[test]
fn it_is_busy_before_a_commit_would_wait_and_no_longer_than_the_disk() {
    let (mut engine, _place) = engine(1 << 20);
    let held = hold(&engine);
    let mut unit = 0;
    while !engine.is_busy() {
        unit += 1;
        assert!(unit < 10_000, "never busy");
        // Would wait for ever.
        commit(&mut engine, unit);
    }
    assert_eq!(engine.sealed.len(), BUFFERS - 2);
    // As much as half a buffer may still come.
    let most = unit + engine.resources.buffer_bytes() as u32 / 2 / 1_200;
    for unit in unit + 1..most {
        commit(&mut engine, unit);
    }
    assert!(engine.is_busy());
    drop(held);
    engine.tables.wait_for(1).unwrap();
    assert!(!engine.is_busy());
}

#[test]
fn what_is_in_memory_is_bounded_however_slow_the_disk() {
    let (mut engine, _place) = engine(100_000);
    for unit in 0..1_000 {
        commit(&mut engine, unit);
        assert!(engine.sealed.len() <= BUFFERS - 2);
    }
    assert!(engine.tables.written().unwrap() > 50);
}

#[test]
fn what_is_sealed_is_found_until_it_is_in_a_table() {
    let (mut engine, _place) = engine(16 << 20);
    let held = hold(&engine);
    for unit in 0..20_u32 {
        engine.put(b"a", &unit.to_be_bytes()).unwrap();
        engine.put(b"b", &unit.to_be_bytes()).unwrap();
        engine.delete_range(b"b", b"c").unwrap();
        commit(&mut engine, unit);
        engine.flush().unwrap();
    }
    let mut held = Some(held);
    for _ in 0..2 {
        assert_eq!(
            engine.get(b"a").unwrap().unwrap().to_vec(),
            19_u32.to_be_bytes()
        );
        assert!(engine.get(b"b").unwrap().is_none());
        let mut keys = Vec::new();
        let scanned = engine.scan(Bound::Unbounded, Bound::Excluded(b"z"), &mut |key, _| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        });
        scanned.unwrap();
        assert_eq!(keys.len(), 21);
        assert_eq!(engine.get_durable(b"a").unwrap().is_some(), held.is_none());
        drop(held.take());
        engine.tables.wait_for(20).unwrap();
    }
    engine.commit().unwrap();
    assert!(engine.sealed.is_empty());
}

#[test]
fn a_table_that_cannot_be_written_is_told_and_not_tried_again() {
    let (mut engine, place) = engine(16 << 20);
    commit(&mut engine, 1);
    engine.flush().unwrap();
    engine.tables.wait_for(1).unwrap();
    let tables = place.path().join("tables");
    fs::remove_dir_all(&tables).unwrap();
    commit(&mut engine, 2);
    engine.flush().unwrap();
    let error = engine.tables.wait_for(2).unwrap_err().to_string();
    assert!(error.contains("could not write a table: "), "{error}");
    // Nothing becomes durable from now on, not even if the disk is well again.
    fs::create_dir_all(&tables).unwrap();
    engine.put(b"key", b"value").unwrap();
    for error in [
        engine.commit().unwrap_err(),
        engine.flush().map(drop).unwrap_err(),
        engine.freeze().map(drop).unwrap_err(),
        engine.get_durable(b"key").unwrap_err(),
    ] {
        assert!(
            error.to_string().contains("could not write a table: "),
            "{error}"
        );
    }
    assert!(!engine.is_busy());
    assert_eq!(fs::read_dir(&tables).unwrap().count(), 0);
    drop(engine);
    let resources = RocksResources::new(16 << 20).unwrap();
    let engine = RocksEngine::open(place.path(), &resources).unwrap();
    assert!(engine.get(&1_u32.to_be_bytes()).unwrap().is_some());
    assert!(engine.get(&2_u32.to_be_bytes()).unwrap().is_none());
}

#[test]
fn a_view_whose_engine_is_closed_or_has_failed_says_so() {
    let (mut engine, _place) = engine(16 << 20);
    let held = hold(&engine);
    let frozen = [engine.freeze().unwrap(), engine.freeze().unwrap()];
    engine.tables.interpose(|| panic!("as a test wants it"));
    let Frozen::Apart(mut late) = engine.freeze().unwrap() else {
        panic!("a view within")
    };
    assert!(!late.ready().unwrap());
    drop(held);
    for view in frozen {
        let Frozen::Apart(mut view) = view else {
            panic!("a view within")
        };
        assert!(!view.read(1_000, &mut |_, _| {}).unwrap());
    }
    let error = late.read(1_000, &mut |_, _| {}).unwrap_err().to_string();
    assert!(
        error.contains("the engine was closed, or has failed"),
        "{error}"
    );
    assert!(late.get(b"key").is_err());
}
