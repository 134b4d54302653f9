//! `[processor.NAME]` of type `http`.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;
use ureq::http::{HeaderName, HeaderValue, Uri};

use super::judge::{self, Codes, Reading, Rules};
use super::sign::{Algorithm, SignatureFormat};
use crate::cloudevents::is_json;
use crate::config::ConnectionConfig;
use crate::config::reader::{Table, Value};
use crate::config::secret::Secret;
use crate::config::sections::{SinkAuth, WAIT_MIN, connection, sink_auth};
use crate::config::transform::Transform;
use crate::config::url::check_sink;
use crate::limits;
use crate::processor::extensions::{self, Extensions};
use crate::template::{Syntax, Template};

/// Settings of a receiver of HTTP requests.
#[derive(Clone, Debug)]
pub(crate) struct HttpConfig {
    /// Where requests go.
    pub(crate) address: Address,
    /// `POST`, `PUT` or `PATCH`.
    pub(crate) method: &'static str,
    pub(crate) headers: Vec<(String, HeaderText)>,
    /// How the router proves itself.
    pub(crate) auth: SinkAuth,
    /// The word before a token in `Authorization`.
    pub(crate) scheme: String,
    pub(crate) body: Body,
    pub(crate) template: Option<Arc<Template>>,
    /// Attributes that events get.
    pub(crate) extensions: Extensions,
    /// `Content-Type` in place of the body's own.
    pub(crate) content_type: Option<String>,
    /// How several events share a request; none means one event each.
    pub(crate) batch: Option<BatchConfig>,
    /// The header with a signature of the body.
    pub(crate) signature: Option<Signature>,
    /// The path or URL that a check asks.
    pub(crate) health: Option<String>,
    /// What a status means.
    pub(crate) rules: Rules,
    /// Deadline of one delivery.
    pub(crate) timeout: Duration,
    pub(crate) connection: ConnectionConfig,
}

#[cfg(test)]
impl HttpConfig {
    /// A plain URL, and nothing else set.
    pub(crate) fn to(url: String) -> HttpConfig {
        HttpConfig {
            address: Address::Plain(url),
            method: "POST",
            headers: Vec::new(),
            auth: SinkAuth::None,
            scheme: "Bearer".to_string(),
            body: Body::Structured,
            template: None,
            extensions: Extensions::default(),
            content_type: None,
            batch: None,
            signature: None,
            health: None,
            rules: Rules::default(),
            timeout: limits::DELIVERY_WAIT_MAX,
            connection: ConnectionConfig::default(),
        }
    }
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A URL that may be shown, but for its query.
    Plain(String),
    /// A URL of which only scheme and host may be shown.
    Secret(Secret),
}

/// How several events share a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchConfig {
    pub(crate) events_max: usize,
    /// Bytes of a request; a larger event is a dead letter.
    pub(crate) bytes_max: usize,
    /// Between two events.
    pub(crate) separator: String,
    /// Before the first event.
    pub(crate) prefix: String,
    /// Behind the last event.
    pub(crate) suffix: String,
}

impl BatchConfig {
    /// Bytes of a request beside its events.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.prefix.len() + self.separator.len() + self.suffix.len()
    }
}

/// A signature over the bytes of the body.
#[derive(Clone, Debug)]
pub(crate) struct Signature {
    pub(crate) header: String,
    /// The key that both sides know.
    pub(crate) secret: Secret,
    /// The hash below it.
    pub(crate) algorithm: Algorithm,
    /// How it is written.
    pub(crate) format: SignatureFormat,
    /// What stands before it.
    pub(crate) prefix: String,
}

/// The value of a header.
#[derive(Clone, Debug)]
pub(crate) enum HeaderText {
    /// The same for all events.
    Fixed(String),
    /// Another for each event.
    Template(Arc<Template>),
    /// The same, and not shown.
    Secret(Secret),
}

/// What the body of a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Body {
    /// The CloudEvent as one JSON document.
    #[default]
    Structured,
    /// The data; the attributes are headers.
    Binary,
    /// The data alone.
    Data,
    /// What the template makes of it.
    Template,
    /// CloudEvents in a JSON array.
    Batch,
}

/// Headers that the client or another key writes, and what to write instead.
const HEADERS_REFUSED: &[(&str, &str)] = &[
    ("content-type", "write `content_type` instead"),
    ("content-length", "it follows from the body"),
    ("transfer-encoding", "it follows from the body"),
    ("connection", "it is the client's"),
    ("host", "it follows from `uri`"),
];

