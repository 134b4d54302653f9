//! The CloudEvent 1.0: its attributes, its JSON text and its HTTP encodings (contracts of the
//! CloudEvents HTTP binding 1.0.2).

use std::borrow::Cow;
use std::sync::Arc;

/// One CloudEvent. Empty attributes are absent, never empty strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEvent {
    /// `id`: the same event always has the same.
    pub id: String,
    /// `source`: a URI reference, without user information.
    pub source: Arc<str>,
    /// `type`.
    pub ty: Cow<'static, str>,
    /// `subject`, if there is one.
    pub subject: Option<String>,
    /// `time` as RFC 3339 text, if known.
    pub time: Option<String>,
    /// `datacontenttype`, if there is data.
    pub datacontenttype: Option<Cow<'static, str>>,
    /// The data: JSON text when `datacontenttype` says so, otherwise bytes of that type.
    pub data: Vec<u8>,
    /// Extension attributes: names of lower-case letters and digits, and their values.
    pub extensions: Vec<(Arc<str>, Arc<str>)>,
}
