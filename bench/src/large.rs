//! Data and logs that have grown large: more data than memory, a node that was away for
//! gigabytes, a restart with a million keys, and commands that visit every key.
//!
//! What is asked of these is not a ratio to somebody else but a bound, so they have a table of
//! their own, and run alone: `bench --large all`.

use std::{
    fs, io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;

use crate::{
    lockstep::{Lockstep, NODES, Recipe},
    machine::resident_bytes,
    probe::Probe,
    random::Random,
    resp::{Client, Reply, encode, key},
};

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Large {
    /// Four times as much data as memory, served, and served again after kill -9 of all nodes.
    Outgrow,
    /// A follower that was down while five gigabytes were written.
    CatchUp,
    /// A node's restart with a million keys.
    Restart,
    /// KEYS, SCAN, DBSIZE and FLUSHALL over a million keys, as seen by everybody else.
    LongReads,
}

const MIB: u64 = 1 << 20;
const MILLION: u64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(120);
/// Commands that a writing connection has outstanding.
const PIPELINE: u64 = 64;
/// How many entries behind a follower may be that has caught up, under load.
const LAG_MAX: i64 = 100;
/// Connections that fill and load.
const WRITERS: u64 = 8;

/// Runs what was asked for, each on a cluster of its own; one line per figure.
pub(crate) fn run(what: &[Large], recipe: &Recipe, gigabytes: f64) -> io::Result<String> {
    let mut table = String::from("| what | figure |\n|---|---|\n");
    for large in what {
        let mut recipe = recipe.clone();
        recipe.directory = recipe.directory.join(format!("{large:?}"));
        let mut figures = Figures(&mut table);
        match large {
            Large::Outgrow => outgrow(recipe.clone(), gigabytes, &mut figures)?,
            Large::CatchUp => catch_up(recipe.clone(), gigabytes, &mut figures)?,
            Large::Restart => restart(recipe.clone(), &mut figures)?,
            Large::LongReads => long_reads(recipe.clone(), &mut figures)?,
        }
        fs::remove_dir_all(&recipe.directory)?;
    }
    Ok(table)
}

struct Figures<'a>(&'a mut String);

impl Figures<'_> {
    fn add(&mut self, what: &str, figure: String) {
        eprintln!("{what}: {figure}");
        *self.0 += &format!("| {what} | {figure} |\n");
    }
}

/// The value of a key in a round: nothing that compresses, and only its own.
fn value(number: u64, round: u64, bytes: usize) -> Vec<u8> {
    let mut random = Random::new(number ^ round.rotate_left(48));
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        value.extend_from_slice(&random.next().to_le_bytes());
    }
    value.truncate(bytes);
    value
}

fn ok(reply: &Reply) -> io::Result<()> {
    match reply {
        Reply::Text(_) => Ok(()),
        other => Err(io::Error::other(format!("SET answered {other:?}"))),
    }
}

/// Puts keys in order, over several connections, until `stop` says so or all are there.
fn write_all(
    port: u16,
    keys: u64,
    (round, bytes): (u64, usize),
    written: &AtomicU64,
    stop: &AtomicBool,
) -> io::Result<()> {
    let next = AtomicU64::new(0);
    let work = || -> io::Result<()> {
        let mut client = Client::connect(port, PATIENCE)?;
        while !stop.load(Ordering::Relaxed) {
            let first = next.fetch_add(PIPELINE, Ordering::Relaxed);
            if first >= keys {
                break;
            }
            let numbers = first..keys.min(first + PIPELINE);
            let count = numbers.end - numbers.start;
            let mut commands = Vec::new();
            for number in numbers {
                encode(
                    &[b"SET", &key(number), &value(number, round, bytes)],
                    &mut commands,
                );
            }
            let replies = client.pipeline(&commands, count as usize)?;
            replies.iter().try_for_each(ok)?;
            written.fetch_add(count, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(work)).collect();
        writers.into_iter().try_for_each(|writer| {
            writer
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a writer panicked")))
        })
    })
}

fn fill(port: u16, keys: u64, round: u64, bytes: usize) -> io::Result<f64> {
    let begun = Instant::now();
    let (written, never) = (AtomicU64::new(0), AtomicBool::new(false));
    write_all(port, keys, (round, bytes), &written, &never)?;
    Ok(keys as f64 / begun.elapsed().as_secs_f64())
}

