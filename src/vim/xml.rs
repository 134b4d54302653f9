//! Steps through a SOAP page: elements with their type attributes, text with its references
//! resolved. Borrows from the page; comments, processing instructions and white space of the
//! markup never reach the caller.

use std::borrow::Cow;

use memchr::{memchr, memchr3};
use quick_xml::Reader;
use quick_xml::events::Event;
use quick_xml::events::attributes::Attributes;

use crate::limits::{ANOMALY_NAME_BYTES_MAX, XML_DEPTH_MAX, XML_PREFIXES_MAX};

/// The namespace of the `type` attribute that names an element's class.
const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The namespace of the built-in types, such as `xsd:string`.
const XSD: &str = "http://www.w3.org/2001/XMLSchema";

/// Why reading cannot go on from here. The text says what is wrong with the XML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct XmlError(pub(super) String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// An element begins. When its content is known already, no `Close` follows.
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
    /// All that is in the element, if it is known already: text without markup.
    pub(super) content: Option<&'a str>,
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
    namespace: Namespace,
}

/// The namespaces that mean something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Xsi,
    Xsd,
    Other,
}

impl Namespace {
    fn of(uri: &str) -> Namespace {
        match uri {
            XSI => Namespace::Xsi,
            XSD => Namespace::Xsd,
            _ => Namespace::Other,
        }
    }
}

/// A reader that stands somewhere in a page.
pub(super) struct Xml<'a> {
    whole: &'a str,
    /// As much of the whole as may be read now.
    page: &'a str,
    reader: Reader<&'a [u8]>,
    /// The reader has not yet looked at what comes next, so that it can be moved over it.
    movable: bool,
    /// Qualified names of the elements around the current place.
    open: Vec<&'a str>,
    prefixes: Vec<Prefix<'a>>,
}

impl<'a> Xml<'a> {
    /// Stands before the first byte.
    pub(super) fn new(page: &'a str) -> Xml<'a> {
        let begin = if page.starts_with('\u{feff}') { 3 } else { 0 };
        let reader = reader_at(page, begin);
        Xml { whole: page, page, reader, movable: true, open: Vec::new(), prefixes: Vec::new() }
    }

    /// How many elements are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The place in the page, in bytes from its begin.
    pub(super) fn position(&self) -> usize {
        self.page.len() - self.reader.get_ref().len()
    }

    /// Goes on at `position`, with the outermost `depth` elements open.
    pub(super) fn resume(&mut self, position: usize, depth: usize) {
        self.reader = reader_at(self.page, position);
        self.movable = true;
        self.open.truncate(depth);
        self.prefixes.retain(|p| p.depth <= depth);
    }

    /// Reads no further than `end`, as if the page ended there; `None` takes the bound away. To be
    /// called behind a tag or an element only.
    pub(super) fn bound(&mut self, end: Option<usize>) {
        let page = end.and_then(|end| self.whole.get(..end)).unwrap_or(self.whole);
        if page.len() != self.page.len() {
            let position = self.position();
            self.page = page;
            self.reader = reader_at(page, position);
            self.movable = true;
        }
    }

    pub(super) fn step(&mut self) -> Result<Step<'a>, XmlError> {
        if self.movable
            && let Some(step) = self.tag()?
        {
            return Ok(step);
        }
        loop {
            let event = self.reader.read_event().map_err(|e| XmlError(e.to_string()))?;
            // After text the reader has already decided that markup comes.
            self.movable = !matches!(event, Event::Text(_));
            return match event {
                Event::Start(start) => {
                    let name = name_length(start.as_bytes());
                    // From the end, because a reader begins by passing over a byte-order mark.
                    let begin = self.position() - "<>".len() - start.len();
                    Ok(Step::Open(self.open(begin, start.len(), name, None)?))
                }
                Event::Empty(start) => {
                    let name = name_length(start.as_bytes());
                    let begin = self.position() - "</>".len() - start.len();
                    Ok(Step::Open(self.open(begin, start.len(), name, Some(""))?))
                }
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

    /// Moves over a tag, and over the content behind it if that is text without markup. A page is
    /// made of these, and the general reader is twice as slow with them; whatever looks in any way
    /// unusual, and all errors, are left to it.
    fn tag(&mut self) -> Result<Option<Step<'a>>, XmlError> {
        let rest: &'a [u8] = self.reader.get_ref();
        if let [b'<', b'/', end @ ..] = rest {
            let Some(name) = self.open.last() else { return Ok(None) };
            let Some([b'>', behind @ ..]) = end.strip_prefix(name.as_bytes()) else { return Ok(None) };
            *self.reader.get_mut() = behind;
            return Ok(Some(self.closed()));
        }
        let Some(Start { blank, length, name, content, behind }) = Start::find(rest) else { return Ok(None) };
        let begin = self.position() + blank;
        let text = begin + 1 + length + 1;
        let content = content.and_then(|content| self.page.get(text..text + content));
        *self.reader.get_mut() = behind;
        let empty = self.page[..text].ends_with("/>");
        let (length, content) = if empty { (length - 1, Some("")) } else { (length, content) };
        self.open(begin, length, name.min(length), content).map(|tag| Some(Step::Open(tag)))
    }

    /// Reads on after an `Open` whose content is not known: the text up to the first child or the end.
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
        if tag.content.is_some() {
            return Ok(());
        }
        let outer = self.depth() - 1;
        while outer < self.depth() {
            self.step()?;
        }
        Ok(())
    }

    /// Opens the element whose tag begins at `begin` and has `length` bytes between its brackets, the
    /// first `name_end` of them its name.
    fn open(
        &mut self,
        begin: usize,
        length: usize,
        name_end: usize,
        content: Option<&'a str>,
    ) -> Result<Tag<'a>, XmlError> {
        let markup = self.page.get(begin + 1..begin + 1 + length).unwrap_or_default();
        let qualified = markup.get(..name_end).unwrap_or_default();
        let mut tag = Tag { name: local(qualified), content, begin, ..Tag::default() };
        if name_end < markup.len() {
            self.attributes(&mut tag, markup, name_end)?;
        }
        if content.is_none() {
            if XML_DEPTH_MAX <= self.open.len() {
                return Err(XmlError(format!("elements are nested deeper than {XML_DEPTH_MAX}")));
            }
            self.open.push(qualified);
        }
        Ok(tag)
    }

