//! An HTTP API that does as it is told: it keeps every request, and a script answers.

use std::sync::{Arc, Mutex};

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::Value;

use super::{SOON, wait_for};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// `POST`, say.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header rows, the names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What was answered.
    pub status: u16,
}

impl Call {
    /// The value of a header; empty if it was not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A server on a free port of loopback.
pub struct Api {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    _server: Server,
}

impl Api {
    /// Starts one; `script` gives status, media type and body for each request.
    pub fn start(script: impl Fn(&Call) -> (u16, &'static str, String) + Send + Sync + 'static) -> Api {
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let kept = calls.clone();
        let settings = ServerSettings { body_bytes_max: 16 * 1024 * 1024, ..ServerSettings::default() };
        let server = Server::start("127.0.0.1:0", settings, move |request| {
            let mut call = Call {
                method: request.method.clone(),
                target: request.target.clone(),
                headers: lower_case(&request.headers),
                body: request.body.clone(),
                status: 0,
            };
            let (status, kind, body) = script(&call);
            call.status = status;
            kept.lock().unwrap().push(call);
            Reply::Answer(Answer::new(status, kind, body))
        })
        .unwrap();
        Api { url: format!("http://{}", server.address()), calls, _server: server }
    }

    /// One that accepts everything.
    pub fn accepting() -> Api {
        Api::start(|_| (200, "application/json", "{}".to_string()))
    }

    /// All requests so far.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Waits until `done` holds for the requests.
    #[track_caller]
    pub fn wait(&self, what: &str, done: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        wait_for(what, SOON, || Some(self.calls()).filter(|calls| done(calls)))
    }
}

fn lower_case(headers: &[(String, String)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

/// A simulated vCenter and `[source.vc]` of it.
pub fn vcenter() -> (Simulator, String) {
    let simulator = Simulator::start(Settings::default()).unwrap();
    let (url, username, password) = (simulator.url(), simulator.username(), simulator.password());
    let source = format!(
        "[source.vc]\ntype = \"vcenter\"\naddress = \"{url}\"\nusername = \"{username}\"\npassword = \"{password}\"\n"
    );
    (simulator, source)
}

/// Records one event about each of so many machines; their keys.
pub fn push(simulator: &Simulator, count: usize) -> Vec<i64> {
    let machine = |n: usize| Draft::vm("VmPoweredOnEvent", &format!("web-{n}"), &format!("vm-{n}"));
    simulator.push_many((0..count).map(machine)).into_iter().map(i64::from).collect()
}
