//! What is particular to the segmented log: its files, their coming and going, and what it makes of
//! damage.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::IoSlice;

use bytes::Bytes;
use proptest::prelude::*;
use storage::{
    Damage, DiskFile as _, Epoch, GroupId, GroupWrite, LogError, LogOp, LogOptions, LogRead,
    LogStore, Loss, MemoryDisk, MemoryLog, RealDisk, Record, SegmentedLog,
};

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);
/// A group that nothing is written for.
const UNHEARD: GroupId = GroupId(3);

const RECORD_HEADER: u64 = 56;
const SECTOR: u64 = 512;

type Log = SegmentedLog<MemoryDisk>;

fn options() -> LogOptions {
    LogOptions::default()
        .segment_bytes(16 << 10)
        .step_bytes(2 << 10)
        .salt(7)
}

fn open(disk: &MemoryDisk) -> Log {
    SegmentedLog::open(disk.clone(), options()).unwrap()
}

fn put(index: u64, payload: impl Into<Bytes>) -> LogOp {
    LogOp::Put(Record {
        index,
        epoch: Epoch { round: 1, node: 0 },
        kind: 0,
        payload: payload.into(),
    })
}

fn purge(index: u64) -> LogOp {
    let epoch = Epoch { round: 1, node: 0 };
    LogOp::PurgeTo { index, epoch }
}

fn hard_state(text: &'static str) -> LogOp {
    LogOp::HardState(Bytes::from_static(text.as_bytes()))
}

fn write(log: &mut Log, group: GroupId, ops: impl Into<Vec<LogOp>>) {
    let ops = ops.into();
    log.write(&[GroupWrite { group, ops }]).unwrap();
}

/// The segments' names, oldest first.
fn segment_names(disk: &MemoryDisk) -> Vec<String> {
    let names = disk.names().into_iter();
    names.filter(|name| name.ends_with(".log")).collect()
}

/// The same files on another disk, each as far as `keep` says.
fn copied(disk: &MemoryDisk, keep: impl Fn(&str) -> u64) -> MemoryDisk {
    let copy = MemoryDisk::new(2);
    for name in disk.names() {
        let mut bytes = disk.contents(&name);
        bytes.truncate(usize::try_from(keep(&name)).unwrap());
        let file = storage::Disk::create(&copy, &name).unwrap();
        file.write_at(&mut [IoSlice::new(&bytes)], 0).unwrap();
        file.sync_data().unwrap();
    }
    storage::Disk::sync_dir(&copy).unwrap();
    copy
}

fn indexes(log: &Log, group: GroupId) -> Vec<u64> {
    let records = log.recovered(group).records;
    records.into_iter().map(|(index, _, _)| index).collect()
}

/// Where the last copy of `needle` stands.
fn place(disk: &MemoryDisk, needle: &str) -> (String, u64) {
    let found = disk.names().into_iter().rev().find_map(|name| {
        let contents = disk.contents(&name);
        let at = contents
            .windows(needle.len())
            .rposition(|bytes| bytes == needle.as_bytes())?;
        Some((name, at as u64))
    });
    found.unwrap_or_else(|| panic!("{needle:?} stands nowhere"))
}

/// Destroys the payload that begins with `needle`.
fn rot_payload(disk: &MemoryDisk, needle: &str) {
    let (name, at) = place(disk, needle);
    disk.flip(&name, at, 1);
}

/// Destroys the header of the record whose payload begins with `needle`.
fn rot_header(disk: &MemoryDisk, needle: &str) {
    let (name, at) = place(disk, needle);
    disk.flip(&name, at - RECORD_HEADER + 9, 1);
}

/// Destroys the header of the batch whose first record's payload begins with `needle`.
fn rot_batch(disk: &MemoryDisk, needle: &str) {
    let (name, at) = place(disk, needle);
    disk.flip(&name, (at - RECORD_HEADER) / SECTOR * SECTOR + 10, 1);
}

fn losses(log: &Log) -> Vec<Loss> {
    log.damage()
        .iter()
        .map(|damage| damage.loss.clone())
        .collect()
}

// Files.

