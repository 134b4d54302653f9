//! Event patterns: the filter language of AWS EventBridge, in full and without AWS.
//!
//! A pattern is compiled once ([`Pattern::compile`]) and then asked about events. It is judged in one
//! pass over the event's JSON, without a copy: members that the pattern does not name are stepped
//! over, and memory is taken only where named fields stand inside arrays of objects.
//!
//! The language is that of AWS's own engine, event-ruler 2.0.1, which is the oracle of the tests
//! (`tests/pattern.rs`). The differences that are known, each of them tested:
//!
//! | Pattern or event | event-ruler | here | because |
//! | --- | --- | --- | --- |
//! | `cidr` and an address of the other family, or a number | compares hexadecimal digits | no match | neither is in the block |
//! | `equals-ignore-case` with characters beyond U+FFFF, or beside a `wildcard` | misses some values, takes some wrong ones | as described | defects of its byte machine |
//! | `$or` of objects with the same fields and a common alternative | the later object is forgotten | any object | defect of its rule table |
//! | members of one name in one object of an event | values of one hide those of the other, in arrays | all count | JSON leaves it open |
//! | numbers such as `2e23` | what its Java can print back exactly | what a 64-bit float holds | defect of older Java |

use serde::de::IgnoredAny;

use crate::error::{Context, Error, Result};
use crate::limits::PATTERN_FIELDS_MAX;
use crate::order;
use leaf::Leaf;
use walk::{Unjudged, Walk};

pub(crate) use event::cloud_event;

mod arrays;
mod compile;
mod event;
mod leaf;
mod number;
pub(crate) mod scan;
mod text;
mod walk;

/// A compiled event pattern.
#[derive(Debug)]
pub struct Pattern {
    text: Box<str>,
    /// Names of members, from the top of an event (the first node) downwards.
    nodes: Vec<Node>,
    leaves: Vec<Leaf>,
    /// Ways to match: the fields of each, ordered by path.
    branches: Vec<Vec<usize>>,
    /// The same as sets.
    masks: Vec<Bits>,
    /// Fields that may be absent.
    absent: Bits,
}

/// A place in an event that the pattern names.
#[derive(Debug, Default)]
struct Node {
    /// The places below, ordered by name.
    children: Vec<(Box<[u8]>, usize)>,
    /// What the pattern says about values here.
    leaves: Vec<usize>,
}

