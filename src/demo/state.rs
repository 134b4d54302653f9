//! Sessions, their collectors, and how a collector reads the history. No socket, thread or wait.

use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::history::History;
use super::record::{Draft, Record};
use super::script::Script;

/// All that the simulated vCenter knows.
pub(super) struct State {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) instance_uuid: String,
    pub(super) api_version: String,
    pub(super) clock_offset: SignedDuration,
    pub(super) collectors_max: usize,
    pub(super) session_idle_max: Duration,
    pub(super) records_kept_max: usize,
    pub(super) script: Script,
    pub(super) history: History,
    pub(super) next_key: i32,
    /// By the value of the cookie.
    pub(super) sessions: HashMap<String, Session>,
    pub(super) counts: Counts,
    /// Identifiers that were given out.
    pub(super) ids: u64,
}

/// What happened so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that were refused.
    pub logins_refused: u64,
    /// Sessions that their owner ended.
    pub logouts: u64,
    /// Sessions that ended otherwise.
    pub sessions_ended: u64,
    /// Event collectors that were created.
    pub(crate) collectors_created: u64,
    /// Events that were sent by `ReadNextEvents` and `ReadPreviousEvents`.
    pub events_read: u64,
    /// Calls by method.
    pub(crate) calls: BTreeMap<String, u64>,
}

/// One login. What it created ends with it.
pub(super) struct Session {
    pub(super) key: String,
    pub(super) user: String,
    pub(super) login_time: Timestamp,
    pub(super) active_time: Timestamp,
    pub(super) active: Instant,
    pub(super) address: String,
    pub(super) user_agent: String,
    pub(super) calls: u64,
    pub(super) collectors: HashMap<String, Collector>,
    pub(super) property_collectors: HashMap<String, PropertyCollector>,
}

/// An `EventHistoryCollector`.
pub(super) struct Collector {
    pub(super) filter: Filter,
    /// The place that is read next.
    place: u64,
    /// Events in `latestPage`.
    pub(super) page_size: usize,
}

/// An `EventFilterSpec`.
#[derive(Clone, Default)]
pub(super) struct Filter {
    /// The entity; none means all. Recursion is not looked at: an event belongs to every object
    /// that its arguments name.
    pub(super) entity: Option<String>,
    pub(super) begin: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) users: Vec<String>,
    pub(super) chain_id: Option<i32>,
    pub(super) categories: Vec<String>,
    pub(super) types: Vec<String>,
}

/// A `PropertyCollector` with its filters.
#[derive(Default)]
pub(super) struct PropertyCollector {
    pub(super) filters: BTreeMap<String, PropertyFilter>,
    /// The version of the last answer.
    pub(super) version: u64,
    /// The last answer said that more is waiting.
    pub(super) more: bool,
    /// Changes when a wait begins or is cancelled: a wait that sees a change has ended.
    pub(super) turn: u64,
}

/// A `PropertyFilter`.
pub(super) struct PropertyFilter {
    /// Types and values.
    pub(super) objects: Vec<(String, String)>,
    pub(super) paths: Vec<String>,
    /// The values were sent.
    pub(super) reported: bool,
    /// Events up to this place were looked at.
    pub(super) seen: u64,
}

