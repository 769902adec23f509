//! A group's directory: what counts, whatever happens while that changes.

#![expect(clippy::unwrap_used, reason = "a test that unwraps asserts")]

use std::io::IoSlice;
use std::ops::{Bound, ControlFlow};
use std::path::Path;

use bytes::Bytes;
use storage::{
    Backend, DirectoryError, Disk, DiskFile, Engine, EngineError, Epoch, Flush, GroupDirectory,
    GroupId, MemoryBackend, MemoryDisk, MemoryEngine, RealDisk, Rows, SnapshotError, SnapshotId,
};

const GROUP: GroupId = GroupId(7);

type Pair = (Vec<u8>, Vec<u8>);

/// An engine that keeps what was loaded, as one file of the group's own disk: so that the power can
/// be cut within it too.
struct FileBackend(MemoryDisk);

struct FileEngine {
    map: MemoryEngine,
    disk: MemoryDisk,
    name: String,
}

fn file_name(directory: &Path) -> String {
    let name = directory.file_name().unwrap();
    format!("{}.rows", name.to_str().unwrap())
}

impl Backend for FileBackend {
    type Engine = FileEngine;

    fn name(&self) -> &'static str {
        "file"
    }

    fn keeps(&self) -> bool {
        true
    }

    fn open(&self, directory: &Path) -> Result<FileEngine, EngineError> {
        let name = file_name(directory);
        let mut map = MemoryEngine::new();
        let contents = self.0.contents(&name);
        for row in contents.chunks_exact(8) {
            map.put(&row[..4], &row[4..])?;
        }
        Ok(FileEngine {
            map,
            disk: self.0.clone(),
            name,
        })
    }

    fn remove(&self, directory: &Path) -> Result<(), EngineError> {
        match self.0.remove(&file_name(directory)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(EngineError::new("remove", error))
            }
            _ => Ok(()),
        }
    }
}

impl Engine for FileEngine {
    type Value<'a> = &'a [u8];

    fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, EngineError> {
        self.map.get(key)
    }

    fn scan(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        visit: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.map.scan(from, to, visit)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.map.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.map.delete(key)
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        self.map.delete_range(from, to)
    }

    fn commit(&mut self) -> Result<(), EngineError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<Flush, EngineError> {
        Ok(Flush::Started)
    }

    fn load(&mut self, rows: &mut dyn Rows) -> Result<(), EngineError> {
        let failed = |error| EngineError::new("load", error);
        let file = self.disk.create(&self.name).map_err(failed)?;
        let mut offset = 0;
        loop {
            let mut bytes = Vec::new();
            let map = &mut self.map;
            let more = rows.read(100, &mut |key, value| {
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(value);
                map.put(key, value).unwrap();
            })?;
            file.write_at(&mut [IoSlice::new(&bytes)], offset)
                .map_err(failed)?;
            offset += bytes.len() as u64;
            if !more {
                break;
            }
        }
        file.sync_data().map_err(failed)?;
        self.disk.sync_dir().map_err(failed)
    }
}

fn rows(version: u32) -> Vec<Pair> {
    let row = |n: u32| (n.to_be_bytes().to_vec(), version.to_be_bytes().to_vec());
    (0..100).map(row).collect()
}

fn snapshot<D: Disk, B: Backend>(
    directory: &GroupDirectory<D, B>,
    version: u32,
) -> Result<SnapshotId, SnapshotError> {
    let at = (u64::from(version), Epoch { round: 1, node: 0 });
    let mut writer = directory.begin_snapshot(at, Bytes::from_static(b"members"))?;
    for (key, value) in rows(version) {
        writer.row(&key, &value)?;
    }
    Ok(writer.finish(directory.disk())?.id)
}

fn contents<E: Engine>(engine: &E) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let scanned = engine.scan(Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
        pairs.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    pairs
}

fn open(disk: &MemoryDisk) -> Result<GroupDirectory<MemoryDisk, FileBackend>, DirectoryError> {
    GroupDirectory::open(disk.clone(), "/g7", GROUP, FileBackend(disk.clone()))
}

fn open_memory(
    disk: &MemoryDisk,
) -> Result<GroupDirectory<MemoryDisk, MemoryBackend>, DirectoryError> {
    GroupDirectory::open(disk.clone(), "/g7", GROUP, MemoryBackend)
}

#[test]
fn a_new_directory_holds_an_empty_engine() {
    let disk = MemoryDisk::new(1);
    let directory = open(&disk).unwrap();
    assert_eq!(directory.current().number, 1);
    let (engine, from) = directory.open_engine().unwrap();
    assert_eq!((contents(&engine), from), (vec![], None));
    drop(directory);
    disk.crash();
    assert_eq!(open(&disk).unwrap().current().number, 1);
}

