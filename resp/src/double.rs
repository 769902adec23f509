//! Doubles as Redis 7.2 prints them (`d2string`).

use std::io::Write as _;

/// Appends `value` in Redis' notation.
pub(crate) fn write(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
    } else if value.is_infinite() {
        out.extend_from_slice(if value < 0.0 { b"-inf" } else { b"inf" });
    } else {
        let _ = write!(out, "{value}");
    }
}
