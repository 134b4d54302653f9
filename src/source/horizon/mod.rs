//! Horizon: the audit events of a pod, asked for by spans of time over its REST interface.
//!
//! Each reading begins a little before the newest event, because connection servers record side by side;
//! what was read of that span is known. A span with more events than one answer holds is narrowed until
//! it fits, so that events come in their order and a backlog costs no memory.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Format;
use crate::error::{Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::client::{Client, ClientSettings};
use crate::limits::{
    HORIZON_AHEAD, HORIZON_DETAILS_MAX, HORIZON_LOOKBACK, HORIZON_NARROWINGS_MAX, HORIZON_PAGE_EVENTS,
    HORIZON_PAGES_MAX, HORIZON_POLL_WAIT_MAX, HORIZON_POLL_WAIT_MIN, PURGE_CHECK_AGE,
};
use crate::observe::logger::Logger;
use crate::order;
use crate::source::{Opened, Page, Source, SourceError, SourceFailure};
use crate::stop::Stop;

mod audit;
mod kind;
mod session;
pub(crate) mod settings;

use audit::{Between, Shape};
use session::Session;
use settings::HorizonConfig;

/// The audit events of one pod.
struct Horizon {
    logger: Logger,
    config: HorizonConfig,
    client: Client,
    shape: Shape,
    session: Option<Session>,
    // The connection server that is tried first.
    preferred: usize,
    scan: Scan,
    poll_wait: Duration,
    tried: Option<u64>,
}

/// How far the history was read, in milliseconds.
#[derive(Debug, Default)]
struct Scan {
    // Nothing before this is asked for.
    begin: i64,
    from: i64,
    // How long a span may be that fits in one answer; none asks for all.
    width: Option<i64>,
    // Of the newest event.
    newest: i64,
    // Time and number of what was read lately.
    seen: BTreeSet<(i64, i64)>,
}

impl Horizon {
    /// A source that is not connected yet.
    ///
    /// # Errors
    /// When the connection settings cannot be used.
    fn new(name: &str, config: &HorizonConfig, format: Format) -> Result<Horizon> {
        let client = Client::new(&ClientSettings { connection: &config.connection, connections_max: 1 })?;
        Ok(Horizon {
            logger: Logger::source(name),
            shape: Shape { source: config.address.as_str().into(), format },
            config: config.clone(),
            client,
            session: None,
            preferred: 0,
            scan: Scan::default(),
            poll_wait: HORIZON_POLL_WAIT_MIN,
            tried: None,
        })
    }

    /// Logs in at the first connection server that lets us. One that refuses the account ends the
    /// search: the others would count as further wrong passwords.
    fn login(&mut self) -> Result<Session, SourceError> {
        let addresses = addresses_of(&self.config);
        let mut failures = Vec::new();
        for offset in 0..addresses.len() {
            let place = (self.preferred + offset) % addresses.len();
            match Session::login(&self.client, &addresses[place], &self.config) {
                Ok(session) => {
                    if place != self.preferred {
                        log::warn!(target: &self.logger, "{}; going on with {}", failures.join("; "), addresses[place]);
                        self.preferred = place;
                    }
                    return Ok(session);
                }
                Err(error) if error.failure == SourceFailure::LoginRefused => return Err(error),
                Err(error) => failures.push(error.to_string()),
            }
        }
        Err(SourceError::lost(Error::new(failures.join("; "))))
    }

    fn credentials(&self) -> Option<u64> {
        let (username, password) = (self.config.username.read().ok()?, self.config.password.read().ok()?);
        Some(fingerprint::<_>(Ok::<_, Error>((username, password))))
    }

    /// The next span with all of its events, oldest first.
    fn read_span(&mut self) -> Result<Page, SourceError> {
        let Horizon { session: Some(session), config, shape, scan, .. } = self else {
            return Err(SourceError::lost(Error::new("read audit events: the source is not open")));
        };
        for _ in 0..HORIZON_NARROWINGS_MAX {
            let span = scan.span(session.now);
            let mut answers = Vec::new();
            for page in 1..=HORIZON_PAGES_MAX {
                let answer = session.get(&audit::list_path(span, page, HORIZON_PAGE_EVENTS), config)?;
                let is_last =
                    answer.header("has_more_records").is_none_or(|more| !more.eq_ignore_ascii_case("true"));
                answers.push(answer.body);
                // What cannot be narrowed is read page by page.
                if is_last || span.from < span.to {
                    break;
                }
            }
            let mut entries = Vec::new();
            for body in &answers {
                entries.extend(audit::entries(body).map_err(SourceError::lost)?);
            }
            // A server that says nothing of more, and gives a full page, may have more.
            let is_full = answers.len() == 1 && HORIZON_PAGE_EVENTS <= entries.len();
            if is_full && span.from < span.to {
                scan.narrow(span, entries.iter().filter_map(|entry| entry.time).min());
                continue;
            }
            order::sort_by_key(&mut entries, |entry| (entry.time, entry.id));
            entries.retain(|entry| scan.is_new(entry.time, entry.id));
            let ids: Vec<i64> = entries.iter().filter_map(|entry| entry.id).collect();
            let mut items = Vec::with_capacity(entries.len());
            let details = if config.details { ids.chunks(HORIZON_DETAILS_MAX) } else { [].chunks(1) };
            let mut bodies = Vec::new();
            for ids in details {
                bodies.push(session.get(&audit::details_path(ids), config)?.body);
            }
            let mut known = std::collections::BTreeMap::new();
            for body in &bodies {
                known.extend(audit::details(body).map_err(SourceError::lost)?);
            }
            for entry in &entries {
                items.push(shape.item(entry, entry.id.and_then(|id| known.get(&id).copied())));
            }
            let more = scan.pass(span, session.now);
            return Ok(Page { items, more, ..Page::default() });
        }
        Err(SourceError::lost(Error::new(
            "read audit events: no span of time is short enough for one answer",
        )))
    }

    /// Whether nothing is left of what was there at `begin`.
    fn is_purged(&mut self, begin: Timestamp) -> Result<bool, SourceError> {
        let Some(session) = &mut self.session else { return Ok(false) };
        let age = session.now.duration_since(begin);
        if age.unsigned_abs() < PURGE_CHECK_AGE {
            return Ok(false);
        }
        let before = Between { from: 0, to: begin.as_millisecond() };
        let answer = session.get(&audit::list_path(before, 1, 1), &self.config)?;
        Ok(audit::entries(&answer.body).map_err(SourceError::lost)?.is_empty())
    }
}

fn addresses_of(config: &HorizonConfig) -> Vec<String> {
    std::iter::once(&config.address).chain(&config.fallback).cloned().collect()
}

impl Scan {
    fn at(begin: i64) -> Scan {
        Scan { begin, from: begin, newest: begin, ..Scan::default() }
    }

    /// What to ask for next. Where all is asked for, that reaches beyond the server's present: clocks
    /// differ.
    fn span(&self, now: Timestamp) -> Between {
        let end = now.as_millisecond() + HORIZON_AHEAD.as_millis() as i64;
        let to = self.width.map_or(end, |width| self.from.saturating_add(width).min(end));
        Between { from: self.from, to: to.max(self.from) }
    }

    /// The answer holds the newest events of the span, down to `oldest`, and there may be more.
    fn narrow(&mut self, span: Between, oldest: Option<i64>) {
        let half = (oldest.unwrap_or(span.to).min(span.to) - span.from).max(0) / 2;
        self.width = Some(half.min((span.to - span.from) / 2));
    }

    /// Notes an entry; false when it was read before. What has no place is new each time: the reader
    /// knows it by its content.
    fn is_new(&mut self, time: Option<i64>, id: Option<i64>) -> bool {
        let (Some(time), Some(id)) = (time, id) else { return true };
        self.newest = self.newest.max(time);
        self.seen.insert((time, id))
    }

    /// The span was read. True when there is more to read at once.
    fn pass(&mut self, span: Between, now: Timestamp) -> bool {
        let now = now.as_millisecond();
        if let Some(width) = self.width.filter(|_| span.to < now) {
            self.from = span.to + 1;
            self.width = Some(width.saturating_mul(2).max(1));
            self.forget(self.from);
            return true;
        }
        self.width = None;
        // An event that is dated ahead does not hide those of the present.
        self.from = (self.newest.min(now) - HORIZON_LOOKBACK.as_millis() as i64).max(self.begin);
        self.forget(self.from);
        false
    }

    fn forget(&mut self, before: i64) {
        let lookback = HORIZON_LOOKBACK.as_millis() as i64;
        self.seen = self.seen.split_off(&(before - lookback, i64::MIN));
    }
}

impl Source for Horizon {
    fn open(&mut self, begin: Option<Timestamp>) -> Result<Opened, SourceError> {
        self.close();
        self.tried = self.credentials();
        let session = self.login()?;
        let now = session.now;
        self.session = Some(session);
        let begin = begin.unwrap_or(now);
        let is_purged = self.is_purged(begin)?;
        self.scan = Scan::at(begin.as_millisecond());
        self.poll_wait = HORIZON_POLL_WAIT_MIN;
        let place = &addresses_of(&self.config)[self.preferred];
        let description = format!("Horizon audit events of {place}");
        Ok(Opened { identity: self.config.address.clone(), begin, now, description, is_purged })
    }

    fn read(&mut self) -> Result<Page, SourceError> {
        let page = self.read_span();
        match &page {
            Ok(page) if !page.items.is_empty() => self.poll_wait = HORIZON_POLL_WAIT_MIN,
            Ok(_) => {}
            // Another connection server may do better.
            Err(_) => self.preferred = (self.preferred + 1) % (1 + self.config.fallback.len()),
        }
        page
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> Result<(), SourceError> {
        if self.scan.width.is_none() {
            stop.wait(self.poll_wait.min(longest));
            self.poll_wait = (self.poll_wait * 2).min(HORIZON_POLL_WAIT_MAX);
        }
        Ok(())
    }

    fn has_new_credentials(&self) -> bool {
        let now = self.credentials();
        now.is_some() && now != self.tried
    }

    fn close(&mut self) {
        if let Some(mut session) = self.session.take() {
            session.logout();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a history of times, each with its place as number, through answers of at most `most`.
    fn read(times: &[i64], begin: i64, now: i64, most: usize) -> (Vec<i64>, usize) {
        let now = Timestamp::from_millisecond(now).unwrap();
        let mut scan = Scan::at(begin);
        let (mut read, mut asked) = (Vec::new(), 0);
        loop {
            asked += 1;
            assert!(asked < 10_000, "no end");
            let span = scan.span(now);
            let mut found: Vec<(i64, i64)> =
                times.iter().enumerate().map(|(id, time)| (*time, id as i64)).collect();
            found.retain(|(time, _)| span.from <= *time && *time <= span.to);
            found.sort_unstable();
            let is_full = most <= found.len();
            let newest =
                found.split_off(found.len().saturating_sub(if span.from < span.to { most } else { 1 << 20 }));
            if is_full && span.from < span.to {
                scan.narrow(span, newest.iter().map(|(time, _)| *time).min());
                continue;
            }
            read.extend(
                newest.into_iter().filter(|(time, id)| scan.is_new(Some(*time), Some(*id))).map(|(_, id)| id),
            );
            if !scan.pass(span, now) {
                return (read, asked);
            }
        }
    }

    #[test]
    fn a_backlog_is_read_in_order_and_whole() {
        let mut random = crate::testing::Random::from_test("a_backlog_is_read_in_order_and_whole");
        for _ in 0..50 {
            let count = random.below(3000);
            let mut times: Vec<i64> =
                (0..count).map(|_| 1_000_000 + random.below(200_000) as i64 * 7).collect();
            times.sort_unstable();
            let (ids, asked) = read(&times, 0, 3_000_000, 50);
            assert_eq!(ids, (0..count as i64).collect::<Vec<_>>());
            assert!(asked < 60 + count, "{asked} requests for {count} events");
        }
    }

    #[test]
    fn many_events_of_one_moment_are_read_page_by_page() {
        let times = vec![5_000_000; 400];
        assert_eq!(read(&times, 0, 6_000_000, 50).0.len(), 400);
    }

    #[test]
    fn what_is_read_again_is_known_and_what_comes_late_is_new() {
        let now = Timestamp::from_millisecond(1_000_000).unwrap();
        let mut scan = Scan::at(900_000);
        let span = scan.span(now);
        assert!(scan.is_new(Some(950_000), Some(2)) && scan.is_new(Some(950_000), Some(1)));
        assert!(!scan.pass(span, now));
        let again = scan.span(now);
        assert_eq!(again.from, 900_000, "not before the begin");
        assert!(!scan.is_new(Some(950_000), Some(2)), "known");
        assert!(scan.is_new(Some(949_000), Some(3)), "recorded late");
        // Dated an hour ahead: it is read, and the present goes on.
        assert!(scan.is_new(Some(4_600_000), Some(4)));
        scan.pass(again, now);
        assert!(scan.from <= 1_000_000);
    }
}
