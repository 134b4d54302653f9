//! Posts events to a webhook of the router, as its senders do.

use std::time::Duration;

use event_router::config::ConnectionConfig;
use event_router::http::client::{Client, ClientSettings, Request};

use super::process::Process;
use super::{SOON, Test};

/// A sender that keeps its connections.
pub struct Sender {
    url: String,
    client: Client,
    // A field of every event that it posts.
    more: Option<(&'static str, &'static str)>,
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
        Sender::over(url, &ConnectionConfig::default())
    }

    /// One that trusts this certificate, which it keeps in a file of the test.
    pub fn trusting(url: &str, test: &Test, certificate: &str) -> Sender {
        test.write("trusted.pem", certificate);
        let mut connection = ConnectionConfig::default();
        connection.tls.ca_files = vec![test.path("trusted.pem")];
        Sender::over(url, &connection)
    }

    fn over(url: &str, connection: &ConnectionConfig) -> Sender {
        let client = Client::new(&ClientSettings { connection, connections_max: 16 }).unwrap();
        Sender { url: url.to_string(), client, more: None }
    }

    /// The same sender with one more field.
    pub fn with(&self, field: (&'static str, &'static str)) -> Sender {
        Sender { url: self.url.clone(), client: self.client.clone(), more: Some(field) }
    }

    /// Where it posts.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// One for the webhook of a router, which tells its address in the log.
    pub fn of(router: &mut Process) -> Sender {
        let line = router.log_line(&["starting webhook listener on "]);
        Sender::new(line.split("listener on ").nth(1).unwrap().split_whitespace().next().unwrap())
    }

    /// The same sender to a path.
    pub fn at(&self, path: &str) -> Sender {
        let host = self.url.split('/').take(3).collect::<Vec<_>>().join("/");
        Sender { url: host + path, client: self.client.clone(), more: self.more }
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
        self.try_post(id, data).unwrap_or_else(|| panic!("no answer of {}", self.url))
    }

    /// The same; none when it is not answered.
    pub fn try_post(&self, id: &str, data: &str) -> Option<Told> {
        let mut headers = vec![
            ("ce-specversion", "1.0"),
            ("ce-id", id),
            ("ce-source", "/sender"),
            ("ce-type", "com.example.happened"),
            ("content-type", "application/json"),
        ];
        headers.extend(self.more);
        self.try_send("POST", &headers, data.as_bytes())
    }
}
