//! How long snapshots keep the event loop from everything else, step by step.
//!
//! Counted here and published once a second: a histogram would keep every sample of a step that
//! happens a thousand times a second until somebody asks.

use std::time::{Duration, Instant};

/// A step that the event loop does itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) enum Step {
    /// Freezes a view.
    Freeze,
    /// Reads a slice of a view.
    Slice,
    /// Has the engine begin to flush.
    Flush,
    /// Asks how far the engine is durable.
    Durable,
    /// Puts an engine that was filled from a snapshot in the place of another.
    Install,
}

const STEPS: [(Step, &str); 5] = [
    (Step::Freeze, "freeze"),
    (Step::Slice, "slice"),
    (Step::Flush, "flush"),
    (Step::Durable, "durable"),
    (Step::Install, "install"),
];

/// What each step has taken since the node started.
#[derive(Debug, Default)]
pub(super) struct Spent {
    steps: [Taken; STEPS.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    times: u64,
    total: Duration,
    longest: Duration,
}

impl Spent {
    /// A step that began at `begun` has ended.
    pub(super) fn ended(&mut self, step: Step, begun: Instant) {
        if let Some(taken) = self.steps.get_mut(step as usize) {
            let took = begun.elapsed();
            taken.times += 1;
            taken.total += took;
            taken.longest = taken.longest.max(took);
        }
    }

    /// Publishes what was counted.
    pub(super) fn publish(&self) {
        for ((_, name), taken) in STEPS.iter().zip(&self.steps) {
            let labels = [("step", *name)];
            let micros = u64::try_from(taken.total.as_micros()).unwrap_or(u64::MAX);
            metrics::counter!("lockstep_snapshot_steps_total", &labels).absolute(taken.times);
            metrics::counter!("lockstep_snapshot_step_microseconds_total", &labels)
                .absolute(micros);
            metrics::gauge!("lockstep_snapshot_step_seconds_max", &labels)
                .set(taken.longest.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_counted_where_it_is_named() {
        for (at, (step, _)) in STEPS.iter().enumerate() {
            assert_eq!(*step as usize, at);
        }
        let mut spent = Spent::default();
        let begun = Instant::now();
        spent.ended(Step::Flush, begun);
        spent.ended(Step::Flush, begun);
        let flush = spent.steps[2];
        assert_eq!(flush.times, 2);
        assert!(flush.longest <= flush.total);
    }
}
