//! A server's process: its output in a file, its memory, its end.

use std::{
    cell::Cell,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A process that ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    frozen: Cell<bool>,
}

impl Process {
    /// Starts a program, its output appended to `log`.
    pub(crate) fn start(
        program: &Path,
        arguments: &[String],
        environment: Option<(&str, &str)>,
        log: &Path,
    ) -> Self {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .expect("a log file");
        let mut command = Command::new(program);
        // Settings of whoever runs the tests are none of the cluster's.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOCKSTEP_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Self {
            child,
            frozen: Cell::new(false),
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Fails the test if the process has ended by itself.
    pub(crate) fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child's status") {
            panic!("a server ended by itself: {status}");
        }
    }

    /// Whether the process has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child's status").is_some()
    }

    /// SIGKILL, and no waiting.
    pub(crate) fn kill_without_waiting(&self) {
        let _ = kill_process(self.pid(), Signal::KILL);
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).expect("SIGSTOP");
        self.frozen.set(true);
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).expect("SIGCONT");
        self.frozen.set(false);
    }

    /// Whether it is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.get()
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_kib("VmRSS:") * 1024
    }

    /// The most resident memory since [`reset_peak`](Self::reset_peak), in bytes.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.status_kib("VmHWM:") * 1024
    }

    /// Forgets the peak so far.
    pub(crate) fn reset_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.pid().as_raw_nonzero());
        fs::write(path, "5").expect("the peak can be reset");
    }

    fn status_kib(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid().as_raw_nonzero());
        let status = fs::read_to_string(path).expect("a process that runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|kib| kib.parse().ok())
            .expect("a number of kB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A tracer that is killed lets go of what it traces.
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        for child in children.split_whitespace().filter_map(|id| id.parse().ok()) {
            if let Some(child) = Pid::from_raw(child) {
                let _ = kill_process(child, Signal::KILL);
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a process has written.
pub(crate) fn read_log(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
