//! What an event can hold at a path of names, as its JSON prints them: for patterns that ask for something
//! that no event has. Nothing of the table is kept.

use std::collections::BTreeSet;

use super::schema::{ClassIndex, Kind, TABLE, go_name};
use crate::order;

/// Names that a reference to a managed object prints.
const OF_REFERENCE: [&str; 3] = ["Type", "Value", "ServerGUID"];

/// Why no event has a value at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing there has the name at this place of the path; these names it could be.
    Name(usize, Vec<String>),
    /// The path ends at an object; these names stand in it.
    Object(Vec<String>),
    /// There is a plain value at the place before this one of the path.
    Value(usize),
}

/// Why no event of the schema has a value at this path below its `data`; none if some can have one.
pub(crate) fn missing(path: &[&str]) -> Option<Missing> {
    let mut classes: BTreeSet<ClassIndex> = TABLE.derived("Event").collect();
    let mut has_reference = false;
    for (place, name) in path.iter().enumerate() {
        let (mut objects, mut is_value, mut is_reference) = (BTreeSet::new(), false, false);
        let mut found = false;
        for class in &classes {
            for (member, kind) in TABLE.members(*class) {
                if go_name(member) != *name {
                    continue;
                }
                found = true;
                match kind {
                    Kind::Any => return None,
                    Kind::Object(index) => {
                        objects.insert(index);
                    }
                    Kind::Reference => is_reference = true,
                    _ => is_value = true,
                }
            }
        }
        if has_reference && OF_REFERENCE.contains(name) {
            (found, is_value) = (true, true);
        }
        let is_last = place + 1 == path.len();
        if !found {
            return Some(Missing::Name(place, names(&classes, has_reference)));
        }
        if is_last && is_value {
            return None;
        }
        // An object can be of any class that inherits from the one that the schema names.
        classes = objects.iter().flat_map(|index| TABLE.derived(TABLE.class_name(*index))).collect();
        has_reference = is_reference;
        if is_last {
            return Some(Missing::Object(names(&classes, has_reference)));
        }
        if classes.is_empty() && !has_reference {
            return Some(Missing::Value(place + 1));
        }
    }
    Some(Missing::Object(names(&classes, has_reference)))
}

fn names(classes: &BTreeSet<ClassIndex>, has_reference: bool) -> Vec<String> {
    let members = classes.iter().flat_map(|class| TABLE.members(*class)).map(|(name, _)| go_name(name));
    let of_reference = OF_REFERENCE.iter().filter(|_| has_reference).map(|name| (*name).to_string());
    let mut names = members.chain(of_reference).collect();
    order::sort(&mut names);
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Missing> {
        let path: Vec<&str> = path.split('.').filter(|name| !name.is_empty()).collect();
        missing(&path)
    }

    #[test]
    fn what_some_event_can_have_is_no_mistake() {
        for path in [
            "Key",
            "CreatedTime",
            "Vm.Name",
            "Vm.Vm.Value",
            "Host.Host.ServerGUID",
            "ComputeResource.Name",
            "EventTypeId",
            "Arguments.Key",
            "Arguments.Value.anything.below",
            "Template",
            "ConfigSpec.Name",
            "Reason.LocalizedMessage",
            "Reason.Fault.FaultMessage.Key",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn what_no_event_has_is_told_with_what_it_could_be() {
        let Some(Missing::Name(1, names)) = of("Vm.Nmae") else { panic!("{:?}", of("Vm.Nmae")) };
        assert_eq!(names, ["Name", "Vm"]);
        assert!(
            matches!(of("vm.name"), Some(Missing::Name(0, names)) if names.iter().any(|name| name == "Vm"))
        );
        assert!(matches!(of("Vm.Vm.value"), Some(Missing::Name(2, names)) if names.len() == 3));
        assert_eq!(of("Key.Name"), Some(Missing::Value(1)));
        assert_eq!(of("Vm.Name.First"), Some(Missing::Value(2)));
        assert!(matches!(of("Vm"), Some(Missing::Object(names)) if names == ["Name", "Vm"]));
        assert!(matches!(of(""), Some(Missing::Object(names)) if names.len() > 100));
    }
}
