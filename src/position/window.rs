//! Which events around a position are known: pairs of time and key, held as ranges of keys per
//! span of ten seconds. Pure data.
//!
//! A source can only be asked for events from a *time* on, many events share one time, and some are
//! recorded late. The window is what makes resuming exact: reading begins an overlap before the
//! position, and what the window holds is skipped. Keys mostly come in sequence, so a span of
//! thousands of events is one range.
//!
//! The position never lies beyond the source's present: an event that is dated ahead is known, and
//! reading goes on from the present all the same.
//!
//! A source may begin its keys again (a simulator that is restarted, a restored database). Within
//! one span the same key can then mean another event. What tells them apart is that it is later
//! than all that is known of that span; from that moment on the rest is held apart, as a span of
//! its own.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::event::Position;
use crate::limits::{CLOCK_TOLERANCE, OVERLAP_DEFAULT, WINDOW_KEYS_MAX, WINDOW_SPAN_SECONDS};

/// The events known within the overlap before the newest one, and those dated ahead of the present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    overlap: SignedDuration,
    newest: Option<Timestamp>,
    // The source's clock was set back, and what was recorded until then is not read yet: its events
    // come in another order than that of their times, so none of them moves the position.
    held: bool,
    // By its begin: a multiple of the span's length, or a moment in it at which the keys began
    // again. A span ends with its length or where the next one begins.
    spans: BTreeMap<Timestamp, Keys>,
}

impl Default for Window {
    fn default() -> Window {
        Window { overlap: signed(OVERLAP_DEFAULT), newest: None, held: false, spans: BTreeMap::new() }
    }
}

/// What is known of a span, or of a part of one in which no key came twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its begin, or the moment in it at which the source began its keys again.
    pub(crate) begin: Timestamp,
    /// No known event of the span is later than this.
    pub(crate) latest: Timestamp,
    /// The known keys as inclusive ranges, lowest first.
    pub(crate) ranges: Vec<(i64, i64)>,
}

impl Window {
    /// The same window that reaches back by `overlap`.
    pub(crate) fn with_overlap(mut self, overlap: Duration) -> Window {
        self.set_overlap(overlap);
        self
    }

    /// From now on it reaches back by `overlap`.
    pub(crate) fn set_overlap(&mut self, overlap: Duration) {
        self.overlap = signed(overlap);
    }

    /// Remembers an event and forgets what is now too old to be read again. `present` is the source's
    /// when the event was read: one that is dated ahead of it is known, and says nothing about how far
    /// reading has come.
    pub(crate) fn insert(&mut self, position: Position, present: Timestamp) {
        if is_dated_ahead(position.time, present) {
            self.know(position);
            return;
        }
        if self.held {
            self.know(position);
            self.forget_beyond_limit();
            return;
        }
        let newest = self.newest.max(Some(position.time)).unwrap_or(position.time);
        if self.oldest_span(newest) <= span_begin(position.time) {
            self.know(position);
        }
        self.advance(newest);
    }

    /// Everything up to this time that is wanted is known; what is now too old is forgotten.
    pub(crate) fn advance(&mut self, newest: Timestamp) {
        if !self.held && self.newest < Some(newest) {
            self.newest = Some(newest);
            self.forget_before(self.oldest_span(newest));
        }
    }

    /// The source's clock was set back: a position beyond `to` comes back to it, and is held there. What
    /// is known stays known.
    pub(crate) fn pull_back(&mut self, to: Timestamp) {
        self.newest = self.newest.map(|newest| newest.min(to));
        self.hold();
    }

    /// Until [`Window::release`] the position stays where it is.
    pub(crate) fn hold(&mut self) {
        self.held = true;
    }

    /// Everything that the source has was read.
    pub(crate) fn release(&mut self) {
        self.held = false;
    }

    /// Whether the position stays where it is.
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Where the earliest wanted event may be dated when a position comes back to `to`. Events that were
    /// read late moved the position further than their recording; before the first one there is only
    /// the inexactness of two looks at a clock.
    pub(crate) fn start_before(&self, to: Timestamp) -> Timestamp {
        match self.newest {
            Some(_) => self.overlap_before(to),
            None => to.checked_sub(signed(CLOCK_TOLERANCE)).unwrap_or(Timestamp::MIN),
        }
    }

    /// Whether this event is known.
    pub fn contains(&self, position: Position) -> bool {
        self.keys_at(position.time)
            .is_some_and(|keys| position.time <= keys.latest && keys.contains(position.key))
    }

    /// Whether an event near this one, which may be another one, has the same key.
    pub(crate) fn has_key(&self, position: Position) -> bool {
        self.keys_at(position.time).is_some_and(|keys| keys.contains(position.key))
    }

    /// From this time on keys mean other events than before it.
    pub(crate) fn begin_again(&mut self, time: Timestamp) {
        self.spans.entry(time).or_default();
    }

