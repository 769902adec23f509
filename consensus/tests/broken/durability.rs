//! Faults of durability: said before it is so, or not kept.

use consensus::{
    Channel, Fetched, Index, Input, LogOp, Message, Micros, Output, Position, Recovered, WriteSeq,
};

use super::{Fault, Pass};

fn is_hard_state(op: &LogOp) -> bool {
    matches!(op, LogOp::HardState(_))
}

/// Takes an entry for durable as soon as its write is issued.
#[derive(Default)]
pub(crate) struct AcknowledgesBeforePersisted;

impl<M> Fault<M> for AcknowledgesBeforePersisted {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match &output {
            Output::Write { seq, ops } if !ops.iter().all(is_hard_state) => {
                let persisted = Input::Persisted(*seq);
                Pass::on(output).and_back(persisted)
            }
            _ => Pass::on(output),
        }
    }
}

/// Takes its hard state for durable as soon as its write is issued.
#[derive(Default)]
pub(crate) struct VotesBeforePersisted;

impl<M> Fault<M> for VotesBeforePersisted {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match &output {
            Output::Write { seq, ops } if ops.iter().any(is_hard_state) => {
                let persisted = Input::Persisted(*seq);
                Pass::on(output).and_back(persisted)
            }
            _ => Pass::on(output),
        }
    }
}

/// Takes its hard state for durable as soon as any write is.
#[derive(Default)]
pub(crate) struct VotesWithAnyWrite {
    hard_state: WriteSeq,
}

impl<M> Fault<M> for VotesWithAnyWrite {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        Pass::nothing().and_back(match input {
            Input::Persisted(seq) => Input::Persisted(seq.max(self.hard_state)),
            other => other,
        })
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        if let Output::Write { seq, ops } = &output
            && ops.iter().any(is_hard_state)
        {
            self.hard_state = *seq;
        }
        Pass::on(output)
    }
}

/// Loses one kind of operation on its way to the disk.
fn without<M>(output: Output<M>, lost: impl Fn(&LogOp) -> bool) -> Pass<M> {
    match output {
        Output::Write { seq, mut ops } => {
            ops.retain(|op| !lost(op));
            Pass::on(Output::Write { seq, ops })
        }
        other => Pass::on(other),
    }
}

/// Never writes its hard state.
#[derive(Default)]
pub(crate) struct ForgetsHardState;

impl<M> Fault<M> for ForgetsHardState {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        without(output, is_hard_state)
    }
}

/// Starts as if it had never voted.
#[derive(Default)]
pub(crate) struct StartsWithoutHardState;

impl<M> Fault<M> for StartsWithoutHardState {
    fn recovered(&mut self, recovered: Recovered) -> Recovered {
        Recovered {
            hard_state: None,
            ..recovered
        }
    }
}

/// Truncates in memory only.
#[derive(Default)]
pub(crate) struct SwallowsTruncation;

impl<M> Fault<M> for SwallowsTruncation {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        without(output, |op| matches!(op, LogOp::TruncateFrom(_)))
    }
}

/// Purges in memory only.
#[derive(Default)]
pub(crate) struct SwallowsPurge;

impl<M> Fault<M> for SwallowsPurge {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        without(output, |op| matches!(op, LogOp::PurgeTo(_)))
    }
}

/// Purges one entry more than the state machine holds.
#[derive(Default)]
pub(crate) struct PurgesTooMuch;

impl<M> Fault<M> for PurgesTooMuch {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Write { seq, mut ops } => {
                for op in &mut ops {
                    if let LogOp::PurgeTo(upto) = op {
                        upto.index = Index(upto.index.0 + 100);
                    }
                }
                Pass::on(Output::Write { seq, ops })
            }
            other => Pass::on(other),
        }
    }
}

/// Sends entries only once its own disk has them.
pub(crate) struct WaitsForItsOwnDisk<M> {
    waiting: Vec<Output<M>>,
    written: u64,
    persisted: u64,
}

impl<M> Default for WaitsForItsOwnDisk<M> {
    fn default() -> Self {
        WaitsForItsOwnDisk {
            waiting: Vec::new(),
            written: 0,
            persisted: 0,
        }
    }
}

