//! Leases and records as objects of a Kubernetes cluster: a Lease and a ConfigMap for each route.
//!
//! A write names the state that it replaces, by `uid` and `resourceVersion`: without the first a Lease that
//! was removed would be made again, without the second a ConfigMap would be overwritten.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::engine::{Engine, Trouble};
use super::lease::{Call, Kept, Lease, Reply, Subject, Version};
use crate::config::cluster::ClusterSection;
use crate::error::{Context, Error, Result};
use crate::http::answer;
use crate::kubernetes::access::{self, ClusterConfig};
use crate::kubernetes::{ApiError, Ask, Cluster, kubeconfig};
use crate::limits::{CLUSTER_CALL_WAIT_MAX, CLUSTER_CONNECTIONS_MAX, KUBERNETES_BODY_BYTES_MAX};

mod objects;
mod probe;
#[cfg(test)]
mod tests;

use objects::Names;

/// How long the API server waits for a change before it ends a watch; and how long we wait for that.
const WATCH_SECONDS: u64 = 50;

/// The objects of one namespace.
pub(crate) struct KubernetesEngine {
    cluster: Cluster,
    namespace: String,
    names: Names,
    wait: Duration,
    // The state of the list of leases that was seen last.
    listed: Mutex<String>,
}

impl KubernetesEngine {
    /// Of the cluster that the section names, or that this pod runs in.
    ///
    /// # Errors
    /// When it cannot be asked as this says.
    pub(crate) fn new(section: &ClusterSection, kubeconfig: Option<&Path>) -> Result<KubernetesEngine> {
        let intent = || "[cluster]";
        let access: ClusterConfig = match kubeconfig {
            Some(path) => kubeconfig::read(path),
            None => {
                access::of_pod(&|name| std::env::var(name).ok(), Path::new(access::SERVICE_ACCOUNT_FOLDER))
            }
        }
        .context(intent)?;
        Ok(KubernetesEngine {
            cluster: Cluster::with_connections(&access, CLUSTER_CONNECTIONS_MAX).context(intent)?,
            namespace: access.namespace,
            names: Names { cluster: section.name.clone() },
            // The owner of a route must have time for a second call.
            wait: CLUSTER_CALL_WAIT_MAX.min(section.lease * 4 / 15),
            listed: Mutex::default(),
        })
    }

    fn path(&self, subject: &Subject, is_lease: bool) -> String {
        format!("{}/{}", self.paths(is_lease), self.names.of(subject))
    }

    fn paths(&self, is_lease: bool) -> String {
        let (group, resource) = match is_lease {
            true => ("apis/coordination.k8s.io", "leases"),
            false => ("api", "configmaps"),
        };
        format!("/{group}/v1/namespaces/{}/{resource}", self.namespace)
    }

    fn send(&self, method: &'static str, path: &str, body: &str) -> Result<(u16, Value), Trouble> {
        let ask = Ask {
            method,
            path,
            body: body.as_bytes(),
            wait: self.wait,
            bytes_max: KUBERNETES_BODY_BYTES_MAX,
            // Whether a write was done is asked for, where its answer is missing.
            repeat_if_stale: method == "GET",
        };
        let response = self.cluster.ask(&ask).map_err(trouble)?;
        let status = response.status;
        if !matches!(status, 200..300 | 404 | 409) {
            return Err(self.refusal(method, path, &response.body, status, response.header("retry-after")));
        }
        if status == 404 && method == "POST" {
            let text = format!("POST {path}: there is no namespace {}", self.namespace);
            return Err(Trouble { reason: "404", error: Error::new(text), wait: Duration::ZERO });
        }
        let told = serde_json::from_slice(&response.body);
        match told {
            Ok(value) => Ok((status, value)),
            Err(_) if !(200..300).contains(&status) => Ok((status, Value::Null)),
            Err(error) => Err(malformed(method, path, error)),
        }
    }

    fn refusal(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        status: u16,
        retry_after: Option<&str>,
    ) -> Trouble {
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        let message = answer::excerpt(told["message"].as_str().map_or(body, str::as_bytes));
        let hint = match status {
            403 => format!("; the role of the router's account in {} must allow it", self.namespace),
            _ => String::new(),
        };
        let wait = retry_after.and_then(|text| text.parse().ok()).unwrap_or_default();
        Trouble {
            reason: answer::status_reason(status),
            error: Error::new(format!("{method} {path}: status {status}: {message}{hint}")),
            wait: Duration::from_secs(wait),
        }
    }

