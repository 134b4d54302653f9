//! What is read from any answer: how long to wait, and a line for the operator.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::http::client::{Response, url_text};

/// Characters of an answer that a message holds.
const EXCERPT_CHARS_MAX: usize = 200;

/// What `Retry-After` asks for: seconds, or a date in the form of HTTP or in one of its old forms, which
/// recipients must take (RFC 9110, sections 10.2.3 and 5.6.7). None for anything else.
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let parsed = |text: &str| rfc2822::DateTimeParser::new().parse_timestamp(text).ok();
    let date = match parsed(value) {
        Some(date) => date,
        None => {
            let words: Vec<&str> = value.split([' ', '-']).filter(|word| !word.is_empty()).collect();
            let (day, month, year, time) = match words[..] {
                // `Fri, 31 Dec 2027 23:59:59 GMT`, `Friday, 31-Dec-27 23:59:59 GMT`
                [_, day, month, year, time, "GMT"] => (day, month, year, time),
                // `Fri Dec 31 23:59:59 2027`
                [_, month, day, time, year] => (day, month, year, time),
                _ => return None,
            };
            let is_year = 4 <= year.len() && year.bytes().all(|byte| byte.is_ascii_digit());
            if is_year && "9999" <= year.trim_start_matches('0') {
                // A year that is too far for a time is still an answer.
                return Some(Duration::MAX);
            }
            // In the form of today its day of the week is wrong, or its year.
            let is_old = value.contains('-') || !value.ends_with("GMT");
            parsed(&format!("{day} {month} {year} {time} GMT")).filter(|_| is_old)?
        }
    };
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// What the answer says about the time of the next attempt, by this machine's clock.
pub(crate) fn retry_after_of(response: &Response) -> Option<Duration> {
    retry_after(response.header("retry-after")?, Timestamp::now())
}

/// The clock of the server, if the answer tells it.
pub(crate) fn date_of(response: &Response) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(response.header("date")?).ok()
}

/// The beginning of a body on one line, without what could disturb a terminal.
pub(crate) fn excerpt(body: &[u8]) -> String {
    // No character takes more than four bytes, and white space shrinks.
    let begin = &body[..body.len().min(EXCERPT_CHARS_MAX * 8)];
    let text = String::from_utf8_lossy(begin);
    let mut line = String::new();
    let mut chars = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        for character in std::iter::once(' ').take(chars.min(1)).chain(word.chars()) {
            if chars == EXCERPT_CHARS_MAX {
                line.push_str("...");
                return line;
            }
            line.push(character);
            chars += 1;
        }
    }
    if begin.len() < body.len() {
        line.push_str("...");
    }
    line
}

/// `status 404: not found`: the status and, if there is one, the excerpt of the body.
pub(crate) fn summary(response: &Response) -> String {
    summary_with(response, &str::to_string)
}

fn summary_with(response: &Response, clean: &dyn Fn(&str) -> String) -> String {
    // Whole, before it is cut: half of a secret would not be found.
    let excerpt = excerpt(clean(&String::from_utf8_lossy(&response.body)).as_bytes());
    let separator = if excerpt.is_empty() { "" } else { ": " };
    format!("status {}{separator}{excerpt}", response.status)
}

/// `POST http://host/path: status 404: not found`, and for a redirect where it leads.
pub(crate) fn refusal(method: &str, url: &str, response: &Response) -> String {
    refusal_with(method, &url_text(url), response, &str::to_string)
}

/// The same with an address for people, and with what the peer says cleaned of secrets.
pub(crate) fn refusal_with(
    method: &str,
    shown: &str,
    response: &Response,
    clean: &dyn Fn(&str) -> String,
) -> String {
    let mut text = format!("{method} {shown}: {}", summary_with(response, clean));
    if let Some(location) = response.header("location") {
        let location = excerpt(clean(&url_text(location)).as_bytes());
        text.push_str(&format!(" (redirects to {location}; redirects are not followed)"));
    }
    text
}

/// What a status says about a delivery: one table for all processors that are judged by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusClass {
    /// 2xx: acknowledged.
    Accepted,
    /// The event is refused, and the same event will be again.
    Event,
    /// The sender or the address is refused: credentials, rights, a place that has moved.
    Sender,
    /// What each kind of sink means by it is its processor's to say; mostly it passes.
    Other,
}

pub(crate) fn class_of(status: u16) -> StatusClass {
    match status {
        200..=299 => StatusClass::Accepted,
        400 | 413 | 414 | 415 | 422 | 431 => StatusClass::Event,
        300..=399 | 401 | 402 | 403 | 405 | 406 | 407 | 421 | 426 => StatusClass::Sender,
        _ => StatusClass::Other,
    }
}

