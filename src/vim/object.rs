//! One event to JSON.
//!
//! Members are printed as they come, because vCenter sends them in the schema's order, which is
//! also the order to print. When an event is found to be in another order, it is converted once
//! more, with the members of each object collected and sorted.
//!
//! What the schema does not know is converted by its structure: an element with a `type` attribute
//! is a reference, one with children is an object, any other is a string; names begin with an
//! upper-case letter, and a name that comes again makes an array. An object of an unknown class
//! keeps the members of the class that stands in its place.

use std::borrow::Cow;

use jiff::Timestamp;

use super::members::Members;
use super::scalar::{self, Time};
use super::schema::{Class, ClassIndex, Kind, TABLE};
use super::xml::{Class as XsiType, Content, Tag, Xml, XmlError, unescape};
use super::{Anomaly, AnomalyKind};
use crate::limits::{ANOMALY_NAME_BYTES_MAX, EVENT_ANOMALIES_MAX};

/// Members of an event that name the object it is about, the telling ones first.
const OBJECTS: [&str; 7] = ["vm", "host", "ds", "net", "dvs", "computeResource", "datacenter"];

/// What the router itself needs to know of an event.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) key: Option<i64>,
    pub(super) created: Option<Timestamp>,
    pub(super) event_type_id: Option<String>,
    /// Identity of the object that the event is about.
    pub(super) object: Option<String>,
    /// How telling the member is that `object` comes from; the smallest is best.
    rank: usize,
    /// What the schema does not explain.
    pub(super) anomalies: Vec<Anomaly>,
}

/// Converts the events of a page, one after the other.
pub(super) struct Converter<'a> {
    pub(super) xml: Xml<'a>,
    /// The event as JSON.
    pub(super) out: Vec<u8>,
    pub(super) head: Head,
    /// Members come in the order to print, as far as this is known.
    ordered: bool,
    /// Value of the last object reference.
    reference: String,
    /// The last text of a member was none; a number is 0 then.
    is_empty: bool,
}

/// Why converting an event cannot go on.
enum Halt {
    /// A member that belongs before what is already printed.
    Disordered,
    Xml(XmlError),
}

impl From<XmlError> for Halt {
    fn from(error: XmlError) -> Halt {
        Halt::Xml(error)
    }
}

