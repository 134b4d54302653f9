//! `router.toml` as it is written while an old file is read, with the old place that each line comes
//! from. Where the meaning is not quite the same, a comment says so.
//!
//! Lines are written of whatever can be read: once the old file has problems, nobody looks at them.

use std::path::Path;

use toml::de::DeValue;

use super::super::reader::{Document, Table, Value};
use crate::config::problem::Problem;
use crate::limits::NAME_BYTES_MAX;

/// The lines so far.
pub(super) struct Output<'a> {
    pub(super) text: String,
    /// Where the router is started: the Go router took relative paths from there.
    folder: &'a Path,
    /// Whether truth values are texts too, as for the YAML reader of the Go router.
    loose: bool,
    // One for each line of the text.
    origins: Vec<Option<Value<'a>>>,
}

/// How the Go router delivered the events of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Concurrency {
    /// One after the other.
    OneAtATime,
    /// Each as it came.
    Free,
}

/// A text and where it stands.
pub(super) type Text<'a> = (String, Value<'a>);

impl<'a> Output<'a> {
    /// No line so far.
    pub(super) fn new(folder: &'a Path, loose: bool) -> Output<'a> {
        Output { text: String::new(), folder, loose, origins: Vec::new() }
    }

    /// `[SECTION.NAME]` and its type; gives the name. What is wrong with the section as a whole is
    /// told at `origin`. The old name counts if it can be one here and leaves room for the name of
    /// the route.
    pub(super) fn part(
        &mut self,
        section: &str,
        old_name: Option<String>,
        type_name: &str,
        origin: &Value<'a>,
    ) -> String {
        let fits = |name: &String| {
            2 * name.len() < NAME_BYTES_MAX
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        let name = old_name.filter(fits).unwrap_or_else(|| type_name.to_string());
        self.section(&format!("{section}.{}", quoted_key(&name)), origin);
        self.value("type", &quoted(type_name));
        name
    }

    /// `[SECTION]`, with an empty line before it.
    pub(super) fn section(&mut self, section: &str, origin: &Value<'a>) {
        if !self.text.is_empty() {
            self.line("", None);
        }
        self.line(&format!("[{section}]"), Some(origin));
    }

    /// `NEW = "TEXT"` of a key that must be there.
    pub(super) fn required(&mut self, table: &Table<'a>, old: &'static str, new: &str) {
        let text = table.required(old, |value| self.read(value));
        self.text(new, text);
    }

    /// The same of a key that may be absent.
    pub(super) fn optional(&mut self, table: &Table<'a>, old: &'static str, new: &str) {
        let text = table.get(old, |value| self.read(value));
        self.text(new, text);
    }

    /// Two keys that must be there.
    pub(super) fn pair(&mut self, table: &Table<'a>, old: [&'static str; 2], new: [&str; 2]) -> Option<()> {
        self.required(table, old[0], new[0]);
        self.required(table, old[1], new[1]);
        Some(())
    }

    /// A text, as the old form took one.
    pub(super) fn read(&self, value: &Value<'a>) -> Option<Text<'a>> {
        let text = match value.get_ref() {
            DeValue::Boolean(truth) if self.loose => truth.to_string(),
            // Control characters are judged in what is written of it.
            DeValue::String(text) => text.to_string(),
            _ => value.string()?.to_string(),
        };
        Some((text, value.clone()))
    }

    /// `KEY = "TEXT"`.
    pub(super) fn text(&mut self, key: &str, text: Option<Text<'a>>) {
        if let Some((text, at)) = text {
            self.line(&format!("{key} = {}", quoted(&text)), Some(&at));
        }
    }

    /// `KEY = VALUE` with a value that cannot be wrong.
    pub(super) fn value(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = {value}"), None);
    }

    pub(super) fn comment(&mut self, lines: &str) {
        lines.lines().for_each(|line| self.line(&format!("# {line}"), None));
    }

    /// A line and where it comes from.
    pub(super) fn line(&mut self, line: &str, origin: Option<&Value<'a>>) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origins.push(origin.cloned());
    }

    /// `state_dir`, before the first section.
    pub(super) fn state_dir(&mut self, checkpoint: bool, folder: Option<String>) {
        let path = |text: &str| quoted(&self.folder.join(text).to_string_lossy());
        let (comment, path) = match folder {
            Some(text) if Path::new(&text).is_absolute() => ("", path(&text)),
            Some(text) => (
                "A relative checkpointDir is meant from the folder in which the router is started.",
                path(&text),
            ),
            None if !checkpoint => return,
            None => (
                "The Go router's default, from the folder in which the router is started.",
                path("checkpoints"),
            ),
        };
        self.comment(comment);
        self.value("state_dir", &path);
    }

    /// `checkpoint`, with what it means now.
    pub(super) fn checkpoint(&mut self, checkpoint: bool) {
        self.comment(if checkpoint {
            "The first start takes over the position of the Go router. Replay reaches back to the\n\
             checkpoint however old it is (the Go router: one hour; replay_max = \"1h\" is the same),\n\
             and a failed delivery is repeated until it succeeds (the Go router gave up after three\n\
             repetitions, and the event was lost)."
        } else {
            "At most once: each start begins with vCenter's present, as before, and a delivery that\n\
             the sink may have seen is not repeated (the Go router repeated it up to three times).\n\
             With true nothing is lost."
        });
        self.value("checkpoint", if checkpoint { "true" } else { "false" });
    }

    /// The same of a source of which the Go router kept no position.
    pub(super) fn no_checkpoint(&mut self, product: &str) {
        self.comment(&format!(
            "At most once: each start begins with {product}'s present. With true nothing is lost; then set\n\
             state_dir too."
        ));
        self.value("checkpoint", "false");
    }

    /// `[SECTION.NAME.tls]`, if it says anything.
    pub(super) fn tls(
        &mut self,
        [section, name]: [&str; 2],
        at: &Value<'a>,
        root_cas: Vec<Text<'a>>,
        insecure: Option<&str>,
    ) {
        if root_cas.is_empty() && insecure.is_none() {
            return;
        }
        self.section(&format!("{section}.{}.tls", quoted_key(name)), at);
        if !root_cas.is_empty() {
            self.comment("Trusted beside the system's authorities; the Go router then trusted no others.");
        }
        let folder = self.folder;
        let mut files =
            root_cas.into_iter().map(|(file, at)| (folder.join(file).to_string_lossy().into_owned(), at));
        if files.len() == 1 {
            self.text("ca_file", files.next());
        } else if files.len() != 0 {
            self.line("ca_file = [", None);
            files.for_each(|(file, at)| self.line(&format!("    {},", quoted(&file)), Some(&at)));
            self.line("]", None);
        }
        if let Some(what) = insecure {
            self.comment(&format!("Whoever answers is believed{what}."));
            self.value("insecure", "true");
        }
    }

    /// `[route.SOURCE-PROCESSOR]`.
    pub(super) fn route(
        &mut self,
        source: &str,
        processor: &str,
        origin: &Value<'a>,
        concurrency: Concurrency,
    ) {
        self.section(&format!("route.{}", quoted_key(&format!("{source}-{processor}"))), origin);
        self.value("from", &quoted(source));
        self.value("to", &quoted(processor));
        if concurrency == Concurrency::Free {
            self.comment("Side by side, as they were posted, like the Go router.");
            return self.value("order", "\"none\"");
        }
        self.comment(
            "One event at a time, like the Go router. \"entity\" is faster: it keeps the events of each\n\
             object in order and delivers objects side by side.",
        );
        self.value("order", "\"strict\"");
    }

    /// `bind` of `[metrics]`. In Go an address without a host meant all of them.
    pub(super) fn bind(&mut self, table: &Table<'a>, old: &'static str) {
        let bind = table.required(old, |value| self.read(value));
        let all = |text: &String| if text.starts_with(':') { "0.0.0.0" } else { "" };
        self.text("bind", bind.map(|(text, at)| (format!("{}{text}", all(&text)), at)));
    }

    /// Tells what is wrong, or odd, with the written file where it stands in the old one.
    pub(super) fn tell(&self, document: &Document<'_>, problems: &[Problem], warnings: &[Problem]) {
        let origin = |problem: &Problem| {
            let line = problem.line.unwrap_or_default();
            line.checked_sub(1).and_then(|index| self.origins.get(index)?.as_ref())
        };
        for problem in problems {
            match origin(problem) {
                Some(value) => value.problem(&problem.text),
                None => document.problem_of_file(&problem.text),
            }
        }
        for warning in warnings {
            if let Some(value) = origin(warning) {
                value.warning(&warning.text);
            }
        }
    }
}

/// A TOML string. A control character is given by its number, so that it is not taken for a mistake.
pub(super) fn quoted(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A key of TOML: a dot would begin another table.
fn quoted_key(name: &str) -> String {
    if name.contains('.') { quoted(name) } else { name.to_string() }
}
