//! The calls of the vSphere API that the simulated vCenter executes.

use jiff::Timestamp;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::descriptions;
use super::fault::Fault;
use super::properties;
use super::record::Record;
use super::shared::{Context, Shared};
use super::soap::{self, Call, ROOT_FOLDER};
use super::state::{Collector, Filter, PropertyCollector, PropertyFilter, Session, State};
use crate::limits;

/// What a call gives.
#[derive(Default)]
pub(super) struct Done {
    pub(super) results: String,
    /// The cookie of a new session.
    pub(super) cookie: Option<String>,
}

/// Executes a call.
///
/// # Errors
/// The fault that a vCenter would answer with.
pub(super) fn execute(shared: &Shared, call: &Call, context: &Context<'_>) -> Result<Done, Fault> {
    match call.method.as_str() {
        "RetrieveServiceContent" => return done(properties::service_content(&shared.lock())),
        "Login" => return login(shared, call, context),
        "WaitForUpdatesEx" => return done(wait_for_updates(shared, call, context)?),
        "ReadNextEvents" | "ReadPreviousEvents" => return done(read(shared, call, context)?),
        _ => {}
    }
    let mut state = shared.lock();
    state.session(&context.cookie)?;
    let results = answer(&mut state, call, context)?;
    drop(state);
    // Sessions or collectors may have ended under a wait.
    shared.changed.notify_all();
    done(results)
}

/// The results of a call that does not wait.
fn answer(state: &mut State, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    Ok(match call.method.as_str() {
        "CurrentTime" => format!("<returnval>{:.6}</returnval>", state.now()),
        "Logout" => {
            state.sessions.remove(&context.cookie);
            state.counts.logouts += 1;
            String::new()
        }
        "TerminateSession" => terminate_sessions(state, call, context)?,
        "RetrieveProperties" | "RetrievePropertiesEx" => {
            if call.method == "RetrieveProperties" {
                properties::retrieve(state, call, context, "returnval")?
            } else {
                format!("<returnval>{}</returnval>", properties::retrieve(state, call, context, "objects")?)
            }
        }
        "Fetch" => fetch(state, call, context)?,
        "CreateCollectorForEvents" => create_collector(state, call, context)?,
        "SetCollectorPageSize" => {
            let count = count_of(call, "maxCount")?;
            collector(state, call, context)?.0.page_size = count;
            String::new()
        }
        "RewindCollector" => {
            let (collector, history) = collector(state, call, context)?;
            collector.rewind(history);
            String::new()
        }
        "ResetCollector" => {
            let (collector, history) = collector(state, call, context)?;
            collector.reset(history);
            String::new()
        }
        "DestroyCollector" => {
            let removed = session(state, context)?.collectors.remove(&call.this);
            removed.map(|_| String::new()).ok_or_else(|| not_found(call))?
        }
        "CreatePropertyCollector" => {
            let id = object_id(state, context)?;
            session(state, context)?.property_collectors.insert(id.clone(), PropertyCollector::default());
            soap::reference("returnval", "PropertyCollector", &id)
        }
        "QueryOptions" => options(state, call)?,
        "HasPrivilegeOnEntities" => privileges(state, call),
        "CreateFilter" => create_filter(state, call, context)?,
        "DestroyPropertyFilter" => {
            let collectors = &mut session(state, context)?.property_collectors;
            let removed = collectors.values_mut().find_map(|collector| collector.filters.remove(&call.this));
            removed.map(|_| String::new()).ok_or_else(|| not_found(call))?
        }
        "CancelWaitForUpdates" => {
            property_collector(session(state, context)?, call)?.turn += 1;
            String::new()
        }
        "DestroyPropertyCollector" => {
            let removed = session(state, context)?.property_collectors.remove(&call.this);
            removed.map(|_| String::new()).ok_or_else(|| not_found(call))?
        }
        _ => return Err(Fault::InvalidRequest),
    })
}

/// The settings that a client of events may look at, as vCenter 8 comes.
const OPTIONS: [(&str, &str); 6] = [
    ("event.maxAge", "30"),
    ("event.maxAgeEnabled", "true"),
    ("task.maxAge", "30"),
    ("task.maxAgeEnabled", "true"),
    ("vpxd.event.burstFilter.compressToDb", "true"),
    ("vpxd.event.burstFilter.compressToSyslog", "false"),
];

