//! Successes and failures by name, with an end to the number of names: others decide what names
//! there are.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use crate::limits::NAMES_COUNTED_MAX;
use crate::order;

/// Stands for the names beyond the limit. Neither an event nor a function is called this.
const OTHERS: &str = "(others)";

/// What became of the attempts of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Attempts that succeeded.
    pub(crate) delivered: u64,
    /// Attempts that failed.
    pub(crate) failed: u64,
}

/// Counters by name. Names beyond the limit are counted together.
#[derive(Debug)]
pub(crate) struct Outcomes {
    names_max: usize,
    names: Mutex<HashMap<Box<str>, Outcome>>,
}

impl Outcomes {
    /// No attempts so far, and at most so many names.
    pub(crate) fn new(names_max: usize) -> Outcomes {
        Outcomes { names_max, names: Mutex::default() }
    }

    /// One attempt more.
    pub(crate) fn add(&self, name: &str, delivered: bool) {
        let mut names = self.lock();
        let count = |outcome: &mut Outcome| {
            outcome.delivered += u64::from(delivered);
            outcome.failed += u64::from(!delivered);
        };
        if let Some(outcome) = names.get_mut(name) {
            return count(outcome);
        }
        let name = if names.len() < self.names_max { name } else { OTHERS };
        count(names.entry(name.into()).or_default());
    }

    /// All counters, by name.
    pub(crate) fn list(&self) -> Vec<(String, Outcome)> {
        let names = self.lock();
        let mut list: Vec<_> =
            names.iter().map(|(name, outcome)| (name.to_string(), outcome.clone())).collect();
        order::sort_by(&mut list, |a, b| a.0.cmp(&b.0));
        list
    }

    // Poisoned or not: these are plain numbers, nothing can be half done.
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Outcome>> {
        crate::sync::lock(&self.names)
    }
}

/// Counters of the names of events.
impl Default for Outcomes {
    fn default() -> Outcomes {
        Outcomes::new(NAMES_COUNTED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_nothing_is_uncounted() {
        let outcomes = Outcomes::new(100);
        for n in 0..110 {
            outcomes.add(&format!("f{n}.fn"), true);
            outcomes.add(&format!("f{n}.fn"), false);
        }
        let list = outcomes.list();
        assert_eq!(list.len(), 101);
        assert_eq!(list[0], (OTHERS.to_string(), Outcome { delivered: 10, failed: 10 }));
        assert!(list[1..].iter().all(|(_, outcome)| (outcome.delivered, outcome.failed) == (1, 1)));
    }
}