impl<M: Message> Fault<M> for WaitsForItsOwnDisk<M> {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        let mut pass = Pass::nothing();
        if let Input::Persisted(seq) = &input {
            self.persisted = seq.0;
        }
        if self.persisted == self.written {
            pass.outputs = std::mem::take(&mut self.waiting);
        }
        pass.and_back(input)
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::Write { seq, ops } => {
                self.written = seq.0;
                Pass::on(Output::Write { seq, ops })
            }
            Output::Send { to, message }
                if message.channel() == Channel::Bulk && self.persisted < self.written =>
            {
                self.waiting.push(Output::Send { to, message });
                Pass::nothing()
            }
            other => Pass::on(other),
        }
    }
}

/// Takes a report for its own write only, not for those before it.
#[derive(Default)]
pub(crate) struct CountsReportsOneByOne {
    last: u64,
}

impl<M> Fault<M> for CountsReportsOneByOne {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        match &input {
            Input::Persisted(seq) if seq.0 != self.last + 1 => Pass::nothing(),
            Input::Persisted(seq) => {
                self.last = seq.0;
                Pass::nothing().and_back(input)
            }
            _ => Pass::nothing().and_back(input),
        }
    }
}

/// Takes a write for durable as soon as an earlier one that put the same index is.
#[derive(Default)]
pub(crate) struct TakesTheFirstWriteForTheLast {
    puts: Vec<(WriteSeq, Index)>,
}

impl<M> Fault<M> for TakesTheFirstWriteForTheLast {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        let Input::Persisted(seq) = input else {
            return Pass::nothing().and_back(input);
        };
        let written = |index: Index| self.puts.contains(&(seq, index));
        let again = self.puts.iter().filter(|(_, index)| written(*index));
        let last = again.map(|(write, _)| *write).max();
        Pass::nothing().and_back(Input::Persisted(last.unwrap_or(seq).max(seq)))
    }

    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        if let Output::Write { seq, ops } = &output {
            self.puts.extend(ops.iter().filter_map(|op| match op {
                LogOp::Put(entry) => Some((*seq, entry.index)),
                _ => None,
            }));
        }
        Pass::on(output)
    }
}

/// Applies everything again after a restart.
#[derive(Default)]
pub(crate) struct AppliesAgain;

impl<M> Fault<M> for AppliesAgain {
    fn recovered(&mut self, recovered: Recovered) -> Recovered {
        Recovered {
            applied: Position::ZERO,
            ..recovered
        }
    }
}

/// Takes part as if its disk had lost nothing.
#[derive(Default)]
pub(crate) struct ForgetsDamage;

impl<M> Fault<M> for ForgetsDamage {
    fn recovered(&mut self, recovered: Recovered) -> Recovered {
        Recovered {
            damaged: false,
            ..recovered
        }
    }
}

/// Wants no snapshot.
#[derive(Default)]
pub(crate) struct IgnoresSnapshots;

impl<M> Fault<M> for IgnoresSnapshots {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        match input {
            Input::SnapshotOffered { .. } => Pass::nothing(),
            other => Pass::nothing().and_back(other),
        }
    }
}

/// Installs every snapshot at once, and once more when it has it.
#[derive(Default)]
pub(crate) struct InstallsTwice;

impl<M> Fault<M> for InstallsTwice {
    fn output(&mut self, _now: Micros, output: Output<M>) -> Pass<M> {
        match output {
            Output::InstallSnapshot { from, at } => Pass::on(Output::InstallSnapshot { from, at })
                .and(Output::InstallSnapshot { from, at }),
            other => Pass::on(other),
        }
    }
}

/// Never hears that a snapshot cannot be installed.
#[derive(Default)]
pub(crate) struct ForgetsAbandoned;

impl<M> Fault<M> for ForgetsAbandoned {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        match input {
            Input::SnapshotAbandoned { .. } => Pass::nothing(),
            other => Pass::nothing().and_back(other),
        }
    }
}

/// Waits for ever for an entry that cannot be read.
#[derive(Default)]
pub(crate) struct WaitsForCorruptEntries;

impl<M> Fault<M> for WaitsForCorruptEntries {
    fn input(&mut self, _now: Micros, input: Input<M>) -> Pass<M> {
        match input {
            Input::Fetched {
                result: Fetched::Corrupt,
                ..
            } => Pass::nothing(),
            other => Pass::nothing().and_back(other),
        }
    }
}

/// Takes lost entries for a lost vote, which nobody can make good.
#[derive(Default)]
pub(crate) struct StaysDamaged;

impl<M> Fault<M> for StaysDamaged {
    fn recovered(&mut self, recovered: Recovered) -> Recovered {
        let lost = recovered.damaged;
        Recovered {
            hard_state: recovered.hard_state.filter(|_| !lost),
            ..recovered
        }
    }
}
