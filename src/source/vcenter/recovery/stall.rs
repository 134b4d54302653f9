//! Tells a quiet stream from a stalled one: an empty page is no proof that nothing happened.
//!
//! Known causes: the server takes a page of events and then drops those that the account may not
//! see, so that a run of invisible events longer than a page ends a collector (govmomi issue 3450);
//! the key counter overflows, and collectors take new events as old ones; a simulator prunes the
//! event on which a collector stands. The witnesses are `EventManager.latestEvent` and the latest
//! page that the long poll shows. This file decides and does nothing:
//!
//! ```text
//!  quiet --a witness names an event that was not read--> behind --still so--> next step
//!    ^                                                     |                     |
//!    +-------- events come, or the witnesses agree --------+---------------------+
//! ```

use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::Position;
use crate::limits::{
    PAGE_EVENTS_MAX, RESUME_OVERLAP, STALL_AGAIN_INTERVAL, STALL_COMPARE_INTERVAL, STALL_DECLARE_WAIT,
    STALL_PASS_WAIT, STALL_STEP_WAIT,
};
use crate::source::vcenter::soap::Latest;
use crate::source::watch::{SourceWatch, StallReport};

/// What is tried, one after the other, when events do not come although there are some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing is wrong.
    #[default]
    None,
    /// Pages as large as the server allows.
    LargerPage,
    /// A new collector from the last event that was read.
    NewCollector,
    /// Time slices from there to the present, to get past what hides the rest.
    TimeSlices,
}

impl Step {
    /// A bounded word for metrics and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::None => "",
            Step::LargerPage => "larger page",
            Step::NewCollector => "new collector",
            Step::TimeSlices => "time slices",
        }
    }
}

/// How patient the watch is.
#[derive(Clone, Copy, Debug)]
pub struct StallTiming {
    /// Between comparisons while all is quiet.
    pub compare: Duration,
    /// Between a suspicion and the first step, and between steps.
    pub step: Duration,
    /// From the first suspicion to the alarm.
    pub declare: Duration,
    /// Between attempts after the last step.
    pub again: Duration,
    /// Where the server filters: before what it leaves out is passed.
    pub pass: Duration,
}

impl Default for StallTiming {
    fn default() -> StallTiming {
        StallTiming {
            compare: STALL_COMPARE_INTERVAL,
            step: STALL_STEP_WAIT,
            declare: STALL_DECLARE_WAIT,
            again: STALL_AGAIN_INTERVAL,
            pass: STALL_PASS_WAIT,
        }
    }
}

/// What to do after a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Nothing: all is well, or it is too early.
    Nothing,
    /// Try this; the second value says that the stall is to be declared now.
    Try(Step, bool),
    /// Events were missed, and the witnesses now agree that none are.
    Settled,
}

/// What a person can do about a stall.
const STALL_CURE: &str = "give the account the role Read-only on the root object, with Propagate to children; if it has it, \
     restart the vCenter service vpxd";

/// The state of the watch.
#[derive(Debug)]
pub(crate) struct Stall {
    timing: StallTiming,
    state: State,
    watch: SourceWatch,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Quiet { compare_at: Instant },
    Behind { since: Instant, act_at: Instant, step: Step, declared: bool },
}

impl Stall {
    pub(crate) fn new(timing: StallTiming, now: Instant) -> Stall {
        let state = State::Quiet { compare_at: now + timing.compare };
        Stall { timing, state, watch: SourceWatch::with_stall_cure(STALL_CURE) }
    }

    /// The same watch with another patience.
    pub(crate) fn set_timing(&mut self, timing: StallTiming, now: Instant) {
        self.timing = timing;
        self.state = State::Quiet { compare_at: now + timing.compare };
    }

    /// How patient it is.
    pub(crate) fn timing(&self) -> StallTiming {
        self.timing
    }

    /// Where others see the state.
    pub(crate) fn watch(&self) -> SourceWatch {
        self.watch.clone()
    }

    /// Another source of the same events begins: its first silence is to be judged afresh. A
    /// declared stall stays so until events come.
    pub(crate) fn reopened(&mut self, now: Instant) {
        if let State::Quiet { compare_at } = &mut self.state {
            *compare_at = now + self.timing.compare;
        }
    }

    /// Events came. Returns the last step and the time since the first suspicion, if steps were
    /// taken.
    pub(crate) fn flowed(&mut self, now: Instant) -> Option<(Step, Duration)> {
        let before = self.state;
        self.state = State::Quiet { compare_at: now + self.timing.compare };
        match before {
            State::Behind { since, step, .. } if step != Step::None => {
                self.watch.change_stall(|report| *report = StallReport::default());
                Some((step, now.duration_since(since)))
            }
            _ => None,
        }
    }

    /// A page was empty; `suspicious` if the long poll has shown an event that was not read. True
    /// when the witnesses are to be compared now.
    pub(crate) fn is_compare_due(&mut self, suspicious: bool, now: Instant) -> bool {
        match self.state {
            State::Quiet { .. } if suspicious => {
                self.suspect(now);
                false
            }
            State::Quiet { compare_at } => compare_at <= now,
            State::Behind { act_at, .. } => act_at <= now,
        }
    }

