//! From a reference to an object of the cluster to the address at which it takes events. Pure: names
//! and objects in, paths and addresses out.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Context, Error, Result};

/// An object that takes events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// Group and version, such as `eventing.knative.dev/v1`; only the version for the core.
    pub api_version: String,
    /// Such as `Broker`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The name of the address that is wanted, if it has several.
    pub address: Option<String>,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}/{}", self.api_version, self.kind, self.namespace, self.name)
    }
}

/// Where an object takes events, and what must be known to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Absolute `http` or `https` URL.
    pub url: String,
    /// PEM certificates of the authorities that vouch for it.
    pub(crate) ca_certs: Option<String>,
    /// Whom a token must be made for.
    pub(crate) audience: Option<String>,
    /// What told the address, such as `status.address`.
    pub(crate) origin: String,
}

/// The path of an object in the API, with the plural that Kubernetes makes of a kind by default.
pub(crate) fn path(reference: &ObjectRef) -> String {
    let ObjectRef { api_version, name, namespace, .. } = reference;
    let prefix = if api_version.contains('/') { "apis" } else { "api" };
    let resource = resource(&reference.kind);
    format!("/{prefix}/{api_version}/namespaces/{namespace}/{resource}/{name}")
}

/// `brokers` for `Broker`: lower case, and the plural as apimachinery's
/// `UnsafeGuessKindToResource` has it.
pub(crate) fn resource(kind: &str) -> String {
    let singular = kind.to_ascii_lowercase();
    if singular.ends_with('s') {
        return format!("{singular}es");
    }
    match singular.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{singular}s"),
    }
}

/// The address of an object as the API server gave it. A Service of the core has no address of its
/// own: its name in the cluster's DNS is one.
///
/// # Errors
/// Why it has none now.
pub(crate) fn address(reference: &ObjectRef, object: &Value, cluster_domain: &str) -> Result<Address> {
    if reference.api_version == "v1" && reference.kind == "Service" {
        let ObjectRef { name, namespace, .. } = reference;
        let url = format!("http://{name}.{namespace}.svc.{cluster_domain}");
        let origin = "the name of the service".to_string();
        return Ok(Address { url, ca_certs: None, audience: None, origin });
    }
    let status = object.get("status").unwrap_or(&Value::Null);
    let listed = status.get("addresses").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let (chosen, origin) = choose(reference.address.as_deref(), listed, status.get("address"))
        .map_err(|cause| not_ready(&cause, status))?;
    let chosen = Addressable::deserialize(chosen).context(|| origin.clone())?;
    let url = chosen.url.filter(|url| !url.is_empty());
    let url = url.ok_or_else(|| not_ready(&format!("{origin} has no url yet"), status))?;
    if crate::config::url::check_sink(&url).is_err() {
        return Err(Error::new(format!("{origin}.url is {url:?}, no http or https URL with a host")));
    }
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    Ok(Address { url, ca_certs: given(chosen.ca_certs), audience: given(chosen.audience), origin })
}

/// An address as Knative's types for addressable objects have it.
#[derive(Deserialize)]
struct Addressable {
    url: Option<String>,
    #[serde(rename = "CACerts")]
    ca_certs: Option<String>,
    audience: Option<String>,
}

/// The address that has the wanted name, else the first of the list, else the single one.
fn choose<'a>(
    wanted: Option<&str>,
    listed: &'a [Value],
    single: Option<&'a Value>,
) -> Result<(&'a Value, String), String> {
    let found = match wanted {
        Some(name) => listed.iter().position(|address| address["name"] == name),
        None => (!listed.is_empty()).then_some(0),
    };
    if let Some(place) = found {
        return Ok((&listed[place], format!("status.addresses[{place}]")));
    }
    match (wanted, single.filter(|address| address.is_object())) {
        (Some(name), _) => Err(format!("it has no address named {name:?}")),
        (None, Some(address)) => Ok((address, "status.address".to_string())),
        (None, None) => Err("it has no address yet".to_string()),
    }
}

