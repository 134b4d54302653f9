//! The state machine of one route that this process takes, holds and leaves. Pure: it tells what to ask of
//! the engine next, and is told what came of it.
//!
//! ```text
//! asking --> taking --> reading <--> sealing --> held --> leaving --> over
//!  lease      lease      record       record      lease    lease
//!  missing    written                 written     renewed  freed
//! ```
//!
//! The right is valid from the first write of the lease on, until `hold` after the last one that succeeded
//! was *sent*; only then it may be another's. What a write came to that got no answer is read, never
//! guessed. A route is safe by its record alone: each write of it replaces one version, and a new owner
//! replaces it before it reads.

use std::time::Duration;

use super::lease::{Call, Kept, Lease, Moment, Record, Reply, Rules, Version};

/// This process and one route.
pub(crate) struct Tenancy {
    rules: Rules,
    me: String,
    term: u64,
    // Of the lease as it was seen last; none where there is none.
    version: Option<Version>,
    // When the first write of the lease was sent whose outcome is not known.
    unsure: Option<Moment>,
    // The lease is to be read before it is written.
    doubt: bool,
    begun: Moment,
    until: Moment,
    renew_at: Moment,
    retry_at: Moment,
    asked: Asked,
    stage: Stage,
}

enum Stage {
    // There is no lease. The record was like this for this time, as far as it was read before.
    Asking(Option<(Version, Duration)>),
    Taking,
    Reading,
    Sealing(Option<Kept<Record>>),
    // With what was sealed, until it is taken.
    Held(Option<Kept<Record>>),
    Leaving,
    Over(End),
}

enum Asked {
    Lease,
    Record,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Somebody else was first; nothing was ever held.
    Beaten,
    /// There is no lease, and this version of the record, whose owner may still live.
    Unclaimed(Version),
    /// The engine was not reached in time.
    Expired,
    /// Somebody else has it: this holder.
    Taken(String),
    /// It is free for others.
    Released,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Ask this, and tell what came of it.
    Ask(Call),
    /// Nothing until then.
    Wait(Moment),
    /// Nothing more.
    Over(End),
}

impl Tenancy {
    /// Takes a route whose lease was seen like this, and may be taken. `unclaimed`: none was seen, and
    /// the record had this version for this time.
    pub(crate) fn take(
        rules: Rules,
        me: &str,
        seen: Option<Kept<Lease>>,
        unclaimed: Option<(Version, Duration)>,
        now: Moment,
    ) -> Tenancy {
        let (version, term, stage) = match seen {
            Some(Kept { version, value }) => (Some(version), value.term + 1, Stage::Taking),
            None => (None, 1, Stage::Asking(unclaimed)),
        };
        Tenancy {
            rules,
            me: me.to_string(),
            term,
            version,
            unsure: None,
            doubt: false,
            begun: now,
            until: Moment::ZERO,
            renew_at: Moment::ZERO,
            retry_at: Moment::ZERO,
            asked: Asked::Lease,
            stage,
        }
    }

    /// What is to be done now.
    pub(crate) fn next(&mut self, now: Moment) -> Step {
        let is_early = matches!(self.stage, Stage::Asking(_) | Stage::Taking);
        let end = if is_early { self.begun + self.rules.hold } else { self.until };
        if let Stage::Over(end) = &self.stage {
            return Step::Over(end.clone());
        }
        if end <= now {
            return self.over(if is_early { End::Beaten } else { End::Expired });
        }
        if now < self.retry_at {
            return Step::Wait(self.retry_at.min(end));
        }
        let is_due = self.renew_at <= now || self.version.is_none();
        match &self.stage {
            Stage::Asking(_) => self.ask(Asked::Record, Call::ReadRecord),
            _ if self.doubt => self.ask(Asked::Lease, Call::ReadLease),
            Stage::Taking => self.write_lease(),
            Stage::Leaving => self.write_lease(),
            _ if is_due => self.write_lease(),
            Stage::Reading => self.ask(Asked::Record, Call::ReadRecord),
            Stage::Sealing(found) => {
                let version = found.as_ref().map(|found| found.version.clone());
                let text = found.as_ref().and_then(|found| found.value.text.clone());
                let record = self.record(text);
                self.ask(Asked::Record, Call::WriteRecord(version, record))
            }
            Stage::Held(_) | Stage::Over(_) => Step::Wait(self.renew_at.min(end)),
        }
    }

    /// What came of the call that was sent at this moment.
    pub(crate) fn answered(&mut self, sent: Moment, now: Moment, reply: Reply) {
        if let Reply::Failed(wait) = reply {
            self.retry_at = now + wait.clamp(self.rules.retry, self.rules.hold / 3);
        }
        let is_early = matches!(self.stage, Stage::Asking(_) | Stage::Taking);
        if !is_early && self.until <= now {
            // What was lost stays lost: its route has seen that already.
            self.over(End::Expired);
        }
        match (&self.stage, &self.asked) {
            (Stage::Over(_), _) => {}
            (Stage::Asking(_), _) => self.asked_record(reply),
            (_, Asked::Lease) => self.answered_lease(sent, now, reply),
            (_, Asked::Record) => self.answered_record(now, reply),
        }
    }

    /// Until when the right is held, if nothing happens.
    pub(crate) fn valid_until(&self) -> Moment {
        match self.stage {
            Stage::Asking(_) | Stage::Taking | Stage::Over(_) => Moment::ZERO,
            _ => self.until,
        }
    }

    /// The record that was sealed, once: the route may run now.
    pub(crate) fn take_sealed(&mut self) -> Option<Kept<Record>> {
        match &mut self.stage {
            Stage::Held(sealed) => sealed.take(),
            _ => None,
        }
    }

