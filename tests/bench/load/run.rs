//! One run: a source, a sink and the router between them, from the start to the last event.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::load::Load;
use crate::process::{Folder, Role, Router};
use crate::sink::Noted;

/// How often a run is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Events after which memory is taken as that of the beginning.
const EARLY_EVENTS: u64 = 10_000;

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) noted: Noted,
    /// Events a second, from the first request to the last answer.
    pub(crate) rate: f64,
    /// Microseconds of processor time of the router for each event.
    pub(crate) cpu_us: f64,
    /// Resident memory at the most, after the first events and at the end, in KiB.
    pub(crate) peak_kib: u64,
    pub(crate) early_kib: u64,
    pub(crate) end_kib: u64,
    /// Times that a thread of the router went to sleep, for each event.
    pub(crate) sleeps: f64,
    pub(crate) threads: u64,
}

/// The parts of a run, ready for the router.
pub(crate) struct Stage {
    pub(crate) source: Role,
    pub(crate) sink: Role,
    pub(crate) folder: Folder,
}

impl Stage {
    /// Starts source and sink, and puts the position of `routes` routes before the first event.
    pub(crate) fn set(router: &Path, load: &Load, routes: usize) -> Stage {
        let folder = Folder::new();
        let load = Load { tls: load.tls.as_ref().map(|name| folder.0.join(name)), ..load.clone() };
        let source = Role::start("source", &load.arguments());
        let sink = Role::start("sink", &load.arguments());
        let (address, begin) = source.greeting.split_once(' ').expect("the address of the source");
        folder.configure(address, &sink.greeting, &load, routes);
        folder.set_position(router, begin, routes);
        Stage { source, sink, folder }
    }

    /// What the sink has seen.
    pub(crate) fn noted(&mut self) -> Noted {
        Noted::read(&self.sink.ask("?"))
    }

    /// Waits until that many events have come. False when it took longer than `longest`.
    pub(crate) fn wait(&mut self, events: u64, longest: Duration, mut look: impl FnMut(u64)) -> bool {
        let deadline = Instant::now() + longest;
        loop {
            let requests = self.noted().requests;
            look(requests);
            if events <= requests {
                return true;
            }
            if deadline < Instant::now() {
                return false;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// Lets the router deliver that load.
pub(crate) fn run(router: &Path, load: &Load) -> Measured {
    let mut stage = Stage::set(router, load, 1);
    let running = Router::start(Command::new(router), &stage.folder);
    let mut early_kib = 0;
    stage.wait(load.events, load.longest, |requests| {
        if early_kib == 0 && EARLY_EVENTS <= requests {
            early_kib = running.memory_kib("VmRSS");
        }
    });
    let noted = stage.noted();
    let threads = running.threads();
    let time = running.processor_time();
    let (peak_kib, end_kib) = (running.memory_kib("VmHWM"), running.memory_kib("VmRSS"));
    let log = running.stop();
    let wrong: Vec<&str> =
        log.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    assert!(wrong.is_empty(), "the router complained: {}", wrong.join("\n"));
    assert!(0 < noted.requests, "nothing was delivered: {log}");
    let events = noted.requests as f64;
    let seconds = (noted.last_us - noted.first_us) as f64 / 1e6 + load.delay.as_secs_f64();
    Measured {
        rate: events / seconds.max(1e-6),
        cpu_us: time.as_secs_f64() * 1e6 / events,
        peak_kib,
        early_kib,
        end_kib,
        sleeps: threads.sleeps as f64 / events,
        threads: threads.count,
        noted,
    }
}
