//! What does not depend on the machine or on who else uses it: instructions, allocations and system
//! calls for each event, and the size of the program. `.ci/run` fails when one is over its budget.
//!
//! Each is counted for a short and for a long run, and the difference is that of the events between:
//! start and end of the process cost the same in both.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::load::Load;
use crate::process::Router;
use crate::run::Stage;

/// Events of the short run, enough that connections are open and buffers have grown.
const EVENTS_SHORT: u64 = 1000;
/// Further events of the long run.
const EVENTS_MORE: u64 = 4000;
/// For one run under valgrind.
const RUN_WAIT_MAX: Duration = Duration::from_secs(100);

/// What is counted, and its budget: what was reached, and a margin for compilers and for how threads
/// take turns.
struct Count {
    name: &'static str,
    budget: u64,
    count: fn(&Programs) -> u64,
}

/// The programs that are counted.
pub(crate) struct Programs<'p> {
    /// The router as it ships.
    pub(crate) shipped: &'p Path,
    /// The same with a C library that can be watched.
    pub(crate) dynamic: &'p Path,
}

const COUNTS: [Count; 4] = [
    Count { name: "bytes of the program", budget: 4 << 20, count: bytes },
    Count { name: "system calls per event", budget: 4, count: system_calls },
    Count { name: "allocations per event", budget: 58, count: allocations },
    Count { name: "instructions per event", budget: 150_000, count: instructions },
];

/// Counts and prints all; fails when one is over its budget.
pub(crate) fn check(programs: &Programs<'_>) -> ExitCode {
    let mut all_met = true;
    println!("{:<26} {:>10} {:>10}", "", "counted", "budget");
    for Count { name, budget, count } in COUNTS {
        let counted = count(programs);
        let verdict = if counted <= budget { "" } else { "  OVER BUDGET" };
        println!("{name:<26} {counted:>10} {budget:>10}{verdict}");
        all_met &= counted <= budget;
    }
    if all_met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bytes(programs: &Programs<'_>) -> u64 {
    std::fs::metadata(programs.shipped).expect("the program").len()
}

/// Calls of all threads, by strace. Waits for locks are left out: strace makes the holders slow, and so
/// they count strace.
pub(crate) fn system_calls(programs: &Programs<'_>) -> u64 {
    per_event(programs.shipped, |stage| {
        let report = stage.folder.0.join("strace");
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-e", "trace=!futex", "-o"]).arg(&report).arg(programs.shipped);
        (
            command,
            true,
            Box::new(move |_| {
                let report = std::fs::read_to_string(&report).expect("the report of strace");
                let total = report.lines().find(|line| line.trim_end().ends_with("total"));
                let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
                calls.unwrap_or_else(|| panic!("no total in {report}"))
            }),
        )
    })
}

/// Blocks that were asked for, by valgrind's DHAT.
fn allocations(programs: &Programs<'_>) -> u64 {
    per_event(programs.dynamic, |_| {
        let mut command = Command::new("valgrind");
        command.args(["--tool=dhat", "--dhat-out-file=/dev/null"]).arg(programs.dynamic);
        (command, false, Box::new(|log| number_before(log, "Total:", " blocks")))
    })
}

/// Instructions of the program without the kernel's, by valgrind's callgrind.
fn instructions(programs: &Programs<'_>) -> u64 {
    per_event(programs.shipped, |_| {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(programs.shipped);
        (command, false, Box::new(|log| number_before(log, "Collected :", "")))
    })
}

/// A command that runs the router, whether the router is its child, and the count in its log.
type Watched = (Command, bool, Box<dyn Fn(&str) -> u64>);

/// The count of the long run less that of the short one, for each event.
fn per_event(router: &Path, watched: impl Fn(&Stage) -> Watched) -> u64 {
    let count = |events| {
        // A given number: under valgrind one thread runs at a time, and what a trial of more brings is chance.
        let load = Load { events, workers: Some(8), ..Load::default() };
        let mut stage = Stage::set(router, &load, 1);
        let (command, is_parent, count) = watched(&stage);
        let mut running = Router::start(command, &stage.folder);
        if is_parent {
            running.find_child();
        }
        let all = stage.wait(events, RUN_WAIT_MAX, |_| {});
        assert!(all, "not all was delivered: {}", running.log());
        count(&running.stop())
    };
    let short = count(EVENTS_SHORT);
    (count(EVENTS_SHORT + EVENTS_MORE).saturating_sub(short)) / EVENTS_MORE
}

/// The last number of the line with `begin`, before `end`; digits may have commas.
fn number_before(log: &str, begin: &str, end: &str) -> u64 {
    let line = log.lines().find_map(|line| line.split_once(begin).map(|(_, rest)| rest));
    let text =
        line.and_then(
            |rest| if end.is_empty() { Some(rest) } else { rest.split_once(end).map(|(text, _)| text) },
        );
    let word = text.and_then(|text| text.split_whitespace().last());
    let number = word.and_then(|word| word.replace(',', "").parse().ok());
    number.unwrap_or_else(|| panic!("no {begin:?} in {log}"))
}
