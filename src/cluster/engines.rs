//! The engines that there are.

use std::sync::Arc;

use super::engine::Engine;
use super::etcd::EtcdEngine;
use super::kubernetes::KubernetesEngine;
use crate::config::cluster::{ClusterSection, EngineSection};
use crate::error::Result;
use crate::finding::Finding;

/// The engine that the section names, not asked yet.
///
/// # Errors
/// When its settings cannot be used.
pub(super) fn open(section: &ClusterSection) -> Result<Arc<dyn Engine>> {
    Ok(match &section.engine {
        EngineSection::Kubernetes { kubeconfig } => {
            Arc::new(KubernetesEngine::new(section, kubeconfig.as_deref())?)
        }
        EngineSection::Etcd(etcd) => Arc::new(EtcdEngine::new(section, etcd)?),
    })
}

/// Whether this router can be a member.
///
/// # Errors
/// When the settings cannot be used, or there is no answer.
pub(crate) fn probe(section: &ClusterSection) -> Result<Finding> {
    let engine = open(section)?;
    let missing = engine.missing_rights().map_err(|trouble| trouble.error)?;
    let home = engine.home();
    Ok(match missing.is_empty() {
        true => Finding::Good(format!(
            "{home} can be used; this router is {} in the cluster {}",
            section.identity, section.name
        )),
        false => Finding::Failed(format!("{home}: the router's account lacks {}", missing.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::lease::{Call, Subject};
    use crate::config::ConnectionConfig;
    use crate::config::cluster::EtcdSection;
    use crate::http::server::{Answer, Reply, Server, ServerSettings};
    use crate::temporary::TemporaryFolder;

    fn engines_of(url: &str, folder: &TemporaryFolder) -> [Arc<dyn Engine>; 2] {
        let kubeconfig = folder.path().join("kubeconfig");
        let text = format!(
            r#"{{"clusters": [{{"name": "k", "cluster": {{"server": "{url}"}}}}], "users": [],
            "contexts": [{{"name": "c", "context": {{"cluster": "k", "namespace": "n"}}}}], "current-context": "c"}}"#
        );
        std::fs::write(&kubeconfig, text).unwrap();
        let connection = ConnectionConfig::default();
        let (endpoints, prefix) = (vec![url.to_string()], "/e/".to_string());
        let etcd = EtcdSection { endpoints, auth: None, prefix, connection };
        [EngineSection::Kubernetes { kubeconfig: Some(kubeconfig) }, EngineSection::Etcd(Box::new(etcd))].map(
            |engine| {
                open(&ClusterSection {
                    name: "default".to_string(),
                    identity: "a".to_string(),
                    lease: Duration::from_secs(15),
                    checkpoint_interval: Duration::from_secs(1),
                    engine,
                })
                .unwrap()
            },
        )
    }

    #[test]
    fn what_is_no_answer_of_the_engine_tells_of_nothing_that_it_is_missing() {
        let folder = TemporaryFolder::new("engines").unwrap();
        for body in ["<html>log in</html>", "{}", "[]", "null", "\"ok\"", "", "{\"items\":{},\"header\":[]}"]
        {
            let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |_| {
                Reply::Answer(Answer::text(200, body))
            });
            let server = server.unwrap();
            for engine in engines_of(&format!("http://{}", server.address()), &folder) {
                assert_eq!(engine.list().unwrap_err().reason, "malformed", "{body}");
                for call in [Call::ReadLease, Call::ReadRecord] {
                    let asked = engine.ask(&Subject::Route("r".to_string()), &call);
                    assert_eq!(asked.unwrap_err().reason, "malformed", "{body}");
                }
            }
        }
    }
}
