//! The command line: exit codes, and one clear line for everything that is wrong.

use crate::support::peers::{PASSWORD, USERNAME, Vcsim};
use crate::support::scripted::{Answer, Scripted};
use crate::support::{SOON, Test};

/// A file that is right. Lines 2 to 6, and 8 and 9.
const GOOD: &str = r#"
[source.vc01]
type = "vcenter"
address = "http://127.0.0.1:1"
username = "user"
password = "pass"

[processor.screen]
type = "stdout"
"#;

fn with(added: &str) -> String {
    format!("{GOOD}{added}\n")
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_was_meant() {
    let test = Test::new("usage");
    for (arguments, message) in [
        (vec!["chek"], "router: unknown command `chek`, did you mean `check`?; see `router --help`\n"),
        (
            vec!["--confg", "a"],
            "router: unknown option `--confg`, did you mean `--config`?; see `router --help`\n",
        ),
        (vec!["-config"], "router: option `--config` needs a value: --config FILE; see `router --help`\n"),
    ] {
        let exit = test.router(&arguments);
        assert_eq!((exit.code, exit.stderr.as_str()), (Some(2), message), "{arguments:?}");
        assert_eq!(exit.stdout, "", "{arguments:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let test = Test::new("help");
    for (arguments, beginning) in [
        (vec!["--help"], "Delivers vCenter events as CloudEvents.\n"),
        (vec!["check", "-h"], "Lists everything that is wrong"),
        (vec!["--version"], concat!("router ", env!("CARGO_PKG_VERSION"), " (")),
        (vec!["-version"], concat!("router ", env!("CARGO_PKG_VERSION"), " (")),
    ] {
        let exit = test.router(&arguments);
        assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(exit.stdout.starts_with(beginning), "{arguments:?}: {}", exit.stdout);
    }
}

/// `run` and `check` say the same about a file: `run` on standard error, `check` as its product.
#[test]
fn a_wrong_file_ends_with_2_and_one_line_for_each_problem() {
    let test = Test::new("wrong-file");
    test.write("empty", "");
    for (text, problems) in [
        (
            GOOD.replace("password", "pasword"),
            &["router.toml:6: source.vc01.pasword: not a known key, did you mean `password`?"][..],
        ),
        (
            GOOD.replace("\"pass\"", "12345"),
            &[
                "router.toml:6: source.vc01.password: expected a string, { file = \"PATH\" } or { env = \"NAME\" }, \
               found an integer: write it in quotes",
            ],
        ),
        (
            GOOD.replace("\"pass\"", "{ file = \"no-such\" }"),
            &["router.toml:6: source.vc01.password: read secret file no-such: no such file or directory; \
               a relative path begins at the folder of router.toml"],
        ),
        (
            GOOD.replace("\"pass\"", "{ file = \"empty\" }"),
            &["router.toml:6: source.vc01.password: secret file empty is empty: write the secret into \
               it"],
        ),
        (
            with("[route.a]\nfrom = \"vc1\"\nto = \"screen\""),
            &["router.toml:11: route.a.from: no [source.vc1] in this file, did you mean `vc01`?"],
        ),
        (
            GOOD.replace("\"pass\"", "{ env = \"NONE\" }"),
            &["router.toml:6: source.vc01.password: environment variable NONE is not set or not UTF-8: \
               set it where the router is started"],
        ),
        (
            GOOD[..GOOD.find("[processor").unwrap()].to_string(),
            &["router.toml: no [processor.NAME]: nothing to deliver events to"],
        ),
        (
            GOOD[GOOD.find("[processor").unwrap()..].to_string(),
            &["router.toml: no [source.NAME]: nothing to read events from"],
        ),
        (String::new(), &["router.toml: no [source.NAME] and no [processor.NAME]: nothing to route"]),
        (
            with("[source.b]\ntype = \"vcentre\"\n[log]\nlevel = \"loud\""),
            &[
                "router.toml:11: source.b.type: \"vcentre\" is not known, did you mean \"vcenter\"? known: \
                 \"vcenter\", \"vcsim\", \"horizon\", \"webhook\", \"self\"",
                "router.toml:13: log.level: \"loud\" is not known, known: \"error\", \"warn\", \"info\", \"debug\", \
                 \"trace\"",
            ],
        ),
        (
            GOOD.replace("\"stdout\"", "stdout"),
            &["router.toml:9:8: a text stands in quotes: write type = \"stdout\""],
        ),
    ] {
        test.write("router.toml", &text);
        let lines =
            |prefix: &str| problems.iter().map(|line| format!("{prefix}{line}\n")).collect::<String>();
        let run = test.router(&["run", "-c", "router.toml"]);
        assert_eq!((run.code, run.stderr), (Some(2), lines("router: ")));
        let check = test.router(&["check", "-c", "router.toml"]);
        assert_eq!((check.code, check.stdout), (Some(2), lines("FAIL config: ")));
        assert_eq!(check.stderr, "");
    }
    let missing = test.router(&["-c", "missing.toml"]);
    let message = "router: missing.toml: cannot be read: no such file or directory\n";
    assert_eq!((missing.code, missing.stderr.as_str()), (Some(2), message));
}

#[test]
fn a_state_folder_that_cannot_be_written_ends_run_with_1() {
    let test = Test::new("run-state");
    test.write("router.toml", &format!("state_dir = \"/dev/null/state\"\n{GOOD}"));
    let exit = test.router(&["run", "--log-format", "json"]);
    // It may be mounted in a moment: the service manager starts the router again.
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(1), ""));
    let lines: Vec<serde_json::Value> =
        exit.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [line] = &lines[..] else { panic!("one line: {}", exit.stderr) };
    assert_eq!((&line["level"], &line["logger"]), (&"error".into(), &"router".into()));
    let message = "state folder /dev/null/state: not a directory: give the user of the router write access, \
                   or set another state_dir";
    assert_eq!(line["msg"], message);
}

#[test]
fn check_offline_touches_nothing_but_the_file() {
    let test = Test::new("offline");
    test.write(
        "router.toml",
        &with("[processor.idle]\ntype = \"stdout\"\n[route.a]\nfrom = \"vc01\"\nto = \"screen\""),
    );
    let exit = test.router(&["check", "--offline"]);
    let lines = "warn config: ./router.toml:10: processor.idle: no route uses it\n\
                 ok   config: ./router.toml: 1 source, 2 processors, 1 route\n";
    assert_eq!((exit.code, exit.stdout.as_str(), exit.stderr.as_str()), (Some(0), lines, ""));
    assert_eq!(test.listing(), ["router.toml"]);
}

#[test]
fn check_names_each_endpoint_that_fails_and_ends_with_1() {
    let test = Test::new("endpoints");
    let page = Scripted::start(Answer::Page("200 OK", "text/html", "<html>hello</html>".to_string()));
    let busy = Scripted::start(Answer::Page("503 Service Unavailable", "text/plain", String::new()));
    let lost = Scripted::start(Answer::Page("404 Not Found", "text/plain", String::new()));
    let mut text = GOOD.replace("http://127.0.0.1:1", &page.url);
    text.push_str("\n[source.away]\ntype = \"vcenter\"\naddress = \"http://127.0.0.1:1\"\n");
    text.push_str("username = \"user\"\npassword = \"pass\"\n");
    for (name, uri) in [
        ("web", format!("{}/a?token=secret", page.url)),
        ("busy", busy.url.clone()),
        ("lost", lost.url.clone()),
        ("gone", "http://127.0.0.1:1/a".to_string()),
    ] {
        text.push_str(&format!("[processor.{name}]\ntype = \"knative\"\nuri = \"{uri}\"\n"));
    }
    test.write("router.toml", &format!("state_dir = \"/dev/null/state\"\n{text}"));
    let exit = test.router(&["check"]);
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(1), ""));
    let lines: Vec<&str> = exit.stdout.lines().collect();
    for (at, beginning) in [
        "ok   config: ./router.toml: 2 sources, 5 processors, 10 routes".to_string(),
        "FAIL state: write in /dev/null: not a directory: give the user of the router write access"
            .to_string(),
        "FAIL source vc01: server: ".to_string(),
        "FAIL source away: server: ".to_string(),
        "ok   processor screen: prints on standard output".to_string(),
        format!("ok   processor web: {}/a?... answers (200 to OPTIONS)", page.url),
        format!("warn processor busy: {} answers 503: while it does, events wait", busy.url),
        format!("warn processor lost: {} answers 404: is its path right?", lost.url),
        "FAIL processor gone: OPTIONS http://127.0.0.1:1/a: ".to_string(),
    ]
    .iter()
    .enumerate()
    {
        assert!(
            lines.get(at).is_some_and(|line| line.starts_with(beginning)),
            "{beginning}\n{}",
            exit.stdout
        );
    }
    assert_eq!(lines.len(), 9, "{}", exit.stdout);
    assert!(lines[3].contains("connection refused"), "{}", lines[3]);
    assert_eq!(test.listing(), ["router.toml"]);
}

