//! The calls of the vim25 API that the source needs: envelopes out, small structures in.
//!
//! Members stand in the order of the schema, because the server's parser relies on it. Faults are
//! told apart by the `xsi:type` in `detail`; the fault string is localised and only shown.

use jiff::Timestamp;
use quick_xml::escape::escape;

use crate::error::{Error, Result};
use crate::vim;
use crate::vim::tree::{self, Node};

/// A managed object reference, such as `EventManager` / `EventManager`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The managed type.
    pub(crate) ty: String,
    /// The server's name of the object.
    pub(crate) value: String,
}

/// What a session needs of the `ServiceContent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceContent {
    pub(crate) root_folder: Reference,
    pub(crate) property_collector: Reference,
    pub(crate) session_manager: Reference,
    pub(crate) event_manager: Reference,
    /// Its own settings; a server of another kind may lack it.
    pub(crate) setting: Option<Reference>,
    /// Who may do what; likewise.
    pub(crate) authorization_manager: Option<Reference>,
    /// `about.fullName`.
    pub(crate) full_name: String,
    /// `about.apiType`: `VirtualCenter`, or `HostAgent` of a host; empty if it does not say.
    pub(crate) api_type: String,
    /// `about.apiVersion`.
    pub(crate) api_version: String,
    /// `about.instanceUuid`; a host has none.
    pub(crate) instance_uuid: String,
}

/// A call that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// What is called: the element of the answer has this name and `Response`.
    pub(crate) method: &'static str,
    /// The document.
    pub(crate) text: Vec<u8>,
}

/// Which events a collector holds.
#[derive(Clone, Debug)]
pub(crate) struct EventFilter<'a> {
    /// Events of this object and all below it.
    pub(crate) entity: &'a Reference,
    /// Inclusive.
    pub(crate) begin: Timestamp,
    /// Inclusive; none means without end.
    pub(crate) end: Option<Timestamp>,
    /// Exact class names or eventTypeIds; empty means all.
    pub(crate) types: &'a [String],
}

/// What a long poll returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpdateSet {
    /// Token for the next call.
    pub(crate) version: String,
    /// At least one object changed.
    pub(crate) changed: bool,
    /// The newest event that the update shows.
    pub(crate) latest: Option<Latest>,
}

/// Key and time of an event, read leniently: all else of it may be unknown to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latest {
    pub(crate) key: i64,
    pub(crate) created: Option<Timestamp>,
}

/// The newest event of all, whatever filters leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) event: Latest,
    /// By what filters ask for it: its class, or the `eventTypeId` of an EventEx or ExtendedEvent.
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The `xsi:type` in `detail`, such as `NotAuthenticated`; empty if the fault has none.
    pub(crate) ty: String,
    /// The localised text.
    message: String,
    /// `invalidProperty` or `privilegeId`, where the fault has one.
    subject: String,
}

/// Why an answer gave no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnswerError {
    /// The server refused the call.
    Fault(Fault),
    /// The peer speaks, but not SOAP: what it said instead.
    NotSoap(String),
    /// A server of the same API that is no vCenter: what it says that it is.
    NotVcenter(String),
    /// SOAP that breaks off, lacks what it must have, or answers something else.
    Garbled(Error),
}

impl From<Error> for AnswerError {
    fn from(error: Error) -> AnswerError {
        AnswerError::Garbled(error)
    }
}

impl Fault {
    /// Whether it is of this type, or of one that inherits from it.
    pub(crate) fn is(&self, ty: &str) -> bool {
        vim::lineage(&self.ty).any(|own| own == ty)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ty = if self.ty.is_empty() { "fault without a type" } else { &self.ty };
        f.write_str(ty)?;
        if !self.subject.is_empty() {
            write!(f, " ({})", self.subject)?;
        }
        if !self.message.is_empty() {
            write!(f, " {:?}", shorten(&self.message))?;
        }
        Ok(())
    }
}

