//! What was measured, by system, workload and round, and the statistics over rounds.

use std::collections::BTreeMap;

use crate::redis_benchmark::Load;

/// Whose servers were under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Lockstep, through its leader.
    Leader,
    /// Lockstep, through a follower.
    Follower,
    /// Lockstep through its leader, one follower frozen.
    Degraded,
    /// Lockstep with a slow disk, through its leader.
    SlowDisk,
    /// A Redis primary with two replicas, `everysec`.
    RedisReplicated,
    /// A lone Redis, `always`.
    RedisAlways,
    /// A lone Redis, `everysec`.
    RedisEverysec,
    /// Three etcd members.
    Etcd,
}

impl Subject {
    /// Its name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Subject::Leader => "Lockstep",
            Subject::Follower => "Lockstep, follower",
            Subject::Degraded => "Lockstep, one follower stopped",
            Subject::SlowDisk => "Lockstep, slow disk",
            Subject::RedisReplicated => "Redis 1+2 everysec",
            Subject::RedisAlways => "Redis alone, always",
            Subject::RedisEverysec => "Redis alone, everysec",
            Subject::Etcd => "etcd",
        }
    }
}

/// What was asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    /// As many requests as it takes, by `redis-benchmark`; etcd gets its own client.
    Closed(Load),
    /// A fixed rate of SETs.
    OpenLoop,
}

const fn load(test: &'static str, connections: usize, pipeline: usize) -> Workload {
    Workload::Closed(Load {
        test,
        connections,
        pipeline,
    })
}

/// SET, 256 connections that wait for each reply.
pub(crate) const SET_P1: Workload = load("set", 256, 1);
/// SET, 64 connections with 16 outstanding each: 1,024 in all.
pub(crate) const SET_P16: Workload = load("set", 64, 16);
/// GET, as [`SET_P1`].
pub(crate) const GET_P1: Workload = load("get", 256, 1);
/// GET, as [`SET_P16`].
pub(crate) const GET_P16: Workload = load("get", 64, 16);
/// INCR, as [`SET_P1`].
pub(crate) const INCR_P1: Workload = load("incr", 256, 1);
/// INCR, as [`SET_P16`].
pub(crate) const INCR_P16: Workload = load("incr", 64, 16);

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Replies per second.
    pub(crate) ops_per_s: f64,
    /// CPU seconds of all servers of the system per million operations.
    pub(crate) cpu_s_per_million: f64,
    /// The median latency in milliseconds; only an open loop knows it.
    pub(crate) p50_ms: f64,
    /// The 99th percentile in milliseconds.
    pub(crate) p99_ms: f64,
    /// The share of the machine that somebody else used meanwhile, 0 to 1.
    pub(crate) foreign: f64,
}

/// Everything measured so far.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// By round, so that ratios compare neighbours in time.
    samples: BTreeMap<(Subject, Workload), BTreeMap<usize, Sample>>,
    /// What could not be measured, and why.
    pub(crate) skipped: Vec<String>,
}

impl Results {
    /// Notes a sample.
    pub(crate) fn add(&mut self, round: usize, key: (Subject, Workload), sample: Sample) {
        self.samples.entry(key).or_default().insert(round, sample);
    }

    /// Notes that something was not measured; each reason once.
    pub(crate) fn skip(&mut self, reason: String) {
        if !self.skipped.contains(&reason) {
            self.skipped.push(reason);
        }
    }

    /// One figure of every round.
    pub(crate) fn figures(
        &self,
        key: (Subject, Workload),
        figure: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.samples.get(&key)?.values().map(figure).collect())
    }

    /// The ratio of two figures, round by round, of the rounds that have both.
    pub(crate) fn ratios(
        &self,
        ours: (Subject, Workload),
        theirs: (Subject, Workload),
        figure: impl Fn(&Sample) -> f64,
    ) -> Option<Spread> {
        let (ours, theirs) = (self.samples.get(&ours)?, self.samples.get(&theirs)?);
        let ratios = ours.iter().filter_map(|(round, ours)| {
            let theirs = theirs.get(round)?;
            Some(figure(ours) / figure(theirs))
        });
        Spread::of(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    /// The largest share of the machine that somebody else used during a measurement.
    pub(crate) fn foreign_max(&self) -> f64 {
        self.samples
            .values()
            .flat_map(BTreeMap::values)
            .map(|s| s.foreign)
            .fold(0.0, f64::max)
    }

    /// Everything there is, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (Subject, Workload)> {
        self.samples.keys().copied()
    }
}

/// Several figures: their median and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The middle one; between the middle two if they are even in number.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Spread {
    /// `None` if there are no figures.
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let upper = *figures.get(figures.len() / 2)?;
        let lower = *figures.get((figures.len() - 1) / 2)?;
        Some(Self {
            median: (lower + upper) / 2.0,
            min,
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ops_per_s: f64) -> Sample {
        Sample {
            ops_per_s,
            cpu_s_per_million: 1.0,
            p50_ms: 0.0,
            p99_ms: 0.0,
            foreign: 0.0,
        }
    }

    #[test]
    fn a_spread_has_the_middle() {
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn ratios_pair_the_rounds() {
        let mut results = Results::default();
        let (ours, theirs) = ((Subject::Leader, SET_P1), (Subject::Etcd, SET_P1));
        results.add(0, ours, sample(10.0));
        results.add(0, theirs, sample(1.0));
        results.add(1, ours, sample(40.0));
        results.add(1, theirs, sample(2.0));
        // A round that lacks one of the two compares nothing.
        results.add(2, ours, sample(1000.0));
        let spread = results.ratios(ours, theirs, |s| s.ops_per_s).unwrap();
        assert_eq!((spread.min, spread.max), (10.0, 20.0));
    }
}
