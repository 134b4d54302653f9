//! Walks a parsed TOML file, remembers which keys were asked for, and collects every problem with
//! its place.
//!
//! A section is read by a function that asks for each of its keys once. What it did not ask for is
//! not a known key; what it asked for is the list of known ones. A value that cannot be used is
//! reported and reads as absent, so that the walk goes on and finds the next problem.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::nearest::{meant, nearest};
use super::problem::{Problem, line_of};
use super::secret::{LiveSecret, Secret, SecretUse};
use crate::order;

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The file that is read, and what was found wrong in it.
pub(crate) struct Document<'a> {
    file: &'a Path,
    text: &'a str,
    environment: Environment<'a>,
    problems: RefCell<Vec<(usize, Problem)>>,
    warnings: RefCell<Vec<(usize, Problem)>>,
    secrets: RefCell<Vec<(String, LiveSecret)>>,
    // The addresses that are listened on, each with its key and place.
    listeners: RefCell<Vec<(String, String, usize)>>,
    secret_use: SecretUse,
    // Whether it is TOML: what to write is told in its words only where it is.
    is_toml: bool,
}

impl<'a> Document<'a> {
    /// A file without problems so far.
    pub(crate) fn new(file: &'a Path, text: &'a str, environment: Environment<'a>) -> Document<'a> {
        let (problems, warnings, secrets) = Default::default();
        Document {
            file,
            text,
            environment,
            problems,
            warnings,
            secrets,
            listeners: RefCell::default(),
            secret_use: SecretUse::Needed,
            is_toml: false,
        }
    }

    /// The same file as TOML, for a command that does this with its secrets.
    pub(crate) fn toml(self, secret_use: SecretUse) -> Document<'a> {
        Document { secret_use, is_toml: true, ..self }
    }

    /// The file that is read.
    pub(crate) fn file(&self) -> &'a Path {
        self.file
    }

    /// Where a relative path begins, for a message about one that leads to nothing.
    pub(crate) fn relative_hint(&self) -> String {
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        format!("; a relative path begins at the folder of {file}")
    }

    /// What is done with the secrets that the file names.
    pub(crate) fn secret_use(&self) -> SecretUse {
        self.secret_use
    }

    /// The path as meant in the file: relative to the file's folder.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// The value of an environment variable.
    pub(crate) fn environment(&self, name: &str) -> Option<String> {
        (self.environment)(name)
    }

    /// The secrets that were read, each with its key.
    pub(crate) fn take_secrets(&self) -> Vec<(String, LiveSecret)> {
        self.secrets.take()
    }

    /// Notes a problem of the file as a whole.
    pub(crate) fn problem_of_file(&self, text: impl Into<String>) {
        self.problems.borrow_mut().push((0, Problem::of_file(self.file, text)));
    }

    /// Notes an error of syntax at a byte of the text.
    pub(crate) fn syntax_error(&self, offset: usize, text: String) {
        let mut problem = self.place(offset, "", text);
        problem.column = Some(self.column(offset));
        self.problems.borrow_mut().push((offset, problem));
    }

    /// Whether the file cannot be used.
    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// The problems and the warnings, each in the order of the file.
    pub(crate) fn finish(self) -> (Vec<Problem>, Vec<Problem>) {
        let in_order = |list: Vec<(usize, Problem)>| {
            let mut list = list;
            order::sort_by_key(&mut list, |(offset, _)| *offset);
            list.into_iter().map(|(_, problem)| problem).collect()
        };
        (in_order(self.problems.into_inner()), in_order(self.warnings.into_inner()))
    }

    /// Notes a problem at a byte of the text.
    pub(crate) fn problem(&self, offset: usize, key: &str, text: String) {
        let problem = self.place(offset, key, text);
        self.problems.borrow_mut().push((offset, problem));
    }

    /// Notes something odd at a byte of the text.
    pub(crate) fn warning(&self, offset: usize, key: &str, text: String) {
        let warning = self.place(offset, key, text);
        self.warnings.borrow_mut().push((offset, warning));
    }

    fn place(&self, offset: usize, key: &str, text: String) -> Problem {
        let line = line_of(self.text.as_bytes(), offset);
        Problem { line: Some(line), key: key.to_string(), ..Problem::of_file(self.file, text) }
    }

    fn column(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        // Continuation bytes of UTF-8 belong to the character before them.
        1 + line.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
    }
}

