//! When a page may have been lost on its way, although nothing failed: an empty page came in the place of
//! one that had events, and the server's cursor has moved past them. Pure: moments come in.
//!
//! What tells it: a witness knew an event when the page was empty; or what comes next was recorded before
//! it; or keys are missing between the last event and the next. None of them is proof: events are recorded
//! late, others are not shown to this account. So each time somebody looks, before anything is handed over,
//! and a reason that has proved idle counts less.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::event::Position;
use crate::limits::{
    DOUBT_FOUND_MAX, DOUBT_IDLE_GAPS_MAX, DOUBT_LATENESS_MAX, PAGE_EVENTS_MAX, RESUME_OVERLAP,
};

/// Why a page may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// A page was empty, and a witness knew an event then.
    Witness,
    /// A page was empty, and this much earlier an event was recorded that came after it.
    Late(SignedDuration),
    /// Between the last event and the next, or inside the page, there are keys of no event.
    Gap,
}

/// What is to be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suspicion {
    pub(super) reason: Reason,
    // An event that was skipped has a key between these two. Keys may begin again; then nothing is found.
    after: Option<i64>,
    before: i64,
}

impl Suspicion {
    /// Whether an event that was not read is one that was skipped.
    pub(super) fn is_skipped(&self, key: i64) -> bool {
        self.after.is_none_or(|after| after < key) && key < self.before
    }

    /// Whether so many events are all that can have been skipped.
    fn is_all(&self, events: usize) -> bool {
        self.after.is_some_and(|after| self.before.checked_sub(after) == Some(events as i64 + 1))
    }

    /// Where the skipped events belong in a page.
    pub(super) fn place(&self, keys: impl Iterator<Item = Option<i64>>) -> usize {
        keys.take_while(|key| *key != Some(self.before)).count()
    }
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
    // What was found last, so that reading goes back for each event once.
    found: VecDeque<Position>,
}

impl Default for Doubt {
    fn default() -> Doubt {
        let lateness = SignedDuration::try_from(RESUME_OVERLAP).unwrap_or_default();
        Doubt { silence: None, last_key: None, lateness, idle_gaps: 0, found: VecDeque::new() }
    }
}

impl Doubt {
    /// Another reading begins. What was learnt about the server stays.
    pub(super) fn begin(&mut self) {
        (self.silence, self.last_key) = (None, None);
    }

    /// A page that was asked for at `asked` by the server's clock is empty; `witness`: an event is known
    /// that was not read.
    pub(super) fn silent(&mut self, asked: Timestamp, witness: bool) {
        let before = self.silence.is_some_and(|(_, witness)| witness);
        self.silence = Some((asked, before || witness));
    }

    /// A page with these events has come, new ones only. `complete`: the server shows all events in a row.
    pub(super) fn judge(&mut self, page: &[Position], complete: bool) -> Option<Suspicion> {
        let silence = self.silence.take();
        let first = page.first()?;
        let earliest = page.iter().map(|position| position.time).min().unwrap_or(first.time);
        let here = |reason| Some(Suspicion { reason, after: self.last_key, before: first.key });
        match silence {
            Some((_, true)) => return here(Reason::Witness),
            Some((asked, _)) if self.lateness < asked.duration_since(earliest) => {
                return here(Reason::Late(asked.duration_since(earliest)));
            }
            _ => {}
        }
        if !complete || DOUBT_IDLE_GAPS_MAX <= self.idle_gaps {
            return None;
        }
        // More than a page is no lost page.
        let is_gap = |gap: i64| 0 < gap && gap <= PAGE_EVENTS_MAX as i64;
        let mut last = self.last_key;
        page.iter().find_map(|position| {
            let after = last.replace(position.key)?;
            let gap = position.key.saturating_sub(after).saturating_sub(1);
            is_gap(gap).then_some(Suspicion { reason: Reason::Gap, after: Some(after), before: position.key })
        })
    }

