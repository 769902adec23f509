//! Inline requests: a line of words, quoted as in Redis' `sdssplitargs`.

use crate::ProtocolError;
use crate::request::Span;

/// Splits `line` into words, unquoted, appended to `scratch`; `spans` says where each is.
///
/// `"…"` knows `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a`, and takes any other escaped byte as itself;
/// `'…'` knows only `\'`. A closing quote must be followed by a blank or the end, an opening
/// quote may stand within a word.
///
/// # Errors
///
/// [`ProtocolError::UnbalancedQuotes`].
pub(crate) fn split(
    line: &[u8],
    scratch: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), ProtocolError> {
    let mut rest = line;
    loop {
        while let [byte, tail @ ..] = rest
            && is_space(*byte)
        {
            rest = tail;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let start = scratch.len() as u32;
        rest = word(rest, scratch)?;
        let end = scratch.len() as u32;
        spans.push(Span { start, end });
    }
}

/// Appends the word at the beginning of `rest`; returns what is behind it.
fn word<'l>(mut rest: &'l [u8], scratch: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    loop {
        match rest {
            // Not `is_space`: Redis ends a bare word at these four only.
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(rest),
            [b'"', tail @ ..] => return double_quoted(tail, scratch),
            [b'\'', tail @ ..] => return single_quoted(tail, scratch),
            [byte, tail @ ..] => {
                scratch.push(*byte);
                rest = tail;
            }
        }
    }
}

fn double_quoted<'l>(mut rest: &'l [u8], scratch: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    loop {
        let (byte, tail) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'"', tail @ ..] => return closed(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(*high) << 4 | hex(*low), tail)
            }
            [b'\\', byte, tail @ ..] => (unescape(*byte), tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        scratch.push(byte);
        rest = tail;
    }
}

fn single_quoted<'l>(mut rest: &'l [u8], scratch: &mut Vec<u8>) -> Result<&'l [u8], ProtocolError> {
    loop {
        let (byte, tail) = match rest {
            [] => return Err(ProtocolError::UnbalancedQuotes),
            [b'\'', tail @ ..] => return closed(tail),
            [b'\\', b'\'', tail @ ..] => (b'\'', tail),
            [byte, tail @ ..] => (*byte, tail),
        };
        scratch.push(byte);
        rest = tail;
    }
}

fn closed(rest: &[u8]) -> Result<&[u8], ProtocolError> {
    match rest.first() {
        Some(byte) if !is_space(*byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(rest),
    }
}

/// C's `isspace`: unlike Rust's, it counts the vertical tab.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}
