//! Lockstep against its peers, on one machine, in one interleaved run.
//!
//! Starts a Lockstep cluster and the peers that are installed, runs the workloads of
//! the targets in rounds, and prints one Markdown table of ratios. See README.md for
//! what the columns mean and what they do not.

mod durability;
mod etcd;
mod failover;
mod idle;
mod large;
mod lockstep;
mod machine;
mod open_loop;
mod probe;
mod process;
mod random;
mod redis;
mod redis_benchmark;
mod report;
mod resp;
mod results;
mod study;

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use clap::Parser;

use crate::{
    large::Large,
    lockstep::{Lockstep, Recipe},
    redis::Redis,
    redis_benchmark::{KEYS, VALUE_BYTES},
    results::{Results, Spread, Subject},
    study::{Extent, Study, Systems},
};

/// Measures Lockstep against its peers and prints the table of ratios.
#[derive(Clone, Debug, Parser)]
#[command(version)]
struct Args {
    /// The lockstep binary, built with --release.
    #[arg(
        long,
        env = "BENCH_LOCKSTEP",
        default_value = "../target/release/lockstep"
    )]
    lockstep: PathBuf,
    /// What holds the keys: memory or rocksdb.
    #[arg(long, default_value = "memory")]
    engine: String,
    /// Rounds; medians need at least five.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds that one measurement lasts.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// A first impression: two rounds of one second each.
    #[arg(long)]
    quick: bool,
    /// Seconds to wait for an otherwise idle machine before each measurement.
    #[arg(long, default_value_t = 10.0)]
    patience: f64,
    /// Where the data goes; must be a real disk.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The lowest port; some 300 above it, and the same 1,000 and 2,000 higher, are used.
    #[arg(long, default_value_t = 26_000)]
    port: u16,
    /// Connections that etcd's 256 clients share.
    #[arg(long, default_value_t = 16)]
    etcd_connections: usize,
    /// Measures the peers alone.
    #[arg(long)]
    peers_only: bool,
    /// Measures Lockstep alone.
    #[arg(long, conflicts_with = "peers_only")]
    lockstep_only: bool,
    /// Measures large data and long logs instead, each on a cluster of its own.
    #[arg(long, value_enum, value_delimiter = ',')]
    large: Vec<Large>,
    /// How much data outgrows memory, in GiB; a follower misses two and a half times as much.
    #[arg(long, default_value_t = 2.0)]
    gigabytes: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if !args.peers_only && !args.lockstep.is_file() {
        let path = args.lockstep.display();
        return Err(format!(
            "there is no binary at {path}: build it with `cargo build --release -p node \
             --no-default-features`, or name it with --lockstep"
        )
        .into());
    }
    std::fs::create_dir_all(&args.dir)?;
    if machine::is_tmpfs(&args.dir)? {
        let dir = args.dir.display();
        return Err(
            format!("{dir} is in memory, where fsync is free: give --dir on a disk").into(),
        );
    }
    idle::allow_many_files()?;
    let directory = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(&args.dir)?;
    process::end_all_on_signal(directory.path())?;
    let place = directory.path().canonicalize()?;
    let report = match args.large.as_slice() {
        [] => run(&args, &place)?,
        large => large::run(large, &recipe(&args, &place), args.gigabytes)?,
    };
    println!("{report}");
    Ok(())
}

fn extent(args: &Args) -> Extent {
    Extent {
        rounds: if args.quick { 2 } else { args.rounds },
        duration: Duration::from_secs_f64(if args.quick { 1.0 } else { args.seconds }),
        patience: Duration::from_secs_f64(args.patience),
        etcd_connections: args.etcd_connections,
    }
}

fn recipe(args: &Args, directory: &Path) -> Recipe {
    Recipe {
        binary: args.lockstep.clone(),
        engine: args.engine.clone(),
        directory: directory.to_owned(),
        port: args.port + 1,
        flush_delay: None,
        settings: Vec::new(),
    }
}

