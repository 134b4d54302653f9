//! The simulated vCenter as its users see it: start, push events, break things, count, stop.

use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::calls;
#[cfg(feature = "faults")]
use super::effects;
use super::fault::Fault;
use super::history::History;
use super::record::{Draft, Record};
#[cfg(feature = "faults")]
use super::script::Rule;
use super::script::Script;
use super::shared::{Context, Shared};
use super::soap;
use super::state::{Counts, State};
use crate::error::Result;
use crate::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use crate::limits;

/// What the vCenter is at the start.
#[derive(Clone)]
pub struct Settings {
    /// `host:port` to listen on; port 0 is any free one.
    pub address: String,
    /// The only account.
    pub username: String,
    /// Its password.
    pub password: String,
    /// `about.instanceUuid`.
    pub instance_uuid: String,
    /// `about.apiVersion`, and the newest version that is spoken.
    pub api_version: String,
    /// How far the vCenter's clock is ahead of ours.
    pub clock_offset: SignedDuration,
    /// Events that are there already.
    pub history: History,
    /// Key of the first event that is pushed; none means one more than the newest of `history`.
    pub first_key: Option<i32>,
    /// Event collectors that one session may have.
    pub collectors_max: usize,
    /// A session that is not used for longer ends.
    pub session_idle_max: Duration,
    /// Pushed events that are kept; older ones are dropped.
    pub records_kept_max: usize,
    /// What goes wrong.
    pub script: Script,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            address: "127.0.0.1:0".into(),
            username: "router@vsphere.local".into(),
            password: "simulated".into(),
            instance_uuid: "7d1c2f60-5b0a-4c8e-9a55-3a1f0f6c2b11".into(),
            api_version: "8.0.3.0".into(),
            clock_offset: SignedDuration::ZERO,
            history: History::empty(),
            first_key: None,
            collectors_max: 32,
            session_idle_max: Duration::from_secs(30 * 60),
            records_kept_max: 1_000_000,
            script: Script::default(),
        }
    }
}

/// A running vCenter. Dropping it stops it.
pub struct Simulator {
    shared: Arc<Shared>,
    server: Option<Server>,
    address: String,
}

impl Simulator {
    /// Starts it.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(settings: Settings) -> Result<Simulator> {
        let latest = settings.history.latest();
        let state = State {
            username: settings.username,
            password: settings.password,
            instance_uuid: settings.instance_uuid,
            api_version: settings.api_version,
            clock_offset: settings.clock_offset,
            collectors_max: settings.collectors_max,
            session_idle_max: settings.session_idle_max,
            records_kept_max: settings.records_kept_max,
            script: settings.script,
            next_key: settings
                .first_key
                .unwrap_or_else(|| latest.map_or(1, |record| record.key.wrapping_add(1))),
            history: settings.history,
            sessions: HashMap::new(),
            counts: Counts::default(),
            ids: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let mut simulator = Simulator { shared, server: None, address: settings.address };
        simulator.bring_up()?;
        Ok(simulator)
    }

    /// `http://host:port/sdk`. It stays the same until the simulator is dropped.
    pub fn url(&self) -> String {
        format!("http://{}/sdk", self.address)
    }

    /// The account that can log in.
    pub fn username(&self) -> String {
        self.shared.lock().username.clone()
    }

    /// Its password.
    pub fn password(&self) -> String {
        self.shared.lock().password.clone()
    }

    /// Changes the password. Sessions stay.
    pub fn set_password(&self, password: &str) {
        self.shared.lock().password = password.to_string();
    }

    /// Records an event and wakes the long polls; its key.
    pub fn push(&self, draft: Draft) -> i32 {
        self.change(|state| state.record(draft))
    }

    /// Records events at once, so that a reader sees all or none; their keys.
    pub fn push_many(&self, drafts: impl IntoIterator<Item = Draft>) -> Vec<i32> {
        self.change(|state| drafts.into_iter().map(|draft| state.record(draft)).collect())
    }

