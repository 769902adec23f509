//! Faults in how reads are answered.

use std::collections::{BTreeMap, VecDeque};

use consensus::{Done, Index, Input, Micros, Output, ReadMode, Refusal, RequestId};

use super::{Fault, Pass};

/// Serves at once what it has committed itself.
#[derive(Default)]
pub(crate) struct ReadsAtOnce {
    committed: Index,
}

impl<M> Fault<M> for ReadsAtOnce {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        match input {
            Input::Read { request, .. } => Pass::on(Output::ReadReady {
                request,
                index: self.committed,
            }),
            other => Pass::nothing().and_back(other),
        }
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        if let Output::Commit(entries) = &output {
            self.committed = entries.last().map_or(self.committed, |entry| entry.index);
        }
        Pass::on(output)
    }
}

/// Lets a read be confirmed by whatever confirms the one before it, though that was asked earlier.
#[derive(Default)]
pub(crate) struct ReadsFromAnOldRound {
    asked: VecDeque<RequestId>,
    along: BTreeMap<RequestId, Vec<RequestId>>,
}

impl<M> Fault<M> for ReadsFromAnOldRound {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        let Input::Read { request, .. } = &input else {
            return Pass::nothing().and_back(input);
        };
        match self.asked.back() {
            Some(earlier) => {
                self.along.entry(*earlier).or_default().push(*request);
                Pass::nothing()
            }
            None => {
                self.asked.push_back(*request);
                Pass::nothing().and_back(input)
            }
        }
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        let request = match &output {
            Output::ReadReady { request, .. } | Output::Done { request, .. } => *request,
            _ => return Pass::on(output),
        };
        self.asked.retain(|asked| *asked != request);
        let mut outputs = Vec::new();
        for request in self.along.remove(&request).unwrap_or_default() {
            outputs.push(match &output {
                Output::ReadReady { index, .. } => Output::ReadReady {
                    request,
                    index: *index,
                },
                _ => Output::Done {
                    request,
                    done: Done::Refused(Refusal::NotLeader),
                },
            });
        }
        outputs.push(output);
        Pass {
            outputs,
            inputs: vec![],
        }
    }
}

/// Forgets the reads that wait when it stops leading.
#[derive(Default)]
pub(crate) struct ForgetsReadsAtStepDown {
    reads: BTreeMap<RequestId, ()>,
}

impl<M> Fault<M> for ForgetsReadsAtStepDown {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        if let Input::Read { request, .. } = &input {
            self.reads.insert(*request, ());
        }
        Pass::nothing().and_back(input)
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match &output {
            Output::Done { request, .. } if self.reads.contains_key(request) => Pass::nothing(),
            _ => Pass::on(output),
        }
    }
}

/// Asks for a confirmation of its own for every read, one after the other.
#[derive(Default)]
pub(crate) struct ReadsOneByOne {
    waiting: VecDeque<(RequestId, ReadMode)>,
    under_way: Option<RequestId>,
}

impl ReadsOneByOne {
    fn next<M>(&mut self) -> Option<Input<M>> {
        let (request, mode) = self.waiting.pop_front()?;
        self.under_way = Some(request);
        Some(Input::Read { request, mode })
    }
}

impl<M> Fault<M> for ReadsOneByOne {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        let mut pass = Pass::nothing();
        match input {
            Input::Read { request, mode } => {
                self.waiting.push_back((request, mode));
                if self.under_way.is_none() {
                    pass.inputs.extend(self.next());
                }
            }
            other => pass.inputs.push(other),
        }
        pass
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        let answered = match &output {
            Output::ReadReady { request, .. } | Output::Done { request, .. } => Some(*request),
            _ => None,
        };
        let mut pass = Pass::on(output);
        if answered.is_some() && answered == self.under_way {
            self.under_way = None;
            pass.inputs.extend(self.next());
        }
        pass
    }
}
