//! One run: from a seed and a subject to what was counted, or found.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::checks::Finding;
use crate::plan::Plan;
use crate::queue::Time;
use crate::subject::Subject;
use crate::trace::Trace;
use crate::world::{Counts, World};

/// What became of a run.
#[derive(Debug)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// The promise that was broken, if one was.
    pub finding: Option<Finding>,
    /// What was counted.
    pub counts: Counts,
    /// The digest of every event: two runs with the same were the same.
    pub digest: u64,
    /// The record, if one was asked for.
    pub trace: Trace,
}

/// What is kept of a run besides its digest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// Print a line for each event.
    pub lines: bool,
    /// From when on, in microseconds.
    pub from: u64,
    /// Keep what the timeline is drawn from.
    pub timeline: bool,
}

/// Runs a seed.
pub fn run<S: Subject>(subject: &S, seed: u64, keep: Keep) -> Report {
    run_plan(subject, seed, Plan::new(seed), keep)
}

/// Runs a seed with another plan than its own.
pub fn run_plan<S: Subject>(subject: &S, seed: u64, plan: Plan, keep: Keep) -> Report {
    let mut trace = Trace::default();
    (trace.on, trace.print, trace.from) = (keep.timeline, keep.lines, Time(keep.from));
    let mut world = World::new(subject.clone(), seed, plan, trace);
    // A panic is a finding like any other: an invariant of the code itself.
    let went = catch_unwind(AssertUnwindSafe(|| world.run()));
    let finding = match went {
        Ok(went) => went.err(),
        Err(panic) => {
            let finding = Finding {
                checker: "panic",
                sentence: said(&*panic),
                at: world.now(),
            };
            let label = finding.to_string();
            world.trace.finding(finding.at, label);
            Some(finding)
        }
    };
    Report {
        seed,
        finding,
        counts: world.counts.clone(),
        digest: world.trace.digest(),
        trace: std::mem::take(&mut world.trace),
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "something that is not text".to_owned())
}