/// Reads the keys of a section.
pub(crate) fn read(table: &Table<'_>) -> Option<HttpConfig> {
    let address = table.required("uri", address);
    let methods = [("POST", "POST"), ("PUT", "PUT"), ("PATCH", "PATCH")];
    let method = table.get("method", |value| value.one_of(&methods));
    let headers = table.get("headers", |value| value.table(headers)).unwrap_or_default();
    let auth = sink_auth(table);
    let scheme = table.get("scheme", scheme);
    let body = table.get("body", |value| {
        let words = [
            ("structured", Body::Structured),
            ("binary", Body::Binary),
            ("data", Body::Data),
            ("template", Body::Template),
            ("batch", Body::Batch),
        ];
        value.one_of(&words)
    });
    let transform = table.get("transform", |value| Some((value.clone(), value.transform())));
    let extensions = extensions::read(table);
    let content_type = table.get("content_type", Value::media_type);
    let success = table.get("success", Value::statuses);
    let retry_on = table.get("retry_on", Value::statuses);
    let preset = table.get("preset", |value| value.one_of(&[("otlp", Reading::Otlp)]));
    let judge =
        table.get("judge", |value| value.one_of(&[("status", Reading::Status), ("bulk", Reading::Bulk)]));
    let batch = table.get("batch", |value| value.table(|table| Some(batch::read(table))));
    let signature = table.get("signature", |value| value.table(signature));
    let health = table.get("health", health);
    let timeout = table.get("timeout", |value| value.duration(WAIT_MIN));
    let connection = connection(table);

    let body = body.unwrap_or(if table.has("transform") { Body::Template } else { Body::Structured });
    let (auth, mut rules) = (auth?, Rules::default());
    refuse_contradictions(table, &headers, &auth, body);
    let template = match transform {
        Some((value, transform)) => {
            Some(compile(&value, &transform?, content_type.as_deref(), batch.is_some())?)
        }
        None => None,
    };
    rules.success = success.unwrap_or(rules.success);
    rules.retry_on = retry_on.or_else(|| preset.map(|_| judge::otlp_retries()));
    rules.reading = preset.or(judge).unwrap_or_default();
    let batch = batch::of_body(table, body, batch, template.as_deref(), &headers);
    Some(HttpConfig {
        address: address?,
        method: method.unwrap_or("POST"),
        headers,
        auth,
        scheme: scheme.unwrap_or_else(|| "Bearer".to_string()),
        body,
        template,
        extensions,
        content_type,
        batch,
        signature: if table.has("signature") { Some(signature?) } else { None },
        health,
        rules,
        timeout: timeout.unwrap_or(limits::DELIVERY_WAIT_MAX),
        connection,
    })
}

/// Keys that are right, each by itself, and not together.
fn refuse_contradictions(table: &Table<'_>, headers: &[(String, HeaderText)], auth: &SinkAuth, body: Body) {
    let own = headers.iter().any(|(name, _)| name == "authorization");
    if own && !matches!(auth, SinkAuth::None) {
        table.problem("`headers` holds Authorization beside `token` or `username`: expected one of them");
    }
    if table.has("scheme") && !matches!(auth, SinkAuth::Bearer(_)) {
        table.problem("`scheme` stands before a `token`, and there is none");
    }
    if table.has("preset") && table.has("judge") {
        table.problem("`preset` says how answers are judged: leave out `judge`");
    }
    match (body, table.has("transform")) {
        (Body::Template, false) => table.problem("body = \"template\" needs a `transform`"),
        (Body::Template, true) | (_, false) => {}
        _ => table.problem("`transform` makes the body: leave out `body`, or write body = \"template\""),
    }
    if table.has("content_type") && body == Body::Binary {
        table.problem("`content_type` is the event's own with body = \"binary\"");
    }
}

fn address(value: &Value<'_>) -> Option<Address> {
    if let DeValue::String(text) = value.get_ref() {
        if text.contains('<') {
            return value.refuse("is the same for all events: placeholders go in `transform` and `headers`");
        }
        return value.http_url().map(Address::Plain);
    }
    let secret = value.secret()?;
    // One that cannot be read now was judged before. What is wrong with the text may repeat it.
    match secret.read_with(&|name| value.document().environment(name)) {
        Ok(text) if check_sink(&text).is_err() => {
            value.refuse("the secret is no absolute URL such as https://HOST/PATH, without user and password")
        }
        _ => Some(Address::Secret(secret)),
    }
}

/// The template, for a body of that type: text, if the type is not JSON.
fn compile(
    value: &Value<'_>,
    transform: &Transform,
    content_type: Option<&str>,
    is_part: bool,
) -> Option<Arc<Template>> {
    let syntax = match content_type {
        Some(kind) if is_json_lines(kind) => Syntax::JsonLines,
        Some(kind) if !is_json(kind) => Syntax::Text,
        _ if is_part => Syntax::JsonPart,
        _ => Syntax::Json,
    };
    match Template::compile(&transform.template, &transform.paths, syntax) {
        Ok(template) => Some(Arc::new(template)),
        Err(error) => value.refuse(format!("template: {error}")),
    }
}

