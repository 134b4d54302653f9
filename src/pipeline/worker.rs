//! A worker thread: takes the next events, has them delivered, and acts on the verdicts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::limits::DEAD_LETTER_HOLD;
use crate::observe::stats::Pulse;
use crate::observe::words::count;
use crate::pipeline::dispatch::{Done, Full, Then};
use crate::pipeline::queue::{Helper, Turn};
use crate::pipeline::retry::{self, Promise};
use crate::pipeline::room::Failed;
use crate::pipeline::rooms::{Answers, Owing};
use crate::pipeline::threads::Threads;
use crate::pipeline::{ExitCause, Role, Shared};
use crate::processor::{Delivery, Failure, Processor, READER_GONE, Retry, Verdict};

/// Deliveries that a worker has room for before it took any.
const BATCH_ROOM_MAX: usize = 16;

/// What starts workers.
pub(super) struct Hiring {
    shared: Arc<Shared>,
    processor: Arc<dyn Processor>,
    threads: Arc<Threads>,
}

impl Hiring {
    /// What brings a worker of this route, when there is none.
    pub(super) fn when_needed(
        shared: &Arc<Shared>,
        processor: Arc<dyn Processor>,
        threads: &Arc<Threads>,
    ) -> impl Fn() + Send + 'static {
        let hiring = Arc::new(Hiring { shared: shared.clone(), processor, threads: threads.clone() });
        move || {
            hiring.shared.queue.hire();
            hiring.start();
        }
    }

    /// Starts one more worker, who is counted already. Where the system has no more threads, those that are
    /// there must do; with none at all the route cannot go on.
    fn start(self: &Arc<Hiring>) {
        let hiring = self.clone();
        let Err(error) = self.threads.spawn(Role::Worker, move |pulse| run(&hiring, pulse)) else {
            return;
        };
        if self.shared.queue.cannot_hire() {
            log::warn!(target: &self.shared.logger, "{error}; going on with the workers that there are");
        } else {
            self.threads.fail(Role::Worker, error);
        }
    }
}

/// Delivers until the queue says that it is enough, or the right to the route is lost.
fn run(hiring: &Arc<Hiring>, pulse: &Pulse) -> ExitCause {
    let Hiring { shared, processor, .. } = &**hiring;
    shared.queue.arrive();
    let most = processor.batch_events_max().max(1);
    // Most processors take one delivery at a time, and there may be a thousand workers.
    let room = most.min(BATCH_ROOM_MAX);
    let (mut done, mut verdicts) = (Vec::with_capacity(room), Vec::with_capacity(room));
    let (mut batch, mut newest) = (Vec::with_capacity(room), Vec::new());
    let helper = Waiting { hiring, pulse };
    loop {
        match shared.queue.exchange(&mut done, most, &mut batch, &helper) {
            Turn::Deliver => {}
            Turn::Leave => return ExitCause::Idle,
            Turn::End => return ExitCause::Told,
        }
        if !shared.tenure.is_valid() {
            return ExitCause::TenureLost;
        }
        // What is given up without another attempt comes alone.
        if let Some(expired) = batch.pop_if(|delivery: &mut Delivery| delivery.ticket.expired.is_some()) {
            done.push(give_up(shared, expired));
            continue;
        }
        newest.clear();
        let refused = batch.iter().filter(|delivery| delivery.ticket.refused_since.is_some());
        for delivery in refused {
            let target = delivery.owing().map_or("", |target| &**target);
            newest.extend(newest_of(shared, processor, target).map(|begun| (target.to_string(), begun)));
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
        done.extend(judged.map(|(delivery, verdict)| conclude(shared, delivery, verdict, &newest)));
    }
}

// What it can be asked while it waits for work.
struct Waiting<'a> {
    hiring: &'a Arc<Hiring>,
    pulse: &'a Pulse,
}

impl Helper for Waiting<'_> {
    fn has_news(&self) -> bool {
        has_new_credentials(&self.hiring.shared, &self.hiring.processor, self.pulse)
    }

    fn recruit(&self) {
        self.hiring.start();
    }
}

// Whether the processor has other credentials than those that its sink refused. Told to one worker.
fn has_new_credentials(shared: &Shared, processor: &Arc<dyn Processor>, pulse: &Pulse) -> bool {
    pulse.busy();
    let changes = processor.credential_changes();
    pulse.resting();
    let is_new = shared.credential_changes.swap(changes, Ordering::Relaxed) != changes;
    if is_new {
        log::info!(target: &shared.logger, "the credentials have changed: trying again at once");
    }
    is_new
}

