//! The router dies before a system call, or the call fails, one after the other over a run with
//! login, pages, checkpoints and a dead letter; after each restart nothing is missing.
//!
//! strace counts the calls of each kind in each thread for itself: the thread that first makes its n-th
//! call of a kind is the one that is struck. Therefore the calls on one file, which one thread makes,
//! are visited by the file's name too.
//!
//! By default the calls that change the disk are visited one by one, the counts of all others in large
//! steps. `EVENT_ROUTER_CRASH_POINTS=all` visits every count of every kind that a run makes, kind by
//! kind, in six minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use event_router::pipeline::dead_letter;

use crate::support::process::Process;
use crate::support::{SOON, Test, router_command, wait_for};

const EVENTS: usize = 40;
/// The sink refuses this one for good.
const REFUSED: &str = "web-17";
/// A call that has not come by then does not come at all.
const CALLS_MAX: usize = 5000;

/// So many runs in a row that no injection struck end a row of visits.
const MISSES_MAX: usize = 3;

const LETTERS: &str = "state/r.dead-letters.jsonl";
const CHECKPOINT: &str = "state/r.checkpoint.json";
const PREVIOUS: &str = "state/r.checkpoint.json.previous";
const FRESH: &str = "state/r.checkpoint.json.new";

/// What was acknowledged: id by key.
type Record = Arc<Mutex<BTreeMap<i64, BTreeSet<String>>>>;

struct Bench {
    test: Test,
    _simulator: Simulator,
    _sink: Server,
    record: Record,
}

impl Bench {
    /// A vCenter with events behind a start position that is kept in the folder `start`.
    fn new(name: &str) -> Bench {
        let test = Test::new(name);
        let simulator = Simulator::start(Settings::default()).unwrap();
        let record = Record::default();
        let seen = record.clone();
        let sink =
            Server::start("127.0.0.1:0", ServerSettings::default(), move |request| answer(request, &seen))
                .unwrap();
        test.write(
            "router.toml",
            &format!(
                "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
                 page_size = 10\n[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n\
                 [route.r]\nfrom = \"vc\"\nto = \"sink\"\nworkers = 2\n",
                simulator.url(),
                simulator.username(),
                simulator.password(),
                sink.address()
            ),
        );
        let mut router = test.start(&["run"]);
        router.log_line(&["reading"]);
        assert_eq!(router.end_by("TERM").code, Some(0));
        copy(&test.path("state"), &test.path("start"));
        let drafts =
            (0..EVENTS).map(|n| Draft::vm("VmPoweredOnEvent", &format!("web-{n}"), &format!("vm-{}", n % 7)));
        simulator.push_many(drafts);
        Bench { test, _simulator: simulator, _sink: sink, record }
    }

    /// The router from the start position, with `injection` by strace: `inject=...`, after `FILE:` if
    /// only calls on one file are meant. The process is the router's own: strace is its grandchild.
    fn start_injected(&self, injection: &str) -> Process {
        let (file, injection) = injection.rsplit_once(": ").unwrap_or(("", injection));
        let mut options = vec!["-o".to_string(), "/dev/null".into(), "-e".into(), injection.into()];
        if !file.is_empty() {
            // By the name that the router uses, and by the one that its descriptors have.
            let absolute = self.test.path(file).display().to_string();
            options.extend(["-P".to_string(), format!("./{file}"), "-P".into(), absolute]);
        }
        self.start_traced(&options)
    }

    fn start_traced(&self, options: &[String]) -> Process {
        let _ = std::fs::remove_dir_all(self.test.path("state"));
        copy(&self.test.path("start"), &self.test.path("state"));
        self.record.lock().unwrap().clear();
        let router = router_command();
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "-e", "signal=none"]).args(options);
        command.arg(router.get_program()).arg("run");
        command.env_clear().current_dir(self.test.path("."));
        Process::start(&format!("strace {} router", options.join(" ")), command)
    }

    /// The kinds of system calls that an undisturbed run makes.
    fn kinds(&self) -> BTreeSet<String> {
        let trace = self.test.path("trace");
        let router = self.start_traced(&["-o".to_string(), trace.display().to_string()]);
        wait_for("an undisturbed run", SOON, || (EVENTS <= self.settled()).then_some(()));
        assert_eq!(router.end_by("TERM").code, Some(0));
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit())
        };
        std::fs::read_to_string(trace)
            .unwrap()
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1)?.split_once('('))
            .map(|(name, _)| name.to_string())
            .filter(|name| is_name(name))
            // strace itself starts the program.
            .filter(|name| !["execve", "exit_group", "exit"].contains(&name.as_str()))
            .collect()
    }

    fn settled(&self) -> usize {
        let (letters, _) = dead_letter::read(&self.test.path(LETTERS)).unwrap();
        self.record.lock().unwrap().len() + usize::from(!letters.is_empty())
    }

    /// One run that dies or not, then a restart that must make up for everything. True when the
    /// injection struck.
    fn visit(&self, injection: &str) -> bool {
        let mut router = self.start_injected(injection);
        let deadline = Instant::now() + SOON;
        let mut ended = router.has_ended();
        while ended.is_none() && self.settled() < EVENTS {
            assert!(Instant::now() < deadline, "{injection}: neither done nor dead");
            std::thread::sleep(Duration::from_millis(2));
            ended = router.has_ended();
        }
        if ended.is_none() {
            router.signal("TERM");
            ended = Some(wait_for("the end", SOON, || router.has_ended()));
        }
        let log = router.stderr().join("\n");
        drop(router);
        let struck = ended != Some(Some(0));
        if struck && injection.contains("error=") {
            assert_eq!(ended, Some(Some(1)), "{injection}: {log}");
            assert!(log.contains("checkpoint") || log.contains("dead-letters"), "{injection}: {log}");
        }
        self.restart(injection);
        struck
    }

    fn restart(&self, injection: &str) {
        let mut router = self.test.start(&["run"]);
        router.log_line(&["started"]);
        wait_for(&format!("all events after {injection}"), SOON, || (EVENTS <= self.settled()).then_some(()));
        let exit = router.end_by("TERM");
        assert_eq!(exit.code, Some(0), "{injection}: {exit:?}");
        let record = self.record.lock().unwrap();
        assert!(record.values().all(|ids| ids.len() == 1), "{injection}: a repeat has another id");
    }
}

