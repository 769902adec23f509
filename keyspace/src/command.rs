//! A command as it stands in a batch: what a session writes straight from a request, and what the
//! machine reads back without copying.
//!
//! ```text
//! database u16 LE · number u16 LE · count varint · count × (length varint · argument)
//! ```
//!
//! The number is the command's in the [table](crate::table), its highest bits how a query is to be
//! answered; the name itself is not an argument.
//! Varints are LEB128, so that a SET of a short key adds seven bytes to its key and value.

use crate::number::MAX_VARINT_BYTES;

/// Set in the number of a query that has been through the log before, which has moved time: it is
/// answered as of group time, whatever the clock says.
pub(crate) const SETTLED: u16 = 0x4000;

/// Set in DBSIZE's number to count every database, for INFO.
pub(crate) const ALL_DATABASES: u16 = 0x2000;

/// The reply to a query in the log that takes too long for an entry: it is to be asked again, beside
/// the log. No reply in RESP begins so.
pub(crate) const ASK_AGAIN: &[u8] = b"\0";

/// Writes a command over what stood in `out`. `args` does not contain the name.
pub fn encode<'a>(
    out: &mut Vec<u8>,
    database: u16,
    number: u16,
    args: impl ExactSizeIterator<Item = &'a [u8]>,
) {
    out.clear();
    let [d0, d1] = database.to_le_bytes();
    let [n0, n1] = number.to_le_bytes();
    out.extend_from_slice(&[d0, d1, n0, n1]);
    write_varint(out, args.len() as u64);
    for arg in args {
        write_varint(out, arg.len() as u64);
        out.extend_from_slice(arg);
    }
}

/// Sets a mark in the number of an encoded command.
pub(crate) fn mark(encoded: &mut [u8], mark: u16) {
    if let Some([_, _, n0, n1]) = encoded.first_chunk_mut() {
        let number = u16::from_le_bytes([*n0, *n1]) | mark;
        [*n0, *n1] = number.to_le_bytes();
    }
}

/// A command read back.
#[derive(Clone, Debug)]
pub struct Encoded<'a> {
    /// The database it is meant for.
    pub database: u16,
    /// Its number in the table.
    pub number: u16,
    /// Its arguments, without the name.
    pub args: Args<'a>,
}

/// Reads a command; `None` if `bytes` do not begin as one. Constant: arguments are found as they
/// are asked for, and one that is cut short ends them early.
#[must_use]
#[inline]
pub fn decode(bytes: &[u8]) -> Option<Encoded<'_>> {
    let ([d0, d1, n0, n1], mut rest) = bytes.split_first_chunk::<4>()?;
    let count = read_varint(&mut rest)?;
    Some(Encoded {
        database: u16::from_le_bytes([*d0, *d1]),
        number: u16::from_le_bytes([*n0, *n1]),
        args: Args {
            rest,
            left: usize::try_from(count).ok()?,
        },
    })
}

/// Arguments of a command, borrowed from it.
#[derive(Clone, Debug)]
pub struct Args<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Args<'_> {
    /// How many the command says are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let length = usize::try_from(read_varint(&mut self.rest)?).ok()?;
        let (arg, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(arg)
    }
}

#[inline]
fn write_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        *bytes = rest;
        return Some(u64::from(*first));
    }
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate().take(MAX_VARINT_BYTES) {
        value |= u64::from(byte & 0x7F) << (7 * i);
        if *byte < 0x80 {
            *bytes = bytes.get(i + 1..)?;
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&'static [u8]]) -> Vec<u8> {
        let mut out = vec![1, 2, 3];
        encode(&mut out, 3, 258, list.iter().copied());
        out
    }

    #[test]
    fn what_is_written_is_read() {
        static LONG: [u8; 20_000] = [7; 20_000];
        let bytes = args(&[b"key", b"", &LONG]);
        let command = decode(&bytes).unwrap();
        assert_eq!((command.database, command.number), (3, 258));
        assert_eq!(command.args.left(), 3);
        assert_eq!(
            command.args.collect::<Vec<_>>(),
            [&b"key"[..], b"", &LONG[..]]
        );
    }

    #[test]
    fn a_short_set_takes_seven_bytes_more() {
        assert_eq!(args(&[b"key", b"value"]).len(), 3 + 5 + 7);
    }

    #[test]
    fn what_is_cut_short_ends_early() {
        let bytes = args(&[b"key", b"value"]);
        for length in 0..bytes.len() {
            let whole = decode(&bytes[..length]).is_some_and(|c| c.args.count() == 2);
            assert!(!whole, "{length}");
        }
        let mut endless: &[u8] = &[0xFF; 12];
        assert_eq!(read_varint(&mut endless), None);
    }
}
