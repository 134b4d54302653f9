//! Which events a route wants, by name and by pattern. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::names::fits;
use crate::error::Result;
use crate::event::Event;
use crate::pattern::Pattern;

/// Compiled `types` and `pattern` of a route.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    names: HashSet<String>,
    starred: Vec<String>,
    pattern: Option<Arc<Pattern>>,
}

impl Filter {
    /// `names` may hold `*` for any run of characters. An empty list and no pattern want everything.
    pub(crate) fn new(names: &[String], pattern: Option<Arc<Pattern>>) -> Filter {
        let (starred, names): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| name.contains('*'));
        Filter { names: names.into_iter().collect(), starred, pattern }
    }

    /// Whether the event's name (its class, or the eventTypeId of EventEx and ExtendedEvent) fits, and
    /// the event matches the pattern.
    ///
    /// # Errors
    /// When the pattern cannot be judged on this event.
    pub(crate) fn wants(&self, event: &Event) -> Result<bool> {
        match &self.pattern {
            _ if !self.wants_name(event.ce.name()) => Ok(false),
            Some(pattern) => pattern.matches_cloud_event(&event.ce),
            None => Ok(true),
        }
    }

    fn wants_name(&self, name: &str) -> bool {
        self.names.is_empty() && self.starred.is_empty()
            || self.names.contains(name)
            || self.starred.iter().any(|pattern| fits(pattern, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_pattern_must_both_fit() {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let pattern = |text| Some(Arc::new(Pattern::compile(text).unwrap()));
        let on = pattern(r#"{"data":{"Key":[7]}}"#);
        let off = pattern(r#"{"data":{"Key":[8]}}"#);
        let event = crate::testing::event(7, "vm-1");
        for (types, pattern, expected) in [
            (&[][..], &None, true),
            (&["VmPoweredOnEvent", "x"], &None, true),
            (&["x", "y*"], &None, false),
            (&["x", "Vm*"], &on, true),
            (&[], &off, false),
            (&["x"], &on, false),
        ] {
            let filter = Filter::new(&names(types), pattern.clone());
            assert_eq!(filter.wants(&event).unwrap(), expected, "{types:?}");
        }
        let mut broken = event;
        broken.ce.data = b"{".to_vec();
        assert!(Filter::new(&[], on).wants(&broken).is_err());
    }
}
