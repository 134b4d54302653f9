//! The names in `types` of a route: which events they mean, and which of them mean none. Pure.

use super::nearest::nearest;

/// Whether a name of `types` means this event. It may hold `*` for any run of characters: the parts between
/// the stars must follow each other; the first and the last are fixed.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
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

/// The names that mean no event of those that are `known`, each with the one that is probably meant.
pub(crate) fn unknown(types: &[String], known: &[String]) -> Vec<String> {
    let unknown =
        types.iter().filter(|name| !known.contains(*name) && !known.iter().any(|known| fits(name, known)));
    unknown
        .map(|name| match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("{name}, did you mean {near}?"),
            None => name.clone(),
        })
        .collect()
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

    #[test]
    fn mistyped_names_are_told_with_the_one_that_is_meant() {
        let strings = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        let known = strings(&["VmPoweredOnEvent", "VmPoweredOffEvent", "com.vmware.sso.LoginFailure"]);
        let types =
            strings(&["VmPoweredOnEvent", "VmPowerdOnEvent", "com.vmware.sso.*", "com.vmware.vc.*", "xyz"]);
        assert_eq!(
            unknown(&types, &known),
            ["VmPowerdOnEvent, did you mean VmPoweredOnEvent?", "com.vmware.vc.*", "xyz"]
        );
    }
}
