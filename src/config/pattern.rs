//! Event patterns in TOML: a table that means what the same JSON object does, or JSON text.

use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};
use toml::de::DeValue;

use super::reader::Value;
use crate::cloudevents::valid_attribute_name;
use crate::pattern::Pattern;

impl Value<'_> {
    /// An event pattern over CloudEvents.
    pub(crate) fn pattern(&self) -> Option<Arc<Pattern>> {
        let text = match self.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Table(_) => match to_json(self.get_ref()) {
                Ok(json) => json.to_string(),
                Err(reason) => return self.refuse(reason),
            },
            _ => {
                self.wrong_type("a table such as { data = { Vm = { Name = [{ prefix = \"web-\" }] } } }");
                return None;
            }
        };
        match Pattern::compile(&text) {
            Ok(pattern) => {
                self.warn_about_names(&pattern);
                Some(Arc::new(pattern))
            }
            Err(error) => self.refuse(error.to_string()),
        }
    }

    // Rules that were written for the envelope of EventBridge never match here.
    fn warn_about_names(&self, pattern: &Pattern) {
        for name in pattern.top_names() {
            if !is_attribute(name) {
                self.warning(format!(
                    "`{name}` is no attribute of a CloudEvent; members of the event stand below `data`"
                ));
            }
        }
    }
}

/// Whether a CloudEvent can have an attribute of this name. Those of EventBridge's envelope are none.
pub(crate) fn is_attribute(name: &str) -> bool {
    !matches!(name, "detail" | "detail-type") && valid_attribute_name(name)
}

fn to_json(value: &DeValue<'_>) -> Result<Json, String> {
    Ok(match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(integer) => {
            let number = i64::from_str_radix(integer.as_str(), integer.radix());
            Json::Number(number.map_err(|_| format!("{integer} is too large for a pattern"))?.into())
        }
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            Json::Number(number.ok_or_else(|| format!("{float} is no number of a pattern"))?)
        }
        DeValue::Boolean(value) => Json::Bool(*value),
        DeValue::Datetime(_) => return Err("a date in a pattern must stand in quotes".to_string()),
        DeValue::Array(elements) => {
            let elements = elements.iter().map(|element| to_json(element.get_ref()));
            Json::Array(elements.collect::<Result<_, String>>()?)
        }
        DeValue::Table(table) => {
            let mut members = Map::new();
            for (key, value) in table.iter() {
                members.insert(key.get_ref().to_string(), to_json(value.get_ref())?);
            }
            Json::Object(members)
        }
    })
}
