//! Stalls: what is hidden is found, and quiet is not stalled.

use super::*;
use crate::source::vcenter::recovery::stall::Step;

/// Stalls are seen and passed in moments.
pub(super) const FAST: StallTiming = StallTiming {
    compare: Duration::from_millis(20),
    step: Duration::from_millis(20),
    declare: Duration::from_millis(500),
    again: Duration::from_millis(50),
    pass: Duration::ZERO,
};

#[test]
fn events_behind_a_run_of_invisible_ones_are_found() {
    for spread in [SignedDuration::from_millis(30), SignedDuration::from_micros(1)] {
        let simulator = simulator();
        let begin = simulator.now() - SignedDuration::from_mins(2);
        let time = |number: i32| begin + spread * number;
        let mut drafts = vec![power(0).at(begin)];
        drafts.extend((1..=2500).map(|number| power(1).at(time(number)).invisible()));
        drafts.extend((2501..=2503).map(|number| power(2).at(time(number))));
        let keys = simulator.push_many(drafts);
        let mut source = source(&simulator).with_stall_timing(FAST);
        let watch = source.watch();
        source.open(Some(begin)).unwrap();
        let mut read = read_keys(&mut source, 4);
        read.dedup();
        assert_eq!(read, [keys[0], keys[2501], keys[2502], keys[2503]].map(i64::from), "{spread:?}");
        assert_eq!(watch.stall(), Default::default(), "it is over");
        // The walk ends in an endless collector again.
        let key = simulator.push(power(3));
        while read.last() != Some(&i64::from(key)) {
            read.extend(read_keys(&mut source, 1));
        }
        assert_eq!((simulator.open_sessions(), simulator.open_collectors()), (1, 1));
    }
}

#[test]
fn what_a_burst_of_invisible_events_hides_comes_before_later_events() {
    let simulator = simulator();
    let begin = simulator.now() - SignedDuration::from_mins(2);
    let time = |milliseconds: i64| begin + SignedDuration::from_millis(milliseconds);
    let mut drafts = vec![power(0).at(begin)];
    let burst = begin + SignedDuration::from_secs(1);
    drafts.extend((0..1001).map(|n| power(1).at(burst + SignedDuration::from_micros(n)).invisible()));
    let visible = [1500, 2000, 50_000, 100_000].map(|milliseconds| power(2).at(time(milliseconds)));
    drafts.extend(visible);
    let keys: Vec<i64> = simulator.push_many(drafts).into_iter().map(i64::from).collect();
    let mut source = source(&simulator).with_stall_timing(FAST);
    source.open(Some(begin)).unwrap();
    let mut read = read_keys(&mut source, 5);
    read.dedup();
    assert_eq!(read, [&keys[..1], &keys[1002..]].concat());
}

#[test]
fn a_small_page_is_enlarged_first() {
    let simulator = simulator();
    let mut drafts = vec![power(0)];
    drafts.extend((0..50).map(|_| power(1).invisible()));
    drafts.push(power(2));
    let keys = simulator.push_many(drafts);
    let mut config = config(&simulator);
    config.page_size = 10;
    let mut source = Vcenter::new("vc01", &config, Format::Router).unwrap().with_stall_timing(FAST);
    source.open(Some(simulator.now() - Duration::from_secs(60))).unwrap();
    assert_eq!(read_keys(&mut source, 2), [keys[0], keys[51]].map(i64::from));
    // Another one looked whether something was left out.
    assert_eq!(simulator.counts().calls["CreateCollectorForEvents"], 2, "the first step was enough");
    assert_eq!(source.reader.page_events_max(), 10);
}

#[test]
fn a_collector_that_shows_nothing_is_called_stalled_and_a_quiet_one_is_not() {
    let simulator = simulator();
    let (_source, stop) = stop_signal();
    let mut source = source(&simulator).with_stall_timing(FAST);
    let watch = source.watch();
    source.open(None).unwrap();
    let key = simulator.push(power(1));
    assert_eq!(read_keys(&mut source, 1), [i64::from(key)]);
    for _ in 0..40 {
        assert!(source.read().unwrap().items.is_empty());
        source.wait(&stop, Duration::from_millis(10)).unwrap();
    }
    assert_eq!(watch.stall(), Default::default(), "quiet is not stalled");

    simulator.script(|script| script.pages_stay_empty = true);
    let hidden = simulator.push(power(2));
    let end = Instant::now() + SOON;
    while watch.stall().stalled_since.is_none() {
        assert!(Instant::now() < end, "no stall was declared: {:?}", watch.stall());
        source.read().unwrap();
        source.wait(&stop, Duration::from_millis(10)).unwrap();
    }
    assert_eq!(watch.stall().tried, Step::TimeSlices.name());
    simulator.script(|script| script.pages_stay_empty = false);
    let mut keys = read_keys(&mut source, 1);
    while keys.last() != Some(&i64::from(hidden)) {
        keys.extend(read_keys(&mut source, 1));
    }
    assert_eq!(watch.stall(), Default::default());
}

#[test]
fn a_witness_that_is_older_than_the_begin_counts_when_it_is_new() {
    for already_there in [true, false] {
        let simulator = simulator();
        if already_there {
            simulator.push(power(1));
        }
        let mut source = source(&simulator).with_stall_timing(FAST);
        // A position ahead of the server's present, that nobody has found out about.
        source.open(Some(simulator.now() + SignedDuration::from_hours(1))).unwrap();
        let (_source, stop) = stop_signal();
        for _ in 0..10 {
            assert!(source.read().unwrap().items.is_empty(), "what was there before is not wanted");
            source.wait(&stop, Duration::from_millis(10)).unwrap();
        }
        assert_eq!(source.watch().stall(), Default::default());
        let keys: Vec<i64> = simulator.push_many((0..3).map(power)).into_iter().map(i64::from).collect();
        let mut read = Vec::new();
        while keys.iter().any(|key| !read.contains(key)) {
            read.extend(read_keys(&mut source, 1));
        }
        assert_eq!(read.iter().filter(|key| keys.contains(key)).count(), 3, "{read:?}");
    }
}

#[test]
fn a_server_without_the_latest_event_is_not_called_stalled() {
    let simulator = simulator();
    simulator.script(|script| script.latest_event = LatestEvent::Absent);
    let (_source, stop) = stop_signal();
    let mut source = source(&simulator).with_stall_timing(FAST);
    source.open(None).unwrap();
    simulator.push(power(1));
    read_keys(&mut source, 1);
    for _ in 0..40 {
        source.read().unwrap();
        source.wait(&stop, Duration::from_millis(10)).unwrap();
    }
    assert_eq!(source.watch().stall(), Default::default());
}
