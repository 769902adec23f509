//! The log on disk: segments, batches, records.
//!
//! Checked: whatever bytes the segments hold, opening and inspecting refuse with an error that says
//! what to do, or give records that can be read; through writes, restarts, power cuts, failing and
//! full disks nothing acknowledged is lost; after damage nothing is read that was not written, and
//! what is lost is not passed over in silence.

use std::collections::BTreeSet;
use std::io::IoSlice;

use bytes::Bytes;
use storage::{
    Disk as _, DiskFile as _, Epoch, GroupId, GroupWrite, LogError, LogOp, LogOptions, LogRead,
    LogStore, MemoryDisk, MemoryLog, Record, RecoveredLog, SegmentedLog,
};

use crate::script::Script;
use crate::seal::{self, DATA_START, SEGMENT_HEADER};
use crate::within;

const GROUPS: [GroupId; 3] = [GroupId(0), GroupId(1), GroupId(65)];
/// More steps are no other story.
const STEPS_MAX: usize = 60;

type Log = SegmentedLog<MemoryDisk>;

/// The first byte chooses: segments as bytes, the same with their checksums made right, or a history
/// of writes and faults.
pub(crate) fn run(data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    match first % 3 {
        0 => segments(Script(input), false),
        1 => segments(Script(input), true),
        _ => History::new(Script(input)).run(),
    }
}

/// Small enough that segments fill up.
pub(crate) fn options() -> LogOptions {
    LogOptions::default()
        .segment_bytes(12 << 10)
        .step_bytes(2 << 10)
        .salt(7)
}

/// A segment as it stands in an input: its header without the zeros, what is behind them.
pub(crate) fn compact(segment: &[u8]) -> Vec<u8> {
    let end = segment.iter().rposition(|byte| *byte != 0);
    let data = segment.get(DATA_START..=end.unwrap_or(0).max(DATA_START));
    let bytes = [&segment[..SEGMENT_HEADER], data.unwrap_or_default()].concat();
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], &bytes].concat()
}

fn segments(mut script: Script<'_>, sealed: bool) {
    let disk = MemoryDisk::new(1);
    let mut total = 0;
    for id in 1..=3 {
        let bytes = script.bytes((1 << 16) - 2);
        let (header, data) = bytes.split_at(bytes.len().min(SEGMENT_HEADER));
        let mut segment = header.to_vec();
        segment.resize(DATA_START, 0);
        segment.extend_from_slice(data);
        segment.resize(segment.len().next_multiple_of(512), 0);
        if sealed {
            seal::segment(&mut segment, id);
        }
        total += segment.len();
        put_file(&disk, &format!("{id:010}.log"), &segment);
        if script.is_empty() {
            break;
        }
    }
    let inspected = within((1 << 20) + 16 * total, || SegmentedLog::inspect(&disk));
    let opened = within((1 << 20) + 16 * total, || {
        Log::open(disk.clone(), options())
    });
    assert_eq!(inspected.is_ok(), opened.is_ok(), "two opinions");
    let mut log = match opened {
        Ok(log) => log,
        Err(error) => return explained(&error),
    };
    read_everything(&mut log, total);
    let ops = vec![put(1, 1, b"after")];
    let written = log.write(&[GroupWrite {
        group: GroupId(7),
        ops,
    }]);
    drop(log);
    if written.is_ok() {
        let log = Log::open(disk, options());
        let there = log.map(|log| log.recovered(GroupId(7)).records.len());
        assert_eq!(there.ok(), Some(1), "what was written into it is lost");
    }
}

fn read_everything(log: &mut Log, total: usize) {
    for group in log.groups() {
        for (index, epoch, kind) in log.recovered(group).records {
            let read = within((1 << 16) + 8 * total, || log.read(group, index, index, 0));
            match read {
                Ok(LogRead::Records(records)) => {
                    let found = records.first();
                    let found = found.map(|record| (record.index, record.epoch, record.kind));
                    assert_eq!(found, Some((index, epoch, kind)));
                }
                Ok(LogRead::Corrupt) => {}
                other => panic!("{group} at {index}, which is there: {other:?}"),
            }
        }
    }
}

/// What happened, to what, and what to do.
fn explained(error: &LogError) {
    let text = error.to_string();
    assert!(text.contains(".log\""), "which file? {text}");
    let advice = ["Restore", "Put it back", "start the", "Look at the disk"];
    assert!(advice.iter().any(|advice| text.contains(advice)), "{text}");
}

fn put_file(disk: &MemoryDisk, name: &str, bytes: &[u8]) {
    let written = disk.create(name).and_then(|file| {
        file.write_at(&mut [IoSlice::new(bytes)], 0)?;
        file.sync_data()?;
        disk.sync_dir()
    });
    assert!(written.is_ok(), "a disk in memory");
}

