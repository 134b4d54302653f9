//! The table of kinds: one row for each kind of sources and of processors. What a kind is to the rest of
//! the router, its settings know: how it is made, what the log calls it, how it is checked.

use std::path::Path;
use std::sync::Arc;

use crate::config::file::{self, Overrides};
use crate::config::legacy::{self, Form, Surroundings};
use crate::config::load;
use crate::config::problem::Problem;
use crate::config::sections::{Kinds, ProcessorKind, SourceKind};
use crate::config::{self, RouteConfig};
use crate::error::{Context, Error, Result};
use crate::pattern::Pattern;
use crate::processor::{Processor, ProcessorSettings, eventbridge, http, knative, openfaas, stdout};
use crate::source::{Source, SourceSettings, horizon, own, vcenter, webhook};
use crate::template::Template;

/// A configuration whose sections are of these kinds.
pub type Config = config::Config<Arc<dyn SourceSettings>, Arc<dyn ProcessorSettings>>;
pub(crate) type SourceConfig = config::SourceConfig<Arc<dyn SourceSettings>>;
pub(crate) type ProcessorConfig = config::ProcessorConfig<Arc<dyn ProcessorSettings>>;
/// An old configuration, converted.
pub type Converted = legacy::Converted<Arc<dyn SourceSettings>, Arc<dyn ProcessorSettings>>;

const KINDS: Kinds<Arc<dyn SourceSettings>, Arc<dyn ProcessorSettings>> = Kinds {
    sources: &[
        SourceKind {
            word: "vcenter",
            at_least_once: true,
            has_history: true,
            read: |table| source(vcenter::settings::read(table)),
        },
        SourceKind {
            word: "vcsim",
            at_least_once: false,
            has_history: true,
            read: |table| source(vcenter::settings::read(table)),
        },
        SourceKind {
            word: "horizon",
            at_least_once: true,
            has_history: true,
            read: |table| source(horizon::settings::read(table)),
        },
        SourceKind {
            word: "webhook",
            at_least_once: true,
            has_history: false,
            read: |table| source(webhook::settings::read(table)),
        },
        SourceKind {
            word: "self",
            at_least_once: true,
            has_history: true,
            read: |table| source(own::read(table)),
        },
    ],
    processors: &[
        ProcessorKind { word: "knative", read: |table| processor(knative::settings::read(table)) },
        ProcessorKind { word: "openfaas", read: |table| processor(openfaas::settings::read(table)) },
        ProcessorKind { word: "eventbridge", read: |table| processor(eventbridge::settings::read(table)) },
        ProcessorKind { word: "http", read: |table| processor(http::settings::read(table)) },
        ProcessorKind { word: stdout::WORD, read: |table| processor(stdout::read(table)) },
    ],
};

fn source<S: SourceSettings>(settings: Option<S>) -> Option<Arc<dyn SourceSettings>> {
    settings.map(|settings| Arc::new(settings) as Arc<dyn SourceSettings>)
}

fn processor<P: ProcessorSettings>(settings: Option<P>) -> Option<Arc<dyn ProcessorSettings>> {
    settings.map(|settings| Arc::new(settings) as Arc<dyn ProcessorSettings>)
}

impl SourceConfig {
    /// The source as this route reads it, not connected yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub(crate) fn make(&self, route: &RouteConfig) -> Result<Box<dyn Source>> {
        self.settings.make(&self.name, route).context(|| format!("source {}", self.name))
    }
}

impl ProcessorConfig {
    /// The processor of this route, not connected yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub(crate) fn make(&self, route: &str, at_least_once: bool) -> Result<Arc<dyn Processor>> {
        let made = self.settings.make(&self.name, route, at_least_once);
        made.context(|| format!("processor {}", self.name))
    }
}

/// Checks the text of a file: `config::file` has the rules.
///
/// # Errors
/// All problems of the text, in its order.
pub fn parse(
    text: &str,
    path: &Path,
    overrides: &Overrides,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, Vec<Problem>> {
    file::parse(text, path, overrides, environment, &KINDS)
}

/// Reads and checks a file of any form: TOML or an old one.
///
/// # Errors
/// All problems of the file, in its order.
pub(crate) fn load(path: &Path, overrides: &Overrides) -> Result<Config, Vec<Problem>> {
    let mut config = load::load(path, overrides, &KINDS)?;
    let mut warnings = Vec::new();
    for route in &config.routes {
        let source = config.sources.iter().find(|source| source.name == route.from);
        let (Some(pattern), Some(source)) = (&route.pattern, source) else { continue };
        for mistake in missing_paths(pattern, source) {
            warnings.push(Problem::of_file(path, format!("route.{}.pattern: {mistake}", route.name)));
        }
    }
    config.warnings.append(&mut warnings);
    Ok(config)
}

/// What a pattern asks for that no event of a source has. What the reader of the file warns about itself
/// is left out.
fn missing_paths(pattern: &Pattern, source: &SourceConfig) -> Vec<String> {
    let paths = pattern.paths().filter(|path| {
        let first = path.split('.').next().unwrap_or_default();
        config::pattern::is_attribute(first)
    });
    paths.filter_map(|path| source.settings.missing_path(path)).collect()
}

/// Reads an old file and gives it in the new form.
///
/// # Errors
/// All problems of the file, in its order.
pub(crate) fn convert_file(path: &Path) -> Result<Converted, Vec<Problem>> {
    load::convert(path, &KINDS)
}

/// Converts the text of an old file.
///
/// # Errors
/// All problems of the text, in its order, if it cannot be understood.
pub fn convert(
    text: &str,
    form: Form,
    around: &Surroundings<'_>,
    overrides: &Overrides,
) -> Result<Converted, Vec<Problem>> {
    legacy::convert(text, form, around, overrides, &KINDS)
}

/// The processor of a command that prints, in no file; what a template makes of an event, if there is one.
pub(crate) fn screen(name: &str, template: Option<Arc<Template>>) -> ProcessorConfig {
    config::ProcessorConfig {
        name: name.to_string(),
        type_name: stdout::WORD,
        settings: Arc::new(stdout::StdoutSettings { template, is_command: true }),
    }
}

/// The processor of that name, for at-least-once: a bench sends through it.
///
/// # Errors
/// When the configuration does not have it, or its settings cannot be used.
pub fn make_processor(config: &Config, name: &str) -> Result<Arc<dyn Processor>> {
    let found = config.processors.iter().find(|processor| processor.name == name);
    let missing = || Error::new(format!("there is no processor {name}"));
    found.ok_or_else(missing)?.make(name, true)
}

/// The source and the processor of a route.
///
/// # Errors
/// When the configuration does not have them.
pub(crate) fn ends<'a>(
    config: &'a Config,
    route: &RouteConfig,
) -> Result<(&'a SourceConfig, &'a ProcessorConfig)> {
    let source = config.sources.iter().find(|source| source.name == route.from);
    let processor = config.processors.iter().find(|processor| processor.name == route.to);
    match (source, processor) {
        (Some(source), Some(processor)) => Ok((source, processor)),
        _ => Err(Error::new(format!("route {}: its source or processor is missing", route.name))),
    }
}

#[cfg(test)]
mod tests;
