//! JSON as Go read it: the first value of the text, names in any case, the last of equal names.
//!
//! serde_json checks the syntax; the place of a value is where its text lies in the whole.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::super::tree::{Mistake, Placed, Tree, offset_of, placed};
use crate::limits::CONFIG_DEPTH_MAX;

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
    let offset = offset_of(text, error.line(), error.column().saturating_sub(1));
    let full = error.to_string();
    // The place is told apart.
    let reason = full.split(" at line ").next().unwrap_or(&full);
    Mistake { offset, key: String::new(), text: format!("not JSON: {reason}") }
}

// None is null.
fn value<'a>(text: &'a str, raw: &'a RawValue, depth: usize) -> Result<Option<Placed<'a>>, Mistake> {
    let part = raw.get();
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let inner = |error: serde_json::Error| Mistake {
        offset,
        key: String::new(),
        text: format!("not JSON: {}", error.to_string().split(" at line ").next().unwrap_or_default()),
    };
    if CONFIG_DEPTH_MAX < depth {
        return Err(Mistake { offset, key: String::new(), text: "is nested too deep".to_string() });
    }
    let value = match part.as_bytes().first() {
        Some(b'{') => {
            let mut table = DeTable::new();
            for (name, raw) in serde_json::from_str::<Members<'_>>(part).map_err(inner)?.0 {
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
        Some(b'"') => DeValue::String(serde_json::from_str::<Text<'_>>(part).map_err(inner)?.0),
        Some(b't') => DeValue::Boolean(true),
        Some(b'f') => DeValue::Boolean(false),
        Some(b'n') => return Ok(None),
        // No key takes a number, so its value does not matter.
        _ => DeValue::Integer(DeInteger::default()),
    };
    Ok(Some(placed(offset, value)))
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in their order, equal names included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect<'a>(std::marker::PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Collect<'a> {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
                let mut members = Vec::new();
                while let Some((Text(name), raw)) = map.next_entry::<Text<'a>, &'a RawValue>()? {
                    members.push((name, raw));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_names_in_any_case() {
        let tree = parse("[{\"Type\": \"a\", \"type\": \"b\\\"\", \"n\": null, \"x\": 5}] trailing").unwrap();
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