    fn write(
        &self,
        subject: &Subject,
        is_lease: bool,
        version: Option<&Version>,
        object: &Value,
    ) -> Result<Reply, Trouble> {
        let (method, path) = match version {
            Some(_) => ("PUT", self.path(subject, is_lease)),
            None => ("POST", self.paths(is_lease)),
        };
        let (status, written) = self.send(method, &path, &object.to_string())?;
        if !(200..300).contains(&status) {
            return Ok(Reply::Changed);
        }
        match objects::version(&written) {
            Some(version) => Ok(Reply::Written(version)),
            None => Err(without_version(method, &path)),
        }
    }

    fn read<T>(
        &self,
        subject: &Subject,
        is_lease: bool,
        of: impl Fn(&Value) -> Option<Kept<T>>,
    ) -> Result<Option<Kept<T>>, Trouble> {
        let path = self.path(subject, is_lease);
        match self.send("GET", &path, "")? {
            (404, _) => Ok(None),
            (200..300, found) => of(&found).map(Some).ok_or_else(|| without_version("GET", &path)),
            // Nothing is known then: not even that there is none.
            (status, _) => Err(malformed("GET", &path, format_args!("status {status}"))),
        }
    }
}

impl Engine for KubernetesEngine {
    fn list(&self) -> Result<Vec<(Subject, Kept<Lease>)>, Trouble> {
        let path = format!("{}?labelSelector={}&resourceVersion=0", self.paths(true), self.names.selector());
        let (_, list) = self.send("GET", &path, "")?;
        // Anything else tells of no lease that there is none.
        let told = list["metadata"]["resourceVersion"].as_str().zip(list["items"].as_array());
        let (state, items) = told.ok_or_else(|| malformed("GET", &path, "the answer is not a list"))?;
        *crate::sync::lock(&self.listed) = state.to_string();
        Ok(items.iter().filter_map(|item| Some((objects::subject(item)?, objects::lease(item)?))).collect())
    }

    fn ask(&self, subject: &Subject, call: &Call) -> Result<Reply, Trouble> {
        match call {
            Call::ReadLease => Ok(Reply::Lease(self.read(subject, true, objects::lease)?)),
            Call::ReadRecord => Ok(Reply::Record(self.read(subject, false, objects::record)?)),
            Call::WriteLease(version, lease) => {
                let object =
                    self.names.lease_object(subject, version.as_ref(), lease, jiff::Timestamp::now());
                self.write(subject, true, version.as_ref(), &object)
            }
            Call::WriteRecord(version, record) => {
                let object = self.names.record_object(subject, version.as_ref(), record);
                self.write(subject, false, version.as_ref(), &object)
            }
        }
    }

    fn forget(&self, subject: &Subject, version: &Version) -> Result<(), Trouble> {
        let only = objects::preconditions(version).to_string();
        self.send("DELETE", &self.path(subject, true), &only).map(|_| ())
    }

    // The first byte of a watch tells that a lease became free; the list that follows, which.
    fn wake(&self) -> Result<bool, Trouble> {
        let state = crate::sync::lock(&self.listed).clone();
        if state.is_empty() {
            return Ok(false);
        }
        let path = format!(
            "{}?watch=true&labelSelector={},event-router%2Fstate%3Dfree&resourceVersion={state}&timeoutSeconds={WATCH_SECONDS}",
            self.paths(true),
            self.names.selector()
        );
        let response = self
            .cluster
            .ask(&Ask {
                method: "GET",
                path: &path,
                body: b"",
                wait: Duration::from_secs(WATCH_SECONDS + 5),
                bytes_max: 0,
                repeat_if_stale: true,
            })
            .map_err(trouble)?;
        match response.status {
            200 => Ok(response.truncated),
            // The list was too old: the next one is not.
            410 => Ok(true),
            status => Err(self.refusal("GET", &path, &response.body, status, response.header("retry-after"))),
        }
    }

    fn place(&self, subject: &Subject) -> String {
        format!("configmap {}/{}", self.namespace, self.names.of(subject))
    }

    fn home(&self) -> String {
        format!("leases and configmaps of namespace {}", self.namespace)
    }

    fn missing_rights(&self) -> Result<Vec<String>, Trouble> {
        self.try_rights()
    }
}

fn trouble(error: ApiError) -> Trouble {
    Trouble { reason: error.reason, error: error.error, wait: Duration::ZERO }
}

fn without_version(method: &str, path: &str) -> Trouble {
    malformed(method, path, "the answer has no uid or resourceVersion")
}

fn malformed(method: &str, path: &str, text: impl std::fmt::Display) -> Trouble {
    Trouble {
        reason: "malformed",
        error: Error::new(format!("{method} {path}: {text}")),
        wait: Duration::ZERO,
    }
}