/// The singleton that answers first.
pub(crate) fn service_instance() -> Reference {
    Reference { ty: "ServiceInstance".into(), value: "ServiceInstance".into() }
}

/// `RetrieveServiceContent`.
pub(crate) fn retrieve_service_content() -> Envelope {
    Request::new("RetrieveServiceContent", &service_instance()).finish()
}

/// `Login`. The locale is fixed, so that messages of events do not change with the account.
pub(crate) fn login(session_manager: &Reference, username: &str, password: &str) -> Envelope {
    let mut request = Request::new("Login", session_manager);
    request.text("userName", username);
    request.text("password", password);
    request.text("locale", "en_US");
    request.finish()
}

/// A call that has no argument: `Logout`, `CurrentTime`, `CreatePropertyCollector`,
/// `DestroyPropertyCollector`, `CancelWaitForUpdates`, `DestroyCollector`.
pub(crate) fn call(method: &'static str, this: &Reference) -> Envelope {
    Request::new(method, this).finish()
}

/// `CreateCollectorForEvents`.
pub(crate) fn create_event_collector(event_manager: &Reference, filter: &EventFilter<'_>) -> Envelope {
    let mut request = Request::new("CreateCollectorForEvents", event_manager);
    request.open("filter");
    request.open("entity");
    request.reference("entity", filter.entity);
    request.text("recursion", "all");
    request.close("entity");
    request.open("time");
    request.text("beginTime", &filter.begin.to_string());
    if let Some(end) = filter.end {
        request.text("endTime", &end.to_string());
    }
    request.close("time");
    for ty in filter.types {
        request.text("eventTypeId", ty);
    }
    request.close("filter");
    request.finish()
}

/// `SetCollectorPageSize`: the number of events in `latestPage`.
pub(crate) fn set_latest_page_size(collector: &Reference, events: usize) -> Envelope {
    let mut request = Request::new("SetCollectorPageSize", collector);
    request.text("maxCount", &events.to_string());
    request.finish()
}

/// `ReadNextEvents`.
pub(crate) fn read_next_events(collector: &Reference, page_events_max: usize) -> Envelope {
    let mut request = Request::new("ReadNextEvents", collector);
    request.text("maxCount", &page_events_max.to_string());
    request.finish()
}

/// `CreateFilter` for one property of one object.
pub(crate) fn create_filter(property_collector: &Reference, object: &Reference, property: &str) -> Envelope {
    let mut request = Request::new("CreateFilter", property_collector);
    request.open("spec");
    request.property_of(object, property);
    request.close("spec");
    request.text("partialUpdates", "false");
    request.finish()
}

/// `WaitForUpdatesEx`.
pub(crate) fn wait_for_updates(property_collector: &Reference, version: &str, seconds_max: u32) -> Envelope {
    let mut request = Request::new("WaitForUpdatesEx", property_collector);
    request.text("version", version);
    request.open("options");
    request.text("maxWaitSeconds", &seconds_max.to_string());
    request.close("options");
    request.finish()
}

/// `RetrievePropertiesEx` of one property of one object.
pub(crate) fn retrieve_property(
    property_collector: &Reference,
    object: &Reference,
    property: &str,
) -> Envelope {
    let mut request = Request::new("RetrievePropertiesEx", property_collector);
    request.open("specSet");
    request.property_of(object, property);
    request.close("specSet");
    request.open("options");
    request.close("options");
    request.finish()
}

/// `QueryOptions` of an OptionManager: the setting of this name, and perhaps those that begin with it.
pub(crate) fn query_options(setting: &Reference, name: &str) -> Envelope {
    let mut request = Request::new("QueryOptions", setting);
    request.text("name", name);
    request.finish()
}

/// `HasPrivilegeOnEntities` (vSphere API 5.5) for one object and the session of this key.
pub(crate) fn has_privileges(
    authorization_manager: &Reference,
    object: &Reference,
    session_key: &str,
    privileges: &[&str],
) -> Envelope {
    let mut request = Request::new("HasPrivilegeOnEntities", authorization_manager);
    request.reference("entity", object);
    request.text("sessionId", session_key);
    privileges.iter().for_each(|privilege| request.text("privId", privilege));
    request.finish()
}

