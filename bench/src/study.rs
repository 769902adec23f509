//! Runs the workloads against all systems, interleaved: within a round every workload
//! visits every system before the next workload begins, so that whatever disturbs the
//! machine disturbs neighbours alike, and ratios are taken within the round.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use crate::{
    durability::FlushCount,
    etcd::Etcd,
    failover::{self, Outage},
    idle,
    lockstep::{self, Lockstep, Recipe},
    machine::{CpuWatch, wait_for_calm},
    open_loop::{self, Target},
    process::Process,
    redis::Redis,
    redis_benchmark::{self, Load, Outcome},
    results::{
        GET_P1, GET_P16, INCR_P1, INCR_P16, Results, SET_P1, SET_P16, Sample, Subject, Workload,
    },
};

/// Clients that put to etcd at the same time.
const ETCD_CLIENTS: usize = 256;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Rounds.
    pub(crate) rounds: usize,
    /// How long one measurement lasts.
    pub(crate) duration: Duration,
    /// How long to wait for an idle machine before each.
    pub(crate) patience: Duration,
    /// HTTP/2 connections that etcd's clients share.
    pub(crate) etcd_connections: usize,
}

/// The systems that run; a peer that is not installed is missing.
pub(crate) struct Systems {
    /// The system under test.
    pub(crate) lockstep: Option<Lockstep>,
    /// The same, every flush of it 5 ms longer.
    pub(crate) slow_disk: Option<Lockstep>,
    /// Lone and replicated Redis.
    pub(crate) redis: BTreeMap<Subject, Redis>,
    /// etcd.
    pub(crate) etcd: Option<Etcd>,
}

/// A run over all rounds.
pub(crate) struct Study {
    systems: Systems,
    extent: Extent,
    directory: PathBuf,
    /// The latest rate of each, from which the length of the next run follows.
    rates: BTreeMap<(Subject, Workload), f64>,
    /// What came out.
    pub(crate) results: Results,
}

impl Study {
    /// A study of what runs.
    pub(crate) fn new(
        systems: Systems,
        extent: Extent,
        directory: PathBuf,
        results: Results,
    ) -> Self {
        Self {
            systems,
            extent,
            directory,
            rates: BTreeMap::new(),
            results,
        }
    }

    /// All rounds of throughput and latency.
    pub(crate) fn run_rounds(&mut self) {
        use Subject::{
            Degraded, Etcd, Follower, Leader, RedisAlways, RedisEverysec, RedisReplicated, SlowDisk,
        };
        const PLAN: &[(Workload, &[Subject])] = &[
            (
                SET_P1,
                &[
                    Leader,
                    Etcd,
                    RedisReplicated,
                    RedisAlways,
                    RedisEverysec,
                    Follower,
                ],
            ),
            (
                SET_P16,
                &[
                    Leader,
                    RedisReplicated,
                    RedisAlways,
                    RedisEverysec,
                    Follower,
                    SlowDisk,
                ],
            ),
            (GET_P1, &[Leader, RedisReplicated, Follower]),
            (GET_P16, &[Leader, RedisReplicated, Follower]),
            (INCR_P1, &[Leader, Follower]),
            (INCR_P16, &[Leader, Follower]),
            (Workload::OpenLoop, &[Leader, Etcd]),
            (SET_P1, &[Degraded]),
            (SET_P16, &[Degraded]),
        ];
        for round in 0..self.extent.rounds {
            for (workload, subjects) in PLAN {
                // Nobody always comes first, on a machine that the others have warmed up.
                let turn = round % subjects.len();
                for &subject in subjects.iter().cycle().skip(turn).take(subjects.len()) {
                    if !self.runs(subject) {
                        continue;
                    }
                    let key = (subject, *workload);
                    eprintln!("round {}: {}, {workload:?}", round + 1, subject.name());
                    match self.measure(key) {
                        Ok(sample) => self.results.add(round, key, sample),
                        Err(error) => {
                            eprintln!("  failed: {error}");
                            let reason = format!("{}, {workload:?}: {error}", subject.name());
                            self.results.skip(reason);
                        }
                    }
                }
            }
        }
    }

    fn runs(&self, subject: Subject) -> bool {
        match subject {
            Subject::Etcd => self.systems.etcd.is_some(),
            Subject::RedisReplicated | Subject::RedisAlways | Subject::RedisEverysec => {
                self.systems.redis.contains_key(&subject)
            }
            Subject::SlowDisk => self.systems.slow_disk.is_some(),
            Subject::Leader | Subject::Follower | Subject::Degraded => {
                self.systems.lockstep.is_some()
            }
        }
    }