/// Reads random keys for a while, checks every value, and gives back the rate.
fn read_some(
    port: u16,
    keys: u64,
    (round, bytes): (u64, usize),
    duration: Duration,
) -> io::Result<f64> {
    let mut client = Client::connect(port, PATIENCE)?;
    let mut random = Random::new(7);
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < duration {
        let numbers: Vec<u64> = (0..PIPELINE).map(|_| random.next() % keys).collect();
        let mut commands = Vec::new();
        for number in &numbers {
            encode(&[b"GET", &key(*number)], &mut commands);
        }
        for (reply, number) in client
            .pipeline(&commands, numbers.len())?
            .into_iter()
            .zip(numbers)
        {
            if reply != Reply::Text(value(number, round, bytes)) {
                return Err(io::Error::other(format!("key {number} is lost or wrong")));
            }
        }
        count += PIPELINE;
    }
    Ok(count as f64 / begun.elapsed().as_secs_f64())
}

/// The highest resident memory of any node while something runs, in MiB.
struct Peak<'a> {
    cluster: &'a Lockstep,
}

impl Peak<'_> {
    fn during<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<(T, u64)> {
        let (stop, peak) = (AtomicBool::new(false), AtomicU64::new(0));
        let pids = self.cluster.pids();
        let result = thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for pid in &pids {
                        let bytes = resident_bytes(*pid).unwrap_or(0);
                        peak.fetch_max(bytes, Ordering::Relaxed);
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            });
            let result = work();
            stop.store(true, Ordering::Relaxed);
            result
        });
        Ok((result?, peak.into_inner() / MIB))
    }
}

fn outgrow(mut recipe: Recipe, gigabytes: f64, figures: &mut Figures<'_>) -> io::Result<()> {
    const BYTES: usize = 1_024;
    let data = (gigabytes * 1024.0) as u64 * MIB;
    let keys = data / BYTES as u64;
    let memory = data / 4 / MIB;
    recipe.settings = vec!["--engine-memory".to_owned(), format!("{memory}mb")];
    let mut cluster = Lockstep::start(recipe)?;
    let port = cluster.port(cluster.leader()?);
    let peak = Peak { cluster: &cluster };
    let (rate, most) = peak.during(|| fill(port, keys, 0, BYTES))?;
    let what = format!("{} MiB of data on {memory} MiB of memory", data / MIB);
    figures.add(&format!("{what}: loaded"), format!("{rate:.0} SET/s"));
    let bound = memory * 5 / 4;
    let within = |most: u64| format!("{most} MiB resident at most, asked ≤ {bound}");
    figures.add("… while loading", within(most));
    let ten = Duration::from_secs(10);
    let (rate, most) = peak.during(|| read_some(port, keys, (0, BYTES), ten))?;
    figures.add("… served", format!("{rate:.0} GET/s on one connection"));
    figures.add("… while serving", within(most));
    (0..NODES).for_each(|nth| cluster.kill_node(nth));
    let begun = Instant::now();
    for nth in 0..NODES {
        cluster.start_node(nth)?;
    }
    cluster.wait_for_writes(PATIENCE)?;
    let back = begun.elapsed().as_secs_f64();
    figures.add(
        "… kill -9 of all, until every node takes writes",
        format!("{back:.1} s"),
    );
    let port = cluster.port(cluster.leader()?);
    let peak = Peak { cluster: &cluster };
    let ((), most) = peak.during(|| check_all(port, keys, BYTES))?;
    figures.add(
        "… afterwards, keys checked",
        format!("all {keys} are there, {}", within(most)),
    );
    Ok(())
}

fn check_all(port: u16, keys: u64, bytes: usize) -> io::Result<()> {
    let mut client = Client::connect(port, PATIENCE)?;
    for first in (0..keys).step_by(PIPELINE as usize) {
        let numbers = first..keys.min(first + PIPELINE);
        let mut commands = Vec::new();
        for number in numbers.clone() {
            encode(&[b"GET", &key(number)], &mut commands);
        }
        let count = (numbers.end - numbers.start) as usize;
        for (reply, number) in client.pipeline(&commands, count)?.into_iter().zip(numbers) {
            if reply != Reply::Text(value(number, 0, bytes)) {
                return Err(io::Error::other(format!("key {number} is lost or wrong")));
            }
        }
    }
    Ok(())
}

/// What a load and a probe beside it saw in a stretch of time.
struct Stretch {
    rate: f64,
    worst_ms: f64,
}