/// The cause, and what the object itself says about not being ready.
fn not_ready(cause: &str, status: &Value) -> Error {
    let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    let text = |name: &str| ready.and_then(|ready| ready[name].as_str()).unwrap_or_default();
    let (state, reason, message) = (text("status"), text("reason"), text("message"));
    if state.is_empty() || state == "True" {
        return Error::new(cause);
    }
    let words = [reason, message].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(": ");
    Error::new(format!("{cause}; it says Ready = {state} {words}").trim_end().to_string())
}

/// The domain of the cluster by the text of `/etc/resolv.conf`: a pod searches `svc.DOMAIN`.
pub(crate) fn cluster_domain(resolv_conf: &str) -> Option<&str> {
    let lines = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("search"));
    let names = lines.flat_map(str::split_ascii_whitespace).filter_map(|name| name.strip_prefix("svc."));
    names.map(|domain| domain.trim_end_matches('.')).find(|domain| !domain.is_empty())
}

/// Resolves a reference without scheme and host against an absolute URL (RFC 3986, section 5.2).
pub(crate) fn join(base: &str, relative: &str) -> String {
    let end = base.find("://").map_or(0, |at| at + 3);
    let path_at = base[end..].find(['/', '?', '#']).map_or(base.len(), |at| end + at);
    let (authority, base) = base.split_at(path_at);
    let base = base.split('#').next().unwrap_or_default();
    let (base_path, base_query) = base.split_at(base.find('?').unwrap_or(base.len()));
    let relative = relative.split('#').next().unwrap_or_default();
    let (path, query) = relative.split_at(relative.find('?').unwrap_or(relative.len()));
    if path.is_empty() {
        let query = if query.is_empty() { base_query } else { query };
        return format!("{authority}{base_path}{query}");
    }
    let merged = match base_path.rfind('/') {
        _ if path.starts_with('/') => path.to_string(),
        Some(last) => format!("{}{path}", &base_path[..=last]),
        None => format!("/{path}"),
    };
    format!("{authority}{}{query}", without_dots(&merged))
}

/// Takes `.` and `..` out of an absolute path (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// A part of a DNS name, as Kubernetes wants it.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| inner(*byte))
        && bytes.last().is_some_and(|byte| inner(*byte))
}

