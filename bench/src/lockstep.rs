//! The system under test: three `lockstep start` processes on loopback.

use std::{
    fs, io,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use crate::{
    process::Process,
    redis::wait_for_pong,
    resp::{Client, Reply},
};

/// Nodes in the cluster.
pub(crate) const NODES: usize = 3;

/// How a cluster is started.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The `lockstep` binary.
    pub(crate) binary: PathBuf,
    /// What holds the keys: `memory` or `rocksdb`.
    pub(crate) engine: String,
    /// Where the nodes keep their directories.
    pub(crate) directory: PathBuf,
    /// The first node's client port; the others follow, peers a thousand higher, admin
    /// two thousand.
    pub(crate) port: u16,
    /// What makes the nodes' flushes slow, if anything.
    pub(crate) flush_delay: Option<Duration>,
    /// Further settings, as flags.
    pub(crate) settings: Vec<String>,
}

/// A running cluster. A node that was killed leaves a hole until it is started again.
pub(crate) struct Lockstep {
    recipe: Recipe,
    nodes: [Option<Process>; NODES],
}

impl Lockstep {
    /// Starts three nodes and waits until a write goes through.
    pub(crate) fn start(recipe: Recipe) -> io::Result<Self> {
        let mut cluster = Self {
            recipe,
            nodes: [None, None, None],
        };
        for nth in 0..NODES {
            cluster.start_node(nth)?;
        }
        cluster.wait_for_writes(Duration::from_secs(30))?;
        Ok(cluster)
    }

    /// Starts a node on the directory it had.
    pub(crate) fn start_node(&mut self, nth: usize) -> io::Result<()> {
        let process = start_node(&self.recipe, nth)?;
        if let Some(slot) = self.nodes.get_mut(nth) {
            *slot = Some(process);
        }
        Ok(())
    }

    /// Ends a node as `kill -9` does.
    pub(crate) fn kill_node(&mut self, nth: usize) {
        if let Some(slot) = self.nodes.get_mut(nth) {
            if let Some(process) = slot {
                process.kill();
            }
            *slot = None;
        }
    }

    /// Ends a node as an operator does.
    pub(crate) fn stop_node(&mut self, nth: usize) {
        if let Some(slot) = self.nodes.get_mut(nth) {
            *slot = None;
        }
    }

    /// A node's process, if it runs.
    pub(crate) fn node(&self, nth: usize) -> io::Result<&Process> {
        let node = self.nodes.get(nth).and_then(Option::as_ref);
        node.ok_or_else(|| io::Error::other(format!("node {} does not run", nth + 1)))
    }

    /// The processes that run.
    pub(crate) fn pids(&self) -> Vec<Pid> {
        self.nodes.iter().flatten().map(Process::pid).collect()
    }

    /// A node's port for clients.
    pub(crate) fn port(&self, nth: usize) -> u16 {
        client_port(&self.recipe, nth)
    }

