//! The vSphere API's types: XML of a page of events to JSON of each event.
//!
//! | Module | What it does |
//! | --- | --- |
//! | [`json`] | one page: finds the events, converts each, isolates a broken one |
//! | `object` | one event, by the schema or by its structure |
//! | `paths` | what an event can hold at a path of names |
//! | `members` | members of one object that cannot be printed as they come |
//! | `scalar` | the text of a value to JSON |
//! | `schema` | the classes, their members and what absent members look like |
//! | `tree` | a small document as a tree: calls and their answers |
//! | `extent` | where an element ends that cannot be understood |
//! | `xml` | steps through the page, namespaces and references resolved |

mod extent;
pub mod json;
mod members;
mod object;
pub(crate) mod paths;
mod scalar;
mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod tree;
mod xml;

/// The time of an `xsd:dateTime`; one without a zone is UTC, as vCenter means it.
pub(crate) fn timestamp(text: &str) -> Option<jiff::Timestamp> {
    scalar::Time::parse(text).map(|time| time.timestamp)
}

/// A class of the schema and what it inherits from, itself first. Of one that the schema does not know
/// only its name is known.
pub(crate) fn lineage(class: &str) -> impl Iterator<Item = &str> {
    let bases = schema::TABLE.lineage(class).skip(1).map(|base: &str| base);
    std::iter::once(class).chain(bases)
}

/// Something in an event that the schema does not explain. The event is delivered all the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Anomaly {
    /// What is unknown: few enough to label a metric.
    pub kind: AnomalyKind,
    /// Its name, such as `FooEvent` or `VmPoweredOnEvent.foo`. vCenter decides it: whoever logs it
    /// once must bound how many names are remembered.
    pub(crate) name: String,
}

/// What the schema does not explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnomalyKind {
    /// The class of an event.
    Class,
    /// A member of a known class.
    Member,
    /// The `xsi:type` of a member.
    Type,
    /// A value that its member should not have.
    Value,
}

impl AnomalyKind {
    pub(crate) fn label(self) -> &'static str {
        match self {
            AnomalyKind::Class => "class",
            AnomalyKind::Member => "member",
            AnomalyKind::Type => "type",
            AnomalyKind::Value => "value",
        }
    }
}
