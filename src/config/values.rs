//! The kinds of values that keys take: text to meaning, with what is wrong if there is none.

use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::ServerName;
use toml::de::DeValue;

use super::control;
use super::nearest::nearest;
use super::reader::{Table, Value};
use super::secret::{Secret, SecretUse};
use super::url::Url;
use crate::limits;
use crate::pem;

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
            None => self.refuse(format!("{text:?} is not a time, expected {DURATION}")),
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
            None => self.refuse(format!("{text:?} is not a size, expected {SIZE}")),
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
        match self.string_as("a path")? {
            "" => self.refuse("is empty, expected a path"),
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
            Err(error) => self.refuse(error.to_string()),
        }
    }

    /// A secret, which must be readable now.
    pub(crate) fn secret(&self) -> Option<Secret> {
        let secret = match self.get_ref() {
            DeValue::String(text) => {
                let is_name = matches!(self.name(), "username" | "access_key_id");
                let is_meant = !is_name && control::is_meant(self.written());
                if text.contains(char::is_control) && !is_meant {
                    return self.refuse(control::told(text, is_name));
                }
                control::doubts(text, is_name).into_iter().for_each(|doubt| self.warning(doubt));
                Secret::Literal(text.to_string())
            }
            DeValue::Table(_) => self.table(|table| {
                let file = table.get("file", Value::secret_path);
                let env = table.get("env", Value::string);
                match (table.has("file"), table.has("env")) {
                    (true, false) => Some(Secret::File(file?)),
                    (false, true) => Some(Secret::Env(env?.to_string())),
                    (true, true) => refuse_table(table, "holds both `file` and `env`, expected one of them"),
                    (false, false) => refuse_table(table, "holds neither `file` nor `env`"),
                }
            })?,
            _ => {
                self.wrong_type("a string, { file = \"PATH\" } or { env = \"NAME\" }");
                return None;
            }
        };
        let is_used = match (self.document().secret_use(), &secret) {
            (_, Secret::Literal(_)) | (SecretUse::Needed, _) => true,
            (SecretUse::Checked, Secret::File(path)) => !is_absent_credential(path),
            (SecretUse::Checked, _) => true,
            (SecretUse::Unused, _) => false,
        };
        if !is_used {
            return Some(self.live(secret));
        }
        match secret.read_with(&|name| self.document().environment(name)) {
            Ok(text) if text.is_empty() => self.refuse(match &secret {
                Secret::Env(name) => format!("environment variable {name} is empty"),
                Secret::Literal(_) | Secret::File(_) | Secret::Live(_) => "is empty".to_string(),
            }),
            Ok(text) => {
                self.doubt_file(&secret, &text);
                Some(self.live(secret))
            }
            Err(error) => self.refuse(error.to_string()),
        }
    }

    /// Warns about a file that others can read, or that was never filled.
    fn doubt_file(&self, secret: &Secret, text: &str) {
        let Secret::File(path) = secret else { return };
        // In a pod there are no others, and the mode of a mounted secret is Kubernetes' own.
        let is_pod = self.document().environment("KUBERNETES_SERVICE_HOST").is_some();
        if let Some(mode) = mode_for_others(path).filter(|_| !is_pod) {
            let path = path.display();
            self.warning(format!(
                "secret file {path} can be read by every user (mode {mode:o}): chmod o= {path}"
            ));
        }
        if let Some(doubt) = control::placeholder(text) {
            self.warning(format!("secret file {}: {doubt}", path.display()));
        }
    }

    /// Where events are sent: an absolute `http` or `https` URL without user information.
    pub(crate) fn http_url(&self) -> Option<String> {
        let text = self.string()?;
        match Url::parse(text).and_then(|url| url.without_user("")) {
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
        let text = self.string()?;
        if let Some((host, port)) = text.rsplit_once(':')
            && host.contains(':')
            && host.parse::<std::net::Ipv6Addr>().is_ok()
        {
            return self.refuse(format!("an IPv6 address stands in brackets: write \"[{host}]:{port}\""));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return self.refuse(format!("{text:?} has no port, {EXPECTED}"));
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            }
        };
        let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        if !is_host || !is_port {
            return self.refuse(format!("{text:?} is not an address to listen on, {EXPECTED}"));
        }
        Some(text.to_string())
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
        parse_pin(text).or_else(|| {
            self.refuse(format!("{text:?} is not a SHA-256, expected 32 bytes such as \"AA:BB:..:FF\""))
        })
    }

    /// A host name or address that a certificate can be for.
    pub(crate) fn server_name(&self) -> Option<String> {
        let text = self.string()?;
        match ServerName::try_from(text) {
            Ok(_) => Some(text.to_string()),
            Err(_) => self.refuse(format!("{text:?} is not a host name")),
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

    /// A path in which `$CREDENTIALS_DIRECTORY` stands for the folder in which systemd puts the
    /// credentials of a unit (systemd.exec(5), LoadCredential).
    fn secret_path(&self) -> Option<PathBuf> {
        const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
        let text = self.string_as("a path")?;
        let braced = format!("${{{VARIABLE}}}");
        let plain = format!("${VARIABLE}");
        let Some(rest) = text.strip_prefix(&braced).or_else(|| text.strip_prefix(&plain)) else {
            return self.path();
        };
        if let Some(folder) = self.document().environment(VARIABLE) {
            return Some(PathBuf::from(format!("{folder}{rest}")));
        }
        // On a shell: what the unit's credentials are made of.
        let name = rest.trim_start_matches('/');
        let paths = CREDENTIALS_FOLDERS.map(|folder| Path::new(folder).join(name));
        if let Some(path) = paths.iter().find(|path| path.exists()) {
            return Some(path.clone());
        }
        let text = format!(
            "${VARIABLE} is not set, systemd sets it for the service alone, and there is no {}: run this as root with \
             the secret in that file, or set {VARIABLE} to the folder that holds {name:?}",
            paths[0].display()
        );
        match self.document().secret_use() {
            SecretUse::Needed => return self.refuse(text),
            SecretUse::Checked => self.warning(text),
            SecretUse::Unused => {}
        }
        Some(paths[0].clone())
    }
}

/// Notes a problem of a table and gives it up.
pub(crate) fn refuse_table<T>(table: &Table<'_>, text: impl Into<String>) -> Option<T> {
    table.problem(text);
    None
}

/// The mode of a file that every user of the machine can read.
fn mode_for_others(path: &Path) -> Option<u32> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = |path: &Path| std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o7777);
    mode(path).filter(|file| file & 0o004 != 0 && mode(folder).is_some_and(|folder| folder & 0o001 != 0))
}

