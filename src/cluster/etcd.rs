//! Leases and records as keys of etcd, by its JSON gateway (`/v3`, etcd 3.4 and later): numbers of 64 bits
//! are strings there, keys and values base64, and what is zero or false is left out.
//!
//! A write is a transaction that compares the key's `mod_revision`, which is 0 where there is none. Leases
//! are keys like others and not leases of etcd: the same rules hold as everywhere, and its clocks do not
//! count.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crossbeam_channel::never;
use serde_json::{Value, json};

use super::engine::{Engine, Trouble};
use super::lease::{Call, Kept, Lease, Record, Reply, Subject, Version};
use crate::config::BasicAuth;
use crate::config::cluster::{ClusterSection, EtcdSection};
use crate::error::{Context, Error, Result};
use crate::http::answer;
use crate::http::client::{Client, ClientSettings, Request, Response};
use crate::limits::{
    CLUSTER_CALL_WAIT_MAX, CLUSTER_CONNECTIONS_MAX, CLUSTER_ETCD_LOOK_INTERVAL, KUBERNETES_BODY_BYTES_MAX,
};

/// The keys below one prefix.
pub(crate) struct EtcdEngine {
    client: Client,
    endpoints: Vec<String>,
    auth: Option<BasicAuth>,
    // With the name of the cluster, `/` at its end.
    prefix: String,
    wait: Duration,
    // The endpoint that answered last.
    chosen: AtomicUsize,
    token: Mutex<Option<String>>,
}

impl EtcdEngine {
    /// Of the section.
    ///
    /// # Errors
    /// A certificate, key or proxy that cannot be used.
    pub(crate) fn new(section: &ClusterSection, etcd: &EtcdSection) -> Result<EtcdEngine> {
        let settings =
            ClientSettings { connection: &etcd.connection, connections_max: CLUSTER_CONNECTIONS_MAX };
        Ok(EtcdEngine {
            client: Client::new(&settings).context(|| "[cluster]")?,
            endpoints: etcd.endpoints.clone(),
            auth: etcd.auth.clone(),
            prefix: format!("{}{}/", etcd.prefix, section.name),
            wait: CLUSTER_CALL_WAIT_MAX.min(section.lease * 4 / 15),
            chosen: AtomicUsize::new(0),
            token: Mutex::new(None),
        })
    }

    fn lease_key(&self, subject: &Subject) -> String {
        match subject {
            Subject::Route(name) => format!("{}lease/route/{name}", self.prefix),
            Subject::Member(name) => format!("{}lease/member/{name}", self.prefix),
        }
    }

    fn record_key(&self, subject: &Subject) -> String {
        let (Subject::Route(name) | Subject::Member(name)) = subject;
        format!("{}record/{name}", self.prefix)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        let mut has_logged_in = false;
        loop {
            let token = self.token(&mut has_logged_in)?;
            let response = self.send(path, body, token.as_deref())?;
            let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            // A token ends by itself, after minutes without a call.
            let is_stale = response.status == 401 || is_nameless(response.status, &answer);
            if is_stale && self.auth.is_some() && !has_logged_in {
                *crate::sync::lock(&self.token) = None;
                continue;
            }
            return match response.status {
                // What stands before etcd can answer too, and its page tells of no key that there is none.
                200 if !answer["header"].is_object() => {
                    Err(failed("malformed", Error::new(format!("POST {path}: what answers is not etcd"))))
                }
                200 => Ok(answer),
                status => Err(self.refusal(path, status, &response.body, &answer)),
            };
        }
    }

    fn token(&self, has_logged_in: &mut bool) -> Result<Option<String>, Trouble> {
        let Some(BasicAuth { username, password }) = &self.auth else { return Ok(None) };
        let mut kept = crate::sync::lock(&self.token);
        if kept.is_none() {
            let unread = |error: Error| failed("credentials", error);
            let (name, password) = (username.read().map_err(unread)?, password.read().map_err(unread)?);
            *has_logged_in = true;
            let path = "/v3/auth/authenticate";
            let response = self.send(path, &json!({"name": name, "password": password}), None)?;
            let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let Some(token) = answer["token"].as_str() else {
                return Err(self.refusal(path, response.status, &response.body, &answer));
            };
            *kept = Some(token.to_string());
        }
        Ok(kept.clone())
    }

