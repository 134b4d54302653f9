//! The processor `openfaas`: invokes every function that subscribes to an event by its annotation
//! `topic`.
//!
//! ```text
//!   first attempt ---> functions of the topic --+
//!   retry -----------> the one that owes it ----+--> side by side: POST the JSON of the event
//!   redelivery ------> the one that is named ---+
//! ```
//!
//! Before the first listing of functions nothing is known about subscribers, so no event is judged.
//! After it, an event without subscriber is settled. Facts about the gateway: `gateway/main.go` of
//! openfaas/faas, and connector-sdk as the Go router linked it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

pub(crate) mod gateway;
pub(crate) mod kind;
pub(crate) mod settings;
pub(crate) mod topics;
pub(crate) mod watch;

use gateway::{Answer, Gateway};
use settings::OpenfaasConfig;
use topics::TopicMap;

use crate::cloudevents;
use crate::error::Result;
use crate::limits::{
    FANOUT_CALLS_MAX, FANOUT_THREADS_MAX, LISTING_FIRST_WAIT, LISTING_NEWER_WAIT, REFRESH_INTERVAL_MIN,
    TARGETS_COUNTED_MAX, THREAD_STACK_BYTES,
};
use crate::observe::logger::Logger;
use crate::observe::outcomes::{Outcome, Outcomes};
use crate::processor::refreshed::Refreshed;
use crate::processor::{Aim, Delivery, Failure, Processor, Retry, Target, Verdict};

/// Invokes the functions of one gateway.
pub(crate) struct Openfaas {
    logger: Logger,
    gateway: Arc<Gateway>,
    functions: Refreshed<TopicMap>,
    counts: Outcomes,
    seen: Mutex<HashMap<Target, Seen>>,
    // Threads beside the workers that invoke functions at the moment.
    helpers: AtomicUsize,
}

impl Openfaas {
    /// A processor that has begun to ask its gateway for functions. `name` is that of the
    /// configuration.
    ///
    /// # Errors
    /// A proxy or TLS setting that cannot be used, or no thread.
    pub(crate) fn new(name: &str, config: &OpenfaasConfig, at_least_once: bool) -> Result<Openfaas> {
        let logger = Logger::processor(name);
        let gateway = Arc::new(Gateway::new(config, at_least_once)?);
        let functions = watch::start(name, gateway.clone(), config.refresh)?;
        Ok(Openfaas {
            logger,
            gateway,
            functions,
            counts: Outcomes::new(TARGETS_COUNTED_MAX),
            seen: Mutex::default(),
            helpers: AtomicUsize::new(0),
        })
    }

    /// `said` hears about every function and what it answered.
    fn deliver_one(&self, delivery: &Delivery, said: &mut dyn FnMut(&Target, &Answer)) -> Verdict {
        let ce = &delivery.event.ce;
        let topic = ce.name();
        let Aimed { targets, withheld } = match self.aimed(delivery, topic) {
            Ok(aimed) => aimed,
            Err(failure) => return Verdict::failed(failure),
        };
        if targets.is_empty() {
            let unmatched = withheld.is_empty();
            return Verdict { withheld, unmatched, ..Verdict::default() };
        }
        let mut body = Vec::with_capacity(ce.data.len() + 512);
        cloudevents::write_json(ce, &mut body);
        let began = Instant::now();
        let mut verdict = Verdict { withheld, ..Verdict::default() };
        for (target, answer) in self.invoke_all(&targets, topic, &body) {
            said(&target, &answer);
            let failure = self.gateway.judge(&target, &answer);
            self.counts.add(&target, failure.is_none());
            match failure.map(|failure| self.unless_removed(failure, topic, began)) {
                None => {
                    self.note_accepted(&target, began);
                    verdict.accepted.push(target);
                }
                Some(failure) => verdict.failures.extend(failure),
            }
        }
        verdict
    }

    /// Who gets the event: all subscribers but those that are withheld, or the one that owes it and
    /// still subscribes. Who is named by a person is not judged.
    fn aimed(&self, delivery: &Delivery, topic: &str) -> Result<Aimed, Failure> {
        if let Aim::Named(target) = &delivery.aim {
            return Ok(Aimed { targets: vec![target.clone()], withheld: Vec::new() });
        }
        let map = self.functions.current(LISTING_FIRST_WAIT).map_err(|why| self.not_ready(&why))?;
        let subscribed = map.targets(topic);
        let (withheld, targets) = match &delivery.aim {
            Aim::Subscribers(none) if none.is_empty() => (Vec::new(), subscribed.to_vec()),
            Aim::Subscribers(withheld) => {
                subscribed.iter().cloned().partition(|target| withheld.contains(target))
            }
            Aim::Owing(owing) | Aim::Named(owing) => {
                (Vec::new(), subscribed.iter().filter(|target| *target == owing).cloned().collect())
            }
        };
        if let Aim::Owing(gone) = &delivery.aim
            && targets.is_empty()
        {
            log::info!(target: &self.logger, "{topic} {}: {gone} no longer subscribes, not tried again", delivery.event.ce.id);
        }
        Ok(Aimed { targets, withheld })
    }

    fn note_accepted(&self, target: &Target, began: Instant) {
        self.note(target, |seen| {
            seen.accepted = seen.accepted.max(Some(began));
            seen.missing_since = None;
        });
    }

