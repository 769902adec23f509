//! The Redis peers: one primary with two replicas, and lone servers.
//!
//! Redis replicates asynchronously and its `everysec` loses up to a second of writes
//! with the machine: a ceiling for speed, not an equal in promises.

use std::{
    fs, io,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    process::Process,
    resp::{Client, Reply},
};

/// A Redis deployment. Writes and reads go to `port`.
pub(crate) struct Redis {
    /// The primary first.
    pub(crate) processes: Vec<Process>,
    /// The primary's port.
    pub(crate) port: u16,
}

impl Redis {
    /// One server, its log flushed as `appendfsync` says.
    pub(crate) fn alone(directory: &Path, port: u16, appendfsync: &str) -> io::Result<Self> {
        let process = start(directory, port, appendfsync, None)?;
        Ok(Self {
            processes: vec![process],
            port,
        })
    }

    /// A primary at `port` and replicas at the two ports above, all `everysec`.
    /// Returns once both replicas hold the primary's data.
    pub(crate) fn replicated(directory: &Path, port: u16) -> io::Result<Self> {
        let mut processes = vec![start(directory, port, "everysec", None)?];
        for replica in [port + 1, port + 2] {
            processes.push(start(directory, replica, "everysec", Some(port))?);
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while online_replicas(port)? < 2 {
            if Instant::now() >= deadline {
                return Err(io::Error::other("the Redis replicas did not come online"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(Self { processes, port })
    }
}

fn online_replicas(port: u16) -> io::Result<usize> {
    let mut client = Client::connect(port, Duration::from_secs(5))?;
    match client.call(&[b"INFO", b"replication"])? {
        Reply::Text(text) => Ok(String::from_utf8_lossy(&text)
            .matches("state=online")
            .count()),
        other => Err(io::Error::other(format!("INFO answered {other:?}"))),
    }
}

fn start(
    directory: &Path,
    port: u16,
    appendfsync: &str,
    primary: Option<u16>,
) -> io::Result<Process> {
    let home = directory.join(format!("redis-{port}"));
    fs::create_dir_all(&home)?;
    let mut command = Command::new("redis-server");
    command
        .arg("--dir")
        .arg(&home)
        .args(["--port", &port.to_string()]);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
    command.args(["--appendfsync", appendfsync]);
    // A rewrite of the log would fork in the middle of somebody else's measurement.
    command.args(["--auto-aof-rewrite-percentage", "0"]);
    if let Some(primary) = primary {
        command.args(["--replicaof", &format!("127.0.0.1 {primary}")]);
    }
    let mut process = Process::start(
        &format!("redis-server {port}"),
        &mut command,
        &home.join("output"),
    )?;
    wait_for_pong(port, &mut process)?;
    Ok(process)
}

/// Waits until a server answers PING.
pub(crate) fn wait_for_pong(port: u16, process: &mut Process) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        process.check_alive()?;
        let pong = Client::connect(port, Duration::from_secs(1))
            .and_then(|mut client| client.call(&[b"PING"]));
        match pong {
            Ok(Reply::Text(text)) if text == b"PONG" => return Ok(()),
            _ if Instant::now() >= deadline => {
                return Err(io::Error::other(format!(
                    "nobody answers PING on port {port}"
                )));
            }
            _ => thread::sleep(Duration::from_millis(2)),
        }
    }
}
