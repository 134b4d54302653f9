//! One element to JSON.

use super::scalar;
use super::xml::{Content, Tag, Xml, XmlError};

/// Members of one object in the order in which their names first came. A name that came again
/// makes an array.
#[derive(Default)]
pub(super) struct Members {
    members: Vec<Member>,
}

struct Member {
    name: String,
    count: usize,
    json: Vec<u8>,
}

impl Members {
    /// Adds one value under the schema's name.
    pub(super) fn add(&mut self, name: &str, json: &[u8]) {
        let name = go_name(name);
        match self.members.iter_mut().find(|m| m.name == name) {
            Some(member) => {
                member.count += 1;
                member.json.push(b',');
                member.json.extend_from_slice(json);
            }
            None => self.members.push(Member { name, count: 1, json: json.to_vec() }),
        }
    }

    /// Appends the object.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, member) in self.members.iter().enumerate() {
            if 0 < index {
                out.push(b',');
            }
            scalar::string(out, &member.name);
            out.push(b':');
            if 1 < member.count {
                out.push(b'[');
                out.extend_from_slice(&member.json);
                out.push(b']');
            } else {
                out.extend_from_slice(&member.json);
            }
        }
        out.push(b'}');
    }
}

/// Appends the element that `tag` began, by its structure alone: a reference as `Type` and
/// `Value`, an element without children as a string, one with children as an object.
pub(super) fn structural<'a>(
    xml: &mut Xml<'a>,
    tag: &Tag<'a>,
    out: &mut Vec<u8>,
    reference: &mut Option<String>,
) -> Result<(), XmlError> {
    let content = if tag.empty { Content::Text("".into()) } else { xml.content()? };
    match content {
        Content::Text(text) => match tag.reference {
            Some(kind) => {
                *reference = Some(text.to_string());
                out.extend_from_slice(b"{\"Type\":");
                scalar::string(out, kind);
                out.extend_from_slice(b",\"Value\":");
                scalar::string(out, &text);
                out.push(b'}');
            }
            None => scalar::string(out, &text),
        },
        Content::Child(first) => {
            let mut members = Members::default();
            let mut next = Some(first);
            while let Some(child) = next {
                let begin = out.len();
                structural(xml, &child, out, reference)?;
                members.add(child.name, &out[begin..]);
                out.truncate(begin);
                next = xml.child()?;
            }
            members.write(out);
        }
    }
    Ok(())
}

/// The Go field of a schema name: its first letter in upper case.
fn go_name(name: &str) -> String {
    let mut letters = name.chars();
    match letters.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + letters.as_str(),
        None => String::new(),
    }
}
