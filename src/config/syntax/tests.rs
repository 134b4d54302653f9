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
        ("address = \"vc01", "1: the closing quote is missing: a text begins and ends with the same quote"),
        ("address = 'vc01", "1: the closing quote is missing: a text begins and ends with the same quote"),
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
        let errors =
            errors.iter().map(|error| (error.span().map_or(text.len(), |span| span.start), error.message()));
        let messages: Vec<_> = errors.collect();
        let said: Vec<String> = explain(text, messages.iter().copied())
            .into_iter()
            .map(|(offset, said)| format!("{}: {said}", text[..offset].matches('\n').count() + 1))
            .collect();
        let said = said.join("; ");
        assert_eq!(said, told, "{text}: {messages:?}");
        assert!(!said.contains("5ecret"), "{said}");
    }
}
