//! Events per second that one core judges: `cargo bench --bench pattern`.
//!
//! Every line is one pattern over one event of about 1 KB. The first two are the promise: 100 exact
//! names, one million events per second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use event_router::pattern::{Part, Pattern};

fn main() {
    let names: Vec<String> = (0..100).map(|n| format!("\"Vm{n}ReconfiguredEvent\"")).collect();
    let names = names.join(",");
    let subject = format!(r#"{{"detail":{{"subject":[{names}]}}}}"#);
    let hit = event("Vm99ReconfiguredEvent");
    let miss = event("DrsVmMigratedEvent");
    println!("event of {} bytes, events per second on one core", hit.len());
    row("100 names, hit, one text", &subject, &hit);
    row("100 names, miss, one text", &subject, &miss);
    row_in_parts("100 names, hit, in parts", &subject, &hit);
    row_in_parts("100 names, miss, in parts", &subject, &miss);
    row("prefix deep in data", r#"{"detail":{"data":{"Vm":{"Name":[{"prefix":"web-"}]}}}}"#, &hit);
    row(
        "wildcard on a message",
        r#"{"detail":{"data":{"FullFormattedMessage":[{"wildcard":"*host*web*"}]}}}"#,
        &miss,
    );
    row("two fields in one array", r#"{"detail":{"data":{"Arguments":{"Key":["b"],"Value":["2"]}}}}"#, &miss);
}

fn event(subject: &str) -> String {
    let reference = |kind: &str, id: &str, name: &str| {
        format!(r#"{{"Name":"{name}","{kind}":{{"Type":"{kind}","Value":"{id}"}}}}"#)
    };
    format!(
        r#"{{"version":"0","source":"https://vc01.corp.local/sdk","detail-type":"{subject}","account":"123456789012","region":"eu-central-1","detail":{{"specversion":"1.0","id":"6ba7b810-9dad-51d1-80b4-00c04fd430c8","source":"https://vc01.corp.local/sdk","type":"com.vmware.event.router/event","subject":"{subject}","datacontenttype":"application/json","time":"2026-05-04T10:11:12.345678Z","data":{{"Key":4711,"ChainId":4709,"CreatedTime":"2026-05-04T10:11:12.345678Z","UserName":"VSPHERE.LOCAL\\Administrator","Datacenter":{},"ComputeResource":{},"Host":{},"Vm":{},"Ds":null,"Net":null,"Dvs":null,"FullFormattedMessage":"Virtual machine web-01 on host esx-07 in dc-01 is powered on","ChangeTag":"","Template":false,"Arguments":[{{"Key":"a","Value":"2"}},{{"Key":"b","Value":"2"}}]}}}}}}"#,
        reference("Datacenter", "datacenter-3", "dc-01"),
        reference("ComputeResource", "domain-c8", "cluster-01"),
        reference("Host", "host-21", "esx-07"),
        reference("Vm", "vm-56", "web-01"),
    )
}

fn row(name: &str, pattern: &str, event: &str) {
    let pattern = Pattern::compile(pattern).expect("a valid pattern");
    report(name, || pattern.matches(black_box(event.as_bytes())).expect("a JSON event"));
}

/// The envelope as the router holds it: attributes as text, data as JSON.
fn row_in_parts(name: &str, pattern: &str, event: &str) {
    let pattern = Pattern::compile(pattern).expect("a valid pattern");
    let value: serde_json::Value = serde_json::from_str(event).expect("a JSON event");
    let detail = &value["detail"];
    let data = detail["data"].to_string();
    let text = |name: &str| detail[name].as_str().expect("a text attribute");
    let detail = [
        ("specversion", Part::Text("1.0")),
        ("id", Part::Text(text("id"))),
        ("source", Part::Text(text("source"))),
        ("type", Part::Text(text("type"))),
        ("subject", Part::Text(text("subject"))),
        ("time", Part::Text(text("time"))),
        ("data", Part::Json(data.as_bytes())),
    ];
    let event = [
        ("source", Part::Text(text("source"))),
        ("detail-type", Part::Text(text("subject"))),
        ("detail", Part::Members(&detail)),
    ];
    report(name, || pattern.matches_members(black_box(&event)).expect("a JSON event"));
}

fn report(name: &str, judge: impl Fn() -> bool) {
    let matched = judge();
    let (mut rounds, begin) = (0u64, Instant::now());
    while begin.elapsed() < Duration::from_secs(1) {
        for _ in 0..1000 {
            assert_eq!(black_box(judge()), matched);
        }
        rounds += 1000;
    }
    let rate = rounds as f64 / begin.elapsed().as_secs_f64();
    println!(
        "{name:28} {:9.0}/s {:6.0} ns  {}",
        rate,
        1e9 / rate,
        if matched { "match" } else { "no match" }
    );
}