/// A section while it is read.
pub(crate) struct Table<'a> {
    document: &'a Document<'a>,
    path: String,
    offset: usize,
    entries: Vec<Value<'a>>,
    asked: RefCell<Vec<&'static str>>,
    // With what is written for each.
    missing: RefCell<Vec<(&'static str, String)>>,
    open: Cell<bool>,
}

impl<'a> Table<'a> {
    /// Reads the whole file.
    pub(crate) fn root(document: &'a Document<'a>, table: &'a DeTable<'a>, read: impl FnOnce(&Table<'a>)) {
        let root = Table::new(document, String::new(), 0, table);
        read(&root);
        root.finish();
    }

    fn new(document: &'a Document<'a>, path: String, offset: usize, table: &'a DeTable<'a>) -> Table<'a> {
        let mut entries: Vec<Value<'a>> = table
            .iter()
            .map(|(key, value)| Value {
                document,
                name: key.get_ref(),
                path: join(&path, key.get_ref()),
                offset: key.span().start,
                span: value.span(),
                value: value.get_ref(),
            })
            .collect();
        order::sort_by_key(&mut entries, |entry| entry.offset);
        let (asked, missing) = (RefCell::default(), RefCell::default());
        Table { document, path, offset, entries, asked, missing, open: Cell::new(false) }
    }

    /// The value of a key that may be absent.
    pub(crate) fn get<T>(&self, key: &'static str, read: impl FnOnce(&Value<'a>) -> Option<T>) -> Option<T> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        drop(asked);
        self.entry(key).and_then(read)
    }

    /// The value of a key that must be there.
    pub(crate) fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing.borrow_mut().push((key, example(key).to_string()));
        }
        self.get(key, read)
    }

    /// One of a few words that must be there, to what it means.
    pub(crate) fn required_word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        if !self.has(key) {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            self.missing.borrow_mut().push((key, words.join(" or ")));
        }
        self.get(key, |value| value.one_of(words))
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a key that is not there was only mistyped: then that is said, and nothing else of it.
    pub(crate) fn is_mistyped(&self, key: &str) -> bool {
        let known =
            ["state_dir", "shutdown_grace", "source", "processor", "route", "cluster", "metrics", "log"];
        let is_meant = |entry: &Value<'a>| nearest(entry.name, known) == Some(key);
        !self.has(key) && self.entries.iter().any(is_meant)
    }

    /// Whether the key is in the file, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// All entries of a section whose keys are names that the user chose, in the order of the file.
    pub(crate) fn entries(&self) -> &[Value<'a>] {
        self.open.set(true);
        &self.entries
    }

    /// Gives up a section whose keys cannot be judged, because what they depend on is unknown.
    pub(crate) fn unjudged<T>(&self) -> Option<T> {
        self.open.set(true);
        None
    }

    /// Notes a problem of the section as a whole.
    pub(crate) fn problem(&self, text: impl Into<String>) {
        self.document.problem(self.offset, &self.path, text.into());
    }

    /// Notes something odd that does not keep the router from running.
    pub(crate) fn warning(&self, text: impl Into<String>) {
        self.document.warning(self.offset, &self.path, text.into());
    }

    pub(crate) fn document(&self) -> &'a Document<'a> {
        self.document
    }

    /// The value of a key as it stands there; what it may be is asked for elsewhere.
    pub(crate) fn entry(&self, key: &str) -> Option<&Value<'a>> {
        self.entries.iter().find(|entry| entry.name == key)
    }

    /// Reports unknown and missing keys. A missing key that was only mistyped is one problem, not
    /// two.
    fn finish(self) {
        let asked = self.asked.into_inner();
        let mut missing = self.missing.into_inner();
        let unknown = |entry: &&Value<'a>| !asked.contains(&entry.name);
        for entry in self.entries.iter().filter(unknown) {
            if self.open.get() {
                // All that can be told of a section of an unknown kind.
                let meant =
                    |key: &&str| key.eq_ignore_ascii_case(entry.name) || meant(entry.name, &[key]).is_some();
                if let Some(at) = missing.iter().position(|(key, _)| meant(key)) {
                    let (key, _) = missing.remove(at);
                    entry.problem(format!("not a known key, did you mean `{key}`?"));
                }
                continue;
            }
            let near = nearest(entry.name, asked.iter().copied()).or_else(|| meant(entry.name, &asked));
            match (near, elsewhere(&self.path, entry.name, &asked)) {
                (None, Some(place)) => entry.problem(format!("not a key of this section: {place}")),
                (Some(key), _) => {
                    missing.retain(|(missing, _)| *missing != key);
                    entry.problem(format!("not a known key, did you mean `{key}`?"));
                }
                (None, None) => entry.problem(format!("not a known key; known here: {}", asked.join(", "))),
            }
        }
        for (key, example) in missing {
            let text = match example.as_str() {
                _ if !self.document.is_toml => "is missing".to_string(),
                "" => "is missing".to_string(),
                _ => format!("is missing: write {key} = {example}"),
            };
            self.document.problem(self.offset, &join(&self.path, key), text);
        }
    }
}