    /// The time of the newest event ever inserted.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// The highest key of the newest span.
    pub(crate) fn newest_key(&self) -> Option<i64> {
        self.spans.values().rev().find_map(|keys| keys.ranges.last_key_value()).map(|(_, last)| *last)
    }

    /// Where reading must begin so that nothing after the newest event, or late beside it, is
    /// missed.
    pub(crate) fn resume(&self) -> Option<Timestamp> {
        self.newest.map(|newest| self.overlap_before(newest))
    }

    /// The time from which to read when everything up to `time` is settled.
    pub(crate) fn overlap_before(&self, time: Timestamp) -> Timestamp {
        time.checked_sub(self.overlap).unwrap_or(Timestamp::MIN)
    }

    /// Nothing is known any more, and the position stays: another history begins.
    pub(crate) fn forget_keys(&mut self) {
        self.spans.clear();
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
        beyond.into_iter().for_each(|position| window.know(position));
        window
    }

    /// A window as a record tells it: the newest time and the spans.
    pub(crate) fn restore(newest: Option<Timestamp>, spans: impl IntoIterator<Item = Span>) -> Window {
        let mut window = Window { newest, ..Window::default() };
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

    /// How many ranges of keys it holds.
    pub(crate) fn ranges(&self) -> usize {
        self.spans.values().map(|keys| keys.ranges.len()).sum()
    }

    fn keys_at(&self, time: Timestamp) -> Option<&Keys> {
        self.spans.range(span_begin(time)..=time).next_back().map(|(_, keys)| keys)
    }

    /// Remembers an event that says nothing about how far reading has come.
    pub(crate) fn know(&mut self, position: Position) {
        let span = span_begin(position.time);
        let begin = self.spans.range(span..=position.time).next_back().map_or(span, |(begin, _)| *begin);
        self.spans.entry(begin).or_default().insert(position);
    }

    // Spans before this one cannot be read again.
    fn oldest_span(&self, newest: Timestamp) -> Timestamp {
        let resume = self.overlap_before(newest);
        span_begin(resume.checked_sub(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MIN))
    }

    fn forget_before(&mut self, oldest: Timestamp) {
        while self.spans.first_key_value().is_some_and(|(begin, _)| *begin < oldest) {
            self.spans.pop_first();
        }
        self.forget_beyond_limit();
    }

    fn forget_beyond_limit(&mut self) {
        let mut keys = self.ranges();
        // Beyond the limit the oldest span goes: a restart then repeats its events.
        while WINDOW_KEYS_MAX < keys && 1 < self.spans.len() {
            if let Some((_, forgotten)) = self.spans.pop_first() {
                keys -= forgotten.ranges.len();
            }
        }
    }
}

/// Whether an event of this time says nothing about how far reading has come, as the source's clock
/// showed `present` when it was read.
pub(crate) fn is_dated_ahead(time: Timestamp, present: Timestamp) -> bool {
    present.checked_add(signed(CLOCK_TOLERANCE)).is_ok_and(|limit| limit < time)
}

/// The last moment of the second in which `time` lies.
pub(crate) fn second_end(time: Timestamp) -> Timestamp {
    whole(time, 1).checked_add(SignedDuration::from_nanos(999_999_999)).unwrap_or(Timestamp::MAX)
}

fn span_begin(time: Timestamp) -> Timestamp {
    whole(time, WINDOW_SPAN_SECONDS)
}

// Rounded down to a multiple of so many seconds, before 1970 too.
fn whole(time: Timestamp, seconds: i64) -> Timestamp {
    let second = time.as_second() - i64::from(time.subsec_nanosecond() < 0);
    Timestamp::from_second(second - second.rem_euclid(seconds)).unwrap_or(Timestamp::MIN)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
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

    fn insert(window: &mut Window, position: Position) {
        window.insert(position, Timestamp::MAX);
    }

    fn is_reuse(window: &Window, position: Position) -> bool {
        window.has_key(position) && !window.contains(position)
    }

    fn short() -> Window {
        Window::default().with_overlap(Duration::from_secs(2))
    }

    #[test]
    fn one_span_of_sequential_keys_is_one_range() {
        let mut window = Window::default();
        for key in 0..500 {
            insert(&mut window, at(10_000, key));
        }
        let (begin, latest) = (Timestamp::from_second(10).unwrap(), at(10_000, 0).time);
        assert_eq!(window.spans().collect::<Vec<_>>(), [Span { begin, latest, ranges: vec![(0, 499)] }]);
        assert!(window.contains(at(10_000, 499)));
        assert!(!window.contains(at(10_000, 500)));
        assert!(!window.contains(at(11_000, 499)));
        insert(&mut window, at(21_000, 7));
        insert(&mut window, at(21_000, 3));
        assert_eq!(window.newest_key(), Some(7));
    }

    #[test]
    fn what_is_older_than_the_overlap_is_forgotten_and_cannot_be_read_again() {
        let mut window = short();
        insert(&mut window, at(10_000, 1));
        insert(&mut window, at(60_000, 2));
        insert(&mut window, at(20_000, 3));
        assert_eq!(window.spans().count(), 1);
        let resume = window.resume().unwrap();
        assert_eq!(resume, Timestamp::from_second(58).unwrap());
        assert_eq!(window.newest(), Some(Timestamp::from_second(60).unwrap()));
    }

    #[test]
    fn beyond_the_limit_the_oldest_spans_go_and_never_the_newest() {
        let known = |spans: &[(i64, usize)]| {
            let span = |&(second, keys): &(i64, usize)| {
                let ranges = (0..keys as i64).map(|key| (2 * key, 2 * key)).collect();
                let begin = Timestamp::from_second(second).unwrap();
                Span { begin, latest: begin, ranges }
            };
            let mut window = Window::restore(Some(at(119_999, 0).time), spans.iter().map(span));
            insert(&mut window, at(120_001, -9));
            window.spans().map(|span| span.begin.as_second()).collect::<Vec<_>>()
        };
        let half = WINDOW_KEYS_MAX / 2;
        assert_eq!(known(&[(100, half), (110, half - 1)]), [100, 110, 120]);
        assert_eq!(known(&[(100, half), (110, half)]), [110, 120]);
        assert_eq!(known(&[(90, 10), (100, WINDOW_KEYS_MAX), (110, half)]), [110, 120]);
        assert_eq!(known(&[(120, WINDOW_KEYS_MAX + 1)]), [120]);
    }

    /// Ten minutes of a busy vCenter, as a record tells them.
    #[test]
    fn the_window_of_a_busy_source_is_small() {
        let mut window = Window::default();
        for key in 0..240_000 {
            insert(&mut window, at(1_000_000_000 + key * 1000 / 400, key));
        }
        let spans: Vec<Span> = window.spans().collect();
        assert!(spans.len() <= 62 && spans.iter().all(|span| span.ranges.len() == 1), "{}", spans.len());
    }

    #[test]
    fn what_is_dated_ahead_is_known_and_the_position_stays_in_the_present() {
        let present = Timestamp::from_second(1000).unwrap();
        let mut window = Window::default();
        window.insert(at(995_000, 1), present);
        for (key, ahead) in [(2, 75), (3, 3600), (4, 86_400)] {
            window.insert(at((1000 + ahead) * 1000, key), present);
            assert_eq!(window.newest(), Timestamp::from_second(995).ok());
            assert!(window.contains(at((1000 + ahead) * 1000, key)));
        }
        assert_eq!(window.resume(), Timestamp::from_second(395).ok());
        // The clock is set back: so is the position, until all that is there was read; and what is known
        // stays known.
        let before = Timestamp::from_second(900).unwrap();
        window.pull_back(before);
        assert_eq!(window.resume(), Timestamp::from_second(300).ok());
        window.insert(at(890_000, 5), before);
        assert_eq!(window.newest(), Some(before));
        window.release();
        window.insert(at(901_000, 5), before);
        assert!(
            [at(995_000, 1), at(1_075_000, 2), at(901_000, 5)].iter().all(|event| window.contains(*event))
        );
    }

    #[test]
    fn spans_before_1970_are_spans_too() {
        let mut window = Window::default();
        for position in [at(-900, 5), at(-100, 6), at(100, 7)] {
            insert(&mut window, position);
            assert!(window.contains(position), "{position:?}");
        }
        assert_eq!(window.spans().map(|span| span.begin.as_second()).collect::<Vec<_>>(), [-10, 0]);
    }

    #[test]
    fn keys_that_begin_again_within_a_span_are_other_events() {
        let mut window = Window::default();
        (1..=9).for_each(|key| insert(&mut window, at(10_000 + key, key)));
        for known in [at(10_001, 1), at(10_009, 9)] {
            assert!(window.contains(known) && !is_reuse(&window, known));
        }
        assert!(!is_reuse(&window, at(10_500, 10)), "a key that is not known");
        assert!(is_reuse(&window, at(10_500, 3)) && !window.contains(at(10_500, 3)));
        window.begin_again(at(10_500, 3).time);
        assert!(!is_reuse(&window, at(10_500, 3)) && !window.contains(at(10_500, 3)));
        insert(&mut window, at(10_500, 3));
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
            let mut window = short();
            let mut inserted = Vec::new();
            let mut clock = 1_000_000;
            for _ in 0..random.below(300) {
                clock += random.below(400) as i64;
                let position = at(clock - random.below(3000) as i64, random.below(4000) as i64 - 2000);
                insert(&mut window, position);
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