/// The settings whose keys begin with the name.
fn options(state: &State, call: &Call) -> Result<String, Fault> {
    let name = call.arguments.child_text("name");
    let mut out = String::new();
    for (key, common) in OPTIONS.iter().filter(|(key, _)| key.starts_with(name)) {
        let value = state.script.option(key).unwrap_or(common);
        if !value.is_empty() {
            let _ = write!(
                out,
                "<returnval xsi:type=\"OptionValue\"><key>{key}</key><value xsi:type=\"xsd:string\">{value}</value></returnval>"
            );
        }
    }
    match out.as_str() {
        "" => Err(Fault::Other("InvalidName".into(), "The name is not valid.".into())),
        _ => Ok(out),
    }
}

/// Which of the privileges the account has on the first object that is named.
fn privileges(state: &State, call: &Call) -> String {
    let entity = call.arguments.child_text("entity");
    let mut out = format!("<returnval>{}", soap::reference("entity", "Folder", entity));
    for privilege in call.arguments.all("privId") {
        let is_granted = !state.script.is_denied(privilege.text.trim());
        let name = soap::text("privId", privilege.text.trim());
        let _ = write!(out, "<privAvailability>{name}<isGranted>{is_granted}</isGranted></privAvailability>");
    }
    out + "</returnval>"
}

fn done(results: String) -> Result<Done, Fault> {
    Ok(Done { results, cookie: None })
}

fn session<'s>(state: &'s mut State, context: &Context<'_>) -> Result<&'s mut Session, Fault> {
    state.sessions.get_mut(&context.cookie).ok_or(Fault::NotAuthenticated)
}

fn not_found(call: &Call) -> Fault {
    Fault::ManagedObjectNotFound(call.this_type.clone(), call.this.clone())
}

/// The event collector that a call is for, and the history.
fn collector<'s>(
    state: &'s mut State,
    call: &Call,
    context: &Context<'_>,
) -> Result<(&'s mut Collector, &'s super::history::History), Fault> {
    let State { sessions, history, .. } = state;
    let session = sessions.get_mut(&context.cookie).ok_or(Fault::NotAuthenticated)?;
    let collector = session.collectors.get_mut(&call.this).ok_or_else(|| not_found(call))?;
    Ok((collector, history))
}

/// The property collector that a call is for. The common one exists in every session.
fn property_collector<'s>(session: &'s mut Session, call: &Call) -> Result<&'s mut PropertyCollector, Fault> {
    if call.this == "propertyCollector" {
        return Ok(session.property_collectors.entry(call.this.clone()).or_default());
    }
    session.property_collectors.get_mut(&call.this).ok_or_else(|| not_found(call))
}

/// The name of an object that belongs to the session.
fn object_id(state: &mut State, context: &Context<'_>) -> Result<String, Fault> {
    let id = state.fresh_id();
    Ok(format!("session[{}]{id}", session(state, context)?.key))
}

fn count_of(call: &Call, argument: &str) -> Result<usize, Fault> {
    let count = call.arguments.child_text(argument).parse::<usize>().unwrap_or(0);
    if count == 0 || limits::PAGE_EVENTS_MAX < count {
        return Err(Fault::InvalidArgument(argument.to_string()));
    }
    Ok(count)
}

fn login(shared: &Shared, call: &Call, context: &Context<'_>) -> Result<Done, Fault> {
    let mut state = shared.lock();
    let (user, password) = (call.arguments.child_text("userName"), call.arguments.child_text("password"));
    let known = user == state.username && password == state.password;
    if !known || state.sessions.contains_key(&context.cookie) {
        state.counts.logins_refused += 1;
        return Err(Fault::InvalidLogin);
    }
    let (key, cookie, now) = (state.fresh_id(), state.fresh_id(), state.now());
    let session = Session {
        key,
        user: user.to_string(),
        login_time: now,
        active_time: now,
        active: Instant::now(),
        address: context.request.peer.ip().to_string(),
        user_agent: context.request.header("user-agent").unwrap_or_default().to_string(),
        calls: 0,
        collectors: Default::default(),
        property_collectors: Default::default(),
    };
    let mut results = String::new();
    session.write(&mut results, "returnval");
    state.sessions.insert(cookie.clone(), session);
    state.counts.logins += 1;
    Ok(Done { results, cookie: Some(cookie) })
}

