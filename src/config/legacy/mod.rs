//! Configurations of the Go VMware Event Router, as they are: YAML of v0.5 and later, the JSON array
//! of v0.3 and v0.4.
//!
//! An old text is written out as `router.toml`, and that is read like any other: `convert` prints
//! the very text that `run` runs on. What is wrong with a value is told at its place in the old
//! file.

use std::path::Path;

use toml::de::DeTable;

use super::Config;
use super::file::{self, Overrides};
use super::problem::Problem;
use super::reader::{Document, Table};
use super::sections::Kinds;
use super::tree::{Mistake, Tree};
use super::yaml;

mod entries;
mod escapes;
mod json;
mod manifest;
mod output;
mod router_config;
mod tanzu;
#[cfg(test)]
mod tests;
mod uri;

use manifest::Manifest;
use output::Output;

/// The forms that old configurations have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `RouterConfig`, v0.5 and later.
    Yaml,
    /// An array of entries, v0.3 and v0.4.
    Json,
}

/// The form of an old configuration, or none if the text is not one. Neither form can begin like
/// TOML, so that the name of the file does not matter.
pub fn form_of(text: &str) -> Option<Form> {
    let text = text.trim_start_matches('\u{feff}');
    let is_said = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let first = text.lines().map(str::trim).find(is_said)?;
    if let Some(rest) = text.trim_start().strip_prefix('[') {
        return rest.trim_start().starts_with(['{', ']']).then_some(Form::Json);
    }
    let is_key = first.split_once(':').is_some_and(|(key, rest)| {
        let key = key.trim_matches(['"', '\'']);
        let is_word =
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        is_word && (rest.is_empty() || rest.starts_with([' ', '\t']))
    });
    (is_key || first.starts_with(['{', '%']) || first.starts_with("---")).then_some(Form::Yaml)
}

/// What an old configuration is in the new form.
#[derive(Debug)]
pub struct Converted<S, P> {
    /// `router.toml`.
    pub toml: String,
    /// The same, checked.
    pub config: Result<Config<S, P>, Vec<Problem>>,
    /// What is odd in the old file, at its places.
    pub(crate) warnings: Vec<Problem>,
}

/// What a text refers to.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The file that it is from.
    pub file: &'a Path,
    /// The folder in which the router is started: relative paths begin there, as in the Go router.
    pub folder: &'a Path,
    /// Looks up an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Where a text that is no old configuration itself holds one, and which: its key, text and form; or what to
/// do with a text that holds none.
fn elsewhere(root: &DeTable<'_>) -> Option<Result<(String, String, Form), &'static str>> {
    let is_key = |keys: &[&str]| keys.iter().any(|key| root.contains_key(*key));
    if is_key(&["source", "processor", "route", "state_dir"]) && !is_key(&["eventProvider", "eventProcessor"])
    {
        return Some(Err(
            "has the keys of router.toml but is YAML or JSON: write TOML, sections as [source.NAME] and lines as key = value",
        ));
    }
    let manifest = manifest::of(root).filter(|manifest| !matches!(manifest, Manifest::Source { .. }))?;
    let held = manifest::held(root, manifest);
    // What is held is shorter than what holds it: this comes to an end.
    Some(held.and_then(|(key, text)| match form_of(&text) {
        Some(form) => Ok((key, text, form)),
        None => Err(manifest::EXTRACT),
    }))
}

/// Converts the text of an old file.
///
/// # Errors
/// All problems of the text, in its order, if it cannot be understood. What is wrong with what it
/// says is in [`Converted::config`].
pub(crate) fn convert<S, P>(
    text: &str,
    form: Form,
    around: &Surroundings<'_>,
    overrides: &Overrides,
    kinds: &Kinds<S, P>,
) -> Result<Converted<S, P>, Vec<Problem>> {
    let text = text.trim_start_matches('\u{feff}');
    let text = match form {
        Form::Yaml => escapes::doubled(text),
        Form::Json => text.into(),
    };
    let (text, Surroundings { file: path, folder, environment }) = (&*text, *around);
    let document = Document::new(path, text, environment);
    let parsed = match form {
        Form::Yaml => yaml::parse(text),
        Form::Json => json::parse(text),
    };
    let Tree { root, mistakes, anomalies } = match parsed {
        Ok(tree) => tree,
        Err(Mistake { offset, text, .. }) => {
            document.syntax_error(offset, text);
            return Err(document.finish().0);
        }
    };
    match elsewhere(&root) {
        None => {}
        Some(Ok((key, text, form))) => {
            let file = format!("{} ({key})", path.display());
            let around = Surroundings { file: Path::new(&file), ..*around };
            return convert(&text, form, &around, overrides, kinds);
        }
        Some(Err(told)) => {
            document.problem_of_file(told);
            return Err(document.finish().0);
        }
    }
    for Mistake { offset, key, text } in mistakes {
        document.problem(offset, &key, text);
    }
    for Mistake { offset, key, text } in anomalies {
        document.warning(offset, &key, text);
    }
    // The Go router's JSON reader was strict about texts.
    let mut output = Output::new(folder, form == Form::Yaml);
    Table::root(&document, &root, |table| write(table, form, manifest::of(&root), &mut output));
    if document.has_problems() {
        return Err(document.finish().0);
    }
    let config = file::parse(&output.text, path, overrides, environment, kinds);
    let (problems, warnings) = match &config {
        Ok(config) => (&[][..], &config.warnings[..]),
        Err(problems) => (&problems[..], &[][..]),
    };
    output.tell(&document, problems, warnings);
    let toml = output.text.clone();
    drop(output);
    let (problems, warnings) = document.finish();
    let config = config.map(|config| Config { warnings: warnings.clone(), ..config }).map_err(|_| problems);
    Ok(Converted { toml, config, warnings })
}

/// Writes what the root of a text says.
fn write<'a>(root: &Table<'a>, form: Form, manifest: Option<Manifest>, out: &mut Output<'a>) {
    match (form, manifest) {
        (_, Some(Manifest::Source { is_horizon })) => tanzu::read(root, is_horizon, out),
        (Form::Yaml, _) => router_config::read(root, out),
        (Form::Json, _) => entries::read(root, out),
    };
}
