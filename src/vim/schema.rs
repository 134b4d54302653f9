//! The classes of the vSphere API, their members and what absent members look like.
//!
//! `schema.txt` holds the table as sorted text; its head tells where it comes from and how a line
//! reads. At the start only the begins of its lines are found; a class is read, with its base
//! classes, when an event first needs it. What is kept for each line is small, because of thousands
//! of classes a router meets a few dozen.

use std::fmt::Write;
use std::sync::{LazyLock, OnceLock};

/// What stands in place of a time that is absent but not optional: Go's zero time.
const TIME_ZERO: &str = "\"0001-01-01T00:00:00Z\"";

/// Classes from one to its root; the deepest of the schema has nine.
const LEVELS_MAX: usize = 32;

/// The table of this program.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| Table::new(include_str!("schema.txt")));

/// All classes, sorted by name.
pub(super) struct Table {
    text: &'static str,
    places: Vec<Place>,
    classes: Vec<OnceLock<Box<Class>>>,
}

/// Where the line of a class begins in the text, the bytes of its name and of all of it.
#[derive(Clone, Copy)]
struct Place {
    begin: u32,
    name: u16,
    line: u16,
}

/// One class as the text has it.
#[derive(Clone, Copy)]
struct Line {
    name: &'static str,
    /// The base class and the members.
    rest: &'static str,
}

/// Place of a class in the table.
pub(super) type ClassIndex = u16;

/// One class with the members of its bases.
pub(super) struct Class {
    /// Its name in the schema.
    pub(super) name: String,
    /// First those that the Go router knew, in the order in which it printed them; behind them
    /// what is newer.
    pub(super) members: Vec<Member>,
    /// How many members the Go router knew. The others are printed only when they are present.
    pub(super) always: usize,
    /// The JSON of an object of which nothing is present, without its closing brace; behind it
    /// the keys of the newer members.
    absent: String,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its name in the schema.
    pub(super) name: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
    /// Its element can occur several times.
    pub(super) array: bool,
    /// Its place in `Class::absent`: the separator with the key, then the value.
    begin: u32,
    value: u32,
    end: u32,
}

/// What the value of a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string or the name of an enumeration's value.
    Text,
    Bool,
    /// A whole number of up to 64 bits.
    Integer,
    /// A number of 8 bits that Go prints without sign.
    Byte,
    /// A floating-point number of 32 bits.
    Float,
    /// A floating-point number of 64 bits.
    Double,
    /// A point in time.
    Time,
    /// Base64 text.
    Binary,
    /// A reference to a managed object.
    Reference,
    /// Whatever its `xsi:type` says.
    Any,
    /// An object of this class, or of one derived from it when its `xsi:type` says so.
    Object(ClassIndex),
}

/// The Go field of a schema name: its first letter in upper case.
pub(super) fn go_name(name: &str) -> String {
    let mut name = name.to_owned();
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    name
}

/// Whether two schema names give the same Go field.
pub(super) fn same_go_name(one: &str, other: &str) -> bool {
    match (one.as_bytes(), other.as_bytes()) {
        ([a, one @ ..], [b, other @ ..]) => a.eq_ignore_ascii_case(b) && one == other,
        (one, other) => one == other,
    }
}

impl Table {
    fn new(text: &'static str) -> Table {
        let mut begin = 0;
        let mut places = Vec::new();
        for line in text.lines() {
            if let Some(name) = line.find(':').filter(|_| !line.starts_with('#')) {
                // A test says that it fits.
                places.push(Place { begin: begin as u32, name: name as u16, line: line.len() as u16 });
            }
            begin += line.len() + 1;
        }
        places.shrink_to_fit();
        let classes = places.iter().map(|_| OnceLock::new()).collect();
        Table { text, places, classes }
    }