#[test]
fn a_memory_engine_starts_from_the_newest_snapshot() {
    let disk = MemoryDisk::new(1);
    let directory = open_memory(&disk).unwrap();
    for version in [300, 1, 20] {
        snapshot(&directory, version).unwrap();
    }
    let ids = directory.snapshots().unwrap();
    let indexes: Vec<_> = ids.iter().map(|id| id.index).collect();
    assert_eq!(indexes, [1, 20, 300]);
    let (engine, from) = directory.open_engine().unwrap();
    assert_eq!(from, Some(ids[2]));
    assert_eq!(contents(&engine), rows(300));
    assert_eq!(directory.meta(ids[1]).unwrap().membership, "members");
    directory.remove_snapshot(ids[2]).unwrap();
    directory.remove_snapshot(ids[2]).unwrap();
    let (engine, _) = directory.open_engine().unwrap();
    assert_eq!(contents(&engine), rows(20));
}

#[test]
fn a_damaged_newest_snapshot_is_not_replaced_by_an_older_one() {
    let disk = MemoryDisk::new(1);
    let directory = open_memory(&disk).unwrap();
    snapshot(&directory, 1).unwrap();
    let newest = snapshot(&directory, 2).unwrap();
    disk.flip(&newest.file(), 500, 1);
    let error = directory.open_engine().map(|_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            DirectoryError::Snapshot(SnapshotError::Corrupt { .. })
        ),
        "{error}"
    );
    assert!(
        error.to_string().contains("restore it from a copy"),
        "{error}"
    );
}

#[test]
fn an_installed_snapshot_replaces_the_engine() {
    let disk = MemoryDisk::new(1);
    let mut directory = open(&disk).unwrap();
    for version in 1..=3 {
        let id = snapshot(&directory, version).unwrap();
        let engine = directory.install(id).unwrap();
        assert_eq!(contents(&engine), rows(version));
        drop(engine);
        directory.retire().unwrap();
    }
    let engines = disk
        .names()
        .into_iter()
        .filter(|name| name.starts_with("engine-"));
    assert_eq!(engines.collect::<Vec<_>>(), ["engine-4.rows"]);
    drop(directory);
    disk.crash();
    let (engine, _) = open(&disk).unwrap().open_engine().unwrap();
    assert_eq!(contents(&engine), rows(3));
}

#[test]
fn a_crash_at_any_operation_of_an_installation_leaves_one_engine_that_counts() {
    let faults = [
        MemoryDisk::cut_power,
        MemoryDisk::fail_write,
        MemoryDisk::fail_sync,
    ];
    for (kind, place) in faults.into_iter().enumerate() {
        for after in 0.. {
            for seed in 0..8 {
                let disk = MemoryDisk::new(after * 8 + seed);
                let mut directory = open(&disk).unwrap();
                let old = snapshot(&directory, 1).unwrap();
                drop(directory.install(old).unwrap());
                directory.retire().unwrap();
                let new = snapshot(&directory, 2).unwrap();

                place(&disk, after);
                let installed = directory.install(new).map(drop);
                let retired = installed.is_ok().then(|| directory.retire());
                drop(directory);
                disk.crash();

                // Twice: what the first opening tidies up must not be what counts.
                for _ in 0..2 {
                    let (engine, _) = open(&disk).unwrap().open_engine().unwrap();
                    let found = contents(&engine);
                    let what = format!("fault {kind} after {after}, seed {seed}: {installed:?}");
                    match installed {
                        Ok(()) => assert_eq!(found, rows(2), "{what}"),
                        Err(_) => assert!(found == rows(1) || found == rows(2), "{what}"),
                    }
                    disk.crash();
                }
                drop(open(&disk).unwrap());
                let left = disk.names();
                let engines = left.iter().filter(|name| name.starts_with("engine-"));
                assert_eq!(engines.count(), 1, "{left:?}");
                if seed == 7 && installed.is_ok() && retired.is_some_and(|outcome| outcome.is_ok())
                {
                    break;
                }
            }
            if after > 40 {
                break;
            }
        }
    }
}

#[test]
fn a_damaged_snapshot_is_not_installed() {
    let disk = MemoryDisk::new(1);
    let mut directory = open(&disk).unwrap();
    let good = snapshot(&directory, 1).unwrap();
    drop(directory.install(good).unwrap());
    let bad = snapshot(&directory, 2).unwrap();
    let length = disk.contents(&bad.file()).len() as u64;
    for offset in (0..length).step_by(61) {
        disk.flip(&bad.file(), offset, 3);
        let error = directory.install(bad).map(drop).unwrap_err();
        assert!(
            matches!(error, DirectoryError::Snapshot(_)),
            "{offset}: {error}"
        );
        disk.flip(&bad.file(), offset, 3);
    }
    let (engine, _) = directory.open_engine().unwrap();
    assert_eq!(contents(&engine), rows(1));
    assert_eq!(contents(&directory.install(bad).unwrap()), rows(2));
}