fn put(index: u64, round: u64, payload: &[u8]) -> LogOp {
    LogOp::Put(Record {
        index,
        epoch: Epoch { round, node: 0 },
        kind: (round % 3) as u8,
        payload: Bytes::copy_from_slice(payload),
    })
}

/// A log beside the plainest one there is.
struct History<'a> {
    script: Script<'a>,
    disk: MemoryDisk,
    model: MemoryLog,
    /// The model without the last write.
    before: MemoryLog,
    /// Everything that was ever written.
    records: BTreeSet<(u32, u64, Epoch, u8, Bytes)>,
    states: BTreeSet<(u32, Bytes)>,
    round: u64,
}

impl<'a> History<'a> {
    fn new(mut script: Script<'a>) -> Self {
        let seed = script.byte().into();
        History {
            script,
            disk: MemoryDisk::new(seed),
            model: MemoryLog::new(),
            before: MemoryLog::new(),
            records: BTreeSet::new(),
            states: BTreeSet::new(),
            round: 0,
        }
    }

    fn run(mut self) {
        let mut log = self.open();
        for _ in 0..STEPS_MAX {
            if self.script.is_empty() {
                break;
            }
            match self.script.below(16) {
                0..=8 => {
                    let writes = self.writes();
                    assert!(log.write(&writes).is_ok());
                    self.note(&writes);
                }
                9 => {
                    drop(log);
                    log = self.open();
                    self.same(&mut log);
                }
                10 | 11 => {
                    match self.script.below(2) {
                        0 => self.disk.kill(),
                        _ => self.disk.crash(),
                    }
                    drop(log);
                    log = self.open();
                    self.same(&mut log);
                }
                12 | 13 => log = self.fail(log),
                14 => return self.rot(log),
                _ => self.same(&mut log),
            }
        }
        drop(log);
        let mut log = self.open();
        self.same(&mut log);
    }

    fn open(&self) -> Log {
        match Log::open(self.disk.clone(), options()) {
            Ok(log) => log,
            Err(error) => panic!("an undamaged log: {error}"),
        }
    }

    fn writes(&mut self) -> Vec<GroupWrite> {
        let mut writes = Vec::new();
        for _ in 0..=self.script.below(3) {
            let group = GROUPS[self.script.below(3)];
            let log = self.model.recovered(group);
            let purged = log.purged.0;
            let mut last = log.records.last().map_or(purged, |(index, ..)| *index);
            let mut ops = Vec::new();
            for _ in 0..self.script.below(5) {
                let near = purged + 1 + self.script.below(8) as u64;
                ops.push(match self.script.below(12) {
                    0 => {
                        last = near.saturating_sub(1);
                        LogOp::TruncateFrom(near)
                    }
                    1 => {
                        let (index, epoch) = (near - 1, Epoch { round: 1, node: 0 });
                        last = last.max(index);
                        LogOp::PurgeTo { index, epoch }
                    }
                    2 => LogOp::HardState(Bytes::copy_from_slice(self.script.bytes(30))),
                    3 => self.put(near),
                    _ => {
                        last += 1;
                        self.put(last)
                    }
                });
            }
            writes.push(GroupWrite { group, ops });
        }
        writes
    }

    /// A record that has never been written before.
    fn put(&mut self, index: u64) -> LogOp {
        self.round += 1;
        let mut payload = self.script.bytes(20).to_vec();
        if self.script.below(8) == 7 {
            payload.resize(3000, b'x');
        }
        put(index, self.round, &payload)
    }

    /// Notes what may be found from now on.
    fn note(&mut self, writes: &[GroupWrite]) {
        self.before = self.model.clone();
        for write in writes {
            for op in &write.ops {
                self.model.apply(write.group, op);
                let group = write.group.0;
                match op {
                    LogOp::Put(r) => {
                        let record = (group, r.index, r.epoch, r.kind, r.payload.clone());
                        self.records.insert(record);
                    }
                    LogOp::HardState(state) => {
                        self.states.insert((group, state.clone()));
                    }
                    _ => {}
                }
            }
        }
    }

