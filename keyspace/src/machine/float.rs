//! INCRBYFLOAT's arithmetic: the 80-bit extended precision in which Redis counts, in software, so
//! that the same entry gives the same digits on every machine.
//!
//! A number is `mantissa · 2^exponent` with a mantissa of 64 bits. Reading, adding and writing are
//! exact up to one rounding, half to even, as IEEE 754 and the C library have it. Input is as
//! `strtold` takes it, hexadecimal and infinities included; output is `%.17Lf` without the zeros
//! at its end.

use std::cmp::Ordering;

/// The exponent of the last place of the smallest numbers: below it nothing can be told apart.
const EXPONENT_MIN: i64 = -16_445;

/// The exponent of the last place of the largest numbers.
const EXPONENT_MAX: i64 = 16_320;

/// The longest text that Redis reads as such a number, in bytes.
const TEXT_BYTES_MAX: usize = 5 * 1_024 - 1;

/// A number of extended precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extended {
    Infinite { negative: bool },
    Finite(Finite),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finite {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

impl Extended {
    pub(super) const ZERO: Extended = Extended::Finite(Finite {
        negative: false,
        mantissa: 0,
        exponent: 0,
    });

    /// Reads a number as Redis does: the whole text, without blanks, neither nan nor so large or
    /// small that it would become infinity or nothing.
    pub(super) fn parse(text: &[u8]) -> Option<Extended> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Extended::Infinite { negative });
        }
        let hexadecimal = match digits {
            [b'0', b'x' | b'X', rest @ ..] => Some(rest),
            _ => None,
        };
        let text = Digits::parse(hexadecimal.unwrap_or(digits), hexadecimal.is_some())?;
        let number = text.round(negative)?;
        let lost = match number {
            Extended::Infinite { .. } => true,
            Extended::Finite(finite) => finite.mantissa == 0 && !text.value.is_zero(),
        };
        (!lost).then_some(number)
    }

    /// The sum, if it is a finite number.
    pub(super) fn checked_add(self, other: Extended) -> Option<Extended> {
        let (Extended::Finite(a), Extended::Finite(b)) = (self, other) else {
            return None;
        };
        let exponent = a.exponent.min(b.exponent);
        let aligned = |number: Finite| {
            let shift = usize::try_from(number.exponent - exponent).unwrap_or(0);
            Natural::from(u128::from(number.mantissa)).shifted(shift)
        };
        let (x, y) = (aligned(a), aligned(b));
        let (negative, value) = match (a.negative == b.negative, x.cmp(&y)) {
            (true, _) => (a.negative, x.plus(&y)),
            (false, Ordering::Less) => (b.negative, y.minus(&x)),
            (false, _) => (a.negative, x.minus(&y)),
        };
        match round(negative, value, Natural::from(1), exponent) {
            Extended::Infinite { .. } => None,
            sum => Some(sum),
        }
    }

    /// The number in decimal, with at most seventeen digits behind the point. Empty for infinity.
    pub(super) fn to_text(self) -> Vec<u8> {
        const PLACES: usize = 17;
        const SCALE: u128 = 100_000_000_000_000_000;
        let Extended::Finite(number) = self else {
            return Vec::new();
        };
        let mantissa = u128::from(number.mantissa);
        let mut text = match usize::try_from(number.exponent) {
            Ok(shift) => Natural::from(mantissa).shifted(shift).to_decimal(),
            Err(_) => {
                let shift = u32::try_from(-number.exponent).unwrap_or(u32::MAX);
                let scaled = half_even(mantissa * SCALE, shift);
                let digits = format!("{scaled:018}").into_bytes();
                let (whole, places) = digits.split_at(digits.len() - PLACES);
                let kept = places.iter().rposition(|digit| *digit != b'0');
                let places = kept.map_or(&[][..], |last| places.get(..=last).unwrap_or_default());
                let point: &[u8] = if places.is_empty() { b"" } else { b"." };
                [whole, point, places].concat()
            }
        };
        if number.negative && text != b"0" {
            text.insert(0, b'-');
        }
        text
    }
}

/// `value / 2^shift`, rounded.
fn half_even(value: u128, shift: u32) -> u128 {
    let Some(whole) = value.checked_shr(shift) else {
        return 0;
    };
    let rest = value - (whole << shift);
    let half = 1_u128 << (shift - 1);
    let up = rest > half || (rest == half && whole % 2 == 1);
    whole + u128::from(up)
}

/// A number as it was written: `value · 10^decimal · 2^binary`.
struct Digits {
    value: Natural,
    decimal: i64,
    binary: i64,
}