impl State {
    /// The vCenter's clock, in the microseconds that its events have.
    pub(super) fn now(&self) -> Timestamp {
        let now = Timestamp::now().checked_add(self.clock_offset).unwrap_or(Timestamp::MAX);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// An identifier that was not given out before.
    pub(super) fn fresh_id(&mut self) -> String {
        self.ids += 1;
        let name = format!("{} {}", self.instance_uuid, self.ids);
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
    }

    /// Numbers, dates and records an event.
    pub(super) fn record(&mut self, draft: Draft) -> i32 {
        let key = draft.key.unwrap_or(self.next_key);
        self.next_key = key.wrapping_add_unsigned(1 + self.script.key_gap());
        let time = draft.time.or(self.script.record_time()).unwrap_or_else(|| self.now());
        self.history.push(Record { key, time, draft });
        self.history.forget_beyond(self.records_kept_max);
        key
    }

    /// The newest event, as `latestEvent` shows it.
    pub(super) fn latest_event(&self) -> Option<Arc<Record>> {
        self.script.latest_event(&self.history)
    }

    /// The session of a cookie, if it lives. Counts as activity.
    pub(super) fn session(&mut self, cookie: &str) -> Result<&mut Session, Fault> {
        let now = self.now();
        if self.sessions.get(cookie).is_some_and(|session| self.session_idle_max < session.active.elapsed()) {
            self.end_session(cookie);
        }
        let session = self.sessions.get_mut(cookie).ok_or(Fault::NotAuthenticated)?;
        session.active = Instant::now();
        session.active_time = now;
        session.calls += 1;
        Ok(session)
    }

    /// Ends a session from outside.
    pub(super) fn end_session(&mut self, cookie: &str) {
        if self.sessions.remove(cookie).is_some() {
            self.counts.sessions_ended += 1;
        }
    }

    /// Ends all sessions from outside.
    pub(super) fn end_sessions(&mut self) {
        self.counts.sessions_ended += self.sessions.len() as u64;
        self.sessions.clear();
    }

    /// Event collectors of all sessions.
    pub(super) fn collectors(&self) -> usize {
        self.sessions.values().map(|session| session.collectors.len()).sum()
    }
}

impl Collector {
    /// Stands before the oldest event of the filter.
    pub(super) fn new(filter: Filter, page_size: usize, history: &History) -> Collector {
        let mut collector = Collector { filter, place: 0, page_size };
        collector.rewind(history);
        collector
    }

    /// Back to the oldest event.
    pub(super) fn rewind(&mut self, history: &History) {
        self.place = self.oldest(history);
    }

    /// To the beginning of the latest page.
    pub(super) fn reset(&mut self, history: &History) {
        self.place =
            self.rows_back(history, history.end(), self.page_size).last().map_or(history.end(), |row| row.0);
    }

    /// The next newer events. The server takes `count` rows and then removes those that the account
    /// may not see; if none is left, it does not advance.
    pub(super) fn read_next(&mut self, history: &History, count: usize) -> Vec<Arc<Record>> {
        let mut rows = 0;
        let mut visible = Vec::new();
        let mut place = self.place.max(history.begin());
        while place < history.end() && rows < count {
            if let Some(record) = history.get(place).filter(|record| self.filter.holds(record)) {
                rows += 1;
                if !record.draft.invisible {
                    visible.push(record);
                }
            }
            place += 1;
        }
        if !visible.is_empty() || rows == 0 {
            self.place = place;
        }
        visible
    }

    /// The next older events, the newest of them first.
    pub(super) fn read_previous(&mut self, history: &History, count: usize) -> Vec<Arc<Record>> {
        let rows = self.rows_back(history, self.place, count);
        if let Some((place, _)) = rows.last() {
            self.place = *place;
        }
        rows.into_iter().map(|row| row.1).filter(|record| !record.draft.invisible).collect()
    }

    /// The newest events, newest first.
    pub(super) fn latest_page(&self, history: &History) -> Vec<Arc<Record>> {
        let rows = self.rows_back(history, history.end(), self.page_size);
        rows.into_iter().map(|row| row.1).filter(|record| !record.draft.invisible).collect()
    }

    /// Whether `latestPage` changed since `place` was the end of the history.
    pub(super) fn is_changed_since(&self, history: &History, place: u64) -> bool {
        (place.max(history.begin())..history.end())
            .filter_map(|place| history.get(place))
            .any(|record| !record.draft.invisible && self.filter.holds(&record))
    }

    fn rows_back(&self, history: &History, before: u64, count: usize) -> Vec<(u64, Arc<Record>)> {
        (self.oldest(history)..before)
            .rev()
            .filter_map(|place| history.get(place).map(|record| (place, record)))
            .filter(|(_, record)| self.filter.holds(record))
            .take(count)
            .collect()
    }

