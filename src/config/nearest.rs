//! The valid word that is meant by another one. Pure.

/// Longer words are not compared: nobody mistypes a name of this length by accident, and the
/// comparison takes quadratic time.
const WORD_CHARS_MAX: usize = 64;

/// The candidate that `word` was most likely meant to be, if one is near: a third of its letters
/// at most are wrong and not all of them, or one of the two is the beginning of the other.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = word.to_lowercase().chars().collect();
    if wanted.is_empty() || wanted.len() > WORD_CHARS_MAX {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let found: Vec<char> = candidate.to_lowercase().chars().collect();
        if found.len() > WORD_CHARS_MAX {
            continue;
        }
        let shorter = wanted.len().min(found.len());
        let begins = shorter >= 3 && wanted[..shorter] == found[..shorter];
        let wrong = distance(&wanted, &found);
        let allowed = (wanted.len().max(found.len()) / 3).max(1);
        let near = begins || (wrong <= allowed && wrong < wanted.len());
        if near && best.is_none_or(|(least, _)| wrong < least) {
            best = Some((wrong, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The key that is meant by a word of other programs, if it is known here.
pub(crate) fn meant<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    const WORDS: &[(&str, &[&str])] = &[
        ("address", &["host", "hostname", "server", "url", "uri", "endpoint", "gateway", "fqdn"]),
        ("uri", &["url", "address", "sink", "destination", "endpoint", "host"]),
        ("username", &["user", "login", "account"]),
        ("password", &["pass", "passwd", "pw", "secret", "password_file"]),
        ("bind", &["address", "listen", "port", "bind_address", "bindAddress"]),
        ("from", &["source", "provider"]),
        ("to", &["processor", "sink", "target", "destination"]),
        ("types", &["events", "event_types", "filter"]),
        ("type", &["kind", "provider"]),
        ("event_bus", &["bus"]),
        ("file", &["path", "filename", "from_file"]),
        ("env", &["variable", "var", "environment", "from_env"]),
        ("insecure", &["verify", "verify_ssl", "ssl_verify", "tls_verify", "skip_verify", "no_verify"]),
        ("ca_file", &["ca", "cacert", "ca_cert", "ca_bundle", "certificate", "cert"]),
        ("state_dir", &["checkpoint_dir", "checkpointDir", "data_dir", "work_dir"]),
    ];
    let row = WORDS.iter().find(|(key, words)| known.contains(key) && words.contains(&word))?;
    known.iter().copied().find(|key| *key == row.0)
}

/// How many letters are inserted, removed, replaced or swapped with their neighbour (the optimal
/// string alignment distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let keys = ["address", "username", "password", "page_size", "proxy", "tls"];
        for (word, meant) in [
            ("pasword", Some("password")),
            ("passwrod", Some("password")),
            ("Password", Some("password")),
            ("user", Some("username")),
            ("addr", Some("address")),
            ("page-size", Some("page_size")),
            ("tsl", Some("tls")),
            ("colour", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), keys), None);
    }

    #[test]
    fn counts_edits() {
        let count =
            |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("ab", "ba"), 1);
    }
}
