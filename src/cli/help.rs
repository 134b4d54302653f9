//! What `--help` and `--version` print. A test compares the texts with the options that the parser
//! knows.

use crate::version;

/// `router --help`.
pub(super) const MAIN: &str = "\
Delivers vCenter events as CloudEvents.

Usage: router [COMMAND] [OPTIONS]

Commands:
  run           Read events and deliver them until SIGTERM or Ctrl-C; the default
  check         List what is wrong with the configuration and the endpoints that it names
  demo          Print the events of a simulated vCenter, without any configuration
  events        List the types of events that a vCenter knows
  tail          Print live events
  send          Send one sample event and show what the sink answers
  replay        Deliver a part of a vCenter's history once more
  checkpoint    Show or set where routes go on reading
  dead-letters  List or redeliver the events that a sink refused for good
  convert       Print a configuration of the VMware Event Router as router.toml

Options:
  -c, --config FILE        The configuration; without it the first that exists of ./router.toml,
                           /etc/event-router/router.toml and /etc/vmware-event-router/config
      --log-level LEVEL    error, warn, info, debug or trace, instead of what the file says
      --log-format FORMAT  text or json, instead of what the file says
  -h, --help               This text; after a command, what is special to it
  -V, --version            Version, commit and target

As the Go router took them, options may have one dash (-config FILE, -log-level=debug), and
  --log-json               is --log-format json
  --verbose                is --log-level debug

Exit codes: 0 done; 1 failed while running, start it again; 2 wrong usage or configuration, starting
it again will not help.
Data goes to standard output; logs and errors go to standard error.
";

/// `router run --help`.
pub(super) const RUN: &str = "\
Reads events from every source and delivers them along every route of the configuration.

Usage: router [run] [-c FILE]

SIGTERM or Ctrl-C stops it in good order: reading ends, deliveries in flight finish within
`shutdown_grace`, positions are saved, sessions are closed. A second signal ends it at once.
Sources and sinks may be absent at the start: only a wrong configuration ends it.
";

/// `router check --help`.
pub(super) const CHECK: &str = "\
Lists everything that is wrong with the configuration, then tries each endpoint that it names.
No event is read or delivered, and no position is changed.

Usage: router check [-c FILE] [--offline]

Options:
      --offline  Only the file, with the secrets and certificates that it names

Each line on standard output begins with `ok`, `warn` or `FAIL`.
Exit codes: 0 all is well; 1 an endpoint or the state folder cannot be used; 2 the file is wrong.
";

/// `router demo --help`.
pub(super) const DEMO: &str = "\
Starts a simulated vCenter inside this process, reads its events as from a real one and prints each
CloudEvent as one line of JSON on standard output. Nothing is left behind.

Usage: router demo [--events N] [--rate R]

Options:
      --events N  Stop after N events; without --rate they come as fast as they can be printed
      --rate R    Events per second, 2 if neither option is given
";

/// `router events --help`.
pub(super) const EVENTS: &str = "\
Lists the types of events that a vCenter knows: the id that `types` and functions ask for, category
and description.

Usage: router events [-c FILE] [--source NAME] [--format FORMAT]

Options:
      --source NAME    The source; may be left out where there is one
      --format FORMAT  table, csv or json; table without it
";

/// `router tail --help`.
pub(super) const TAIL: &str = "\
Prints events as they happen, each CloudEvent as one line of JSON, until SIGTERM or Ctrl-C. No sink
gets anything and no position is changed.

Usage: router tail [-c FILE] [--source NAME] [--pattern JSON] [--template TEXT]

Options:
      --source NAME    Only this source
      --pattern JSON   Only events that match this event pattern, such as
                       '{\"subject\": [{\"prefix\": \"Vm\"}]}'
      --template TEXT  Print what this template makes of each event, such as
                       '<$.data.Vm.Name> by <$.data.UserName>', or what the
                       `transform` of the processor of this name does
";

/// `router replay --help`.
pub(super) const REPLAY: &str = "\
Delivers a part of vCenter's history once more along a route, with the same ids. The position of the
route does not move; a running router is not disturbed.

Usage: router replay [-c FILE] --route NAME --from TIME [--to TIME] [--dry-run]
                     [--force]

Options:
      --route NAME  The route
      --from TIME   The first moment, in vCenter's clock, such as 2026-01-31T12:00:00Z
      --to TIME     The last moment; without it vCenter's present
      --dry-run     Print the CloudEvents as lines of JSON instead of delivering them
      --force       Also if the first moment lies in the future

Exit codes: 0 done; 1 events were refused for good, they are printed, or it was stopped before the
end.
";

/// `router send --help`.
pub(super) const SEND: &str = "\
Sends one sample event through the processor of a route and shows what came back, so that a function
can be tried without touching a virtual machine. No vCenter is asked and no position is changed.

Usage: router send [-c FILE] [--route NAME] [--type TYPE] [--data FILE]

Options:
      --route NAME  The route; may be left out where there is one
      --type TYPE   The event's class, or the eventTypeId of an EventEx; VmPoweredOnEvent without it
      --data FILE   JSON for the event's data, instead of a sample

Exit codes: 0 acknowledged; 1 refused, or nobody subscribes to the event.
";

