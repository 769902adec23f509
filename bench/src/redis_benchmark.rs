//! Closed-loop load by `redis-benchmark`: the same client for everything that speaks
//! the protocol.

use std::{
    io::{self, Read},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Load {
    /// The test's name, as `-t` takes it.
    pub(crate) test: &'static str,
    /// Connections.
    pub(crate) connections: usize,
    /// Commands that a connection has outstanding.
    pub(crate) pipeline: usize,
}

/// What came out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Replies per second.
    pub(crate) ops_per_s: f64,
    /// Operations done.
    pub(crate) ops: u64,
    /// The 99th percentile of the closed loop's latency, in milliseconds: a figure of
    /// the load as much as of the server.
    pub(crate) p99_ms: f64,
}

/// The bytes of a value.
pub(crate) const VALUE_BYTES: usize = 256;
/// The keys in use.
pub(crate) const KEYS: u64 = 100_000;

/// Runs `requests` requests against the server at `port`. An error reply ends
/// `redis-benchmark`, and this with it.
pub(crate) fn run(port: u16, load: Load, requests: u64, patience: Duration) -> io::Result<Outcome> {
    let mut child = Command::new("redis-benchmark")
        .args([
            "-h",
            "127.0.0.1",
            "-q",
            "--csv",
            "-p",
            &port.to_string(),
            "-t",
            load.test,
        ])
        .args(["-d", &VALUE_BYTES.to_string(), "-r", &KEYS.to_string()])
        .args([
            "-c",
            &load.connections.to_string(),
            "-P",
            &load.pipeline.to_string(),
        ])
        .args(["-n", &requests.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("redis-benchmark: {error}")))?;
    let deadline = Instant::now() + patience;
    // What it prints fits the pipe's buffer, so waiting before reading cannot block it.
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other(format!(
                "redis-benchmark -t {} did not finish within {} s",
                load.test,
                patience.as_secs()
            )));
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout.read_to_string(&mut text)?;
    }
    let mut complaint = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut complaint)?;
    }
    parse(&text, requests).ok_or_else(|| {
        io::Error::other(format!(
            "redis-benchmark said: {} {}",
            text.trim(),
            complaint.trim()
        ))
    })
}

/// The last line of the CSV: name, rate, and latencies (average, minimum, p50, p95,
/// p99, maximum).
fn parse(text: &str, ops: u64) -> Option<Outcome> {
    let line = text.lines().rev().find(|line| line.starts_with('"'))?;
    let field = |nth: usize| {
        line.split(',')
            .nth(nth)?
            .trim_matches('"')
            .parse::<f64>()
            .ok()
    };
    Some(Outcome {
        ops_per_s: field(1)?,
        p99_ms: field(6)?,
        ops,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_csv_of_redis_7_is_read() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\
                    \"SET\",\"53995.68\",\"3.457\",\"0.824\",\"3.215\",\"5.927\",\"8.239\",\"18.063\"\n";
        let outcome = parse(text, 10).unwrap();
        assert_eq!(outcome.ops_per_s, 53995.68);
        assert_eq!(outcome.p99_ms, 8.239);
    }

    #[test]
    fn an_error_is_no_outcome() {
        assert!(parse("Error from server: NOAUTH", 10).is_none());
        assert!(parse("\"test\",\"rps\"\n", 10).is_none());
    }
}
