//! Replies, written in RESP3 at the end of a buffer.
//!
//! Every reply is built in RESP3, once, whoever reads it; [`downgrade`](crate::downgrade) and
//! [`upgrade`](crate::upgrade) turn it into what a connection speaks. An aggregate is its header
//! followed by its elements: `map(out, 2)` wants four values behind it.
//!
//! Nothing here allocates except by growing `out`. What each costs stands in the README.

use crate::{double, number};

/// A simple string, such as `OK`. CR and LF become blanks.
pub fn simple(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    text_line(out, b'+', text.as_ref());
}

/// An error: its code, a blank, its text, such as `ERR syntax error`. CR and LF become blanks.
pub fn error(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    text_line(out, b'-', text.as_ref());
}

/// An integer.
#[inline]
pub fn integer(out: &mut Vec<u8>, value: i64) {
    number::write_line(out, b':', value < 0, value.unsigned_abs());
}

/// A bulk string: any bytes.
#[inline]
pub fn bulk(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    blob(out, b'$', bytes.as_ref());
}

/// The null; `$-1` in RESP2.
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"_\r\n");
}

/// The null that RESP2 writes as an array, `*-1`, where Redis does: a blocked pop that timed
/// out, an EXEC that a watch aborted.
///
/// RESP3 knows one null only, so to keep the difference until the connection's protocol is
/// known this writes `*-1`: [`downgrade`](crate::downgrade) leaves it, and
/// [`upgrade`](crate::upgrade) makes it `_`.
pub fn null_array(out: &mut Vec<u8>) {
    out.extend_from_slice(b"*-1\r\n");
}

/// A boolean; 1 or 0 in RESP2.
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" });
}

/// A double, in Redis' notation; a bulk string in RESP2.
pub fn double(out: &mut Vec<u8>, value: f64) {
    out.push(b',');
    double::write(out, value);
    out.extend_from_slice(b"\r\n");
}

/// An array of `len` values, which follow.
pub fn array(out: &mut Vec<u8>, len: usize) {
    header(out, b'*', len);
}

/// A map of `pairs` keys, each followed by its value; a flat array in RESP2.
pub fn map(out: &mut Vec<u8>, pairs: usize) {
    header(out, b'%', pairs);
}

/// A set of `len` values, which follow; an array in RESP2.
pub fn set(out: &mut Vec<u8>, len: usize) {
    header(out, b'~', len);
}

/// A message out of band of `len` values, which follow; an array in RESP2.
pub fn push(out: &mut Vec<u8>, len: usize) {
    header(out, b'>', len);
}

/// Attributes of the value that follows them, as `pairs` keys and values; absent in RESP2.
pub fn attribute(out: &mut Vec<u8>, pairs: usize) {
    header(out, b'|', pairs);
}

/// A text and its format, `txt` or `mkd`; a bulk string without the format in RESP2.
pub fn verbatim(out: &mut Vec<u8>, format: [u8; 3], text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    header(out, b'=', text.len() + 4);
    out.extend_from_slice(&format);
    out.push(b':');
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// An integer of any size, in decimal digits; a bulk string in RESP2. CR and LF become blanks.
pub fn big_number(out: &mut Vec<u8>, digits: impl AsRef<[u8]>) {
    text_line(out, b'(', digits.as_ref());
}

/// An error of any bytes; a plain error in RESP2.
pub fn bulk_error(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    blob(out, b'!', text.as_ref());
}

/// A request, as a client sends it.
pub fn request<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    array(out, args.len());
    for arg in args {
        bulk(out, arg);
    }
}

#[inline]
fn header(out: &mut Vec<u8>, marker: u8, len: usize) {
    number::write_line(out, marker, false, len as u64);
}

#[inline]
pub(crate) fn blob(out: &mut Vec<u8>, marker: u8, bytes: &[u8]) {
    out.reserve(bytes.len() + 26);
    header(out, marker, bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn text_line(out: &mut Vec<u8>, marker: u8, text: &[u8]) {
    out.reserve(text.len() + 3);
    out.push(marker);
    let start = out.len();
    out.extend_from_slice(text);
    if memchr::memchr2(b'\r', b'\n', text).is_some() {
        for byte in out.iter_mut().skip(start) {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }
    out.extend_from_slice(b"\r\n");
}
