use super::*;
use crate::limits::{TEMPLATE_BYTES_MAX, TEMPLATE_PATH_STEPS_MAX};

const DATA: &str = r#"{"Key":7,"Vm":{"Name":"web-\"01\"\n","Vm":{"Type":"VirtualMachine","Value":"vm-56"}},"Host":null,"Ok":true,"Tags":["a","b"],"Arguments":[{"Key":"x","Value":1},{"Key":"y","Value":{"z":"é\u00e9"}}],"FullFormattedMessage":"web is on"}"#;

fn event() -> CloudEvent {
    CloudEvent {
        time: Some("2026-01-02T03:04:05.678Z".to_string()),
        data: DATA.as_bytes().to_vec(),
        extensions: [("vsphereapiversion".into(), "8.0".into())].into(),
        ..crate::testing::event(7, "vm-56").ce
    }
}

fn compile(text: &str, paths: &[(&str, &str)], syntax: Syntax) -> Result<Template> {
    let paths: Vec<_> = paths.iter().map(|(name, path)| (name.to_string(), path.to_string())).collect();
    Template::compile(text, &paths, syntax)
}

fn filled(text: &str, syntax: Syntax) -> String {
    let template = compile(text, &[], syntax).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut out = Vec::new();
    let extensions = [("datacenter".into(), "dc1".into())];
    template.fill(&Input { ce: &event(), extensions: &extensions, route: "r-1" }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn values_outside_of_quotes_are_json_and_inside_they_are_escaped() {
    for (path, outside, inside) in [
        ("$.data.Vm.Name", r#""web-\"01\"\n""#, r#"web-\"01\"\n"#),
        ("$.data.Key", "7", "7"),
        ("$.data.Ok", "true", "true"),
        ("$.data.Host", "null", ""),
        ("$.data.Host.Name", "null", ""),
        ("$.data.None", "null", ""),
        ("$.data.Tags", r#"["a","b"]"#, r#"[\"a\",\"b\"]"#),
        ("$.data.Tags[1]", r#""b""#, "b"),
        ("$.data.Tags[2]", "null", ""),
        ("$.data.Tags[*]", r#"["a","b"]"#, r#"[\"a\",\"b\"]"#),
        ("$.data.Arguments[*].Key", r#"["x","y"]"#, r#"[\"x\",\"y\"]"#),
        ("$.data.Arguments.*.Value", r#"[1,{"z":"é\u00e9"}]"#, r#"[1,{\"z\":\"é\\u00e9\"}]"#),
        ("$.data.Arguments[1].Value.z", r#""é\u00e9""#, r#"é\u00e9"#),
        ("$.data.Arguments.Key", "null", ""),
        ("$.data.Arguments[*].None", "null", ""),
        ("$.subject", r#""VmPoweredOnEvent""#, "VmPoweredOnEvent"),
        ("$.vsphereapiversion", r#""8.0""#, "8.0"),
        ("$.subject.x", "null", ""),
        ("id", r#""id-7""#, "id-7"),
        ("type", r#""com.vmware.event.router/event""#, "com.vmware.event.router/event"),
        ("source", r#""https://vc01.corp.local/sdk""#, "https://vc01.corp.local/sdk"),
        ("route", r#""r-1""#, "r-1"),
        ("time", r#""2026-01-02T03:04:05.678Z""#, "2026-01-02T03:04:05.678Z"),
        ("time.s", "1767323045.678", "1767323045.678"),
        ("time.ms", "1767323045678", "1767323045678"),
        ("time.ns", "1767323045678000000", "1767323045678000000"),
        ("data", DATA, ""),
    ] {
        let both = format!("{{\"a\":<{path}>,\"b\":\"-<{path}>-\"}}");
        let text = filled(&both, Syntax::Json);
        serde_json::from_str::<serde_json::Value>(&text)
            .unwrap_or_else(|error| panic!("{path}: {error}: {text}"));
        if !inside.is_empty() || outside == "null" {
            assert_eq!(text, format!("{{\"a\":{outside},\"b\":\"-{inside}-\"}}"), "{path}");
        }
    }
}

#[test]
fn whole_events_stand_in_templates() {
    let mut json = Vec::new();
    write_json_with(&event(), &[("datacenter".into(), "dc1".into())], &mut json);
    let json = String::from_utf8(json).unwrap();
    assert_eq!(filled("<event>", Syntax::Json), json);
    let text: serde_json::Value = serde_json::from_str(&filled("{\"a\":\"<event>\"}", Syntax::Json)).unwrap();
    assert_eq!(text["a"], json);
    assert_eq!(filled("<data>", Syntax::Json), DATA);
    let lines = filled("{\"create\":{\"_id\":\"<id>\"}}\n<data>\n", Syntax::JsonLines);
    assert_eq!(lines, format!("{{\"create\":{{\"_id\":\"id-7\"}}}}\n{DATA}\n"));
}

#[test]
fn text_takes_values_as_they_are_and_headers_what_they_can_hold() {
    assert_eq!(filled("<$.data.Vm.Name>|<$.data.Host>|<$.data.Key>", Syntax::Text), "web-\"01\"\n||7");
    assert_eq!(filled("a \"<id>\" \\<id>", Syntax::Text), "a \"id-7\" <id>");
    assert_eq!(filled("<$.data.Vm.Name> 100%", Syntax::Header), "web-\"01\"%0A 100%");
    assert_eq!(filled("<$.data.Arguments[1].Value.z>", Syntax::Header), "%C3%A9%C3%A9");
}

#[test]
fn what_is_no_placeholder_stays() {
    for text in
        [r#"{"text":"a < b > c"}"#, r#"{"text":"<https://h/|link> <!channel> <@U1>"}"#, r#"{"a":"\\<\""}"#]
    {
        let expected = text.replace("\\<", "<").replace("\\<", "<");
        assert_eq!(filled(text, Syntax::Json).replace('\\', ""), expected.replace('\\', ""), "{text}");
    }
    assert_eq!(filled(r#"{"a":"\\\<id>\\<id>"}"#, Syntax::Json), r#"{"a":"\\<id>\\id-7"}"#);
}

#[test]
fn named_paths_and_several_places() {
    let paths = [("vm", "$.data.Vm.Name"), ("ref", "$.data.Vm.Vm.Value"), ("again", "$.data.Vm.Vm.Value")];
    let template = compile(r#"{"a":"<ref> <again> <vm>","b":<ref>}"#, &paths, Syntax::Json).unwrap();
    let mut out = b"x".to_vec();
    template.fill(&Input { ce: &event(), extensions: &[], route: "" }, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), r#"x{"a":"vm-56 vm-56 web-\"01\"\n","b":"vm-56"}"#);
    let none = CloudEvent { time: None, subject: None, data: Vec::new(), ..event() };
    let mut out = Vec::new();
    let template = compile(r#"[<vm>,<time>,<time.ms>,"<subject>",<data>]"#, &paths, Syntax::Json).unwrap();
    template.fill(&Input { ce: &none, extensions: &[], route: "" }, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), r#"[null,null,null,"",null]"#);
}

#[test]
fn mistakes_are_named_with_their_place() {
    const PATHS: &[(&str, &str)] = &[("vm", "$.data.Vm.Name")];
    for (text, paths, words) in [
        (
            r#"{"a": "<vmx>"}"#,
            PATHS,
            "line 1, column 8: placeholder <vmx> is not known; known: vm, data, event",
        ),
        ("{\n  <vm>: 1}", PATHS, "line 2, column 3: placeholder <vm> is the key of an object"),
        (r#"{"x<vm>y" : 1}"#, PATHS, "line 1, column 2: a placeholder is in the key of an object"),
        (r#"{"a": <vm>"#, PATHS, "cannot become JSON: EOF while parsing an object"),
        ("{\"a\": 1,\n \"b\" <vm>}", PATHS, "line 2, column 6: cannot become JSON: expected `:`"),
        (r#"{"a": x<vm>}"#, PATHS, "line 1, column 7: cannot become JSON: expected value"),
        (r#"{"a": 1<vm>}"#, PATHS, "cannot become JSON"),
        (r#"{"a": <vm><vm>}"#, PATHS, "cannot become JSON"),
        (r#"{"a": "<vm>}"#, PATHS, "line 1, column 7: a \" without its end"),
        ("<vm> is on", PATHS, "cannot become JSON: trailing characters"),
        ("", PATHS, "cannot become JSON: EOF"),
        ("{} {}", PATHS, "cannot become JSON: trailing characters"),
        ("1", &[("vm", "data.Vm")], "paths.vm: \"data.Vm\" is no path: it begins with $"),
        ("1", &[("vm", "$")], "names no member"),
        ("1", &[("vm", "$[0]")], "names no member"),
        ("1", &[("vm", "$.data['Vm']")], "neither an index nor [*]"),
        ("1", &[("vm", "$.data..Name")], "`..` is not known"),
        ("1", &[("vm", "$.data[?(@.a)]")], "neither an index nor [*]"),
        ("1", &[("vm", "$.data[0")], "a [ without its ]"),
        ("1", &[("vm", "$data")], "after $ a dot or a bracket follows"),
        ("1", &[("vm", "$.da ta")], "is no name"),
        ("1", &[("vm", "$.data[99999999999999999999]")], "is no index"),
        ("1", &[("id", "$.data.Vm")], "<id> is predefined"),
        ("1", &[("v m", "$.data.Vm")], "not a name"),
        (r#"{"a": <$.data[x]>}"#, PATHS, "line 1, column 7: \"$.data[x]\" is no path"),
    ] {
        let error = compile(text, paths, Syntax::Json).map(drop).expect_err(text).to_string();
        assert!(error.contains(words) && !error.contains('\n'), "{text}: {error}");
    }
    assert!(compile("{\"a\":1} x", &[], Syntax::JsonLines).is_err());
    assert!(compile(&"x".repeat(TEMPLATE_BYTES_MAX + 1), &[], Syntax::Text).is_err());
    let long = format!("${}", ".a".repeat(TEMPLATE_PATH_STEPS_MAX + 1));
    assert!(compile("1", &[("a", &long)], Syntax::Json).is_err());
}

#[test]
fn data_that_is_no_json_is_an_error_where_the_template_looks_at_it() {
    let ce = CloudEvent { data: b"{\"Key\":".to_vec(), ..event() };
    let fill = |text: &str| {
        let template = compile(text, &[], Syntax::Json).unwrap();
        template.fill(&Input { ce: &ce, extensions: &[], route: "" }, &mut Vec::new())
    };
    assert!(fill("<$.data.Key>").unwrap_err().to_string().contains("not JSON at byte 7"));
    assert!(fill("<id>").is_ok());
}

/// Any event and any template give JSON that serde understands, with the values that serde finds.
#[test]
fn random_events_fill_templates_as_serde_reads_them() {
    let mut random = crate::testing::Random::from_test("random_events_fill_templates_as_serde_reads_them");
    for _ in 0..2000 {
        let value = random_value(&mut random, 3);
        let data = serde_json::json!({ "a": value, "b": { "c": random_value(&mut random, 2) } });
        let ce = CloudEvent { data: data.to_string().into_bytes(), ..event() };
        let text = r#"{"a":<$.data.a>,"q":"<$.data.a>","c":<$.data.b.c>,"b":<$.data.b>,"e":<$.data.a[1]>}"#;
        let mut out = Vec::new();
        let template = compile(text, &[], Syntax::Json).unwrap();
        template.fill(&Input { ce: &ce, extensions: &[], route: "" }, &mut out).unwrap();
        let found: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!((&found["a"], &found["c"], &found["b"]), (&data["a"], &data["b"]["c"], &data["b"]));
        assert_eq!(
            found["e"],
            *data["a"].as_array().and_then(|all| all.get(1)).unwrap_or(&serde_json::Value::Null)
        );
        let quoted = match &data["a"] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Null => String::new(),
            other => other.to_string(),
        };
        assert_eq!(found["q"], quoted);
    }
}

fn random_value(random: &mut crate::testing::Random, depth: usize) -> serde_json::Value {
    let kinds = if depth == 0 { 4 } else { 6 };
    match random.below(kinds) {
        0 => serde_json::Value::Null,
        1 => random.below(2).eq(&0).into(),
        2 => (random.below(1_000_000) as f64 / 8.0).into(),
        3 => {
            let alphabet: Vec<char> = "a\"\\\n\u{1}é😀<>[]{}:, ".chars().collect();
            let length = random.below(8);
            (0..length).map(|_| alphabet[random.below(alphabet.len())]).collect::<String>().into()
        }
        4 => (0..random.below(4)).map(|_| random_value(random, depth - 1)).collect(),
        _ => {
            let count = random.below(3);
            let members = (0..count).map(|n| (format!("k{n}"), random_value(random, depth - 1)));
            serde_json::Value::Object(members.collect())
        }
    }
}

#[test]
fn the_first_path_that_leads_to_a_scalar_counts() {
    let look = |paths: &[&str]| Lookup::first_of(paths).unwrap().text(&event()).map(Cow::into_owned);
    assert_eq!(look(&["$.data.Host", "$.data.Vm.Vm.Value"]).as_deref(), Some("vm-56"));
    assert_eq!(look(&["$.data.Vm.Name"]).as_deref(), Some("web-\"01\"\n"));
    assert_eq!(look(&["$.data.Key"]).as_deref(), Some("7"));
    assert_eq!(look(&["$.subject"]).as_deref(), Some("VmPoweredOnEvent"));
    assert_eq!(look(&["$.data.Vm", "$.data.None"]), None);
}
