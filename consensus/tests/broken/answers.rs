//! Faults in how requests are answered.

use std::collections::BTreeSet;

use consensus::{Done, Index, Input, Micros, Output, Refusal, RequestId};

use super::{Fault, Pass};

/// Forgets every fifth answer.
#[derive(Default)]
pub(crate) struct SwallowsAnswers {
    answers: u64,
}

impl<M> Fault<M> for SwallowsAnswers {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        if matches!(output, Output::Done { .. }) {
            self.answers += 1;
            if self.answers.is_multiple_of(5) {
                return Pass::nothing();
            }
        }
        Pass::on(output)
    }
}

/// Says everything twice.
#[derive(Default)]
pub(crate) struct AnswersTwice;

impl<M> Fault<M> for AnswersTwice {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Done { request, done } => {
                Pass::on(Output::Done { request, done }).and(Output::Done { request, done })
            }
            other => Pass::on(other),
        }
    }
}

/// Says Busy, and takes the batch in all the same.
#[derive(Default)]
pub(crate) struct RefusesWhatItTakes;

impl<M> Fault<M> for RefusesWhatItTakes {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Done {
                request,
                done: Done::Accepted(_),
            } => {
                let done = Done::Refused(Refusal::Busy);
                Pass::on(Output::Done { request, done })
            }
            other => Pass::on(other),
        }
    }
}

/// Gives two requests in a row the same position.
#[derive(Default)]
pub(crate) struct RepeatsPositions;

impl<M> Fault<M> for RepeatsPositions {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Done {
                request,
                done: Done::Accepted(mut at),
            } if at.index.0 % 2 == 1 => {
                at.index = Index(at.index.0 - 1);
                let done = Done::Accepted(at);
                Pass::on(Output::Done { request, done })
            }
            other => Pass::on(other),
        }
    }
}

/// Leaves proposals unanswered while it does not lead: somebody else may.
#[derive(Default)]
pub(crate) struct IgnoresProposalsAsFollower {
    proposals: BTreeSet<RequestId>,
}

impl<M> Fault<M> for IgnoresProposalsAsFollower {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        if let Input::Propose { request, .. } = &input {
            self.proposals.insert(*request);
        }
        Pass::nothing().and_back(input)
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match &output {
            Output::Done {
                request,
                done: Done::Refused(Refusal::NotLeader),
            } if self.proposals.contains(request) => Pass::nothing(),
            _ => Pass::on(output),
        }
    }
}
