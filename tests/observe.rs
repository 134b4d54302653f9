//! What can be watched of the router while it runs, while vCenter is away, and while it ends.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use event_router::config::secret::Secret;
use event_router::config::{ConnectionConfig, Format, MetricsConfig, Order, RetryConfig, RouteConfig};
use event_router::demo::faults::{self, Step};
use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use event_router::observe::registry::Registry;
use event_router::observe::server::ObserveServer;
use event_router::observe::snapshot::About;
use event_router::pipeline::{Exits, Route, RouteParts};
use event_router::position::tenure::Unshared;
use event_router::processor::stdout::Stdout;
use event_router::source::vcenter::StallTiming;
use event_router::source::vcenter::Vcenter;
use event_router::source::vcenter::settings::VcenterConfig;
use serde_json::Value;

use crate::lag::assert_lag_unknown;
use crate::support::peers::metrics_families;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

fn simulator() -> Simulator {
    Simulator::start(Settings::default()).unwrap()
}

fn configuration(simulator: &Simulator, sink: &Server, metrics: &str) -> String {
    format!(
        "shutdown_grace = \"2s\"\n[metrics]\nbind = \"127.0.0.1:0\"\n{metrics}\n\
         [source.vc01]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
         [processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n\
         [route.power]\nfrom = \"vc01\"\nto = \"sink\"\n",
        simulator.url(),
        simulator.username(),
        simulator.password(),
        sink.address()
    )
}

fn accepting() -> Server {
    sink(|| Reply::Answer(Answer::text(202, "ok")))
}

fn sink(answer: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::start("127.0.0.1:0", ServerSettings::default(), move |_| answer()).unwrap()
}

fn power() -> Draft {
    Draft::vm("VmPoweredOnEvent", "web-1", "vm-1")
}

#[test]
fn vcenter_goes_and_comes_back_before_the_eyes_of_the_operator() {
    let (test, mut simulator, sink) = (Test::new("observe"), simulator(), accepting());
    test.write("router.toml", &configuration(&simulator, &sink, ""));
    let mut router = test.start(&["run"]);
    let watcher = Watcher::of(&mut router);
    watcher.wait_ready(200, &["ready"]);
    simulator.push_many([power(), power(), power()]);
    let labels = r#"{route="power",source="vc01",processor="sink"}"#;
    wait_for("three deliveries", SOON, || {
        watcher
            .get("/metrics")
            .1
            .contains(&format!("router_events_delivered_total{labels} 3\n"))
            .then_some(())
    });
    let route = wait_for("a checkpoint", SOON, || {
        let route = watcher.status()["routes"][0].clone();
        (route["checkpoint"] == route["last_read"]["time"]).then_some(route)
    });
    assert_eq!((&route["state"], &route["counters"]["read"]), (&"running".into(), &3.into()), "{route}");
    assert_eq!(route["types"]["VmPoweredOnEvent"]["delivered"], 3);
    assert!(route["source"]["description"].as_str().unwrap().contains("vCenter"), "{route}");
    let stats: Value = serde_json::from_str(&watcher.get("/stats").1).unwrap();
    let stats = &stats["vmware.event.router.stats"];
    assert_eq!(stats["knative"]["invocations"]["VmPoweredOnEvent"]["SuccessCount"], 3);
    assert_eq!(
        (&stats["vcenter"]["events_total"], &stats["vcenter"]["address"]),
        (&3.into(), &simulator.url().into())
    );

    simulator.take_down();
    let text = watcher.wait_ready(503, &["not ready\nroute power: source: ", &simulator.url()]);
    assert!(text.contains("trying again in"), "{text}");
    assert_eq!(
        watcher.get("/livez"),
        (200, "alive\n".to_string()),
        "a vCenter that is away is no reason to restart"
    );
    assert_eq!(watcher.status()["routes"][0]["state"], "disconnected");
    assert!(watcher.get("/").1.contains("badge bad\">disconnected"));
    simulator.bring_up().unwrap();
    watcher.wait_ready(200, &["ready"]);
    simulator.push(power());
    wait_for("the event after it", SOON, || {
        (watcher.status()["routes"][0]["counters"]["delivered"] == 4).then_some(())
    });
    let (_, metrics) = watcher.get("/metrics");
    assert!(!metrics.contains(&format!("router_source_reconnects_total{labels} 0\n")), "{metrics}");
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(watcher.get_with("/livez", &[]).is_none(), "it has ended");
}

#[test]
fn while_it_ends_it_is_alive_and_not_ready() {
    let (test, simulator) = (Test::new("observe-stop"), simulator());
    let hanging = sink(|| faults::reply(vec![Step::Pause(None)]));
    test.write("router.toml", &configuration(&simulator, &hanging, ""));
    let mut router = test.start(&["run"]);
    let watcher = Watcher::of(&mut router);
    watcher.wait_ready(200, &[]);
    simulator.push(power());
    wait_for("a delivery in flight", SOON, || {
        (watcher.status()["routes"][0]["busy_seconds"] != 0.0).then_some(())
    });
    router.signal("TERM");
    watcher.wait_ready(503, &["stopping"]);
    assert_eq!(watcher.get("/livez").0, 200);
    assert_eq!(router.wait_exit(SOON).code, Some(0));
}

#[test]
fn what_is_not_for_everybody_needs_the_account() {
    let (test, simulator, sink) = (Test::new("observe-auth"), simulator(), accepting());
    test.write("password", "s3cret\n");
    let account = "username = \"prometheus\"\npassword = { file = \"password\" }";
    test.write("router.toml", &configuration(&simulator, &sink, account));
    let mut router = test.start(&["run"]);
    let watcher = Watcher::of(&mut router);
    watcher.wait_ready(200, &[]);
    assert_eq!(watcher.get("/livez").0, 200);
    // prometheus:s3cret and prometheus:wrong
    let good = ("authorization", "Basic cHJvbWV0aGV1czpzM2NyZXQ=");
    let wrong = ("authorization", "Basic cHJvbWV0aGV1czp3cm9uZw==");
    for path in ["/", "/status", "/metrics", "/stats"] {
        assert_eq!(watcher.get(path), (401, "invalid credentials".to_string()));
        assert_eq!(watcher.get_with(path, &[wrong]).unwrap().0, 401);
        assert_eq!(watcher.get_with(path, &[good]).unwrap().0, 200);
    }
    let exit = router.end_by("TERM");
    assert!(exit.code == Some(0) && !exit.stderr.contains("s3cret"), "{}", exit.stderr);
}

#[test]
fn an_address_that_is_taken_keeps_no_event_waiting() {
    let (test, simulator, sink) = (Test::new("observe-bind"), simulator(), accepting());
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    test.write("router.toml", &configuration(&simulator, &sink, "").replace("127.0.0.1:0", &taken));
    let mut router = test.start(&["run"]);
    let line = router.log_line(&["[metrics]: listen on", &taken]);
    assert!(line.contains("the routes run without it, trying again every 5 s"), "{line}");
    router.log_line(&["reading VMware"]);
    // The address becomes free, and the page is there.
    drop(holder);
    router.log_line(&["starting metrics server", &taken]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

/// The binary's own patience is minutes: here are its parts, put together with less.
#[test]
fn a_stalled_source_is_seen_and_a_quiet_one_is_ready() {
    let simulator = simulator();
    let vcenter = VcenterConfig {
        address: simulator.url(),
        username: Secret::Literal(simulator.username()),
        password: Secret::Literal(simulator.password()),
        page_size: 1000,
        connection: ConnectionConfig::default(),
    };
    let moment = Duration::from_millis(50);
    let timing = StallTiming { compare: moment, step: moment, declare: moment, again: moment, pass: moment };
    let source = Vcenter::new("vc01", &vcenter, Format::Router).unwrap().with_stall_timing(timing);
    let config = RouteConfig {
        name: "power".into(),
        from: "vc01".into(),
        to: "screen".into(),
        types: vec!["none".into()],
        pattern: None,
        order: Order::Entity,
        workers: Some(1),
        format: Format::Router,
        retry: RetryConfig::default(),
        dead_letter_bytes_max: 1 << 20,
    };
    let (exits, _ended) = bounded(Route::threads_max(&config));
    let parts = RouteParts {
        config,
        source: Box::new(source),
        about: About { route: "power".into(), source: "vc01".into(), ..About::default() },
        replay_max: None,
        overlap: std::time::Duration::from_secs(600),
        processor: Arc::new(Stdout::new()),
        positions: None,
        tenure: Arc::new(Unshared),
        staff: Arc::default(),
        letters_dir: None,
    };
    let route = Route::start(parts, &Exits::of_slot(0, 1, exits)).unwrap();
    let registry = Arc::new(Registry::new());
    let metrics = MetricsConfig { bind: "127.0.0.1:0".into(), auth: None };
    let server = ObserveServer::start(&metrics, registry.clone()).unwrap();
    let watcher = Watcher::new(&format!("http://{}", server.address()));
    assert_eq!(watcher.get("/readyz"), (503, "not ready\nstarting\n".to_string()));
    registry.run(vec![Arc::new(route.view())]);
    watcher.wait_ready(200, &[]);
    simulator.script(|script| script.pages_stay_empty = true);
    simulator.push(power());
    watcher
        .wait_ready(503, &["route power: stall: stalled: vCenter has event ", "System.Read", "time slices"]);
    let stalled = r#"router_source_stalled{route="power",source="vc01",processor=""}"#;
    assert!(watcher.get("/metrics").1.contains(&format!("{stalled} 1\n")));
    assert_eq!(watcher.status()["routes"][0]["state"], "stalled");
    assert_lag_unknown(&watcher, "while it is stalled");
    simulator.script(|script| script.pages_stay_empty = false);
    watcher.wait_ready(200, &[]);
    assert!(watcher.get("/metrics").1.contains(&format!("{stalled} 0\n")));
    route.stop();
}

#[test]
#[ignore = "needs the Prometheus client for Python: run tests/run"]
fn the_parser_of_prometheus_accepts_the_metrics() {
    let (test, simulator, sink) = (Test::new("observe-prometheus"), simulator(), accepting());
    test.write("router.toml", &configuration(&simulator, &sink, ""));
    let mut router = test.start(&["run"]);
    let watcher = Watcher::of(&mut router);
    watcher.wait_ready(200, &[]);
    simulator.push(power());
    wait_for("a delivery", SOON, || {
        (watcher.status()["routes"][0]["counters"]["delivered"] == 1).then_some(())
    });
    let families = metrics_families(&watcher.get("/metrics").1);
    let find = |name: &str| families.iter().find(|family| family["name"] == name).expect(name);
    assert_eq!(find("router_events_delivered")["type"], "counter");
    assert_eq!(find("router_events_delivered")["samples"][0]["value"], 1.0);
    assert_eq!(find("router_events_delivered")["samples"][0]["labels"]["source"], "vc01");
    assert_eq!(find("router_delivery_seconds")["type"], "histogram");
    assert_eq!(find("router_source_connected")["samples"][0]["value"], 1.0);
    assert!(20 < families.len(), "{}", families.len());
}
