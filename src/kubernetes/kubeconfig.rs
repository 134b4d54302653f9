//! Access to a cluster as the current context of a kubeconfig describes it.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::access::ClusterConfig;
use crate::config::secret::Secret;
use crate::config::url::Url;
use crate::config::{ConnectionConfig, TlsConfig, TlsIdentity, yaml};
use crate::error::{Context, Error, Result, io_text};
use crate::limits::CONFIG_BYTES_MAX;
use crate::plain_file;
use crate::text_file::text_of;

/// The access that the current context of a kubeconfig describes.
///
/// # Errors
/// When the file cannot be read or says what is not supported.
pub(crate) fn read(path: &Path) -> Result<ClusterConfig> {
    let intent = || format!("kubeconfig {}", path.display());
    let bytes = plain_file::read(path, CONFIG_BYTES_MAX).map_err(|error| io_text(&error)).context(intent)?;
    let text = text_of(&bytes).map_err(Error::from).context(intent)?;
    let file = yaml::from_str::<Kubeconfig>(text).context(intent)?;
    file.resolve(path.parent().unwrap_or(Path::new(""))).context(intent)
}

/// What is read of a kubeconfig (kubernetes.io, "kubeconfig (v1)"); the rest is for other programs.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: KubeContext,
}

#[derive(Deserialize)]
struct KubeContext {
    cluster: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: KubeCluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct KubeCluster {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    #[serde(default)]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    username: Option<serde::de::IgnoredAny>,
    exec: Option<serde::de::IgnoredAny>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

impl Kubeconfig {
    /// Follows the current context; relative paths are relative to `folder`.
    fn resolve(self, folder: &Path) -> Result<ClusterConfig> {
        let missing = |what: &str, name: &str| Error::new(format!("{what} {name:?} is not in it"));
        let wanted = &self.current_context;
        let context = self.contexts.into_iter().find(|context| context.name == *wanted);
        let context = context.ok_or_else(|| missing("the current-context", wanted))?.context;
        let cluster = self.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
        let user = self.users.into_iter().find(|user| user.name == context.user);
        let user = match user {
            Some(user) => user.user,
            None if context.user.is_empty() => User::default(),
            None => return Err(missing("user", &context.user)),
        };
        let url = Url::parse(&cluster.server).and_then(|url| url.without_user(""));
        url.map_err(|error| Error::new(format!("server: {error}")))?;
        let (token, identity) = user.credentials(folder)?;
        Ok(ClusterConfig {
            server: cluster.server.trim_end_matches('/').to_string(),
            connection: cluster.connection(folder, identity)?,
            token,
            namespace: if context.namespace.is_empty() { "default".to_string() } else { context.namespace },
            domain: None,
        })
    }
}

impl KubeCluster {
    fn connection(self, folder: &Path, identity: Option<TlsIdentity>) -> Result<ConnectionConfig> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let data = given(self.certificate_authority_data)
            .map(|data| decode("certificate-authority-data", &data).map(Arc::<str>::from));
        // Data goes before the file, as in Kubernetes' own clients.
        let ca_text = data.transpose()?;
        let ca_file = given(self.certificate_authority).filter(|_| ca_text.is_none());
        let private = ca_text.is_some() || ca_file.is_some();
        Ok(ConnectionConfig {
            proxy: given(self.proxy_url),
            tls: TlsConfig {
                ca_files: ca_file.map(|path| folder.join(path)).into_iter().collect(),
                ca_text,
                private,
                insecure: self.insecure_skip_tls_verify,
                server_name: given(self.tls_server_name),
                identity,
                ..TlsConfig::default()
            },
        })
    }
}

impl User {
    /// A token, or a certificate, or neither. Files go before what is written out, but for a
    /// certificate's data, as in Kubernetes' own clients.
    fn credentials(self, folder: &Path) -> Result<(Option<Secret>, Option<TlsIdentity>)> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let file = |path: String| Secret::File(folder.join(path));
        let (exec, provider) = (self.exec.is_some(), self.auth_provider.is_some());
        if exec || provider || self.username.is_some() {
            let what = if exec {
                "exec"
            } else if provider {
                "auth-provider"
            } else {
                "username"
            };
            return Err(Error::new(format!(
                "its user has `{what}`, which is not supported: use a token, tokenFile or client certificate"
            )));
        }
        let token = given(self.token_file).map(file).or(given(self.token).map(Secret::Literal));
        let part = |name: &str, data: Option<String>, path: Option<String>| match given(data) {
            Some(data) => decode(name, &data).map(|text| Some(Secret::Literal(text))),
            None => Ok(given(path).map(file)),
        };
        let certificate =
            part("client-certificate-data", self.client_certificate_data, self.client_certificate)?;
        let key = part("client-key-data", self.client_key_data, self.client_key)?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok((token, Some(TlsIdentity { certificate, key }))),
            (None, None) => Ok((token, None)),
            _ => Err(Error::new("its user has only one of client certificate and client key")),
        }
    }
}

fn decode(name: &str, data: &str) -> Result<String> {
    let bytes = BASE64_STANDARD.decode(data.trim()).context(|| format!("{name} is not base64"))?;
    String::from_utf8(bytes).map_err(|_| Error::new(format!("{name} is not PEM")))
}

#[cfg(test)]
mod tests;
