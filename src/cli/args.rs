//! Arguments to a command.
//!
//! An option is a row of `OPTIONS`; a command is a row of `COMMANDS` with a function that takes the
//! options it understands. What no one took is not for this command.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use log::LevelFilter;

use super::{checkpoint, dead_letters, events, help, replay};
use crate::config::LogFormat;
use crate::config::file::{LOG_FORMATS, LOG_LEVELS, Overrides};
use crate::config::nearest::nearest;

/// What the user asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Invocation {
    pub(super) command: Command,
    /// `--config`.
    pub(super) config: Option<PathBuf>,
    /// Settings that replace those of the file.
    pub(super) overrides: Overrides,
}

/// A command with what is special to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    Run,
    Check {
        offline: bool,
    },
    Demo(DemoOptions),
    Events {
        source: Option<String>,
        format: events::Format,
    },
    Tail {
        source: Option<String>,
        pattern: Option<String>,
        template: Option<String>,
    },
    Replay(replay::Options),
    Checkpoint {
        route: Option<String>,
        action: checkpoint::Action,
    },
    Send {
        route: Option<String>,
        name: String,
        data: Option<PathBuf>,
    },
    DeadLetters {
        route: Option<String>,
        action: dead_letters::Action,
    },
    Convert {
        old: PathBuf,
    },
    /// Print this text.
    Help(&'static str),
    Version,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct DemoOptions {
    /// Stop after so many events.
    pub(crate) events: Option<u64>,
    /// Events per second.
    pub(crate) rate: Option<f64>,
}

/// Why the arguments cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An option, long name first.
pub(super) struct OptionSpec {
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    /// What its value is called; none for a switch.
    pub(super) value: Option<&'static str>,
}

const fn switch(name: &'static str, short: Option<char>) -> OptionSpec {
    OptionSpec { name, short, value: None }
}

const fn valued(name: &'static str, short: Option<char>, value: &'static str) -> OptionSpec {
    OptionSpec { name, short, value: Some(value) }
}

/// All options of all commands.
pub(super) const OPTIONS: &[OptionSpec] = &[
    valued("config", Some('c'), "FILE"),
    valued("log-level", None, "LEVEL"),
    valued("log-format", None, "FORMAT"),
    switch("log-json", None),
    switch("verbose", None),
    switch("offline", None),
    valued("events", None, "N"),
    valued("rate", None, "R"),
    valued("route", None, "NAME"),
    valued("type", None, "TYPE"),
    valued("data", None, "FILE"),
    valued("source", None, "NAME"),
    valued("format", None, "FORMAT"),
    valued("pattern", None, "JSON"),
    valued("template", None, "TEXT"),
    valued("from", None, "TIME"),
    valued("to", None, "TIME"),
    switch("dry-run", None),
    switch("force", None),
    switch("help", Some('h')),
    switch("version", Some('V')),
];

/// How a time is written.
const TIME: &str = "a time such as 2026-01-31T12:00:00Z";

/// A command, its help, and how it takes its options.
pub(super) struct CommandSpec {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    read: fn(&mut Given) -> Result<Command, UsageError>,
}

/// All commands, the default first.
pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec { name: "run", help: help::RUN, read: |_| Ok(Command::Run) },
    CommandSpec {
        name: "check",
        help: help::CHECK,
        read: |given| Ok(Command::Check { offline: given.switch("offline")? }),
    },
    CommandSpec {
        name: "demo",
        help: help::DEMO,
        read: |given| {
            let events = given.value("events", "a whole number above 0", |text| {
                text.parse().ok().filter(|events: &u64| *events > 0)
            })?;
            let rate = given.value("rate", "events per second, above 0 and at most 1000000", |text| {
                text.parse().ok().filter(|rate: &f64| *rate > 0.0 && *rate <= 1e6)
            })?;
            Ok(Command::Demo(DemoOptions { events, rate }))
        },
    },
    CommandSpec {
        name: "events",
        help: help::EVENTS,
        read: |given| {
            let source = given.name("source")?;
            let format = given
                .value("format", &alternatives(events::FORMATS), |text| one_of(events::FORMATS, text))?;
            Ok(Command::Events { source, format: format.unwrap_or_default() })
        },
    },
    CommandSpec {
        name: "tail",
        help: help::TAIL,
        read: |given| {
            let source = given.name("source")?;
            let pattern = given.value("pattern", "an event pattern", |text| Some(text.to_string()))?;
            let template = given.value("template", "a template", |text| Some(text.to_string()))?;
            Ok(Command::Tail { source, pattern, template })
        },
    },
    CommandSpec {
        name: "send",
        help: help::SEND,
        read: |given| {
            let route = given.name("route")?;
            let name = given.value("type", "an event's name", |text| Some(text.to_string()))?;
            let data = given.take("data").flatten().map(PathBuf::from);
            let name = name.unwrap_or_else(|| "VmPoweredOnEvent".to_string());
            Ok(Command::Send { route, name, data })
        },
    },
    CommandSpec { name: "replay", help: help::REPLAY, read: replay_options },
    CommandSpec {
        name: "checkpoint",
        help: help::CHECKPOINT,
        read: |given| {
            let route = given.name("route")?;
            let action = match given.argument() {
                Some(word) if word == "show" => checkpoint::Action::Show,
                Some(word) if word == "set" => {
                    let (time, force) = (given.time()?, given.switch("force")?);
                    checkpoint::Action::Set { time, force }
                }
                Some(word) if word == "copy" => match given.argument() {
                    Some(word) if word == "cluster" => checkpoint::Action::Copy { to_cluster: true },
                    Some(word) if word == "files" => checkpoint::Action::Copy { to_cluster: false },
                    _ => return Err(UsageError("`checkpoint copy` needs `cluster` or `files`".to_string())),
                },
                _ => {
                    let text = "`checkpoint` needs `show`, `set TIME`, or `copy cluster|files`";
                    return Err(UsageError(text.to_string()));
                }
            };
            Ok(Command::Checkpoint { route, action })
        },
    },
    CommandSpec {
        name: "dead-letters",
        help: help::DEAD_LETTERS,
        read: |given| {
            let route = given.name("route")?;
            let action = match given.argument() {
                Some(word) if word == "list" => dead_letters::Action::List,
                Some(word) if word == "redeliver" => dead_letters::Action::Redeliver,
                _ => return Err(UsageError("`dead-letters` needs `list` or `redeliver`".to_string())),
            };
            Ok(Command::DeadLetters { route, action })
        },
    },
    CommandSpec {
        name: "convert",
        help: help::CONVERT,
        read: |given| {
            let old = given
                .argument()
                .ok_or_else(|| UsageError("`convert` needs the old file: convert FILE".to_string()))?;
            Ok(Command::Convert { old: old.into() })
        },
    },
];

