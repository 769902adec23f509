//! Every schedule of a small world, up to a bound. The bound is set by the time a test may take.

use simulation::Lockstep;
use simulation::exhaustive::{Bounds, Explored, Step, explore, first_node_leads};

fn none_breaks_a_promise(name: &str, beginning: &[Step], bounds: Bounds) -> Explored {
    let explored = explore(&Lockstep, beginning, bounds);
    let (states, steps) = (explored.states, explored.steps);
    println!("{name}: {states} states, {steps} steps, {bounds:?}");
    if let Some((finding, schedule)) = &explored.finding {
        panic!("{finding}\n{}", schedule.join("\n"));
    }
    assert!(!explored.cut_short, "{states} states were not all");
    explored
}

const ALL: usize = 3_000_000;

/// Two nodes may stand for election, at the same time or in turn.
#[test]
fn elections_from_nothing() {
    let bounds = Bounds {
        depth: 9,
        timeouts: 2,
        repeats: 1,
        crashes: 1,
        proposals: 0,
        states: ALL,
    };
    none_breaks_a_promise("elections", &[], bounds);
}

/// A leader replicates while another node comes to lead.
#[test]
fn a_second_term_from_a_first_leader() {
    let bounds = Bounds {
        depth: 8,
        timeouts: 1,
        repeats: 1,
        crashes: 1,
        proposals: 1,
        states: ALL,
    };
    none_breaks_a_promise("second term", &first_node_leads(), bounds);
}
