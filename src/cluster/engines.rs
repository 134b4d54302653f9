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
