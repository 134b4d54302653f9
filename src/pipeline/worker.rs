//! A worker thread: takes the next events, has them delivered, and acts on the verdicts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::event::Event;
use crate::limits::DEAD_LETTER_HOLD;
use crate::observe::stats::Pulse;
use crate::observe::words::count;
use crate::pipeline::dispatch::Done;
use crate::pipeline::retry::{self, Promise};
use crate::pipeline::{ExitCause, Shared};
use crate::processor::{Delivery, Failure, Processor, READER_GONE, Retry, Verdict};

/// Deliveries that a worker has room for before it took any.
const BATCH_ROOM_MAX: usize = 16;

/// Delivers until the queue says that it is enough, or the right to the route is lost.
pub(crate) fn run(shared: &Shared, processor: &Arc<dyn Processor>, pulse: &Pulse) -> ExitCause {
    let most = processor.batch_events_max().max(1);
    // Most processors take one delivery at a time, and there may be a thousand workers.
    let room = most.min(BATCH_ROOM_MAX);
    let (mut done, mut verdicts) = (Vec::with_capacity(room), Vec::with_capacity(room));
    let (mut batch, mut accepted) = (Vec::with_capacity(room), Vec::new());
    let has_news = || has_new_credentials(shared, processor, pulse);
    while shared.queue.exchange(&mut done, most, &mut batch, &has_news) {
        if !shared.tenure.is_valid() {
            return ExitCause::TenureLost;
        }
        accepted.clear();
        let refused = batch.iter().filter(|delivery: &&Delivery| delivery.ticket.refused_since.is_some());
        for target in refused.flat_map(|delivery| &delivery.pending) {
            accepted.extend(newest(shared, processor, target).map(|begun| (target.clone(), begun)));
        }
        verdicts.clear();
        let begun = Instant::now();
        pulse.busy();
        processor.deliver(&batch, &mut verdicts);
        pulse.resting();
        shared.stats.delivery.observe(begun.elapsed());
        if verdicts.iter().any(|verdict| verdict.failures.is_empty() && !verdict.unmatched) {
            shared.accepted.set(begun);
        }
        // A missing verdict is no acknowledgement.
        verdicts.resize_with(batch.len(), || Verdict::failed(unanswered()));
        let judged = batch.drain(..).zip(verdicts.drain(..));
        done.extend(judged.map(|(delivery, verdict)| conclude(shared, delivery, verdict, &accepted)));
    }
    ExitCause::Told
}

// Whether the processor has other credentials than those that its sink refused. Told to one worker.
fn has_new_credentials(shared: &Shared, processor: &Arc<dyn Processor>, pulse: &Pulse) -> bool {
    pulse.busy();
    let changes = processor.credential_changes();
    pulse.resting();
    let is_new = shared.credential_changes.swap(changes, Ordering::Relaxed) != changes;
    if is_new {
        log::info!(target: shared.who.as_str(), "the credentials have changed: trying again at once");
    }
    is_new
}

// When the newest delivery began that the target acknowledged.
fn newest(shared: &Shared, processor: &Arc<dyn Processor>, target: &str) -> Option<Instant> {
    if target.is_empty() { shared.accepted.get() } else { processor.last_accepted(target) }
}

