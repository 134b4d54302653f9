//! Tools that root runs leave nothing that the service's own user cannot read.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use event_router::demo::simulator::Settings;

use crate::support::process::Process;
use crate::support::stream::Stream;
use crate::support::{SOON, router_command};

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

/// OpenShift gives a pod any user, with group 0, and the next namespace another one.
#[test]
fn a_folder_that_a_group_has_is_used_by_each_user_of_the_group() {
    let stream = Stream::new("group", Settings::default());
    let folder = stream.test.path("state");
    std::fs::create_dir(&folder).unwrap();
    if chown(&folder, Some(SOMEBODY), Some(0)).is_err() {
        eprintln!("not root: nobody else can own a folder here");
        return;
    }
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o2770)).unwrap();
    // The configuration holds a password; here its readers are the test's users.
    std::fs::set_permissions(stream.test.path("router.toml"), std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let as_user = |user: u32, group: u32| {
        let mut command = router_command();
        command.arg("run").env_clear().current_dir(stream.test.path(".")).uid(user).gid(group);
        Process::start("router of another user", command)
    };
    let mut all = Vec::new();
    for user in [SOMEBODY + 1, SOMEBODY + 2] {
        let mut router = as_user(user, 0);
        router.log_line(&["reading VMware"]);
        all.extend(stream.push(3));
        stream.expect("events", &all);
        assert_eq!(router.end_by("TERM").code, Some(0));
    }
    let strange = as_user(SOMEBODY + 3, SOMEBODY + 3).wait_exit(SOON);
    assert_eq!(strange.code, Some(1));
    let wanted = format!(
        "permission denied: it belongs to user {SOMEBODY} and group 0 with mode 2770, and the router is user {0} and \
         group {0}: `chown {0} ",
        SOMEBODY + 3
    );
    assert!(strange.stderr.contains(&wanted), "{}", strange.stderr);
}

#[test]
fn a_lock_that_is_removed_under_a_running_router_is_said_and_made_again() {
    let stream = Stream::new("lock-removed", Settings::default());
    let mut router = stream.start();
    std::fs::remove_file(stream.test.path("state/lock")).unwrap();
    router.log_line(&["WARN", "the lock of the state folder was removed", "made again"]);
    let second = stream.test.router(&["run"]);
    assert!(
        second.code == Some(1) && second.stderr.contains("another router is running"),
        "{}",
        second.stderr
    );
    let keys = stream.push(3);
    stream.expect("events", &keys);
    // Somebody who was faster has the folder now.
    std::fs::remove_file(stream.test.path("state/lock")).unwrap();
    let other = std::fs::File::create(stream.test.path("state/lock")).unwrap();
    other.lock().unwrap();
    let exit = router.wait_exit(SOON);
    assert!(exit.code == Some(1) && exit.stderr.contains("another router is running"), "{}", exit.stderr);
}

/// They would be waited for without end.
#[test]
fn a_pipe_or_a_folder_in_the_place_of_a_file_of_state_is_named() {
    let stream = Stream::new("state-pipes", Settings::default());
    let state = stream.test.path("state");
    for (name, command, code, words) in [
        ("lock", &["run"][..], 1, "open ./state/lock: is a pipe and no file: remove it"),
        ("vc-sink.checkpoint.json", &["run"], 2, "is a pipe and no file: remove it"),
        ("vc-sink.dead-letters.jsonl", &["dead-letters", "list"], 1, "is a pipe and no file: remove it"),
        ("vc-sink.dead-letters.jsonl", &["dead-letters", "redeliver"], 1, "is a pipe and no file"),
    ] {
        let _ = std::fs::remove_dir_all(&state);
        std::fs::create_dir(&state).unwrap();
        let path = state.join(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let exit = stream.test.router(command);
        assert_eq!(exit.code, Some(code), "{name}: {}", exit.stderr);
        assert!(exit.stderr.contains(words), "{name}: {}", exit.stderr);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let exit = stream.test.router(command);
        assert_eq!(exit.code, Some(code), "{name}: {}", exit.stderr);
        assert!(exit.stderr.contains("is a directory"), "{name}: {}", exit.stderr);
    }
}