#[test]
fn a_received_snapshot_is_installed() {
    let (from, to) = (MemoryDisk::new(1), MemoryDisk::new(2));
    let sender = open_memory(&from).unwrap();
    let mut receiver = open(&to).unwrap();
    let id = snapshot(&sender, 5).unwrap();
    let outgoing = sender.outgoing(id).unwrap();
    let mut incoming = receiver.incoming(outgoing.meta().clone()).unwrap();
    // Removing it does not disturb who is reading it.
    sender.remove_snapshot(id).unwrap();
    while !incoming.is_complete() {
        let piece = outgoing.read(incoming.received(), 100).unwrap();
        incoming.store(incoming.received(), &piece).unwrap();
    }
    let meta = incoming.finish(receiver.disk()).unwrap();
    assert_eq!(contents(&receiver.install(meta.id).unwrap()), rows(5));
}

#[test]
fn a_newer_offer_drops_the_part_of_an_older_one() {
    let (from, to) = (MemoryDisk::new(1), MemoryDisk::new(2));
    let (sender, receiver) = (open_memory(&from).unwrap(), open(&to).unwrap());
    for version in [5, 6] {
        let id = snapshot(&sender, version).unwrap();
        let outgoing = sender.outgoing(id).unwrap();
        let mut incoming = receiver.incoming(outgoing.meta().clone()).unwrap();
        incoming.store(0, &outgoing.read(0, 100).unwrap()).unwrap();
        let parts = to
            .names()
            .into_iter()
            .filter(|name| name.ends_with(".part"));
        assert_eq!(parts.collect::<Vec<_>>(), [format!("{id}.part")]);
    }
}

fn endings(disk: &MemoryDisk, ending: &str) -> usize {
    let names = disk.names();
    names.iter().filter(|name| name.ends_with(ending)).count()
}

#[test]
fn what_is_of_no_use_any_more_is_removed_in_part_too() {
    let (from, to) = (MemoryDisk::new(1), MemoryDisk::new(2));
    let (sender, receiver) = (open_memory(&from).unwrap(), open(&to).unwrap());
    let id = snapshot(&sender, 5).unwrap();
    let meta = sender.meta(id).unwrap();
    drop(receiver.incoming(meta.clone()).unwrap());
    receiver.remove_snapshot(id).unwrap();
    assert_eq!(endings(&to, ".part"), 0);

    drop(receiver.incoming(meta).unwrap());
    receiver.drop_parts(id.index - 1).unwrap();
    assert_eq!(endings(&to, ".part"), 1, "it may still be of use");
    receiver.drop_parts(id.index).unwrap();
    assert_eq!(endings(&to, ".part"), 0);
}

#[test]
fn an_abandoned_snapshot_gives_its_room_back() {
    let disk = MemoryDisk::new(1);
    let directory = open_memory(&disk).unwrap();
    let kept = snapshot(&directory, 1).unwrap();
    let at = (2, Epoch { round: 1, node: 0 });
    let mut writer = directory.begin_snapshot(at, Bytes::new()).unwrap();
    disk.limit(Some(10_000));
    let key = [7; 300_000];
    writer.row(&key, &[]).unwrap_err();
    drop(writer);
    assert_eq!(endings(&disk, ".tmp"), 1);
    directory.abandon_snapshot().unwrap();
    directory.abandon_snapshot().unwrap();
    assert_eq!(endings(&disk, ".tmp"), 0);
    assert_eq!(directory.snapshots().unwrap(), [kept]);
}

#[test]
fn a_directory_of_another_engine_says_so_and_stops() {
    let disk = MemoryDisk::new(1);
    drop(open(&disk).unwrap());
    let before = disk.names();
    let error = open_memory(&disk).map(drop).unwrap_err();
    assert!(matches!(error, DirectoryError::OtherEngine { .. }));
    let text = error.to_string();
    assert!(text.contains("made by the engine \"file\""), "{text}");
    assert!(text.contains("configured for \"memory\""), "{text}");
    assert_eq!(disk.names(), before);
    drop(open(&disk).unwrap());
}

#[test]
fn a_directory_of_another_group_says_so_and_stops() {
    let disk = MemoryDisk::new(1);
    drop(open_memory(&disk).unwrap());
    let error = GroupDirectory::open(disk, "/g8", GroupId(8), MemoryBackend).map(drop);
    let text = error.unwrap_err().to_string();
    assert!(text.contains("the directory of g7, not of g8"), "{text}");
}

