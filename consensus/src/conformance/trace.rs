//! What happened, one decoded line per event: all that a failing case has to say for itself.
//!
//! Only the last lines are kept, since the last are what explains a failure, but every line goes
//! into a hash: two runs of one seed must end with the same (a protocol that iterates over a
//! `HashMap` does not).

use std::collections::VecDeque;
use std::fmt::{self, Write};

use crate::Micros;

/// How many lines a failure shows.
const LINES: usize = 120;
/// Where a line is cut: a megabyte of payload explains nothing.
const WIDTH: usize = 220;

/// The last events of a run, and the hash of all of them.
#[derive(Debug)]
pub(super) struct Trace {
    seed: u64,
    lines: VecDeque<String>,
    dropped: u64,
    hash: u64,
}

impl Trace {
    pub(super) fn new(seed: u64) -> Self {
        Trace {
            seed,
            lines: VecDeque::with_capacity(LINES),
            dropped: 0,
            hash: 0xCBF2_9CE4_8422_2325,
        }
    }

    /// Adds a line. Its text is formatted only as far as it is shown.
    pub(super) fn line(&mut self, now: Micros, event: fmt::Arguments<'_>) {
        let mut line = if self.lines.len() == LINES {
            self.dropped += 1;
            self.lines.pop_front().unwrap_or_default()
        } else {
            String::new()
        };
        line.clear();
        let mut cut = Cut { line: &mut line };
        // The only error is Cut's own: the line is full, which is fine.
        let _ = write!(cut, "{:>10}.{:03} ms  ", now.0 / 1000, now.0 % 1000);
        let _ = cut.write_fmt(event);
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        self.lines.push_back(line);
    }

    /// The hash of every line so far (FNV-1a).
    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dropped > 0 {
            writeln!(f, "  … {} earlier events", self.dropped)?;
        }
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "  seed {}", self.seed)
    }
}

/// Writes until the line is full, then refuses, so that nothing more is formatted.
struct Cut<'a> {
    line: &'a mut String,
}

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.line.len() >= WIDTH {
                self.line.push('…');
                return Err(fmt::Error);
            }
            self.line.push(c);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_shown_with_the_seed() {
        let mut trace = Trace::new(42);
        for event in 0..LINES + 5 {
            trace.line(Micros(1_234_567), format_args!("event {event}"));
        }
        let shown = trace.to_string();
        assert!(shown.starts_with("  … 5 earlier events\n"), "{shown}");
        assert!(shown.contains("1234.567 ms  event 5\n"), "{shown}");
        assert!(shown.ends_with("seed 42"), "{shown}");
        assert!(!shown.contains("event 4\n"), "{shown}");
    }

    #[test]
    fn a_long_line_is_cut_where_it_is_written() {
        let mut trace = Trace::new(1);
        trace.line(Micros(0), format_args!("{:?}", [0_u8; 100_000]));
        let width = trace.lines[0].len();
        assert!(width <= WIDTH + '…'.len_utf8(), "{width}");
    }

    #[test]
    fn another_run_has_another_hash() {
        let hash = |event: &str| {
            let mut trace = Trace::new(1);
            trace.line(Micros(0), format_args!("{event}"));
            trace.hash()
        };
        assert_eq!(hash("a"), hash("a"));
        assert_ne!(hash("a"), hash("b"));
    }
}
