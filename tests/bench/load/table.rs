//! All measurements, printed as tables in the form of the README.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::counts::{self, Programs};
use crate::floor::{self, Floor};
use crate::idle;
use crate::load::Load;
use crate::process::{Role, Router};
use crate::run::{Measured, Stage, run};

/// Of so many runs the median counts.
const RUNS: usize = 5;
/// One cell of the table of scale takes this long at most.
const CELL_WAIT_MAX: Duration = Duration::from_secs(8);

/// The parts of the table, in their order.
pub(crate) const PARTS: [&str; 6] = ["delivery", "batches", "backlog", "waits", "idle", "scale"];

/// Measures and prints these parts; none are all.
pub(crate) fn print(programs: &Programs<'_>, parts: &[String]) {
    let router = programs.shipped;
    println!("| What | Budget | Measured | Spread | To the floor |\n| --- | --- | --- | --- | --- |");
    for part in PARTS.into_iter().filter(|part| parts.is_empty() || parts.iter().any(|asked| asked == part)) {
        match part {
            "delivery" => delivery(router),
            "batches" => batches(router),
            "backlog" => backlog(router),
            "waits" => waits(router),
            "idle" => {
                idle::print(router);
                let calls = counts::system_calls(programs);
                row("system calls per event, waits for locks left out", "-", &[calls as f64], None);
                let bytes = std::fs::metadata(router).expect("the router").len() as f64 / f64::from(1 << 20);
                row("program, MiB", "3.5", &[bytes], None);
            }
            _ => {
                println!();
                workers(router);
                shapes(router);
                idle::print_routes(router);
            }
        }
    }
}

/// One line; `floor` is what the same costs at least.
pub(crate) fn row(what: &str, budget: &str, measured: &[f64], floor: Option<f64>) {
    let middle = median(measured.iter().copied());
    let (least, most) = measured.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x)));
    let spread = if 1 < measured.len() { format!("{} to {}", text(least), text(most)) } else { "-".into() };
    let ratio = floor.map_or("-".into(), |floor| format!("{:.2}", middle / floor));
    println!("| {what} | {budget} | {} | {spread} | {ratio} |", text(middle));
}

/// The middle one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Three digits that count.
fn text(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// The floor under the same load: its rate, and what else it found.
fn floor_of(load: &Load) -> (f64, Floor) {
    let source = Role::start("source", &load.arguments());
    let mut sink = Role::start("sink", &load.arguments());
    let (address, _) = source.greeting.split_once(' ').expect("the address of the source");
    let floor = floor::measure(address, &sink.greeting, load);
    let noted = crate::sink::Noted::read(&sink.ask("?"));
    (noted.requests as f64 / ((noted.last_us - noted.first_us) as f64 / 1e6), floor)
}

fn delivery(router: &Path) {
    let load = Load::default();
    let floors: Vec<(f64, Floor)> = (0..RUNS).map(|_| floor_of(&load)).collect();
    let floor_rate = median(floors.iter().map(|(rate, _)| *rate));
    let floor_cpu = median(floors.iter().map(|(_, floor)| floor.cpu_us));
    for (scheme, cpu_budget, tls) in [("HTTP", "60", None), ("HTTPS", "75", Some("ca.pem".into()))] {
        let load = Load { tls, ..load.clone() };
        let runs: Vec<Measured> = (0..RUNS).map(|_| complete(router, &load)).collect();
        let of = |value: fn(&Measured) -> f64| runs.iter().map(value).collect::<Vec<f64>>();
        let budget = if scheme == "HTTP" { "20000" } else { "-" };
        row(&format!("events/s, {scheme}"), budget, &of(|run| run.rate), Some(floor_rate));
        let what = format!("processor time per event, {scheme}, µs");
        row(&what, cpu_budget, &of(|run| run.cpu_us), Some(floor_cpu));
        let budget = if scheme == "HTTP" { "-" } else { "8" };
        let peak = of(|run| run.peak_kib as f64 / 1024.0);
        row(&format!("largest resident memory, {scheme}, MiB"), budget, &peak, None);
        let bytes = of(|run| run.noted.bytes as f64 / run.noted.requests as f64);
        row(&format!("bytes to and from the sink per event, {scheme}, before TLS"), "-", &bytes, None);
        row(&format!("times a thread sleeps per event, {scheme}"), "-", &of(|run| run.sleeps), None);
    }
    payload(&floors);
}

/// Everything must have come once, in order.
fn complete(router: &Path, load: &Load) -> Measured {
    let measured = run(router, load);
    let noted = &measured.noted;
    let wrong = (load.events - noted.requests.min(load.events), noted.repeated, noted.disordered);
    assert_eq!(wrong, (0, 0, 0), "events missing, repeated, disordered: {load:?}");
    measured
}

/// Batches of CloudEvents by the processor `http`.
fn batches(router: &Path) {
    let load = Load { batch: 100, events: 400_000, ..Load::default() };
    let runs: Vec<Measured> = (0..RUNS).map(|_| complete(router, &load)).collect();
    let rates: Vec<f64> = runs.iter().map(|run| run.rate).collect();
    row("events/s in batches of 100, HTTP, 8 workers", "150000", &rates, None);
    let times: Vec<f64> = runs.iter().map(|run| run.cpu_us).collect();
    row("processor time per event in batches of 100, µs", "10", &times, None);
}

fn payload(floors: &[(f64, Floor)]) {
    let scans = median(floors.iter().map(|(_, floor)| floor.scan_us));
    let conversions: Vec<f64> = floors.iter().map(|(_, floor)| floor.convert_us).collect();
    row("XML page to JSON per event, µs (floor: a plain scan)", "5", &conversions, Some(scans));
}

fn backlog(router: &Path) {
    let load = Load { events: 1_000_000, ..Load::default() };
    let begin = Instant::now();
    let measured = complete(router, &load);
    row("backlog of 1,000,000 events, s", "50", &[begin.elapsed().as_secs_f64()], None);
    let grown = (measured.end_kib as f64 - measured.early_kib as f64) / 1024.0;
    row("memory after 1,000,000 events less that after 10,000, MiB", "1", &[grown], None);
}

fn waits(router: &Path) {
    for (workers, delay_ms, events) in [(64, 20, 16_000), (256, 500, 5120)] {
        let delay = Duration::from_millis(delay_ms);
        let load = Load { workers: Some(workers), delay, events, ..Load::default() };
        let ideal = workers as f64 / delay.as_secs_f64();
        let runs: Vec<f64> = (0..3).map(|_| complete(router, &load).rate / ideal * 100.0).collect();
        let what = format!("share of workers / latency, sink of {delay_ms} ms, {workers} workers, %");
        row(&what, "90", &runs, None);
    }
    for (delay_ms, events, budget) in [(20, 24_000, "2400"), (500, 2_400, "120")] {
        let load = Load { delay: Duration::from_millis(delay_ms), events, ..Load::default() };
        let runs: Vec<f64> = (0..3).map(|_| complete(router, &load).rate).collect();
        row(&format!("events/s, sink of {delay_ms} ms, nothing configured"), budget, &runs, None);
    }
    latency(router);
}

/// From creation to arrival, one event a second.
fn latency(router: &Path) {
    const EVENTS: u64 = 60;
    let mut stage = Stage::set(router, &Load { events: 0, ..Load::default() }, 1);
    let running = Router::start(Command::new(router), &stage.folder);
    for event in 1..=EVENTS {
        std::thread::sleep(Duration::from_secs(1));
        stage.source.ask("push");
        assert!(
            stage.wait(event, Duration::from_secs(10), |_| {}),
            "an event did not come: {}",
            running.log()
        );
    }
    let mut latencies = stage.noted().latencies_us;
    running.stop();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share).round() as usize] as f64 / 1e3;
    row("creation to arrival, median, ms", "10", &[at(0.5)], None);
    row("creation to arrival, 99th of 100, ms", "50", &[at(0.99)], None);
}

