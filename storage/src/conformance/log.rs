//! What every [`LogStore`] must do while nothing fails.
//!
//! A case takes a function that makes a new [`Place`], where a store can be opened, dropped and
//! opened again.

use bytes::Bytes;

use super::workload::{
    GROUPS, Writer, epoch, failed, hard_state, purge, put, read_all, record, same, write,
};
use super::{Failure, Outcome, ensure, ensure_eq};
use crate::log::{
    GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryLog, RecoveredLog,
};

/// Expands to one `#[test]` per case. The expression makes a new [`Place`](crate::conformance::log::Place):
/// most simply a closure that opens the store.
///
/// ```text
/// mod my_log {
///     storage::log_store_suite!({
///         let directory = tempfile::tempdir().unwrap();
///         move || MyLog::open(directory.path())
///     });
/// }
/// ```
#[macro_export]
macro_rules! log_store_suite {
    ($new:expr) => {
        $crate::__log_cases!(__tests, log, $new);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log_cases {
    ($then:ident, $($arguments:tt)+) => {
        $crate::$then! {
            ($($arguments)+)
            a_new_log_is_empty
            records_are_read_as_they_were_written
            records_are_there_after_opening_again
            hard_state_can_be_written_alone
            the_last_hard_state_counts
            a_slot_can_be_overwritten
            holes_stay_and_can_be_filled
            truncation_drops_the_tail_for_good
            truncated_records_can_be_written_anew
            purging_drops_the_head_and_keeps_the_epoch
            purging_never_goes_back
            purging_past_the_end_starts_anew
            operations_of_a_write_happen_in_order
            groups_are_apart
            groups_are_listed
            groups_written_together_share_one_sync
            every_write_is_synced
            writing_nothing_costs_nothing
            reading_keeps_to_its_bounds
            reading_stops_at_a_hole
            large_payloads_come_back
            many_records_come_back
            random_writes_match_a_model
        }
    };
}

/// Runs every case on places made by `new`.
///
/// # Errors
/// The first case that fails.
pub fn run_all<P: Place>(mut new: impl FnMut() -> P) -> Result<(), Failure> {
    crate::__log_cases!(__run, &mut new)
}

/// Somewhere a store can be opened, dropped, and opened again: a directory, say.
pub trait Place {
    /// The store.
    type Store: LogStore;

    /// Opens the store with what was written here before.
    ///
    /// # Errors
    /// Whatever the store says; the case then fails.
    fn open(&mut self) -> Result<Self::Store, LogError>;
}

impl<S: LogStore, F: FnMut() -> Result<S, LogError>> Place for F {
    type Store = S;

    fn open(&mut self) -> Result<S, LogError> {
        self()
    }
}

const A: GroupId = GroupId(1);
const B: GroupId = GroupId(2);

fn open<P: Place>(place: &mut P) -> Result<P::Store, String> {
    place.open().map_err(failed)
}

fn indexes(log: &RecoveredLog) -> Vec<u64> {
    log.records.iter().map(|(index, _, _)| *index).collect()
}

fn rounds(log: &RecoveredLog) -> Vec<u64> {
    log.records
        .iter()
        .map(|(_, epoch, _)| epoch.round)
        .collect()
}

/// Nothing is recovered from it.
pub fn a_new_log_is_empty<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut store = open(&mut new())?;
    ensure_eq!(store.groups(), vec![], "groups");
    ensure_eq!(store.recovered(A), RecoveredLog::default(), "recovered");
    let read = store.read(A, 1, 10, 1_000).map_err(failed)?;
    ensure_eq!(read, LogRead::Missing, "read");
    Ok(())
}

/// Index, epoch, kind and payload, an empty one too.
pub fn records_are_read_as_they_were_written<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut store = open(&mut new())?;
    let mut records = vec![
        record(1, 1, "one"),
        record(2, 1, ""),
        record(3, 9, vec![0; 777]),
    ];
    records.extend((4..=255).map(|index| record(index, index * index, vec![index as u8; 20])));
    let ops: Vec<_> = records.iter().cloned().map(LogOp::Put).collect();
    write(&mut store, A, ops)?;
    let read = store.read(A, 1, 255, usize::MAX).map_err(failed)?;
    ensure_eq!(read, LogRead::Records(records), "read");
    Ok(())
}

/// All of it, after one reopening and after two.
pub fn records_are_there_after_opening_again<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut model = MemoryLog::new();
    let mut store = open(&mut place)?;
    for index in 1..=40 {
        let ops = vec![put(index, index / 7), hard_state("state")];
        ops.iter().for_each(|op| model.apply(A, op));
        write(&mut store, A, ops)?;
    }
    for _ in 0..2 {
        drop(store);
        store = open(&mut place)?;
        same(&mut store, &model, A)?;
    }
    Ok(())
}