/// A DNS name of one or more parts.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reference(api_version: &str, kind: &str) -> ObjectRef {
        ObjectRef {
            api_version: api_version.into(),
            kind: kind.into(),
            name: "it".into(),
            namespace: "here".into(),
            address: None,
        }
    }

    fn broker() -> ObjectRef {
        reference("eventing.knative.dev/v1", "Broker")
    }

    #[test]
    fn paths_of_every_kind() {
        for (api_version, kind, expected) in [
            ("v1", "Service", "/api/v1/namespaces/here/services/it"),
            ("serving.knative.dev/v1", "Service", "/apis/serving.knative.dev/v1/namespaces/here/services/it"),
            ("eventing.knative.dev/v1", "Broker", "/apis/eventing.knative.dev/v1/namespaces/here/brokers/it"),
            (
                "messaging.knative.dev/v1",
                "InMemoryChannel",
                "/apis/messaging.knative.dev/v1/namespaces/here/inmemorychannels/it",
            ),
        ] {
            assert_eq!(path(&reference(api_version, kind)), expected);
        }
        for (kind, expected) in
            [("KafkaSink", "kafkasinks"), ("Ingress", "ingresses"), ("Policy", "policies")]
        {
            assert_eq!(resource(kind), expected);
        }
    }

    #[test]
    fn the_list_goes_before_the_single_address_and_a_name_before_both() {
        let single = json!({"url": "http://single/"});
        let plain = json!({"status": {"address": single.clone()}});
        let found = address(&broker(), &plain, "cluster.local").unwrap();
        assert_eq!((&*found.url, &*found.origin), ("http://single/", "status.address"));
        let listed = json!({"status": {"address": single, "addresses": [
            {"name": "https", "url": "https://one/", "CACerts": "PEM", "audience": "eventing/broker"},
            {"name": "http", "url": "http://two/", "CACerts": "", "audience": ""},
        ]}});
        let found = address(&broker(), &listed, "cluster.local").unwrap();
        assert_eq!((&*found.url, &*found.origin), ("https://one/", "status.addresses[0]"));
        assert_eq!(found.ca_certs.as_deref(), Some("PEM"));
        assert_eq!(found.audience.as_deref(), Some("eventing/broker"));
        let named = ObjectRef { address: Some("http".into()), ..broker() };
        let found = address(&named, &listed, "cluster.local").unwrap();
        assert_eq!((&*found.url, found.ca_certs, found.audience), ("http://two/", None, None));
        let missing = ObjectRef { address: Some("grpc".into()), ..broker() };
        let error = address(&missing, &listed, "cluster.local").unwrap_err().to_string();
        assert_eq!(error, "it has no address named \"grpc\"");
    }

    #[test]
    fn what_is_not_ready_says_so() {
        let conditions = json!([{"type": "Addressable", "status": "True"},
            {"type": "Ready", "status": "False", "reason": "NoIngress", "message": "wait a little"}]);
        for (object, expected) in [
            (json!({}), "it has no address yet"),
            (json!({"status": {"address": null, "addresses": []}}), "it has no address yet"),
            (json!({"status": {"address": {}}}), "status.address has no url yet"),
            (json!({"status": {"address": {"url": null}}}), "status.address has no url yet"),
            (json!({"status": {"address": {"url": ""}}}), "status.address has no url yet"),
            (
                json!({"status": {"address": {"url": null}, "conditions": conditions}}),
                "status.address has no url yet; it says Ready = False NoIngress: wait a little",
            ),
            (
                json!({"status": {"address": {"url": "http://"}}}),
                "status.address.url is \"http://\", no http or https URL with a host",
            ),
            (
                json!({"status": {"address": {"url": "ftp://a"}}}),
                "status.address.url is \"ftp://a\", no http or https URL with a host",
            ),
        ] {
            let error = address(&broker(), &object, "cluster.local").unwrap_err().to_string();
            assert_eq!(error, expected, "{object}");
        }
        let anomalies = json!({"status": {"address": {"url": 7}}});
        assert!(
            address(&broker(), &anomalies, "cluster.local")
                .unwrap_err()
                .to_string()
                .contains("status.address")
        );
    }

    #[test]
    fn service_of_the_core_has_its_name() {
        let found = address(&reference("v1", "Service"), &json!({}), "corp.example").unwrap();
        assert_eq!(found.url, "http://it.here.svc.corp.example");
        assert!(
            address(&reference("serving.knative.dev/v1", "Service"), &json!({}), "corp.example").is_err()
        );
    }

    #[test]
    fn domain_of_the_cluster() {
        for (text, expected) in [
            (
                "nameserver 10.0.0.10\nsearch here.svc.corp.example svc.corp.example corp.example\n",
                Some("corp.example"),
            ),
            ("search svc.cluster.local.\n", Some("cluster.local")),
            ("  search\tother.example svc.a.b\n", Some("a.b")),
            ("search corp.example\n", None),
            ("search svc.\n", None),
            ("# search svc.a\n", None),
            ("", None),
        ] {
            assert_eq!(cluster_domain(text), expected, "{text:?}");
        }
    }

    #[test]
    fn relative_references_by_the_examples_of_rfc_3986() {
        for (relative, expected) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("#s", "http://a/b/c/d;p?q"),
            (";x", "http://a/b/c/;x"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("./", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../..", "http://a/"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("..g", "http://a/b/c/..g"),
            ("./../g", "http://a/b/g"),
            ("g/./h", "http://a/b/c/g/h"),
            ("g/../h", "http://a/b/c/h"),
            ("g?y/../x", "http://a/b/c/g?y/../x"),
        ] {
            assert_eq!(join("http://a/b/c/d;p?q", relative), expected, "{relative:?}");
        }
        assert_eq!(join("http://a:8080", "g"), "http://a:8080/g");
        assert_eq!(join("http://a?q", "/g"), "http://a/g");
    }
}