    /// Which node leads, by its own word.
    pub(crate) fn leader(&self) -> io::Result<usize> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            for nth in 0..NODES {
                if self.node(nth).is_ok() && leads(self.port(nth)).unwrap_or(false) {
                    return Ok(nth);
                }
            }
            if Instant::now() >= deadline {
                return Err(io::Error::other("no lockstep node says it leads"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A node that follows.
    pub(crate) fn follower(&self) -> io::Result<usize> {
        Ok((self.leader()? + 1) % NODES)
    }

    /// Waits until every node has taken a write.
    pub(crate) fn wait_for_writes(&mut self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        for nth in 0..NODES {
            while let Err(error) = write_once(self.port(nth)) {
                self.nodes
                    .iter_mut()
                    .flatten()
                    .try_for_each(Process::check_alive)?;
                if Instant::now() >= deadline {
                    let problem = format!("node {} takes no writes: {error}", nth + 1);
                    return Err(io::Error::other(problem));
                }
                thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// The flushes that every node has counted since its start.
    pub(crate) fn flushes(&self) -> io::Result<Vec<u64>> {
        let counts = (0..NODES).map(|nth| {
            let status = http_get(self.port(nth) + 2000, "/status")?;
            let status: serde_json::Value = serde_json::from_str(&status)?;
            let count = status.get("fsyncs").and_then(serde_json::Value::as_u64);
            count.ok_or_else(|| io::Error::other("/status names no fsyncs"))
        });
        counts.collect()
    }

    /// How far a node has applied the log of the data.
    pub(crate) fn applied(&self, nth: usize) -> io::Result<i64> {
        let status: serde_json::Value =
            serde_json::from_str(&http_get(self.port(nth) + 2000, "/status")?)?;
        let applied = status
            .pointer("/groups/0/applied")
            .and_then(serde_json::Value::as_i64);
        applied.ok_or_else(|| io::Error::other("/status does not say what is applied"))
    }

    /// What a node says a metric is, all its labels together; about a second old.
    pub(crate) fn metric(&self, nth: usize, name: &str) -> io::Result<f64> {
        let page = http_get(self.port(nth) + 2000, "/metrics")?;
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = rest
                .rsplit(' ')
                .next()
                .filter(|_| rest.starts_with(['{', ' ']))?;
            value.parse::<f64>().ok()
        });
        Ok(values.sum())
    }
}

fn client_port(recipe: &Recipe, nth: usize) -> u16 {
    // There are three nodes.
    recipe.port + nth as u16
}

/// Starts a node and waits until it answers PING.
pub(crate) fn start_node(recipe: &Recipe, nth: usize) -> io::Result<Process> {
    let mut process = spawn_node(recipe, nth)?;
    wait_for_pong(client_port(recipe, nth), &mut process)?;
    Ok(process)
}

/// Starts a node.
pub(crate) fn spawn_node(recipe: &Recipe, nth: usize) -> io::Result<Process> {
    let number = nth + 1;
    let home = recipe.directory.join(format!("node-{number}"));
    fs::create_dir_all(&home)?;
    let address = |port: u16| format!("127.0.0.1:{port}");
    let peers: Vec<String> = (0..NODES)
        .map(|nth| {
            let port = client_port(recipe, nth);
            format!("{}={}/{}", nth + 1, address(port + 1000), address(port))
        })
        .collect();
    let port = client_port(recipe, nth);
    let mut command = match recipe.flush_delay {
        None => Command::new(&recipe.binary),
        Some(delay) => delay_flushes(&recipe.binary, delay),
    };
    command.args(["start", "--cluster", "bench", "--node", &number.to_string()]);
    command.arg("--dir").arg(home.join("data"));
    command.args(["--engine", &recipe.engine, "--log-level", "info"]);
    command.args(["--client-listen", &address(port)]);
    command.args(["--peer-listen", &address(port + 1000)]);
    command.args(["--admin-listen", &address(port + 2000)]);
    command.args(["--peers", &peers.join(",")]);
    command.args(&recipe.settings);
    Process::start(
        &format!("lockstep node {number}"),
        &mut command,
        &home.join("output"),
    )
}

/// A command that runs `binary` with every flush delayed. `strace -D` leaves the pid to
/// the node, and its filter stops nothing but flushes.
fn delay_flushes(binary: &Path, delay: Duration) -> Command {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null"]);
    command.args(["-e", "trace=fsync,fdatasync"]);
    let delay_us = delay.as_micros();
    command.args([
        "-e",
        &format!("inject=fsync,fdatasync:delay_enter={delay_us}"),
    ]);
    command.arg(binary);
    command
}

/// Whether the node at `port` says of itself that it leads.
pub(crate) fn leads(port: u16) -> io::Result<bool> {
    match Client::connect(port, Duration::from_secs(2))?.call(&[b"ROLE"])? {
        Reply::Array(fields) => Ok(fields.first() == Some(&Reply::Text(b"master".to_vec()))),
        other => Err(io::Error::other(format!("ROLE answered {other:?}"))),
    }
}

fn write_once(port: u16) -> io::Result<()> {
    let mut client = Client::connect(port, Duration::from_secs(5))?;
    match client.call(&[b"SET", b"bench:probe", b"1"])? {
        Reply::Text(_) => Ok(()),
        other => Err(io::Error::other(format!("SET answered {other:?}"))),
    }
}

/// The body of a page that a node serves to its administrators.
fn http_get(port: u16, path: &str) -> io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    // Version 1.0, so that the body comes in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.split_once("\r\n\r\n") {
        Some((head, body))
            if head
                .lines()
                .next()
                .is_some_and(|line| line.contains(" 200 ")) =>
        {
            Ok(body.to_owned())
        }
        _ => Err(io::Error::other(format!("{path} answered {:.40}", text))),
    }
}