impl Digits {
    fn parse(text: &[u8], hexadecimal: bool) -> Option<Digits> {
        let base = if hexadecimal { 16 } else { 10 };
        let digit = |byte: u8| char::from(byte).to_digit(base);
        let (mut value, mut places, mut any, mut point) = (Natural::default(), 0, false, false);
        let mut rest = text;
        while let [byte, after @ ..] = rest {
            if let Some(digit) = digit(*byte) {
                value.multiply_add(base, digit);
                places += i64::from(point);
                any = true;
            } else if *byte == b'.' && !point {
                point = true;
            } else {
                break;
            }
            rest = after;
        }
        if !any {
            return None;
        }
        let exponent = match rest {
            [] => 0,
            [mark, exponent @ ..] => {
                let expected = if hexadecimal { b'p' } else { b'e' };
                if mark.to_ascii_lowercase() != expected {
                    return None;
                }
                parse_exponent(exponent)?
            }
        };
        Some(Digits {
            value,
            decimal: if hexadecimal { 0 } else { exponent - places },
            binary: if hexadecimal {
                exponent - 4 * places
            } else {
                0
            },
        })
    }

    fn round(&self, negative: bool) -> Option<Extended> {
        // What is far out of range is not worked out.
        const FAR: i64 = 5_000;
        let decimal_digits = |bits: i64| bits * 30_103 / 100_000;
        let magnitude = decimal_digits(self.value.bits() as i64 + self.binary) + self.decimal;
        if self.value.is_zero() {
            return Some(Extended::Finite(Finite {
                negative,
                mantissa: 0,
                exponent: 0,
            }));
        }
        if magnitude.abs() > FAR {
            return None;
        }
        let power = Natural::power_of_ten(self.decimal.unsigned_abs());
        let (value, divisor) = if self.decimal < 0 {
            (self.value.clone(), power)
        } else {
            (self.value.times(&power), Natural::from(1))
        };
        Some(round(negative, value, divisor, self.binary))
    }
}

/// An exponent; one of any length, but held within what can still make a difference.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits.iter().fold(0_i64, |size, digit| {
        (size * 10 + i64::from(digit - b'0')).min(1_000_000)
    });
    Some(if negative { -size } else { size })
}

/// `value / divisor · 2^exponent`, rounded to 64 bits.
fn round(negative: bool, value: Natural, divisor: Natural, exponent: i64) -> Extended {
    let mut last = exponent + value.bits() as i64 - divisor.bits() as i64 - 64;
    loop {
        last = last.max(EXPONENT_MIN);
        let shift = last - exponent;
        let by = usize::try_from(shift.unsigned_abs()).unwrap_or(usize::MAX);
        let (dividend, divisor) = if shift < 0 {
            (value.shifted(by), divisor.clone())
        } else {
            (value.clone(), divisor.shifted(by))
        };
        let (mut quotient, rest) = dividend.divide(&divisor);
        match rest.shifted(1).cmp(&divisor) {
            Ordering::Greater => quotient += 1,
            Ordering::Equal => quotient += quotient % 2,
            Ordering::Less => {}
        }
        let Ok(mantissa) = u64::try_from(quotient) else {
            // One bit too many: rounded once more, from what is exact.
            last += 1;
            continue;
        };
        if last > EXPONENT_MAX {
            return Extended::Infinite { negative };
        }
        return Extended::Finite(Finite {
            negative,
            mantissa,
            exponent: if mantissa == 0 { 0 } else { last },
        });
    }
}

/// A natural number of any size, its least digit first, without leading zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Natural(Vec<u32>);

impl Natural {
    fn from(mut value: u128) -> Self {
        let mut digits = Vec::new();
        while value > 0 {
            digits.push(value as u32);
            value >>= 32;
        }
        Natural(digits)
    }

