//! Handles of OpenFaaS's own gateway and queue worker, as `tests/run` builds them.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use event_router::config::ConnectionConfig;
use event_router::http::client::{Client, ClientSettings, Request};
use serde_json::{Value, json};

use super::peers::program;
use super::process::Process;
use super::{SOON, Test, wait_for};

/// The account of every [`Gateway`].
pub const USERNAME: &str = "admin";
/// Its password.
pub const PASSWORD: &str = "g&te w@y";
/// The gateway's only namespace.
pub const NAMESPACE: &str = "openfaas-fn";

/// A running gateway with a provider of ours, whose functions answer as they are told.
pub struct Gateway {
    /// Without `/` at its end.
    pub url: String,
    nats_port: u64,
    record: PathBuf,
    client: Client,
    _process: Process,
}

/// A call of a function, as the function saw it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function's name.
    pub function: String,
    /// What it answered.
    pub status: u64,
    /// The request's headers, names in the form of Go, values in lists.
    pub headers: Value,
    /// The request's body.
    pub body: String,
}

impl Call {
    /// The body as JSON.
    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A header; empty if it was not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers[name][0].as_str().unwrap_or_default()
    }
}

impl Gateway {
    /// Starts one without functions; `options` are those of its program.
    pub fn start(test: &Test, options: &[&str]) -> Gateway {
        let record = test.path("calls.jsonl");
        let mut command = Command::new(program("gateway"));
        command
            .args(["-username", USERNAME, "-password", PASSWORD])
            .arg("-record")
            .arg(&record)
            .args(options);
        let mut process = Process::start("gateway", command);
        let started: Value = serde_json::from_str(&process.first_line()).unwrap();
        let settings = ClientSettings { connection: &ConnectionConfig::default(), connections_max: 1 };
        Gateway {
            url: started["url"].as_str().unwrap().to_string(),
            nats_port: started["natsPort"].as_u64().unwrap_or_default(),
            record,
            client: Client::new(&settings).unwrap(),
            _process: process,
        }
    }

    /// Deploys a function, or deploys it again. `variables` are those of its environment.
    pub fn deploy(&self, name: &str, topic: &str, variables: &[(&str, &str)]) {
        let variables: Value =
            variables.iter().map(|(name, value)| (name.to_string(), json!(value))).collect();
        let function = json!({
            "service": name, "image": "none", "annotations": {"topic": topic}, "envVars": variables
        });
        self.ask("POST", &function);
    }

    /// Removes a function.
    pub fn remove(&self, name: &str) {
        self.ask("DELETE", &json!({"functionName": name}));
    }

    /// Starts OpenFaaS's queue worker, which needs a gateway with `-queue`.
    pub fn start_queue_worker(&self) -> Process {
        let address = self.url.trim_start_matches("http://");
        let (host, port) = address.split_once(':').unwrap();
        let mut command = Command::new(program("nats-queue-worker"));
        command
            .env_clear()
            .env("faas_nats_address", "127.0.0.1")
            .env("faas_nats_port", self.nats_port.to_string())
            .env("faas_gateway_address", host)
            .env("faas_gateway_port", port);
        let mut worker = Process::start("nats-queue-worker", command);
        worker.log_line(&["Listening on [faas-request]"]);
        worker
    }

    /// The section of a configuration that names this gateway; `options` are more lines of it.
    pub fn processor(&self, name: &str, options: &str) -> String {
        format!(
            "[processor.{name}]\ntype = \"openfaas\"\naddress = \"{}\"\nusername = \"{USERNAME}\"\n\
             password = \"{PASSWORD}\"\nrefresh = \"1s\"\n{options}\n",
            self.url
        )
    }

    /// All calls of functions so far, in the order in which they were answered.
    pub fn calls(&self) -> Vec<Call> {
        let text = std::fs::read_to_string(&self.record).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let call = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            Call {
                function: line["function"].as_str().unwrap().to_string(),
                status: line["status"].as_u64().unwrap(),
                headers: line["headers"].clone(),
                body: line["body"].as_str().unwrap().to_string(),
            }
        };
        complete.lines().map(call).collect()
    }

    /// The calls of one function.
    pub fn calls_of(&self, function: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.function == function).collect()
    }

    /// Waits until a function was called so often.
    #[track_caller]
    pub fn wait(&self, function: &str, count: usize) -> Vec<Call> {
        wait_for(&format!("{count} calls of {function}"), SOON, || {
            Some(self.calls_of(function)).filter(|calls| count <= calls.len())
        })
    }

    fn ask(&self, method: &'static str, body: &Value) {
        use base64::Engine;
        let account = base64::engine::general_purpose::STANDARD.encode(format!("{USERNAME}:{PASSWORD}"));
        let body = body.to_string();
        let request = Request {
            method,
            url: &format!("{}/system/functions", self.url),
            headers: &[("authorization", &format!("Basic {account}"))],
            body: body.as_bytes(),
            timeout: Duration::from_secs(20),
            body_bytes_max: 4096,
            repeat_if_stale: true,
            head_suffices: false,
        };
        let response = self.client.send(&request).unwrap();
        let text = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status, 202, "{method} {body}: {text}");
    }
}