fn replay_options(given: &mut Given) -> Result<Command, UsageError> {
    let needed = |name| UsageError(format!("`replay` needs --{name}"));
    let route = given.name("route")?.ok_or_else(|| needed("route NAME"))?;
    let from = given.value("from", TIME, |text| text.parse().ok())?.ok_or_else(|| needed("from TIME"))?;
    let to = given.value("to", TIME, |text| text.parse().ok())?;
    if to.is_some_and(|to| to < from) {
        return Err(UsageError("option `--to` is a time before that of `--from`".to_string()));
    }
    let dry_run = given.switch("dry-run")?;
    let force = given.switch("force")?;
    Ok(Command::Replay(replay::Options { route, from, to, dry_run, force }))
}

/// Understands the arguments of the process, without its own name.
pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let mut given = Given::collect(args)?;
    let spec = match given.words.first() {
        None => None,
        Some(word) => Some(command(word)?),
    };
    if given.switch("help")? {
        return Ok(Invocation::print(Command::Help(spec.map_or(help::MAIN, |spec| spec.help))));
    }
    if given.switch("version")? {
        return Ok(Invocation::print(Command::Version));
    }
    let config = given.take("config").flatten().map(PathBuf::from);
    let overrides = given.overrides()?;
    let spec = spec.unwrap_or(&COMMANDS[0]);
    let command = (spec.read)(&mut given)?;
    given.finish(spec.name)?;
    Ok(Invocation { command, config, overrides })
}

