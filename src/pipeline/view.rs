//! What can be watched of a route, answered from memory whatever its threads are doing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::{Role, Shared};
use crate::limits::{BUSY_MARGIN, CATCHING_UP_LAG_MIN, READY_INCIDENT_MAX};
use crate::observe::incident::Report;
use crate::observe::pace::{Mark, Pace};
use crate::observe::registry::Watched;
use crate::observe::snapshot::{About, Busy, CatchingUp, Counts, IncidentSnapshot, RoutePart, RouteSnapshot};
use crate::observe::stats::RouteStats;
use crate::observe::words::count;
use crate::pipeline::dispatch::Gauge;
use crate::pipeline::threads::Threads;
use crate::processor::Processor;
use crate::source::watch::SourceWatch;

/// What can be watched of a route.
#[derive(Clone)]
pub struct View {
    pub(super) shared: Arc<Shared>,
    pub(super) about: Arc<About>,
    pub(super) started: Timestamp,
    pub(super) processor: Arc<dyn Processor>,
    pub(super) source: SourceWatch,
    // The longest call of the source.
    pub(super) read_wait_max: Duration,
    pub(super) threads: Arc<Threads>,
    pub(super) pace: Arc<Mutex<Pace>>,
}

impl View {
    pub(crate) fn stats(&self) -> &RouteStats {
        &self.shared.stats
    }

    /// A minute may have passed: says what was only counted.
    pub(crate) fn remind(&self) {
        self.shared.given_up.remind();
        self.shared.keys_back.remind();
    }

    /// Notes how far it is, for its speed.
    pub(crate) fn note_pace(&self) {
        if let Some(mark) = self.mark(&self.shared.queue.gauge()) {
            crate::sync::lock(&self.pace).note(mark);
        }
    }

    // None before the queue has begun, for which the earliest time stands.
    fn mark(&self, gauge: &Gauge) -> Option<Mark> {
        let events = self.shared.stats.read.get().saturating_sub(gauge.outstanding as u64);
        let mark = Mark { at: Instant::now(), events, time: gauge.time };
        (gauge.time != Timestamp::MIN).then_some(mark)
    }

    // What is not seen cannot be said to be outstanding, nor that nothing is.
    fn lag_seconds(&self, gauge: &Gauge, incidents: &[IncidentSnapshot]) -> Option<f64> {
        let stats = &self.shared.stats;
        let is_blind =
            incidents.iter().any(|incident| matches!(incident.part, RoutePart::Source | RoutePart::Stall));
        if is_blind || !stats.link().connected {
            return None;
        }
        if stats.is_read_up()? && gauge.outstanding == 0 {
            return Some(0.0);
        }
        self.mark(gauge).map(|mark| stats.seconds_behind(mark.time))
    }

    fn catching_up(&self, gauge: &Gauge, lag_seconds: Option<f64>) -> Option<CatchingUp> {
        let lag_seconds = lag_seconds.filter(|lag| CATCHING_UP_LAG_MIN.as_secs_f64() <= *lag)?;
        let mark = self.mark(gauge)?;
        let speed = {
            let mut pace = crate::sync::lock(&self.pace);
            pace.note(mark);
            pace.speed(mark)?
        };
        let (backlog, is_reading) = (gauge.outstanding, self.shared.stats.is_read_up() != Some(true));
        let end = speed.end(backlog, lag_seconds, !is_reading);
        Some(CatchingUp { backlog, is_reading, events_per_second: speed.events, end })
    }

    fn busy(&self) -> Busy {
        let (time, role) = self.threads.busiest().unwrap_or((Duration::ZERO, Role::Poller));
        let role = match role {
            _ if time.is_zero() => "",
            Role::Poller => "reader",
            Role::Worker => "worker",
            Role::Checkpointer => "checkpointer of the checkpoint",
        };
        let time_max = self.processor.deliver_wait_max().max(self.read_wait_max) + BUSY_MARGIN;
        Busy { role, time, time_max }
    }

