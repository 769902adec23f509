//! The shortest failing schedule: faults are left out, many at a time at first, then fewer, as
//! long as the same checker still speaks. Chance is forked by purpose, so leaving one out changes
//! little else; but a run is a chaotic thing, so this finds a short schedule, not the shortest.

use crate::plan::Plan;
use crate::run::{Keep, Report, run_plan};
use crate::subject::Subject;

/// What shrinking came to.
#[derive(Debug)]
pub struct Shrunk {
    /// The plan that still fails.
    pub plan: Plan,
    /// Which faults of the seed's own plan it keeps.
    pub kept: Vec<usize>,
}

/// Shortens a seed's plan; nothing if it does not fail. `say` is told of every step forward.
pub fn shrink<S: Subject>(
    subject: &S,
    seed: u64,
    plan: Plan,
    say: &mut dyn FnMut(&str),
) -> Option<Shrunk> {
    let try_with = |kept: &[usize]| -> Report {
        let mut shorter = plan.clone();
        shorter.keep(kept);
        run_plan(subject, seed, shorter, Keep::default())
    };
    let mut kept: Vec<usize> = (0..plan.faults.len()).collect();
    let checker = try_with(&kept).finding?.checker;
    let mut size = kept.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < kept.len() {
            let without: Vec<usize> = (kept.iter().enumerate())
                .filter(|(place, _)| *place < at || *place >= at + size)
                .map(|(_, fault)| *fault)
                .collect();
            let fails = try_with(&without).finding;
            if fails.is_some_and(|finding| finding.checker == checker) {
                kept = without;
                say(&format!("{} faults, and still: {checker}", kept.len()));
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    let mut shorter = plan.clone();
    shorter.keep(&kept);
    Some(Shrunk {
        plan: shorter,
        kept,
    })
}