#[test]
fn purging_gives_the_disk_back() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    for index in 1..=400 {
        write(&mut log, A, [put(index, vec![0; 1_000])]);
    }
    assert!(
        log.disk_bytes() > 400_000,
        "nothing may go while it is needed"
    );
    write(&mut log, A, [purge(398)]);
    while log.tidy().unwrap() {}
    assert!(
        log.disk_bytes() < 64 << 10,
        "{} bytes for two records",
        log.disk_bytes()
    );
    assert!(disk.names().len() <= 4, "{:?}", disk.names());
    drop(log);
    assert_eq!(indexes(&open(&disk), A), [399, 400]);
}

/// Removing a segment syncs the directory. All at once, those of gigabytes would keep every write
/// waiting for seconds, and a leader whose writes wait resigns.
#[test]
fn a_write_that_frees_many_segments_removes_one() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    for index in 1..=395 {
        write(&mut log, A, [put(index, vec![0; 1_000])]);
    }
    let (before, fsyncs) = (segment_names(&disk), log.fsyncs());
    assert!(before.len() > 20, "{before:?}");
    write(&mut log, A, [purge(390)]);
    let after = segment_names(&disk);
    assert_eq!(after, before[1..]);
    assert_eq!(log.fsyncs() - fsyncs, 2);
    write(&mut log, A, [put(396, "next")]);
    assert_eq!(segment_names(&disk), after, "more has to be written first");
    // Under load they go faster than others come.
    for index in 397..=600 {
        write(&mut log, A, [put(index, vec![0; 1_000]), purge(index - 3)]);
    }
    assert!(segment_names(&disk).len() <= 3, "{:?}", disk.names());
}

#[test]
fn segments_go_one_by_one_while_there_is_nothing_else_to_do() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    assert!(!log.tidy().unwrap());
    for index in 1..=400 {
        write(&mut log, A, [put(index, vec![0; 1_000])]);
    }
    write(&mut log, A, [hard_state("a vote"), purge(398)]);
    let mut left = segment_names(&disk);
    while log.tidy().unwrap() {
        left.remove(0);
        assert_eq!(segment_names(&disk), left);
        // A node that ends here finds everything, and gives the room back when it starts.
        let copy = copied(&disk, |_| u64::MAX);
        let again = open(&copy);
        assert_eq!(indexes(&again, A), [399, 400]);
        let found = again.recovered(A);
        assert_eq!((found.purged.0, found.damaged), (398, false));
        assert!(segment_names(&copy).len() <= 3, "{:?}", copy.names());
    }
    assert!(segment_names(&disk).len() <= 2, "{:?}", disk.names());
}

#[test]
fn a_segment_that_cannot_be_removed_ends_the_log() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    for index in 1..=100 {
        write(&mut log, A, [put(index, vec![0; 1_000])]);
    }
    write(&mut log, A, [purge(98)]);
    disk.fail_sync(0);
    assert!(log.tidy().is_err());
    assert!(matches!(log.tidy(), Err(LogError::Poisoned { .. })));
    let write = log.write(&[GroupWrite {
        group: A,
        ops: vec![put(101, "next")],
    }]);
    assert!(matches!(write, Err(LogError::Poisoned { .. })));
}

#[test]
fn what_is_free_and_still_there_may_be_damaged() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    for index in 1..=400 {
        write(&mut log, A, [put(index, vec![0; 1_000])]);
    }
    write(&mut log, A, [purge(398)]);
    write(&mut log, A, [put(401, "next")]);
    let left = segment_names(&disk);
    assert!(left.len() > 20, "{left:?}");
    disk.flip(&left[1], 600, 1);
    drop(log);
    let log = open(&disk);
    assert_eq!(log.damage(), []);
    assert!(!log.recovered(A).damaged);
    assert_eq!(indexes(&log, A), [399, 400, 401]);
    assert!(segment_names(&disk).len() <= 3, "{:?}", disk.names());
}

#[test]
fn an_idle_group_pins_nothing() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(
        &mut log,
        B,
        [
            hard_state("idle"),
            put(1, "first"),
            put(2, "second"),
            purge(1),
        ],
    );
    for index in 1..=2_000 {
        let mut ops = vec![put(index, vec![0; 500])];
        if index > 10 {
            ops.push(purge(index - 10));
        }
        write(&mut log, A, ops);
    }
    let segments = disk.names();
    assert!(
        log.disk_bytes() < 100 << 10,
        "{} bytes in {segments:?}",
        log.disk_bytes()
    );
    assert!(
        !segments.contains(&"0000000001.log".to_owned()),
        "{segments:?}"
    );
    for _ in 0..2 {
        let idle = log.recovered(B);
        assert_eq!(idle.hard_state.as_deref(), Some(&b"idle"[..]));
        assert_eq!((idle.purged.0, idle.records.len()), (1, 1));
        let LogRead::Records(records) = log.read(B, 2, 2, 100).unwrap() else {
            panic!("the idle group's record is gone");
        };
        assert_eq!(records[0].payload, "second");
        drop(log);
        log = open(&disk);
    }
}

