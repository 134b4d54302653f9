//! Horizon: audit events of a pod, against a server after the documented interface.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::Value;

use crate::support::horizon::{Fault, Pod};
use crate::support::random::Random;
use crate::support::{SOON, Test, wait_for};

/// What a sink accepted: how often, by the number of the event.
#[derive(Clone, Default)]
struct Accepted(Arc<Mutex<BTreeMap<i64, Vec<Value>>>>);

impl Accepted {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn wait(&self, count: usize) {
        wait_for(&format!("{count} events"), SOON, || (count <= self.count()).then_some(()));
    }

    fn sink(&self) -> Server {
        let accepted = self.clone();
        let settings = ServerSettings { connections_max: 64, ..ServerSettings::default() };
        Server::start("127.0.0.1:0", settings, move |request| {
            let event: Value = serde_json::from_slice(&request.body).unwrap();
            let id = event["id"].as_str().unwrap().parse().unwrap();
            accepted.0.lock().unwrap().entry(id).or_default().push(event);
            Reply::Answer(Answer::text(202, "ok"))
        })
        .unwrap()
    }
}

fn write(test: &Test, addresses: &[&str], keys: &str, sink: &Server) {
    let fallback: Vec<String> = addresses[1..].iter().map(|address| format!("{address:?}")).collect();
    test.write(
        "router.toml",
        &format!(
            "[source.pod]\ntype = \"horizon\"\naddress = {:?}\nfallback = [{}]\ndomain = \"corp\"\nusername = \"svc\"\n\
             password = \"pass\"\n{keys}\n[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n\
             encoding = \"structured\"\n",
            addresses[0],
            fallback.join(", "),
            sink.address()
        ),
    );
}

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[test]
fn events_have_the_shape_of_the_go_router_and_come_once() {
    let (test, pod, accepted) = (Test::new("horizon"), Pod::default(), Accepted::default());
    let (server, sink) = (pod.serve(), accepted.sink());
    pod.push(now() - 60_000, "VLSI_BEFORE");
    write(&test, &[&server.url], "details = true", &sink);
    let mut router = test.start(&["run"]);
    router.log_line(&["reading Horizon audit events"]);
    let time = now();
    // Three of one millisecond, as its own data has them, and one that is recorded late.
    let ids: Vec<i64> = (0..3).map(|_| pod.push(time, "VLSI_USERLOGGEDIN")).collect();
    accepted.wait(3);
    let late = pod.push(time - 1, "VLSI_USERLOGGEDOUT");
    accepted.wait(4);
    let lists = pod.calls().lists;
    wait_for("further readings", SOON, || (lists + 2 <= pod.calls().lists).then_some(()));
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));
    assert!(!exit.stderr.contains("shows"), "no word about repeats:\n{}", exit.stderr);
    assert_eq!((pod.calls().logins, pod.calls().logouts), (1, 1));
    let seen = accepted.0.lock().unwrap();
    assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [&ids[..], &[late]].concat());
    assert!(seen.values().all(|times| times.len() == 1), "none was sent twice");
    let event = &seen[&ids[0]][0];
    assert_eq!(event["type"], "com.vmware.event.router/horizon.vlsi_userloggedin.v0");
    assert_eq!((&event["source"], event.get("subject")), (&Value::from(server.url.as_str()), None));
    let members: Vec<&str> = event["data"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        vec!["id", "machine_dns_name", "message", "module", "severity", "time", "type", "user_id"];
    expected.push("event_data");
    let mut members = members;
    members.sort_unstable();
    expected.sort_unstable();
    assert_eq!(members, expected);
    assert_eq!(event["data"]["event_data"]["UserDisplayName"], format!("corp\\user{}", ids[0]));
}

#[test]
fn a_backlog_larger_than_many_pages_is_read_after_a_restart() {
    let (test, pod, accepted) = (Test::new("horizon-backlog"), Pod::default(), Accepted::default());
    let (server, sink) = (pod.serve(), accepted.sink());
    write(&test, &[&server.url], "", &sink);
    let mut router = test.start(&["run"]);
    router.log_line(&["reading Horizon audit events"]);
    pod.push(now(), "VLSI_USERLOGGEDIN");
    accepted.wait(1);
    assert_eq!(router.end_by("KILL").code, None);
    let begin = now();
    for place in 0..4500 {
        pod.push(begin + place / 9, "VLSI_USERLOGGEDIN");
    }
    // More than a page in one millisecond.
    for _ in 0..1200 {
        pod.push(begin + 600, "VLSI_USERLOGGEDIN");
    }
    let router = test.start(&["run"]);
    accepted.wait(5701);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let repeated = accepted.0.lock().unwrap().values().filter(|times| 1 < times.len()).count();
    assert!(repeated <= 1, "{repeated} of what was acknowledged before were sent again");
}

