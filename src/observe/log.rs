//! The log: one line per event on standard error, for people or as JSON.
//!
//! The target of a record is the name of its logger, such as `route power`, `source vc01` or `router`.
//! Under systemd's journal a line begins with its priority, as `sd-daemon` has it, and has no time of its
//! own. The level of a record says whose business it is: error means that something
//! was lost or that a person must act, warn that something unexpected was overcome, info that a state
//! changed; debug is per page and trace per event.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;
use log::kv::{Key, Value, VisitSource};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;
use serde_json::Map;

use crate::config::{LogConfig, LogFormat};

/// Crates below us that log. Their levels are made for their developers.
const THIRD_PARTY: &[&str] = &["ureq", "ureq_proto"];

/// The logger of the process itself.
pub(crate) const ROUTER: &str = "router";

/// Starts the log of the process. A second call changes only the level.
///
/// Lines that cannot be written are lost: a closed standard error must not stop deliveries.
pub(crate) fn init(config: &LogConfig) {
    let style = Style { format: config.format, is_journal: is_journal() };
    let logger = env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .target(env_logger::Target::Stderr)
        .format(move |out, record| writeln!(out, "{}", line(style, Timestamp::now(), record)))
        .build();
    let _ = log::set_boxed_logger(Box::new(Gate { logger }));
    set_level(config.level);
}

/// How lines look.
#[derive(Clone, Copy, Debug)]
struct Style {
    format: LogFormat,
    is_journal: bool,
}

/// Whether standard error leads to systemd's journal: `JOURNAL_STREAM` names device and inode of what the
/// service was given, and a command in between may have redirected it (`systemd.exec(5)`).
pub(crate) fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let stderr = stderr.and_then(|stderr| stderr.metadata());
    stderr.is_ok_and(|stderr| named == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// The priority of a line in the journal (`sd-daemon(3)`).
pub(crate) fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// Changes what is logged from now on.
fn set_level(level: LevelFilter) {
    log::set_max_level(level);
}

/// One level more or less than now, between error and trace; says so whatever the level is.
pub(crate) fn step_level(more: bool, why: &str) {
    let levels =
        [LevelFilter::Error, LevelFilter::Warn, LevelFilter::Info, LevelFilter::Debug, LevelFilter::Trace];
    let now = levels.iter().position(|level| *level == log::max_level()).unwrap_or_default();
    let next = if more { levels[(now + 1).min(levels.len() - 1)] } else { levels[now.saturating_sub(1)] };
    announce_level(next, why);
}

/// Changes the level and says so whatever it is.
pub(crate) fn announce_level(level: LevelFilter, why: &str) {
    set_level(level.max(LevelFilter::Info));
    let name = level.as_str().to_ascii_lowercase();
    log::info!(target: ROUTER, "{why}: the log level is {name}");
    set_level(level);
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

/// Other crates speak from warn on, and from debug on when trace is asked for: they have a dozen lines
/// for each page. Never trace: at that level the HTTP crates print requests byte by byte, passwords
/// included.
fn passes(wanted: LevelFilter, level: Level, target: &str) -> bool {
    let third_party = THIRD_PARTY.contains(&target.split("::").next().unwrap_or_default());
    let most = match wanted {
        LevelFilter::Trace if third_party => LevelFilter::Debug,
        LevelFilter::Info | LevelFilter::Debug if third_party => LevelFilter::Warn,
        own => own,
    };
    level <= most
}

/// A line, without its newline. Fields follow the message: `name=value` in text, members in JSON.
fn line(style: Style, time: Timestamp, record: &Record<'_>) -> String {
    let (logger, message) = (record.target(), record.args().to_string());
    let mark = if style.is_journal { priority(record.level()) } else { "" };
    let mut fields = Fields::default();
    // Ours never fails.
    let _ = record.key_values().visit(&mut fields);
    match style.format {
        LogFormat::Text => {
            let time = if style.is_journal { String::new() } else { format!("{time:.3} ") };
            let mut line = format!("{mark}{time}{:<5} ", record.level());
            escape(logger, &mut line);
            line.push_str(": ");
            escape(&message, &mut line);
            for (name, value) in &fields.0 {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                let text = if is_plain(&text) { text } else { value.to_string() };
                escape(&format!(" {name}={text}"), &mut line);
            }
            line
        }
        LogFormat::Json => {
            let level = record.level().as_str().to_ascii_lowercase();
            let ts = format!("{time:.3}");
            let object = JsonLine { ts, level: &level, logger, msg: &message, fields: &fields.0 };
            // Strings and numbers always have a JSON form.
            format!("{mark}{}", serde_json::to_string(&object).unwrap_or_default())
        }
    }
}

/// The first members and their order are what the Go router's log had.
#[derive(Serialize)]
struct JsonLine<'a> {
    ts: String,
    level: &'a str,
    logger: &'a str,
    msg: &'a str,
    #[serde(flatten)]
    fields: &'a Map<String, serde_json::Value>,
}

/// The fields of a record: numbers and truth as such, everything else as text.
#[derive(Default)]
struct Fields(Map<String, serde_json::Value>);

impl<'kvs> VisitSource<'kvs> for Fields {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
        let json = match (value.to_bool(), value.to_i64()) {
            (Some(truth), _) => truth.into(),
            (None, Some(number)) => number.into(),
            (None, None) => value.to_string().into(),
        };
        self.0.insert(key.to_string(), json);
        Ok(())
    }
}

