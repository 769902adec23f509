//! What a [`LogStore`] that lives on a [`Disk`](crate::Disk) must do when things fail.
//!
//! A case takes a function that makes an opener, which opens the store on a given [`MemoryDisk`]. The
//! disk loses power, tears writes and fails syncs; what the store then recovers is compared with a
//! model: everything acknowledged is there, in order; of what was under way each group has a prefix;
//! nothing that was truncated or purged comes back.

use std::ops::Range;

use super::workload::{GROUPS, Writer, failed, hard_state, prefixes, put, same, write};
use super::{Failure, Outcome, clip, ensure, ensure_eq};
use crate::disk::MemoryDisk;
use crate::log::{GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryLog};

/// Expands to one `#[test]` per case. The expression makes a function that opens the store on a
/// given disk.
///
/// ```text
/// mod my_log_crashes {
///     storage::log_crash_suite!(|disk| MyLog::open(disk));
/// }
/// ```
#[macro_export]
macro_rules! log_crash_suite {
    ($new:expr) => {
        $crate::__crash_cases!(__tests, crash, $new);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __crash_cases {
    ($then:ident, $($arguments:tt)+) => {
        $crate::$then! {
            ($($arguments)+)
            a_log_is_open_only_once
            what_was_acknowledged_survives_power_loss
            a_crash_at_any_operation_loses_nothing
            what_was_recovered_survives_the_next_crash
            a_failed_sync_poisons
            a_failed_write_poisons
            a_failed_sync_is_not_healed_by_the_next
            unreadable_records_are_told_from_missing_ones
            flipped_bits_are_never_read_as_data
            random_histories_lose_nothing
        }
    };
}

/// Runs every case with openers made by `new`.
///
/// # Errors
/// The first case that fails.
pub fn run_all<O: Opener>(mut new: impl FnMut() -> O) -> Result<(), Failure> {
    crate::__crash_cases!(__run, &mut new)
}

/// Opens a store on a disk, with whatever is on it.
pub trait Opener {
    /// The store.
    type Store: LogStore;

    /// Opens it.
    ///
    /// # Errors
    /// Whatever the store says.
    fn open(&mut self, disk: MemoryDisk) -> Result<Self::Store, LogError>;
}

impl<S: LogStore, F: FnMut(MemoryDisk) -> Result<S, LogError>> Opener for F {
    type Store = S;

    fn open(&mut self, disk: MemoryDisk) -> Result<S, LogError> {
        self(disk)
    }
}

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);

fn open<O: Opener>(opener: &mut O, disk: &MemoryDisk) -> Result<O::Store, String> {
    opener.open(disk.clone()).map_err(failed)
}

fn matches<S: LogStore>(store: &mut S, model: &MemoryLog, groups: &[GroupId]) -> Outcome {
    groups
        .iter()
        .try_for_each(|group| same(store, model, *group))
}

/// Two processes on one directory would destroy it.
pub fn a_log_is_open_only_once<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    let (mut opener, disk) = (new(), MemoryDisk::new(1));
    let mut store = open(&mut opener, &disk)?;
    write(&mut store, A, [put(1, 1)])?;
    match opener.open(disk.clone()) {
        Err(LogError::Locked { .. }) => {}
        Err(other) => return Err(format!("opened twice: {other}")),
        Ok(_) => return Err("the same log was opened twice".to_owned()),
    }
    write(&mut store, A, [put(2, 1)])?;
    drop(store);
    let again = open(&mut opener, &disk)?;
    ensure_eq!(again.recovered(A).records.len(), 2, "records");
    Ok(())
}

/// Whatever the disk does with what was not synced.
pub fn what_was_acknowledged_survives_power_loss<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    for seed in 0..20 {
        let (mut opener, disk) = (new(), MemoryDisk::new(seed));
        let mut model = MemoryLog::new();
        for index in 1..=5 {
            let mut store = open(&mut opener, &disk)?;
            let writes = [A, B].map(|group| GroupWrite {
                group,
                ops: vec![put(index, seed), hard_state("state")],
            });
            store.write(&writes).map_err(failed)?;
            model.write(&writes).map_err(failed)?;
            disk.crash();
            drop(store);
        }
        matches(&mut open(&mut opener, &disk)?, &model, &[A, B])?;
    }
    Ok(())
}

