//! The samples for receivers of HTTP requests: each is a complete configuration, and a receiver that
//! is written by its documentation takes the events that it sends.

use std::collections::BTreeSet;
use std::path::Path;

use event_router::demo::record::Draft;
use serde_json::{Value, json};

use crate::support::api::{Api, Call, vcenter};
use crate::support::{SOON, Test, wait_for};

/// What the receiver's documentation calls a good request: a mark of each event, and the answer.
type Receiver = fn(&Call) -> Option<(Vec<String>, u16, Value)>;

struct Sample {
    name: &'static str,
    /// The class of events that its route wants.
    class: &'static str,
    /// The files of its secrets beside vCenter's.
    secrets: &'static [&'static str],
    receiver: Receiver,
}

const POWERED_ON: &str = "VmPoweredOnEvent";
const FAILED: &str = "VmFailedToPowerOnEvent";

const SAMPLES: &[Sample] = &[
    Sample { name: "splunk-hec", class: POWERED_ON, secrets: &["splunk.token"], receiver: splunk },
    Sample { name: "loki", class: POWERED_ON, secrets: &[], receiver: loki },
    Sample {
        name: "elasticsearch",
        class: POWERED_ON,
        secrets: &["elasticsearch.key"],
        receiver: elasticsearch,
    },
    Sample { name: "opentelemetry", class: POWERED_ON, secrets: &[], receiver: opentelemetry },
    Sample { name: "operations-for-logs", class: POWERED_ON, secrets: &[], receiver: operations_for_logs },
    Sample { name: "alertmanager", class: FAILED, secrets: &[], receiver: alertmanager },
    Sample {
        name: "ansible-eda",
        class: POWERED_ON,
        secrets: &["eda.token", "eda.hmac"],
        receiver: ansible_eda,
    },
    Sample { name: "awx", class: "VmCreatedEvent", secrets: &["awx.token"], receiver: awx },
    Sample {
        name: "servicenow",
        class: FAILED,
        secrets: &["servicenow.user", "servicenow.password"],
        receiver: servicenow,
    },
    Sample { name: "pagerduty", class: FAILED, secrets: &["pagerduty.key"], receiver: pagerduty },
    Sample { name: "slack-mattermost", class: POWERED_ON, secrets: &["chat.url"], receiver: chat },
    Sample { name: "teams", class: POWERED_ON, secrets: &["teams.url"], receiver: teams },
];

/// What each file of a secret holds.
const CANARY: &str = "canary-secret";
/// The path of addresses that are secrets.
const HOOK: &str = "/hooks/T1/canary-secret";

#[test]
fn every_sample_is_known_here_and_says_what_a_replay_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/config/samples/http");
    let files =
        std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let known: BTreeSet<String> = SAMPLES.iter().map(|sample| format!("{}.toml", sample.name)).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), known);
    for sample in SAMPLES {
        let text = text_of(sample.name);
        let comment: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!((8..=12).contains(&comment.len()), "{}: {} lines", sample.name, comment.len());
        for word in ["# Right:", "# Answers:", "# Replay:"] {
            assert!(comment.iter().any(|line| line.starts_with(word)), "{}: {word}", sample.name);
        }
    }
}

#[test]
fn receivers_take_what_the_samples_send() {
    for sample in SAMPLES {
        send(sample);
    }
}

/// A sample as it is shipped.
pub fn text_of(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/config/samples/http");
    std::fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap()
}

/// The same for another vCenter and account, another receiver, and a state folder of the test.
pub fn configured(sample: &str, vcenter: &str, username: &str, receiver: &str) -> String {
    let line = |line: &str| match line.split_once(" = ") {
        Some(("state_dir", _)) => "state_dir = \"state\"\n".to_string(),
        Some(("address", _)) => format!("address = \"{vcenter}\"\n"),
        Some(("username", "\"svc-router@vsphere.local\"")) => format!("username = \"{username}\"\n"),
        Some(("uri", uri)) if uri.starts_with('"') => {
            format!("uri = \"{receiver}/{}\n", uri.splitn(4, '/').nth(3).unwrap())
        }
        _ => format!("{line}\n"),
    };
    sample.lines().map(line).collect()
}

