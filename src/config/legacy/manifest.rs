//! What people hold old configurations in, or say the same with: a Secret or ConfigMap of Kubernetes, the
//! values of the Go router's Helm chart, the sources of Tanzu for Knative. Pure.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use toml::de::{DeTable, DeValue};

use super::form_of;

/// What a YAML text is that is no configuration itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// A Secret, whose data are base64, or a ConfigMap.
    Holder { is_base64: bool },
    /// Another, and what to do with it.
    Other(&'static str),
}

/// What the root of a text says that it is; none for a configuration.
pub(super) fn of(root: &DeTable<'_>) -> Option<Manifest> {
    let kind = match root.get("kind").map(|value| value.get_ref()) {
        Some(DeValue::String(text)) => text.to_string(),
        _ => String::new(),
    };
    if root.contains_key("eventProvider") || root.contains_key("eventProcessor") {
        return None;
    }
    match kind.as_str() {
        "Secret" => Some(Manifest::Holder { is_base64: true }),
        "ConfigMap" => Some(Manifest::Holder { is_base64: false }),
        "VSphereSource" | "HorizonSource" => Some(Manifest::Other(SOURCE)),
        "" if root.contains_key("eventrouter") => Some(Manifest::Other(VALUES)),
        "" | "RouterConfig" => None,
        _ if ["spec", "items"].iter().any(|key| root.contains_key(*key)) => Some(Manifest::Other(EXTRACT)),
        _ => None,
    }
}

const SOURCE: &str = "is a source of Tanzu for Knative: write a [source.NAME] of type vcenter or horizon with its \
    address and account, a [processor.NAME] of type knative with its sink, and format = \"vspheresource\" in the route";
const VALUES: &str = "holds the values of the Go router's Helm chart: convert the file that the chart made of them, \
    which this prints: kubectl get secret RELEASE-event-router-config -o jsonpath='{.data.config\\.yaml}' | base64 -d";
/// What to do with an object that holds no configuration.
pub(super) const EXTRACT: &str = "is an object of Kubernetes without a configuration of the router in it: convert the \
    Secret that holds the file, or the file itself, which this prints: kubectl get secret NAME \
    -o jsonpath='{.data.KEY}' | base64 -d (a dot in KEY is written as \\.)";

/// The configuration that a Secret or ConfigMap holds, and its key; or what to do with what holds none.
pub(super) fn held(root: &DeTable<'_>, manifest: Manifest) -> Result<(String, String), &'static str> {
    let is_base64 = match manifest {
        Manifest::Holder { is_base64 } => is_base64,
        Manifest::Other(told) => return Err(told),
    };
    let table = |name: &str| match root.get(name).map(|value| value.get_ref()) {
        Some(DeValue::Table(table)) => Some(table),
        _ => None,
    };
    let plain = |value: &DeValue<'_>| value.as_str().map(str::to_string);
    let decoded = |value: &DeValue<'_>| {
        let digits: String = value.as_str()?.split_whitespace().collect();
        String::from_utf8(BASE64_STANDARD.decode(digits).ok()?).ok()
    };
    // What stands in stringData goes before data, as in Kubernetes.
    for (name, is_base64) in [("stringData", false), ("data", is_base64)] {
        for (key, value) in table(name).into_iter().flatten() {
            let text = if is_base64 { decoded(value.get_ref()) } else { plain(value.get_ref()) };
            let says_so =
                |text: &String| text.contains("eventProvider") || text.trim_start().starts_with('[');
            if let Some(text) = text.filter(|text| form_of(text).is_some() && says_so(text)) {
                return Ok((format!("{name}.{}", key.get_ref()), text));
            }
        }
    }
    Err(EXTRACT)
}
