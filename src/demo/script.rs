//! What goes wrong in the simulated vCenter, and when.

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

use super::fault::Fault;
use super::history::History;
use super::record::Record;

/// The ways in which this vCenter is not a healthy one. The default is healthy.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// Single failures by call.
    pub(crate) rules: Vec<Rule>,
    /// Every `ReadNextEvents` takes this long.
    pub(crate) page_delay: Duration,
    /// Collectors show no new events and `latestPage` does not change, as on a vCenter whose keys
    /// have run over; `latestEvent` still moves.
    pub pages_stay_empty: bool,
    /// Collectors without an end show nothing that was recorded later than this, nor does their
    /// `latestPage`; one of a span that is over shows what is in it.
    pub(crate) endless_end: Option<Timestamp>,
    /// What `EventManager.latestEvent` shows.
    pub latest_event: LatestEvent,
    /// Every answer of `WaitForUpdatesEx` says that more is waiting, once.
    pub(crate) updates_truncated: bool,
    /// A filter with an `eventTypeId` that the vCenter does not describe is refused.
    pub(crate) unknown_types_refused: bool,
    /// A `SOAPAction` with a version that is not listed in `vimServiceVersions.xml` is refused. Clients
    /// that are newer than their vCenter are common and work, so the default is to accept it.
    pub(crate) unknown_versions_refused: bool,
    /// All events are recorded with this time instead of the present.
    pub frozen_clock: Option<Timestamp>,
    /// Between the keys of two events lie this many that no event has.
    pub(crate) key_gap: u32,
    /// Each page has its newest event first.
    pub(crate) newest_first: bool,
    /// Settings of the vCenter in place of the common ones; an empty one it does not have.
    pub(crate) options: Vec<(&'static str, &'static str)>,
    /// Privileges that the account lacks.
    pub(crate) denied: Vec<&'static str>,
}

impl Script {
    /// The effect of the first rule that strikes at this call.
    pub(super) fn strike(&mut self, call: &str) -> Option<Effect> {
        self.rules.iter_mut().find_map(|rule| rule.strike(call))
    }

    pub(super) fn key_gap(&self) -> u32 {
        self.key_gap
    }

    pub(super) fn record_time(&self) -> Option<Timestamp> {
        self.frozen_clock
    }

    pub(super) fn latest_event(&self, history: &History) -> Option<Arc<Record>> {
        match self.latest_event {
            LatestEvent::Newest => history.latest(),
            LatestEvent::Absent => None,
            LatestEvent::Fixed(key) => (history.begin()..history.end())
                .filter_map(|place| history.get(place))
                .find(|record| record.key == key),
        }
    }

    pub(super) fn option(&self, key: &str) -> Option<&'static str> {
        self.options.iter().find(|(own, _)| *own == key).map(|(_, value)| *value)
    }

    pub(super) fn is_denied(&self, privilege: &str) -> bool {
        self.denied.contains(&privilege)
    }

    pub(super) fn newest_first(&self) -> bool {
        self.newest_first
    }

    pub(super) fn page_delay(&self) -> Duration {
        self.page_delay
    }

    pub(super) fn pages_stay_empty(&self) -> bool {
        self.pages_stay_empty
    }

    pub(super) fn endless_end(&self) -> Option<Timestamp> {
        self.endless_end
    }

    pub(super) fn updates_truncated(&self) -> bool {
        self.updates_truncated
    }

    pub(super) fn unknown_types_refused(&self) -> bool {
        self.unknown_types_refused
    }

    pub(super) fn unknown_versions_refused(&self) -> bool {
        self.unknown_versions_refused
    }
}

/// What `EventManager.latestEvent` shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LatestEvent {
    /// The newest event.
    #[default]
    Newest,
    /// The property is not set, as in vcsim.
    Absent,
    /// The event with this key for ever, if it exists.
    Fixed(i32),
}