    /// The events that are kept, the oldest first. Makes those of a generated history.
    pub fn records(&self) -> Vec<Arc<Record>> {
        let history = self.shared.lock().history.clone();
        (history.begin()..history.end()).filter_map(|place| history.get(place)).collect()
    }

    /// Adds a failure. Of several rules for a call, the first that was added strikes.
    #[cfg(feature = "faults")]
    pub fn set_fault(&self, rule: Rule) {
        self.shared.lock().script.rules.push(rule);
    }

    /// Removes all failures of calls.
    #[cfg(feature = "faults")]
    pub fn clear_faults(&self) {
        self.shared.lock().script.rules.clear();
    }

    /// Changes the script.
    #[cfg(feature = "faults")]
    pub fn script(&self, change: impl FnOnce(&mut Script)) {
        self.change(|state| change(&mut state.script));
    }

    /// Ends all sessions, as a restart of the vCenter service or an administrator does.
    pub fn end_sessions(&self) {
        self.change(State::end_sessions);
    }

    /// The key of the next event: to run over the end of the key space, or to begin it again.
    pub fn set_next_key(&self, key: i32) {
        self.shared.lock().next_key = key;
    }

    /// Changes the identity, as a rebuilt vCenter has another one.
    pub fn set_instance_uuid(&self, uuid: &str) {
        self.shared.lock().instance_uuid = uuid.to_string();
    }

    /// Moves the vCenter's clock.
    pub fn set_clock_offset(&self, offset: SignedDuration) {
        self.shared.lock().clock_offset = offset;
    }

    /// The vCenter's clock.
    pub fn now(&self) -> Timestamp {
        self.shared.lock().now()
    }

    /// Drops events that were recorded before `time`, as the retention does.
    pub fn forget_before(&self, time: Timestamp) {
        self.change(|state| state.history.forget_before(time));
    }

    /// Drops all events.
    pub fn forget_all(&self) {
        self.change(|state| state.history.forget_all());
    }

    /// Sessions that live.
    pub fn open_sessions(&self) -> usize {
        self.shared.lock().sessions.len()
    }

    /// Event collectors that live.
    pub fn open_collectors(&self) -> usize {
        self.shared.lock().collectors()
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts.clone()
    }

    /// How often a method was called so far, failed calls included.
    pub fn calls(&self, method: &str) -> u64 {
        self.shared.lock().counts.calls.get(method).copied().unwrap_or(0)
    }

    /// Waits until something that calls or pushes change is as it should be; false when `longest`
    /// has passed before.
    pub fn wait_until(&self, longest: Duration, mut is_so: impl FnMut(&Simulator) -> bool) -> bool {
        let deadline = std::time::Instant::now() + longest;
        loop {
            if is_so(self) {
                return true;
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            let slice = left.min(Duration::from_millis(10));
            drop(crate::sync::unpoisoned(self.shared.changed.wait_timeout(self.shared.lock(), slice)));
        }
    }

    /// Stops listening and ends all connections and sessions, as a vCenter that is shut down. The
    /// history stays.
    pub fn take_down(&mut self) {
        self.server = None;
        self.end_sessions();
    }

    /// Listens again at the same address.
    ///
    /// # Errors
    /// When the address is taken meanwhile.
    pub fn bring_up(&mut self) -> Result<()> {
        if self.server.is_some() {
            return Ok(());
        }
        let settings = ServerSettings {
            connections_max: limits::SIMULATOR_CONNECTIONS_MAX,
            idle_wait_max: limits::SIMULATOR_IDLE_WAIT_MAX,
            ..ServerSettings::default()
        };
        let shared = self.shared.clone();
        let server = Server::start(&self.address, settings, move |request| handle(&shared, request))?;
        self.address = server.address().to_string();
        self.server = Some(server);
        Ok(())
    }

    /// Stops it for good.
    #[cfg(feature = "faults")]
    pub fn stop(mut self) {
        self.take_down();
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.shared.lock());
        self.shared.changed.notify_all();
        changed
    }
}

