//! A route in the hands of a command: it is taken as a router takes it, changed, and left.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::never;

use super::engine::Engine;
use super::engines;
use super::lease::{Call, Kept, Moment, Record, Reply, Rules, Subject, holder, name_of};
use super::member::Member;
use super::saving::{Saved, Saving};
use super::sight::Sight;
use super::tenancy::{End, Step, Tenancy};
use crate::config::cluster::ClusterSection;
use crate::error::{Context, Error, Result};

/// A route that no router has as long as this lasts, which is not long.
pub(crate) struct Claim {
    engine: Arc<dyn Engine>,
    subject: Subject,
    began: Instant,
    tenancy: Tenancy,
    sealed: Kept<Record>,
}

/// A route as the engine tells it.
pub(crate) struct Glance {
    /// The name of the router that has it, as far as its lease tells.
    pub(crate) owner: Option<String>,
    /// Its record.
    pub(crate) record: Option<Record>,
    /// Where that is.
    pub(crate) place: String,
}

/// Looks at a route.
///
/// # Errors
/// When the engine does not tell.
pub(crate) fn glance(section: &ClusterSection, route: &str) -> Result<Glance> {
    let engine = engines::open(section)?;
    let subject = Subject::Route(route.to_string());
    let lease = engine.ask(&subject, &Call::ReadLease).map_err(|trouble| trouble.error)?;
    let record = engine.ask(&subject, &Call::ReadRecord).map_err(|trouble| trouble.error)?;
    let (Reply::Lease(lease), Reply::Record(record)) = (lease, record) else { return Err(unanswered()) };
    let owner = lease.map(|lease| lease.value.holder).filter(|holder| !holder.is_empty());
    let owner = owner.map(|holder| name_of(&holder).to_string());
    Ok(Glance { owner, record: record.map(|record| record.value), place: engine.place(&subject) })
}

fn unanswered() -> Error {
    Error::new("the engine gives no answer")
}

impl Claim {
    /// Takes a route that nobody has; that an owner is dead is seen after the time of its lease.
    ///
    /// # Errors
    /// When somebody has it, or the engine does not answer.
    pub(crate) fn take(section: &ClusterSection, route: &str) -> Result<Claim> {
        let engine = engines::open(section)?;
        let rules = Rules::of(section.lease);
        let me = holder("a-command", &crate::sync::random_key(), &crate::sync::random_key());
        let mut member = Member::new(rules, &me, &[route]);
        let subject = Subject::Route(route.to_string());
        let began = Instant::now();
        let mut first = None;
        loop {
            let listed = engine.list().map_err(|trouble| trouble.error)?;
            let now = began.elapsed();
            let first = *first.get_or_insert(now);
            for take in member.look(now, listed, &|_| 0).0 {
                let tenancy = Tenancy::take(rules, &me, take.over, take.unclaimed, now);
                match seize(engine.as_ref(), &subject, began, tenancy)? {
                    Ok((tenancy, sealed)) => return Ok(Claim { engine, subject, began, tenancy, sealed }),
                    Err(End::Unclaimed(version)) => member.unclaimed(0, version, began.elapsed()),
                    Err(_) => member.ended(0, Moment::ZERO),
                }
            }
            if let Some(owner) = renewing(member.sight(), &subject, now, first) {
                let owner = name_of(&owner).to_string();
                return Err(Error::new(format!(
                    "{owner} runs it: stop that router, or all that have it in their files"
                )))
                .context(|| format!("take route {route}"));
            }
            if rules.lease * 3 < now {
                return Err(Error::new("others take it again and again: stop them"))
                    .context(|| format!("take route {route}"));
            }
            let _ = never::<()>().recv_timeout(rules.look);
        }
    }

    /// The text of the record that was found.
    pub(crate) fn text(&self) -> Option<&str> {
        self.sealed.value.text.as_deref()
    }

    /// Where the record is.
    pub(crate) fn place(&self) -> String {
        self.engine.place(&self.subject)
    }

    /// Replaces the text of the record, and leaves the route to whoever takes it.
    ///
    /// # Errors
    /// When that is not done.
    pub(crate) fn write(self, text: &str) -> Result<()> {
        let mut saving = Saving::new(&self.sealed);
        loop {
            let asked =
                self.engine.ask(&self.subject, &saving.next(text)).map_err(|trouble| trouble.error)?;
            match saving.answered(text, asked) {
                Saved::Done => return self.leave(),
                Saved::Again => {}
                Saved::Unknown => return Err(unanswered()),
                Saved::Lost(by) => return Err(Error::new(format!("{} has taken it", name_of(&by)))),
            }
        }
    }

    /// Leaves the route as it is.
    ///
    /// # Errors
    /// When the engine does not answer: then it is free after the time of the lease.
    pub(crate) fn leave(mut self) -> Result<()> {
        self.tenancy.leave();
        seize(self.engine.as_ref(), &self.subject, self.began, self.tenancy).map(|_| ())
    }
}

/// Goes on until it is sealed, or over.
fn seize(
    engine: &dyn Engine,
    subject: &Subject,
    began: Instant,
    mut tenancy: Tenancy,
) -> Result<std::result::Result<(Tenancy, Kept<Record>), End>> {
    loop {
        match tenancy.next(began.elapsed()) {
            Step::Ask(call) => {
                let sent = began.elapsed();
                let reply = engine.ask(subject, &call).map_err(|trouble| trouble.error)?;
                tenancy.answered(sent, began.elapsed(), reply);
            }
            Step::Wait(until) => {
                let _ = never::<()>().recv_timeout(until.saturating_sub(began.elapsed()));
            }
            Step::Over(end) => return Ok(Err(end)),
        }
        if let Some(sealed) = tenancy.take_sealed() {
            return Ok(Ok((tenancy, sealed)));
        }
    }
}

/// The holder that has renewed its lease since it was seen first.
fn renewing(sight: &Sight, subject: &Subject, now: Moment, first: Moment) -> Option<String> {
    let (owner, age) = sight.owner(now, subject);
    owner.filter(|_| age < now.saturating_sub(first)).map(str::to_string)
}
