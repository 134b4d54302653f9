//! The JSON Schema of `router.toml` and the reader know the same keys, words, types and bounds.
//!
//! The reader is asked, not described a second time: an unknown key in a section makes it list the
//! known ones, a wrong value makes it say what it expected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value as Json;

use super::super::file::Overrides;
use crate::kinds::parse;

const SCHEMA: &str = include_str!("../../../packaging/config/router.schema.json");
/// Not like any key, so that the reader lists all instead of naming the nearest.
const UNKNOWN: &str = "zzzzzzzzzzzz";

#[test]
fn schema_and_reader_know_the_same_keys() {
    let sections = sections();
    assert!(10 < sections.len(), "the sections of the schema were not found");
    for ((path, kind), keys) in &sections {
        let known = words_after(&said(path, kind, UNKNOWN, "1"), "known here: ");
        assert_eq!(
            keys.keys().cloned().collect::<BTreeSet<_>>(),
            known.into_iter().collect(),
            "keys of [{}] {kind}: left the schema in packaging/config/router.schema.json, right the reader",
            path.join(".")
        );
    }
}

#[test]
fn schema_and_reader_expect_the_same_values() {
    let mut checked = 0;
    for ((path, kind), keys) in &sections() {
        for (key, schemas) in keys.iter().filter(|(key, _)| *key != "type") {
            // A date is nowhere right, so that the reader says what would be.
            let expected = said(path, kind, key, "2026-01-31");
            let place = format!("{}.{key} {kind}: {expected}", path.join("."));
            for schema in schemas {
                checked += 1;
                check_value(schema, &expected, &place);
            }
        }
    }
    assert!(40 < checked, "only {checked} values were found");
}

#[test]
fn schema_and_reader_know_the_same_types() {
    for section in ["source", "processor"] {
        let path = [section.to_string(), "x".to_string()];
        let of_section = sections().into_keys().filter(|(place, _)| *place == path);
        let told: BTreeSet<String> = of_section.map(|(_, kind)| kind).collect();
        let known = words_after(&said(&path, "", "type", &format!("{UNKNOWN:?}")), "known: ");
        assert_eq!(
            told,
            known.into_iter().collect(),
            "types of {section}: left the schema, right the reader"
        );
    }
}

fn check_value(schema: &Json, expected: &str, place: &str) {
    if let Some(words) = schema["enum"].as_array() {
        let words: BTreeSet<&str> = words.iter().filter_map(Json::as_str).collect();
        let known = words_after(expected, "expected ");
        assert_eq!(words, known.iter().map(String::as_str).collect(), "{place}");
    }
    // Of several types the first is that of the message.
    match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
        Some("boolean") => assert!(expected.contains("expected true or false"), "{place}"),
        Some("integer") => {
            let bounds = format!("a whole number from {} to {}", schema["minimum"], schema["maximum"]);
            assert!(expected.contains(&bounds), "{place}");
        }
        Some("array") => assert!(expected.contains("expected an array"), "{place}"),
        Some("object") => assert!(expected.contains("expected a table"), "{place}"),
        _ => {
            let other = ["true or false", "a whole number", "an array", "expected a table,"];
            assert!(!other.iter().any(|word| expected.contains(word)), "{place}");
        }
    }
    let kind = schema["$ref"].as_str().unwrap_or_default();
    for (name, words) in [("duration", "a time such as"), ("size", "a size such as"), ("secret", "env =")] {
        assert_eq!(kind.contains(name), expected.contains(words), "{place}");
    }
}

/// What the reader says about `key = value` in a section.
fn said(path: &[String], kind: &str, key: &str, value: &str) -> String {
    let parent = |end: usize| format!("[{}]\n", path[..end].join("."));
    let kind = match kind {
        "" => String::new(),
        kind => format!("{}type = {kind:?}\n", parent(2)),
    };
    let header = match path.len() {
        0 => String::new(),
        2 if !kind.is_empty() => String::new(),
        length => parent(length),
    };
    let text = format!("{kind}{header}{key} = {value}\n");
    let problems = parse(&text, Path::new("router.toml"), &Overrides::default(), &|_| None).expect_err(&text);
    let full = [path, &[key.to_string()]].concat().join(".");
    let found = problems.into_iter().find(|problem| problem.key == full);
    found.unwrap_or_else(|| panic!("nothing is said about {full} in:\n{text}")).text
}

/// The words of a list such as `"a", "b"` or `a, b`, up to what was found instead.
fn words_after(text: &str, start: &str) -> Vec<String> {
    let list = text.split_once(start).unwrap_or_else(|| panic!("no {start:?} in: {text}")).1;
    let list = list.split(", found ").next().unwrap_or_default();
    list.split(", ").map(|word| word.trim_matches('"').to_string()).collect()
}

/// A section: its path, with `x` for names that the user chooses, and its `type`.
type Place = (Vec<String>, String);
/// The keys of each section, with every schema that stands for the key.
type Sections = BTreeMap<Place, BTreeMap<String, Vec<Json>>>;

fn sections() -> Sections {
    let schema: Json = serde_json::from_str(SCHEMA).unwrap();
    let mut found = Sections::new();
    walk(&schema, &schema, &(Vec::new(), String::new()), &mut found);
    found
}

fn walk(root: &Json, schema: &Json, place: &Place, found: &mut Sections) {
    if let Some(target) = target(root, schema) {
        return walk(root, target, place, found);
    }
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        walk(root, variant, place, found);
    }
    let (path, kind) = place;
    let below = |name: &str, kind: &str| ([path.as_slice(), &[name.to_string()]].concat(), kind.to_string());
    if schema["additionalProperties"].is_object() {
        walk(root, &schema["additionalProperties"], &below("x", kind), found);
    }
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "the schema must refuse unknown keys of {path:?}");
    for kind in kinds(&properties.get("type").cloned().unwrap_or_default(), kind) {
        for (name, property) in properties {
            let keys = found.entry((path.clone(), kind.clone())).or_default();
            keys.entry(name.clone()).or_default().push(typed(root, property));
            walk(root, property, &below(name, &kind), found);
        }
    }
}

/// What a `$ref` refers to.
fn target<'a>(root: &'a Json, schema: &Json) -> Option<&'a Json> {
    let name = schema["$ref"].as_str()?.strip_prefix("#/definitions/")?;
    Some(&root["definitions"][name])
}

/// The schema, and the `type` of what it refers to.
fn typed(root: &Json, schema: &Json) -> Json {
    let mut schema = schema.clone();
    if let Some(target) = target(root, &schema) {
        schema["type"] = target["type"].clone();
    }
    schema
}

/// The types for which a section stands.
fn kinds(schema: &Json, outer: &str) -> Vec<String> {
    let words = schema["enum"].as_array().into_iter().flatten().chain([&schema["const"]]);
    let kinds: Vec<String> = words.filter_map(Json::as_str).map(str::to_string).collect();
    if kinds.is_empty() { vec![outer.to_string()] } else { kinds }
}
