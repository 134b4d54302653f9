//! What a pattern says about one field: a list of alternatives, of which one has to hold.

use core::net::IpAddr;
use std::collections::HashSet;

use super::number::comparable;
use super::scan::Scalar;
use super::text::{Block, Folded, Wildcard, address};

/// One field of a pattern.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Names of the members that lead to it, joined by dots.
    pub(super) path: Box<str>,
    /// What a value may be.
    pub(super) alternatives: Alternatives,
    /// `{"exists": false}` is one of the alternatives.
    pub(super) absent: bool,
}

/// What a value may be.
#[derive(Debug, Default)]
pub(super) struct Alternatives {
    /// Anything: `{"exists": true}`.
    pub(super) any: bool,
    /// `true`, `false`, `null`.
    pub(super) literals: [bool; 3],
    /// One of these texts.
    pub(super) texts: HashSet<Box<[u8]>>,
    /// One of these numbers.
    pub(super) numbers: Vec<Number>,
    /// A number within bounds.
    pub(super) ranges: Vec<Range>,
    /// One of these addresses, however it is written.
    pub(super) addresses: Vec<IpAddr>,
    /// An address in a block.
    pub(super) blocks: Vec<Block>,
    /// A text that satisfies a test.
    pub(super) tests: Vec<TextTest>,
    /// Any value that is none of these.
    pub(super) buts: Vec<Alternatives>,
}

/// A number of a pattern.
#[derive(Debug)]
pub(super) struct Number {
    /// As it is written.
    pub(super) text: Box<[u8]>,
    /// Its value, if it is comparable.
    pub(super) value: Option<f64>,
}

/// Bounds of a number; each with whether the bound itself is outside.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    /// Not below this.
    pub(super) bottom: Option<(f64, bool)>,
    /// Not above this.
    pub(super) top: Option<(f64, bool)>,
}

#[derive(Debug)]
pub(super) enum TextTest {
    /// It begins so.
    Prefix(Box<[u8]>),
    /// It ends so.
    Suffix(Box<[u8]>),
    /// It begins so in any letter case.
    PrefixFolded(Folded),
    /// It ends so in any letter case.
    SuffixFolded(Folded),
    /// It is this in any letter case.
    EqualsFolded(Folded),
    /// It is described by this.
    Wildcard(Wildcard),
}

impl Alternatives {
    /// Whether `value` is one of them.
    pub(super) fn matches(&self, value: Scalar<'_>) -> bool {
        self.any
            || match value {
                Scalar::Text(text) => self.matches_text(text),
                Scalar::Number(text) => self.matches_number(text),
                Scalar::True => self.literals[0],
                Scalar::False => self.literals[1],
                Scalar::Null => self.literals[2],
            }
            || self.buts.iter().any(|but| !but.matches(value))
    }

    fn matches_text(&self, text: &[u8]) -> bool {
        self.texts.contains(text)
            || self.tests.iter().any(|test| test.matches(text))
            || !(self.addresses.is_empty() && self.blocks.is_empty())
                && address(text).is_some_and(|address| {
                    self.addresses.contains(&address)
                        || self.blocks.iter().any(|block| block.contains(address))
                })
    }

    fn matches_number(&self, text: &[u8]) -> bool {
        if self.numbers.is_empty() && self.ranges.is_empty() {
            return false;
        }
        match comparable(text) {
            Some(value) => {
                self.numbers.iter().any(|number| number.value == Some(value))
                    || self.ranges.iter().any(|range| range.contains(value))
            }
            None => self.numbers.iter().any(|number| *number.text == *text),
        }
    }
}

impl Range {
    fn contains(self, value: f64) -> bool {
        let above = self.bottom.is_none_or(|(bound, open)| bound < value || !open && bound == value);
        let below = self.top.is_none_or(|(bound, open)| value < bound || !open && bound == value);
        above && below
    }
}

impl TextTest {
    fn matches(&self, text: &[u8]) -> bool {
        match self {
            TextTest::Prefix(begin) => text.starts_with(begin),
            TextTest::Suffix(end) => text.ends_with(end),
            TextTest::PrefixFolded(begin) => begin.starts(text),
            TextTest::SuffixFolded(end) => end.ends(text),
            TextTest::EqualsFolded(whole) => whole.equals(text),
            TextTest::Wildcard(wildcard) => wildcard.matches(text),
        }
    }
}
