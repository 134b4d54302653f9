//! `router events`: the types of events that a source knows.

use std::fmt::Write;

use serde_json::json;

use crate::error::Result;
use crate::event::EventType;
use crate::kinds::SourceConfig;

/// How the list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// RFC 4180, with a head line.
    Csv,
    /// An array of objects, one a line.
    Json,
}

pub(super) const FORMATS: &[(&str, Format)] =
    &[("table", Format::Table), ("csv", Format::Csv), ("json", Format::Json)];

/// Asks the source and gives the list as text.
///
/// # Errors
/// When the source cannot be reached or refuses the account.
pub(super) fn events(source: &SourceConfig, format: Format) -> Result<String> {
    Ok(listed(&source.settings.event_types()?, format))
}

fn listed(types: &[EventType], format: Format) -> String {
    match format {
        Format::Table => table(types),
        Format::Csv => csv(types),
        Format::Json => json_array(types),
    }
}

fn table(types: &[EventType]) -> String {
    let width = |of: fn(&EventType) -> &str, head: &str| {
        types.iter().map(|known| of(known).chars().count()).chain([head.len()]).max().unwrap_or_default()
    };
    let (ids, categories) = (width(|known| &known.id, "ID"), width(|known| &known.category, "CATEGORY"));
    let mut out = format!("{:ids$}  {:categories$}  DESCRIPTION\n", "ID", "CATEGORY");
    for EventType { id, category, description } in types {
        // A terminal is safe from what a source sends, and a line is a line.
        let description = description.replace(|c: char| c.is_control(), " ");
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", format!("{id:ids$}  {category:categories$}  {description}").trim_end());
    }
    out
}

fn csv(types: &[EventType]) -> String {
    let mut out = "id,category,description\r\n".to_string();
    for EventType { id, category, description } in types {
        let fields = [id, category, description].map(|field| quoted(field));
        out += &format!("{}\r\n", fields.join(","));
    }
    out
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_string()
}

fn json_array(types: &[EventType]) -> String {
    let objects: Vec<String> = types
        .iter()
        .map(|EventType { id, category, description }| {
            json!({ "id": id, "category": category, "description": description }).to_string()
        })
        .collect();
    format!("[{}]\n", objects.join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Vec<EventType> {
        let one = |id: &str, description: &str| EventType {
            id: id.into(),
            category: "info".into(),
            description: description.into(),
        };
        vec![one("VmPoweredOnEvent", "VM \"on\", at last\nreally"), one("esx.a", "")]
    }

    #[test]
    fn every_format_holds_every_type() {
        assert_eq!(
            listed(&types(), Format::Table),
            "ID                CATEGORY  DESCRIPTION\n\
             VmPoweredOnEvent  info      VM \"on\", at last really\n\
             esx.a             info\n"
        );
        assert_eq!(
            listed(&types(), Format::Csv),
            "id,category,description\r\nVmPoweredOnEvent,info,\"VM \"\"on\"\", at last\nreally\"\r\nesx.a,info,\r\n"
        );
        let text = listed(&types(), Format::Json);
        assert_eq!(text.lines().count(), 2);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value[0]["description"], "VM \"on\", at last\nreally");
        assert_eq!(listed(&[], Format::Json), "[]\n");
    }
}