    // To the endpoint that answered last. Where it was certainly not reached, the next one is asked at once;
    // where it did not answer, next time.
    fn send(&self, path: &str, body: &Value, token: Option<&str>) -> Result<Response, Trouble> {
        let body = body.to_string();
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(token.map(|token| ("authorization", token)));
        let mut tried = 0;
        loop {
            let chosen = self.chosen.load(Ordering::Relaxed);
            let sent = self.client.send(&Request {
                method: "POST",
                url: &format!("{}{path}", self.endpoints[chosen % self.endpoints.len()]),
                headers: &headers,
                body: body.as_bytes(),
                timeout: self.wait,
                body_bytes_max: KUBERNETES_BODY_BYTES_MAX,
                // Whether a write was done is asked for, where its answer is missing.
                repeat_if_stale: false,
                head_suffices: false,
            });
            tried += 1;
            match sent {
                Ok(response) if response.status != 503 => return Ok(response),
                sent => {
                    self.chosen.store(chosen + 1, Ordering::Relaxed);
                    match sent {
                        Err(error) if error.unsent && tried < self.endpoints.len() => {}
                        sent => return sent.map_err(|error| failed(error.kind.reason(), error.error)),
                    }
                }
            }
        }
    }

    fn refusal(&self, path: &str, status: u16, body: &[u8], answer: &Value) -> Trouble {
        let message = answer["message"].as_str().or_else(|| answer["error"].as_str());
        let message = answer::excerpt(message.map_or(body, str::as_bytes));
        let hint = match status {
            403 => format!("; the user needs the right to read and write what begins with {}", self.prefix),
            _ if self.auth.is_none() && is_nameless(status, answer) => {
                "; set `username` and `password`".to_string()
            }
            _ => String::new(),
        };
        failed(
            answer::status_reason(status),
            Error::new(format!("POST {path} of etcd: status {status}: {message}{hint}")),
        )
    }

    fn read(&self, key: &str) -> Result<Option<(Version, Value)>, Trouble> {
        let answer = self.post("/v3/kv/range", &json!({"key": encoded(key)}))?;
        Ok(answer["kvs"].get(0).and_then(entry).map(|(_, version, value)| (version, value)))
    }

    fn write(&self, key: &str, version: Option<&Version>, value: &Value) -> Result<Reply, Trouble> {
        let put = json!({"request_put": {"key": encoded(key), "value": encoded(&value.to_string())}});
        let answer = self.replace(key, version, &put)?;
        if answer["succeeded"] != true {
            return Ok(Reply::Changed);
        }
        let Some(number) = answer["header"]["revision"].as_str().map(str::to_string) else {
            let error = Error::new("POST /v3/kv/txn of etcd: the answer has no revision");
            return Err(failed("malformed", error));
        };
        let uid = version.map_or_else(|| number.clone(), |version| version.uid.clone());
        Ok(Reply::Written(Version { uid, number }))
    }

    fn replace(&self, key: &str, version: Option<&Version>, then: &Value) -> Result<Value, Trouble> {
        let number = version.map_or("0", |version| &version.number);
        let compare =
            json!({"key": encoded(key), "target": "MOD", "result": "EQUAL", "mod_revision": number});
        self.post("/v3/kv/txn", &json!({"compare": [compare], "success": [then]}))
    }
}

impl Engine for EtcdEngine {
    fn list(&self) -> Result<Vec<(Subject, Kept<Lease>)>, Trouble> {
        let begin = format!("{}lease/", self.prefix);
        // The end is the byte behind `/`.
        let end = format!("{}lease0", self.prefix);
        let answer =
            self.post("/v3/kv/range", &json!({"key": encoded(&begin), "range_end": encoded(&end)}))?;
        let of = |kv: &Value| {
            let (key, version, value) = entry(kv)?;
            let (kind, name) = key.strip_prefix(&begin)?.split_once('/')?;
            let subject = match kind {
                "route" => Subject::Route(name.to_string()),
                "member" => Subject::Member(name.to_string()),
                _ => return None,
            };
            Some((subject, Kept { version, value: lease(&value) }))
        };
        Ok(answer["kvs"].as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(of).collect())
    }