fn send(sample: &Sample) {
    let test = Test::new(sample.name);
    let (simulator, _) = vcenter();
    let receiver = sample.receiver;
    let api = Api::start(move |call| match call.method.as_str() {
        "GET" => (200, "application/json", "{}".to_string()),
        _ => match receiver(call) {
            Some((_, 204, _)) => (204, "application/json", String::new()),
            Some((_, status, answer)) => (status, "application/json", answer.to_string()),
            None => (400, "text/plain", "not as it is documented".to_string()),
        },
    });
    let config = configured(&text_of(sample.name), &simulator.url(), &simulator.username(), &api.url);
    test.write("router.toml", &config);
    test.write("vc01.password", &simulator.password());
    for name in sample.secrets {
        let is_address = name.ends_with(".url");
        test.write(name, &if is_address { format!("{}{HOOK}\n", api.url) } else { format!("{CANARY}\n") });
    }
    let folder = test.path("").display().to_string();
    let variables = [("CREDENTIALS_DIRECTORY", folder.trim_end_matches('/'))];
    let check = test.start_with(&["check"], &variables).wait_exit(SOON);
    assert_eq!(check.code, Some(0), "{}: {}{}", sample.name, check.stdout, check.stderr);
    let mut router = test.start_with(&["run"], &variables);
    router.log_line(&["reading VMware"]);
    let machines = (0..3).map(|n| Draft::vm(sample.class, &format!("web-\"{n}\""), &format!("vm-{n}")));
    simulator.push_many(machines);
    let marks = wait_for(sample.name, SOON, || {
        let calls = api.calls();
        let good = calls.iter().filter(|call| call.method != "GET");
        let marks: Vec<String> =
            good.flat_map(|call| receiver(call).map(|(marks, ..)| marks).unwrap_or_default()).collect();
        (3 <= marks.len()).then_some(marks)
    });
    assert_eq!(marks.iter().collect::<BTreeSet<_>>().len(), 3, "{}: {marks:?}", sample.name);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(!exit.stderr.contains("dead letter"), "{}: {}", sample.name, exit.stderr);
    let told = check.stdout + &check.stderr + &exit.stderr;
    assert!(!told.contains(CANARY), "{}: {told}", sample.name);
}

fn is_json(call: &Call) -> bool {
    call.header("content-type") == "application/json"
}

/// The texts below some names, none if one of them is no text.
fn texts(value: &Value, names: &[&str]) -> Option<()> {
    names.iter().all(|name| value[*name].is_string()).then_some(())
}

fn array(value: &Value) -> Option<&Vec<Value>> {
    value.as_array().filter(|array| !array.is_empty())
}

/// docs.splunk.com, "Format events for HTTP Event Collector": objects one after the other, an epoch time, flat
/// `fields`.
fn splunk(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == "/services/collector/event"
        && call.header("authorization") == format!("Splunk {CANARY}");
    let events = serde_json::Deserializer::from_slice(&call.body).into_iter::<Value>();
    let events: Vec<Value> = events.collect::<Result<_, _>>().ok()?;
    let mut marks = Vec::new();
    for event in &events {
        event["time"].as_f64().filter(|time| 1.7e9 < *time && *time < 4e9)?;
        texts(event, &["source", "sourcetype"])?;
        event["fields"].as_object()?.values().all(Value::is_string).then_some(())?;
        marks.push(event["event"]["id"].as_str()?.to_string());
    }
    known.then_some((marks, 200, json!({"text": "Success", "code": 0})))
}

