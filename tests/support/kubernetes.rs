//! A handle of the real kube-apiserver that `tests/run` builds: one for all tests, each with a
//! namespace of its own.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use event_router::config::{ConnectionConfig, TlsConfig};
use event_router::http::client::{Client, ClientSettings, Request};
use serde_json::{Value, json};

use super::peers::program;
use super::process::Process;
use super::{Test, wait_for};

/// For a server that starts with an empty disk cache on a loaded machine.
const START_MAX: Duration = Duration::from_secs(180);

/// The server, and who may do all there.
pub struct ApiServer {
    /// `https://127.0.0.1:PORT`.
    pub url: String,
    /// PEM of the authority that signed its certificate.
    pub ca: String,
    /// PEM of an administrator's certificate and key.
    pub client_certificate: String,
    /// See `client_certificate`.
    pub client_key: String,
    /// `http://127.0.0.1:PORT` of its etcd.
    pub etcd: String,
    token: String,
    client: Client,
    // The end of this process ends it.
    _process: std::sync::Mutex<Process>,
}

/// A namespace of the server.
pub struct Namespace {
    /// The server.
    pub server: &'static ApiServer,
    /// Its name.
    pub name: String,
}

/// The kinds of Knative that the tests define: group, version, kind.
pub const KINDS: &[(&str, &str, &str)] = &[
    ("eventing.knative.dev", "v1", "Broker"),
    ("messaging.knative.dev", "v1", "Channel"),
    ("messaging.knative.dev", "v1", "InMemoryChannel"),
    ("serving.knative.dev", "v1", "Service"),
];

impl ApiServer {
    /// The one server of this test binary, with the kinds of Knative.
    pub fn get() -> &'static ApiServer {
        static SERVER: OnceLock<ApiServer> = OnceLock::new();
        SERVER.get_or_init(|| {
            let server = ApiServer::start();
            KINDS.iter().for_each(|(group, version, kind)| server.define(group, version, kind));
            server
        })
    }

    fn start() -> ApiServer {
        let process = Process::start("kube-apiserver", Command::new(program("kubernetes")));
        let line = wait_for("kube-apiserver", START_MAX, || process.stdout().into_iter().next());
        let started: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| started[name].as_str().unwrap().to_string();
        let tls = TlsConfig { ca_text: Some(text("ca").into()), private: true, ..TlsConfig::default() };
        let connection = ConnectionConfig { proxy: None, tls };
        ApiServer {
            url: text("url"),
            ca: text("ca"),
            client_certificate: text("clientCertificate"),
            client_key: text("clientKey"),
            etcd: started["etcd"].as_str().unwrap_or_default().to_string(),
            token: text("adminToken"),
            client: Client::new(&ClientSettings { connection: &connection, connections_max: 4 }).unwrap(),
            _process: std::sync::Mutex::new(process),
        }
    }

    /// Defines a kind that keeps whatever it is given, with its status apart, and waits until the
    /// server knows it.
    pub fn define(&self, group: &str, version: &str, kind: &str) {
        let singular = kind.to_lowercase();
        let plural = format!("{singular}s");
        let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        self.create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &json!({
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.{group}")},
                "spec": {
                    "group": group,
                    "scope": "Namespaced",
                    "names": {"kind": kind, "plural": plural, "singular": singular, "listKind": format!("{kind}List")},
                    "versions": [{
                        "name": version, "served": true, "storage": true, "subresources": {"status": {}},
                        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
                    }],
                },
            }),
        );
        let path = format!("/apis/{group}/{version}/namespaces/default/{plural}");
        wait_for(&path, START_MAX, || (self.ask("GET", &path, None).0 == 200).then_some(()));
    }

    /// Creates an object; what the server refuses fails the test.
    pub fn create(&self, path: &str, object: &Value) -> Value {
        let (status, answer) = self.ask("POST", path, Some(object));
        assert!((200..300).contains(&status), "POST {path} {object}: {status} {answer}");
        answer
    }

    /// Changes members of an object (JSON merge patch).
    pub fn patch(&self, path: &str, change: &Value) {
        let (status, answer) = self.ask("PATCH", path, Some(change));
        assert_eq!(status, 200, "PATCH {path} {change}: {answer}");
    }

    /// Removes an object.
    pub fn delete(&self, path: &str) {
        let (status, answer) = self.ask("DELETE", path, None);
        assert!((200..300).contains(&status), "DELETE {path}: {status} {answer}");
    }

    /// One request of the administrator: status and answer.
    pub fn ask(&self, method: &'static str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.ask_with(method, path, kind, body.map(Value::to_string).unwrap_or_default().as_bytes())
    }

    /// The same with a body of any kind.
    pub fn ask_with(&self, method: &'static str, path: &str, kind: &str, body: &[u8]) -> (u16, Value) {
        let authorization = format!("Bearer {}", self.token);
        let request = Request {
            method,
            url: &format!("{}{path}", self.url),
            headers: &[
                ("authorization", &authorization),
                ("content-type", kind),
                ("accept", "application/json"),
            ],
            body,
            timeout: Duration::from_secs(60),
            body_bytes_max: 16 * 1024 * 1024,
            repeat_if_stale: true,
            head_suffices: false,
        };
        let response = self.client.send(&request).unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
    }
}

