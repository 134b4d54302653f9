//! The processor http, from a vCenter to an API that does as it is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::api::{Api, Call, push, vcenter};
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

/// Keys of the events in the bodies, each the data of one event.
fn keys(calls: &[Call]) -> BTreeSet<i64> {
    let taken = calls.iter().filter(|call| call.status < 300);
    taken.filter_map(|call| call.json()["Key"].as_i64()).collect()
}

#[test]
fn what_vcenter_records_reaches_an_api() {
    let test = Test::new("api");
    let (simulator, source) = vcenter();
    let api = Api::accepting();
    let processor = format!(
        "[processor.api]\ntype = \"http\"\nuri = \"{}/v1/events\"\nbody = \"data\"\nmethod = \"PUT\"\n\
         token = \"t0\"\nscheme = \"Splunk\"\nheaders = {{ X-Scope-OrgID = \"dc 1\" }}\n",
        api.url
    );
    test.write("router.toml", &(source + &processor));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    let expected: BTreeSet<i64> = push(&simulator, 20).into_iter().collect();
    let calls = api.wait("all events", |calls| expected.is_subset(&keys(calls)));
    for call in &calls {
        assert_eq!((call.method.as_str(), call.target.as_str()), ("PUT", "/v1/events"));
        assert_eq!(call.header("authorization"), "Splunk t0");
        assert_eq!(call.header("x-scope-orgid"), "dc 1");
        assert_eq!(call.header("content-type"), "application/json");
    }
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn secrets_are_told_nowhere() {
    // A token, and on the second way an account.
    for proof in
        ["token = { file = \"token\" }", "username = { env = \"KEY\" }\npassword = { file = \"token\" }"]
    {
        tell_no_secret(proof);
    }
}

fn tell_no_secret(proof: &str) {
    // The account as it stands in the header too.
    let secrets =
        ["canary-path", "canary-token", "canary-key", "canary-sign", "Y2FuYXJ5LWtleTpjYW5hcnktdG9rZW4"];
    let test = Test::new("api-secrets");
    let (simulator, source) = vcenter();
    // It says all that it knows, and sends away.
    let api = Api::start(|call| {
        let body = format!("{} {} {}", call.target, call.header("authorization"), call.header("x-key"));
        (if call.body.is_empty() { 200 } else { 403 }, "text/plain", body)
    });
    test.write("url", &format!("{}/T1/canary-path?sig=canary-path", api.url));
    test.write("token", "canary-token\n");
    test.write("sign", "canary-sign\n");
    let processor = format!(
        "[processor.api]\ntype = \"http\"\nuri = {{ file = \"url\" }}\n{proof}\n\
         headers = {{ X-Key = {{ env = \"KEY\" }} }}\nsignature = {{ header = \"X-Sign\", secret = {{ file = \"sign\" }} }}\n"
    );
    let metrics = "[metrics]\nbind = \"127.0.0.1:0\"\n";
    test.write("router.toml", &(source + &processor + metrics));
    let variables = [("KEY", "canary-key")];
    let mut told = String::new();
    for arguments in [&["check"][..], &["send", "--type", "VmPoweredOnEvent"]] {
        let exit = test.start_with(arguments, &variables).wait_exit(SOON);
        told += &(exit.stdout + &exit.stderr);
    }
    assert!(told.contains("takes connections") && told.contains("status 403"), "{told}");

    let mut router = test.start_with(&["run", "--log-level", "trace"], &variables);
    router.log_line(&["reading VMware"]);
    push(&simulator, 3);
    router.log_line(&["status 403"]);
    let watcher = Watcher::of(&mut router);
    wait_for("a page that shows the refusal", SOON, || {
        let all = ["/", "/status", "/metrics", "/stats", "/readyz"].map(|path| watcher.get(path).1).concat();
        told += &all;
        all.contains("403").then_some(())
    });
    let environment = format!("/proc/{}/cmdline", router.id());
    told += &std::fs::read_to_string(environment).unwrap();
    let exit = router.end_by("TERM");
    told += &(exit.stdout + &exit.stderr);
    // The signature that was sent proves nothing to others, and stands nowhere either.
    let signature =
        api.calls().iter().map(|call| call.header("x-sign").to_string()).find(|sign| !sign.is_empty());
    for secret in secrets.into_iter().chain([signature.expect("a signature").as_str()]) {
        let lines: Vec<&str> = told.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{secret}: {lines:?}");
    }
    for secret in ["canary-path", "canary-key"] {
        let shows = |call: &Call| format!("{} {:?}", call.target, call.headers).contains(secret);
        assert!(api.calls().iter().any(shows), "{secret} was sent");
    }
    assert!(api.calls().iter().any(|call| call.header("authorization").len() > 10));
}

#[test]
fn a_template_is_shown_by_send_and_tail_and_arrives() {
    let test = Test::new("api-template");
    let (simulator, source) = vcenter();
    let api = Api::accepting();
    let processor = format!(
        "[processor.chat]\ntype = \"http\"\nuri = \"{}/chat\"\nheaders = {{ Idempotency-Key = \"<id>\" }}\n\
         [processor.chat.transform]\npaths = {{ vm = \"$.data.Vm.Name\" }}\n\
         template = '{{\"text\": \"<vm> by <$.data.UserName> on <route>\", \"key\": <$.data.Key>}}'\n",
        api.url
    );
    test.write("router.toml", &(source + &processor));
    let sent = test.router(&["send", "--type", "VmPoweredOnEvent"]);
    assert_eq!(sent.code, Some(0), "{}{}", sent.stdout, sent.stderr);
    let call = api.calls().remove(0);
    for shown in [call.text(), &format!("idempotency-key: {}", call.header("idempotency-key"))] {
        assert!(sent.stdout.lines().any(|line| line == shown), "{shown}: {}", sent.stdout);
    }

    let mut tails =
        ["chat", "<$.data.Vm.Name>|<subject>"].map(|text| test.start(&["tail", "--template", text]));
    tails.iter_mut().for_each(|tail| drop(tail.log_line(&["reading VMware"])));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    let key = push(&simulator, 1)[0];
    let calls = api.wait("the event", |calls| calls.len() == 2);
    let body = r#"{"text": "web-0 by VSPHERE.LOCAL\\Administrator on vc-chat", "key": KEY}"#;
    assert_eq!(calls[1].text(), body.replace("KEY", &key.to_string()));
    let shown = [calls[1].text().replace("vc-chat", "vc"), "web-0|VmPoweredOnEvent".to_string()];
    for (mut tail, shown) in tails.into_iter().zip(shown) {
        assert_eq!(tail.first_line(), shown);
        assert_eq!(tail.end_by("TERM").code, Some(0));
    }
    assert_eq!(router.end_by("TERM").code, Some(0));
    let refused = test.router(&["tail", "--template", "<vm>"]);
    assert_eq!((refused.code, refused.stderr.contains("placeholder <vm> is not known")), (Some(2), true));
}

#[test]
fn attributes_come_from_the_event() {
    let test = Test::new("api-attributes");
    let (simulator, source) = vcenter();
    let api = Api::accepting();
    let keys = "extensions = { dc = \"dc1\", vmname = \"$.data.Vm.Name\", ds = \"$.data.Ds.Name\" }\n\
                partition_key = \"entity\"\n";
    let kinds = [("knative", ""), ("http", "body = \"binary\"\n")];
    let processors = kinds.map(|(kind, more)| {
        format!("[processor.{kind}]\ntype = \"{kind}\"\nuri = \"{}/{kind}\"\n{more}{keys}", api.url)
    });
    test.write("router.toml", &(source + &processors.concat()));
    let mut router = test.start(&["run"]);
    kinds.iter().for_each(|(kind, _)| drop(router.log_line(&["reading VMware", &format!("vc-{kind}")])));
    push(&simulator, 2);
    let calls = api.wait("both events at both", |calls| 4 <= calls.len());
    for call in &calls {
        let vm = call.json()["Vm"]["Name"].as_str().unwrap().to_string();
        assert_eq!((call.header("ce-dc"), call.header("ce-vmname")), ("dc1", vm.as_str()));
        assert_eq!(call.header("ce-partitionkey"), vm.replace("web", "vm"));
        assert!(call.headers.iter().all(|(name, _)| name != "ce-ds"), "{:?}", call.headers);
    }
    assert_eq!(router.end_by("TERM").code, Some(0));
}

/// `[processor.api]` that sends the data of up to a hundred events in an array.
fn batches(api: &Api) -> String {
    format!(
        "[processor.api]\ntype = \"http\"\nuri = \"{}/\"\nbody = \"data\"\n\
         batch = {{ max_events = 100, prefix = \"[\", separator = \",\", suffix = \"]\" }}\n",
        api.url
    )
}

/// Keys of the events in requests that were accepted, in the order of their arrival.
fn keys_of_batches(calls: &[Call]) -> Vec<i64> {
    let taken = calls.iter().filter(|call| call.status < 300);
    taken
        .flat_map(|call| call.json().as_array().unwrap().clone())
        .map(|data| data["Key"].as_i64().unwrap())
        .collect()
}

#[test]
fn one_bad_event_of_a_batch_is_a_dead_letter_and_the_others_arrive() {
    let test = Test::new("api-batch");
    let (simulator, source) = vcenter();
    let open = Arc::new(AtomicBool::new(false));
    let opened = open.clone();
    let api = Api::start(move |call| {
        // The first event waits here until the others wait behind it.
        wait_for("the others", SOON, || opened.load(Ordering::Relaxed).then_some(()));
        (if call.text().contains("\"vm-57\"") { 400 } else { 200 }, "text/plain", "bad".to_string())
    });
    let route = "[route.r]\nfrom = \"vc\"\nto = \"api\"\nworkers = 1\n";
    test.write("router.toml", &(source + &batches(&api) + route));
    let mut router = test.start(&["run", "--log-level", "debug"]);
    router.log_line(&["reading VMware"]);
    let first = push(&simulator, 1)[0];
    router.log_line(&["page of 1 event"]);
    let keys = push(&simulator, 100);
    router.log_line(&["page of 100 events"]);
    open.store(true, Ordering::Relaxed);
    let bad = keys[57];
    let calls = api.wait("99 events", |calls| 100 <= keys_of_batches(calls).len());
    let line = router.log_line(&["is a dead letter"]);
    assert!(line.contains("status 400: bad"), "{line}");
    let expected: Vec<i64> =
        [first].into_iter().chain(keys.iter().copied().filter(|key| *key != bad)).collect();
    assert_eq!(keys_of_batches(&calls), expected, "each once, in order");
    assert!(calls.iter().any(|call| 90 <= call.json().as_array().unwrap().len()), "they went together");
    assert_eq!(router.end_by("TERM").code, Some(0));
    let letters = std::fs::read_to_string(test.path("state/r.dead-letters.jsonl")).unwrap();
    assert_eq!((letters.lines().count(), letters.contains(&format!("\"Key\":{bad},"))), (1, true));
}

#[test]
fn a_kill_among_the_halves_loses_nothing() {
    let test = Test::new("api-batch-kill");
    let (simulator, source) = vcenter();
    let api = Api::start(|call| {
        let is_bad = call.text().contains("\"vm-57\"") || call.text().contains("\"vm-3\"");
        (if is_bad { 413 } else { 200 }, "text/plain", String::new())
    });
    test.write("router.toml", &(source + &batches(&api)));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    let mut keys = Vec::new();
    for round in 0..4 {
        let before = api.calls().len();
        let new = push(&simulator, 100);
        keys.extend(new.iter().enumerate().filter(|(n, _)| ![3, 57].contains(n)).map(|(_, key)| *key));
        // In the middle of the halves of this round, wherever that is.
        api.wait("some requests", |calls| before + 3 + 2 * round <= calls.len());
        assert_eq!(router.end_by("KILL").code, None);
        router = test.start(&["run"]);
        router.log_line(&["reading VMware"]);
    }
    let keys: BTreeSet<i64> = keys.into_iter().collect();
    let calls =
        api.wait("all good events", |calls| keys.is_subset(&keys_of_batches(calls).into_iter().collect()));
    for call in calls.iter().filter(|call| call.status < 300) {
        let batch = keys_of_batches(std::slice::from_ref(call));
        let (mut sorted, count) = (batch.clone(), batch.len());
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), count, "no event twice in a request");
    }
    wait_for("eight dead letters", SOON, || {
        let letters =
            std::fs::read_to_string(test.path("state/vc-api.dead-letters.jsonl")).unwrap_or_default();
        let ids = letters.lines().filter_map(|line| line.split("\"id\":\"").nth(1)).map(|rest| &rest[..36]);
        (8 == ids.collect::<BTreeSet<_>>().len()).then_some(())
    });
    assert_eq!(router.end_by("TERM").code, Some(0));
}