    /// Somebody looked: these events were skipped, or nothing was. The first of them for which reading has to
    /// go back: there may be others.
    pub(super) fn looked(&mut self, suspicion: &Suspicion, skipped: &[Position]) -> Option<Position> {
        let found = skipped.iter().find(|position| !self.found.contains(position)).copied();
        match suspicion.reason {
            Reason::Gap if !skipped.is_empty() => self.idle_gaps = 0,
            Reason::Gap => self.idle_gaps += 1,
            Reason::Late(by) if skipped.is_empty() => self.lateness = (by * 2).min(DOUBT_LATENESS_MAX),
            Reason::Witness | Reason::Late(_) => {}
        }
        self.found.extend(found);
        if DOUBT_FOUND_MAX < self.found.len() {
            self.found.pop_front();
        }
        found.filter(|_| !suspicion.is_all(skipped.len()))
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

    fn reason(doubt: &mut Doubt, page: &[Position]) -> Option<Reason> {
        doubt.judge(page, true).map(|suspicion| suspicion.reason)
    }

    #[test]
    fn a_silence_is_doubted_when_something_was_there() {
        let mut doubt = Doubt::default();
        assert_eq!(doubt.judge(&[at(1000, 1)], true), None, "the first page");
        doubt.silent(time(5000), false);
        assert_eq!(doubt.judge(&[at(6000, 2)], true), None);
        doubt.silent(time(5000), true);
        doubt.silent(time(7000), false);
        assert_eq!(reason(&mut doubt, &[at(8000, 3)]), Some(Reason::Witness), "it is remembered");
        assert_eq!(doubt.judge(&[at(9000, 4)], true), None, "once");
        doubt.silent(time(20_000), false);
        let late = SignedDuration::from_secs(10);
        let suspicion = doubt.judge(&[at(21_000, 5), at(10_000, 6)], true).unwrap();
        assert_eq!(suspicion.reason, Reason::Late(late));
        doubt.looked(&suspicion, &[]);
        doubt.silent(time(20_000), false);
        assert_eq!(doubt.judge(&[at(10_000, 7)], true), None, "events of this server come that late");
        doubt.silent(time(40_000), false);
        assert!(matches!(reason(&mut doubt, &[at(10_000, 7)]), Some(Reason::Late(_))));
        assert_eq!(doubt.judge(&[], true), None);
    }

    #[test]
    fn only_what_was_skipped_counts_and_each_event_once() {
        let mut doubt = Doubt::default();
        doubt.silent(time(5000), true);
        let suspicion = doubt.judge(&[at(8000, 10)], true).unwrap();
        assert_eq!([3, 9, 10, 11].map(|key| suspicion.is_skipped(key)), [true, true, false, false]);
        assert_eq!(doubt.looked(&suspicion, &[at(1, 9)]), Some(at(1, 9)), "how many they are is not known");
        assert_eq!(doubt.looked(&suspicion, &[at(1, 9)]), None, "reading has gone back for it");
        doubt.note(Some(at(8000, 10)));
        let suspicion = doubt.judge(&[at(1, 11), at(1, 14)], true).unwrap();
        let found = [9, 10, 11, 12, 13, 14, 20].map(|key| suspicion.is_skipped(key));
        assert_eq!(
            found,
            [false, false, false, true, true, false, false],
            "what is recorded late comes later"
        );
        assert_eq!(suspicion.place([11, 14].map(Some).into_iter()), 1);
        assert_eq!(doubt.looked(&suspicion, &[at(1, 13)]), Some(at(1, 13)), "where is 12?");
        assert_eq!(doubt.looked(&suspicion, &[at(1, 12), at(1, 13)]), None, "they are all");
    }

    #[test]
    fn missing_keys_are_doubted_until_they_prove_idle() {
        let mut doubt = Doubt::default();
        let next = |doubt: &mut Doubt, key| {
            let suspicion = doubt.judge(&[at(key, key)], true);
            doubt.note(Some(at(key, key)));
            suspicion
        };
        assert_eq!([next(&mut doubt, 10), next(&mut doubt, 11), next(&mut doubt, 5)], [None; 3]);
        assert_eq!(next(&mut doubt, 7).unwrap().reason, Reason::Gap);
        assert_eq!(next(&mut doubt, 7 + 2 + PAGE_EVENTS_MAX as i64), None, "more than a page");
        let mut key = 2000;
        next(&mut doubt, key);
        for _ in 0..DOUBT_IDLE_GAPS_MAX {
            key += 2;
            let suspicion = next(&mut doubt, key).unwrap();
            doubt.looked(&suspicion, &[]);
        }
        assert_eq!(next(&mut doubt, key + 2), None, "not all events are for this account");
        assert_eq!(Doubt::default().judge(&[at(1, 1), at(9, 9)], false), None);
        assert_eq!(
            reason(&mut Doubt::default(), &[at(1, 1), at(2, 2), at(9, 9)]),
            Some(Reason::Gap),
            "inside"
        );
    }
}
