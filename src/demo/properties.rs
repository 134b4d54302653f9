//! Properties of the managed objects: reading them, and telling their changes.

use quick_xml::escape::escape;
use std::fmt::Write;

use super::descriptions;
use super::fault::Fault;
use super::shared::Context;
use super::soap::{self, Call, ROOT_FOLDER};
use super::state::State;
use crate::vim::tree::Node;

/// The result of `RetrieveServiceContent`.
pub(super) fn service_content(state: &State) -> String {
    format!("<returnval>{}</returnval>", content_members(state))
}

/// The objects that `RetrieveProperties` asks for, each as an element of that name.
pub(super) fn retrieve(
    state: &State,
    call: &Call,
    context: &Context<'_>,
    element: &str,
) -> Result<String, Fault> {
    let mut out = String::new();
    for spec in call.arguments.all("specSet") {
        let (objects, paths) = objects_and_paths(spec);
        for (ty, value_of) in &objects {
            let (mut found, mut missing) = (String::new(), String::new());
            for path in &paths {
                if let Some(fault) = &context.missing {
                    missing.push_str(&soap::missing_property(path, fault));
                } else if let Some(value) = value(state, &context.cookie, ty, value_of, path)? {
                    let _ = write!(found, "<propSet><name>{}</name>{value}</propSet>", escape(path));
                }
            }
            let object = soap::reference("obj", ty, value_of);
            let _ = write!(out, "<{element}>{object}{found}{missing}</{element}>");
        }
    }
    Ok(out)
}

/// The `filterSet` elements of what changed under a property collector since its last answer;
/// marks it as told.
pub(super) fn updates(state: &mut State, call: &Call, context: &Context<'_>) -> Result<String, Fault> {
    let end = state.history.end();
    let mut changed = Vec::new();
    {
        let stays_empty = state.script.pages_stay_empty() || state.script.endless_end().is_some();
        let session = state.sessions.get_mut(&context.cookie).ok_or(Fault::NotAuthenticated)?;
        let Some(collector) = session.property_collectors.get_mut(&call.this) else {
            return Ok(String::new());
        };
        for (id, filter) in &mut collector.filters {
            let is_gone = |(ty, value): &(String, String)| {
                ty == "EventHistoryCollector" && !session.collectors.contains_key(value)
            };
            let has_news = |(_, value): &(String, String)| {
                let collector = session.collectors.get(value);
                !stays_empty && collector.is_some_and(|c| c.is_changed_since(&state.history, filter.seen))
            };
            let kind = if filter.reported { "modify" } else { "enter" };
            if !filter.reported || filter.objects.iter().any(|object| is_gone(object) || has_news(object)) {
                changed.push((id.clone(), kind, filter.objects.clone(), filter.paths.clone()));
            }
            filter.reported = true;
            filter.seen = end;
            // Told once that it left.
            filter.objects.retain(|object| !is_gone(object));
        }
    }
    let mut out = String::new();
    for (id, kind, objects, paths) in changed {
        let _ = write!(out, "<filterSet>{}", soap::reference("filter", "PropertyFilter", &id));
        for (ty, value) in objects {
            let _ = write!(out, "{}", object_update(state, context, kind, &ty, &value, &paths)?);
        }
        out.push_str("</filterSet>");
    }
    Ok(out)
}

fn object_update(
    state: &State,
    context: &Context<'_>,
    kind: &str,
    ty: &str,
    object: &str,
    paths: &[String],
) -> Result<String, Fault> {
    let reference = soap::reference("obj", ty, object);
    let (mut changes, mut missing) = (String::new(), String::new());
    for path in paths {
        if let Some(fault) = &context.missing {
            missing.push_str(&soap::missing_property(path, fault));
            continue;
        }
        match value(state, &context.cookie, ty, object, path) {
            Ok(value) => {
                let value = value.unwrap_or_default();
                let _ = write!(
                    changes,
                    "<changeSet><name>{}</name><op>assign</op>{value}</changeSet>",
                    escape(path)
                );
            }
            Err(Fault::ManagedObjectNotFound(..)) => {
                return Ok(format!("<objectSet><kind>leave</kind>{reference}</objectSet>"));
            }
            Err(fault) => missing.push_str(&soap::missing_property(path, &fault)),
        }
    }
    Ok(format!("<objectSet><kind>{kind}</kind>{reference}{changes}{missing}</objectSet>"))
}

/// The objects and the paths of a `PropertyFilterSpec`. Traversal is not simulated.
pub(super) fn objects_and_paths(spec: &Node) -> (Vec<(String, String)>, Vec<String>) {
    let objects = spec.all("objectSet").filter_map(|set| set.child("obj"));
    let objects = objects
        .map(|object| (object.reference_type.clone().unwrap_or_default(), object.text.trim().to_string()));
    let mut paths = Vec::new();
    for set in spec.all("propSet") {
        if set.child_text("all") == "true" {
            paths.extend(all_paths(set.child_text("type")).iter().map(|path| (*path).to_string()));
        }
        paths.extend(set.all("pathSet").map(|path| path.text.trim().to_string()));
    }
    (objects.collect(), paths)
}

/// The simulated properties of a type, but not those inside others.
fn all_paths(ty: &str) -> &'static [&'static str] {
    match ty {
        "ServiceInstance" => &["content", "serverClock"],
        "Folder" => &["effectiveRole", "name"],
        "EventManager" => &["description", "latestEvent", "maxCollector"],
        "SessionManager" => &["currentSession", "sessionList"],
        "EventHistoryCollector" => &["latestPage"],
        _ => &[],
    }
}

