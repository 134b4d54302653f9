//! The text of a value as JSON, the way Go's `encoding/json` prints it.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::schema::Kind;

/// Appends `text` as a value of this kind and tells whether it is one. Text that is no such value
/// is appended as a string, so that nothing is lost.
pub(super) fn value(out: &mut Vec<u8>, kind: Kind, text: &str) -> bool {
    let done = match kind {
        Kind::Bool => boolean(out, text),
        Kind::Integer => integer(out, text, false),
        Kind::Byte => integer(out, text, true),
        Kind::Float => text.trim().parse().is_ok_and(|number: f32| {
            number.is_finite() && float(out, number, number != 0.0 && !(1e-6..1e21).contains(&number.abs()))
        }),
        Kind::Double => text.trim().parse().is_ok_and(|number: f64| {
            number.is_finite() && float(out, number, number != 0.0 && !(1e-6..1e21).contains(&number.abs()))
        }),
        Kind::Time => time(out, text),
        Kind::Binary => {
            // Go takes the base64 text for the bytes and encodes it once more.
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(text).as_bytes());
            out.push(b'"');
            true
        }
        Kind::Text | Kind::Reference | Kind::Any | Kind::Object(_) => {
            string(out, text);
            true
        }
    };
    if done {
        return true;
    }
    // An empty element is a zero to Go.
    match kind {
        Kind::Bool if text.is_empty() => out.extend_from_slice(b"false"),
        Kind::Time => string(out, text),
        _ if text.is_empty() => out.push(b'0'),
        _ => string(out, text),
    }
    text.is_empty() && kind != Kind::Time
}

/// The kind of a built-in type of XML Schema by its name.
pub(super) fn built_in(name: &str) -> Kind {
    match name {
        "boolean" => Kind::Bool,
        "byte" | "short" | "int" | "long" => Kind::Integer,
        "unsignedByte" | "unsignedShort" | "unsignedInt" | "unsignedLong" => Kind::Integer,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "dateTime" => Kind::Time,
        "base64Binary" => Kind::Binary,
        "anyType" => Kind::Any,
        _ => Kind::Text,
    }
}

/// Appends `text` as a JSON string. `<`, `>`, `&`, U+2028 and U+2029 are escaped as Go does;
/// control characters that XML forbids become U+FFFD.
pub(super) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if !NEEDS_CARE[byte as usize] {
            continue;
        }
        let (escaped, width): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            0xe2 => match bytes.get(at + 1..at + 3) {
                Some([0x80, 0xa8]) => (b"\\u2028", 3),
                Some([0x80, 0xa9]) => (b"\\u2029", 3),
                _ => continue,
            },
            _ => ("\u{fffd}".as_bytes(), 1),
        };
        out.extend_from_slice(&bytes[plain..at]);
        out.extend_from_slice(escaped);
        plain = at + width;
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

/// A point in time as vCenter writes it.
pub(super) struct Time<'a> {
    /// Date and time of day to the second.
    seconds: Cow<'a, str>,
    /// Digits behind the point, without trailing zeros.
    fraction: &'a str,
    /// `Z` or hours and minutes with their sign.
    offset: &'a str,
    /// The point in time itself.
    pub(super) timestamp: Timestamp,
}

impl<'a> Time<'a> {
    /// Reads an RFC 3339 time as strictly as Go does, and beside that what XSD or RFC 3339 also know:
    /// blanks around it, no zone, the hour 24, second 60 and small letters. Those leave as Go would
    /// read them.
    pub(super) fn parse(text: &'a str) -> Option<Time<'a>> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let (seconds, behind) = text.split_at_checked(19)?;
        let fraction_end = match behind.strip_prefix('.') {
            Some(digits) => {
                let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                1 + Some(end).filter(|end| 0 < *end)?
            }
            None => 0,
        };
        let (fraction, offset) = behind.split_at(fraction_end);
        // Go keeps nine digits and forgets the rest.
        let fraction = &fraction[usize::from(!fraction.is_empty())..fraction.len().min(10)];
        let offset_seconds = offset_seconds(offset)?;
        let nanoseconds = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
        let nanoseconds = nanoseconds.fold(0, |n, digit| n * 10 + i32::from(digit - b'0'));
        let local = Local::parse(seconds.as_bytes())?;
        if local.is_hour_24 && nanoseconds != 0 {
            return None;
        }
        Some(Time {
            seconds: if local.is_usual { Cow::Borrowed(seconds) } else { local.text()? },
            fraction: fraction.trim_end_matches('0'),
            offset: if offset_seconds == 0 { "Z" } else { offset },
            timestamp: Timestamp::new(local.seconds - offset_seconds, nanoseconds).ok()?,
        })
    }
}

/// Date and time of day without a zone.
struct Local {
    /// Since 1970, read as UTC.
    seconds: i64,
    /// Written as Go wants it.
    is_usual: bool,
    is_hour_24: bool,
}

