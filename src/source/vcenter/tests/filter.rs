//! Names of events that the server itself filters by.

use super::long_poll::wait_for_long_poll;
use super::recovery::FAST;
use super::*;

/// Every quiet moment is compared with the newest event.
const ALWAYS: StallTiming = StallTiming { compare: Duration::ZERO, ..FAST };

fn off(number: usize) -> Draft {
    Draft { class: "VmPoweredOffEvent".to_string(), ..power(number) }
}

fn only(simulator: &Simulator, types: &[&str]) -> Vcenter {
    let types: Vec<String> = types.iter().map(|name| name.to_string()).collect();
    source(simulator).with_types(&types).with_stall_timing(ALWAYS)
}

/// Before all events of a test, and not so old that the server may have purged something.
fn lately(simulator: &Simulator) -> Option<Timestamp> {
    Some(simulator.now() - SignedDuration::from_secs(600))
}

fn is_filtered(source: &Vcenter) -> bool {
    source.open.as_ref().unwrap().is_filtered()
}

#[test]
fn the_server_sends_only_what_is_wanted() {
    let simulator = simulator();
    let backup = || Draft::event_ex("com.example.backup.JobFinished");
    let keys = simulator.push_many([power(1), off(2), backup(), Draft::event_ex("other"), power(3)]);
    let mut source = only(&simulator, &["VmPoweredOnEvent", "com.example.backup.JobFinished"]);
    source.open(lately(&simulator)).unwrap();
    assert!(is_filtered(&source));
    let page = source.read().unwrap();
    assert_eq!(page.items.len(), 3);
    source.open(lately(&simulator)).unwrap();
    assert_eq!(read_keys(&mut source, 3), [keys[0], keys[2], keys[4]].map(i64::from));
    let key = simulator.push_many([off(1), power(4)])[1];
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)], "and what comes later");
}

#[test]
fn a_name_that_the_server_does_not_know_only_costs_its_filter() {
    let simulator = simulator();
    simulator.script(|script| script.unknown_types_refused = true);
    let keys = simulator.push_many([power(1), off(2)]);
    let mut source = only(&simulator, &["VmPoweredOnEvent", "VmPowerdOnEvent"]);
    source.open(lately(&simulator)).unwrap();
    assert!(!is_filtered(&source));
    let refused = source.open.as_ref().unwrap().refused().unwrap();
    assert!(refused.contains("InvalidArgument"), "{refused}");
    assert!(read_keys(&mut source, 2).ends_with(&keys.iter().map(|key| i64::from(*key)).collect::<Vec<_>>()));
}

#[test]
fn what_is_left_out_is_passed_once_nothing_wanted_lies_before_it() {
    let simulator = simulator();
    let mut source = only(&simulator, &["VmPoweredOnEvent"]);
    source.open(None).unwrap();
    let silence = |source: &mut Vcenter| {
        let left_out = simulator.push(off(1));
        wait_for_long_poll(source);
        assert!(source.read().unwrap().items.is_empty());
        i64::from(left_out)
    };
    let first = silence(&mut source);
    assert_eq!(source.passed(), None, "it may be the newest, and one before it not yet written");
    let second = silence(&mut source);
    assert_eq!(source.passed().map(|position| position.key), Some(first));
    assert_eq!(source.passed(), None, "told once");

    // The page after the second one is not empty: what lies before its event is not known.
    let key = simulator.push(power(2));
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
    assert_eq!(source.passed(), None);
    let third = silence(&mut source);
    silence(&mut source);
    assert_eq!(source.passed().map(|position| position.key), Some(third));
    assert!(second < i64::from(key) && i64::from(key) < third);
    for _ in 0..20 {
        silence(&mut source);
    }
    assert_eq!(source.watch().stall(), Default::default(), "what is left out is not missed");
}

#[test]
fn a_wanted_event_that_does_not_come_is_still_found_missing() {
    let simulator = simulator();
    let mut source = only(&simulator, &["VmPoweredOnEvent"]);
    source.open(None).unwrap();
    let key = simulator.push(power(1));
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
    wait_for_long_poll(&source);
    let shows = |source: &Vcenter| source.open.as_ref()?.long_poll.as_ref()?.latest();
    // The collector takes a run of invisible events and shows nothing behind it; its latest page does.
    let mut drafts: Vec<Draft> = (0..1001).map(|n| power(n).invisible()).collect();
    drafts.push(power(2));
    let hidden = simulator.push_many(drafts)[1001];
    let end = Instant::now() + SOON;
    while shows(&source).is_none_or(|latest| latest.key != i64::from(hidden)) {
        assert!(Instant::now() < end, "the long poll shows {:?}", shows(&source));
        std::thread::yield_now();
    }
    read_until(&mut source, hidden);
}

