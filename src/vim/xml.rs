//! Steps through a SOAP page: elements with their type attributes, text with its references
//! resolved. Borrows from the page; comments, processing instructions and white space of the
//! markup never reach the caller.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesStart, Event};

use crate::limits::XML_DEPTH_MAX;

/// The namespace of the `type` attribute that names an element's class.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The namespace of the built-in types, such as `xsd:string`.
const XSD: &str = "http://www.w3.org/2001/XMLSchema";

/// Why reading cannot go on from here. The text says what is wrong with the XML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct XmlError(pub(super) String);

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// An element begins. When it is `empty`, no `Close` follows.
    Open(Tag<'a>),
    /// Characters of the innermost element, references resolved.
    Text(Cow<'a, str>),
    /// The innermost element ends.
    Close,
    /// The document ends.
    End,
}

/// The begin of an element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tag<'a> {
    /// Name without prefix.
    pub(super) name: &'a str,
    /// The class by `xsi:type`.
    pub(super) class: Option<Class<'a>>,
    /// The unqualified `type` attribute: the kind of a managed object reference.
    pub(super) reference: Option<&'a str>,
    /// The unqualified `serverGuid` attribute of a managed object reference.
    pub(super) server: Option<&'a str>,
    /// The element has no content and no end tag.
    pub(super) empty: bool,
    /// Where the element begins in the page.
    pub(super) begin: usize,
}

/// The value of an `xsi:type` attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class<'a> {
    /// A built-in type, such as `string` for `xsd:string`.
    BuiltIn(&'a str),
    /// A type of the vSphere API, without its prefix.
    Vim(&'a str),
}

/// What stands in an element up to its first child or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// The element has no child; its end is consumed.
    Text(Cow<'a, str>),
    /// The first child begins; what stood before is white space or not worth keeping.
    Child(Tag<'a>),
}

/// What a prefix stands for.
#[derive(Clone, Copy, Debug)]
struct Prefix<'a> {
    depth: usize,
    name: &'a str,
    namespace: &'a str,
}

/// A reader that stands somewhere in a page.
pub(super) struct Xml<'a> {
    page: &'a str,
    reader: Reader<&'a [u8]>,
    /// Where `reader` began in the page.
    base: usize,
    /// Qualified names of the elements around the current place.
    open: Vec<&'a str>,
    prefixes: Vec<Prefix<'a>>,
}

