//! A login at one of Horizon's connection servers, and its calls.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::settings::HorizonConfig;
use crate::error::{Error, Result};
use crate::http::answer::{date_of, summary};
use crate::http::client::{Client, Request, Response};
use crate::limits::{HORIZON_BODY_BYTES_MAX, HORIZON_CALL_WAIT_MAX, HORIZON_CLOSE_CALL_WAIT_MAX};
use crate::source::{SourceError, SourceFailure};

/// Tokens of one connection server. A token that is refused is renewed once for each call.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    base: String,
    access: String,
    refresh: String,
    /// The server's clock when it was asked last.
    pub(super) now: Timestamp,
}

impl Session {
    /// Logs in at `base`, the scheme and host of a connection server.
    pub(super) fn login(client: &Client, base: &str, config: &HorizonConfig) -> Result<Session, SourceError> {
        let mut session = Session {
            client: client.clone(),
            base: base.to_string(),
            access: String::new(),
            refresh: String::new(),
            now: Timestamp::now(),
        };
        session.log_in(config)?;
        Ok(session)
    }

    fn log_in(&mut self, config: &HorizonConfig) -> Result<(), SourceError> {
        let refused = |failure, error: Error| SourceError { failure, error };
        let (username, password) = match (config.username.read(), config.password.read()) {
            (Ok(username), Ok(password)) => (username, password),
            (Err(error), _) | (_, Err(error)) => return Err(refused(SourceFailure::Misconfigured, error)),
        };
        let account = json!({ "domain": config.domain, "username": username, "password": password });
        let answer = self.post("/rest/login", &account, HORIZON_CALL_WAIT_MAX)?;
        let tokens: Option<(String, String)> = (answer.status == 200).then(|| tokens(&answer)).flatten();
        if let Some((access, refresh)) = tokens {
            (self.access, self.refresh) = (access, refresh);
            self.look_at_clock(&answer);
            return Ok(());
        }
        let intent = format!("log in at {}/rest/login as {}\\{username}", self.base, config.domain);
        Err(match answer.status {
            400 | 401 | 403 => refused(
                SourceFailure::LoginRefused,
                Error::new(format!("{intent}: {}: check domain, username and password", summary(&answer))),
            ),
            404 => refused(
                SourceFailure::Misconfigured,
                Error::new(format!(
                    "{intent}: {}: is it a connection server of 2106 or later?",
                    summary(&answer)
                )),
            ),
            _ => SourceError::lost(Error::new(format!("{intent}: {}", summary(&answer)))),
        })
    }

    /// Asks for a path; what is refused for its token is asked once more with a new one.
    pub(super) fn get(&mut self, path: &str, config: &HorizonConfig) -> Result<Response, SourceError> {
        let mut answer = self.call("GET", path, b"", HORIZON_CALL_WAIT_MAX)?;
        if answer.status == 401 {
            self.renew(config)?;
            answer = self.call("GET", path, b"", HORIZON_CALL_WAIT_MAX)?;
        }
        self.look_at_clock(&answer);
        let place = format!("{}{}", self.base, path.split('?').next().unwrap_or_default());
        let failure = |failure, hint: &str| {
            let error = Error::new(format!("ask {place}: {}{hint}", summary(&answer)));
            Err(SourceError { failure, error })
        };
        match answer.status {
            200 if answer.truncated => failure(SourceFailure::Lost, ": the answer is too large"),
            200 => Ok(answer),
            401 => failure(SourceFailure::Lost, ": a new token is refused too"),
            403 => failure(
                SourceFailure::Misconfigured,
                ": the account may not read events: give it the role Administrators (Read only)",
            ),
            409 => failure(SourceFailure::Misconfigured, ": Horizon has no event database: set it up there"),
            _ => failure(SourceFailure::Lost, ""),
        }
    }

    /// Ends the session. Best effort.
    pub(super) fn logout(&mut self) {
        let body = json!({ "refresh_token": self.refresh });
        let _ = self.post("/rest/logout", &body, HORIZON_CLOSE_CALL_WAIT_MAX);
    }

    fn renew(&mut self, config: &HorizonConfig) -> Result<(), SourceError> {
        let answer =
            self.post("/rest/refresh", &json!({ "refresh_token": self.refresh }), HORIZON_CALL_WAIT_MAX)?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match value["access_token"].as_str().filter(|_| answer.status == 200) {
            Some(token) => {
                self.access = token.to_string();
                Ok(())
            }
            // The refresh token has ended too.
            None => self.log_in(config),
        }
    }

    fn post(&mut self, path: &str, body: &Value, timeout: Duration) -> Result<Response, SourceError> {
        self.call("POST", path, body.to_string().as_bytes(), timeout)
    }

    fn call(
        &self,
        method: &'static str,
        path: &str,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Response, SourceError> {
        let authorization = format!("Bearer {}", self.access);
        let mut headers = vec![("content-type", "application/json"), ("accept", "application/json")];
        if method == "GET" {
            headers.push(("authorization", &authorization));
        }
        let request = Request {
            method,
            url: &format!("{}{path}", self.base),
            headers: &headers,
            body,
            timeout,
            body_bytes_max: HORIZON_BODY_BYTES_MAX,
            repeat_if_stale: true,
            head_suffices: false,
        };
        self.client.send(&request).map_err(|error| {
            // It has no such key.
            let cure =
                error.kind.cure().replace("the sink", "Horizon").replace(", or is `timeout` too short", "");
            SourceError::lost(Error::new(format!("{error}{cure}")))
        })
    }

    fn look_at_clock(&mut self, answer: &Response) {
        self.now = date_of(answer).unwrap_or_else(Timestamp::now);
    }
}

fn tokens(answer: &Response) -> Option<(String, String)> {
    let value: Value = serde_json::from_slice(&answer.body).ok()?;
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty()).map(str::to_string);
    Some((text("access_token")?, text("refresh_token")?))
}
