//! What is opened in a text and never closed. Pure.

/// A bracket or a text of several lines without an end.
pub(super) struct Unclosed {
    pub(super) offset: usize,
    pub(super) closing: &'static str,
}

/// The first that is never closed; a text of one line ends with its line.
pub(super) fn unclosed(text: &str) -> Option<Unclosed> {
    let mut open: Vec<Unclosed> = Vec::new();
    let mut at = 0;
    let mut begins_line = true;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let mut length = c.len_utf8();
        match c {
            // A section: brackets of its own, in one line.
            '[' if begins_line && open.is_empty() => length = line_length(rest),
            '#' => length = line_length(rest),
            '"' | '\'' => match text_length(rest, c) {
                Some(found) => length = found,
                None => {
                    open.push(Unclosed { offset: at, closing: if c == '"' { "\"\"\"" } else { "'''" } });
                    break;
                }
            },
            '{' => open.push(Unclosed { offset: at, closing: "}" }),
            '[' => open.push(Unclosed { offset: at, closing: "]" }),
            '}' | ']' => drop(open.pop()),
            _ => {}
        }
        begins_line = c == '\n' || (begins_line && c.is_whitespace());
        at += length;
    }
    open.into_iter().next()
}

fn line_length(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// The bytes of a text in quotes; none if it is one of several lines that has no end.
fn text_length(rest: &str, quote: char) -> Option<usize> {
    let triple = if quote == '"' { "\"\"\"" } else { "'''" };
    let is_long = rest.starts_with(triple);
    let end = if is_long { triple } else { &triple[..1] };
    let mut at = end.len();
    while let Some(c) = rest[at..].chars().next() {
        if rest[at..].starts_with(end) {
            return Some(at + end.len());
        }
        if c == '\n' && !is_long {
            return Some(at);
        }
        at += c.len_utf8();
        if c == '\\' && quote == '"' {
            at += rest[at..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        }
    }
    (!is_long).then_some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_closed_is_found_where_it_begins() {
        for (text, told) in [
            ("a = { b = 1\nc = [1]\n[s]\n", Some((4, "}"))),
            ("a = [\n 1,\n 2\n[s]\nb = 1", Some((4, "]"))),
            ("a = \"\"\"\nb = 1\n", Some((4, "\"\"\""))),
            ("a = '''b", Some((4, "'''"))),
            ("a = \"{[\"\n# {[\n[s.t]\nb = '{'\n", None),
            ("a = \"b\nc = [1, { d = 2 }]\n", None),
            ("a = \"\\\"{\"\n", None),
            ("a = \"\"\"{\n[\"\"\"\n", None),
            ("a = [ # {\n]\n", None),
            ("[s\na = 1\n", None),
            ("a = ]\n", None),
            ("", None),
        ] {
            assert_eq!(unclosed(text).map(|open| (open.offset, open.closing)), told, "{text}");
        }
    }
}