    /// The term of this tenancy.
    pub(crate) fn term(&self) -> u64 {
        self.term
    }

    /// It is to be left to others, and its route does not run. Said again and again until it is over: what
    /// is not known to be taken cannot be left yet.
    pub(crate) fn leave(&mut self) {
        match self.stage {
            Stage::Asking(_) => {
                self.over(End::Beaten);
            }
            Stage::Taking if self.unsure.is_none() => {
                self.over(End::Beaten);
            }
            Stage::Reading | Stage::Sealing(_) | Stage::Held(_) => {
                self.stage = Stage::Leaving;
                self.retry_at = Moment::ZERO;
            }
            Stage::Taking | Stage::Leaving | Stage::Over(_) => {}
        }
    }

    /// The record shows another holder.
    pub(crate) fn fenced(&mut self, by: &str) {
        self.over(End::Taken(by.to_string()));
    }

    fn over(&mut self, end: End) -> Step {
        if !matches!(self.stage, Stage::Over(_)) {
            self.stage = Stage::Over(end.clone());
        }
        Step::Over(end)
    }

    fn ask(&mut self, asked: Asked, call: Call) -> Step {
        self.asked = asked;
        Step::Ask(call)
    }

    fn write_lease(&mut self) -> Step {
        let (holder, lasts) = match self.stage {
            Stage::Leaving => (String::new(), Duration::from_secs(1)),
            _ => (self.me.clone(), self.rules.lease),
        };
        let lease = Lease { holder, lasts, term: self.term };
        self.ask(Asked::Lease, Call::WriteLease(self.version.clone(), lease))
    }

    fn record(&self, text: Option<String>) -> Record {
        Record { holder: self.me.clone(), term: self.term, lasts: self.rules.lease, text }
    }

    // Where the lease is missing there may still be an owner, who did not see that yet: whoever was one in
    // the time of a lease has sealed the record in it, or renewed a lease that others saw.
    fn asked_record(&mut self, reply: Reply) {
        let Stage::Asking(unclaimed) = &self.stage else { return };
        let is_free = |found: &Kept<Record>| {
            let time = found.value.lasts.max(self.rules.lease);
            let is_same = |(version, age): &(Version, Duration)| *version == found.version && time <= *age;
            found.value.holder.is_empty() || unclaimed.as_ref().is_some_and(is_same)
        };
        match reply {
            Reply::Record(None) => self.stage = Stage::Taking,
            Reply::Record(Some(found)) if is_free(&found) => {
                self.term = found.value.term + 1;
                self.stage = Stage::Taking;
            }
            Reply::Record(Some(found)) => {
                self.over(End::Unclaimed(found.version));
            }
            _ => {
                self.over(End::Beaten);
            }
        }
    }

    fn answered_lease(&mut self, sent: Moment, now: Moment, reply: Reply) {
        match reply {
            Reply::Written(version) => {
                self.version = Some(version);
                self.unsure = None;
                self.until = self.until.max(sent + self.rules.hold);
                self.renew_at = sent + self.rules.renewal;
                match self.stage {
                    Stage::Taking => self.stage = Stage::Reading,
                    Stage::Leaving => {
                        self.over(End::Released);
                    }
                    _ => {}
                }
            }
            Reply::Changed => self.doubt = true,
            Reply::Failed(_) => {
                if !self.doubt {
                    self.unsure.get_or_insert(sent);
                }
                self.doubt = true;
            }
            Reply::Lease(Some(found)) => self.found(now, found),
            Reply::Lease(None) => {
                self.doubt = false;
                // It was there when it was to be taken: somebody removed it.
                if matches!(self.stage, Stage::Taking) && self.version.is_some() {
                    self.over(End::Beaten);
                }
                self.version = None;
            }
            Reply::Record(_) => {}
        }
    }

    // The lease as it is, after a write that was refused or got no answer.
    fn found(&mut self, now: Moment, Kept { version, value }: Kept<Lease>) {
        self.doubt = false;
        let is_leaving = matches!(self.stage, Stage::Leaving);
        if value.holder.is_empty() && value.term == self.term && is_leaving {
            self.over(End::Released);
            return;
        }
        if value.holder != self.me {
            let taking = matches!(self.stage, Stage::Taking);
            self.over(if taking { End::Beaten } else { End::Taken(value.holder) });
            return;
        }
        let has_changed = self.version.as_ref() != Some(&version);
        self.version = Some(version);
        // An own write has arrived whose answer has not: what others saw is not older than its sending.
        if has_changed
            && value.term == self.term
            && let Some(sent) = self.unsure.take()
        {
            self.until = self.until.max(sent + self.rules.hold);
            if matches!(self.stage, Stage::Taking) {
                self.stage = Stage::Reading;
            }
        }
        self.renew_at = now;
    }

    fn answered_record(&mut self, now: Moment, reply: Reply) {
        let (Stage::Reading | Stage::Sealing(_)) = self.stage else { return };
        self.stage = match (reply, std::mem::replace(&mut self.stage, Stage::Reading)) {
            (Reply::Record(None), _) => Stage::Sealing(None),
            (Reply::Record(Some(found)), _) => {
                let Record { holder, term, .. } = &found.value;
                if (holder, *term) == (&self.me, self.term) {
                    Stage::Held(Some(found))
                } else {
                    if self.term <= *term {
                        // Somebody made the lease anew: terms never go back.
                        self.term = term + 1;
                        self.renew_at = now;
                    }
                    Stage::Sealing(Some(found))
                }
            }
            (Reply::Written(version), Stage::Sealing(found)) => {
                let text = found.and_then(|found| found.value.text);
                let value = self.record(text);
                Stage::Held(Some(Kept { version, value }))
            }
            _ => Stage::Reading,
        };
    }
}
