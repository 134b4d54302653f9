//! The payload of events beside what the Go router printed.

use event_router::vim::AnomalyKind;
use event_router::vim::json::{PageEntry, VimEvent, convert_page};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use crate::support::peers::{PASSWORD, USERNAME, Vcsim, run_go};
use crate::support::{SOON, Test, wait_for};

/// Every how many events at most one may differ for a known reason.
const EVENTS_PER_EXCUSE_MIN: usize = 15;

/// Another seed than the usual one: `PAYLOAD_SEED=7 tests/run payload`.
const SEED: &str = "PAYLOAD_SEED";

#[test]
#[ignore = "needs the oracle: run tests/run"]
fn made_up_events_agree_with_the_go_router() {
    let seed = std::env::var(SEED).unwrap_or_else(|_| "1".into());
    let generated = run_go("oracle", &["generate", &seed], b"");
    let mut rest = generated.as_slice();
    let (mut events, mut excused, mut differences) = (0, 0, Vec::new());
    let classes = loop {
        let (page, count) = next_page(&mut rest);
        if count == 0 {
            break std::str::from_utf8(page).unwrap();
        }
        for entry in convert_page(page).unwrap() {
            let expected = next_line(&mut rest);
            let event = delivered(entry);
            events += 1;
            if reason(&event).is_some() {
                excused += 1;
            } else if event.data != expected.as_bytes() || !event.anomalies.is_empty() {
                differences.push(difference(&event, expected));
            }
        }
    };
    let number = differences.len();
    differences.truncate(5);
    assert_eq!(number, 0, "{SEED}={seed}: of {events} events differ:\n{}", differences.join("\n"));
    assert!(10_000 < events && excused * EVENTS_PER_EXCUSE_MIN < events, "{excused} of {events} excused");
    let classes: BTreeSet<&str> = classes.split(' ').collect();
    assert!(3_000 < classes.len(), "{} classes", classes.len());
    println!("{events} events of {} classes, {excused} excused", classes.len());
}

#[test]
#[ignore = "needs both versions of the generator: run tests/run"]
fn schema_is_what_its_generator_makes() {
    let test = Test::new("schema");
    let reference = test.path("reference");
    std::fs::write(&reference, run_go("vimschema", &[], b"")).unwrap();
    let schema = run_go("vimschema-newer", &[reference.to_str().unwrap()], b"");
    let ours = include_bytes!("../src/vim/schema.txt");
    assert!(schema == ours, "src/vim/schema.txt is not what tests/peers/vimschema makes");
}

#[test]
#[ignore = "needs vcsim and the oracle: run tests/run"]
fn posted_events_agree_with_the_go_router() {
    let test = Test::new("posted");
    let vcsim = Vcsim::start(1, false);
    test.write("router.toml", &(vcsim.source("vc01") + "[processor.screen]\ntype = \"stdout\"\n"));
    let mut router = test.start(&["run", "-c", "router.toml"]);
    router.log_line(&["reading"]);
    let posted = run_go("oracle", &["post", &vcsim.url, USERNAME, PASSWORD], b"");
    let posted: usize = std::str::from_utf8(&posted).unwrap().trim().parse().unwrap();
    assert!(400 < posted, "{posted} events");
    wait_for("the posted events", SOON, || (posted < router.stdout().len()).then_some(()));
    // Taken before the oracle reads: its own logout is recorded after that.
    let printed = router.stdout();
    let expected = run_go("oracle", &["read", &vcsim.url, USERNAME, PASSWORD], b"");
    let expected: HashSet<&str> = std::str::from_utf8(&expected).unwrap().lines().collect();
    router.end_by("TERM");
    for line in &printed {
        let (_, data) = line.split_once("\"data\":").unwrap();
        let (data, _) = data.rsplit_once(",\"vsphereapiversion\":").unwrap();
        assert!(expected.contains(data), "the Go router prints nothing like {data}");
    }
}

/// Golden pages of which the Go router printed something else, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("odd-xml", "the Go router knew no prefix of a class but vim25, and ended with a panic"),
    ("unknown-class", "the Go router ended with a panic"),
    ("unknown-member", "the Go router dropped the member"),
];

#[test]
#[ignore = "needs the oracle: run tests/run"]
fn golden_pages_agree_with_the_go_router() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for folder in std::fs::read_dir(root).unwrap() {
        let folder = folder.unwrap();
        let page = std::fs::read(folder.path().join("page.xml")).unwrap();
        let expected = run_go("oracle", &["decode"], &page);
        let ours: Vec<u8> =
            convert_page(&page).unwrap().into_iter().flat_map(|entry| delivered(entry).data).collect();
        let different = DIFFERENT.iter().any(|(kind, _)| folder.file_name() == *kind);
        let kind = folder.path();
        assert_eq!(expected.trim_ascii_end() != ours, different, "{}", kind.display());
    }
}

/// Why an event may differ from what the Go router printed.
fn reason(event: &VimEvent) -> Option<&'static str> {
    const REASONS: [(AnomalyKind, &str); 1] =
        [(AnomalyKind::Type, "a class that only parameters of methods are made of is not in the table")];
    let reason =
        REASONS.iter().find(|(kind, _)| event.anomalies.iter().any(|anomalies| anomalies.kind == *kind));
    reason.map(|(_, reason)| *reason)
}

fn delivered(entry: PageEntry) -> VimEvent {
    match entry {
        PageEntry::Event(event) => event,
        PageEntry::Broken(broken) => panic!("{}: {}", broken.reason, String::from_utf8_lossy(&broken.raw)),
    }
}

/// Both texts from shortly before they part.
fn difference(event: &VimEvent, expected: &str) -> String {
    let data = String::from_utf8_lossy(&event.data);
    let same = data.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    let part = |text: &str| {
        let begin = text.floor_char_boundary(same.saturating_sub(100));
        text[begin..text.floor_char_boundary(same + 100)].to_string()
    };
    format!(
        "{} {} {:?}\n  ours: {}\n  Go's: {}",
        event.class,
        event.key,
        event.anomalies,
        part(&data),
        part(expected)
    )
}

/// Takes the head line and the page that it announces.
fn next_page<'a>(rest: &mut &'a [u8]) -> (&'a [u8], usize) {
    let head = next_line(rest);
    let (bytes, events) = head.split_once(' ').unwrap();
    let (page, behind) = rest.split_at(bytes.parse().unwrap());
    *rest = behind;
    (page, events.parse().unwrap())
}

fn next_line<'a>(rest: &mut &'a [u8]) -> &'a str {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
    let line = std::str::from_utf8(&rest[..end]).unwrap();
    *rest = &rest[end + 1..];
    line
}