/// Without any record.
pub fn hard_state_can_be_written_alone<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(&mut store, A, [hard_state("vote")])?;
    let expected = RecoveredLog {
        hard_state: Some(Bytes::from_static(b"vote")),
        ..RecoveredLog::default()
    };
    ensure_eq!(store.recovered(A), expected, "at once");
    drop(store);
    ensure_eq!(
        open(&mut place)?.recovered(A),
        expected,
        "after opening again"
    );
    Ok(())
}

/// However many there were, an empty one included.
pub fn the_last_hard_state_counts<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    for text in ["first", "a second, longer one", "3", ""] {
        let mut store = open(&mut place)?;
        write(&mut store, A, [hard_state("overwritten"), hard_state(text)])?;
        drop(store);
        let found = open(&mut place)?.recovered(A).hard_state;
        ensure_eq!(
            found,
            Some(Bytes::from_static(text.as_bytes())),
            "hard state"
        );
    }
    Ok(())
}

/// Its neighbours, those above included, stay: Paxos accepts anew in one slot.
pub fn a_slot_can_be_overwritten<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(&mut store, A, [put(1, 1), put(2, 1), put(3, 1)])?;
    write(&mut store, A, [put(2, 5)])?;
    for _ in 0..2 {
        ensure_eq!(rounds(&store.recovered(A)), [1, 5, 1], "rounds");
        let found = read_all(&mut store, A)?;
        let second = found.get(1).map(|record| record.payload.clone());
        ensure_eq!(second, Some(Bytes::from_static(b"2@5")), "the payload");
        drop(store);
        store = open(&mut place)?;
    }
    Ok(())
}

/// In any order; an index far away is no problem.
pub fn holes_stay_and_can_be_filled<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    let far = 1 << 60;
    write(&mut store, A, [put(2, 1), put(9, 1), put(far, 1)])?;
    drop(store);
    let mut store = open(&mut place)?;
    ensure_eq!(indexes(&store.recovered(A)), [2, 9, far], "with holes");
    write(&mut store, A, [put(5, 2), put(1, 3), put(8, 2)])?;
    drop(store);
    let mut store = open(&mut place)?;
    ensure_eq!(
        indexes(&store.recovered(A)),
        [1, 2, 5, 8, 9, far],
        "some filled"
    );
    ensure_eq!(read_all(&mut store, A)?.len(), 6, "readable records");
    Ok(())
}

/// Also after opening again; where there is no tail, nothing happens.
pub fn truncation_drops_the_tail_for_good<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(
        &mut store,
        A,
        (1..=10).map(|index| put(index, 1)).collect::<Vec<_>>(),
    )?;
    write(&mut store, A, [LogOp::TruncateFrom(11)])?;
    ensure_eq!(
        indexes(&store.recovered(A)).len(),
        10,
        "records after truncating behind the end"
    );
    write(&mut store, A, [LogOp::TruncateFrom(4)])?;
    for _ in 0..2 {
        ensure_eq!(indexes(&store.recovered(A)), [1, 2, 3], "records");
        let read = store.read(A, 4, 10, 1_000).map_err(failed)?;
        ensure_eq!(read, LogRead::Missing, "a truncated record");
        drop(store);
        store = open(&mut place)?;
    }
    write(&mut store, A, [LogOp::TruncateFrom(0)])?;
    drop(store);
    let left = open(&mut place)?.recovered(A);
    ensure_eq!(indexes(&left), [0; 0], "records after truncating all");
    Ok(())
}

/// And the old ones do not shine through, not even where fewer were written anew.
pub fn truncated_records_can_be_written_anew<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(
        &mut store,
        A,
        (1..=9).map(|index| put(index, 1)).collect::<Vec<_>>(),
    )?;
    write(
        &mut store,
        A,
        [LogOp::TruncateFrom(3), put(3, 2), put(4, 2)],
    )?;
    for _ in 0..2 {
        ensure_eq!(indexes(&store.recovered(A)), [1, 2, 3, 4], "indexes");
        ensure_eq!(rounds(&store.recovered(A)), [1, 1, 2, 2], "rounds");
        drop(store);
        store = open(&mut place)?;
    }
    Ok(())
}

