//! `[cluster]`: several routers share the routes.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Table, Value};
use super::values::refuse_table;
use super::{BasicAuth, ConnectionConfig, sections};
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
    /// What keeps leases and positions.
    pub(crate) engine: EngineSection,
}

/// What keeps leases and positions.
#[derive(Clone, Debug)]
pub(crate) enum EngineSection {
    /// The API of Kubernetes.
    Kubernetes {
        /// How it is reached; without it as a pod.
        kubeconfig: Option<PathBuf>,
    },
    /// etcd.
    Etcd(Box<EtcdSection>),
}

/// Where etcd is.
#[derive(Clone, Debug)]
pub(crate) struct EtcdSection {
    /// `http` or `https` URLs without a path.
    pub(crate) endpoints: Vec<String>,
    /// A user of it.
    pub(crate) auth: Option<BasicAuth>,
    /// What all keys begin with; ends with `/`.
    pub(crate) prefix: String,
    /// How it is reached.
    pub(crate) connection: ConnectionConfig,
}

/// Bytes of the name of a cluster: it is part of the names of objects.
const NAME_BYTES_MAX: usize = 40;

/// Reads the section.
pub(super) fn cluster(table: &Table<'_>) -> Option<ClusterSection> {
    let is_etcd = table.required_word("engine", &[("kubernetes", false), ("etcd", true)]);
    let name = table.get("name", label);
    let identity = table.get("identity", Value::word);
    let lease =
        table.get("lease", |value| between(value, limits::CLUSTER_LEASE_MIN, limits::CLUSTER_LEASE_MAX));
    let interval = table.get("checkpoint_interval", |value| {
        between(value, limits::CLUSTER_RECORD_INTERVAL_MIN, limits::CLUSTER_RECORD_INTERVAL_MAX)
    });
    let kubeconfig = table.get("kubeconfig", Value::path);
    let etcd = etcd(table, is_etcd == Some(true));
    let identity = match (identity, table.has("identity")) {
        (None, false) => host_name(table),
        (identity, _) => identity,
    };
    if table.has("kubeconfig") && kubeconfig.is_none() || table.has("name") && name.is_none() {
        return None;
    }
    let engine = match is_etcd? {
        true if table.has("kubeconfig") => {
            return refuse_table(table, "`kubeconfig` is of `kubernetes`, not of `etcd`");
        }
        true => EngineSection::Etcd(Box::new(etcd?)),
        false if ETCD_KEYS.iter().any(|key| table.has(key)) => {
            return refuse_table(table, format!("only `etcd` has {}", ETCD_KEYS.join(", ")));
        }
        false => EngineSection::Kubernetes { kubeconfig },
    };
    Some(ClusterSection {
        name: name.unwrap_or_else(|| "default".to_string()),
        identity: identity?,
        lease: lease.unwrap_or(limits::CLUSTER_LEASE_DEFAULT),
        checkpoint_interval: interval.unwrap_or(limits::CLUSTER_RECORD_INTERVAL),
        engine,
    })
}

const ETCD_KEYS: [&str; 6] = ["endpoints", "username", "password", "prefix", "proxy", "tls"];

/// The keys of etcd alone.
fn etcd(table: &Table<'_>, is_wanted: bool) -> Option<EtcdSection> {
    let urls = |value: &Value<'_>| value.list("an array of URLs", Value::http_url);
    let endpoints = match is_wanted {
        true => table.required("endpoints", urls),
        false => table.get("endpoints", urls),
    };
    let username = table.get("username", Value::secret);
    let password = table.get("password", Value::secret);
    let prefix = table.get("prefix", Value::word);
    let connection = sections::connection(table);
    let auth = match (table.has("username"), table.has("password")) {
        (false, false) => None,
        (true, true) => Some(BasicAuth { username: username?, password: password? }),
        _ => return refuse_table(table, "holds only one of `username` and `password`, expected both"),
    };
    let endpoints = endpoints?.into_iter().map(|url| url.trim_end_matches('/').to_string());
    let endpoints: Vec<String> = endpoints.collect();
    if endpoints.is_empty() {
        return refuse_table(table, "`endpoints` is empty");
    }
    let prefix = prefix.unwrap_or_else(|| "/event-router/".to_string());
    let prefix = format!("{}/", prefix.trim_end_matches('/'));
    Some(EtcdSection { endpoints, auth, prefix, connection })
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
