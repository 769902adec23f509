//! The table: one row per target, ratios first, because absolute figures drift with
//! the machine by a factor of two while ratios hold.

use std::fmt::Write;

use crate::results::{
    GET_P1, GET_P16, INCR_P1, INCR_P16, Results, SET_P1, SET_P16, Sample, Spread, Subject, Workload,
};
use crate::study::Flushes;

/// A line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// The target's number; `–` if it is none of the numbered ones.
    pub(crate) number: &'static str,
    /// What is measured.
    pub(crate) what: String,
    /// What it should be.
    pub(crate) target: String,
    /// What came out; `None` if nothing did.
    pub(crate) measured: Option<String>,
    /// Whether that is enough; `None` if there is no target.
    pub(crate) met: Option<bool>,
    /// Lockstep's own figure.
    pub(crate) ours: String,
    /// The peer's.
    pub(crate) theirs: String,
    /// CPU seconds per million operations: Lockstep's, the peer's.
    pub(crate) cpu: (String, String),
}

/// A comparison of throughput: number, what, us, them, and the least ratio wanted.
type Comparison = (
    &'static str,
    &'static str,
    (Subject, Workload),
    (Subject, Workload),
    Option<f64>,
);

const COMPARISONS: &[Comparison] = {
    use Subject::{Degraded, Etcd, Follower, Leader, RedisAlways, RedisEverysec, RedisReplicated};
    &[
        (
            "1",
            "SET P1 against etcd put",
            (Leader, SET_P1),
            (Etcd, SET_P1),
            Some(10.0),
        ),
        (
            "2",
            "SET P1 against Redis 1+2",
            (Leader, SET_P1),
            (RedisReplicated, SET_P1),
            Some(1.0),
        ),
        (
            "3",
            "SET P16 against Redis 1+2",
            (Leader, SET_P16),
            (RedisReplicated, SET_P16),
            Some(0.7),
        ),
        (
            "4",
            "GET P1 against Redis 1+2",
            (Leader, GET_P1),
            (RedisReplicated, GET_P1),
            Some(0.7),
        ),
        (
            "4",
            "GET P16 against Redis 1+2",
            (Leader, GET_P16),
            (RedisReplicated, GET_P16),
            Some(0.4),
        ),
        (
            "8",
            "SET, 1,024 outstanding, 5 ms fsync, against normal",
            (Subject::SlowDisk, SET_P16),
            (Leader, SET_P16),
            Some(0.5),
        ),
        (
            "9",
            "SET P1, one follower stopped, against normal",
            (Degraded, SET_P1),
            (Leader, SET_P1),
            Some(0.9),
        ),
        (
            "9",
            "SET P16, one follower stopped, against normal",
            (Degraded, SET_P16),
            (Leader, SET_P16),
            Some(0.9),
        ),
        (
            "–",
            "SET P1 through a follower",
            (Follower, SET_P1),
            (Leader, SET_P1),
            Some(0.6),
        ),
        (
            "–",
            "SET P16 through a follower",
            (Follower, SET_P16),
            (Leader, SET_P16),
            Some(0.6),
        ),
        (
            "–",
            "GET P1 through a follower",
            (Follower, GET_P1),
            (Leader, GET_P1),
            Some(0.6),
        ),
        (
            "–",
            "GET P16 through a follower",
            (Follower, GET_P16),
            (Leader, GET_P16),
            Some(0.6),
        ),
        (
            "–",
            "INCR P1 through a follower",
            (Follower, INCR_P1),
            (Leader, INCR_P1),
            Some(0.6),
        ),
        (
            "–",
            "INCR P16 through a follower",
            (Follower, INCR_P16),
            (Leader, INCR_P16),
            Some(0.6),
        ),
        (
            "–",
            "SET P1 against Redis alone, always",
            (Leader, SET_P1),
            (RedisAlways, SET_P1),
            None,
        ),
        (
            "–",
            "SET P16 against Redis alone, always",
            (Leader, SET_P16),
            (RedisAlways, SET_P16),
            None,
        ),
        (
            "–",
            "SET P1 against Redis alone, everysec",
            (Leader, SET_P1),
            (RedisEverysec, SET_P1),
            None,
        ),
        (
            "–",
            "SET P16 against Redis alone, everysec",
            (Leader, SET_P16),
            (RedisEverysec, SET_P16),
            None,
        ),
    ]
};

/// The rows that compare throughput.
pub(crate) fn comparisons(results: &Results) -> Vec<Row> {
    let ops = |sample: &Sample| sample.ops_per_s;
    let rows = COMPARISONS
        .iter()
        .map(|&(number, what, ours, theirs, least)| {
            let ratio = results.ratios(ours, theirs, ops);
            Row {
                number,
                what: what.to_owned(),
                target: least.map_or("–".to_owned(), |least| format!("≥ {least} ×")),
                measured: ratio.map(|ratio| range(ratio, 2, " ×")),
                met: ratio.zip(least).map(|(ratio, least)| ratio.median >= least),
                ours: rate(results.figures(ours, ops)),
                theirs: rate(results.figures(theirs, ops)),
                cpu: (cpu(results, ours), cpu(results, theirs)),
            }
        });
    rows.collect()
}

