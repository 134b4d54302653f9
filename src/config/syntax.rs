//! Mistakes of TOML's syntax in the words of the person who made them. Pure.
//!
//! A line may hold a secret: of its values only names and truth values are repeated.

/// What is wrong at a byte of the text, and what to write, in place of the parser's message.
pub(super) fn explain(text: &str, offset: usize, message: &str) -> String {
    let start = text[..offset].rfind('\n').map_or(0, |end| end + 1);
    let line = text[start..].lines().next().unwrap_or_default();
    let (before, at) = line.split_at(offset.saturating_sub(start).min(line.len()));
    let key = line.split(['=', ':']).next().unwrap_or_default().trim();
    let is = |words: &str| message.contains(words);
    if is("escape") || is("unicode value") {
        return in_single_quotes(line, key);
    }
    if is("invalid basic string") || is("invalid literal string") {
        return match line.chars().find(|c| TYPOGRAPHIC.contains(c)) {
            Some(quote) => typographic(quote),
            None => "the closing quote is missing: a text begins and ends with the same quote".to_string(),
        };
    }
    if let Some(quote) = line.chars().find(|c| TYPOGRAPHIC.contains(c)) {
        return typographic(quote);
    }
    if let Some(blank) =
        line.chars().find(|c| !c.is_ascii() && (c.is_whitespace() || "\u{200b}\u{feff}".contains(*c)))
    {
        let code = u32::from(blank);
        return format!(
            "holds a blank that is none (U+{code:04X}), as web pages have it: write a plain blank"
        );
    }
    let value = line.split_once('=').map_or(at, |(_, value)| value.trim_start());
    // What begins like a number or a truth value is taken for one.
    let is_word = is("invalid boolean") || is("invalid float") || is("string values must be quoted");
    if is_word && value.starts_with(|c: char| c.is_alphanumeric()) {
        return unquoted(value, line);
    }
    if (is("invalid unquoted key") || is("unexpected key or value") || is("key with no value"))
        && is_yaml(line)
    {
        return format!("`{key}: ` is YAML: write {key} = and the value, a text in quotes");
    }
    if is("unexpected key or value") && before.ends_with(['"', '\'']) {
        return "the text ends at a quote within it: write a text that holds \" in single quotes, one that holds ' in \
                double quotes"
            .to_string();
    }
    if is("duplicate key") {
        return twice(text, start, line, key);
    }
    if is("unclosed table") || is("unclosed array table") {
        let name = line.split('#').next().unwrap_or_default().trim().trim_matches(['[', ']']);
        return format!("the ] is missing: write [{name}]");
    }
    message.to_string()
}

const TYPOGRAPHIC: &[char] = &['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»', '″', '′'];

fn typographic(quote: char) -> String {
    format!("holds a typographic quote ({quote}), as word processors write it: write a plain \" or '")
}

/// A backslash that begins no escape, such as that between domain and user.
fn in_single_quotes(line: &str, key: &str) -> String {
    let text = line.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map(|(text, _)| text);
    let example = match text {
        Some(text) if key.ends_with("username") && !text.contains(['\'', '"']) => format!("write '{text}'"),
        _ => "write the text".to_string(),
    };
    format!(
        "a backslash in double quotes begins an escape: {example} in single quotes, where it stays a backslash"
    )
}

fn unquoted(at: &str, line: &str) -> String {
    let word = at.split([' ', '\t', '#', ',', ']', '}']).next().unwrap_or_default();
    match &*word.to_lowercase() {
        "yes" | "on" | "true" => format!("`{word}` is no truth value of TOML: write true"),
        "no" | "off" | "false" => format!("`{word}` is no truth value of TOML: write false"),
        "null" | "none" | "nil" => format!("`{word}` is no value of TOML: leave the line out"),
        _ => {
            let quote = if line.contains('\'') { "\"double quotes\"" } else { "'single quotes'" };
            format!("a text stands in quotes: write it in {quote}")
        }
    }
}

fn is_yaml(line: &str) -> bool {
    line.trim_start().trim_start_matches("- ").split_once(':').is_some_and(|(key, rest)| {
        let is_word = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        is_word && (rest.is_empty() || rest.starts_with([' ', '\t']))
    })
}

