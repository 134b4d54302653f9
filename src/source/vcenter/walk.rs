//! A walk past events that hide the rest: which spans of time to look at, in which order.
//!
//! First slices from the last event to the present, each so short that it should hold far less
//! than a page of events, visible or not: what a slice shows is all that there is in it. If they
//! show nothing, because the invisible events came in one burst, the newest known event is looked
//! for and the gap before it halved until its beginning is known to the microsecond.

use jiff::{SignedDuration, Timestamp};

use crate::limits::{PAGE_EVENTS_MAX, RESUME_OVERLAP, WALK_SLICE_MAX, WALK_SLICE_MIN, WALK_SLICES_MAX};

/// vCenter records times to the microsecond.
const RESOLUTION: SignedDuration = SignedDuration::from_micros(1);
/// Events that a slice should hold on average, so that bursts fit too.
const SLICE_EVENTS: i64 = (PAGE_EVENTS_MAX / 4) as i64;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read this span to its end and hand everything over.
    Read(Timestamp, Timestamp),
    /// Only see whether the first page of this span shows anything.
    Probe(Timestamp, Timestamp),
    /// The walk is over: go on from here without end.
    Resume(Timestamp),
}

/// A walk under way.
#[derive(Debug)]
pub(crate) struct Walk {
    begin: Timestamp,
    end: Timestamp,
    slice: SignedDuration,
    newest: Option<Timestamp>,
    found: bool,
    /// A collector for the present step exists, and what it has shown so far.
    pub(crate) reading: Option<bool>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Slices { at: Timestamp },
    Newest { at: Timestamp },
    Halving { empty: Timestamp, full: Timestamp },
    Over { resume: Timestamp },
}

impl Walk {
    /// A walk from `begin` to `end`, the server's present. `events` is how many there may be in
    /// between, if that can be told, and `newest` the time of the newest known event.
    pub(crate) fn plan(
        begin: Timestamp,
        end: Timestamp,
        events: Option<i64>,
        newest: Option<Timestamp>,
    ) -> Walk {
        let end = end.max(begin);
        let span = end.duration_since(begin);
        let slices = match events {
            Some(events) if 0 < events => events / SLICE_EVENTS + 1,
            // A wrapped or restarted counter says nothing.
            _ => i64::from(WALK_SLICES_MAX),
        };
        let slices = i32::try_from(slices).unwrap_or(i32::MAX).clamp(1, WALK_SLICES_MAX);
        let slice = (span / slices).clamp(WALK_SLICE_MIN, WALK_SLICE_MAX.max(span / WALK_SLICES_MAX));
        let newest = newest.filter(|newest| begin < *newest && *newest <= end);
        Walk { begin, end, slice, newest, found: false, reading: None, phase: Phase::Slices { at: begin } }
    }

    /// The next step.
    pub(crate) fn step(&self) -> Step {
        match self.phase {
            Phase::Slices { at } => Step::Read(at, self.slice_end(at)),
            Phase::Newest { at } => Step::Probe(at, self.end),
            Phase::Halving { empty, full } => Step::Probe(middle(empty, full), self.end),
            Phase::Over { resume } => Step::Resume(resume),
        }
    }

    /// The step was taken; `any` says whether it showed events.
    pub(crate) fn done(&mut self, any: bool) {
        self.found |= any;
        self.reading = None;
        self.phase = match self.phase {
            Phase::Slices { at } if self.slice_end(at) < self.end => Phase::Slices { at: self.slice_end(at) },
            Phase::Slices { .. } => match self.newest {
                Some(newest) if !self.found => Phase::Newest { at: newest },
                _ => self.over(),
            },
            Phase::Newest { at } if any => self.halve(self.begin, at),
            Phase::Newest { .. } => self.over(),
            Phase::Halving { empty, full } if any => self.halve(empty, middle(empty, full)),
            Phase::Halving { empty, full } => self.halve(middle(empty, full), full),
            over @ Phase::Over { .. } => over,
        };
    }

    fn slice_end(&self, at: Timestamp) -> Timestamp {
        at.checked_add(self.slice).map_or(self.end, |end| end.min(self.end))
    }

    fn halve(&self, empty: Timestamp, full: Timestamp) -> Phase {
        if full.duration_since(empty) <= RESOLUTION {
            return Phase::Over { resume: full };
        }
        Phase::Halving { empty, full }
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
        fn page(&self, begin: Timestamp, end: Timestamp) -> Vec<i64> {
            let span = self.0.iter().filter(|(at, _)| begin <= time(*at) && time(*at) <= end);
            span.take(PAGE_EVENTS_MAX).filter(|(_, visible)| *visible).map(|(at, _)| *at).collect()
        }
    }

    /// Walks, and returns what was handed over, where reading resumes, and the number of steps.
    fn walk(server: &Server, begin: i64, end: i64) -> (Vec<i64>, Timestamp, usize) {
        let newest = server.0.last().map(|(at, _)| time(*at));
        let mut walk = Walk::plan(time(begin), time(end), Some(server.0.len() as i64), newest);
        let mut handed = Vec::new();
        for steps in 0.. {
            match walk.step() {
                Step::Read(begin, end) => {
                    let page = server.page(begin, end);
                    walk.done(!page.is_empty());
                    handed.extend(page);
                }
                Step::Probe(begin, end) => walk.done(!server.page(begin, end).is_empty()),
                Step::Resume(resume) => return (handed, resume, steps),
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
        let (mut handed, resume, steps) = walk(&server, 0, 600_000_000);
        handed.dedup();
        assert_eq!(handed, visible);
        assert_eq!(resume, time(598_000_000));
        assert!(steps < 300, "{steps}");
    }

    #[test]
    fn a_burst_of_invisible_events_is_passed_by_halving() {
        // 1,001 invisible events within a millisecond, the next one a microsecond later.
        let mut events: Vec<_> = (0..1001).map(|n| (30_000_000 + n, false)).collect();
        events.push((30_001_001, true));
        let server = Server(events);
        let (handed, resume, steps) = walk(&server, 0, 60_000_000);
        assert!(handed.is_empty());
        assert!(steps < 60, "{steps}");
        assert_eq!(server.page(resume, time(60_000_000)), [30_001_001]);
        assert!(server.page(time(resume.as_microsecond() - 1), time(60_000_000)).is_empty());
    }

    #[test]
    fn a_span_without_visible_events_ends_at_the_present_in_a_bounded_number_of_steps() {
        let server = Server((0..5000).map(|n| (n, false)).collect());
        let (handed, resume, steps) = walk(&server, 0, 60_000_000);
        assert_eq!((handed, resume), (vec![], time(58_000_000)));
        assert!(steps < 30, "{steps}");
        for events in [None, Some(-5), Some(i64::MAX)] {
            let month = 30 * 24 * 3600 * 1_000_000;
            let mut walk = Walk::plan(time(0), time(month), events, None);
            let mut steps = 0;
            while !matches!(walk.step(), Step::Resume(_)) {
                walk.done(false);
                steps += 1;
            }
            assert!(steps <= WALK_SLICES_MAX + 1, "{events:?}: {steps}");
        }
    }

    #[test]
    fn an_empty_span_is_over_at_once() {
        let mut walk = Walk::plan(time(5), time(3), Some(10), Some(time(4)));
        assert_eq!(walk.step(), Step::Read(time(5), time(5)));
        walk.done(false);
        assert_eq!(walk.step(), Step::Resume(time(5)));
    }
}
