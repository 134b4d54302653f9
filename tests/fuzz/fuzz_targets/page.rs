//! Any bytes as a page of events: no panic, no hang, and every event is a JSON object.

#![no_main]

use event_router::vim::json::{PageEntry, convert_page};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|page: &[u8]| {
    let Ok(entries) = convert_page(page) else { return };
    for entry in entries {
        if let PageEntry::Event(event) = entry {
            assert_eq!(event.data.first(), Some(&b'{'));
            serde_json::from_slice::<IgnoredAny>(&event.data).expect("the data is JSON");
        }
    }
});
