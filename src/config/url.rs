//! URLs of endpoints, checked so that a mistake is named at the start and not at the first event.

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
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("not an absolute URL, expected http://HOST or https://HOST".to_string());
        };
        if scheme != "http" && scheme != "https" {
            return Err("not an http or https URL".to_string());
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

/// `host`, `host:port`, `[address]` or `[address]:port`.
fn check_place(place: &str) -> Result<(), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| "not an IPv6 address".to_string())?;
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
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }
}
