//! The text of a pattern to its fields and the ways in which they combine.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::leaf::{Alternatives, Leaf, Number, Range, TextTest};
use super::number::comparable;
use super::scan::{Malformed, Scalar, Scan};
use super::text::{Block, Folded, Wildcard, address};
use crate::error::{Context, Error, Result};
use crate::limits::{PATTERN_BRANCHES_MAX, PATTERN_DEPTH_MAX, PATTERN_FIELDS_MAX};
use crate::order;

/// The fields of a pattern, and its branches: an event matches if all fields of one branch do.
/// Without `$or` there is one branch with all fields.
pub(super) struct Compiled {
    pub(super) leaves: Vec<Leaf>,
    pub(super) branches: Vec<Vec<usize>>,
}

/// Compiles the text of a pattern. What follows its object is not read, as by AWS.
///
/// # Errors
/// The place in the pattern and what is wrong there.
pub(super) fn compile(text: &str) -> Result<Compiled> {
    // The compiler below relies on well-formed text, and serde_json says best what is wrong.
    IgnoredAny::deserialize(&mut serde_json::Deserializer::from_str(text)).context(|| "not JSON")?;
    let mut compiler = Compiler::new(text, true);
    let error = match compiler.run() {
        Ok(compiled) => return Ok(compiled),
        Err(error) => error,
    };
    // A `$or` that is no list of at least two objects of fields is the name of an ordinary field: AWS
    // then falls back to its older compiler.
    if compiler.or_seen
        && let Ok(compiled) = Compiler::new(text, false).run()
    {
        return Ok(compiled);
    }
    Err(error)
}

/// Names that, as members inside a `$or`, make that an ordinary field: the operators, and those
/// that AWS keeps for the future.
const RESERVED: [&str; 24] = [
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
    "=",
    "<",
    "<=",
    ">",
    ">=",
    "regex",
    "not-wildcard",
    "not-equals-ignore-case",
    "date-after",
    "date-on-or-after",
    "date-before",
    "date-on-or-before",
    "in-date-range",
    "ip-address-in-range",
    "ip-address-not-in-range",
];

struct Compiler<'a> {
    scan: Scan<'a>,
    /// Whether `$or` has its meaning; if not, later forms of `anything-but` have none either.
    or: bool,
    or_seen: bool,
    /// Where the compiler is: member names joined by dots.
    path: String,
    depth: usize,
    leaves: Vec<Leaf>,
}

