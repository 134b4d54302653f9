//! Time slices past events that hide the rest: which spans of time to look at, in which order.
//!
//! First slices from the last event to the present, each so short that it should hold far less
//! than a page of events, visible or not: what a slice shows is all that there is in it. Where the
//! keys tell that there was a page of events and more before the next one that is shown, they may
//! have come in one burst, and hide visible ones: then, before anything is handed over, the gap is
//! halved until its end is known to the microsecond. The same before the newest known event. What
//! lies between two such bursts inside one slice stays hidden.

use jiff::{SignedDuration, Timestamp};

use crate::event::Position;
use crate::limits::{PAGE_EVENTS_MAX, RESUME_OVERLAP, TIME_SLICE_MAX, TIME_SLICE_MIN, TIME_SLICES_MAX};
use crate::source::vcenter::soap::Latest;

/// vCenter records times to the microsecond.
const RESOLUTION: SignedDuration = SignedDuration::from_micros(1);
/// Events that a slice should hold on average, so that bursts fit too.
const SLICE_EVENTS: i64 = (PAGE_EVENTS_MAX / 4) as i64;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Read this span to its end and hand everything over.
    Read(Timestamp, Timestamp),
    /// Only see whether the first page of this span shows anything.
    Probe(Timestamp, Timestamp),
    /// The slices are through: go on from here without end.
    Resume(Timestamp),
}

/// A span that is looked at slice by slice.
#[derive(Debug)]
pub(crate) struct TimeSlices {
    begin: Timestamp,
    end: Timestamp,
    slice: SignedDuration,
    // The newest known event, if it lies on the way.
    newest: Option<Position>,
    // Time and, if known, key of the last event that was handed over.
    last: Timestamp,
    last_key: Option<i64>,
    // The next event may be far from the last one: what lies between was looked at.
    looked: bool,
    found: bool,
    /// A collector for the present step exists, and what it has shown so far.
    pub(crate) reading: Option<bool>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Slices { at: Timestamp },
    Newest { at: Timestamp },
    Halving { empty: Timestamp, full: Timestamp, is_last: bool },
    Over { resume: Timestamp },
}

impl TimeSlices {
    /// Slices from `begin` to `end`, the server's present. `key` is that of the event at `begin`, if
    /// there is one, and `newest` the newest known event.
    pub(crate) fn plan(
        begin: Timestamp,
        key: Option<i64>,
        end: Timestamp,
        newest: Option<Latest>,
    ) -> TimeSlices {
        let end = end.max(begin);
        let span = end.duration_since(begin);
        let slices = match newest.zip(key).map(|(newest, key)| newest.key.saturating_sub(key)) {
            Some(events) if 0 < events => events / SLICE_EVENTS + 1,
            // A wrapped or restarted counter says nothing.
            _ => i64::from(TIME_SLICES_MAX),
        };
        let slices = i32::try_from(slices).unwrap_or(i32::MAX).clamp(1, TIME_SLICES_MAX);
        let slice = (span / slices).clamp(TIME_SLICE_MIN, TIME_SLICE_MAX.max(span / TIME_SLICES_MAX));
        let newest = newest.and_then(|newest| Some(Position { key: newest.key, time: newest.created? }));
        let newest = newest.filter(|newest| begin < newest.time && newest.time <= end);
        TimeSlices {
            begin,
            end,
            slice,
            newest,
            last: begin,
            last_key: key,
            looked: false,
            found: false,
            reading: None,
            phase: Phase::Slices { at: begin },
        }
    }

    /// What to look at next.
    pub(crate) fn look(&self) -> Look {
        match self.phase {
            Phase::Slices { at } => Look::Read(at, self.slice_end(at)),
            Phase::Newest { at } => Look::Probe(at, self.end),
            Phase::Halving { empty, full, .. } => Look::Probe(middle(empty, full), self.end),
            Phase::Over { resume } => Look::Resume(resume),
        }
    }

    /// A slice begins with this event. True when others may be hidden before it: then it is not to
    /// be handed over, and the next steps look for them.
    pub(crate) fn hides(&mut self, first: Position) -> bool {
        if self.looked || !self.is_far(first) {
            return false;
        }
        self.looked = true;
        self.reading = None;
        self.phase = self.halve(self.last, first.time, false);
        true
    }

