//! Random patterns and events. A pattern is made for the event it meets, so that many of them match
//! or miss by little; some patterns are broken on purpose.

use std::fmt::{self, Write};

use crate::support::random::Random;

/// Every operator of the language, as it stands in a pattern.
pub const OPERATORS: [&str; 11] = [
    "\"prefix\"",
    "\"suffix\"",
    "\"equals-ignore-case\"",
    "\"wildcard\"",
    "\"anything-but\"",
    "\"numeric\"",
    "\"cidr\"",
    "\"exists\":true",
    "\"exists\":false",
    "\"$or\"",
    "null",
];

/// JSON text in the making; members may repeat, numbers are as written.
#[derive(Clone)]
enum Json {
    Text(String),
    Raw(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Text(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
            Json::Raw(raw) => f.write_str(raw),
            Json::Array(elements) => {
                f.write_char('[')?;
                for (index, element) in elements.iter().enumerate() {
                    write!(f, "{}{element}", if index == 0 { "" } else { "," })?;
                }
                f.write_char(']')
            }
            Json::Object(members) => {
                f.write_char('{')?;
                for (index, (name, value)) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{value}", serde_json::Value::from(name.as_str()))?;
                }
                f.write_char('}')
            }
        }
    }
}

fn text(text: &str) -> Json {
    Json::Text(text.to_string())
}

fn raw(raw: &str) -> Json {
    Json::Raw(raw.to_string())
}

fn one(name: &str, value: Json) -> Json {
    Json::Object(vec![(name.to_string(), value)])
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "detail", "a.b"];
const TEXTS: [&str; 29] = [
    "",
    "a",
    "b",
    "ab",
    "abc",
    "ABC",
    "aBcabc",
    "xaby",
    "VmPoweredOnEvent",
    "VmPoweredOffEvent",
    "web-01",
    "WEB-02",
    "é",
    "É",
    "straße",
    "STRASSE",
    "ŉ",
    "Ω",
    "a*b",
    "*",
    "a\\b",
    "\\",
    "1",
    "true",
    "null",
    "日本",
    "\"",
    "ab\"",
    "\"ab",
];
const NUMBERS: [&str; 22] = [
    "0",
    "-0",
    "0.0",
    "1",
    "1.0",
    "10e-1",
    "2",
    "3.5",
    "-1",
    "-1.5",
    "100",
    "1e2",
    "1E+2",
    "0.1",
    "5000000000",
    "123456789012",
    "123456789012345678",
    "12345678901234567890",
    "1e400",
    "300",
    "299.99",
    "3.00e2",
];
const V4: [&str; 8] = [
    "10.0.0.1",
    "10.0.0.77",
    "10.0.1.0",
    "192.168.255.255",
    "010.0.0.1",
    "255.255.255.255",
    "0.0.0.0",
    "172.16.3.9",
];
const V6: [&str; 7] = [
    "::1",
    "0:0:0:0:0:0:0:1",
    "2001:db8::1",
    "2001:DB8:0:0::0001",
    "fe80::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "::",
];

/// The names that lead to a scalar of an event, and the scalar.
type Field = (Vec<String>, Json);

/// What one pair is made of.
struct Maker<'r> {
    random: &'r mut Random,
    /// Addresses of one family, or none; then there are numbers. A `cidr` that meets a number or an
    /// address of the other family is one of the known differences.
    addresses: &'static [&'static str],
}

/// A pattern and an event.
pub fn pair(random: &mut Random) -> (String, String) {
    let addresses: &'static [&'static str] = match random.below(4) {
        0 => &V4,
        1 => &V6,
        _ => &[],
    };
    let mut maker = Maker { random, addresses };
    let event = maker.object(3);
    let mut fields = Vec::new();
    collect(&event, &mut Vec::new(), &mut fields);
    let mut pattern = maker.pattern(&fields, "", &mut Vec::new(), 2);
    if maker.chance(12) {
        maker.break_one(&mut pattern);
    }
    (pattern.to_string(), event.to_string())
}

