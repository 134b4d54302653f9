//! Which events around a position are known: pairs of time and key, held as ranges of keys per
//! second. Pure data.
//!
//! A source can only be asked for events from a *time* on, and many events share one time. The
//! window is what makes resuming exact: reading begins a little before the position, and what the
//! window holds is skipped. Keys mostly come in sequence, so a second of thousands of events is
//! one range.
//!
//! A source may begin its keys again (a simulator that is restarted, a restored database). Within
//! one second the same key can then mean another event. What tells them apart is that it is later
//! than all that is known of that second; from that moment on the second is held apart, as a span
//! of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::event::Position;
use crate::limits::{RESUME_OVERLAP, WINDOW_KEYS_MAX};

/// The events known within [`RESUME_OVERLAP`] before the newest one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    newest: Option<Timestamp>,
    // By its begin: a whole second, or a moment in it at which the keys began again. A span ends
    // with its second or where the next one begins.
    spans: BTreeMap<Timestamp, Keys>,
}

/// What is known of a second, or of a part of one in which no key came twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// A whole second, or the moment in it at which the source began its keys again.
    pub(crate) begin: Timestamp,
    /// No known event of the span is later than this.
    pub(crate) latest: Timestamp,
    /// The known keys as inclusive ranges, lowest first.
    pub(crate) ranges: Vec<(i64, i64)>,
}

impl Window {
    /// Remembers an event and forgets what is now too old to be read again.
    pub(crate) fn insert(&mut self, position: Position) {
        let newest = self.newest.map_or(position.time, |newest| newest.max(position.time));
        let moved = self.newest != Some(newest);
        self.newest = Some(newest);
        let oldest = oldest_second(newest);
        if oldest <= whole_second(position.time) {
            self.add(position);
        }
        if moved {
            self.forget_before(oldest);
        }
    }

    /// Whether this event is known.
    pub fn contains(&self, position: Position) -> bool {
        self.keys_at(position.time)
            .is_some_and(|keys| position.time <= keys.latest && keys.contains(position.key))
    }

    /// Whether an event that is not known has the key of one that is, in the same second: the source
    /// has begun its keys anew.
    pub(crate) fn is_reuse(&self, position: Position) -> bool {
        self.keys_at(position.time)
            .is_some_and(|keys| keys.latest < position.time && keys.contains(position.key))
    }

    /// From this time on keys mean other events than before it.
    pub(crate) fn begin_again(&mut self, time: Timestamp) {
        self.spans.entry(time).or_default();
    }

    /// The time of the newest event ever inserted.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// The highest key of the newest second.
    pub(crate) fn newest_key(&self) -> Option<i64> {
        self.spans.values().rev().find_map(|keys| keys.ranges.last_key_value()).map(|(_, last)| *last)
    }

    /// Where reading must begin so that nothing after the newest event, or late beside it, is
    /// missed.
    pub(crate) fn resume(&self) -> Option<Timestamp> {
        self.newest.map(overlap_before)
    }

    /// What is known, oldest first.
    pub(crate) fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        self.spans.iter().map(|(begin, keys)| Span {
            begin: *begin,
            latest: keys.latest.max(*begin),
            ranges: keys.ranges.iter().map(|(first, last)| (*first, *last)).collect(),
        })
    }

    /// The same window with further events, which do not move its newest time: those that were
    /// settled ahead of their turn.
    pub(crate) fn with(&self, beyond: impl IntoIterator<Item = Position>) -> Window {
        let mut window = self.clone();
        beyond.into_iter().for_each(|position| window.add(position));
        window
    }

    /// A window as a record tells it: the newest time and the spans.
    pub(crate) fn restore(newest: Option<Timestamp>, spans: impl IntoIterator<Item = Span>) -> Window {
        let mut window = Window { newest, spans: BTreeMap::new() };
        for Span { begin, latest, ranges } in spans {
            let keys = window.spans.entry(begin).or_default();
            // Without keys the span only marks where they began again.
            if !ranges.is_empty() {
                keys.latest = keys.latest.max(latest);
            }
            ranges.into_iter().for_each(|(first, last)| keys.insert_range(first, last));
        }
        window
    }

    fn keys_at(&self, time: Timestamp) -> Option<&Keys> {
        self.spans.range(whole_second(time)..=time).next_back().map(|(_, keys)| keys)
    }

    fn add(&mut self, position: Position) {
        let second = whole_second(position.time);
        let begin = self.spans.range(second..=position.time).next_back().map_or(second, |(begin, _)| *begin);
        self.spans.entry(begin).or_default().insert(position);
    }

    fn forget_before(&mut self, oldest: Timestamp) {
        while self.spans.first_key_value().is_some_and(|(begin, _)| *begin < oldest) {
            self.spans.pop_first();
        }
        let mut keys: usize = self.spans.values().map(|keys| keys.ranges.len()).sum();
        // Beyond the limit the oldest span goes: a restart then repeats its events.
        while WINDOW_KEYS_MAX < keys && 1 < self.spans.len() {
            if let Some((_, forgotten)) = self.spans.pop_first() {
                keys -= forgotten.ranges.len();
            }
        }
    }
}