impl<'a> Converter<'a> {
    /// Stands before the first byte of a page.
    pub(super) fn new(page: &'a str) -> Converter<'a> {
        Converter {
            xml: Xml::new(page),
            out: Vec::new(),
            head: Head::default(),
            ordered: true,
            reference: String::new(),
            is_empty: false,
        }
    }

    /// Converts the event that `tag` has begun into `out` and `head`.
    pub(super) fn event(&mut self, tag: &Tag<'a>) -> Result<(), XmlError> {
        let (inside, depth) = (self.xml.position(), self.xml.depth());
        self.ordered = true;
        match self.try_event(tag) {
            Ok(()) => Ok(()),
            Err(Halt::Xml(error)) => Err(error),
            Err(Halt::Disordered) => {
                self.xml.resume(inside, depth);
                self.ordered = false;
                match self.try_event(tag) {
                    Ok(()) => Ok(()),
                    Err(Halt::Xml(error)) => Err(error),
                    Err(Halt::Disordered) => Err(XmlError("its members cannot be put in order".into())),
                }
            }
        }
    }

    fn try_event(&mut self, tag: &Tag<'a>) -> Result<(), Halt> {
        self.out.clear();
        self.head = Head { rank: usize::MAX, ..Head::default() };
        let class = match tag.class {
            Some(XsiType::Vim(name) | XsiType::BuiltIn(name)) => {
                let known = TABLE.find(name);
                if known.is_none() {
                    self.note(AnomalyKind::Class, name, "");
                }
                known
            }
            None => None,
        };
        match class.or_else(|| TABLE.find("Event")) {
            Some(index) => self.object(tag, TABLE.class(index), true),
            None => self.structural(tag),
        }
    }

    /// Appends one object, whatever its `xsi:type` says.
    fn object(&mut self, tag: &Tag<'a>, class: &Class, is_event: bool) -> Result<(), Halt> {
        let begin = self.out.len();
        let mut others = Members::default();
        let mut next = 0usize;
        let mut child = match self.content(tag)? {
            Content::Child(child) => Some(child),
            Content::Text(text) if text.trim().is_empty() => None,
            Content::Text(text) => {
                self.note(AnomalyKind::Value, &class.name, tag.name);
                scalar::string(&mut self.out, &text);
                return Ok(());
            }
        };
        while let Some(tag) = child {
            match class.find(tag.name, next.saturating_sub(1)) {
                Some(place) if place < class.always && self.ordered => {
                    self.member(&tag, class, place, next, is_event)?;
                    next = place + 1;
                }
                place => {
                    let value = self.out.len();
                    match place.and_then(|place| class.members.get(place)) {
                        Some(member) => self.value(&tag, class, member.kind)?,
                        None => {
                            self.note(AnomalyKind::Member, &class.name, tag.name);
                            self.structural(&tag)?;
                        }
                    }
                    if is_event {
                        self.read_head(tag.name, value);
                    }
                    if others.add(class, place, tag.name, &self.out[value..])? {
                        self.note(AnomalyKind::Value, &class.name, tag.name);
                    }
                    self.out.truncate(value);
                }
            }
            child = self.xml.child()?;
        }
        others.finish(&mut self.out, begin, class, next);
        Ok(())
    }

    /// Appends the member at `place`, when those before `next` are printed.
    fn member(
        &mut self,
        tag: &Tag<'a>,
        class: &Class,
        place: usize,
        next: usize,
        is_event: bool,
    ) -> Result<(), Halt> {
        let member = class.members[place];
        if next <= place {
            self.out.extend_from_slice(class.absent(next, place));
            self.out.extend_from_slice(class.key(&member));
            if member.array {
                self.out.push(b'[');
            }
        } else if member.array && place + 1 == next {
            self.out.pop();
            self.out.push(b',');
        } else {
            return Err(Halt::Disordered);
        }
        let value = self.out.len();
        self.value(tag, class, member.kind)?;
        if is_event {
            self.read_head(member.name, value);
        }
        if member.array {
            self.out.push(b']');
        }
        Ok(())
    }

    /// Appends the value of a member of `owner`.
    fn value(&mut self, tag: &Tag<'a>, owner: &Class, kind: Kind) -> Result<(), Halt> {
        match kind {
            Kind::Object(declared) => self.derived(tag, declared),
            Kind::Any => self.structural(tag),
            _ => match self.content(tag)? {
                Content::Text(text) if kind == Kind::Reference => {
                    self.reference_to(tag, &text);
                    Ok(())
                }
                Content::Text(text) => {
                    self.is_empty = text.is_empty();
                    if !scalar::value(&mut self.out, kind, &text) {
                        self.note(AnomalyKind::Value, &owner.name, tag.name);
                    }
                    Ok(())
                }
                Content::Child(child) => {
                    self.note(AnomalyKind::Value, &owner.name, tag.name);
                    self.unknown_object(child)
                }
            },
        }
    }

    /// Appends an object of the declared class or of the one that its `xsi:type` names.
    fn derived(&mut self, tag: &Tag<'a>, declared: ClassIndex) -> Result<(), Halt> {
        let class = TABLE.class(declared);
        match tag.class {
            Some(XsiType::Vim(name)) if name != class.name => match TABLE.find(name) {
                Some(index) => self.object(tag, TABLE.class(index), false),
                None => {
                    self.note(AnomalyKind::Type, name, "");
                    self.object(tag, class, false)
                }
            },
            _ => self.object(tag, class, false),
        }
    }

    /// Appends an element that no schema explains, but for its `xsi:type` if there is one.
    fn structural(&mut self, tag: &Tag<'a>) -> Result<(), Halt> {
        let mut kind = Kind::Text;
        let mut unknown = None;
        match tag.class {
            Some(XsiType::BuiltIn(name)) => kind = scalar::built_in(name),
            Some(XsiType::Vim("ManagedObjectReference")) => kind = Kind::Reference,
            Some(XsiType::Vim(name)) => {
                if let Some(index) = TABLE.find(name) {
                    return self.object(tag, TABLE.class(index), false);
                }
                if let Some(element) = name.strip_prefix("ArrayOf").and_then(|e| TABLE.find(e)) {
                    return self.object(tag, &TABLE.array_of(element), false);
                }
                unknown = Some(name);
            }
            None if tag.reference.is_some() => kind = Kind::Reference,
            None => {}
        }
        match self.content(tag)? {
            Content::Text(text) if kind == Kind::Reference => self.reference_to(tag, &text),
            Content::Text(text) if unknown.is_some() && text.trim().is_empty() => {
                self.note(AnomalyKind::Type, unknown.unwrap_or_default(), "");
                self.out.extend_from_slice(b"{}");
            }
            // What has text is an enumeration's value and needs no table to be kept.
            Content::Text(text) => {
                if !scalar::value(&mut self.out, kind, &text) {
                    self.note(AnomalyKind::Value, tag.name, "");
                }
            }
            Content::Child(child) => {
                if let Some(name) = unknown {
                    self.note(AnomalyKind::Type, name, "");
                }
                self.unknown_object(child)?;
            }
        }
        Ok(())
    }

    /// Appends an object by its structure; `first` is its first child.
    fn unknown_object(&mut self, first: Tag<'a>) -> Result<(), Halt> {
        let begin = self.out.len();
        let class = Class::unknown();
        let mut members = Members::default();
        let mut child = Some(first);
        while let Some(tag) = child {
            let value = self.out.len();
            self.structural(&tag)?;
            members.add(&class, None, tag.name, &self.out[value..])?;
            self.out.truncate(value);
            child = self.xml.child()?;
        }
        members.finish(&mut self.out, begin, &class, 0);
        Ok(())
    }

    fn content(&mut self, tag: &Tag<'a>) -> Result<Content<'a>, XmlError> {
        match tag.content {
            Some(text) => Ok(Content::Text(Cow::Borrowed(text))),
            None => self.xml.content(),
        }
    }

    fn reference_to(&mut self, tag: &Tag<'a>, text: &str) {
        self.reference.clear();
        self.reference.push_str(text);
        self.out.extend_from_slice(b"{\"Type\":");
        scalar::string(&mut self.out, &unescape(tag.reference.unwrap_or_default()));
        self.out.extend_from_slice(b",\"Value\":");
        scalar::string(&mut self.out, text);
        if let Some(server) = tag.server {
            self.out.extend_from_slice(b",\"ServerGUID\":");
            scalar::string(&mut self.out, &unescape(server));
        }
        self.out.push(b'}');
    }

    /// Keeps what is needed of the event's member whose value begins at `begin` of `out`.
    fn read_head(&mut self, name: &str, begin: usize) {
        let json = &self.out[begin..];
        let head = &mut self.head;
        match name {
            "key" if self.is_empty => head.key = None,
            "key" => head.key = std::str::from_utf8(json).ok().and_then(|text| text.parse().ok()),
            "createdTime" => {
                let text: Option<&str> = serde_json::from_slice(json).ok();
                head.created = text.and_then(|text| Some(Time::parse(text)?.timestamp));
            }
            "eventTypeId" => head.event_type_id = text_of(json),
            "objectId" if head.rank == usize::MAX => {
                head.object = text_of(json).filter(|text| !text.is_empty());
            }
            _ => {
                let rank = OBJECTS.iter().position(|o| *o == name);
                if let Some(rank) = rank.filter(|rank| *rank < head.rank && !self.reference.is_empty()) {
                    head.rank = rank;
                    // Up to four objects of an event come here, the telling ones late.
                    head.object.get_or_insert_default().clone_from(&self.reference);
                }
            }
        }
        self.reference.clear();
    }

    /// Remembers what the schema does not explain.
    fn note(&mut self, kind: AnomalyKind, name: &str, member: &str) {
        if EVENT_ANOMALIES_MAX <= self.head.anomalies.len() {
            return;
        }
        let dot = if member.is_empty() { "" } else { "." };
        let mut name = format!("{name}{dot}{member}");
        name.truncate(name.floor_char_boundary(ANOMALY_NAME_BYTES_MAX));
        let anomaly = Anomaly { kind, name };
        if !self.head.anomalies.contains(&anomaly) {
            self.head.anomalies.push(anomaly);
        }
    }
}

fn text_of(json: &[u8]) -> Option<String> {
    serde_json::from_slice(json).ok()
}