// When the newest delivery began that the target acknowledged.
fn newest_of(shared: &Shared, processor: &Arc<dyn Processor>, target: &str) -> Option<Instant> {
    if target.is_empty() { shared.accepted.get() } else { processor.last_accepted(target) }
}

// `newest`: by target, the begin of the newest delivery that was acknowledged before this attempt.
fn conclude(shared: &Shared, delivery: Delivery, verdict: Verdict, newest: &[(String, Instant)]) -> Done {
    if verdict.failures.iter().all(|failure| !failure.target.is_empty()) {
        let proof = || match verdict.unmatched {
            true => String::new(),
            false => format!("the first event delivered since is {}", delivery.event.title()),
        };
        shared.delivery_incident.works(&verdict.accepted, |target| shared.queue.owed_to(target), proof);
    }
    if verdict.failures.is_empty() && verdict.withheld.is_empty() {
        return succeed(shared, delivery, verdict);
    }
    let Verdict { failures, accepted, withheld, .. } = verdict;
    // Where there are several targets, each has a room that spares it; the others have not asked for less.
    let is_pushed_back = failures.iter().any(|failure| failure.target.is_empty() && failure.is_push_back());
    let mut judged = judge(shared, delivery, failures, newest);
    judged.answers.accepted.extend(accepted);
    let Judged { delivery, again, answers } = judged;
    // Who was withheld is owed it as if it had failed, but for the attempt.
    let withheld = withheld.into_iter().map(|target| Owing {
        target,
        attempts: 0,
        failing_since: None,
        refused_since: None,
        due: None,
    });
    let then = if delivery.owing().is_some() || again.iter().any(|(failure, _)| failure.target.is_empty()) {
        again.iter().map(|(_, due)| *due).max().map_or(Then::Settle, Then::Again)
    } else {
        let owing = again.iter().map(|(failure, due)| owing(&delivery, failure, *due)).chain(withheld);
        let owing: Vec<Owing> = owing.collect();
        if owing.is_empty() { Then::Settle } else { Then::Owe(owing) }
    };
    Done { delivery, then, answers, is_pushed_back }
}

// All targets took it, or nobody wanted it.
fn succeed(shared: &Shared, delivery: Delivery, verdict: Verdict) -> Done {
    let ce = &delivery.event.ce;
    if !verdict.unmatched {
        shared.stats.names.add(ce.name(), true);
        if let Some(since) = shared.awaited.take() {
            log::info!(target: &shared.logger, "delivered {}, the first event since the {since}", delivery.event.title());
        }
    }
    match verdict.unmatched {
        // It counts when all targets have taken it, or is not meant for this one any more.
        _ if delivery.owing().is_some() => {
            if shared.room_incident.is_lasting() {
                say_if_full(shared);
            }
        }
        true => shared.stats.unmatched.add(1),
        false => shared.stats.delivered.add(1),
    }
    let said = if verdict.unmatched { "nobody wants event" } else { "successfully sent event" };
    log::trace!(target: &shared.logger, eventID = ce.id, subject = ce.name(); "{said}");
    let mut answers = Answers { accepted: verdict.accepted, ..Answers::default() };
    if let Some(gone) = delivery.owing().filter(|_| verdict.unmatched) {
        answers.accepted.push(gone.clone());
    }
    Done { delivery, then: Then::Settle, answers, is_pushed_back: false }
}

// What follows from failures.
struct Judged {
    delivery: Delivery,
    // What is tried again, and when.
    again: Vec<(Failure, Instant)>,
    answers: Answers,
}

fn judge(
    shared: &Shared,
    mut delivery: Delivery,
    failures: Vec<Failure>,
    newest: &[(String, Instant)],
) -> Judged {
    let now = Instant::now();
    // What was not even tried must not age: neither towards giving up nor towards longer waits.
    let tried = failures.iter().any(|failure| failure.retry != Retry::NotReady);
    let mut answers = Answers { is_new: delivery.attempts == 0, ..Answers::default() };
    delivery.attempts = delivery.attempts.saturating_add(u32::from(tried));
    if tried {
        shared.stats.names.add(delivery.event.ce.name(), false);
        delivery.ticket.failing_since.get_or_insert(now);
    }
    let failing = delivery.ticket.failing_since.map_or(Duration::ZERO, |since| now - since);
    let refused_since = delivery.ticket.refused_since;
    let is_at_fault = |target: &str| {
        let begun = newest.iter().find(|(name, _)| name == target).map(|(_, begun)| *begun);
        refused_since.zip(begun).is_some_and(|(since, begun)| since < begun)
    };
    let (mut again, mut finals) = (Vec::new(), Vec::new());
    for failure in failures {
        if matches!(failure.retry, Retry::Sender { .. }) {
            delivery.ticket.refused_since.get_or_insert(now);
        }
        // While a target fails whatever the event, its failures are counted together.
        let attempts = delivery.attempts.max(delivery.ticket.misses.saturating_add(1));
        let (promise, config, jitter) = (shared.promise, &shared.config.retry, crate::sync::jitter());
        let verdict = Verdict::failed(failure.clone());
        let decision = retry::decide(verdict, promise, config, attempts, failing, is_at_fault, jitter);
        let due = now + decision.wait;
        if !failure.target.is_empty() {
            match failure.retry {
                // It answered: the event is not to its liking.
                Retry::Never => answers.accepted.push(failure.target.as_str().into()),
                Retry::NotReady => {}
                _ => answers.failed.push(Failed { failure: failure.clone(), pause: due }),
            }
        }
        if decision.again.is_empty() { finals.push(failure) } else { again.push((failure, due)) }
    }
    answers.refused = !finals.is_empty();
    report(shared, &delivery, &again, now);
    if !finals.is_empty() && !to_dead_letters(shared, &delivery, &finals) {
        answers.refused = false;
        again.extend(finals.into_iter().map(|failure| (failure, now + DEAD_LETTER_HOLD)));
    }
    Judged { delivery, again, answers }
}

