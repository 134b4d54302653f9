//! Paths of patterns that no event of vCenter has: a pattern with such a field matches nothing, and nobody
//! would notice. Pure.

use crate::config::nearest::nearest;
use crate::vim::paths::{Missing, missing as missing_below_data};

/// What a CloudEvent has beside `data`, in one shape or the other.
const ATTRIBUTES: [&str; 9] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "vsphereapiversion",
    "eventclass",
];
/// Names that a message lists.
const NAMES_LISTED_MAX: usize = 8;

/// Why no event has a value at this path of a pattern; none if some event may have one.
pub(crate) fn missing(path: &str) -> Option<String> {
    let names: Vec<&str> = path.split('.').collect();
    let (first, below) = names.split_first()?;
    match (*first, below) {
        ("data", below) => inside(below),
        (attribute, []) if ATTRIBUTES.contains(&attribute) => None,
        (attribute, _) if ATTRIBUTES.contains(&attribute) => {
            Some(format!("`{path}`: the attribute {attribute} is text, nothing stands below it"))
        }
        (other, _) => {
            let hint = if missing_below_data(&names).is_none() {
                format!(", did you mean `data.{path}`?")
            } else if let Some(near) = nearest(other, ATTRIBUTES.into_iter().chain(["data"])) {
                format!(", did you mean `{near}`?")
            } else {
                String::new()
            };
            Some(format!(
                "`{path}`: no event has the attribute {other}; members of the event stand below `data`{hint}"
            ))
        }
    }
}

fn inside(below: &[&str]) -> Option<String> {
    let path = |names: &[&str]| ["data"].iter().chain(names).copied().collect::<Vec<_>>().join(".");
    let whole = path(below);
    Some(match missing_below_data(below)? {
        Missing::Name(place, known) => {
            let parent = path(&below[..place]);
            let near = nearest(below[place], known.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!(", did you mean `{parent}.{near}`?"),
                None => format!("; {} holds {}", parent, list(&known)),
            };
            format!("`{whole}`: no event of vCenter has `{}`{hint}", path(&below[..=place]))
        }
        Missing::Value(place) => {
            format!("`{whole}`: `{}` is a plain value, nothing stands below it", path(&below[..place]))
        }
        Missing::Object(known) => format!("`{whole}` is an object and no value: it holds {}", list(&known)),
    })
}

fn list(names: &[String]) -> String {
    let more = if NAMES_LISTED_MAX < names.len() { ", ..." } else { "" };
    names.iter().take(NAMES_LISTED_MAX).cloned().collect::<Vec<_>>().join(", ") + more
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_no_event_has_are_told_with_what_is_meant() {
        for path in
            ["type", "subject", "data.Vm.Name", "data.Vm.Vm.Value", "data.Arguments.Value.x", "data.Key"]
        {
            assert_eq!(missing(path), None, "{path}");
        }
        for (path, said) in [
            (
                "data.Vm.Nmae",
                "`data.Vm.Nmae`: no event of vCenter has `data.Vm.Nmae`, did you mean `data.Vm.Name`?",
            ),
            ("data.vm.name", "`data.vm.name`: no event of vCenter has `data.vm`, did you mean `data.Vm`?"),
            ("data.Vm.Name.x", "`data.Vm.Name.x`: `data.Vm.Name` is a plain value, nothing stands below it"),
            ("data.Vm", "`data.Vm` is an object and no value: it holds Name, Vm"),
            (
                "data.Vm.Qqqqqqqqqq",
                "`data.Vm.Qqqqqqqqqq`: no event of vCenter has `data.Vm.Qqqqqqqqqq`; data.Vm holds Name, Vm",
            ),
            (
                "Vm.Name",
                "`Vm.Name`: no event has the attribute Vm; members of the event stand below `data`, did you mean `data.Vm.Name`?",
            ),
            (
                "typ",
                "`typ`: no event has the attribute typ; members of the event stand below `data`, did you mean `type`?",
            ),
            (
                "detail.x",
                "`detail.x`: no event has the attribute detail; members of the event stand below `data`",
            ),
            ("type.x", "`type.x`: the attribute type is text, nothing stands below it"),
        ] {
            assert_eq!(missing(path).as_deref(), Some(said));
        }
        let said = missing("data").unwrap();
        assert!(
            said.starts_with("`data` is an object and no value: it holds ") && said.ends_with(", ..."),
            "{said}"
        );
    }
}
