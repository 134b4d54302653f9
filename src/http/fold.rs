//! Header values that go on in the next line, as old servers and proxies still write them. HTTP asks
//! a client to read a fold as blanks; the parser behind us refuses it.

use memchr::memchr;

/// Unfolds the head of one answer as its bytes come.
#[derive(Debug, Default)]
pub(super) struct Unfolding {
    /// Bytes of the input that are looked through.
    done: usize,
    /// The status line, which cannot be folded, is behind.
    in_headers: bool,
    is_over: bool,
}

impl Unfolding {
    /// Writes blanks over the line ends of folds; `input` is what was not consumed yet, with what is new
    /// at its end.
    pub(super) fn look(&mut self, input: &mut [u8]) {
        while !self.is_over {
            let Some(length) = input.get(self.done..).and_then(|rest| memchr(b'\n', rest)) else { return };
            let end = self.done + length;
            // What the next line begins with decides.
            match (input.get(end + 1), input.get(end + 2)) {
                (None, _) | (Some(b'\r'), None) => return,
                (Some(b' ' | b'\t'), _) if self.in_headers => {
                    input[end] = b' ';
                    if self.done < end && input[end - 1] == b'\r' {
                        input[end - 1] = b' ';
                    }
                }
                (Some(b'\n'), _) | (Some(b'\r'), Some(b'\n')) => self.end(input, end + 1),
                _ => self.in_headers = true,
            }
            if !self.is_over {
                self.done = self.done.max(end + 1);
            }
        }
    }

    /// So many bytes at the begin of the input are gone.
    pub(super) fn consumed(&mut self, amount: usize) {
        self.done = self.done.saturating_sub(amount);
    }

    /// The head ends with the empty line at `blank`; behind a provisional one comes another.
    fn end(&mut self, input: &[u8], blank: usize) {
        let status = input.split(|byte| *byte == b' ').nth(1);
        if status.is_some_and(|status| status.starts_with(b"1")) && input.starts_with(b"HTTP/") {
            self.done = blank + memchr(b'\n', &input[blank..]).map_or(0, |length| length + 1);
            self.in_headers = false;
        } else {
            self.is_over = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The input unfolded when it comes in pieces of `size`.
    fn unfolded(input: &str, size: usize) -> String {
        let mut bytes = Vec::new();
        let mut unfolding = Unfolding::default();
        for piece in input.as_bytes().chunks(size) {
            bytes.extend_from_slice(piece);
            unfolding.look(&mut bytes);
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn folds_become_blanks_and_all_else_stays() {
        for (input, expected) in [
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td\r\nE: f\r\n\r\n g\r\n h",
                "HTTP/1.1 200 OK\r\nA: b   c  \td\r\nE: f\r\n\r\n g\r\n h",
            ),
            ("HTTP/1.1 200 OK\nA: b\n c\n\n d\n e", "HTTP/1.1 200 OK\nA: b  c\n\n d\n e"),
            ("HTTP/1.1 200 OK\r\n\r\na\r\n b", "HTTP/1.1 200 OK\r\n\r\na\r\n b"),
            ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n"),
            (
                "HTTP/1.1 103 Hints\r\nA: b\r\n c\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n\r\n d",
                "HTTP/1.1 103 Hints\r\nA: b   c\r\n\r\nHTTP/1.1 200 OK\r\nA: b   c\r\n\r\n\r\n d",
            ),
        ] {
            for size in 1..=input.len() {
                assert_eq!(unfolded(input, size), expected, "in pieces of {size}");
            }
        }
    }
}