/// The status that an answer is judged by: that of its head, but for what nginx says of the connection
/// before anybody has seen the event. It sends 400 for that (ngx_http_ssl_module, "Error Processing"), and
/// means our certificate or the scheme.
pub(crate) fn status_of(response: &Response) -> u16 {
    judged(response.status, &response.body)
}

fn judged(status: u16, body: &[u8]) -> u16 {
    let says = |text: &str| memchr::memmem::find(body, text.as_bytes()).is_some();
    match status {
        400 if says("No required SSL certificate was sent") || says("The SSL certificate error") => 401,
        status => status,
    }
}

/// What to do about a refusal of the sender or the address, for the end of a message.
pub(crate) fn sender_cure(status: u16) -> &'static str {
    match status {
        300..=399 => "set the address that it redirects to",
        401 => "correct the credentials",
        402 => "see to the account",
        403 => "give the account the right to send there",
        405 => "correct the address: nothing there takes a POST",
        407 => "correct the account of the proxy",
        421 => "correct the host name in the address, or tls.server_name",
        426 => "use the scheme or port that it asks for",
        _ => "correct the address or its settings",
    }
}

/// The status as a bounded word for metrics.
pub(crate) fn status_reason(status: u16) -> &'static str {
    match status {
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        402 => "402",
        405 => "405",
        406 => "406",
        407 => "407",
        408 => "408",
        409 => "409",
        410 => "410",
        413 => "413",
        414 => "414",
        415 => "415",
        421 => "421",
        422 => "422",
        425 => "425",
        426 => "426",
        429 => "429",
        431 => "431",
        500 => "500",
        501 => "501",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => match status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nginx_says_of_the_connection_is_no_refusal_of_an_event() {
        let page = |text: &str| format!("<html><body><center>{text}</center><hr>nginx/1.26</body></html>");
        for (status, text, expected) in [
            (400, "No required SSL certificate was sent", 401),
            (400, "The SSL certificate error", 401),
            (400, "Request Header Or Cookie Too Large", 400),
            (500, "No required SSL certificate was sent", 500),
        ] {
            let found = judged(status, page(text).as_bytes());
            assert_eq!(found, expected, "{text}");
            assert_eq!(class_of(found) == StatusClass::Sender, expected == 401, "{text}");
        }
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now: Timestamp = "2026-10-21T07:28:00Z".parse().unwrap();
        let seconds = |n| Some(Duration::from_secs(n));
        for (value, wait) in [
            ("120", seconds(120)),
            (" 0 ", seconds(0)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Wed, 21 Oct 2026 07:28:30 GMT", seconds(30)),
            ("Wed, 21 Oct 2026 07:27:30 GMT", seconds(0)),
            ("Wed, 21 Oct 2026 09:28:30 +0200", seconds(30)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(Duration::MAX)),
            ("Fri, 31 Dec 0000 23:59:59 GMT", None),
            ("Wednesday, 21-Oct-26 07:28:30 GMT", seconds(30)),
            ("Wednesday, 21-Oct-26 07:27:30 GMT", seconds(0)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", seconds(0)),
            ("Wed Oct 21 07:28:30 2026", seconds(30)),
            ("Sun Nov  1 07:28:00 2026", seconds(11 * 24 * 3600)),
            ("Fri Dec 31 23:59:59 9999", Some(Duration::MAX)),
            ("Wed Oct 21 07:28:30", None),
            ("Wednesday, 21-Okt-26 07:28:30 GMT", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), wait, "{value:?}");
        }
    }

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(excerpt(b""), "");
        assert_eq!(excerpt(b" \r\n no\n\n such \x1b[2J\tname\0 "), "no such [2J name");
        assert_eq!(excerpt(&[0xff, b'a']), "\u{fffd}a");
        assert_eq!(excerpt("ü".repeat(200).as_bytes()), "ü".repeat(200));
        assert_eq!(excerpt("ü".repeat(201).as_bytes()), format!("{}...", "ü".repeat(200)));
        assert_eq!(excerpt(&[b' '; 10_000]), "...");
        assert_eq!(excerpt(&[b'x'; 10_000]), format!("{}...", "x".repeat(200)));
    }

    #[test]
    fn reasons_are_bounded() {
        for status in 0..=u16::MAX {
            let reason = status_reason(status);
            assert!(reason == status.to_string() || reason.len() <= 5, "{status}");
        }
    }
}
