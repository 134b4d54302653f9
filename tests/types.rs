//! Names of events that vCenter itself filters by, and those that the router filters: the same events.

use std::sync::{Arc, Mutex};

use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::Value;

use crate::support::peers::Vcsim;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

/// A sink and the keys that it got.
fn sink() -> (Server, Arc<Mutex<Vec<i64>>>) {
    let keys = Arc::<Mutex<Vec<i64>>>::default();
    let kept = keys.clone();
    let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let data: Value = serde_json::from_slice(&request.body).expect("JSON");
        kept.lock().unwrap().push(data["Key"].as_i64().expect("a key"));
        Reply::Answer(Answer::text(202, "ok"))
    })
    .unwrap();
    (server, keys)
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn the_filter_of_the_server_and_that_of_the_router_agree() {
    let test = Test::new("types");
    let vcsim = Vcsim::start(2, false);
    // The names, once as they are and once with a star that stands for nothing.
    let names = ["VmPoweredOnEvent", "VmPoweredOffEvent", "com.example.never"];
    let ((plain, plain_keys), (starred, starred_keys)) = (sink(), sink());
    let list = |star: &str| names.map(|name| format!("\"{name}{star}\"")).join(", ");
    let mut text = "[metrics]\nbind = \"127.0.0.1:0\"\n".to_string() + &vcsim.source("vc01");
    for (name, sink, star) in [("plain", &plain, ""), ("starred", &starred, "*")] {
        text += &format!(
            "[processor.{name}]\ntype = \"knative\"\nuri = \"http://{}/\"\n[route.{name}]\nfrom = \"vc01\"\n\
             to = \"{name}\"\norder = \"strict\"\ntypes = [{}]\n",
            sink.address(),
            list(star)
        );
    }
    test.write("router.toml", &text);
    let mut router = test.start(&["run"]);
    let watcher = Watcher::of(&mut router);
    for route in ["plain", "starred"] {
        router.log_line(&[&format!("route {route}"), "reading"]);
    }
    let begin = vcsim.events().last().unwrap().key;
    let machines = vcsim.machines();
    let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
    for on in [false, true, false] {
        vcsim.power(on, &machines);
    }
    let recorded = vcsim.events();
    let new = || recorded.iter().filter(|event| begin < event.key);
    let expected: Vec<i64> =
        new().filter(|event| names.contains(&event.ty.as_str())).map(|event| event.key).collect();
    assert_eq!(expected.len(), 3 * machines.len());
    for (name, keys) in [("plain", &plain_keys), ("starred", &starred_keys)] {
        wait_for(&format!("events of route {name}"), SOON, || {
            (expected.len() <= keys.lock().unwrap().len()).then_some(())
        });
        assert_eq!(*keys.lock().unwrap(), expected, "{name}");
    }
    // The one route was sent nothing else, the other all that there was.
    let counts = |route: &str| {
        let status = watcher.status();
        let routes = status["routes"].as_array().unwrap();
        let of = routes.iter().find(|other| other["name"] == route).unwrap_or_else(|| panic!("{status}"));
        (of["counters"]["read"].as_u64().unwrap(), of["counters"]["filtered"].as_u64().unwrap())
    };
    assert_eq!(counts("plain"), (expected.len() as u64, 0));
    assert!((new().count() - expected.len()) as u64 <= counts("starred").1);
    assert_eq!(router.end_by("TERM").code, Some(0));
}