/// The epoch is that of the purge, whatever record stood there.
pub fn purging_drops_the_head_and_keeps_the_epoch<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(
        &mut store,
        A,
        (1..=6).map(|index| put(index, 1)).collect::<Vec<_>>(),
    )?;
    write(&mut store, A, [purge(4, 1)])?;
    for _ in 0..2 {
        let log = store.recovered(A);
        ensure_eq!(log.purged, (4, epoch(1)), "purged");
        ensure_eq!(indexes(&log), [5, 6], "records");
        let read = store.read(A, 4, 6, 1_000).map_err(failed)?;
        ensure_eq!(read, LogRead::Purged, "a purged record");
        drop(store);
        store = open(&mut place)?;
    }
    Ok(())
}

/// A purge below the purged index does nothing; nor does a record put there, or a truncation.
pub fn purging_never_goes_back<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(&mut store, A, [put(7, 2), put(8, 2), purge(7, 2)])?;
    write(&mut store, A, [purge(3, 1), put(5, 3), put(7, 3)])?;
    drop(store);
    let mut store = open(&mut place)?;
    let log = store.recovered(A);
    ensure_eq!(
        (log.purged, indexes(&log)),
        ((7, epoch(2)), vec![8]),
        "after going back"
    );
    write(&mut store, A, [LogOp::TruncateFrom(2)])?;
    let log = store.recovered(A);
    ensure_eq!(
        (log.purged, indexes(&log)),
        ((7, epoch(2)), vec![]),
        "after truncating all"
    );
    Ok(())
}

/// As after a snapshot from a leader that is far ahead.
pub fn purging_past_the_end_starts_anew<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(&mut store, A, [put(1, 1), put(2, 1)])?;
    write(&mut store, A, [purge(1_000, 8), put(1_001, 8)])?;
    drop(store);
    let log = open(&mut place)?.recovered(A);
    ensure_eq!(
        (log.purged, indexes(&log)),
        ((1_000, epoch(8)), vec![1_001]),
        "the log"
    );
    Ok(())
}

/// Each sees what the ones before it did.
pub fn operations_of_a_write_happen_in_order<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    let ops = vec![
        put(1, 1),
        put(2, 1),
        LogOp::TruncateFrom(2),
        put(2, 2),
        hard_state("early"),
        put(3, 2),
        purge(1, 1),
        LogOp::TruncateFrom(3),
        hard_state("late"),
    ];
    let mut model = MemoryLog::new();
    ops.iter().for_each(|op| model.apply(A, op));
    write(&mut store, A, ops)?;
    same(&mut store, &model, A)?;
    drop(store);
    same(&mut open(&mut place)?, &model, A)
}

/// What one does, the other does not see.
pub fn groups_are_apart<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    write(&mut store, A, [put(1, 1), put(2, 1), hard_state("of a")])?;
    write(&mut store, B, [put(1, 7), put(2, 7), put(3, 7)])?;
    write(&mut store, A, [LogOp::TruncateFrom(1)])?;
    write(&mut store, B, [purge(1, 7)])?;
    drop(store);
    let store = open(&mut place)?;
    let (a, b) = (store.recovered(A), store.recovered(B));
    ensure_eq!((indexes(&a), a.purged.0), (vec![], 0), "the first group");
    ensure_eq!(
        (indexes(&b), b.hard_state),
        (vec![2, 3], None),
        "the second group"
    );
    Ok(())
}

/// Those that ever wrote, ascending.
pub fn groups_are_listed<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    let ids = [70_000, 3, 0].map(GroupId);
    for id in ids {
        write(&mut store, id, [hard_state("here")])?;
    }
    for _ in 0..2 {
        ensure_eq!(store.groups(), [0, 3, 70_000].map(GroupId), "groups");
        drop(store);
        store = open(&mut place)?;
    }
    Ok(())
}

/// The whole point of one store for all groups.
pub fn groups_written_together_share_one_sync<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut store = open(&mut new())?;
    write(&mut store, A, [put(1, 1)])?;
    let before = store.fsyncs();
    let writes: Vec<_> = (0..50)
        .map(|group| GroupWrite {
            group: GroupId(group),
            ops: vec![put(2, 1), put(3, 1), hard_state("state")],
        })
        .collect();
    store.write(&writes).map_err(failed)?;
    ensure_eq!(store.fsyncs() - before, 1, "syncs for fifty groups");
    Ok(())
}

/// Before it is reported.
pub fn every_write_is_synced<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut store = open(&mut new())?;
    for index in 1..=20 {
        let before = store.fsyncs();
        let op = if index % 2 == 0 {
            put(index, 1)
        } else {
            LogOp::TruncateFrom(index)
        };
        write(&mut store, A, [op])?;
        ensure!(
            store.fsyncs() > before,
            "write {index} was reported without a sync"
        );
    }
    Ok(())
}

