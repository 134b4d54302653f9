//! One vim event to the CloudEvent that is delivered, in either of the two known shapes.

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use uuid::Uuid;

use super::soap::ServiceContent;
use crate::cloudevents::CloudEvent;
use crate::config::Format;
use crate::event::{Event, Lane, Position};
use crate::vim::json::VimEvent;

/// Namespace of event identifiers where the server has no UUID of its own: a random constant of
/// this program, so that it is the same for ever.
const NAMESPACE_FALLBACK: Uuid = Uuid::from_u128(0x6f1d_8a52_0c3e_4b8f_9b7a_4e52_d3c1_90a7);

/// The words of the Go router for the three kinds of event classes.
const CLASSES: [&str; 3] = ["event", "eventex", "extendedevent"];
/// The types of its CloudEvents, in the same order.
const ROUTER_TYPES: [&str; 3] = [
    "com.vmware.event.router/event",
    "com.vmware.event.router/eventex",
    "com.vmware.event.router/extendedevent",
];

/// The VSphereSource's types have the name of the event between these.
const TYPE_PREFIX: &str = "com.vmware.vsphere.";
const TYPE_SUFFIX: &str = ".v0";

/// Bytes of a key, a stroke and a time with nanoseconds.
const NAME_BYTES_MAX: usize = 64;

type Extensions = Arc<[(Arc<str>, Arc<str>)]>;

/// What every event of one server carries.
#[derive(Clone, Debug)]
pub(crate) struct ServerIdentity {
    /// `source`: the address, which has no user information.
    source: Arc<str>,
    namespace: Uuid,
    // Extensions, shared by all events instead of copied for each: in the router's shape, and in the
    // VSphereSource's for each of `CLASSES`.
    extensions: Extensions,
    extensions_of_class: [Extensions; 3],
}

impl ServerIdentity {
    /// The identity of the server at `address`.
    pub(crate) fn new(address: &str, content: &ServiceContent) -> ServerIdentity {
        let api_version = || (Arc::from("vsphereapiversion"), Arc::from(content.api_version.as_str()));
        ServerIdentity {
            source: address.into(),
            namespace: namespace(&content.instance_uuid),
            extensions: [api_version()].into(),
            extensions_of_class: CLASSES
                .map(|class| [("eventclass".into(), class.into()), api_version()].into()),
        }
    }
}

/// The CloudEvent of one vim event. Same server and event, same `id`.
pub(crate) fn to_event(vim: VimEvent, server: &ServerIdentity, format: Format) -> Event {
    let class = match vim.class.as_str() {
        "EventEx" => 1,
        "ExtendedEvent" => 2,
        _ => 0,
    };
    // These two classes stand for any number of types; their event says which.
    let name = match (class, vim.event_type_id) {
        (1 | 2, Some(id)) if !id.is_empty() => id,
        _ => vim.class,
    };
    let time = vim.created.to_string();
    let position = Position { key: vim.key, time: vim.created };
    let (id, ty, subject, extensions) = match format {
        Format::Router => {
            let id = event_id(server.namespace, vim.key, &time);
            (id, Cow::Borrowed(ROUTER_TYPES[class]), Some(name), &server.extensions)
        }
        Format::Vspheresource => {
            let ty = Cow::Owned([TYPE_PREFIX, &name, TYPE_SUFFIX].concat());
            (vim.key.to_string(), ty, None, &server.extensions_of_class[class])
        }
    };
    let name_in_type = if subject.is_none() { name_in_type(&ty) } else { None };
    Event {
        position,
        lane: vim.object.as_deref().map_or(Lane::COMMON, Lane::of_object),
        ce: CloudEvent {
            id,
            source: server.source.clone(),
            ty,
            name_in_type,
            subject,
            time: Some(time),
            datacontenttype: Some(Cow::Borrowed("application/json")),
            data: vim.data,
            extensions: extensions.clone(),
        },
        anomalies: vim.anomalies,
        receipt: None,
    }
}

/// Where the name of an event stands in a type of the VSphereSource.
pub(crate) fn name_in_type(ty: &str) -> Option<Range<usize>> {
    let name = ty.strip_prefix(TYPE_PREFIX)?.strip_suffix(TYPE_SUFFIX)?;
    Some(TYPE_PREFIX.len()..TYPE_PREFIX.len() + name.len())
}

fn namespace(instance_uuid: &str) -> Uuid {
    Uuid::parse_str(instance_uuid.trim())
        .unwrap_or_else(|_| Uuid::new_v5(&NAMESPACE_FALLBACK, instance_uuid.as_bytes()))
}

