//! `[processor.NAME]` of type `knative`, and what Knative itself says in the environment: a
//! SinkBinding or ContainerSource sets `K_SINK` and its companions for the pods that it binds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Uri;

use crate::config::ConnectionConfig;
use crate::config::reader::{Table, Value};
use crate::config::secret::Secret;
use crate::config::sections::{WAIT_MIN, connection};
use crate::config::url::check_sink;
use crate::config::values::refuse_table;
use crate::kubernetes::access::{self, ClusterConfig};
use crate::kubernetes::kubeconfig;
use crate::kubernetes::reference::{ObjectRef, is_label, is_subdomain};
use crate::limits;
use crate::processor::extensions::{self, Extensions};

/// Where a SinkBinding mounts the token that it has made for the sink's audience.
const BINDING_TOKEN: &str = "/oidc/token";
/// Where it mounts the authorities that the cluster's own TLS endpoints are signed by.
const BINDING_CA_FILE: &str = "/knative-custom-certs/kn-combined-kne-bundle.pem";

/// Settings of a Knative destination.
#[derive(Clone, Debug)]
pub struct KnativeConfig {
    /// Where events are posted.
    pub destination: Destination,
    /// The cluster that is asked for addresses and tokens; none if it need not be asked.
    pub cluster: Option<Box<ClusterConfig>>,
    /// How often it is asked again.
    pub refresh: Duration,
    /// The bearer token that every event carries, read again and again.
    pub token: Option<Secret>,
    /// Whom the cluster makes tokens for, in place of the address's own audience.
    pub audience: Option<String>,
    /// The service account whose tokens they are; none means that of the token for the cluster.
    pub service_account: Option<String>,
    /// Extension attributes that every event gets, in place of its own of the same name.
    pub extensions: Extensions,
    /// How events are encoded.
    pub encoding: Encoding,
    /// Deadline of one delivery.
    pub timeout: Duration,
    /// How the connection is made.
    pub connection: ConnectionConfig,
}

impl KnativeConfig {
    /// A fixed URL, and nothing else set.
    pub fn to(uri: impl Into<String>) -> KnativeConfig {
        KnativeConfig {
            destination: Destination::Uri(uri.into()),
            cluster: None,
            refresh: limits::RESOLVE_INTERVAL_DEFAULT,
            token: None,
            audience: None,
            service_account: None,
            extensions: Extensions::default(),
            encoding: Encoding::default(),
            timeout: limits::DELIVERY_WAIT_MAX,
            connection: ConnectionConfig::default(),
        }
    }
}

/// Where events are posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// At a fixed URL.
    Uri(String),
    /// At the address of an object of the cluster.
    Ref {
        /// The cluster tells its address.
        reference: ObjectRef,
        /// A URL relative to its address.
        uri: Option<String>,
    },
}

/// The CloudEvents HTTP content modes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Attributes in headers, data as the body.
    #[default]
    Binary,
    /// All in one JSON document.
    Structured,
}

/// Reads the keys of a section.
pub(crate) fn read(table: &Table<'_>) -> Option<KnativeConfig> {
    let reference = table.get("ref", |value| value.table(object_ref));
    let bound = (!table.has("uri") && !table.has("ref")).then(|| Binding::of(table)).flatten();
    let destination = match (&bound, table.has("ref")) {
        (Some(binding), _) => Some(Destination::Uri(binding.sink.clone())),
        (None, false) => table.required("uri", Value::http_url).map(Destination::Uri),
        (None, true) => destination_of_ref(table, reference),
    };
    let encoding = table.get("encoding", |value| {
        value.one_of(&[("binary", Encoding::Binary), ("structured", Encoding::Structured)])
    });
    let timeout = table.get("timeout", |value| value.duration(WAIT_MIN));
    let refresh = table.get("refresh", |value| value.duration(limits::RESOLVE_INTERVAL_MIN));
    let mut extensions = extensions::read(table);
    let token = table.get("token", Value::secret);
    let audience = table.get("audience", Value::word);
    let service_account = table.get("service_account", Value::word);
    let kubeconfig = table.get("kubeconfig", Value::path);
    let mut connection = connection(table);

    let binding = bound.unwrap_or_default();
    for (name, value) in binding.extensions {
        extensions.set(name, value);
    }
    connection.tls.ca_text = binding.ca_certs;
    if connection.tls.ca_files.is_empty() {
        connection.tls.ca_files.extend(binding.ca_file);
    }
    let token = if table.has("token") { Some(token?) } else { binding.token.map(Secret::File) };
    let audience = audience.or(binding.audience);
    let needs_cluster = table.has("ref") || (audience.is_some() && token.is_none());
    if table.has("kubeconfig") && !needs_cluster {
        table.warning("`kubeconfig` has no effect without `ref` or `audience`");
    }
    let cluster = if needs_cluster {
        Some(Box::new(cluster(table, kubeconfig, table.has("kubeconfig"))?))
    } else {
        None
    };
    let mut destination = destination?;
    if let (Destination::Ref { reference, .. }, Some(cluster)) = (&mut destination, &cluster)
        && reference.namespace.is_empty()
    {
        reference.namespace.clone_from(&cluster.namespace);
    }
    Some(KnativeConfig {
        destination,
        cluster,
        refresh: refresh.unwrap_or(limits::RESOLVE_INTERVAL_DEFAULT),
        token,
        audience,
        service_account: service_account.or(binding.service_account),
        extensions,
        encoding: encoding.unwrap_or_default(),
        timeout: timeout.or(binding.timeout).unwrap_or(limits::DELIVERY_WAIT_MAX),
        connection,
    })
}

