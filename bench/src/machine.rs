//! What the kernel says about processes and about the machine: CPU time, memory,
//! and how much of the machine somebody else was using meanwhile.
//!
//! Everything is read from `/proc`; there are no hardware counters to ask.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::statfs,
    process::{self, Pid},
};

/// `tmpfs`, as `statfs(2)` names it.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Clock ticks, as `/proc` counts CPU time. The kernel fixes them at 100 per second
/// for user space on every architecture we run on.
const TICKS_PER_S: f64 = 100.0;

/// CPU seconds that a process has used in all its threads, itself and the kernel on
/// its behalf. Those of ended threads are included.
pub(crate) fn cpu_s(pid: Pid) -> io::Result<f64> {
    let fields = stat_fields(&format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    Ok(sum(&fields, &[UTIME, STIME]) / TICKS_PER_S)
}

/// CPU seconds of this program and of the children it has waited for.
fn own_cpu_s() -> io::Result<f64> {
    let fields = stat_fields("/proc/self/stat")?;
    Ok(sum(&fields, &[UTIME, STIME, CUTIME, CSTIME]) / TICKS_PER_S)
}

const UTIME: usize = 11;
const STIME: usize = 12;
const CUTIME: usize = 13;
const CSTIME: usize = 14;

/// The fields of a `stat` file behind the command's name, which may itself hold
/// blanks and parentheses.
fn stat_fields(path: &str) -> io::Result<Vec<f64>> {
    let text = fs::read_to_string(path)?;
    let (_, fields) = text.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    Ok(fields
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect())
}

fn sum(fields: &[f64], which: &[usize]) -> f64 {
    which.iter().filter_map(|&field| fields.get(field)).sum()
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: Pid) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How much CPU was used between two moments, and by whom.
pub(crate) struct CpuWatch {
    servers: Vec<Pid>,
    servers_s: f64,
    own_s: f64,
    machine: MachineCpu,
}

/// What a [`CpuWatch`] saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuUse {
    /// CPU seconds of the servers watched.
    pub(crate) servers_s: f64,
    /// The share of the machine's capacity that went to neither the servers nor the
    /// load generator, 0 to 1: other people's work, and the kernel's own.
    pub(crate) foreign: f64,
}

impl CpuWatch {
    /// Starts watching a system's servers.
    pub(crate) fn start(servers: Vec<Pid>) -> io::Result<Self> {
        Ok(Self {
            servers_s: total_cpu_s(&servers),
            servers,
            own_s: own_cpu_s()?,
            machine: MachineCpu::read()?,
        })
    }

    /// What was used since. A child's CPU time counts once it has been waited for.
    pub(crate) fn stop(self) -> io::Result<CpuUse> {
        let servers_s = (total_cpu_s(&self.servers) - self.servers_s).max(0.0);
        let own_s = own_cpu_s()? - self.own_s;
        let machine = MachineCpu::read()?;
        let busy_s = machine.busy_s - self.machine.busy_s;
        let all_s = machine.all_s - self.machine.all_s;
        let foreign = ((busy_s - servers_s - own_s) / all_s.max(0.01)).clamp(0.0, 1.0);
        Ok(CpuUse { servers_s, foreign })
    }
}

/// A server that is gone has used nothing more.
fn total_cpu_s(pids: &[Pid]) -> f64 {
    pids.iter().filter_map(|&pid| cpu_s(pid).ok()).sum()
}

struct MachineCpu {
    busy_s: f64,
    all_s: f64,
}

impl MachineCpu {
    fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        // user nice system idle iowait irq softirq steal; the guests' are within user.
        let ticks: Vec<f64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|t| t.parse().ok())
            .collect();
        let all: f64 = ticks.iter().sum();
        let idle = sum(&ticks, &[3, 4]);
        Ok(Self {
            busy_s: (all - idle) / TICKS_PER_S,
            all_s: all / TICKS_PER_S,
        })
    }
}

/// Waits until the machine has been 85 % idle for half a second, or until `patience`
/// is over. Whether it was in vain shows in [`CpuUse::foreign`].
pub(crate) fn wait_for_calm(patience: Duration) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let before = MachineCpu::read()?;
        thread::sleep(Duration::from_millis(500));
        let after = MachineCpu::read()?;
        let busy = (after.busy_s - before.busy_s) / (after.all_s - before.all_s).max(0.01);
        if busy <= 0.15 || Instant::now() >= deadline {
            return Ok(());
        }
    }
}

/// Whether files below `path` live in memory only, where an fsync costs nothing.
pub(crate) fn is_tmpfs(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.f_type == TMPFS_MAGIC)
}

/// Sends `signal` to a process that we started.
pub(crate) fn signal(pid: Pid, signal: process::Signal) -> io::Result<()> {
    process::kill_process(pid, signal).map_err(io::Error::from)
}