#[test]
fn hard_states_alone_fill_no_disk() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    for _ in 0..1_000 {
        write(&mut log, A, [hard_state("a vote")]);
        write(&mut log, B, [hard_state("another")]);
    }
    assert!(log.disk_bytes() < 64 << 10, "{} bytes", log.disk_bytes());
}

#[test]
fn truncation_reaches_back_over_segments() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    let mut model = MemoryLog::new();
    let long = |index: u64, byte| put(index, vec![byte; 3_000]);
    let mut script: Vec<Vec<LogOp>> = (1..=30).map(|index| vec![long(index, 1)]).collect();
    script.push(vec![LogOp::TruncateFrom(4)]);
    script.extend((4..=20).map(|index| vec![long(index, 2)]));
    script.push(vec![LogOp::TruncateFrom(15), long(15, 3), purge(2)]);
    for ops in script {
        ops.iter().for_each(|op| model.apply(A, op));
        write(&mut log, A, ops);
    }
    assert!(
        disk.names().len() > 5,
        "this must span segments: {:?}",
        disk.names()
    );
    for _ in 0..2 {
        assert_eq!(log.recovered(A), model.recovered(A));
        let read = log.read(A, 3, 20, usize::MAX).unwrap();
        assert_eq!(read, model.read(A, 3, 20, usize::MAX).unwrap());
        drop(log);
        log = open(&disk);
    }
}

#[test]
fn a_write_larger_than_a_segment_gets_one_of_its_own() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(&mut log, A, [put(1, "small")]);
    write(
        &mut log,
        A,
        [put(2, vec![2; 100_000]), put(3, vec![3; 50_000])],
    );
    write(&mut log, A, [put(4, "small")]);
    drop(log);
    let mut log = open(&disk);
    assert_eq!(indexes(&log, A), [1, 2, 3, 4]);
    let LogRead::Records(records) = log.read(A, 2, 4, usize::MAX).unwrap() else {
        panic!("unreadable");
    };
    assert_eq!(records[0].payload.len() + records[1].payload.len(), 150_000);
}

#[test]
fn most_writes_do_not_grow_the_file() {
    let disk = MemoryDisk::new(1);
    let mut log = SegmentedLog::open(disk.clone(), LogOptions::default()).unwrap();
    let length = || disk.contents("0000000001.log").len();
    let mut grown = 0;
    for index in 1..=1_000 {
        let before = length();
        write(&mut log, A, [put(index, vec![1; 3_000])]);
        grown += u64::from(length() != before);
    }
    assert!(
        (1..=4).contains(&grown),
        "the file grew {grown} times in 3.5 MB"
    );
    assert!(
        length() <= 64 << 20,
        "a segment is larger than it should be"
    );
}

#[test]
fn a_segment_that_was_never_finished_is_removed() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(&mut log, A, [put(1, "one")]);
    drop(log);
    storage::Disk::create(&disk, "unfinished.tmp").unwrap();
    let log = open(&disk);
    assert_eq!(indexes(&log, A), [1]);
    assert!(!disk.names().contains(&"unfinished.tmp".to_owned()));
}

#[test]
fn starting_again_and_again_fills_no_disk() {
    let disk = MemoryDisk::new(1);
    for index in 1..=300 {
        let mut log = open(&disk);
        write(
            &mut log,
            A,
            [put(index, "a record that is kept"), hard_state("state")],
        );
        disk.kill();
    }
    let log = open(&disk);
    assert_eq!(indexes(&log, A).len(), 300);
    assert!(log.disk_bytes() < 200 << 10, "{} bytes", log.disk_bytes());
}