/// All scalars of an event with the names that lead to them.
fn collect(value: &Json, path: &mut Vec<String>, fields: &mut Vec<Field>) {
    match value {
        Json::Array(elements) => elements.iter().for_each(|element| collect(element, path, fields)),
        Json::Object(members) => {
            for (name, value) in members {
                path.push(name.clone());
                collect(value, path, fields);
                path.pop();
            }
        }
        scalar => fields.push((path.clone(), scalar.clone())),
    }
}

impl Maker<'_> {
    fn chance(&mut self, percent: usize) -> bool {
        self.random.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.below(choices.len())]
    }

    fn object(&mut self, depth: usize) -> Json {
        let mut members: Vec<(String, Json)> = Vec::new();
        for _ in 0..self.random.below(4) + usize::from(depth == 3) {
            // Two members of one name, or of one path, are one of the known differences.
            let name = self.pick(&NAMES);
            if !members.iter().any(|(other, _)| other.split('.').next() == name.split('.').next()) {
                let value = self.value(depth);
                members.push((name.to_string(), value));
            }
        }
        Json::Object(members)
    }

    fn value(&mut self, depth: usize) -> Json {
        match self.random.below(10) {
            0..3 if 0 < depth => self.object(depth - 1),
            3..6 if 0 < depth => {
                let objects = self.chance(70);
                let elements = (0..self.random.below(4))
                    .map(|_| if objects { self.object(depth - 1) } else { self.value(depth - 1) })
                    .collect();
                Json::Array(elements)
            }
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Json {
        match self.random.below(10) {
            0..5 => text(self.pick(&TEXTS)),
            5..8 if self.addresses.is_empty() => raw(self.pick(&NUMBERS)),
            5..8 => text(self.pick(self.addresses)),
            _ => raw(self.pick(&["true", "false", "null"])),
        }
    }

    /// An object of fields, of which most are fields of the event. `used` are the paths that the
    /// pattern names already; a path that is named twice makes it invalid.
    fn pattern(&mut self, fields: &[Field], above: &str, used: &mut Vec<String>, or_depth: usize) -> Json {
        let mut members = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let (mut path, value) = if fields.is_empty() || self.chance(15) {
                (self.path(), self.scalar())
            } else {
                fields[self.random.below(fields.len())].clone()
            };
            let whole = |path: &[String]| format!("{above}{}", path.join("."));
            if used.contains(&whole(&path)) && self.chance(99) {
                path = self.path();
            }
            let whole = whole(&path);
            if used.contains(&whole) && !members.is_empty() {
                continue;
            }
            used.push(whole);
            let leaf = self.leaf(&value);
            put(&mut members, &path, leaf);
        }
        if 0 < or_depth && self.chance(30) {
            self.or(&mut members, fields, above, used, or_depth - 1);
        }
        Json::Object(members)
    }

    fn path(&mut self) -> Vec<String> {
        (0..1 + self.random.below(3)).map(|_| self.pick(&NAMES).to_string()).collect()
    }

    /// `$or` at the top, or below a name of the event.
    fn or(
        &mut self,
        members: &mut Vec<(String, Json)>,
        fields: &[Field],
        above: &str,
        used: &mut [String],
        or_depth: usize,
    ) {
        let name = fields.iter().find(|(path, _)| 1 < path.len() && self.random.below(2) == 0);
        let name = name.map(|(path, _)| path[0].clone());
        let (inner, above): (Vec<Field>, String) = match &name {
            None => (fields.to_vec(), above.to_string()),
            Some(name) => {
                let below = fields.iter().filter(|(path, _)| 1 < path.len() && path[0] == *name);
                let inner = below.map(|(path, value)| (path[1..].to_vec(), value.clone()));
                (inner.collect(), format!("{above}{name}."))
            }
        };
        let choices = (0..2 + self.random.below(2))
            .map(|_| self.pattern(&inner, &above, &mut used.to_vec(), or_depth))
            .collect();
        let or = ("$or".to_string(), Json::Array(choices));
        match name {
            None => members.insert(self.random.below(members.len() + 1), or),
            Some(name) => members.push((name, Json::Object(vec![or]))),
        }
    }

    /// Alternatives, of which one may hold for `value`.
    fn leaf(&mut self, value: &Json) -> Json {
        let mut alternatives = vec![self.alternative(value)];
        while self.chance(25) {
            let other = if self.chance(50) { self.scalar() } else { value.clone() };
            let at = self.random.below(alternatives.len() + 1);
            let alternative = self.alternative(&other);
            alternatives.insert(at, alternative);
        }
        Json::Array(alternatives)
    }

    fn alternative(&mut self, value: &Json) -> Json {
        let value = if self.chance(25) { self.scalar() } else { value.clone() };
        match self.random.below(10) {
            0 => one("exists", raw(self.pick(&["true", "false", "false"]))),
            1 => self.anything_but(&value),
            2..8 => match &value {
                Json::Text(content) if self.addresses.contains(&&**content) && self.chance(60) => {
                    let block = self.block(content);
                    one("cidr", text(&block))
                }
                Json::Text(content) => self.text_operator(content),
                Json::Raw(number) if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                    self.numeric(number)
                }
                _ => value,
            },
            8 if self.chance(20) => match value {
                Json::Text(_) => one("exactly", value),
                _ => value,
            },
            _ => value,
        }
    }

    fn text_operator(&mut self, content: &str) -> Json {
        match self.random.below(6) {
            0 => one("prefix", text(&self.part(content, true))),
            1 => one("suffix", text(&self.part(content, false))),
            2 => one("equals-ignore-case", text(&self.other_case(content))),
            3 => {
                let part = self.part(content, true);
                one("prefix", one("equals-ignore-case", text(&self.other_case(&part))))
            }
            4 => {
                let part = self.part(content, false);
                one("suffix", one("equals-ignore-case", text(&self.other_case(&part))))
            }
            _ => one("wildcard", text(&self.wildcard(content))),
        }
    }

    fn anything_but(&mut self, value: &Json) -> Json {
        let others = [value.clone(), self.scalar(), self.scalar()];
        let mut list: Vec<Json> = others[..1 + self.random.below(3)].to_vec();
        if let Json::Text(_) = value {
            // Most lists of one kind: a mixed one is refused.
            if self.chance(97) {
                list.retain(|other| matches!(other, Json::Text(_)));
            }
        } else if self.chance(97) {
            list.retain(
                |other| matches!(other, Json::Raw(raw) if raw.contains(|c: char| c.is_ascii_digit())),
            );
        }
        if let (Json::Text(content), true) = (value, self.chance(60)) {
            let operator = self.pick(&["prefix", "suffix", "equals-ignore-case", "wildcard"]);
            let mut operands = vec![self.operand(operator, content)];
            while self.chance(30) {
                let other = self.pick(&TEXTS);
                operands.push(self.operand(operator, other));
            }
            return one("anything-but", one(operator, self.single_or_list(operands)));
        }
        one("anything-but", self.single_or_list(list))
    }

    fn operand(&mut self, operator: &str, content: &str) -> Json {
        let operand = match operator {
            "prefix" | "suffix" => self.part(content, operator == "prefix"),
            "wildcard" => self.wildcard(content),
            _ => self.other_case(content),
        };
        text(&operand)
    }

    fn single_or_list(&mut self, mut list: Vec<Json>) -> Json {
        match list.pop() {
            Some(only) if list.is_empty() && self.chance(50) => only,
            Some(last) => {
                list.push(last);
                Json::Array(list)
            }
            None => text("a"),
        }
    }

    fn numeric(&mut self, number: &str) -> Json {
        if self.chance(30) {
            return raw(self.pick(&NUMBERS));
        }
        let other = raw(self.pick(&NUMBERS));
        let list = match self.random.below(4) {
            0 => vec![text("="), raw(number)],
            1 => vec![text(self.pick(&["<", "<=", ">", ">="])), raw(number)],
            2 => vec![text(self.pick(&[">", ">="])), raw(number), text(self.pick(&["<", "<="])), other],
            _ => vec![text(self.pick(&[">", ">="])), other, text(self.pick(&["<", "<="])), raw(number)],
        };
        one("numeric", Json::Array(list))
    }

    fn block(&mut self, content: &str) -> String {
        let base = if self.chance(80) { content } else { self.pick(self.addresses) };
        let bits = if base.contains(':') { self.random.below(129) } else { self.random.below(33) };
        if self.chance(5) { base.to_string() } else { format!("{base}/{bits}") }
    }

    /// The begin or the end of a text.
    fn part(&mut self, content: &str, begin: bool) -> String {
        let cuts: Vec<usize> = content.char_indices().map(|(at, _)| at).chain([content.len()]).collect();
        let cut = self.pick(&cuts);
        if begin { content[..cut].to_string() } else { content[cut..].to_string() }
    }

    fn other_case(&mut self, content: &str) -> String {
        let mut out = String::new();
        for c in content.chars() {
            match self.random.below(3) {
                0 => out.extend(c.to_lowercase()),
                1 => out.extend(c.to_uppercase()),
                _ => out.push(c),
            }
        }
        out
    }

    /// The text with runs of it replaced by stars.
    fn wildcard(&mut self, content: &str) -> String {
        let mut out = String::new();
        for c in content.chars() {
            match c {
                _ if self.chance(25) => out.push('*'),
                '*' | '\\' if !self.chance(2) => out.extend(['\\', c]),
                _ => out.push(c),
            }
            if self.chance(15) {
                out.push('*');
            }
        }
        if self.chance(95) {
            while out.contains("**") && !out.contains("\\**") {
                out = out.replace("**", "*");
            }
        }
        out
    }

    /// Replaces one value somewhere in the pattern by something that may not stand there.
    fn break_one(&mut self, json: &mut Json) {
        let descend = self.chance(80);
        match json {
            Json::Object(members) if descend && !members.is_empty() => {
                let at = self.random.below(members.len());
                self.break_one(&mut members[at].1);
            }
            Json::Array(elements) if descend && !elements.is_empty() => {
                let at = self.random.below(elements.len());
                self.break_one(&mut elements[at]);
            }
            _ => {
                let old = std::mem::replace(json, raw("0"));
                *json = match self.random.below(9) {
                    0 => self.scalar(),
                    1 => Json::Array(Vec::new()),
                    2 => Json::Object(Vec::new()),
                    3 => Json::Array(vec![old]),
                    4 => one(self.pick(&["prefix", "anything-but", "numeric", "x", "regex"]), old),
                    5 => one("$or", old),
                    6 => Json::Array(vec![self.scalar(), self.scalar()]),
                    7 => match old {
                        Json::Object(mut members) => {
                            members.push(("exists".to_string(), raw("true")));
                            Json::Object(members)
                        }
                        other => Json::Array(vec![other.clone(), other]),
                    },
                    _ => match old {
                        Json::Object(mut members) => {
                            members.iter_mut().for_each(|(name, _)| name.push('x'));
                            Json::Object(members)
                        }
                        _ => text(""),
                    },
                };
            }
        }
    }
}

/// Puts a leaf where `path` leads. A member that is something else is repeated.
fn put(members: &mut Vec<(String, Json)>, path: &[String], leaf: Json) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        members.push((name.clone(), leaf));
        return;
    }
    let existing = members.iter_mut().find_map(|(other, value)| match value {
        Json::Object(inner) if other == name => Some(inner),
        _ => None,
    });
    match existing {
        Some(inner) => put(inner, rest, leaf),
        None => {
            let mut inner = Vec::new();
            put(&mut inner, rest, leaf);
            members.push((name.clone(), Json::Object(inner)));
        }
    }
}
