//! One node as a child process.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child as Process, ChildStdin, Command};

use super::plan::Node;
use super::tail::Tail;
use crate::config::setting;
use crate::say;

/// A log that is larger than this is put aside before a new run appends to it.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// A child process. Dropping it kills it, which is for errors only: see [`Child::terminate`].
pub(super) struct Child {
    /// `n1`, `n2` …
    pub(super) name: String,
    /// Where it answers for its state.
    pub(super) admin: SocketAddr,
    /// What it writes.
    pub(super) log: Tail,
    process: Process,
    /// Never written to. It closes with this process, and the child leaves.
    _leash: Option<ChildStdin>,
}

impl Child {
    /// Starts `node`.
    pub(super) fn start(node: &Node) -> io::Result<Child> {
        let log = open_log(&node.log)?;
        let tail = Tail::new(&node.log, log.metadata()?.len());
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("start").arg("--exit-with-stdin");
        for (key, text) in &node.flags.0 {
            if setting::Setting::find(key).is_some_and(setting::Setting::secret) {
                command.env(setting::variable(key), text);
            } else {
                command.arg(format!("--{key}={text}"));
            }
        }
        // A group of its own: Ctrl-C in a terminal is for this process, which then ends the child.
        let mut process = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Child {
            name: format!("n{}", node.number),
            admin: node.admin,
            log: tail,
            _leash: process.stdin.take(),
            process,
        })
    }

    /// Its process id, while it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        match self.process.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => Some(describe(status)),
            // Only somebody else reaping our children could cause it, and then it is gone too.
            Err(error) => Some(format!("its exit status is lost ({error})")),
        }
    }

    /// Asks it to leave.
    pub(super) fn terminate(&mut self) {
        // Not reaped yet, so the id is still its own. If it cannot be signalled it has ended, or
        // will be killed when its time is up.
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        if let Err(error) = self.process.kill().await {
            say(format_args!("{} cannot be killed: {error}", self.name));
        }
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    File::options().create(true).append(true).open(path)
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(9)) => "signal 9 (SIGKILL: somebody killed it, or memory ran out)".to_owned(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
