//! How many deliveries are in flight at a time: as many as the sink makes more of. Pure: told of each call
//! that ended, it gives a limit.
//!
//! ```text
//! measure a round: as many calls as the limit, while all are busy and more waits
//!   climbing    twice as many, as long as that pays: a quarter of what it could bring
//!   settled     now and then a quarter more; if it does not pay, back, and the next trial is later
//!               the rate fell to half: half as many; if that is no slower, they stay away
//!   pushed back (429, 503, time-out) half as many at once, once a round; then one more for each
//!               clean round (twice as many below half of where it was), up to an eighth less than it was
//! ```
//!
//! A rate is never compared across a change of the limit before a round has passed: what ends then was
//! begun under the old one. Rounds in which some worker had nothing to do say nothing about the sink.

use std::time::{Duration, Instant};

use crate::limits::{WORKERS_AUTO_BEGIN, WORKERS_AUTO_MAX};

// A round lasts at least so long, and has so many calls.
const ROUND_MIN: Duration = Duration::from_millis(50);
const ROUND_CALLS_MIN: usize = 8;
// What more workers must bring, of what they would bring if the sink took as much from each.
const WORTH: f64 = 0.25;
// What fewer workers may cost.
const HARMLESS: f64 = 0.95;
// Rounds before the next trial.
const HOLD_ROUNDS_MIN: u32 = 16;
const HOLD_ROUNDS_MAX: u32 = 128;

/// A call of the processor that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// Deliveries that it brought to an end.
    pub(crate) delivered: usize,
    /// The sink asked for less.
    pub(crate) is_pushed_back: bool,
    /// All were busy, and more waited.
    pub(crate) is_saturated: bool,
}

/// The limit, and what is known of the sink.
#[derive(Debug)]
pub(crate) struct Concurrency {
    limit: usize,
    min: usize,
    max: usize,
    phase: Phase,
    // Until the first time that more did not pay.
    is_climbing: bool,
    hold_rounds: u32,
    round: Round,
}

#[derive(Debug)]
enum Phase {
    // Nobody looks: the number is given.
    Fixed,
    Settled { rate: f64, rounds: u32 },
    // The limit was another one before, with this rate: does the new one pay?
    Trial { from: usize, rate: f64 },
    // It was pushed back from there.
    Recovering { to: usize },
}

#[derive(Debug, Default)]
struct Round {
    // Calls that were begun before it.
    old: usize,
    since: Option<Instant>,
    calls: usize,
    delivered: usize,
    unsaturated: usize,
}

impl Concurrency {
    /// Always this number, or without one what the sink takes.
    pub(crate) fn new(fixed: Option<usize>) -> Concurrency {
        let limit = fixed.unwrap_or(WORKERS_AUTO_BEGIN);
        Concurrency {
            limit,
            min: 1,
            max: fixed.unwrap_or(WORKERS_AUTO_MAX),
            phase: if fixed.is_some() { Phase::Fixed } else { Phase::Settled { rate: 0.0, rounds: 0 } },
            is_climbing: true,
            hold_rounds: HOLD_ROUNDS_MIN,
            round: Round { old: limit, ..Round::default() },
        }
    }

    /// Deliveries in flight at a time.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// It does not fall below what it begins with.
    pub(crate) fn keep_begin(&mut self) {
        self.min = self.limit;
    }

    /// A call has ended.
    pub(crate) fn ended(&mut self, call: Call, now: Instant) {
        if matches!(self.phase, Phase::Fixed) {
            return;
        }
        if self.round.old > 0 {
            self.round.old -= 1;
            self.round.since = Some(now);
            return;
        }
        if call.is_pushed_back {
            return self.push_back();
        }
        let round = &mut self.round;
        round.calls += 1;
        round.delivered += call.delivered;
        round.unsaturated += usize::from(!call.is_saturated);
        let elapsed = now - *round.since.get_or_insert(now);
        if round.calls < self.limit.max(ROUND_CALLS_MIN) || elapsed < ROUND_MIN {
            return;
        }
        let round = std::mem::replace(&mut self.round, Round { since: Some(now), ..Round::default() });
        // What fails says how fast it fails.
        if round.unsaturated * 8 <= round.calls && round.calls <= round.delivered * 2 {
            self.decide(round.delivered as f64 / elapsed.as_secs_f64());
        }
    }

    fn decide(&mut self, rate: f64) {
        match self.phase {
            Phase::Fixed => {}
            Phase::Trial { from, rate: before } if from < self.limit => {
                let growth = self.limit as f64 / from as f64 - 1.0;
                if before * (1.0 + WORTH * growth) <= rate {
                    self.hold_rounds = HOLD_ROUNDS_MIN;
                    return self.raise(rate);
                }
                self.is_climbing = false;
                self.change(from);
                self.settle(before);
                self.hold_rounds = (self.hold_rounds * 2).min(HOLD_ROUNDS_MAX);
            }
            Phase::Trial { from, rate: before } => {
                if before * HARMLESS <= rate {
                    return self.lower(rate);
                }
                self.change(from);
                self.settle(before);
            }
            Phase::Settled { rate: usual, .. } if rate < usual / 2.0 => self.lower(rate),
            Phase::Settled { rounds: 0, .. } => self.raise(rate),
            Phase::Settled { rate: usual, rounds } => {
                self.phase = Phase::Settled { rate: usual + (rate - usual) / 8.0, rounds: rounds - 1 };
            }
            Phase::Recovering { to } if self.limit < to => {
                let next = if self.limit <= to / 2 { self.limit * 2 } else { self.limit + 1 };
                self.change(next);
            }
            Phase::Recovering { .. } => self.settle(rate),
        }
    }

    fn raise(&mut self, rate: f64) {
        let more = if self.is_climbing { self.limit } else { (self.limit / 4).max(1) };
        self.test((self.limit + more).min(self.max), rate);
    }

    fn lower(&mut self, rate: f64) {
        self.is_climbing = false;
        self.test((self.limit / 2).max(self.min), rate);
    }

    fn test(&mut self, limit: usize, rate: f64) {
        let from = self.limit;
        match limit == from {
            true => self.settle(rate),
            false => self.phase = Phase::Trial { from, rate },
        }
        self.change(limit);
    }

    fn settle(&mut self, rate: f64) {
        self.phase = Phase::Settled { rate, rounds: self.hold_rounds };
    }

    fn push_back(&mut self) {
        let to = match self.phase {
            // It goes on: only the first refusal says how many were too many.
            Phase::Recovering { to } if self.limit <= to / 2 => to,
            Phase::Trial { from, .. } => from.min(self.limit),
            _ => self.limit * 7 / 8,
        };
        self.hold_rounds = (self.hold_rounds * 2).min(HOLD_ROUNDS_MAX);
        (self.is_climbing, self.phase) = (false, Phase::Recovering { to });
        self.change((self.limit / 2).max(self.min));
    }

    fn change(&mut self, limit: usize) {
        self.round = Round { old: self.limit.max(limit), ..Round::default() };
        self.limit = limit.min(self.max);
    }
}

#[cfg(test)]
mod tests;
