//! OpenFaaS's own gateway, proxy and queue: events of vcsim invoke the functions that subscribe.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::openfaas::{Call, Gateway, NAMESPACE, PASSWORD};
use crate::support::peers::{Recorded, Vcsim};
use crate::support::{SOON, Test, wait_for};

const ON: &str = "VmPoweredOnEvent";
const OFF: &str = "VmPoweredOffEvent";

fn configuration(vcsim: &Vcsim, processor: &str) -> String {
    let source = vcsim.source("vc01");
    format!("{source}{processor}[route.power]\nfrom = \"vc01\"\nto = \"functions\"\n")
}

/// vCenter's numbers of the events of some types that came after `begin`.
fn keys(events: &[Recorded], begin: i64, types: &[&str]) -> Vec<i64> {
    let wanted = |event: &&Recorded| begin < event.key && types.contains(&event.ty.as_str());
    events.iter().filter(wanted).map(|event| event.key).collect()
}

fn called_keys(calls: &[Call]) -> Vec<i64> {
    let mut keys: Vec<i64> = calls.iter().map(|call| call.event()["data"]["Key"].as_i64().unwrap()).collect();
    keys.sort_unstable();
    keys
}

#[test]
#[ignore = "needs vcsim and OpenFaaS's gateway: run tests/run"]
fn power_operations_invoke_exactly_the_subscribed_functions() {
    let test = Test::new("gateway");
    let vcsim = Vcsim::start(3, false);
    let gateway = Gateway::start(&test, &[]);
    gateway.deploy("on", ON, &[]);
    gateway.deploy("off", OFF, &[]);
    gateway.deploy("both", &format!(" {ON} ,{OFF}, {ON}"), &[]);
    gateway.deploy("case", "vmpoweredonevent,VmPoweredOn,*", &[]);
    gateway.deploy("none", "", &[]);
    test.write("router.toml", &configuration(&vcsim, &gateway.processor("functions", "")));
    let mut router = test.start(&["run", "--log-level", "debug"]);
    router.log_line(&["reading"]);
    let begin = vcsim.events().last().unwrap().key;
    vcsim.off_and_on();
    let events = vcsim.events();
    gateway.wait("both", 12);
    gateway.wait("on", 6);
    gateway.wait("off", 6);
    let call = gateway.calls_of("on").remove(0);
    let line = router.log_line(&["on.openfaas-fn: status 200 in "]);
    assert!(gateway.calls_of("on").iter().any(|call| line.contains(call.header("X-Call-Id"))), "{line}");
    assert_eq!(router.end_by("TERM").code, Some(0));

    let mut count: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    gateway.calls().into_iter().for_each(|call| count.entry(call.function.clone()).or_default().push(call));
    assert_eq!(count.keys().collect::<Vec<_>>(), ["both", "off", "on"]);
    assert_eq!(called_keys(&count["on"]), keys(&events, begin, &[ON]));
    assert_eq!(called_keys(&count["off"]), keys(&events, begin, &[OFF]));
    assert_eq!(called_keys(&count["both"]), keys(&events, begin, &[ON, OFF]));
    as_the_go_router_posts_it(&call, &vcsim.url);
}

/// The body of v0.7.5, and no header that makes a function see it differently.
fn as_the_go_router_posts_it(call: &Call, url: &str) {
    let members = [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "datacontenttype",
        "time",
        "data",
        "vsphereapiversion",
    ];
    let mut rest = call.body.as_str();
    for member in members {
        let begin = format!("{}\"{member}\":", if member == members[0] { "{" } else { "," });
        let at = rest.find(&begin).unwrap_or_else(|| panic!("no {begin} in its place: {}", call.body));
        rest = &rest[at + begin.len()..];
    }
    let event = call.event();
    assert_eq!(event.as_object().unwrap().len(), members.len());
    for (member, value) in [
        ("specversion", "1.0"),
        ("source", url),
        ("type", "com.vmware.event.router/event"),
        ("subject", ON),
        ("datacontenttype", "application/json"),
    ] {
        assert_eq!(event[member], value, "{member}");
    }
    assert_eq!(event["time"], event["data"]["CreatedTime"]);
    assert!(event["data"]["Vm"]["Name"].as_str().unwrap().starts_with("DC0_"));
    for header in ["Content-Type", "Authorization", "X-Callback-Url"] {
        assert_eq!(call.headers[header], Value::Null, "{header}");
    }
    assert_eq!(call.header("X-Topic"), ON);
    assert_eq!(call.header("X-Connector"), "event-router");
    assert_eq!(call.header("X-Call-Id").len(), 36);
}

