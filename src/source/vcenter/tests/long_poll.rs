//! The wake-ups, and what is read without them.

use super::*;

pub(super) fn wait_for_long_poll(source: &Vcenter) {
    let end = Instant::now() + SOON;
    while !source.open.as_ref().unwrap().long_poll.as_ref().unwrap().is_waiting() {
        assert!(Instant::now() < end, "the long poll did not begin");
        std::thread::yield_now();
    }
}

#[test]
fn a_new_event_wakes_the_reader() {
    let simulator = simulator();
    let mut source = source(&simulator);
    source.open(None).unwrap();
    wait_for_long_poll(&source);
    let (_source, stop) = stop_signal();
    // Takes the wake-up of the first answer, which shows what there is.
    source.wait(&stop, Duration::from_millis(20)).unwrap();
    assert!(source.read().unwrap().items.is_empty());
    for number in 0..3 {
        let key = simulator.push(power(number));
        let began = Instant::now();
        source.wait(&stop, SOON).unwrap();
        assert!(began.elapsed() < SOON / 2, "it was not the wake-up");
        let page = source.read().unwrap();
        assert!(matches!(&page.items[..], [Item::Event(event)] if event.position.key == i64::from(key)));
    }
}

#[test]
fn stop_ends_a_wait() {
    let simulator = simulator();
    let mut source = source(&simulator);
    source.open(None).unwrap();
    wait_for_long_poll(&source);
    let (stop_source, stop) = stop_signal();
    stop_source.stop();
    let began = Instant::now();
    source.wait(&stop, SOON).unwrap();
    assert!(began.elapsed() < SOON / 2);
}

#[test]
fn where_the_long_poll_is_refused_events_come_by_polling() {
    let simulator = simulator();
    for call in ["CreatePropertyCollector", "CreateFilter", "WaitForUpdatesEx"] {
        simulator.clear_faults();
        simulator.set_fault(Rule::always(call, Effect::Fault(Fault::NotSupported)));
        let mut source = source(&simulator);
        let before = simulator.calls(call);
        source.open(None).unwrap();
        assert!(simulator.wait_until(SOON, |simulator| before < simulator.calls(call)));
        let (_source, stop) = stop_signal();
        let began = Instant::now();
        for _ in 0..4 {
            assert!(source.read().unwrap().items.is_empty());
            source.wait(&stop, SOON).unwrap();
        }
        assert!(began.elapsed() < SOON / 2, "{call}: it polls at least once a second");
        let key = simulator.push(power(1));
        assert_eq!(read_keys(&mut source, 1), [i64::from(key)], "{call}");
        source.close();
        assert_eq!(simulator.open_sessions(), 0, "{call}");
    }
}

#[test]
fn a_long_poll_survives_an_unknown_version_and_truncated_answers() {
    let simulator = simulator();
    simulator.script(|script| script.updates_truncated = true);
    let unknown = Effect::Fault(Fault::InvalidCollectorVersion);
    simulator.set_fault(Rule::once("WaitForUpdatesEx", unknown).after(1));
    let mut source = source(&simulator);
    source.open(None).unwrap();
    assert!(simulator.wait_until(SOON, |simulator| 4 <= simulator.calls("WaitForUpdatesEx")));
    wait_for_long_poll(&source);
    let (_source, stop) = stop_signal();
    let key = simulator.push(power(1));
    let mut read = 0;
    while read == 0 {
        let began = Instant::now();
        source.wait(&stop, SOON).unwrap();
        assert!(began.elapsed() < SOON / 2, "it was not the wake-up");
        for item in source.read().unwrap().items {
            assert!(matches!(item, Item::Event(event) if event.position.key == i64::from(key)));
            read += 1;
        }
    }
    assert_eq!(simulator.calls("CreatePropertyCollector"), 1, "the property collector is kept");
}

#[test]
fn a_long_poll_that_hangs_does_not_hold_the_closing_and_is_not_doubled() {
    let simulator = simulator();
    let mut source = source(&simulator);
    // What tells the hanging call to end does not reach it.
    simulator.set_fault(Rule::once("WaitForUpdatesEx", Effect::Hang(None)));
    source.open(None).unwrap();
    assert!(simulator.wait_until(SOON, |simulator| simulator.calls("WaitForUpdatesEx") == 1));
    source.open(None).unwrap();
    assert!(source.open.as_ref().unwrap().has_abandoned());
    assert!(source.open.as_ref().unwrap().long_poll.is_none(), "one hanging thread is enough");
    let key = simulator.push(power(1));
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
    assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 1));
    simulator.stop();
    source.close();
}

#[test]
fn a_long_poll_begins_as_soon_as_the_one_that_hung_has_ended() {
    let simulator = simulator();
    let mut source = source(&simulator);
    simulator.set_fault(Rule::once("WaitForUpdatesEx", Effect::Hang(Some(Duration::from_secs(1)))));
    source.open(None).unwrap();
    assert!(simulator.wait_until(SOON, |simulator| simulator.calls("WaitForUpdatesEx") == 1));
    // The session is gone, so that nothing can be cancelled and nobody waits for it.
    simulator.end_sessions();
    source.open(None).unwrap();
    let (_source, stop) = stop_signal();
    let end = Instant::now() + SOON;
    while source.open.as_ref().unwrap().long_poll.is_none() {
        assert!(Instant::now() < end, "events would come by polling for ever");
        source.wait(&stop, Duration::from_millis(10)).unwrap();
    }
    wait_for_long_poll(&source);
}
