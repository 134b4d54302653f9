//! A source, a sink and an API server, and the routers between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::{Value, json};

use crate::support::kubernetes::Namespace;
use crate::support::process::Process;
use crate::support::{SOON, Test, wait_for};

/// The shortest lease: 4 s for its owner, 6 s for others.
pub(super) const LEASE: &str = "6s";
pub(super) const OWNS: &str = "this router owns it now";
pub(super) const BEGINS: &str = "setting begin of event stream";
/// Events that the source records in a second.
pub(super) const RATE: u64 = 50;

/// What the sink has got: the key of the event, by whom (the path), and when.
pub(super) type Got = Vec<(i64, String, Instant)>;

/// A source, a sink and an API server, and the routers between them.
pub(super) struct Scene {
    pub(super) test: Test,
    pub(super) namespace: Namespace,
    pub(super) simulator: Arc<Simulator>,
    pub(super) sink: Server,
    pub(super) got: Arc<Mutex<Got>>,
    // Keys of the source.
    pub(super) more: &'static str,
    // Routes, each with a processor of its own; none: the one that there is without any.
    pub(super) routes: usize,
    pub(super) lease: &'static str,
    // Events that the source records in a second.
    pub(super) rate: u64,
    // The engine is etcd, and the name of the cluster this.
    pub(super) etcd: Option<String>,
}

/// Records events until it is dropped.
pub(super) struct Load {
    pub(super) over: Arc<AtomicBool>,
    pub(super) keys: Option<JoinHandle<Vec<i32>>>,
}