impl<'a> Compiler<'a> {
    fn new(text: &'a str, or: bool) -> Compiler<'a> {
        let scan = Scan::new(text.as_bytes());
        Compiler { scan, or, or_seen: false, path: String::new(), depth: 0, leaves: Vec::new() }
    }

    fn run(&mut self) -> Result<Compiled> {
        let mut branches = Vec::new();
        self.object(&mut branches, false)?;
        let leaves = std::mem::take(&mut self.leaves);
        for branch in &mut branches {
            order::sort_by(branch, |&a: &usize, &b: &usize| {
                leaves[a].path.cmp(&leaves[b].path).then(a.cmp(&b))
            });
        }
        Ok(Compiled { leaves, branches })
    }

    /// An object of fields, every one of which joins all `branches`.
    fn object(&mut self, branches: &mut Vec<Vec<usize>>, inside_or: bool) -> Result<()> {
        if !self.scan.take(b'{') {
            return Err(self.refuse("a pattern is an object of fields"));
        }
        if self.scan.peek() == b'}' {
            return Err(self.refuse("an object without fields"));
        }
        self.depth += 1;
        if PATTERN_DEPTH_MAX < self.depth {
            return Err(Error::new(format!("more than {PATTERN_DEPTH_MAX} objects inside each other")));
        }
        let mut first = true;
        while self.scan.another(&mut first, b'}').map_err(syntax)? {
            let name = name(&mut self.scan)?;
            if self.or && name == "$or" {
                self.or_seen = true;
                self.any_of(branches)?;
                continue;
            }
            let length = self.path.len();
            if 0 < length {
                self.path.push('.');
            }
            self.path.push_str(&name);
            if inside_or && RESERVED.contains(&&*name) {
                return Err(self.refuse("the name of an operator cannot be a field inside $or"));
            }
            match self.scan.peek() {
                b'{' => self.object(branches, inside_or)?,
                b'[' => self.field(branches)?,
                _ => {
                    return Err(self.refuse("neither a list of alternatives, [\"like this\"], nor an object"));
                }
            }
            self.path.truncate(length);
        }
        self.depth -= 1;
        Ok(())
    }

    /// `$or`: every one of `branches` becomes as many as there are objects in the list.
    fn any_of(&mut self, branches: &mut Vec<Vec<usize>>) -> Result<()> {
        let mut before = std::mem::take(branches);
        if before.is_empty() {
            before.push(Vec::new());
        }
        if !self.scan.take(b'[') {
            return Err(self.refuse("$or needs a list of objects"));
        }
        let (mut objects, mut first) = (0, true);
        while self.scan.another(&mut first, b']').map_err(syntax)? {
            if self.scan.peek() != b'{' {
                return Err(self.refuse("$or needs a list of objects"));
            }
            let mut forked = before.clone();
            self.object(&mut forked, true)?;
            branches.append(&mut forked);
            objects += 1;
            if PATTERN_BRANCHES_MAX < branches.len() {
                return Err(self.refuse(&format!("$or makes more than {PATTERN_BRANCHES_MAX} combinations")));
            }
        }
        if objects < 2 { Err(self.refuse("$or needs at least two objects")) } else { Ok(()) }
    }

    /// A list of alternatives.
    fn field(&mut self, branches: &mut Vec<Vec<usize>>) -> Result<()> {
        self.scan.expect(b'[').map_err(syntax)?;
        if self.scan.peek() == b']' {
            return Err(self.refuse("a list without alternatives"));
        }
        let mut leaf =
            Leaf { path: (*self.path).into(), alternatives: Alternatives::default(), absent: false };
        let (mut index, mut first) = (0, true);
        while self.scan.another(&mut first, b']').map_err(syntax)? {
            alternative(&mut self.scan, &mut leaf, Forms { later: self.or, empty: 0 < index })
                .map_err(|reason| Error::new(format!("{}[{index}]: {reason}", self.path)))?;
            index += 1;
        }
        let id = self.leaves.len();
        if id == PATTERN_FIELDS_MAX {
            return Err(self.refuse(&format!("more than {PATTERN_FIELDS_MAX} fields")));
        }
        if branches.is_empty() {
            branches.push(Vec::new());
        }
        for branch in branches {
            if branch.iter().any(|&other| self.leaves[other].path == leaf.path) {
                return Err(self.refuse("the same field a second time"));
            }
            branch.push(id);
        }
        self.leaves.push(leaf);
        Ok(())
    }

    fn refuse(&self, reason: &str) -> Error {
        let place = if self.path.is_empty() { "top level" } else { &self.path };
        Error::new(format!("{place}: {reason}"))
    }
}

/// Why an alternative is refused; the caller knows the place.
type Reason = String;

/// What `anything-but` may be where an alternative stands.
#[derive(Clone, Copy)]
struct Forms {
    /// Its forms that the older compiler of AWS does not know: `wildcard`, lists of `prefix` and `suffix`.
    later: bool,
    /// An operator with an empty list: AWS refuses it as the first alternative, and takes it for none
    /// elsewhere.
    empty: bool,
}

/// One element of a list of alternatives.
fn alternative(scan: &mut Scan<'_>, leaf: &mut Leaf, forms: Forms) -> Result<(), Reason> {
    match scan.peek() {
        b'{' => operator(scan, leaf, forms),
        b'[' => Err("a list inside the list of alternatives".to_string()),
        _ => {
            let into = &mut leaf.alternatives;
            match literal(scan)? {
                Literal::Text(text) => match address(text.as_bytes()) {
                    Some(address) => into.addresses.push(address),
                    None => {
                        into.texts.insert(text.into_bytes().into());
                    }
                },
                Literal::Number(number) => into.numbers.push(number),
                Literal::Word(index) => into.literals[index] = true,
            }
            Ok(())
        }
    }
}

/// `{"operator": operand}`.
fn operator(scan: &mut Scan<'_>, leaf: &mut Leaf, forms: Forms) -> Result<(), Reason> {
    let into = &mut leaf.alternatives;
    let name = open_operator(scan)?;
    match &*name {
        "exactly" => {
            into.texts.insert(text(scan, &name)?.into_bytes().into());
        }
        "prefix" | "suffix" if scan.peek() == b'{' => {
            let inner = open_operator(scan)?;
            if inner != "equals-ignore-case" {
                return Err(format!(
                    "{name} takes a string or {{\"equals-ignore-case\": string}}, not {inner}"
                ));
            }
            let operand = text(scan, &inner)?;
            into.tests
                .extend(unquoted(&name, &operand).map(|whole| TextTest::EqualsFolded(Folded::new(whole))));
            let folded = Folded::new(&operand);
            into.tests.push(match &*name {
                "prefix" => TextTest::PrefixFolded(folded),
                _ => TextTest::SuffixFolded(folded),
            });
            close_operator(scan)?;
        }
        "prefix" | "suffix" | "equals-ignore-case" | "wildcard" => {
            let operand = text(scan, &name)?;
            add_text_test(into, &name, &operand)?;
        }
        "numeric" => into.ranges.push(numeric(scan)?),
        "cidr" => {
            let block = text(scan, &name)?;
            into.blocks.push(Block::parse(&block).map_err(|reason| format!("cidr {block:?}: {reason}"))?);
        }
        "exists" => match literal(scan)? {
            Literal::Word(TRUE) => into.any = true,
            Literal::Word(FALSE) => leaf.absent = true,
            _ => return Err("exists takes true or false".to_string()),
        },
        "anything-but" => into.buts.extend(anything_but(scan, forms)?),
        _ => return Err(format!("unknown operator {name:?}; known are {OPERATORS}")),
    }
    close_operator(scan)
}

const OPERATORS: &str = "prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, cidr, exists";

/// The whole text that a `prefix` means that ends with a quote, or a `suffix` that begins with one: AWS
/// takes the quotes around a value for a part of it.
fn unquoted<'t>(operator: &str, operand: &'t str) -> Option<&'t str> {
    match operator {
        "prefix" => operand.strip_suffix('"'),
        "suffix" => operand.strip_prefix('"'),
        _ => None,
    }
}

