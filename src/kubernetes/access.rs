//! Access to the API server of a cluster, and that of the pod that the router runs in.

use std::path::Path;

use crate::config::secret::Secret;
use crate::config::url::Url;
use crate::config::{ConnectionConfig, TlsConfig};
use crate::error::{Context, Error, Result};

/// Where a pod finds its service account.
pub(crate) const SERVICE_ACCOUNT_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Access to the API server of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// `https://host:port`, perhaps with a path, without `/` at its end.
    pub(crate) server: String,
    pub(crate) connection: ConnectionConfig,
    /// The bearer token, read again for every request.
    pub(crate) token: Option<Secret>,
    /// The namespace that is meant where none is named.
    pub namespace: String,
    /// The domain of the cluster's own names, where a pod's search list does not tell it.
    pub(crate) domain: Option<String>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;

    #[test]
    fn a_pod_knows_its_cluster() {
        let authority = rcgen::generate_simple_self_signed(["authority".to_string()]).unwrap();
        let place = folder("pod");
        let place = place.path();
        let environment = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".to_string()),
            "KUBERNETES_SERVICE_PORT_HTTPS" => Some("6443".to_string()),
            "KUBERNETES_SERVICE_PORT" => Some("1".to_string()),
            _ => None,
        };
        let error = of_pod(&environment, place).unwrap_err().to_string();
        assert!(error.starts_with("the pod has no service account"), "{error}");
        for (name, text) in
            [("ca.crt", authority.cert.pem()), ("token", "t\n".into()), ("namespace", "team".into())]
        {
            std::fs::write(place.join(name), text).unwrap();
        }
        let cluster = of_pod(&environment, place).unwrap();
        assert_eq!((&*cluster.server, &*cluster.namespace), ("https://[fd00::1]:6443", "team"));
        assert!(cluster.connection.tls.private);
    }
}
