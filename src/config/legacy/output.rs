//! `router.toml` as it is written from an old file, with the old place that each line comes from.

use super::super::reader::{Document, Value};
use super::old::{Reference, Text};
use crate::config::problem::Problem;

/// The lines so far.
#[derive(Default)]
pub(super) struct Output<'a> {
    pub(super) text: String,
    // One for each line of the text.
    origins: Vec<Option<Value<'a>>>,
}

impl<'a> Output<'a> {
    /// `[NAME]`, with an empty line before it. What is wrong with the section as a whole is told at
    /// `origin`.
    pub(super) fn section(&mut self, name: &str, origin: &Value<'a>) {
        if !self.text.is_empty() {
            self.line("", None);
        }
        self.line(&format!("[{name}]"), Some(origin));
    }

    /// `KEY = "TEXT"`.
    pub(super) fn text(&mut self, key: &str, text: &Text<'a>) {
        self.line(&format!("{key} = {}", quoted(&text.text)), Some(&text.at));
    }

    /// `KEY = ["TEXT", ...]`, one a line.
    pub(super) fn list(&mut self, key: &str, texts: impl Iterator<Item = Text<'a>>) {
        self.line(&format!("{key} = ["), None);
        for text in texts {
            self.line(&format!("    {},", quoted(&text.text)), Some(&text.at));
        }
        self.line("]", None);
    }

    /// `KEY = { FIELD = "TEXT", ... }`.
    pub(super) fn reference(&mut self, key: &str, reference: &Reference<'a>) {
        let fields = reference.fields.iter().map(|(field, text)| format!("{field} = {}", quoted(text)));
        let fields = fields.collect::<Vec<_>>().join(", ");
        self.line(&format!("{key} = {{ {fields} }}"), Some(&reference.at));
    }

    /// `KEY = VALUE` with a value that cannot be wrong.
    pub(super) fn value(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"), None);
    }

    /// `# TEXT`.
    pub(super) fn comment(&mut self, text: &str) {
        self.line(&format!("# {text}"), None);
    }

    fn line(&mut self, line: &str, origin: Option<&Value<'a>>) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origins.push(origin.cloned());
    }

    /// Tells what is wrong, or odd, with the written file where it stands in the old one.
    pub(super) fn tell(&self, document: &Document<'_>, problems: &[Problem], warnings: &[Problem]) {
        let origin = |problem: &Problem| {
            let line = problem.line.unwrap_or_default();
            line.checked_sub(1).and_then(|index| self.origins.get(index)?.as_ref())
        };
        for problem in problems {
            match origin(problem) {
                Some(value) => value.problem(&problem.text),
                None => document.problem_of_file(&problem.text),
            }
        }
        for warning in warnings {
            if let Some(value) = origin(warning) {
                value.warning(&warning.text);
            }
        }
    }
}

/// A TOML string. JSON's escapes are TOML's too, but for one character.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}
