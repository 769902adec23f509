//! Log stores that are broken in one way each, and the suites that must reject them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod naive;

use std::sync::{Arc, Mutex};

use naive::{Fault, NaiveLog};
use storage::conformance::{Outcome, crash, log};
use storage::{
    GroupId, GroupWrite, LogError, LogOp, LogRead, LogStore, MemoryDisk, MemoryLog, RecoveredLog,
};

/// A store that outlives its handles, and forgets or mistakes something on the way.
#[derive(Clone)]
struct Forgetful {
    kept: Arc<Mutex<MemoryLog>>,
    slip: Slip,
    synced: u64,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Slip {
    None,
    IgnoresTruncation,
    TruncatesOnOverwrite,
    MixesGroupsUp,
    SyncsPerGroup,
    NeverSyncs,
    PurgesBackwards,
    ReadsPastTheEnd,
    JumpsOverHoles,
    DropsHardState,
    WritesBackwards,
    SyncsForNothing,
}

impl Forgetful {
    fn is(&self, slip: Slip) -> bool {
        self.slip == slip
    }
}

impl LogStore for Forgetful {
    fn groups(&self) -> Vec<GroupId> {
        self.kept.lock().unwrap().groups()
    }

    fn recovered(&self, group: GroupId) -> RecoveredLog {
        let mut log = self.kept.lock().unwrap().recovered(group);
        if self.is(Slip::DropsHardState) && log.records.is_empty() {
            log.hard_state = None;
        }
        log
    }

    fn write(&mut self, writes: &[GroupWrite]) -> Result<(), LogError> {
        let mut kept = self.kept.lock().unwrap();
        for write in writes {
            let mixed_up = self.is(Slip::MixesGroupsUp) && write.group == GroupId(2);
            let group = if mixed_up { GroupId(1) } else { write.group };
            let mut ops = write.ops.clone();
            if self.is(Slip::WritesBackwards) {
                ops.reverse();
            }
            for op in &ops {
                match op {
                    LogOp::TruncateFrom(_) if self.is(Slip::IgnoresTruncation) => continue,
                    LogOp::Put(record) if self.is(Slip::TruncatesOnOverwrite) => {
                        kept.apply(group, &LogOp::TruncateFrom(record.index));
                    }
                    LogOp::PurgeTo { index, .. }
                        if self.is(Slip::PurgesBackwards)
                            && *index < kept.recovered(group).purged.0 =>
                    {
                        *kept = MemoryLog::new();
                    }
                    _ => {}
                }
                kept.apply(group, op);
            }
        }
        self.synced += match self.slip {
            Slip::SyncsPerGroup => writes.len() as u64,
            Slip::NeverSyncs => 0,
            Slip::SyncsForNothing => 1,
            _ => u64::from(writes.iter().any(|write| !write.ops.is_empty())),
        };
        Ok(())
    }

    fn read(
        &mut self,
        group: GroupId,
        from: u64,
        to: u64,
        max: usize,
    ) -> Result<LogRead, LogError> {
        let to = if self.is(Slip::ReadsPastTheEnd) {
            to.saturating_add(1)
        } else {
            to
        };
        let mut kept = self.kept.lock().unwrap();
        let mut read = kept.read(group, from, to, max)?;
        if let (true, LogRead::Records(records)) = (self.is(Slip::JumpsOverHoles), &mut read) {
            let next = from + records.len() as u64 + 1;
            let at_hole = kept.read(group, next - 1, to, max)? == LogRead::Missing;
            if at_hole
                && next <= to
                && let LogRead::Records(more) = kept.read(group, next, to, max)?
            {
                records.extend(more);
            }
        }
        Ok(read)
    }

