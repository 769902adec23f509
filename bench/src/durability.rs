//! Who flushes how often: the proof that every system does what its column says.
//!
//! `strace` counts the flushes of every server while it takes SETs. Tracing slows a
//! server down, so these runs enter no ratio.

use std::{
    fs, io,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal};

use crate::machine;

/// Tracers of several processes.
pub(crate) struct FlushCount {
    tracers: Vec<(Child, std::path::PathBuf)>,
}

/// Whether `strace` is installed and may look at other processes.
pub(crate) fn available() -> bool {
    let traced = Command::new("strace")
        .args(["-c", "-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    traced.is_ok_and(|status| status.success())
}

impl FlushCount {
    /// Attaches to every process.
    pub(crate) fn start(pids: &[Pid], directory: &Path) -> io::Result<Self> {
        let mut tracers = Vec::new();
        for pid in pids {
            let pid = pid.as_raw_nonzero().to_string();
            let report = directory.join(format!("flushes-{pid}"));
            let tracer = Command::new("strace")
                .args([
                    "-f",
                    "-c",
                    "-e",
                    "trace=fsync,fdatasync,sync_file_range",
                    "-p",
                    &pid,
                ])
                .arg("-o")
                .arg(&report)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            tracers.push((tracer, report));
        }
        // Attaching to all threads takes a moment.
        thread::sleep(Duration::from_millis(500));
        Ok(Self { tracers })
    }

    /// Detaches, and gives the flushes of each process in the order given.
    pub(crate) fn stop(mut self) -> io::Result<Vec<u64>> {
        let mut counts = Vec::new();
        for (tracer, report) in &mut self.tracers {
            machine::signal(Pid::from_child(tracer), Signal::INT)?;
            tracer.wait()?;
            counts.push(parse(&fs::read_to_string(report)?));
        }
        self.tracers.clear();
        Ok(counts)
    }
}

impl Drop for FlushCount {
    fn drop(&mut self) {
        for (tracer, _) in &mut self.tracers {
            drop(machine::signal(Pid::from_child(tracer), Signal::INT));
            drop(tracer.wait());
        }
    }
}

/// Sums the calls in `strace -c`'s table: share, seconds, µs per call, calls, (errors,)
/// name.
fn parse(report: &str) -> u64 {
    report
        .lines()
        .filter(|line| line.trim_end().ends_with("sync"))
        .filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read() {
        let report = "% time     seconds  usecs/call     calls    errors syscall\n\
                      ------ ----------- ----------- --------- --------- ----------------\n\
                      90.00    0.012345          12      1000           fdatasync\n\
                      10.00    0.001234          11         7         1 fsync\n\
                      100.00   0.013579                  1007         1 total\n";
        assert_eq!(parse(report), 1007);
        assert_eq!(parse(""), 0);
    }
}
