//! What `simulate` can be asked for.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use simulation::{Counts, Keep, Lockstep, Plan, Report, run, run_plan, shrink, timeline};

pub(crate) const USAGE: &str = "\
simulate --minutes N            run seeds for so long, on every core
simulate --seeds A..B           run these
simulate --seed S               run one, and print a line for each event
   --from SECONDS               begin printing there
   --html FILE                  draw its last two seconds, or --window SECONDS
   --shrink                     look for the fewest faults that still fail, and replay those
   --only N,N,…                 keep only these faults of its plan
simulate --expect CHECKER --seeds A..B
                                succeed if some seed makes that checker speak (for sabotage)";

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Task {
    minutes: Option<f64>,
    seeds: Option<(u64, u64)>,
    seed: Option<u64>,
    from: f64,
    html: Option<String>,
    window: f64,
    shrink: bool,
    only: Option<Vec<usize>>,
    expect: Option<String>,
}

impl Task {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Task, String> {
        let mut task = Task {
            window: 2.0,
            ..Task::default()
        };
        while let Some(flag) = args.next() {
            if flag == "--shrink" {
                task.shrink = true;
                continue;
            }
            let value = args.next().ok_or_else(|| format!("{flag} wants a value"))?;
            let wrong = || format!("{flag} cannot be {value}");
            let number = || value.parse::<f64>().map_err(|_| wrong());
            match flag.as_str() {
                "--minutes" => task.minutes = Some(number()?),
                "--from" => task.from = number()?,
                "--window" => task.window = number()?,
                "--seed" => task.seed = Some(value.parse().map_err(|_| wrong())?),
                "--html" => task.html = Some(value),
                "--expect" => task.expect = Some(value),
                "--only" => {
                    let only = value.split(',').map(str::parse).collect::<Result<_, _>>();
                    task.only = Some(only.map_err(|_| wrong())?);
                }
                "--seeds" => {
                    let ends = value.split_once("..").ok_or_else(wrong)?;
                    let end = |text: &str| text.parse::<u64>().map_err(|_| wrong());
                    task.seeds = Some((end(ends.0)?, end(ends.1)?));
                }
                _ => return Err(format!("there is no {flag}")),
            }
        }
        Ok(task)
    }

    pub(crate) fn run(&self) -> ExitCode {
        match (self.seed, self.seeds, self.minutes) {
            (Some(seed), _, _) => self.replay(seed),
            (None, Some(seeds), _) => self.many(seeds, None),
            (None, None, Some(minutes)) => {
                let until = Duration::from_secs_f64(minutes * 60.0);
                // Every run is another stretch of the seeds: those of the test are known.
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                let first = now.map_or(1, |now| now.as_secs()) << 16;
                self.many((first, u64::MAX), Some(until))
            }
            (None, None, None) => {
                eprintln!("{USAGE}");
                ExitCode::from(2)
            }
        }
    }

    /// One seed, with everything that can be seen of it.
    fn replay(&self, seed: u64) -> ExitCode {
        let mut plan = Plan::new(seed);
        if let Some(only) = &self.only {
            plan.keep(only);
        }
        if self.shrink {
            let Some(found) = shrink::shrink(&Lockstep, seed, plan, &mut |line| println!("{line}"))
            else {
                println!("seed {seed} finds nothing");
                return ExitCode::SUCCESS;
            };
            println!("the shortest plan that still fails:");
            for planned in &found.plan.faults {
                println!("{}  {}", planned.at, planned.fault);
            }
            let kept: Vec<String> = found.kept.iter().map(usize::to_string).collect();
            println!("again: simulate --seed {seed} --only {}", kept.join(","));
            plan = found.plan;
        }
        let nodes = plan.nodes;
        let keep = Keep {
            lines: !self.shrink,
            from: (self.from * 1e6) as u64,
            timeline: self.html.is_some(),
        };
        let report = run_plan(&Lockstep, seed, plan, keep);
        println!("{}", sentence(&report));
        if let Some(path) = &self.html {
            let title = sentence(&report);
            let page = timeline::draw(&report.trace, &title, nodes, (self.window * 1e6) as u64);
            if let Err(error) = std::fs::write(path, page) {
                eprintln!("cannot write {path}: {error}");
                return ExitCode::FAILURE;
            }
            println!("the timeline is in {path}");
        }
        match report.finding {
            Some(_) => ExitCode::FAILURE,
            None => ExitCode::SUCCESS,
        }
    }

    /// Many seeds, on every core.
    fn many(&self, (first, end): (u64, u64), limit: Option<Duration>) -> ExitCode {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
        let summary = Mutex::new(Summary::default());
        let started = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    loop {
                        let over = limit.is_some_and(|limit| started.elapsed() >= limit);
                        if over || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            return;
                        }
                        let report = run(&Lockstep, seed, Keep::default());
                        let Ok(mut summary) = summary.lock() else {
                            return;
                        };
                        let wanted = self.wants(&report);
                        summary.add(&report);
                        if let Some(true) = wanted {
                            stop.store(true, Ordering::Relaxed);
                        }
                        if self.expect.is_none() && report.finding.is_some() {
                            println!("\r\x1b[K{}", sentence(&report));
                        }
                        let share = match limit {
                            Some(limit) => started.elapsed().as_secs_f64() / limit.as_secs_f64(),
                            None => (seed - first) as f64 / (end - first) as f64,
                        };
                        summary.progress(share.min(1.0), started.elapsed());
                    }
                });
            }
        });
        let summary = summary.into_inner().unwrap_or_default();
        if let Some(expected) = &self.expect {
            return summary.expected(expected, first);
        }
        summary.print(started.elapsed(), cores);
        match summary.findings.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    /// Whether a report is what was waited for.
    fn wants(&self, report: &Report) -> Option<bool> {
        let expected = self.expect.as_ref()?;
        let found = report.finding.as_ref()?;
        Some(expected.split('|').any(|one| one == found.checker))
    }
}

