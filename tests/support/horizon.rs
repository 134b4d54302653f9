//! A connection server of Horizon, after the documented REST interface: no simulator of it is public.
//!
//! It answers as Horizon Server API 2106 and later documents `login`, `refresh`, `logout`,
//! `audit-events` and their extended attributes: the newest event first, a filter by time with both
//! ends included, at most 1000 events a page, `HAS_MORE_RECORDS` where there are more.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use event_router::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use serde_json::{Value, json};

/// What all connection servers of a pod share.
#[derive(Clone, Default)]
pub struct Pod(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    // In the order in which they were recorded.
    events: Vec<Value>,
    access: HashSet<String>,
    refresh: HashSet<String>,
    tokens: usize,
    logins: usize,
    refreshes: usize,
    logouts: usize,
    lists: usize,
    // How often a token may still be used; none is without end.
    uses: Option<usize>,
    fault: Option<Fault>,
    rejects_account: bool,
}

/// What the servers of a pod do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status for every list of events.
    Status(u16),
}

/// A connection server. Dropped, it stops listening.
pub struct ConnectionServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    is_mute: Arc<AtomicBool>,
    _server: Server,
}

impl ConnectionServer {
    /// It accepts what it is asked, and never answers again, or does.
    pub fn mute(&self, is_mute: bool) {
        self.is_mute.store(is_mute, Ordering::SeqCst);
    }
}

/// Counts of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Logins that succeeded.
    pub logins: usize,
    /// Tokens that were renewed.
    pub refreshes: usize,
    /// Sessions that were given back.
    pub logouts: usize,
    /// Lists of events that were asked for.
    pub lists: usize,
}

impl Pod {
    /// Records an event that is dated so many milliseconds after 1970.
    pub fn push(&self, milliseconds: i64, ty: &str) -> i64 {
        let mut state = self.lock();
        let id = 98_000 + state.events.len() as i64;
        state.events.push(json!({
            "id": id,
            "machine_dns_name": "cs1.corp.local",
            "message": format!("User <CORP\\user{id}> did something"),
            "module": "Vlsi",
            "severity": "AUDIT_SUCCESS",
            "time": milliseconds,
            "type": ty,
            "user_id": format!("S-1-5-21-{}", id % 7),
        }));
        id
    }

    /// From now on tokens are refused after so many uses.
    pub fn set_token_uses(&self, uses: Option<usize>) {
        self.lock().uses = uses;
    }

    /// All refresh tokens have ended.
    pub fn end_sessions(&self) {
        let mut state = self.lock();
        state.refresh.clear();
        state.access.clear();
    }

