//! URLs of endpoints, checked so that a mistake is named at the start and not at the first event.

use std::net::{Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;

/// Whether events can be posted at a URL: absolute, `http` or `https`, without user information.
///
/// # Errors
/// Why not; the message never repeats the text.
pub(crate) fn check_sink(text: &str) -> Result<(), String> {
    Url::parse(text)?.without_user("").map(|_| ())
}

/// The parts of an `http` or `https` URL.
pub(crate) struct Url {
    pub(crate) scheme: String,
    /// Host and port, and user information if there is any.
    pub(crate) authority: String,
    has_user: bool,
    pub(crate) path: String,
    pub(crate) has_query: bool,
}

impl Url {
    /// The message never repeats the text, which may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Url, String> {
        if let Some(advice) = advice(text) {
            return Err(advice);
        }
        let uri: Uri = match text.parse() {
            Err(error) if text.contains("://") => return Err(format!("not a URL: {error}")),
            Err(_) => return Err(without_scheme(text)),
            Ok(uri) => uri,
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(without_scheme(text));
        };
        if scheme != "http" && scheme != "https" {
            return Err(format!(
                "not an http or https URL: write http:// or https:// in place of {scheme}://"
            ));
        }
        let authority = authority.as_str();
        let (user, place) = match authority.rsplit_once('@') {
            Some((_, place)) => (true, place),
            None => (false, authority),
        };
        check_place(place)?;
        Ok(Url {
            scheme: scheme.to_string(),
            authority: authority.to_string(),
            has_user: user,
            path: uri.path().to_string(),
            has_query: uri.query().is_some(),
        })
    }

    /// Refuses user information; `instead` says where it belongs.
    pub(crate) fn without_user(self, instead: &str) -> Result<Url, String> {
        if self.has_user {
            return Err(format!("must not hold a user or password{instead}"));
        }
        Ok(self)
    }
}

fn without_scheme(text: &str) -> String {
    if text.is_empty() {
        return "is empty, expected http://HOST or https://HOST".to_string();
    }
    let known = "not an absolute URL, expected http://HOST or https://HOST";
    let is_place = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]/".contains(c));
    if is_place { format!("{known}: write http://{text}, or https://{text}") } else { known.to_string() }
}

