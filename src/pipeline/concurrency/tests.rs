//! Simulated sinks: calls as events in time, whose end depends on how many are on their way.

use std::collections::BinaryHeap;

use super::*;
use crate::testing::Random;

struct Sink {
    /// Milliseconds of a call while so many are on their way.
    latency: fn(usize) -> f64,
    /// Calls a second beyond which it answers 429.
    rate_max: Option<f64>,
}

/// What a run came to.
struct Outcome {
    limit: usize,
    /// Delivered a second in the second half, where its start does not count.
    rate: f64,
    peak: usize,
    pushed_back: f64,
}

fn run(sink: &Sink, concurrency: &mut Concurrency, begun: Instant, seconds: f64) -> Outcome {
    let mut random = Random::new(17);
    let (mut now, mut ends) = (0.0_f64, BinaryHeap::new());
    let (mut delivered, mut calls, mut pushed_back, mut peak) = (0, 0, 0, 0);
    // A bucket of a tenth of a second.
    let (mut tokens, mut filled) = (sink.rate_max.unwrap_or(0.0) / 10.0, 0.0);
    while now < seconds * 1000.0 {
        while ends.len() < concurrency.limit() {
            let wait = (sink.latency)(ends.len() + 1) * (0.8 + 0.4 * random.below(1000) as f64 / 1000.0);
            ends.push(std::cmp::Reverse(((now + wait.max(0.01)) * 1000.0) as u64));
        }
        peak = peak.max(ends.len());
        let is_saturated = ends.len() >= concurrency.limit();
        now = ends.pop().unwrap().0 as f64 / 1000.0;
        let mut is_pushed_back = false;
        if let Some(rate_max) = sink.rate_max {
            tokens = (tokens + (now - filled) * rate_max / 1000.0).min(rate_max / 10.0);
            filled = now;
            is_pushed_back = tokens < 1.0;
            tokens -= if is_pushed_back { 0.0 } else { 1.0 };
        }
        if seconds * 500.0 < now {
            delivered += usize::from(!is_pushed_back);
            pushed_back += usize::from(is_pushed_back);
            calls += 1;
        }
        let call = Call { delivered: usize::from(!is_pushed_back), is_pushed_back, is_saturated };
        concurrency.ended(call, begun + Duration::from_secs_f64(now / 1000.0));
    }
    Outcome {
        limit: concurrency.limit(),
        rate: delivered as f64 / (seconds / 2.0),
        peak,
        pushed_back: pushed_back as f64 / calls as f64,
    }
}

fn outcome(latency: fn(usize) -> f64, rate_max: Option<f64>) -> Outcome {
    run(&Sink { latency, rate_max }, &mut Concurrency::new(None), Instant::now(), 60.0)
}

#[test]
fn a_slow_sink_gets_as_many_as_there_may_be() {
    for (latency, ideal) in
        [((|_| 5.0) as fn(usize) -> f64, 12_800.0), (|_| 50.0, 1280.0), (|_| 500.0, 128.0)]
    {
        let outcome = outcome(latency, None);
        assert_eq!(outcome.peak, WORKERS_AUTO_MAX);
        assert!(ideal * 0.9 < outcome.rate, "{} of {ideal}", outcome.rate);
    }
}

#[test]
fn the_slowest_sink_has_them_all_within_a_few_of_its_calls() {
    let mut concurrency = Concurrency::new(None);
    run(&Sink { latency: |_| 500.0, rate_max: None }, &mut concurrency, Instant::now(), 6.0);
    assert_eq!(concurrency.limit(), WORKERS_AUTO_MAX);
}

#[test]
fn a_sink_with_a_fixed_rate_gets_no_more_than_it_makes_use_of() {
    // One at a time, each in a tenth of a millisecond: the rest waits in its queue.
    let outcome = outcome(|on_their_way| 0.1 * on_their_way as f64, None);
    assert!(outcome.peak <= 2 * WORKERS_AUTO_BEGIN, "{}", outcome.peak);
    assert!(outcome.rate > 9000.0, "{}", outcome.rate);
}

