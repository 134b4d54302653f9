//! The settings of a vCenter, and how its section is read.

use crate::config::ConnectionConfig;
use crate::config::reader::{Table, Value};
use crate::config::secret::Secret;
use crate::config::sections::connection;
use crate::config::url::Url;
use crate::limits;

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

/// Reads the keys of a section.
pub(crate) fn read(table: &Table<'_>) -> Option<VcenterConfig> {
    let address = table.required("address", address);
    let username = table.required("username", Value::secret);
    let password = table.required("password", Value::secret);
    let page_size = table.get("page_size", |value| value.integer(1..=limits::PAGE_EVENTS_MAX));
    let connection = connection(table);
    Some(VcenterConfig {
        address: address?,
        username: username?,
        password: password?,
        page_size: page_size.unwrap_or(limits::PAGE_EVENTS_MAX),
        connection,
    })
}

/// A port or a scheme at which vCenter does not serve its API.
fn warn_about_service(value: &Value<'_>, url: &Url) {
    let (host, port) = match url.authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (url.authority.as_str(), ""),
    };
    let other = match port {
        "5480" => "the appliance's own management",
        "9443" => "the web client of old releases",
        "902" => "the hosts' own service",
        _ => return,
    };
    value.warning(format!("port {port} is for {other}: write https://{host}, unless it is vCenter's here"));
}

/// The address of a vCenter: scheme `https` and path `/sdk` are filled in.
fn address(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let full = if text.contains("://") { text.to_string() } else { format!("https://{text}") };
    let url = Url::parse(&full).and_then(|url| url.without_user(", write `username` and `password` instead"));
    match url {
        Ok(url) if url.has_query => value.refuse("must not have a query"),
        Ok(url) => {
            let path = url.path.trim_end_matches('/');
            let place = format!("{}://{}", url.scheme, url.authority);
            let first = path.split('/').nth(1).unwrap_or_default();
            if matches!(first, "ui" | "vsphere-client" | "vsphere-ui" | "websso" | "rest" | "api" | "mob") {
                return value.refuse(format!(
                    "/{first} is for browsers and other interfaces: write {place} (the router adds /sdk)"
                ));
            }
            let path = if path.is_empty() { "/sdk" } else { path };
            if !path.ends_with("/sdk") {
                value.warning(format!(
                    "vCenter answers at /sdk, not at {path}: write {place}, unless a proxy maps the path"
                ));
            }
            value.warn_about_port(&url);
            warn_about_service(value, &url);
            Some(format!("{place}{path}"))
        }
        Err(error) => value.refuse(error),
    }
}