impl<'a> Xml<'a> {
    /// Stands before the first byte.
    pub(super) fn new(page: &'a str) -> Xml<'a> {
        let base = if page.starts_with('\u{feff}') { 3 } else { 0 };
        Xml { page, reader: reader_at(page, base), base, open: Vec::new(), prefixes: Vec::new() }
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The place in the page, in bytes from its begin.
    pub(super) fn position(&self) -> usize {
        self.base + self.reader.buffer_position() as usize
    }

    /// Goes on at `position`, with the outermost `depth` elements open.
    pub(super) fn resume(&mut self, position: usize, depth: usize) {
        self.reader = reader_at(self.page, position);
        self.base = position;
        self.open.truncate(depth);
        self.prefixes.retain(|p| p.depth <= depth);
    }

    /// The next step.
    pub(super) fn step(&mut self) -> Result<Step<'a>, XmlError> {
        loop {
            let begin = self.position();
            let event = self.reader.read_event().map_err(|e| XmlError(e.to_string()))?;
            return match event {
                Event::Start(start) => Ok(Step::Open(self.open(start, begin, false)?)),
                Event::Empty(start) => Ok(Step::Open(self.open(start, begin, true)?)),
                Event::End(end) => self.close(end.name().as_ref()),
                Event::Text(text) => Ok(Step::Text(normal_newlines(text.into_inner()))),
                Event::CData(data) => Ok(Step::Text(normal_newlines(data.into_inner()))),
                Event::GeneralRef(name) => Ok(Step::Text(resolve(name.into_inner()))),
                Event::Eof if self.open.is_empty() => Ok(Step::End),
                Event::Eof => Err(XmlError("the document ends inside an element".to_owned())),
                _ => continue,
            };
        }
    }

    /// Reads on after an `Open` that was not empty: the text up to the first child or the end.
    pub(super) fn content(&mut self) -> Result<Content<'a>, XmlError> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.step()? {
                Step::Text(more) if text.is_empty() => text = more,
                Step::Text(more) => text.to_mut().push_str(&more),
                Step::Open(tag) => return Ok(Content::Child(tag)),
                Step::Close | Step::End => return Ok(Content::Text(text)),
            }
        }
    }

    /// The next child of the element whose content is being read; `None` at its end.
    pub(super) fn child(&mut self) -> Result<Option<Tag<'a>>, XmlError> {
        loop {
            match self.step()? {
                Step::Text(_) => {}
                Step::Open(tag) => return Ok(Some(tag)),
                Step::Close | Step::End => return Ok(None),
            }
        }
    }

    /// Reads to the end of an element that has just begun.
    pub(super) fn skip(&mut self, tag: &Tag<'a>) -> Result<(), XmlError> {
        if tag.empty {
            return Ok(());
        }
        let outer = self.depth() - 1;
        while outer < self.depth() {
            self.step()?;
        }
        Ok(())
    }

    fn open(&mut self, start: BytesStart<'_>, begin: usize, empty: bool) -> Result<Tag<'a>, XmlError> {
        let name_end = start.name().as_ref().len();
        // The event borrows from the reader's call; the page itself lives longer.
        let content = self.page.get(begin + 1..begin + 1 + start.len()).unwrap_or_default();
        let qualified = content.get(..name_end).unwrap_or_default();
        let mut tag = Tag { name: local(qualified), empty, begin, ..Tag::default() };
        if name_end < content.len() {
            self.attributes(&mut tag, content, name_end);
        }
        if !empty {
            if XML_DEPTH_MAX <= self.open.len() {
                return Err(XmlError(format!("elements are nested deeper than {XML_DEPTH_MAX}")));
            }
            self.open.push(qualified);
        }
        Ok(tag)
    }

    fn attributes(&mut self, tag: &mut Tag<'a>, content: &'a str, name_end: usize) {
        let before = self.prefixes.len();
        let depth = self.open.len() + 1;
        let mut types: Option<(&str, &'a str)> = None;
        for attribute in Attributes::new(content, name_end).with_checks(false).flatten() {
            // Values of the attributes that matter are names: they need no reference.
            let Cow::Borrowed(value) = attribute.value else { continue };
            match attribute.key.0.split_once(':') {
                Some(("xmlns", name)) => self.prefixes.push(Prefix { depth, name, namespace: value }),
                None if attribute.key.0 == "type" => tag.reference = Some(value),
                None if attribute.key.0 == "serverGuid" => tag.server = Some(value),
                // Which prefix is right is known only when all declarations are read.
                Some((prefix, "type")) if types.is_none() || prefix == "xsi" => {
                    types = Some((prefix, value));
                }
                _ => {}
            }
        }
        if let Some((prefix, value)) = types {
            // An undeclared `xsi` is meant as what everybody means by it; Go reads it so as well.
            let namespace = self.namespace(prefix);
            if namespace == Some(XSI) || (namespace.is_none() && prefix == "xsi") {
                tag.class = Some(self.class(value.trim()));
            }
        }
        if tag.empty {
            self.prefixes.truncate(before);
        }
    }

    fn class(&self, value: &'a str) -> Class<'a> {
        match value.split_once(':') {
            Some((prefix, name)) => match self.namespace(prefix) {
                Some(XSD) => Class::BuiltIn(name),
                None if prefix == "xsd" => Class::BuiltIn(name),
                _ => Class::Vim(name),
            },
            None => Class::Vim(value),
        }
    }

    fn namespace(&self, prefix: &str) -> Option<&'a str> {
        self.prefixes.iter().rev().find(|p| p.name == prefix).map(|p| p.namespace)
    }

    fn close(&mut self, name: &str) -> Result<Step<'a>, XmlError> {
        match self.open.pop() {
            Some(expected) if expected == name => {
                let depth = self.open.len();
                while self.prefixes.last().is_some_and(|p| depth < p.depth) {
                    self.prefixes.pop();
                }
                Ok(Step::Close)
            }
            Some(expected) => Err(XmlError(format!("the element `{expected}` ends with `</{name}>`"))),
            None => Err(XmlError(format!("`</{name}>` ends nothing"))),
        }
    }
}

fn reader_at(page: &str, position: usize) -> Reader<&[u8]> {
    let mut reader = Reader::from_str(page.get(position..).unwrap_or_default());
    let config = reader.config_mut();
    // End names are compared here, because reading resumes in the middle of the document.
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    reader
}

/// A name without its namespace prefix.
pub(super) fn local(qualified: &str) -> &str {
    match qualified.bytes().rposition(|b| b == b':') {
        Some(colon) => &qualified[colon + 1..],
        None => qualified,
    }
}

/// Line ends as XML wants them: CR LF and a lone CR both become LF.
fn normal_newlines(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.as_bytes().contains(&b'\r') {
        return Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"));
    }
    text
}

/// An attribute's value with its references resolved.
pub(super) fn unescape(value: &str) -> Cow<'_, str> {
    let mut parts = value.split('&');
    let mut text = Cow::Borrowed(parts.next().unwrap_or_default());
    for part in parts {
        match part.split_once(';') {
            Some((name, behind)) => {
                text.to_mut().push_str(&resolve(Cow::Borrowed(name)));
                text.to_mut().push_str(behind);
            }
            None => {
                text.to_mut().push('&');
                text.to_mut().push_str(part);
            }
        }
    }
    text
}

/// The characters of `&name;`. A reference that nobody defined stays as it was written.
fn resolve(name: Cow<'_, str>) -> Cow<'_, str> {
    let known = match name.as_ref() {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        other => {
            let number = match other.strip_prefix('#') {
                Some(hex) if hex.starts_with(['x', 'X']) => u32::from_str_radix(&hex[1..], 16).ok(),
                Some(decimal) => decimal.parse().ok(),
                None => None,
            };
            return match number {
                Some(number) => {
                    Cow::Owned(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER).into())
                }
                None => Cow::Owned(format!("&{other};")),
            };
        }
    };
    Cow::Borrowed(known)
}
