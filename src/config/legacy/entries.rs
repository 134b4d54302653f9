//! The JSON array of the Go router v0.3 and v0.4: one entry each of type `stream`, `processor` and
//! `metrics`.
//!
//! As there, unknown members are passed over, of several entries of a type the last counts, options
//! are texts, and only the text `true` is true. Their order does not matter any more.

use super::super::reader::{Table, Value};
use super::old::{Account, Kind, Metrics, Old, Processor, Source, Text, strict_text};

/// Reads the root of the tree.
pub(super) fn read<'a>(root: &Table<'a>) -> Option<Old<'a>> {
    let mut entries = Vec::new();
    root.get("entry", |value| {
        value.list("an array of entries", |entry| {
            entries.push((kind(entry)?, entry.clone()));
            Some(())
        })
    })?;
    let last = |wanted: &str| {
        let found = entries.iter().rev().find(|(kind, _)| *kind == wanted).map(|(_, entry)| entry);
        if found.is_none() {
            root.document().problem_of_file(format!("holds no entry of type {wanted:?}"));
        }
        found
    };
    let (stream, processor, metrics) = (last("stream"), last("processor"), last("metrics"));
    let source = stream.and_then(|entry| entry.table(|table| self::stream(table, entry)));
    let processor = processor.and_then(|entry| entry.table(|table| self::processor(table, entry)));
    let metrics = metrics.and_then(|entry| entry.table(|table| self::metrics(table, entry)));
    Some(Old { source: source?, processor: processor?, metrics: metrics? })
}

/// The type of an entry.
fn kind(entry: &Value<'_>) -> Option<&'static str> {
    entry.table(|table| {
        let words = [("stream", "stream"), ("processor", "processor"), ("metrics", "metrics")];
        let kind = table.required("type", |value| value.one_of(&words));
        table.unjudged::<()>();
        kind
    })
}

fn stream<'a>(table: &Table<'a>, at: &Value<'a>) -> Option<Source<'a>> {
    table.unjudged::<()>();
    table.required("provider", |value| value.one_of(&[("vmware_vcenter", ())]));
    let address = table.required("address", strict_text);
    let account = table.required("auth", |value| secret(value, "user_password", ["username", "password"]));
    Some(Source {
        type_name: "vcenter",
        name: None,
        at: at.clone(),
        address: address?,
        account: account?,
        insecure: option(table, "insecure").is_some_and(|value| value.text == "true"),
        checkpoint: Some(false),
        checkpoint_dir: None,
        root_cas: Vec::new(),
    })
}

fn processor<'a>(table: &Table<'a>, at: &Value<'a>) -> Option<Processor<'a>> {
    type Read = for<'b> fn(&Table<'b>) -> Option<Kind<'b>>;
    const PROVIDERS: [(&str, Read); 2] = [("openfaas", openfaas), ("aws_event_bridge", eventbridge)];
    table.unjudged::<()>();
    let read = table.required("provider", |value| value.one_of(&PROVIDERS))?;
    Some(Processor { name: None, at: at.clone(), kind: read(table)? })
}

fn openfaas<'a>(table: &Table<'a>) -> Option<Kind<'a>> {
    let address = table.required("address", strict_text);
    let account = table.required("auth", |value| secret(value, "basic_auth", ["username", "password"]));
    let asynchronous = option(table, "async").is_some_and(|value| value.text == "true");
    // Two empty texts stood for a gateway without accounts.
    let account = account.map(|account| {
        let is_empty = account.username.text.is_empty() && account.password.text.is_empty();
        (!is_empty).then_some(account)
    });
    Some(Kind::Openfaas { address: address?, asynchronous, account: account? })
}

fn eventbridge<'a>(table: &Table<'a>) -> Option<Kind<'a>> {
    let keys = ["aws_access_key_id", "aws_secret_access_key"];
    let keys = table.required("auth", |value| secret(value, "access_key", keys));
    let options = table.required("options", |value| {
        value.table(|table| {
            table.unjudged::<()>();
            let region = table.required("aws_region", strict_text);
            let rule = table.required("aws_eventbridge_rule_arn", strict_text);
            let bus = table.get("aws_eventbridge_event_bus", strict_text);
            Some((region?, rule?, bus))
        })
    });
    let (region, rule, bus) = options?;
    Some(Kind::Eventbridge { region, bus, rule, keys: Some(keys?) })
}

fn metrics<'a>(table: &Table<'a>, at: &Value<'a>) -> Option<Metrics<'a>> {
    table.unjudged::<()>();
    let bind = table.required("address", strict_text);
    let is_open = table.required("auth", |value| {
        value.table(|table| {
            table.unjudged::<()>();
            table.required("method", |value| value.one_of(&[("none", true), ("basic_auth", false)]))
        })
    });
    let account = match is_open? {
        true => None,
        false => Some(table.get("auth", |value| secret(value, "basic_auth", ["username", "password"]))?),
    };
    Some(Metrics { at: at.clone(), bind: bind?, account })
}

/// `auth` of one method, with the two texts of its `secret`.
fn secret<'a>(auth: &Value<'a>, method: &'static str, keys: [&'static str; 2]) -> Option<Account<'a>> {
    auth.table(|table| {
        table.unjudged::<()>();
        let method = table.required("method", |value| value.one_of(&[(method, ())]));
        let secret = table.required("secret", |value| {
            value.table(|table| {
                table.unjudged::<()>();
                let [username, password] = keys.map(|key| table.required(key, strict_text));
                Some(Account { username: username?, password: password? })
            })
        });
        method.and(secret)
    })
}

fn option<'a>(table: &Table<'a>, key: &'static str) -> Option<Text<'a>> {
    table.get("options", |value| {
        value.table(|table| {
            table.unjudged::<()>();
            table.get(key, strict_text)
        })
    })
}
