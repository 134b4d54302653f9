//! Numbers as the pattern language compares them: by value where a 64-bit float holds the number as
//! it is written, otherwise by text.

use std::io::Write;

/// The value of a JSON number, if a 64-bit float says the same decimal number as the text: the
/// shortest decimal that denotes the float equals the text's value. None for `1e400`,
/// `123456789012345678` and the like.
pub(super) fn comparable(text: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    if !value.is_finite() {
        return None;
    }
    // Plain integers up to 15 digits, most numbers of events, are exact.
    if text.len() <= 15 && text.iter().all(u8::is_ascii_digit) {
        return Some(value);
    }
    let written = Decimal::of(text)?;
    if written.is_zero() {
        return Some(0.0);
    }
    let mut room = [0u8; 40];
    let mut left = &mut room[..];
    write!(left, "{value:e}").ok()?;
    let used = 40 - left.len();
    (Decimal::of(&room[..used])? == written).then_some(value)
}

/// A decimal number: digits without zeros at either end, times ten to the exponent of the last.
#[derive(Clone, Copy)]
struct Decimal<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Decimal<'a> {
    fn of(text: &'a [u8]) -> Option<Decimal<'a>> {
        let (negative, text) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (mut integer, mut fraction) = match digits.iter().position(|&byte| byte == b'.') {
            Some(at) => (&digits[..at], &digits[at + 1..]),
            None => (digits, &digits[digits.len()..]),
        };
        while let [b'0', rest @ ..] = integer {
            integer = rest;
        }
        while let [rest @ .., b'0'] = fraction {
            fraction = rest;
        }
        let mut exponent = exponent.checked_sub(fraction.len() as i64)?;
        if fraction.is_empty() {
            while let [rest @ .., b'0'] = integer {
                integer = rest;
                exponent = exponent.checked_add(1)?;
            }
        }
        if integer.is_empty() {
            while let [b'0', rest @ ..] = fraction {
                fraction = rest;
            }
        }
        Some(Decimal { negative, integer, fraction, exponent })
    }

    fn digits(&self) -> impl Iterator<Item = &u8> {
        self.integer.iter().chain(self.fraction)
    }

    fn is_zero(&self) -> bool {
        self.integer.is_empty() && self.fraction.is_empty()
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.negative == other.negative && self.exponent == other.exponent && self.digits().eq(other.digits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_a_float_holds_are_comparable() {
        for (text, value) in [
            ("0", 0.0),
            ("-0.0e5", 0.0),
            ("300", 300.0),
            ("300.0", 300.0),
            ("3.018e2", 301.8),
            ("0.1", 0.1),
            ("-0.00120", -0.0012),
            ("1E+3", 1000.0),
            ("123456789012345", 123456789012345.0),
            ("12345678901234567", 12345678901234568.0),
            ("9007199254740992", 9007199254740992.0),
            ("1e22", 1e22),
            ("1.7976931348623157e308", f64::MAX),
        ] {
            let expected = (text != "12345678901234567").then_some(value);
            assert_eq!(comparable(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn others_are_not() {
        for text in ["9007199254740993", "1e400", "1e-400", "0.1000000000000000055", "1e99999999999999999999"]
        {
            assert_eq!(comparable(text.as_bytes()), None, "{text}");
        }
    }
}
