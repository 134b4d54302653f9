//! The source against the simulated vCenter: pages, faults, what is left behind.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::config::ConnectionConfig;
use crate::config::secret::Secret;
use crate::demo::fault::Fault;
use crate::demo::record::Draft;
use crate::demo::script::{Effect, LatestEvent, Rule};
use crate::demo::simulator::{Settings, Simulator};
use crate::source::{Item, SourceFailure};
use crate::stop::stop_signal;
use crate::testing::folder;

mod answers;
mod filter;
mod golden;
mod long_poll;
mod options;
mod recovery;

/// A bound on waiting for what comes at once when all is well.
const SOON: Duration = Duration::from_secs(30);

/// Events of the first page.
const EVENT_PAGE_FIRST: usize = crate::limits::PAGE_BYTES_AIM / crate::limits::EVENT_BYTES_EXPECTED;

fn simulator() -> Simulator {
    Simulator::start(Settings::default()).unwrap()
}

fn config(simulator: &Simulator) -> VcenterConfig {
    VcenterConfig {
        address: simulator.url(),
        username: Secret::Literal(simulator.username()),
        password: Secret::Literal(simulator.password()),
        page_size: 1000,
        connection: ConnectionConfig::default(),
    }
}

fn source(simulator: &Simulator) -> Vcenter {
    Vcenter::new("vc01", &config(simulator), Format::Router).unwrap()
}

fn power(number: usize) -> Draft {
    Draft::vm("VmPoweredOnEvent", &format!("web-{number}"), &format!("vm-{number}"))
}

/// Reads, and waits where there is nothing, until this many events have come; their keys.
fn read_keys(source: &mut Vcenter, count: usize) -> Vec<i64> {
    let (_source, stop) = stop_signal();
    let end = Instant::now() + SOON;
    let mut keys = Vec::new();
    while keys.len() < count {
        assert!(Instant::now() < end, "only {} of {count} events came", keys.len());
        let page = source.read().unwrap();
        if !page.more {
            source.wait(&stop, Duration::from_millis(50)).unwrap();
        }
        keys.extend(page.items.iter().map(|item| match item {
            Item::Event(event) => event.position.key,
            Item::Broken(broken) => panic!("{broken:?}"),
        }));
    }
    keys
}

#[test]
fn all_pages_are_read_in_order_and_the_begin_is_inclusive() {
    let simulator = simulator();
    let keys = simulator.push_many((0..2500).map(power));
    let mut source = source(&simulator);
    let opened = source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    assert_eq!(opened.identity, Settings::default().instance_uuid);
    assert_eq!(opened.begin, Timestamp::UNIX_EPOCH);
    assert!(opened.description.ends_with(", API 8.0.3.0"), "{}", opened.description);
    let sizes: Vec<usize> =
        std::iter::repeat_with(|| source.read().unwrap().items.len()).take_while(|size| 0 < *size).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 2500);

    let tenth = simulator.records()[10].time;
    let expected: Vec<i64> = simulator
        .records()
        .iter()
        .filter(|record| tenth <= record.time)
        .map(|record| record.key.into())
        .collect();
    source.open(Some(tenth)).unwrap();
    assert_eq!(read_keys(&mut source, expected.len()), expected);
    assert_eq!(expected.last().copied(), keys.last().map(|key| i64::from(*key)));
    source.close();
}

#[test]
fn without_a_begin_reading_starts_at_the_servers_present() {
    let settings = Settings { clock_offset: SignedDuration::from_hours(-3), ..Settings::default() };
    let simulator = Simulator::start(settings).unwrap();
    simulator.push(power(1).at(simulator.now() - SignedDuration::from_secs(5)));
    let mut source = source(&simulator);
    let opened = source.open(None).unwrap();
    assert_eq!(opened.begin, opened.now);
    assert!(opened.now.duration_since(simulator.now()).abs() < SignedDuration::from_secs(60));
    let key = simulator.push(power(2));
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
}

