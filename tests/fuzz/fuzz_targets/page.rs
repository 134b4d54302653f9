//! Any bytes as a page of events, and as the content of an event: no panic, time by the length
//! alone, and every event is a JSON object in which no name comes twice.

#![no_main]

use event_router::limits::EVENT_ANOMALIES_MAX;
use event_router::vim::json::{PageEntry, convert_page};
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Around bytes that are no page, so that they reach the events.
const BEFORE: &str = "<e:Envelope xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
    xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"><e:Body><ReadNextEventsResponse>\
    <returnval xsi:type=\"EventEx\"><key>1</key>\
    <createdTime>2021-03-10T05:21:22Z</createdTime><userName>";
const AFTER: &str = "</userName></returnval></ReadNextEventsResponse></e:Body></e:Envelope>";

/// How often the input stands in a page, so that time that grows with the square is seen.
const REPEATS_BYTES: usize = 256 * 1024;
/// Processor time that a page may take: with the sanitizer a sound one of a MiB takes less than a tenth.
const TIME_MAX: Duration = Duration::from_secs(1);
const TIME_MAX_PER_MIB: Duration = Duration::from_secs(4);

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    check(&[BEFORE.as_bytes(), bytes, AFTER.as_bytes()].concat());
    let many = bytes.repeat(REPEATS_BYTES / bytes.len().max(1));
    check(&[BEFORE.as_bytes(), &many, AFTER.as_bytes()].concat());
});

fn check(page: &[u8]) {
    let begun = processor_time();
    let entries = convert_page(page);
    let taken = processor_time().saturating_sub(begun);
    let most = TIME_MAX + TIME_MAX_PER_MIB.mul_f64(page.len() as f64 / 1_048_576.0);
    assert!(taken < most, "{} bytes took {taken:?}", page.len());
    let Ok(entries) = entries else { return };
    for entry in entries {
        match entry {
            PageEntry::Event(event) => {
                let members = serde_json::from_slice::<Value>(&event.data).expect("JSON, no name twice");
                assert!(members.0.contains("Key"));
                assert!(event.anomalies.len() <= EVENT_ANOMALIES_MAX);
            }
            PageEntry::Broken(broken) => assert!(!broken.raw.is_empty() && !broken.reason.is_empty()),
        }
    }
}

/// Of this thread: a machine that does other things too makes no page slow.
fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(told.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0))
}

/// Any JSON; of an object the names, none of which may come twice.
struct Value(BTreeSet<String>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Value, D::Error> {
        json.deserialize_any(Names).map(Value)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = BTreeSet<String>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<BTreeSet<String>, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, _)) = map.next_entry::<String, Value>()? {
            assert!(names.insert(name.clone()), "{name:?} comes twice");
        }
        Ok(names)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<BTreeSet<String>, A::Error> {
        while seq.next_element::<Value>()?.is_some() {}
        Ok(BTreeSet::new())
    }

    fn visit_str<E>(self, _: &str) -> Result<BTreeSet<String>, E> {
        Ok(BTreeSet::new())
    }

    fn visit_bool<E>(self, _: bool) -> Result<BTreeSet<String>, E> {
        Ok(BTreeSet::new())
    }

    fn visit_i64<E>(self, _: i64) -> Result<BTreeSet<String>, E> {
        Ok(BTreeSet::new())
    }

    fn visit_u64<E>(self, _: u64) -> Result<BTreeSet<String>, E> {
        Ok(BTreeSet::new())
    }

    fn visit_f64<E>(self, _: f64) -> Result<BTreeSet<String>, E> {
        Ok(BTreeSet::new())
    }

    fn visit_unit<E>(self) -> Result<BTreeSet<String>, E> {
        Ok(BTreeSet::new())
    }
}
