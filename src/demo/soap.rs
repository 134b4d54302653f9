//! Requests as values, answers and faults as text, in the shape of a real vCenter.

use quick_xml::escape::escape;
use std::fmt::Write;

use super::fault::Fault;
use crate::http::server::Answer;
use crate::vim::tree::{self, Node};

#[derive(Debug)]
pub(super) struct Call {
    /// The element of the body, such as `ReadNextEvents`.
    pub(super) method: String,
    /// The managed type of `_this`.
    pub(super) this_type: String,
    /// The value of `_this`.
    pub(super) this: String,
    /// The element with its arguments.
    pub(super) arguments: Node,
}

/// Reads a request.
///
/// # Errors
/// The fault that a vCenter gives to what it cannot parse.
pub(super) fn parse_call(body: &[u8]) -> Result<Call, Fault> {
    let malformed =
        |why: &str| Fault::Other(String::new(), format!("XML document is not a SOAP call: {why}"));
    let envelope = tree::parse(body).map_err(|error| malformed(&error.to_string()))?;
    let arguments = envelope
        .child("Body")
        .and_then(|body| body.children.first())
        .filter(|_| envelope.name == "Envelope")
        .ok_or_else(|| malformed("there is no Body with an element"))?
        .clone();
    let this = arguments.child("_this").ok_or(Fault::InvalidRequest)?;
    Ok(Call {
        method: arguments.name.clone(),
        this_type: this.reference_type.clone().unwrap_or_default(),
        this: this.text.trim().to_string(),
        arguments,
    })
}

/// The whole answer to `method` with these result elements.
pub(super) fn answer(method: &str, results: &str) -> String {
    let mut out = String::with_capacity(results.len() + 512);
    out.push_str(HEAD);
    if results.is_empty() {
        let _ = write!(out, "<{method}Response xmlns=\"urn:vim25\"></{method}Response>");
    } else {
        let _ = write!(out, "<{method}Response xmlns=\"urn:vim25\">{results}</{method}Response>");
    }
    out.push_str(TAIL);
    out
}

/// A SOAP document as an answer of HTTP.
pub(super) fn http_answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer::new(status, "text/xml; charset=utf-8", body).header("Cache-Control", "no-cache")
}

/// The whole answer that carries a fault.
pub(super) fn fault_answer(fault: &Fault) -> String {
    let (ty, text) = describe(fault);
    let detail = if ty.is_empty() {
        "<detail></detail>".to_string()
    } else {
        format!(
            "<detail><{ty}Fault xmlns=\"urn:vim25\" xsi:type=\"{ty}\">{}</{ty}Fault></detail>",
            members(fault)
        )
    };
    let code = match fault {
        Fault::VersionMismatch(_) => "VersionMismatchFaultCode",
        _ => "ServerFaultCode",
    };
    format!(
        "{HEAD}<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{}</faultstring>{detail}\
         </soapenv:Fault>{TAIL}",
        escape(&text)
    )
}

/// The entry of a `missingSet`: a property that could not be read, and why.
pub(super) fn missing_property(path: &str, fault: &Fault) -> String {
    let (ty, text) = describe(fault);
    format!(
        "<missingSet><path>{}</path><fault><fault xsi:type=\"{ty}\">{}</fault>\
         <localizedMessage>{}</localizedMessage></fault></missingSet>",
        escape(path),
        members(fault),
        escape(&text)
    )
}

/// `<element>text</element>`, escaped.
pub(super) fn text(element: &str, text: &str) -> String {
    format!("<{element}>{}</{element}>", escape(text))
}

/// `<element type="ty">value</element>`.
pub(super) fn reference(element: &str, ty: &str, value: &str) -> String {
    format!("<{element} type=\"{}\">{}</{element}>", escape(ty), escape(value))
}

