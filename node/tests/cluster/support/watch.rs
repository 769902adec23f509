//! Holds a node to its promises while somebody misbehaves: it lives, does not swell,
//! counts what it drops, and serves everybody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Cluster, load::StallMeter};

/// What a node may grow by, in bytes of resident memory, at its peak.
const GROWTH_MAX: u64 = 64 << 20;
/// How long the others are watched after the attack.
const AFTERMATH: Duration = Duration::from_millis(200);
/// What another client's command may take, on top of what the machine itself stalls.
const OTHERS_WAIT_MAX: Duration = Duration::from_secs(1);

/// A watch over one node.
pub(crate) struct Watch {
    node: usize,
    resident_before: u64,
    stop: Arc<AtomicBool>,
    others: JoinHandle<(usize, Duration)>,
    meter: StallMeter,
}

impl Watch {
    /// Begins: from now on another client writes and reads through the node.
    pub(crate) fn begin(cluster: &Cluster, node: usize) -> Self {
        let mut client = cluster.connect(node);
        // Whatever the node takes once, it takes now.
        assert_eq!(client.call(["SET", "others", "0"]), "OK");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let others = thread::spawn(move || {
            let (mut calls, mut longest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(client.call(["SET", "others", &calls.to_string()]), "OK");
                assert_eq!(client.call(["GET", "others"]), calls.to_string().as_str());
                longest = longest.max(begun.elapsed());
                calls += 1;
                thread::sleep(Duration::from_millis(1));
            }
            (calls, longest)
        });
        let process = cluster.node(node);
        process.reset_peak();
        Self {
            node,
            resident_before: process.resident_bytes(),
            stop,
            others,
            meter: StallMeter::start(),
        }
    }

    /// Ends, and fails the test if a promise was broken.
    pub(crate) fn end(self, cluster: &mut Cluster, what: &str) {
        let problems = self.problems(cluster, what);
        assert!(problems.is_empty(), "{problems:#?}");
    }

    /// Ends, and says which promises were broken.
    pub(crate) fn problems(self, cluster: &mut Cluster, what: &str) -> Vec<String> {
        // Long enough to see what it did to others.
        thread::sleep(AFTERMATH);
        self.stop.store(true, Ordering::Relaxed);
        let (calls, longest) = self.others.join().expect("the other client was served");
        let stall = self.meter.finish();
        cluster.assert_healthy();
        let peak = cluster.node(self.node).peak_bytes();
        let growth = peak.saturating_sub(self.resident_before);
        println!(
            "{what}: grew by {} KiB, others waited at most {longest:?} \
             in {calls} turns (stall of the machine {stall:?})",
            growth >> 10
        );
        let mut problems = Vec::new();
        if growth >= GROWTH_MAX {
            problems.push(format!("{what}: the node grew by {} MiB", growth >> 20));
        }
        if longest >= OTHERS_WAIT_MAX + 3 * stall {
            problems.push(format!("{what}: another client waited {longest:?}"));
        }
        problems
    }
}

/// The refusals that a node has counted, on either port.
pub(crate) struct Refusals {
    node: usize,
    before: f64,
}

impl Refusals {
    /// Begins to count.
    pub(crate) fn begin(cluster: &Cluster, node: usize) -> Self {
        let before = if cluster.is_oracle() {
            0.0
        } else {
            count(cluster, node)
        };
        Self { node, before }
    }

    /// Fails the test unless at least `wanted` were counted. Gauges and counters are
    /// brought up to date now and then only, so this waits a while.
    pub(crate) fn end(self, cluster: &mut Cluster, wanted: usize) {
        if cluster.is_oracle() {
            return;
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let counted = count(cluster, self.node) - self.before;
            if counted >= wanted as f64 {
                println!("{counted} refusals counted, at least {wanted} expected");
                return;
            }
            assert!(
                Instant::now() < deadline,
                "only {counted} of {wanted} refusals were counted"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn count(cluster: &Cluster, node: usize) -> f64 {
    let counts_refusals = |name: &str| {
        let words = ["error", "rejected", "refused", "unreadable"];
        name.ends_with("_total") && words.iter().any(|word| name.contains(word))
    };
    cluster.metrics(node, counts_refusals)
}
