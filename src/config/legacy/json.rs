//! JSON as Go read it: the first value of the text, names in any case, the last of equal names.
//!
//! serde_json checks the syntax; the place of a value is where its text lies in the whole.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::super::tree::{Mistake, Placed, Tree, offset_of, placed};
use crate::limits::CONFIG_DEPTH_MAX;
use crate::order;

/// The array at the beginning of a text, as the entry `entry` of the tree.
///
/// # Errors
/// A mistake of syntax.
pub(super) fn parse(text: &str) -> Result<Tree<'_>, Mistake> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let first = values.next().unwrap_or_else(|| serde_json::from_str(text));
    let first = first.map_err(|error| mistake(text, &error))?;
    let mut root = DeTable::new();
    if let Some(array) = value(text, first, 0)? {
        root.insert(placed(0, "entry".into()), array);
    }
    Ok(Tree { root, mistakes: Vec::new(), anomalies: Vec::new() })
}

fn mistake(text: &str, error: &serde_json::Error) -> Mistake {
    wrong_part(offset_of(text, error.line(), error.column().saturating_sub(1)), error)
}

fn wrong_part(offset: usize, error: &serde_json::Error) -> Mistake {
    let full = error.to_string();
    // The place is told apart.
    let reason = full.split(" at line ").next().unwrap_or(&full);
    Mistake { offset, key: String::new(), text: format!("not JSON: {reason}") }
}

// None is null.
fn value<'a>(text: &'a str, raw: &'a RawValue, depth: usize) -> Result<Option<Placed<'a>>, Mistake> {
    let part = raw.get();
    let place = |part: &str| (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let offset = place(part);
    let inner = |error| wrong_part(offset, &error);
    if CONFIG_DEPTH_MAX < depth {
        return Err(Mistake { offset, key: String::new(), text: "is nested too deep".to_string() });
    }
    let value = match part.as_bytes().first() {
        Some(b'{') => {
            let mut table = DeTable::new();
            let members = serde_json::from_str::<BTreeMap<String, &RawValue>>(part).map_err(inner)?;
            let mut members: Vec<(String, &RawValue)> = members.into_iter().collect();
            order::sort_by_key(&mut members, |(_, raw)| place(raw.get()));
            for (name, raw) in members {
                let name = name.to_lowercase();
                table.remove(name.as_str());
                if let Some(member) = value(text, raw, depth + 1)? {
                    table.insert(placed(member.span().start, name.into()), member);
                }
            }
            DeValue::Table(table)
        }
        Some(b'[') => {
            let mut array = DeArray::new();
            for raw in serde_json::from_str::<Vec<&RawValue>>(part).map_err(inner)? {
                if let Some(element) = value(text, raw, depth + 1)? {
                    array.push(element);
                }
            }
            DeValue::Array(array)
        }
        Some(b'"') => DeValue::String(serde_json::from_str::<String>(part).map_err(inner)?.into()),
        Some(b't') => DeValue::Boolean(true),
        Some(b'f') => DeValue::Boolean(false),
        Some(b'n') => return Ok(None),
        // No key takes a number, so its value does not matter.
        _ => DeValue::Integer(DeInteger::default()),
    };
    Ok(Some(placed(offset, value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_names_in_any_case() {
        let tree = parse(
            "[{\"type\": \"z\", \"Type\": \"a\", \"type\": \"b\\\"\", \"n\": null, \"x\": 5}] trailing",
        )
        .unwrap();
        let entry = tree.root.get("entry").unwrap().get_ref()[0].get_ref().as_table().unwrap();
        assert_eq!(entry.len(), 2);
        assert_eq!(entry.get("type").unwrap().get_ref().as_str(), Some("b\""));
        assert!(entry.get("x").unwrap().get_ref().is_integer());
    }

    #[test]
    fn mistakes_have_their_place() {
        let error = parse("[\n{\"type\": tru}\n]").err().unwrap();
        assert_eq!((error.offset, &*error.text), (14, "not JSON: expected ident"));
        assert!(parse("").is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(parse(&deep).err().unwrap().text, "is nested too deep");
    }
}