/// Whether two addresses `HOST:PORT` cannot be listened on at a time.
fn overlap(one: &str, other: &str) -> bool {
    let parts = |text: &'_ str| {
        let (host, port) = text.rsplit_once(':')?;
        let host = if host.eq_ignore_ascii_case("localhost") { "127.0.0.1" } else { host };
        Some((host.to_ascii_lowercase(), port.parse::<u16>().ok().filter(|port| *port != 0)?))
    };
    let is_any = |host: &str| host == "0.0.0.0" || host == "[::]";
    let (Some(one), Some(other)) = (parts(one), parts(other)) else { return false };
    one.1 == other.1 && (one.0 == other.0 || is_any(&one.0) || is_any(&other.0))
}

/// Where a key belongs that stands in the wrong section.
fn elsewhere(path: &str, name: &str, asked: &[&str]) -> Option<String> {
    match name {
        "file" | "path" | "output" if path == "log" => {
            Some("the log goes to standard error, and the service manager keeps it".to_string())
        }
        "log_level" | "log_format" | "loglevel" if path.is_empty() => {
            Some(format!("write {} below [log]", name.trim_start_matches("log").trim_start_matches('_')))
        }
        "state_dir" | "shutdown_grace" => {
            Some("it stands at the top of the file, before the first [section]".to_string())
        }
        "ca_file" | "pin_sha256" | "server_name" | "insecure" | "client_cert" | "client_key"
            if asked.contains(&"tls") =>
        {
            Some(format!("write tls.{name}, or {name} below [{path}.tls]"))
        }
        _ => None,
    }
}

/// What is written for a key that must be there.
fn example(key: &str) -> &'static str {
    match key {
        "address" => "\"https://HOST\"",
        "uri" => "\"http://HOST/PATH\"",
        "username" => "\"NAME\"",
        "password" => "{ file = \"PATH\" }",
        "from" => "\"NAME\", that of a [source.NAME]",
        "to" => "\"NAME\", that of a [processor.NAME]",
        "bind" => "\"127.0.0.1:8082\"",
        _ => "",
    }
}

/// A value and its place.
#[derive(Clone)]
pub(crate) struct Value<'a> {
    document: &'a Document<'a>,
    name: &'a str,
    path: String,
    offset: usize,
    span: Range<usize>,
    value: &'a DeValue<'a>,
}