/// The body element of an answer to this method, such as `LoginResponse` to `Login`.
///
/// # Errors
/// A fault of the server, or why this is no answer to it.
pub(crate) fn answer(body: &[u8], method: &str) -> Result<Node, AnswerError> {
    let content = content(body)?;
    if content.name.strip_suffix("Response") == Some(method) {
        return Ok(content);
    }
    Err(AnswerError::Garbled(Error::new(format!(
        "it is <{}>, no answer to {method}",
        shorten(&content.name)
    ))))
}

/// The body element of a document, whatever it is.
///
/// # Errors
/// A fault of the server, or why this is no SOAP.
pub(crate) fn content(body: &[u8]) -> Result<Node, AnswerError> {
    if let Some(said) = not_xml(body) {
        return Err(AnswerError::NotSoap(said));
    }
    let root = tree::parse(body).map_err(AnswerError::Garbled)?;
    if root.name != "Envelope" {
        return Err(AnswerError::NotSoap(format!("an XML document <{}>", shorten(&root.name))));
    }
    let content = root
        .child("Body")
        .and_then(|body| body.children.first())
        .ok_or_else(|| AnswerError::Garbled(Error::new("the SOAP body is empty")))?;
    if content.name == "Fault" {
        return Err(AnswerError::Fault(fault(content)));
    }
    Ok(content.clone())
}

/// The answer to `RetrieveServiceContent`.
///
/// # Errors
/// When it lacks what a vCenter has; a server that says that it is none is named.
pub(crate) fn service_content(answer: &Node) -> Result<ServiceContent, AnswerError> {
    let content = returnval(answer)?;
    let about = content.child("about").ok_or_else(|| missing("about"))?;
    let members = || -> Result<ServiceContent> {
        Ok(ServiceContent {
            root_folder: reference_member(content, "rootFolder")?,
            property_collector: reference_member(content, "propertyCollector")?,
            session_manager: reference_member(content, "sessionManager")?,
            event_manager: reference_member(content, "eventManager")?,
            setting: reference_member(content, "setting").ok(),
            authorization_manager: reference_member(content, "authorizationManager").ok(),
            full_name: about.child_text("fullName").to_string(),
            api_type: about.child_text("apiType").to_string(),
            api_version: about.child_text("apiVersion").to_string(),
            instance_uuid: about.child_text("instanceUuid").to_string(),
        })
    };
    members().map_err(|error| match stranger(about.child_text("apiType"), about.child_text("fullName")) {
        Some(what) => AnswerError::NotVcenter(format!("{what} ({error})")),
        None => AnswerError::Garbled(error),
    })
}

impl ServiceContent {
    /// What the server says that it is, if it is no vCenter.
    pub(crate) fn stranger(&self) -> Option<String> {
        stranger(&self.api_type, &self.full_name)
    }
}

fn stranger(api_type: &str, full_name: &str) -> Option<String> {
    let name = if full_name.is_empty() { "a server without a name".into() } else { shorten(full_name) };
    match api_type {
        "VirtualCenter" | "" => None,
        "HostAgent" => Some(format!("an ESXi host, {name}")),
        other => Some(format!("{name} of the kind {}", shorten(other))),
    }
}

pub(crate) fn reference(answer: &Node) -> Result<Reference> {
    reference_of(returnval(answer)?)
}

/// The answer to `CurrentTime`.
pub(crate) fn time(answer: &Node) -> Result<Timestamp> {
    let text = returnval(answer)?.text.trim();
    parse_time(text).ok_or_else(|| Error::new(format!("{:?} is not a time", shorten(text))))
}