/// Neither without groups nor with groups that have nothing to write.
pub fn writing_nothing_costs_nothing<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut store = open(&mut new())?;
    let before = store.fsyncs();
    store.write(&[]).map_err(failed)?;
    write(&mut store, A, [])?;
    ensure_eq!(store.fsyncs(), before, "syncs for nothing");
    Ok(())
}

/// `to` is included; the size is a limit, but never for the first record.
pub fn reading_keeps_to_its_bounds<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut store = open(&mut new())?;
    let ops: Vec<_> = (1..=20)
        .map(|index| LogOp::Put(record(index, 1, vec![0; 100])))
        .collect();
    write(&mut store, A, ops)?;
    let mut count = |from, to, max_bytes| match store.read(A, from, to, max_bytes) {
        Ok(LogRead::Records(records)) => records
            .iter()
            .zip(from..)
            .all(|(record, index)| record.index == index)
            .then_some(records.len()),
        _ => None,
    };
    ensure_eq!(count(3, 5, 10_000), Some(3), "records from 3 to 5");
    ensure_eq!(count(3, 3, 10_000), Some(1), "records from 3 to 3");
    ensure_eq!(
        count(15, 99, 10_000),
        Some(6),
        "records from 15 to behind the end"
    );
    ensure_eq!(count(1, 20, 0), Some(1), "records in no bytes at all");
    let some = count(1, 20, 500).unwrap_or(0);
    ensure!(
        (4..=6).contains(&some),
        "{some} records of 100 bytes in about 500"
    );
    let read = store.read(A, 21, 30, 100).map_err(failed)?;
    ensure_eq!(read, LogRead::Missing, "behind the end");
    Ok(())
}

/// In front of it; in it there is nothing.
pub fn reading_stops_at_a_hole<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut store = open(&mut new())?;
    write(&mut store, A, [put(1, 1), put(2, 1), put(4, 1)])?;
    match store.read(A, 1, 9, 10_000).map_err(failed)? {
        LogRead::Records(records) => ensure_eq!(records.len(), 2, "records in front of the hole"),
        other => return Err(format!("{other:?} in front of the hole")),
    }
    let read = store.read(A, 3, 9, 10_000).map_err(failed)?;
    ensure_eq!(read, LogRead::Missing, "in the hole");
    Ok(())
}

/// 1 MiB and 32 MiB, alone and together.
pub fn large_payloads_come_back<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    let large = |byte: u8, length| {
        let pattern = (0..length).map(|at| byte ^ (at % 251) as u8);
        Bytes::from(pattern.collect::<Vec<_>>())
    };
    let (some, more) = (large(1, 1 << 20), large(2, 32 << 20));
    write(&mut store, A, [LogOp::Put(record(1, 1, more.clone()))])?;
    let both = [record(2, 1, some.clone()), record(3, 1, more.clone())];
    write(&mut store, A, both.map(LogOp::Put))?;
    write(&mut store, A, [put(4, 1)])?;
    for _ in 0..2 {
        let read = store.read(A, 1, 4, usize::MAX).map_err(failed)?;
        let LogRead::Records(records) = read else {
            return Err("large records cannot be read".to_owned());
        };
        let expected = [&more, &some, &more];
        ensure_eq!(records.len(), 4, "records");
        ensure!(
            records
                .iter()
                .zip(expected)
                .all(|(found, expected)| found.payload == expected),
            "a large payload came back different"
        );
        drop(store);
        store = open(&mut place)?;
    }
    Ok(())
}

/// Ten thousand, a hundred per write, purged as they come.
pub fn many_records_come_back<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    let mut place = new();
    let mut store = open(&mut place)?;
    let mut model = MemoryLog::new();
    for batch in 0..100 {
        let puts = (1..=100).map(|n| put(batch * 100 + n, batch));
        let head = batch * 80;
        let ops: Vec<_> = puts.chain([purge(head, head / 100)]).collect();
        ops.iter().for_each(|op| model.apply(A, op));
        write(&mut store, A, ops)?;
    }
    same(&mut store, &model, A)?;
    drop(store);
    same(&mut open(&mut place)?, &model, A)
}

/// Of several groups, with reopenings in between.
pub fn random_writes_match_a_model<P: Place>(new: &mut dyn FnMut() -> P) -> Outcome {
    for seed in 0..4 {
        let mut place = new();
        let mut writer = Writer::new(seed, 3_000);
        let mut model = MemoryLog::new();
        for _ in 0..5 {
            let mut store = open(&mut place)?;
            for group in GROUPS {
                same(&mut store, &model, group).map_err(|what| format!("seed {seed}: {what}"))?;
            }
            for _ in 0..60 {
                let writes = writer.next(&model);
                model.write(&writes).map_err(failed)?;
                store.write(&writes).map_err(failed)?;
            }
        }
    }
    Ok(())
}
