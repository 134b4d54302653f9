//! The settings of an OpenFaaS gateway, and how its section is read.

use std::time::Duration;

use crate::config::ConnectionConfig;
use crate::config::reader::{Table, Value};
use crate::config::sections::{SinkAuth, WAIT_MIN, connection, sink_auth};
use crate::config::url::Url;
use crate::limits;

/// Settings of an OpenFaaS gateway.
#[derive(Clone, Debug)]
pub(crate) struct OpenfaasConfig {
    /// `http://host:port` of the gateway, with a path in front of its routes or without.
    pub(crate) address: String,
    /// Functions are invoked through the gateway's queue: an acknowledgement means queued, not run.
    pub(crate) asynchronous: bool,
    /// How the router proves itself where the functions are listed.
    pub(crate) auth: SinkAuth,
    /// Deadline of one invocation.
    pub(crate) timeout: Duration,
    /// How often the functions are listed.
    pub(crate) refresh: Duration,
    /// `Content-Type` of invocations; absent where there is none, which functions of the Go router
    /// rely on.
    pub(crate) content_type: Option<String>,
    /// Where the gateway's queue posts what a function answered.
    pub(crate) callback_url: Option<String>,
    pub(crate) connection: ConnectionConfig,
}

/// Reads the keys of a section.
pub(crate) fn read(table: &Table<'_>) -> Option<OpenfaasConfig> {
    let address = table.required("address", address);
    let asynchronous = table.get("async", Value::boolean).unwrap_or_default();
    let auth = sink_auth(table);
    let timeout = table.get("timeout", |value| value.duration(WAIT_MIN));
    let refresh = table.get("refresh", |value| value.duration(limits::REFRESH_INTERVAL_MIN));
    let content_type = table.get("content_type", Value::media_type);
    let callback_url = table.get("callback_url", Value::http_url);
    if table.has("callback_url") && !asynchronous {
        table.problem("`callback_url` needs `async = true`: only the gateway's queue calls back");
    }
    let connection = connection(table);
    Some(OpenfaasConfig {
        address: address?,
        asynchronous,
        auth: auth?,
        timeout: timeout.unwrap_or(limits::FUNCTION_WAIT_DEFAULT),
        refresh: refresh.unwrap_or(limits::LISTING_INTERVAL_DEFAULT),
        content_type,
        callback_url,
        connection,
    })
}

/// The address of an OpenFaaS gateway, without `/` at its end: a second one there would make the
/// gateway redirect.
fn address(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    match Url::parse(text).and_then(|url| url.without_user(", write `username` and `password` instead")) {
        Ok(url) if url.has_query => value.refuse("must not have a query"),
        Ok(_) => Some(text.trim_end_matches('/').to_string()),
        Err(error) => value.refuse(error),
    }
}
