//! The command line: arguments to a command, and its exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::RouteConfig;
use crate::config::file::Overrides;
use crate::config::problem::Problem;
use crate::config::secret::SecretUse;
use crate::error::{Error, io_text};
use crate::kinds::{self, Config, Converted, SourceConfig};
use crate::observe;
use crate::observe::log::{ROUTER, is_journal, priority};
use crate::router::StartError;

pub(crate) mod args;
mod check;
mod checkpoint;
mod dead_letters;
mod demo;
mod events;
mod help;
mod printing;
mod replay;
mod run;
mod send;
mod tail;

use args::{Command, Invocation};

/// Where the configuration is looked for if the command line does not say: beside us, where the
/// packages put it, and where the Go router had it.
const CONFIG_PATHS: &[&str] =
    &["./router.toml", "/etc/event-router/router.toml", "/etc/vmware-event-router/config"];

/// How a command ended, for the service manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All is well.
    Clean = 0,
    /// Failed while running: starting again may help.
    Failed = 1,
    /// Wrong usage or configuration: starting again will not help.
    Refused = 2,
}

/// Why a command failed, and how the process ends.
#[derive(Debug)]
pub(crate) struct CommandFailure {
    exit: Exit,
    /// What to tell the operator.
    error: Error,
}

impl From<Error> for CommandFailure {
    fn from(error: Error) -> CommandFailure {
        CommandFailure { exit: Exit::Failed, error }
    }
}

impl From<StartError> for CommandFailure {
    fn from(StartError { error, may_pass }: StartError) -> CommandFailure {
        CommandFailure { exit: if may_pass { Exit::Failed } else { Exit::Refused }, error }
    }
}

/// Runs the command that the arguments (without the program's name) ask for.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    end_at_panic();
    let exit = match args::parse(args) {
        Ok(invocation) => execute(&invocation),
        Err(error) => {
            complain(&format!("{error}; see `router --help`"));
            Exit::Refused
        }
    };
    ExitCode::from(exit as u8)
}

fn execute(invocation: &Invocation) -> Exit {
    match &invocation.command {
        Command::Help(text) => end(print(text)),
        Command::Version => end(print(&help::version())),
        Command::Check { offline } => match config_path(invocation) {
            Ok(path) => check::check(&path, &invocation.overrides, *offline, &mut io::stdout()),
            Err(message) => refuse(&[message]),
        },
        Command::Demo(options) => end(demo::demo(options, &invocation.overrides)),
        Command::Run => with_config(invocation, |config| {
            let (path, overrides) = (config.file.clone(), invocation.overrides);
            run::run(config, move || kinds::load(&path, &overrides))
        }),
        Command::Events { source, format } => with_config(invocation, |config| {
            let source = source_of(&config, source.as_deref())
                .map_err(|error| CommandFailure { exit: Exit::Refused, error })?;
            print(&events::events(source, *format)?)
        }),
        Command::Tail { source, pattern, template } => with_config(invocation, |config| {
            tail::tail(config, source.as_deref(), pattern.as_deref(), template.as_deref())
        }),
        Command::Replay(options) => {
            with_config(invocation, |config| replay::replay(config, options, &mut io::stdout()))
        }
        Command::Convert { old } => match kinds::convert_file(old) {
            Ok(converted) => end(convert(&converted)),
            Err(problems) => refuse(&problems),
        },
        Command::Send { route, name, data } => with_config(invocation, |config| {
            send::send(&config, route.as_deref(), name, data.as_deref(), &mut io::stdout())
        }),
        Command::DeadLetters { route, action: action @ dead_letters::Action::List } => {
            without_secrets(invocation, |config| {
                dead_letters::dead_letters(&config, route.as_deref(), *action, &mut io::stdout())
            })
        }
        Command::DeadLetters { route, action } => with_config(invocation, |config| {
            dead_letters::dead_letters(&config, route.as_deref(), *action, &mut io::stdout())
        }),
        Command::Checkpoint { route, action } => without_secrets(invocation, |config| {
            let text = checkpoint::checkpoint(&config, route.as_deref(), action)?;
            print(&text)
        }),
    }
}

/// The route of that name, or all.
fn routes<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a RouteConfig>, Error> {
    let wanted = |route: &&RouteConfig| name.is_none_or(|name| name == route.name);
    let routes: Vec<&RouteConfig> = config.routes.iter().filter(wanted).collect();
    if routes.is_empty() {
        let names: Vec<&str> = config.routes.iter().map(|route| route.name.as_str()).collect();
        let asked = name.unwrap_or_default();
        return Err(Error::new(format!(
            "no route `{asked}` in the configuration; it has: {}",
            names.join(", ")
        )));
    }
    Ok(routes)
}

/// The source of that name; without a name the only one.
fn source_of<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a SourceConfig, Error> {
    let mut found = config.sources.iter().filter(|source| name.is_none_or(|name| name == source.name));
    let error = match (found.next(), found.next(), name) {
        (Some(source), None, _) => return Ok(source),
        (None, _, Some(name)) => format!("no source `{name}` in the configuration"),
        _ => "say which source, with --source NAME".to_string(),
    };
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    Err(Error::new(format!("{error}; it has: {}", names.join(", "))))
}

