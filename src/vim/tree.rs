//! A small XML document as a tree, for answers that are read member by member. Pages of events do
//! not come this way: they are converted as they stream by (`vim::json`).

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

use crate::error::{Error, Result};
use crate::limits::{XML_DEPTH_MAX, XML_NODES_MAX};

/// One element. Namespace prefixes are dropped: peers choose them freely.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// Local name.
    pub(crate) name: String,
    /// Local part of `xsi:type`.
    pub(crate) xsi_type: Option<String>,
    /// The attribute `type` of a managed object reference.
    pub(crate) reference_type: Option<String>,
    /// Its own text, without that of its children.
    pub(crate) text: String,
    /// Its elements in their order.
    pub(crate) children: Vec<Node>,
}

impl Node {
    /// The first child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child of that name, without white space around it; empty if absent.
    pub(crate) fn child_text(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| child.text.trim())
    }

    /// All children of that name.
    pub(crate) fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Node> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// Reads a whole document and returns its root element.
///
/// # Errors
/// When the text is not well-formed, ends early, has no element, is deeper than `XML_DEPTH_MAX` or
/// has more than `XML_NODES_MAX` elements.
pub(crate) fn parse(body: &[u8]) -> Result<Node> {
    let text = String::from_utf8_lossy(body);
    let mut reader = Reader::from_str(&text);
    // The virtual parent of the root, then the open elements.
    let mut open = vec![Node::default()];
    let mut nodes = 0;
    loop {
        let event = reader.read_event().map_err(|error| {
            Error::new(format!("not well-formed at byte {}: {error}", reader.buffer_position()))
        })?;
        match event {
            Event::Start(start) => {
                nodes += 1;
                if XML_NODES_MAX < nodes || XML_DEPTH_MAX < open.len() {
                    return Err(Error::new("more elements than any answer of vCenter has"));
                }
                open.push(element(&start));
            }
            Event::Empty(start) => {
                nodes += 1;
                if XML_NODES_MAX < nodes {
                    return Err(Error::new("more elements than any answer of vCenter has"));
                }
                append(&mut open, element(&start));
            }
            Event::End(_) => {
                // The reader has checked that it closes the innermost element.
                if let Some(closed) = open.pop() {
                    append(&mut open, closed);
                }
            }
            Event::Text(text) => append_text(&mut open, &text.xml10_content()),
            Event::CData(text) => append_text(&mut open, &text.xml10_content()),
            Event::GeneralRef(name) => {
                if let Ok(Some(character)) = name.resolve_char_ref() {
                    append_text(&mut open, character.encode_utf8(&mut [0; 4]));
                } else if let Some(text) = resolve_predefined_entity(&name) {
                    append_text(&mut open, text);
                } else {
                    append_text(&mut open, &format!("&{};", &*name));
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    if 1 < open.len() {
        return Err(Error::new(format!("it ends after {} bytes in the middle of an element", body.len())));
    }
    open.pop()
        .and_then(|parent| parent.children.into_iter().next())
        .ok_or_else(|| Error::new("it holds no XML element"))
}

fn element(start: &BytesStart<'_>) -> Node {
    let mut node = Node { name: start.local_name().into_inner().to_string(), ..Node::default() };
    for attribute in start.attributes().with_checks(false).flatten() {
        if attribute.key.local_name().into_inner() != "type" {
            continue;
        }
        if attribute.key.prefix().is_some() {
            let local = attribute.value.rsplit(':').next().unwrap_or_default();
            node.xsi_type = Some(local.trim().to_string());
        } else {
            node.reference_type = Some(attribute.value.trim().to_string());
        }
    }
    node
}

fn append(open: &mut [Node], child: Node) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(child);
    }
}

fn append_text(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_entities_and_cdata_become_plain() {
        let node = parse(
            br#"<?xml version="1.0"?><!-- c --><a:x xmlns:a="u"><b i:type="vim25:T">1 &lt; &#50;<![CDATA[&<]]></b><r type="Folder">g-1</r></a:x>"#,
        )
        .unwrap();
        assert_eq!(node.name, "x");
        assert_eq!(node.child_text("b"), "1 < 2&<");
        assert_eq!(node.child("b").unwrap().xsi_type.as_deref(), Some("T"));
        assert_eq!(node.child("r").unwrap().reference_type.as_deref(), Some("Folder"));
        assert_eq!(node.all("r").count(), 1);
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let whole = br#"<e><a t="1">x</a><b/></e>"#;
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "{end}");
        }
        assert!(parse(whole).is_ok());
    }

    #[test]
    fn depth_and_invalid_utf8_are_bounded() {
        assert!(parse("<a>".repeat(100_000).as_bytes()).is_err());
        assert_eq!(parse(b"<a>\xff</a>").unwrap().text, "\u{fffd}");
    }
}
