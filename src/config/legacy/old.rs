//! What an old configuration says, whichever form it has. Every value keeps its place in the file,
//! so that what is wrong with it later is told there.

use toml::de::DeValue;

use super::super::reader::Value;

/// One source, one processor, one address to watch: the Go router knew no more.
pub(super) struct Old<'a> {
    pub(super) source: Source<'a>,
    pub(super) processor: Processor<'a>,
    pub(super) metrics: Metrics<'a>,
}

/// A text and where it stands.
#[derive(Clone)]
pub(super) struct Text<'a> {
    pub(super) text: String,
    pub(super) at: Value<'a>,
}

/// `eventProvider`, or the entry of type `stream`.
pub(super) struct Source<'a> {
    /// Also its type: `vcenter` or `vcsim`.
    pub(super) type_name: &'static str,
    pub(super) name: Option<String>,
    pub(super) at: Value<'a>,
    pub(super) address: Text<'a>,
    pub(super) account: Account<'a>,
    pub(super) insecure: bool,
    /// None where the Go router knew no checkpoints.
    pub(super) checkpoint: Option<bool>,
    pub(super) checkpoint_dir: Option<Text<'a>>,
    pub(super) root_cas: Vec<Text<'a>>,
}

/// User and password, or access key and secret key.
pub(super) struct Account<'a> {
    pub(super) username: Text<'a>,
    pub(super) password: Text<'a>,
}

/// `eventProcessor`, or the entry of type `processor`.
pub(super) struct Processor<'a> {
    pub(super) name: Option<String>,
    pub(super) at: Value<'a>,
    pub(super) kind: Kind<'a>,
}

/// The kinds of processors.
pub(super) enum Kind<'a> {
    Openfaas {
        address: Text<'a>,
        asynchronous: bool,
        account: Option<Account<'a>>,
    },
    Knative {
        destination: Destination<'a>,
        encoding: Text<'a>,
        insecure: bool,
    },
    Eventbridge {
        region: Text<'a>,
        bus: Option<Text<'a>>,
        rule: Text<'a>,
        /// None is the credential chain.
        keys: Option<Account<'a>>,
    },
}

/// Where Knative events go: a URL, or an object of the cluster with perhaps a path below it.
pub(super) struct Destination<'a> {
    pub(super) reference: Option<Reference<'a>>,
    pub(super) uri: Option<Text<'a>>,
}

/// `destination.ref`: the fields that it has, and their texts.
pub(super) struct Reference<'a> {
    pub(super) at: Value<'a>,
    pub(super) fields: Vec<(&'static str, String)>,
}

/// `metricsProvider`, or the entry of type `metrics`.
pub(super) struct Metrics<'a> {
    pub(super) at: Value<'a>,
    pub(super) bind: Text<'a>,
    pub(super) account: Option<Account<'a>>,
}

/// A text. The YAML reader of the Go router made one of truth values too.
pub(super) fn text<'a>(value: &Value<'a>) -> Option<Text<'a>> {
    match value.get_ref() {
        DeValue::Boolean(truth) => Some(Text { text: truth.to_string(), at: value.clone() }),
        _ => strict_text(value),
    }
}

/// A text, as Go's JSON reader took it: in quotes.
pub(super) fn strict_text<'a>(value: &Value<'a>) -> Option<Text<'a>> {
    Some(Text { text: value.string()?.to_string(), at: value.clone() })
}

/// Any value, of a key that is known and means nothing here.
pub(super) fn unused(_: &Value<'_>) -> Option<()> {
    Some(())
}
