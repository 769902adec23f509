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
}
