//! A child's log as it grows, and its end.
//!
//! Children write to their files themselves and this process reads along, instead of copying what
//! comes through pipes: so a supervisor that hangs or dies blocks nobody and loses no line.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The most that is read at a time; a flood is passed on in pieces, and not all of it.
const PIECE_BYTES_MAX: u64 = 256 << 10;
/// The most important lines that are passed on at a time.
const LINES_MAX: usize = 20;
/// How many lines make a log's end.
const LAST_LINES: usize = 15;

/// A log file that is read from where the child began to write.
pub(super) struct Tail {
    path: PathBuf,
    /// Where the next complete line begins.
    position: u64,
}

impl Tail {
    /// `position` is the file's length before the child starts.
    pub(super) fn new(path: &Path, position: u64) -> Tail {
        Tail {
            path: path.to_owned(),
            position,
        }
    }

    /// The important lines among the complete ones written since the last call. A log that cannot
    /// be read has none: it is a copy for the eye, the file has it all.
    pub(super) fn important(&mut self) -> Vec<String> {
        let mut piece = read(&self.path, self.position, PIECE_BYTES_MAX).unwrap_or_default();
        match piece.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => piece.truncate(end + 1),
            // A line longer than a piece is nothing for the eye.
            None if piece.len() as u64 == PIECE_BYTES_MAX => {}
            None => return Vec::new(),
        }
        self.position += piece.len() as u64;
        let text = String::from_utf8_lossy(&piece);
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| is_important(line))
            .map(str::to_owned)
            .collect();
        if lines.len() > LINES_MAX {
            let more = lines.len() - LINES_MAX;
            lines.truncate(LINES_MAX);
            lines.push(format!("… and {more} more such lines in {self}"));
        }
        lines
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

/// Warnings, errors and panics, in both log formats, and what the binary says before it can log.
fn is_important(line: &str) -> bool {
    const MARKS: [&str; 6] = [
        " WARN ",
        " ERROR ",
        "\"level\":\"WARN\"",
        "\"level\":\"ERROR\"",
        "panicked at",
        "lockstep: ",
    ];
    MARKS.iter().any(|mark| line.contains(mark))
}

fn read(path: &Path, from: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}
