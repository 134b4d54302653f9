//! One pass over an event: visits the members that the pattern names, tests their values, and
//! steps over all others.

use super::scan::{Malformed, Scalar, Scan};
use super::{Bits, Part, Pattern};
use crate::limits::PATTERN_DEPTH_MAX;

/// Why an event could not be judged.
#[derive(Debug)]
pub(super) enum Unjudged {
    /// It is not JSON.
    Malformed(Malformed),
    /// It is JSON, but no object.
    NotAnObject,
    /// It nests too deep.
    TooDeep,
    /// Arrays and fields combine in too many ways.
    TooComplex,
}

impl From<Malformed> for Unjudged {
    fn from(malformed: Malformed) -> Unjudged {
        Unjudged::Malformed(malformed)
    }
}

/// An element of an array: which array of the event, and which of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) array: u32,
    pub(super) index: u32,
}

/// A value of a field somewhere inside the elements of arrays.
#[derive(Clone, Copy, Debug)]
pub(super) struct Occurrence {
    pub(super) leaf: usize,
    /// Whether it is one of the field's alternatives.
    pub(super) matched: bool,
    /// Its range of `Walk::elements`.
    begin: usize,
    end: usize,
}

/// What one pass over an event found.
pub(super) struct Walk<'p> {
    pattern: &'p Pattern,
    /// Fields of which some value is one of the alternatives.
    pub(super) hits: Bits,
    /// Fields of which there is some value.
    pub(super) seen: Bits,
    /// `hits`, of values that are in no element of an array.
    pub(super) plain_hits: Bits,
    /// `seen`, of values that are in no element of an array.
    pub(super) plain_seen: Bits,
    /// Values inside elements of arrays.
    pub(super) occurrences: Vec<Occurrence>,
    /// How many arrays there were.
    pub(super) arrays: u32,
    /// The elements that the values of `occurrences` are in, outer before inner.
    elements: Vec<Element>,
    /// The elements that the pass is in.
    chain: Vec<Element>,
    depth: usize,
    /// The answer is yes, whatever follows.
    pub(super) decided: bool,
}

impl<'p> Walk<'p> {
    pub(super) fn new(pattern: &'p Pattern) -> Walk<'p> {
        Walk {
            pattern,
            hits: Bits::default(),
            seen: Bits::default(),
            plain_hits: Bits::default(),
            plain_seen: Bits::default(),
            occurrences: Vec::new(),
            arrays: 0,
            elements: Vec::new(),
            chain: Vec::new(),
            depth: 0,
            decided: false,
        }
    }

    /// The elements that a value is in, outer before inner.
    pub(super) fn chain_of(&self, occurrence: &Occurrence) -> &[Element] {
        &self.elements[occurrence.begin..occurrence.end]
    }

    /// Visits an event that is an object of JSON.
    pub(super) fn event(&mut self, json: &[u8]) -> Result<(), Unjudged> {
        let mut scan = Scan::new(json);
        match scan.peek() {
            b'{' => self.object(&mut scan, 0),
            0 => Err(scan.malformed().into()),
            _ => Err(Unjudged::NotAnObject),
        }
    }

    /// Visits an object that is given in parts.
    pub(super) fn members(&mut self, members: &[(&str, Part<'_>)], node: usize) -> Result<(), Unjudged> {
        for (name, part) in members {
            let Some(node) = self.pattern.descend(node, name.as_bytes()) else { continue };
            match part {
                Part::Text(text) => self.scalar(node, Scalar::Text(text.as_bytes())),
                Part::Json(json) => self.value(&mut Scan::new(json), node)?,
                Part::Members(members) => self.nested(|walk| walk.members(members, node))?,
            }
            if self.decided {
                break;
            }
        }
        Ok(())
    }

    fn nested(&mut self, visit: impl FnOnce(&mut Self) -> Result<(), Unjudged>) -> Result<(), Unjudged> {
        if self.depth == PATTERN_DEPTH_MAX {
            return Err(Unjudged::TooDeep);
        }
        self.depth += 1;
        let result = visit(self);
        self.depth -= 1;
        result
    }

    fn value(&mut self, scan: &mut Scan<'_>, node: usize) -> Result<(), Unjudged> {
        match scan.peek() {
            b'{' if self.pattern.nodes[node].children.is_empty() => Ok(scan.skip_value()?),
            b'{' => self.nested(|walk| walk.object(scan, node)),
            b'[' => self.nested(|walk| walk.array(scan, node)),
            _ => Ok(scan.scalar(|scalar| self.scalar(node, scalar))?),
        }
    }

    fn object(&mut self, scan: &mut Scan<'_>, node: usize) -> Result<(), Unjudged> {
        scan.expect(b'{')?;
        let mut first = true;
        while !self.decided && scan.another(&mut first, b'}')? {
            let raw = scan.string()?;
            let name = raw.decode().ok_or_else(|| scan.malformed())?;
            scan.expect(b':')?;
            match self.pattern.descend(node, &name) {
                Some(node) => self.value(scan, node)?,
                None => scan.skip_value()?,
            }
        }
        Ok(())
    }

    fn array(&mut self, scan: &mut Scan<'_>, node: usize) -> Result<(), Unjudged> {
        let array = self.arrays;
        self.arrays += 1;
        scan.expect(b'[')?;
        let (mut first, mut index) = (true, 0);
        while !self.decided && scan.another(&mut first, b']')? {
            // Scalars of an array are values of the field like any other: only objects and arrays
            // hold together what is in them.
            let holds = matches!(scan.peek(), b'{' | b'[');
            if holds {
                self.chain.push(Element { array, index });
            }
            self.value(scan, node)?;
            if holds {
                self.chain.pop();
            }
            index += 1;
        }
        Ok(())
    }

    #[inline]
    fn scalar(&mut self, node: usize, scalar: Scalar<'_>) {
        let pattern = self.pattern;
        for &leaf in &pattern.nodes[node].leaves {
            let matched = pattern.leaves[leaf].alternatives.matches(scalar);
            self.seen.set(leaf);
            if matched {
                self.hits.set(leaf);
            }
            if !self.chain.is_empty() {
                if matched || pattern.leaves[leaf].absent {
                    self.remember(leaf, matched);
                }
                continue;
            }
            self.plain_seen.set(leaf);
            if matched {
                self.plain_hits.set(leaf);
                self.decided = pattern.masks.iter().any(|mask| self.plain_hits.contains(mask));
            }
        }
    }

    fn remember(&mut self, leaf: usize, matched: bool) {
        // All scalars of one array are in the same elements: one is enough.
        if let Some(last) = self.occurrences.last()
            && (last.leaf, last.matched) == (leaf, matched)
            && *self.chain_of(last) == *self.chain
        {
            return;
        }
        let begin = self.elements.len();
        self.elements.extend_from_slice(&self.chain);
        self.occurrences.push(Occurrence { leaf, matched, begin, end: self.elements.len() });
    }
}