fn add_text_test(into: &mut Alternatives, operator: &str, operand: &str) -> Result<(), Reason> {
    into.texts.extend(unquoted(operator, operand).map(|whole| whole.as_bytes().into()));
    into.tests.push(match operator {
        "prefix" => TextTest::Prefix(operand.as_bytes().into()),
        "suffix" => TextTest::Suffix(operand.as_bytes().into()),
        "equals-ignore-case" => TextTest::EqualsFolded(Folded::new(operand)),
        _ => TextTest::Wildcard(
            Wildcard::parse(operand).map_err(|reason| format!("wildcard {operand:?}: {reason}"))?,
        ),
    });
    Ok(())
}

/// The operand of `anything-but`: what a value must not be; none if it says nothing.
fn anything_but(scan: &mut Scan<'_>, forms: Forms) -> Result<Option<Alternatives>, Reason> {
    let mut refused = Alternatives::default();
    if scan.peek() != b'{' {
        for operand in one_or_more(scan)? {
            match operand {
                Literal::Text(text) => {
                    refused.texts.insert(text.into_bytes().into());
                }
                Literal::Number(number) if number.value.is_some() => refused.numbers.push(number),
                Literal::Number(number) => return Err(not_comparable(&number)),
                Literal::Word(_) => return Err("anything-but takes strings or numbers only".to_string()),
            }
        }
        return match (refused.texts.is_empty(), refused.numbers.is_empty()) {
            (true, true) => Err("anything-but needs at least one value".to_string()),
            (false, false) => Err("anything-but takes strings or numbers, not both".to_string()),
            _ => Ok(Some(refused)),
        };
    }
    let name = open_operator(scan)?;
    if !matches!(&*name, "prefix" | "suffix" | "equals-ignore-case" | "wildcard") {
        return Err(format!(
            "anything-but takes prefix, suffix, equals-ignore-case or wildcard, not {name:?}"
        ));
    }
    if !forms.later && (name == "wildcard" || name != "equals-ignore-case" && scan.peek() == b'[') {
        return Err(format!("{name} of anything-but has no such form beside a field that is called $or"));
    }
    for operand in one_or_more(scan)? {
        let Literal::Text(operand) = operand else {
            return Err(format!("{name} of anything-but takes strings only"));
        };
        if operand.is_empty() && matches!(&*name, "prefix" | "suffix") {
            return Err(format!("{name} of anything-but cannot be empty"));
        }
        add_text_test(&mut refused, &name, &operand)?;
    }
    close_operator(scan)?;
    match refused.tests.is_empty() {
        true if forms.empty => Ok(None),
        true => Err(format!("{name} of anything-but needs at least one value")),
        false => Ok(Some(refused)),
    }
}