fn terminate_sessions(state: &mut State, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    let own = session(state, context)?.key.clone();
    for id in call.arguments.all("sessionId") {
        if id.text == own {
            return Err(Fault::InvalidArgument("sessionId".into()));
        }
        let cookie = state
            .sessions
            .iter()
            .find(|(_, session)| session.key == id.text)
            .map(|(cookie, _)| cookie.clone());
        let cookie =
            cookie.ok_or_else(|| Fault::Other("NotFound".into(), "The session was not found.".into()))?;
        state.end_session(&cookie);
    }
    Ok(String::new())
}

/// One property of one object: how pyvmomi reads them. It stands in no documentation.
fn fetch(state: &State, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    let path = call.arguments.child_text("prop");
    let value = properties::value(state, &context.cookie, &call.this_type, &call.this, path)?;
    let inner = value.as_deref().and_then(|value| value.strip_prefix("<val")?.strip_suffix("</val>"));
    Ok(inner.map_or(String::new(), |inner| format!("<returnval{inner}</returnval>")))
}

fn create_collector(state: &mut State, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    let spec = call.arguments.child("filter").ok_or_else(|| Fault::InvalidArgument("filter".into()))?;
    let time = |member: &str| -> Result<Option<Timestamp>, Fault> {
        let text = spec.child("time").map_or("", |time| time.child_text(member));
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| Fault::InvalidArgument(format!("filter.time.{member}")))
    };
    let texts = |member: &str| spec.all(member).map(|node| node.text.trim().to_string()).collect::<Vec<_>>();
    let types = [texts("type"), texts("eventTypeId")].concat();
    if state.script.unknown_types_refused() && types.iter().any(|ty| !descriptions::is_described(ty)) {
        return Err(Fault::InvalidArgument("filter.eventTypeId".into()));
    }
    let entity = spec.child("entity").map(|entity| entity.child_text("entity").to_string());
    let filter = Filter {
        entity: entity.filter(|entity| entity != ROOT_FOLDER),
        begin: time("beginTime")?,
        end: time("endTime")?,
        users: spec.child("userName").map_or(Vec::new(), |users| {
            users.all("userList").map(|node| node.text.trim().to_string()).collect()
        }),
        chain_id: spec.child_text("eventChainId").parse().ok(),
        categories: texts("category"),
        types,
    };
    let page_size = if spec.child("maxCount").is_some() {
        spec.child_text("maxCount").parse().unwrap_or(limits::PAGE_EVENTS_MAX)
    } else {
        limits::PAGE_EVENTS_MAX
    };
    if state.collectors_max <= session(state, context)?.collectors.len() {
        return Err(Fault::InvalidState);
    }
    let id = object_id(state, context)?;
    let collector = Collector::new(filter, page_size.clamp(1, limits::PAGE_EVENTS_MAX), &state.history);
    session(state, context)?.collectors.insert(id.clone(), collector);
    state.counts.collectors_created += 1;
    Ok(soap::reference("returnval", "EventHistoryCollector", &id))
}

/// `ReadNextEvents` and `ReadPreviousEvents`.
fn read(shared: &Shared, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    let delay = shared.lock().script.page_delay();
    if !delay.is_zero() {
        context.request.stop.wait(delay);
    }
    let records: Vec<Arc<Record>> = {
        let mut state = shared.lock();
        state.session(&context.cookie)?;
        let count = count_of(call, "maxCount")?;
        let (stays_empty, endless_end) = (state.script.pages_stay_empty(), state.script.endless_end());
        let newest_first = state.script.newest_first();
        let (collector, history) = collector(&mut state, call, context)?;
        let shown_until = endless_end.filter(|_| collector.filter.end.is_none());
        let mut records = match call.method.as_str() {
            _ if stays_empty => Vec::new(),
            "ReadNextEvents" => collector.read_next(history, count),
            _ => collector.read_previous(history, count),
        };
        records.retain(|record| shown_until.is_none_or(|end| record.time <= end));
        if newest_first {
            records.reverse();
        }
        state.counts.events_read += records.len() as u64;
        records
    };
    // Without the lock, so that recording events does not wait for pages to be written.
    let mut results = String::with_capacity(records.len() * 1024);
    for record in records {
        record.write(&mut results, "returnval");
    }
    Ok(results)
}