/// A member's value where an event is given in parts.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A string, without escapes.
    Text(&'a str),
    /// Any JSON value.
    Json(&'a [u8]),
    /// An object in parts.
    Members(&'a [(&'a str, Part<'a>)]),
}

impl Pattern {
    /// Compiles the JSON text of an event pattern.
    ///
    /// # Errors
    /// The place in the pattern (names joined by dots, and the index in the list) and the reason.
    pub fn compile(json_text: &str) -> Result<Pattern> {
        serde_json::from_str::<IgnoredAny>(json_text).context(|| "event pattern: not JSON")?;
        Pattern::of_rule(json_text)
    }

    /// Compiles what AWS holds as the pattern of a rule: as [`Pattern::compile`], but text that follows
    /// the pattern, which AWS does not read either, is no mistake.
    ///
    /// # Errors
    /// As [`Pattern::compile`].
    pub fn of_rule(json_text: &str) -> Result<Pattern> {
        let compiled = compile::compile(json_text).map_err(|error| error.context("event pattern"))?;
        let mut pattern = Pattern {
            text: json_text.into(),
            nodes: vec![Node::default()],
            leaves: compiled.leaves,
            branches: compiled.branches,
            masks: Vec::new(),
            absent: Bits::default(),
        };
        for id in 0..pattern.leaves.len() {
            pattern.place(id);
        }
        pattern.masks = pattern.branches.iter().map(|branch| Bits::of(branch)).collect();
        Ok(pattern)
    }

    /// What it was compiled from.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The names of members at the top of an event that it looks at.
    pub(crate) fn top_names(&self) -> impl Iterator<Item = &str> {
        self.nodes[0].children.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok())
    }

    /// The places in an event that it asks about: names joined by dots, each once.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let mut paths: Vec<&str> = self.leaves.iter().map(|leaf| leaf.path.as_ref()).collect();
        order::sort(&mut paths);
        paths.dedup();
        paths.into_iter()
    }

    /// Whether the event, a JSON object, matches.
    ///
    /// # Errors
    /// When the event is no JSON object as far as it was read, nests too deep, or its arrays combine
    /// with the pattern in too many ways: nothing is known about it then.
    pub fn matches(&self, event_json: &[u8]) -> Result<bool> {
        self.judge(|walk| walk.event(event_json))
    }

    /// Whether an event that is given in parts matches: as [`Pattern::matches`], but nobody has to
    /// put its JSON together.
    ///
    /// # Errors
    /// As [`Pattern::matches`].
    pub fn matches_members(&self, members: &[(&str, Part<'_>)]) -> Result<bool> {
        self.judge(|walk| walk.members(members, 0))
    }

    fn judge(&self, visit: impl FnOnce(&mut Walk<'_>) -> Result<(), Unjudged>) -> Result<bool> {
        let mut walk = Walk::new(self);
        visit(&mut walk).and_then(|()| self.verdict(&walk)).map_err(|unjudged| {
            Error::new(match unjudged {
                Unjudged::Malformed(malformed) => format!("event is not JSON at byte {}", malformed.at),
                Unjudged::NotAnObject => "event is not a JSON object".to_string(),
                Unjudged::TooDeep => "event nests too deep".to_string(),
                Unjudged::TooComplex => "event has too many array elements for this pattern".to_string(),
            })
            .context("match event pattern")
        })
    }

    fn verdict(&self, walk: &Walk<'_>) -> Result<bool, Unjudged> {
        if walk.decided {
            return Ok(true);
        }
        for (branch, mask) in self.branches.iter().zip(&self.masks) {
            let holds = if walk.occurrences.is_empty() {
                walk.hits.or(&self.absent.without(&walk.seen)).contains(mask)
            } else {
                walk.hits.or(&self.absent).contains(mask) && arrays::consistent(self, walk, branch)?
            };
            if holds {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The place below `node` that a member called `name` leads to. A dot in a name separates like a
    /// step into an object.
    #[inline]
    fn descend(&self, node: usize, name: &[u8]) -> Option<usize> {
        let child = |node: usize, name: &[u8]| {
            let children = &self.nodes[node].children;
            children.binary_search_by(|(child, _)| (**child).cmp(name)).ok().map(|at| children[at].1)
        };
        match child(node, name) {
            None if name.contains(&b'.') => name.split(|&byte| byte == b'.').try_fold(node, child),
            found => found,
        }
    }

    /// Makes the nodes that lead to a leaf.
    fn place(&mut self, leaf: usize) {
        if self.leaves[leaf].absent {
            self.absent.set(leaf);
        }
        let path = self.leaves[leaf].path.clone();
        let mut node = 0;
        for step in path.as_bytes().split(|&byte| byte == b'.') {
            let fresh = self.nodes.len();
            let children = &mut self.nodes[node].children;
            node = match children.binary_search_by(|(child, _)| (**child).cmp(step)) {
                Ok(at) => children[at].1,
                Err(at) => {
                    children.insert(at, (step.into(), fresh));
                    self.nodes.push(Node::default());
                    fresh
                }
            };
        }
        self.nodes[node].leaves.push(leaf);
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bits([u64; PATTERN_FIELDS_MAX / 64]);

impl Bits {
    fn of(fields: &[usize]) -> Bits {
        let mut bits = Bits::default();
        fields.iter().for_each(|&field| bits.set(field));
        bits
    }

    fn set(&mut self, field: usize) {
        self.0[field / 64] |= 1 << (field % 64);
    }

    fn get(&self, field: usize) -> bool {
        self.0[field / 64] >> (field % 64) & 1 == 1
    }

    fn contains(&self, other: &Bits) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own & other == *other)
    }

    fn or(&self, other: &Bits) -> Bits {
        Bits(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    fn without(&self, other: &Bits) -> Bits {
        Bits(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }
}

#[cfg(test)]
mod tests;
