//! One page of events: XML in, JSON out, in one pass.

use std::borrow::Cow;

use jiff::Timestamp;

use super::Anomaly;
use super::extent;
use super::object::Converter;
use super::xml::{Class, Step, Tag, XmlError};
use crate::error::Error;
use crate::limits::ANOMALY_NAME_BYTES_MAX;

/// All events of one `ReadNextEvents` answer, in its order.
///
/// The body must hold a SOAP envelope whose Body's first child is a `ReadNextEventsResponse` with the
/// events as its `returnval` children, under any namespace prefixes. An event that cannot be converted is
/// handed back as it came and does not disturb the others.
///
/// # Errors
///
/// The body is not XML, is cut short, holds no envelope, or something else than the answer: a SOAP
/// fault, the answer to another call, text or foreign elements in place of events. Nothing of the page is
/// usable then, and the page that was asked for is lost.
pub fn convert_page(body: &[u8]) -> Result<Vec<PageEntry>, Error> {
    // Invalid UTF-8 is replaced, as Go replaces it when it prints a string; such a page is rare
    // enough to be copied.
    let page = match std::str::from_utf8(body) {
        Ok(page) => Cow::Borrowed(page),
        Err(_) => String::from_utf8_lossy(body),
    };
    Page::new(&page).entries().map_err(|e| Error::new(format!("read a page of events: {}", e.0)))
}

/// The first event of a page of which there is only the begin, as a broken one for `reason`; none if
/// its key and time are not there.
pub(crate) fn cut_event(begin: &[u8], reason: String) -> Option<BrokenEvent> {
    let text = String::from_utf8_lossy(begin);
    let mut page = Page::new(&text);
    let event = page.first().ok()??;
    let (mut key, mut created) = (None, None);
    let xml = &mut page.events.xml;
    while key.is_none() || created.is_none() {
        let tag = xml.child().ok()??;
        match (tag.name, tag.content) {
            ("key", Some(text)) => key = text.trim().parse().ok(),
            ("createdTime", Some(text)) => created = super::timestamp(text),
            _ => xml.skip(&tag).ok()?,
        }
    }
    Some(BrokenEvent { key, created, raw: text.as_bytes()[event.begin..].to_vec(), reason })
}

/// The element that holds a page of events.
const ANSWER: &str = "ReadNextEventsResponse";

/// At most so much of a name as a message needs.
fn shorten(name: &str) -> &str {
    &name[..name.floor_char_boundary(ANOMALY_NAME_BYTES_MAX)]
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

pub(super) struct Page<'a> {
    text: &'a str,
    events: Converter<'a>,
    /// An event could not be read. What is broken may look sound far beyond its end: from there on the
    /// end of each event is looked for first, and nothing behind it is read for the event.
    is_broken: bool,
    /// Bytes that reading events could look at.
    pub(super) steps: usize,
}

impl<'a> Page<'a> {
    pub(super) fn new(text: &'a str) -> Page<'a> {
        Page { text, events: Converter::new(text), is_broken: false, steps: 0 }
    }

    pub(super) fn entries(&mut self) -> Result<Vec<PageEntry>, XmlError> {
        let answer = self.answer()?;
        let mut entries = Vec::new();
        let mut foreign = None;
        match answer.content {
            Some(text) if !text.trim().is_empty() => foreign = Some("text"),
            Some(_) => {}
            None => {
                while let Some(tag) = self.events.xml.child()? {
                    if tag.name == "returnval" {
                        entries.push(self.entry(tag)?);
                    } else {
                        foreign = foreign.or(Some(tag.name));
                        self.events.xml.skip(&tag)?;
                    }
                }
            }
        }
        while self.events.xml.step()? != Step::End {}
        match foreign {
            Some(name) if entries.is_empty() => {
                Err(XmlError(format!("{} stands in place of the events", shorten(name))))
            }
            _ => Ok(entries),
        }
    }

    /// Goes to the begin of the first event.
    fn first(&mut self) -> Result<Option<Tag<'a>>, XmlError> {
        self.answer()?;
        while let Some(tag) = self.events.xml.child()? {
            if tag.name == "returnval" {
                return Ok(Some(tag));
            }
            self.events.xml.skip(&tag)?;
        }
        Ok(None)
    }

    /// Goes into the envelope to the answer, which must be the one that was asked for.
    fn answer(&mut self) -> Result<Tag<'a>, XmlError> {
        self.enter("Envelope")?;
        self.enter("Body")?;
        let answer = self.events.xml.child()?;
        let answer = answer.ok_or_else(|| XmlError("the SOAP body is empty".into()))?;
        match answer.name {
            ANSWER => Ok(answer),
            "Fault" => Err(XmlError("the answer is a SOAP fault".into())),
            other => Err(XmlError(format!("the answer is <{}>, not <{ANSWER}>", shorten(other)))),
        }
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
        let inside = self.events.xml.position();
        // When its content is known nothing more is read for the event.
        let bound = match self.is_broken && tag.content.is_none() {
            true => Some(self.end_of_event(&tag, inside)?),
            false => None,
        };
        self.events.xml.bound(bound);
        let read = self.events.event(&tag);
        let end = self.events.xml.position();
        let reason = match (read, bound) {
            (Ok(()), None) => {
                self.steps += end - inside;
                None
            }
            (Ok(()), Some(bound)) if bound == end => None,
            // To take one of the two ends could swallow the next event.
            (Ok(()), Some(_)) => return Err(XmlError("the events cannot be told apart".to_owned())),
            (Err(error), bound) => {
                let bound = match bound {
                    Some(bound) => bound,
                    None => {
                        self.is_broken = true;
                        self.steps += self.text.len() - inside;
                        self.end_of_event(&tag, inside)?
                    }
                };
                self.events.xml.resume(bound, depth);
                Some(error.0)
            }
        };
        self.events.xml.bound(None);
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

    /// Where the event ends that begins with `tag`, when its content begins at `inside`.
    fn end_of_event(&mut self, tag: &Tag<'a>, inside: usize) -> Result<usize, XmlError> {
        let extent = extent::find(self.text, tag.begin)
            .ok_or_else(|| XmlError("an event that cannot be read has no end".to_owned()))?;
        self.steps += extent.steps + extent.end - tag.begin;
        if extent.end < inside {
            return Err(XmlError("the tag of an event does not end before the event".to_owned()));
        }
        Ok(extent.end)
    }
}
