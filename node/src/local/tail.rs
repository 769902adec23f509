//! A child's log as it grows, and its end.
//!
//! Children write to their files themselves and this process reads along, instead of copying what
//! comes through pipes: so a supervisor that hangs or dies blocks nobody and loses no line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The most that is read at a time; a flood is passed on in pieces, and not all of it.
const PIECE_BYTES_MAX: u64 = 256 << 10;
/// The most important lines that are passed on at a time.
const LINES_MAX: usize = 20;
/// How long a line like one that was passed on is not passed on again.
const REPEAT: Duration = Duration::from_secs(60);
/// The most kinds of lines that are remembered for that.
const KINDS_MAX: usize = 100;
/// How many lines make a log's end.
const LAST_LINES: usize = 15;

/// A log file that is read from where the child began to write.
pub(super) struct Tail {
    path: PathBuf,
    /// Where the next complete line begins.
    position: u64,
    /// When a line of a kind was last passed on: a line without its digits, which are times,
    /// ports and counters.
    kinds: BTreeMap<String, Instant>,
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// A warning: something that may pass.
    Warning,
    /// An error, a panic, or what the binary says before it can log.
    Error,
}

impl Tail {
    /// `position` is the file's length before the child starts.
    pub(super) fn new(path: &Path, position: u64) -> Tail {
        Tail {
            path: path.to_owned(),
            position,
            kinds: BTreeMap::new(),
        }
    }

    /// The lines that weigh at least as much as `least`, among the complete ones written since the
    /// last call; of many alike, one a minute. A log that cannot be read has none: this is a copy
    /// for the eye, the file has it all.
    pub(super) fn important(&mut self, least: Weight) -> Vec<String> {
        let mut piece = read(&self.path, self.position, PIECE_BYTES_MAX).unwrap_or_default();
        match piece.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => piece.truncate(end + 1),
            // A line longer than a piece is nothing for the eye.
            None if piece.len() as u64 == PIECE_BYTES_MAX => {}
            None => return Vec::new(),
        }
        self.position += piece.len() as u64;
        let text = String::from_utf8_lossy(&piece);
        let weighty = text
            .lines()
            .filter(|line| weight(line).is_some_and(|w| w >= least));
        let mut lines: Vec<String> = weighty
            .filter(|line| self.is_new(line))
            .map(str::to_owned)
            .collect();
        if lines.len() > LINES_MAX {
            let more = lines.len() - LINES_MAX;
            lines.truncate(LINES_MAX);
            lines.push(format!("… and {more} more such lines in {self}"));
        }
        lines
    }

    /// Whether no line like `line` was passed on lately; then this one is.
    fn is_new(&mut self, line: &str) -> bool {
        let kind: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        let lately = self
            .kinds
            .get(&kind)
            .is_some_and(|said| said.elapsed() < REPEAT);
        if !lately {
            if self.kinds.len() >= KINDS_MAX {
                self.kinds.clear();
            }
            self.kinds.insert(kind, Instant::now());
        }
        !lately
    }

    /// The last lines of the whole file.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let length = self.path.metadata().map_or(0, |file| file.len());
        let from = length.saturating_sub(PIECE_BYTES_MAX);
        let end = read(&self.path, from, PIECE_BYTES_MAX).unwrap_or_default();
        let text = String::from_utf8_lossy(&end);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
        last.map(|line| (*line).to_owned()).collect()
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// What a line weighs, in both log formats; `None` for everyday ones.
fn weight(line: &str) -> Option<Weight> {
    const ERRORS: [&str; 4] = [
        " ERROR ",
        "\"level\":\"ERROR\"",
        "panicked at",
        "lockstep: ",
    ];
    const WARNINGS: [&str; 2] = [" WARN ", "\"level\":\"WARN\""];
    let has = |marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
    if has(&ERRORS) {
        Some(Weight::Error)
    } else {
        has(&WARNINGS).then_some(Weight::Warning)
    }
}

fn read(path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