/// Reads until this event has come. What is passed meanwhile must lie before it.
fn read_until(source: &mut Vcenter, key: i32) {
    let (_source, stop) = stop_signal();
    let end = Instant::now() + SOON;
    loop {
        assert!(Instant::now() < end, "{key} was not found: {:?}", source.watch().stall());
        let page = source.read().unwrap();
        let is_it = |item: &Item| item.position().is_some_and(|position| position.key == i64::from(key));
        if page.items.iter().any(is_it) {
            return;
        }
        assert!(source.passed().is_none_or(|position| position.key < i64::from(key)));
        source.wait(&stop, Duration::from_millis(10)).unwrap();
    }
}

#[test]
fn a_wanted_event_that_only_the_newest_event_shows_is_found_missing() {
    let simulator = simulator();
    let mut source = only(&simulator, &["VmPoweredOnEvent"]);
    source.open(None).unwrap();
    let now = simulator.now();
    simulator.script(|script| script.endless_end = Some(now));
    let hidden = simulator.push(power(1));
    assert!(source.read().unwrap().items.is_empty());
    // By now another one is the newest.
    assert!(source.read().unwrap().items.is_empty());
    simulator.push(off(2));
    read_until(&mut source, hidden);
    assert_eq!(source.watch().stall(), Default::default(), "it is over");
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 1));
}

#[test]
fn a_wanted_event_that_nothing_shows_is_found_before_it_is_passed() {
    let simulator = simulator();
    // Too long to be found again in each step: what was found is remembered, although a new collector
    // repeats the last event.
    let timing = StallTiming { pass: Duration::from_millis(300), ..ALWAYS };
    let mut source =
        only(&simulator, &["VmPoweredOnEvent", "com.example.backup.JobFinished"]).with_stall_timing(timing);
    source.open(None).unwrap();
    simulator.push_many([power(1), off(2)]);
    assert_eq!(read_keys(&mut source, 1).len(), 1);
    let now = simulator.now();
    simulator.script(|script| script.endless_end = Some(now));
    let hidden = simulator.push_many([Draft::event_ex("com.example.backup.JobFinished"), off(3)])[0];
    read_until(&mut source, hidden);
    simulator.script(|script| script.endless_end = None);
    // And then the position moves again.
    let left_out = simulator.push(off(4));
    let end = Instant::now() + SOON;
    while source.passed().is_none_or(|position| position.key != i64::from(left_out)) {
        assert!(Instant::now() < end, "not passed");
        source.read().unwrap();
    }
    // In a quiet vCenter that costs nothing more.
    let created = simulator.counts().collectors_created;
    (0..5).for_each(|_| assert!(source.read().unwrap().items.is_empty()));
    assert_eq!((simulator.counts().collectors_created, source.passed()), (created, None));
}

#[test]
fn what_is_left_out_is_passed_no_sooner_than_its_time() {
    let simulator = simulator();
    let timing = StallTiming { pass: Duration::from_secs(600), ..ALWAYS };
    let mut source = only(&simulator, &["VmPoweredOnEvent"]).with_stall_timing(timing);
    source.open(None).unwrap();
    for _ in 0..10 {
        simulator.push(off(1));
        assert!(source.read().unwrap().items.is_empty());
        assert_eq!(source.passed(), None);
    }
    assert_eq!(simulator.counts().calls["CreateCollectorForEvents"], 1, "nor does it cost anything");
}

#[test]
fn after_a_purge_the_first_event_of_any_type_tells_the_end_of_the_gap() {
    let simulator = simulator();
    let mut source = only(&simulator, &["VmPoweredOnEvent"]);
    simulator.forget_all();
    let begin = simulator.now() - SignedDuration::from_hours(5);
    assert!(source.open(Some(begin)).unwrap().is_purged);
    assert!(!is_filtered(&source));
    assert!(!source.open(None).unwrap().is_purged && is_filtered(&source));
}
