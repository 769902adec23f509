//! Doubles in Redis' notation, which is that of `d2string` in Redis 7.2 and the same in both
//! protocols: the shortest digits that read back as the same number, laid out as by `fpconv`.
//!
//! The digits come from Rust's formatter, which always finds the shortest; Redis' Grisu2 finds
//! them for all but about one number in a thousand (Loitsch 2010), and else prints one digit more.

use std::fmt::{self, Write as _};

/// Up to here Redis prints a whole number as an integer, digit for digit.
const WHOLE_MAX: f64 = (i64::MAX / 2) as f64;

/// Appends `value`. Does not allocate, but for growing `out`.
pub(crate) fn write(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"nan");
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    if value.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if value <= WHOLE_MAX && value.fract() == 0.0 {
        crate::number::write(out, value as u64);
    } else {
        let mut text = Text::default();
        // A `Text` has room for every double, so this cannot fail.
        let _ = write!(text, "{value:e}");
        let (digits, exponent) = text.parts();
        lay_out(out, digits, exponent);
    }
}

/// Writes d.ddd × 10^exponent: plainly unless that takes many zeros.
fn lay_out(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    let count = digits.len() as i32;
    // What the digits, read as an integer, must be scaled by.
    let scale = exponent + 1 - count;
    if scale >= 0 && exponent < count + 7 {
        out.extend_from_slice(digits);
        zeros(out, scale);
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        let point = (exponent + 1).max(0) as usize;
        let (whole, fraction) = digits.split_at_checked(point).unwrap_or((digits, b""));
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
        out.push(b'.');
        zeros(out, -(exponent + 1));
        out.extend_from_slice(fraction);
    } else {
        let (first, fraction) = digits.split_at_checked(1).unwrap_or((digits, b""));
        out.extend_from_slice(first);
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        crate::number::write(out, u64::from(exponent.unsigned_abs()));
    }
}

/// Appends `count` zeros, none when it is negative.
fn zeros(out: &mut Vec<u8>, count: i32) {
    out.resize(out.len() + count.max(0) as usize, b'0');
}

/// A double as Rust's `{:e}` prints it, on the stack: 17 digits, a point and `e-324` at most.
#[derive(Default)]
struct Text {
    bytes: [u8; 24],
    len: usize,
}

impl Text {
    /// The digits without their point, and the exponent. The digits are moved together in place.
    fn parts(&mut self) -> (&[u8], i32) {
        let text = self.bytes.get(..self.len).unwrap_or_default();
        let e = memchr::memchr(b'e', text).unwrap_or(self.len);
        let exponent = text.get(e + 1..).unwrap_or_default();
        let exponent = crate::number::parse(exponent).unwrap_or_default() as i32;
        let mut digits = e;
        if text.get(1) == Some(&b'.') {
            self.bytes.copy_within(2..e, 1);
            digits -= 1;
        }
        (self.bytes.get(..digits).unwrap_or_default(), exponent)
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.len + part.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        place.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        write(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    /// Worked out by hand from the rules of `d2string` and `fpconv`'s `emit_digits`.
    #[test]
    fn doubles_look_as_in_redis() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (1.0, "1"),
            (-17.0, "-17"),
            (3.0e15, "3000000000000000"),
            (3.15, "3.15"),
            (-2.5, "-2.5"),
            (0.1, "0.1"),
            (0.1 + 0.2, "0.30000000000000004"),
            (100.25, "100.25"),
            (0.001, "0.001"),
            // Six digits behind the point are written out, a seventh is not.
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            // More digits than that need a magnitude of at least 0.001.
            (0.0012345678, "0.0012345678"),
            (0.00012345678, "1.2345678e-4"),
            (1.5e-10, "1.5e-10"),
            // The last whole number below i64::MAX / 2, and what lies above.
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (4_611_686_018_427_388_928.0, "4611686018427389000"),
            (1e19, "1e+19"),
            (1e20, "1e+20"),
            // Up to six zeros are appended, counted so that one more digit makes the difference.
            (1.23456789012e19, "1.23456789012e+19"),
            (1.234567890123e19, "12345678901230000000"),
            (1.25e25, "1.25e+25"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e100, "1e+100"),
            (1.5e-100, "1.5e-100"),
            (1e105, "1e+105"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN, "-1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn every_double_reads_back_as_itself() {
        let cases = proptest::test_runner::Config::with_cases(100_000);
        proptest::proptest!(cases, |(bits: u64)| {
            let value = f64::from_bits(bits);
            let read: f64 = text(value).parse().unwrap();
            assert!(read.to_bits() == bits || (read.is_nan() && value.is_nan()), "{value:e}");
        });
    }
}
