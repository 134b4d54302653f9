//! The resolved configuration: what the router runs on, after every check of the file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) mod aws;
pub mod file;
mod kinds;
mod knative;
pub mod kubernetes;
pub mod legacy;
pub(crate) mod load;
pub(crate) mod nearest;
mod pattern;
pub mod problem;
mod reader;
mod reload;
mod routes;
pub mod secret;
mod tree;
pub(crate) mod url;
mod values;
mod yaml;

use aws::{AwsKeys, RuleArn};
use kubernetes::{ClusterConfig, ObjectRef};
use problem::Problem;
use secret::{LiveSecret, Secret};

use crate::limits;
use crate::pattern::Pattern;

/// Everything a run needs.
#[derive(Debug)]
pub struct Config {
    /// The file it came from, for messages.
    pub(crate) file: PathBuf,
    /// Checkpoints, dead letters and the lock.
    pub(crate) state_dir: PathBuf,
    /// Time for in-flight deliveries when stopping.
    pub(crate) shutdown_grace: Duration,
    /// Where events come from, by name in the file's order.
    pub sources: Vec<SourceConfig>,
    /// Where they go, likewise.
    pub processors: Vec<ProcessorConfig>,
    /// Which goes where, likewise.
    pub routes: Vec<RouteConfig>,
    /// Where the router can be watched, if anywhere.
    pub(crate) metrics: Option<MetricsConfig>,
    /// What is logged and how.
    pub(crate) log: LogConfig,
    /// What is odd in the file, but no reason to refuse it: said once at start.
    pub(crate) warnings: Vec<Problem>,
    /// All secrets by their keys, such as `source.vc01.password`: those that the sections hold too.
    pub(crate) secrets: Vec<(String, LiveSecret)>,
}

/// `[source.NAME]`.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The name in the file.
    pub(crate) name: String,
    /// At-least-once (true) or at-most-once.
    pub(crate) checkpoint: bool,
    /// Bound on replay after downtime; none means unbounded.
    pub(crate) replay_max: Option<Duration>,
    /// How far behind the position events are still delivered that are recorded late.
    pub(crate) overlap: Duration,
    /// The word of its `type`.
    pub(crate) type_name: &'static str,
    /// What kind it is.
    pub(crate) kind: SourceKind,
}

/// The kinds of sources.
#[derive(Clone, Debug)]
pub(crate) enum SourceKind {
    /// `vcenter` or `vcsim`.
    Vcenter(VcenterConfig),
}

/// Settings of a vCenter.
#[derive(Clone, Debug)]
pub struct VcenterConfig {
    /// `https://host/sdk`: scheme and path filled in, user information refused.
    pub address: String,
    /// The account.
    pub username: Secret,
    /// Its password.
    pub password: Secret,
    /// Events per page, 1 to 1000.
    pub page_size: usize,
    /// How the connection is made.
    pub connection: ConnectionConfig,
}

/// How an endpoint is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConnectionConfig {
    /// `http://[user:password@]host:port` of a proxy; never taken from the environment.
    pub proxy: Option<String>,
    /// How the peer is authenticated.
    pub tls: TlsConfig,
}

/// The proxy's user and password stay hidden.
impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy =
            self.proxy.as_deref().map(|url| url.rsplit_once(['@', '/']).map_or(url, |(_, host)| host));
        f.debug_struct("ConnectionConfig").field("proxy", &proxy).field("tls", &self.tls).finish()
    }
}

/// `tls`: whom to believe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM bundles that are trusted beside the system's roots; read again at every connect.
    pub ca_files: Vec<PathBuf>,
    /// SHA-256 of certificates that are accepted whatever signed them.
    pub pin_sha256: Vec<[u8; 32]>,
    /// The name to ask for and to verify, if it is not the host of the address.
    pub server_name: Option<String>,
    /// Accept anything. Warned about.
    pub insecure: bool,
    /// PEM certificates that are trusted like those of `ca_files`, and come from elsewhere.
    pub ca_text: Option<Arc<str>>,
    /// The system's roots are not trusted.
    pub private: bool,
    /// The certificate with which the router shows who it is, if the peer asks.
    pub identity: Option<TlsIdentity>,
}

/// A certificate of ours and its key, both PEM; files are read again at every connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsIdentity {
    /// The certificate, and those between it and its authority.
    pub(crate) certificate: Secret,
    /// Its private key.
    pub(crate) key: Secret,
}

/// `[processor.NAME]`.
#[derive(Clone, Debug)]
pub struct ProcessorConfig {
    /// The name in the file.
    pub(crate) name: String,
    /// What kind it is.
    pub(crate) kind: ProcessorKind,
}

/// The kinds of processors.
#[derive(Clone, Debug)]
pub(crate) enum ProcessorKind {
    /// One JSON line per event on standard output.
    Stdout,
    /// A Knative destination or any CloudEvents endpoint.
    Knative(KnativeConfig),
    /// A bus of AWS EventBridge.
    Eventbridge(EventbridgeConfig),
    /// The functions of an OpenFaaS gateway.
    Openfaas(OpenfaasConfig),
}