#[test]
fn the_same_calls_write_the_same_bytes() {
    let contents = |seed| {
        let disk = MemoryDisk::new(seed);
        let mut log = open(&disk);
        (1..=50).for_each(|index| write(&mut log, A, [put(index, vec![5; 900])]));
        drop(log);
        let names = disk.names();
        names
            .iter()
            .map(|name| disk.contents(name))
            .collect::<Vec<_>>()
    };
    assert_eq!(contents(1), contents(2));
}

// What opening refuses.

#[test]
fn a_missing_segment_is_refused() {
    for missing in [0, 2, 4] {
        let disk = MemoryDisk::new(1);
        let mut log = open(&disk);
        (1..=60).for_each(|index| write(&mut log, A, [put(index, vec![0; 1_500])]));
        drop(log);
        let names = disk.names();
        storage::Disk::remove(&disk, &names[missing]).unwrap();
        let left = disk.names();
        match SegmentedLog::inspect(&disk) {
            Err(LogError::MissingSegment { file }) => assert_eq!(file, names[missing]),
            other => panic!("inspect without {}: {other:?}", names[missing]),
        }
        match SegmentedLog::open(disk.clone(), options()) {
            Err(LogError::MissingSegment { file }) => assert_eq!(file, names[missing]),
            other => panic!("without {}: {other:?}", names[missing]),
        }
        assert_eq!(disk.names(), left, "a refusal changes nothing");
    }
}

#[test]
fn a_missing_last_segment_is_refused() {
    for crash in [false, true] {
        let disk = MemoryDisk::new(1);
        let mut log = open(&disk);
        (1..=60).for_each(|index| write(&mut log, A, [put(index, vec![0; 1_500])]));
        if crash {
            disk.crash();
        }
        drop(log);
        let last = segment_names(&disk).pop().unwrap();
        storage::Disk::remove(&disk, &last).unwrap();
        match SegmentedLog::open(disk.clone(), options()) {
            Err(LogError::MissingSegment { file }) => assert_eq!(file, last),
            other => panic!("without {last}: {other:?}"),
        }
        // Nor is an empty directory a new log's, once there was one.
        for name in segment_names(&disk) {
            storage::Disk::remove(&disk, &name).unwrap();
        }
        match SegmentedLog::open(disk, options()) {
            Err(LogError::MissingSegment { file }) => assert_eq!(file, last),
            other => panic!("without any segment: {other:?}"),
        }
    }
}

#[test]
fn a_last_segment_that_is_cut_off_damages_every_group_until_made_up_for() {
    for keep in [0, 4_096, 5_000, 9_000] {
        let disk = MemoryDisk::new(1);
        let mut log = open(&disk);
        write(&mut log, A, [put(1, vec![0; 1_500]), hard_state("a")]);
        write(&mut log, B, [put(1, vec![0; 1_500]), hard_state("b")]);
        (2..=6).for_each(|index| write(&mut log, A, [put(index, vec![0; 500])]));
        drop(log);
        let name = segment_names(&disk).pop().unwrap();
        let disk = copied(&disk, |copied| if copied == name { keep } else { u64::MAX });
        if keep < 4_096 {
            let refused = SegmentedLog::open(disk, options());
            assert!(matches!(refused, Err(LogError::Corrupt { .. })), "{keep}");
            continue;
        }
        let report = SegmentedLog::inspect(&disk).unwrap();
        assert!(report.damage.iter().any(|damage| damage.file == name));
        // However often it is opened.
        for _ in 0..3 {
            let log = open(&disk);
            for group in log.groups() {
                assert!(log.recovered(group).damaged, "{group}, {keep}");
            }
        }
        let mut log = open(&disk);
        for group in log.groups() {
            let truncate = LogOp::TruncateFrom(10);
            write(&mut log, group, [hard_state("anew"), purge(9), truncate]);
            assert!(!log.recovered(group).damaged);
        }
        drop(log);
        let log = open(&disk);
        assert!(
            log.groups()
                .into_iter()
                .all(|group| !log.recovered(group).damaged)
        );
    }
}

