//! Receivers that others wrote take the events of a real vcsim by the samples that ship, and give
//! them back: an OpenTelemetry collector, Alertmanager, and the webhook plugin of Event-Driven Ansible.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::http_samples::{configured, text_of};
use crate::support::peers::{PASSWORD, USERNAME, Vcsim, program, python_of};
use crate::support::process::Process;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, closed_port, wait_for};

/// Switches all machines off while a router with this sample runs, and waits until `found` has the names
/// of them all.
fn send(test: &Test, vcsim: &Vcsim, config: &str, mut found: impl FnMut() -> BTreeSet<String>) {
    test.write("router.toml", config);
    test.write("vc01.password", PASSWORD);
    let folder = test.path("").display().to_string();
    let variables = [("CREDENTIALS_DIRECTORY", folder.trim_end_matches('/'))];
    let check = test.start_with(&["check"], &variables).wait_exit(SOON);
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    let mut router = test.start_with(&["run"], &variables);
    router.log_line(&["reading VMware"]);
    let machines = vcsim.machines();
    vcsim.power(false, &machines.iter().map(String::as_str).collect::<Vec<_>>());
    let names: BTreeSet<String> =
        machines.iter().map(|path| path.rsplit('/').next().unwrap().to_string()).collect();
    wait_for("all machines at the receiver", SOON, || (found() == names).then_some(()));
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(!exit.stderr.contains("dead letter"), "{}", exit.stderr);
}

#[test]
#[ignore = "needs vcsim and an OpenTelemetry collector: run tests/run"]
fn an_opentelemetry_collector_takes_log_records() {
    let test = Test::new("otelcol");
    let vcsim = Vcsim::start(2, false);
    let port = closed_port();
    test.write(
        "collector.yaml",
        &format!(
            "receivers: {{otlp: {{protocols: {{http: {{endpoint: \"127.0.0.1:{port}\"}}}}}}}}\n\
             exporters: {{debug: {{verbosity: detailed}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{logs: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
        ),
    );
    let mut command = Command::new(program("otelcol"));
    command.arg("--config").arg(test.path("collector.yaml"));
    let mut collector = Process::start("otelcol", command);
    collector.log_line(&["Everything is ready"]);
    let config =
        configured(&text_of("opentelemetry"), &vcsim.url, USERNAME, &format!("http://127.0.0.1:{port}"));
    send(&test, &vcsim, &config, || {
        // Attributes stand below each other: the name of the event, its id, the machine.
        let lines = collector.stderr();
        let value = |line: &String, name: &str| {
            let text = line.split_once(&format!("-> {name}: Str("))?.1;
            Some(text.trim_end_matches(')').to_string())
        };
        let of_event = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| value(line, "event.name").is_some_and(|name| name == "VmPoweredOffEvent"));
        of_event.filter_map(|(at, _)| lines[at..].iter().find_map(|line| value(line, "vm.name"))).collect()
    });
}

#[test]
#[ignore = "needs vcsim and Alertmanager: run tests/run"]
fn alertmanager_takes_alerts() {
    let test = Test::new("alertmanager");
    let vcsim = Vcsim::start(2, false);
    let mut peer = Process::start("alertmanager", Command::new(program("alertmanager")));
    let url = url_of(&mut peer);
    let text = text_of("alertmanager");
    let types = text.lines().find(|line| line.starts_with("types = ")).unwrap();
    let text = text.replace(types, "types = [\"VmPoweredOffEvent\"]");
    let watcher = Watcher::new(&url);
    send(&test, &vcsim, &configured(&text, &vcsim.url, USERNAME, &url), || {
        let (status, text) = watcher.get("/api/v2/alerts");
        assert_eq!(status, 200, "{text}");
        let alerts: Vec<Value> = serde_json::from_str(&text).unwrap();
        let label =
            |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_string();
        let own = alerts.iter().filter(|alert| label(alert, "alertname") == "VmPoweredOffEvent");
        own.map(|alert| label(alert, "vm")).collect()
    });
}

#[test]
#[ignore = "needs vcsim and the webhook plugin of Event-Driven Ansible: run tests/run"]
fn event_driven_ansible_takes_signed_events() {
    let test = Test::new("eda");
    let vcsim = Vcsim::start(2, false);
    let mut command = python_of("venv-eda", "eda/webhook.py");
    command.args(["the-token", "the-key"]);
    let mut peer = Process::start("the webhook plugin", command);
    let url = url_of(&mut peer);
    test.write("eda.token", "the-token\n");
    test.write("eda.hmac", "the-key\n");
    send(&test, &vcsim, &configured(&text_of("ansible-eda"), &vcsim.url, USERNAME, &url), || {
        let events =
            peer.stdout().into_iter().skip(1).map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let own = events.filter(|event| event["subject"] == "VmPoweredOffEvent");
        own.map(|event| event["data"]["Vm"]["Name"].as_str().unwrap().to_string()).collect()
    });
    // Another key is refused, and holds the route.
    test.write("eda.hmac", "another\n");
    let folder = test.path("").display().to_string();
    let variables = [("CREDENTIALS_DIRECTORY", folder.trim_end_matches('/'))];
    let sent = test.start_with(&["send", "--type", "VmPoweredOnEvent"], &variables).wait_exit(SOON);
    assert_eq!(sent.code, Some(1));
    assert!(
        sent.stderr.contains("HMAC verification failed") && !sent.stderr.contains("another"),
        "{}",
        sent.stderr
    );
}

fn url_of(peer: &mut Process) -> String {
    let line: Value = serde_json::from_str(&peer.first_line()).unwrap();
    line["url"].as_str().unwrap().to_string()
}
