//! A sample event, made as vCenter's are: for `router send`. Pure.

use super::convert::{ServerIdentity, to_event};
use super::soap::{Reference, ServiceContent};
use crate::config::Format;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::vim::json::{PageEntry, convert_page};

/// An event of this name about a virtual machine, with all members of its class. A name with a dot
/// is an eventTypeId. `key` and `time` (RFC 3339) make its identity.
///
/// # Errors
/// When the name cannot be that of an event.
pub(crate) fn sample(name: &str, address: &str, format: Format, key: i32, time: &str) -> Result<Event> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(Error::new(format!(
            "`{name}` is no event name: expected a class such as VmPoweredOnEvent, or an eventTypeId"
        )));
    }
    let page = page(name, key, time);
    match convert_page(page.as_bytes())?.pop() {
        Some(PageEntry::Event(vim)) => Ok(to_event(vim, &identity(address), format)),
        _ => Err(Error::new(format!("no sample of {name} can be made"))),
    }
}

fn page(name: &str, key: i32, time: &str) -> String {
    let (class, own) = match name.contains('.') {
        true => ("EventEx", format!("<eventTypeId>{name}</eventTypeId><severity>info</severity>")),
        false => (name, String::new()),
    };
    let argument = |member: &str, inner: &str, ty: &str, label: &str, id: &str| {
        format!("<{member}><name>{label}</name><{inner} type=\"{ty}\">{id}</{inner}></{member}>")
    };
    let place = [
        argument("datacenter", "datacenter", "Datacenter", "Sample-Datacenter", "datacenter-1"),
        argument(
            "computeResource",
            "computeResource",
            "ClusterComputeResource",
            "Sample-Cluster",
            "domain-c1",
        ),
        argument("host", "host", "HostSystem", "esx01.sample", "host-1"),
        argument("vm", "vm", "VirtualMachine", "Sample-VM", "vm-1"),
    ]
    .concat();
    format!(
        "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body>\
         <ReadNextEventsResponse xmlns=\"urn:vim25\"><returnval xsi:type=\"{class}\">\
         <key>{key}</key><chainId>{key}</chainId><createdTime>{time}</createdTime><userName>SAMPLE\\router</userName>\
         {place}<fullFormattedMessage>Sample event {name} sent by the event router</fullFormattedMessage>{own}\
         </returnval></ReadNextEventsResponse></e:Body></e:Envelope>"
    )
}

fn identity(address: &str) -> ServerIdentity {
    let none = Reference { ty: String::new(), value: String::new() };
    let content = ServiceContent {
        root_folder: none.clone(),
        property_collector: none.clone(),
        session_manager: none.clone(),
        event_manager: none,
        setting: None,
        authorization_manager: None,
        full_name: String::new(),
        api_type: String::new(),
        api_version: "8.0.3.0".to_string(),
        instance_uuid: "sample".to_string(),
    };
    ServerIdentity::new(address, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-01-31T12:00:00Z";

    #[test]
    fn classes_and_event_type_ids_have_samples() {
        let event = sample("VmPoweredOnEvent", "https://vc/sdk", Format::Router, 7, TIME).unwrap();
        assert_eq!(event.ce.subject.as_deref(), Some("VmPoweredOnEvent"));
        let data = String::from_utf8(event.ce.data).unwrap();
        assert!(
            data.contains("\"Vm\":{\"Name\":\"Sample-VM\"") && data.contains("\"Template\":false"),
            "{data}"
        );
        let event = sample("com.vmware.sso.LoginFailure", "https://vc/sdk", Format::Router, 7, TIME).unwrap();
        assert_eq!(event.ce.subject.as_deref(), Some("com.vmware.sso.LoginFailure"));
        assert_eq!(event.ce.ty, "com.vmware.event.router/eventex");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in ["", "a b", "<x>", "Vm&Event"] {
            let error = sample(name, "https://vc/sdk", Format::Router, 7, TIME).unwrap_err().to_string();
            assert!(error.contains("is no event name"), "{error}");
        }
    }
}