    /// The witnesses were compared. `larger_page` says whether pages could be larger; `wall` is
    /// `now` by our clock, for the report.
    pub(crate) fn compared(
        &mut self,
        behind: bool,
        larger_page: bool,
        now: Instant,
        wall: Timestamp,
    ) -> Advice {
        let State::Behind { since, step, declared, .. } = self.state else {
            if behind {
                self.suspect(now);
            } else {
                self.state = State::Quiet { compare_at: now + self.timing.compare };
            }
            return Advice::Nothing;
        };
        if !behind {
            return self.flowed(now).map_or(Advice::Nothing, |_| Advice::Settled);
        }
        let next = match step {
            Step::None if larger_page => Step::LargerPage,
            Step::None | Step::LargerPage => Step::NewCollector,
            Step::NewCollector | Step::TimeSlices => Step::TimeSlices,
        };
        // The last step has been tried: that is as good a reason for the alarm as time.
        let declare = step == Step::TimeSlices || self.timing.declare <= now.duration_since(since);
        let wait = if step == Step::TimeSlices { self.timing.again } else { self.timing.step };
        self.state = State::Behind { since, act_at: now + wait, step: next, declared: declared || declare };
        self.watch.change_stall(|report| {
            report.tried = next.name();
            if declare && report.stalled_since.is_none() {
                let elapsed = jiff::SignedDuration::try_from(now.duration_since(since)).unwrap_or_default();
                report.stalled_since = Some(wall.checked_sub(elapsed).unwrap_or(wall));
            }
        });
        Advice::Try(next, declare && !declared)
    }

    /// Tells the operator about the stall that was declared.
    pub(crate) fn explain(&self, detail: &str) {
        self.watch.change_stall(|report| report.detail = detail.to_string());
    }

    fn suspect(&mut self, now: Instant) {
        let act_at = now + self.timing.step;
        self.state = State::Behind { since: now, act_at, step: Step::None, declared: false };
    }
}

/// What was read since the source was opened: enough to know whether an event is among it.
#[derive(Debug)]
pub(crate) struct Seen {
    begin: Timestamp,
    /// The newest event of all when reading began, if there was one; none while that is not known.
    before: Option<Option<i64>>,
    last: VecDeque<Position>,
    newest: Option<Position>,
    /// An event came whose key could not be read: any witness may mean that one.
    unknown: bool,
}

impl Seen {
    /// Nothing yet; reading begins at `begin`.
    pub(crate) fn from(begin: Timestamp) -> Seen {
        Seen { begin, before: None, last: VecDeque::new(), newest: None, unknown: false }
    }

    /// This was the newest event of all when reading began: if it was recorded before the begin, it is not
    /// wanted.
    pub(crate) fn began_after(&mut self, newest: Option<Latest>) {
        self.before = Some(newest.map(|newest| newest.key));
    }

    /// An event was read; none if it is unreadable.
    pub(crate) fn note(&mut self, position: Option<Position>) {
        self.unknown = position.is_none();
        let Some(position) = position else { return };
        // The newest event of a server that hides none is among the last that were read.
        if PAGE_EVENTS_MAX <= self.last.len() {
            self.last.pop_front();
        }
        self.last.push_back(position);
        if self.newest.is_none_or(|newest| newest.time <= position.time) {
            self.newest = Some(position);
        }
    }

    /// The newest event that was read, by the server's clock.
    pub(crate) fn newest(&self) -> Option<Position> {
        self.newest
    }

    /// Whether a witness names an event that should have been read and was not. Keys are compared
    /// for equality only: their order means nothing.
    pub(crate) fn misses(&self, latest: Latest) -> bool {
        if self.unknown || self.last.iter().any(|position| position.key == latest.key) {
            return false;
        }
        match latest.created {
            Some(created) if self.begin <= created => true,
            // It is new all the same, and the server's clock was set back since. Shortly before the begin
            // there is our own login.
            Some(created) => {
                let is_new = self.before.is_some_and(|before| before != Some(latest.key));
                is_new && created.checked_add(RESUME_OVERLAP).is_ok_and(|created| created < self.begin)
            }
            None => !self.last.is_empty(),
        }
    }

    /// Whether nothing was read yet.
    pub(crate) fn has_none(&self) -> bool {
        self.last.is_empty()
    }

    /// From when on all that was read is among what is remembered here.
    pub(crate) fn whole_since(&self) -> Timestamp {
        match self.last.front() {
            Some(first) if PAGE_EVENTS_MAX <= self.last.len() => first.time,
            _ => Timestamp::MIN,
        }
    }

