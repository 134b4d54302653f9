//! Sections: how their names are written, and what is there twice. Pure.

use super::Place;

const SECTIONS: [&str; 5] = ["source", "processor", "route", "metrics", "log"];

/// A line that is meant to begin a section.
pub(super) fn explain(place: &Place<'_>) -> Option<String> {
    let line = place.line.split('#').next().unwrap_or_default().trim();
    let is_bracket = |c: char| "[](){}".contains(c);
    if line.contains('=') || !(line.starts_with(is_bracket) || line.ends_with(is_bracket)) {
        return None;
    }
    let name = line.trim_matches(is_bracket).trim();
    if name.is_empty() || name == "." {
        return Some(
            "the section has no name: write [source.NAME], [processor.NAME] or [route.NAME]".to_string(),
        );
    }
    let parts: Vec<&str> =
        name.split(['.', ':', '/', ' ', '\t', '\\']).filter(|part| !part.is_empty()).collect();
    if !SECTIONS.contains(&parts[0]) && !place.is("unclosed table") && !place.is("unclosed array table") {
        return None;
    }
    let is_plain = |part: &&str| part.chars().all(|c| c.is_ascii_alphanumeric() || "-_\"'".contains(c));
    if !parts.iter().all(is_plain) {
        return Some(format!(
            "a name holds only letters from a to z, digits, - and _: write such a [{}.NAME]",
            parts[0]
        ));
    }
    let written = parts.join(".");
    Some(match () {
        () if name.ends_with('.') => format!("the name is missing: write [{written}.NAME]"),
        () if written != name => format!("between the parts of a name stands a dot: write [{written}]"),
        () if line.starts_with('[') => format!("the ] is missing: write [{written}]"),
        () if line.ends_with(']') => format!("the [ is missing: write [{written}]"),
        () => format!("the name of a section stands in [ ]: write [{written}]"),
    })
}

/// The name in the brackets of a section.
pub(super) fn name(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?.split(']').next()?.trim();
    Some(name.trim_start_matches('[').trim())
}

/// A section or a key that is there already.
pub(super) fn twice(place: &Place<'_>) -> String {
    let above = || place.text[..place.start].lines().enumerate().map(|(index, line)| (index + 1, line));
    let key_of = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_string());
    if let Some(twice) = name(place.line) {
        if let Some((first, _)) = above().find(|(_, line)| name(line) == Some(twice)) {
            return format!(
                "[{twice}] is there twice, first in line {first}: give one of them another name, or join them"
            );
        }
        // Given as a key of the section above it.
        let (parent, own) = twice.rsplit_once('.').unwrap_or(("", twice));
        let section = above().filter(|(_, line)| name(line) == Some(parent)).last().map_or(0, |(at, _)| at);
        let is_own = |line: &str| {
            key_of(line).is_some_and(|key| {
                key.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let first = above().find(|(at, line)| section < *at && is_own(line));
        let first = first.map_or(String::new(), |(line, _)| format!(" in line {line}"));
        return format!("`{own}` is given{first} already: write all its keys there, or all of them here");
    }
    // Within the section, which begins at the last header above.
    let section = above().filter(|(_, line)| name(line).is_some()).last().map_or(0, |(line, _)| line);
    let first = above().find(|(at, line)| section < *at && key_of(line).as_deref() == Some(place.key));
    let first = first.map_or(String::new(), |(line, _)| format!(", first in line {line}"));
    format!("`{}` is there twice{first}: leave one of them out", place.key)
}