impl Local {
    /// Reads `2021-03-10T05:21:22`. The hour 24 is the next day's 0, and a leap second is the first of
    /// the next minute.
    fn parse(text: &[u8]) -> Option<Local> {
        let punctuation = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        let letter = *text.get(10)?;
        if punctuation.iter().any(|(at, sign)| text.get(*at) != Some(sign)) || !matches!(letter, b'T' | b't')
        {
            return None;
        }
        let two = |at: usize| -> Option<i64> {
            let digits = text.get(at..at + 2)?;
            let all = digits.iter().all(u8::is_ascii_digit);
            all.then(|| i64::from(digits[0] - b'0') * 10 + i64::from(digits[1] - b'0'))
        };
        let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
        let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + i64::from(leap),
            _ => return None,
        };
        let is_hour_24 = hour == 24 && minute == 0 && second == 0;
        if !(1..=days).contains(&day) || (23 < hour && !is_hour_24) || 59 < minute || 60 < second {
            return None;
        }
        // Days since 1970 in a calendar whose year begins in March, so that the leap day is its last.
        let year = if month <= 2 { year - 1 } else { year };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days =
            365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
                - 719_468;
        Some(Local {
            seconds: ((days * 24 + hour) * 60 + minute) * 60 + second,
            is_usual: letter == b'T' && !is_hour_24 && second < 60,
            is_hour_24,
        })
    }

    /// Written as Go wants it.
    fn text(&self) -> Option<Cow<'static, str>> {
        let mut text = Timestamp::from_second(self.seconds).ok()?.to_string();
        // A year of more than four digits is none that Go reads.
        if text.len() != 20 || text.pop() != Some('Z') {
            return None;
        }
        Some(Cow::Owned(text))
    }
}

fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z" | "") {
        return Some(0);
    }
    let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
    if ![h1, h2, m1, m2].iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |tens: u8, ones: u8| i64::from(tens - b'0') * 10 + i64::from(ones - b'0');
    let (hours, minutes) = (number(h1, h2), number(m1, m2));
    let seconds = (hours * 60 + minutes) * 60;
    (hours < 24 && minutes < 60).then_some(if sign == b'-' { -seconds } else { seconds })
}

fn time(out: &mut Vec<u8>, text: &str) -> bool {
    let Some(time) = Time::parse(text) else { return false };
    out.push(b'"');
    out.extend_from_slice(time.seconds.as_bytes());
    if !time.fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(time.fraction.as_bytes());
    }
    out.extend_from_slice(time.offset.as_bytes());
    out.push(b'"');
    true
}

fn boolean(out: &mut Vec<u8>, text: &str) -> bool {
    let json: &[u8] = match text.trim() {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => b"true",
        "false" | "0" | "f" | "F" | "FALSE" | "False" => b"false",
        _ => return false,
    };
    out.extend_from_slice(json);
    true
}

fn integer(out: &mut Vec<u8>, text: &str, byte: bool) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let canonical = match digits {
        [b'1'..=b'9', rest @ ..] => digits.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        [b'0'] => text.len() == 1,
        _ => false,
    };
    if canonical && !(byte && text.starts_with('-')) {
        out.extend_from_slice(text.as_bytes());
        return true;
    }
    let Ok(number) = text.trim().parse::<i128>() else { return false };
    // A schema's byte has a sign, Go's has none.
    let number = if byte && (-128..0).contains(&number) { number + 256 } else { number };
    if number < i128::from(i64::MIN) || i128::from(u64::MAX) < number {
        return false;
    }
    // Writing to memory cannot fail.
    let _ = write!(out, "{number}");
    true
}

