//! The API of a Kubernetes cluster, as far as a sink needs it: where an object takes events, and
//! tokens for its audience. Plain requests: reading an object needs the right `get` alone.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::access::ClusterConfig;
use self::reference::{Address, ObjectRef};
use crate::error::{Context, Error, Result};
use crate::http::answer;
use crate::http::client::{Client, ClientSettings, Request, Response, SendError, url_text};
use crate::limits::{KUBERNETES_BODY_BYTES_MAX, KUBERNETES_CALL_WAIT_MAX, SINK_TOKEN_SECONDS};

pub mod access;
pub(crate) mod kubeconfig;
pub mod reference;

/// A cluster that can be asked.
#[derive(Debug)]
pub struct Cluster {
    config: ClusterConfig,
    client: Client,
}

/// One request.
pub(crate) struct Ask<'a> {
    /// `GET` and so on.
    pub(crate) method: &'static str,
    /// The path, and perhaps a query.
    pub(crate) path: &'a str,
    /// JSON; may be empty.
    pub(crate) body: &'a [u8],
    /// For the whole of it.
    pub(crate) wait: Duration,
    /// Bytes of the answer that are read.
    pub(crate) bytes_max: usize,
    /// Whether it may reach the cluster twice.
    pub(crate) repeat_if_stale: bool,
}

/// Why the cluster gives no answer, or not the wanted one.
#[derive(Debug)]
pub struct ApiError {
    /// A bounded word for logs.
    pub(crate) reason: &'static str,
    /// The cluster itself says that there is nothing: what was known before is no longer so.
    pub(crate) gone: bool,
    /// For the operator.
    pub(crate) error: Error,
}

/// A token of a service account.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself.
    pub text: String,
    /// From now until it ends.
    pub lasts: Duration,
}

/// The token stays hidden.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("lasts", &self.lasts).finish_non_exhaustive()
    }
}

impl Cluster {
    /// A cluster that was not asked yet.
    ///
    /// # Errors
    /// A certificate, key or proxy that cannot be used.
    pub fn new(config: &ClusterConfig) -> Result<Cluster> {
        Cluster::with_connections(config, 1)
    }

    /// The same, which keeps so many connections.
    ///
    /// # Errors
    /// As those of `new`.
    pub(crate) fn with_connections(config: &ClusterConfig, connections_max: usize) -> Result<Cluster> {
        let settings = ClientSettings { connection: &config.connection, connections_max };
        let client = Client::new(&settings).context(|| format!("the Kubernetes API at {}", config.server))?;
        Ok(Cluster { config: config.clone(), client })
    }

    /// Where an object takes events now.
    ///
    /// # Errors
    /// Why the object cannot be read, or has no address.
    pub fn resolve(&self, reference: &ObjectRef) -> Result<Address, ApiError> {
        let object = self.call("GET", &reference::path(reference), b"", &|status| {
            let resource = reference::resource(&reference.kind);
            let ObjectRef { api_version, namespace, .. } = reference;
            match status {
                403 => format!("; the router's account needs the right `get` on {resource} in {namespace}"),
                404 => format!("; is there a resource {resource} of {api_version}?"),
                _ => String::new(),
            }
        })?;
        reference::address(reference, &object, &self.domain()).map_err(|cause| ApiError {
            reason: "not ready",
            gone: true,
            error: cause,
        })
    }

    /// A new token for an audience: of the named service account, or of the one whose token the
    /// cluster is asked with.
    ///
    /// # Errors
    /// Why there is none.
    pub fn token(&self, service_account: Option<&str>, audience: &str) -> Result<Token, ApiError> {
        let failed = |error: Error| ApiError { reason: "token", gone: false, error };
        let (namespace, name) = match service_account {
            Some(name) => (self.config.namespace.clone(), name.to_string()),
            None => self.own_account().map_err(failed)?,
        };
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": SINK_TOKEN_SECONDS},
        });
        let answer = self.call("POST", &path, request.to_string().as_bytes(), &|status| match status {
            403 => "; the router's account needs the right `create` on serviceaccounts/token".to_string(),
            _ => String::new(),
        })?;
        let status = &answer["status"];
        let end = status["expirationTimestamp"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        let (Some(text), Some(end)) = (status["token"].as_str(), end) else {
            return Err(failed(Error::new(format!("POST {path}: the answer holds no token with an end"))));
        };
        let lasts = Duration::try_from(end.duration_since(Timestamp::now())).unwrap_or_default();
        Ok(Token { text: text.to_string(), lasts })
    }

    /// The answer to a request, whatever its status.
    ///
    /// # Errors
    /// When there is none, or the token cannot be read.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<Response, ApiError> {
        let unread = |error: Error| ApiError { reason: "token", gone: false, error };
        let token = self.config.token.as_ref().map(|token| token.read()).transpose().map_err(unread)?;
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("accept", "application/json"), ("content-type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let answer = self.client.send(&Request {
            method: ask.method,
            url: &format!("{}{}", self.config.server, ask.path),
            headers: &headers,
            body: ask.body,
            timeout: ask.wait,
            body_bytes_max: ask.bytes_max,
            repeat_if_stale: ask.repeat_if_stale,
            head_suffices: false,
        });
        answer.map_err(|SendError { kind, error, .. }| ApiError { reason: kind.reason(), gone: false, error })
    }

    /// Namespace and name of the service account whose token we hold.
    fn own_account(&self) -> Result<(String, String)> {
        let unknown = || {
            Error::new("a token for the audience is needed, and of whom is not known: set `service_account`")
        };
        let token = self.config.token.as_ref().ok_or_else(unknown)?.read()?;
        let claims = token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = claims.and_then(|text| serde_json::from_slice(&text).ok()).ok_or_else(unknown)?;
        let subject =
            claims["sub"].as_str().and_then(|subject| subject.strip_prefix("system:serviceaccount:"));
        let (namespace, name) = subject.and_then(|subject| subject.split_once(':')).ok_or_else(unknown)?;
        Ok((namespace.to_string(), name.to_string()))
    }

    /// The domain of the cluster's own names, by what a pod searches.
    fn domain(&self) -> String {
        let searched = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let found = reference::cluster_domain(&searched).map(str::to_string);
        found.or_else(|| self.config.domain.clone()).unwrap_or_else(|| "cluster.local".to_string())
    }

    fn call(
        &self,
        method: &'static str,
        path: &str,
        body: &[u8],
        hint: &dyn Fn(u16) -> String,
    ) -> Result<Value, ApiError> {
        let response = self.ask(&Ask {
            method,
            path,
            body,
            wait: KUBERNETES_CALL_WAIT_MAX,
            bytes_max: KUBERNETES_BODY_BYTES_MAX,
            repeat_if_stale: true,
        })?;
        let intent = || format!("{method} {}", url_text(&format!("{}{path}", self.config.server)));
        let status = response.status;
        if !(200..300).contains(&status) {
            let refusal: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let message = refusal["message"].as_str().map_or(&*response.body, str::as_bytes);
            // An object that is missing is named: then its kind is known.
            let hint = if refusal["details"]["name"].is_string() && status == 404 {
                String::new()
            } else {
                hint(status)
            };
            let text = answer::excerpt(message);
            let error = Error::new(format!("status {status}: {text}{hint}")).context(intent());
            return Err(ApiError { reason: answer::status_reason(status), gone: status == 404, error });
        }
        serde_json::from_slice(&response.body).context(intent).map_err(|error| ApiError {
            reason: "malformed",
            gone: false,
            error,
        })
    }
}
