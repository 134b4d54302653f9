//! The kinds of values that keys take: text to meaning, with what is wrong if there is none.

use std::io::ErrorKind;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;
use toml::de::DeValue;

use super::control;
use super::nearest::nearest;
use super::reader::{Table, Value};
use super::url::Url;
use crate::limits;
use crate::pem;

mod amounts;
mod secrets;

use amounts::{meant_duration, meant_size, parse_duration, parse_size};

impl<'a> Value<'a> {
    /// Any string.
    pub(crate) fn string(&self) -> Option<&'a str> {
        self.string_as("a string")
    }

    /// A string that is not empty.
    pub(crate) fn word(&self) -> Option<String> {
        match self.string()? {
            "" => self.refuse("is empty"),
            text => Some(text.to_string()),
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            DeValue::String(text) if ["true", "yes", "on"].contains(&&*text.to_lowercase()) => {
                self.refuse("expected true or false, found a string: write true, without quotes")
            }
            DeValue::String(text) if ["false", "no", "off"].contains(&&*text.to_lowercase()) => {
                self.refuse("expected true or false, found a string: write false, without quotes")
            }
            _ => {
                self.wrong_type("true or false");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&self, bounds: RangeInclusive<usize>) -> Option<usize> {
        let expected = format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let DeValue::Integer(integer) = self.get_ref() else {
            self.wrong_type(&expected);
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.and_then(|number| usize::try_from(number).ok()) {
            Some(number) if bounds.contains(&number) => Some(number),
            _ => self.refuse(format!("expected {expected}, found {integer}")),
        }
    }

    /// A time such as `"30s"`, not shorter than `least`.
    pub(crate) fn duration(&self, least: Duration) -> Option<Duration> {
        let text = self.string_as(DURATION)?;
        match parse_duration(text) {
            Some(time) if time > limits::CONFIG_DURATION_MAX => {
                self.refuse(format!("{text:?} is too long, the longest is \"3650d\""))
            }
            Some(time) if time < least => {
                self.refuse(format!("{text:?} is too short, the shortest is \"{}ms\"", least.as_millis()))
            }
            Some(time) => Some(time),
            None => match meant_duration(text) {
                Some(meant) => self.refuse(format!("{text:?} is not a time: write \"{meant}\"")),
                None if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => self.refuse(
                    format!("{text:?} has no unit: write \"{text}s\" for seconds; others are ms, m, h and d"),
                ),
                None => self.refuse(format!("{text:?} is not a time, expected {DURATION}")),
            },
        }
    }

    /// A time, none at all included.
    pub(crate) fn duration_up_to(&self, most: Duration) -> Option<Duration> {
        match self.duration(Duration::ZERO)? {
            time if time <= most => Some(time),
            _ => self.refuse(format!("is too long, the longest is \"{}h\"", most.as_secs() / 3600)),
        }
    }

    /// A time, or `"never"`.
    pub(crate) fn duration_or_never(&self, least: Duration) -> Option<Option<Duration>> {
        match self.get_ref() {
            DeValue::String(text) if text == "never" => Some(None),
            DeValue::String(text) if text.eq_ignore_ascii_case("never") => {
                self.refuse(format!("{text:?} is not a time: write \"never\""))
            }
            DeValue::Boolean(_) => {
                self.refuse("expected a time or \"never\", found a boolean: write \"never\"")
            }
            _ => self.duration(least).map(Some),
        }
    }

    /// A number of bytes such as `"64MiB"`, not smaller than `least`.
    pub(crate) fn size(&self, least: u64) -> Option<u64> {
        let text = self.string_as(SIZE)?;
        match parse_size(text) {
            Some(size) if size < least => {
                self.refuse(format!("{text:?} is too small, the smallest is \"{}KiB\"", least / 1024))
            }
            Some(size) => Some(size),
            None => match meant_size(text) {
                Some(meant) => self.refuse(format!("{text:?} is not a size: write \"{meant}\"")),
                None => self.refuse(format!("{text:?} is not a size, expected {SIZE}")),
            },
        }
    }

    /// One of a few words, to what each means.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let known = || words.iter().map(|(word, _)| *word);
        let list = known().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let text = self.string_as(&list)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        match nearest(text, known()) {
            Some(word) => self.refuse(format!("{text:?} is not known, did you mean {word:?}? known: {list}")),
            None => self.refuse(format!("{text:?} is not known, known: {list}")),
        }
    }

    /// A path, relative to the folder of the file.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        if matches!(self.get_ref(), DeValue::String(text) if text.contains("-----BEGIN ")) {
            return self.refuse("holds the content of a file: write the path of the file");
        }
        match self.string_as("a path")? {
            "" => self.refuse("is empty, expected a path"),
            text if text.starts_with("~/") => {
                self.refuse("~ is not replaced in this file: write the whole path")
            }
            text if text.starts_with('$') || text.starts_with('%') => {
                self.refuse("variables are not replaced in this file: write the whole path")
            }
            text if text.starts_with("file:") => self.refuse("is a URL: write the path alone, without file:"),
            text => Some(self.document().resolve(text)),
        }
    }

    /// A file of PEM certificates, or several; they must be readable now.
    pub(crate) fn certificates(&self) -> Option<Vec<PathBuf>> {
        match self.get_ref() {
            DeValue::Array(_) => self.list("an array of paths", Value::certificate_file),
            _ => self.certificate_file().map(|path| vec![path]),
        }
    }

    fn certificate_file(&self) -> Option<PathBuf> {
        let path = self.path()?;
        match pem::read_bundle(&path).and_then(|bundle| pem::certificates(&path, &bundle)) {
            Ok(_) => Some(path),
            Err(error) => {
                let is_absent = is_absent(&path);
                let hint = if is_absent { self.document().relative_hint() } else { String::new() };
                self.refuse(format!("{error}{hint}"))
            }
        }
    }

    /// Where events are sent: an absolute `http` or `https` URL without user information.
    pub(crate) fn http_url(&self) -> Option<String> {
        let text = self.string()?;
        match Url::parse(text).and_then(|url| url.without_user(": leave it out")) {
            Ok(url) => {
                self.warn_about_port(&url);
                Some(text.to_string())
            }
            Err(error) => self.refuse(error),
        }
    }

    /// A scheme that does not fit the port.
    pub(crate) fn warn_about_port(&self, url: &Url) {
        for (scheme, port, other) in [("http", ":443", "https"), ("https", ":80", "http")] {
            if url.scheme == scheme && url.authority.ends_with(port) {
                let place = &url.authority;
                self.warning(format!(
                    "port {} is for {other}: write {other}://{place}",
                    port.trim_start_matches(':')
                ));
            }
        }
    }

    /// `host:port` to listen on; port 0 means any free one.
    pub(crate) fn bind_address(&self) -> Option<String> {
        const EXPECTED: &str = "expected \"HOST:PORT\" such as \"127.0.0.1:8082\"";
        if let DeValue::Integer(port) = self.get_ref() {
            return self.refuse(format!("has no host: write \"127.0.0.1:{port}\""));
        }
        let text = self.string()?;
        if is_bind_address(text) {
            return self.listens(text);
        }
        match meant_bind_address(text).filter(|meant| is_bind_address(meant)) {
            Some(meant) if meant.starts_with("0.0.0.0:") => self.refuse(format!(
                "{text:?} has no host: write \"{meant}\" for all addresses, or \"127.0.0.1{}\"",
                meant.trim_start_matches("0.0.0.0")
            )),
            Some(meant) if meant.starts_with('[') && !text.contains('[') => {
                self.refuse(format!("an IPv6 address stands in brackets: write \"{meant}\""))
            }
            Some(meant) => self.refuse(format!("{text:?} is not an address to listen on: write \"{meant}\"")),
            None if !text.contains(':') || text.ends_with(']') => {
                self.refuse(format!("{text:?} has no port, {EXPECTED}"))
            }
            None => self.refuse(format!("{text:?} is not an address to listen on, {EXPECTED}")),
        }
    }

    /// A media type such as `application/json`.
    pub(crate) fn media_type(&self) -> Option<String> {
        let text = self.string()?;
        let is_text = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_text || !text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
        {
            return self.refuse(format!("{text:?} is not a media type such as \"application/json\""));
        }
        Some(text.to_string())
    }

    /// `http://[user:password@]host:port` of a proxy.
    pub(crate) fn proxy(&self) -> Option<String> {
        const EXPECTED: &str = "expected a proxy such as \"http://user:password@proxy:3128\"";
        let text = self.string()?;
        let is_place =
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c));
        if is_place && Url::parse(&format!("http://{text}")).is_ok() {
            return self.refuse(format!("has no scheme: write \"http://{text}\""));
        }
        // Signs that end the part in which a password stands. It is not repeated.
        let behind = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (user, _) = behind.rsplit_once('@').unwrap_or(("", behind));
        if user.contains(['#', '/', '?', '@', '[', ']', '\\', ' ', '"', '<', '>', '^', '`', '{', '|', '}']) {
            return self.refuse(
                "a user or password holds a sign that ends it: write %40 for @, %23 for #, %2F for /, %3F for ?, and so on",
            );
        }
        match Url::parse(text) {
            Ok(url) if url.scheme != "http" => self.refuse(format!("scheme is not http, {EXPECTED}")),
            Ok(url) if url.has_query || !matches!(url.path.as_str(), "" | "/") => {
                self.refuse(format!("has a path, {EXPECTED}"))
            }
            Ok(_) => Some(text.trim_end_matches('/').to_string()),
            // The text may hold a password, and the parser's message does not repeat it.
            Err(error) => self.refuse(format!("{error}; {EXPECTED}")),
        }
    }

    /// The SHA-256 of a certificate as hexadecimal digits, with or without colons.
    pub(crate) fn pin(&self) -> Option<[u8; 32]> {
        let text = self.string()?;
        let hexadecimal = text.rsplit_once('=').filter(|(_, digits)| !digits.is_empty());
        let hexadecimal = hexadecimal.map_or(text, |(_, digits)| digits).trim().replace(' ', ":");
        parse_pin(&hexadecimal).or_else(|| {
            let what = if hexadecimal.len() == 59 { "is a SHA-1 and" } else { "is" };
            self.refuse(format!(
                "{text:?} {what} not a SHA-256, expected 32 bytes such as \"AA:BB:..:FF\", as `openssl x509 -noout \
                 -fingerprint -sha256 -in FILE` prints them"
            ))
        })
    }

    /// A host name or address that a certificate can be for.
    pub(crate) fn server_name(&self) -> Option<String> {
        let text = self.string()?;
        match ServerName::try_from(text) {
            Ok(_) => Some(text.to_string()),
            Err(_) => {
                let host =
                    text.split_once("://").map(|(_, rest)| rest.split(['/', ':']).next().unwrap_or_default());
                let write = host.filter(|host| ServerName::try_from(*host).is_ok());
                let write = write.map_or(String::new(), |host| format!(": write \"{host}\""));
                self.refuse(format!("{text:?} is not a host name{write}"))
            }
        }
    }

    /// Whether the name that the user chose can be the name of a file.
    pub(crate) fn name_is_valid(&self) -> bool {
        let name = self.name();
        let fits = name.len() <= limits::NAME_BYTES_MAX
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if !fits {
            self.problem(format!(
                "not a name: it begins with a letter or digit and holds at most {} letters, digits, `-`, `_`, `.`",
                limits::NAME_BYTES_MAX
            ));
        }
        fits
    }

    /// Notes a problem and gives up the value.
    pub(crate) fn refuse<T>(&self, text: impl Into<String>) -> Option<T> {
        self.problem(text);
        None
    }

    fn string_as(&self, expected: &str) -> Option<&'a str> {
        match self.get_ref() {
            DeValue::String(text) if text.contains(char::is_control) => {
                self.refuse(control::told(text, true))
            }
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong_type(expected);
                None
            }
        }
    }
}

