//! When a page may have been lost on its way, although nothing failed: an empty page came in the place of
//! one that had events, and the server's cursor has moved past them. Pure: moments come in.
//!
//! What tells it: a witness knew an event when the page was empty; or what comes next was recorded before
//! it; or keys are missing between the last event and the next. None of them is proof: events are recorded
//! late, others are not shown to this account. So each time somebody looks, before anything is handed over,
//! and a reason that has proved idle counts less.

use jiff::{SignedDuration, Timestamp};

use crate::event::Position;
use crate::limits::{DOUBT_IDLE_GAPS_MAX, DOUBT_LATENESS_MAX, PAGE_EVENTS_MAX, RESUME_OVERLAP};

/// Why a page may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A page was empty, and a witness knew an event then.
    Witness,
    /// A page was empty, and this much earlier an event was recorded that came after it.
    Late(SignedDuration),
    /// Between the last event and the next there are keys of no event.
    Gap,
}

/// What is known about the pages so far.
#[derive(Debug)]
pub(super) struct Doubt {
    // A page was empty since the last event: the server's present when it was asked for, and whether a
    // witness knew an event.
    silence: Option<(Timestamp, bool)>,
    // Of the event that was read last.
    last_key: Option<i64>,
    // Events of this server may be recorded so late.
    lateness: SignedDuration,
    // Gaps between keys, one after the other, in which nothing was.
    idle_gaps: u32,
    // What comes next was looked for already.
    is_settled: bool,
}

impl Default for Doubt {
    fn default() -> Doubt {
        let lateness = SignedDuration::try_from(RESUME_OVERLAP).unwrap_or_default();
        Doubt { silence: None, last_key: None, lateness, idle_gaps: 0, is_settled: false }
    }
}

impl Doubt {
    /// Another reading begins. What was learnt about the server stays.
    pub(super) fn begin(&mut self) {
        (self.silence, self.last_key, self.is_settled) = (None, None, false);
    }

    /// A page that was asked for at `asked` by the server's clock is empty; `witness`: an event is known
    /// that was not read.
    pub(super) fn silent(&mut self, asked: Timestamp, witness: bool) {
        let before = self.silence.is_some_and(|(_, witness)| witness);
        self.silence = Some((asked, before || witness));
    }

    /// A page with these events has come, new ones only. `complete`: the server shows all events in a row.
    pub(super) fn judge(&mut self, page: &[Position], complete: bool) -> Option<Reason> {
        let silence = self.silence.take();
        let is_settled = std::mem::take(&mut self.is_settled);
        let first = page.first().filter(|_| !is_settled)?;
        let earliest = page.iter().map(|position| position.time).min().unwrap_or(first.time);
        match silence {
            Some((_, true)) => return Some(Reason::Witness),
            Some((asked, _)) if self.lateness < asked.duration_since(earliest) => {
                return Some(Reason::Late(asked.duration_since(earliest)));
            }
            _ => {}
        }
        let gap = first.key.saturating_sub(self.last_key?).saturating_sub(1);
        let counts = complete && self.idle_gaps < DOUBT_IDLE_GAPS_MAX;
        // More than a page is no lost page.
        (counts && 0 < gap && gap <= PAGE_EVENTS_MAX as i64).then_some(Reason::Gap)
    }

    /// Somebody looked: events were missing, or nothing was.
    pub(super) fn looked(&mut self, reason: Reason, found: bool) {
        match reason {
            Reason::Gap if found => self.idle_gaps = 0,
            Reason::Gap => self.idle_gaps += 1,
            Reason::Late(by) if !found => self.lateness = (by * 2).min(DOUBT_LATENESS_MAX),
            Reason::Witness | Reason::Late(_) => {}
        }
        self.is_settled = found;
    }

    /// These events were read.
    pub(super) fn note(&mut self, last: Option<Position>) {
        self.last_key = last.map(|last| last.key).or(self.last_key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64, key: i64) -> Position {
        Position { key, time: time(millisecond) }
    }

    fn time(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    #[test]
    fn a_silence_is_doubted_when_something_was_there() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.judge(&[at(1000, 1)], true), None, "the first page");
        doubt.silent(time(5000), false);
        assert_eq!(doubt.judge(&[at(6000, 2)], true), None);
        doubt.silent(time(5000), true);
        doubt.silent(time(7000), false);
        assert_eq!(doubt.judge(&[at(8000, 3)], true), Some(Reason::Witness), "it is remembered");
        assert_eq!(doubt.judge(&[at(9000, 4)], true), None, "once");
        doubt.silent(time(20_000), false);
        let late = SignedDuration::from_secs(10);
        assert_eq!(doubt.judge(&[at(21_000, 5), at(10_000, 6)], true), Some(Reason::Late(late)));
        doubt.looked(Reason::Late(late), false);
        doubt.silent(time(20_000), false);
        assert_eq!(doubt.judge(&[at(10_000, 7)], true), None, "events of this server come that late");
        doubt.silent(time(40_000), false);
        assert!(matches!(doubt.judge(&[at(10_000, 7)], true), Some(Reason::Late(_))));
        assert_eq!(doubt.judge(&[], true), None);
    }

    #[test]
    fn missing_keys_are_doubted_until_they_prove_idle() {
        let mut doubt = Doubt::default();
        let next = |doubt: &mut Doubt, key| {
            let reason = doubt.judge(&[at(key, key)], true);
            doubt.note(Some(at(key, key)));
            reason
        };
        assert_eq!([next(&mut doubt, 10), next(&mut doubt, 11), next(&mut doubt, 5)], [None; 3]);
        assert_eq!(next(&mut doubt, 7), Some(Reason::Gap));
        assert_eq!(next(&mut doubt, 7 + 2 + PAGE_EVENTS_MAX as i64), None, "more than a page");
        doubt.looked(Reason::Gap, true);
        assert_eq!(next(&mut doubt, 2000), None, "what was found is read again from there");
        let mut key = 2000;
        for _ in 0..DOUBT_IDLE_GAPS_MAX {
            key += 2;
            assert_eq!(next(&mut doubt, key), Some(Reason::Gap));
            doubt.looked(Reason::Gap, false);
        }
        assert_eq!(next(&mut doubt, key + 2), None, "not all events are for this account");
        assert_eq!(Doubt::default().judge(&[at(9, 9)], false), None);
    }
}
