//! Decimal integers, read as strictly as Redis reads them and written without allocating.

/// Reads a decimal integer by the rules of Redis' `string2ll`: an optional minus, then digits
/// without leading zeros; no plus, no blanks, no minus zero, nothing beyond `i64`.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'0'] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !matches!(digits.first(), Some(b'1'..=b'9')) {
        return None;
    }
    digits.iter().try_fold(0_i64, |value, byte| {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Built up on its own side of zero: i64::MIN has no positive counterpart.
        let value = value.checked_mul(10)?;
        if negative {
            value.checked_sub(digit)
        } else {
            value.checked_add(digit)
        }
    })
}

/// Digits that [`parse_short`] reads at most.
pub(crate) const SHORT_MAX: usize = 9;

/// Reads what stands in almost every header: at `at` one to nine digits, a CR and one byte more,
/// whatever it is. Gives the number and where the next line begins; `None` for anything else, be
/// it incomplete, wrong, or merely unusual.
#[inline]
pub(crate) fn parse_short(input: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = input.get(at..)?;
    let mut value: u32 = 0;
    for (i, byte) in rest.iter().enumerate().take(SHORT_MAX + 1) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let leading_zero = i > 1 && rest.first() == Some(&b'0');
            let ended = *byte == b'\r' && i > 0 && i + 1 < rest.len();
            return (ended && !leading_zero).then_some((value as usize, at + i + 2));
        }
        // Nine digits fit; a tenth may wrap, and is then not used.
        value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    None
}

/// The longest that is ever written at once: a marker, a minus, 19 digits or 20 without a minus,
/// CR and LF.
const LINE_MAX: usize = 24;

/// Appends a marker, a number and a line end.
#[inline]
pub(crate) fn write_line(out: &mut Vec<u8>, marker: u8, negative: bool, magnitude: u64) {
    let mut line = [b'\n'; LINE_MAX];
    line[LINE_MAX - 2] = b'\r';
    let mut at = digits(&mut line, LINE_MAX - 2, magnitude);
    if negative {
        at -= 1;
        line[at] = b'-';
    }
    at -= 1;
    line[at] = marker;
    out.extend_from_slice(&line[at..]);
}

/// Appends a number.
pub(crate) fn write(out: &mut Vec<u8>, number: u64) {
    let mut line = [0; LINE_MAX];
    let at = digits(&mut line, LINE_MAX, number);
    out.extend_from_slice(&line[at..]);
}

/// Writes a number's digits so that they end before `end`; says where they begin.
#[inline]
fn digits(line: &mut [u8; LINE_MAX], end: usize, number: u64) -> usize {
    let mut at = end;
    let mut rest = number;
    // In pairs: half as many long divisions, each of which waits for the one before.
    while rest >= 10 {
        let pair = (rest % 100) as u8;
        rest /= 100;
        at -= 2;
        line[at] = b'0' + pair / 10;
        line[at + 1] = b'0' + pair % 10;
    }
    if rest > 0 || at == end {
        at -= 1;
        line[at] = b'0' + rest as u8;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_redis_takes_for_a_number_is_one() {
        for (text, expected) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("1024", Some(1024)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("100000000000000000000000000000", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("-01", None),
            ("+1", None),
            ("+0", None),
            (" 1", None),
            ("1 ", None),
            ("1x", None),
            ("0x10", None),
            ("1e3", None),
            ("1\0", None),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn the_short_way_agrees_with_the_long_one() {
        let mut texts = vec![String::new(), "-1".into(), "+1".into(), "1a".into()];
        for zeros in ["", "0", "00"] {
            for digits in 0..=12 {
                texts.push(format!("{zeros}{}", &"987654321987"[..digits]));
            }
        }
        for text in texts {
            let line = format!("${text}\r\n");
            match parse_short(line.as_bytes(), 1) {
                Some((value, next)) => {
                    assert_eq!(Some(value as i64), parse(text.as_bytes()), "{text:?}");
                    assert_eq!(next, line.len());
                }
                None => assert!(
                    text.len() > 9 || parse(text.as_bytes()).is_none_or(|n| n < 0),
                    "{text:?} is short and good"
                ),
            }
            assert_eq!(parse_short(&line.as_bytes()[..line.len() - 1], 1), None);
        }
    }

    #[test]
    fn numbers_are_written_as_rust_writes_them() {
        let mut numbers = vec![0, u64::MAX, i64::MAX as u64, i64::MIN.unsigned_abs()];
        numbers.extend((0..20).flat_map(|n| [10_u64.pow(n) - 1, 10_u64.pow(n)]));
        for number in numbers {
            let mut out = Vec::new();
            write(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
            out.clear();
            write_line(&mut out, b':', false, number);
            assert_eq!(out, format!(":{number}\r\n").as_bytes());
        }
        let mut out = Vec::new();
        write_line(&mut out, b':', true, i64::MIN.unsigned_abs());
        assert_eq!(out, format!(":{}\r\n", i64::MIN).as_bytes());
    }
}
