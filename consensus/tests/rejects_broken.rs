//! The kit's own test: each case that guards a promise rejects a protocol that breaks just that
//! promise, for the right reason, and accepts the correct protocol it was made from.

mod broken;

use std::panic::{AssertUnwindSafe, catch_unwind};

use broken::answers::{
    AnswersTwice, IgnoresProposalsAsFollower, RefusesWhatItTakes, RepeatsPositions, SwallowsAnswers,
};
use broken::commits::{
    BelievesEveryFetch, CommitsSomethingElse, CommitsTwice, CommitsWithHoles, NeverSleeps,
    OwnChance,
};
use broken::disks::IgnoresHungDisk;
use broken::durability::{
    AcknowledgesBeforePersisted, AppliesAgain, CountsReportsOneByOne, ForgetsAbandoned,
    ForgetsDamage, ForgetsHardState, IgnoresSnapshots, InstallsTwice, PurgesTooMuch,
    StartsWithoutHardState, StaysDamaged, SwallowsPurge, SwallowsTruncation,
    TakesTheFirstWriteForTheLast, VotesBeforePersisted, VotesWithAnyWrite, WaitsForCorruptEntries,
    WaitsForItsOwnDisk,
};
use broken::messages::{Chatters, LosesAField, OneChannel, PanicsAtStrangers, Wrapped};
use broken::reads::{ForgetsReadsAtStepDown, ReadsAtOnce, ReadsFromAnOldRound, ReadsOneByOne};
use broken::{Broken, Config, Fault, Sound};
use consensus::conformance::{Configure, cases};
use consensus::{Consensus, NodeId};
use consensus_raft::Raft;

type Message = <Raft as Consensus>::Message;
type Change = fn(consensus_raft::Config) -> consensus_raft::Config;

fn with_fault(fault: fn() -> Box<dyn Fault<Message>>) -> impl Fn(NodeId) -> Config<Raft> {
    move |node| Config {
        core: consensus_raft::Config::new(node),
        fault,
    }
}

/// Raft between whose messages and whose host nothing stands that changes anything.
fn sound() -> impl Fn(NodeId) -> Config<Raft> {
    with_fault(|| Box::new(Sound))
}

/// How a case ends: with the panic's message, if it panics.
fn outcome(case: impl FnOnce()) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(case)).err()?;
    let text = panic.downcast_ref::<String>().cloned();
    let literal = || panic.downcast_ref::<&str>().map(ToString::to_string);
    Some(text.or_else(literal).unwrap_or_default())
}

/// The case rejects what is broken, saying `why`.
fn rejects(why: &str, case: impl FnOnce()) {
    match outcome(case) {
        None => panic!("the case accepts what it is there to reject"),
        Some(said) => assert!(said.contains(why), "rejected for another reason: {said}"),
    }
}

/// One test per fault: what is broken, the case that must see it, and what that case says.
macro_rules! rejections {
    ($($name:ident: $fault:ty => $case:ident, $why:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let broken = with_fault(|| Box::new(<$fault>::default()));
                rejects($why, || cases::$case::<Broken<Raft>>(&broken));
                cases::$case::<Broken<Raft>>(&sound());
            }
        )*
    };
}