fn workers(router: &Path) {
    const DELAYS_MS: [u64; 4] = [0, 5, 50, 500];
    println!("Events/s by workers and the time that the sink takes (share of workers / time):\n");
    println!(
        "| Workers | 0 ms | 5 ms | 50 ms | 500 ms | threads | MiB |\n| --- | --- | --- | --- | --- | --- | --- |"
    );
    for workers in [None, Some(1), Some(8), Some(64), Some(256)] {
        let mut cells = Vec::new();
        let (mut threads, mut peak) = (0, 0);
        for delay_ms in DELAYS_MS {
            let delay = Duration::from_millis(delay_ms);
            let number = workers.unwrap_or(64);
            let ideal = number as f64 / delay.as_secs_f64();
            // Whole rounds of the workers, for about four seconds.
            let rounds = 4000_u64.checked_div(delay_ms).unwrap_or(0).max(1);
            let events = if delay_ms == 0 { 60_000 } else { (number as u64 * rounds).min(60_000) };
            let load = Load { workers, delay, events, longest: CELL_WAIT_MAX, ..Load::default() };
            let measured = run(router, &load);
            let share = if delay_ms == 0 {
                String::new()
            } else {
                format!(" ({:.0} %)", measured.rate / ideal * 100.0)
            };
            cells.push(format!("{}{share}", text(measured.rate)));
            (threads, peak) = (measured.threads, peak.max(measured.peak_kib));
        }
        let workers = workers.map_or("auto".to_string(), |workers| workers.to_string());
        println!("| {workers} | {} | {threads} | {:.1} |", cells.join(" | "), peak as f64 / 1024.0);
    }
    println!();
}

fn shapes(router: &Path) {
    println!("By size of events and pages, a sink that answers at once:\n");
    println!(
        "| Bytes of an event | Events of a page | events/s | µs per event | MiB |\n| --- | --- | --- | --- | --- |"
    );
    for (event_bytes, events) in [(500, 60_000), (1300, 60_000), (50_000, 8000)] {
        for page in [100, 1000] {
            let measured = complete(router, &Load { event_bytes, events, page, ..Load::default() });
            println!(
                "| {event_bytes} | {page} | {:.0} | {:.1} | {:.1} |",
                measured.rate,
                measured.cpu_us,
                measured.peak_kib as f64 / 1024.0
            );
        }
    }
    println!();
}
