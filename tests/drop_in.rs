//! In the Go router's place: its manifests, its files, its checkpoints, against vcsim and real sinks.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::openfaas::{self, Gateway};
use crate::support::peers::{self, Received, Receiver, Vcsim};
use crate::support::process::Process;
use crate::support::{Test, router_command};

/// `RouterConfig` with a vCenter and a Knative destination; `options` are lines of the vCenter's
/// section.
fn router_config(vcsim: &Vcsim, receiver: &Receiver, options: &[&str]) -> String {
    let options: String = options.iter().map(|option| format!("    {option}\n")).collect();
    format!(
        "apiVersion: event-router.vmware.com/v1alpha1\nkind: RouterConfig\nmetadata:\n  name: config\n\
         eventProvider:\n  type: vcenter\n  name: vc01\n  vcenter:\n    address: {}\n    insecureSSL: true\n{options}    \
         auth:\n      type: basic_auth\n      basicAuth:\n        username: {}\n        password: {}\n\
         eventProcessor:\n  type: knative\n  name: sink\n  knative:\n    encoding: structured\n    destination:\n      \
         uri:\n        scheme: http\n        host: {}\n\
         metricsProvider:\n  type: default\n  default:\n    bindAddress: 127.0.0.1:0\n",
        vcsim.url,
        peers::USERNAME,
        // a JSON string is a YAML string too
        Value::from(peers::PASSWORD),
        receiver.url.trim_start_matches("http://").trim_end_matches('/'),
    )
}

/// The JSON array of v0.4, with functions of OpenFaaS.
fn entries(vcsim: &Vcsim, gateway: &Gateway) -> String {
    let secret =
        |username: &str, password: &str| serde_json::json!({"username": username, "password": password});
    serde_json::to_string_pretty(&serde_json::json!([
        {"type": "stream", "provider": "vmware_vcenter", "address": vcsim.url, "options": {"insecure": "true"},
         "auth": {"method": "user_password", "secret": secret(peers::USERNAME, peers::PASSWORD)}},
        {"type": "processor", "provider": "openfaas", "address": gateway.url, "options": {"async": "false"},
         "auth": {"method": "basic_auth", "secret": secret(openfaas::USERNAME, openfaas::PASSWORD)}},
        {"type": "metrics", "provider": "internal", "address": "127.0.0.1:0", "auth": {"method": "none"}},
    ]))
    .unwrap()
}

/// The values of a key of a manifest, in the flow or block style that ours are written in.
fn values<'a>(manifest: &'a str, key: &str) -> Vec<&'a str> {
    let line = manifest.lines().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
    let value = line.unwrap_or_else(|| panic!("no {key} in {manifest}")).trim();
    value.trim_matches(['[', ']']).split(',').map(|value| value.trim().trim_matches('"')).collect()
}

/// Runs the router as the container of `tests/legacy/manifests/NAME.yaml`: with its arguments, its
/// configuration mounted read-only where the manifest says, and nothing else in `/etc`.
fn run_manifest(test: &Test, name: &str, config: &str) -> Process {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/legacy/manifests/{name}.yaml"));
    let manifest = std::fs::read_to_string(path).unwrap();
    let [mount, file] = ["mountPath:", "path:"].map(|key| values(&manifest, key)[0].to_string());
    std::fs::create_dir(test.path("secret")).unwrap();
    test.write(&format!("secret/{file}"), config);
    let script = "mount -t tmpfs tmpfs /etc && mkdir \"$2\" && mount --bind \"$1\" \"$2\" && \
                  mount -o remount,ro,bind \"$2\" && shift 2 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(test.path("secret"))
        .arg(mount);
    command.arg(router_command().get_program()).args(values(&manifest, "args:"));
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
    Process::start(name, command)
}

