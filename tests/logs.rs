//! What the log tells, in both forms, and what signals change while the router runs.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::Value;

use crate::support::peers::Vcsim;
use crate::support::{SOON, Test, wait_for};

fn simulator() -> Simulator {
    Simulator::start(Settings::default()).unwrap()
}

fn sink() -> Server {
    Server::start("127.0.0.1:0", ServerSettings::default(), |_| Reply::Answer(Answer::text(202, "ok")))
        .unwrap()
}

fn configuration(simulator: &Simulator, password: &str, sink: &Server) -> String {
    format!(
        "[source.vc01]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{password}\"\n\
         [processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n",
        simulator.url(),
        simulator.username(),
        sink.address()
    )
}

fn power() -> Draft {
    Draft::vm("VmPoweredOnEvent", "web-1", "vm-1")
}

#[test]
fn signals_make_the_log_tell_more_and_less() {
    let (test, simulator, sink) = (Test::new("log-level"), simulator(), sink());
    test.write("router.toml", &configuration(&simulator, &simulator.password(), &sink));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    // Each signal only when the one before was answered: two that wait are one.
    for (signal, level) in [
        ("USR1", "debug"),
        ("USR1", "trace"),
        ("USR2", "debug"),
        ("USR2", "info"),
        ("USR2", "warn"),
        ("USR2", "error"),
    ] {
        router.signal(signal);
        router.log_line(&[&format!("SIG{signal}: the log level is {level}")]);
        if level == "trace" {
            simulator.push(power());
            router.log_line(&["TRACE", "successfully sent event", "subject=VmPoweredOnEvent", "eventID="]);
            router.log_line(&["DEBUG", "page of 1 events"]);
        }
    }
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(!exit.stderr.contains("shutdown"), "the level is error: {}", exit.stderr);
}

#[test]
fn the_configuration_is_read_again_at_sighup() {
    let (test, simulator, sink) = (Test::new("sighup"), simulator(), sink());
    let authority = rcgen::generate_simple_self_signed(["a".to_string()]).unwrap().cert.pem();
    test.write("ca.pem", &authority);
    let tls = "[processor.sink.tls]\nca_file = \"ca.pem\"\n";
    let with = |password: &str, rest: &str| configuration(&simulator, password, &sink) + tls + rest;
    test.write("router.toml", &with("0ld-secret", ""));
    let mut router = test.start(&["run"]);
    router.log_line(&["login", "trying again in 180 s, or when the credentials change"]);

    // A file that is wrong changes nothing.
    test.write("router.toml", &with("n3w-secret", "[log]\nlevel = \"loud\"\n"));
    router.signal("HUP");
    router.log_line(&["ERROR", "SIGHUP: ", "log.level", "the settings stay as they were"]);
    test.write("ca.pem", "no certificate");
    test.write("router.toml", &with("n3w-secret", ""));
    router.signal("HUP");
    router.log_line(&["ERROR", "SIGHUP: ", "ca.pem", "the settings stay as they were"]);
    test.write("ca.pem", &authority);

    let good = simulator.password();
    test.write("router.toml", &with(&good, "[log]\nlevel = \"debug\"\n"));
    router.signal("HUP");
    router.log_line(&["SIGHUP: ./router.toml was read again, 1 secret changed: the log level is debug"]);
    router.log_line(&["the credentials have changed: logging in again"]);
    router.log_line(&["reading"]);
    simulator.push(power());
    router.log_line(&["DEBUG", "page of 1 events"]);

    test.write("router.toml", &with(&good, "[route.r]\nfrom = \"vc01\"\nto = \"sink\"\n"));
    router.signal("HUP");
    router.log_line(&["SIGHUP: ", "0 secrets changed: the log level is info"]);
    router.log_line(&["WARN", "other settings of ./router.toml have changed too: restart the router"]);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    for secret in ["0ld-secret", "n3w-secret"] {
        assert!(!exit.stderr.contains(secret), "{}", exit.stderr);
    }
}

