//! The cookies of one server: what it set goes back with every call, its session's and those of the
//! balancers and proxies before it. Pure.

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::limits::{COOKIE_BYTES_MAX, COOKIES_MAX};

/// The cookie that carries a session of the SOAP API.
const SESSION_COOKIE: &str = "vmware_soap_session";

/// Names and values, the one that was set first in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cookies {
    kept: Vec<(String, String)>,
}

impl Cookies {
    /// Takes over one `Set-Cookie`. Where it belongs to (`Path`, `Domain`, `Secure`) is ignored, because
    /// there is one address, and an `http://` server that set a `Secure` one wants it back. What is no
    /// cookie, or more than any server needs, is left out.
    pub(super) fn take(&mut self, set_cookie: &str, now: Timestamp) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, mut value) = (name.trim(), value.trim());
        let is_session = name == SESSION_COOKIE;
        if is_session {
            value = value.trim_matches('"');
        }
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        let is_value = value.bytes().all(|byte| byte.is_ascii_graphic() || (byte == b' ' && !is_session));
        if !is_name || !is_value || (is_session && (value.is_empty() || value.contains('"'))) {
            return;
        }
        let place = self.kept.iter().position(|(kept, _)| kept == name);
        if is_over(parts, now) {
            place.map(|place| self.kept.remove(place));
            return;
        }
        match place {
            Some(place) => self.kept[place].1 = value.to_string(),
            None => self.kept.push((name.to_string(), value.to_string())),
        }
        while COOKIES_MAX < self.kept.len() || COOKIE_BYTES_MAX < self.bytes() {
            // The session's own is never the one that goes, unless it alone is too much.
            let other = self.kept.iter().position(|(kept, _)| kept != SESSION_COOKIE);
            self.kept.remove(other.unwrap_or(0));
        }
    }

    /// The value of the header `Cookie`; none without cookies.
    pub(super) fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|(name, value)| name.len() + value.len() + "=; ".len()).sum()
    }
}

/// Whether the attributes take the cookie back. `Max-Age` counts before `Expires` (RFC 6265, 5.3).
fn is_over<'a>(attributes: impl Iterator<Item = &'a str>, now: Timestamp) -> bool {
    let (mut age, mut expires) = (None, None);
    for attribute in attributes {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("max-age") {
            age = value.parse::<i64>().ok().or(age);
        } else if name.eq_ignore_ascii_case("expires") {
            // Old servers write dashes between day, month and year.
            let date = value.replace('-', " ");
            expires = rfc2822::DateTimeParser::new().parse_timestamp(&date).ok().or(expires);
        }
    }
    age.map_or_else(|| expires.is_some_and(|expires| expires <= now), |age| age <= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(set_cookies: &[&str]) -> Option<String> {
        let mut cookies = Cookies::default();
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        set_cookies.iter().for_each(|set_cookie| cookies.take(set_cookie, now));
        cookies.header()
    }

    #[test]
    fn the_session_cookie_is_found_in_every_spelling() {
        for (header, cookie) in [
            ("vmware_soap_session=abc; Path=/; HttpOnly", Some("vmware_soap_session=abc")),
            ("vmware_soap_session=\"52-ab\";Path=/;HttpOnly;Secure", Some("vmware_soap_session=52-ab")),
            (" vmware_soap_session = abc ", Some("vmware_soap_session=abc")),
            ("vmware_soap_session=; Path=/", None),
            ("vmware_soap_session", None),
            ("vmware_soap_session=a b", None),
        ] {
            assert_eq!(after(&[header]).as_deref(), cookie, "{header}");
        }
    }

    #[test]
    fn all_cookies_go_back_until_they_are_taken_back() {
        let session = "vmware_soap_session=\"a\"; Path=/; Secure";
        for (set, header) in [
            (vec!["BIGipServer~x=1.2=3; path=/", session], "BIGipServer~x=1.2=3; vmware_soap_session=a"),
            (vec![session, "a=\"q v\"; Domain=other; Path=/ui"], "vmware_soap_session=a; a=\"q v\""),
            (vec!["a=1", "b=2", "a=3"], "a=3; b=2"),
            (vec!["a=1", "A=2", "c="], "a=1; A=2; c="),
            (vec!["a=1", "b=2", "a=; Max-Age=0"], "b=2"),
            (vec!["a=1", "b=2", "b=; expires=Thu, 01-Jan-1970 00:00:00 GMT"], "a=1"),
            (
                vec!["a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", "b=2; Expires=never"],
                "a=1; b=2",
            ),
            (vec!["a=1; Expires=Fri, 01 Jan 2027 00:00:00 GMT", "=x", "no pair", "a b=1", "c=\u{1}"], "a=1"),
            (vec![session, "vmware_soap_session=b"], "vmware_soap_session=b"),
        ] {
            assert_eq!(after(&set).as_deref(), Some(header), "{set:?}");
        }
        assert_eq!(after(&["a=1", "a=1; max-age=-1"]), None);
    }

    #[test]
    fn a_server_that_sets_more_and_more_fills_nothing() {
        let many: Vec<String> = (0..1000).map(|n| format!("c{n}={}", "x".repeat(n))).collect();
        let mut all = vec!["vmware_soap_session=abc"];
        all.extend(many.iter().map(String::as_str));
        let header = after(&all).unwrap();
        assert!(
            header.len() <= COOKIE_BYTES_MAX && header.starts_with("vmware_soap_session=abc; "),
            "{header}"
        );
        assert!(header.ends_with(&many[999]));
        let small: Vec<String> = (0..1000).map(|n| format!("c{n}=1")).collect();
        let header = after(&small.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(header.split("; ").count(), COOKIES_MAX);
    }
}
