//! An old configuration as `router.toml`. Where the meaning is not quite the same, a comment says so.

use std::path::Path;

use super::old::{Account, Kind, Metrics, Old, Processor, Source, Text};
use super::output::{Output, quoted};
use crate::limits::NAME_BYTES_MAX;

/// The lines of `router.toml`. The Go router took relative paths from `folder`, in which it was
/// started.
pub(super) fn write<'a>(old: &Old<'a>, folder: &Path) -> Output<'a> {
    let mut out = Output::default();
    let processor_type = type_of(&old.processor.kind);
    let source = name(old.source.name.as_deref(), old.source.type_name);
    let processor = name(old.processor.name.as_deref(), processor_type);
    state_dir(&mut out, &old.source, folder);
    write_source(&mut out, &source, &old.source, folder);
    write_processor(&mut out, &processor, processor_type, &old.processor);
    out.section(&format!("route.{}", quoted_key(&format!("{source}-{processor}"))), &old.processor.at);
    out.value("from", &quoted(&source));
    out.value("to", &quoted(&processor));
    out.comment("One event at a time, like the Go router. \"entity\" is faster: it keeps the events of each");
    out.comment("object in order and delivers objects side by side.");
    out.value("order", "\"strict\"");
    write_metrics(&mut out, &old.metrics);
    out
}

fn type_of(kind: &Kind<'_>) -> &'static str {
    match kind {
        Kind::Openfaas { .. } => "openfaas",
        Kind::Knative { .. } => "knative",
        Kind::Eventbridge { .. } => "eventbridge",
    }
}

/// The old name, if it can be one here and leaves room for the name of the route, else the type.
fn name(old: Option<&str>, type_name: &str) -> String {
    let fits = |name: &&str| {
        2 * name.len() < NAME_BYTES_MAX
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    old.filter(fits).unwrap_or(type_name).to_string()
}

/// A key of TOML: a dot would begin another table.
fn quoted_key(name: &str) -> String {
    if name.contains('.') { quoted(name) } else { name.to_string() }
}

fn state_dir(out: &mut Output<'_>, source: &Source<'_>, folder: &Path) {
    let path = |text: &str| folder.join(text).to_string_lossy().into_owned();
    match (&source.checkpoint_dir, source.checkpoint) {
        (Some(text), _) => {
            if Path::new(&text.text).is_relative() {
                out.comment(
                    "A relative checkpointDir is meant from the folder in which the router is started.",
                );
            }
            out.value("state_dir", &quoted(&path(&text.text)));
        }
        (None, Some(true)) => {
            out.comment("The Go router's default, from the folder in which the router is started.");
            out.value("state_dir", &quoted(&path("checkpoints")));
        }
        (None, _) => {}
    }
}

fn write_source<'a>(out: &mut Output<'a>, name: &str, source: &Source<'a>, folder: &Path) {
    let table = format!("source.{}", quoted_key(name));
    out.section(&table, &source.at);
    out.value("type", &quoted(source.type_name));
    out.text("address", &source.address);
    account(out, ["username", "password"], &source.account);
    match source.checkpoint {
        Some(true) => {
            out.comment(
                "The first start takes over the position of the Go router. Replay reaches back to the",
            );
            out.comment(
                "checkpoint however old it is (the Go router: one hour; replay_max = \"1h\" is the same),",
            );
            out.comment(
                "and a failed delivery is repeated until it succeeds (the Go router gave up after three",
            );
            out.comment("repetitions, and the event was lost).");
            out.value("checkpoint", "true");
        }
        Some(false) => {
            out.comment(
                "At most once: each start begins with vCenter's present, as before, and a delivery that",
            );
            out.comment(
                "the sink may have seen is not repeated (the Go router repeated it up to three times).",
            );
            out.comment("With true nothing is lost.");
            out.value("checkpoint", "false");
        }
        None => {}
    }
    if !source.root_cas.is_empty() || source.insecure {
        out.section(&format!("{table}.tls"), &source.at);
        root_cas(out, &source.root_cas, folder);
        if source.insecure {
            insecure(
                out,
                "Whoever answers is believed and is sent the password: pin_sha256 or ca_file protect it.",
            );
        }
    }
}

fn root_cas<'a>(out: &mut Output<'a>, files: &[Text<'a>], folder: &Path) {
    let path = |file: &Text<'a>| Text {
        text: folder.join(&file.text).to_string_lossy().into_owned(),
        at: file.at.clone(),
    };
    if files.is_empty() {
        return;
    }
    out.comment("Trusted beside the system's authorities; the Go router then trusted no others.");
    match files {
        [file] => out.text("ca_file", &path(file)),
        files => out.list("ca_file", files.iter().map(path)),
    }
}

fn insecure(out: &mut Output<'_>, comment: &str) {
    out.comment(comment);
    out.value("insecure", "true");
}

fn write_processor<'a>(out: &mut Output<'a>, name: &str, type_name: &str, processor: &Processor<'a>) {
    let table = format!("processor.{}", quoted_key(name));
    out.section(&table, &processor.at);
    out.value("type", &quoted(type_name));
    match &processor.kind {
        Kind::Openfaas { address, asynchronous, account: given } => {
            out.text("address", address);
            out.value("async", if *asynchronous { "true" } else { "false" });
            if let Some(given) = given {
                account(out, ["username", "password"], given);
            }
        }
        Kind::Knative { destination, encoding, insecure: is_open } => {
            if let Some(reference) = &destination.reference {
                out.reference("ref", reference);
            }
            if let Some(uri) = &destination.uri {
                out.text("uri", uri);
            }
            out.text("encoding", encoding);
            if *is_open {
                out.section(&format!("{table}.tls"), &processor.at);
                insecure(out, "Whoever answers is believed: pin_sha256 or ca_file protect the events.");
            }
        }
        Kind::Eventbridge { region, bus, rule, keys } => {
            out.text("region", region);
            if let Some(bus) = bus {
                out.text("event_bus", bus);
            }
            out.text("rule_arn", rule);
            match keys {
                Some(keys) => account(out, ["access_key_id", "secret_access_key"], keys),
                None => out.comment("aws_iam_role: credentials come from the AWS credential chain."),
            }
        }
    }
}

fn account<'a>(out: &mut Output<'a>, [first, second]: [&str; 2], account: &Account<'a>) {
    out.text(first, &account.username);
    out.text(second, &account.password);
}

fn write_metrics<'a>(out: &mut Output<'a>, metrics: &Metrics<'a>) {
    out.section("metrics", &metrics.at);
    // In Go an address without a host meant all of them.
    let all = if metrics.bind.text.starts_with(':') { "0.0.0.0" } else { "" };
    out.text("bind", &Text { text: format!("{all}{}", metrics.bind.text), at: metrics.bind.at.clone() });
    if let Some(given) = &metrics.account {
        account(out, ["username", "password"], given);
    }
}