    /// This event was handed over.
    pub(crate) fn handed_over(&mut self, event: Position) {
        self.last = self.last.max(event.time);
        self.last_key = Some(event.key);
        self.looked = false;
    }

    /// The step was taken; `any` says whether it showed events.
    pub(crate) fn done(&mut self, any: bool) {
        self.found |= any;
        self.reading = None;
        self.phase = match self.phase {
            Phase::Slices { at } if self.slice_end(at) < self.end => Phase::Slices { at: self.slice_end(at) },
            Phase::Slices { .. } => match self.newest {
                Some(newest) if !self.found || self.is_far(newest) => Phase::Newest { at: newest.time },
                _ => self.over(),
            },
            Phase::Newest { at } if any => self.halve(self.last, at, true),
            Phase::Newest { .. } => self.over(),
            Phase::Halving { empty, full, is_last } if any => self.halve(empty, middle(empty, full), is_last),
            Phase::Halving { empty, full, is_last } => self.halve(middle(empty, full), full, is_last),
            over @ Phase::Over { .. } => over,
        };
    }

    fn slice_end(&self, at: Timestamp) -> Timestamp {
        at.checked_add(self.slice).map_or(self.end, |end| end.min(self.end))
    }

    fn halve(&self, empty: Timestamp, full: Timestamp, is_last: bool) -> Phase {
        match full.duration_since(empty) <= RESOLUTION {
            true if is_last => Phase::Over { resume: full },
            true => Phase::Slices { at: full },
            false => Phase::Halving { empty, full, is_last },
        }
    }

    /// Whether a page of events and more lie between the last event and this one. A wrapped or
    /// restarted counter says nothing.
    fn is_far(&self, event: Position) -> bool {
        let between = self.last_key.map(|last| event.key.saturating_sub(last).saturating_sub(1));
        between.is_some_and(|events| PAGE_EVENTS_MAX as i64 <= events)
    }

    /// Events of the last moments may still be on their way into the database.
    fn over(&self) -> Phase {
        let resume = self.end.checked_sub(RESUME_OVERLAP).map_or(self.begin, |resume| resume.max(self.begin));
        Phase::Over { resume }
    }
}