fn create_filter(state: &mut State, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    let spec = call.arguments.child("spec").ok_or_else(|| Fault::InvalidArgument("spec".into()))?;
    let (objects, paths) = properties::objects_and_paths(spec);
    if objects.is_empty() || paths.is_empty() {
        return Err(Fault::InvalidArgument("spec".into()));
    }
    for (ty, value) in &objects {
        for path in &paths {
            properties::value(state, &context.cookie, ty, value, path)?;
        }
    }
    let id = object_id(state, context)?;
    let filter = PropertyFilter { objects, paths, reported: false, seen: 0 };
    property_collector(session(state, context)?, call)?.filters.insert(id.clone(), filter);
    Ok(soap::reference("returnval", "PropertyFilter", &id))
}

/// Holds the call until a filter has a change, the client's time has passed, or the wait is
/// cancelled.
fn wait_for_updates(shared: &Shared, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    let seconds = call.arguments.child("options").map_or("", |options| options.child_text("maxWaitSeconds"));
    let deadline =
        seconds.parse().ok().and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds)));
    let mut state = shared.lock();
    let session = state.session(&context.cookie)?;
    let waiting = property_collector(session, call)?;
    waiting.turn += 1;
    let turn = waiting.turn;
    let version = call.arguments.child_text("version");
    let known = if version.is_empty() { Some(u64::MAX) } else { version.parse().ok() };
    match known {
        Some(version) if version == waiting.version && !waiting.more => {}
        // From the beginning, or the last answer was lost or only a part: all again.
        Some(version)
            if version == u64::MAX || version == waiting.version || version + 1 == waiting.version =>
        {
            waiting.filters.values_mut().for_each(|filter| filter.reported = false);
        }
        _ => return Err(Fault::InvalidCollectorVersion),
    }
    // An earlier wait on the same collector has ended by this one.
    shared.changed.notify_all();
    loop {
        let session = state.sessions.get_mut(&context.cookie).ok_or(Fault::NotAuthenticated)?;
        let waiting = property_collector(session, call).map_err(|_| Fault::RequestCanceled)?;
        if waiting.turn != turn {
            return Err(Fault::RequestCanceled);
        }
        let updates = properties::updates(&mut state, call, context)?;
        if !updates.is_empty() {
            return update_set(&mut state, call, context, &updates);
        }
        let left =
            deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Ok(String::new());
        }
        let slice = left.min(limits::SERVER_ABANDONED_CHECK_INTERVAL);
        state = crate::sync::unpoisoned(shared.changed.wait_timeout(state, slice)).0;
        if context.request.stop.is_stopped() {
            return Err(Fault::RequestCanceled);
        }
        #[cfg(feature = "faults")]
        if super::faults::is_abandoned(context.request) {
            return Err(Fault::RequestCanceled);
        }
    }
}

fn update_set(state: &mut State, call: &Call, context: &Context<'_>, updates: &str) -> Result<String, Fault> {
    let truncates = state.script.updates_truncated();
    let waiting = property_collector(session(state, context)?, call)?;
    waiting.version += 1;
    waiting.more = truncates && !waiting.more;
    let mut results = format!("<returnval><version>{}</version>{updates}", waiting.version);
    if waiting.more {
        results.push_str("<truncated>true</truncated>");
    }
    results.push_str("</returnval>");
    Ok(results)
}

impl Session {
    /// Appends a `UserSession`.
    pub(super) fn write(&self, out: &mut String, element: &str) {
        let members = [
            soap::text("key", &self.key),
            soap::text("userName", &self.user),
            soap::text("fullName", &self.user),
            format!("<loginTime>{:.6}</loginTime>", self.login_time),
            format!("<lastActiveTime>{:.6}</lastActiveTime>", self.active_time),
            "<locale>en</locale><messageLocale>en</messageLocale><extensionSession>false</extensionSession>"
                .into(),
            soap::text("ipAddress", &self.address),
            soap::text("userAgent", &self.user_agent),
            format!("<callCount>{}</callCount>", self.calls),
        ];
        let _ = write!(out, "<{element}>{}</{element}>", members.concat());
    }
}
