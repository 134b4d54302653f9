//! `router.toml`: text to a resolved configuration, or everything that is wrong with it.

use std::path::Path;
use std::time::Duration;

use log::LevelFilter;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::reader::{Document, Environment, Table, Value};
use super::routes::Names;
use super::secret::SecretUse;
use super::sections::{self, Kinds};
use super::syntax::explain;
use super::{Config, LogConfig, LogFormat, cluster, routes};
use crate::limits;

/// What the command line says in place of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--log-level`.
    pub(crate) log_level: Option<LevelFilter>,
    /// `--log-format`.
    pub(crate) log_format: Option<LogFormat>,
    /// What the command does with the secrets that the file names.
    pub(crate) secrets: SecretUse,
}

impl Overrides {
    /// These settings, and the defaults for what they leave open.
    fn log_config(&self) -> LogConfig {
        LogConfig {
            level: self.log_level.unwrap_or(LevelFilter::Info),
            format: self.log_format.unwrap_or_default(),
        }
    }
}

/// The words for log levels.
pub(crate) const LOG_LEVELS: &[(&str, LevelFilter)] = &[
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

pub(crate) const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Checks the text of a file. Relative paths are relative to the folder of `path`; environment
/// variables are asked of `environment`; what its sections can be, `kinds` says.
///
/// # Errors
/// All problems of the text, in its order.
pub(crate) fn parse<S, P>(
    text: &str,
    path: &Path,
    overrides: &Overrides,
    environment: &dyn Fn(&str) -> Option<String>,
    kinds: &Kinds<S, P>,
) -> Result<Config<S, P>, Vec<Problem>> {
    let (tree, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax_problems(text, path, environment, &errors));
    }
    let document = Document::new(path, text, environment).toml(overrides.secrets);
    let mut config = None;
    Table::root(&document, tree.get_ref(), |root| config = root_section(root, path, overrides, kinds));
    let (problems, warnings) = document.finish();
    match config {
        Some(config) if problems.is_empty() => Ok(Config { warnings, ..config }),
        _ => Err(problems),
    }
}

fn syntax_problems(
    text: &str,
    path: &Path,
    environment: Environment<'_>,
    errors: &[toml::de::Error],
) -> Vec<Problem> {
    let document = Document::new(path, text, environment);
    // Only the message: the full text of the error repeats the line, which may hold a secret.
    let told =
        errors.iter().map(|error| (error.span().map_or(text.len(), |span| span.start), error.message()));
    for (offset, told) in explain(text, told) {
        document.syntax_error(offset, told);
    }
    document.finish().0
}

fn root_section<S, P>(
    root: &Table<'_>,
    path: &Path,
    overrides: &Overrides,
    kinds: &Kinds<S, P>,
) -> Option<Config<S, P>> {
    let state_dir = root.get("state_dir", Value::path);
    let shutdown_grace = root.get("shutdown_grace", |value| value.duration(Duration::ZERO));
    let (source_names, sources) =
        named(root, "source", |name, table| sections::source(name, table, kinds.sources));
    let (processor_names, processors) =
        named(root, "processor", |name, table| sections::processor(name, table, kinds.processors));
    let (route_names, routes) =
        named(root, "route", |name, table| routes::route(name, table, &source_names, &processor_names));
    let cluster = root.get("cluster", |value| value.table(cluster::cluster));
    let metrics = root.get("metrics", |value| value.table(sections::metrics));
    let log = root.get("log", |value| value.table(|table| Some(log_section(table, overrides))));

    let document = root.document();
    let is_empty = |names: &Names<'_>| names.names.is_empty() && !names.unnamed;
    match (is_empty(&source_names), is_empty(&processor_names)) {
        (true, true) => {
            document.problem_of_file("no [source.NAME] and no [processor.NAME]: nothing to route")
        }
        (true, false) => document.problem_of_file("no [source.NAME]: nothing to read events from"),
        (false, true) => document.problem_of_file("no [processor.NAME]: nothing to deliver events to"),
        (false, false) => {}
    }
    let routes = if is_empty(&route_names) {
        routes::default_routes(document, &source_names, &processor_names)
    } else {
        routes::check_duplicates(&routes);
        let used = |name: &str| routes.iter().any(|(route, _)| route.from == name || route.to == name);
        let idle = sources.iter().map(|(config, at)| (&config.name, at));
        let idle = idle.chain(processors.iter().map(|(config, at)| (&config.name, at)));
        idle.filter(|(name, _)| !used(name)).for_each(|(_, at)| at.warning("no route uses it"));
        values(routes)
    };
    Some(Config {
        file: path.to_path_buf(),
        state_dir: state_dir.unwrap_or_else(|| document.resolve("state")),
        shutdown_grace: shutdown_grace.unwrap_or(limits::SHUTDOWN_GRACE),
        sources: values(sources),
        processors: values(processors),
        routes,
        cluster,
        metrics,
        log: log.unwrap_or_else(|| overrides.log_config()),
        warnings: Vec::new(),
        secrets: document.take_secrets(),
    })
}