/// A section or a key that is there already.
fn twice(text: &str, start: usize, line: &str, key: &str) -> String {
    let header = |line: &str| {
        let name = line.trim().strip_prefix('[')?.split(']').next()?.trim().to_string();
        Some(name.trim_start_matches('[').trim().to_string())
    };
    let above = || text[..start].lines().enumerate().map(|(index, line)| (index + 1, line));
    if let Some(name) = header(line) {
        let first = above().find(|(_, line)| header(line).as_ref() == Some(&name));
        let first = first.map_or(String::new(), |(line, _)| format!(", first in line {line}"));
        return format!("[{name}] is there twice{first}: give one of them another name, or join them");
    }
    let key_of = |line: &str| line.split_once('=').map(|(key, _)| key.trim().to_string());
    // Within the section, which begins at the last header above.
    let section = above().filter(|(_, line)| header(line).is_some()).last().map_or(0, |(line, _)| line);
    let first = above().find(|(at, line)| section < *at && key_of(line).as_deref() == Some(key));
    let first = first.map_or(String::new(), |(line, _)| format!(", first in line {line}"));
    format!("`{key}` is there twice{first}: leave one of them out")
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::*;

    #[test]
    fn mistakes_of_syntax_are_told_in_the_words_of_the_file() {
        for (text, told) in [
            (
                "username = \"CORP\\admin\"",
                "1: a backslash in double quotes begins an escape: write 'CORP\\admin' in single quotes, where it stays a backslash",
            ),
            (
                "password = \"a\\Secret$\"",
                "1: a backslash in double quotes begins an escape: write the text in single quotes, where it stays a backslash",
            ),
            (
                "username = \"CORP\\user\"",
                "1: a backslash in double quotes begins an escape: write 'CORP\\user' in single quotes, where it stays a backslash",
            ),
            (
                "address = \"vc01",
                "1: the closing quote is missing: a text begins and ends with the same quote",
            ),
            (
                "address = 'vc01",
                "1: the closing quote is missing: a text begins and ends with the same quote",
            ),
            (
                "address = “vc01”",
                "1: holds a typographic quote (“), as word processors write it: write a plain \" or '",
            ),
            (
                "address = \"vc01”",
                "1: holds a typographic quote (”), as word processors write it: write a plain \" or '",
            ),
            (
                "address = ‘vc01’",
                "1: holds a typographic quote (‘), as word processors write it: write a plain \" or '",
            ),
            (
                "[source.“vc01”]",
                "1: holds a typographic quote (“), as word processors write it: write a plain \" or '",
            ),
            (
                "type\u{a0}= \"vcenter\"",
                "1: holds a blank that is none (U+00A0), as web pages have it: write a plain blank",
            ),
            ("checkpoint = yes", "1: `yes` is no truth value of TOML: write true"),
            ("checkpoint = Off # comment", "1: `Off` is no truth value of TOML: write false"),
            ("checkpoint = True", "1: `True` is no truth value of TOML: write true"),
            ("proxy = null", "1: `null` is no value of TOML: leave the line out"),
            ("password = Top5ecret", "1: a text stands in quotes: write it in 'single quotes'"),
            ("password = no5ecret", "1: a text stands in quotes: write it in 'single quotes'"),
            ("password = Top#5ecret", "1: a text stands in quotes: write it in 'single quotes'"),
            ("password = Top'5ecret", "1: a text stands in quotes: write it in \"double quotes\""),
            ("a = 1\ntype: vcenter", "2: `type: ` is YAML: write type = and the value, a text in quotes"),
            (
                "password = \"Top\"5ecret\"",
                "1: the text ends at a quote within it: write a text that holds \" in single quotes, one that holds ' in double quotes",
            ),
            ("[source.vc01\ntype = 'vcenter'", "1: the ] is missing: write [source.vc01]"),
            ("[[route\nfrom = 'a'", "1: the ] is missing: write [route]"),
            (
                "[route.all]\nto = 'a'\n[route.all]\nto = 'b'",
                "3: [route.all] is there twice, first in line 1: give one of them another name, or join them",
            ),
            (
                "[a]\nto = 'a'\n[b]\nto = 'b'\nto = 'c'",
                "5: `to` is there twice, first in line 4: leave one of them out",
            ),
        ] {
            let (_, errors) = DeTable::parse_recoverable(text);
            let error = errors.first().unwrap_or_else(|| panic!("{text} is right"));
            let offset = error.span().map_or(text.len(), |span| span.start);
            let line = text[..offset].matches('\n').count() + 1;
            let said = format!("{line}: {}", explain(text, offset, error.message()));
            assert_eq!(said, told, "{text}: {}", error.message());
            assert!(!said.contains("5ecret"), "{said}");
        }
    }
}