    fn lockstep(&self, subject: Subject) -> io::Result<&Lockstep> {
        let cluster = match subject {
            Subject::SlowDisk => &self.systems.slow_disk,
            _ => &self.systems.lockstep,
        };
        cluster
            .as_ref()
            .ok_or_else(|| io::Error::other("lockstep does not run"))
    }

    fn etcd(&self) -> io::Result<&Etcd> {
        self.systems
            .etcd
            .as_ref()
            .ok_or_else(|| io::Error::other("etcd does not run"))
    }

    fn pids(&self, subject: Subject) -> io::Result<Vec<Pid>> {
        Ok(match subject {
            Subject::Etcd => self.etcd()?.processes.iter().map(Process::pid).collect(),
            _ => match self.systems.redis.get(&subject) {
                Some(redis) => redis.processes.iter().map(Process::pid).collect(),
                None => self.lockstep(subject)?.pids(),
            },
        })
    }

    fn port(&self, subject: Subject) -> io::Result<u16> {
        if let Some(redis) = self.systems.redis.get(&subject) {
            return Ok(redis.port);
        }
        let lockstep = self.lockstep(subject)?;
        Ok(lockstep.port(match subject {
            Subject::Follower => lockstep.follower()?,
            _ => lockstep.leader()?,
        }))
    }

    fn measure(&mut self, key: (Subject, Workload)) -> io::Result<Sample> {
        let (subject, workload) = key;
        if subject != Subject::Degraded {
            return match workload {
                Workload::Closed(load) => self.closed(subject, load),
                Workload::OpenLoop => self.open(subject),
            };
        }
        let lockstep = self.lockstep(subject)?;
        let follower = lockstep.follower()?;
        lockstep.node(follower)?.freeze()?;
        // Longer than a heartbeat's absence takes to be noticed.
        thread::sleep(Duration::from_millis(700));
        let sample = match workload {
            Workload::Closed(load) => self.closed(subject, load),
            Workload::OpenLoop => self.open(subject),
        };
        self.lockstep(subject)?.node(follower)?.thaw()?;
        if let Some(lockstep) = &mut self.systems.lockstep {
            lockstep.wait_for_writes(Duration::from_secs(30))?;
        }
        // It still catches up in the background.
        thread::sleep(Duration::from_secs(2));
        sample
    }

    fn closed(&mut self, subject: Subject, load: Load) -> io::Result<Sample> {
        let workload = Workload::Closed(load);
        let port = if subject == Subject::Etcd {
            0
        } else {
            self.port(subject)?
        };
        if !self.rates.contains_key(&(subject, workload)) {
            // The first run warms up and tells how many requests fill the time.
            let outcome = self.load(subject, port, load, 20_000, Duration::from_millis(500))?;
            self.rates.insert((subject, workload), outcome.ops_per_s);
        }
        wait_for_calm(self.extent.patience)?;
        let rate = self
            .rates
            .get(&(subject, workload))
            .copied()
            .unwrap_or(1000.0);
        let requests = (rate * self.extent.duration.as_secs_f64()).max(1000.0) as u64;
        let watch = CpuWatch::start(self.pids(subject)?)?;
        let outcome = self.load(subject, port, load, requests, self.extent.duration)?;
        let cpu = watch.stop()?;
        self.rates.insert((subject, workload), outcome.ops_per_s);
        Ok(Sample {
            ops_per_s: outcome.ops_per_s,
            cpu_s_per_million: cpu.servers_s / outcome.ops as f64 * 1e6,
            p50_ms: f64::NAN,
            p99_ms: outcome.p99_ms,
            foreign: cpu.foreign,
        })
    }

    fn load(
        &self,
        subject: Subject,
        port: u16,
        load: Load,
        requests: u64,
        duration: Duration,
    ) -> io::Result<Outcome> {
        match subject {
            Subject::Etcd => self
                .etcd()?
                .put(ETCD_CLIENTS, self.extent.etcd_connections, duration),
            _ => {
                let patience = 10 * duration + Duration::from_secs(60);
                redis_benchmark::run(port, load, requests, patience)
            }
        }
    }

