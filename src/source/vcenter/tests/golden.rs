//! Golden files: one folder per kind of event in `tests/golden`, a page as vCenter sends it and the
//! CloudEvent in both formats. `UPDATE_GOLDEN=1 cargo test golden` rewrites them.

use std::path::Path;

use super::super::convert::tests::server;
use super::super::convert::to_event;
use crate::cloudevents::write_json;
use crate::config::Format;
use crate::vim::json::{PageEntry, convert_page};

const KINDS_MIN: usize = 30;

#[test]
fn events_look_as_their_golden_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut kinds = 0;
    for folder in std::fs::read_dir(&root).unwrap() {
        let folder = folder.unwrap().path();
        let page = std::fs::read(folder.join("page.xml")).unwrap();
        for (format, name) in [(Format::Router, "router.json"), (Format::Vspheresource, "vspheresource.json")]
        {
            check(&folder.join(name), &cloud_event(&page, format));
        }
        kinds += 1;
    }
    assert!(KINDS_MIN <= kinds, "{kinds} kinds");
}

/// The event as one JSON document, a member or element a line, which a reviewer can read and a diff
/// can show.
fn cloud_event(page: &[u8], format: Format) -> String {
    let identity = server("7d1c2f60-5b0a-4c8e-9a55-3a1f0f6c2b11");
    let mut entries = convert_page(page).expect("a page");
    assert_eq!(entries.len(), 1, "one event a page");
    let PageEntry::Event(vim) = entries.remove(0) else { panic!("the event cannot be converted") };
    let mut json = Vec::new();
    write_json(&to_event(vim, &identity, format).ce, &mut json);
    let json = String::from_utf8(json).expect("UTF-8");
    serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
    break_lines(&json)
}

/// Breaks lines after `,`, `{` and `[` outside of strings; nothing else is changed, so that order,
/// numbers and escapes stay visible.
fn break_lines(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for character in json.chars() {
        out.push(character);
        match character {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            ',' | '{' | '[' if !in_string => out.push('\n'),
            _ => {}
        }
    }
    out.push('\n');
    out
}

fn check(path: &Path, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, expected, "{}: UPDATE_GOLDEN=1 cargo test golden rewrites it", path.display());
}