/// One history, interrupted at each of its disk operations in turn: each write, sync, creation,
/// renaming.
pub fn a_crash_at_any_operation_loses_nothing<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    for (kind, place) in [MemoryDisk::fail_write, MemoryDisk::fail_sync]
        .into_iter()
        .enumerate()
    {
        for after in 0..10_000 {
            let seed = after * 2 + kind as u64;
            let (mut opener, disk) = (new(), MemoryDisk::new(seed));
            let mut history = History::new(seed, 400);
            history.continue_with(&mut opener, &disk, 4)?;
            disk.kill();
            place(&disk, after);
            let interrupted = history.continue_with(&mut opener, &disk, 12)?;
            disk.crash();
            history
                .check(&mut opener, &disk)
                .map_err(|what| format!("interrupted at {after}: {what}"))?;
            if !interrupted {
                break;
            }
        }
    }
    Ok(())
}

/// A process that is killed leaves writes in the page cache; what the next one says it has found
/// must be durable.
pub fn what_was_recovered_survives_the_next_crash<O: Opener>(
    new: &mut dyn FnMut() -> O,
) -> Outcome {
    for seed in 0..60 {
        let (mut opener, disk) = (new(), MemoryDisk::new(seed));
        let mut store = open(&mut opener, &disk)?;
        write(&mut store, A, [put(1, 1), hard_state("one")])?;
        // The write is there for readers, the sync does not come to pass.
        disk.fail_sync(0);
        let failed = write(&mut store, A, [put(2, 1), hard_state("two")]).is_err();
        ensure!(failed, "seed {seed}: a failed sync was not reported");
        disk.kill();
        drop(store);
        let found = open(&mut opener, &disk)?.recovered(A);
        disk.crash();
        let left = open(&mut opener, &disk)?.recovered(A);
        ensure_eq!(left, found, "seed {seed}: recovered after the second crash");
    }
    Ok(())
}

/// Nothing works any more, and what was acknowledged before is still there.
pub fn a_failed_sync_poisons<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    poisons(new, MemoryDisk::fail_sync)
}

/// Likewise.
pub fn a_failed_write_poisons<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    poisons(new, MemoryDisk::fail_write)
}

fn poisons<O: Opener>(new: &mut dyn FnMut() -> O, fail: fn(&MemoryDisk, u64)) -> Outcome {
    let (mut opener, disk) = (new(), MemoryDisk::new(3));
    let mut store = open(&mut opener, &disk)?;
    write(&mut store, A, [put(1, 1)])?;
    fail(&disk, 0);
    ensure!(
        write(&mut store, A, [put(2, 1)]).is_err(),
        "the failure was not reported"
    );
    let synced = store.fsyncs();
    ensure!(
        write(&mut store, A, [put(2, 1)]).is_err(),
        "it wrote again after a failure"
    );
    ensure!(
        write(&mut store, B, [put(1, 1)]).is_err(),
        "it wrote for another group"
    );
    ensure!(store.read(A, 1, 1, 10).is_err(), "it read after a failure");
    ensure_eq!(store.fsyncs(), synced, "syncs after the failure");
    disk.crash();
    drop(store);
    let left = open(&mut opener, &disk)?.recovered(A).records;
    ensure_eq!(
        left.first().map(|(index, _, _)| *index),
        Some(1),
        "the record before"
    );
    Ok(())
}

/// After a failed sync the kernel takes pages for clean that the disk never got. A store that is
/// opened again in the same boot must not count on them.
pub fn a_failed_sync_is_not_healed_by_the_next<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    for seed in 0..60 {
        let (mut opener, disk) = (new(), MemoryDisk::new(seed));
        let mut history = History::new(seed, 400);
        history.continue_with(&mut opener, &disk, 5)?;
        disk.kill();
        disk.fail_sync(8);
        history.continue_with(&mut opener, &disk, 20)?;
        disk.kill();
        history.check(&mut opener, &disk)?;
        history.continue_with(&mut opener, &disk, 5)?;
        disk.crash();
        history
            .check(&mut opener, &disk)
            .map_err(|what| format!("seed {seed}: {what}"))?;
    }
    Ok(())
}