    fn attributes(&mut self, tag: &mut Tag<'a>, markup: &'a str, name_end: usize) -> Result<(), XmlError> {
        let before = self.prefixes.len();
        let depth = self.open.len() + 1;
        let (mut typed, mut several) = (None, false);
        for (key, value) in attributes_of(markup, name_end) {
            match key {
                "type" => tag.reference = Some(value),
                "serverGuid" => tag.server = Some(value),
                _ => match (key.strip_prefix("xmlns:"), key.strip_suffix(":type")) {
                    (Some(name), _) => {
                        if XML_PREFIXES_MAX <= self.prefixes.len() {
                            let max = XML_PREFIXES_MAX;
                            return Err(XmlError(format!("more than {max} namespaces are declared at once")));
                        }
                        self.prefixes.push(Prefix { depth, name, namespace: Namespace::of(value) });
                    }
                    (None, Some(prefix)) => several |= typed.replace((prefix, value)).is_some(),
                    (None, None) => {}
                },
            }
        }
        // Which prefix is right is known only now that all declarations are read.
        if several {
            typed = attributes_of(markup, name_end)
                .filter_map(|(key, value)| Some((key.strip_suffix(":type")?, value)))
                .find(|(prefix, _)| self.is_xsi(prefix));
        }
        let class = typed.filter(|(prefix, _)| self.is_xsi(prefix));
        tag.class = class.map(|(_, value)| self.class(value.trim()));
        if tag.content.is_some() {
            self.prefixes.truncate(before);
        }
        Ok(())
    }

    /// An undeclared `xsi` is meant as what everybody means by it; Go reads it so as well.
    fn is_xsi(&self, prefix: &str) -> bool {
        self.namespace(prefix).map_or(prefix == "xsi", |namespace| namespace == Namespace::Xsi)
    }