    /// What is wrong, in the order of the parts.
    fn incidents(&self, now: Timestamp) -> Vec<IncidentSnapshot> {
        let shared = &self.shared;
        let of = |part, report: Option<Report>| {
            report.map(|report| IncidentSnapshot {
                part,
                reason: report.reason,
                detail: report.detail,
                consequence: report.consequence,
                cure: "",
                since: before(now, report.since.elapsed()),
                times: report.times,
            })
        };
        if shared.delivery_incident.current().is_some() {
            super::worker::say_if_full(shared);
        }
        let stall = self.source.stall();
        let stalled = stall.stalled_since.map(|since| IncidentSnapshot {
            part: RoutePart::Stall,
            reason: "stalled".to_string(),
            detail: stall.detail,
            consequence: format!("tried last: {}", stall.tried),
            cure: self.source.stall_cure(),
            since,
            times: 1,
        });
        let delivery = shared.delivery_incident.current().or_else(|| self.processor.incident());
        let incidents = [
            of(RoutePart::Source, shared.source_incident.current()),
            stalled,
            of(RoutePart::Checkpoint, shared.checkpoint_incident.current()),
            of(RoutePart::DeadLetters, shared.dead_letter_incident.current()),
            of(RoutePart::Room, shared.room_incident.current()),
            self.held(of(RoutePart::Delivery, delivery), now),
            of(RoutePart::Clock, shared.clock_incident.current()),
            of(RoutePart::Repeats, shared.repeat_incident.current()),
            of(RoutePart::Filter, shared.filter_incident.current()),
        ];
        incidents.into_iter().flatten().collect()
    }

    // Who looks at a growing lag must read what holds the position, also where others are delivered.
    fn held(&self, delivery: Option<IncidentSnapshot>, now: Timestamp) -> Option<IncidentSnapshot> {
        let holder = self.shared.queue.holder();
        let Some(holder) = holder.filter(|holder| READY_INCIDENT_MAX <= holder.since.elapsed()) else {
            return delivery;
        };
        let since = before(now, holder.since.elapsed());
        let mut held = delivery.unwrap_or_else(|| IncidentSnapshot {
            part: RoutePart::Delivery,
            reason: "held".to_string(),
            detail: "it is tried again and again".to_string(),
            consequence: String::new(),
            cure: "",
            since,
            times: 1,
        });
        held.since = held.since.min(since);
        let waiting = count(holder.events as u64, "event");
        held.detail +=
            &format!("; the position is held by {} since {since:.0}, waiting for it: {waiting}", holder.name);
        Some(held)
    }

    fn incident_ended(&self, now: Timestamp) -> Option<Timestamp> {
        let shared = &self.shared;
        let incidents = [
            &shared.source_incident,
            &shared.checkpoint_incident,
            &shared.dead_letter_incident,
            &shared.room_incident,
        ];
        let ended = incidents.iter().filter_map(|incident| incident.ended());
        let ended: Option<Instant> = ended.chain(shared.delivery_incident.ended()).max();
        ended.map(|ended| before(now, ended.elapsed()))
    }

    fn counts(&self) -> Counts {
        let stats = &self.shared.stats;
        let (delivery_buckets, delivery_seconds) = stats.delivery.get();
        Counts {
            read: stats.read.get(),
            delivered: stats.delivered.get() + self.shared.queue.completed(),
            filtered: stats.filtered.get(),
            unmatched: stats.unmatched.get(),
            dead_lettered: stats.dead_lettered.get(),
            lost: stats.lost.get(),
            gaps: stats.gaps.get(),
            pages: stats.pages.get(),
            reconnects: stats.reconnects.get(),
            retried: stats.retried.get(),
            source_failures: stats.source_failures.get(),
            anomalies: stats.anomalies.get(),
            delivery_buckets,
            delivery_seconds,
            names: stats.names.list(),
            targets: self.processor.target_counts(),
        }
    }
}

impl Watched for View {
    fn snapshot(&self) -> RouteSnapshot {
        let (now, stats) = (Timestamp::now(), &self.shared.stats);
        let gauge = self.shared.queue.gauge();
        let incidents = self.incidents(now);
        let lag_seconds = self.lag_seconds(&gauge, &incidents);
        RouteSnapshot {
            about: self.about.clone(),
            started: self.started,
            link: stats.link(),
            gap: stats.gap(),
            incidents,
            incident_ended: self.incident_ended(now),
            stall_tried: self.source.stall().tried,
            busy: self.busy(),
            outstanding: gauge.outstanding,
            waiting: gauge.waiting,
            // The earliest time stands for none: the queue has not begun.
            settled_to: (gauge.time != Timestamp::MIN).then_some(gauge.time),
            checkpoint: stats.checkpoint(),
            last_read: stats.last_read(),
            lag_seconds,
            catching_up: self.catching_up(&gauge, lag_seconds),
            counts: self.counts(),
        }
    }
}

fn before(now: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    now.checked_sub(time).unwrap_or(Timestamp::UNIX_EPOCH)
}
