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

/// The longest line `line` can make: marker, `-9223372036854775808`, CR and LF.
const LINE_MAX: usize = 24;

/// Appends a marker, a number and a line end.
#[inline]
pub(crate) fn line(out: &mut Vec<u8>, marker: u8, negative: bool, magnitude: u64) {
    let mut line = [b'\n'; LINE_MAX];
    line[LINE_MAX - 2] = b'\r';
    let mut at = LINE_MAX - 2;
    let mut rest = magnitude;
    let mut put = |byte: u8, at: &mut usize| {
        *at -= 1;
        if let Some(place) = line.get_mut(*at) {
            *place = byte;
        }
    };
    loop {
        put(b'0' + (rest % 10) as u8, &mut at);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if negative {
        put(b'-', &mut at);
    }
    put(marker, &mut at);
    out.extend_from_slice(line.get(at..).unwrap_or_default());
}
