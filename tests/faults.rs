//! What can go wrong between the router and vCenter, one fault at a time, in mid-stream: nothing is
//! lost, nothing is repeated, and nothing is left behind at the server.

use std::time::{Duration, Instant};

use event_router::demo::fault::Fault;
use event_router::demo::record::Draft;
use event_router::demo::script::{Effect, Rule};
use event_router::demo::simulator::Settings;
use jiff::{SignedDuration, Timestamp};

use crate::support::stream::Stream;
use crate::support::{SOON, Test, wait_for};

/// One fault in the middle of 300 events, and the words that tell it.
#[track_caller]
fn survives(name: &str, rule: Rule, words: &str) {
    let stream = Stream::new(name, Settings::default());
    let router = stream.start();
    let mut keys = stream.push(100);
    stream.expect("before the fault", &keys);
    let logins = stream.simulator.counts().logins;
    stream.simulator.set_fault(rule);
    keys.extend(stream.push(100));
    stream.expect("during the fault", &keys);
    // A long poll fails only when there is something to tell.
    wait_for(words, SOON, || {
        keys.extend(stream.push(1));
        std::thread::sleep(Duration::from_millis(50));
        router.stderr().iter().any(|line| line.contains(words)).then_some(())
    });
    stream.simulator.clear_faults();
    keys.extend(stream.push(100));
    stream.expect("after the fault", &keys);
    let single = |count: usize, what: &str| assert_eq!(count, 1, "{name}: {what}");
    stream.simulator.wait_until(SOON, |vc| vc.open_sessions() == 1 && vc.open_collectors() == 1);
    single(stream.simulator.open_sessions(), "sessions");
    single(stream.simulator.open_collectors(), "collectors");
    assert!(stream.simulator.counts().logins <= logins + 3, "{name}: a storm of logins");
    stream.stop(name, router);
}

fn reading(effect: Effect) -> Rule {
    Rule::once("ReadNextEvents", effect)
}

#[test]
fn session_lost() {
    survives("not-authenticated", reading(Effect::Fault(Fault::NotAuthenticated)), "NotAuthenticated");
    survives("session-ended", reading(Effect::EndSession), "NotAuthenticated");
    survives("while-waiting", Rule::once("WaitForUpdatesEx", Effect::EndSession), "NotAuthenticated");
}

#[test]
fn collector_lost() {
    survives("collector-ended", reading(Effect::EndCollectors), "ManagedObjectNotFound");
    survives("invalid-state", reading(Effect::Fault(Fault::InvalidState)), "InvalidState");
}

#[test]
fn long_poll_lost() {
    // A vCenter may tell the end of a session as a property that it cannot read.
    let missing = |fault| Rule::once("WaitForUpdatesEx", Effect::MissingSet(fault)).times(2);
    survives("missing-set", missing(Fault::NotAuthenticated), "the long poll failed: NotAuthenticated");
    let fault = Fault::ManagedObjectNotFound("EventHistoryCollector".into(), "session[1]2".into());
    survives("no-collector", missing(fault), "the long poll failed: ManagedObjectNotFound");
    let refused = Rule::once("WaitForUpdatesEx", Effect::Fault(Fault::NotSupported));
    survives("no-long-poll", refused, "the long poll failed: NotSupported");
}

#[test]
fn proxy_in_front_answers() {
    for status in [401, 403, 503] {
        survives(&format!("status-{status}"), reading(Effect::Status(status)), &format!("HTTP {status}"));
    }
}

#[test]
fn answer_lost_on_the_way() {
    survives("reset", reading(Effect::Reset), "read a page");
    survives("truncated", reading(Effect::Truncate(200)), "in the middle of its answer");
    survives("garbage", reading(Effect::Garbage(b"<soapenv:Envelope><<<".to_vec())), "cannot be read");
}

#[test]
fn sessions_are_killed_again_and_again() {
    let stream = Stream::new("killed-sessions", Settings::default());
    let router = stream.start();
    let (begun, mut keys) = (Instant::now(), Vec::new());
    while begun.elapsed() < Duration::from_secs(60) {
        keys.extend(stream.push(50));
        stream.simulator.end_sessions();
        assert!(stream.simulator.open_collectors() <= 1, "collectors pile up");
        std::thread::sleep(Duration::from_secs(2));
    }
    // The last wait before a login may have grown meanwhile.
    stream.expect_within("all events", 3 * SOON, &keys);
    let ended = stream.simulator.counts().sessions_ended;
    assert!(2 <= ended, "{ended} sessions were killed");
    stream.stop("killed sessions", router);
}

