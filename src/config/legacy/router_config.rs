//! `RouterConfig` of `event-router.vmware.com/v1alpha1`: the YAML of the Go router v0.5 and later.
//!
//! As strict as it was where that protects (unknown and repeated keys), as tolerant where people
//! relied on it: `apiVersion`, `kind` and names are not looked at, sections that `type` does not
//! name are passed over, and only the parts of `auth` count that were used.

use super::super::reader::{Table, Value};
use super::output::{Concurrency, Output, Text, quoted};
use super::uri;

/// Reads the root of the file and writes what it says.
pub(super) fn read<'a>(root: &Table<'a>, out: &mut Output<'a>) -> Option<()> {
    unused(root, &["apiVersion", "kind"]);
    root.get("metadata", |value| value.table(|table| unused(table, &["name", "labels"])));
    let root_cas = root.get("certificates", |value| {
        value
            .table(|table| table.get("rootCAs", |value| value.list("a list of files", |file| out.read(file))))
    });
    let root_cas = root_cas.unwrap_or_default();
    let source = root.required("eventProvider", |value| value.table(|table| provider(table, root_cas, out)));
    let processor = root.required("eventProcessor", |value| value.table(|table| processor(table, out)));
    if let (Some(source), Some((processor, at))) = (source, processor) {
        out.route(&source.0, &processor, &at, source.1);
    }
    root.required("metricsProvider", |value| value.table(|table| metrics(table, out)))
}

/// Keys that are known and mean nothing here.
pub(super) fn unused(table: &Table<'_>, keys: &[&'static str]) -> Option<()> {
    for key in keys {
        table.get(key, |_| Some(()));
    }
    Some(())
}

fn provider<'a>(
    table: &Table<'a>,
    root_cas: Vec<Text<'a>>,
    out: &mut Output<'a>,
) -> Option<(String, Concurrency)> {
    let name = table.get("name", |value| out.read(value)).map(|(name, _)| name);
    let words = ["vcenter", "vcsim", "webhook", "horizon"];
    unused(table, &words);
    let types = words.map(|word| (word, word));
    let type_name = table.required("type", |value| value.one_of(&types))?;
    table.required(type_name, |at| {
        at.table(|table| {
            if type_name == "webhook" {
                return Some((webhook(table, name, at, out), Concurrency::Free));
            }
            let insecure = table.get("insecureSSL", Value::boolean).unwrap_or_default();
            // vcsim had no checkpoints.
            let checkpoint = (type_name == "vcenter").then(|| {
                let folder = table.get("checkpointDir", |value| out.read(value)).map(|(folder, _)| folder);
                let checkpoint = table.get("checkpoint", Value::boolean).unwrap_or_default();
                out.state_dir(checkpoint, folder.filter(|folder| !folder.is_empty()));
                checkpoint
            });
            let name = out.part("source", name, type_name, at);
            out.required(table, "address", "address");
            let auth = if type_name == "horizon" { active_directory } else { required_basic };
            table.required("auth", |value| value.table(|table| auth(table, out)));
            if let Some(checkpoint) = checkpoint {
                out.checkpoint(checkpoint);
            }
            if type_name == "horizon" {
                // It had none: each start delivered the last ten events once more.
                out.no_checkpoint("Horizon");
            }
            let insecure = insecure.then_some(" and is sent the password: pin_sha256 or ca_file protect it");
            out.tls(["source", &name], at, root_cas, insecure);
            Some((name, Concurrency::OneAtATime))
        })
    })
}

/// The Go router took `/Foo`, `foo/` and `/foo` for the same path.
fn webhook<'a>(table: &Table<'a>, name: Option<String>, at: &Value<'a>, out: &mut Output<'a>) -> String {
    let name = out.part("source", name, "webhook", at);
    out.bind(table, "bindAddress");
    let path = table.get("path", |value| out.read(value));
    let path = path.filter(|(text, _)| !text.is_empty());
    out.text("path", path.map(|(text, at)| (format!("/{}", text.trim_matches('/').to_lowercase()), at)));
    table.get("auth", |value| value.table(|table| basic(table, out)));
    out.comment(
        "Nothing is kept on disk, as before: what cannot be delivered is given up, and its sender is told\n\
         (503, the Go router: 500). With true it is retried, and kept where the sink refuses it; then set\n\
         state_dir too.",
    );
    out.value("checkpoint", "false");
    name
}

/// `auth` of Horizon.
fn active_directory<'a>(table: &Table<'a>, out: &mut Output<'a>) -> Option<()> {
    unused(table, &["basicAuth", "awsAccessKeyAuth"]);
    table.required("type", |value| value.one_of(&[("active_directory", ())]));
    table.required("activeDirectoryAuth", |value| {
        value.table(|table| {
            out.required(table, "domain", "domain");
            let keys = ["username", "password"];
            out.pair(table, keys, keys)
        })
    })
}

type ReadProcessor = for<'a> fn(&Table<'a>, &mut Output<'a>) -> bool;

