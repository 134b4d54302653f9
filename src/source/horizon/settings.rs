//! The settings of a Horizon pod, and how its section is read.

use crate::config::ConnectionConfig;
use crate::config::reader::{Table, Value};
use crate::config::secret::Secret;
use crate::config::sections::connection;
use crate::config::url::Url;

/// Settings of a pod of Horizon.
#[derive(Clone, Debug)]
pub(crate) struct HorizonConfig {
    /// As it stands in `source` of the events: `https://host`.
    pub(super) address: String,
    /// Further connection servers of the same pod, which have the same events.
    pub(super) fallback: Vec<String>,
    pub(super) domain: String,
    pub(super) username: Secret,
    pub(super) password: Secret,
    /// Whether the extended attributes are asked for.
    pub(super) details: bool,
    pub(super) connection: ConnectionConfig,
}

/// Reads the keys of a section.
pub(crate) fn read(table: &Table<'_>) -> Option<HorizonConfig> {
    let fallback = table.get("fallback", |value| value.list("an array of addresses", address));
    let address = table.required("address", address);
    let domain = table.required("domain", |value| value.string().map(str::to_string));
    let username = table.required("username", Value::secret);
    let password = table.required("password", Value::secret);
    let details = table.get("details", Value::boolean);
    let connection = connection(table);
    Some(HorizonConfig {
        address: address?,
        fallback: fallback.unwrap_or_default(),
        domain: domain?,
        username: username?,
        password: password?,
        details: details.unwrap_or_default(),
        connection,
    })
}

/// The address of a connection server: scheme `https` is filled in, a path is refused.
fn address(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let full = if text.contains("://") { text.to_string() } else { format!("https://{text}") };
    let url = Url::parse(&full).and_then(|url| url.without_user(", write `username` and `password` instead"));
    match url {
        Ok(url) if url.has_query || !matches!(url.path.as_str(), "" | "/") => {
            value.refuse(format!("write {}://{} alone: the router adds the paths", url.scheme, url.authority))
        }
        Ok(url) => {
            value.warn_about_port(&url);
            Some(format!("{}://{}", url.scheme, url.authority))
        }
        Err(error) => value.refuse(error),
    }
}