impl Invocation {
    fn print(command: Command) -> Invocation {
        Invocation { command, config: None, overrides: Overrides::default() }
    }
}

fn command(word: &OsStr) -> Result<&'static CommandSpec, UsageError> {
    let word = word.to_string_lossy();
    if let Some(spec) = COMMANDS.iter().find(|spec| spec.name == word) {
        return Ok(spec);
    }
    let known = COMMANDS.iter().map(|spec| spec.name).chain(["--help", "--version"]);
    Err(UsageError(format!("unknown command `{word}`{}", suggestion(&word, known))))
}

fn suggestion<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    nearest(word, known).map_or(String::new(), |near| format!(", did you mean `{near}`?"))
}

/// The options and words that stand in the arguments.
struct Given {
    options: Vec<(&'static OptionSpec, Option<OsString>)>,
    words: Vec<OsString>,
}

impl Given {
    fn collect(args: impl IntoIterator<Item = OsString>) -> Result<Given, UsageError> {
        let mut given = Given { options: Vec::new(), words: Vec::new() };
        let mut parser = lexopt::Parser::from_args(args);
        let mut only_words = false;
        loop {
            if !only_words && let Some(mut raw) = parser.try_raw_args() {
                only_words = raw.peek() == Some(OsStr::new("--"));
                if let Some(arg) = raw.next_if(has_one_dash) {
                    let (name, inline) = split(&arg);
                    let spec = option(&name, "-")?;
                    let value = match (spec.value, inline) {
                        (Some(_), None) => Some(raw.next().ok_or_else(|| needs_value(spec))?),
                        (_, inline) => inline,
                    };
                    given.options.push((spec, value));
                    continue;
                }
            }
            let spec = match parser.next().map_err(|error| UsageError(error.to_string()))? {
                None => return Ok(given),
                Some(lexopt::Arg::Value(word)) => {
                    given.words.push(word);
                    continue;
                }
                Some(lexopt::Arg::Long(name)) => option(name, "--")?,
                Some(lexopt::Arg::Short(letter)) => OPTIONS
                    .iter()
                    .find(|spec| spec.short == Some(letter))
                    .ok_or_else(|| UsageError(format!("unknown option `-{letter}`")))?,
            };
            let value = match spec.value {
                Some(_) => Some(parser.value().map_err(|_| needs_value(spec))?),
                None => parser.optional_value(),
            };
            given.options.push((spec, value));
        }
    }

    /// Takes an option out; of several the last counts, as in Go.
    fn take(&mut self, name: &str) -> Option<Option<OsString>> {
        let mut found = None;
        self.options.retain_mut(|(spec, value)| {
            let this = spec.name == name;
            if this {
                found = Some(value.take());
            }
            !this
        });
        found
    }

    /// Takes a switch; Go's `=true` and `=false` are understood.
    fn switch(&mut self, name: &'static str) -> Result<bool, UsageError> {
        match self.take(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => match value.to_str() {
                Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
                Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
                _ => Err(UsageError(format!(
                    "option `--{name}`: expected true or false, found `{}`",
                    value.to_string_lossy()
                ))),
            },
        }
    }

    /// Takes an option's value as what it means.
    fn value<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, UsageError> {
        let Some(value) = self.take(name).flatten() else {
            return Ok(None);
        };
        match value.to_str().and_then(read) {
            Some(meaning) => Ok(Some(meaning)),
            None => Err(UsageError(format!(
                "option `--{name}`: expected {expected}, found `{}`",
                value.to_string_lossy()
            ))),
        }
    }

    /// Takes an option's value as a name.
    fn name(&mut self, name: &'static str) -> Result<Option<String>, UsageError> {
        self.value(name, "a name", |text| Some(text.to_string()))
    }

    /// Takes the next word after the command.
    fn argument(&mut self) -> Option<OsString> {
        (1 < self.words.len()).then(|| self.words.remove(1))
    }