    fn note<T>(&self, target: &str, change: impl FnOnce(&mut Seen) -> T) -> T {
        let mut all = crate::sync::lock(&self.seen);
        if let Some(seen) = all.get_mut(target) {
            return change(seen);
        }
        // Functions come and go: those that are called get their place again.
        if TARGETS_COUNTED_MAX <= all.len() {
            all.clear();
        }
        change(all.entry(target.into()).or_default())
    }

    fn not_ready(&self, why: &str) -> Failure {
        Failure {
            target: String::new(),
            retry: Retry::NotReady,
            reason: "listing",
            detail: format!("waiting for the first list of functions: {why}"),
        }
    }

    /// A 404 of a function that was removed since the last listing is no failure: what nobody wants
    /// any more needs no dead letter. So before it becomes one, the gateway is asked once more.
    fn unless_removed(&self, failure: Failure, topic: &str, began: Instant) -> Option<Failure> {
        if failure.reason != "404" {
            return Some(failure);
        }
        let missing_since = self.note(&failure.target, |seen| *seen.missing_since.get_or_insert(began));
        // After that a listing of the last second is as good: otherwise a function that answers 404 on its
        // own would cause one for each event.
        let since = began.checked_sub(REFRESH_INTERVAL_MIN).unwrap_or(began).max(missing_since);
        let subscribes = |map: Arc<TopicMap>| map.is_listed(topic, &failure.target);
        match self.functions.newer(since, LISTING_NEWER_WAIT).map(subscribes) {
            Some(false) => {
                self.note(&failure.target, |seen| seen.missing_since = None);
                log::info!(target: &self.logger, "{} was removed, {topic} is not for it any more", failure.target);
                None
            }
            Some(true) => Some(failure),
            None => Some(Failure { retry: Retry::Later { after: None, unsent: false }, ..failure }),
        }
    }

    /// Invokes the functions side by side: this thread helps, and with a single one it is alone.
    fn invoke_all(&self, targets: &[Target], topic: &str, body: &[u8]) -> Vec<(Target, Answer)> {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut answers = Vec::new();
            while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                answers.push((target.clone(), self.gateway.invoke(target, topic, body)));
            }
            answers
        };
        std::thread::scope(|scope| {
            let wanted = targets.len().min(FANOUT_CALLS_MAX).saturating_sub(1);
            let helpers: Vec<_> = (0..wanted).map_while(|_| self.help(scope, work)).collect();
            let mut answers = work();
            for helper in helpers {
                match helper.join() {
                    Ok(more) => answers.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            answers
        })
    }

    /// One more thread for `work`, if there may be one.
    fn help<'scope, 'env, T: Send + 'scope>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> Option<ScopedJoinHandle<'scope, T>> {
        let place = Place::take(&self.helpers)?;
        std::thread::Builder::new()
            .name("of-call".to_string())
            .stack_size(THREAD_STACK_BYTES)
            .spawn_scoped(scope, move || {
                let _place = place;
                work()
            })
            .ok()
    }
}

impl Processor for Openfaas {
    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        // The map would grow old unnoticed. A panic is a fault of the program, so let it end.
        assert!(!self.functions.is_dead(), "{}: the thread that lists functions has ended", self.logger);
        let said = &mut |target: &Target, answer: &Answer| {
            log::debug!(target: &self.logger, "{target}: {}", answer.text());
        };
        verdicts.extend(batch.iter().map(|delivery| self.deliver_one(delivery, said)));
    }

    fn deliver_aloud(&self, delivery: Delivery, lines: &mut Vec<String>) -> Option<Verdict> {
        let topic = delivery.event.ce.name();
        let verdict = self
            .deliver_one(&delivery, &mut |target, answer| lines.push(format!("{target}: {}", answer.text())));
        if verdict.unmatched {
            lines.push(format!("no function of {} subscribes to {topic}", self.gateway.text()));
        }
        Some(verdict)
    }

    fn deliver_wait_max(&self) -> Duration {
        // As if one thread had to call as many functions as are called at the same time.
        LISTING_FIRST_WAIT + (self.gateway.timeout() + LISTING_NEWER_WAIT) * FANOUT_CALLS_MAX as u32
    }

    fn has_targets(&self) -> bool {
        true
    }

    fn last_accepted(&self, target: &str) -> Option<Instant> {
        crate::sync::lock(&self.seen).get(target)?.accepted
    }

    fn target_counts(&self) -> Vec<(String, Outcome)> {
        self.counts.list()
    }
}

/// What is known of a function by its answers.
#[derive(Debug, Default)]
struct Seen {
    // When the newest invocation began that it took, and when the first began since then that was answered
    // 404.
    accepted: Option<Instant>,
    missing_since: Option<Instant>,
}

/// Whom a delivery is for.
struct Aimed {
    targets: Vec<Target>,
    // They want it, and are not called.
    withheld: Vec<Target>,
}

/// A thread's place among the helpers, given back when it ends.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(helpers: &'a AtomicUsize) -> Option<Place<'a>> {
        let more = |taken| (taken < FANOUT_THREADS_MAX).then_some(taken + 1);
        helpers.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Place(helpers))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
