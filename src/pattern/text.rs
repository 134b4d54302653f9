//! Tests on text: wildcards, letter case, and addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Text with `*` for any run of bytes, the empty one included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wildcard {
    /// What stands between the stars; one more than there are stars.
    pieces: Vec<Box<[u8]>>,
}

impl Wildcard {
    /// `\*` is a star and `\\` a backslash.
    ///
    /// # Errors
    /// A reason, when two stars are adjacent or another character follows a backslash.
    pub(super) fn parse(text: &str) -> Result<Wildcard, &'static str> {
        let mut pieces = Vec::new();
        let mut piece = Vec::new();
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'*' if bytes.peek() == Some(&b'*') => return Err("two wildcards side by side"),
                b'*' => pieces.push(std::mem::take(&mut piece).into_boxed_slice()),
                b'\\' => match bytes.next() {
                    Some(escaped @ (b'*' | b'\\')) => piece.push(escaped),
                    _ => return Err("a backslash may only stand before * or another backslash"),
                },
                _ => piece.push(byte),
            }
        }
        pieces.push(piece.into_boxed_slice());
        Ok(Wildcard { pieces })
    }

    /// Whether all of `text` is described.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let [first, middle @ .., last] = &self.pieces[..] else {
            return self.pieces.first().is_some_and(|only| **only == *text);
        };
        let Some(text) = text.strip_prefix(&first[..]) else { return false };
        let Some(mut text) = text.strip_suffix(&last[..]) else { return false };
        // The leftmost place of each piece leaves the most room for the next ones.
        for piece in middle {
            match find(text, piece) {
                Some(at) => text = &text[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    if piece.is_empty() { Some(0) } else { text.windows(piece.len()).position(|window| window == piece) }
}

/// Text in which every character may be the lower-case or the upper-case form of the pattern's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// ASCII alone: compared byte by byte.
    Ascii(Box<[u8]>),
    /// The forms of each character.
    Any(Vec<Forms>),
}

/// The lower-case and the upper-case form of a character.
type Forms = (Box<[u8]>, Box<[u8]>);

impl Folded {
    pub(super) fn new(text: &str) -> Folded {
        if text.is_ascii() {
            return Folded::Ascii(text.as_bytes().into());
        }
        let form = |chars: &mut dyn Iterator<Item = char>| chars.collect::<String>().into_bytes().into();
        Folded::Any(
            text.chars().map(|c| (form(&mut c.to_lowercase()), form(&mut c.to_uppercase()))).collect(),
        )
    }

    pub(super) fn equals(&self, text: &[u8]) -> bool {
        self.strip_from_start(text).is_some_and(<[u8]>::is_empty)
    }

    pub(super) fn starts(&self, text: &[u8]) -> bool {
        self.strip_from_start(text).is_some()
    }

    pub(super) fn ends(&self, text: &[u8]) -> bool {
        match self {
            Folded::Ascii(wanted) => {
                text.len().checked_sub(wanted.len()).is_some_and(|at| text[at..].eq_ignore_ascii_case(wanted))
            }
            Folded::Any(chars) => {
                let mut text = text;
                chars.iter().rev().all(|(lower, upper)| {
                    let rest = text.strip_suffix(&lower[..]).or_else(|| text.strip_suffix(&upper[..]));
                    rest.inspect(|rest| text = rest).is_some()
                })
            }
        }
    }

    fn strip_from_start<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Folded::Ascii(wanted) => {
                let (begin, rest) = text.split_at_checked(wanted.len())?;
                begin.eq_ignore_ascii_case(wanted).then_some(rest)
            }
            Folded::Any(chars) => chars.iter().try_fold(text, |text, (lower, upper)| {
                text.strip_prefix(&lower[..]).or_else(|| text.strip_prefix(&upper[..]))
            }),
        }
    }
}

/// The address that a text denotes: four decimal numbers (zeros may lead), or an IPv6 literal
/// without dots and zone. An IPv6 form of an IPv4 address is that IPv4 address.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    if text.contains(&b':') {
        if !text.iter().all(|&byte| byte == b':' || byte.is_ascii_hexdigit()) {
            return None;
        }
        let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
        return Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4));
    }
    let mut parts = text.split(|&byte| byte == b'.');
    let mut octets = [0u8; 4];
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() {
            return None;
        }
        for &digit in part {
            let digit = char::from(digit).to_digit(10)? as u8;
            *octet = octet.checked_mul(10)?.checked_add(digit)?;
        }
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// A block of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Network and mask.
    V4(u32, u32),
    /// Network and mask.
    V6(u128, u128),
}