/// What to write in place of what people write often. Of the text only hosts are repeated.
fn advice(text: &str) -> Option<String> {
    if text.contains('\\') {
        return Some("holds a backslash: a URL has / in its place".to_string());
    }
    if text.contains(char::is_whitespace) {
        return Some("holds a blank: a URL has none, write %20 for one in a path".to_string());
    }
    if text.starts_with(['"', '\'', '`', '<', '“', '‘', '„']) && 1 < text.chars().count() {
        return Some("stands in quotes or brackets within the quotes: leave the inner ones out".to_string());
    }
    if text.contains("](") {
        return Some("is a link of Markdown: write the URL alone".to_string());
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    if rest.contains("://") {
        return Some("holds more than one URL: write one".to_string());
    }
    if let Some(advice) = odd_place(scheme, rest) {
        return Some(advice);
    }
    if let Some((scheme @ ("http" | "https"), _)) = rest.split_once([':', '/'])
        && !text.contains("://")
    {
        return Some(format!("the scheme is written {scheme}://"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let bare = place.trim_start_matches('[').split(']').next().unwrap_or_default();
    if let Some((address, zone)) = bare.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return Some(format!(
            "an address with a zone (%{zone}) cannot stand in a URL: write a name, or an address that is valid \
             without one"
        ));
    }
    if place.starts_with('[') {
        return None;
    }
    let write = |address: &str, port: &str| {
        Some(format!("an IPv6 address stands in brackets: write {scheme}://[{address}]{port}"))
    };
    let (address, port) = place.rsplit_once(':')?;
    match (place.parse::<Ipv6Addr>(), address.parse::<Ipv6Addr>()) {
        (Ok(_), Ok(_)) if port.parse::<u16>().is_ok() => Some(format!(
            "an IPv6 address stands in brackets: write {scheme}://[{place}], or {scheme}://[{address}]:{port} if {port} \
             is the port"
        )),
        (Ok(_), _) => write(place, ""),
        (_, Ok(_)) => write(address, &format!(":{port}")),
        _ => None,
    }
}

/// What no host can be. It is repeated only where no password stands before it.
fn odd_place(scheme: &str, rest: &str) -> Option<String> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() && !rest.is_empty() {
        return Some(format!("has no host: write {scheme}://HOST"));
    }
    let has_user = authority.contains('@');
    let place = authority.rsplit('@').next().unwrap_or_default();
    if place.contains(['$', '<', '>', '{', '}']) {
        return Some(
            "holds a placeholder: variables are not replaced in this file, write the host".to_string(),
        );
    }
    if place.contains([',', ';']) {
        return Some("has a comma in its host: write one host".to_string());
    }
    if place.starts_with('[') && !place.contains(']') {
        return Some("the ] behind the IPv6 address is missing".to_string());
    }
    if let Some(odd) = rest.chars().find(|c| !c.is_ascii()).filter(|_| !has_user) {
        return Some(format!(
            "holds {odd:?}, which a URL cannot: write a host's name as DNS has it (xn--...), and %XX in a path"
        ));
    }
    let host = place.split(':').next().unwrap_or_default();
    let is_number =
        !host.is_empty() && host.contains('.') && host.chars().all(|c| c.is_ascii_digit() || c == '.');
    (is_number && host.parse::<Ipv4Addr>().is_err()).then(|| {
        format!("{host} is not an IPv4 address: it has four numbers from 0 to 255, without zeros in front")
    })
}

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn check_place(place: &str) -> Result<(), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<Ipv6Addr>().map_err(|_| "not an IPv6 address in its brackets".to_string())?;
            (address, port)
        }
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let host_chars = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(host_chars) {
        return Err("not a host name".to_string());
    }
    let port_fits = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => {
            digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|port| port > 0)
        }
    };
    if port_fits { Ok(()) } else { Err("not a port from 1 to 65535".to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for right in [
            "http://sink",
            "https://sink:8443/a/b?c=d",
            "http://[::1]:8080/",
            "http://10.0.0.1:1",
            "http://a_b.c-d",
        ] {
            assert!(Url::parse(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "sink",
            "/relative",
            "ftp://sink",
            "http://",
            "http://:80",
            "http://sink:0",
            "http://sink:65536",
            "http://sink:+1",
            "http://sink:",
            "http://[::1",
            "http://[zz]:1",
            "http://\"sink\"",
            "http://a b",
            "http://'sink'",
            "http://10.0.0.256",
            "http://010.0.0.1",
            "http://10.0.0",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_to_write_is_said() {
        for (text, told) in [
            ("sink", "expected http://HOST or https://HOST: write http://sink, or https://sink"),
            ("127.0.0.1:16100/x", "write http://127.0.0.1:16100/x, or https://127.0.0.1:16100/x"),
            ("127.0.0.1:16100", "write http://127.0.0.1:16100, or https://127.0.0.1:16100"),
            ("u:secret@sink/x", "not an absolute URL, expected http://HOST or https://HOST"),
            ("https:/vc01", "the scheme is written https://"),
            ("http:vc01", "the scheme is written http://"),
            ("http//vc01", "the scheme is written http://"),
            ("https:\\\\vc01", "a URL has / in its place"),
            ("https://vc01 ", "holds a blank"),
            ("https://2001:db8::1/sdk", "brackets: write https://[2001:db8::1]"),
            ("http://u:secret@fd00::2:8443", "brackets: write http://[fd00::2:8443]"),
            ("https://2001:db8:0:0:0:0:0:1:8443", "brackets: write https://[2001:db8:0:0:0:0:0:1]:8443"),
            ("::1", "brackets: write https://[::1]"),
            (
                "https://2001:db8::10:443",
                "write https://[2001:db8::10:443], or https://[2001:db8::10]:443 if 443 is the port",
            ),
            ("https://[2001:db8::10", "the ] behind the IPv6 address is missing"),
            ("https://[2001:db8::xyz]", "not an IPv6 address in its brackets"),
            ("https://10.0.0.256", "10.0.0.256 is not an IPv4 address"),
            ("https://${HOST}/x", "holds a placeholder"),
            ("https://<host>/x", "holds a placeholder"),
            ("https://büro/x", "holds 'ü', which a URL cannot"),
            ("https://vc–01", "holds '–', which a URL cannot"),
            ("https://10,0,0,1", "a comma in its host"),
            ("http://a,http://b", "more than one URL"),
            ("'http://a'", "leave the inner ones out"),
            ("“http://a”", "leave the inner ones out"),
            ("[http://a](http://a)", "a link of Markdown"),
            ("http:///a", "has no host: write http://HOST"),
            ("htpp://a", "write http:// or https:// in place of htpp://"),
            ("", "is empty, expected http://HOST"),
            ("https://[fe80::1%eth0]/sdk", "an address with a zone (%eth0)"),
            ("https://fe80::1%25eth0", "an address with a zone (%25eth0)"),
        ] {
            let error = Url::parse(text).err().unwrap_or_default();
            assert!(error.contains(told) && !error.contains("secret"), "{text}: {error}");
        }
    }
}