fn answer(request: &InRequest, record: &Record) -> Reply {
    // Slow enough for several checkpoints in a run.
    request.stop.wait(Duration::from_millis(15));
    let data: serde_json::Value = serde_json::from_slice(&request.body).expect("the data is JSON");
    if data["Vm"]["Name"] == REFUSED {
        return Reply::Answer(Answer::text(400, "never"));
    }
    let key = data["Key"].as_i64().expect("a key");
    let id = request.header("ce-id").expect("an id").to_string();
    record.lock().unwrap().entry(key).or_default().insert(id);
    Reply::Answer(Answer::text(202, "ok"))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Visits the calls of one kind in steps until no run is struck any more; how many were visited.
/// Runs differ in length, so that one that ends well proves little.
fn visit_all(bench: &Bench, calls: &str, effect: &str, step: usize) -> usize {
    let (mut visited, mut missed) = (0, 0);
    for when in (1..CALLS_MAX).step_by(step) {
        let (file, calls) = calls.rsplit_once(": ").map_or(("", calls), |(file, calls)| (file, calls));
        let place = if file.is_empty() { String::new() } else { format!("{file}: ") };
        let struck = bench.visit(&format!("{place}inject={calls}:{effect}:when={when}"));
        visited += usize::from(struck);
        missed = if struck { 0 } else { missed + 1 };
        if missed == MISSES_MAX {
            break;
        }
    }
    visited
}

fn is_exhaustive() -> bool {
    std::env::var("EVENT_ROUTER_CRASH_POINTS").is_ok_and(|value| value == "all")
}

#[test]
#[ignore = "needs strace: run tests/run"]
fn killed_before_any_call_nothing_is_missing() {
    let bench = Bench::new("crash-points");
    let disk = if is_exhaustive() { 1 } else { 2 };
    let others = if is_exhaustive() { 1 } else { 6 };
    let of = |file: &str| ["open,openat", "write", "fsync", "flock"].map(|call| format!("{file}: {call}"));
    for calls in of(LETTERS).iter().chain(&of(FRESH)[..3]) {
        let visited = visit_all(&bench, calls, "signal=SIGKILL", 1);
        println!("crash points: killed before {calls}: {visited} points");
        assert!(0 < visited, "{calls} was never called");
    }
    for (calls, step) in [
        ("fsync", 1),
        ("rename", 1),
        ("link,linkat", disk),
        ("unlink,unlinkat", disk),
        ("open,openat", 7),
        ("all", others),
    ] {
        let visited = visit_all(&bench, calls, "signal=SIGKILL", step);
        println!("crash points: killed before {calls}: {visited} points");
        assert!(0 < visited, "{calls} was never called");
    }
    for calls in if is_exhaustive() { bench.kinds() } else { BTreeSet::new() } {
        let visited = visit_all(&bench, &calls, "signal=SIGKILL", 1);
        println!("crash points: killed before each {calls}: {visited} points");
    }
}

#[test]
#[ignore = "needs strace: run tests/run"]
fn a_disk_that_fails_stops_the_router_and_nothing_is_missing() {
    let bench = Bench::new("disk-errors");
    let write = format!("{FRESH}: write");
    for (calls, error) in [
        ("fsync", "EIO"),
        ("rename", "EIO"),
        ("fsync", "ENOSPC"),
        ("unlink,unlinkat", "EIO"),
        (write.as_str(), "EIO"),
    ] {
        let visited = visit_all(&bench, calls, &format!("error={error}"), 1);
        println!("crash points: {calls} fails with {error}: {visited} points");
        assert!(0 < visited, "{calls} with {error} was never noticed");
    }
}

/// It lasts for a while: every other attempt fails, and the route goes on by itself.
#[test]
#[ignore = "needs strace: run tests/run"]
fn a_disk_without_room_holds_the_route_and_nothing_is_missing() {
    let bench = Bench::new("disk-full");
    for (file, call, error, words) in [
        (FRESH, "write", "ENOSPC", "no space left"),
        (FRESH, "write", "EDQUOT", "quota"),
        (FRESH, "open,openat", "ENOSPC", "no space left"),
        (FRESH, "rename,renameat,renameat2", "ENOSPC", "no space left"),
    ] {
        let injection = format!("{file}: inject={call}:error={error}:when=2..4");
        let mut router = bench.start_injected(&injection);
        router.log_line(&["checkpoint.json", words, "make room", "the route holds and tries again"]);
        wait_for(&format!("all events after {injection}"), SOON, || {
            (EVENTS <= bench.settled()).then_some(())
        });
        router.log_line(&["works again"]);
        assert_eq!(router.end_by("TERM").code, Some(0), "{injection}");
        bench.restart(&injection);
    }
}

#[test]
#[ignore = "needs strace: run tests/run"]
fn a_folder_that_cannot_be_synced_is_warned_about_and_used() {
    let bench = Bench::new("no-folder-sync");
    // Calls on the folder itself: on its files the path is another one.
    let mut router = bench.start_injected("state: inject=fsync:error=EINVAL");
    router.log_line(&["WARN", "does not sync folders"]);
    wait_for("all events", SOON, || (EVENTS <= bench.settled()).then_some(()));
    let said = router.stderr().iter().filter(|line| line.contains("does not sync folders")).count();
    assert_eq!((said, router.end_by("TERM").code), (1, Some(0)));
    bench.restart("a folder without sync");
}

#[test]
#[ignore = "needs strace: run tests/run"]
fn without_hard_links_the_previous_record_is_a_copy() {
    let bench = Bench::new("no-hard-links");
    let router = bench.start_injected("inject=link,linkat:error=EPERM");
    wait_for("all events", SOON, || (EVENTS <= bench.settled()).then_some(()));
    assert_eq!(router.end_by("TERM").code, Some(0));
    let last = std::fs::read_to_string(bench.test.path(CHECKPOINT)).unwrap();
    let previous = std::fs::read_to_string(bench.test.path(PREVIOUS)).unwrap();
    assert!(previous.contains("checksum") && previous != last, "{previous}");
    std::fs::write(bench.test.path(CHECKPOINT), "").unwrap();
    bench.restart("the loss of the last record");
}

#[test]
#[ignore = "needs strace: run tests/run"]
fn a_dead_letter_that_cannot_be_written_holds_its_event_and_says_so() {
    let bench = Bench::new("letter-errors");
    for (call, error, words) in [
        ("write", "ENOSPC", "no space left"),
        ("fsync", "EIO", "jsonl: i"),
        ("open,openat", "EROFS", "read-only"),
    ] {
        // The C libraries say EIO in different words.
        let injection = format!("{LETTERS}: inject={call}:error={error}:when=1");
        let mut router = bench.start_injected(&injection);
        router.log_line(&["write dead letters", words, "holding the event"]);
        wait_for("all events but one", SOON, || {
            (EVENTS - 1 <= bench.record.lock().unwrap().len()).then_some(())
        });
        // It is tried again, and the injection strikes once.
        wait_for(&format!("the letter after {injection}"), SOON, || {
            (EVENTS <= bench.settled()).then_some(())
        });
        assert_eq!(router.end_by("TERM").code, Some(0), "{injection}");
        bench.restart(&injection);
    }
}