/// grafana.com, "Loki HTTP API", push: times are strings of nanoseconds, labels and metadata are texts.
fn loki(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known =
        call.target == "/loki/api/v1/push" && is_json(call) && call.header("x-scope-orgid") == "vsphere";
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let mut marks = Vec::new();
    for stream in array(&body["streams"])? {
        let labels = stream["stream"].as_object().filter(|labels| labels.values().all(Value::is_string))?;
        (!labels.is_empty()).then_some(())?;
        for value in array(&stream["values"])? {
            value[0].as_str()?.parse::<u64>().ok().filter(|time| 19 == time.to_string().len())?;
            value[2].as_object()?.values().all(Value::is_string).then_some(())?;
            let line: Value = serde_json::from_str(value[1].as_str()?).ok()?;
            marks.push(line["id"].as_str()?.to_string());
        }
    }
    known.then_some((marks, 204, Value::Null))
}

/// elastic.co, "Bulk API": lines of an action and a document, the last one ended too.
fn elasticsearch(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == "/vcenter-events/_bulk"
        && call.header("content-type") == "application/x-ndjson"
        && call.header("authorization") == format!("ApiKey {CANARY}");
    let text = call.text().strip_suffix('\n')?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().ok()?;
    let (mut marks, mut items) = (Vec::new(), Vec::new());
    for pair in lines.chunks(2) {
        let [action, document] = pair else { return None };
        texts(document, &["@timestamp", "message"])?;
        document["vcenter"]["Key"].as_i64()?;
        marks.push(action["create"]["_id"].as_str()?.to_string());
        items.push(
            json!({"create": {"_id": action["create"]["_id"], "status": 409 - 208 * (items.len() % 2)}}),
        );
    }
    known.then_some((marks, 200, json!({"errors": true, "items": items})))
}

/// opentelemetry.io, "OTLP specification", OTLP/HTTP with JSON: lowerCamelCase, 64-bit numbers as strings.
fn opentelemetry(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == "/v1/logs" && is_json(call);
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let mut marks = Vec::new();
    for scope in array(&body["resourceLogs"])?.iter().filter_map(|logs| array(&logs["scopeLogs"])).flatten() {
        for record in array(&scope["logRecords"])? {
            record["timeUnixNano"].as_str()?.parse::<u64>().ok()?;
            record["severityNumber"].as_u64().filter(|number| (1..=24).contains(number))?;
            texts(&record["body"], &["stringValue"])?;
            let attributes = array(&record["attributes"])?;
            attributes.iter().try_for_each(|attribute| texts(&attribute["value"], &["stringValue"]))?;
            let of = |name: &str| attributes.iter().find(|attribute| attribute["key"] == name);
            let data: Value =
                serde_json::from_str(of("event.data")?["value"]["stringValue"].as_str()?).ok()?;
            data["Key"].as_i64()?;
            marks.push(of("event.id")?["value"]["stringValue"].as_str()?.to_string());
        }
    }
    known.then_some((marks, 200, json!({"partialSuccess": {}})))
}

/// developer.broadcom.com, "Log Insight API", ingestion: texts, milliseconds, fields of name and content.
fn operations_for_logs(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let agent = call.target.strip_prefix("/api/v1/events/ingest/")?;
    let known = is_json(call) && agent.len() == 36 && call.body.len() <= 4_000_000;
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let events = array(&body["events"]).filter(|events| events.len() <= 500)?;
    let mut marks = Vec::new();
    for event in events {
        event["text"].as_str().filter(|text| text.len() <= 16_384)?;
        event["timestamp"].as_i64().filter(|time| 1_700_000_000_000 < *time)?;
        let fields = array(&event["fields"])?;
        fields.iter().try_for_each(|field| texts(field, &["name", "content"]))?;
        marks.push(
            fields.iter().find(|field| field["name"] == "vc_event_id")?["content"].as_str()?.to_string(),
        );
    }
    known.then_some((marks.clone(), 200, json!({"status": "ok", "ingested": marks.len()})))
}

