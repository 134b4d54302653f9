//! What a poller makes of the source's clock: how far its position can be trusted, and where it goes on
//! after a step.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::{Poller, Start};
use crate::observe::incident::DATED_AHEAD;
use crate::pipeline::batch::Entry;
use crate::pipeline::clock::{
    ClockReading, Gain, SourceClock, gain_meanwhile, is_ahead, is_set_forward, offset, set_back, trusted,
};
use crate::source::{Opened, Source, SourceError};

impl Poller<'_> {
    // A position is never trusted beyond the source's present, nor across a step of its clock: what is
    // recorded from now on may be dated before it. Gives what the source was opened with in the end.
    pub(super) fn take_clock(
        &mut self,
        source: &mut dyn Source,
        opened: Opened,
        opening: ClockReading,
    ) -> Result<Opened, SourceError> {
        // Opening takes many calls, and one of its own tells the time more exactly.
        let look = look_at(source)?.unwrap_or(opening);
        let (now, here) = (Instant::now(), Timestamp::now());
        let offset = offset(&look, here, now);
        let gain = match (&self.clock, &self.start) {
            (Some(clock), _) => clock.gain(&look),
            (None, Start::Checkpoint { progress, .. }) => gain_meanwhile(progress.clock_offset, offset),
            (None, Start::Now) => Gain::default(),
        };
        let present = self.see_clock(look, offset.0);
        // Time that a clock was set forward over has no events, and none that are gone.
        let is_purged = opened.is_purged && !is_set_forward(gain);
        let opened = Opened { is_purged, ..opened };
        let Some(issued) = &mut self.issued else { return Ok(opened) };
        let position = issued.window.newest().unwrap_or(issued.start);
        let to = trusted(position, present, set_back(gain));
        if to < position {
            issued.pull_back(to);
        }
        let begin = issued.resume();
        // Before anything is read that is dated before the old position, a restart must know of it.
        if to < position && !(self.say(Entry::ClockSetBack(to)) && self.wait_durable()) {
            return Ok(opened);
        }
        if set_back(gain).is_none() && !is_ahead(position, present) {
            return Ok(opened);
        }
        self.caught_up_at = Some(position);
        let detail = format!(
            "the position {position} is ahead of what the source's clock can have shown: its clock, now {present}, was \
             set back (this machine's clock: {here}); correct the time service (NTP) of the source and of this machine"
        );
        let consequence = format!("reading from {begin}, some events may be repeated");
        self.shared.clock_incident.happened("clock set back", &detail, &consequence);
        if opened.begin <= begin {
            return Ok(opened);
        }
        // What such a position says about the source's retention is nothing.
        Ok(Opened { is_purged: false, ..source.open(Some(begin))? })
    }

    // Tells everyone what the source's clock shows; what that is now at most.
    fn see_clock(&mut self, look: ClockReading, offset: SignedDuration) -> Timestamp {
        let clock = self.clock.get_or_insert(SourceClock::new(look));
        clock.see(look);
        let present = clock.present(Instant::now());
        self.shared.stats.source_clock(present);
        self.say(Entry::Present(present, offset));
        present
    }

    // After a step of the clock the position moves again when everything was read.
    pub(super) fn catch_up(&mut self) {
        if let Some(issued) = self.issued.as_mut().filter(|issued| issued.window.is_held()) {
            issued.window.release();
            self.say(Entry::CaughtUp);
        }
    }

    // Asks the source for its present now and then. True when it was set back.
    pub(super) fn is_clock_set_back(&mut self, source: &mut dyn Source) -> Result<bool, SourceError> {
        let now = Instant::now();
        let Some(clock) = &self.clock else { return Ok(false) };
        let ahead = self.ahead.filter(|time| is_ahead(*time, clock.present(now)));
        if !clock.is_check_due(ahead.is_some(), now) {
            return Ok(false);
        }
        let Some(look) = look_at(source)? else { return Ok(false) };
        if set_back(clock.gain(&look)).is_some() {
            return Ok(true);
        }
        let offset = offset(&look, Timestamp::now(), Instant::now()).0;
        let present = self.see_clock(look, offset);
        self.judge_dates(present);
        Ok(false)
    }

    // Says as long as it lasts that events are dated after the source's present, or that it has not
    // come to where the position was before its clock was set back.
    fn judge_dates(&mut self, present: Timestamp) {
        self.caught_up_at = self.caught_up_at.filter(|time| is_ahead(*time, present));
        self.ahead = self.ahead.filter(|time| is_ahead(*time, present));
        match (self.caught_up_at, self.ahead) {
            (None, None) => self.shared.clock_incident.over(),
            (None, Some(time)) => {
                let here = Timestamp::now();
                let detail = format!(
                    "an event is dated {time}, ahead of the source's clock, which shows {present} (this machine's clock: {here}): \
                     correct the time service (NTP) of the source and its hosts"
                );
                self.shared.clock_incident.happened(
                    DATED_AHEAD,
                    &detail,
                    "it is delivered, and reading goes on from the present",
                );
            }
            (Some(_), _) => {}
        }
    }
}

// What the source's clock shows, if it can be asked.
fn look_at(source: &mut dyn Source) -> Result<Option<ClockReading>, SourceError> {
    let asked = Instant::now();
    let shown = source.present()?;
    Ok(shown.map(|shown| ClockReading { shown, asked, answered: Instant::now() }))
}
