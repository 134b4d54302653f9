//! Templates beside an implementation of EventBridge's input transformer that others wrote:
//! LocalStack's. Where the two differ, the table says how.

use std::collections::BTreeMap;

use event_router::cloudevents::CloudEvent;
use event_router::template::{Input, Syntax, Template};
use serde_json::{Value, json};

use crate::support::peers::transform;

const PATHS: &[(&str, &str)] = &[
    ("vm", "$.data.Vm.Name"),
    ("vmref", "$.data.Vm"),
    ("quote", "$.data.Quote"),
    ("key", "$.data.Key"),
    ("zero", "$.data.Zero"),
    ("on", "$.data.On"),
    ("off", "$.data.Off"),
    ("tags", "$.data.Tags"),
    ("tag", "$.data.Tags[1]"),
    ("names", "$.data.Arguments[*].Key"),
    ("host", "$.data.Host"),
    ("none", "$.data.None.Name"),
    ("name", "$.subject"),
];

/// Templates of which both make the same.
const SAME: &[&str] = &[
    r#"{"a": <vm>}"#,
    r#"{"a": "<vm>"}"#,
    r#"{"a": "<vm> by <name>", "b": {"c": <vm>}, "d": [<key>, "x"]}"#,
    r#"{"a": <key>, "b": <on>, "c": <tags>, "d": <tag>}"#,
    r#"{"a": <vmref>}"#,
    r#"{"a": <names>}"#,
    r#"{"a": "-<none>-"}"#,
    r#"{"a": "<tag>", "b": "<name>"}"#,
    r#""<vm> is on""#,
    r#""<vm>""#,
    r#""no placeholder""#,
    r#"{"a": 1}"#,
];

/// Templates of which they make something else: ours, LocalStack's (none where it fails or what it
/// makes is no JSON), and what EventBridge's documentation does not settle.
const OTHER: &[(&str, &str, Option<&str>, &str)] = &[
    (r#"{"a": <none>}"#, r#"{"a": null}"#, Some(r#"{"a": ""}"#), "a missing value outside of quotes"),
    (r#"{"a": <host>}"#, r#"{"a": null}"#, Some(r#"{"a": ""}"#), "null"),
    (r#"{"a": <off>}"#, r#"{"a": false}"#, Some(r#"{"a": ""}"#), "false is taken for missing"),
    (r#"{"a": <zero>}"#, r#"{"a": 0}"#, Some(r#"{"a": ""}"#), "0 is taken for missing"),
    (r#"{"a": "<key>"}"#, r#"{"a": "7"}"#, None, "a number inside of quotes"),
    (r#"{"a": "<quote>"}"#, r#"{"a": "say \"hi\""}"#, None, "a quote inside of quotes is not escaped"),
    (r#"{"a": "<vmref>"}"#, r#"{"a": "{\"Name\":\"web-01\"}"}"#, None, "an object inside of quotes"),
    (r#"["<vm>", <key>]"#, r#"["web-01", 7]"#, None, "an array at the top is taken for a string"),
];

#[test]
#[ignore = "needs LocalStack's transformer: run tests/run"]
fn templates_mean_what_they_do_elsewhere_but_for_a_known_few() {
    let data = json!({
        "Key": 7, "Zero": 0, "On": true, "Off": false, "Host": null, "Tags": ["a", "b"],
        "Vm": {"Name": "web-01"}, "Quote": "say \"hi\"", "Arguments": [{"Key": "x"}, {"Key": "y"}],
    });
    let event = json!({ "subject": "VmPoweredOnEvent", "data": data });
    let ce = CloudEvent {
        id: "1".into(),
        source: "https://vc/sdk".into(),
        ty: "t".into(),
        name_in_type: None,
        subject: Some("VmPoweredOnEvent".into()),
        time: None,
        datacontenttype: Some("application/json".into()),
        data: data.to_string().into_bytes(),
        extensions: [].into(),
    };
    let paths: Vec<(String, String)> =
        PATHS.iter().map(|(name, path)| (name.to_string(), path.to_string())).collect();
    let ours = |text: &str| -> Value {
        let template = Template::compile(text, &paths, Syntax::Json).unwrap();
        let mut out = Vec::new();
        template.fill(&Input { ce: &ce, extensions: &[], route: "" }, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    };
    let named: BTreeMap<_, _> = PATHS.iter().copied().collect();
    let templates: Vec<&str> = SAME.iter().copied().chain(OTHER.iter().map(|case| case.0)).collect();
    let lines = templates.iter().map(|text| json!({"template": text, "paths": named, "event": event}));
    let theirs = transform(&lines.map(|line| format!("{line}\n")).collect::<String>());
    assert_eq!(theirs.len(), templates.len());
    for (text, theirs) in SAME.iter().zip(&theirs) {
        assert_eq!(theirs["made"], ours(text), "{text}: {theirs}");
    }
    for ((text, own, other, why), theirs) in OTHER.iter().zip(&theirs[SAME.len()..]) {
        assert_eq!(ours(text), serde_json::from_str::<Value>(own).unwrap(), "{why}");
        let expected: Value = other.map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
        // A template that begins with no brace gives text.
        let made = match &theirs["made"] {
            Value::String(_) if other.is_none() => &Value::Null,
            made => made,
        };
        assert_eq!(*made, expected, "{why}: {theirs}");
    }
}