/// A record whose bytes have changed is there and corrupt, not missing and not returned.
pub fn unreadable_records_are_told_from_missing_ones<O: Opener>(
    new: &mut dyn FnMut() -> O,
) -> Outcome {
    let (mut opener, disk) = (new(), MemoryDisk::new(5));
    let mut store = open(&mut opener, &disk)?;
    let needle = b"this very payload stands nowhere else";
    let mut target = put(2, 1);
    if let LogOp::Put(record) = &mut target {
        record.payload = needle.to_vec().into();
    }
    write(&mut store, A, [put(1, 1), target, put(3, 1)])?;
    write(&mut store, A, [put(4, 1)])?;
    let mut changed = 0;
    for name in disk.names() {
        let contents = disk.contents(&name);
        let places = contents.windows(needle.len()).enumerate();
        for (at, _) in places.filter(|(_, bytes)| bytes == needle) {
            disk.flip(&name, at as u64 + 5, 3);
            changed += 1;
        }
    }
    ensure!(
        changed > 0,
        "the payload does not stand on the disk as it is"
    );
    for _ in 0..2 {
        let read = store.read(A, 2, 4, 1_000).map_err(failed)?;
        ensure_eq!(read, LogRead::Corrupt, "the damaged record");
        match store.read(A, 1, 4, 1_000).map_err(failed)? {
            LogRead::Records(records) => ensure_eq!(records.len(), 1, "records before it"),
            other => return Err(format!("{other:?} before the damaged record")),
        }
        drop(store);
        store = open(&mut opener, &disk)?;
        let log = store.recovered(A);
        ensure!(
            log.damaged,
            "the group does not know of its damage after opening again"
        );
        ensure_eq!(log.records.len(), 4, "records that are known of");
    }
    Ok(())
}

/// One bit anywhere, in a log that was closed properly: either opening refuses, or every group that
/// does not call itself damaged has exactly what was written.
pub fn flipped_bits_are_never_read_as_data<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    for seed in 0..150 {
        let (mut opener, disk) = (new(), MemoryDisk::new(seed));
        let mut history = History::new(seed, 600);
        for _ in 0..3 {
            history.continue_with(&mut opener, &disk, 8)?;
        }
        drop(open(&mut opener, &disk)?);
        let sizes = disk.names().into_iter().map(|name| {
            let used = disk.contents(&name).iter().rposition(|byte| *byte != 0);
            (name, used.map_or(0, |last| last as u64 + 1))
        });
        let sizes: Vec<_> = sizes.collect();
        let total = sizes.iter().map(|(_, bytes)| bytes).sum();
        let mut at = history.writer.random.below(total);
        for (name, bytes) in &sizes {
            if at < *bytes {
                disk.flip(name, at, (seed % 8) as u8);
                break;
            }
            at -= bytes;
        }
        let Ok(mut store) = opener.open(disk.clone()) else {
            continue;
        };
        for group in GROUPS {
            undamaged_or_same(&mut store, &history.model, group)
                .map_err(|what| format!("seed {seed}, bit in byte {at}: {what}"))?;
        }
    }
    Ok(())
}

fn undamaged_or_same<S: LogStore>(store: &mut S, model: &MemoryLog, group: GroupId) -> Outcome {
    let log = store.recovered(group);
    if !log.damaged {
        return same(store, model, group);
    }
    for (index, _, _) in log.records {
        let LogRead::Records(found) = store.read(group, index, index, 1).map_err(failed)? else {
            continue;
        };
        // What was superseded may show again where what superseded it was lost; but never bytes
        // that nobody wrote. Kind and payload of a record follow from index and epoch.
        let expected = model.clone().read(group, index, index, 1).map_err(failed)?;
        if let (LogRead::Records(expected), Some(found)) = (expected, found.first()) {
            let same_epoch = expected
                .first()
                .filter(|record| record.epoch == found.epoch);
            ensure!(
                same_epoch.is_none_or(|expected| expected == found),
                "{group} at {index}: a record with other bytes than were written"
            );
        }
    }
    Ok(())
}