/// The answer to `WaitForUpdatesEx`: none when the server let the wait pass.
///
/// # Errors
/// A fault that hides in a `missingSet`, as a fault.
pub(crate) fn updates(answer: &Node) -> Result<Option<UpdateSet>, AnswerError> {
    let Some(set) = answer.child("returnval") else { return Ok(None) };
    let mut changed = false;
    let mut latest = None;
    for object in set.all("filterSet").flat_map(|filter| filter.all("objectSet")) {
        if let Some(fault) = missing_fault(object) {
            return Err(AnswerError::Fault(fault));
        }
        changed = true;
        for value in object.all("changeSet").filter_map(|change| change.child("val")) {
            for event in &value.children {
                latest = newer(latest, latest_of(event));
            }
        }
    }
    if let Some(fault) = set.all("filterSet").find_map(missing_fault) {
        return Err(AnswerError::Fault(fault));
    }
    Ok(Some(UpdateSet { version: set.child_text("version").to_string(), changed, latest }))
}

/// The answer to `RetrievePropertiesEx` for `EventManager.latestEvent`: none when the server does
/// not have the property, as vcsim.
///
/// # Errors
/// As [`property`].
pub(crate) fn latest_event(answer: &Node) -> Result<Option<Newest>, AnswerError> {
    let newest = |event: &Node| Some(Newest { event: latest_of(event)?, name: name_of(event) });
    Ok(property(answer)?.and_then(newest))
}

/// The value in the answer to `RetrievePropertiesEx` of one property: none when it is not set, or
/// the server does not have it.
///
/// # Errors
/// `missingSet` faults, as faults.
pub(crate) fn property(answer: &Node) -> Result<Option<&Node>, AnswerError> {
    let Some(result) = answer.child("returnval") else { return Ok(None) };
    for object in result.all("objects") {
        if let Some(fault) = missing_fault(object) {
            // The property itself is unknown: that is an answer, not a failure.
            if fault.is("InvalidProperty") {
                return Ok(None);
            }
            return Err(AnswerError::Fault(fault));
        }
        for property in object.all("propSet") {
            if let Some(value) = property.child("val") {
                return Ok(Some(value));
            }
        }
    }
    Ok(None)
}

/// The version of namespace `urn:vim25` in `vimServiceVersions.xml`.
pub(crate) fn service_version(body: &[u8]) -> Option<String> {
    let root = tree::parse(body).ok()?;
    let namespace = root.all("namespace").find(|namespace| namespace.child_text("name") == "urn:vim25")?;
    let version = namespace.child_text("version");
    is_version(version).then(|| version.to_string())
}

/// Whether a text can be the version in a `SOAPAction`.
pub(crate) fn is_version(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_')
}

/// What a body says that is not XML at all, in a few words; none if it may be XML.
pub(crate) fn not_xml(body: &[u8]) -> Option<String> {
    if body.starts_with(&[0x1f, 0x8b]) {
        return Some("data compressed by gzip, which was not asked for".into());
    }
    let head = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    let head = head.trim_start_matches('\u{feff}').trim_start();
    let lower = head.to_ascii_lowercase();
    if head.is_empty() {
        return Some("an empty body".into());
    }
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        let title = lower.find("<title>").and_then(|start| {
            let start = start + "<title>".len();
            let end = start + lower[start..].find('<')?;
            // Lowering ASCII keeps every byte in its place.
            head.get(start..end)
        });
        return Some(match title.map(str::trim) {
            Some(title) if !title.is_empty() => format!("an HTML page titled {:?}", shorten(title)),
            _ => "an HTML page".into(),
        });
    }
    (!head.starts_with('<')).then(|| format!("the text {:?}", shorten(head)))
}

/// The time of an `xsd:dateTime`; one without offset is taken as UTC, as vCenter means it.
fn parse_time(text: &str) -> Option<Timestamp> {
    vim::timestamp(text)
}

struct Request {
    text: String,
    method: &'static str,
}

