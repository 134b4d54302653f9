//! What the router promises about speed and size, measured: `tests/bench/run` builds and starts it.
//!
//! Router, source and sink are processes of their own, so that processor time and memory are each
//! one's own. The floor under the same load is measured in the same run.

mod counts;
mod floor;
mod idle;
mod load;
mod process;
mod run;
#[path = "../scan.rs"]
mod scan;
mod sink;
mod source;
mod table;

use std::path::Path;
use std::process::ExitCode;

use counts::Programs;
use load::Load;
use table::PARTS;

const USAGE: &str = "cargo bench --bench load -- counts ROUTER, or table ROUTER [delivery|batches|backlog|waits|idle|scale]...";

fn main() -> ExitCode {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some((word, rest)) = arguments.split_first() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match (word.as_str(), rest) {
        ("source", rest) => source::serve(&Load::of_arguments(rest)),
        ("sink", rest) => sink::serve(&Load::of_arguments(rest)),
        ("floor", rest) => floor::serve(rest),
        ("table", [shipped, parts @ ..]) if parts.iter().all(|part| PARTS.contains(&part.as_str())) => {
            table::print(&programs(shipped), parts);
        }
        ("counts", [shipped]) => return counts::check(&programs(shipped)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn programs(shipped: &str) -> Programs<'_> {
    Programs { shipped: Path::new(shipped), dynamic: Path::new(env!("CARGO_BIN_EXE_router")) }
}