/// How the cluster is asked: as `kubeconfig` says, or as a pod.
fn cluster(table: &Table<'_>, kubeconfig: Option<PathBuf>, is_set: bool) -> Option<ClusterConfig> {
    let made = match (kubeconfig, is_set) {
        (Some(path), _) => kubeconfig::read(&path),
        (None, true) => return None,
        (None, false) => access::of_pod(
            &|name| table.document().environment(name),
            Path::new(access::SERVICE_ACCOUNT_FOLDER),
        ),
    };
    match made {
        Ok(cluster) => Some(cluster),
        Err(error) => refuse_table(table, error.to_string()),
    }
}

fn object_ref(table: &Table<'_>) -> Option<ObjectRef> {
    let api_version = table.required("apiVersion", Value::api_version);
    let kind = table.required("kind", Value::kind);
    let name = table.required("name", Value::object_name);
    let namespace = table.get("namespace", Value::object_name);
    let address = table.get("address", Value::word);
    if table.has("namespace") && namespace.is_none() {
        return None;
    }
    Some(ObjectRef {
        api_version: api_version?,
        kind: kind?,
        name: name?,
        namespace: namespace.unwrap_or_default(),
        address,
    })
}

fn destination_of_ref(table: &Table<'_>, reference: Option<ObjectRef>) -> Option<Destination> {
    let uri = table.get("uri", |value| {
        let text = value.string()?;
        let has_scheme = text.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
        if has_scheme || text.starts_with("//") {
            return value.refuse("beside `ref` this is relative to its address, such as \"/path\"");
        }
        match format!("http://host/{}", text.trim_start_matches('/')).parse::<Uri>() {
            Ok(_) => Some(text.to_string()),
            Err(error) => value.refuse(format!("not a relative URL: {error}")),
        }
    });
    if table.has("uri") && uri.is_none() {
        return None;
    }
    Some(Destination::Ref { reference: reference?, uri })
}

/// What a SinkBinding tells the pod.
#[derive(Default)]
struct Binding {
    sink: String,
    extensions: Vec<(Arc<str>, Arc<str>)>,
    ca_certs: Option<Arc<str>>,
    ca_file: Option<PathBuf>,
    timeout: Option<Duration>,
    token: Option<PathBuf>,
    audience: Option<String>,
    service_account: Option<String>,
}

impl Binding {
    /// None when there is no `K_SINK`. What is wrong with its companions is a problem of the section.
    fn of(table: &Table<'_>) -> Option<Binding> {
        let environment = |name: &str| table.document().environment(name).filter(|text| !text.is_empty());
        let there = |path: &str| Path::new(path).exists().then(|| PathBuf::from(path));
        let sink = environment("K_SINK")?;
        if let Err(error) = check_sink(&sink) {
            table.problem(format!("K_SINK: {error}"));
        }
        let ca_certs = environment("K_CA_CERTS").filter(|text| !text.trim().is_empty());
        if let Some(Err(error)) = ca_certs.as_ref().map(|text| crate::pem::certificates_of(text.as_bytes())) {
            table.problem(format!("K_CA_CERTS: {error}"));
        }
        let overrides = environment("K_CE_OVERRIDES").map_or_else(Overrides::default, |text| {
            serde_json::from_str(&text).unwrap_or_else(|error| {
                table.problem(format!("K_CE_OVERRIDES: {error}"));
                Overrides::default()
            })
        });
        for (name, value) in &overrides.extensions {
            if let Err(problem) = extensions::check(name, value) {
                table.problem(format!("K_CE_OVERRIDES: {name:?} {problem}"));
            }
        }
        let timeout = environment("K_SINK_TIMEOUT").and_then(|text| match text.parse::<i64>() {
            // None, to Knative; here the default holds, for no wait is endless.
            Ok(seconds) => {
                u64::try_from(seconds).ok().filter(|seconds| 0 < *seconds).map(Duration::from_secs)
            }
            Err(_) => refuse_table(table, format!("K_SINK_TIMEOUT: {text:?} is no number of seconds")),
        });
        Some(Binding {
            sink,
            extensions: overrides
                .extensions
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            ca_certs: ca_certs.map(Into::into),
            ca_file: there(BINDING_CA_FILE),
            timeout: timeout.map(|timeout| timeout.min(limits::CONFIG_DURATION_MAX)),
            token: there(BINDING_TOKEN),
            audience: environment("K_AUDIENCE"),
            service_account: environment("K_OIDC_SERVICE_ACCOUNT"),
        })
    }
}

/// `K_CE_OVERRIDES`; what else may stand in it is not known.
#[derive(Default, Deserialize)]
struct Overrides {
    #[serde(default)]
    extensions: std::collections::BTreeMap<String, String>,
}

impl Value<'_> {
    /// `v1`, or group and version such as `eventing.knative.dev/v1`.
    fn api_version(&self) -> Option<String> {
        let text = self.string()?;
        let (group, version) = text.split_once('/').map_or(("", text), |(group, version)| (group, version));
        let group_fits = !text.contains('/') || is_subdomain(group);
        if group_fits && is_label(version) {
            Some(text.to_string())
        } else {
            self.refuse(format!("{text:?} is no version of an API such as \"eventing.knative.dev/v1\""))
        }
    }

    fn kind(&self) -> Option<String> {
        let text = self.string()?;
        let fits = text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits {
            Some(text.to_string())
        } else {
            self.refuse(format!("{text:?} is no kind such as \"Broker\""))
        }
    }

    /// The name of an object or a namespace: it becomes a part of a path.
    fn object_name(&self) -> Option<String> {
        let text = self.string()?;
        if is_subdomain(text) {
            Some(text.to_string())
        } else {
            self.refuse(format!("{text:?} cannot be a name: lower-case letters, digits, `-` and `.`"))
        }
    }
}

#[cfg(test)]
mod tests;
