//! Faults in what is committed.

use consensus::{Input, Micros, Output, Payload};

use super::{Fault, Pass};

/// Commits everything twice.
#[derive(Default)]
pub(crate) struct CommitsTwice;

impl<M> Fault<M> for CommitsTwice {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Commit(entries) => {
                Pass::on(Output::Commit(entries.clone())).and(Output::Commit(entries))
            }
            other => Pass::on(other),
        }
    }
}

/// Leaves every seventh entry out.
#[derive(Default)]
pub(crate) struct CommitsWithHoles;

impl<M> Fault<M> for CommitsWithHoles {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Commit(mut entries) => {
                entries.retain(|entry| !entry.index.0.is_multiple_of(7));
                Pass::on(Output::Commit(entries))
            }
            other => Pass::on(other),
        }
    }
}

/// Commits each entry's right position with nothing in it.
#[derive(Default)]
pub(crate) struct CommitsSomethingElse;

impl<M> Fault<M> for CommitsSomethingElse {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Commit(mut entries) => {
                for entry in &mut entries {
                    entry.payload = Payload::Blank;
                }
                Pass::on(Output::Commit(entries))
            }
            other => Pass::on(other),
        }
    }
}

/// Takes any answer from the log for the one it waits for.
#[derive(Default)]
pub(crate) struct BelievesEveryFetch {
    asked: Option<consensus::FetchId>,
}

impl<M> Fault<M> for BelievesEveryFetch {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        let input = match (input, self.asked) {
            (Input::Fetched { result, .. }, Some(id)) => Input::Fetched { id, result },
            (other, _) => other,
        };
        Pass::nothing().and_back(input)
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        if let Output::Fetch { id, .. } = &output {
            self.asked = Some(*id);
        }
        Pass::on(output)
    }
}

/// Draws its patience from somewhere else than its seed.
#[derive(Default)]
pub(crate) struct OwnChance;

impl<M> Fault<M> for OwnChance {
    fn deadline(&self, deadline: Option<Micros>) -> Option<Micros> {
        use std::hash::{BuildHasher, RandomState};
        let chance = RandomState::new().hash_one(1) % 7;
        deadline.map(|at| at + Micros(chance))
    }
}

/// Wants to be woken all the time.
#[derive(Default)]
pub(crate) struct NeverSleeps;

impl<M> Fault<M> for NeverSleeps {
    fn deadline(&self, _deadline: Option<Micros>) -> Option<Micros> {
        Some(Micros(0))
    }
}
