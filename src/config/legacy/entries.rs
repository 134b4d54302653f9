//! The JSON array of the Go router v0.3 and v0.4: one entry each of type `stream`, `processor` and
//! `metrics`.
//!
//! As there, unknown members are passed over, of several entries of a type the last counts, options
//! are texts, and only the text `true` is true. Their order does not matter any more.

use super::super::reader::{Table, Value};
use super::output::{Concurrency, Output};

const ACCOUNT: [&str; 2] = ["username", "password"];

/// Reads the root of the tree and writes what it says.
pub(super) fn read<'a>(root: &Table<'a>, out: &mut Output<'a>) -> Option<()> {
    let words = ["stream", "processor", "metrics"].map(|word| (word, word));
    let entries = root.get("entry", |value| {
        value.list("an array of entries", |entry| {
            let kind = open(entry, |table| table.required("type", |value| value.one_of(&words)))?;
            Some((kind, entry.clone()))
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
    let source = stream.and_then(|entry| open(entry, |table| self::stream(table, entry, out)));
    let name = processor.and_then(|entry| open(entry, |table| self::processor(table, entry, out)));
    if let (Some(source), Some(name)) = (source, name) {
        out.route(&source, &name, processor?, Concurrency::OneAtATime);
    }
    out.section("metrics", metrics?);
    open(metrics?, |table| self::metrics(table, out))
}

/// A table, of which unknown members are passed over.
fn open<'a, T>(value: &Value<'a>, read: impl FnOnce(&Table<'a>) -> Option<T>) -> Option<T> {
    value.table(|table| {
        table.unjudged::<()>();
        read(table)
    })
}

fn stream<'a>(table: &Table<'a>, at: &Value<'a>, out: &mut Output<'a>) -> Option<String> {
    table.required("provider", |value| value.one_of(&[("vmware_vcenter", ())]));
    let name = out.part("source", None, "vcenter", at);
    out.required(table, "address", "address");
    secret(table, "user_password", |table| out.pair(table, ACCOUNT, ACCOUNT));
    out.checkpoint(false);
    let insecure = option(table, "insecure", out)
        .then_some(" and is sent the password: pin_sha256 or ca_file protect it");
    out.tls(["source", &name], at, Vec::new(), insecure);
    Some(name)
}

fn processor<'a>(table: &Table<'a>, at: &Value<'a>, out: &mut Output<'a>) -> Option<String> {
    type Read = for<'b> fn(&Table<'b>, &mut Output<'b>);
    const PROVIDERS: [(&str, (&str, Read)); 2] =
        [("openfaas", ("openfaas", openfaas)), ("aws_event_bridge", ("eventbridge", eventbridge))];
    let (type_name, read) = table.required("provider", |value| value.one_of(&PROVIDERS))?;
    let name = out.part("processor", None, type_name, at);
    read(table, out);
    Some(name)
}

fn openfaas<'a>(table: &Table<'a>, out: &mut Output<'a>) {
    out.required(table, "address", "address");
    out.value("async", if option(table, "async", out) { "true" } else { "false" });
    secret(table, "basic_auth", |table| {
        // Two empty texts stood for a gateway without accounts.
        let account = ACCOUNT.map(|key| (key, table.required(key, |value| out.read(value))));
        if !account.iter().all(|(_, text)| text.as_ref().is_some_and(|(text, _)| text.is_empty())) {
            account.into_iter().for_each(|(key, text)| out.text(key, text));
        }
        Some(())
    });
}

fn eventbridge<'a>(table: &Table<'a>, out: &mut Output<'a>) {
    table.required("options", |value| {
        open(value, |table| {
            out.required(table, "aws_region", "region");
            out.optional(table, "aws_eventbridge_event_bus", "event_bus");
            out.required(table, "aws_eventbridge_rule_arn", "rule_arn");
            Some(())
        })
    });
    let (old, new) = (["aws_access_key_id", "aws_secret_access_key"], ["access_key_id", "secret_access_key"]);
    secret(table, "access_key", |table| out.pair(table, old, new));
}

fn metrics<'a>(table: &Table<'a>, out: &mut Output<'a>) -> Option<()> {
    out.bind(table, "address");
    let methods = [("none", false), ("basic_auth", true)];
    let has_account = table.required("auth", |value| {
        open(value, |table| table.required("method", |value| value.one_of(&methods)))
    });
    if has_account == Some(true) {
        secret(table, "basic_auth", |table| out.pair(table, ACCOUNT, ACCOUNT));
    }
    Some(())
}

/// `auth` of one method, with its `secret`.
fn secret<'a>(table: &Table<'a>, method: &'static str, read: impl FnOnce(&Table<'a>) -> Option<()>) {
    table.required("auth", |value| {
        open(value, |table| {
            table.required("method", |value| value.one_of(&[(method, ())]));
            table.required("secret", |value| open(value, read))
        })
    });
}

fn option<'a>(table: &Table<'a>, key: &'static str, out: &Output<'a>) -> bool {
    let text = table.get("options", |value| open(value, |table| table.get(key, |value| out.read(value))));
    text.is_some_and(|(text, _)| text == "true")
}