impl Request {
    fn new(method: &'static str, this: &Reference) -> Request {
        let mut request = Request { text: String::with_capacity(1024), method };
        request.text.push_str(concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" "#,
            r#"xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>"#,
        ));
        request.text.push_str(&format!(r#"<{method} xmlns="urn:vim25">"#));
        request.reference("_this", this);
        request
    }

    fn open(&mut self, name: &str) {
        self.text.push_str(&format!("<{name}>"));
    }

    fn close(&mut self, name: &str) {
        self.text.push_str(&format!("</{name}>"));
    }

    fn text(&mut self, name: &str, value: &str) {
        self.open(name);
        // A bare carriage return would reach the server as a line feed (XML 1.0, 2.11).
        self.text.push_str(&escape(value).replace('\r', "&#13;"));
        self.close(name);
    }

    fn reference(&mut self, name: &str, reference: &Reference) {
        let (ty, value) = (escape(reference.ty.as_str()), escape(reference.value.as_str()));
        self.text.push_str(&format!(r#"<{name} type="{ty}">{value}</{name}>"#));
    }

    fn property_of(&mut self, object: &Reference, property: &str) {
        self.open("propSet");
        self.text("type", &object.ty);
        self.text("pathSet", property);
        self.close("propSet");
        self.open("objectSet");
        self.reference("obj", object);
        self.close("objectSet");
    }

    fn finish(mut self) -> Envelope {
        self.close(self.method);
        self.text.push_str("</soapenv:Body></soapenv:Envelope>");
        Envelope { method: self.method, text: self.text.into_bytes() }
    }
}

fn returnval(answer: &Node) -> Result<&Node> {
    answer.child("returnval").ok_or_else(|| missing("returnval"))
}

fn missing(member: &str) -> Error {
    Error::new(format!("the answer lacks {member}"))
}

fn reference_member(node: &Node, name: &str) -> Result<Reference> {
    reference_of(node.child(name).ok_or_else(|| missing(name))?)
}

fn reference_of(node: &Node) -> Result<Reference> {
    let value = node.text.trim().to_string();
    match &node.reference_type {
        Some(ty) if !value.is_empty() => Ok(Reference { ty: ty.clone(), value }),
        _ => Err(Error::new(format!("{} is not an object reference", node.name))),
    }
}

fn fault(node: &Node) -> Fault {
    let detail = node.child("detail").and_then(|detail| detail.children.first());
    let mut fault = detail.map(typed_fault).unwrap_or_default();
    fault.message = node.child_text("faultstring").to_string();
    fault
}

fn typed_fault(node: &Node) -> Fault {
    let subject = ["invalidProperty", "privilegeId"].map(|name| node.child_text(name));
    Fault {
        ty: node.xsi_type.clone().unwrap_or_default(),
        message: String::new(),
        subject: subject.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_string(),
    }
}

/// The first fault in the `missingSet` of an object, or of a whole filter.
fn missing_fault(holder: &Node) -> Option<Fault> {
    holder.all("missingSet").find_map(missing_fault_of)
}

fn missing_fault_of(missing: &Node) -> Option<Fault> {
    let localized = missing.child("fault")?;
    let mut fault = typed_fault(localized.child("fault")?);
    fault.message = localized.child_text("localizedMessage").to_string();
    Some(fault)
}

fn latest_of(event: &Node) -> Option<Latest> {
    let key = event.child_text("key").parse().ok()?;
    Some(Latest { key, created: parse_time(event.child_text("createdTime")) })
}

fn name_of(event: &Node) -> String {
    match event.child_text("eventTypeId") {
        "" => event.xsi_type.clone().unwrap_or_default(),
        id => id.to_string(),
    }
}

/// By time, because keys are opaque; `latestPage` is unordered.
fn newer(one: Option<Latest>, other: Option<Latest>) -> Option<Latest> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.created <= other.created { other } else { one }),
        (one, other) => one.or(other),
    }
}

/// At most 120 characters on one line, for messages.
pub(crate) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 120 {
        return line;
    }
    line.chars().take(119).chain(['…']).collect()
}

#[cfg(test)]
mod tests;
