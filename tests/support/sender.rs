//! Posts events to a webhook of the router, as its senders do.

use std::time::Duration;

use event_router::config::ConnectionConfig;
use event_router::http::client::{Client, ClientSettings, Request};

use super::SOON;
use super::process::Process;

/// A sender that keeps its connections.
pub struct Sender {
    url: String,
    client: Client,
}

/// What a sender is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The status.
    pub status: u16,
    /// The field Retry-After.
    pub retry_after: Option<Duration>,
    /// The body.
    pub text: String,
}

impl Sender {
    /// One for an address.
    pub fn new(url: &str) -> Sender {
        let connection = ConnectionConfig::default();
        let client = Client::new(&ClientSettings { connection: &connection, connections_max: 16 }).unwrap();
        Sender { url: url.to_string(), client }
    }

    /// One for the webhook of a router, which tells its address in the log.
    pub fn of(router: &mut Process) -> Sender {
        let line = router.log_line(&["starting webhook listener on "]);
        Sender::new(line.split("listener on ").nth(1).unwrap().split_whitespace().next().unwrap())
    }

    /// The same sender to a path.
    pub fn at(&self, path: &str) -> Sender {
        let host = self.url.split('/').take(3).collect::<Vec<_>>().join("/");
        Sender { url: host + path, client: self.client.clone() }
    }

    /// One request; none when it is not answered.
    pub fn try_send(&self, method: &'static str, headers: &[(&str, &str)], body: &[u8]) -> Option<Told> {
        let answer = self.client.send(&Request {
            method,
            url: &self.url,
            headers,
            body,
            timeout: SOON,
            body_bytes_max: 1 << 20,
            repeat_if_stale: true,
            head_suffices: false,
        });
        let answer = answer.ok()?;
        let retry_after = answer.header("retry-after").map(|seconds| seconds.parse().unwrap());
        Some(Told {
            status: answer.status,
            retry_after: retry_after.map(Duration::from_secs),
            text: String::from_utf8(answer.body).unwrap(),
        })
    }

    /// One request that must be answered.
    pub fn send(&self, method: &'static str, headers: &[(&str, &str)], body: &[u8]) -> Told {
        self.try_send(method, headers, body).unwrap_or_else(|| panic!("no answer of {}", self.url))
    }

    /// Posts an event in the binary mode.
    pub fn post(&self, id: &str, data: &str) -> Told {
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "/sender"),
            ("ce-type", "com.example.happened"),
            ("content-type", "application/json"),
        ];
        self.send("POST", &headers, data.as_bytes())
    }
}
