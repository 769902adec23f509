//! A fault in the face of hanging disks.

use consensus::{Input, Micros, Output, WriteSeq};

use super::{Fault, Pass};

/// After a tenth of a second, believes that any write must have succeeded.
#[derive(Default)]
pub(crate) struct IgnoresHungDisk {
    oldest: Option<(Micros, WriteSeq)>,
}

impl<M> Fault<M> for IgnoresHungDisk {
    fn input(&mut self, now: Micros, input: Input<M>) -> Pass<M> {
        if let Input::Persisted(seq) = &input
            && self.oldest.is_some_and(|(_, written)| written <= *seq)
        {
            self.oldest = None;
        }
        let pass = Pass::nothing();
        match self.oldest {
            Some((since, seq)) if now.since(since) > Micros::from_millis(100) => {
                self.oldest = None;
                pass.and_back(Input::Persisted(seq)).and_back(input)
            }
            _ => pass.and_back(input),
        }
    }

    fn output(&mut self, now: Micros, output: Output<M>) -> Pass<M> {
        if let Output::Write { seq, .. } = &output {
            let since = self.oldest.map_or(now, |(since, _)| since);
            self.oldest = Some((since, *seq));
        }
        Pass::on(output)
    }
}