/// The types of what holds one JSON value a line.
fn is_json_lines(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        essence.as_str(),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines"
    )
}

/// `{ header = "X-Hub-Signature-256", secret = { file = "..." }, prefix = "sha256=" }`.
fn signature(table: &Table<'_>) -> Option<Signature> {
    let header = table.required("header", |value| {
        let name = value.string()?.to_ascii_lowercase();
        if name.parse::<HeaderName>().is_err() {
            return value.refuse("not the name of a header: letters, digits and `-`");
        }
        Some(name)
    });
    let secret = table.required("secret", Value::secret);
    let algorithm = table.get("algorithm", |value| {
        value.one_of(&[
            ("sha256", Algorithm::Sha256),
            ("sha512", Algorithm::Sha512),
            ("sha1", Algorithm::Sha1),
        ])
    });
    let format = table.get("format", |value| {
        value.one_of(&[("hex", SignatureFormat::Hex), ("base64", SignatureFormat::Base64)])
    });
    let prefix = table.get("prefix", |value| {
        let text = value.string()?;
        if text.is_ascii() {
            Some(text.to_string())
        } else {
            value.refuse("holds a character that a header cannot")
        }
    });
    Some(Signature {
        header: header?,
        secret: secret?,
        algorithm: algorithm.unwrap_or_default(),
        format: format.unwrap_or_default(),
        prefix: prefix.unwrap_or_default(),
    })
}

/// A path such as `/health`, or a URL.
fn health(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    match text.strip_prefix('/') {
        Some(_) if format!("http://host{text}").parse::<Uri>().is_ok() => Some(text.to_string()),
        Some(_) => value.refuse("not a path such as \"/health\""),
        None => value.http_url(),
    }
}

/// A word such as `Splunk`.
fn scheme(value: &Value<'_>) -> Option<String> {
    let text = value.string()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(fits) {
        Some(text.to_string())
    } else {
        value.refuse(format!("{text:?} is no scheme of Authorization such as \"Splunk\""))
    }
}

fn headers(table: &Table<'_>) -> Option<Vec<(String, HeaderText)>> {
    let mut read: Vec<(String, HeaderText)> = Vec::new();
    for entry in table.entries() {
        let name = entry.name().to_ascii_lowercase();
        if name.parse::<HeaderName>().is_err() {
            entry.problem("not the name of a header: letters, digits and `-`");
            continue;
        }
        if let Some((_, instead)) = HEADERS_REFUSED.iter().find(|(refused, _)| *refused == name) {
            entry.problem(format!("cannot be set here: {instead}"));
            continue;
        }
        if read.iter().any(|(other, _)| *other == name) {
            entry.problem("stands here twice: the letter case of a header's name does not count");
        }
        if let Some(text) = header_text(entry) {
            read.push((name, text));
        }
    }
    Some(read)
}

fn header_text(entry: &Value<'_>) -> Option<HeaderText> {
    let DeValue::String(_) = entry.get_ref() else {
        return entry.secret().map(HeaderText::Secret);
    };
    let text = entry.string()?;
    if !text.is_ascii() || HeaderValue::from_str(text).is_err() {
        return entry.refuse("holds a character that a header cannot");
    }
    match Template::compile(text, &[], Syntax::Header) {
        Ok(template) if template.is_fixed() => Some(HeaderText::Fixed(text.to_string())),
        Ok(template) => Some(HeaderText::Template(Arc::new(template))),
        Err(error) => entry.refuse(error.to_string()),
    }
}

impl Value<'_> {
    /// Statuses, or hundreds of them such as `"2xx"`.
    fn statuses(&self) -> Option<Codes> {
        let codes = self.list("an array of statuses such as [\"2xx\", 409]", Value::status)?;
        if codes.is_empty() {
            return self.refuse("is empty, and names no status");
        }
        Some(Codes(codes))
    }

    fn status(&self) -> Option<RangeInclusive<u16>> {
        if let DeValue::Integer(_) = self.get_ref() {
            let status = u16::try_from(self.integer(100..=599)?).ok()?;
            return Some(status..=status);
        }
        let text = self.string()?;
        match text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok()) {
            Some(hundred @ 1..=5) => Some(hundred * 100..=hundred * 100 + 99),
            _ => self.refuse(format!("{text:?} is no status, expected a number such as 409, or \"2xx\"")),
        }
    }
}

mod batch;

#[cfg(test)]
mod tests;