#[test]
fn sink_and_vcenter_come_later_in_any_order() {
    for sink_first in [true, false] {
        let mut stream = Stream::new("later", Settings::default());
        stream.sink_down();
        stream.simulator.take_down();
        let mut router = stream.test.start(&["run"]);
        router.log_line(&["ask the server who it is", "connection refused", "trying again in"]);
        if sink_first {
            stream.sink_up();
        }
        stream.simulator.bring_up().unwrap();
        router.log_line(&["reading VMware"]);
        let keys = stream.push(60);
        if !sink_first {
            router.log_line(&["POST", "connection refused", "trying again, next in"]);
            stream.sink_up();
        }
        stream.expect("all events", &keys);
        stream.stop("later", router);
    }
}

/// In half a minute a call that answers at once when all is well has failed.
#[test]
#[ignore = "takes half a minute: run tests/run"]
fn vcenter_is_silent_or_trickles() {
    let stream = Stream::new("trickles", Settings::default());
    stream.simulator.set_fault(Rule::always("CurrentTime", Effect::Trickle(Duration::from_secs(1))));
    let mut router = stream.test.start(&["run"]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let test = Test::new("silent");
    let address = silent.local_addr().unwrap();
    test.write(
        "router.toml",
        &format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"http://{address}/sdk\"\nusername = \"u\"\n\
             password = \"p\"\n[processor.screen]\ntype = \"stdout\"\n"
        ),
    );
    let mut other = test.start(&["run"]);
    let deadline = Duration::from_secs(60);
    wait_for("the end of both calls", deadline, || {
        let has = |router: &crate::support::process::Process| {
            router.stderr().iter().any(|line| line.contains("trying again in"))
        };
        (has(&router) && has(&other)).then_some(())
    });
    router.log_line(&["read the server's clock", "timeout of 30s while"]);
    other.log_line(&["ask the server who it is", "timeout of 30s while waiting"]);
    stream.simulator.clear_faults();
    router.log_line(&["reading VMware"]);
    stream.expect("all events", &stream.push(20));
    stream.stop("trickles", router);
    assert_eq!(other.end_by("TERM").code, Some(0));
}

#[test]
fn vcenter_goes_away_and_comes_back() {
    let mut stream = Stream::new("away", Settings::default());
    let mut router = stream.start();
    let mut keys = stream.push(60);
    stream.expect("before", &keys);
    stream.simulator.take_down();
    router.log_line(&["trying again in"]);
    keys.extend(stream.push(60));
    stream.simulator.bring_up().unwrap();
    stream.expect("after", &keys);
    router.log_line(&["works again"]);
    stream.stop("away", router);
}

#[test]
fn keys_run_over_into_negative() {
    let settings = Settings { first_key: Some(i32::MAX - 20), ..Settings::default() };
    let stream = Stream::new("overflow", settings);
    let mut router = stream.start();
    let keys = stream.push(100);
    assert!(keys.iter().any(|key| *key < 0), "{keys:?}");
    stream.expect("all events", &keys);
    router.log_line(&["event counter is about to overflow"]);
    let log = stream.stop("overflow", router);
    assert_eq!(log.matches("about to overflow").count(), 1, "{log}");
}

#[test]
fn key_space_and_identity_start_again() {
    let stream = Stream::new("rebuilt", Settings::default());
    let mut router = stream.start();
    let first = stream.push(40);
    stream.expect("before", &first);
    stream.forget();
    stream.simulator.set_instance_uuid("00000000-1111-2222-3333-444444444444");
    stream.simulator.set_next_key(1);
    stream.simulator.forget_all();
    stream.simulator.end_sessions();
    router.log_line(&["the source's identity changed"]);
    let second = stream.push(40);
    assert_eq!(second[0], 1, "the keys start again");
    stream.expect("after", &second);
    let log = stream.stop("rebuilt", router);
    assert_eq!(log.matches("identity changed").count(), 1, "{log}");
    assert!(!log.contains("keys went back"), "said already: {log}");
}

#[test]
fn key_space_of_a_restored_database_starts_again() {
    let stream = Stream::new("restored", Settings { first_key: Some(5000), ..Settings::default() });
    let router = stream.start();
    let mut keys = stream.push(40);
    stream.expect("before", &keys);
    stream.stop("restored", router);
    stream.simulator.set_next_key(1);
    let mut router = stream.start();
    keys.extend(stream.push(40));
    stream.expect("after", &keys);
    router.log_line(&["event keys went back from 5039 to 1:"]);
    let log = stream.stop("restored", router);
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
}