    /// At half of what etcd managed so far.
    fn open(&mut self, subject: Subject) -> io::Result<Sample> {
        let put = self
            .results
            .figures((Subject::Etcd, SET_P1), |s| s.ops_per_s);
        let rate = put.map(|put| put.median / 2.0);
        let rate = rate.ok_or_else(|| io::Error::other("etcd's maximum is not known"))?;
        let target = match subject {
            Subject::Etcd => Target::Etcd(self.etcd()?.leader()?),
            _ => Target::Redis(self.port(subject)?),
        };
        wait_for_calm(self.extent.patience)?;
        let watch = CpuWatch::start(self.pids(subject)?)?;
        let latency = open_loop::run(&target, rate, self.extent.duration)?;
        let cpu = watch.stop()?;
        Ok(Sample {
            ops_per_s: latency.ops_per_s,
            cpu_s_per_million: cpu.servers_s / latency.sent as f64 * 1e6,
            p50_ms: latency.p50_ms,
            p99_ms: latency.p99_ms,
            foreign: cpu.foreign,
        })
    }

    /// Row 10, `times` times.
    pub(crate) fn failovers(&mut self, times: usize) -> io::Result<Vec<Outage>> {
        let Some(lockstep) = &mut self.systems.lockstep else {
            return Ok(Vec::new());
        };
        (0..times).map(|_| failover::measure(lockstep)).collect()
    }

    /// Row 11: bytes that an idle connection costs the leader.
    pub(crate) fn idle_connection_bytes(&self) -> io::Result<f64> {
        let lockstep = self.lockstep(Subject::Leader)?;
        let leader = lockstep.leader()?;
        idle::bytes_per_connection(lockstep.port(leader), lockstep.node(leader)?.pid())
    }

    /// Flushes of every server while SETs run: as `strace` counts them, and for Lockstep
    /// also as it does itself, undisturbed.
    pub(crate) fn flushes(&mut self) -> io::Result<Vec<Flushes>> {
        use Subject::{Etcd, Leader, RedisAlways, RedisReplicated};
        let mut counts = Vec::new();
        for workload in [SET_P1, SET_P16] {
            let Workload::Closed(load) = workload else {
                continue;
            };
            for subject in [Leader, RedisReplicated, RedisAlways, Etcd] {
                let pipelined_etcd = subject == Etcd && load.pipeline > 1;
                if !self.runs(subject) || pipelined_etcd {
                    continue;
                }
                if subject == Leader {
                    counts.push(self.own_flushes(load)?);
                }
                counts.push(self.traced_flushes(subject, load)?);
            }
        }
        Ok(counts)
    }

    fn own_flushes(&self, load: Load) -> io::Result<Flushes> {
        let lockstep = self.lockstep(Subject::Leader)?;
        let before = lockstep.flushes()?;
        let outcome = self.flush_load(Subject::Leader, load)?;
        let after = lockstep.flushes()?;
        let difference = after
            .iter()
            .zip(&before)
            .map(|(after, before)| after - before);
        Ok(Flushes {
            subject: Subject::Leader,
            load,
            traced: false,
            ops: outcome.ops,
            per_server: difference.collect(),
        })
    }

    fn traced_flushes(&self, subject: Subject, load: Load) -> io::Result<Flushes> {
        let tracers = FlushCount::start(&self.pids(subject)?, &self.directory)?;
        let outcome = self.flush_load(subject, load)?;
        Ok(Flushes {
            subject,
            load,
            traced: true,
            ops: outcome.ops,
            per_server: tracers.stop()?,
        })
    }

    fn flush_load(&self, subject: Subject, load: Load) -> io::Result<Outcome> {
        let port = if subject == Subject::Etcd {
            0
        } else {
            self.port(subject)?
        };
        self.load(subject, port, load, 100_000, Duration::from_secs(2))
    }
}

/// How often a system's servers flushed while they took SETs.
#[derive(Clone, Debug)]
pub(crate) struct Flushes {
    /// Whose.
    pub(crate) subject: Subject,
    /// Under which load.
    pub(crate) load: Load,
    /// Whether `strace` counted, and slowed them; otherwise they did themselves.
    pub(crate) traced: bool,
    /// The SETs acknowledged.
    pub(crate) ops: u64,
    /// The flushes of each server.
    pub(crate) per_server: Vec<u64>,
}

/// How long fresh nodes take: until the first answers PING, and until a write is
/// acknowledged, which takes an election; in milliseconds.
pub(crate) fn start_up(recipe: &Recipe) -> io::Result<(f64, f64)> {
    let begun = Instant::now();
    let mut node = lockstep::start_node(recipe, 0)?;
    let serving = begun.elapsed();
    drop(node.check_alive());
    drop(node);
    let mut recipe = recipe.clone();
    recipe.directory = recipe.directory.join("cluster");
    let begun = Instant::now();
    let cluster = Lockstep::start(recipe)?;
    let writing = begun.elapsed();
    drop(cluster);
    Ok((serving.as_secs_f64() * 1e3, writing.as_secs_f64() * 1e3))
}