    /// Takes the next word after the command as a time.
    fn time(&mut self) -> Result<jiff::Timestamp, UsageError> {
        let word = self.argument().unwrap_or_default();
        word.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let found = word.to_string_lossy();
            UsageError(format!("expected {TIME}, found `{found}`"))
        })
    }

    fn overrides(&mut self) -> Result<Overrides, UsageError> {
        let verbose = self.switch("verbose")?.then_some(LevelFilter::Debug);
        let json = self.switch("log-json")?.then_some(LogFormat::Json);
        let level = self.value("log-level", &alternatives(LOG_LEVELS), |text| {
            // The Go router took levels in any case, and more of them than it had uses for.
            match &*text.to_ascii_lowercase() {
                "dpanic" | "panic" | "fatal" => Some(LevelFilter::Error),
                text => one_of(LOG_LEVELS, text),
            }
        })?;
        let format =
            self.value("log-format", &alternatives(LOG_FORMATS), |text| one_of(LOG_FORMATS, text))?;
        Ok(Overrides { log_level: level.or(verbose), log_format: format.or(json), ..Overrides::default() })
    }

    /// Everything was taken but the command's own name.
    fn finish(self, command: &str) -> Result<(), UsageError> {
        if let Some((spec, _)) = self.options.first() {
            return Err(UsageError(format!("option `--{}` is not for `{command}`", spec.name)));
        }
        match self.words.get(1) {
            Some(word) => Err(UsageError(format!("unexpected argument `{}`", word.to_string_lossy()))),
            None => Ok(()),
        }
    }
}

/// `-config`, `-config=FILE`: long options with one dash, as Go programs take them. `-c` and `-c=FILE`
/// are not.
fn has_one_dash(arg: &OsStr) -> bool {
    let bytes = arg.as_encoded_bytes();
    bytes.len() > 2 && bytes[0] == b'-' && bytes[1] != b'-' && bytes[2] != b'='
}

/// The name of an option with one dash, and the value after its `=`.
fn split(arg: &OsStr) -> (String, Option<OsString>) {
    let text = arg.to_string_lossy();
    let name: String = text[1..].split('=').next().unwrap_or_default().to_string();
    // Only names of ASCII letters are known, so for these the value begins at this byte.
    let value = arg.to_str().and_then(|text| text.split_once('=')).map(|(_, value)| value.into());
    (name, value)
}

fn option(name: &str, dashes: &str) -> Result<&'static OptionSpec, UsageError> {
    OPTIONS.iter().find(|spec| spec.name == name).ok_or_else(|| {
        let near = nearest(name, OPTIONS.iter().map(|spec| spec.name));
        let near = near.map_or(String::new(), |near| format!(", did you mean `--{near}`?"));
        UsageError(format!("unknown option `{dashes}{name}`{near}"))
    })
}

fn needs_value(spec: &OptionSpec) -> UsageError {
    UsageError(format!("option `--{}` needs a value: --{0} {}", spec.name, spec.value.unwrap_or_default()))
}

fn one_of<T: Copy>(words: &[(&str, T)], text: &str) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning)
}

