//! How a receiver is reached: its address and the headers of every request, with all secrets read;
//! and what of them a message may show.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::{HeaderValue, Uri};

use super::settings::{Address, HeaderText, HttpConfig, Signature};
use super::sign;
use crate::config::sections::SinkAuth;
use crate::config::url::check_sink;
use crate::error::{Error, Result};
use crate::http::client::url_text;
use crate::order;

/// Shorter parts of an address are too common to be hidden wherever they stand in a text.
const PART_BYTES_MIN: usize = 6;
/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// What it takes to send, as the secrets are now.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub(super) struct Access {
    /// Where requests go.
    pub(super) url: String,
    /// The same for people.
    pub(super) shown: String,
    /// Headers of every request.
    pub(super) headers: Vec<(String, String)>,
    /// The key of signatures.
    signing: Option<String>,
    /// What must not be shown, the longest first.
    hidden: Vec<String>,
}

impl Access {
    /// Reads the secrets.
    ///
    /// # Errors
    /// One that cannot be read, or is not what it should be.
    pub(super) fn read(config: &HttpConfig) -> Result<Access> {
        let mut hidden = Vec::new();
        let url = match &config.address {
            Address::Plain(url) => {
                let query = url.split_once('?').map_or("", |(_, query)| query);
                hidden.extend(
                    query.split(['&', '=']).filter(|part| PART_BYTES_MIN <= part.len()).map(str::to_string),
                );
                url.clone()
            }
            Address::Secret(secret) => {
                let url = secret.read()?;
                // The reason may repeat the text.
                if check_sink(&url).is_err() {
                    return Err(Error::new("the secret `uri` is no absolute URL such as https://HOST/PATH"));
                }
                hidden.extend(parts(&url));
                url
            }
        };
        let mut headers = Vec::new();
        for (name, text) in &config.headers {
            match text {
                HeaderText::Fixed(text) => headers.push((name.clone(), text.clone())),
                HeaderText::Template(_) => {}
                HeaderText::Secret(secret) => {
                    let text = secret.read()?;
                    hidden.push(text.clone());
                    headers.push((name.clone(), text));
                }
            }
        }
        if let Some(value) = authorization(config, &mut hidden)? {
            headers.push(("authorization".to_string(), value));
        }
        let signing = config.signature.as_ref().map(|signature| signature.secret.read()).transpose()?;
        hidden.extend(signing.clone());
        for (name, value) in &headers {
            if HeaderValue::from_str(value).is_err() {
                return Err(Error::new(format!(
                    "the secret of header {name} holds a character that HTTP does not allow"
                )));
            }
        }
        hidden.retain(|text| !text.is_empty());
        order::sort_by_key(&mut hidden, |text| std::cmp::Reverse(text.len()));
        Ok(Access { shown: shown(&config.address), url, headers, signing, hidden })
    }

    /// The header with the signature of a body, if there is to be one.
    pub(super) fn signature(&self, config: &HttpConfig, body: &[u8]) -> Option<(String, String)> {
        let (signature, key) = (config.signature.as_ref()?, self.signing.as_ref()?);
        let Signature { header, algorithm, format, prefix, .. } = signature;
        Some((header.clone(), sign::signature(*algorithm, *format, prefix, key, body)))
    }

    /// The address on the same host, or the one that is given; and whether it is the same host, which may
    /// see the credentials.
    pub(super) fn health_url(&self, health: &str) -> (String, bool) {
        let place = self
            .url
            .parse::<Uri>()
            .ok()
            .and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?)));
        match place {
            Some(place) if health.starts_with('/') => (format!("{place}{health}"), true),
            _ => (health.to_string(), false),
        }
    }

    pub(super) fn without_secrets(&self, text: &str) -> String {
        let mut text = text.replace(&url_text(&self.url), &self.shown);
        for secret in self.hidden.iter().filter(|secret| text.contains(secret.as_str())).collect::<Vec<_>>() {
            text = text.replace(secret.as_str(), HIDDEN);
        }
        text
    }
}

/// An address for people: of a secret one scheme and host.
pub(super) fn shown(address: &Address) -> String {
    match address {
        Address::Plain(url) => url_text(url),
        Address::Secret(secret) => {
            secret.read().ok().and_then(|url| place(&url)).unwrap_or_else(|| "secret address".to_string())
        }
    }
}

fn place(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.authority()?.as_str().rsplit('@').next()?;
    Some(format!("{}://{host}/{HIDDEN}", uri.scheme_str()?))
}

/// What of a secret address must not be shown: path and query together, and their parts.
fn parts(url: &str) -> Vec<String> {
    let Ok(uri) = url.parse::<Uri>() else { return vec![url.to_string()] };
    let whole = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut parts: Vec<String> = whole
        .split(['/', '?', '&', '=', ';', ':', ','])
        .chain([uri.path(), uri.query().unwrap_or_default()])
        .filter(|part| PART_BYTES_MIN <= part.len())
        .map(str::to_string)
        .collect();
    if whole != "/" {
        parts.push(whole);
    }
    parts
}

fn authorization(config: &HttpConfig, hidden: &mut Vec<String>) -> Result<Option<String>> {
    match &config.auth {
        SinkAuth::None => Ok(None),
        SinkAuth::Basic { username, password } => {
            let password = password.read()?;
            let pair = BASE64_STANDARD.encode(format!("{}:{password}", username.read()?));
            hidden.extend([password, pair.clone()]);
            Ok(Some(format!("Basic {pair}")))
        }
        SinkAuth::Bearer(token) => {
            let token = token.read()?;
            hidden.push(token.clone());
            Ok(Some(format!("{} {token}", config.scheme)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_secret_address_scheme_and_host_are_shown() {
        for (url, expected) in [
            ("https://hooks.corp.local/services/T1/abcdef?sig=x", "https://hooks.corp.local/***"),
            ("http://u:p@[::1]:80/", "http://[::1]:80/***"),
            ("https://h", "https://h/***"),
        ] {
            assert_eq!(place(url).as_deref(), Some(expected));
        }
    }

    #[test]
    fn parts_of_a_secret_address_are_hidden_wherever_they_stand() {
        let hidden = parts("https://h/services/T1/abcdefgh?sig=ijklmnop&x=1");
        for part in
            ["abcdefgh", "ijklmnop", "/services/T1/abcdefgh", "/services/T1/abcdefgh?sig=ijklmnop&x=1"]
        {
            assert!(hidden.iter().any(|other| other == part), "{part}: {hidden:?}");
        }
        assert!(parts("https://h/").is_empty());
    }
}
