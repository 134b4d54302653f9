//! How a Kubernetes cluster is asked: as the pod that the router runs in, or as a kubeconfig says.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::secret::Secret;
use super::url::Url;
use super::{ConnectionConfig, TlsConfig, TlsIdentity};
use crate::error::{Context, Error, Result, io_text};
use crate::text_file::text_of;

/// Where a pod finds its service account.
pub(crate) const SERVICE_ACCOUNT_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Access to the API server of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// `https://host:port`, perhaps with a path, without `/` at its end.
    pub(crate) server: String,
    /// How it is reached.
    pub(crate) connection: ConnectionConfig,
    /// The bearer token, read again for every request.
    pub(crate) token: Option<Secret>,
    /// The namespace that is meant where none is named.
    pub namespace: String,
    /// The domain of the cluster's own names, where a pod's search list does not tell it.
    pub(crate) domain: Option<String>,
}

/// An object that takes events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// Group and version, such as `eventing.knative.dev/v1`; only the version for the core.
    pub api_version: String,
    /// Such as `Broker`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The name of the address that is wanted, if it has several.
    pub address: Option<String>,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}/{}", self.api_version, self.kind, self.namespace, self.name)
    }
}

/// The access of a pod: address from its environment, the rest from its service account's folder.
///
/// # Errors
/// When this is no pod, or it has no service account.
pub fn of_pod(environment: &dyn Fn(&str) -> Option<String>, folder: &Path) -> Result<ClusterConfig> {
    let variable = |name: &str| environment(name).filter(|text| !text.is_empty());
    let host = variable("KUBERNETES_SERVICE_HOST").ok_or_else(|| {
        Error::new(
            "the Kubernetes API must be asked, and this is no pod of a cluster (KUBERNETES_SERVICE_HOST is \
             not set): set `kubeconfig`, or `uri` in place of `ref`",
        )
    })?;
    let port = variable("KUBERNETES_SERVICE_PORT_HTTPS").or_else(|| variable("KUBERNETES_SERVICE_PORT"));
    let port = port.unwrap_or_else(|| "443".to_string());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let server = format!("https://{host}:{port}");
    Url::parse(&server).map_err(Error::new).context(|| format!("the Kubernetes API at {server}"))?;
    let missing = || "the pod has no service account (automountServiceAccountToken: true mounts it)";
    let ca_file = folder.join("ca.crt");
    crate::pem::read_bundle(&ca_file).and_then(|text| crate::pem::certificates_of(&text)).context(missing)?;
    let token = Secret::File(folder.join("token"));
    token.read().context(missing)?;
    let namespace = Secret::File(folder.join("namespace")).read().context(missing)?;
    let tls = TlsConfig { ca_files: vec![ca_file], private: true, ..TlsConfig::default() };
    Ok(ClusterConfig {
        server,
        connection: ConnectionConfig { proxy: None, tls },
        token: Some(token),
        namespace,
        domain: variable("CLUSTER_DOMAIN"),
    })
}

/// The access that the current context of a kubeconfig describes.
///
/// # Errors
/// When the file cannot be read or says what is not supported.
pub(crate) fn of_kubeconfig(path: &Path) -> Result<ClusterConfig> {
    let intent = || format!("kubeconfig {}", path.display());
    let bytes = std::fs::read(path).map_err(|error| io_text(&error)).context(intent)?;
    let text = text_of(&bytes).map_err(Error::from).context(intent)?;
    let file = super::yaml::from_str::<Kubeconfig>(text).context(intent)?;
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

/// A part of a DNS name, as Kubernetes wants it.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| inner(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| inner(*byte))
        && bytes.last().is_some_and(|byte| inner(*byte))
}

/// A DNS name of one or more parts.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}
