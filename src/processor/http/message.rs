//! What a request holds: the part of each event, and their body together. Pure.

use std::borrow::Cow;

use super::settings::{Body, HeaderText, HttpConfig};
use crate::cloudevents::{self, CloudEvent};
use crate::error::Result;
use crate::template::Input;

/// The part of one event in a request.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Headers that depend on the body or the event.
    pub(super) headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) body: Cow<'a, [u8]>,
}

/// The part of an event.
///
/// # Errors
/// When its data is not JSON although a template needs it.
pub(super) fn part<'a>(config: &HttpConfig, route: &str, ce: &'a CloudEvent) -> Result<Message<'a>> {
    let extensions = config.extensions.of(ce);
    let input = Input { ce, extensions: &extensions, route };
    let mut headers = Vec::new();
    let (kind, body): (Option<&str>, Cow<'_, [u8]>) = match config.body {
        Body::Binary => {
            let own = cloudevents::binary_headers(ce, &extensions).into_iter();
            // The attributes live no longer than this call.
            headers =
                own.map(|(name, value)| (name.into_owned().into(), value.into_owned().into())).collect();
            (None, (&ce.data[..]).into())
        }
        Body::Data => (ce.datacontenttype.as_deref(), (&ce.data[..]).into()),
        Body::Structured | Body::Batch => {
            let mut body = Vec::with_capacity(ce.data.len() + 512);
            cloudevents::write_json_with(ce, &extensions, &mut body);
            let kind = match config.body {
                Body::Batch => "application/cloudevents-batch+json; charset=utf-8",
                _ => "application/cloudevents+json; charset=utf-8",
            };
            (Some(kind), body.into())
        }
        Body::Template => {
            let mut body = Vec::with_capacity(512);
            config.template.iter().try_for_each(|template| template.fill(&input, &mut body))?;
            (Some("application/json"), body.into())
        }
    };
    let kind = config.content_type.as_deref().or(kind).map(|kind| kind.to_string().into());
    headers.extend(kind.map(|kind| ("content-type".into(), kind)));
    for (name, text) in &config.headers {
        if let HeaderText::Template(template) = text {
            let mut value = Vec::new();
            template.fill(&input, &mut value)?;
            let value = String::from_utf8_lossy(&value).into_owned();
            headers.push((name.clone().into(), value.into()));
        }
    }
    Ok(Message { headers, body })
}

/// The body of a request with these parts.
pub(super) fn body<'m>(config: &HttpConfig, parts: &'m [Message<'_>]) -> Cow<'m, [u8]> {
    let Some(batch) = &config.batch else {
        return parts.first().map_or(Cow::Borrowed(&[]), |part| Cow::Borrowed(&part.body[..]));
    };
    let bytes = parts.iter().map(|part| part.body.len() + batch.separator.len()).sum::<usize>();
    let mut body = Vec::with_capacity(bytes + batch.frame_bytes());
    body.extend_from_slice(batch.prefix.as_bytes());
    for (at, part) in parts.iter().enumerate() {
        if 0 < at {
            body.extend_from_slice(batch.separator.as_bytes());
        }
        body.extend_from_slice(&part.body);
    }
    body.extend_from_slice(batch.suffix.as_bytes());
    body.into()
}