/// A name that was found when opening may be one that a failed sync has not made durable.
#[test]
fn two_openings_whose_syncs_fail_leave_no_gap_among_the_segments() {
    for (seed, first, second) in (0..40).flat_map(|seed| {
        let failing = (0..4).flat_map(|first| (0..4).map(move |second| (first, second)));
        failing.map(move |(first, second)| (seed, first, second))
    }) {
        let disk = MemoryDisk::new(seed);
        let mut log = open(&disk);
        write(&mut log, A, [put(1, "one")]);
        drop(log);
        for fails in [first, second] {
            disk.kill();
            disk.fail_sync(fails);
            assert!(SegmentedLog::open(disk.clone(), options()).is_err());
        }
        disk.crash();
        let log = SegmentedLog::open(disk, options());
        let found = log.map(|log| indexes(&log, A)).map_err(|e| e.to_string());
        assert_eq!(found, Ok(vec![1]), "seed {seed}, {first}, {second}");
    }
}

#[test]
fn a_mark_that_is_gone_or_unreadable_costs_nothing() {
    for gone in [false, true] {
        let disk = MemoryDisk::new(1);
        let mut log = open(&disk);
        (1..=30).for_each(|index| write(&mut log, A, [put(index, vec![0; 1_500])]));
        drop(log);
        match gone {
            true => storage::Disk::remove(&disk, "newest").unwrap(),
            false => disk.flip("newest", 9, 1),
        }
        let log = open(&disk);
        assert_eq!(indexes(&log, A).len(), 30);
        assert!(!log.recovered(A).damaged);
        drop(log);
        storage::Disk::remove(&disk, &segment_names(&disk).pop().unwrap()).unwrap();
        let refused = SegmentedLog::open(disk, options());
        assert!(
            matches!(refused, Err(LogError::MissingSegment { .. })),
            "it is written anew"
        );
    }
}

