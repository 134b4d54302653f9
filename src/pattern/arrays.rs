//! Array consistency: fields under one array have to be satisfied inside one of its elements.
//!
//! Fields are settled in the order of their paths, as AWS does. That order shows where a field must
//! be absent: it is absent from the elements that the fields before it have settled on.

use super::Pattern;
use super::walk::{Element, Unjudged, Walk};
use crate::limits::PATTERN_STEPS_MAX;

/// Whether every field of `branch` can be satisfied without being in two elements of one array.
pub(super) fn consistent(pattern: &Pattern, walk: &Walk<'_>, branch: &[usize]) -> Result<bool, Unjudged> {
    let mut search =
        Search { pattern, walk, element_of: vec![None; walk.arrays as usize], steps: PATTERN_STEPS_MAX };
    // Fields that share no array do not constrain each other: groups keep the search short.
    for group in groups(walk, branch) {
        if !search.settle(&group)? {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Search<'a> {
    pattern: &'a Pattern,
    walk: &'a Walk<'a>,
    /// The element of each array that is settled on.
    element_of: Vec<Option<u32>>,
    steps: usize,
}

impl Search<'_> {
    /// Tries every value of the first of `leaves` with every way to satisfy the others.
    fn settle(&mut self, leaves: &[usize]) -> Result<bool, Unjudged> {
        let Some((&leaf, rest)) = leaves.split_first() else { return Ok(true) };
        let walk = self.walk;
        if walk.plain_hits.get(leaf) && self.settle(rest)? {
            return Ok(true);
        }
        let mut absent = self.pattern.leaves[leaf].absent && !walk.plain_seen.get(leaf);
        for occurrence in walk.occurrences.iter().filter(|occurrence| occurrence.leaf == leaf) {
            self.steps = self.steps.checked_sub(1).ok_or(Unjudged::TooComplex)?;
            let chain = walk.chain_of(occurrence);
            if !self.agrees(chain) {
                continue;
            }
            absent = false;
            if !occurrence.matched {
                continue;
            }
            let fresh: Vec<Element> =
                chain.iter().copied().filter(|element| self.at(element).is_none()).collect();
            fresh.iter().for_each(|element| *self.at(element) = Some(element.index));
            let found = self.settle(rest)?;
            fresh.iter().for_each(|element| *self.at(element) = None);
            if found {
                return Ok(true);
            }
        }
        if absent { self.settle(rest) } else { Ok(false) }
    }

    fn agrees(&mut self, chain: &[Element]) -> bool {
        chain.iter().all(|element| self.at(element).is_none_or(|settled| settled == element.index))
    }

    fn at(&mut self, element: &Element) -> &mut Option<u32> {
        &mut self.element_of[element.array as usize]
    }
}

/// The fields of `branch`, those together that have values in the same array; order is kept.
fn groups(walk: &Walk<'_>, branch: &[usize]) -> Vec<Vec<usize>> {
    let mut group_of_array: Vec<Option<usize>> = vec![None; walk.arrays as usize];
    let mut group_of_leaf: Vec<usize> = (0..branch.len()).collect();
    for occurrence in &walk.occurrences {
        let Some(place) = branch.iter().position(|&leaf| leaf == occurrence.leaf) else { continue };
        for element in walk.chain_of(occurrence) {
            let own = group_of_leaf[place];
            match group_of_array[element.array as usize] {
                None => group_of_array[element.array as usize] = Some(own),
                Some(other) if other != own => {
                    let joined = |group: &mut usize| *group = if *group == own { other } else { *group };
                    group_of_leaf.iter_mut().for_each(joined);
                    group_of_array.iter_mut().flatten().for_each(joined);
                }
                Some(_) => {}
            }
        }
    }
    let mut groups = vec![Vec::new(); branch.len()];
    for (&leaf, &group) in branch.iter().zip(&group_of_leaf) {
        groups[group].push(leaf);
    }
    groups
}
