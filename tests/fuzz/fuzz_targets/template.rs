//! Any text as a template, a line break, and the data of an event: no panic, and of JSON comes JSON.

#![no_main]

use event_router::cloudevents::CloudEvent;
use event_router::template::{Input, Syntax, Template};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|input: &[u8]| {
    let Some(at) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(text) = std::str::from_utf8(&input[..at]) else { return };
    let ce = CloudEvent {
        id: "a\"b".into(),
        source: "https://vc/sdk".into(),
        ty: "t".into(),
        name_in_type: None,
        subject: Some("VmPoweredOnEvent".into()),
        time: Some("2026-01-02T03:04:05.678Z".into()),
        datacontenttype: Some("application/json".into()),
        data: input[at + 1..].to_vec(),
        extensions: [].into(),
    };
    let is_json = serde_json::from_slice::<IgnoredAny>(&ce.data).is_ok();
    for syntax in [Syntax::Json, Syntax::JsonLines, Syntax::Text, Syntax::Header] {
        let Ok(template) = Template::compile(text, &[], syntax) else { continue };
        let mut out = Vec::new();
        let filled = template.fill(&Input { ce: &ce, extensions: &[], route: "r" }, &mut out);
        if is_json && filled.is_ok() && syntax == Syntax::Json {
            assert!(serde_json::from_slice::<IgnoredAny>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
        }
        if syntax == Syntax::Header {
            assert!(!filled.is_ok() || text.chars().any(char::is_control) || !text.is_ascii() || out.iter().all(|byte| (b' '..=b'~').contains(byte)));
        }
    }
});