#[test]
fn a_directory_is_open_only_once() {
    let disk = MemoryDisk::new(1);
    let first = open(&disk).unwrap();
    let error = open(&disk).map(drop).unwrap_err();
    assert!(matches!(error, DirectoryError::Locked { .. }), "{error}");
    drop(first);
    open(&disk).unwrap();
}

#[test]
fn a_damaged_pointer_is_refused_whichever_byte_it_is() {
    let disk = MemoryDisk::new(1);
    drop(open(&disk).unwrap());
    let length = disk.contents("current").len() as u64;
    for offset in 0..length {
        for bit in [0, 5] {
            disk.flip("current", offset, bit);
            let error = open(&disk).map(drop).unwrap_err();
            assert!(
                matches!(
                    error,
                    DirectoryError::Damaged { .. } | DirectoryError::Version { .. }
                ),
                "byte {offset}: {error}"
            );
            disk.flip("current", offset, bit);
        }
    }
    open(&disk).unwrap();
}

#[test]
fn a_directory_whose_pointer_is_gone_is_not_taken_for_a_new_one() {
    let disk = MemoryDisk::new(1);
    let directory = open_memory(&disk).unwrap();
    snapshot(&directory, 1).unwrap();
    drop(directory);
    disk.remove("current").unwrap();
    let error = open_memory(&disk).map(drop).unwrap_err();
    assert!(matches!(error, DirectoryError::Damaged { .. }), "{error}");
}

#[test]
fn later_formats_are_told_from_damage() {
    let disk = MemoryDisk::new(1);
    drop(open(&disk).unwrap());
    let text = String::from_utf8(disk.contents("current")).unwrap();
    let at = text.find("format 1").unwrap() as u64;
    disk.damage("current", at + 7, b"2");
    let error = open(&disk).map(drop).unwrap_err().to_string();
    assert!(error.contains("is of format 2"), "{error}");
}

#[test]
fn a_full_disk_fails_the_installation_and_the_old_engine_counts() {
    let disk = MemoryDisk::new(1);
    let mut directory = open(&disk).unwrap();
    let old = snapshot(&directory, 1).unwrap();
    drop(directory.install(old).unwrap());
    let new = snapshot(&directory, 2).unwrap();
    let used: usize = disk
        .names()
        .iter()
        .map(|name| disk.contents(name).len())
        .sum();
    disk.limit(Some(used as u64 + 300));
    let error = directory.install(new).map(drop).unwrap_err().to_string();
    assert!(error.contains("no storage space"), "{error}");
    let (engine, _) = directory.open_engine().unwrap();
    assert_eq!(contents(&engine), rows(1));
    disk.limit(None);
    assert_eq!(contents(&directory.install(new).unwrap()), rows(2));
}

#[test]
fn it_works_on_a_real_disk() {
    let place = tempfile::tempdir().unwrap();
    let open = || {
        let disk = RealDisk::open(place.path()).unwrap();
        GroupDirectory::open(disk, place.path(), GROUP, MemoryBackend)
    };
    let mut directory = open().unwrap();
    let id = snapshot(&directory, 9).unwrap();
    assert!(matches!(
        open().map(drop),
        Err(DirectoryError::Locked { .. })
    ));
    drop(directory.install(id).unwrap());
    drop(directory);
    let directory = open().unwrap();
    assert_eq!(directory.current().number, 2);
    let (engine, from) = directory.open_engine().unwrap();
    assert_eq!((contents(&engine), from), (rows(9), Some(id)));
}

/// A process was killed between giving a snapshot its name and making that durable. The next one
/// finds it and counts on it, so from then on it must survive a power loss.
#[test]
fn a_snapshot_that_was_found_at_the_start_survives_a_power_loss() {
    for seed in 0..20 {
        let disk = MemoryDisk::new(seed);
        let id = snapshot(&open_memory(&disk).unwrap(), 1).unwrap();
        disk.rename(&id.file(), "before").unwrap();
        disk.sync_dir().unwrap();
        disk.rename("before", &id.file()).unwrap();
        disk.kill();
        let found = open_memory(&disk).unwrap().snapshots().unwrap();
        assert_eq!(found, [id]);
        disk.crash();
        let found = open_memory(&disk).unwrap().snapshots().unwrap();
        assert_eq!(found, [id], "seed {seed}");
    }
}

/// Only the newest that is there is kept: it must not be one that a power loss may take away.
#[test]
fn a_snapshot_whose_name_may_not_be_durable_does_not_count() {
    let disk = MemoryDisk::new(1);
    let directory = open_memory(&disk).unwrap();
    let id = snapshot(&directory, 1).unwrap();
    for after in 0.. {
        disk.fail_sync(after);
        let written = snapshot(&directory, 2);
        disk.calm();
        if written.is_ok() {
            assert!(after > 1);
            break;
        }
        assert_eq!(directory.snapshots().unwrap(), [id], "sync {after}");
    }
}
