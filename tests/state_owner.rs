//! Tools that root runs leave nothing that the service's own user cannot read.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use event_router::demo::simulator::Settings;

use crate::support::stream::Stream;

/// An identity that no account of the machine needs to have.
const SOMEBODY: u32 = 64_123;

#[test]
fn what_a_tool_writes_belongs_to_the_owner_of_the_folder() {
    let stream = Stream::new("owner", Settings::default());
    let folder = stream.test.path("state");
    std::fs::create_dir(&folder).unwrap();
    if chown(&folder, Some(SOMEBODY), Some(SOMEBODY)).is_err() {
        eprintln!("not root: nobody else can own a folder here");
        return;
    }
    let exit = stream.test.router(&["checkpoint", "set", "2026-01-31T12:00:00Z"]);
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    let router = stream.start();
    let keys = stream.push(3);
    stream.expect("events", &keys);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let mut seen = 0;
    for file in std::fs::read_dir(&folder).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().uid(), SOMEBODY, "{:?}", file.file_name());
        seen += 1;
    }
    assert!(3 <= seen, "lock, checkpoint and its previous record");
}

#[test]
fn a_record_of_another_user_ends_the_start_and_is_not_passed_over() {
    let stream = Stream::new("denied", Settings::default());
    let router = stream.start();
    let keys = stream.push(3);
    stream.expect("events", &keys);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let record = stream.test.path("state/vc-sink.checkpoint.json");
    std::fs::set_permissions(&record, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(&record).is_ok() {
        eprintln!("root reads everything: nothing is denied here");
        return;
    }
    let exit = stream.test.router(&["run"]);
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert!(exit.stderr.contains("with mode 0; `chown --reference="), "{}", exit.stderr);
}