/// Alertmanager's OpenAPI, POST /alerts: labels and annotations are texts, times are RFC 3339.
fn alertmanager(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == "/api/v2/alerts" && is_json(call);
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let mut marks = Vec::new();
    for alert in array(&body)? {
        let texts = |name: &str| alert[name].as_object()?.values().all(Value::is_string).then_some(());
        texts("labels")?;
        texts("annotations")?;
        alert["labels"]["alertname"].as_str().filter(|name| *name == FAILED)?;
        alert["startsAt"].as_str()?.parse::<jiff::Timestamp>().ok()?;
        marks.push(alert["annotations"]["event_id"].as_str()?.to_string());
    }
    known.then_some((marks, 200, Value::Null))
}

/// The plugin ansible.eda.webhook: a token, a signature over the raw body, a JSON object.
fn ansible_eda(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, CANARY.as_bytes());
    let tag = ring::hmac::sign(&key, &call.body);
    let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let known = call.header("authorization") == format!("Bearer {CANARY}")
        && call.header("x-hub-signature-256") == format!("sha256={tag}");
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    known.then_some((vec![body["id"].as_str()?.to_string()], 200, Value::Null))
}

/// AWX, "Launch a job template": `extra_vars` is an object.
fn awx(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == "/api/v2/job_templates/42/launch/"
        && is_json(call)
        && call.header("authorization") == format!("Bearer {CANARY}");
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let event = &body["extra_vars"]["vcenter_event"];
    event["data"]["Vm"]["Name"].as_str()?;
    known.then_some((vec![event["id"].as_str()?.to_string()], 201, json!({"job": 1})))
}

/// ServiceNow, "Table API", POST: a record's fields are texts.
fn servicenow(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == "/api/now/table/incident"
        && is_json(call)
        && call.header("accept") == "application/json"
        && call.header("authorization") == "Basic Y2FuYXJ5LXNlY3JldDpjYW5hcnktc2VjcmV0";
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    body.as_object()?.values().all(Value::is_string).then_some(())?;
    body["description"].as_str().filter(|text| text.contains("\nVM: web-\""))?;
    texts(&body, &["short_description"])?;
    known.then_some((vec![body["correlation_id"].as_str()?.to_string()], 201, json!({"result": {}})))
}

/// PagerDuty, "Events API v2", alert events.
fn pagerduty(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == "/v2/enqueue" && is_json(call) && call.header("x-routing-key") == CANARY;
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let payload = &body["payload"];
    payload["summary"].as_str().filter(|text| !text.is_empty() && text.len() <= 1024)?;
    texts(payload, &["source", "timestamp", "component", "class"])?;
    ["critical", "error", "warning", "info"].contains(&payload["severity"].as_str()?).then_some(())?;
    payload["custom_details"].as_object()?;
    let key = body["dedup_key"].as_str().filter(|key| key.len() <= 255)?;
    (known && body["event_action"] == "trigger").then_some((
        vec![key.to_string()],
        202,
        json!({"status": "success"}),
    ))
}

/// Slack, "Sending messages using incoming webhooks"; Mattermost's are the same.
fn chat(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == HOOK && is_json(call);
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let text =
        body["text"].as_str().filter(|text| text.contains("web-\"") && text.contains("Administrator"))?;
    known.then_some((vec![text.to_string()], 200, Value::Null))
}

/// Microsoft, "Create incoming webhooks with Workflows": a message with an Adaptive Card.
fn teams(call: &Call) -> Option<(Vec<String>, u16, Value)> {
    let known = call.target == HOOK && is_json(call);
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    let card = &body["attachments"][0];
    (card["contentType"] == "application/vnd.microsoft.card.adaptive").then_some(())?;
    (card["content"]["type"] == "AdaptiveCard" && body["type"] == "message").then_some(())?;
    let facts = array(&card["content"]["body"][1]["facts"])?;
    facts.iter().try_for_each(|fact| texts(fact, &["title", "value"]))?;
    let text = card["content"]["body"][0]["text"].as_str()?;
    known.then_some((vec![text.to_string()], 202, Value::Null))
}