    fn fsyncs(&self) -> u64 {
        self.synced
    }
}

fn place(slip: Slip) -> impl FnMut() -> Result<Forgetful, LogError> {
    let kept = Arc::default();
    move || {
        Ok(Forgetful {
            kept: Arc::clone(&kept),
            slip,
            synced: 0,
        })
    }
}

#[test]
fn a_map_that_outlives_its_handles_conforms() {
    log::run_all(|| place(Slip::None)).unwrap();
}

#[test]
fn forgetful_logs_are_rejected() {
    for (slip, case) in [
        (
            Slip::IgnoresTruncation,
            "truncation_drops_the_tail_for_good",
        ),
        (Slip::TruncatesOnOverwrite, "a_slot_can_be_overwritten"),
        (Slip::MixesGroupsUp, "groups_are_apart"),
        (
            Slip::SyncsPerGroup,
            "groups_written_together_share_one_sync",
        ),
        (Slip::NeverSyncs, "groups_written_together_share_one_sync"),
        (Slip::PurgesBackwards, "purging_never_goes_back"),
        (Slip::ReadsPastTheEnd, "reading_keeps_to_its_bounds"),
        (Slip::JumpsOverHoles, "reading_stops_at_a_hole"),
        (Slip::DropsHardState, "hard_state_can_be_written_alone"),
        (Slip::WritesBackwards, "the_last_hard_state_counts"),
        (Slip::SyncsForNothing, "writing_nothing_costs_nothing"),
    ] {
        let failure = log::run_all(|| place(slip)).expect_err(&format!("{slip:?}"));
        assert_eq!(failure.case(), case, "{slip:?}: {failure}");
    }
}

fn naive(fault: Fault) -> impl FnMut(MemoryDisk) -> Result<NaiveLog, LogError> {
    move |disk| NaiveLog::open(disk, fault)
}

/// A case of the crash suite, for one fault of the naive log.
type Case = fn(Fault) -> Outcome;

const DURABILITY: Case =
    |fault| crash::what_was_acknowledged_survives_power_loss(&mut || naive(fault));
const ANY_OPERATION: Case =
    |fault| crash::a_crash_at_any_operation_loses_nothing(&mut || naive(fault));
const SECOND_CRASH: Case =
    |fault| crash::what_was_recovered_survives_the_next_crash(&mut || naive(fault));
const FAILED_SYNC: Case = |fault| crash::a_failed_sync_poisons(&mut || naive(fault));
const FAILED_WRITE: Case = |fault| crash::a_failed_write_poisons(&mut || naive(fault));
const SAME_BOOT: Case =
    |fault| crash::a_failed_sync_is_not_healed_by_the_next(&mut || naive(fault));
const LOCK: Case = |fault| crash::a_log_is_open_only_once(&mut || naive(fault));
const HISTORIES: Case = |fault| crash::random_histories_lose_nothing(&mut || naive(fault));

/// The naive log without a fault is slow, not wrong; so each rejection below is the fault's doing.
/// (Of corruption it knows nothing: those two cases are not for it.)
#[test]
fn the_naive_log_loses_nothing() {
    for case in [
        DURABILITY,
        ANY_OPERATION,
        SECOND_CRASH,
        FAILED_SYNC,
        FAILED_WRITE,
        SAME_BOOT,
        LOCK,
        HISTORIES,
    ] {
        case(Fault::None).unwrap();
    }
}

#[test]
fn logs_that_do_not_survive_crashes_are_rejected() {
    for (fault, case, expected) in [
        (Fault::ReportsBeforeDurable, DURABILITY, "found"),
        (Fault::ReportsBeforeDurable, HISTORIES, "seed"),
        (Fault::ForgetsTheDirectory, DURABILITY, "found"),
        (Fault::TrustsTornFrames, HISTORIES, "seed"),
        (
            Fault::GoesOnAfterFailure,
            FAILED_SYNC,
            "it wrote again after a failure",
        ),
        (
            Fault::GoesOnAfterFailure,
            FAILED_WRITE,
            "it wrote again after a failure",
        ),
        (
            Fault::TrustsThePageCache,
            SECOND_CRASH,
            "after the second crash",
        ),
        (Fault::TrustsThePageCache, SAME_BOOT, "found"),
        (Fault::NoLock, LOCK, "opened twice"),
        (Fault::ReplayIgnoresTruncation, HISTORIES, "seed"),
        (Fault::ReplayIgnoresTruncation, ANY_OPERATION, "found"),
    ] {
        let what = case(fault).expect_err(&format!("{fault:?}"));
        assert!(what.contains(expected), "{fault:?}: {what}");
    }
}