impl Block {
    /// `address/bits`; AWS takes fewer than 32 bits for IPv4 and fewer than 128 for IPv6.
    ///
    /// # Errors
    /// A reason.
    pub(super) fn parse(text: &str) -> Result<Block, &'static str> {
        let (base, bits) = text.split_once('/').ok_or("a block is written address/bits")?;
        let bits: u32 = bits.parse().map_err(|_| "the bits behind the / must be a number")?;
        match address(base.as_bytes()).ok_or("the part before the / is not an IP address")? {
            IpAddr::V4(_) if 31 < bits => {
                Err("an IPv4 block has at most 31 bits; a single address is written as a string")
            }
            IpAddr::V6(_) if 127 < bits => {
                Err("an IPv6 block has at most 127 bits; a single address is written as a string")
            }
            IpAddr::V4(base) => {
                let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
                Ok(Block::V4(base.to_bits() & mask, mask))
            }
            IpAddr::V6(base) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                Ok(Block::V6(base.to_bits() & mask, mask))
            }
        }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self, address) {
            (Block::V4(net, mask), IpAddr::V4(address)) => address.to_bits() & mask == net,
            (Block::V6(net, mask), IpAddr::V6(address)) => address.to_bits() & mask == net,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_describe_the_whole_text() {
        for (pattern, yes, no) in [
            ("*", &["", "x", "*"][..], &[][..]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a", &["a", "ba"], &["ab"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("*x*y*", &["xy", "1x2y3", "xxyy"], &["yx", "x"]),
            ("dir/*/*.png", &["dir/a/b.png", "dir//.png"], &["dir/a.png"]),
            (r"\*\\", &[r"*\"], &["x", r"\"]),
            ("plain", &["plain"], &["plain1", ""]),
        ] {
            let wildcard = Wildcard::parse(pattern).unwrap();
            yes.iter().for_each(|text| assert!(wildcard.matches(text.as_bytes()), "{pattern} {text}"));
            no.iter().for_each(|text| assert!(!wildcard.matches(text.as_bytes()), "{pattern} {text}"));
        }
        assert!(Wildcard::parse("a**").is_err() && Wildcard::parse(r"a\b").is_err());
        assert!(Wildcard::parse(r"a\").is_err() && Wildcard::parse(r"\**").is_ok());
    }

    #[test]
    fn letter_case_is_ignored() {
        for (pattern, text) in [("aBc", "AbC"), ("Straße", "STRASSE"), ("É1", "é1"), ("", "")] {
            assert!(Folded::new(pattern).equals(text.as_bytes()), "{pattern} {text}");
        }
        assert!(Folded::new("É").starts("état".as_bytes()) && !Folded::new("É").equals("état".as_bytes()));
        assert!(Folded::new("ß.PNG").ends("STRASS.png".as_bytes()));
        assert!(Folded::new("png").ends(b".PNG") && !Folded::new(".png").ends(b"png"));
    }

    #[test]
    fn addresses_and_blocks() {
        assert_eq!(address(b"010.0.0.1"), address(b"10.0.0.1"));
        assert_eq!(address(b"::FFFF:0a00:1"), address(b"10.0.0.1"));
        assert_eq!(address(b"1::8"), address(b"0001:0:0:0:0:0:0:0008"));
        for wrong in ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1..3.4", "::1.2.3.4", "fe80::1%eth0", "a.b.c.d"]
        {
            assert_eq!(address(wrong.as_bytes()), None, "{wrong}");
        }
        let block = |text| Block::parse(text).unwrap();
        let inside = |text, ip: &str| block(text).contains(address(ip.as_bytes()).unwrap());
        assert!(inside("10.0.0.77/24", "10.0.0.255") && !inside("10.0.0.0/24", "10.0.1.0"));
        assert!(inside("0.0.0.0/0", "255.1.2.3") && !inside("0.0.0.0/0", "2001::1"));
        assert!(inside("2001:db8::/32", "2001:db8:ffff::1") && !inside("2001:db8::/32", "2001:db9::"));
        for wrong in ["10.0.0.1", "10.0.0.1/32", "::/128", "x/8", "10.0.0.0/a", "10.0.0.0/-1"] {
            assert!(Block::parse(wrong).is_err(), "{wrong}");
        }
    }
}