/// Appends the shortest digits that mean this number.
fn float(out: &mut Vec<u8>, number: impl Display + std::fmt::LowerExp, exponent: bool) -> bool {
    if !exponent {
        let _ = write!(out, "{number}");
        return true;
    }
    let text = format!("{number:e}");
    match text.split_once('e') {
        Some((digits, power)) if !power.starts_with('-') => {
            let _ = write!(out, "{digits}e+{power}");
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
    true
}

/// Bytes that may not be copied as they are: control characters, quotes, and the first byte of
/// what Go escapes for the sake of HTML and JavaScript.
const NEEDS_CARE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[b'<' as usize] = true;
    table[b'>' as usize] = true;
    table[b'&' as usize] = true;
    table[0xe2] = true;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn json(kind: Kind, text: &str) -> (String, bool) {
        let mut out = Vec::new();
        let fits = value(&mut out, kind, text);
        (String::from_utf8(out).unwrap(), fits)
    }

    #[test]
    fn values_as_go_prints_them() {
        for (kind, text, expected) in [
            (Kind::Integer, "0", "0"),
            (Kind::Integer, "-0", "0"),
            (Kind::Integer, " +007 ", "7"),
            (Kind::Integer, "", "0"),
            (Kind::Integer, "-2147483648", "-2147483648"),
            (Kind::Integer, "9223372036854775807", "9223372036854775807"),
            (Kind::Integer, "18446744073709551615", "18446744073709551615"),
            (Kind::Byte, "-1", "255"),
            (Kind::Byte, "200", "200"),
            (Kind::Bool, "1", "true"),
            (Kind::Bool, "", "false"),
            (Kind::Bool, " False ", "false"),
            (Kind::Float, "1.10", "1.1"),
            (Kind::Float, "0.1", "0.1"),
            (Kind::Float, "16777216", "16777216"),
            (Kind::Float, "1e21", "1e+21"),
            (Kind::Double, "0.000001", "0.000001"),
            (Kind::Double, "0.00000015", "1.5e-7"),
            (Kind::Double, "123456789012345678901", "123456789012345680000"),
            (Kind::Double, "-0", "-0"),
            (Kind::Double, "", "0"),
            (Kind::Binary, "AQID/w==", "\"QVFJRC93PT0=\""),
            (Kind::Binary, "", "\"\""),
            (Kind::Time, "2021-03-10T05:21:22.100Z", "\"2021-03-10T05:21:22.1Z\""),
            (Kind::Time, "2021-03-10T05:21:22.000+02:00", "\"2021-03-10T05:21:22+02:00\""),
            (Kind::Time, "2020-02-29T00:00:00-00:00", "\"2020-02-29T00:00:00Z\""),
            (Kind::Time, "2020-02-29T00:00:00.1234567899Z", "\"2020-02-29T00:00:00.123456789Z\""),
            (Kind::Time, "2021-03-10T05:21:22", "\"2021-03-10T05:21:22Z\""),
            (Kind::Time, "2021-03-10T05:21:22.50", "\"2021-03-10T05:21:22.5Z\""),
            (Kind::Time, " \t2021-03-10T05:21:22+05:45\r\n", "\"2021-03-10T05:21:22+05:45\""),
            (Kind::Time, "2021-03-10T05:21:22-14:00", "\"2021-03-10T05:21:22-14:00\""),
            (Kind::Time, "2021-03-10t05:21:22.25z", "\"2021-03-10T05:21:22.25Z\""),
            (Kind::Time, "2020-12-31T24:00:00.000Z", "\"2021-01-01T00:00:00Z\""),
            (Kind::Time, "2020-02-28T24:00:00+14:00", "\"2020-02-29T00:00:00+14:00\""),
            (Kind::Time, "2016-12-31T23:59:60.5Z", "\"2017-01-01T00:00:00.5Z\""),
            (Kind::Time, "2017-01-01T05:29:60+05:30", "\"2017-01-01T05:30:00+05:30\""),
        ] {
            assert_eq!(json(kind, text), (expected.to_owned(), true), "{kind:?} {text}");
        }
    }

    #[test]
    fn what_does_not_fit_stays_text() {
        for (kind, text) in [
            (Kind::Integer, "seven"),
            (Kind::Integer, "99999999999999999999"),
            (Kind::Bool, "yes"),
            (Kind::Float, "NaN"),
            (Kind::Double, "-INF"),
            (Kind::Float, "1e39"),
            (Kind::Time, ""),
            (Kind::Time, "2021-02-29T05:21:22Z"),
            (Kind::Time, "2021-03-10T24:00:01Z"),
            (Kind::Time, "2021-03-10T24:00:00.5Z"),
            (Kind::Time, "2021-03-10T25:00:00Z"),
            (Kind::Time, "9999-12-31T24:00:00Z"),
            (Kind::Time, "2021-03-10T05:21:61Z"),
            (Kind::Time, "2021-03-10T05:21:22.Z"),
            (Kind::Time, "2021-03-10T05:21:22."),
            (Kind::Time, "2021-03-10 05:21:22Z"),
            (Kind::Time, "2021-03-10T05:21:22+24:00"),
        ] {
            assert_eq!(json(kind, text), (format!("\"{text}\""), false), "{kind:?} {text}");
        }
    }

    #[test]
    fn points_in_time_agree_with_the_library() {
        let mut seconds = -62_167_219_200; // the year 0
        while seconds < 253_402_300_799 {
            let time = Timestamp::new(seconds, 120_000_000).unwrap();
            assert_eq!(Time::parse(&time.to_string()).unwrap().timestamp, time);
            seconds += 86_400 * 31 + 4_321;
        }
        let east = Time::parse("2021-03-10T05:21:22.5+05:30").unwrap().timestamp;
        assert_eq!(east, "2021-03-09T23:51:22.5Z".parse().unwrap());
        for (text, expected) in [
            ("2021-03-10T05:21:22", "2021-03-10T05:21:22Z"),
            ("2020-12-31T24:00:00+14:00", "2020-12-31T10:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("2016-12-31t23:59:59z", "2016-12-31T23:59:59Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(Time::parse(text).unwrap().timestamp, expected, "{text}");
        }
    }
}