fn catch_up(recipe: Recipe, gigabytes: f64, figures: &mut Figures<'_>) -> io::Result<()> {
    const BYTES: usize = 1_024;
    const KEYS: u64 = MILLION;
    /// How many times the follower is killed while it is sent a snapshot.
    const CUTS: u64 = 5;
    let gibibytes = gigabytes * 2.5;
    let writes = (gibibytes * 1024.0) as u64 * MIB / BYTES as u64;
    let mut cluster = Lockstep::start(recipe.clone())?;
    let leader = cluster.leader()?;
    let behind = (leader + 1) % NODES;
    let port = cluster.port(leader);
    fill(port, KEYS, 0, BYTES)?;
    cluster.kill_node(behind);
    let begun = Instant::now();
    for round in 1..=writes.div_ceil(KEYS) {
        fill(port, KEYS.min(writes - (round - 1) * KEYS), round, BYTES)?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    figures.add(
        &format!("a follower is down while {gibibytes:.1} GiB are written"),
        format!("{:.0} SET/s", writes as f64 / seconds),
    );
    let alone = under_load(port, KEYS, BYTES, |wait| wait(Duration::from_secs(10)))?;
    let before = sent(&cluster, leader)?;
    let begun = Instant::now();
    let (mut cuts, mut size) = (0, 0);
    let home = recipe.directory.join(format!("node-{}", leader + 1));
    let beside = under_load(port, KEYS, BYTES, |wait| {
        cluster.start_node(behind)?;
        let mut last = before;
        loop {
            wait(Duration::from_millis(20))?;
            if begun.elapsed() > PATIENCE * 5 {
                return Err(io::Error::other("the follower never caught up"));
            }
            let now = sent(&cluster, leader)?;
            if size == 0 && now > before {
                size = snapshot_bytes(&home)?;
            }
            if cuts < CUTS && now >= last + KEYS * BYTES as u64 / (CUTS + 2) {
                cuts += 1;
                last = now;
                cluster.kill_node(behind);
                cluster.start_node(behind)?;
            }
            let lag = cluster.applied(leader)? - cluster.applied(behind)?;
            if now > before && lag < LAG_MAX {
                return Ok(());
            }
        }
    })?;
    let bytes = sent(&cluster, leader)? - before;
    let whole = under_load(port, KEYS, BYTES, |wait| wait(Duration::from_secs(10)))?;
    figures.add(
        "… it catches up",
        format!(
            "in {:.1} s, killed {cuts} times on the way; {} MiB sent for a snapshot of {}",
            begun.elapsed().as_secs_f64(),
            bytes / MIB,
            size / MIB
        ),
    );
    figures.add(
        "… throughput meanwhile, of that without it",
        format!(
            "{:.2} ({:.0} of {:.0} SET/s), asked ≥ 0.8",
            beside.rate / alone.rate,
            beside.rate,
            alone.rate
        ),
    );
    figures.add(
        "… and of that with all three nodes, afterwards",
        format!(
            "{:.2} (of {:.0} SET/s)",
            beside.rate / whole.rate,
            whole.rate
        ),
    );
    figures.add(
        "… the longest that a client waited",
        format!(
            "{:.0} ms, without it {:.0} ms, afterwards {:.0} ms; asked: at most 100 more",
            beside.worst_ms, alone.worst_ms, whole.worst_ms
        ),
    );
    Ok(())
}

/// Writes as fast as eight connections do, and probes beside them, while `work` goes on. `work` is
/// handed a way to wait.
fn under_load(
    port: u16,
    keys: u64,
    bytes: usize,
    work: impl FnOnce(&dyn Fn(Duration) -> io::Result<()>) -> io::Result<()>,
) -> io::Result<Stretch> {
    let (written, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let probe = Probe::start(port, Duration::from_millis(5))?;
    let begun = Instant::now();
    let (worked, count, seconds) = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Whatever fails here, the probe sees too.
                if write_all(port, keys, (99, bytes), &written, &stop).is_err() {
                    thread::sleep(Duration::from_millis(100));
                }
            }
        });
        let worked = work(&|duration| {
            thread::sleep(duration);
            Ok(())
        });
        let (count, seconds) = (written.load(Ordering::Relaxed), begun.elapsed());
        stop.store(true, Ordering::Relaxed);
        (worked, count, seconds.as_secs_f64())
    });
    worked?;
    Ok(Stretch {
        rate: count as f64 / seconds,
        worst_ms: probe.stop()?.as_secs_f64() * 1e3,
    })
}

/// Bytes of snapshots that a node has sent since it was started.
fn sent(cluster: &Lockstep, nth: usize) -> io::Result<u64> {
    Ok(cluster.metric(nth, "lockstep_snapshot_bytes_sent_total")? as u64)
}

/// The size of the newest complete snapshot of a node's data group.
fn snapshot_bytes(home: &Path) -> io::Result<u64> {
    let mut newest = 0;
    for entry in fs::read_dir(home.join("data/groups/0"))? {
        let entry = entry?;
        if entry
            .path()
            .extension()
            .is_some_and(|end| end == "snapshot")
        {
            newest = newest.max(entry.metadata()?.len());
        }
    }
    Ok(newest)
}

