//! The resolved configuration: what the router runs on, after every check of the file.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) mod cluster;
mod control;
pub mod file;
mod identity;
pub mod legacy;
pub(crate) mod load;
pub(crate) mod names;
pub(crate) mod nearest;
pub(crate) mod pattern;
pub mod problem;
pub(crate) mod reader;
mod reload;
mod routes;
pub mod secret;
pub(crate) mod sections;
mod syntax;
pub(crate) mod transform;
mod tree;
pub(crate) mod url;
pub(crate) mod values;
pub(crate) mod yaml;

use problem::Problem;
use secret::{LiveSecret, Secret};

use crate::pattern::Pattern;

/// Everything a run needs. `S` and `P` are the settings of sources and processors: which kinds of them
/// there are is not the reader's to know, but the table's of whoever reads.
#[derive(Debug)]
pub struct Config<S, P> {
    /// The file it came from, for messages.
    pub(crate) file: PathBuf,
    /// Checkpoints, dead letters and the lock.
    pub(crate) state_dir: PathBuf,
    /// Time for in-flight deliveries when stopping.
    pub(crate) shutdown_grace: Duration,
    /// Where events come from, by name in the file's order.
    pub sources: Vec<SourceConfig<S>>,
    /// Where they go, likewise.
    pub processors: Vec<ProcessorConfig<P>>,
    /// Which goes where, likewise.
    pub routes: Vec<RouteConfig>,
    /// With whom the routes are shared, if with anybody.
    pub(crate) cluster: Option<cluster::ClusterSection>,
    /// Where the router can be watched, if anywhere.
    pub(crate) metrics: Option<MetricsConfig>,
    /// What is logged and how.
    pub(crate) log: LogConfig,
    /// What is odd in the file, but no reason to refuse it: said once at start.
    pub(crate) warnings: Vec<Problem>,
    /// All secrets by their keys, such as `source.vc01.password`: those that the sections hold too.
    secrets: Vec<(String, LiveSecret)>,
}

/// `[source.NAME]`.
#[derive(Clone, Debug)]
pub struct SourceConfig<S> {
    /// The name in the file.
    pub(crate) name: String,
    /// At-least-once (true) or at-most-once.
    pub(crate) checkpoint: bool,
    /// Its events can be read again from a point in time.
    pub(crate) has_history: bool,
    /// Bound on replay after downtime; none means unbounded.
    pub(crate) replay_max: Option<Duration>,
    /// How far behind the position events are still delivered that are recorded late.
    pub(crate) overlap: Duration,
    /// The word of its `type`.
    pub(crate) type_name: &'static str,
    /// What its kind alone has.
    pub(crate) settings: S,
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
pub struct ProcessorConfig<P> {
    /// The name in the file.
    pub(crate) name: String,
    /// The word of its `type`.
    pub(crate) type_name: &'static str,
    /// What its kind alone has.
    pub(crate) settings: P,
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
    pub workers: Option<usize>,
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
    pub(crate) username: Secret,
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
