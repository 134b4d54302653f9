//! `RouterConfig` of `event-router.vmware.com/v1alpha1`: the YAML of the Go router v0.5 and later.
//!
//! As strict as it was where that protects (unknown and repeated keys), as tolerant where people
//! relied on it: `apiVersion`, `kind` and names are not looked at, sections that `type` does not
//! name are passed over, and only the parts of `auth` count that were used.

use super::super::reader::{Table, Value};
use super::old::{
    Account, Destination, Kind, Metrics, Old, Processor, Reference, Source, Text, text, unused,
};
use super::uri;

/// Reads the root of the file.
pub(super) fn read<'a>(root: &Table<'a>) -> Option<Old<'a>> {
    root.get("apiVersion", unused);
    root.get("kind", unused);
    root.get("metadata", |value| {
        value.table(|table| {
            table.get("name", unused);
            table.get("labels", unused)
        })
    });
    let source = root.required("eventProvider", |value| value.table(provider));
    let processor = root.required("eventProcessor", |value| value.table(processor));
    let metrics = root.required("metricsProvider", |value| value.table(metrics));
    let root_cas = root.get("certificates", |value| {
        value.table(|table| table.get("rootCAs", |value| value.list("a list of files", text)))
    });
    let source = Source { root_cas: root_cas.unwrap_or_default(), ..source? };
    Some(Old { source, processor: processor?, metrics: metrics? })
}

#[derive(Clone, Copy)]
enum Provider {
    Vcenter,
    Vcsim,
    Webhook,
    Horizon,
}

fn provider<'a>(table: &Table<'a>) -> Option<Source<'a>> {
    let name = table.get("name", text).map(|name| name.text);
    for section in ["vcenter", "vcsim", "webhook", "horizon"] {
        table.get(section, unused);
    }
    let words = [
        ("vcenter", Provider::Vcenter),
        ("vcsim", Provider::Vcsim),
        ("webhook", Provider::Webhook),
        ("horizon", Provider::Horizon),
    ];
    let source =
        match table.required("type", |value| value.one_of(&words).map(|word| (word, value.clone())))? {
            (Provider::Vcenter, _) => {
                table.required("vcenter", |value| value.table(|table| vcenter(table, "vcenter", value)))
            }
            (Provider::Vcsim, _) => {
                table.required("vcsim", |value| value.table(|table| vcenter(table, "vcsim", value)))
            }
            (Provider::Webhook, at) => missing_part(&at, "the webhook provider"),
            (Provider::Horizon, at) => missing_part(&at, "the Horizon provider"),
        };
    Some(Source { name, ..source? })
}

fn missing_part<T>(at: &Value<'_>, part: &str) -> Option<T> {
    at.refuse(format!(
        "this version of the router does not have {part} yet: keep the Go router for it, beside this one"
    ))
}

/// vcsim had no checkpoints.
fn vcenter<'a>(table: &Table<'a>, type_name: &'static str, at: &Value<'a>) -> Option<Source<'a>> {
    let address = table.required("address", text);
    let insecure = table.get("insecureSSL", Value::boolean).unwrap_or_default();
    let (mut checkpoint, mut checkpoint_dir) = (None, None);
    if type_name == "vcenter" {
        checkpoint = Some(table.get("checkpoint", Value::boolean).unwrap_or_default());
        checkpoint_dir = table.get("checkpointDir", text).filter(|folder| !folder.text.is_empty());
    }
    let account = table.required("auth", |value| value.table(required_basic));
    Some(Source {
        type_name,
        name: None,
        at: at.clone(),
        address: address?,
        account: account?,
        insecure,
        checkpoint,
        checkpoint_dir,
        root_cas: Vec::new(),
    })
}

fn processor<'a>(table: &Table<'a>) -> Option<Processor<'a>> {
    type Read = for<'b> fn(&Table<'b>) -> Option<Kind<'b>>;
    const PROCESSORS: [(&str, (&str, Read)); 3] = [
        ("openfaas", ("openfaas", openfaas)),
        ("aws_event_bridge", ("awsEventBridge", eventbridge)),
        ("knative", ("knative", knative)),
    ];
    let name = table.get("name", text).map(|name| name.text);
    for (_, (section, _)) in PROCESSORS {
        table.get(section, unused);
    }
    let (section, read) = table.required("type", |value| value.one_of(&PROCESSORS))?;
    table.required(section, |value| {
        let kind = value.table(read)?;
        Some(Processor { name, at: value.clone(), kind })
    })
}