/// The time from which to read when everything up to `time` is settled.
pub(crate) fn overlap_before(time: Timestamp) -> Timestamp {
    time.checked_sub(jiff::SignedDuration::try_from(RESUME_OVERLAP).unwrap_or_default())
        .unwrap_or(Timestamp::MIN)
}

/// The last moment of the second in which `time` lies.
pub(crate) fn second_end(time: Timestamp) -> Timestamp {
    whole_second(time).checked_add(jiff::SignedDuration::from_nanos(999_999_999)).unwrap_or(Timestamp::MAX)
}

fn oldest_second(newest: Timestamp) -> Timestamp {
    let resume = whole_second(overlap_before(newest));
    resume.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(Timestamp::MIN)
}

// Rounded down, before 1970 too.
fn whole_second(time: Timestamp) -> Timestamp {
    let below = i64::from(time.subsec_nanosecond() < 0);
    Timestamp::from_second(time.as_second() - below).unwrap_or(Timestamp::MIN)
}

/// A set of keys as disjoint, not adjacent, inclusive ranges.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Keys {
    ranges: BTreeMap<i64, i64>,
    // No key is of an event after this.
    latest: Timestamp,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { ranges: BTreeMap::new(), latest: Timestamp::MIN }
    }
}

impl Keys {
    fn contains(&self, key: i64) -> bool {
        self.ranges.range(..=key).next_back().is_some_and(|(_, last)| key <= *last)
    }

    fn insert(&mut self, position: Position) {
        self.latest = self.latest.max(position.time);
        self.insert_range(position.key, position.key);
    }