    fn class(&self, value: &'a str) -> Class<'a> {
        let name = local(value);
        match value.strip_suffix(name).and_then(|prefix| prefix.strip_suffix(':')) {
            Some(prefix) => match self.namespace(prefix) {
                Some(Namespace::Xsd) => Class::BuiltIn(name),
                None if prefix == "xsd" => Class::BuiltIn(name),
                _ => Class::Vim(name),
            },
            None => Class::Vim(value),
        }
    }

    fn namespace(&self, prefix: &str) -> Option<Namespace> {
        self.prefixes.iter().rev().find(|p| p.name == prefix).map(|p| p.namespace)
    }

    fn close(&mut self, name: &str) -> Result<Step<'a>, XmlError> {
        match self.open.last() {
            Some(expected) if *expected == name => Ok(self.closed()),
            Some(expected) => {
                let (expected, name) = (short(expected), short(name));
                Err(XmlError(format!("the element {expected:?} ends with {name:?}")))
            }
            None => Err(XmlError(format!("the end of {:?} ends nothing", short(name)))),
        }
    }

    /// Leaves the innermost element, whose end has just been read.
    fn closed(&mut self) -> Step<'a> {
        self.open.pop();
        let depth = self.open.len();
        while self.prefixes.last().is_some_and(|p| depth < p.depth) {
            self.prefixes.pop();
        }
        Step::Close
    }
}

/// A start tag in front of everything else.
struct Start<'a> {
    /// White space before it.
    blank: usize,
    /// Bytes between its brackets, and of its name, which a slash may end.
    length: usize,
    name: usize,
    /// Bytes of what is in the element, if that is text without markup.
    content: Option<usize>,
    /// What comes behind the tag, or behind the element if its content is known.
    behind: &'a [u8],
}

impl<'a> Start<'a> {
    fn find(rest: &'a [u8]) -> Option<Start<'a>> {
        // White space before a start tag is never part of a value.
        let blank = rest.iter().position(|b| !b.is_ascii_whitespace())?;
        let [b'<', inside @ ..] = &rest[blank..] else { return None };
        if !inside.first()?.is_ascii_alphabetic() {
            return None;
        }
        let length = end_of_tag(inside)?;
        let (markup, behind) = (&inside[..length], &inside[length + 1..]);
        let name = name_length(markup);
        if markup.ends_with(b"/") {
            return Some(Start { blank, length, name, content: None, behind });
        }
        Some(match text_before_end(behind, &markup[..name]) {
            Some((content, behind)) => Start { blank, length, name, content: Some(content), behind },
            None => Start { blank, length, name, content: None, behind },
        })
    }
}

/// How long the name is that begins a tag.
fn name_length(markup: &[u8]) -> usize {
    markup.iter().position(u8::is_ascii_whitespace).unwrap_or(markup.len())
}

/// Where the bracket is that ends a tag; quoted values may hold brackets too.
fn end_of_tag(inside: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr3(b'>', b'"', b'\'', &inside[at..])?;
        if inside[at] == b'>' {
            return Some(at);
        }
        let value = at + 1;
        at = value + memchr(inside[at], &inside[value..])? + 1;
    }
}

/// How long the text is that ends with the end tag of this name, and what comes behind the tag.
fn text_before_end<'a>(rest: &'a [u8], name: &[u8]) -> Option<(usize, &'a [u8])> {
    let length = memchr3(b'<', b'&', b'\r', rest)?;
    let [b'<', b'/', end @ ..] = &rest[length..] else { return None };
    let [b'>', behind @ ..] = end.strip_prefix(name)? else { return None };
    Some((length, behind))
}

/// Names and values as they are written: the values that matter are names and need no reference.
fn attributes_of(markup: &str, name_end: usize) -> impl Iterator<Item = (&str, &str)> {
    let mut attributes = Attributes::new(markup, name_end);
    attributes.with_checks(false);
    attributes.flatten().filter_map(|attribute| match attribute.value {
        Cow::Borrowed(value) => Some((attribute.key.into_inner(), value)),
        Cow::Owned(_) => None,
    })
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

/// As much of a name as belongs in a message.
fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(ANOMALY_NAME_BYTES_MAX)]
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
    if !value.as_bytes().contains(&b'&') {
        return Cow::Borrowed(value);
    }
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
