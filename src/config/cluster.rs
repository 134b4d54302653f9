//! `[cluster]`: several routers share the routes.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Table, Value};
use crate::limits;

/// `[cluster]`.
#[derive(Clone, Debug)]
pub(crate) struct ClusterSection {
    /// What its members share: several clusters can be in one namespace.
    pub(crate) name: String,
    /// What the others call this router.
    pub(crate) identity: String,
    /// How long a lease lasts that nobody renews.
    pub(crate) lease: Duration,
    /// From one record of a route to the next.
    pub(crate) checkpoint_interval: Duration,
    /// How the API of Kubernetes is reached; without it as a pod.
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Bytes of the name of a cluster: it is part of the names of objects.
const NAME_BYTES_MAX: usize = 40;

/// Reads the section.
pub(super) fn cluster(table: &Table<'_>) -> Option<ClusterSection> {
    let engine = table.required_word("engine", &[("kubernetes", ())]);
    let name = table.get("name", label);
    let identity = table.get("identity", Value::word);
    let lease =
        table.get("lease", |value| between(value, limits::CLUSTER_LEASE_MIN, limits::CLUSTER_LEASE_MAX));
    let interval = table.get("checkpoint_interval", |value| {
        between(value, limits::CLUSTER_RECORD_INTERVAL_MIN, limits::CLUSTER_RECORD_INTERVAL_MAX)
    });
    let kubeconfig = table.get("kubeconfig", Value::path);
    let identity = match (identity, table.has("identity")) {
        (None, false) => host_name(table),
        (identity, _) => identity,
    };
    if table.has("kubeconfig") && kubeconfig.is_none() || table.has("name") && name.is_none() {
        return None;
    }
    engine?;
    Some(ClusterSection {
        name: name.unwrap_or_else(|| "default".to_string()),
        identity: identity?,
        lease: lease.unwrap_or(limits::CLUSTER_LEASE_DEFAULT),
        checkpoint_interval: interval.unwrap_or(limits::CLUSTER_RECORD_INTERVAL),
        kubeconfig,
    })
}

fn between(value: &Value<'_>, least: Duration, most: Duration) -> Option<Duration> {
    let time = value.duration(least)?;
    if most < time {
        return value.refuse(format!("is longer than {} s", most.as_secs()));
    }
    Some(time)
}

fn label(value: &Value<'_>) -> Option<String> {
    let text = value.word()?;
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (first, last) = (text.bytes().next().unwrap_or_default(), text.bytes().last().unwrap_or_default());
    if NAME_BYTES_MAX < text.len()
        || !text.bytes().all(|byte| is_good(byte) || byte == b'-')
        || !is_good(first)
        || !is_good(last)
    {
        return value.refuse(format!(
            "is no name for objects: write lower case letters, digits and `-`, at most {NAME_BYTES_MAX}"
        ));
    }
    Some(text)
}

/// What a container is called, and a machine.
fn host_name(table: &Table<'_>) -> Option<String> {
    let told = table.document().environment("HOSTNAME").filter(|name| !name.is_empty());
    let read = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = told.or_else(read).map(|name| name.trim().to_string()).filter(|name| !name.is_empty());
    if name.is_none() {
        table.problem("the name of this machine is not known: set `identity`, another for each router");
    }
    name
}
