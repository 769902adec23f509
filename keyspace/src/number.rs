//! Integers as Redis reads and writes them.

/// The longest varint of 64 bits: nine groups of seven, so that 63 bits are enough for a length.
pub(crate) const MAX_VARINT_BYTES: usize = 9;

/// Redis' `string2ll`: an optional minus, then digits without leading zeros; no plus, no blanks,
/// nothing beyond 64 bits.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) || digits.len() > 19 {
        return None;
    }
    // Counted downwards: the smallest number has no positive counterpart.
    let value = digits.iter().try_fold(0_i64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_sub(i64::from(digit))
    })?;
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// A number in decimal, without an allocation.
pub(crate) struct Decimal {
    digits: [u8; 20],
    from: usize,
}

impl Decimal {
    pub(crate) fn new(value: i64) -> Self {
        let mut digits = [0; 20];
        let mut from = digits.len();
        let mut rest = value.unsigned_abs();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            from -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            // At most nineteen digits are taken by a negative number.
            from -= 1;
            digits[from] = b'-';
        }
        Decimal { digits, from }
    }
}

impl AsRef<[u8]> for Decimal {
    fn as_ref(&self) -> &[u8] {
        self.digits.get(self.from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_redis_reads_them() {
        for value in [0, 1, -1, 10, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(parse(value.to_string().as_bytes()), Some(value));
        }
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "01",
            "-0",
            "00",
            "1.0",
            "1e3",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_rust_writes_them() {
        for value in [0, 7, -7, 10, -10, 1_234_567_890, i64::MAX, i64::MIN] {
            assert_eq!(Decimal::new(value).as_ref(), value.to_string().as_bytes());
        }
    }
}
