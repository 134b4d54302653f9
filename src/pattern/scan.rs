//! A cursor over JSON text that borrows: it reads what is asked for and steps over the rest.
//!
//! Text that is stepped over is not checked beyond its brackets and quotes.

use std::borrow::Cow;

/// The text is not JSON at this byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Offset from the begin of the text.
    pub(crate) at: usize,
}

/// A value without members or elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    /// A string, without escapes, as UTF-8.
    Text(&'a [u8]),
    /// A number as it is written.
    Number(&'a [u8]),
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// A string as it is written, without its quotes.
#[derive(Clone, Copy)]
pub(crate) struct Raw<'a> {
    bytes: &'a [u8],
    escaped: bool,
}

impl<'a> Raw<'a> {
    /// The string itself; borrowed where nothing is escaped.
    pub(crate) fn decode(self) -> Option<Cow<'a, [u8]>> {
        if self.escaped { unescape(self.bytes).map(Cow::Owned) } else { Some(Cow::Borrowed(self.bytes)) }
    }
}

pub(crate) struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    /// At the begin of `text`.
    pub(crate) fn new(text: &'a [u8]) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    /// Where the cursor is.
    #[inline]
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The text from there to the cursor.
    #[inline]
    pub(crate) fn since(&self, begin: usize) -> &'a [u8] {
        &self.text[begin..self.at]
    }

    /// Puts the cursor back to where it was.
    pub(crate) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    /// The error for the place where the cursor is.
    pub(crate) fn malformed(&self) -> Malformed {
        Malformed { at: self.at }
    }

    /// The first byte of the next token; 0 at the end of the text, which begins no token.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// Steps over `byte` if it is the next token.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    /// Steps over `byte`, which has to be the next token.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(self.malformed()) }
    }

    /// After `[` or `{` and after every element: whether another one follows. `first` is set for
    /// the call that precedes the first element, and cleared.
    #[inline]
    pub(crate) fn another(&mut self, first: &mut bool, close: u8) -> Result<bool, Malformed> {
        let first = std::mem::take(first);
        match self.peek() {
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            b',' => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.malformed()),
        }
    }

    /// The next token, which has to be a string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Raw<'a>, Malformed> {
        self.expect(b'"')?;
        let begin = self.at;
        let escaped = self.skip_string_rest()?;
        Ok(Raw { bytes: &self.text[begin..self.at - 1], escaped })
    }

    /// Calls `f` with the next token, which has to be a scalar.
    #[inline]
    pub(crate) fn scalar<T>(&mut self, f: impl FnOnce(Scalar<'_>) -> T) -> Result<T, Malformed> {
        match self.peek() {
            b'"' => {
                let raw = self.string()?;
                let text = raw.decode().ok_or_else(|| self.malformed())?;
                Ok(f(Scalar::Text(&text)))
            }
            b'-' | b'0'..=b'9' => Ok(f(Scalar::Number(self.number()))),
            b't' => self.word(b"true").map(|()| f(Scalar::True)),
            b'f' => self.word(b"false").map(|()| f(Scalar::False)),
            b'n' => self.word(b"null").map(|()| f(Scalar::Null)),
            _ => Err(self.malformed()),
        }
    }

    /// Steps over the next value, whatever it holds.
    pub(crate) fn skip_value(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            b'"' => {
                self.at += 1;
                self.skip_string_rest().map(drop)
            }
            b'{' | b'[' => self.skip_container(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' | b'0'..=b'9' => {
                self.number();
                Ok(())
            }
            _ => Err(self.malformed()),
        }
    }

    fn skip_container(&mut self) -> Result<(), Malformed> {
        let mut depth = 0usize;
        while let Some(&byte) = self.text.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => {
                    self.skip_string_rest()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(self.malformed())
    }

    /// From behind the opening quote to behind the closing one; whether there are escapes.
    #[inline]
    fn skip_string_rest(&mut self) -> Result<bool, Malformed> {
        let mut escaped = false;
        loop {
            let at = quote_or_backslash(self.text, self.at);
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(escaped);
                }
                Some(_) if at + 1 < self.text.len() => {
                    escaped = true;
                    self.at = at + 2;
                }
                _ => return Err(Malformed { at: self.text.len() }),
            }
        }
    }

    fn number(&mut self) -> &'a [u8] {
        let begin = self.at;
        let rest = &self.text[begin..];
        let length = rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(())
    }
}

/// Where the next `"` or `\` is, or the end of the text. Eight bytes at a time: most of a pass over an
/// event is spent here.
#[inline]
fn quote_or_backslash(text: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The high bit of the first byte that is zero is set in the result, and no bit below it.
    let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word);
        let found = zero_byte(word ^ (ONES * b'"' as u64)) | zero_byte(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = &text[at..];
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len())
}

/// A string without its escapes; none where an escape is not one of JSON's. Half of a surrogate pair
/// becomes U+FFFD.
fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(found) = rest.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&rest[..found]);
        let code = *rest.get(found + 1)?;
        rest = &rest[found + 2..];
        let plain = match code {
            b'"' | b'\\' | b'/' => code,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let char = unicode(&mut rest)?;
                out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(plain);
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// The character of `XXXX` behind `\u`, or of `XXXX\uYYYY`.
fn unicode(rest: &mut &[u8]) -> Option<char> {
    let first = hex4(rest)?;
    *rest = &rest[4..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(after) = rest.strip_prefix(b"\\u")
        && let Some(second) = hex4(after)
        && (0xdc00..0xe000).contains(&second)
    {
        *rest = &after[4..];
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return char::from_u32(code);
    }
    Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
}

fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.get(..4)?;
    digits.iter().try_fold(0, |code, &digit| Some(code * 16 + char::from(digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> Option<String> {
        let found = Scan::new(json.as_bytes()).scalar(|scalar| match scalar {
            Scalar::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            other => format!("{other:?}"),
        });
        found.ok()
    }

    #[test]
    fn strings_lose_their_escapes() {
        assert_eq!(text(r#""plain""#).unwrap(), "plain");
        assert_eq!(text(r#" "a\"b\\c\/\n\t\r\b\f" "#).unwrap(), "a\"b\\c/\n\t\r\u{8}\u{c}");
        assert_eq!(text(r#""\u00e9\ud83d\ude00\ud83d!""#).unwrap(), "é😀\u{fffd}!");
        for wrong in [r#""open"#, r#""\x""#, r#""\u12""#, r#""a\"#] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn values_are_stepped_over() {
        for json in [r#"{"a":[1,{"b":"]}\"{"}],"c":null},"#, "[],", "-1.5e3,", r#""x","#, "true,"] {
            let mut scan = Scan::new(json.as_bytes());
            scan.skip_value().unwrap();
            assert_eq!(scan.peek(), b',', "{json}");
        }
        for wrong in ["", "{", r#"{"a"#, "nul", "]"] {
            assert!(Scan::new(wrong.as_bytes()).skip_value().is_err(), "{wrong}");
        }
    }
}
