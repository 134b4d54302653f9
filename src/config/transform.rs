//! `transform`: a template and the paths of its placeholders, as text.

use toml::de::DeValue;

use super::reader::{Table, Value};

/// What is compiled once it is known what the template becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transform {
    /// Names and paths, in the order of the file.
    pub(crate) paths: Vec<(String, String)>,
    pub(crate) template: String,
}

impl Value<'_> {
    /// `{ paths = { vm = "$.data.Vm.Name" }, template = '...' }`.
    pub(crate) fn transform(&self) -> Option<Transform> {
        self.table(|table| {
            let paths = table.get("paths", |value| value.table(paths));
            let template = table.required("template", Value::text);
            let paths = if table.has("paths") { paths? } else { Vec::new() };
            Some(Transform { paths, template: template? })
        })
    }

    /// Any string, of several lines too.
    pub(crate) fn text(&self) -> Option<String> {
        let DeValue::String(text) = self.get_ref() else {
            self.wrong_type("a string");
            return None;
        };
        Some(text.to_string())
    }
}

fn paths(table: &Table<'_>) -> Option<Vec<(String, String)>> {
    let entries = table.entries().iter();
    entries.map(|entry| Some((entry.name().to_string(), entry.string()?.to_string()))).collect()
}