fn run(args: &Args, directory: &Path) -> Result<String, Box<dyn Error>> {
    let mut results = Results::default();
    let recipe = recipe(args, directory);
    let mut rows = Vec::new();
    if !args.peers_only {
        rows.extend(start_up_rows(&recipe, if args.quick { 2 } else { 5 })?);
    }
    let systems = start(args, &recipe, directory, &mut results)?;
    let mut study = Study::new(systems, extent(args), directory.to_owned(), results);
    study.run_rounds();

    let mut flushes = String::new();
    if durability::available() {
        for count in study.flushes()? {
            flushes += &report::flushes(&count);
        }
    } else {
        study
            .results
            .skip("flush counts: strace is not installed or may not trace".to_owned());
    }
    if !args.peers_only {
        let bytes = study.idle_connection_bytes()? / 1024.0;
        let spread = Spread::of(vec![bytes]);
        rows.push(report::limit(
            "11",
            "memory per idle connection",
            Some(16.0),
            " KiB",
            spread,
        ));
        let outages = study.failovers(if args.quick { 2 } else { 5 })?;
        let seconds = |of: fn(&failover::Outage) -> Duration| {
            Spread::of(
                outages
                    .iter()
                    .map(|outage| of(outage).as_secs_f64() * 1e3)
                    .collect(),
            )
        };
        rows.push(report::limit(
            "10",
            "kill -9 of the leader until writes through a survivor resume",
            Some(1000.0),
            " ms",
            seconds(|outage| outage.through_survivor),
        ));
        rows.push(report::limit(
            "10",
            "the same, for a client that follows the leader",
            Some(1000.0),
            " ms",
            seconds(|outage| outage.following),
        ));
        study
            .results
            .skip("row 7: Paxos does not exist yet".to_owned());
    }
    rows.extend(report::comparisons(&study.results));
    rows.extend(report::costs(&study.results, &args.engine));
    rows.push(report::tail(&study.results));
    Ok(render(args, rows, &study.results, &flushes))
}

fn render(args: &Args, rows: Vec<report::Row>, results: &Results, flushes: &str) -> String {
    let Extent {
        rounds, duration, ..
    } = extent(args);
    let skipped: String = results
        .skipped
        .iter()
        .map(|reason| format!("- {reason}\n"))
        .collect();
    format!(
        "{} engine, {rounds} rounds of {:.1} s, {VALUE_BYTES}-byte values, {KEYS} keys; \
         at most {:.0} % of the machine was used by somebody else during a measurement.\n\n\
         {}\n## Absolute figures\n\n{}\n## Flushes\n\n\
         {flushes}\n## Not measured\n\n{skipped}",
        args.engine,
        duration.as_secs_f64(),
        results.foreign_max() * 100.0,
        report::table(rows),
        report::absolutes(results),
    )
}

fn start_up_rows(recipe: &Recipe, times: usize) -> io::Result<Vec<report::Row>> {
    let (mut serving, mut writing) = (Vec::new(), Vec::new());
    for nth in 0..times {
        let mut recipe = recipe.clone();
        recipe.directory = recipe.directory.join(format!("start-up-{nth}"));
        let (first, second) = study::start_up(&recipe)?;
        serving.push(first);
        writing.push(second);
    }
    Ok(vec![
        report::limit(
            "11",
            "empty node, start to serving",
            Some(100.0),
            " ms",
            Spread::of(serving),
        ),
        report::limit(
            "11",
            "empty cluster, start to first write",
            None,
            " ms",
            Spread::of(writing),
        ),
    ])
}

/// Starts everything that is to be measured, and fills it with keys.
fn start(
    args: &Args,
    recipe: &Recipe,
    directory: &Path,
    results: &mut Results,
) -> io::Result<Systems> {
    let mut systems = Systems {
        lockstep: None,
        slow_disk: None,
        redis: BTreeMap::new(),
        etcd: None,
    };
    let value = [b'x'; VALUE_BYTES];
    if !args.peers_only {
        eprintln!("starting lockstep");
        let lockstep = Lockstep::start(recipe.clone())?;
        resp::fill(lockstep.port(lockstep.leader()?), KEYS, &value)?;
        systems.lockstep = Some(lockstep);
        if durability::available() {
            let mut recipe = recipe.clone();
            recipe.directory = directory.join("slow-disk");
            recipe.port += 10;
            recipe.flush_delay = Some(Duration::from_millis(5));
            systems.slow_disk = Some(Lockstep::start(recipe)?);
        } else {
            results.skip("row 8: strace, which delays the flushes, is not installed".to_owned());
        }
    }
    if args.lockstep_only {
        results.skip("the peers: --lockstep-only was given".to_owned());
        return Ok(systems);
    }
    if installed("redis-server") {
        eprintln!("starting redis");
        let redis = [
            (
                Subject::RedisReplicated,
                Redis::replicated(directory, args.port + 101)?,
            ),
            (
                Subject::RedisAlways,
                Redis::alone(directory, args.port + 111, "always")?,
            ),
            (
                Subject::RedisEverysec,
                Redis::alone(directory, args.port + 121, "everysec")?,
            ),
        ];
        for (subject, redis) in redis {
            resp::fill(redis.port, KEYS, &value)?;
            systems.redis.insert(subject, redis);
        }
    } else {
        results.skip("Redis: redis-server is not installed (make setup)".to_owned());
    }
    if installed("etcd") {
        eprintln!("starting etcd");
        systems.etcd = Some(etcd::Etcd::start(directory, args.port + 201)?);
    } else {
        results.skip("etcd: etcd is not installed (apt-get install etcd-server)".to_owned());
    }
    Ok(systems)
}

fn installed(program: &str) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| output.status.success())
}