    fn name(&self, place: Place) -> &'static str {
        &self.text[place.begin as usize..][..usize::from(place.name)]
    }

    /// The line at this place of the table.
    fn line(&self, index: usize) -> Line {
        let place = self.places[index];
        let line = &self.text[place.begin as usize..][..usize::from(place.line)];
        Line { name: self.name(place), rest: &line[usize::from(place.name) + 1..] }
    }

    pub(super) fn find(&self, name: &str) -> Option<ClassIndex> {
        let found = self.places.binary_search_by(|place| self.name(*place).cmp(name));
        found.ok().and_then(|index| ClassIndex::try_from(index).ok())
    }

    /// The class at this place.
    pub(super) fn class(&self, index: ClassIndex) -> &Class {
        let index = usize::from(index);
        self.classes[index].get_or_init(|| Box::new(self.read(self.line(index))))
    }

    /// A class and what it inherits from, itself first; nothing of one that is unknown.
    pub(super) fn lineage(&self, name: &str) -> impl Iterator<Item = &'static str> {
        let line = |name: &str| self.find(name).map(|index| self.line(usize::from(index)));
        std::iter::successors(line(name), move |class| line(class.base()))
            .take(LEVELS_MAX)
            .map(|class| class.name)
    }

    pub(super) fn class_name(&self, index: ClassIndex) -> &'static str {
        self.line(usize::from(index)).name
    }

    /// This class and all that inherit from it.
    pub(super) fn derived(&self, base: &'static str) -> impl Iterator<Item = ClassIndex> {
        let is_one = move |name: &str| self.lineage(name).any(|class| class == base);
        let places = self.places.iter().enumerate();
        places
            .filter(move |(_, place)| is_one(self.name(**place)))
            .filter_map(|(index, _)| index.try_into().ok())
    }

    /// The members of a class and of its bases, without keeping any of it.
    pub(super) fn members(&self, index: ClassIndex) -> impl Iterator<Item = (&'static str, Kind)> {
        let lines = self.lineage(self.class_name(index)).filter_map(|class| self.find(class));
        let words = lines.flat_map(|index| {
            let (known, newer) = self.line(usize::from(index)).members();
            known.split_ascii_whitespace().chain(newer.split_ascii_whitespace())
        });
        words.map(|word| {
            let (name, kind) = word.split_once('=').unwrap_or((word, ""));
            (name, self.read_kind(kind.trim_start_matches('~').trim_end_matches(['*', '?'])))
        })
    }

    /// The class of an array that the schema calls `ArrayOfX`, where X is a class.
    pub(super) fn array_of(&self, element: ClassIndex) -> Class {
        let name = self.line(usize::from(element)).name;
        let mut class = Class::new(format!("ArrayOf{name}"));
        class.add(Member::new(name, Kind::Object(element), true), "null");
        class.always = 1;
        class
    }

    fn read(&self, line: Line) -> Class {
        let mut levels = vec![line];
        // A table that is not closed would only lose members; its test says that it is closed.
        while let Some(index) =
            self.find(levels[levels.len() - 1].base()).filter(|_| levels.len() < LEVELS_MAX)
        {
            levels.push(self.line(usize::from(index)));
        }
        let mut class = Class::new(line.name.to_owned());
        for newer in [false, true] {
            for level in levels.iter().rev() {
                let (known, added) = level.members();
                for word in (if newer { added } else { known }).split_ascii_whitespace() {
                    self.read_member(&mut class, word);
                }
            }
            if !newer {
                class.always = class.members.len();
            }
        }
        class
    }

    fn read_member(&self, class: &mut Class, word: &'static str) {
        let (name, kind) = word.split_once('=').unwrap_or((word, ""));
        let (kind, array) = match kind.strip_suffix('*') {
            Some(kind) => (kind, true),
            None => (kind, false),
        };
        let (kind, optional) = match kind.strip_suffix('?') {
            Some(kind) => (kind, true),
            None => (kind, false),
        };
        let polymorphic = kind.starts_with('~');
        let kind = self.read_kind(kind.trim_start_matches('~'));
        let absent = match kind {
            _ if array || optional || polymorphic => "null".to_owned(),
            Kind::Any | Kind::Binary => "null".to_owned(),
            Kind::Text => "\"\"".to_owned(),
            Kind::Bool => "false".to_owned(),
            Kind::Integer | Kind::Byte | Kind::Float | Kind::Double => "0".to_owned(),
            Kind::Time => TIME_ZERO.to_owned(),
            Kind::Reference => "{\"Type\":\"\",\"Value\":\"\"}".to_owned(),
            Kind::Object(index) => self.class(index).nothing_present(),
        };
        class.add(Member::new(name, kind, array), &absent);
    }

    fn read_kind(&self, kind: &str) -> Kind {
        match kind {
            "" | "e" | "s" => Kind::Text,
            "b" => Kind::Bool,
            "i" => Kind::Integer,
            "y" => Kind::Byte,
            "f" => Kind::Float,
            "d" => Kind::Double,
            "t" => Kind::Time,
            "x" => Kind::Binary,
            "r" => Kind::Reference,
            "a" => Kind::Any,
            class => self.find(class).map_or(Kind::Any, Kind::Object),
        }
    }
}

impl Line {
    fn base(&self) -> &'static str {
        self.rest.split_once(' ').map_or(self.rest, |(base, _)| base)
    }

    /// Members that the Go router knew, and newer ones.
    fn members(&self) -> (&'static str, &'static str) {
        let members = self.rest.split_once(' ').map_or("", |(_, members)| members);
        members.split_once("+ ").unwrap_or((members, ""))
    }
}

impl Class {
    fn new(name: String) -> Class {
        Class { name, members: Vec::new(), always: 0, absent: String::new() }
    }

    /// The class of an object that is known by its structure alone.
    pub(super) fn unknown() -> Class {
        Class::new(String::new())
    }

    fn add(&mut self, member: Member, absent: &str) {
        let begin = self.absent.len() as u32;
        self.absent.push(if begin == 0 { '{' } else { ',' });
        // Writing to a string cannot fail.
        let _ = write!(self.absent, "\"{}\":", go_name(member.name));
        let value = self.absent.len() as u32;
        self.absent.push_str(absent);
        let end = self.absent.len() as u32;
        self.members.push(Member { begin, value, end, ..member });
    }