fn alternatives<T>(words: &[(&str, T)]) -> String {
    words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Invocation, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    fn invocation(command: Command) -> Invocation {
        Invocation { command, config: None, overrides: Overrides::default() }
    }

    #[test]
    fn commands_and_their_options() {
        for (line, command) in [
            ("", Command::Run),
            ("run", Command::Run),
            ("check", Command::Check { offline: false }),
            ("check --offline", Command::Check { offline: true }),
            ("--offline check", Command::Check { offline: true }),
            ("demo", Command::Demo(DemoOptions::default())),
            ("demo --events 50 --rate=2.5", Command::Demo(DemoOptions { events: Some(50), rate: Some(2.5) })),
            ("convert old.yaml", Command::Convert { old: "old.yaml".into() }),
            ("--help", Command::Help(help::MAIN)),
            ("-h", Command::Help(help::MAIN)),
            ("-help", Command::Help(help::MAIN)),
            ("check --help", Command::Help(help::CHECK)),
            ("--version", Command::Version),
            ("-V", Command::Version),
        ] {
            assert_eq!(of(line), Ok(invocation(command)), "{line}");
        }
    }

    #[test]
    fn options_of_all_commands_in_both_spellings() {
        let file = Some(PathBuf::from("a.toml"));
        for line in [
            "-c a.toml",
            "-c=a.toml",
            "--config a.toml",
            "--config=a.toml",
            "-config a.toml",
            "-config=a.toml",
            "run -c a.toml",
            "-c b.toml -c a.toml",
        ] {
            assert_eq!(of(line).map(|invocation| invocation.config), Ok(file.clone()), "{line}");
        }
        let (debug, json) = (Some(LevelFilter::Debug), Some(LogFormat::Json));
        for (line, log_level, log_format) in [
            ("--log-level debug", debug, None),
            ("-log-level=debug", debug, None),
            ("-log-level DEBUG", debug, None),
            ("-log-level=WARN", Some(LevelFilter::Warn), None),
            ("-log-level dpanic", Some(LevelFilter::Error), None),
            ("--log-level=FATAL", Some(LevelFilter::Error), None),
            ("-verbose", debug, None),
            ("-verbose=false", None, None),
            ("-verbose --log-level trace", Some(LevelFilter::Trace), None),
            ("--log-format json", None, json),
            ("-log-json", None, json),
            ("--log-json=true", None, json),
            ("-log-json=0", None, None),
            ("-log-json --log-format text", None, Some(LogFormat::Text)),
        ] {
            let overrides = of(line).map(|invocation| invocation.overrides);
            assert_eq!(overrides, Ok(Overrides { log_level, log_format, ..Overrides::default() }), "{line}");
        }
    }

    #[test]
    fn a_value_may_look_like_an_option() {
        for line in ["-c -log-json", "--config -log-json", "-config -log-json"] {
            assert_eq!(of(line).map(|invocation| invocation.config), Ok(Some("-log-json".into())), "{line}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_need_not_be_unicode() {
        use std::os::unix::ffi::OsStringExt;
        let path = OsString::from_vec(b"a\xFF.toml".to_vec());
        let parsed = parse(["-c".into(), path.clone()]).unwrap();
        assert_eq!(parsed.config, Some(path.into()));
    }

    #[test]
    fn mistakes_are_named_with_what_was_meant() {
        for (line, message) in [
            ("chek", "unknown command `chek`, did you mean `check`?"),
            ("help", "unknown command `help`, did you mean `--help`?"),
            ("frobnicate", "unknown command `frobnicate`"),
            ("--confg a", "unknown option `--confg`, did you mean `--config`?"),
            ("-loglevel debug", "unknown option `-loglevel`, did you mean `--log-level`?"),
            ("-x", "unknown option `-x`"),
            ("--config", "option `--config` needs a value: --config FILE"),
            ("-c", "option `--config` needs a value: --config FILE"),
            ("-config", "option `--config` needs a value: --config FILE"),
            (
                "--log-level loud",
                "option `--log-level`: expected error, warn, info, debug, trace, found `loud`",
            ),
            ("--log-format xml", "option `--log-format`: expected text, json, found `xml`"),
            ("-log-json=maybe", "option `--log-json`: expected true or false, found `maybe`"),
            ("--offline", "option `--offline` is not for `run`"),
            ("check --events 5", "option `--events` is not for `check`"),
            ("check now", "unexpected argument `now`"),
            ("check -- -now", "unexpected argument `-now`"),
            ("demo --events 0", "option `--events`: expected a whole number above 0, found `0`"),
            ("demo --events -5", "option `--events`: expected a whole number above 0, found `-5`"),
            (
                "demo --rate nan",
                "option `--rate`: expected events per second, above 0 and at most 1000000, found `nan`",
            ),
            ("convert", "`convert` needs the old file: convert FILE"),
            ("convert a b", "unexpected argument `b`"),
            ("demo run", "unexpected argument `run`"),
            ("events --format xml", "option `--format`: expected table, csv, json, found `xml`"),
            ("replay --from 2026-01-31T12:00:00Z", "`replay` needs --route NAME"),
            ("replay --route a", "`replay` needs --from TIME"),
            (
                "replay --route a --from yesterday",
                "option `--from`: expected a time such as 2026-01-31T12:00:00Z, found `yesterday`",
            ),
            (
                "replay --route a --from 2026-01-31T12:00:00Z --to 2026-01-31T11:00:00Z",
                "option `--to` is a time before that of `--from`",
            ),
        ] {
            assert_eq!(of(line), Err(message.to_string()), "{line}");
        }
    }
}
