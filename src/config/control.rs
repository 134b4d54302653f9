//! Texts that say something else than their author meant: control characters, and secrets that are
//! none. Pure.

/// Why a text with a control character is refused, and what to write. It repeats only a text that
/// `may_be_shown`.
pub(super) fn told(text: &str, may_be_shown: bool) -> String {
    let escapes =
        [('\u{8}', "\\b"), ('\t', "\\t"), ('\n', "\\n"), ('\u{c}', "\\f"), ('\r', "\\r"), ('\u{1b}', "\\e")];
    let escape = |c: char| escapes.iter().find(|(control, _)| *control == c).map(|(_, escape)| *escape);
    let Some(first) = text.chars().find(|c| c.is_control()) else { return String::new() };
    let Some(found) = escape(first) else {
        return format!("holds a control character (U+{:04X}): leave it out", u32::from(first));
    };
    if text.ends_with('\n') && text.chars().filter(|c| c.is_control()).count() == 1 {
        return "ends with a line end: leave it out".to_string();
    }
    let is_written = text.chars().all(|c| !c.is_control() || escape(c).is_some());
    let write = if may_be_shown && is_written && !text.contains('\'') {
        let written: String = text.chars().map(|c| escape(c).map_or(c.to_string(), str::to_string)).collect();
        format!("write '{written}'")
    } else {
        "write the text".to_string()
    };
    format!("{found} in double quotes is a control character: {write} in single quotes")
}

/// Whether control characters in a secret, as it is written, can only be meant: they are given by
/// their numbers.
pub(super) fn is_meant(written: &str) -> bool {
    let Some(body) = written.strip_prefix('"') else { return false };
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c.is_control() || (c == '\\' && chars.next().is_none_or(|escaped| "btnfre".contains(escaped))) {
            return false;
        }
    }
    !body.starts_with("\"\"")
}

/// What makes one think that a secret in the file is not the secret.
pub(super) fn doubts(text: &str, is_name: bool) -> Option<&'static str> {
    let path = text.trim_start_matches('@');
    let path = path.strip_prefix("file:").unwrap_or(path);
    let is_path =
        path.starts_with('/') && path[1..].contains('/') || path.starts_with("./") || path.starts_with("~/");
    if is_path && !is_name && !text.contains(' ') {
        return Some(PATH);
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Some("begins or ends with a blank, which is taken as a part of it");
    }
    placeholder(text)
}

/// What looks like the path of a file that holds the secret.
pub(super) const PATH: &str =
    "looks like the path of a file and is taken as the secret itself: write { file = \"PATH\" }";

/// What stands around the secret in a file that is to hold it alone.
pub(super) fn wrapped(text: &str) -> Option<&'static str> {
    let is_quoted = |quote: char| 2 < text.len() && text.starts_with(quote) && text.ends_with(quote);
    if is_quoted('"') || is_quoted('\'') {
        return Some("stands in quotes, which are taken as a part of it");
    }
    let (key, _) = text.split_once(['=', ':'])?;
    let key = key.trim().to_lowercase();
    ["password", "passwd", "pwd", "secret", "token"]
        .contains(&key.as_str())
        .then_some("holds a key beside the secret, which is taken as a part of it: leave only the secret")
}

/// The same, wherever the secret comes from.
pub(super) fn placeholder(text: &str) -> Option<&'static str> {
    let is_variable = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    let inner = |open: &str, close: &str| text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    let names = [inner("${", "}"), inner("$(", ")"), inner("%", "%"), inner("{{", "}}"), inner("$", "")];
    if names.into_iter().flatten().any(|name| is_variable(name.trim())) {
        return Some("looks like a variable and is taken as it is written: write { env = \"NAME\" }");
    }
    let is_one_sign = |sign: char| 2 < text.len() && text.chars().all(|c| c == sign);
    let letters: String = text.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect();
    let is_word =
        ["changeme", "changeit", "replaceme", "password", "yourpassword", "secret", "todo", "redacted"]
            .contains(&letters.as_str());
    let is_empty_form = inner("<", ">").is_some_and(|inner| !inner.is_empty());
    (is_empty_form || is_one_sign('*') || is_one_sign('.') || is_one_sign('x') || is_word)
        .then_some("looks like a placeholder that nobody filled in")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_told_as_they_were_written() {
        let quoted = "\\b in double quotes is a control character: write 'CORP\\backup' in single quotes";
        assert_eq!(told("CORP\u{8}ackup", true), quoted);
        let hidden = "\\t in double quotes is a control character: write the text in single quotes";
        assert_eq!(told("CORP\tom", false), hidden);
        assert_eq!(told("CORP\tom's", true), hidden);
        assert_eq!(told("a\u{7}", true), "holds a control character (U+0007): leave it out");
        assert_eq!(told("a\n", true), "ends with a line end: leave it out");
    }

    #[test]
    fn numbers_of_characters_are_meant() {
        for written in [r#""a\u0008b""#, r#""a\x07""#, r#""\\\u000a""#] {
            assert!(is_meant(written), "{written}");
        }
        for written in [r#""CORP\backup""#, "\"\"\"a\nb\"\"\"", "'a\tb'", r#""\u0007\t""#, "", "\"a\tb\""] {
            assert!(!is_meant(written), "{written}");
        }
    }

    #[test]
    fn secrets_that_are_none() {
        for (text, words) in [
            ("/etc/event-router/password", "path of a file"),
            ("./password", "path of a file"),
            ("${VC_PASSWORD}", "a variable"),
            ("$VC_PASSWORD", "a variable"),
            ("%VC_PASSWORD%", "a variable"),
            ("{{ VC_PASSWORD }}", "a variable"),
            ("<password>", "a placeholder"),
            ("********", "a placeholder"),
            ("CHANGE_ME", "a placeholder"),
            ("file:///etc/password", "path of a file"),
            ("@/etc/password", "path of a file"),
            ("pass ", "a blank"),
        ] {
            assert!(doubts(text, false).is_some_and(|doubt| doubt.contains(words)), "{text}");
        }
        for text in ["/Top5ecret", "$ecret", "pa$$WORD", "<", "<>", "a<b>", "100%", "%", "/a b/c"] {
            assert_eq!(doubts(text, false), None, "{text}");
        }
        assert_eq!(doubts("/corp/name", true), None);
        for (text, words) in [("\"pass\"", "in quotes"), ("password: pass", "a key"), ("TOKEN=x", "a key")] {
            assert!(wrapped(text).is_some_and(|doubt| doubt.contains(words)), "{text}");
        }
        for text in ["\"", "a=b", "pass:word", "'"] {
            assert_eq!(wrapped(text), None, "{text}");
        }
    }
}