#[test]
fn a_sink_that_collapses_is_left_where_it_works() {
    // Above 16 at a time each further one makes all slower.
    let collapses = |n: usize| if n <= 16 { 20.0 } else { 20.0 * (n as f64 / 16.0).powi(4) };
    let outcome = outcome(collapses, None);
    assert!((12..=18).contains(&outcome.limit), "{}", outcome.limit);
    assert!(outcome.rate > 0.85 * 800.0, "{}", outcome.rate);
    // One doubling finds it out, and nothing beyond is tried.
    assert!(outcome.peak <= 32, "{}", outcome.peak);
}

#[test]
fn a_sink_that_throttles_is_not_pushed() {
    let outcome = outcome(|_| 50.0, Some(200.0));
    assert!(outcome.pushed_back < 0.10, "{} are refused", outcome.pushed_back);
    assert!(outcome.rate > 0.75 * 200.0, "{}", outcome.rate);
}

#[test]
fn it_follows_a_sink_that_changes() {
    let (mut concurrency, begun) = (Concurrency::new(None), Instant::now());
    let fast = Sink { latency: |_| 10.0, rate_max: None };
    let collapsing =
        Sink { latency: |n| if n <= 8 { 10.0 } else { 10.0 * (n as f64 / 8.0).powi(2) }, rate_max: None };
    assert_eq!(run(&fast, &mut concurrency, begun, 10.0).limit, WORKERS_AUTO_MAX);
    let outcome = run(&collapsing, &mut concurrency, begun + Duration::from_secs(10), 60.0);
    assert!(outcome.limit <= 16, "{}", outcome.limit);
    let outcome = run(&fast, &mut concurrency, begun + Duration::from_secs(70), 60.0);
    assert_eq!(outcome.limit, WORKERS_AUTO_MAX);
}

#[test]
fn what_is_not_saturated_and_what_fails_changes_nothing() {
    let (mut concurrency, begun) = (Concurrency::new(None), Instant::now());
    for (delivered, is_saturated) in [(1, false), (0, true)] {
        for call in 0..10_000 {
            let call_ended = begun + Duration::from_millis(call);
            concurrency.ended(Call { delivered, is_pushed_back: false, is_saturated }, call_ended);
        }
        assert_eq!(concurrency.limit(), WORKERS_AUTO_BEGIN);
    }
}

#[test]
fn a_sink_that_only_pushes_back_gets_one_at_a_time_and_recovers() {
    let (mut concurrency, begun) = (Concurrency::new(None), Instant::now());
    let slow = Sink { latency: |_| 20.0, rate_max: None };
    assert_eq!(run(&slow, &mut concurrency, begun, 10.0).limit, WORKERS_AUTO_MAX);
    let pushed_back = Call { delivered: 0, is_pushed_back: true, is_saturated: true };
    let now = begun + Duration::from_secs(10);
    (0..1000).for_each(|_| concurrency.ended(pushed_back, now));
    assert_eq!(concurrency.limit(), 1);
    assert_eq!(run(&slow, &mut concurrency, now, 30.0).limit, WORKERS_AUTO_MAX);
}

#[test]
fn where_several_share_it_one_of_them_cannot_take_all() {
    let (mut concurrency, now) = (Concurrency::new(None), Instant::now());
    concurrency.keep_begin();
    let pushed_back = Call { delivered: 0, is_pushed_back: true, is_saturated: true };
    (0..1000).for_each(|_| concurrency.ended(pushed_back, now));
    assert_eq!(concurrency.limit(), WORKERS_AUTO_BEGIN);
}

#[test]
fn a_number_that_is_given_stays() {
    let mut concurrency = Concurrency::new(Some(3));
    let sink = Sink { latency: |_| 5.0, rate_max: Some(10.0) };
    assert_eq!(run(&sink, &mut concurrency, Instant::now(), 10.0).limit, 3);
}
