//! How often each function was invoked, and with what result: for the metrics, so with an end to the
//! number of names.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use super::topics::Target;
use crate::limits::TARGETS_COUNTED_MAX;
use crate::processor::TargetCount;

/// Counters of functions. Those beyond the limit are counted together.
#[derive(Debug, Default)]
pub struct Counts {
    functions: Mutex<HashMap<Target, Pair>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    delivered: u64,
    failed: u64,
}

/// Stands for the functions beyond the limit. No function has this name: it is no route.
const OTHERS: &str = "(others)";

impl Counts {
    /// One invocation more.
    pub fn add(&self, target: &Target, delivered: bool) {
        let mut functions = self.lock();
        let is_new = !functions.contains_key(target);
        let name =
            if is_new && TARGETS_COUNTED_MAX <= functions.len() { OTHERS.into() } else { target.clone() };
        let pair = functions.entry(name).or_default();
        if delivered {
            pair.delivered += 1;
        } else {
            pair.failed += 1;
        }
    }

    /// All counters, by name.
    pub fn list(&self) -> Vec<TargetCount> {
        let mut list: Vec<TargetCount> = self
            .lock()
            .iter()
            .map(|(target, pair)| TargetCount {
                target: target.to_string(),
                delivered: pair.delivered,
                failed: pair.failed,
            })
            .collect();
        list.sort_unstable_by(|a, b| a.target.cmp(&b.target));
        list
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Pair>> {
        self.functions.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_and_nothing_is_uncounted() {
        let counts = Counts::default();
        for n in 0..TARGETS_COUNTED_MAX + 10 {
            let target: Target = format!("f{n}.fn").into();
            counts.add(&target, true);
            counts.add(&target, false);
        }
        let list = counts.list();
        assert_eq!(list.len(), TARGETS_COUNTED_MAX + 1);
        assert_eq!(list[0], TargetCount { target: OTHERS.into(), delivered: 10, failed: 10 });
        assert!(list[1..].iter().all(|count| (count.delivered, count.failed) == (1, 1)));
    }
}
