//! Times and sizes: text to amount, and the amount that is meant where the text tells none. Pure.

use std::time::Duration;

/// One or more numbers with unit, such as `1h30m`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let milliseconds = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(number.checked_mul(milliseconds)?)?;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total))
}

/// A number with a unit of 1024s.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// The time that is meant by a text in other words than ours, as it is written here.
pub(super) fn meant_duration(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    let digits = compact.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = compact.split_at(digits);
    let unit = match unit {
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => return Some(format!("{}d", number.parse::<u64>().ok()?.checked_mul(7)?)),
        _ => return None,
    };
    let written = match number.split_once('.') {
        None => format!("{number}{unit}"),
        Some((whole, "5")) => {
            let (half, smaller) = match unit {
                "s" => (500, "ms"),
                "m" => (30, "s"),
                "h" => (30, "m"),
                "d" => (12, "h"),
                _ => return None,
            };
            let whole = if matches!(whole, "" | "0") { String::new() } else { format!("{whole}{unit}") };
            format!("{whole}{half}{smaller}")
        }
        Some(_) => return None,
    };
    parse_duration(&written).map(|_| written)
}

/// The size that is meant by a text in other words than ours, as it is written here.
pub(super) fn meant_size(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    let digits = compact.find(|c: char| !c.is_ascii_digit()).unwrap_or(compact.len());
    let (number, unit) = compact.split_at(digits);
    let unit = match unit {
        "" | "b" | "byte" | "bytes" => "B",
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "t" | "tb" | "tib" => "TiB",
        _ => return None,
    };
    let written = format!("{number}{unit}");
    parse_size(&written).map(|_| written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("0s", Some(0)),
            ("200ms", Some(200)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("30", None),
            ("s", None),
            ("30 s", None),
            ("-1s", None),
            ("1.5s", None),
            ("30sec", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("1s\u{660}", None),
        ] {
            assert_eq!(parse_duration(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64MiB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("100B", Some(100)),
            ("64", None),
            ("64MB", None),
            ("MiB", None),
            ("", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_meant_in_other_words() {
        for (text, meant) in [
            ("5 minutes", Some("5m")),
            ("5M", Some("5m")),
            ("30 s", Some("30s")),
            ("30sec", Some("30s")),
            ("1 Hour", Some("1h")),
            ("2w", Some("14d")),
            ("1.5s", Some("1s500ms")),
            ("0.5h", Some("30m")),
            ("1.25s", None),
            ("30", None),
            ("-5s", None),
            ("PT5M", None),
            ("soon", None),
            ("99999999999999999999w", None),
            ("", None),
        ] {
            assert_eq!(meant_duration(text).as_deref(), meant, "{text}");
        }
        for (text, meant) in [
            ("64MB", Some("64MiB")),
            ("64 mb", Some("64MiB")),
            ("64M", Some("64MiB")),
            ("67108864", Some("67108864B")),
            ("1gib", Some("1GiB")),
            ("1.5GiB", None),
            ("MiB", None),
            ("", None),
        ] {
            assert_eq!(meant_size(text).as_deref(), meant, "{text}");
        }
    }
}