    /// Whether this very event is among the last that were read.
    pub(crate) fn contains(&self, position: Position) -> bool {
        // The newest first: that is where a new collector begins.
        self.last.iter().rev().any(|seen| *seen == position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: StallTiming = StallTiming {
        compare: Duration::from_secs(60),
        step: Duration::from_secs(10),
        declare: Duration::from_secs(120),
        again: Duration::from_secs(300),
        pass: Duration::from_secs(600),
    };

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn wall() -> Timestamp {
        Timestamp::from_second(1_000_000).unwrap()
    }

    #[test]
    fn a_quiet_stream_is_compared_once_a_minute_and_tries_nothing() {
        let start = Instant::now();
        let mut stall = Stall::new(TIMING, start);
        let mut compared = Vec::new();
        for second in 0..300 {
            if stall.is_compare_due(false, at(start, second)) {
                compared.push(second);
                assert_eq!(stall.compared(false, true, at(start, second), wall()), Advice::Nothing);
            }
        }
        assert_eq!(compared, [60, 120, 180, 240]);
        assert_eq!(stall.watch().stall(), StallReport::default());
    }

    #[test]
    fn steps_are_taken_one_by_one_and_end_in_an_alarm() {
        let start = Instant::now();
        let mut stall = Stall::new(TIMING, start);
        let watch = stall.watch();
        assert!(watch.stall_cure().starts_with("give the account the role Read-only"));
        let mut taken = Vec::new();
        for second in 0..800 {
            if stall.is_compare_due(false, at(start, second)) {
                match stall.compared(true, true, at(start, second), wall()) {
                    Advice::Try(step, declare) => taken.push((second, step, declare)),
                    verdict => assert_eq!(verdict, Advice::Nothing),
                }
                let since = Timestamp::from_second(1_000_000 - 40).unwrap();
                assert_eq!(watch.stall().stalled_since, (100 <= second).then_some(since));
            }
        }
        assert_eq!(
            taken,
            [
                (70, Step::LargerPage, false),
                (80, Step::NewCollector, false),
                (90, Step::TimeSlices, false),
                (100, Step::TimeSlices, true),
                (400, Step::TimeSlices, false),
                (700, Step::TimeSlices, false),
            ]
        );
        assert_eq!(stall.flowed(at(start, 801)), Some((Step::TimeSlices, Duration::from_secs(741))));
        assert_eq!(watch.stall(), StallReport::default());
        assert_eq!(stall.flowed(at(start, 802)), None);
    }

    #[test]
    fn a_suspicion_that_resolves_itself_leaves_no_trace() {
        let start = Instant::now();
        let mut stall = Stall::new(TIMING, start);
        assert!(!stall.is_compare_due(true, at(start, 5)), "the event may come with the next page");
        assert!(!stall.is_compare_due(true, at(start, 14)));
        assert_eq!(stall.flowed(at(start, 14)), None);
        assert!(!stall.is_compare_due(true, at(start, 20)));
        assert!(stall.is_compare_due(false, at(start, 30)));
        assert_eq!(stall.compared(false, false, at(start, 30), wall()), Advice::Nothing);
        assert!(!stall.is_compare_due(true, at(start, 40)));
        assert!(stall.is_compare_due(true, at(start, 50)));
        assert_eq!(
            stall.compared(true, false, at(start, 50), wall()),
            Advice::Try(Step::NewCollector, false)
        );
        assert!(stall.is_compare_due(true, at(start, 60)));
        assert_eq!(stall.compared(false, false, at(start, 60), wall()), Advice::Settled);
    }

    #[test]
    fn a_slow_recovery_is_declared_by_time() {
        let start = Instant::now();
        let mut stall = Stall::new(StallTiming { step: Duration::from_secs(100), ..TIMING }, start);
        assert!(!stall.is_compare_due(true, start));
        assert_eq!(
            stall.compared(true, false, at(start, 100), wall()),
            Advice::Try(Step::NewCollector, false)
        );
        assert_eq!(stall.compared(true, false, at(start, 200), wall()), Advice::Try(Step::TimeSlices, true));
        assert_eq!(stall.compared(true, false, at(start, 300), wall()), Advice::Try(Step::TimeSlices, false));
    }

    #[test]
    fn witnesses_are_believed_only_about_events_that_should_have_come() {
        let time = |second: i64| Timestamp::from_second(second).unwrap();
        let latest = |key, second: i64| Latest { key, created: Some(time(second)) };
        let mut seen = Seen::from(time(100));
        assert!(!seen.misses(latest(7, 99)) && !seen.misses(latest(7, 9)), "older than the begin");
        seen.began_after(Some(latest(6, 9)));
        assert!(!seen.misses(latest(6, 9)), "it was there before");
        assert!(seen.misses(latest(7, 9)), "it is new, whatever its time says");
        assert!(!seen.misses(latest(7, 99)), "our own login");
        assert!(seen.misses(latest(7, 100)));
        assert!(!seen.misses(Latest { key: 7, created: None }), "nothing to compare with yet");
        seen.note(Some(Position { key: 7, time: time(100) }));
        assert!(!seen.misses(latest(7, 100)));
        assert!(seen.misses(latest(-8, 101)), "a wrapped key");
        assert!(seen.misses(Latest { key: 8, created: None }));
        seen.note(None);
        assert!(!seen.misses(latest(8, 101)), "it may be the unreadable one");
        for key in 0..2000 {
            seen.note(Some(Position { key, time: time(200 - key) }));
        }
        assert_eq!(seen.newest().unwrap().time, time(200));
        assert_eq!(seen.last.len(), PAGE_EVENTS_MAX);
    }
}