fn openfaas<'a>(table: &Table<'a>) -> Option<Kind<'a>> {
    let address = table.required("address", text);
    let asynchronous = table.get("async", Value::boolean).unwrap_or_default();
    let account = table.get("auth", |value| {
        value.table(|table| {
            table.required("type", |value| value.one_of(&[("basic_auth", ())]));
            required_basic(table)
        })
    });
    let is_complete = !table.has("auth") || account.is_some();
    is_complete.then_some(Kind::Openfaas { address: address?, asynchronous, account })
}

fn knative<'a>(table: &Table<'a>) -> Option<Kind<'a>> {
    let encoding = table.required("encoding", text);
    let insecure = table.get("insecureSSL", Value::boolean).unwrap_or_default();
    // It was never used.
    table.get("auth", unused);
    let destination = table.required("destination", |value| value.table(destination));
    Some(Kind::Knative { destination: destination?, encoding: encoding?, insecure })
}

fn destination<'a>(table: &Table<'a>) -> Option<Destination<'a>> {
    let reference = table.get("ref", |value| value.table(|table| reference(table, value)));
    let uri = table.get("uri", |value| uri::read(value, !table.has("ref")));
    if !table.has("ref") && !table.has("uri") {
        table.problem("needs `uri`, such as { scheme: http, host: sink.example.com }, or `ref`");
    }
    Some(Destination { reference, uri })
}

fn reference<'a>(table: &Table<'a>, at: &Value<'a>) -> Option<Reference<'a>> {
    // Go looked up nothing without a namespace.
    let fields = ["apiVersion", "kind", "name", "namespace"].map(|key| (key, table.required(key, text)));
    let read = |(key, field): (_, Option<Text<'a>>)| Some((key, field?.text));
    Some(Reference { at: at.clone(), fields: fields.into_iter().map(read).collect::<Option<_>>()? })
}

fn eventbridge<'a>(table: &Table<'a>) -> Option<Kind<'a>> {
    #[derive(Clone, Copy)]
    enum Auth {
        Keys,
        Role,
    }
    let region = table.required("region", text);
    let bus = table.required("eventBus", text);
    let rule = table.required("ruleARN", text);
    let keys = table.required("auth", |value| {
        value.table(|table| {
            table.get("basicAuth", unused);
            table.get("activeDirectoryAuth", unused);
            table.get("awsAccessKeyAuth", unused);
            let words = [("aws_access_key", Auth::Keys), ("aws_iam_role", Auth::Role)];
            match table.required("type", |value| value.one_of(&words))? {
                Auth::Role => Some(None),
                Auth::Keys => table
                    .required("awsAccessKeyAuth", |value| {
                        value.table(|table| pair(table, ["accessKey", "secretKey"]))
                    })
                    .map(Some),
            }
        })
    });
    Some(Kind::Eventbridge { region: region?, bus: Some(bus?), rule: rule?, keys: keys? })
}

fn metrics<'a>(table: &Table<'a>) -> Option<Metrics<'a>> {
    table.get("name", unused);
    table.required("type", |value| value.one_of(&[("default", ())]));
    table.required("default", |value| {
        value.table(|table| {
            let bind = table.required("bindAddress", text);
            let account = table.get("auth", |value| value.table(|table| Some(basic(table))));
            Some(Metrics { at: value.clone(), bind: bind?, account: account.flatten() })
        })
    })
}

/// `auth` of a part that could not do without `basicAuth`; its `type` was not looked at.
fn required_basic<'a>(table: &Table<'a>) -> Option<Account<'a>> {
    if !table.has("basicAuth") {
        table.required("basicAuth", unused);
    }
    basic(table)
}

/// `auth` of a part that used nothing but `basicAuth`.
fn basic<'a>(table: &Table<'a>) -> Option<Account<'a>> {
    for key in ["type", "awsAccessKeyAuth", "activeDirectoryAuth"] {
        table.get(key, unused);
    }
    table.get("basicAuth", |value| value.table(|table| pair(table, ["username", "password"])))
}

fn pair<'a>(table: &Table<'a>, keys: [&'static str; 2]) -> Option<Account<'a>> {
    let [username, password] = keys.map(|key| table.required(key, text));
    Some(Account { username: username?, password: password? })
}
