//! Commands that look at a vCenter or go back in its history: `events`, `tail`, `replay`.

use std::collections::HashSet;

use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::Value;

use crate::support::peers::{Receiver, Vcsim, validate};
use crate::support::{SOON, Test, wait_for};

fn lines(text: &[String]) -> Vec<Value> {
    text.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn subjects(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["subject"].as_str().unwrap()).collect()
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn types_of_events_are_listed_in_every_format() {
    let (test, vcsim) = (Test::new("events"), Vcsim::start(1, true));
    let processor = "[processor.screen]\ntype = \"stdout\"\n";
    test.write("router.toml", &(vcsim.source("vc01") + processor));
    let listed = test.router(&["events", "--format", "json"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let types: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    let known: HashSet<&str> = types.iter().map(|known| known["id"].as_str().unwrap()).collect();
    assert!(known.contains("VmPoweredOnEvent") && known.contains("UserLoginSessionEvent"), "{known:?}");
    assert!(40 < known.len(), "{}", known.len());
    let table = test.router(&["events"]).stdout;
    assert_eq!(table.lines().count(), types.len() + 1, "{table}");
    assert!(table.starts_with("ID ") && table.contains("\nVmPoweredOnEvent "), "{table}");
    let csv = test.router(&["events", "--source", "vc01", "--format", "csv"]).stdout;
    assert!(
        csv.starts_with("id,category,description\r\n") && csv.contains("\r\nVmPoweredOnEvent,info,"),
        "{csv}"
    );
    assert_eq!(vcsim.session_agents(), [""; 0], "it has logged out");

    let wrong = test.router(&["events", "--source", "vc02"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("no source `vc02` in the configuration; it has: vc01"), "{wrong:?}");
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn tail_prints_what_happens_and_leaves_everything_alone() {
    let (test, vcsim) = (Test::new("tail"), Vcsim::start(2, false));
    // A sink that does not exist: nothing is sent to it.
    let rest = "[processor.sink]\ntype = \"knative\"\nuri = \"http://127.0.0.1:1/\"\n[metrics]\nbind = \"127.0.0.1:1\"\n";
    test.write("router.toml", &(vcsim.source("vc01") + rest));
    let mut all = test.start(&["tail"]);
    let pattern = r#"{"subject":["VmPoweredOnEvent"]}"#;
    let mut few = test.start(&["tail", "--source", "vc01", "--pattern", pattern]);
    all.log_line(&["reading"]);
    few.log_line(&["reading"]);
    let machines = vcsim.machines();
    vcsim.power(false, &[&machines[0]]);
    vcsim.power(true, &[&machines[0]]);
    let on = |lines: Vec<String>| lines.iter().any(|line| line.contains("VmPoweredOnEvent"));
    wait_for("the event in both", SOON, || (on(all.stdout()) && on(few.stdout())).then_some(()));
    let (all, few) = (all.end_by("TERM"), few.end_by("INT"));
    assert_eq!((all.code, few.code), (Some(0), Some(0)), "{}{}", all.stderr, few.stderr);
    let printed: Vec<String> = all.stdout.lines().map(str::to_string).collect();
    let parsed = lines(&printed);
    assert!(subjects(&parsed).contains(&"VmPoweredOffEvent"), "{printed:?}");
    assert_eq!(validate(&all.stdout), Ok(printed.len()), "the CloudEvents SDK takes every line");
    let few: Vec<String> = few.stdout.lines().map(str::to_string).collect();
    assert_eq!(subjects(&lines(&few)), ["VmPoweredOnEvent"]);
    assert_eq!(test.listing(), ["router.toml"], "nothing is kept");
    assert_eq!(vcsim.session_agents(), [""; 0], "both have logged out");

    let wrong = test.router(&["tail", "--pattern", "{\"subject\": 1}"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(wrong.stderr.contains("--pattern: "), "{wrong:?}");
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn a_span_of_the_history_is_delivered_again_and_the_checkpoint_stays() {
    let (test, vcsim) = (Test::new("replay"), Vcsim::start(2, false));
    let receiver = Receiver::start(&test, "events", &[]);
    let route = "[route.power]\nfrom = \"vc01\"\nto = \"sink\"\ntypes = [\"VmPowered*\"]\n";
    test.write("router.toml", &(vcsim.source("vc01") + &receiver.processor("sink", "structured") + route));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    let machines = vcsim.machines();
    let power_cycle = |machine: &str| {
        vcsim.power(false, &[machine]);
        vcsim.power(true, &[machine]);
    };
    machines.iter().for_each(|machine| power_cycle(machine));
    let first = receiver.wait("the first deliveries", |events| events.len() == 2 * machines.len());
    let mut times: Vec<f64> = first.iter().map(|event| event.created_seconds()).collect();
    times.sort_by(f64::total_cmp);
    let time = |seconds: f64| jiff::Timestamp::from_nanosecond((seconds * 1e9) as i128).unwrap().to_string();
    let in_span = |event: f64| times[2] - 1e-4 <= event && event <= times[5] + 1e-4;
    let (from, to) = (time(times[2] - 1e-4), time(times[5] + 1e-4));
    let wanted: HashSet<&str> = first
        .iter()
        .filter(|event| in_span(event.created_seconds()))
        .map(|event| event.id.as_str())
        .collect();
    assert!(4 <= wanted.len() && wanted.len() < first.len(), "{times:?}");

    let dry = ["replay", "--route", "power", "--from", &from, "--to", &to, "--dry-run"];
    let dry_run = test.router(&dry);
    assert_eq!(dry_run.code, Some(0), "{}", dry_run.stderr);
    let printed: Vec<String> = dry_run.stdout.lines().map(str::to_string).collect();
    let printed = lines(&printed);
    assert_eq!(printed.iter().map(|event| event["id"].as_str().unwrap()).collect::<HashSet<_>>(), wanted);
    assert_eq!(receiver.received().len(), first.len(), "a dry run sends nothing");

    // Beside the router that runs, which is disturbed in nothing.
    let replayed = test.router(&dry[..dry.len() - 1]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);
    assert!(replayed.stderr.contains(&format!("delivered {},", wanted.len())), "{}", replayed.stderr);
    assert_eq!(replayed.stdout, "");
    let received = receiver.received();
    let again: HashSet<&str> = received[first.len()..].iter().map(|event| event.id.as_str()).collect();
    assert_eq!(
        (again, received.len()),
        (wanted.clone(), first.len() + wanted.len()),
        "each once, the same ids"
    );
    power_cycle(&machines[0]);
    receiver.wait("events of the running route", |events| events.len() == received.len() + 2);
    assert_eq!(router.end_by("TERM").code, Some(0));

    // To the present, with a sink that refuses for good.
    let refusing = Server::start("127.0.0.1:0", ServerSettings::default(), |_| {
        Reply::Answer(Answer::text(400, "not this one"))
    })
    .unwrap();
    let sink = format!("[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n", refusing.address());
    test.write("router.toml", &(vcsim.source("vc01") + &sink + route));
    let checkpoint = || std::fs::read_to_string(test.path("state/power.checkpoint.json")).unwrap();
    let before = checkpoint();
    let refused = test.router(&["replay", "--route", "power", "--from", &from]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("refused for good: mend the cause"), "{}", refused.stderr);
    assert_eq!(checkpoint(), before, "the position did not move");
    let printed = refused.stdout.lines().filter(|line| line.contains("not this one")).count();
    assert!(wanted.len() + 2 <= printed, "{}", refused.stdout);
    assert_eq!(test.listing(), ["events", "router.toml", "state"], "no folder is left behind");
    assert!(!test.path("state/power.dead-letters.jsonl").exists(), "no dead letter of the route");
    let unknown = test.router(&["replay", "--route", "powr", "--from", &from]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("no route `powr`"), "{unknown:?}");
}