#[test]
#[ignore = "needs vcsim and OpenFaaS's gateway: run tests/run"]
fn the_manifest_of_v0_4_with_json_and_functions() {
    let test = Test::new("manifest-json");
    let (vcsim, gateway) = (Vcsim::start(2, true), Gateway::start(&test, &[]));
    gateway.deploy("on", "VmPoweredOnEvent", &[]);
    let mut router = run_manifest(&test, "v0.4", &entries(&vcsim, &gateway));
    router.log_line(&["DEBUG", "page of "]);
    vcsim.off_and_on();
    let calls = gateway.wait("on", 4);
    assert!(calls.iter().all(|call| call.event()["subject"] == "VmPoweredOnEvent"));
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn the_manifests_with_router_config() {
    for (name, told) in
        [("v0.5", "DEBUG"), ("v0.7", "\"level\":\"info\""), ("default-path", "\"level\":\"info\"")]
    {
        let test = Test::new("manifest-yaml");
        let (vcsim, receiver) = (Vcsim::start(2, true), Receiver::start(&test, "events", &[]));
        let mut router = run_manifest(&test, name, &router_config(&vcsim, &receiver, &[]));
        router.log_line(&["setting begin of event stream"]);
        router.log_line(&[told]);
        vcsim.off_and_on();
        receiver.wait_for_all(&vcsim);
        assert_eq!(router.end_by("TERM").code, Some(0));
    }
}

/// Both run side by side: the sink gets every event twice, and cannot tell the two apart.
#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn the_old_file_and_the_converted_one_behave_alike() {
    let test = Test::new("alike");
    let (vcsim, receiver) = (Vcsim::start(2, false), Receiver::start(&test, "events", &[]));
    let old = router_config(&vcsim, &receiver, &["checkpoint: true", "checkpointDir: positions"]);
    test.write("old", &old);
    let converted = test.router(&["convert", "old"]);
    assert_eq!((converted.code, converted.stderr.as_str()), (Some(0), ""));
    // Two routers must not share a folder of positions.
    let other = converted.stdout.replace("positions", "others");
    test.write("router.toml", &other);
    let mut routers = ["old", "router.toml"].map(|file| test.start(&["run", "-c", file]));
    routers.iter_mut().for_each(|router| drop(router.log_line(&["setting begin of event stream"])));
    vcsim.off_and_on();
    let last = vcsim.events().last().unwrap().key;
    let accepted = receiver.wait("both to deliver the last event", |events| {
        events.iter().filter(|event| event.key() == last).count() == 2
    });
    let mut twice: HashMap<i64, Vec<&Received>> = HashMap::new();
    accepted.iter().for_each(|event| twice.entry(event.key()).or_default().push(event));
    let powered = twice.values().filter(|events| events[0].subject.starts_with("VmPowered")).count();
    assert_eq!(powered, 8);
    for events in twice.values().filter(|events| events[0].subject.starts_with("VmPowered")) {
        let said = |event: &Received| {
            (event.id.clone(), event.source.clone(), event.mode.clone(), event.data.to_string())
        };
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(said(events[0]), said(events[1]));
    }
    for (router, folder) in routers.into_iter().zip(["positions", "others"]) {
        assert_eq!(router.end_by("TERM").code, Some(0));
        assert!(test.path(folder).join("vc01-sink.checkpoint.json").exists());
    }
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn the_go_routers_checkpoint_is_taken_over_once_and_left_as_it_is() {
    let test = Test::new("take-over");
    let vcsim = Vcsim::start(2, false);
    let history = {
        let receiver = Receiver::start(&test, "before", &[]);
        test.write("config", &router_config(&vcsim, &receiver, &["checkpoint: false"]));
        let mut router = test.start(&["-config", "config"]);
        router.log_line(&["setting begin of event stream"]);
        vcsim.off_and_on();
        let (_, accepted) = receiver.wait_for_all(&vcsim);
        assert_eq!(router.end_by("TERM").code, Some(0));
        accepted
    };
    let created =
        |event: &Received| event.data["CreatedTime"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let middle = created(&history[history.len() / 2]);
    let record = format!(
        "{{\"vCenter\":\"127.0.0.1\",\"lastEventUUID\":\"2c4e1a52-5b1e-4c43-9d0e-0d4d0f3f7a11\",\"lastEventKey\":7,\
         \"lastEventType\":\"VmPoweredOffEvent\",\"lastEventKeyTimestamp\":\"{middle}\",\
         \"createdTimestamp\":\"{middle}\"}}"
    );
    std::fs::create_dir(test.path("checkpoints")).unwrap();
    let file = test.path("checkpoints/cp-127.0.0.1.json");
    std::fs::write(&file, &record).unwrap();

    let receiver = Receiver::start(&test, "after", &[]);
    test.write("config", &router_config(&vcsim, &receiver, &["checkpoint: true"]));
    let shown = test.router(&["checkpoint", "show", "-config", "config"]);
    assert!(shown.stdout.contains(&format!("starts at {middle}, as the Go router's ")), "{shown:?}");
    let mut router = test.start(&["-config", "config"]);
    router.log_line(&["taking over the position of the Go router"]);
    let wanted: Vec<i64> =
        history.iter().filter(|event| middle <= created(event)).map(Received::key).collect();
    let last = *wanted.last().unwrap();
    let accepted =
        receiver.wait("the rest of the history", |events| events.iter().any(|event| event.key() == last));
    assert!(accepted.iter().all(|event| middle <= created(event)));
    let keys: Vec<i64> = accepted.iter().map(Received::key).filter(|key| *key <= last).collect();
    assert_eq!(keys, wanted);
    assert_eq!(router.end_by("TERM").code, Some(0));

    let mut router = test.start(&["-config", "config"]);
    router.log_line(&["found existing and valid checkpoint"]);
    vcsim.off_and_on();
    let (_, accepted) = receiver.wait_for_all(&vcsim);
    let mut keys: Vec<i64> = accepted.iter().map(Received::key).collect();
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count, "nothing is delivered twice");
    let exit = router.end_by("TERM");
    assert!(!exit.stderr.contains("taking over"), "{}", exit.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), record);
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn a_torn_checkpoint_is_warned_about_and_no_reason_to_end() {
    let vcsim = Vcsim::start(1, false);
    for torn in ["", "{\"vCenter\":\"127.0.0.1\",\"lastEventKey\":7,\"lastEventKeyTime"] {
        let test = Test::new("torn");
        let receiver = Receiver::start(&test, "events", &[]);
        test.write("config", &router_config(&vcsim, &receiver, &["checkpoint: true", "checkpointDir: cps"]));
        std::fs::create_dir(test.path("cps")).unwrap();
        test.write("cps/cp-127.0.0.1.json", torn);
        let mut router = test.start(&["-config=config"]);
        router.log_line(&["WARN", "cp-127.0.0.1.json", "router checkpoint set"]);
        router.log_line(&["setting begin of event stream"]);
        vcsim.off_and_on();
        receiver.wait_for_all(&vcsim);
        assert_eq!(router.end_by("TERM").code, Some(0));
        assert_eq!(std::fs::read_to_string(test.path("cps/cp-127.0.0.1.json")).unwrap(), torn);
    }
}
