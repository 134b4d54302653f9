//! `/stats` beside what Go's expvar prints for a router with the same source and processor: the same
//! form, the same keys, types and nesting.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::aws::Aws;
use crate::support::openfaas::{Gateway, PASSWORD, USERNAME};
use crate::support::peers::{Receiver, Vcsim, run_go};
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

#[test]
#[ignore = "needs vcsim, moto, OpenFaaS's gateway and Go's expvar: run tests/run"]
fn every_processor_has_the_document_of_the_go_router() {
    let test = Test::new("stats");
    let (aws, vcsim) = (Aws::start(), Vcsim::start(1, false));
    let gateway = Gateway::start(&test, &[]);
    gateway.deploy("on", "VmPoweredOnEvent", &[]);
    let receiver = Receiver::start(&test, "events", &[]);
    let (id, secret) = aws.keys("router");
    for (ty, source_type, address, processor) in [
        ("knative", "vcenter", receiver.url.clone(), receiver.processor("sink", "binary")),
        (
            "openfaas",
            "vcsim",
            gateway.url.clone(),
            format!(
                "[processor.sink]\ntype = \"openfaas\"\naddress = \"{}\"\nusername = \"{USERNAME}\"\npassword = {}\n",
                gateway.url,
                Value::from(PASSWORD)
            ),
        ),
        (
            "aws_event_bridge",
            "vcenter",
            aws.rule.clone(),
            format!(
                "[processor.sink]\ntype = \"eventbridge\"\nrule_arn = \"{}\"\nendpoint = \"{}\"\n\
                 access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\n",
                aws.rule, aws.url
            ),
        ),
    ] {
        let source = vcsim.source("vc01").replace("\"vcenter\"", &format!("\"{source_type}\""));
        let metrics = "[metrics]\nbind = \"127.0.0.1:0\"\n";
        test.write("router.toml", &format!("state_dir = \"{ty}\"\n{metrics}{source}{processor}"));
        let mut router = test.start(&["run"]);
        let watcher = Watcher::of(&mut router);
        router.log_line(&["reading"]);
        let component = |text: &str| -> Value {
            serde_json::from_str::<Value>(text).unwrap()["vmware.event.router.stats"][ty].clone()
        };
        if ty == "openfaas" {
            // Nobody subscribes to what happened so far, the logins: there are no invocations.
            same_form(&watcher.get("/stats").1, &document(source_type, &vcsim.url, ty, &address, &[]));
        }
        let machines = vcsim.machines();
        vcsim.power(false, &[&machines[0]]);
        vcsim.power(true, &[&machines[0]]);
        let ours = wait_for(&format!("an event at {ty}"), SOON, || {
            let text = watcher.get("/stats").1;
            component(&text)["invocations"].get("VmPoweredOnEvent").map(|_| text)
        });
        let subjects: Vec<String> =
            component(&ours)["invocations"].as_object().unwrap().keys().cloned().collect();
        let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
        same_form(&ours, &document(source_type, &vcsim.url, ty, &address, &subjects));
        assert_eq!(router.end_by("TERM").code, Some(0));
    }
}

/// What Go prints.
fn document(source_type: &str, source: &str, ty: &str, address: &str, subjects: &[&str]) -> String {
    let mut arguments = vec![source_type, source, ty, address];
    arguments.extend(subjects);
    let printed = String::from_utf8(run_go("stats", &arguments, b"")).unwrap();
    let (content_type, document) = printed.split_once('\n').unwrap();
    assert_eq!(content_type, event_router::observe::expvar::CONTENT_TYPE);
    document.to_string()
}

fn same_form(ours: &str, theirs: &str) {
    let shapes = |text: &str| shape("", &serde_json::from_str(text).unwrap());
    assert_eq!(shapes(ours), shapes(theirs), "{ours}\n{theirs}");
    let names = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split_inclusive(": ").next().unwrap().to_string()).collect()
    };
    assert_eq!(names(ours), names(theirs), "the same lines");
    let stats = |text: &str| masked(text.lines().find(|line| line.contains("router.stats")).unwrap());
    assert_eq!(stats(ours), stats(theirs), "the same text, but for numbers and times");
}

/// A value without its content. Lists keep their length, but for the arguments of the process.
fn shape(name: &str, value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => {
            let mut shapes: Vec<Value> = items.iter().map(|item| shape("", item)).collect();
            shapes.dedup();
            json!({ "length": if name == "cmdline" { 0 } else { items.len() }, "items": shapes })
        }
        Value::Object(members) => {
            let members: BTreeMap<&String, Value> =
                members.iter().map(|(name, value)| (name, shape(name, value))).collect();
            json!(members)
        }
    }
}

/// Every run of digits and points as one `0`, times included.
fn masked(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_ascii_digit() || c == '.' { '0' } else { c };
        if c != '0' || !out.ends_with('0') {
            out.push(c);
        }
    }
    out
}
