//! What people hold old configurations in, or say the same with: a Secret or ConfigMap of Kubernetes, the
//! values of the Go router's Helm chart, the sources of Tanzu for Knative. Pure.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::form_of;

/// What a YAML text is that is no configuration itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// A Secret, whose data are base64, or a ConfigMap.
    Holder { is_base64: bool },
    /// A VSphereSource or a HorizonSource.
    Source { is_horizon: bool },
    /// The values of the Helm chart.
    Values,
    /// Another object of Kubernetes.
    Other,
}

/// What the root of a text says that it is; none for a configuration.
pub(super) fn of(root: &DeTable<'_>) -> Option<Manifest> {
    let kind = root.get("kind").and_then(|value| value.get_ref().as_str()).unwrap_or_default();
    if root.contains_key("eventProvider") || root.contains_key("eventProcessor") {
        return None;
    }
    match kind {
        "Secret" => Some(Manifest::Holder { is_base64: true }),
        "ConfigMap" => Some(Manifest::Holder { is_base64: false }),
        "VSphereSource" => Some(Manifest::Source { is_horizon: false }),
        "HorizonSource" => Some(Manifest::Source { is_horizon: true }),
        "" if root.contains_key("eventrouter") => Some(Manifest::Values),
        "" | "RouterConfig" => None,
        _ if ["spec", "items"].iter().any(|key| root.contains_key(*key)) => Some(Manifest::Other),
        _ => None,
    }
}

/// What to do with an object that holds no configuration.
pub(super) const EXTRACT: &str = "is an object of Kubernetes without a configuration of the router in it: convert the \
    Secret that holds the file, or the file itself, which this prints: kubectl get secret NAME \
    -o jsonpath='{.data.KEY}' | base64 -d (a dot in KEY is written as \\.)";

/// The configuration that a Secret, a ConfigMap or the values of a chart hold, and its key; or what to do with
/// what holds none.
pub(super) fn held(root: &DeTable<'_>, manifest: Manifest) -> Result<(String, String), &'static str> {
    let table = |name: &str| table(root, name);
    let is_base64 = match (manifest, table("eventrouter")) {
        (Manifest::Holder { is_base64 }, _) => is_base64,
        (Manifest::Values, Some(values)) => return Ok(("eventrouter".to_string(), rendered(values))),
        _ => return Err(EXTRACT),
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

fn table<'t, 'a>(of: &'t DeTable<'a>, key: &str) -> Option<&'t DeTable<'a>> {
    match of.get(key).map(|value| value.get_ref()) {
        Some(DeValue::Table(table)) => Some(table),
        _ => None,
    }
}

/// What the chart's `config.yaml` makes of `eventrouter`. What a file of values leaves out is what the chart
/// itself says.
fn rendered(values: &DeTable<'_>) -> String {
    let word =
        |key, default: &str| values.get(key).map_or(default.to_string(), |value| flow(value.get_ref()));
    let part = |name: &str, keys: &[(&str, &str, &str)]| {
        let values = table(values, name);
        let pair = |(new, old, default): &(&str, &str, &str)| {
            let said = values.and_then(|table| table.get(*old)).map(|value| flow(value.get_ref()));
            let said = said.or_else(|| (!default.is_empty()).then(|| default.to_string()))?;
            Some(format!("{new}: {said}"))
        };
        keys.iter().filter_map(pair).collect::<Vec<_>>().join(", ")
    };
    const ACCOUNT: [(&str, &str, &str); 2] = [("username", "username", ""), ("password", "password", "")];
    let (provider, processor) = (word("eventProvider", "vcenter"), word("eventProcessor", "openfaas"));
    let [vcenter, webhook] = ["vcenter", "webhook"].map(|name| part(name, &ACCOUNT));
    let auth = |account: String| match account.is_empty() {
        true => String::new(),
        false => format!(", auth: {{type: basic_auth, basicAuth: {{{account}}}}}"),
    };
    let has_account = part("openfaas", &[("is", "basicAuth", "true")]) == "is: true";
    let functions = [("username", "username", "admin"), ("password", "password", "")];
    let functions = if has_account { part("openfaas", &functions) } else { String::new() };
    let broker =
        "{ref: {apiVersion: eventing.knative.dev/v1, kind: Broker, name: default, namespace: default}}";
    format!(
        "eventProvider:\n  type: {provider}\n  vcenter: {{{}, checkpoint: false{}}}\n  \
         webhook: {{bindAddress: '0.0.0.0:{}', {}{}}}\n  \
         horizon: {{{}, auth: {{type: active_directory, activeDirectoryAuth: {{{}}}}}}}\n\
         eventProcessor:\n  type: {processor}\n  openfaas: {{{}{}}}\n  knative: {{{}}}\n\
         metricsProvider:\n  type: default\n  default: {{bindAddress: '0.0.0.0:{}'}}\n",
        part("vcenter", &[("address", "address", ""), ("insecureSSL", "insecure", "false")]),
        auth(vcenter),
        port(values, "webhook", "8080"),
        part("webhook", &[("path", "path", "/webhook")]),
        auth(webhook),
        part("horizon", &[("address", "address", ""), ("insecureSSL", "insecure", "false")]),
        part("horizon", &[("domain", "domain", ""), ACCOUNT[0], ACCOUNT[1]]),
        part(
            "openfaas",
            &[("address", "address", "'http://gateway.openfaas:8080'"), ("async", "async", "false")]
        ),
        auth(functions),
        part(
            "knative",
            &[
                ("encoding", "encoding", "binary"),
                ("insecureSSL", "insecureSSL", "false"),
                ("destination", "destination", broker)
            ]
        ),
        port(values, "metrics", "8082"),
    )
}

fn port(values: &DeTable<'_>, part: &str, default: &str) -> String {
    let said = table(values, part).and_then(|table| table.get("port")).map(|value| flow(value.get_ref()));
    said.map_or(default.to_string(), |port| port.trim_matches('\'').to_string())
}

/// A value as YAML writes it on one line.
fn flow(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("'{}'", text.replace('\'', "''")),
        DeValue::Integer(number) => number.as_str().to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Table(table) => {
            let pair = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                format!("{}: {}", key.get_ref(), flow(value.get_ref()))
            };
            format!("{{{}}}", table.iter().map(pair).collect::<Vec<_>>().join(", "))
        }
        _ => String::new(),
    }
}
