//! YAML as Go programs read it: the first document, keys once each, scalars by their look.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};
use serde::de::DeserializeOwned;
use toml::de::{DeArray, DeTable, DeValue};

use super::problem::line_of;
use super::tree::{Mistake, Placed, Tree, offset_of, placed};
use crate::error::Error;
use crate::limits::{CONFIG_DEPTH_MAX, CONFIG_VALUES_MAX};

/// The first document of a text.
///
/// # Errors
/// The first mistake of syntax, or what is too large to be a configuration.
pub(super) fn parse(text: &str) -> Result<Tree<'_>, Mistake> {
    let mut builder = Builder {
        text,
        parser: Parser::new_from_str(text),
        anchors: BTreeMap::new(),
        values: 0,
        mistakes: Vec::new(),
        anomalies: Vec::new(),
    };
    let root = loop {
        match builder.next()? {
            (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => break None,
            (event, offset) => break builder.value(event, offset, 0)?,
        }
    };
    match root.map(|value| value.into_inner()) {
        None => Ok(builder.tree(DeTable::new())),
        Some(DeValue::Table(root)) => Ok(builder.tree(root)),
        Some(_) => Err(mistake(0, "expected `key: value` lines")),
    }
}

/// Reads the first document into a structure.
///
/// # Errors
/// What is wrong with it, and in which line if that is known.
pub(crate) fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let wrong = |mistake: &Mistake| {
        let line = line_of(text.as_bytes(), mistake.offset);
        let key = if mistake.key.is_empty() { String::new() } else { format!("{}: ", mistake.key) };
        Error::new(format!("line {line}: {key}{}", mistake.text))
    };
    let tree = parse(text).map_err(|mistake| wrong(&mistake))?;
    if let Some(mistake) = tree.mistakes.first() {
        return Err(wrong(mistake));
    }
    // Only the message: the full text of the error repeats the line, which may hold a secret.
    T::deserialize(toml::de::Deserializer::from(placed(0, tree.root)))
        .map_err(|error| Error::new(error.message().to_string()))
}

struct Builder<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    // By the parser's number; none while the value is being read, or if it is null.
    anchors: BTreeMap<usize, Option<DeValue<'a>>>,
    values: usize,
    mistakes: Vec<Mistake>,
    anomalies: Vec<Mistake>,
}

impl<'a> Builder<'a> {
    fn tree(self, root: DeTable<'a>) -> Tree<'a> {
        Tree { root, mistakes: self.mistakes, anomalies: self.anomalies }
    }

    fn next(&mut self) -> Result<(Event<'a>, usize), Mistake> {
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, self.text.len())),
            Some(Ok((event, span))) => Ok((event, offset_of(self.text, span.start.line(), span.start.col()))),
            Some(Err(error)) => Err(self.syntax(&error)),
        }
    }

    fn syntax(&self, error: &ScanError) -> Mistake {
        let offset = offset_of(self.text, error.marker().line(), error.marker().col());
        let hint = match self.text.as_bytes().get(offset) {
            Some(b'@' | b'`' | b'%' | b'*' | b'&' | b'!') => "; a value that begins like this needs quotes",
            Some(b'\t') => "; YAML is indented by spaces, not by tabs",
            _ => "",
        };
        mistake(offset, format!("not YAML: {}{hint}", error.info()))
    }

    // None is null.
    fn value(
        &mut self,
        event: Event<'a>,
        offset: usize,
        depth: usize,
    ) -> Result<Option<Placed<'a>>, Mistake> {
        self.count(1, offset)?;
        if CONFIG_DEPTH_MAX < depth {
            return Err(mistake(offset, "is nested too deep"));
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || tag.is_some_and(|tag| is_string(&tag));
                (anchor, if is_text { Some(DeValue::String(text)) } else { plain(text) })
            }
            Event::SequenceStart(anchor, _) => (anchor, Some(self.sequence(depth)?)),
            Event::MappingStart(anchor, _) => (anchor, Some(self.mapping(depth)?)),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned().flatten();
                self.count(value.as_ref().map_or(0, size), offset)?;
                (0, value)
            }
            _ => return Err(mistake(offset, "not YAML: a value is missing")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value.map(|value| placed(offset, value)))
    }

    fn sequence(&mut self, depth: usize) -> Result<DeValue<'a>, Mistake> {
        let mut elements = DeArray::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(DeValue::Array(elements)),
                (event, offset) => {
                    // A null element was an empty string.
                    let element = self.value(event, offset, depth + 1)?;
                    elements.push(element.unwrap_or_else(|| placed(offset, DeValue::String("".into()))));
                }
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<DeValue<'a>, Mistake> {
        let mut table = DeTable::new();
        // Of every key, those without a value too, which are not in the table.
        let mut lines: BTreeMap<String, usize> = BTreeMap::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(DeValue::Table(table)),
                (Event::Scalar(key, ..), at) => (key, at),
                (_, at) => return Err(mistake(at, "expected a key that is a plain word")),
            };
            let (event, offset) = self.next()?;
            self.note_number(&key, &event, at);
            self.note_tag(&key, &event, at);
            let value = self.value(event, offset, depth + 1)?;
            let line = line_of(self.text.as_bytes(), at);
            if let Some(first) = lines.insert(key.to_string(), line) {
                let text = format!("is there twice, first in line {first}");
                self.mistakes.push(Mistake { offset: at, key: key.to_string(), text });
            } else if let Some(value) = value {
                // The place of the key is what messages name.
                table.insert(placed(at, key), placed(at, value.into_inner()));
            }
        }
    }

    // goccy/go-yaml made a number of it and printed that in turn.
    fn note_number(&mut self, key: &str, event: &Event<'_>, offset: usize) {
        if let Event::Scalar(text, ScalarStyle::Plain, _, None) = event
            && is_rewritten_number(text)
        {
            let text = "is a number that the Go router printed in another way; it is taken as it is written: put \
                        it in quotes";
            self.anomalies.push(Mistake { offset, key: key.to_string(), text: text.to_string() });
        }
    }

    // Passwords begin with signs that YAML takes for itself, and the rest of them would be gone.
    fn note_tag(&mut self, key: &str, event: &Event<'_>, offset: usize) {
        let Event::Scalar(text, ScalarStyle::Plain, _, tag) = event else { return };
        let line = self.text[offset..].lines().next().unwrap_or_default();
        let value = line.split_once(':').map_or("", |(_, value)| value.trim_start());
        let Some(sign) = value.chars().next().filter(|sign| "!&".contains(*sign)) else { return };
        let told = format!("begins with {sign}, which is YAML's own sign: put the value in quotes");
        let found = Mistake { offset, key: key.to_string(), text: told };
        match text.is_empty() {
            true => self.mistakes.push(found),
            // Anchors and YAML's own tags are meant.
            false if tag.as_ref().is_some_and(|tag| !tag.is_yaml_core_schema()) => self.anomalies.push(found),
            false => {}
        }
    }

    fn count(&mut self, values: usize, offset: usize) -> Result<(), Mistake> {
        self.values += values;
        match self.values <= CONFIG_VALUES_MAX {
            true => Ok(()),
            false => Err(mistake(offset, "holds too many values for a configuration")),
        }
    }
}

