//! `VSphereSource` and `HorizonSource` of `sources.tanzu.vmware.com/v1alpha1`, the successors of the Go
//! router in Knative (sources-for-knative, `pkg/apis/sources/v1alpha1`).
//!
//! The account lies in a Secret that the object only names: the file says where its parts are looked for.

use super::super::reader::{Table, Value};
use super::output::{Concurrency, Output, quoted};
use super::router_config::{sink, unused};

/// Reads the root of the object and writes what it says.
pub(super) fn read<'a>(root: &Table<'a>, is_horizon: bool, out: &mut Output<'a>) -> Option<()> {
    unused(root, &["apiVersion", "kind", "status"]);
    let [name, namespace] = ["name", "namespace"].map(|key| {
        root.get("metadata", |value| {
            value.table(|table| {
                table.unjudged::<()>();
                table.get(key, |value| out.read(value)).map(|(text, _)| text)
            })
        })
    });
    root.required("spec", |at| {
        at.table(|spec| {
            unused(spec, &["serviceAccountName"]);
            let name = source(spec, name, at, is_horizon, out);
            let to =
                spec.required("sink", |at| at.table(|table| processor(spec, table, at, namespace, out)))?;
            out.route(&name, &to, at, Concurrency::OneAtATime);
            let encoding = spec.get("payloadEncoding", |value| out.read(value));
            if !is_horizon && !encoding.is_some_and(|(text, _)| text.eq_ignore_ascii_case("application/json"))
            {
                out.comment("The data is JSON; without payloadEncoding: application/json it was XML.");
            }
            out.value("format", "\"vspheresource\"");
            Some(())
        })
    })
}

fn source<'a>(
    spec: &Table<'a>,
    name: Option<String>,
    at: &Value<'a>,
    is_horizon: bool,
    out: &mut Output<'a>,
) -> String {
    let max_age = spec.get("checkpointConfig", |value| {
        value.table(|table| {
            unused(table, &["periodSeconds"]);
            table.get("maxAgeSeconds", |value| match out.read(value)?.0.parse::<u64>() {
                Ok(seconds) => Some(seconds),
                Err(_) => value.refuse("expected a number of seconds"),
            })
        })
    });
    let max_age = max_age.filter(|seconds| 0 < *seconds);
    if max_age.is_some() {
        out.state_dir(true, Some("/var/lib/event-router".to_string()));
    }
    let (type_name, product) = if is_horizon { ("horizon", "Horizon") } else { ("vcenter", "vCenter") };
    let name = out.part("source", name, type_name, at);
    out.required(spec, "address", "address");
    spec.required("secretRef", |at| {
        at.table(|table| {
            let (secret, _) = table.required("name", |value| out.read(value))?;
            out.comment(&format!("The Secret {secret}: mount it in this folder, or put its parts there."));
            for key in ["username", "password"] {
                let file = quoted(&format!("/etc/event-router/{secret}/{key}"));
                out.line(&format!("{key} = {{ file = {file} }}"), Some(at));
            }
            if is_horizon {
                out.comment(&format!(
                    "What this prints: kubectl get secret {secret} -o jsonpath='{{.data.domain}}' | base64 -d"
                ));
                out.value("domain", "\"DOMAIN\"");
            }
            Some(())
        })
    });
    match max_age {
        Some(seconds) => {
            out.comment(
                "maxAgeSeconds; without this key replay reaches back to the checkpoint however old it is.",
            );
            out.value("replay_max", &format!("\"{seconds}s\""));
        }
        None => out.no_checkpoint(product),
    }
    let insecure = spec.get("skipTLSVerify", Value::boolean).unwrap_or_default();
    let insecure = insecure.then_some(" and is sent the password: pin_sha256 or ca_file protect it");
    out.tls(["source", &name], at, Vec::new(), insecure);
    name
}

fn processor<'a>(
    spec: &Table<'a>,
    table: &Table<'a>,
    at: &Value<'a>,
    namespace: Option<String>,
    out: &mut Output<'a>,
) -> Option<String> {
    let name = out.part("processor", None, "knative", at);
    // As Knative does it, an object without a namespace is in that of the source.
    sink(table, Some(namespace.unwrap_or_else(|| "default".to_string())), out);
    spec.get("ceOverrides", |value| {
        value.table(|table| {
            table.get("extensions", |at| {
                let pairs = at.table(|table| {
                    let text = |value: &Value<'a>| out.read(value).map(|(text, _)| text);
                    let pair =
                        |value: &Value<'a>| Some(format!("{} = {}", value.name(), quoted(&text(value)?)));
                    Some(table.entries().iter().filter_map(pair).collect::<Vec<_>>())
                })?;
                out.line(&format!("extensions = {{ {} }}", pairs.join(", ")), Some(at));
                Some(())
            })
        })
    });
    Some(name)
}