fn middle(empty: Timestamp, full: Timestamp) -> Timestamp {
    empty.checked_add(full.duration_since(empty) / 2).unwrap_or(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    /// A server that takes up to a page of events of a span and then drops the invisible ones.
    struct Server(Vec<(i64, bool)>);

    impl Server {
        fn span(&self, begin: Timestamp, end: Timestamp) -> &[(i64, bool)] {
            let first = self.0.partition_point(|(at, _)| time(*at) < begin);
            let after = self.0.partition_point(|(at, _)| time(*at) <= end);
            &self.0[first..after.max(first)]
        }

        fn page(&self, begin: Timestamp, end: Timestamp) -> Vec<i64> {
            self.span(begin, end).chunks(PAGE_EVENTS_MAX).next().map(visible).unwrap_or_default()
        }

        /// All pages of a span, to the first that is empty.
        fn pages(&self, begin: Timestamp, end: Timestamp) -> Vec<i64> {
            let pages = self.span(begin, end).chunks(PAGE_EVENTS_MAX).map(visible);
            pages.take_while(|page| !page.is_empty()).flatten().collect()
        }
    }

    fn visible(events: &[(i64, bool)]) -> Vec<i64> {
        events.iter().filter(|(_, visible)| *visible).map(|(at, _)| *at).collect()
    }

    /// Takes all slices, and returns what was handed over, where reading resumes, and the number of steps.
    fn slice(server: &Server, begin: i64, end: i64) -> (Vec<i64>, Timestamp, usize) {
        // Keys count all events, visible or not, from 1.
        let key = |at: i64| server.0.partition_point(|event| event.0 < at) as i64 + 1;
        let newest = server.0.last().map(|(at, _)| Latest { key: key(*at), created: Some(time(*at)) });
        let mut slices = TimeSlices::plan(time(begin), Some(0), time(end), newest);
        let mut handed = Vec::new();
        for steps in 0.. {
            match slices.look() {
                Look::Read(begin, end) => {
                    let mut page = server.pages(begin, end);
                    page.retain(|at| !handed.contains(at));
                    let position = |at: &i64| Position { key: key(*at), time: time(*at) };
                    if page.first().is_some_and(|first| slices.hides(position(first))) {
                        continue;
                    }
                    page.iter().for_each(|at| slices.handed_over(position(at)));
                    slices.done(!page.is_empty());
                    handed.extend(page);
                }
                Look::Probe(begin, end) => slices.done(!server.page(begin, end).is_empty()),
                Look::Resume(resume) => return (handed, resume, steps),
            }
        }
        unreachable!()
    }

    #[test]
    fn a_spread_run_of_invisible_events_is_sliced_and_nothing_visible_is_skipped() {
        // Ten minutes, 100 events a second; every 3001st is visible.
        let events: Vec<_> = (0..60_000).map(|n| (n * 10_000, n % 3001 == 3000)).collect();
        let visible: Vec<_> = events.iter().filter(|(_, visible)| *visible).map(|(at, _)| *at).collect();
        assert_eq!(visible.len(), 19);
        let server = Server(events);
        assert!(server.page(time(0), time(600_000_000)).is_empty(), "this is the stall");
        let (mut handed, resume, steps) = slice(&server, 0, 600_000_000);
        handed.dedup();
        assert_eq!(handed, visible);
        assert_eq!(resume, time(598_000_000));
        assert!(steps < 1000, "{steps}");
    }

    #[test]
    fn a_burst_of_invisible_events_is_passed_by_halving() {
        // 1,001 invisible events within a millisecond, the next one a microsecond later.
        let mut events: Vec<_> = (0..1001).map(|n| (30_000_000 + n, false)).collect();
        events.push((30_001_001, true));
        let server = Server(events);
        let (handed, resume, steps) = slice(&server, 0, 60_000_000);
        assert!(handed.is_empty());
        assert!(steps < 60, "{steps}");
        assert_eq!(server.page(resume, time(60_000_000)), [30_001_001]);
        assert!(server.page(time(resume.as_microsecond() - 1), time(60_000_000)).is_empty());
    }

    #[test]
    fn a_burst_hides_nothing_that_comes_before_other_visible_events() {
        // Bursts of 1,001 invisible events, each with a visible one soon after it, and later ones.
        for bursts in [&[0][..], &[0, 30_000_000], &[10_000_000, 21_500_000, 50_000_000]] {
            let mut events = Vec::new();
            for burst in bursts {
                events.extend((0..1001).map(|n| (burst + n, false)));
                events.extend([500_000, 900_000].map(|after| (burst + after, true)));
            }
            events.extend([20_000_000, 40_000_000, 57_000_000].map(|at| (at, true)));
            events.sort_unstable();
            let visible: Vec<_> = events.iter().filter(|(_, visible)| *visible).map(|(at, _)| *at).collect();
            let server = Server(events);
            let (mut handed, resume, steps) = slice(&server, 0, 60_000_000);
            handed.extend(server.pages(resume, time(60_000_000)));
            handed.dedup();
            assert_eq!(handed, visible, "in order, {bursts:?}");
            assert!(steps < 400, "{steps}");
        }
    }

    #[test]
    fn a_span_without_visible_events_ends_at_the_present_in_a_bounded_number_of_steps() {
        let server = Server((0..5000).map(|n| (n, false)).collect());
        let (handed, resume, steps) = slice(&server, 0, 60_000_000);
        assert_eq!((handed, resume), (vec![], time(58_000_000)));
        assert!(steps < 30, "{steps}");
        for events in [None, Some(-5), Some(i64::MAX)] {
            let month = 30 * 24 * 3600 * 1_000_000;
            let newest = events.map(|key| Latest { key, created: None });
            let mut slices = TimeSlices::plan(time(0), Some(0), time(month), newest);
            let mut steps = 0;
            while !matches!(slices.look(), Look::Resume(_)) {
                slices.done(false);
                steps += 1;
            }
            assert!(steps <= TIME_SLICES_MAX + 1, "{events:?}: {steps}");
        }
    }

    #[test]
    fn an_empty_span_is_over_at_once() {
        let mut slices =
            TimeSlices::plan(time(5), Some(0), time(3), Some(Latest { key: 10, created: Some(time(4)) }));
        assert_eq!(slices.look(), Look::Read(time(5), time(5)));
        slices.done(false);
        assert_eq!(slices.look(), Look::Resume(time(5)));
    }
}