rejections! {
    acknowledging_before_persisted: AcknowledgesBeforePersisted
        => acknowledgement_waits_for_persisted, "durable on 1 of";
    counting_oneself_before_persisted: AcknowledgesBeforePersisted
        => leader_counts_itself_only_after_persisted, "durable on";
    acknowledging_before_persisted_loses_entries: AcknowledgesBeforePersisted
        => crash_of_all_at_any_write_keeps_committed_entries, "durable on";
    voting_before_persisted: VotesBeforePersisted
        => vote_waits_for_persisted, "has two leaders";
    voting_with_any_write: VotesWithAnyWrite
        => vote_waits_for_its_own_write, "has two leaders";
    leading_before_persisted: VotesBeforePersisted
        => entries_leave_only_after_hard_state_of_their_epoch, "a crash would undo that";
    forgetting_the_hard_state: ForgetsHardState
        => vote_is_kept_across_a_crash, "has two leaders";
    voting_twice_after_a_restart: StartsWithoutHardState
        => vote_is_kept_across_a_crash, "has two leaders";
    leading_twice_after_a_restart: StartsWithoutHardState
        => no_epoch_is_led_twice_across_restarts, "";
    swallowing_truncation: SwallowsTruncation
        => restart_finds_the_log_it_left, "believes its log to be";
    swallowing_purges: SwallowsPurge
        => restart_finds_the_log_it_left, "believes its log to be";
    purging_too_much: PurgesTooMuch
        => log_that_lacks_the_applied_position_restarts_there, "its state machine holds only";
    waiting_for_ones_own_disk: WaitsForItsOwnDisk<Message>
        => leader_replicates_in_parallel_with_its_own_write, "waits for its own disk";
    counting_reports_one_by_one: CountsReportsOneByOne
        => persisted_covers_all_earlier_writes, "";
    taking_the_first_write_for_the_last: TakesTheFirstWriteForTheLast
        => index_is_durable_when_its_last_write_is, "durable on 2 of 5";
    ignoring_snapshots: IgnoresSnapshots
        => follower_below_the_log_catches_up_by_snapshot, "not everybody has applied";
    installing_a_snapshot_twice: InstallsTwice
        => follower_below_the_log_catches_up_by_snapshot, "was not offered";
    forgetting_an_abandoned_snapshot: ForgetsAbandoned
        => abandoned_snapshot_holds_nothing_back, "not everybody has applied";
    leaving_lost_state_lost: IgnoresSnapshots
        => state_lost_below_the_log_comes_by_snapshot, "not everybody has applied";
    waiting_for_corrupt_entries: WaitsForCorruptEntries
        => unreadable_entry_of_a_follower_is_made_good, "not everybody has applied";
    staying_damaged: StaysDamaged
        => damaged_node_is_repaired_and_votes_again, "";
    applying_again_after_a_restart: AppliesAgain
        => applied_entries_are_not_applied_again, "is next";
    forgetting_the_damage: ForgetsDamage
        => damaged_node_neither_votes_nor_campaigns, "damaged node";
    ignoring_a_hung_disk: IgnoresHungDisk
        => hung_disk_resigns, "still leads";
    campaigning_with_a_hung_disk: IgnoresHungDisk
        => hung_disk_does_not_campaign, "its disk hangs, and it is";

    committing_twice: CommitsTwice => commits_on_all_nodes, "is next";
    committing_with_holes: CommitsWithHoles => commits_on_all_nodes, "is next";
    committing_something_else: CommitsSomethingElse
        => commits_on_all_nodes, "does not stand in its log";
    believing_every_fetch: BelievesEveryFetch
        => fetch_answers_with_stale_ids_are_dropped, "";
    taking_chance_from_elsewhere: OwnChance => same_seed_same_run, "differ";
    never_sleeping: NeverSleeps => elects_one_leader, "busy loop";

    swallowing_answers: SwallowsAnswers => every_request_is_answered_once, "never answers";
    answering_twice: AnswersTwice => every_request_is_answered_once, "answered twice";
    refusing_what_is_taken: RefusesWhatItTakes
        => commits_on_all_nodes, "committed at";
    repeating_positions: RepeatsPositions => accepted_positions_are_unique, "";
    ignoring_proposals_as_a_follower: IgnoresProposalsAsFollower
        => proposal_on_follower_is_refused_not_leader, "";

    reading_at_once_on_a_stale_leader: ReadsAtOnce
        => stale_leader_serves_no_reads, "stale read";
    reading_at_once_on_a_new_leader: ReadsAtOnce
        => read_waits_for_first_commit_of_epoch, "stale read";
    reading_at_once_on_a_follower: ReadsAtOnce
        => follower_read_is_linearizable, "stale read";
    reading_from_an_old_round: ReadsFromAnOldRound
        => read_needs_a_round_begun_after_it_arrived, "stale read";
    forgetting_reads_at_step_down: ForgetsReadsAtStepDown
        => step_down_answers_reads_not_leader, "None";
    reading_one_by_one: ReadsOneByOne
        => reads_share_a_round, "for a thousand reads";

    chattering: Chatters => idle_cluster_is_quiet, "messages in ten idle seconds";
    panicking_at_strangers: PanicsAtStrangers
        => hostile_input_never_panics, "is no member";
}

#[test]
fn one_channel_for_everything() {
    type OnOneChannel = Wrapped<Raft, OneChannel<Message>>;
    rejects("on the control channel", || {
        cases::control_messages_are_small::<OnOneChannel>(&consensus_raft::Config::new);
    });
    cases::control_messages_are_small::<Broken<Raft>>(&sound());
}

#[test]
fn a_field_that_does_not_travel() {
    type Lossy = Wrapped<Raft, LosesAField<Message>>;
    rejects("changes on its way", || {
        cases::messages_survive_a_round_trip::<Lossy>(&consensus_raft::Config::new);
    });
    cases::messages_survive_a_round_trip::<Broken<Raft>>(&sound());
}

/// Some promises are kept by Raft's limits: without the limit, they are broken.
fn rejects_config(why: &str, case: fn(Configure<'_, Broken<Raft>>), change: Change) {
    let broken = |node| Config {
        core: change(consensus_raft::Config::new(node)),
        fault: || Box::new(Sound),
    };
    rejects(why, || case(&broken));
    case(&sound());
}

#[test]
fn flooding_a_peer_that_does_not_answer() {
    let case = cases::in_flight_is_bounded::<Broken<Raft>>;
    rejects_config("to a node that never answers", case, |config| {
        consensus_raft::Config {
            max_in_flight_messages: usize::MAX,
            max_in_flight_bytes: usize::MAX,
            ..config
        }
    });
}

#[test]
fn taking_in_without_end() {
    let case = cases::busy_beyond_uncommitted_bound::<Broken<Raft>>;
    rejects_config("and no end", case, |config| consensus_raft::Config {
        max_uncommitted_bytes: usize::MAX,
        ..config
    });
}
