//! Lines that may come in thousands: the first is said, then one a minute with how many came and why.
//! All of them are there at the level debug.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use log::Level;

use super::logger::Logger;
use super::words::count;
use crate::limits::{FLOOD_REASONS_MAX, INCIDENT_REMINDER};
use crate::order;

/// What may come in thousands in one place.
#[derive(Debug)]
pub(crate) struct Flood {
    logger: Logger,
    level: Level,
    // What comes, in the singular.
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: Option<Instant>,
    unsaid: BTreeMap<String, u64>,
    last: String,
}

impl Flood {
    /// Nothing came so far.
    pub(crate) fn new(logger: &Logger, level: Level, what: &'static str) -> Flood {
        Flood { logger: logger.clone(), level, what, state: Mutex::default() }
    }

    /// Another one came, for a reason of which there are few.
    pub(crate) fn came(&self, reason: &str, line: String) {
        log::debug!(target: &self.logger, "{line}");
        let mut state = crate::sync::lock(&self.state);
        if state.said.is_none_or(|said| INCIDENT_REMINDER <= said.elapsed()) && state.unsaid.is_empty() {
            state.said = Some(Instant::now());
            drop(state);
            log::log!(target: &self.logger, self.level, "{line}");
            return;
        }
        let is_room = state.unsaid.len() < FLOOD_REASONS_MAX || state.unsaid.contains_key(reason);
        *state.unsaid.entry(if is_room { reason } else { "others" }.to_string()).or_default() += 1;
        state.last = line;
        drop(state);
        self.remind();
    }

    /// A minute may have passed: says what came since.
    pub(crate) fn remind(&self) {
        let is_due = |said: Instant| INCIDENT_REMINDER <= said.elapsed();
        let mut state = crate::sync::lock(&self.state);
        if state.said.is_some_and(is_due) {
            self.say_rest(&mut state);
        }
    }

    fn say_rest(&self, state: &mut State) {
        let reasons = std::mem::take(&mut state.unsaid);
        let Some((said, line)) = state.said.zip(summary(&reasons, self.what)) else { return };
        state.said = Some(Instant::now());
        let seconds = said.elapsed().as_secs_f64();
        let last = std::mem::take(&mut state.last);
        log::log!(target: &self.logger, self.level, "{line} in {seconds:.0} s; the last: {last}");
    }
}

/// What came since the last line is said at the end.
impl Drop for Flood {
    fn drop(&mut self) {
        let state = &mut std::mem::take(&mut *crate::sync::lock(&self.state));
        self.say_rest(state);
    }
}

// `12,622 more dead letters (400: 12,600, encode: 22)`, the most frequent reason first; none of nothing.
fn summary(reasons: &BTreeMap<String, u64>, what: &str) -> Option<String> {
    let mut sorted: Vec<_> = reasons.iter().collect();
    order::sort_by(&mut sorted, |a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let parts: Vec<String> = sorted.iter().map(|(reason, number)| format!("{reason}: {number}")).collect();
    let all = count(reasons.values().sum(), &format!("more {what}"));
    (!parts.is_empty()).then(|| format!("{all} ({})", parts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsaid(flood: &Flood) -> u64 {
        crate::sync::lock(&flood.state).unsaid.values().sum()
    }

    fn a_minute_passes(flood: &Flood) {
        let mut state = crate::sync::lock(&flood.state);
        state.said = state.said.and_then(|said| said.checked_sub(INCIDENT_REMINDER));
    }

    #[test]
    fn the_first_is_said_then_one_a_minute() {
        let flood = Flood::new(&Logger::route("power"), Level::Error, "dead letter");
        flood.came("400", "first".to_string());
        assert_eq!(unsaid(&flood), 0);
        for number in 1..=1000_u64 {
            flood.came(if number % 10 == 0 { "encode" } else { "400" }, "another".to_string());
            assert_eq!(unsaid(&flood), number);
        }
        flood.remind();
        assert_eq!(unsaid(&flood), 1000, "not yet");
        a_minute_passes(&flood);
        flood.came("400", "one more".to_string());
        assert_eq!(unsaid(&flood), 0);
        flood.came("400", "soon after".to_string());
        assert_eq!(unsaid(&flood), 1);
        a_minute_passes(&flood);
        flood.remind();
        assert_eq!(unsaid(&flood), 0, "also if nothing comes any more");
        a_minute_passes(&flood);
        flood.remind();
        flood.came("400", "after a quiet minute".to_string());
        assert_eq!(unsaid(&flood), 0);
    }

    #[test]
    fn reasons_are_counted_and_bounded() {
        let reasons = BTreeMap::from([("400".to_string(), 12_600), ("encode".to_string(), 22)]);
        let line = summary(&reasons, "dead letter");
        assert_eq!(line.as_deref(), Some("12,622 more dead letters (400: 12600, encode: 22)"));
        assert_eq!(summary(&BTreeMap::new(), "dead letter"), None);
        let flood = Flood::new(&Logger::route("power"), Level::Error, "dead letter");
        for number in 0..2 * FLOOD_REASONS_MAX {
            flood.came(&number.to_string(), String::new());
        }
        assert!(crate::sync::lock(&flood.state).unsaid.len() <= FLOOD_REASONS_MAX + 1);
    }
}