/// A credential of the unit that is not there for a shell.
fn is_absent_credential(path: &Path) -> bool {
    path.starts_with(CREDENTIALS_FOLDERS[0]) && !path.exists()
}

/// Where the files of the unit's credentials lie.
const CREDENTIALS_FOLDERS: [&str; 2] = ["/etc/event-router/credentials", "/etc/event-router"];

const DURATION: &str = "a time such as \"200ms\", \"30s\", \"5m\", \"12h\" or \"7d\"";
const SIZE: &str = "a size such as \"512KiB\", \"64MiB\" or \"1GiB\"";

/// One or more numbers with unit, such as `1h30m`.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let milliseconds = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(number.checked_mul(milliseconds)?)?;
    }
    (!text.is_empty()).then_some(Duration::from_millis(total))
}

/// A number with a unit of 1024s.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
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
    fn durations() {
        for (text, milliseconds) in [
            ("0s", Some(0)),
            ("200ms", Some(200)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("30", None),
            ("s", None),
            ("30 s", None),
            ("-1s", None),
            ("1.5s", None),
            ("30sec", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
            ("1s\u{660}", None),
        ] {
            assert_eq!(parse_duration(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64MiB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("100B", Some(100)),
            ("64", None),
            ("64MB", None),
            ("MiB", None),
            ("", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

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
