//! The router when nothing happens: its start, its memory, and how often it wakes.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::process::{Folder, Router};
use crate::run::Stage;
use crate::table::row;

/// Idleness is watched this long.
const SPAN: Duration = Duration::from_secs(20);
/// For sessions to be opened and the first checkpoints to be written.
const SETTLE_WAIT: Duration = Duration::from_secs(3);
/// Starts of which the median counts.
const STARTS: usize = 11;

/// What idle routes cost.
struct Idle {
    threads: u64,
    resident_kib: u64,
    wakes_per_second: f64,
    core_percent: f64,
}

/// The lines of the table about idleness.
pub(crate) fn print(router: &Path) {
    row("start to the first request on the wire, ms", "10", &starts(router), None);
    let tls = Some("ca.pem".into());
    let one = idle(router, &Load { events: 10, tls, ..Load::default() }, 1);
    row(
        "resident memory, idle after the first events over HTTPS, MiB",
        "4",
        &[one.resident_kib as f64 / 1024.0],
        None,
    );
    let fifty = idle(router, &Load { events: 0, ..Load::default() }, 50);
    row("50 idle routes: times a thread wakes per second", "60", &[fifty.wakes_per_second], None);
    row("50 idle routes: share of a core, %", "0.5", &[fifty.core_percent], None);
}

/// How idleness grows with routes.
pub(crate) fn print_routes(router: &Path) {
    println!("Idle routes in one process:\n");
    println!("| Routes | Threads | MiB | Wakes/s | % of a core |\n| --- | --- | --- | --- | --- |");
    for routes in [1, 10, 50] {
        let Idle { threads, resident_kib, wakes_per_second, core_percent } =
            idle(router, &Load { events: 0, ..Load::default() }, routes);
        let mib = resident_kib as f64 / 1024.0;
        println!("| {routes} | {threads} | {mib:.1} | {wakes_per_second:.1} | {core_percent:.2} |");
    }
    println!();
}

/// What these routes cost when all their events are delivered.
fn idle(router: &Path, load: &Load, routes: usize) -> Idle {
    let mut stage = Stage::set(router, load, routes);
    let running = Router::start(Command::new(router), &stage.folder);
    assert!(stage.wait(load.events * routes as u64, load.longest, |_| {}), "{}", running.log());
    std::thread::sleep(SETTLE_WAIT);
    let (begin, before) = (Instant::now(), running.threads());
    std::thread::sleep(SPAN);
    let (seconds, after) = (begin.elapsed().as_secs_f64(), running.threads());
    let resident_kib = running.memory_kib("VmRSS");
    running.stop();
    Idle {
        threads: after.count,
        resident_kib,
        wakes_per_second: (after.sleeps - before.sleeps) as f64 / seconds,
        core_percent: (after.time.saturating_sub(before.time)).as_secs_f64() / seconds * 100.0,
    }
}

/// Milliseconds from the start of the process to the first byte at a listener in vCenter's place.
fn starts(router: &Path) -> Vec<f64> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let address = format!("http://{}/sdk", listener.local_addr().expect("an address"));
    let start = |_| {
        let folder = Folder::new();
        folder.configure(&address, "http://127.0.0.1:9/", &Load::default(), 1);
        let begin = Instant::now();
        let running = Router::start(Command::new(router), &folder);
        let (mut stream, _) = listener.accept().expect("the router");
        stream.read_exact(&mut [0]).expect("a request");
        let taken = begin.elapsed();
        drop(running);
        taken.as_secs_f64() * 1e3
    };
    (0..STARTS).map(start).collect()
}
