//! Looks at a running router by its own addresses.

use event_router::config::ConnectionConfig;
use event_router::http::client::{Client, ClientSettings, Request};
use serde_json::Value;

use super::process::Process;
use super::{SOON, wait_for};

/// Asks an address of the router.
pub struct Watcher {
    url: String,
    client: Client,
}

impl Watcher {
    /// That of a server.
    pub fn new(url: &str) -> Watcher {
        let connection = ConnectionConfig::default();
        let client = Client::new(&ClientSettings { connection: &connection, connections_max: 4 }).unwrap();
        Watcher { url: url.trim_end_matches('/').to_string(), client }
    }

    /// That of a router, which tells its address in the log.
    pub fn of(router: &mut Process) -> Watcher {
        let line = router.log_line(&["starting metrics server"]);
        Watcher::new(line.split(" on ").last().unwrap())
    }

    /// Status and text of an address; none when nobody answers.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Option<(u16, String)> {
        let answer = self.client.send(&Request {
            method: "GET",
            url: &format!("{}{path}", self.url),
            headers,
            body: b"",
            timeout: SOON,
            body_bytes_max: 1 << 20,
            repeat_if_stale: true,
            head_suffices: false,
        });
        let answer = answer.ok()?;
        Some((answer.status, String::from_utf8(answer.body).unwrap()))
    }

    /// The same from a router that runs.
    pub fn get(&self, path: &str) -> (u16, String) {
        self.get_with(path, &[]).expect(path)
    }

    /// Waits until `/readyz` has this status and a text with all of these words.
    pub fn wait_ready(&self, status: u16, words: &[&str]) -> String {
        wait_for(&format!("readyz with {status} and {words:?}"), SOON, || {
            let (now, text) = self.get("/readyz");
            (now == status && words.iter().all(|word| text.contains(word))).then_some(text)
        })
    }

    /// `/status`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.get("/status").1).unwrap()
    }
}