#[test]
fn every_line_is_a_json_object_with_the_words_that_people_look_for() {
    let (test, simulator, sink) = (Test::new("log-json"), simulator(), sink());
    test.write("router.toml", &configuration(&simulator, &simulator.password(), &sink));
    let mut said = Vec::new();
    for _ in 0..2 {
        let mut router = test.start(&["run", "-log-json"]);
        router.log_line(&["setting begin of event stream"]);
        simulator.push(power());
        let path = test.path("state/vc01-sink.checkpoint.json");
        wait_for("a checkpoint", SOON, || path.exists().then_some(()));
        let exit = router.end_by("TERM");
        assert_eq!(exit.code, Some(0), "{}", exit.stderr);
        for line in exit.stderr.lines() {
            let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let begin = format!("{{\"ts\":{},\"level\":{},\"logger\":", value["ts"], value["level"]);
            assert!(line.starts_with(&begin) && value["msg"].is_string(), "{line}");
            said.push(value);
        }
    }
    for (message, field, value) in [
        ("connecting to vCenter", "address", Some(simulator.url())),
        ("created Knative processor", "sink", Some(format!("http://{}/", sink.address()))),
        ("no valid checkpoint found", "path", None),
        ("found existing and valid checkpoint", "path", None),
        ("setting begin of event stream", "beginTimestamp", None),
        ("SIGTERM: initiating shutdown", "level", Some("info".into())),
        ("shutdown successful", "level", Some("info".into())),
    ] {
        let line = said.iter().find(|line| line["msg"].as_str().unwrap().contains(message));
        let line = line.unwrap_or_else(|| panic!("{message}: {said:?}"));
        let text = line[field].as_str().unwrap_or_else(|| panic!("{field}: {line}"));
        assert!(value.is_none_or(|value| value == text), "{line}");
    }
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn an_idle_route_has_a_line_every_minute() {
    let (test, vcsim) = (Test::new("summary"), Vcsim::start(1, false));
    let processor = "[processor.screen]\ntype = \"stdout\"\n";
    let routes = "[route.a]\nfrom = \"vc01\"\nto = \"screen\"\n[route.b]\nfrom = \"vc01\"\nto = \"screen\"\ntypes = [\"x\"]\n";
    test.write("router.toml", &(vcsim.source("vc01") + processor + routes));
    let router = test.start(&["run"]);
    let lines = wait_for("a line of each route", Duration::from_secs(60) + SOON, || {
        let lines = router.stderr();
        let summaries = lines.into_iter().filter(|line| line.contains("running for"));
        Some(summaries.collect::<Vec<_>>()).filter(|lines| 2 <= lines.len())
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    for (line, route) in lines.iter().zip(["route a: ", "route b: "]) {
        assert!(line.contains(route) && line.contains("INFO"), "{line}");
        for word in ["read ", "delivered ", "retried 0", "dead letters 0", "lag 0.0 s", "last event "] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
}

#[test]
fn under_the_journal_lines_have_a_priority_and_no_time() {
    let test = Test::new("journal");
    let run = |stream: &str, command: &str, log: &str| {
        // As systemd does: the variable names what standard error leads to.
        let script = format!("JOURNAL_STREAM=\"{stream}\" exec \"$0\" {command}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_router")]).current_dir(test.path(""));
        let file = File::create(test.path(log)).unwrap();
        let ended = shell.env("TMPDIR", test.path("")).stdin(Stdio::null()).stderr(file).output().unwrap();
        (ended.status.code(), std::fs::read_to_string(test.path(log)).unwrap())
    };
    const OWN: &str = "$(stat -L -c %d:%i /proc/self/fd/2)";
    let (code, log) = run(OWN, "demo --events 2", "journal");
    assert_eq!(code, Some(0), "{log}");
    assert!(log.lines().all(|line| line.starts_with('<')), "{log}");
    assert!(log.lines().any(|line| line.starts_with("<6>INFO  route demo: ")), "{log}");
    let (_, log) = run(OWN, "run -c none.toml", "refused");
    assert!(log.starts_with("<3>router: ") && log.lines().count() == 1, "{log}");
    // Redirected: the journal is elsewhere.
    let (_, log) = run("1:1", "demo --events 2", "file");
    assert!(log.lines().all(|line| line.starts_with("20")) && log.contains("Z INFO  route demo: "), "{log}");
}

#[test]
fn a_refused_login_is_an_error_and_the_first_delivery_after_each_trouble_is_said() {
    let (test, simulator) = (Test::new("troubles"), simulator());
    let is_open = Arc::new(AtomicBool::new(true));
    let open = is_open.clone();
    let sink = Server::start("127.0.0.1:0", ServerSettings::default(), move |_| {
        let status = if open.load(Ordering::SeqCst) { 202 } else { 503 };
        Reply::Answer(Answer::text(status, "said"))
    });
    let sink = sink.unwrap();
    let file = "{ file = \"password\" }";
    let text = configuration(&simulator, "PASSWORD", &sink).replace("\"PASSWORD\"", file);
    test.write("router.toml", &text);
    test.write("password", "wr0ng");
    let mut router = test.start(&["run"]);
    router.log_line(&["ERROR route vc01-sink: ", "InvalidLogin"]);
    test.write("password", &simulator.password());
    router.log_line(&["reading"]);
    simulator.push(power());
    router.log_line(&["delivered VmPoweredOnEvent (key ", "), the first event since the start"]);
    is_open.store(false, Ordering::SeqCst);
    simulator.push(power());
    router.log_line(&["WARN  route vc01-sink: POST http://", "status 503"]);
    is_open.store(true, Ordering::SeqCst);
    router.log_line(&["works again after", ": the first event delivered since is VmPoweredOnEvent (key "]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn another_token_ends_the_wait_of_a_route_that_its_sink_refuses() {
    let (test, simulator) = (Test::new("token"), simulator());
    let sink = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let status = if request.header("authorization") == Some("Bearer right") { 202 } else { 403 };
        // Whoever waits as long as it asks for comes too late for this test.
        let answer = Answer::text(status, "said").header("Retry-After", "300");
        Reply::Answer(answer)
    });
    let sink = sink.unwrap();
    let text = configuration(&simulator, &simulator.password(), &sink);
    test.write("router.toml", &(text + "token = { file = \"token\" }\n"));
    test.write("token", "wrong");
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    simulator.push(power());
    router.log_line(&["ERROR route vc01-sink: ", "status 403", "give the account the right to send there"]);
    test.write("token", "right");
    router.log_line(&["the credentials have changed: trying again at once"]);
    router.log_line(&["delivered VmPoweredOnEvent"]);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(!exit.stderr.contains("wrong"), "{}", exit.stderr);
    assert_eq!(test.router(&["dead-letters", "list"]).stdout, "");
}