/// The `val` element of a property; none where it is not set.
///
/// # Errors
/// When there is no such object or no such property.
pub(super) fn value(
    state: &State,
    cookie: &str,
    ty: &str,
    object: &str,
    path: &str,
) -> Result<Option<String>, Fault> {
    let value = match (object, path) {
        ("ServiceInstance", "content") => {
            format!("<val xsi:type=\"ServiceContent\">{}</val>", content_members(state))
        }
        ("ServiceInstance", "serverClock") => {
            format!("<val xsi:type=\"xsd:dateTime\">{:.6}</val>", state.now())
        }
        (ROOT_FOLDER, "name") => "<val xsi:type=\"xsd:string\">Datacenters</val>".into(),
        (ROOT_FOLDER, "effectiveRole") => "<val xsi:type=\"ArrayOfInt\"><int>-1</int></val>".into(),
        ("EventManager", "latestEvent") => {
            let Some(record) = state.latest_event() else { return Ok(None) };
            let mut out = String::new();
            record.write(&mut out, "val");
            out
        }
        ("EventManager", "maxCollector") => {
            format!("<val xsi:type=\"xsd:int\">{}</val>", state.collectors_max)
        }
        ("EventManager", "description.eventInfo") => {
            format!(
                "<val xsi:type=\"ArrayOfEventDescriptionEventDetail\">{}</val>",
                descriptions::details("EventDescriptionEventDetail")
            )
        }
        ("EventManager", "description") => format!(
            "<val xsi:type=\"EventDescription\"><category xsi:type=\"ElementDescription\"><label>Information</label>\
             <summary>Information</summary><key>info</key></category>{}</val>",
            descriptions::details("eventInfo")
        ),
        ("SessionManager", "sessionList") => {
            let mut out = String::from("<val xsi:type=\"ArrayOfUserSession\">");
            state.sessions.values().for_each(|session| session.write(&mut out, "UserSession"));
            out + "</val>"
        }
        ("SessionManager", "currentSession") => {
            let mut out = String::new();
            let session = state.sessions.get(cookie).ok_or(Fault::NotAuthenticated)?;
            session.write(&mut out, "val");
            out.replacen("<val>", "<val xsi:type=\"UserSession\">", 1)
        }
        ("ServiceInstance" | ROOT_FOLDER | "EventManager" | "SessionManager", _) => {
            return Err(Fault::InvalidProperty(path.to_string()));
        }
        _ => return collector_value(state, cookie, ty, object, path).map(Some),
    };
    Ok(Some(value))
}

fn collector_value(state: &State, cookie: &str, ty: &str, object: &str, path: &str) -> Result<String, Fault> {
    let session = state.sessions.get(cookie).ok_or(Fault::NotAuthenticated)?;
    let collector = session
        .collectors
        .get(object)
        .ok_or_else(|| Fault::ManagedObjectNotFound(ty.to_string(), object.to_string()))?;
    if path != "latestPage" {
        return Err(Fault::InvalidProperty(path.to_string()));
    }
    let mut out = String::from("<val xsi:type=\"ArrayOfEvent\">");
    let shown_until = state.script.endless_end().filter(|_| collector.filter.end.is_none());
    for record in collector.latest_page(&state.history) {
        if shown_until.is_some_and(|end| end < record.time) {
            continue;
        }
        record.write(&mut out, "Event");
    }
    Ok(out + "</val>")
}

/// The members of a `ServiceContent`, in the order of the schema.
fn content_members(state: &State) -> String {
    let version = state.api_version.split('.').take(3).collect::<Vec<_>>().join(".");
    let about = [
        "<name>VMware vCenter Server</name>".to_string(),
        format!("<fullName>VMware vCenter Server {version} build-24022515 (simulated)</fullName>"),
        "<vendor>VMware, Inc.</vendor>".into(),
        soap::text("version", &version),
        "<patchLevel>00000</patchLevel><build>24022515</build><localeVersion>INTL</localeVersion>".into(),
        "<localeBuild>000</localeBuild><osType>linux-x64</osType><productLineId>vpx</productLineId>".into(),
        "<apiType>VirtualCenter</apiType>".into(),
        soap::text("apiVersion", &state.api_version),
        soap::text("instanceUuid", &state.instance_uuid),
        "<licenseProductName>VMware VirtualCenter Server</licenseProductName>".into(),
        "<licenseProductVersion>8.0</licenseProductVersion>".into(),
    ];
    [
        soap::reference("rootFolder", "Folder", ROOT_FOLDER),
        soap::reference("propertyCollector", "PropertyCollector", "propertyCollector"),
        soap::reference("viewManager", "ViewManager", "ViewManager"),
        format!("<about>{}</about>", about.concat()),
        soap::reference("setting", "OptionManager", "VpxSettings"),
        soap::reference("userDirectory", "UserDirectory", "UserDirectory"),
        soap::reference("sessionManager", "SessionManager", "SessionManager"),
        soap::reference("authorizationManager", "AuthorizationManager", "AuthorizationManager"),
        soap::reference("perfManager", "PerformanceManager", "PerfMgr"),
        soap::reference("eventManager", "EventManager", "EventManager"),
        soap::reference("taskManager", "TaskManager", "TaskManager"),
        soap::reference("searchIndex", "SearchIndex", "SearchIndex"),
    ]
    .concat()
}