#[test]
fn every_failure_of_a_page_says_how_to_go_on_and_the_next_opening_reads_it() {
    use SourceFailure::{Lost, Misconfigured};
    let fault = Effect::Fault;
    let collector = || Fault::ManagedObjectNotFound("EventHistoryCollector".into(), "session[1]2".into());
    for (effect, failure, text) in [
        (fault(Fault::NotAuthenticated), Lost, "NotAuthenticated"),
        (fault(collector()), Lost, "ManagedObjectNotFound"),
        (fault(Fault::InvalidState), Lost, "InvalidState"),
        (fault(Fault::RequestCanceled), Lost, "RequestCanceled"),
        (fault(Fault::SystemError("disk".into())), Lost, "SystemError"),
        (fault(Fault::Other(String::new(), "?".into())), Lost, "fault without a type"),
        (fault(Fault::NoPermission), Misconfigured, "System.Read"),
        (fault(Fault::InvalidRequest), Misconfigured, "InvalidRequest"),
        (Effect::Status(401), Lost, "HTTP 401"),
        (Effect::Status(403), Lost, "HTTP 403"),
        (Effect::Status(503), Lost, "HTTP 503 with an HTML page titled \"503\""),
        (Effect::Status(200), Lost, "it answered with an HTML page"),
        (Effect::Garbage(b"<soapenv:Envelope".to_vec()), Lost, "the answer cannot be read"),
        (Effect::Garbage(b"\xff\xfe\x00".to_vec()), Lost, "it answered with the text"),
        (Effect::Reset, Lost, "ReadNextEvents|reset"),
        (Effect::Truncate(200), Lost, "ReadNextEvents|ended|closed|end"),
        (Effect::EndSession, Lost, "NotAuthenticated"),
        (Effect::EndAllSessions, Lost, "NotAuthenticated"),
        (Effect::EndCollectors, Lost, "ManagedObjectNotFound"),
    ] {
        let simulator = simulator();
        let key = i64::from(simulator.push(power(1)));
        let mut source = source(&simulator);
        source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
        simulator.set_fault(Rule::once("ReadNextEvents", effect.clone()));
        let error = source.read().unwrap_err();
        assert_eq!(error.failure, failure, "{effect:?}: {error}");
        let message = error.to_string();
        assert!(text.split('|').any(|text| message.contains(text)), "{effect:?}: {message}");
        assert!(message.contains(&format!("read a page of {EVENT_PAGE_FIRST} events")), "{message}");
        assert_eq!(source.read().unwrap_err().failure, Lost, "after an error it must be opened again");
        source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(read_keys(&mut source, 1), [key], "{effect:?}");
        source.close();
        let gone = simulator.wait_until(SOON, |simulator| simulator.open_sessions() == 0);
        assert!(gone, "{effect:?}: {} sessions are left", simulator.open_sessions());
    }
}

#[test]
fn many_openings_leave_one_session_and_one_collector_and_closing_leaves_none() {
    let simulator = simulator();
    let mut source = source(&simulator);
    for _ in 0..40 {
        source.open(None).unwrap();
        assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 1));
    }
    // The server went away without a word: what it held is gone, and nothing else is left.
    simulator.end_sessions();
    source.open(None).unwrap();
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 1));
    source.close();
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (0, 0));
    let counts = simulator.counts();
    assert_eq!(counts.calls["CreateCollectorForEvents"], 41);
    assert_eq!(counts.calls["Login"], 41);
    assert!(source.abandoned.is_none(), "no thread hangs");
}

#[test]
fn an_unreachable_server_keeps_what_it_holds_until_it_can_be_given_back() {
    let simulator = simulator();
    let mut source = source(&simulator);
    source.open(None).unwrap();
    simulator.set_fault(Rule::always("vimServiceVersions", Effect::Hang(Some(Duration::ZERO))));
    assert_eq!(source.open(None).unwrap_err().failure, SourceFailure::Lost);
    assert_eq!(simulator.open_sessions(), 1);
    simulator.clear_faults();
    source.open(None).unwrap();
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 1));
}

#[test]
fn a_failed_opening_leaves_nothing_behind() {
    let simulator = simulator();
    let mut source = source(&simulator);
    for call in ["CurrentTime", "CreateCollectorForEvents"] {
        simulator.set_fault(Rule::once(call, Effect::Fault(Fault::SystemError("disk".into()))));
        assert_eq!(source.open(None).unwrap_err().failure, SourceFailure::Lost);
        assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (0, 0), "{call}");
    }
}

#[test]
fn a_wrong_password_is_refused_until_the_secret_changes() {
    let simulator = simulator();
    let folder = folder("vcenter-password");
    let file = folder.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let mut config = config(&simulator);
    config.password = Secret::File(file.clone());
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap();
    let error = source.open(None).unwrap_err();
    assert_eq!(error.failure, SourceFailure::LoginRefused);
    let message = error.to_string();
    assert!(message.starts_with(&format!("log in at {}: InvalidLogin", simulator.url())), "{message}");
    assert!(message.contains("check username and password"), "{message}");
    assert!(!message.contains("wrong"), "{message}");
    std::fs::write(&file, simulator.password() + "\n").unwrap();
    source.open(None).unwrap();
    std::fs::remove_file(&file).unwrap();
    let error = source.open(None).unwrap_err();
    assert_eq!(error.failure, SourceFailure::Misconfigured);
    assert!(error.to_string().contains("read secret file"), "{error}");
    assert_eq!(simulator.open_sessions(), 0);
}