/// The command line goes before the file.
fn log_section(table: &Table<'_>, overrides: &Overrides) -> LogConfig {
    let level = table.get("level", |value| value.one_of(LOG_LEVELS));
    let format = table.get("format", |value| value.one_of(LOG_FORMATS));
    let (log_level, log_format) = (overrides.log_level.or(level), overrides.log_format.or(format));
    Overrides { log_level, log_format, ..*overrides }.log_config()
}

fn values<T>(placed: Vec<(T, Value<'_>)>) -> Vec<T> {
    placed.into_iter().map(|(config, _)| config).collect()
}

/// Reads the sections `[KEY.NAME]`; also gives the names of those that have problems, so that a
/// reference to one of them is not a second problem.
fn named<'a, T>(
    root: &Table<'a>,
    key: &'static str,
    read: impl Fn(&str, &Table<'a>) -> Option<T>,
) -> (Names<'a>, Vec<(T, Value<'a>)>) {
    let mut names = Names { section: key, names: Vec::new(), unnamed: root.is_mistyped(key) };
    let mut configs = Vec::new();
    root.get(key, |value| {
        names.unnamed = is_unnamed(key, value);
        if names.unnamed {
            return Some(());
        }
        value.table(|group| {
            for entry in group.entries() {
                names.names.push(entry.name());
                if let Some(name) = dotted_name(entry) {
                    entry.problem(format!("a name with dots stands in quotes: write [{key}.\"{name}\"]"));
                    names.unnamed = true;
                    continue;
                }
                let valid = entry.name_is_valid();
                names.unnamed |= !valid;
                let config = entry.table(|table| read(entry.name(), table));
                configs.extend(config.filter(|_| valid).map(|config| (config, entry.clone())));
            }
            Some(())
        })
    });
    (names, configs)
}

/// The name that `[source.vc01.corp.local]` is meant to give.
fn dotted_name(entry: &Value<'_>) -> Option<String> {
    let mut name = entry.name().to_string();
    let mut at = entry.get_ref();
    // Each but the last part holds nothing but the next.
    while let DeValue::Table(table) = at
        && let (1, Some((part, inner))) = (table.len(), table.iter().next())
        && inner.get_ref().is_table()
    {
        name = format!("{name}.{}", part.get_ref());
        at = inner.get_ref();
    }
    let is_section = |table: &DeTable<'_>| ["type", "from", "to"].iter().any(|key| table.contains_key(*key));
    (name != entry.name() && at.as_table().is_some_and(is_section)).then_some(name)
}

/// `[[route]]`, or `[route]` with the keys of one.
fn is_unnamed(key: &str, value: &Value<'_>) -> bool {
    let example = match key {
        "source" => "vc01",
        "processor" => "broker",
        _ => "all",
    };
    let write = format!("write [{key}.NAME] with a name of your choice, such as [{key}.{example}]");
    match value.get_ref() {
        DeValue::Array(_) => value.problem(format!("[[{key}]] is no section of this file: {write}")),
        DeValue::Table(table) => {
            let keys = ["type", "address", "uri", "from", "to"];
            if !keys.iter().any(|key| table.get(*key).is_some_and(|value| value.get_ref().is_str())) {
                return false;
            }
            value.problem(format!("[{key}] has no name: {write}"));
        }
        _ => return false,
    }
    true
}