// `accepted`: by target, the begin of the newest delivery that was acknowledged before this attempt.
fn conclude(
    shared: &Shared,
    mut delivery: Delivery,
    verdict: Verdict,
    accepted: &[(String, Instant)],
) -> Done {
    let name = delivery.event.ce.name();
    if verdict.failures.is_empty() {
        note_settled(shared, &delivery.event, verdict.unmatched);
        return Done::Settled(delivery);
    }
    let now = Instant::now();
    // What was not even tried must not age: neither towards giving up nor towards longer waits.
    let tried = verdict.failures.iter().any(|failure| failure.retry != Retry::NotReady);
    let attempts = delivery.attempts.saturating_add(u32::from(tried));
    if tried {
        shared.stats.names.add(name, false);
        delivery.ticket.failing_since.get_or_insert(now);
    }
    let failing = delivery.ticket.failing_since.map_or(Duration::ZERO, |since| now - since);
    let refused_since = delivery.ticket.refused_since;
    if verdict.failures.iter().any(|failure| matches!(failure.retry, Retry::Sender { .. })) {
        delivery.ticket.refused_since.get_or_insert(now);
    }
    let is_at_fault = |target: &str| {
        let begun = accepted.iter().find(|(name, _)| name == target).map(|(_, begun)| *begun);
        refused_since.zip(begun).is_some_and(|(since, begun)| since < begun)
    };
    let (promise, config) = (shared.promise, &shared.config.retry);
    let decision =
        retry::decide(verdict, promise, config, attempts, failing, is_at_fault, crate::sync::jitter());
    if !decision.final_failures.is_empty()
        && !to_dead_letters(shared, &delivery, attempts, &decision.final_failures)
    {
        let failures = decision.final_failures.into_iter().chain(decision.again);
        delivery.attempts = attempts;
        delivery.pending = failures.map(|failure| failure.target).collect();
        return Done::Parked(delivery, now + DEAD_LETTER_HOLD);
    }
    let Some(first) = decision.again.first() else { return Done::Settled(delivery) };
    let wait = decision.wait;
    let mut consequence = format!("trying again, next in {:.1} s", wait.as_secs_f64());
    if let Some(held) = shared.queue.full_of() {
        let mebibytes = held.bytes as f64 / f64::from(1 << 20);
        consequence += &format!(
            "; the route holds, as {} ({mebibytes:.1} MiB) wait for it",
            count(held.events as u64, "event")
        );
    }
    let incident = &shared.delivery_incident;
    match first.retry {
        // The command that printed is about to end.
        _ if first.reason == READER_GONE => {}
        Retry::Sender { .. } | Retry::Credentials { .. } => {
            incident.demands(first.reason, &first.detail, &consequence);
        }
        _ => incident.happened(first.reason, &first.detail, &consequence),
    }
    if tried {
        shared.stats.retried.add(first.reason);
    }
    log::debug!(target: shared.who.as_str(), "event {} attempt {attempts}: {}; again in {:.1} s", delivery.event.position.key,
        first.detail,
        wait.as_secs_f64());
    delivery.attempts = attempts;
    delivery.pending = decision.again.into_iter().map(|failure| failure.target).collect();
    Done::Parked(delivery, now + wait)
}

// An event is settled: nothing failed.
fn note_settled(shared: &Shared, event: &Event, unmatched: bool) {
    let (ce, name) = (&event.ce, event.ce.name());
    let what = || format!("{name} (key {})", event.position.key);
    if unmatched {
        shared.delivery_incident.over();
        shared.stats.unmatched.add(1);
    } else {
        shared.delivery_incident.over_by(|| format!("the first event delivered since is {}", what()));
        shared.stats.names.add(name, true);
        shared.stats.delivered.add(1);
        if let Some(since) = shared.awaited.take() {
            log::info!(target: shared.who.as_str(), "delivered {}, the first event since the {since}", what());
        }
    }
    let said = if unmatched { "nobody wants event" } else { "successfully sent event" };
    log::trace!(target: shared.who.as_str(), eventID = ce.id, subject = ce.name(); "{said}");
}

// Failures that will not be tried again: a dead letter, or with at-most-once the log. False when
// the letter could not be kept, so that the event must be held.
fn to_dead_letters(shared: &Shared, delivery: &Delivery, tries: u32, failures: &[Failure]) -> bool {
    let ce = &delivery.event.ce;
    let name = ce.name();
    let details = failures.iter().map(|failure| failure.detail.as_str()).collect::<Vec<_>>().join("; ");
    let attempts = count(tries.into(), "attempt");
    let reason = failures.first().map_or("", |failure| failure.reason);
    let Some(letters) = &shared.dead_letters else {
        debug_assert_eq!(shared.promise, Promise::AtMostOnce);
        shared.stats.lost.add(1);
        delivery.event.receipt.iter().for_each(|receipt| receipt.lost());
        let line = format!(
            "could not process event: {name} {} is lost after {attempts}, as checkpoint = false allows: {details}",
            ce.id
        );
        shared.given_up.came(reason, line);
        return true;
    };
    match letters.append_event(ce, tries, failures) {
        Ok(()) => {
            shared.dead_letter_incident.over();
            shared.stats.dead_lettered.add(failures.len() as u64);
            let (id, path) = (&ce.id, letters.path().display());
            let line = format!(
                "could not process event: {name} {id} is a dead letter after {attempts}: {details}; it is kept in {path}"
            );
            shared.given_up.came(reason, line);
            true
        }
        Err(error) => {
            shared.dead_letter_incident.demands("dead letters", &error.to_string(), "holding the event");
            false
        }
    }
}

fn unanswered() -> Failure {
    Failure {
        target: String::new(),
        retry: Retry::Later { after: None, unsent: false },
        reason: "unanswered",
        detail: "the processor gave no verdict".to_string(),
    }
}
