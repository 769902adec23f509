//! The list of cases: the one place where a case is named. Whoever runs the suite gets what
//! stands here, as tests and as a table.

/// Makes [`conformance_suite!`](crate::conformance_suite) and [`all`] from one list. The dollar
/// sign is passed in because a macro cannot spell the one that its own macro will need.
macro_rules! suite {
    ($dollar:tt $($case:ident)*) => {
        /// Runs the conformance kit: one `#[test]` per case, in the module that calls it.
        ///
        /// Takes the protocol, and a function from a node's id to its configuration. See
        /// [`conformance`](crate::conformance) for what the configuration should be like.
        #[macro_export]
        macro_rules! conformance_suite {
            ($dollar protocol:ty, $dollar configure:expr $dollar(,)?) => {
                $(
                    #[test]
                    fn $case() {
                        $dollar crate::conformance::cases::$case::<$dollar protocol>(
                            &$dollar configure,
                        );
                    }
                )*
            };
        }

        /// Every case with its name, for those who run them in their own way.
        #[must_use]
        pub fn all<C: crate::Consensus>() -> Vec<(&'static str, Case<C>)> {
            vec![$((stringify!($case), super::cases::$case::<C> as Case<C>)),*]
        }
    };
}

/// A case: returns, or panics with what is wrong and the events that led there.
pub type Case<C> = fn(super::Configure<'_, C>);

suite! { $
    elects_one_leader
    elects_another_leader_when_one_crashes
    elects_nobody_without_a_majority
    leader_without_a_majority_steps_down
    no_epoch_is_led_twice_across_restarts

    commits_on_all_nodes
    commits_on_a_majority
    commits_nothing_without_a_majority
    five_nodes_survive_two_crashes
    proposal_on_follower_is_refused_not_leader
    accepted_positions_are_unique
    every_request_is_answered_once
    large_batches_are_replicated

    leader_replicates_in_parallel_with_its_own_write
    leader_counts_itself_only_after_persisted
    acknowledgement_waits_for_persisted
    vote_waits_for_persisted
    vote_waits_for_its_own_write
    vote_is_kept_across_a_crash
    vote_is_given_once_across_a_crash
    entries_leave_only_after_hard_state_of_their_epoch
    persisted_covers_all_earlier_writes
    index_is_durable_when_its_last_write_is

    restart_keeps_committed_entries
    crash_of_all_at_any_write_keeps_committed_entries
    crash_of_one_at_any_write_keeps_committed_entries
    applied_entries_are_not_applied_again
    log_that_lacks_the_applied_position_restarts_there
    log_of_another_branch_restarts_at_the_applied_position
    restart_finds_the_log_it_left
    compaction_loses_nothing

    reads_are_ready_on_every_node
    read_waits_for_first_commit_of_epoch
    read_needs_a_round_begun_after_it_arrived
    stale_leader_serves_no_reads
    lease_reads_are_linearizable_with_honest_clocks
    reads_share_a_round
    follower_read_is_linearizable
    follower_of_a_stale_leader_serves_no_reads
    unconfirmed_reads_are_refused_in_the_end
    step_down_answers_reads_not_leader

    scattered_entries_of_a_crashed_leader_leave_no_holes
    copies_alone_do_not_commit_what_a_former_leader_left
    hearing_of_a_commit_does_not_bless_stale_entries
    branches_of_several_deposed_leaders_become_one_history

    slow_follower_catches_up_by_fetch
    fetch_answers_with_stale_ids_are_dropped
    unreadable_entries_are_not_asked_for_without_pause
    restarted_node_applies_from_its_log
    follower_below_the_log_catches_up_by_snapshot
    abandoned_snapshot_holds_nothing_back
    state_lost_below_the_log_comes_by_snapshot
    unreadable_entry_of_a_follower_is_made_good
    damaged_node_is_repaired_and_votes_again

    in_flight_is_bounded
    busy_beyond_uncommitted_bound
    idle_cluster_is_quiet
    control_messages_are_small
    stalled_bulk_does_not_cost_the_leadership

    hung_disk_resigns
    hung_disk_does_not_campaign
    damaged_node_neither_votes_nor_campaigns

    duplicated_and_reordered_messages_change_nothing
    lost_messages_are_made_good
    partitioned_node_rejoins_without_disturbing
    one_way_partition_elects_a_leader_that_can_work
    node_that_reaches_a_majority_comes_to_lead
    chain_of_nodes_keeps_a_leader
    heals_and_makes_progress

    chaos_of_crashes
    chaos_of_partitions
    chaos_of_messages
    chaos_of_disks_and_pauses
    chaos_of_everything
    same_seed_same_run

    messages_survive_a_round_trip
    hostile_input_never_panics
}