fn restart(recipe: Recipe, figures: &mut Figures<'_>) -> io::Result<()> {
    let mut cluster = Lockstep::start(recipe)?;
    let port = cluster.port(cluster.leader()?);
    fill(port, MILLION, 0, 256)?;
    for way in ["kill -9", "SIGTERM"] {
        let node = cluster.follower()?;
        match way {
            "kill -9" => cluster.kill_node(node),
            _ => cluster.stop_node(node),
        }
        let begun = Instant::now();
        cluster.start_node(node)?;
        let listening = begun.elapsed().as_secs_f64();
        let mut client = Client::connect(cluster.port(node), PATIENCE)?;
        let last = MILLION - 1;
        while client.call(&[b"GET", &key(last)])? != Reply::Text(value(last, 0, 256)) {
            thread::sleep(Duration::from_millis(5));
        }
        let serving = begun.elapsed().as_secs_f64();
        figures.add(
            &format!("a node with 1,000,000 keys, after {way}"),
            format!(
                "answers PING in {listening:.2} s, a linearizable GET in {serving:.2} s, asked ≤ 3"
            ),
        );
    }
    for nth in 0..NODES {
        cluster.kill_node(nth);
    }
    let begun = Instant::now();
    for nth in 0..NODES {
        cluster.start_node(nth)?;
    }
    cluster.wait_for_writes(PATIENCE)?;
    figures.add(
        "all three after kill -9, until each takes writes",
        format!("{:.2} s", begun.elapsed().as_secs_f64()),
    );
    Ok(())
}

fn long_reads(recipe: Recipe, figures: &mut Figures<'_>) -> io::Result<()> {
    let cluster = Lockstep::start(recipe)?;
    let port = cluster.port(cluster.leader()?);
    fill(port, MILLION, 0, 256)?;
    thread::sleep(Duration::from_secs(2));
    let every = Duration::from_millis(1);
    let probed = |work: &dyn Fn(&mut Client) -> io::Result<()>| -> io::Result<(f64, f64)> {
        let mut client = Client::connect(port, PATIENCE)?;
        let probe = Probe::start(port, every)?;
        let begun = Instant::now();
        work(&mut client)?;
        let seconds = begun.elapsed().as_secs_f64();
        thread::sleep(Duration::from_millis(200));
        Ok((seconds, probe.stop()?.as_secs_f64() * 1e3))
    };
    let idle = probed(&|_| {
        thread::sleep(Duration::from_secs(3));
        Ok(())
    })?;
    figures.add(
        "1,000,000 keys, a SET and a GET every millisecond, nothing else",
        format!("longest wait {:.1} ms", idle.1),
    );
    let keys = |client: &mut Client| -> io::Result<()> {
        match client.call(&[b"KEYS", b"*"])? {
            Reply::Array(keys) if keys.len() as u64 >= MILLION => Ok(()),
            other => Err(io::Error::other(format!("KEYS answered {other:.60?}"))),
        }
    };
    let count = |client: &mut Client| -> io::Result<()> {
        match client.call(&[b"DBSIZE"])? {
            Reply::Integer(count) if count as u64 >= MILLION => Ok(()),
            other => Err(io::Error::other(format!("DBSIZE answered {other:?}"))),
        }
    };
    let flush = |client: &mut Client| ok(&client.call(&[b"FLUSHALL"])?);
    let mut beside = |name: &str, command: &dyn Fn(&mut Client) -> io::Result<()>| {
        let (seconds, worst) = probed(command)?;
        figures.add(
            &format!("… beside {name}, which takes {seconds:.2} s"),
            format!("longest wait {worst:.1} ms, asked: at most 50 more"),
        );
        io::Result::Ok(())
    };
    beside("KEYS *", &keys)?;
    beside("DBSIZE", &count)?;
    beside("a full SCAN, COUNT 1000", &scan)?;
    beside("FLUSHALL", &flush)
}

fn scan(client: &mut Client) -> io::Result<()> {
    let (mut cursor, mut seen) = (b"0".to_vec(), 0);
    loop {
        let reply = client.call(&[b"SCAN", &cursor, b"COUNT", b"1000"])?;
        let Reply::Array(parts) = reply else {
            return Err(io::Error::other(format!("SCAN answered {reply:?}")));
        };
        let [Reply::Text(next), Reply::Array(keys)] = parts.as_slice() else {
            return Err(io::Error::other("SCAN answered something else"));
        };
        seen += keys.len() as u64;
        cursor.clone_from(next);
        if cursor == b"0" {
            break;
        }
    }
    match seen >= MILLION {
        true => Ok(()),
        false => Err(io::Error::other(format!("SCAN saw {seen} keys"))),
    }
}