#[test]
#[ignore = "needs vcsim, OpenFaaS's gateway and queue worker: run tests/run"]
fn asynchronous_events_reach_the_function_through_the_queue() {
    let test = Test::new("queue");
    let vcsim = Vcsim::start(3, false);
    let gateway = Gateway::start(&test, &["-queue"]);
    gateway.deploy("on", ON, &[]);
    gateway.deploy("done", "", &[]);
    let worker = gateway.start_queue_worker();
    let options = format!("async = true\ncallback_url = \"{}/function/done\"", gateway.url);
    test.write("router.toml", &configuration(&vcsim, &gateway.processor("functions", &options)));
    let mut router = test.start(&["run", "--log-level", "debug"]);
    router.log_line(&["reading"]);
    let begin = vcsim.events().last().unwrap().key;
    vcsim.off_and_on();
    let calls = gateway.wait("on", 6);
    assert_eq!(called_keys(&calls), keys(&vcsim.events(), begin, &[ON]));
    router.log_line(&["on.openfaas-fn: status 202 in "]);
    let results = gateway.wait("done", 6);
    assert!(results.iter().all(|result| result.header("X-Function-Status") == "200"), "{results:?}");
    assert!(results.iter().all(|result| result.body == "on answers 200"), "{results:?}");
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));
    for call in &calls {
        assert_eq!(call.headers["Content-Type"], Value::Null);
        let id = call.header("X-Call-Id");
        assert!(exit.stderr.contains("status 202 in ") && exit.stderr.contains(id), "{id}");
    }
    drop(worker);
}

#[test]
#[ignore = "needs vcsim and OpenFaaS's gateway: run tests/run"]
fn without_a_queue_asynchronous_events_are_dead_letters_that_say_why() {
    let test = Test::new("no-queue");
    let vcsim = Vcsim::start(1, false);
    let gateway = Gateway::start(&test, &[]);
    gateway.deploy("on", ON, &[]);
    test.write("router.toml", &configuration(&vcsim, &gateway.processor("functions", "async = true")));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    vcsim.off_and_on();
    let said = "status 404: 404 page not found (async = true needs a gateway with a queue)";
    router.log_line(&["ERROR", "is a dead letter after 1 attempt", said]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "needs vcsim and OpenFaaS's gateway: run tests/run"]
fn functions_fail_recover_come_and_go() {
    let test = Test::new("gateway-changes");
    let vcsim = Vcsim::start(1, false);
    let gateway = Gateway::start(&test, &[]);
    gateway.deploy("a", ON, &[]);
    gateway.deploy("b", ON, &[("statuses", "500,429,200")]);
    let retry = "retry = { first = \"5ms\", max = \"100ms\" }\n";
    test.write("router.toml", &(configuration(&vcsim, &gateway.processor("functions", "")) + retry));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    vcsim.off_and_on();
    let statuses = |calls: Vec<Call>| calls.iter().map(|call| call.status).collect::<Vec<_>>();
    // Two machines: whose event gets which answer is open, but each one ends with a 200.
    assert_eq!(statuses(gateway.wait("b", 4)), [500, 429, 200, 200]);
    assert_eq!(statuses(gateway.wait("a", 2)), [200, 200]);

    gateway.remove("a");
    gateway.deploy("c", ON, &[]);
    router.log_line(&["subscriptions", "changed"]);
    // The map may have been read between the two changes.
    wait_for("check to name c alone beside b", SOON, || {
        let topic = format!("topic {ON}: b.{NAMESPACE}, c.{NAMESPACE}");
        test.router(&["check"]).stdout.contains(&topic).then_some(())
    });
    wait_for("c", SOON, || {
        vcsim.off_and_on();
        (!gateway.calls_of("c").is_empty()).then_some(())
    });
    assert_eq!(gateway.calls_of("a").len(), 2);

    // What a function owes ends with its removal: the gateway's 503 for it is not retried for ever.
    gateway.deploy("b", ON, &[("statuses", "500")]);
    vcsim.off_and_on();
    router.log_line(&["WARN", "/function/b.openfaas-fn: status 500: b answers 500"]);
    gateway.remove("b");
    router.log_line(&["INFO", "b.openfaas-fn no longer subscribes, not tried again"]);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));
    assert!(!exit.stderr.contains("dead letter"), "{exit:?}");
}

#[test]
#[ignore = "needs vcsim and OpenFaaS's gateway: run tests/run"]
fn wrong_password_is_said_and_mended_without_a_restart() {
    let test = Test::new("gateway-password");
    let vcsim = Vcsim::start(1, false);
    let gateway = Gateway::start(&test, &[]);
    gateway.deploy("on", ON, &[]);
    test.write("gateway.password", "wrong\n");
    let from_file = gateway
        .processor("functions", "")
        .replace(&format!("\"{PASSWORD}\""), "{ file = \"gateway.password\" }");
    test.write("router.toml", &configuration(&vcsim, &from_file));
    let rejected = format!(
        "GET {}/system/namespaces: status 401: invalid credentials; the gateway rejected the credentials: check \
         username and password, or token",
        gateway.url
    );
    let check = test.router(&["check"]);
    assert!(check.stdout.contains(&format!("FAIL processor functions: {rejected}\n")), "{check:?}");
    let mut router = test.start(&["run"]);
    let line = router.log_line(&["ERROR", "processor functions"]);
    assert!(
        line.ends_with(&format!("{rejected}; events wait for the list of functions, asking again")),
        "{line}"
    );
    router.log_line(&["reading"]);
    vcsim.off_and_on();
    test.write("gateway.password", &format!("{PASSWORD}\n"));
    gateway.wait("on", 2);
    let exit = router.end_by("TERM");
    assert_eq!((exit.code, gateway.calls().len()), (Some(0), 2));
    assert!(!exit.stderr.contains("wrong"), "{exit:?}");
}