    fn insert_range(&mut self, first: i64, last: i64) {
        let (mut first, mut last) = (first, last.max(first));
        if let Some((&start, &end)) = self.ranges.range(..=first).next_back()
            && first <= end.saturating_add(1)
        {
            first = start;
            last = last.max(end);
        }
        while let Some((&start, &end)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            self.ranges.remove(&start);
            last = last.max(end);
        }
        self.ranges.insert(first, last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::collections::BTreeSet;

    fn at(milliseconds: i64, key: i64) -> Position {
        Position { key, time: Timestamp::from_millisecond(milliseconds).unwrap() }
    }

    #[test]
    fn one_second_of_sequential_keys_is_one_range() {
        let mut window = Window::default();
        for key in 0..500 {
            window.insert(at(10_000, key));
        }
        let (begin, latest) = (Timestamp::from_second(10).unwrap(), at(10_000, 0).time);
        assert_eq!(window.spans().collect::<Vec<_>>(), [Span { begin, latest, ranges: vec![(0, 499)] }]);
        assert!(window.contains(at(10_000, 499)));
        assert!(!window.contains(at(10_000, 500)));
        assert!(!window.contains(at(11_000, 499)));
        window.insert(at(11_000, 7));
        window.insert(at(11_000, 3));
        assert_eq!(window.newest_key(), Some(7));
    }

    #[test]
    fn what_is_older_than_the_overlap_is_forgotten_and_cannot_be_read_again() {
        let mut window = Window::default();
        window.insert(at(10_000, 1));
        window.insert(at(60_000, 2));
        window.insert(at(20_000, 3));
        assert_eq!(window.spans().count(), 1);
        let resume = window.resume().unwrap();
        assert_eq!(resume, Timestamp::from_millisecond(60_000).unwrap() - RESUME_OVERLAP);
        assert_eq!(window.newest(), Some(Timestamp::from_second(60).unwrap()));
    }

    #[test]
    fn beyond_the_limit_the_oldest_seconds_go_and_never_the_newest() {
        let known = |spans: &[(i64, usize)]| {
            let span = |&(second, keys): &(i64, usize)| {
                let ranges = (0..keys as i64).map(|key| (2 * key, 2 * key)).collect();
                let begin = Timestamp::from_second(second).unwrap();
                Span { begin, latest: begin, ranges }
            };
            let mut window = Window::restore(Some(at(11_999, 0).time), spans.iter().map(span));
            window.insert(at(12_001, -9));
            window.spans().map(|span| span.begin.as_second()).collect::<Vec<_>>()
        };
        let half = WINDOW_KEYS_MAX / 2;
        assert_eq!(known(&[(10, half), (11, half - 1)]), [10, 11, 12]);
        assert_eq!(known(&[(10, half), (11, half)]), [11, 12]);
        assert_eq!(known(&[(9, 10), (10, WINDOW_KEYS_MAX), (11, half)]), [11, 12]);
        assert_eq!(known(&[(12, WINDOW_KEYS_MAX + 1)]), [12]);
    }

    #[test]
    fn seconds_before_1970_are_seconds_too() {
        let mut window = Window::default();
        for position in [at(-900, 5), at(-100, 6), at(100, 7)] {
            window.insert(position);
            assert!(window.contains(position), "{position:?}");
        }
        assert_eq!(window.spans().map(|span| span.begin.as_second()).collect::<Vec<_>>(), [-1, 0]);
    }

    #[test]
    fn keys_that_begin_again_within_a_second_are_other_events() {
        let mut window = Window::default();
        (1..=9).for_each(|key| window.insert(at(10_000 + key, key)));
        for known in [at(10_001, 1), at(10_009, 9)] {
            assert!(window.contains(known) && !window.is_reuse(known));
        }
        assert!(!window.is_reuse(at(10_500, 10)), "a key that is not known");
        assert!(window.is_reuse(at(10_500, 3)) && !window.contains(at(10_500, 3)));
        window.begin_again(at(10_500, 3).time);
        assert!(!window.is_reuse(at(10_500, 3)) && !window.contains(at(10_500, 3)));
        window.insert(at(10_500, 3));
        assert!(window.contains(at(10_500, 3)));
        assert!(!window.contains(at(10_500, 4)), "of the same time as the first one that came again");
        assert!(window.contains(at(10_004, 4)) && window.contains(at(10_003, 3)), "what was known stays");
        assert_eq!(window.newest(), Some(Timestamp::from_millisecond(10_500).unwrap()));
        // Settled ahead of its turn: beyond the newest time and known all the same.
        let window = window.with([at(10_800, 5)]);
        assert!(window.contains(at(10_800, 5)) && !window.contains(at(10_801, 5)));
        assert!(!window.contains(at(10_501, 4)), "only what is settled is known, in whatever order");
        assert_eq!(window.spans().count(), 2);
        assert_eq!(window.newest_key(), Some(5));
    }

    #[test]
    fn everything_from_resume_on_is_remembered() {
        let mut random = Random::from_test("window");
        for _ in 0..200 {
            let mut window = Window::default();
            let mut inserted = Vec::new();
            let mut clock = 1_000_000;
            for _ in 0..random.below(300) {
                clock += random.below(400) as i64;
                let position = at(clock - random.below(3000) as i64, random.below(4000) as i64 - 2000);
                window.insert(position);
                inserted.push(position);
            }
            let Some(resume) = window.resume() else { continue };
            for position in inserted.iter().filter(|position| resume <= position.time) {
                assert!(window.contains(*position), "{position:?}");
            }
        }
    }

    #[test]
    fn key_ranges_agree_with_a_set() {
        let mut random = Random::from_test("keys");
        for _ in 0..200 {
            let (mut keys, mut model) = (Keys::default(), BTreeSet::new());
            for _ in 0..random.below(80) {
                let first = random.below(60) as i64 - 30;
                let last = first + random.below(6) as i64;
                keys.insert_range(first, last);
                model.extend(first..=last);
            }
            for key in -40..50 {
                assert_eq!(keys.contains(key), model.contains(&key), "{key} in {keys:?}");
            }
            let ranges: Vec<_> = keys.ranges.clone().into_iter().collect();
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{ranges:?}");
        }
        let mut extremes = Keys::default();
        extremes.insert_range(i64::MAX, i64::MAX);
        extremes.insert_range(i64::MIN, i64::MIN);
        assert!(extremes.contains(i64::MAX) && extremes.contains(i64::MIN) && !extremes.contains(0));
    }
}