fn owing(delivery: &Delivery, failure: &Failure, due: Instant) -> Owing {
    let is_refused = matches!(failure.retry, Retry::Sender { .. });
    Owing {
        target: failure.target.as_str().into(),
        attempts: delivery.attempts,
        failing_since: delivery.ticket.failing_since,
        refused_since: delivery.ticket.refused_since.filter(|_| is_refused),
        due: Some(due),
    }
}

// Says what failed and is tried again.
fn report(shared: &Shared, delivery: &Delivery, again: &[(Failure, Instant)], now: Instant) {
    let full = say_if_full(shared);
    for (failure, due) in again {
        let wait = due.saturating_duration_since(now).as_secs_f64();
        let mut consequence = format!("trying again, next in {wait:.1} s");
        if let Some(full) = &full {
            consequence += &format!("; the route holds, as {}", waiting_text(full));
        } else if !failure.target.is_empty() {
            // This one is not counted yet if it fails for the first time.
            let owed = count(shared.queue.owed_to(&failure.target).0.max(1) as u64, "event");
            consequence += &format!("; {owed} for {} wait, the others go on", failure.target);
        }
        // The command that printed is about to end.
        if failure.reason != READER_GONE {
            shared.delivery_incident.happened(failure, &consequence);
        }
        if failure.retry != Retry::NotReady {
            shared.stats.retried.add(failure.reason);
        }
        log::debug!(target: &shared.logger, "event {} attempt {}: {}; again in {wait:.1} s", delivery.event.position.key, delivery.attempts,
            failure.detail);
    }
}

/// Says it when there is no room for more of what waits for targets that fail, and when there is again.
pub(super) fn say_if_full(shared: &Shared) -> Option<Full> {
    let full = shared.queue.full_of();
    match &full {
        Some(full) if full.target.is_some() => {
            let detail = format!("no room for more: {}", waiting_text(full));
            let consequence = "the route holds until it takes them, or gives them up as dead letters after \
                               give_up_after, where that is set";
            shared.room_incident.demands("waiting room", &detail, consequence);
        }
        _ => shared.room_incident.over(),
    }
    full
}

fn waiting_text(full: &Full) -> String {
    let (events, mebibytes) = (count(full.events as u64, "event"), full.bytes as f64 / f64::from(1 << 20));
    let target = full.target.as_deref().unwrap_or("it");
    format!("{events} ({mebibytes:.1} MiB) wait for {target}")
}

// A part that waited too long for a target that is down.
fn give_up(shared: &Shared, delivery: Delivery) -> Done {
    let mut answers = Answers::default();
    let last = delivery.ticket.expired.as_deref().cloned();
    let untried = |last: Failure| Failure {
        detail: format!("{} fails for longer than give_up_after: {}", last.target, last.detail),
        ..last
    };
    let failures: Vec<Failure> = last.map(untried).into_iter().collect();
    let then = if to_dead_letters(shared, &delivery, &failures) {
        answers.refused = true;
        Then::Settle
    } else {
        Then::Again(Instant::now() + DEAD_LETTER_HOLD)
    };
    say_if_full(shared);
    Done { delivery, then, answers, is_pushed_back: false }
}

// Failures that will not be tried again: a dead letter, or with at-most-once the log. False when
// the letter could not be kept, so that the event must be held.
fn to_dead_letters(shared: &Shared, delivery: &Delivery, failures: &[Failure]) -> bool {
    let (ce, tries) = (&delivery.event.ce, delivery.attempts);
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
