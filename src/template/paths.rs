//! JSON paths in dot notation, looked up together in one pass over an event. Pure.
//!
//! `$.data.Vm.Name`, `$.data.Arguments[0].Value`, `$.data.Arguments[*].Key`: names, an index, all
//! elements. Brackets with quotes, filters, slices and `..` are not part of the language, as in the input
//! transformer of AWS EventBridge.

use super::Found;
use crate::error::{Error, Result};
use crate::limits::TEMPLATE_PATH_STEPS_MAX;
use crate::pattern::Part;
use crate::pattern::scan::{Malformed, Scan};

/// Places in an event, each with the number under which it is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paths {
    /// What leads from the top of an event (the first node) downwards.
    nodes: Vec<Node>,
    count: usize,
    /// Some path goes through all elements of an array, so that no value is the last one.
    has_all: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Members, ordered by name.
    members: Vec<(Box<[u8]>, usize)>,
    elements: Vec<(usize, usize)>,
    /// What follows each element.
    every: Option<usize>,
    /// The numbers of the paths that end here.
    ends: Vec<usize>,
    /// A path that ends here goes through all elements of an array.
    gathers: bool,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
    Every,
}

impl Paths {
    /// Adds a path; its number is that of the paths before it.
    ///
    /// # Errors
    /// Why the text is no path.
    pub(super) fn add(&mut self, text: &str) -> Result<usize> {
        let steps = steps(text).map_err(|reason| Error::new(format!("{text:?} is no path: {reason}")))?;
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let gathers = steps.contains(&Step::Every);
        let mut node = 0;
        for step in steps {
            node = self.child(node, step);
        }
        self.nodes[node].ends.push(self.count);
        self.nodes[node].gathers |= gathers;
        self.has_all |= gathers;
        self.count += 1;
        Ok(self.count - 1)
    }

    fn child(&mut self, node: usize, step: Step) -> usize {
        let fresh = self.nodes.len();
        let parent = &mut self.nodes[node];
        let child = match step {
            Step::Member(name) => {
                let found = parent.members.binary_search_by(|(other, _)| (**other).cmp(name.as_bytes()));
                match found {
                    Ok(at) => parent.members[at].1,
                    Err(at) => {
                        parent.members.insert(at, (name.into_bytes().into(), fresh));
                        fresh
                    }
                }
            }
            Step::Element(index) => match parent.elements.iter().find(|(other, _)| *other == index) {
                Some((_, child)) => *child,
                None => {
                    parent.elements.push((index, fresh));
                    fresh
                }
            },
            Step::Every => *parent.every.get_or_insert(fresh),
        };
        if child == fresh {
            self.nodes.push(Node::default());
        }
        child
    }

    /// What stands at each path, by number. The first of several members with one name counts.
    ///
    /// # Errors
    /// Where the event is not JSON, as far as it was read.
    pub(super) fn find<'a>(&self, members: &[(&'a str, Part<'a>)]) -> Result<Vec<Found<'a>>, Malformed> {
        let mut search = Search { paths: self, left: self.count, found: Vec::new() };
        search.found.resize_with(self.count, || Found::Missing);
        if self.count == 0 {
            return Ok(search.found);
        }
        for (name, part) in members {
            let Some(node) = search.member(0, name.as_bytes()) else { continue };
            match part {
                Part::Text(text) => search.set(node, Found::Text(text)),
                Part::Json(json) => search.value(&mut Scan::new(json), node)?,
                // An event is given in attributes and data.
                Part::Members(_) => {}
            }
            if search.is_done() {
                break;
            }
        }
        Ok(search.found)
    }

    /// The same where the root is a JSON value.
    ///
    /// # Errors
    /// Where it is not JSON, as far as it was read.
    pub(super) fn find_in<'a>(&self, json: &'a [u8]) -> Result<Vec<Found<'a>>, Malformed> {
        let mut search = Search { paths: self, left: self.count, found: Vec::new() };
        search.found.resize_with(self.count, || Found::Missing);
        search.value(&mut Scan::new(json), 0)?;
        Ok(search.found)
    }
}

struct Search<'p, 'a> {
    paths: &'p Paths,
    /// Paths of which nothing was found yet.
    left: usize,
    found: Vec<Found<'a>>,
}