impl Scene {
    pub(super) fn new(name: &str) -> Scene {
        let (test, namespace) = (Test::new(name), Namespace::new());
        namespace.allow(rights());
        let got: Arc<Mutex<Got>> = Arc::default();
        let seen = got.clone();
        let sink = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            // A check posts nothing.
            let Some(key) = body["Key"].as_i64() else { return Reply::Answer(Answer::text(202, "ok")) };
            let path = request.path().trim_start_matches('/').to_string();
            seen.lock().unwrap().push((key, path, Instant::now()));
            Reply::Answer(Answer::text(202, "ok"))
        });
        let simulator = Arc::new(Simulator::start(Settings::default()).unwrap());
        Scene {
            test,
            namespace,
            simulator,
            sink: sink.unwrap(),
            got,
            more: "",
            routes: 0,
            lease: LEASE,
            rate: RATE,
            etcd: None,
        }
    }

    /// What the router of this name has behind its source.
    pub(super) fn ends(&self, name: &str) -> String {
        let url = self.sink.address();
        if self.routes == 0 {
            return format!("[processor.sink]\ntype = \"knative\"\nuri = \"http://{url}/{name}\"\n");
        }
        let end = |number| {
            format!(
                "[processor.p{number}]\ntype = \"knative\"\nuri = \"http://{url}/{name}/{number}\"\n\
                 [route.r{number}]\nfrom = \"vc\"\nto = \"p{number}\"\nworkers = 1\n"
            )
        };
        (0..self.routes).map(end).collect()
    }

    /// How the router of this name reaches the engine, the API server at `server`.
    pub(super) fn engine(&self, name: &str, server: &str) -> String {
        if let Some(cluster) = &self.etcd {
            let etcd = &self.namespace.server.etcd;
            // The first one is away.
            return format!(
                "engine = \"etcd\"\nname = \"{cluster}\"\nendpoints = [\"http://127.0.0.1:1\", \"{etcd}\"]"
            );
        }
        let token = format!("{name}.token");
        if !self.test.path(&token).exists() {
            self.test.write(&token, &self.namespace.token(&format!("{}-{name}", self.namespace.name)));
        }
        let path = self.namespace.kubeconfig(&self.test, &json!({"tokenFile": token}));
        let kubeconfig = std::fs::read_to_string(path).unwrap().replace(&self.namespace.server.url, server);
        self.test.write(&format!("{name}.kubeconfig"), &kubeconfig);
        format!("engine = \"kubernetes\"\nkubeconfig = \"{name}.kubeconfig\"")
    }

    /// A router of this name that reaches the API server at `server`.
    pub(super) fn router_by(&self, name: &str, server: &str) -> Process {
        let simulator = &self.simulator;
        let file = format!(
            "state_dir = \"{name}\"\n[metrics]\nbind = \"127.0.0.1:0\"\n[cluster]\n{}\nidentity = \"{name}\"\nlease = \"{}\"\n\
             [source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n{}{}",
            self.engine(name, server),
            self.lease,
            simulator.url(),
            simulator.username(),
            simulator.password(),
            self.more,
            self.ends(name)
        );
        self.test.write(&format!("{name}.toml"), &file);
        self.test.start(&["run", "-c", &format!("{name}.toml")])
    }

    pub(super) fn router(&self, name: &str) -> Process {
        self.router_by(name, &self.namespace.server.url)
    }

    /// The one that owns the routes and reads, and one that stands by.
    pub(super) fn owner_and_standby(&self) -> (Process, Process) {
        let mut a = self.router("a");
        a.log_line(&[OWNS]);
        a.log_line(&[BEGINS]);
        let mut b = self.router("b");
        b.log_line(&["shares its routes"]);
        (a, b)
    }

    pub(super) fn load(&self) -> Load {
        let (over, simulator) = (Arc::new(AtomicBool::new(false)), self.simulator.clone());
        let (is_over, rate) = (over.clone(), self.rate);
        let keys = std::thread::spawn(move || {
            let mut keys = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let name = format!("vm-{}", keys.len() % 20);
                keys.push(simulator.push(Draft::vm("VmPoweredOnEvent", &name, &name)));
                std::thread::sleep(Duration::from_millis(1000 / rate));
            }
            keys
        });
        Load { over, keys: Some(keys) }
    }

    pub(super) fn count_by(&self, name: &str) -> usize {
        self.got.lock().unwrap().iter().filter(|(_, path, _)| path == name).count()
    }

    /// Waits until the router of this name delivers (again).
    pub(super) fn wait_delivering(&self, name: &str) -> Instant {
        let before = self.count_by(name);
        wait_for(&format!("an event by {name}"), SOON, || (before < self.count_by(name)).then_some(()));
        let got = self.got.lock().unwrap();
        got.iter().filter(|(_, path, _)| path == name).nth(before).unwrap().2
    }

    /// Every event came, and this many came more than once.
    pub(super) fn repeats(&self, keys: &[i32]) -> usize {
        wait_for("all events", SOON, || {
            let got: BTreeSet<i64> = self.got.lock().unwrap().iter().map(|(key, ..)| *key).collect();
            keys.iter().all(|key| got.contains(&i64::from(*key))).then_some(())
        });
        let mut times = BTreeMap::<i64, usize>::new();
        self.got.lock().unwrap().iter().for_each(|(key, ..)| *times.entry(*key).or_default() += 1);
        times.values().map(|times| times - 1).sum()
    }

    pub(super) fn record(&self) -> Value {
        let list = self.namespace.server.ask("GET", &self.namespace.path("v1", "configmaps", ""), None).1;
        let records = list["items"].as_array().unwrap().iter();
        let mut records =
            records.filter(|item| item["metadata"]["labels"]["event-router/kind"] == "position");
        let record = records.next().cloned().unwrap_or_default();
        assert!(records.next().is_none(), "{list}");
        record
    }

    /// Waits until the position was saved so often from now on.
    pub(super) fn wait_saved(&self, times: usize) {
        for _ in 0..times {
            let version = || self.record()["metadata"]["resourceVersion"].clone();
            let before = version();
            wait_for("another record", SOON, || (version() != before).then_some(()));
        }
    }

    pub(super) fn holder(&self) -> String {
        self.record()["metadata"]["annotations"]["event-router/holder"]
            .as_str()
            .unwrap_or_default()
            .to_string()
    }
}

impl Load {
    pub(super) fn end(mut self) -> Vec<i32> {
        self.over.store(true, Ordering::SeqCst);
        self.keys.take().unwrap().join().unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// What `packaging/kubernetes/cluster.yaml` gives.
pub(super) fn rights() -> Value {
    json!([
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "list", "watch", "create", "update", "delete"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "update"]},
    ])
}
