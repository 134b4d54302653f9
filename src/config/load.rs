//! A configuration file of any form: `router.toml`, or what the Go router ran on.

use std::path::{Path, PathBuf};

use super::Config;
use super::file::{Overrides, parse};
use super::legacy::{self, Converted, Surroundings};
use super::problem::{Problem, line_of};
use super::sections::Kinds;
use crate::limits::CONFIG_BYTES_MAX;
use crate::owned;
use crate::plain_file;
use crate::text_file::text_of;

/// Reads and checks a file, the secrets and certificates that it names included.
///
/// # Errors
/// All problems of the file, in its order.
pub(crate) fn load<S, P>(
    path: &Path,
    overrides: &Overrides,
    kinds: &Kinds<S, P>,
) -> Result<Config<S, P>, Vec<Problem>> {
    let text = read(path).map_err(|problem| vec![problem])?;
    let Some(form) = legacy::form_of(&text) else {
        return parse(&text, path, overrides, &environment, kinds);
    };
    let folder = folder();
    let around = Surroundings { file: path, folder: &folder, environment: &environment };
    let mut config = legacy::convert(&text, form, &around, overrides, kinds)?.config?;
    let note = format!(
        "is a configuration of the VMware Event Router and is used as it is; `router convert {}` prints it as \
         router.toml, with what means something else than before",
        path.display()
    );
    config.warnings.insert(0, Problem::of_file(path, note));
    Ok(config)
}

/// Reads an old file and gives it in the new form.
///
/// # Errors
/// All problems of the file, in its order, if it is not an old one or cannot be understood.
pub(crate) fn convert<S, P>(path: &Path, kinds: &Kinds<S, P>) -> Result<Converted<S, P>, Vec<Problem>> {
    let text = read(path).map_err(|problem| vec![problem])?;
    let Some(form) = legacy::form_of(&text) else {
        let text = "is no configuration of the VMware Event Router, which is YAML or a JSON array: there is nothing \
                    to convert";
        return Err(vec![Problem::of_file(path, text)]);
    };
    let folder = folder();
    let around = Surroundings { file: path, folder: &folder, environment: &environment };
    legacy::convert(&text, form, &around, &Overrides::default(), kinds)
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Where the router was started. One that is gone serves no relative path.
fn folder() -> PathBuf {
    std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"))
}

fn read(path: &Path) -> Result<String, Problem> {
    let bytes = plain_file::read(path, CONFIG_BYTES_MAX).map_err(|error| {
        Problem::of_file(path, format!("cannot be read: {}", owned::access_text(&error, path)))
    })?;
    let text = text_of(&bytes).map_err(|not| {
        let line = line_of(&bytes, not.offset);
        Problem { line: Some(line), ..Problem::of_file(path, not.reason) }
    })?;
    Ok(text.to_string())
}