impl Namespace {
    /// A new namespace with the service account `router`, which has no rights.
    pub fn new() -> Namespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("team-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let server = ApiServer::get();
        let meta = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        server.create("/api/v1/namespaces", &meta);
        let namespace = Namespace { server, name };
        namespace.create_account("router");
        namespace
    }

    /// One that is there.
    pub fn called(name: &str) -> Namespace {
        Namespace { server: ApiServer::get(), name: name.to_string() }
    }

    /// The path of an object, or of all of a resource without a name.
    pub fn path(&self, api_version: &str, resource: &str, name: &str) -> String {
        let prefix = if api_version.contains('/') { "apis" } else { "api" };
        let path = format!("/{prefix}/{api_version}/namespaces/{}/{resource}/{name}", self.name);
        path.trim_end_matches('/').to_string()
    }

    /// Creates an object of the namespace.
    pub fn create(&self, api_version: &str, resource: &str, object: Value) -> Value {
        self.server.create(&self.path(api_version, resource, ""), &object)
    }

    /// Makes a service account.
    pub fn create_account(&self, name: &str) {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        self.create("v1", "serviceaccounts", account);
    }

    /// Lets `router` do what the rules say.
    pub fn allow(&self, rules: Value) {
        let api = "rbac.authorization.k8s.io/v1";
        let role = json!({"apiVersion": api, "kind": "Role", "metadata": {"name": "router"}, "rules": rules});
        self.create(api, "roles", role);
        let binding = json!({
            "apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "router"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "router"},
            "subjects": [{"kind": "ServiceAccount", "name": "router", "namespace": self.name}],
        });
        self.create(api, "rolebindings", binding);
    }

    /// A real token of `router` for the API server, which ends with the secret `secret`.
    pub fn token(&self, secret: &str) -> String {
        self.token_of("router", secret)
    }

    /// One of another account likewise.
    pub fn token_of(&self, account: &str, secret: &str) -> String {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}});
        self.create("v1", "secrets", object);
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": secret}},
        });
        let answer =
            self.server.create(&self.path("v1", "serviceaccounts", &format!("{account}/token")), &request);
        answer["status"]["token"].as_str().unwrap().to_string()
    }

    /// Makes an object of Knative with a status.
    pub fn addressable(&self, api_version: &str, kind: &str, name: &str, status: &Value) {
        let resource = format!("{}s", kind.to_lowercase());
        let object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": {}});
        self.create(api_version, &resource, object);
        self.set_status(api_version, kind, name, status);
    }

    /// Changes the status of an object.
    pub fn set_status(&self, api_version: &str, kind: &str, name: &str, status: &Value) {
        let resource = format!("{}s", kind.to_lowercase());
        let path = format!("{}/status", self.path(api_version, &resource, name));
        self.server.patch(&path, &json!({"status": status}));
    }

    /// A kubeconfig for this namespace, with the given members of its user.
    pub fn kubeconfig(&self, test: &Test, user: &Value) -> PathBuf {
        use base64::Engine;
        let ca = base64::engine::general_purpose::STANDARD.encode(&self.server.ca);
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": self.name}}],
            "clusters": [{"name": "test", "cluster": {"server": self.server.url, "certificate-authority-data": ca}}],
            "users": [{"name": "test", "user": user}],
        });
        test.write("kubeconfig", &text.to_string());
        test.path("kubeconfig")
    }
}