/// The type of a fault and what a vCenter says about it in English.
fn describe(fault: &Fault) -> (String, String) {
    let (ty, text) = match fault {
        Fault::NotAuthenticated => ("NotAuthenticated", "The session is not authenticated."),
        Fault::InvalidLogin => {
            ("InvalidLogin", "Cannot complete login due to an incorrect user name or password.")
        }
        Fault::NoPermission => ("NoPermission", "Permission to perform this operation was denied."),
        Fault::ManagedObjectNotFound(ty, value) => {
            let text = format!(
                "The object 'vim.{}:{value}' has already been deleted or has not been completely created",
                if ty == "EventHistoryCollector" { "event.EventHistoryCollector" } else { ty }
            );
            return ("ManagedObjectNotFound".into(), text);
        }
        Fault::InvalidState => ("InvalidState", "The operation is not allowed in the current state."),
        Fault::InvalidArgument(path) => {
            return ("InvalidArgument".into(), format!("A specified parameter was not correct: {path}"));
        }
        Fault::InvalidProperty(_) => ("InvalidProperty", "Unable to get property."),
        Fault::InvalidCollectorVersion => ("InvalidCollectorVersion", "The version is invalid."),
        Fault::RequestCanceled => ("RequestCanceled", "The task was canceled by a user."),
        Fault::InvalidRequest => ("InvalidRequest", "Unable to resolve WSDL method name or object."),
        Fault::NotSupported => ("NotSupported", "The operation is not supported on the object."),
        Fault::HostCommunication => ("HostCommunication", "Unable to communicate with the remote host."),
        Fault::SystemError(reason) => {
            return ("SystemError".into(), format!("A general system error occurred: {reason}"));
        }
        Fault::VersionMismatch(uri) => {
            return (
                String::new(),
                format!("Unsupported version URI \"{uri}\"\n\nwhile parsing SOAP envelope"),
            );
        }
        Fault::Other(ty, text) => (ty.as_str(), text.as_str()),
    };
    (ty.to_string(), text.to_string())
}

/// The own members of a fault.
fn members(fault: &Fault) -> String {
    match fault {
        Fault::NotAuthenticated | Fault::NoPermission => {
            reference("object", "Folder", ROOT_FOLDER) + &text("privilegeId", "System.View")
        }
        Fault::ManagedObjectNotFound(ty, value) => reference("obj", ty, value),
        Fault::InvalidArgument(path) => text("invalidProperty", path),
        Fault::InvalidProperty(path) => text("name", path),
        Fault::SystemError(reason) => text("reason", reason),
        _ => String::new(),
    }
}

/// The root of the inventory, as in every vCenter.
pub(super) const ROOT_FOLDER: &str = "group-d1";

const HEAD: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
    "<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\"\n ",
    "xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"\n ",
    "xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"\n ",
    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n",
    "<soapenv:Body>\n"
);
const TAIL: &str = "\n</soapenv:Body>\n</soapenv:Envelope>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_carry_their_type_and_members() {
        let fault = Fault::ManagedObjectNotFound("EventHistoryCollector".into(), "session[a]b".into());
        let root = tree::parse(fault_answer(&fault).as_bytes()).unwrap();
        let fault = root.child("Body").unwrap().child("Fault").unwrap();
        assert!(fault.child_text("faultstring").contains("'vim.event.EventHistoryCollector:session[a]b'"));
        let detail = &fault.child("detail").unwrap().children[0];
        assert_eq!(detail.name, "ManagedObjectNotFoundFault");
        assert_eq!(detail.xsi_type.as_deref(), Some("ManagedObjectNotFound"));
        assert_eq!(detail.child("obj").unwrap().reference_type.as_deref(), Some("EventHistoryCollector"));
    }

    #[test]
    fn a_call_is_read_and_nonsense_is_a_fault() {
        let call = parse_call(
            b"<e:Envelope xmlns:e='x'><e:Body><Login xmlns='urn:vim25'><_this type='SessionManager'>SessionManager\
              </_this><userName>a&amp;b</userName></Login></e:Body></e:Envelope>",
        )
        .unwrap();
        assert_eq!((call.method.as_str(), call.this.as_str()), ("Login", "SessionManager"));
        assert_eq!(call.this_type, "SessionManager");
        assert_eq!(call.arguments.child_text("userName"), "a&b");
        for nonsense in ["", "<a/>", "<Envelope><Body/></Envelope>", "<Envelope><Body><X/></Body></Envelope>"]
        {
            assert!(parse_call(nonsense.as_bytes()).is_err(), "{nonsense}");
        }
    }
}