#[test]
fn tokens_end_and_servers_fail_and_nothing_is_missing() {
    let (test, pod, accepted) = (Test::new("horizon-faults"), Pod::default(), Accepted::default());
    let (first, second, sink) = (pod.serve(), pod.serve(), accepted.sink());
    write(&test, &[&first.url, &second.url], "", &sink);
    let mut router = test.start(&["run"]);
    router.log_line(&["reading Horizon audit events"]);
    let mut count = 0;
    let mut more = |pod: &Pod| {
        pod.push(now(), "VLSI_USERLOGGEDIN");
        count += 1;
        accepted.wait(count);
    };
    more(&pod);
    // An access token ends: it is renewed. The refresh token ends: another login.
    pod.set_token_uses(Some(0));
    more(&pod);
    pod.set_token_uses(None);
    assert_eq!(pod.calls().logins, 1);
    assert!(1 <= pod.calls().refreshes, "{:?}", pod.calls());
    pod.end_sessions();
    more(&pod);
    assert_eq!(pod.calls().logins, 2);
    // The event database is not there for a while.
    pod.set_fault(Some(Fault::Status(500)));
    router.log_line(&["status 500"]);
    pod.set_fault(None);
    more(&pod);
    // After a failure the other one is asked. Now that is gone: the first has the same events.
    router.log_line(&["reading Horizon audit events of", &second.url]);
    drop(second);
    more(&pod);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(accepted.0.lock().unwrap()[&98_000][0]["source"], Value::from(test_source(&test)));
}

#[test]
fn a_server_that_accepts_and_never_answers_is_left_for_the_next() {
    let (test, pod, accepted) = (Test::new("horizon-mute"), Pod::default(), Accepted::default());
    let (first, second, sink) = (pod.serve(), pod.serve(), accepted.sink());
    write(&test, &[&first.url, &second.url], "", &sink);
    let begun = Instant::now();
    // At the login: each call has 30 s.
    first.mute(true);
    let mut router = test.start(&["run"]);
    let line = wait_for("the second server", 3 * SOON, || {
        let find = |line: &&String| line.contains("reading Horizon audit events of");
        router.stderr().iter().find(find).cloned()
    });
    assert!(line.contains(&second.url), "{line}");
    assert!(Duration::from_secs(25) < begun.elapsed(), "it was given its time: {:?}", begun.elapsed());
    let told = router.log_line(&["going on with", &second.url]);
    assert!(
        told.contains(&first.url) && told.contains("timeout of 30s") && !told.contains("`timeout`"),
        "{told}"
    );
    pod.push(now(), "VLSI_USERLOGGEDIN");
    accepted.wait(1);
    // In the middle: the first is back, and the second is mute.
    first.mute(false);
    second.mute(true);
    pod.push(now(), "VLSI_USERLOGGEDIN");
    wait_for("the event by the first server", 3 * SOON, || (2 <= accepted.count()).then_some(()));
    assert!(accepted.0.lock().unwrap().values().all(|times| times.len() == 1), "none was sent twice");
    // A stop does not wait for it.
    first.mute(true);
    let stopping = Instant::now();
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert!(stopping.elapsed() < SOON, "{:?}", stopping.elapsed());
}

/// The source of the events is that of the file, whoever gave them.
fn test_source(test: &Test) -> String {
    let file = std::fs::read_to_string(test.path("router.toml")).unwrap();
    file.split("address = \"").nth(1).unwrap().split('"').next().unwrap().to_string()
}

#[test]
fn what_horizon_refuses_is_told_with_the_cure() {
    for (fault, rejects, words) in [
        (Some(Fault::Status(409)), false, ["has no event database", "409"]),
        (Some(Fault::Status(403)), false, ["may not read events", "403"]),
        (None, true, ["check domain, username and password", "Bad credentials"]),
    ] {
        let (test, pod, accepted) = (Test::new("horizon-refusals"), Pod::default(), Accepted::default());
        let (server, sink) = (pod.serve(), accepted.sink());
        pod.set_fault(fault);
        pod.reject_account(rejects);
        write(&test, &[&server.url], "", &sink);
        let check = test.router(&["check"]);
        assert_eq!(check.code, Some(1));
        let said = format!("{}{}", check.stdout, check.stderr);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
        let mut router = test.start(&["run"]);
        router.log_line(&words);
    }
}

#[test]
fn what_horizon_no_longer_has_is_a_gap() {
    let (test, pod, accepted) = (Test::new("horizon-gap"), Pod::default(), Accepted::default());
    let (server, sink) = (pod.serve(), accepted.sink());
    write(&test, &[&server.url], "", &sink);
    let past = jiff::Timestamp::from_millisecond(now() - 7_200_000).unwrap().to_string();
    assert_eq!(test.router(&["checkpoint", "set", &past]).code, Some(0));
    pod.push(now() - 60_000, "VLSI_USERLOGGEDIN");
    let mut router = test.start(&["run"]);
    router.log_line(&["gap: the source no longer has its events from"]);
    accepted.wait(1);
}

#[test]
fn nothing_is_lost_over_kills() {
    let kills = if std::env::var_os("EVENT_ROUTER_LONG").is_some() { 30 } else { 3 };
    let mut random = Random::from_test("horizon");
    let (test, pod, accepted) = (Test::new("horizon-kills"), Pod::default(), Accepted::default());
    let (server, sink) = (pod.serve(), accepted.sink());
    write(&test, &[&server.url], "", &sink);
    let mut router = test.start(&["run"]);
    router.log_line(&["reading Horizon audit events"]);
    let mut pushed = 0;
    for _ in 0..kills {
        let until = Instant::now() + Duration::from_millis(1500 + random.below(500) as u64);
        while Instant::now() < until {
            for _ in 0..random.below(20) {
                pod.push(now(), "VLSI_USERLOGGEDIN");
                pushed += 1;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        router.signal("KILL");
        drop(router);
        router = test.start(&["run"]);
    }
    accepted.wait(pushed);
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(accepted.count(), pushed);
}