    fn power_of_ten(exponent: u64) -> Self {
        let mut power = Natural::from(1);
        (0..exponent / 9).for_each(|_| power.multiply_add(1_000_000_000, 0));
        (0..exponent % 9).for_each(|_| power.multiply_add(10, 0));
        power
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    fn bits(&self) -> usize {
        let top = self.0.last().map_or(0, |top| 32 - top.leading_zeros());
        self.0.len().saturating_sub(1) * 32 + top as usize
    }

    fn digit(&self, at: usize) -> u32 {
        self.0.get(at).copied().unwrap_or(0)
    }

    /// This, times a factor, and something added.
    fn multiply_add(&mut self, factor: u32, more: u32) {
        let mut carry = u64::from(more);
        for digit in &mut self.0 {
            carry += u64::from(*digit) * u64::from(factor);
            *digit = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn times(&self, other: &Natural) -> Natural {
        let mut product = vec![0_u32; self.0.len() + other.0.len()];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0;
            let places = product.iter_mut().skip(i);
            for (place, b) in places.zip(other.0.iter().chain(&[0])) {
                carry += u64::from(*place) + u64::from(*a) * u64::from(*b);
                *place = carry as u32;
                carry >>= 32;
            }
        }
        Natural(product).trimmed()
    }

    fn plus(&self, other: &Natural) -> Natural {
        let mut carry = 0;
        let length = self.0.len().max(other.0.len()) + 1;
        let digits = (0..length).map(|at| {
            carry += u64::from(self.digit(at)) + u64::from(other.digit(at));
            let digit = carry as u32;
            carry >>= 32;
            digit
        });
        Natural(digits.collect()).trimmed()
    }

    /// The difference to what is not larger.
    fn minus(&self, other: &Natural) -> Natural {
        let mut borrow = 0;
        let digits = self.0.iter().enumerate().map(|(at, digit)| {
            let rest = i64::from(*digit) - i64::from(other.digit(at)) - borrow;
            borrow = i64::from(rest < 0);
            rest as u32
        });
        Natural(digits.collect()).trimmed()
    }

    fn shifted(&self, by: usize) -> Natural {
        let (whole, part) = (by / 32, by % 32);
        let mut digits = vec![0; whole];
        let mut carry = 0_u64;
        for digit in &self.0 {
            carry |= u64::from(*digit) << part;
            digits.push(carry as u32);
            carry >>= 32;
        }
        digits.push(carry as u32);
        Natural(digits).trimmed()
    }

    /// The quotient, which must be below 2^127, and the rest.
    fn divide(&self, divisor: &Natural) -> (u128, Natural) {
        let (mut quotient, mut rest) = (0, self.clone());
        let places = self.bits().saturating_sub(divisor.bits());
        for place in (0..=places).rev() {
            let part = divisor.shifted(place);
            quotient <<= 1;
            if rest >= part {
                rest = rest.minus(&part);
                quotient |= 1;
            }
        }
        (quotient, rest)
    }

    fn to_decimal(&self) -> Vec<u8> {
        const CHUNK: u64 = 1_000_000_000;
        let mut chunks = Vec::new();
        let mut left = self.clone();
        while !left.is_zero() {
            let mut rest = 0;
            for digit in left.0.iter_mut().rev() {
                rest = (rest << 32) | u64::from(*digit);
                *digit = (rest / CHUNK) as u32;
                rest %= CHUNK;
            }
            chunks.push(rest);
            left = left.trimmed();
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:09}"));
        }
        text.into_bytes()
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_length = self.0.len().cmp(&other.0.len());
        by_length.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> String {
        let (a, b) = (Extended::parse(a.as_bytes()), Extended::parse(b.as_bytes()));
        let sum = a.unwrap().checked_add(b.unwrap());
        sum.map_or("infinite".into(), |sum| {
            String::from_utf8(sum.to_text()).unwrap()
        })
    }

    #[test]
    fn sums_are_those_of_redis_to_the_digit() {
        // Each was given by redis-server 7.0 on x86-64.
        for (a, b, expected) in [
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("0.1", "0.2", "0.3"),
            ("3", "-3", "0"),
            ("-0", "0", "0"),
            ("1", "1e-17", "1.00000000000000001"),
            ("0", "1e-18", "0"),
            ("0", "-1e-18", "0"),
            ("0x10", "0x1.8p1", "19"),
            ("1e30", "1", "1000000000000000000024696061952"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            ("18446744073709551616", "3", "18446744073709551620"),
            ("1e4932", "1e4932", "infinite"),
            ("inf", "1", "infinite"),
        ] {
            assert_eq!(sum(a, b), expected, "{a} + {b}");
        }
    }

    #[test]
    fn what_redis_does_not_read_is_not_read() {
        for text in [
            "", " 1", "1 ", "nan", "-nan", "1e", "e5", ".", "0x", "0x.p1", "1e5000", "-1e5000",
            "1e-5000", "1.2.3", "1\0", "--1", "infinit", "1e+", "1_0",
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Extended::parse(&[b'1'; 5_120]), None);
        for text in [
            ".5",
            "5.",
            "+1",
            "1E5",
            "0e99999999999",
            "1e-4950",
            "INF",
            "-Infinity",
        ] {
            assert!(Extended::parse(text.as_bytes()).is_some(), "{text:?}");
        }
    }

    proptest::proptest! {
        /// Doubles are exact in extended precision, and so are their sums if they are of one size.
        #[test]
        fn sums_of_small_integers_and_fractions_are_exact(a in -1_000_000_000_i64..1_000_000_000, b in -1_000_000_000_i64..1_000_000_000) {
            let scaled = |value: i64| format!("{}", value as f64 / 1_024.0);
            proptest::prop_assert_eq!(sum(&scaled(a), &scaled(b)), scaled(a + b));
        }
    }
}