    fn oldest(&self, history: &History) -> u64 {
        self.filter.begin.map_or(history.begin(), |begin| history.place_of(begin))
    }
}

impl Filter {
    fn holds(&self, record: &Record) -> bool {
        let draft = &record.draft;
        self.begin.is_none_or(|begin| begin <= record.time)
            && self.end.is_none_or(|end| record.time <= end)
            && (self.types.is_empty() || self.types.iter().any(|ty| ty == draft.topic()))
            && (self.users.is_empty() || self.users.contains(&draft.user))
            && (self.categories.is_empty() || self.categories.iter().any(|one| one == draft.category()))
            && self.chain_id.is_none_or(|id| id == draft.chain_id.unwrap_or(record.key))
            && self.entity.as_ref().is_none_or(|entity| draft.place.names(entity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(visible: &[bool]) -> History {
        History::of(visible.iter().enumerate().map(|(n, visible)| Record {
            key: n as i32,
            time: Timestamp::from_second(n as i64 / 2).unwrap(),
            draft: Draft { invisible: !visible, ..Draft::vm("VmPoweredOnEvent", "a", "vm-1") },
        }))
    }

    fn keys(records: &[Arc<Record>]) -> Vec<i32> {
        records.iter().map(|record| record.key).collect()
    }

    #[test]
    fn begin_is_inclusive_and_pages_go_both_ways() {
        let mut history = history(&[true; 8]);
        let begin = Some(Timestamp::from_second(1).unwrap());
        let mut collector = Collector::new(Filter { begin, ..Filter::default() }, 3, &history);
        assert_eq!(keys(&collector.read_next(&history, 4)), [2, 3, 4, 5]);
        assert_eq!(keys(&collector.read_next(&history, 4)), [6, 7]);
        assert!(collector.read_next(&history, 4).is_empty());
        history.push(Record { key: -1, time: Timestamp::from_second(9).unwrap(), draft: Draft::default() });
        assert_eq!(keys(&collector.read_next(&history, 4)), [-1]);
        assert_eq!(keys(&collector.read_previous(&history, 2)), [-1, 7]);
        collector.reset(&history);
        assert_eq!(keys(&collector.read_previous(&history, 10)), [5, 4, 3, 2]);
        collector.rewind(&history);
        assert_eq!(keys(&collector.read_next(&history, 1)), [2]);
        assert_eq!(keys(&collector.latest_page(&history)), [-1, 7, 6]);
    }

    #[test]
    fn a_span_of_invisible_events_as_long_as_the_page_is_never_passed() {
        let mut history = history(&[true, false, false, false]);
        let mut collector = Collector::new(Filter::default(), 1, &history);
        assert_eq!(keys(&collector.read_next(&history, 2)), [0]);
        assert!(collector.read_next(&history, 2).is_empty());
        history.push(Record { key: 9, time: Timestamp::from_second(9).unwrap(), draft: Draft::default() });
        assert!(collector.read_next(&history, 2).is_empty());
        assert_eq!(keys(&collector.read_next(&history, 3)), [9], "the span is shorter than this page");
    }

    #[test]
    fn filters_by_type_object_and_chain() {
        let history = history(&[true; 3]);
        let read = |filter: Filter| Collector::new(filter, 1, &history).read_next(&history, 9).len();
        assert_eq!(read(Filter { types: vec!["VmPoweredOffEvent".into()], ..Filter::default() }), 0);
        assert_eq!(read(Filter { types: vec!["VmPoweredOnEvent".into()], ..Filter::default() }), 3);
        assert_eq!(read(Filter { entity: Some("vm-1".into()), ..Filter::default() }), 3);
        assert_eq!(read(Filter { entity: Some("vm-2".into()), ..Filter::default() }), 0);
        assert_eq!(read(Filter { categories: vec!["info".into()], ..Filter::default() }), 3);
        assert_eq!(read(Filter { categories: vec!["error".into()], ..Filter::default() }), 0);
        assert_eq!(read(Filter { chain_id: Some(1), ..Filter::default() }), 1);
    }
}