/// `router checkpoint --help`.
pub(super) const CHECKPOINT: &str = "\
Shows or sets where routes go on reading at their next start. The router must not be running to set;
in a cluster, no router that has the route in its file.

Usage: router checkpoint show [-c FILE] [--route NAME]
       router checkpoint set [-c FILE] [--route NAME] [--force] TIME
       router checkpoint copy [-c FILE] [--route NAME] cluster|files

Options:
      --route NAME  The route; may be left out where there is one, and to show or copy all
      --force       Also if TIME lies in the future

TIME is in vCenter's clock and has a zone, such as 2026-01-31T12:00:00Z. Every event from then on is
delivered: an earlier time repeats events, a later one skips them.
`copy cluster` takes positions of the state folder into the cluster, `copy files` brings them back.
";

/// `router dead-letters --help`.
pub(super) const DEAD_LETTERS: &str = "\
Lists the events that a sink refused for good, or delivers them again with the same ids.
A running router is not disturbed: it goes on adding dead letters.

Usage: router dead-letters list [-c FILE] [--route NAME]
       router dead-letters redeliver [-c FILE] [--route NAME]

Options:
      --route NAME  Only those of this route

`list` prints one line for each and counts them by reason and function in the log. What is delivered
leaves the file; what is refused again stays, and the exit code is 1. Ctrl-C ends `redeliver` after
the letter in hand: the rest stays, too.
";

/// `router convert --help`.
pub(super) const CONVERT: &str = "\
Prints the router.toml that means the same as a configuration of the VMware Event Router: YAML of
v0.5 and later, or the JSON of v0.3 and v0.4. Comments say where something means more than before.
`run` and `check` take the old file as it is, too.

Usage: router convert FILE

What is printed holds the passwords of the old file: keep it as safe.
Exit codes: 0 done; 1 printed, but it cannot be used on this machine as it is, and why; 2 the file
cannot be understood.
";

/// `router --version`.
pub(super) fn version() -> String {
    let commit = version::COMMIT.map(|commit| format!("commit {commit}, ")).unwrap_or_default();
    format!("router {} ({commit}{})\n", version::VERSION, version::target())
}

#[cfg(test)]
mod tests {
    use super::super::args::{COMMANDS, OPTIONS};
    use super::*;

    /// The words of a text that look like long options.
    fn options_in(text: &str) -> Vec<String> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
            .filter_map(|word| word.strip_prefix("--"))
            .filter(|name| !name.is_empty())
            .map(str::to_string)
            .collect()
    }

    #[test]
    fn help_and_parser_know_the_same_options_and_commands() {
        let all: Vec<&str> =
            std::iter::once(MAIN).chain(COMMANDS.iter().map(|command| command.help)).collect();
        let mut told: Vec<String> = all.iter().flat_map(|text| options_in(text)).collect();
        told.sort();
        told.dedup();
        let mut known: Vec<String> = OPTIONS.iter().map(|option| option.name.to_string()).collect();
        known.sort();
        assert_eq!(told, known);

        for option in OPTIONS {
            if let Some(short) = option.short {
                assert!(MAIN.contains(&format!("-{short}, --{}", option.name)), "{}", option.name);
            }
        }
        let section = MAIN.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let commands: Vec<&str> = section.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(commands, COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>());
    }

    #[test]
    fn a_command_takes_the_options_that_its_help_tells() {
        for command in COMMANDS {
            for name in options_in(command.help) {
                let option = OPTIONS.iter().find(|option| option.name == name).unwrap();
                let mut args = vec![command.name.to_string()];
                // What the command needs beside it.
                if command.name == "replay" {
                    args.extend(["--route", "a", "--from", "2026-01-31T12:00:00Z"].map(str::to_string));
                }
                let value = match option.value {
                    Some("TIME") => "2026-01-31T12:00:00Z",
                    Some("FORMAT") => "json",
                    Some(_) => "1",
                    None => "",
                };
                args.extend([format!("--{name}"), value.to_string()]);
                // The words that its usage line, or the first, has between the command and its options.
                let usages: Vec<&str> =
                    command.help.split(&format!("router {} ", command.name)).skip(1).collect();
                let has_option = |usage: &&&str| {
                    usage.lines().next().is_some_and(|line| line.contains(&format!("--{name}")))
                };
                let usage = usages.iter().find(has_option).or(usages.first()).copied().unwrap_or_default();
                let words = usage.split_whitespace();
                args.extend(
                    words.take_while(|word| word.starts_with(char::is_alphabetic)).map(str::to_string),
                );
                if args.iter().any(|word| word == "set") {
                    args.push("2026-01-31T12:00:00Z".to_string());
                }
                let given = args.iter().filter(|arg| !arg.is_empty()).map(Into::into);
                assert!(super::super::args::parse(given).is_ok(), "{} --{name}", command.name);
            }
        }
    }

    #[test]
    fn lines_fit_a_terminal() {
        let texts = std::iter::once(MAIN).chain(COMMANDS.iter().map(|command| command.help));
        for line in texts.flat_map(str::lines) {
            assert!(line.len() <= 100, "{line}");
        }
    }

    #[test]
    fn version_names_the_target() {
        let version = version();
        assert!(version.starts_with(concat!("router ", env!("CARGO_PKG_VERSION"), " (")), "{version}");
        assert!(version.contains("-linux-"), "{version}");
    }
}