/// A failure of some calls.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The method, such as `ReadNextEvents`; `*` is any call.
    pub(crate) call: String,
    /// Calls that go well first.
    pub(crate) skip: u64,
    /// Of the calls from then on, every how many-th fails.
    pub(crate) every: u64,
    /// How many fail before the rule is spent; none means until it is cleared.
    pub(crate) times: Option<u64>,
    /// How they fail.
    pub(crate) effect: Effect,
}

impl Rule {
    /// The next such call fails.
    pub fn once(call: &str, effect: Effect) -> Rule {
        Rule { call: call.to_string(), skip: 0, every: 1, times: Some(1), effect }
    }

    /// All such calls fail until the rule is cleared.
    pub fn always(call: &str, effect: Effect) -> Rule {
        Rule { times: None, ..Rule::once(call, effect) }
    }

    /// Only after this many calls went well.
    #[must_use]
    pub fn after(self, skip: u64) -> Rule {
        Rule { skip, ..self }
    }

    /// This many calls fail.
    #[must_use]
    pub fn times(self, times: u64) -> Rule {
        Rule { times: Some(times), ..self }
    }

    /// Every `every`-th call fails.
    #[must_use]
    pub fn every(self, every: u64) -> Rule {
        Rule { every: every.max(1), ..self }
    }

    /// Counts a call; the effect, if this one fails.
    pub(super) fn strike(&mut self, call: &str) -> Option<Effect> {
        if (self.call != "*" && self.call != call) || self.times == Some(0) {
            return None;
        }
        if 0 < self.skip {
            self.skip -= 1;
            return None;
        }
        self.skip = self.every - 1;
        self.times = self.times.map(|times| times - 1);
        Some(self.effect.clone())
    }
}

/// How a call fails.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A SOAP fault with status 500. The call is not executed.
    Fault(Fault),
    /// The properties that were asked for come as `missingSet` with this fault, in an answer with
    /// status 200: for `RetrievePropertiesEx` and `WaitForUpdatesEx`.
    MissingSet(Fault),
    /// An HTML page with this status, as the proxy in front of a vCenter that is starting sends it.
    /// The call is not executed.
    Status(u16),
    /// This body with status 200 and a type of text/xml. The call is not executed.
    Garbage(Vec<u8>),
    /// The call is executed, and this body sent with status 200 in place of its answer; perhaps with a
    /// `Content-Encoding`.
    Instead(Vec<u8>, Option<&'static str>),
    /// No answer, for this time or until the client leaves; then the connection is closed. The call
    /// is not executed.
    Hang(Option<Duration>),
    /// The call is executed, and its answer comes this much later.
    Delay(Duration),
    /// The call is executed and the connection reset instead of the answer.
    Reset,
    /// The call is executed and the connection closed after this many bytes of the answer's body.
    Truncate(usize),
    /// The call is executed and its answer sent byte by byte with this pause.
    Trickle(Duration),
    /// The call is executed and its answer followed by white space up to this many bytes.
    Inflate(usize),
    /// The session of the call is ended before it is executed.
    EndSession,
    /// All sessions are ended before the call is executed.
    EndAllSessions,
    /// The collectors of the session are destroyed before the call is executed.
    EndCollectors,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_strike_when_they_say() {
        let strikes = |mut rule: Rule| -> String {
            (0..8).map(|_| if rule.strike("A").is_some() { 'x' } else { '.' }).collect()
        };
        assert_eq!(strikes(Rule::once("A", Effect::Reset)), "x.......");
        assert_eq!(strikes(Rule::once("A", Effect::Reset).after(2)), "..x.....");
        assert_eq!(strikes(Rule::once("A", Effect::Reset).times(3).after(1)), ".xxx....");
        assert_eq!(strikes(Rule::always("*", Effect::Reset)), "xxxxxxxx");
        assert_eq!(strikes(Rule::always("A", Effect::Reset).every(3).after(1)), ".x..x..x");
        assert_eq!(strikes(Rule::always("B", Effect::Reset)), "........");
    }
}
