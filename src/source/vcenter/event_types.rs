//! The types of events that a vCenter knows, as its EventManager describes them: those of the API,
//! and thousands that its parts have registered.

use super::connection::{Acquaintance, CallOptions};
use super::fault::CallError;
use super::session::Session;
use super::settings::VcenterConfig;
use super::soap::{self, AnswerError};
use crate::error::Result;
use crate::event::EventType;
use crate::http::client::{Client, ClientSettings};
use crate::limits::VCENTER_CONNECTIONS_MAX;
use crate::order;
use crate::source::SourceError;
use crate::vim::tree::Node;

/// Logs in, asks for all types, and logs out. They come in the order of their names, each once.
///
/// # Errors
/// When the server cannot be reached, refuses the account, or does not answer.
pub(crate) fn event_types(config: &VcenterConfig) -> Result<Vec<EventType>> {
    let settings =
        ClientSettings { connection: &config.connection, connections_max: VCENTER_CONNECTIONS_MAX };
    let client = Client::new(&settings)?;
    let mut session =
        Session::greet(&client, &config.address, &Acquaintance::default()).map_err(|error| error.error)?;
    let types =
        session.login(&config.username, &config.password).and_then(|()| read(&session)).map_err(|e| e.error);
    session.logout();
    types
}

/// The types that the server of this session knows.
///
/// # Errors
/// When it does not answer.
pub(super) fn read(session: &Session) -> Result<Vec<EventType>, SourceError> {
    let content = &session.content;
    let envelope =
        soap::retrieve_property(&content.property_collector, &content.event_manager, "description.eventInfo");
    session
        .connection
        .get::<_, CallError>(&envelope, CallOptions::QUICK, |answer| Ok(parse(answer)?))
        .map_err(|error| session.connection.source_error("read the types of events", &error))
}

/// The types in an answer. The class of an EventEx or ExtendedEvent stands for many types; the id of
/// each is the beginning of its `fullFormat`, up to the first `|`.
fn parse(answer: &Node) -> Result<Vec<EventType>, AnswerError> {
    let Some(details) = soap::property(answer)? else { return Ok(Vec::new()) };
    let mut types: Vec<EventType> = details.children.iter().filter_map(event_type).collect();
    order::sort_by(&mut types, |a, b| {
        (&a.id, &a.category, &a.description).cmp(&(&b.id, &b.category, &b.description))
    });
    types.dedup_by(|a, b| a.id == b.id);
    Ok(types)
}

fn event_type(detail: &Node) -> Option<EventType> {
    let class = detail.child_text("key");
    let id = match class {
        "EventEx" | "ExtendedEvent" => detail.child_text("fullFormat").split_once('|')?.0,
        class => class,
    };
    let text = |name| detail.child_text(name).trim().to_string();
    (!id.trim().is_empty()).then(|| EventType {
        id: id.trim().to_string(),
        category: text("category"),
        description: text("description"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::secret::Secret;
    use crate::demo::simulator::{Settings, Simulator};

    fn types(details: &str) -> Vec<EventType> {
        let body = format!(
            r#"<Envelope><Body><RetrievePropertiesExResponse><returnval><objects><obj type="EventManager">e</obj>
            <propSet><name>description.eventInfo</name><val>{details}</val></propSet></objects></returnval>
            </RetrievePropertiesExResponse></Body></Envelope>"#
        );
        parse(&soap::content(body.as_bytes()).unwrap()).unwrap()
    }

    fn detail(key: &str, full: &str) -> String {
        format!(
            "<EventDescriptionEventDetail><key>{key}</key><description> d </description>\
             <category>info</category><fullFormat>{full}</fullFormat></EventDescriptionEventDetail>"
        )
    }

    #[test]
    fn ids_of_registered_types_stand_in_their_format() {
        let details = [
            detail("VmPoweredOnEvent", "{vm.name} | is on"),
            detail("EventEx", "esx.problem.a|text | more"),
            detail("ExtendedEvent", "com.example.b|"),
            detail("EventEx", "esx.problem.a|text"),
            detail("EventEx", "a text without id"),
            detail("EventEx", "|no id"),
            detail("", ""),
        ];
        let ids: Vec<String> = types(&details.concat()).into_iter().map(|known| known.id).collect();
        assert_eq!(ids, ["VmPoweredOnEvent", "com.example.b", "esx.problem.a"]);
        let first = types(&details[0]).remove(0);
        assert_eq!((first.category.as_str(), first.description.as_str()), ("info", "d"));
        assert_eq!(types(""), []);
    }

    #[test]
    fn server_is_asked_and_left() {
        let simulator = Simulator::start(Settings::default()).unwrap();
        let config = VcenterConfig {
            address: simulator.url(),
            username: Secret::Literal(simulator.username()),
            password: Secret::Literal(simulator.password()),
            page_size: 1000,
            connection: Default::default(),
        };
        let types = event_types(&config).unwrap();
        for id in ["VmPoweredOnEvent", "com.vmware.sso.LoginFailure", "com.example.backup.JobFinished"] {
            assert!(types.iter().any(|known| known.id == id), "{id}");
        }
        assert!(types.iter().all(|known| known.id != "EventEx"));
        assert_eq!(simulator.open_sessions(), 0);
        let wrong = VcenterConfig { password: Secret::Literal("wrong".into()), ..config };
        assert!(event_types(&wrong).is_err());
    }
}