#[test]
fn a_segment_whose_header_is_unreadable_is_refused() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    (1..=30).for_each(|index| write(&mut log, A, [put(index, vec![0; 1_500])]));
    drop(log);
    let name = disk.names()[1].clone();
    disk.flip(&name, 20, 1);
    match SegmentedLog::open(disk, options()) {
        Err(LogError::Corrupt {
            file, offset: 0, ..
        }) => assert_eq!(file, name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_format_is_refused() {
    let disk = MemoryDisk::new(1);
    drop(open(&disk));
    disk.damage("0000000001.log", 8, &9_u32.to_le_bytes());
    let error = SegmentedLog::open(disk, options()).unwrap_err();
    assert!(
        matches!(
            &error,
            LogError::Version {
                found: 9,
                supported: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn two_openings_of_a_real_directory_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = || SegmentedLog::open(RealDisk::open(directory.path()).unwrap(), options());
    let first = open().unwrap();
    let error = open().unwrap_err();
    assert!(matches!(error, LogError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    open().unwrap();
}

#[test]
fn a_payload_beyond_the_limit_is_refused() {
    let mut log = open(&MemoryDisk::new(1));
    let write = GroupWrite {
        group: A,
        ops: vec![put(1, vec![0; (1 << 30) + 1])],
    };
    let error = log.write(&[write]).unwrap_err();
    assert!(
        matches!(error, LogError::TooLarge { group: A, .. }),
        "{error}"
    );
}

// Torn tails.

/// Three records, the last of them the highest batch, as a killed process leaves them.
fn three_writes(disk: &MemoryDisk) {
    let mut log = open(disk);
    write(&mut log, A, [put(1, "first payload")]);
    write(&mut log, B, [put(1, "second payload")]);
    write(&mut log, A, [put(2, "third payload")]);
    disk.kill();
    drop(log);
}

#[test]
fn damage_in_the_highest_batch_is_a_torn_tail() {
    for rot in [rot_payload, rot_header, rot_batch] {
        let disk = MemoryDisk::new(1);
        three_writes(&disk);
        rot(&disk, "third payload");
        for _ in 0..3 {
            let mut log = open(&disk);
            assert_eq!((indexes(&log, A), indexes(&log, B)), (vec![1], vec![1]));
            assert!(!log.recovered(A).damaged && !log.recovered(UNHEARD).damaged);
            // What was cut stays cut, and what is written afterwards stays.
            write(&mut log, B, [hard_state("later")]);
            assert!(losses(&log).iter().all(|loss| *loss == Loss::TornTail));
        }
    }
}

#[test]
fn a_torn_tail_is_reported_with_its_place() {
    let disk = MemoryDisk::new(1);
    three_writes(&disk);
    let (file, at) = place(&disk, "third payload");
    rot_payload(&disk, "third payload");
    let log = open(&disk);
    let [
        Damage {
            file: found,
            offset,
            loss,
            ..
        },
    ] = log.damage()
    else {
        panic!("not one damage")
    };
    assert_eq!(
        (found, *offset, loss),
        (&file, at / SECTOR * SECTOR, &Loss::TornTail)
    );
}

/// A trace of a later batch proves that the earlier one was durable, even where no batch can be
/// read any more.
#[test]
fn a_fragment_of_a_later_batch_makes_earlier_damage_corruption() {
    let disk = MemoryDisk::new(1);
    three_writes(&disk);
    rot_batch(&disk, "second payload");
    rot_batch(&disk, "third payload");
    let log = open(&disk);
    assert!(
        log.recovered(B).damaged,
        "an acknowledged batch was taken for a torn one"
    );
    assert_eq!(indexes(&log, A), [1], "the highest batch is not whole");
    assert_eq!(indexes(&log, B), [1], "what can be salvaged is");
}

/// A log that was closed says with a last, empty batch that all others were there.
#[test]
fn damage_in_a_log_that_was_closed_is_never_a_torn_tail() {
    for rot in [rot_payload, rot_header, rot_batch] {
        let disk = MemoryDisk::new(1);
        let mut log = open(&disk);
        write(&mut log, A, [put(1, "the only payload")]);
        drop(log);
        rot(&disk, "the only payload");
        assert!(open(&disk).recovered(A).damaged);
    }
}

// Corruption.

/// Four writes, closed properly, so that none of them is the highest batch.
fn damaged(rot: fn(&MemoryDisk, &str)) -> MemoryDisk {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(&mut log, A, [put(1, "one"), hard_state("one vote")]);
    write(&mut log, B, [put(1, "b one")]);
    write(&mut log, A, [put(2, "second payload"), put(3, "three")]);
    write(&mut log, A, [put(4, "four")]);
    drop(log);
    rot(&disk, "second payload");
    disk
}

#[test]
fn a_lost_payload_damages_its_group_and_is_known_by_name() {
    let disk = damaged(rot_payload);
    let mut log = open(&disk);
    assert!(log.recovered(A).damaged);
    assert!(!log.recovered(B).damaged && !log.recovered(UNHEARD).damaged);
    assert_eq!(indexes(&log, A), [1, 2, 3, 4], "that it was there is known");
    assert_eq!(log.read(A, 2, 4, 100).unwrap(), LogRead::Corrupt);
    assert_eq!(losses(&log), [Loss::Payload { group: A, index: 2 }]);

    // Once it is superseded there is nothing to repair any more.
    write(&mut log, A, [put(2, "written again")]);
    assert!(!log.recovered(A).damaged);
    drop(log);
    let mut log = open(&disk);
    assert!(!log.recovered(A).damaged);
    assert!(matches!(log.read(A, 1, 4, 100).unwrap(), LogRead::Records(all) if all.len() == 4));
}

#[test]
fn a_lost_header_damages_the_groups_of_its_batch() {
    let disk = damaged(rot_header);
    let log = open(&disk);
    assert!(log.recovered(A).damaged);
    assert!(!log.recovered(B).damaged && !log.recovered(UNHEARD).damaged);
    assert_eq!(
        indexes(&log, A),
        [1, 3, 4],
        "what stands behind it is found again"
    );
    assert_eq!(
        losses(&log),
        [Loss::Unknown {
            groups: Some(vec![A])
        }]
    );
}

#[test]
fn a_lost_batch_damages_every_group() {
    let disk = damaged(rot_batch);
    let log = open(&disk);
    assert!(
        [A, B, UNHEARD]
            .iter()
            .all(|group| log.recovered(*group).damaged)
    );
    assert_eq!(indexes(&log, A), [1, 2, 3, 4], "its records are salvaged");
    assert_eq!(losses(&log), [Loss::Unknown { groups: None }]);
}

#[test]
fn a_lost_hard_state_is_over_with_the_next() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(&mut log, A, [hard_state("first vote")]);
    write(&mut log, A, [hard_state("second vote")]);
    drop(log);
    rot_payload(&disk, "second vote");
    let mut log = open(&disk);
    let found = log.recovered(A);
    assert!(found.damaged);
    assert_eq!(
        found.hard_state.as_deref(),
        Some(&b"first vote"[..]),
        "too old, and said so"
    );
    write(&mut log, A, [hard_state("third vote")]);
    drop(log);
    assert!(!open(&disk).recovered(A).damaged);
}

#[test]
fn a_group_that_states_everything_anew_is_whole_again() {
    let ops = [LogOp::TruncateFrom(1), purge(70), hard_state("anew")];
    let whole = |log: &Log| !log.recovered(A).damaged;
    for left_out in 0..=ops.len() {
        let disk = damaged(rot_batch);
        let mut log = open(&disk);
        for (at, op) in ops.iter().enumerate() {
            if at != left_out {
                write(&mut log, A, [op.clone()]);
            }
        }
        let expected = left_out == ops.len();
        assert_eq!(whole(&log), expected, "without operation {left_out}");
        drop(log);
        let log = open(&disk);
        assert_eq!(
            whole(&log),
            expected,
            "without operation {left_out}, opened again"
        );
        assert!(
            log.recovered(B).damaged,
            "the other group has stated nothing"
        );
    }
}

/// Segments go; that something was lost in them does not.
#[test]
fn damage_outlives_the_segment_it_was_found_in() {
    for (rot, b_is_damaged) in [
        (rot_header as fn(&MemoryDisk, &str), false),
        (rot_batch, true),
        (rot_payload, false),
    ] {
        let disk = damaged(rot);
        let mut log = open(&disk);
        let first = disk.names()[0].clone();
        let busy = GroupId(9);
        for index in 1..=500 {
            write(&mut log, busy, [put(index, vec![0; 1_000]), purge(index)]);
        }
        assert!(!disk.names().contains(&first), "{:?}", disk.names());
        for _ in 0..2 {
            assert!(log.recovered(A).damaged);
            assert_eq!(log.recovered(B).damaged, b_is_damaged);
            assert_eq!(log.recovered(UNHEARD).damaged, b_is_damaged);
            drop(log);
            log = open(&disk);
        }
        assert_eq!(
            losses(&log),
            [],
            "the segment that was damaged is still there"
        );
    }
}

/// What cleaning writes again is what was known before the damage. It makes up for nothing.
#[test]
fn copies_do_not_make_a_group_whole() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(&mut log, A, [put(1, "one"), purge(1), hard_state("a vote")]);
    write(
        &mut log,
        A,
        [put(2, "a lost payload"), hard_state("a lost vote")],
    );
    drop(log);
    rot_batch(&disk, "a lost payload");
    rot_header(&disk, "a lost vote");
    let mut log = open(&disk);
    let busy = GroupId(9);
    for index in 1..=500 {
        write(&mut log, busy, [put(index, vec![0; 1_000]), purge(index)]);
        write(&mut log, A, [LogOp::TruncateFrom(2)]);
    }
    assert!(!disk.names().contains(&"0000000002.log".to_owned()));
    for _ in 0..2 {
        let found = log.recovered(A);
        assert_eq!(found.hard_state.as_deref(), Some(&b"a vote"[..]));
        assert!(
            found.damaged,
            "a vote was lost, and nobody knows it any more"
        );
        drop(log);
        log = open(&disk);
    }
}

/// Cleaning copies what it reads and drops the original: what it took for lost would be.
#[test]
fn a_read_that_goes_astray_once_loses_nothing() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(&mut log, A, [put(1, "kept")]);
    disk.misdirect_read(0);
    for index in 1..=500 {
        let busy = GroupId(9);
        write(&mut log, busy, [put(index, vec![0; 1_000]), purge(index)]);
    }
    assert!(!disk.names().contains(&"0000000001.log".to_owned()));
    assert!(!log.recovered(A).damaged);
    assert!(matches!(log.read(A, 1, 1, 100), Ok(LogRead::Records(_))));
}

/// Nor is it forgotten that there was a record.
#[test]
fn a_lost_record_outlives_its_segment() {
    let disk = damaged(rot_payload);
    let mut log = open(&disk);
    for index in 1..=500 {
        let busy = GroupId(9);
        write(&mut log, busy, [put(index, vec![0; 1_000]), purge(index)]);
    }
    for _ in 0..2 {
        assert_eq!(indexes(&log, A), [1, 2, 3, 4]);
        assert_eq!(log.read(A, 2, 2, 100).unwrap(), LogRead::Corrupt);
        drop(log);
        log = open(&disk);
    }
}

#[test]
fn a_lost_segment_tail_is_noticed() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    (1..=30).for_each(|index| write(&mut log, A, [put(index, vec![0; 1_500])]));
    drop(log);
    // Everything in the second half of a segment that others follow reads as zeros.
    let name = disk.names()[1].clone();
    let half = disk.contents(&name).len() / 2;
    disk.damage(&name, half as u64, &vec![0; half - 1]);
    let log = open(&disk);
    assert!(log.recovered(A).damaged);
    assert!(
        indexes(&log, A).contains(&30),
        "later segments are read all the same"
    );
}

#[test]
fn a_disk_that_cannot_read_is_not_taken_for_an_empty_one() {
    let disk = MemoryDisk::new(1);
    let mut log = open(&disk);
    write(&mut log, A, [put(1, "one")]);
    disk.fail_reads(true);
    assert_eq!(log.read(A, 1, 1, 10).unwrap(), LogRead::Corrupt);
    drop(log);
    let error = SegmentedLog::open(disk.clone(), options()).unwrap_err();
    assert!(matches!(error, LogError::Io { .. }), "{error}");
    disk.fail_reads(false);
    assert_eq!(indexes(&open(&disk), A), [1]);
}

#[test]
fn a_full_disk_is_one_clear_error_and_loses_nothing() {
    for room in (0..20_000).step_by(1_111) {
        let disk = MemoryDisk::new(room);
        let mut log = open(&disk);
        write(&mut log, A, [put(1, "one")]);
        let used: usize = disk
            .names()
            .iter()
            .map(|name| disk.contents(name).len())
            .sum();
        disk.limit(Some(used as u64 + room));
        let mut last = 1;
        let error = loop {
            let ops = vec![put(last + 1, vec![1; 900])];
            match log.write(&[GroupWrite { group: A, ops }]) {
                Ok(()) => last += 1,
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("no storage space"), "{error}");
        assert!(error.contains("start the node again"), "{error}");
        drop(log);
        disk.crash();
        disk.limit(None);
        let found = indexes(&open(&disk), A);
        assert!(
            found.len() as u64 >= last,
            "{last} acknowledged, {found:?} there"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A write is there for all its groups or for none, whatever sectors of it reached the disk.
    #[test]
    fn a_torn_write_is_torn_for_every_group(
        seed: u64,
        sizes in prop::collection::vec(0..4_000_usize, 1..12),
        fail_sync: bool,
    ) {
        let disk = MemoryDisk::new(seed);
        let mut log = open(&disk);
        write(&mut log, GroupId(0), [put(1, "before")]);
        let writes: Vec<GroupWrite> = sizes
            .iter()
            .zip(0..)
            .map(|(size, group)| GroupWrite {
                group: GroupId(group),
                ops: vec![put(2, vec![group as u8; *size]), hard_state("state")],
            })
            .collect();
        if fail_sync {
            disk.fail_sync(0);
        } else {
            disk.fail_write(0);
        }
        prop_assert!(log.write(&writes).is_err());
        disk.crash();
        drop(log);
        let log = open(&disk);
        let there = writes
            .iter()
            .filter(|write| log.recovered(write.group).hard_state.is_some())
            .count();
        prop_assert!(there == 0 || there == writes.len(), "{there} of {} groups", writes.len());
        prop_assert!(indexes(&log, GroupId(0)).contains(&1));
    }

    /// Any bytes anywhere: opening refuses or opens, and never panics.
    #[test]
    fn no_bytes_make_it_panic(
        seed: u64,
        places in prop::collection::vec((0..60_000_u64, any::<[u8; 40]>()), 1..20),
    ) {
        let disk = MemoryDisk::new(seed);
        let mut log = open(&disk);
        for index in 1..=40 {
            let group = GroupId(index as u32 % 3);
            write(&mut log, group, [put(index, vec![0; 1_000]), purge(index / 2)]);
        }
        drop(log);
        let names = disk.names();
        for (at, bytes) in &places {
            let name = &names[*at as usize % names.len()];
            disk.damage(name, at / names.len() as u64, bytes);
        }
        if let Ok(mut log) = SegmentedLog::open(disk, options()) {
            for group in log.groups() {
                for (index, _, _) in log.recovered(group).records {
                    log.read(group, index, index + 3, 1_000).unwrap();
                }
            }
            let _ = log.write(&[GroupWrite { group: A, ops: vec![put(1, "after")] }]);
        }
    }
}
