//! Any text as an event pattern, a line break, and an event: no panic and no hang.

#![no_main]

use event_router::pattern::Pattern;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(at) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(text) = std::str::from_utf8(&input[..at]) else { return };
    if let Ok(pattern) = Pattern::compile(text) {
        let _ = pattern.matches(&input[at + 1..]);
    }
});