#[test]
fn nothing_is_created_by_a_check_of_the_state_folder() {
    let test = Test::new("state");
    for state_dir in [".", "a/b", "file/state"] {
        test.write("file", "");
        let page = Scripted::start(Answer::Page("200 OK", "text/html", String::new()));
        let text = GOOD.replace("http://127.0.0.1:1", &page.url);
        test.write("router.toml", &format!("state_dir = \"{state_dir}\"\n{text}"));
        let exit = test.router(&["check"]);
        let line = exit.stdout.lines().find(|line| line.contains(" state: ")).unwrap();
        match state_dir {
            "." => assert!(line.starts_with("ok   state: ") && line.ends_with(" is writable"), "{line}"),
            "a/b" => assert_eq!(line, "ok   state: ./a/b can be created"),
            _ => assert!(line.starts_with("FAIL state: write in ./file: not a directory: "), "{line}"),
        }
        assert_eq!(test.listing(), ["file", "router.toml"]);
    }
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn check_of_a_real_vcsim_tells_each_step_and_the_cure() {
    let test = Test::new("check-vcsim");
    let vcsim = Vcsim::start(1, true);
    test.write("password", PASSWORD);
    test.write("wrong", "wrong");
    test.write("ca.pem", &vcsim.certificate);
    let check = |password: &str, tls: &str| {
        let text = GOOD
            .replace("http://127.0.0.1:1", &vcsim.url)
            .replace("\"user\"", &format!("{USERNAME:?}"))
            .replace("\"pass\"", &format!("{{ file = {password:?} }}\ntls = {{ {tls} }}"));
        test.write("router.toml", &text);
        let exit = test.router(&["check"]);
        assert_eq!(exit.stderr, "", "{}", exit.stdout);
        let lines = exit.stdout.lines().filter(|line| line.contains("source vc01")).map(str::to_string);
        (exit.code, lines.collect::<Vec<_>>())
    };
    let pin = format!("pin_sha256 = [{:?}]", vcsim.sha256);
    for tls in ["insecure = true", "ca_file = \"ca.pem\"", pin.as_str()] {
        let (code, lines) = check("password", tls);
        let verdict = if tls == "insecure = true" { "warn" } else { "ok  " };
        assert_eq!(code, Some(0), "{lines:?}");
        for (line, beginning) in lines.iter().zip([
            format!("{verdict} source vc01: server: VMware vCenter Server "),
            "ok   source vc01: login: accepted".to_string(),
            "ok   source vc01: clock: vCenter's is 0.0 s".to_string(),
            "ok   source vc01: events: readable".to_string(),
            "ok   source vc01: event counter: ".to_string(),
            "ok   source vc01: retention: events are kept 30 days: what a route".to_string(),
            "ok   source vc01: burst filter: not told by this server".to_string(),
            "ok   source vc01: collectors: a session may hold ".to_string(),
            "ok   source vc01: rights: System.View and System.Read on the root folder".to_string(),
        ]) {
            assert!(line.starts_with(&beginning), "{beginning}: {lines:?}");
        }
        assert_eq!(lines.len(), 9);
    }

    let (code, lines) = check("wrong", "insecure = true");
    assert_eq!((code, lines.len()), (Some(1), 2), "{lines:?}");
    assert!(lines[1].starts_with("FAIL source vc01: login: "), "{lines:?}");

    let (code, lines) = check("password", "");
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:?}");
    for word in ["FAIL source vc01: server: ", "subject", "issuer", "pin_sha256"] {
        assert!(lines[0].contains(word), "{word}: {lines:?}");
    }
    assert!(vcsim.govc(&["session.ls"]).lines().all(|line| !line.contains("event-router")));
}