impl<'a> Search<'_, 'a> {
    fn member(&self, node: usize, name: &[u8]) -> Option<usize> {
        let members = &self.paths.nodes[node].members;
        // A handful at most: in their order they are found faster than by halves.
        members.iter().find(|(other, _)| **other == *name).map(|(_, child)| *child)
    }

    fn is_done(&self) -> bool {
        self.left == 0 && !self.paths.has_all
    }

    fn set(&mut self, node: usize, value: Found<'a>) {
        let node = &self.paths.nodes[node];
        for &end in &node.ends {
            match (&mut self.found[end], &value) {
                (found @ Found::Missing, Found::Json(json)) if node.gathers => {
                    *found = Found::Many(vec![json]);
                    self.left -= 1;
                }
                (found @ Found::Missing, value) => {
                    *found = value.clone();
                    self.left -= 1;
                }
                (Found::Many(all), Found::Json(json)) => all.push(json),
                _ => {}
            }
        }
    }

    fn value(&mut self, scan: &mut Scan<'a>, node: usize) -> Result<(), Malformed> {
        let first = scan.peek();
        let begin = scan.at();
        let paths = self.paths;
        let place = &paths.nodes[node];
        match first {
            b'{' if !place.members.is_empty() => self.object(scan, node)?,
            b'[' if place.every.is_some() || !place.elements.is_empty() => self.array(scan, node)?,
            _ => scan.skip_value()?,
        }
        if !place.ends.is_empty() {
            self.set(node, Found::Json(scan.since(begin)));
        }
        Ok(())
    }

    // Stops early only where no path ends above: that one would still be missing.
    fn object(&mut self, scan: &mut Scan<'a>, node: usize) -> Result<(), Malformed> {
        scan.expect(b'{')?;
        let mut first = true;
        while !self.is_done() && scan.another(&mut first, b'}')? {
            let raw = scan.string()?;
            let name = raw.decode().ok_or_else(|| scan.malformed())?;
            scan.expect(b':')?;
            match self.member(node, &name) {
                Some(child) => self.value(scan, child)?,
                None => scan.skip_value()?,
            }
        }
        Ok(())
    }

    fn array(&mut self, scan: &mut Scan<'a>, node: usize) -> Result<(), Malformed> {
        scan.expect(b'[')?;
        let paths = self.paths;
        let place = &paths.nodes[node];
        let (mut first, mut index) = (true, 0);
        while !self.is_done() && scan.another(&mut first, b']')? {
            let element = place.elements.iter().find(|(wanted, _)| *wanted == index).map(|(_, child)| *child);
            match (element, place.every) {
                (Some(child), Some(every)) => {
                    scan.peek();
                    let again = scan.at();
                    self.value(scan, child)?;
                    scan.back_to(again);
                    self.value(scan, every)?;
                }
                (Some(child), None) | (None, Some(child)) => self.value(scan, child)?,
                (None, None) => scan.skip_value()?,
            }
            index += 1;
        }
        Ok(())
    }
}

/// The steps of a path.
fn steps(text: &str) -> Result<Vec<Step>, String> {
    let rest = text.strip_prefix('$').ok_or("it begins with $, the event")?;
    let mut steps = Vec::new();
    let mut rest = rest;
    while !rest.is_empty() {
        let step = if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']').ok_or("a [ without its ]")?;
            rest = after;
            match inside {
                "*" => Step::Every,
                digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                    Step::Element(digits.parse().map_err(|_| format!("{digits} is no index"))?)
                }
                _ => return Err(format!("[{inside}] is neither an index nor [*]; names follow a dot")),
            }
        } else if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            rest = after;
            match name {
                "*" => Step::Every,
                "" => return Err("a dot without a name; `..` is not known".to_string()),
                name if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) => {
                    Step::Member(name.to_string())
                }
                name => return Err(format!("{name:?} is no name: letters, digits, `-` and `_`")),
            }
        } else {
            return Err("after $ a dot or a bracket follows".to_string());
        };
        steps.push(step);
        if TEMPLATE_PATH_STEPS_MAX < steps.len() {
            return Err(format!("it has more than {TEMPLATE_PATH_STEPS_MAX} steps"));
        }
    }
    if let [] | [Step::Element(_) | Step::Every, ..] = &steps[..] {
        return Err("it names no member, such as $.subject or $.data.Vm.Name".to_string());
    }
    Ok(steps)
}
