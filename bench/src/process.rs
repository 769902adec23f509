//! A server process: started with its output in a file, ended by its pid, whatever
//! happens to this program.
//!
//! A process ends when its [`Process`] is dropped, so a panic ends it too; Ctrl-C and
//! SIGTERM go through [`end_all_on_signal`]. Nothing is ever ended by name.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio, exit},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use crate::machine;

/// Every process that runs now, and every directory to remove, for the signal handler.
static ALIVE: Mutex<Alive> = Mutex::new(Alive {
    pids: BTreeSet::new(),
    directory: None,
});

struct Alive {
    pids: BTreeSet<i32>,
    directory: Option<PathBuf>,
}

fn alive() -> MutexGuard<'static, Alive> {
    ALIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes Ctrl-C and SIGTERM end all processes and remove `directory` before this
/// program ends.
pub(crate) fn end_all_on_signal(directory: &Path) -> io::Result<()> {
    alive().directory = Some(directory.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                let terminate = tokio::signal::unix::SignalKind::terminate();
                match tokio::signal::unix::signal(terminate) {
                    Ok(mut terminated) => tokio::select! {
                        _ = tokio::signal::ctrl_c() => {}
                        _ = terminated.recv() => {}
                    },
                    Err(_) => drop(tokio::signal::ctrl_c().await),
                }
            });
            let alive = alive();
            for &pid in &alive.pids {
                if let Some(pid) = Pid::from_raw(pid) {
                    drop(machine::signal(pid, Signal::KILL));
                }
            }
            if let Some(directory) = &alive.directory {
                drop(fs::remove_dir_all(directory));
            }
            exit(130);
        })?;
    Ok(())
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its output appended to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot start {name}: {error}"))
            })?;
        let process = Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        };
        alive().pids.insert(process.pid().as_raw_nonzero().get());
        Ok(process)
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Ends it without notice, as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        while let Ok(None) = self.try_reap() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Freezes it: its sockets stay open and nobody answers.
    pub(crate) fn freeze(&self) -> io::Result<()> {
        machine::signal(self.pid(), Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> io::Result<()> {
        machine::signal(self.pid(), Signal::CONT)
    }

    /// An error if it has ended by itself, with the end of what it wrote.
    pub(crate) fn check_alive(&mut self) -> io::Result<()> {
        match self.try_reap()? {
            None => Ok(()),
            Some(status) => Err(io::Error::other(format!(
                "{} ended with {status}; the end of its output:\n{}",
                self.name,
                self.log_tail()
            ))),
        }
    }

    /// The last lines it wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(12)..)
            .unwrap_or_default()
            .join("\n")
    }

    // The registry's lock is held across the wait, so that the signal handler never
    // meets a pid that has been given to somebody else.
    fn try_reap(&mut self) -> io::Result<Option<ExitStatus>> {
        let mut alive = alive();
        let status = self.child.try_wait()?;
        if status.is_some() {
            alive.pids.remove(&self.pid().as_raw_nonzero().get());
        }
        Ok(status)
    }
}

impl Drop for Process {
    /// Asks it to end, insists after two seconds.
    fn drop(&mut self) {
        drop(self.thaw());
        drop(machine::signal(self.pid(), Signal::TERM));
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            if !matches!(self.try_reap(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }
}
