//! The sections of a file that are the same whatever its kinds: what every source, processor and
//! endpoint has.
//!
//! A kind is a row of a table and a function that asks for the keys of its own. All keys are read
//! before the first `?`, so that every problem of a section is found.

use std::time::Duration;

use super::reader::{Table, Value};
use super::secret::Secret;
use super::values::refuse_table;
use super::{BasicAuth, ConnectionConfig, MetricsConfig, ProcessorConfig, SourceConfig, TlsConfig, identity};
use crate::limits;

/// The kinds of sources and processors that a file can name.
pub(crate) struct Kinds<S: 'static, P: 'static> {
    pub(crate) sources: &'static [SourceKind<S>],
    pub(crate) processors: &'static [ProcessorKind<P>],
}

/// A kind of sources.
pub(crate) struct SourceKind<S> {
    /// Its word: the `type` of a section.
    pub(crate) word: &'static str,
    /// What it promises where the section does not say `checkpoint`.
    pub(crate) at_least_once: bool,
    /// Whether its events can be read again from a point in time: only then there is a position to keep.
    pub(crate) has_history: bool,
    /// Reads the keys of its own.
    pub(crate) read: fn(&Table<'_>) -> Option<S>,
}

pub(crate) struct ProcessorKind<P> {
    /// Its word: the `type` of a section.
    pub(crate) word: &'static str,
    /// Reads the keys of its own.
    pub(crate) read: fn(&Table<'_>) -> Option<P>,
}

/// Shortest deadline and longest-wait setting that makes sense.
pub(crate) const WAIT_MIN: Duration = Duration::from_millis(1);

/// `[source.NAME]`.
pub(super) fn source<S>(name: &str, table: &Table<'_>, kinds: &[SourceKind<S>]) -> Option<SourceConfig<S>> {
    let words: Vec<_> = kinds.iter().map(|kind| (kind.word, kind)).collect();
    let Some(kind) = table.required_word("type", &words) else {
        return table.unjudged();
    };
    let checkpoint = table.get("checkpoint", Value::boolean);
    let (mut replay_max, mut overlap) = (None, None);
    if kind.has_history {
        replay_max = table.get("replay_max", |value| value.duration(WAIT_MIN));
        overlap = table.get("overlap", |value| value.duration_up_to(limits::OVERLAP_MAX));
    }
    let settings = (kind.read)(table)?;
    Some(SourceConfig {
        name: name.to_string(),
        checkpoint: checkpoint.unwrap_or(kind.at_least_once),
        has_history: kind.has_history,
        replay_max,
        overlap: overlap.unwrap_or(limits::OVERLAP_DEFAULT),
        type_name: kind.word,
        settings,
    })
}

/// `[processor.NAME]`.
pub(super) fn processor<P>(
    name: &str,
    table: &Table<'_>,
    kinds: &[ProcessorKind<P>],
) -> Option<ProcessorConfig<P>> {
    let words: Vec<_> = kinds.iter().map(|kind| (kind.word, kind)).collect();
    let Some(kind) = table.required_word("type", &words) else {
        return table.unjudged();
    };
    Some(ProcessorConfig { name: name.to_string(), type_name: kind.word, settings: (kind.read)(table)? })
}

/// `[metrics]`.
pub(super) fn metrics(table: &Table<'_>) -> Option<MetricsConfig> {
    let bind = table.required("bind", Value::bind_address);
    let username = table.get("username", Value::secret);
    let password = table.get("password", Value::secret);
    let auth = match (table.has("username"), table.has("password")) {
        (false, false) => None,
        (true, true) => Some(BasicAuth { username: username?, password: password? }),
        _ => return refuse_table(table, "holds only one of `username` and `password`, expected both"),
    };
    Some(MetricsConfig { bind: bind?, auth })
}

/// How the router proves itself to a sink.
#[derive(Clone, Debug, Default)]
pub(crate) enum SinkAuth {
    /// Not at all.
    #[default]
    None,
    /// Basic authentication.
    Basic { username: Secret, password: Secret },
    /// A bearer token.
    Bearer(Secret),
}

/// `username` and `password`, or `token`, or nothing.
pub(crate) fn sink_auth(table: &Table<'_>) -> Option<SinkAuth> {
    let username = table.get("username", Value::secret);
    let password = table.get("password", Value::secret);
    let token = table.get("token", Value::secret);
    match (table.has("username"), table.has("password"), table.has("token")) {
        (false, false, false) => Some(SinkAuth::None),
        (true, true, false) => Some(SinkAuth::Basic { username: username?, password: password? }),
        (false, false, true) => Some(SinkAuth::Bearer(token?)),
        (_, _, true) => refuse_table(table, "holds `token` beside `username` or `password`, expected either"),
        _ => refuse_table(table, "holds only one of `username` and `password`, expected both"),
    }
}

/// The keys that every endpoint has: `proxy` and `tls`.
pub(crate) fn connection(table: &Table<'_>) -> ConnectionConfig {
    let proxy = table.get("proxy", Value::proxy);
    let tls = table.get("tls", |value| value.table(tls));
    ConnectionConfig { proxy, tls: tls.unwrap_or_default() }
}

fn tls(table: &Table<'_>) -> Option<TlsConfig> {
    let ca_files = table.get("ca_file", Value::certificates).unwrap_or_default();
    let pin_sha256 = table.get("pin_sha256", |value| value.list("an array of SHA-256 values", Value::pin));
    let server_name = table.get("server_name", Value::server_name);
    let insecure = table.get("insecure", Value::boolean).unwrap_or_default();
    let identity = identity::of_table(table);
    if insecure && (table.has("ca_file") || table.has("pin_sha256") || table.has("server_name")) {
        table.warning(
            "`insecure` accepts every certificate: `ca_file`, `pin_sha256` and `server_name` decide nothing",
        );
    }
    let pin_sha256 = pin_sha256.unwrap_or_default();
    Some(TlsConfig {
        ca_files,
        pin_sha256,
        server_name,
        insecure,
        identity: identity?,
        ..TlsConfig::default()
    })
}