#[test]
fn the_collector_limit_is_named() {
    let settings = Settings { collectors_max: 0, ..Settings::default() };
    let simulator = Simulator::start(settings).unwrap();
    let error = source(&simulator).open(None).unwrap_err();
    assert_eq!(error.failure, SourceFailure::Lost);
    let message = error.to_string();
    assert!(message.contains("collector limit reached: InvalidState"), "{message}");
    assert!(message.contains("event.maxCollectors"), "{message}");
    assert_eq!(simulator.open_sessions(), 0);
}

#[test]
fn what_is_no_vcenter_is_said_to_be_none() {
    let simulator = simulator();
    simulator.set_fault(Rule::always("*", Effect::Status(200)));
    let error = source(&simulator).open(None).unwrap_err();
    assert_eq!(error.failure, SourceFailure::Misconfigured);
    let message = error.to_string();
    assert!(message.starts_with(&format!("ask the server who it is at {}: not a vCenter", simulator.url())));

    let mut config = config(&simulator);
    config.address = simulator.url().replace("/sdk", "/elsewhere");
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap();
    let error = source.open(None).unwrap_err();
    assert_eq!(error.failure, SourceFailure::Lost);
    assert!(error.to_string().contains("HTTP 404 with an HTML page"), "{error}");

    drop(simulator);
    let error = source.open(None).unwrap_err();
    assert_eq!(error.failure, SourceFailure::Lost);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn an_event_that_is_too_large_is_broken_and_reading_goes_past_it() {
    let simulator = simulator();
    let bytes = crate::limits::VCENTER_BODY_BYTES_MAX;
    let huge = Draft { message: "x".repeat(bytes), ..power(2) };
    let keys = simulator.push_many([power(1), huge, power(3)]);
    let mut source =
        Vcenter::new("vc01", &VcenterConfig { page_size: 2, ..config(&simulator) }, Format::Router).unwrap();
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    let said = source.read().unwrap_err().error.to_string();
    assert!(said.ends_with("trying pages of 1 from here"), "{said}");
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    let mut found = Vec::new();
    while found.len() < 3 {
        for item in source.read().unwrap().items {
            found.push(match item {
                Item::Event(event) => (event.position.key, String::new()),
                Item::Broken(broken) => {
                    assert!(broken.raw.starts_with(b"<returnval ") && broken.raw.len() < 100_000);
                    (broken.key.unwrap(), broken.reason)
                }
            });
        }
    }
    let huge = "the event is larger than 64 MiB; only its begin is kept";
    assert_eq!(
        found,
        [("", 0), (huge, 1), ("", 2)].map(|(reason, at)| (i64::from(keys[at]), reason.to_owned()))
    );
}

#[test]
fn a_page_that_is_too_large_is_asked_for_in_smaller_pieces() {
    let simulator = simulator();
    let half = EVENT_PAGE_FIRST / 2;
    simulator.push_many((0..4 * half + half / 2).map(power));
    let mut source = source(&simulator);
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    let bytes = crate::limits::VCENTER_BODY_BYTES_MAX + 1;
    simulator.set_fault(Rule::once("ReadNextEvents", Effect::Inflate(bytes)));
    let error = source.read().unwrap_err();
    assert_eq!(error.failure, SourceFailure::Lost);
    let message = error.to_string();
    let said = format!("the answer is larger than 64 MiB; trying pages of {half} from here");
    assert!(message.ends_with(&said), "{message}");
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    let sizes: Vec<usize> = (0..5).map(|_| source.read().unwrap().items.len()).collect();
    assert_eq!(sizes, [half, half, half, half, half / 2]);
}

#[test]
fn a_backlog_is_read_in_pages_of_about_the_same_size_in_bytes() {
    let simulator = simulator();
    let large = |number| Draft { message: "x".repeat(50_000), ..power(number) };
    let of_large = crate::limits::PAGE_BYTES_AIM / 51_000;
    let small = EVENT_PAGE_FIRST + 10;
    simulator.push_many((0..EVENT_PAGE_FIRST).map(large).chain((0..small).map(power)));
    let mut source = source(&simulator);
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    let mut read = || source.read().unwrap().items.len();
    assert_eq!(read(), EVENT_PAGE_FIRST, "nothing is known of their size");
    assert_eq!(read(), of_large, "they are of 50 KB");
    let grown = read();
    assert!(EVENT_PAGE_FIRST < grown, "{grown}: they are small again");
    // A small page that is not full ends the backlog, and whatever comes is asked for at once.
    assert_eq!(grown + of_large, small);
    simulator.push_many((0..900).map(power));
    assert_eq!(read(), 900);
    // A large one does not: while its events wait for room, as many again may have come.
    simulator.push_many((0..900).map(power));
    assert!((100..900).contains(&read()));
}

#[test]
fn an_empty_page_of_a_backlog_is_asked_for_once_more_in_full_size() {
    let simulator = simulator();
    let hidden = (0..EVENT_PAGE_FIRST + 300).map(|number| power(number).invisible());
    simulator.push_many(hidden.chain([power(9)]));
    let mut source = source(&simulator);
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    let before = simulator.calls("ReadNextEvents");
    assert_eq!(source.read().unwrap().items.len(), 1);
    // And a second collector looks whether something was left out.
    assert_eq!(simulator.calls("ReadNextEvents"), before + 3);
}

#[test]
fn pages_grow_again_when_they_have_fit_for_a_while() {
    let simulator = simulator();
    let mut config = config(&simulator);
    config.page_size = 10;
    simulator.push_many((0..20 * 5 + 10).map(power));
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap();
    source.reader.set_page_events_max(5);
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    for _ in 0..20 {
        assert_eq!(source.read().unwrap().items.len(), 5);
    }
    assert_eq!(source.read().unwrap().items.len(), 10);
}

#[test]
fn the_api_version_is_the_servers_own_wherever_it_tells_it() {
    for effect in [None, Some(Effect::Status(404)), Some(Effect::Garbage(b"<namespaces/>".to_vec()))] {
        let simulator = simulator();
        if let Some(effect) = effect.clone() {
            simulator.set_fault(Rule::always("vimServiceVersions", effect));
        }
        let opened = source(&simulator).open(None).unwrap();
        assert!(opened.description.ends_with(", API 8.0.3.0"), "{effect:?}: {opened:?}");
    }
}

#[test]
fn a_lost_session_that_shows_only_in_a_missing_set_is_found() {
    let simulator = simulator();
    let timing = StallTiming { compare: Duration::ZERO, ..StallTiming::default() };
    let mut source = source(&simulator).with_stall_timing(timing);
    source.open(None).unwrap();
    simulator.set_fault(Rule::once("RetrievePropertiesEx", Effect::MissingSet(Fault::NotAuthenticated)));
    let error = source.read().unwrap_err();
    assert_eq!(error.failure, SourceFailure::Lost);
    assert!(error.to_string().contains("NotAuthenticated"), "{error}");
}

#[test]
fn keys_may_run_over_and_start_again() {
    let settings = Settings { first_key: Some(i32::MAX - 1), ..Settings::default() };
    let simulator = Simulator::start(settings).unwrap();
    let mut source = source(&simulator);
    source.open(Some(Timestamp::UNIX_EPOCH)).unwrap();
    simulator.push_many((0..4).map(power));
    let keys = [2147483646, 2147483647, -2147483648, -2147483647];
    assert_eq!(read_keys(&mut source, 4), keys);
    simulator.set_next_key(1);
    simulator.push(power(5));
    assert_eq!(read_keys(&mut source, 1), [1]);
}

#[test]
fn a_probe_says_what_works_and_the_first_thing_that_does_not() {
    use super::probe::{Outcome, probe};
    let simulator = simulator();
    simulator.push_many((0..3).map(power));
    let run = |config: &VcenterConfig| {
        let mut lines = Vec::new();
        let good = probe(config, &mut |step| {
            lines.push(match step.outcome {
                Outcome::Good(text) => format!("good {}: {text}", step.what),
                Outcome::Doubtful(text) => format!("doubtful {}: {text}", step.what),
                Outcome::Failed(error) => format!("failed {}: {error}", step.what),
            });
        });
        assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (0, 0), "{lines:?}");
        (good, lines)
    };
    let (good, lines) = run(&config(&simulator));
    assert!(good, "{lines:?}");
    let words: Vec<&str> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let looks = ["server", "login", "clock", "events", "event counter"];
    let settings = ["retention", "burst filter", "collectors", "rights"];
    let expected: Vec<String> = looks.iter().chain(&settings).map(|what| format!("good {what}")).collect();
    assert_eq!(words, expected);
    assert!(lines[3].contains("the first 3"), "{lines:?}");

    let mut wrong = config(&simulator);
    wrong.password = Secret::Literal("wrong".into());
    let (good, lines) = run(&wrong);
    assert!(!good && lines[1].starts_with("failed login: log in at "), "{lines:?}");

    for (call, what) in [
        ("RetrieveServiceContent", "server"),
        ("CurrentTime", "clock"),
        ("CreateCollectorForEvents", "events"),
        ("ReadNextEvents", "events"),
        ("RetrievePropertiesEx", "event counter"),
    ] {
        simulator.set_fault(Rule::once(call, Effect::Fault(Fault::NoPermission)));
        let (good, lines) = run(&config(&simulator));
        let last = lines.last().unwrap();
        assert!(!good && last.starts_with(&format!("failed {what}: ")), "{call}: {lines:?}");
        assert!(last.contains("give the account a role"), "{last}");
    }
}