/// How long this process has kept a core busy, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may hold spaces.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks
        .map(|field| field.parse::<u64>().ok())
        .sum::<Option<u64>>()?;
    // A tick is a hundredth of a second on every Linux there is.
    Some(ticks as f64 / 100.0)
}

/// A report in a sentence.
fn sentence(report: &Report) -> String {
    let (seed, commit) = (report.seed, option_env!("LOCKSTEP_COMMIT").unwrap_or("?"));
    match &report.finding {
        Some(finding) => format!("seed {seed}, commit {commit}: {finding}"),
        None => {
            let Counts {
                calls,
                committed,
                reigns,
                span,
                ..
            } = report.counts;
            let digest = report.digest;
            format!(
                "seed {seed}, commit {commit}: nothing found in {span} s, {calls} calls, {committed} \
                 entries, {reigns} elections; digest {digest:016x}"
            )
        }
    }
}

/// What many runs came to.
#[derive(Debug, Default)]
struct Summary {
    seeds: u64,
    counts: Counts,
    findings: Vec<(u64, &'static str)>,
    drawn: Option<Instant>,
}

impl Summary {
    fn add(&mut self, report: &Report) {
        let counts = &report.counts;
        self.seeds += 1;
        self.counts.events += counts.events;
        self.counts.calls += counts.calls;
        self.counts.answered += counts.answered;
        self.counts.unknown += counts.unknown;
        self.counts.undecided += counts.undecided;
        self.counts.committed += counts.committed;
        self.counts.reigns += counts.reigns;
        self.counts.span = self.counts.span + counts.span.0;
        for (kind, count) in &counts.snapshots {
            *self.counts.snapshots.entry(kind).or_default() += count;
        }
        for (kind, count) in &counts.faults {
            *self.counts.faults.entry(kind).or_default() += count;
        }
        if let Some(finding) = &report.finding {
            self.findings.push((report.seed, finding.checker));
        }
    }

    fn progress(&mut self, share: f64, elapsed: Duration) {
        let recent = self
            .drawn
            .is_some_and(|at| at.elapsed() < Duration::from_millis(250));
        if recent || !std::io::stderr().is_terminal() {
            return;
        }
        self.drawn = Some(Instant::now());
        let done = (share * 40.0) as usize;
        eprint!(
            "\r[{:<40}] {} seeds, {} faults, {} found, {:.0} s",
            "#".repeat(done),
            self.seeds,
            self.counts.faults.values().sum::<u64>(),
            self.findings.len(),
            elapsed.as_secs_f64()
        );
        let _ = std::io::stderr().flush();
    }

    fn print(&self, elapsed: Duration, cores: usize) {
        let counts = &self.counts;
        let hours = counts.span.0 as f64 / 3.6e9;
        let minutes = elapsed.as_secs_f64() / 60.0 * cores as f64;
        println!("\n{:>30}  {:>9}", "fault", "times");
        for (kind, count) in &counts.faults {
            println!("{kind:>30}  {count:>9}");
        }
        println!(
            "{} seeds, {} calls ({} answered, {} unknown), {} entries, {} elections, {} events",
            self.seeds,
            counts.calls,
            counts.answered,
            counts.unknown,
            counts.committed,
            counts.reigns,
            counts.events
        );
        let snapshots = counts.snapshots.iter();
        let snapshots = snapshots.map(|(kind, count)| format!("{kind} {count}"));
        println!("snapshots: {}", snapshots.collect::<Vec<_>>().join(", "));
        if counts.undecided > 0 {
            println!(
                "{} histories of keys took too long to be judged",
                counts.undecided
            );
        }
        // What others do with the cores meanwhile says nothing about this program.
        let worked = cpu_seconds().map_or(minutes, |seconds| seconds / 60.0);
        println!(
            "{hours:.1} cluster-hours in {:.0} s on {cores} cores, {:.0} % of them ours: {:.1} per \
             minute of one core",
            elapsed.as_secs_f64(),
            100.0 * worked / minutes,
            hours / worked
        );
        let mut kinds: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (seed, checker) in &self.findings {
            kinds.entry(checker).or_default().push(*seed);
        }
        for (checker, seeds) in &kinds {
            let first = seeds.first().copied().unwrap_or_default();
            println!(
                "FOUND {} times: {checker}; make simulate SEED={first}",
                seeds.len()
            );
        }
        if kinds.is_empty() {
            println!("nothing found");
        }
    }

    /// For sabotage: how many seeds it took until the right checker spoke.
    fn expected(&self, expected: &str, first: u64) -> ExitCode {
        let is_it = |(_, checker): &&(u64, &str)| expected.split('|').any(|one| one == *checker);
        match self.findings.iter().filter(is_it).min() {
            Some((seed, checker)) => {
                println!("found by {checker} after {} seeds", seed - first + 1);
                ExitCode::SUCCESS
            }
            None => {
                let others: Vec<_> = self.findings.iter().take(5).collect();
                println!("NOT FOUND in {} seeds; others: {others:?}", self.seeds);
                ExitCode::FAILURE
            }
        }
    }
}
