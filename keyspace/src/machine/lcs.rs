//! LCS: the longest common subsequence of two strings, with Redis' table and Redis' choices among
//! subsequences of one length.

use resp::encode;
use storage::Engine;

use super::Stop;
use super::read::Look;
use super::strings::next;
use crate::command::Args;
use crate::number;
use crate::refusal::Refusal;

/// How large the table may become, in bytes: what takes some tens of milliseconds. Redis goes up
/// to `proto-max-bulk-len`, half a gigabyte, while everybody else waits.
const TABLE_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    length: bool,
    ranges: bool,
    with_lengths: bool,
    least: i64,
}

impl Options {
    fn parse<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Options, Refusal> {
        let mut options = Options::default();
        while let Some(option) = args.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("IDX") {
                options.ranges = true;
            } else if is("LEN") {
                options.length = true;
            } else if is("WITHMATCHLEN") {
                options.with_lengths = true;
            } else if is("MINMATCHLEN") {
                let least = args.next().ok_or(Refusal::Syntax)?;
                options.least = number::parse(least).ok_or(Refusal::NotInteger)?.max(0);
            } else {
                return Err(Refusal::Syntax);
            }
        }
        if options.length && options.ranges {
            return Err(Refusal::Text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

pub(super) fn lcs<E: Engine>(
    look: &mut Look<'_, E>,
    mut args: Args<'_>,
    reply: &mut Vec<u8>,
) -> Result<(), Stop> {
    let (a, b) = (look.find(next(&mut args)?)?, look.find(next(&mut args)?)?);
    let a = a.as_ref().map_or(&[][..], |found| found.content());
    let b = b.as_ref().map_or(&[][..], |found| found.content());
    let options = Options::parse(args)?;
    let table = Table::new(a, b)?;
    let length = table.at(a.len(), b.len());
    if options.length {
        encode::integer(reply, i64::from(length));
        return Ok(());
    }
    let (common, matches) = table.trace(a, b);
    if !options.ranges {
        encode::bulk(reply, common);
        return Ok(());
    }
    let long_enough = |found: &&Match| {
        options.least == 0 || found.length() as u64 >= options.least.unsigned_abs()
    };
    let matches: Vec<&Match> = matches.iter().filter(long_enough).collect();
    let integer = |reply: &mut Vec<u8>, number: usize| {
        encode::integer(reply, i64::try_from(number).unwrap_or(i64::MAX));
    };
    encode::map(reply, 2);
    encode::bulk(reply, "matches");
    encode::array(reply, matches.len());
    for found in matches {
        encode::array(reply, 2 + usize::from(options.with_lengths));
        for (start, end) in [found.a, found.b] {
            encode::array(reply, 2);
            integer(reply, start);
            integer(reply, end);
        }
        if options.with_lengths {
            integer(reply, found.length());
        }
    }
    encode::bulk(reply, "len");
    encode::integer(reply, i64::from(length));
    Ok(())
}

/// A piece that both strings have: first and last position in each.
#[derive(Debug, PartialEq, Eq)]
struct Match {
    a: (usize, usize),
    b: (usize, usize),
}

impl Match {
    fn length(&self) -> usize {
        self.a.1 - self.a.0 + 1
    }
}

/// The length of the longest common subsequence of every pair of beginnings.
struct Table {
    width: usize,
    lengths: Vec<u32>,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Result<Self, Refusal> {
        let width = b.len() + 1;
        let cells = (a.len() as u64 + 1) * width as u64;
        if cells * 4 > TABLE_BYTES_MAX {
            return Err(Refusal::Text(
                "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            ));
        }
        let mut lengths = vec![0_u32; (a.len() + 1) * width];
        let mut rows = lengths.chunks_exact_mut(width);
        let mut above = rows.next().unwrap_or_default();
        for (x, row) in a.iter().zip(rows) {
            let (mut left, mut diagonal) = (0, 0);
            let cells = row.iter_mut().zip(above.iter()).skip(1);
            for ((cell, up), y) in cells.zip(b) {
                left = if x == y { diagonal + 1 } else { left.max(*up) };
                diagonal = *up;
                *cell = left;
            }
            above = row;
        }
        Ok(Table { width, lengths })
    }

    fn at(&self, i: usize, j: usize) -> u32 {
        self.lengths.get(i * self.width + j).copied().unwrap_or(0)
    }

    /// The subsequence itself, and the pieces it consists of, the last ones first.
    fn trace(&self, a: &[u8], b: &[u8]) -> (Vec<u8>, Vec<Match>) {
        let (mut i, mut j) = (a.len(), b.len());
        let mut common = Vec::new();
        let mut matches = Vec::new();
        let mut open: Option<Match> = None;
        while let (Some(before_i), Some(before_j)) = (i.checked_sub(1), j.checked_sub(1)) {
            if a.get(before_i) == b.get(before_j) {
                common.extend(a.get(before_i));
                let piece = open.get_or_insert(Match {
                    a: (before_i, before_i),
                    b: (before_j, before_j),
                });
                (piece.a.0, piece.b.0) = (before_i, before_j);
                (i, j) = (before_i, before_j);
            } else {
                matches.extend(open.take());
                if self.at(before_i, j) > self.at(i, before_j) {
                    i = before_i;
                } else {
                    j = before_j;
                }
            }
        }
        matches.extend(open);
        common.reverse();
        (common, matches)
    }
}