/// Settings of a bus of AWS EventBridge.
#[derive(Clone, Debug)]
pub(crate) struct EventbridgeConfig {
    /// The region of the bus.
    pub(crate) region: String,
    /// Name or ARN of the bus; none means that of the rule, or the default bus.
    pub(crate) event_bus: Option<String>,
    /// Only what this rule matches is sent.
    pub(crate) rule: Option<RuleArn>,
    /// How often the rule is read again.
    pub(crate) refresh: Duration,
    /// Keys; none means the AWS credential chain.
    pub(crate) keys: Option<AwsKeys>,
    /// The profile of the shared files, in place of what the environment says.
    pub(crate) profile: Option<String>,
    /// Address in place of the region's.
    pub(crate) endpoint: Option<String>,
    /// Use the endpoint with FIPS 140 cryptography.
    pub(crate) fips: bool,
    /// Use the endpoint with IPv4 and IPv6.
    pub(crate) dual_stack: bool,
    /// Bytes of one request, as EventBridge counts them.
    pub(crate) bytes_max: u64,
    /// Deadline of one delivery.
    pub(crate) timeout: Duration,
    /// How the connection is made.
    pub(crate) connection: ConnectionConfig,
}

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
    pub extensions: Vec<(Arc<str>, Arc<str>)>,
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
            extensions: Vec::new(),
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
        /// The object.
        reference: ObjectRef,
        /// A URL relative to its address.
        uri: Option<String>,
    },
}

/// Settings of an OpenFaaS gateway.
#[derive(Clone, Debug)]
pub(crate) struct OpenfaasConfig {
    /// `http://host:port` of the gateway, with a path in front of its routes or without.
    pub(crate) address: String,
    /// Functions are invoked through the gateway's queue: an acknowledgement means queued, not run.
    pub(crate) asynchronous: bool,
    /// How the router proves itself where the functions are listed.
    pub(crate) auth: GatewayAuth,
    /// Deadline of one invocation.
    pub(crate) timeout: Duration,
    /// How often the functions are listed.
    pub(crate) refresh: Duration,
    /// `Content-Type` of invocations; absent where there is none, which functions of the Go router
    /// rely on.
    pub(crate) content_type: Option<String>,
    /// Where the gateway's queue posts what a function answered.
    pub(crate) callback_url: Option<String>,
    /// How the connection is made.
    pub(crate) connection: ConnectionConfig,
}

/// Who the router is for a gateway's `/system` routes.
#[derive(Clone, Debug, Default)]
pub(crate) enum GatewayAuth {
    /// Nobody.
    #[default]
    None,
    /// Basic authentication.
    Basic {
        /// The account, mostly `admin`.
        username: Secret,
        /// Its password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
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

/// `[route.NAME]`.
#[derive(Clone, Debug)]
pub struct RouteConfig {
    /// The name in the file; it names the files of the route's state.
    pub name: String,
    /// Name of the source.
    pub from: String,
    /// Name of the processor.
    pub to: String,
    /// Event names, `*` allowed; empty means all.
    pub types: Vec<String>,
    /// The event pattern that the CloudEvents must match, if any.
    pub pattern: Option<Arc<Pattern>>,
    /// Which events must stay in order.
    pub order: Order,
    /// Worker threads.
    pub workers: usize,
    /// Shape of the CloudEvents.
    pub format: Format,
    /// When failed deliveries are repeated.
    pub retry: RetryConfig,
    /// Bytes of the dead-letter file; a full file holds the route.
    pub dead_letter_bytes_max: u64,
}

/// Which events must stay in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those of one object.
    #[default]
    Entity,
    /// All.
    Strict,
    /// None.
    None,
}

/// Shape of the CloudEvents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As the Go VMware Event Router.
    #[default]
    Router,
    /// As the Knative VSphereSource.
    Vspheresource,
}

/// When failed deliveries are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Wait before the first repetition; doubles each time.
    pub(crate) first: Duration,
    /// Longest wait.
    pub(crate) max: Duration,
    /// After this time a retryable failure becomes a dead letter; none means never.
    pub(crate) give_up_after: Option<Duration>,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig { first: Duration::from_millis(200), max: Duration::from_secs(30), give_up_after: None }
    }
}

/// `[metrics]`.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// `host:port` to listen on.
    pub bind: String,
    /// Who may see more than whether the router lives and is ready; none means everybody.
    pub auth: Option<BasicAuth>,
}

/// An account of Basic authentication.
#[derive(Clone, Debug)]
pub struct BasicAuth {
    /// The account.
    pub(crate) username: Secret,
    /// Its password.
    pub(crate) password: Secret,
}

/// `[log]`, with the command line already applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// The least important level that is logged.
    pub(crate) level: log::LevelFilter,
    /// How a line looks.
    pub(crate) format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests;