fn event_id(namespace: Uuid, key: i64, created: &str) -> String {
    // The longest key and the longest time fit, so that writing cannot fail.
    let mut name = [0; NAME_BYTES_MAX];
    let mut rest = &mut name[..];
    let _ = write!(rest, "{key}/{created}");
    let length = NAME_BYTES_MAX - rest.len();
    Uuid::new_v5(&namespace, &name[..length]).to_string()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::source::vcenter::soap::Reference;

    /// A vCenter 8 with this instanceUuid.
    pub(crate) fn server(instance_uuid: &str) -> ServerIdentity {
        let none = Reference { ty: String::new(), value: String::new() };
        let content = ServiceContent {
            root_folder: none.clone(),
            property_collector: none.clone(),
            session_manager: none.clone(),
            event_manager: none,
            setting: None,
            authorization_manager: None,
            full_name: "VMware vCenter Server 8.0.3".into(),
            api_type: "VirtualCenter".into(),
            api_version: "8.0.3.0".into(),
            instance_uuid: instance_uuid.into(),
        };
        ServerIdentity::new("https://vc01.corp.local/sdk", &content)
    }

    fn vim(class: &str, event_type_id: Option<&str>, created: &str) -> VimEvent {
        VimEvent {
            class: class.into(),
            event_type_id: event_type_id.map(str::to_string),
            key: -2147483648,
            created: created.parse().unwrap(),
            object: Some("vm-56".into()),
            anomalies: Vec::new(),
            data: b"{}".to_vec(),
        }
    }

    const UUID: &str = "dbed6e0c-bd88-4ef6-b594-21283e1c677f";

    #[test]
    fn router_shape() {
        let event = to_event(
            vim("VmPoweredOnEvent", None, "2021-03-10T07:21:22.413900+02:00"),
            &server(UUID),
            Format::Router,
        );
        let extension = |name: &str, value: &str| (Arc::from(name), Arc::from(value));
        assert_eq!(
            event.ce,
            CloudEvent {
                // uuid5(UUID, "-2147483648/2021-03-10T05:21:22.4139Z"), computed with Python.
                id: "a8733914-8962-5253-98fa-5d58141acd51".into(),
                source: "https://vc01.corp.local/sdk".into(),
                ty: "com.vmware.event.router/event".into(),
                name_in_type: None,
                subject: Some("VmPoweredOnEvent".into()),
                time: Some("2021-03-10T05:21:22.4139Z".into()),
                datacontenttype: Some("application/json".into()),
                data: b"{}".to_vec(),
                extensions: [extension("vsphereapiversion", "8.0.3.0")].into(),
            }
        );
        assert_eq!(event.lane, Lane::of_object("vm-56"));
        assert_eq!(event.position.key, -2147483648);
    }

    #[test]
    fn knative_shape_and_the_two_open_classes() {
        let login = || vim("EventEx", Some("com.vmware.sso.LoginFailure"), "2021-03-10T05:21:22Z");
        let event = to_event(login(), &server(UUID), Format::Vspheresource).ce;
        assert_eq!(event.ty, "com.vmware.vsphere.com.vmware.sso.LoginFailure.v0");
        assert_eq!(event.name(), "com.vmware.sso.LoginFailure");
        assert_eq!(name_in_type(&event.ty), event.name_in_type, "a dead letter has the same name");
        assert_eq!(name_in_type("com.vmware.event.router/event"), None);
        assert_eq!((event.id.as_str(), event.subject), ("-2147483648", None));
        let extensions: Vec<_> = event.extensions.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(extensions, [("eventclass", "eventex"), ("vsphereapiversion", "8.0.3.0")]);

        let event = to_event(login(), &server(UUID), Format::Router).ce;
        assert_eq!(event.ty, "com.vmware.event.router/eventex");
        assert_eq!(event.subject.as_deref(), Some("com.vmware.sso.LoginFailure"));
        let event =
            to_event(vim("ExtendedEvent", None, "2021-03-10T05:21:22Z"), &server(UUID), Format::Router).ce;
        assert_eq!(event.ty, "com.vmware.event.router/extendedevent");
        assert_eq!(event.subject.as_deref(), Some("ExtendedEvent"));
    }

    #[test]
    fn identifiers_are_stable_and_differ_by_key_time_and_server() {
        let id = |server: &ServerIdentity, key: i64, time: &str| {
            let mut vim = vim("VmEvent", None, time);
            vim.key = key;
            to_event(vim, server, Format::Router).ce.id
        };
        let (one, other, none) = (server(UUID), server("not a uuid"), server(""));
        let all = [
            id(&one, 1, "2021-03-10T05:21:22Z"),
            id(&one, 2, "2021-03-10T05:21:22Z"),
            id(&one, 1, "2021-03-10T05:21:22.000001Z"),
            id(&other, 1, "2021-03-10T05:21:22Z"),
            id(&none, 1, "2021-03-10T05:21:22Z"),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(all[0], id(&server(&UUID.to_uppercase()), 1, "2021-03-10T06:21:22.000+01:00"));
    }
}
