//! One page of events: XML in, JSON out, in one pass.

use std::borrow::Cow;

use jiff::Timestamp;

use super::Anomaly;
use super::object::Converter;
use super::xml::{Class, Step, Tag, XmlError, local};
use crate::error::Error;

/// All events of one `ReadNextEvents` answer, in its order.
///
/// The body must hold a SOAP envelope whose Body's first child has the events as its `returnval`
/// children, under any namespace prefixes. An event that cannot be converted is handed back as it
/// came and does not disturb the others.
///
/// # Errors
///
/// The body is not XML, is cut short, holds no envelope, or holds a SOAP fault: nothing of the
/// page is usable.
pub fn convert_page(body: &[u8]) -> Result<Vec<PageEntry>, Error> {
    // Invalid UTF-8 is replaced, as Go replaces it when it prints a string; such a page is rare
    // enough to be copied.
    let page = match std::str::from_utf8(body) {
        Ok(page) => Cow::Borrowed(page),
        Err(_) => String::from_utf8_lossy(body),
    };
    Page { text: &page, events: Converter::new(&page) }
        .entries()
        .map_err(|e| Error::new(format!("read a page of events: {}", e.0)))
}

/// One event of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageEntry {
    /// A converted event.
    Event(VimEvent),
    /// An event that could not be converted.
    Broken(BrokenEvent),
}

/// An event of the vSphere API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VimEvent {
    /// The class: `xsi:type` without its prefix, `Event` when there is none.
    pub class: String,
    /// `eventTypeId` of an `EventEx` or `ExtendedEvent`.
    pub(crate) event_type_id: Option<String>,
    /// vCenter's number of the event; negative after its counter has wrapped.
    pub key: i64,
    /// When vCenter recorded it, by its own clock.
    pub(crate) created: Timestamp,
    /// Identity of the object that the event is about, such as `vm-56`: the virtual machine, else
    /// host, datastore, network, switch, cluster, datacenter, else the `objectId` of an `EventEx`.
    pub(crate) object: Option<String>,
    /// What the schema does not explain, for a metric and the log. Empty for almost every event.
    pub anomalies: Vec<Anomaly>,
    /// The event as one JSON object.
    pub data: Vec<u8>,
}

/// An event that cannot be converted: for the dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenEvent {
    /// Its key, if that could be read.
    pub(crate) key: Option<i64>,
    /// Its creation time, if that could be read.
    pub(crate) created: Option<Timestamp>,
    /// The `returnval` element as it came.
    pub raw: Vec<u8>,
    /// Why it cannot be converted.
    pub reason: String,
}

struct Page<'a> {
    text: &'a str,
    events: Converter<'a>,
}

impl<'a> Page<'a> {
    fn entries(&mut self) -> Result<Vec<PageEntry>, XmlError> {
        self.enter("Envelope")?;
        self.enter("Body")?;
        let answer = self.events.xml.child()?;
        let answer = answer.ok_or_else(|| XmlError("the SOAP body is empty".into()))?;
        if answer.name == "Fault" {
            return Err(XmlError("the answer is a SOAP fault".into()));
        }
        let mut entries = Vec::new();
        if answer.content.is_none() {
            while let Some(tag) = self.events.xml.child()? {
                if tag.name == "returnval" {
                    entries.push(self.entry(tag)?);
                } else {
                    self.events.xml.skip(&tag)?;
                }
            }
        }
        while self.events.xml.step()? != Step::End {}
        Ok(entries)
    }

    /// Goes into the next child of this name, over others before it.
    fn enter(&mut self, name: &str) -> Result<(), XmlError> {
        let xml = &mut self.events.xml;
        while let Some(tag) = xml.child()? {
            if tag.name == name && tag.content.is_none() {
                return Ok(());
            }
            xml.skip(&tag)?;
        }
        Err(XmlError(format!("there is no SOAP {name}")))
    }

    fn entry(&mut self, tag: Tag<'a>) -> Result<PageEntry, XmlError> {
        let depth = self.events.xml.depth() - usize::from(tag.content.is_none());
        let reason = match self.events.event(&tag) {
            Ok(()) => None,
            Err(error) => {
                let end = end_of_element(self.text, tag.begin).ok_or_else(|| error.clone())?;
                self.events.xml.resume(end, depth);
                Some(error.0)
            }
        };
        let head = std::mem::take(&mut self.events.head);
        Ok(match (reason, head.key, head.created) {
            (None, Some(key), Some(created)) => PageEntry::Event(VimEvent {
                class: match tag.class {
                    Some(Class::Vim(name) | Class::BuiltIn(name)) => name.to_owned(),
                    None => "Event".to_owned(),
                },
                event_type_id: head.event_type_id,
                key,
                created,
                object: head.object,
                anomalies: head.anomalies,
                data: self.events.out.as_slice().to_vec(),
            }),
            (reason, key, created) => PageEntry::Broken(BrokenEvent {
                key,
                created,
                raw: self.text.as_bytes()[tag.begin..self.events.xml.position()].to_vec(),
                reason: reason.unwrap_or_else(|| {
                    let what = if key.is_none() { "key" } else { "createdTime" };
                    format!("the event has no valid {what}")
                }),
            }),
        })
    }
}

/// Where the element that begins at `begin` ends, found without understanding what is inside:
/// only tags of the same name are counted; comments and CDATA are passed over.
fn end_of_element(page: &str, begin: usize) -> Option<usize> {
    let rest = &page[begin..];
    let name_end = rest[1..].find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/')? + 1;
    let name = &rest[1..name_end];
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(found) = rest[at..].find('<') {
        at += found;
        let markup = &rest[at..];
        let opaque = [("<!--", "-->"), ("<![CDATA[", "]]>")];
        if let Some((begin, end)) = opaque.into_iter().find(|(begin, _)| markup.starts_with(begin)) {
            at += begin.len() + markup[begin.len()..].find(end)? + end.len();
            continue;
        }
        let closing = markup.starts_with("</");
        let tag_name = &markup[1 + usize::from(closing)..];
        let tag_name =
            &tag_name[..tag_name.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/')?];
        let end = markup.find('>')? + 1;
        if local(tag_name) == local(name) {
            if closing {
                depth = depth.saturating_sub(1);
            } else if !markup[..end].ends_with("/>") {
                depth += 1;
            }
            if depth == 0 {
                return Some(begin + at + end);
            }
        }
        at += 1;
    }
    None
}