/// A command reads a source beside the router, or what it had before.
///
/// # Errors
/// When the source gives each event once, to whoever is there.
fn with_history(source: &SourceConfig, consequence: &str) -> Result<(), Error> {
    match source.has_history {
        true => Ok(()),
        false => Err(Error::new(format!(
            "source {} ({}) keeps no history: {consequence}",
            source.name, source.type_name
        ))),
    }
}

/// Loads the configuration, starts the log, and runs a command that needs both.
fn with_config(invocation: &Invocation, command: impl FnOnce(Config) -> Result<(), CommandFailure>) -> Exit {
    with_secrets(invocation, SecretUse::Needed, command)
}

/// The same for a command that uses no secret: it runs where they cannot be read.
fn without_secrets(
    invocation: &Invocation,
    command: impl FnOnce(Config) -> Result<(), CommandFailure>,
) -> Exit {
    with_secrets(invocation, SecretUse::Unused, command)
}

fn with_secrets(
    invocation: &Invocation,
    secrets: SecretUse,
    command: impl FnOnce(Config) -> Result<(), CommandFailure>,
) -> Exit {
    let path = match config_path(invocation) {
        Ok(path) => path,
        Err(message) => return refuse(&[message]),
    };
    match load(&path, &Overrides { secrets, ..invocation.overrides }) {
        Ok(config) => end(command(config)),
        Err(problems) => refuse(&problems),
    }
}

fn load(path: &Path, overrides: &Overrides) -> Result<Config, Vec<Problem>> {
    let config = kinds::load(path, overrides)?;
    observe::log::init(&config.log);
    for warning in &config.warnings {
        log::warn!(target: "config", "{warning}");
    }
    Ok(config)
}

/// The file that the command line names, else the first of the usual ones that exists.
fn config_path(invocation: &Invocation) -> Result<PathBuf, String> {
    match &invocation.config {
        Some(path) => Ok(path.clone()),
        None => first_existing(CONFIG_PATHS),
    }
}

fn first_existing(paths: &[&str]) -> Result<PathBuf, String> {
    let found = paths.iter().map(Path::new).find(|path| path.exists());
    found.map(Path::to_path_buf).ok_or_else(|| {
        format!("no configuration: none of {} exists; name a file with -c FILE", paths.join(", "))
    })
}

/// Prints an old configuration as `router.toml`, whatever it still lacks: it may be meant for
/// another machine.
fn convert(converted: &Converted) -> Result<(), CommandFailure> {
    print(&converted.toml)?;
    converted.warnings.iter().for_each(|warning| complain(&warning.to_string()));
    let Err(problems) = &converted.config else { return Ok(()) };
    problems.iter().for_each(|problem| complain(&problem.to_string()));
    Err(Error::new("it is printed as it is, but cannot be used here").into())
}

fn end(result: Result<(), CommandFailure>) -> Exit {
    match result {
        Ok(()) => Exit::Clean,
        Err(failure) => {
            alarm(&failure.error.to_string());
            failure.exit
        }
    }
}

fn refuse<T: ToString>(messages: &[T]) -> Exit {
    for message in messages {
        complain(&message.to_string());
    }
    Exit::Refused
}

/// Says what ends the process, in the log if there is one.
fn alarm(message: &str) {
    if log::log_enabled!(target: ROUTER, log::Level::Error) {
        log::error!(target: ROUTER, "{message}");
    } else {
        complain(message);
    }
}

/// Says what is wrong before there is a log. If standard error is closed, nobody wants to know.
fn complain(message: &str) {
    let mark = if is_journal() { priority(log::Level::Error) } else { "" };
    let _ = writeln!(io::stderr(), "{mark}router: {message}");
}

/// Prints what was asked for. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), CommandFailure> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(io_text(&error)).context("write to standard output").into())
        }
        _ => Ok(()),
    }
}

/// A thread that panics would leave a router behind that does half of its work. At-least-once
/// delivery makes it safe to end the process at once instead.
fn end_at_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without name");
        let message = format!("thread {name} failed, this is a bug: {panic}");
        alarm(&message);
        std::process::exit(i32::from(Exit::Failed as u8));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_configuration_that_exists_counts() {
        let folder = crate::testing::folder("config-path");
        let [absent, there, later] = ["absent", "there", "later"].map(|name| folder.path().join(name));
        let [absent, there, later] = [&absent, &there, &later].map(|path| path.to_str().unwrap_or_default());
        assert_eq!(
            first_existing(&[absent, there]),
            Err(format!("no configuration: none of {absent}, {there} exists; name a file with -c FILE"))
        );
        std::fs::write(there, "").unwrap();
        std::fs::write(later, "").unwrap();
        assert_eq!(first_existing(&[absent, there, later]), Ok(PathBuf::from(there)));
    }
}
