//! The settings of a webhook, and how its section is read.

use std::sync::Arc;
use std::time::Duration;

use super::access::AccessConfig;
use super::hub::Hub;
use super::plain::{self, PlainConfig};
use crate::config::BasicAuth;
use crate::config::reader::{Table, Value};
use crate::config::secret::SecretUse;
use crate::config::sections::WAIT_MIN;
use crate::config::values::refuse_table;
use crate::http::server::guard::ServerAuth;
use crate::http::server::tls::{ServerTls, ServerTlsConfig};
use crate::limits::{
    SERVER_BODY_BYTES_MAX, WEBHOOK_BODY_BYTES_MIN, WEBHOOK_PATH_DEFAULT, WEBHOOK_TIMEOUT_DEFAULT,
};

#[derive(Clone, Debug)]
pub(crate) struct WebhookConfig {
    /// `host:port` to listen on.
    pub(super) bind: String,
    /// Where events are posted, with a slash before it.
    pub(super) path: String,
    /// Who may send.
    pub(super) access: AccessConfig,
    /// How long a sender is kept waiting.
    pub(super) timeout: Duration,
    /// Bytes of the body of a request.
    pub(super) body_bytes_max: usize,
    /// How JSON that is no CloudEvent becomes one, if it may.
    pub(super) event: Option<PlainConfig>,
    /// The certificate that is shown to senders, if they speak TLS.
    pub(super) tls: Option<ServerTlsConfig>,
    /// What all routes from it share.
    pub(super) hub: Arc<Hub>,
}

impl WebhookConfig {
    /// What senders write before its address.
    pub(super) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Reads the keys of a section.
pub(crate) fn read(table: &Table<'_>) -> Option<WebhookConfig> {
    let bind = table.required("bind", Value::bind_address);
    let path = table.get("path", path);
    let access = access(table);
    let timeout = table.get("timeout", |value| value.duration(WAIT_MIN));
    let event = table.get("event", |value| value.table(plain::read));
    let tls = table.get("tls", |value| value.table(tls));
    let body_max = table.get("body_max", |value| value.size(WEBHOOK_BODY_BYTES_MIN));
    let body_bytes_max = match body_max.map(usize::try_from) {
        Some(Ok(bytes)) if bytes <= SERVER_BODY_BYTES_MAX => bytes,
        Some(_) => return refuse_table(table, "`body_max` is at most \"1MiB\""),
        None => SERVER_BODY_BYTES_MAX,
    };
    Some(WebhookConfig {
        bind: bind?,
        path: path.unwrap_or_else(|| WEBHOOK_PATH_DEFAULT.to_string()),
        access: access?,
        timeout: timeout.unwrap_or(WEBHOOK_TIMEOUT_DEFAULT),
        body_bytes_max,
        event: if table.has("event") { Some(event?) } else { None },
        tls: if table.has("tls") { Some(tls?) } else { None },
        hub: Arc::default(),
    })
}

fn access(table: &Table<'_>) -> Option<AccessConfig> {
    let username = table.get("username", Value::secret);
    let password = table.get("password", Value::secret);
    let token = table.get("token", Value::secret);
    let signature = table.get("signature", |value| value.table(signature));
    match (table.has("username") || table.has("password"), table.has("token"), table.has("signature")) {
        (false, false, false) => Some(AccessConfig::Open),
        (true, false, false) if table.has("username") && table.has("password") => {
            let auth = BasicAuth { username: username?, password: password? };
            Some(AccessConfig::Credentials(ServerAuth::Basic(auth)))
        }
        (true, false, false) => {
            refuse_table(table, "holds only one of `username` and `password`, expected both")
        }
        (false, true, false) => Some(AccessConfig::Credentials(ServerAuth::Bearer(token?))),
        (false, false, true) => signature,
        _ => refuse_table(table, "holds more than one of `username`, `token` and `signature`"),
    }
}

fn tls(table: &Table<'_>) -> Option<ServerTlsConfig> {
    let cert_file = table.required("cert_file", Value::path);
    let key_file = table.required("key_file", Value::path);
    let tls = ServerTlsConfig { cert_file: cert_file?, key_file: key_file? };
    let is_used = table.document().secret_use() == SecretUse::Needed;
    match ServerTls::new(&tls) {
        Err(error) if is_used => refuse_table(table, error.to_string()),
        _ => Some(tls),
    }
}

fn signature(table: &Table<'_>) -> Option<AccessConfig> {
    let header = table.required("header", |value| {
        let text = value.string()?;
        let is_name = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if is_name { Some(text.to_string()) } else { value.refuse("is not the name of an HTTP field") }
    });
    let key = table.required("key", Value::secret);
    Some(AccessConfig::Signature { header: header?, key: key? })
}

fn path(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let is_path = text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'"'));
    if !is_path {
        return value.refuse(format!("{text:?} is not a path such as \"/webhook\""));
    }
    Some(text.to_string())
}