    /// The place of a member. `near` is where it is probably found: behind the one before.
    pub(super) fn find(&self, name: &str, near: usize) -> Option<usize> {
        let (before, behind) = self.members.split_at(near.min(self.members.len()));
        // Most names differ in their first byte, and a call to compare them costs ten times as much.
        let is_it = |m: &Member| m.name.as_bytes().first() == name.as_bytes().first() && m.name == name;
        if let Some(distance) = behind.iter().position(is_it) {
            return Some(before.len() + distance);
        }
        // A name that is unknown but prints like a known one must not print twice.
        let found = before.iter().position(is_it);
        found.or_else(|| self.members.iter().position(|m| same_go_name(m.name, name)))
    }

    /// The JSON of the members from `from` to before `to` when they are absent.
    pub(super) fn absent(&self, from: usize, to: usize) -> &[u8] {
        match self.members.get(from..to) {
            Some([first, .., last]) => &self.absent.as_bytes()[first.begin as usize..last.end as usize],
            Some([only]) => &self.absent.as_bytes()[only.begin as usize..only.end as usize],
            _ => b"",
        }
    }

    /// Separator and key of a member, such as `,"ChainId":`.
    pub(super) fn key(&self, member: &Member) -> &[u8] {
        &self.absent.as_bytes()[member.begin as usize..member.value as usize]
    }

    fn nothing_present(&self) -> String {
        let known = String::from_utf8_lossy(self.absent(0, self.always));
        format!("{}{known}}}", if known.is_empty() { "{" } else { "" })
    }
}

impl Member {
    fn new(name: &'static str, kind: Kind, array: bool) -> Member {
        Member { name, kind, array, begin: 0, value: 0, end: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> impl Iterator<Item = Line> {
        (0..TABLE.classes.len()).map(|index| TABLE.line(index))
    }

    fn kinds(line: &Line) -> impl Iterator<Item = &'static str> {
        let (known, newer) = line.members();
        let words = known.split_ascii_whitespace().chain(newer.split_ascii_whitespace());
        words.map(|word| word.split_once('=').map_or("", |(_, kind)| kind))
    }

    #[test]
    fn sorted_without_doubles() {
        let names: Vec<&str> = lines().map(|line| line.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b));
        assert!(names.len() < usize::from(ClassIndex::MAX));
    }

    #[test]
    fn closed_under_bases_and_kinds() {
        for line in &lines().collect::<Vec<_>>() {
            let (name, base) = (line.name, line.base());
            assert!(base.is_empty() || TABLE.find(base).is_some(), "{name}");
            for kind in kinds(line) {
                let class = kind.trim_start_matches('~').trim_end_matches(['*', '?']);
                assert!(!kind.ends_with("?*") && !kind.ends_with("*?"), "{name}");
                assert!(class.len() < 2 || TABLE.find(class).is_some(), "{name}");
                assert!("ebiyfdtxras".contains(class) || 1 < class.len(), "{name}");
            }
        }
    }

    #[test]
    fn every_class_reads_and_prints() {
        for index in 0..TABLE.classes.len() {
            let class = TABLE.class(index as ClassIndex);
            let mut names: Vec<&str> = class.members.iter().map(|m| m.name).collect();
            names.sort_unstable();
            assert!(names.is_sorted_by(|a, b| a < b), "{}: a member twice", class.name);
            let json: serde_json::Value = serde_json::from_str(&class.nothing_present()).unwrap();
            assert_eq!(json.as_object().unwrap().len(), class.always, "{}", class.name);
        }
    }

    #[test]
    fn holds_all_events_and_what_they_are_made_of() {
        let is_event = |line: &Line| {
            let mut name = line.name;
            while let Some(index) = TABLE.find(name).filter(|_| name != "Event") {
                name = TABLE.line(usize::from(index)).base();
            }
            name == "Event"
        };
        assert!(440 < lines().filter(is_event).count());
        for name in ["VirtualMachineConfigSpec", "VirtualDiskFlatVer2BackingInfo", "ArrayOfInt"] {
            assert!(TABLE.find(name).is_some(), "{name}");
        }
    }

    #[test]
    fn members_of_bases_come_first_and_newer_ones_last() {
        let class = TABLE.class(TABLE.find("TaskEvent").unwrap());
        assert_eq!(class.members[0].name, "key");
        assert_eq!(class.members[class.always - 1].name, "info");
        let info = TABLE.class(TABLE.find("TaskInfo").unwrap());
        assert!(info.members[info.always..].iter().any(|m| m.name == "progressDetails"));
        assert!(!info.nothing_present().contains("ProgressDetails"));
    }

    #[test]
    fn stays_within_its_budget() {
        let text = include_str!("schema.txt");
        assert!(text.len() < 250_000);
        assert!(text.lines().all(|line| line.len() < usize::from(u16::MAX)));
    }
}
