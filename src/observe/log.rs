//! The log: one line per event on standard error, for people or as JSON.
//!
//! The target of a record is the name of its logger, such as `route power` or `source vc01`; without
//! one it is the module. The level of a record says whose business it is: error means that something
//! was lost or that a person must act, warn that something unexpected was overcome, info that a state
//! changed; debug is per page and trace per event.

use std::fmt::Write as _;
use std::io::Write as _;

use jiff::Timestamp;
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use crate::config::{LogConfig, LogFormat};

/// Crates below us that log. Their levels are made for their developers.
const THIRD_PARTY: &[&str] = &["rustls", "rustls_native_certs", "ureq", "ureq_proto"];

/// Starts the log of the process. A second call changes only the level.
///
/// Lines that cannot be written are lost: a closed standard error must not stop deliveries.
pub fn init(config: &LogConfig) {
    let format = config.format;
    let logger = env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .target(env_logger::Target::Stderr)
        .format(move |out, record| {
            let message = record.args().to_string();
            writeln!(out, "{}", line(format, Timestamp::now(), record.level(), logger(record), &message))
        })
        .build();
    let _ = log::set_boxed_logger(Box::new(Gate { logger }));
    set_level(config.level);
}

/// Changes what is logged from now on.
pub fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// Lets our own records pass, and those of other crates only as far as they may.
struct Gate {
    logger: env_logger::Logger,
}

impl Log for Gate {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        passes(log::max_level(), metadata.level(), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.logger.log(record);
        }
    }

    fn flush(&self) {
        self.logger.flush();
    }
}

/// Other crates speak from warn on, and from debug on when debug is asked for. Never trace: at that
/// level the HTTP crates print requests byte by byte, passwords included.
fn passes(wanted: LevelFilter, level: Level, target: &str) -> bool {
    let third_party = THIRD_PARTY.contains(&target.split("::").next().unwrap_or_default());
    let most = match wanted {
        LevelFilter::Debug | LevelFilter::Trace if third_party => LevelFilter::Debug,
        LevelFilter::Info if third_party => LevelFilter::Warn,
        own => own,
    };
    level <= most
}

/// The name of a record's logger: its target, or the module of ours that it comes from.
fn logger<'a>(record: &'a Record<'_>) -> &'a str {
    record.target().strip_prefix(concat!(env!("CARGO_CRATE_NAME"), "::")).unwrap_or(record.target())
}

/// A line, without its newline.
fn line(format: LogFormat, time: Timestamp, level: Level, logger: &str, message: &str) -> String {
    match format {
        LogFormat::Text => {
            let mut line = format!("{time:.3} {level:<5} ");
            escape(logger, &mut line);
            line.push_str(": ");
            escape(message, &mut line);
            line
        }
        LogFormat::Json => {
            let level = level.as_str().to_ascii_lowercase();
            let object = JsonLine { ts: format!("{time:.3}"), level: &level, logger, msg: message };
            // Strings always have a JSON form.
            serde_json::to_string(&object).unwrap_or_default()
        }
    }
}

/// The members and their order are what the Go router's log had.
#[derive(Serialize)]
struct JsonLine<'a> {
    ts: String,
    level: &'a str,
    logger: &'a str,
    msg: &'a str,
}

/// Keeps one event one line, and a terminal safe from what vCenter or a sink sent.
fn escape(text: &str, line: &mut String) {
    for c in text.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push('\t'),
            c if c.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(line, "\\u{{{:x}}}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_one_line_for_people() {
        let time = at("2026-11-23T11:00:00.123456+01:00");
        assert_eq!(
            line(LogFormat::Text, time, Level::Info, "route power", "ready"),
            "2026-11-23T10:00:00.123Z INFO  route power: ready"
        );
        assert_eq!(
            line(LogFormat::Text, at("2026-11-23T10:00:00Z"), Level::Error, "main", "a\r\nb\u{1b}[2Jc\td"),
            "2026-11-23T10:00:00.000Z ERROR main: a\\r\\nb\\u{1b}[2Jc\td"
        );
    }

    #[test]
    fn our_modules_are_named_without_the_crate() {
        for (target, name) in
            [(module_path!(), "observe::log::tests"), ("route a", "route a"), ("ureq::run", "ureq::run")]
        {
            assert_eq!(logger(&Record::builder().target(target).build()), name);
        }
    }

    #[test]
    fn json_is_one_object() {
        let time = at("2026-11-23T10:00:00.5Z");
        assert_eq!(
            line(LogFormat::Json, time, Level::Warn, "source vc01", "said \"no\"\nü\u{1b}"),
            r#"{"ts":"2026-11-23T10:00:00.500Z","level":"warn","logger":"source vc01","msg":"said \"no\"\nü\u001b"}"#
        );
    }

    #[test]
    fn other_crates_are_quiet_and_never_trace() {
        use LevelFilter as Wanted;
        for (wanted, level, target, expected) in [
            (Wanted::Info, Level::Info, "route power", true),
            (Wanted::Info, Level::Debug, "route power", false),
            (Wanted::Trace, Level::Trace, "route power", true),
            (Wanted::Info, Level::Info, "ureq::run", false),
            (Wanted::Info, Level::Warn, "ureq::run", true),
            (Wanted::Error, Level::Warn, "rustls", false),
            (Wanted::Debug, Level::Debug, "rustls::client", true),
            (Wanted::Trace, Level::Trace, "ureq_proto::util", false),
            (Wanted::Info, Level::Info, "ureq_but_ours", true),
        ] {
            assert_eq!(passes(wanted, level, target), expected, "{wanted} {level} {target}");
        }
    }
}