fn mistake(offset: usize, text: impl Into<String>) -> Mistake {
    Mistake { offset, key: String::new(), text: text.into() }
}

fn is_string(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str"
}

/// What a scalar without quotes is: null, a truth value, or text. Numbers stay text, because no key
/// of the Go router takes one.
fn plain(text: std::borrow::Cow<'_, str>) -> Option<DeValue<'_>> {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => None,
        "true" | "True" | "TRUE" => Some(DeValue::Boolean(true)),
        "false" | "False" | "FALSE" => Some(DeValue::Boolean(false)),
        _ => Some(DeValue::String(text)),
    }
}

/// Whether a text looks like a number, and not like one that Go would print the same.
fn is_rewritten_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = ["0x", "0o", "0b"].iter().find(|prefix| digits.starts_with(**prefix));
    let is_number = match radix {
        Some(prefix) => {
            2 < digits.len() && digits[prefix.len()..].bytes().all(|b| b.is_ascii_hexdigit() || b == b'_')
        }
        None => {
            digits.bytes().any(|byte| byte.is_ascii_digit())
                && digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_'))
                && digits.bytes().filter(|byte| *byte == b'.').count() <= 1
        }
    };
    let same = text.parse::<i64>().is_ok_and(|number| number.to_string() == text)
        || text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
        || (text.contains('.') && text.parse::<f64>().is_ok_and(|number| number.to_string() == text));
    is_number && !same
}