#[test]
fn the_clock_of_vcenter_counts_not_ours() {
    for hours in [-3, 3] {
        let settings = Settings { clock_offset: SignedDuration::from_hours(hours), ..Settings::default() };
        let stream = Stream::new("clock", settings);
        let router = stream.start();
        let mut keys = stream.push(50);
        stream.expect("before the restart", &keys);
        stream.stop("clock", router);
        keys.extend(stream.push(50));
        let router = stream.start();
        stream.expect("after the restart", &keys);
        stream.stop("clock", router);
    }
}

#[test]
fn five_hundred_events_of_one_time_and_a_restart_in_the_middle() {
    let stream = Stream::new("one-time", Settings::default());
    let router = stream.start();
    let now = stream.simulator.now() + Duration::from_millis(1);
    stream.simulator.script(|script| script.frozen_clock = Some(now));
    let mut keys = stream.push(250);
    wait_for("some", SOON, || (20 < stream.accepted()).then_some(()));
    stream.stop("one time", router);
    keys.extend(stream.push(250));
    let router = stream.start();
    stream.expect("all, each once", &keys);
    stream.stop("one time", router);
}

#[test]
fn more_invisible_events_than_a_page_holds() {
    let stream = Stream::new("invisible", Settings::default());
    let router = stream.start();
    let mut keys = stream.push(10);
    stream.expect("before", &keys);
    let hidden = (0..1001).map(|_| Draft::vm("VmPoweredOnEvent", "secret", "vm-666").invisible());
    stream.simulator.push_many(hidden);
    keys.extend(stream.push(10));
    // The ladder's first rungs take 20 s.
    stream.expect_within("behind the invisible ones", 3 * SOON, &keys);
    stream.stop("invisible", router);
}

/// The route comes back after five hours to a vCenter with events of four, two and one hours ago, of
/// which it has purged those of more than three hours, or none. Gives the log, and the hours' times.
fn log_after_five_hours(name: &str, source: &str, purged: bool) -> (String, [Timestamp; 6]) {
    // Whole seconds, because vCenter's times have fewer digits than ours.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let ago = [0, 1, 2, 3, 4, 5].map(|hours| now - SignedDuration::from_hours(hours));
    let stream = Stream::with(name, Settings::default(), "", source);
    let machine = || Draft::vm("VmPoweredOnEvent", "web-1", "vm-1");
    stream.simulator.push(machine().at(ago[5]));
    stream.stop(name, stream.start());
    let moved = stream.test.router(&["checkpoint", "set", &ago[5].to_string()]);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    for hours in [4, 2, 1] {
        stream.simulator.push(machine().at(ago[hours]));
    }
    if purged {
        stream.simulator.forget_before(ago[3]);
    }
    let router = stream.start();
    stream.expect("the last event", &[4]);
    let log = stream.stop(name, router);
    let again = stream.stop(name, stream.start());
    assert!(!again.contains("gap:"), "said once, or never: {again}");
    (log, ago)
}

#[test]
fn purged_events_are_told_as_a_gap() {
    let (log, ago) = log_after_five_hours("gap", "", true);
    let told: Vec<_> = log.lines().filter(|line| line.contains("gap:")).collect();
    assert_eq!(told.len(), 1, "{log}");
    let span = format!("no longer has its events from {} to {}", ago[5], ago[2]);
    assert!(told[0].contains(&span) && told[0].contains("ERROR"), "{told:?}");
}

#[test]
fn what_is_not_purged_or_not_wanted_is_no_gap() {
    let (log, _) = log_after_five_hours("no-gap", "", false);
    assert!(!log.contains("gap:") && !log.contains("ERROR"), "{log}");
    let (log, _) = log_after_five_hours("skipped", "replay_max = \"90m\"", true);
    assert!(!log.contains("gap:"), "{log}");
    assert_eq!(log.matches("are older than replay_max").count(), 1, "{log}");
}

#[test]
fn an_unknown_class_is_delivered_and_said_once() {
    let stream = Stream::new("unknown-class", Settings::default());
    let mut router = stream.start();
    let foo = || Draft::vm("FooEvent", "web-1", "vm-1");
    let keys: Vec<i64> =
        stream.simulator.push_many([foo(), foo(), foo()]).into_iter().map(i64::from).collect();
    stream.expect("unknown events", &keys);
    router.log_line(&["unknown class FooEvent"]);
    let log = stream.stop("unknown class", router);
    assert_eq!(log.matches("unknown class FooEvent").count(), 1, "{log}");
}