/// The name of the section, that of the type here, and the reader.
const PROCESSORS: &[(&str, (&str, &str, ReadProcessor))] = &[
    ("openfaas", ("openfaas", "openfaas", openfaas)),
    ("aws_event_bridge", ("awsEventBridge", "eventbridge", eventbridge)),
    ("knative", ("knative", "knative", knative)),
];

fn processor<'a>(table: &Table<'a>, out: &mut Output<'a>) -> Option<(String, Value<'a>)> {
    let name = table.get("name", |value| out.read(value)).map(|(name, _)| name);
    for (_, (section, ..)) in PROCESSORS {
        unused(table, &[section]);
    }
    let (section, type_name, read) = table.required("type", |value| value.one_of(PROCESSORS))?;
    table.required(section, |at| {
        at.table(|table| {
            let name = out.part("processor", name, type_name, at);
            let insecure = read(table, out).then_some(": pin_sha256 or ca_file protect the events");
            out.tls(["processor", &name], at, Vec::new(), insecure);
            Some((name, at.clone()))
        })
    })
}

fn openfaas<'a>(table: &Table<'a>, out: &mut Output<'a>) -> bool {
    out.required(table, "address", "address");
    let asynchronous = table.get("async", Value::boolean).unwrap_or_default();
    out.value("async", if asynchronous { "true" } else { "false" });
    table.get("auth", |value| {
        value.table(|table| {
            table.required("type", |value| value.one_of(&[("basic_auth", ())]));
            required_basic(table, out)
        })
    });
    false
}

fn knative<'a>(table: &Table<'a>, out: &mut Output<'a>) -> bool {
    // Go looked up nothing without a namespace.
    table.required("destination", |value| value.table(|table| sink(table, None, out)));
    out.required(table, "encoding", "encoding");
    // It was never used.
    unused(table, &["auth"]);
    table.get("insecureSSL", Value::boolean).unwrap_or_default()
}

/// Where events go: an object, an address, or both. An object without a namespace is in this one.
pub(super) fn sink<'a>(table: &Table<'a>, namespace: Option<String>, out: &mut Output<'a>) -> Option<()> {
    table.get("ref", |value| {
        let fields = value.table(|table| {
            let field = |key| match &namespace {
                Some(namespace) if key == "namespace" && !table.has(key) => Some((key, namespace.clone())),
                _ => table.required(key, |value| out.read(value)).map(|(text, _)| (key, text)),
            };
            Some(["apiVersion", "kind", "name", "namespace"].map(field))
        })?;
        let fields = fields.into_iter().flatten().map(|(key, text)| format!("{key} = {}", quoted(&text)));
        out.line(&format!("ref = {{ {} }}", fields.collect::<Vec<_>>().join(", ")), Some(value));
        Some(())
    });
    let uri = table.get("uri", |value| uri::read(value, !table.has("ref"), out));
    out.text("uri", uri);
    if !table.has("ref") && !table.has("uri") {
        table.problem("needs `uri`, such as { scheme: http, host: sink.example.com }, or `ref`");
    }
    Some(())
}

fn eventbridge<'a>(table: &Table<'a>, out: &mut Output<'a>) -> bool {
    out.required(table, "region", "region");
    out.required(table, "eventBus", "event_bus");
    out.required(table, "ruleARN", "rule_arn");
    table.required("auth", |value| {
        value.table(|table| {
            unused(table, &["basicAuth", "activeDirectoryAuth", "awsAccessKeyAuth"]);
            let words = [("aws_access_key", true), ("aws_iam_role", false)];
            if !table.required("type", |value| value.one_of(&words))? {
                out.comment("aws_iam_role: credentials come from the AWS credential chain.");
                return Some(());
            }
            let (old, new) = (["accessKey", "secretKey"], ["access_key_id", "secret_access_key"]);
            table.required("awsAccessKeyAuth", |value| value.table(|table| out.pair(table, old, new)))
        })
    });
    false
}

fn metrics<'a>(table: &Table<'a>, out: &mut Output<'a>) -> Option<()> {
    unused(table, &["name"]);
    table.required("type", |value| value.one_of(&[("default", ())]));
    table.required("default", |value| {
        out.section("metrics", value);
        value.table(|table| {
            out.bind(table, "bindAddress");
            table.get("auth", |value| value.table(|table| basic(table, out)))
        })
    })
}

/// `auth` of a part that could not do without `basicAuth`; its `type` was not looked at.
fn required_basic<'a>(table: &Table<'a>, out: &mut Output<'a>) -> Option<()> {
    table.required("basicAuth", |_| Some(()));
    basic(table, out)
}

/// `auth` of a part that used nothing but `basicAuth`.
fn basic<'a>(table: &Table<'a>, out: &mut Output<'a>) -> Option<()> {
    unused(table, &["type", "awsAccessKeyAuth", "activeDirectoryAuth"]);
    let keys = ["username", "password"];
    table.get("basicAuth", |value| value.table(|table| out.pair(table, keys, keys)))
}