impl<'a> Value<'a> {
    /// The last part of its key.
    pub(crate) fn name(&self) -> &'a str {
        self.name
    }

    /// The bare value.
    pub(crate) fn get_ref(&self) -> &'a DeValue<'a> {
        self.value
    }

    /// As it is written, quotes included; empty where the place of the value is not known.
    pub(super) fn written(&self) -> &'a str {
        self.document.text.get(self.span.clone()).unwrap_or_default()
    }

    pub(crate) fn document(&self) -> &'a Document<'a> {
        self.document
    }

    /// Notes a problem of this value.
    pub(crate) fn problem(&self, text: impl Into<String>) {
        self.document.problem(self.offset, &self.path, text.into());
    }

    /// Notes something odd that does not keep the router from running.
    pub(crate) fn warning(&self, text: impl Into<String>) {
        self.document.warning(self.offset, &self.path, text.into());
    }

    /// Notes that this address is listened on.
    pub(crate) fn listens(&self, address: &str) -> Option<String> {
        let mut listeners = self.document.listeners.borrow_mut();
        if let Some((_, key, at)) = listeners.iter().find(|(other, ..)| overlap(other, address)) {
            let line = line_of(self.document.text.as_bytes(), *at);
            return self.refuse(format!(
                "{address:?} is listened on by {key} in line {line} too: write another port"
            ));
        }
        listeners.push((address.to_string(), self.path.clone(), self.offset));
        Some(address.to_string())
    }

    /// The secret as the running router is to hold it: under the key it can be replaced.
    pub(crate) fn live(&self, secret: Secret) -> Secret {
        let live = LiveSecret::new(secret);
        self.document.secrets.borrow_mut().push((self.path.clone(), live.clone()));
        Secret::Live(live)
    }

    /// Notes that the value has the wrong type. The value is not printed: it may be a secret.
    pub(crate) fn wrong_type(&self, expected: &str) {
        let hint = match self.value {
            DeValue::String(_) if expected.starts_with("true") => ": write it without quotes",
            DeValue::String(_) if expected.starts_with("a whole number") => ": write it without quotes",
            DeValue::String(_) if expected.starts_with("an array") => {
                ": write it in brackets, [\"A\", \"B\"]"
            }
            DeValue::String(_) | DeValue::Boolean(_) if expected == "a table" && self.document.is_toml => {
                return self.problem(format!(
                    "holds keys of its own: write them below [{}], or {} = {{ KEY = VALUE }}",
                    self.path, self.name
                ));
            }
            DeValue::Array(_) if expected == "a table" && self.document.is_toml => {
                return self.problem(format!("[[{0}]] makes a list: write [{0}]", self.path));
            }
            DeValue::Integer(_) if expected.starts_with("a time") => ": write it in quotes, with its unit",
            DeValue::Integer(_) if expected.starts_with("a size") => ": write it in quotes, with its unit",
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_)
                if expected.starts_with("a string") || expected.starts_with('"') || expected == "a path" =>
            {
                ": write it in quotes"
            }
            DeValue::Float(_) if expected.starts_with("a whole number") => ": write it without a point",
            _ => "",
        };
        let found = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.problem(format!("expected {expected}, found {found}{hint}"));
    }

    /// Reads a table, its unknown and missing keys included.
    pub(crate) fn table<T>(&self, read: impl FnOnce(&Table<'a>) -> Option<T>) -> Option<T> {
        let DeValue::Table(table) = self.value else {
            self.wrong_type("a table");
            return None;
        };
        let table = Table::new(self.document, self.path.clone(), self.offset, table);
        let result = read(&table);
        table.finish();
        result
    }

    /// Reads each element of an array; none if one of them cannot be used.
    pub(crate) fn list<T>(
        &self,
        expected: &str,
        mut read: impl FnMut(&Value<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let DeValue::Array(array) = self.value else {
            self.wrong_type(expected);
            return None;
        };
        let elements: Vec<Option<T>> = array
            .iter()
            .enumerate()
            .map(|(index, element)| {
                read(&Value {
                    document: self.document,
                    name: self.name,
                    path: format!("{}[{index}]", self.path),
                    offset: element.span().start,
                    span: element.span(),
                    value: element.get_ref(),
                })
            })
            .collect();
        elements.into_iter().collect()
    }
}

/// `path.key`, the key quoted where TOML wants it.
fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    let dot = if path.is_empty() { "" } else { "." };
    if bare { format!("{path}{dot}{key}") } else { format!("{path}{dot}{key:?}") }
}