    /// Changes what goes wrong.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.lock().fault = fault;
    }

    /// Whether the account is refused.
    pub fn reject_account(&self, rejects: bool) {
        self.lock().rejects_account = rejects;
    }

    /// The calls so far.
    pub fn calls(&self) -> Calls {
        let state = self.lock();
        Calls { logins: state.logins, refreshes: state.refreshes, logouts: state.logouts, lists: state.lists }
    }

    /// Starts one of its connection servers.
    pub fn serve(&self) -> ConnectionServer {
        let pod = self.clone();
        let settings = ServerSettings { connections_max: 64, ..ServerSettings::default() };
        let is_mute = Arc::new(AtomicBool::new(false));
        let mute = is_mute.clone();
        let server = Server::start("127.0.0.1:0", settings, move |request| {
            // Until the test is over.
            while mute.load(Ordering::SeqCst) && !request.stop.wait(Duration::from_millis(50)) {}
            Reply::Answer(pod.answer(request))
        });
        let server = server.unwrap();
        ConnectionServer { url: format!("http://{}", server.address()), is_mute, _server: server }
    }

    fn answer(&self, request: &InRequest) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (request.method.as_str(), request.path()) {
            ("POST", "/rest/login") => self.login(&body),
            ("POST", "/rest/refresh") => self.refresh(&body),
            ("POST", "/rest/logout") => {
                let mut state = self.lock();
                state.logouts += 1;
                let known = state.refresh.remove(body["refresh_token"].as_str().unwrap_or_default());
                Answer::text(if known { 200 } else { 400 }, "")
            }
            ("GET", path) => {
                let authorization = request.header("authorization").unwrap_or_default();
                if !self.admits(authorization.strip_prefix("Bearer ").unwrap_or_default()) {
                    return Answer::new(401, "application/json", r#"{"error_message":"Unauthorized"}"#);
                }
                let query = query(request.query());
                match path {
                    "/rest/external/v1/audit-events" => self.list(&query),
                    "/rest/external/v1/audit-events/extended-attributes" => details(&query),
                    _ => Answer::text(404, "not found"),
                }
            }
            _ => Answer::text(404, "not found"),
        }
    }

    fn login(&self, body: &Value) -> Answer {
        let mut state = self.lock();
        let account = ["domain", "username", "password"].map(|name| body[name].as_str().unwrap_or_default());
        if state.rejects_account || account != ["corp", "svc", "pass"] {
            return Answer::new(401, "application/json", r#"{"error_message":"Bad credentials"}"#);
        }
        state.logins += 1;
        let (access, refresh) = (state.token(), state.token());
        state.access.insert(access.clone());
        state.refresh.insert(refresh.clone());
        Answer::new(
            200,
            "application/json",
            json!({"access_token": access, "refresh_token": refresh}).to_string(),
        )
    }

    fn refresh(&self, body: &Value) -> Answer {
        let mut state = self.lock();
        if !state.refresh.contains(body["refresh_token"].as_str().unwrap_or_default()) {
            return Answer::new(400, "application/json", r#"{"error_message":"Invalid token"}"#);
        }
        state.refreshes += 1;
        let access = state.token();
        state.access.insert(access.clone());
        Answer::new(200, "application/json", json!({"access_token": access}).to_string())
    }

    fn admits(&self, token: &str) -> bool {
        let mut state = self.lock();
        match state.uses {
            Some(0) => {
                state.access.remove(token);
                state.uses = Some(3);
            }
            Some(left) => state.uses = Some(left - 1),
            None => {}
        }
        state.access.contains(token)
    }

    fn list(&self, query: &[(String, String)]) -> Answer {
        let fault = {
            let mut state = self.lock();
            state.lists += 1;
            state.fault
        };
        match fault {
            Some(Fault::Status(status)) => Answer::new(status, "application/json", r#"{"error":"no"}"#),
            None => self.page(query),
        }
    }

    fn page(&self, query: &[(String, String)]) -> Answer {
        let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let (Some(page), Some(size)) = (value("page"), value("size")) else {
            return Answer::text(400, "page and size: both or neither");
        };
        let (page, size): (usize, usize) = (page.parse().unwrap(), size.parse().unwrap());
        assert!(1 <= page && (1..=1000).contains(&size), "{page} {size}");
        let filter: Value = serde_json::from_str(value("filter").unwrap_or("{}")).unwrap();
        assert_eq!((&filter["type"], &filter["name"]), (&json!("Between"), &json!("time")));
        let (from, to) = (filter["fromValue"].as_i64().unwrap(), filter["toValue"].as_i64().unwrap());
        let mut found: Vec<Value> = self.lock().events.clone();
        found.retain(|event| (from..=to).contains(&event["time"].as_i64().unwrap()));
        // Newest first; of one millisecond in no order that means anything.
        found.sort_by_key(|event| std::cmp::Reverse(event["time"].as_i64()));
        let shown: Vec<Value> = found.iter().skip((page - 1) * size).take(size).cloned().collect();
        let answer = Answer::new(200, "application/json", Value::Array(shown).to_string());
        if page * size < found.len() { answer.header("HAS_MORE_RECORDS", "TRUE") } else { answer }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn token(&mut self) -> String {
        self.tokens += 1;
        format!("token-{}", self.tokens)
    }
}

fn details(query: &[(String, String)]) -> Answer {
    let ids = query.iter().filter(|(name, _)| name == "ids").map(|(_, id)| id.parse::<i64>().unwrap());
    let list: Vec<Value> = ids
        .map(|id| json!({"id": id, "event_data": {"UserDisplayName": format!("corp\\user{id}")}}))
        .collect();
    Answer::new(200, "application/json", Value::Array(list).to_string())
}

fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_string(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap(), rest.next().unwrap()];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
    }
    String::from_utf8(bytes).unwrap()
}