/// Whether a value needs no quotes to be told from what follows.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=')
}

/// Keeps one event one line, and a terminal safe from what a source or a sink sent.
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

    const TEXT: Style = Style { format: LogFormat::Text, is_journal: false };
    const JSON: Style = Style { format: LogFormat::Json, is_journal: false };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_one_line_for_people() {
        let time = at("2026-11-23T11:00:00.123456+01:00");
        let ready =
            Record::builder().level(Level::Info).target("route power").args(format_args!("ready")).build();
        assert_eq!(line(TEXT, time, &ready), "2026-11-23T10:00:00.123Z INFO  route power: ready");
        let anomalies = Record::builder()
            .level(Level::Error)
            .target("main")
            .args(format_args!("a\r\nb\u{1b}[2Jc\td"))
            .build();
        assert_eq!(
            line(TEXT, at("2026-11-23T10:00:00Z"), &anomalies),
            "2026-11-23T10:00:00.000Z ERROR main: a\\r\\nb\\u{1b}[2Jc\td"
        );
    }

    #[test]
    fn fields_follow_the_message() {
        let pairs = [
            ("address", Value::from("https://vc01/sdk")),
            ("path", Value::from("a b\u{1b}")),
            ("async", Value::from(true)),
            ("eventKey", Value::from(-7)),
        ];
        let text = format_args!("said");
        let record = Record::builder().target("main").args(text).key_values(&pairs).build();
        let time = at("2026-11-23T10:00:00Z");
        assert_eq!(
            line(TEXT, time, &record),
            "2026-11-23T10:00:00.000Z INFO  main: said address=https://vc01/sdk async=true \
             eventKey=-7 path=\"a b\\u001b\""
        );
        let json: serde_json::Value = serde_json::from_str(&line(JSON, time, &record)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"ts": "2026-11-23T10:00:00.000Z", "level": "info", "logger": "main", "msg": "said",
                "address": "https://vc01/sdk", "path": "a b\u{1b}", "async": true, "eventKey": -7})
        );
    }

    #[test]
    fn the_journal_gets_priorities_and_keeps_the_time_itself() {
        let time = at("2026-11-23T10:00:00Z");
        let said = |format, level| {
            let args = format_args!("ready");
            let record = Record::builder().level(level).target("route power").args(args).build();
            line(Style { format, is_journal: true }, time, &record)
        };
        for (level, expected) in [
            (Level::Error, "<3>ERROR route power: ready"),
            (Level::Warn, "<4>WARN  route power: ready"),
            (Level::Info, "<6>INFO  route power: ready"),
            (Level::Debug, "<7>DEBUG route power: ready"),
            (Level::Trace, "<7>TRACE route power: ready"),
        ] {
            assert_eq!(said(LogFormat::Text, level), expected);
        }
        let json = said(LogFormat::Json, Level::Warn);
        assert!(json.starts_with("<4>{\"ts\":\"2026-11-23T10:00:00.000Z\",\"level\":\"warn\","), "{json}");
    }

    #[test]
    fn json_is_one_object() {
        let record = Record::builder()
            .level(Level::Warn)
            .target("source vc01")
            .args(format_args!("said \"no\"\nü\u{1b}"))
            .build();
        assert_eq!(
            line(JSON, at("2026-11-23T10:00:00.5Z"), &record),
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
            (Wanted::Error, Level::Warn, "ureq", false),
            (Wanted::Debug, Level::Debug, "ureq_proto::client", false),
            (Wanted::Trace, Level::Debug, "ureq_proto::client", true),
            (Wanted::Trace, Level::Trace, "ureq_proto::util", false),
            (Wanted::Info, Level::Info, "ureq_but_ours", true),
        ] {
            assert_eq!(passes(wanted, level, target), expected, "{wanted} {level} {target}");
        }
    }
}