/// Whether a path that is meant from the folder of the file leads to nothing.
pub(super) fn is_absent(path: &Path) -> bool {
    let found = std::fs::symlink_metadata(path);
    path.is_relative() && found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// Notes a problem of a table and gives it up.
pub(crate) fn refuse_table<T>(table: &Table<'_>, text: impl Into<String>) -> Option<T> {
    table.problem(text);
    None
}

const DURATION: &str = "a time such as \"200ms\", \"30s\", \"5m\", \"12h\" or \"7d\"";
const SIZE: &str = "a size such as \"512KiB\", \"64MiB\" or \"1GiB\"";

/// `HOST:PORT`, an IPv6 address in brackets.
fn is_bind_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        }
    };
    is_host && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// What is meant by an address that is written in another way.
fn meant_bind_address(text: &str) -> Option<String> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text: String = text.split('/').next().unwrap_or_default().split_whitespace().collect();
    let (host, port) = match text.rsplit_once(':') {
        Some(("" | "*", port)) => ("0.0.0.0".to_string(), port),
        Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (format!("[{host}]"), port),
        Some((host, port)) => (host.to_string(), port),
        None if text.parse::<u16>().is_ok() => ("127.0.0.1".to_string(), text.as_str()),
        None => return None,
    };
    Some(format!("{host}:{port}"))
}

fn parse_pin(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = match text.len() {
        64 => text.bytes().collect(),
        95 => {
            let colons = text.bytes().skip(2).step_by(3).all(|byte| byte == b':');
            colons.then(|| {
                text.bytes().enumerate().filter(|(place, _)| place % 3 != 2).map(|(_, byte)| byte).collect()
            })?
        }
        _ => return None,
    };
    let mut pin = [0; 32];
    for (byte, pair) in pin.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: u8| char::from(at).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(pin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins() {
        let plain = "00ff".repeat(16);
        let colons = ["00", "Ff"].repeat(16).join(":");
        let pin = parse_pin(&plain).unwrap();
        assert_eq!((pin[0], pin[31]), (0, 255));
        assert_eq!(parse_pin(&colons), Some(pin));
        for wrong in ["", "AA:BB", &plain[1..], &colons.replace(':', "-"), &plain.replace('f', "g")] {
            assert_eq!(parse_pin(wrong), None, "{wrong}");
        }
        // As many bytes as the two forms, but not as many characters.
        assert_eq!(parse_pin(&"é".repeat(32)), None);
        assert_eq!(parse_pin(&format!("{}x", "é".repeat(47))), None);
    }
}