    fn ask(&self, subject: &Subject, call: &Call) -> Result<Reply, Trouble> {
        match call {
            Call::ReadLease => {
                let found = self.read(&self.lease_key(subject))?;
                Ok(Reply::Lease(found.map(|(version, value)| Kept { version, value: lease(&value) })))
            }
            Call::ReadRecord => {
                let found = self.read(&self.record_key(subject))?;
                Ok(Reply::Record(found.map(|(version, value)| Kept { version, value: record(&value) })))
            }
            Call::WriteLease(version, Lease { holder, lasts, term }) => {
                let value = json!({"holder": holder, "lasts_ms": millis(*lasts), "term": term});
                self.write(&self.lease_key(subject), version.as_ref(), &value)
            }
            Call::WriteRecord(version, Record { holder, term, lasts, text }) => {
                let value =
                    json!({"holder": holder, "lasts_ms": millis(*lasts), "term": term, "checkpoint": text});
                self.write(&self.record_key(subject), version.as_ref(), &value)
            }
        }
    }

    fn forget(&self, subject: &Subject, version: &Version) -> Result<(), Trouble> {
        let key = self.lease_key(subject);
        let delete = json!({"request_delete_range": {"key": encoded(&key)}});
        self.replace(&key, Some(version), &delete).map(|_| ())
    }

    // The answer of a watch begins before anything has happened, so all leases are looked at more often.
    fn wake(&self) -> Result<bool, Trouble> {
        let _ = never::<()>().recv_timeout(CLUSTER_ETCD_LOOK_INTERVAL);
        Ok(true)
    }

    fn place(&self, subject: &Subject) -> String {
        format!("etcd key {}", self.record_key(subject))
    }

    fn home(&self) -> String {
        format!("keys that begin with {} of etcd", self.prefix)
    }

    fn missing_rights(&self) -> Result<Vec<String>, Trouble> {
        // Rights are judged before it is compared, and nothing is written in the place of revision 1.
        let subject = Subject::Route("event-router-check".to_string());
        let never = Version { uid: "1".to_string(), number: "1".to_string() };
        let tried = self.list().and_then(|_| self.forget(&subject, &never));
        match tried {
            Err(Trouble { reason: "403", .. }) => Ok(vec!["the right to read and write them".to_string()]),
            tried => tried.map(|()| Vec::new()),
        }
    }
}

fn failed(reason: &'static str, error: Error) -> Trouble {
    Trouble { reason, error, wait: Duration::ZERO }
}

/// etcd has users, and knows of none here.
fn is_nameless(status: u16, answer: &Value) -> bool {
    status == 400 && answer["message"].as_str().is_some_and(|text| text.contains("user name is empty"))
}

fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

fn decoded(text: &Value) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text.as_str()?).ok()
}

/// A key, its state, and the JSON that is its value.
fn entry(kv: &Value) -> Option<(String, Version, Value)> {
    let key = String::from_utf8(decoded(&kv["key"])?).ok()?;
    let number = |name: &str| kv[name].as_str().map(str::to_string);
    let version = Version { uid: number("create_revision")?, number: number("mod_revision")? };
    let value = decoded(&kv["value"]).and_then(|text| serde_json::from_slice(&text).ok());
    Some((key, version, value.unwrap_or_default()))
}

fn lease(value: &Value) -> Lease {
    let Record { holder, term, lasts, .. } = record(value);
    Lease { holder, lasts, term }
}

fn record(value: &Value) -> Record {
    Record {
        holder: value["holder"].as_str().unwrap_or_default().to_string(),
        term: value["term"].as_u64().unwrap_or_default(),
        lasts: Duration::from_millis(value["lasts_ms"].as_u64().unwrap_or_default()),
        text: value["checkpoint"].as_str().map(str::to_string),
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As etcd 3.5.1 answers a range.
    const KV: &str = r#"{"key":"L2EvbGVhc2Uvcm91dGUvcg==","create_revision":"4","mod_revision":"9","version":"3",
        "value":"eyJob2xkZXIiOiJhXzFfMiIsImxhc3RzX21zIjoxNTAwMCwidGVybSI6N30="}"#;

    #[test]
    fn a_key_is_read_with_its_state() {
        let (key, version, value) = entry(&serde_json::from_str(KV).unwrap()).unwrap();
        assert_eq!(key, "/a/lease/route/r");
        assert_eq!(version, Version { uid: "4".to_string(), number: "9".to_string() });
        let lasts = Duration::from_secs(15);
        assert_eq!(lease(&value), Lease { holder: "a_1_2".to_string(), lasts, term: 7 });
        // What somebody else put there holds nothing, and can be replaced.
        let free = Lease { holder: String::new(), lasts: Duration::ZERO, term: 0 };
        assert_eq!(lease(&Value::Null), free);
        assert_eq!(entry(&json!({"key": "=", "create_revision": "1", "mod_revision": "1"})), None);
    }
}
