//! `router checkpoint show|set`: looks at or moves the position of routes, offline.

use jiff::Timestamp;

use crate::cluster::claim::{Claim, Glance, glance};
use crate::config::RouteConfig;
use crate::config::cluster::ClusterSection;
use crate::error::{Context, Error, Result};
use crate::kinds::Config;
use crate::pipeline::clock::is_ahead;
use crate::position::file::CheckpointFile;
use crate::position::go::GoCheckpoint;
use crate::position::lock::StateLock;
use crate::position::progress::{EventName, Progress};
use crate::position::record::{Checkpoint, decode, encode};
use crate::router::is_shared;

mod copy;

/// What to do with the positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Show,
    /// Deliver everything from this time on, by the source's clock; from a future time only by force.
    Set {
        time: Timestamp,
        force: bool,
    },
    /// Copy them from the state folder into the cluster, or back.
    Copy {
        to_cluster: bool,
    },
}

/// The text to print.
///
/// # Errors
/// When the route is not known, several are meant by `set`, the state folder is in use by a running
/// router, or a file cannot be read or written.
pub(super) fn checkpoint(config: &Config, route: Option<&str>, action: &Action) -> Result<String> {
    let routes = super::routes(config, route)?;
    match action {
        Action::Show => Ok(routes.iter().map(|route| show(config, route)).collect()),
        Action::Set { time, force } => match routes.as_slice() {
            [route] => {
                refuse_future(*time, *force)?;
                set(config, route, *time)
            }
            _ => Err(Error::new("say which route to set, with --route NAME")),
        },
        Action::Copy { to_cluster } => copy::copy(config, &routes, *to_cluster),
    }
}

/// A position in the future would skip what is recorded until then.
///
/// # Errors
/// When `time` is ahead of this machine's clock, unless by force.
pub(super) fn refuse_future(time: Timestamp, force: bool) -> Result<()> {
    let now = Timestamp::now();
    if force || !is_ahead(time, now) {
        return Ok(());
    }
    Err(Error::new(format!(
        "{time} lies in the future: this machine's clock shows {now}, and events until then would not be delivered; \
         correct the time, or repeat the command with --force if the source's clock is ahead"
    )))
}

fn show(config: &Config, route: &RouteConfig) -> String {
    match &config.cluster {
        Some(section) if is_shared(config, &route.name) => show_shared(section, route),
        _ => show_file(config, route),
    }
}

fn show_shared(section: &ClusterSection, route: &RouteConfig) -> String {
    let name = &route.name;
    let Glance { owner, record, place } = match glance(section, name) {
        Ok(glance) => glance,
        Err(error) => return format!("route {name}: {error}\n"),
    };
    let owner = owner.map_or_else(|| "nobody".to_string(), |owner| format!("`{owner}`"));
    let text = record.and_then(|record| record.text);
    match text.map(|text| decode(text.as_bytes())) {
        None => format!("route {name}: no checkpoint yet ({place}); {owner} runs it\n"),
        Some(Ok(checkpoint)) => told(name, checkpoint, &format!("  {place}; {owner} runs it\n")),
        Some(Err(error)) => format!("route {name}: {place} {error}\n"),
    }
}

/// What a record says about a route, and where it is.
fn told(name: &str, checkpoint: Checkpoint, place: &str) -> String {
    let Checkpoint { address, identity, progress } = checkpoint;
    let mut text = format!(
        "route {name}: settled to {}, resumes at {}, first started at {}\n  source {address} ({identity})\n{place}",
        progress.time,
        progress.resume(),
        progress.start
    );
    if let Some(EventName { ty, id }) = progress.last {
        text.push_str(&format!("  last event {ty} {id}\n"));
    }
    text
}

fn show_file(config: &Config, route: &RouteConfig) -> String {
    let file = CheckpointFile::new(&config.state_dir, &route.name);
    let path = file.path().display();
    match file.read() {
        Ok(None) => format!("route {}: no checkpoint yet ({path})\n{}", route.name, inherited(config, route)),
        Ok(Some(found)) => {
            let mut text = told(&route.name, found.checkpoint, &format!("  file {path}\n"));
            if let Some(error) = found.fallback {
                text.push_str(&format!("  from the previous record, because {error}\n"));
            }
            text
        }
        Err(error) => format!("route {}: {error}\n", route.name),
    }
}

/// What the Go router's checkpoint has to say about a route that was never started.
fn inherited(config: &Config, route: &RouteConfig) -> String {
    let Some(source) = config.sources.iter().find(|source| source.name == route.from && source.checkpoint)
    else {
        return String::new();
    };
    let file = GoCheckpoint::new(&config.state_dir, source.settings.address());
    match file.read() {
        Ok(None) => String::new(),
        Ok(Some(time)) => format!("  starts at {time}, as the Go router's {} says\n", file.path().display()),
        Err(error) => format!("  starts at the source's present: {error}\n"),
    }
}

fn set(config: &Config, route: &RouteConfig, time: Timestamp) -> Result<String> {
    let source = config.sources.iter().find(|source| source.name == route.from);
    source.map_or(Ok(()), |source| super::with_history(source, "there is no position to set"))?;
    let Some(source) = source.filter(|source| source.checkpoint) else {
        return Err(Error::new(format!("route {} keeps no checkpoint (checkpoint = false)", route.name)));
    };
    if let (Some(section), true) = (&config.cluster, is_shared(config, &route.name)) {
        return set_shared(section, route, source.settings.address(), time);
    }
    let _lock = StateLock::take(&config.state_dir).context(|| "set the checkpoint")?;
    let file = CheckpointFile::new(&config.state_dir, &route.name);
    // The old record may be damaged: then its identity is learnt again at the next start.
    let identity = file.read().ok().flatten().map(|found| found.checkpoint.identity).unwrap_or_default();
    let address = source.settings.address().to_string();
    let progress = Progress::from_start(time);
    file.write(&Checkpoint { address, identity, progress })?;
    Ok(format!(
        "route {}: the next start delivers everything from {time} on ({})\n",
        route.name,
        file.path().display()
    ))
}

fn set_shared(
    section: &ClusterSection,
    route: &RouteConfig,
    address: &str,
    time: Timestamp,
) -> Result<String> {
    let claim = Claim::take(section, &route.name).context(|| "set the checkpoint")?;
    let place = claim.place();
    let known = claim.text().and_then(|text| decode(text.as_bytes()).ok());
    let identity = known.map(|checkpoint| checkpoint.identity).unwrap_or_default();
    let checkpoint =
        Checkpoint { address: address.to_string(), identity, progress: Progress::from_start(time) };
    claim.write(&encode(&checkpoint)?).context(|| format!("set the checkpoint: {place}"))?;
    Ok(format!("route {}: whoever runs it next delivers everything from {time} on ({place})\n", route.name))
}