/// A hundred histories of several lives each, with every kind of end.
pub fn random_histories_lose_nothing<O: Opener>(new: &mut dyn FnMut() -> O) -> Outcome {
    histories(new, 0..100)
}

/// Random histories, one per seed: writes of several groups, an end (power loss, kill, failed write
/// or sync at any point, proper close), recovery, comparison, and again.
///
/// # Errors
/// What was lost, with the seed that reproduces it.
pub fn histories<O: Opener>(new: &mut dyn FnMut() -> O, seeds: Range<u64>) -> Outcome {
    for seed in seeds {
        random_history(&mut new(), seed).map_err(|what| format!("seed {seed}: {what}"))?;
    }
    Ok(())
}

fn random_history<O: Opener>(opener: &mut O, seed: u64) -> Outcome {
    let disk = MemoryDisk::new(seed);
    let mut history = History::new(seed, 5_000);
    for _ in 0..6 {
        match history.writer.random.below(3) {
            0 => disk.fail_write(history.writer.random.below(40)),
            1 => disk.fail_sync(history.writer.random.below(40)),
            _ => {}
        }
        let writes = history.writer.random.below(25);
        history.continue_with(opener, &disk, writes)?;
        match history.writer.random.below(3) {
            0 => disk.kill(),
            _ => disk.crash(),
        }
        if history.writer.random.below(3) == 0 {
            history.check(opener, &disk)?;
            disk.crash();
        }
    }
    history.check(opener, &disk)
}

/// What should be on a disk.
struct History {
    writer: Writer,
    /// What was acknowledged.
    model: MemoryLog,
    /// A write that failed: its fate shows at the next opening.
    pending: Vec<GroupWrite>,
}

impl History {
    fn new(seed: u64, payload_max: u64) -> Self {
        History {
            writer: Writer::new(seed, payload_max),
            model: MemoryLog::new(),
            pending: Vec::new(),
        }
    }

    /// Opens the store, checks it, writes, and drops it. Says whether a planned fault interrupted.
    fn continue_with<O: Opener>(
        &mut self,
        opener: &mut O,
        disk: &MemoryDisk,
        writes: u64,
    ) -> Result<bool, String> {
        let Ok(mut store) = opener.open(disk.clone()) else {
            return Ok(true);
        };
        self.settle(&mut store)?;
        for _ in 0..writes {
            let writes = self.writer.next(&self.model);
            if store.write(&writes).is_err() {
                self.pending = writes;
                ensure!(
                    store.write(&[]).is_err(),
                    "the store goes on after a failure"
                );
                return Ok(true);
            }
            self.model.write(&writes).map_err(failed)?;
        }
        matches(&mut store, &self.model, &GROUPS)?;
        // Half of the stores are not closed: what they would still write when dropped comes too late.
        if self.writer.random.below(2) == 0 {
            disk.kill();
        }
        drop(store);
        Ok(false)
    }

    /// Opens the store and compares; this opening must succeed.
    fn check<O: Opener>(&mut self, opener: &mut O, disk: &MemoryDisk) -> Outcome {
        let mut store = open(opener, disk)?;
        self.settle(&mut store)
    }

    /// Finds out what has become of the write that failed, and compares everything.
    fn settle<S: LogStore>(&mut self, store: &mut S) -> Outcome {
        let states = prefixes(&self.model, &std::mem::take(&mut self.pending));
        let mut settled = MemoryLog::new();
        for group in GROUPS {
            let state = states
                .iter()
                .find(|state| state.recovered(group) == store.recovered(group));
            let Some(state) = state else {
                let found = store.recovered(group);
                let acknowledged = states.first().map(|state| state.recovered(group));
                let (found, acknowledged) = (clip(&found), clip(&acknowledged));
                return Err(format!(
                    "{group}: found {found}, acknowledged {acknowledged}"
                ));
            };
            same(store, state, group)?;
            settled.adopt(group, state);
        }
        self.model = settled;
        Ok(())
    }
}