fn handle(shared: &Shared, request: &InRequest) -> Reply {
    match (request.method.as_str(), request.path()) {
        ("GET", "/sdk/vimServiceVersions.xml") => {
            #[cfg(feature = "faults")]
            if let Some(reply) = effects::at_versions(shared) {
                return reply;
            }
            Reply::Answer(Answer::new(200, "text/xml", versions_document(&shared.lock().api_version)))
        }
        ("POST", "/sdk" | "/sdk/" | "/sdk/vimService") => handle_call(shared, request),
        _ => Reply::Answer(Answer::new(404, "text/html", "<html><body><h1>404 Not Found</h1></body></html>")),
    }
}

fn handle_call(shared: &Shared, request: &InRequest) -> Reply {
    let call = match soap::parse_call(&request.body) {
        Ok(call) => call,
        Err(fault) => return Reply::Answer(soap::http_answer(500, soap::fault_answer(&fault))),
    };
    let context = Context { cookie: cookie(request), missing: None, request };
    #[cfg(feature = "faults")]
    return effects::at_call(shared, &call, context, answer);
    #[cfg(not(feature = "faults"))]
    {
        shared.count(&call);
        Reply::Answer(answer(shared, &call, &context))
    }
}

fn answer(shared: &Shared, call: &soap::Call, context: &Context<'_>) -> Answer {
    let outcome = match unsupported_version(shared, context.request) {
        Some(fault) => Err(fault),
        None => calls::execute(shared, call, context),
    };
    match outcome {
        Ok(done) => {
            let answer = soap::http_answer(200, soap::answer(&call.method, &done.results));
            match done.cookie.or_else(|| anonymous_cookie(shared, context)) {
                // The value is quoted, as a real vCenter does.
                Some(value) => answer
                    .header("Set-Cookie", format!("{COOKIE}=\"{value}\"; Path=/; HttpOnly; SameSite=Lax")),
                None => answer,
            }
        }
        Err(fault) => soap::http_answer(500, soap::fault_answer(&fault)),
    }
}

const COOKIE: &str = "vmware_soap_session";

/// The value of the session's cookie; empty if none was sent.
fn cookie(request: &InRequest) -> String {
    let all = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    all.flat_map(|(_, value)| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map_or(String::new(), |(_, value)| value.trim_matches('"').to_string())
}

/// A vCenter hands a cookie already to those who are not logged in, and another one at login.
fn anonymous_cookie(shared: &Shared, context: &Context<'_>) -> Option<String> {
    context.cookie.is_empty().then(|| shared.lock().fresh_id())
}

/// A refusal, if the header `SOAPAction` asks for a version that is not spoken here.
fn unsupported_version(shared: &Shared, request: &InRequest) -> Option<Fault> {
    let action = request.header("soapaction")?.trim_matches('"');
    let asked = action.strip_prefix("urn:vim25/")?;
    let state = shared.lock();
    let is_known = asked == state.api_version || PRIOR_VERSIONS.contains(&asked);
    (state.script.unknown_versions_refused() && !is_known).then(|| Fault::VersionMismatch(action.to_string()))
}

const PRIOR_VERSIONS: &[&str] = &[
    "8.0.2.0", "8.0.1.0", "8.0.0.1", "7.0.3.2", "7.0.3.0", "7.0.2.0", "7.0.1.0", "7.0", "6.9.1", "6.8.7",
    "6.7.3", "6.7.2", "6.7.1", "6.7", "6.5", "6.0", "5.5", "5.1", "5.0", "4.1", "4.0", "2.5u2", "2.5",
];

/// `vimServiceVersions.xml`.
fn versions_document(newest: &str) -> String {
    let prior: String = PRIOR_VERSIONS.iter().map(|version| soap::text("version", version)).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<namespaces version=\"1.0\">\n<namespace>\n<name>urn:vim25</name>\n\
         {}\n<priorVersions>{prior}</priorVersions>\n</namespace>\n<namespace>\n<name>urn:vim2</name>\n\
         <version>2.0</version>\n</namespace>\n</namespaces>\n",
        soap::text("version", newest)
    )
}

#[cfg(test)]
mod tests;