/// How many values a value holds, itself included.
fn size(value: &DeValue<'_>) -> usize {
    match value {
        DeValue::Table(table) => 1 + table.iter().map(|(_, value)| size(value.get_ref())).sum::<usize>(),
        DeValue::Array(array) => 1 + array.iter().map(|value| size(value.get_ref())).sum::<usize>(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(value: &DeValue<'_>) -> String {
        match value {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Array(array) => {
                let elements = array.iter().map(|element| show(element.get_ref()));
                format!("[{}]", elements.collect::<Vec<_>>().join(","))
            }
            DeValue::Table(table) => {
                let mut entries: Vec<_> = table
                    .iter()
                    .map(|(key, value)| (key.span().start, key.get_ref(), show(value.get_ref())))
                    .collect();
                entries.sort_unstable();
                let entries = entries.iter().map(|(_, key, value)| format!("{key}:{value}"));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }
            _ => "?".to_string(),
        }
    }

    fn of(text: &str) -> Result<String, String> {
        parse(text)
            .map(|tree| show(&DeValue::Table(tree.root)))
            .map_err(|error| format!("{}: {}", error.offset, error.text))
    }

    #[test]
    fn a_value_that_begins_with_a_sign_of_yaml_needs_quotes() {
        for sign in ["!", "&", "*", "@", "%", "`"] {
            for text in [format!("password: {sign}ecret"), format!("password: {sign}ecret # note\nb: c")] {
                let told = match parse(&text) {
                    Ok(tree) => tree.mistakes.iter().map(|found| found.text.clone()).collect(),
                    Err(found) => found.text,
                };
                assert!(told.contains("needs quotes") || told.contains("in quotes"), "{text}: {told}");
                assert!(!told.contains("ecret"), "{told}");
            }
            let quoted = format!("password: '{sign}ecret'");
            assert_eq!(of(&quoted), Ok(format!("{{password:\"{sign}ecret\"}}")));
        }
        let warnings = |text| parse(text).map(|tree| tree.anomalies.len()).unwrap_or_default();
        assert_eq!(
            (warnings("p: !a b"), warnings("p: !!str 5"), warnings("p: &a b"), warnings("p: x !a")),
            (1, 0, 0, 0)
        );
    }

    /// The values are those of goccy/go-yaml 1.10, but for numbers that it rewrote.
    #[test]
    fn scalars_are_what_the_go_router_saw() {
        for (text, value) in [
            ("p: 12345", "{p:\"12345\"}"),
            ("p: 0123", "{p:\"0123\"}"),
            ("p: True", "{p:true}"),
            ("p: yes", "{p:\"yes\"}"),
            ("p: ~", "{}"),
            ("p:", "{}"),
            ("p: ''", "{p:\"\"}"),
            ("p: 'it''s'", "{p:\"it's\"}"),
            ("p: \"a\\u00e4\"", "{p:\"aä\"}"),
            ("p: |\n  x\n  y\n", "{p:\"x\\ny\\n\"}"),
            ("p: a # c", "{p:\"a\"}"),
            ("p: a#c", "{p:\"a#c\"}"),
            ("p: x\n  y", "{p:\"x y\"}"),
            ("p: !!str 5", "{p:\"5\"}"),
            ("p: p@ss:w", "{p:\"p@ss:w\"}"),
            ("p: a\n---\nq: 1", "{p:\"a\"}"),
            ("s: &x\n  a: b\nm: *x", "{s:{a:\"b\"},m:{a:\"b\"}}"),
            ("l:\n- 1\n- x\n-", "{l:[\"1\",\"x\",\"\"]}"),
            ("{\"p\": \"x\", \"b\": true}", "{p:\"x\",b:true}"),
            ("", "{}"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn mistakes_have_their_place() {
        assert!(of("p: @x").unwrap_err().starts_with("3: not YAML: "), "{:?}", of("p: @x"));
        assert!(of("p: @x").unwrap_err().ends_with("needs quotes"));
        assert!(of("s:\n\ta: 1").unwrap_err().contains("tabs"), "{:?}", of("s:\n\ta: 1"));
        assert_eq!(of("- a").unwrap_err(), "0: expected `key: value` lines");
        assert!(of("[a]: b").is_err());
        let twice = parse("p: a\nq: b\np: c").unwrap();
        assert_eq!(twice.mistakes[0].offset, 10);
        assert_eq!(twice.mistakes[0].text, "is there twice, first in line 1");
        assert!(of(&"[".repeat(10_000)).is_err());
    }

    #[test]
    fn structures() {
        #[derive(serde::Deserialize)]
        struct Read {
            name: String,
            on: Option<bool>,
            list: Vec<String>,
            none: Option<String>,
        }
        let read: Read = from_str("name: 7\non: true\nlist: [a, 1]\nnone: ~\nother: {}\n").unwrap();
        assert_eq!((&*read.name, read.on, read.list.len(), read.none), ("7", Some(true), 2, None));
        let error =
            |text: &str| from_str::<Read>(text).err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error("name: a\nname: b"), "line 2: name: is there twice, first in line 1");
        assert_eq!(
            error("name: a\nlist: []\non: secret"),
            "invalid type: string \"secret\", expected a boolean"
        );
        assert!(error("name: [").starts_with("line 1: not YAML: "), "{}", error("name: ["));
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_string();
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 8].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        assert!(of(&text).unwrap_err().contains("too many values"));
        assert_eq!(of("a: &a [*a]").as_deref().unwrap_or("refused"), "{a:[\"\"]}");
    }

    #[test]
    fn numbers_that_go_printed_in_another_way() {
        for text in ["0123", "0x1F", "0o17", "1_000", "1.50", "+5", ".5", "00", "12345678901234567890123"] {
            assert!(is_rewritten_number(text), "{text}");
        }
        for text in
            ["0", "5", "-5", "1.5", "18446744073709551615", "abc", "1.2.3.4", "0xyz", "", "-", "2021-01-01"]
        {
            assert!(!is_rewritten_number(text), "{text}");
        }
    }
}