#[test]
fn commands_that_need_no_secret_run_where_systemd_does_not_give_one() {
    let test = Test::new("credentials");
    let secret = "password = { file = \"$CREDENTIALS_DIRECTORY/of-the-test-alone.password\" }";
    test.write(
        "router.toml",
        &format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"127.0.0.1:9\"\nusername = \"u\"\n{secret}\n\
             [processor.screen]\ntype = \"stdout\"\n"
        ),
    );
    for command in [&["checkpoint", "show"][..], &["dead-letters", "list"], &["check", "--offline"]] {
        let exit = test.router(command);
        assert_eq!(exit.code, Some(0), "{command:?}: {} {}", exit.stdout, exit.stderr);
    }
    assert!(test.router(&["check", "--offline"]).stdout.contains("$CREDENTIALS_DIRECTORY is not set"));
    for command in [&["run"][..], &["check"], &["tail"], &["events"], &["send"]] {
        let exit = test.router(command);
        let told = format!("{}{}", exit.stdout, exit.stderr);
        assert_eq!(exit.code, Some(2), "{command:?}: {told}");
        assert_eq!(told.matches("$CREDENTIALS_DIRECTORY is not set").count(), 1, "{command:?}: {told}");
        assert!(told.contains("/etc/event-router/credentials/of-the-test-alone.password"), "{told}");
    }
    test.write("of-the-test-alone.password", "secret\n");
    let folder = test.path("").to_str().unwrap().to_string();
    let checked = test.start_with(&["check", "--offline"], &[("CREDENTIALS_DIRECTORY", &folder)]);
    let exit = checked.wait_exit(SOON);
    assert_eq!((exit.code, exit.stdout.contains("is not set")), (Some(0), false), "{}", exit.stdout);
}
