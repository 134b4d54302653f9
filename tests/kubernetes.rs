//! Destinations in a real Kubernetes API: found by every kind of reference, waited for, lost, moved.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use event_router::kubernetes::Cluster;
use event_router::kubernetes::access::of_pod;
use event_router::kubernetes::reference::ObjectRef;
use serde_json::{Value, json};

use crate::support::kubernetes::{ApiServer, Namespace};
use crate::support::peers::Receiver;
use crate::support::process::Process;
use crate::support::watcher::Watcher;
use crate::support::{SOON, Test, wait_for};

const EVENTING: &str = "eventing.knative.dev/v1";

/// A sink that writes down the paths of what it accepts.
struct Sink {
    server: Server,
    paths: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    fn start() -> Sink {
        let paths: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = paths.clone();
        let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
            seen.lock().unwrap().push(request.path().to_string());
            Reply::Answer(Answer::text(202, "ok"))
        });
        Sink { server: server.unwrap(), paths }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    fn count(&self, path: &str) -> usize {
        self.paths.lock().unwrap().iter().filter(|seen| *seen == path).count()
    }

    fn wait(&self, path: &str, count: usize) {
        wait_for(&format!("{count} events at {path}"), SOON, || (count <= self.count(path)).then_some(()));
    }
}

/// May `router` read these?
fn readable(namespace: &Namespace) {
    namespace.allow(json!([
        {"apiGroups": ["eventing.knative.dev"], "resources": ["brokers"], "verbs": ["get"]},
        {"apiGroups": ["messaging.knative.dev"], "resources": ["channels", "inmemorychannels"], "verbs": ["get"]},
        {"apiGroups": ["serving.knative.dev", ""], "resources": ["services"], "verbs": ["get"]},
        {"apiGroups": ["flows.knative.dev"], "resources": ["parallels"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    ]));
}

fn source(simulator: Option<&Simulator>) -> String {
    let (url, username, password) = match simulator {
        Some(simulator) => (simulator.url(), simulator.username(), simulator.password()),
        None => ("vc01.corp.example".to_string(), "u".to_string(), "p".to_string()),
    };
    format!(
        "[metrics]\nbind = \"127.0.0.1:0\"\n[source.vc]\ntype = \"vcenter\"\naddress = \"{url}\"\nusername = \"{username}\"\npassword = \"{password}\"\n"
    )
}

/// A processor that asks as the service account `router`, whose token lies in the test's folder.
fn processor(test: &Test, namespace: &Namespace, api_version: &str, kind: &str, more: &str) -> String {
    let kubeconfig = namespace.kubeconfig(test, &json!({"tokenFile": "token"}));
    format!(
        "[processor.sink]\ntype = \"knative\"\nrefresh = \"1s\"\nkubeconfig = \"{}\"\nref = {{ apiVersion = \"{api_version}\", kind = \"{kind}\", name = \"it\" }}\n{more}\n",
        kubeconfig.display()
    )
}

fn run(test: &Test, file: &str) -> (Process, Watcher) {
    test.write("router.toml", file);
    let mut router = test.start(&["run", "-c", "router.toml"]);
    let watcher = Watcher::of(&mut router);
    (router, watcher)
}

fn power() -> Draft {
    Draft::vm("VmPoweredOnEvent", "web-1", "vm-1")
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn every_kind_is_found_and_takes_an_event() {
    let (test, namespace, sink) = (Test::new("kinds"), Namespace::new(), Sink::start());
    readable(&namespace);
    test.write("token", &namespace.token("kinds"));
    for (api_version, kind) in [
        (EVENTING, "Broker"),
        ("messaging.knative.dev/v1", "Channel"),
        ("messaging.knative.dev/v1", "InMemoryChannel"),
        ("serving.knative.dev/v1", "Service"),
    ] {
        let path = format!("/{}", kind.to_lowercase());
        namespace.addressable(api_version, kind, "it", &json!({"address": {"url": sink.url(&path)}}));
        test.write("router.toml", &(source(None) + &processor(&test, &namespace, api_version, kind, "")));
        let sent = test.router(&["send"]);
        assert_eq!(sent.code, Some(0), "{kind}: {sent:?}");
        assert_eq!(sink.count(&path), 1, "{kind}");
    }
    // A path relative to the address.
    test.write(
        "router.toml",
        &(source(None) + &processor(&test, &namespace, EVENTING, "Broker", "uri = \"a/b?c\"")),
    );
    assert_eq!(test.router(&["send"]).code, Some(0));
    assert_eq!(sink.count("/a/b"), 1, "{:?}", sink.paths.lock().unwrap());

    // A Service of the core is its own name, once it is there.
    test.write(
        "router.toml",
        &(source(None) + &processor(&test, &namespace, "v1", "Service", "timeout = \"5s\"")),
    );
    let missing = test.router(&["check", "-c", "router.toml"]);
    assert!(missing.stdout.contains("services \"it\" not found"), "{missing:?}");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "it"}, "spec": {"ports": [{"port": 80}]}});
    namespace.create("v1", "services", service);
    let found = test.router(&["check", "-c", "router.toml"]);
    let name = &namespace.name;
    let line = format!("ok   processor sink: events go to http://it.{name}.svc.");
    assert!(found.stdout.contains(&line) && found.stdout.contains("the name of the service"), "{found:?}");
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn the_list_of_addresses_goes_before_the_single_one() {
    let (test, namespace, sink) = (Test::new("addresses"), Namespace::new(), Sink::start());
    readable(&namespace);
    test.write("token", &namespace.token("addresses"));
    let listed = json!({
        "address": {"url": sink.url("/single")},
        "addresses": [{"name": "a", "url": sink.url("/first")}, {"name": "b", "url": sink.url("/second")}],
    });
    namespace.addressable(EVENTING, "Broker", "it", &listed);
    let file = source(None) + &processor(&test, &namespace, EVENTING, "Broker", "");
    test.write("router.toml", &file);
    let found = test.router(&["check", "-c", "router.toml"]);
    assert!(found.stdout.contains("/first (address of eventing.knative.dev/v1 Broker "), "{found:?}");
    test.write("router.toml", &file.replace("name = \"it\"", "name = \"it\", address = \"b\""));
    assert_eq!(test.router(&["send"]).code, Some(0));
    assert_eq!(sink.count("/second"), 1);
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn events_wait_until_there_is_an_address_and_follow_it() {
    let (test, namespace, sink) = (Test::new("waiting"), Namespace::new(), Sink::start());
    let simulator = Simulator::start(Settings::default()).unwrap();
    test.write("token", &namespace.token("waiting"));
    let file = source(Some(&simulator)) + &processor(&test, &namespace, EVENTING, "Broker", "");
    let (mut router, watcher) = run(&test, &file);
    // Nothing is sent yet, and still it is known that nothing could be.
    watcher.wait_ready(503, &["status 403", "is forbidden", "the right `get` on brokers"]);
    simulator.push(power());
    readable(&namespace);
    watcher.wait_ready(503, &["status 404", "brokers.eventing.knative.dev \"it\" not found"]);
    namespace.addressable(EVENTING, "Broker", "it", &json!({}));
    watcher.wait_ready(503, &["it has no address yet"]);
    let not_ready = json!({"type": "Ready", "status": "False", "reason": "Deploying", "message": "soon"});
    namespace.set_status(
        EVENTING,
        "Broker",
        "it",
        &json!({"address": {"url": null}, "conditions": [not_ready]}),
    );
    watcher.wait_ready(503, &["it says Ready = False Deploying: soon"]);
    assert!(sink.paths.lock().unwrap().is_empty());
    namespace.set_status(EVENTING, "Broker", "it", &json!({"address": {"url": sink.url("/one")}}));
    sink.wait("/one", 1);
    watcher.wait_ready(200, &["ready"]);
    router.log_line(&["events go to", "/one"]);

    // It moves: to another path first, then away from a server that is gone.
    namespace.set_status(EVENTING, "Broker", "it", &json!({"address": {"url": sink.url("/two")}}));
    router.log_line(&["events go to", "/two"]);
    simulator.push(power());
    sink.wait("/two", 1);
    let other = Sink::start();
    drop(sink);
    simulator.push(power());
    namespace.set_status(EVENTING, "Broker", "it", &json!({"address": {"url": other.url("/three")}}));
    other.wait("/three", 1);

    // What the cluster has removed takes no more events.
    namespace.server.delete(&namespace.path(EVENTING, "brokers", "it"));
    watcher.wait_ready(503, &["\"it\" not found"]);
    simulator.push(power());
    namespace.addressable(EVENTING, "Broker", "it", &json!({"address": {"url": other.url("/four")}}));
    other.wait("/four", 1);
    assert_eq!(other.count("/three"), 1);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn failed_sends_ask_for_the_address_at_once() {
    let (test, namespace, sink) = (Test::new("moved"), Namespace::new(), Sink::start());
    let simulator = Simulator::start(Settings::default()).unwrap();
    readable(&namespace);
    test.write("token", &namespace.token("moved"));
    namespace.addressable(EVENTING, "Broker", "it", &json!({"address": {"url": sink.url("/one")}}));
    // Looked up again in an hour, unless there is a reason.
    let rare = processor(&test, &namespace, EVENTING, "Broker", "").replace("\"1s\"", "\"1h\"");
    let (mut router, _watcher) = run(&test, &(source(Some(&simulator)) + &rare));
    router.log_line(&["events go to", "/one"]);
    let other = Sink::start();
    namespace.set_status(EVENTING, "Broker", "it", &json!({"address": {"url": other.url("/two")}}));
    drop(sink);
    simulator.push(power());
    other.wait("/two", 1);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn a_missing_definition_is_told_apart_from_a_missing_object() {
    let (test, namespace) = (Test::new("definition"), Namespace::new());
    readable(&namespace);
    test.write("token", &namespace.token("definition"));
    test.write(
        "router.toml",
        &(source(None) + &processor(&test, &namespace, "flows.knative.dev/v1", "Parallel", "")),
    );
    let missing = test.router(&["check", "-c", "router.toml"]);
    assert_eq!(missing.code, Some(1));
    let words =
        ["FAIL processor sink: flows.knative.dev/v1 Parallel", "status 404", "is there a resource parallels"];
    assert!(words.iter().all(|word| missing.stdout.contains(word)), "{missing:?}");
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn a_token_that_is_over_is_replaced_on_disk() {
    let (test, namespace, sink) = (Test::new("token"), Namespace::new(), Sink::start());
    let simulator = Simulator::start(Settings::default()).unwrap();
    readable(&namespace);
    test.write("token", &namespace.token("first"));
    namespace.addressable(EVENTING, "Broker", "it", &json!({"address": {"url": sink.url("/one")}}));
    let file = source(Some(&simulator)) + &processor(&test, &namespace, EVENTING, "Broker", "");
    let (router, watcher) = run(&test, &file);
    watcher.wait_ready(200, &["ready"]);
    // The token is bound to a secret, and ends with it; the server remembers a good one for seconds.
    namespace.server.delete(&namespace.path("v1", "secrets", "first"));
    watcher.wait_ready(503, &["status 401", "what is known so far stays in use"]);
    simulator.push(power());
    sink.wait("/one", 1);
    test.write("token", &namespace.token("second"));
    watcher.wait_ready(200, &["ready"]);
    namespace.set_status(EVENTING, "Broker", "it", &json!({"address": {"url": sink.url("/two")}}));
    wait_for("an event at the new address", SOON, || {
        simulator.push(power());
        std::thread::sleep(Duration::from_millis(200));
        (0 < sink.count("/two")).then_some(())
    });
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "needs kube-apiserver and the CloudEvents SDK: run tests/run"]
fn authorities_and_audience_of_the_address_are_used() {
    let (test, namespace) = (Test::new("audience"), Namespace::new());
    let receiver = Receiver::start(&test, "events", &["--tls"]);
    test.write("token", &namespace.token("audience"));
    let audience = "eventing.knative.dev/broker/team/it";
    let address = json!({"url": receiver.url, "CACerts": receiver.certificate(), "audience": audience});
    namespace.addressable(EVENTING, "Broker", "it", &json!({"address": address}));
    namespace
        .allow(json!([{"apiGroups": ["eventing.knative.dev"], "resources": ["brokers"], "verbs": ["get"]}]));
    test.write("router.toml", &(source(None) + &processor(&test, &namespace, EVENTING, "Broker", "")));
    let refused = test.router(&["check", "-c", "router.toml"]);
    assert!(refused.stdout.contains("the right `create` on serviceaccounts/token"), "{refused:?}");

    let role = namespace.path("rbac.authorization.k8s.io/v1", "roles", "router");
    let rules = json!([
        {"apiGroups": ["eventing.knative.dev"], "resources": ["brokers"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]},
    ]);
    namespace.server.patch(&role, &json!({"rules": rules}));
    let sent =
        wait_for("the new rights", SOON, || Some(test.router(&["send"])).filter(|sent| sent.code == Some(0)));
    assert!(sent.stdout.contains("acknowledged"), "{sent:?}");
    let received = receiver.accepted().remove(0);
    let authorization = received.header("authorization");
    let review = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": authorization.strip_prefix("Bearer ").unwrap(), "audiences": [audience]},
    });
    let status = &namespace.server.create("/apis/authentication.k8s.io/v1/tokenreviews", &review)["status"];
    assert_eq!(status["authenticated"], true, "{status}");
    assert_eq!(status["audiences"], json!([audience]));
    let user = format!("system:serviceaccount:{}:router", namespace.name);
    assert_eq!(status["user"]["username"], Value::from(user));
    let check = test.router(&["check", "-c", "router.toml"]);
    assert!(
        check.stdout.contains(&format!("with CA certificates), with a token for {audience}")),
        "{check:?}"
    );
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn client_certificates_of_a_kubeconfig_are_used() {
    use base64::Engine;
    let (test, namespace, sink) = (Test::new("certificate"), Namespace::new(), Sink::start());
    namespace.addressable(EVENTING, "Broker", "it", &json!({"address": {"url": sink.url("/one")}}));
    let ApiServer { client_certificate, client_key, .. } = namespace.server;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let file = processor(&test, &namespace, EVENTING, "Broker", "");
    test.write("admin.key", client_key);
    // One part in the file, the other beside it.
    let user = json!({"client-certificate-data": encode(client_certificate), "client-key": "admin.key"});
    namespace.kubeconfig(&test, &user);
    test.write("router.toml", &(source(None) + &file));
    let sent = test.router(&["send"]);
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert_eq!(sink.count("/one"), 1);
}

#[test]
#[ignore = "needs kube-apiserver: run tests/run"]
fn a_pod_asks_with_its_service_account() {
    let (test, namespace) = (Test::new("pod"), Namespace::new());
    readable(&namespace);
    test.write("token", &namespace.token("pod"));
    test.write("ca.crt", &namespace.server.ca);
    test.write("namespace", &namespace.name);
    namespace.addressable(EVENTING, "Broker", "it", &json!({"address": {"url": "http://sink/"}}));
    let (host, port) = namespace.server.url.strip_prefix("https://").unwrap().split_once(':').unwrap();
    let environment = |name: &str| match name {
        "KUBERNETES_SERVICE_HOST" => Some(host.to_string()),
        "KUBERNETES_SERVICE_PORT" => Some(port.to_string()),
        _ => None,
    };
    let config = of_pod(&environment, &test.path("")).unwrap();
    assert_eq!(config.namespace, namespace.name);
    let reference = ObjectRef {
        api_version: EVENTING.into(),
        kind: "Broker".into(),
        name: "it".into(),
        namespace: config.namespace.clone(),
        address: None,
    };
    let cluster = Cluster::new(&config).unwrap();
    assert_eq!(cluster.resolve(&reference).unwrap().url, "http://sink/");
    let token = cluster.token(None, "somebody").unwrap();
    assert!(Duration::from_secs(3000) < token.lasts && !format!("{token:?}").contains(&token.text));
}
