//! Which events a route wants, by name. Pure.

use crate::event::Event;

/// Compiled `types` of a route.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    names: Vec<String>,
}

impl Filter {
    /// `names` may hold `*` for any run of characters; an empty list wants everything.
    pub(crate) fn new(names: &[String]) -> Filter {
        Filter { names: names.to_vec() }
    }

    /// Whether the event's name (its class, or the eventTypeId of EventEx and ExtendedEvent) fits.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        let name = event.ce.name();
        self.names.is_empty() || self.names.iter().any(|pattern| fits(pattern, name))
    }
}

// The parts between the stars must follow each other; the first and the last are fixed.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let Some((middle, last)) = rest.rsplit_once('*') else { return name.ends_with(rest) };
    for part in middle.split('*') {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_stars() {
        let table = [
            ("VmPoweredOnEvent", "VmPoweredOnEvent", true),
            ("VmPoweredOnEvent", "VmPoweredOnEvent2", false),
            ("Vm*", "VmPoweredOnEvent", true),
            ("Vm*", "HostVmEvent", false),
            ("*Event", "VmPoweredOnEvent", true),
            ("Vm*Event", "VmEvent", true),
            ("Vm*mEvent", "VmEvent", false),
            ("com.vmware.vc.*", "com.vmware.vc.ha.VmRestarted", true),
            ("com.*.ha.*ed", "com.vmware.vc.ha.VmRestarted", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "ac", false),
            ("a**c", "ac", true),
            ("*", "", true),
            ("*ü*", "für", true),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(fits(pattern, name), expected, "{pattern} on {name}");
        }
    }
}