    /// A write that the disk lets down, and what is there afterwards: all of it or nothing.
    fn fail(&mut self, mut log: Log) -> Log {
        let writes = self.writes();
        let after = self.script.below(4) as u64;
        let used: usize = self
            .disk
            .names()
            .iter()
            .map(|n| self.disk.contents(n).len())
            .sum();
        match self.script.below(4) {
            0 => self.disk.fail_write(after),
            1 => self.disk.fail_sync(after),
            2 => self.disk.limit(Some(used as u64 + after * 700)),
            _ => self.disk.cut_power(after),
        }
        let done = log.write(&writes);
        self.note(&writes);
        if done.is_err() {
            let again = log.write(&[GroupWrite {
                group: GROUPS[0],
                ops: vec![LogOp::TruncateFrom(1)],
            }]);
            assert!(again.is_err(), "it goes on after a failure");
        }
        match self.script.below(2) {
            0 => self.disk.kill(),
            _ => self.disk.crash(),
        }
        self.disk.limit(None);
        self.disk.calm();
        drop(log);
        let mut log = self.open();
        if done.is_err() && !agrees(&mut log, &self.model) {
            self.model = self.before.clone();
        }
        self.same(&mut log);
        log
    }

    fn same(&self, log: &mut Log) {
        for group in GROUPS {
            let (found, expected) = (log.recovered(group), self.model.recovered(group));
            assert_eq!(found, expected, "{group}");
        }
        assert!(
            agrees(log, &self.model),
            "what is read is not what was written"
        );
    }

    /// Damages a file, and opens what is left.
    fn rot(mut self, log: Log) {
        let closed = self.script.below(2) == 0;
        if closed {
            drop(log);
            drop(self.open());
        } else {
            self.disk.kill();
            drop(log);
        }
        let names: Vec<String> = self.disk.names();
        let names: Vec<String> = names.into_iter().filter(|n| n.ends_with(".log")).collect();
        let victim = self.script.below(names.len().max(1));
        let rotten = MemoryDisk::new(2);
        // The same length and only a few bytes other than they were: what a disk does by itself.
        let mut mild = true;
        for (nth, name) in names.iter().enumerate() {
            let whole = self.disk.contents(name);
            let mut bytes = whole.clone();
            if nth == victim {
                match self.script.below(8) {
                    0 => {
                        mild = false;
                        continue;
                    }
                    _ => self.script.damage(&mut bytes),
                }
                mild &= bytes.len() == whole.len();
            }
            put_file(&rotten, name, &bytes);
        }
        let inspected = SegmentedLog::inspect(&rotten);
        let held: Vec<_> = names.iter().map(|name| rotten.contents(name)).collect();
        let mut log = match Log::open(rotten.clone(), options()) {
            Ok(log) => log,
            Err(error) => {
                assert!(inspected.is_err(), "inspect finds nothing wrong: {error}");
                let unchanged = names.iter().zip(held);
                for (name, held) in unchanged {
                    assert_eq!(rotten.contents(name), held, "a refusal changed {name}");
                }
                return explained(&error);
            }
        };
        let Ok(report) = inspected else {
            panic!("inspect cannot read what can be opened");
        };
        for (group, found) in report.groups {
            assert_eq!(found, log.recovered(group), "inspect and open differ");
        }
        let lost: Vec<GroupId> = (GROUPS.into_iter())
            .filter(|group| log.recovered(*group).damaged)
            .collect();
        for group in GROUPS {
            self.only_what_was_written(&mut log, group);
            let whole = |model: &MemoryLog| log.recovered(group) == model.recovered(group);
            let silent = !lost.contains(&group) && mild;
            // Rot in the highest batch of a log that was not closed looks like a torn write.
            let fine = whole(&self.model) || whole(&self.before);
            assert!(!silent || fine, "{group} lost something and does not know");
        }
        drop(log);
        let again = Log::open(rotten, options());
        assert!(again.is_ok_and(|log| lost.iter().all(|group| log.recovered(*group).damaged)));
    }

    fn only_what_was_written(&self, log: &mut Log, group: GroupId) {
        let RecoveredLog {
            hard_state,
            records,
            ..
        } = log.recovered(group);
        if let Some(state) = hard_state {
            assert!(self.states.contains(&(group.0, state)), "a made-up state");
        }
        for (index, ..) in records {
            let Ok(LogRead::Records(found)) = log.read(group, index, index, 0) else {
                continue;
            };
            for r in found {
                let record = (group.0, r.index, r.epoch, r.kind, r.payload);
                assert!(self.records.contains(&record), "a made-up record");
            }
        }
    }
}

/// Whether everything is, and reads, as the model has it.
fn agrees(log: &mut Log, model: &MemoryLog) -> bool {
    let mut model = model.clone();
    GROUPS.into_iter().all(|group| {
        let expected = model.recovered(group);
        log.recovered(group) == expected
            && expected.records.iter().all(|(index, ..)| {
                let found = log.read(group, *index, *index, 0).ok();
                let expected = model.read(group, *index, *index, 0).ok();
                found.is_some() && found == expected
            })
    })
}
