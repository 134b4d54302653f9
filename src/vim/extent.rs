//! Where an element ends whose content cannot be understood.

use memchr::memchr;
use memchr::memmem;

use super::xml::local;

/// The end of an element, and what it took to find it.
pub(super) struct Extent {
    pub(super) end: usize,
    /// Bytes that were looked at: a small multiple of the element's length, whatever is in it.
    pub(super) steps: usize,
}

/// Where the element that begins at `begin` ends, found without understanding what is inside:
/// only tags of the same name are counted; comments and CDATA are passed over.
pub(super) fn find(page: &str, begin: usize) -> Option<Extent> {
    let bytes = page.as_bytes();
    let (mut tags, mut names, mut ends) = (Ahead::default(), Ahead::default(), Ahead::default());
    let name_end = names.next(bytes, begin + 1, name_end)?;
    let name = local(page.get(begin + 1..name_end)?).as_bytes();
    let mut depth = 0usize;
    let mut at = begin;
    loop {
        at = tags.next(bytes, at, |rest| memchr(b'<', rest))?;
        let markup = &bytes[at..];
        let opaque: [(&[u8], &[u8]); 2] = [(b"<!--", b"-->"), (b"<![CDATA[", b"]]>")];
        if let Some((begin, end)) = opaque.into_iter().find(|(begin, _)| markup.starts_with(begin)) {
            at += begin.len() + memmem::find(&markup[begin.len()..], end)? + end.len();
            continue;
        }
        let closing = markup.starts_with(b"</");
        let tag_begin = at + 1 + usize::from(closing);
        let tag_end = names.next(bytes, tag_begin, self::name_end)?;
        let end = ends.next(bytes, at, |rest| memchr(b'>', rest))? + 1;
        if is_named(&bytes[tag_begin..tag_end], name) {
            if closing {
                depth = depth.saturating_sub(1);
            } else if !bytes[at..end].ends_with(b"/>") {
                depth += 1;
            }
            if depth == 0 {
                return Some(Extent { end, steps: at - begin + tags.steps + names.steps + ends.steps });
            }
        }
        at += 1;
    }
}

/// Whether a qualified name is this one under any prefix. The name may be as long as the page: only
/// its end is looked at.
fn is_named(qualified: &[u8], name: &[u8]) -> bool {
    qualified.strip_suffix(name).is_some_and(|prefix| prefix.last().is_none_or(|byte| *byte == b':'))
}

fn name_end(rest: &[u8]) -> Option<usize> {
    rest.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))
}

/// The next place of something, kept until it is passed: what was searched in vain is not searched
/// again from each place before it.
#[derive(Default)]
struct Ahead {
    /// One more than the place; 0 before the first search.
    behind: usize,
    steps: usize,
}

impl Ahead {
    /// The first place at or behind `at`, which never goes back.
    fn next(&mut self, bytes: &[u8], at: usize, find: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        if self.behind <= at {
            let distance = find(bytes.get(at..)?)?;
            self.steps += distance + 1;
            self.behind = at + distance + 1;
        }
        Some(self.behind - 1)
    }
}