/// `["=", n]`, `[">", n]`, `[">", n, "<=", m]` and the like.
fn numeric(scan: &mut Scan<'_>) -> Result<Range, Reason> {
    if !scan.take(b'[') {
        return Err("numeric takes a list such as [\">\", 0, \"<=\", 5]".to_string());
    }
    let mut first = true;
    let mut parts = Vec::new();
    while scan.another(&mut first, b']').map_err(syntax_text)? {
        parts.push(literal(scan)?);
    }
    let mut terms = Vec::new();
    for pair in parts.chunks(2) {
        match pair {
            [Literal::Text(operator), Literal::Number(number)] => {
                terms.push((&**operator, number.value.ok_or_else(|| not_comparable(number))?));
            }
            _ => return Err("numeric takes operators and numbers in turn".to_string()),
        }
    }
    let bottom = |operator: &str, bound| Some((bound, operator == ">"));
    let top = |operator: &str, bound| Some((bound, operator == "<"));
    match terms[..] {
        [("=", value)] => Ok(Range { bottom: Some((value, false)), top: Some((value, false)) }),
        [(op @ (">" | ">="), low)] => Ok(Range { bottom: bottom(op, low), top: None }),
        [(op @ ("<" | "<="), high)] => Ok(Range { bottom: None, top: top(op, high) }),
        [(low_op @ (">" | ">="), low), (high_op @ ("<" | "<="), high)] if low < high => {
            Ok(Range { bottom: bottom(low_op, low), top: top(high_op, high) })
        }
        [(">" | ">=", _), ("<" | "<=", _)] => {
            Err("the lower bound of numeric is not below the upper one".to_string())
        }
        _ => Err("numeric takes one of = < <= > >=, or a lower bound and then an upper one".to_string()),
    }
}

/// A scalar of a pattern.
enum Literal {
    Text(String),
    Number(Number),
    /// `TRUE`, `FALSE` or `NULL`.
    Word(usize),
}

const TRUE: usize = 0;
const FALSE: usize = 1;
const NULL: usize = 2;

fn literal(scan: &mut Scan<'_>) -> Result<Literal, Reason> {
    if matches!(scan.peek(), b'{' | b'[') {
        return Err("an object or a list where a plain value is needed".to_string());
    }
    scan.scalar(|scalar| match scalar {
        Scalar::Text(text) => Literal::Text(String::from_utf8_lossy(text).into_owned()),
        Scalar::Number(text) => Literal::Number(Number { text: text.into(), value: comparable(text) }),
        Scalar::True => Literal::Word(TRUE),
        Scalar::False => Literal::Word(FALSE),
        Scalar::Null => Literal::Word(NULL),
    })
    .map_err(syntax_text)
}

fn one_or_more(scan: &mut Scan<'_>) -> Result<Vec<Literal>, Reason> {
    if !scan.take(b'[') {
        return Ok(vec![literal(scan)?]);
    }
    let (mut first, mut found) = (true, Vec::new());
    while scan.another(&mut first, b']').map_err(syntax_text)? {
        found.push(literal(scan)?);
    }
    Ok(found)
}

fn text(scan: &mut Scan<'_>, operator: &str) -> Result<String, Reason> {
    match literal(scan)? {
        Literal::Text(text) => Ok(text),
        _ => Err(format!("{operator} takes a string")),
    }
}

fn open_operator(scan: &mut Scan<'_>) -> Result<String, Reason> {
    scan.expect(b'{').map_err(syntax_text)?;
    if scan.peek() == b'}' {
        return Err("an object without operator".to_string());
    }
    name(scan).map_err(|error| error.to_string())
}

fn close_operator(scan: &mut Scan<'_>) -> Result<(), Reason> {
    if scan.take(b'}') { Ok(()) } else { Err("more than one operator in one object".to_string()) }
}

/// The name of a member and the colon behind it.
fn name(scan: &mut Scan<'_>) -> Result<String> {
    let raw = scan.string().map_err(syntax)?;
    let name = raw.decode().ok_or_else(|| syntax(scan.malformed()))?;
    scan.expect(b':').map_err(syntax)?;
    Ok(String::from_utf8_lossy(&name).into_owned())
}

fn not_comparable(number: &Number) -> Reason {
    format!("{} has more digits than can be compared", String::from_utf8_lossy(&number.text))
}

fn syntax(malformed: Malformed) -> Error {
    Error::new(syntax_text(malformed))
}

fn syntax_text(malformed: Malformed) -> String {
    format!("not JSON at byte {}", malformed.at)
}