/// Row 5: what a write costs the whole cluster.
pub(crate) fn costs(results: &Results, engine: &str) -> Vec<Row> {
    let pipelined = if engine == "memory" { 4.0 } else { 10.0 };
    let rows = [("P1", SET_P1, 20.0), ("P16", SET_P16, pipelined)].map(|(name, load, most)| {
        let cost = results.figures((Subject::Leader, load), |s| s.cpu_s_per_million);
        Row {
            number: "5",
            what: format!("CPU-seconds per million SET {name}, all nodes"),
            target: format!("≤ {most}"),
            measured: cost.map(|cost| range(cost, 1, "")),
            met: cost.map(|cost| cost.median <= most),
            ours: rate(results.figures((Subject::Leader, load), |s| s.ops_per_s)),
            theirs: rate(results.figures((Subject::RedisReplicated, load), |s| s.ops_per_s)),
            cpu: (
                cpu(results, (Subject::Leader, load)),
                cpu(results, (Subject::RedisReplicated, load)),
            ),
        }
    });
    rows.to_vec()
}

/// Row 6: the tail at a rate that etcd manages easily.
pub(crate) fn tail(results: &Results) -> Row {
    let (ours, theirs) = (
        (Subject::Leader, Workload::OpenLoop),
        (Subject::Etcd, Workload::OpenLoop),
    );
    let ratio = results.ratios(ours, theirs, |s| s.p99_ms);
    let latency = |key| {
        let p99 = results.figures(key, |s| s.p99_ms)?;
        let p50 = results.figures(key, |s| s.p50_ms)?;
        let rate = results.figures(key, |s| s.ops_per_s)?;
        Some(format!(
            "p50 {:.2} ms, p99 {:.2} ms at {:.0}/s",
            p50.median, p99.median, rate.median
        ))
    };
    Row {
        number: "6",
        what: "p99 in an open loop at half of etcd's maximum, against etcd".to_owned(),
        target: "≤ 0.5 ×".to_owned(),
        measured: ratio.map(|ratio| range(ratio, 2, " ×")),
        met: ratio.map(|ratio| ratio.median <= 0.5),
        ours: latency(ours).unwrap_or_else(dash),
        theirs: latency(theirs).unwrap_or_else(dash),
        cpu: (cpu(results, ours), cpu(results, theirs)),
    }
}

/// A row without a peer: a quantity that must not exceed a limit, in its own unit.
pub(crate) fn limit(
    number: &'static str,
    what: &str,
    most: Option<f64>,
    unit: &str,
    measured: Option<Spread>,
) -> Row {
    Row {
        number,
        what: what.to_owned(),
        target: most.map_or_else(dash, |most| format!("≤ {most}{unit}")),
        measured: measured.map(|spread| range(spread, 1, unit)),
        met: measured
            .zip(most)
            .map(|(spread, most)| spread.median <= most),
        ..Row::default()
    }
}

/// Every absolute figure, one line per system and workload.
pub(crate) fn absolutes(results: &Results) -> String {
    let mut text =
        String::from("| System | Workload | ops/s | CPU-s/M | p99 ms |\n|---|---|---|---|---|\n");
    for key in results.keys() {
        let (subject, workload) = key;
        let name = match workload {
            Workload::Closed(load) => {
                format!(
                    "{} c{} P{}",
                    load.test.to_uppercase(),
                    load.connections,
                    load.pipeline
                )
            }
            Workload::OpenLoop => "SET, open loop".to_owned(),
        };
        let p99 = results
            .figures(key, |s| s.p99_ms)
            .map_or_else(dash, |p99| range(p99, 2, ""));
        let ops = results
            .figures(key, |s| s.ops_per_s)
            .map_or_else(dash, |ops| range(ops, 0, ""));
        let cpu = cpu(results, key);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {name} | {ops} | {cpu} | {p99} |",
            subject.name()
        );
    }
    text
}

/// A line about a system's flushes.
pub(crate) fn flushes(count: &Flushes) -> String {
    let most = count.per_server.iter().max().copied().unwrap_or(0).max(1);
    format!(
        "- {}, SET c{} P{}: {} operations, flushes per server {:?} ({}): {:.1} operations per flush\n",
        count.subject.name(),
        count.load.connections,
        count.load.pipeline,
        count.ops,
        count.per_server,
        if count.traced {
            "by strace, which slows it"
        } else {
            "by its own count"
        },
        count.ops as f64 / most as f64,
    )
}

/// The table, rows sorted by their number.
pub(crate) fn table(mut rows: Vec<Row>) -> String {
    rows.sort_by_key(|row| row.number.parse::<u32>().unwrap_or(u32::MAX));
    let mut text = String::from(
        "| # | What | Target | Measured, median (min–max) | Met | Lockstep | Peer | CPU-s/M Lockstep | CPU-s/M peer |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let met = match row.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let measured = row.measured.unwrap_or_else(|| "not measured".to_owned());
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | {measured} | {met} | {} | {} | {} | {} |",
            row.number, row.what, row.target, row.ours, row.theirs, row.cpu.0, row.cpu.1
        );
    }
    text
}

fn range(spread: Spread, digits: usize, unit: &str) -> String {
    let Spread { median, min, max } = spread;
    format!("{median:.digits$}{unit} ({min:.digits$}–{max:.digits$})")
}

fn rate(spread: Option<Spread>) -> String {
    spread.map_or_else(dash, |spread| format!("{:.1} k/s", spread.median / 1000.0))
}

fn cpu(results: &Results, key: (Subject, Workload)) -> String {
    let cost = results.figures(key, |s| s.cpu_s_per_million);
    cost.map_or_else(dash, |cost| format!("{:.1}", cost.median))
}

fn dash() -> String {
    "–".to_owned()
}
