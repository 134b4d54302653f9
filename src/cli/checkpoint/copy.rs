//! `router checkpoint copy`: positions from the state folder into the cluster, and back.

use super::{Checkpoint, Progress, decode, encode};
use crate::cluster::claim::Claim;
use crate::config::RouteConfig;
use crate::config::cluster::ClusterSection;
use crate::error::{Context, Error, Result};
use crate::kinds::{self, Config};
use crate::position::file::CheckpointFile;
use crate::position::go::GoCheckpoint;
use crate::position::lock::StateLock;
use crate::router::is_shared;

/// The text to print about these routes.
///
/// # Errors
/// When there is no cluster, somebody runs a route, or what is copied cannot be read or written.
pub(super) fn copy(config: &Config, routes: &[&RouteConfig], to_cluster: bool) -> Result<String> {
    let section = config.cluster.as_ref();
    let section = section.ok_or_else(|| Error::new("there is no [cluster] in the configuration"))?;
    let _lock = StateLock::take(&config.state_dir).context(|| "copy checkpoints")?;
    let mut told = String::new();
    for route in routes.iter().filter(|route| is_shared(config, &route.name)) {
        let (source, _) = kinds::ends(config, route)?;
        if !source.checkpoint || !source.has_history {
            continue;
        }
        let file = CheckpointFile::new(&config.state_dir, &route.name);
        let copied = match to_cluster {
            true => into_cluster(section, route, file_position(config, &file, source.settings.address())?),
            false => into_file(section, route, &file),
        };
        told.push_str(&format!(
            "route {}: {}\n",
            route.name,
            copied.context(|| format!("copy {}", route.name))?
        ));
    }
    Ok(told)
}

/// Where the route stood by its file, or by the Go router's.
fn file_position(config: &Config, file: &CheckpointFile, address: &str) -> Result<Option<Checkpoint>> {
    if let Some(found) = file.read()? {
        return Ok(Some(found.checkpoint));
    }
    let older = GoCheckpoint::new(&config.state_dir, address).read()?;
    Ok(older.map(|time| Checkpoint {
        address: address.to_string(),
        identity: String::new(),
        progress: Progress::from_start(time),
    }))
}

fn into_cluster(section: &ClusterSection, route: &RouteConfig, found: Option<Checkpoint>) -> Result<String> {
    let Some(found) = found else { return Ok("no checkpoint here, nothing is copied".to_string()) };
    let claim = Claim::take(section, &route.name)?;
    let (place, time) = (claim.place(), found.progress.time);
    let known = claim.text().and_then(|text| decode(text.as_bytes()).ok());
    if let Some(known) = known.map(|known| known.progress.time).filter(|known| time < *known) {
        claim.leave()?;
        return Err(Error::new(format!(
            "{place} is settled to {known} already, which is later than {time}: `router checkpoint set` moves it"
        )));
    }
    claim.write(&encode(&found)?)?;
    Ok(format!("settled to {time}, now in {place} too"))
}

fn into_file(section: &ClusterSection, route: &RouteConfig, file: &CheckpointFile) -> Result<String> {
    let claim = Claim::take(section, &route.name)?;
    let found = claim.text().map(|text| decode(text.as_bytes())).transpose()?;
    let Some(found) = found else {
        claim.leave()?;
        return Ok("no checkpoint in the cluster, nothing is copied".to_string());
    };
    let _ = file.read();
    file.write(&found)?;
    claim.leave()?;
    Ok(format!("settled to {}, now in {} too", found.progress.time, file.path().display()))
}
