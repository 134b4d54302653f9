//! Messages of the domain name system: a question for addresses, and the answer to it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

/// Bytes of a name as it is sent.
const NAME_BYTES_MAX: usize = 255;
/// Bytes of the part of a name between two dots.
const LABEL_BYTES_MAX: usize = 63;
const HEADER_BYTES: usize = 12;
const CLASS_INTERNET: u16 = 1;

/// The family of addresses that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V6,
    V4,
}

impl Family {
    fn code(self) -> u16 {
        match self {
            Family::V6 => 28,
            Family::V4 => 1,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V6 => "AAAA",
            Family::V4 => "A",
        })
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The addresses; none when the name has none of this family.
    Addresses(Vec<IpAddr>),
    /// No such name, a failure, a refusal.
    Code(u8),
    /// The answer does not fit: it is to be had by TCP.
    Truncated,
}

/// What a code of an answer is called.
pub(super) fn code_name(code: u8) -> String {
    let name = match code {
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        other => return format!("code {other}"),
    };
    name.to_owned()
}

/// The question for the addresses of a name; none when the name cannot be one.
pub(super) fn question(id: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER_BYTES + name.len() + 6);
    message.extend_from_slice(&id.to_be_bytes());
    // Recursion desired, one question.
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| *length != 0)?;
        if LABEL_BYTES_MAX < label.len() {
            return None;
        }
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    if HEADER_BYTES + NAME_BYTES_MAX < message.len() {
        return None;
    }
    message.extend_from_slice(&family.code().to_be_bytes());
    message.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
    Some(message)
}

/// Reads the answer to `question`; none when it is none to it, whoever sent it, or is broken.
pub(super) fn reply(message: &[u8], question: &[u8], family: Family) -> Option<Reply> {
    let (id, asked) = (question.get(..2)?, question.get(HEADER_BYTES..)?);
    let mut reader = Reader { message, at: 0 };
    if reader.bytes(2)? != id {
        return None;
    }
    let flags = reader.number()?;
    let (questions, answers) = (reader.number()?, reader.number()?);
    reader.bytes(4)?;
    let (is_answer, is_truncated, code) = (flags & 0x8000 != 0, flags & 0x0200 != 0, (flags & 0xf) as u8);
    // A server that does not even understand the question may leave it out.
    let is_ours = match questions {
        0 => code != 0,
        1 => reader.bytes(asked.len())?.eq_ignore_ascii_case(asked),
        _ => false,
    };
    if !is_answer || !is_ours {
        return None;
    }
    if is_truncated {
        return Some(Reply::Truncated);
    }
    if code != 0 {
        return Some(Reply::Code(code));
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        reader.skip_name()?;
        let (kind, class) = (reader.number()?, reader.number()?);
        reader.bytes(4)?;
        let length = usize::from(reader.number()?);
        let data = reader.bytes(length)?;
        // The records between are the other names of this one.
        if kind == family.code() && class == CLASS_INTERNET {
            addresses.push(address(data)?);
        }
    }
    Some(Reply::Addresses(addresses))
}

fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    <[u8; 16]>::try_from(data).ok().map(|bytes| Ipv6Addr::from(bytes).into())
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u16> {
        self.bytes(2).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map(u16::from_be_bytes)
    }

    /// Goes behind a name. What a reference in it refers to does not matter here.
    fn skip_name(&mut self) -> Option<()> {
        loop {
            match self.bytes(1)?[0] {
                0 => return Some(()),
                length @ 1..=0x3f => _ = self.bytes(usize::from(length))?,
                0xc0.. => return self.bytes(1).map(|_| ()),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(question: &[u8], flags: [u8; 2], records: &[&[u8]]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2..4].copy_from_slice(&flags);
        message[7] = records.len() as u8;
        records.iter().for_each(|record| message.extend_from_slice(record));
        message
    }

    const CNAME: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x05\0\x04\x01b\xc0\x0e";
    const A: &[u8] = b"\xc0\x20\0\x01\0\x01\0\0\0\x05\0\x04\x0a\x01\x02\x03";

    #[test]
    fn answers_are_read() {
        let question = question(7, "vc.Example", Family::V4).unwrap();
        assert_eq!(&question[12..], b"\x02vc\x07Example\0\0\x01\0\x01");
        let reply = |message: &[u8]| reply(message, &question, Family::V4);
        let sound = answer(&question, [0x81, 0x80], &[CNAME, A]);
        assert_eq!(reply(&sound), Some(Reply::Addresses(vec!["10.1.2.3".parse().unwrap()])));
        assert_eq!(reply(&answer(&question, [0x81, 0x80], &[])), Some(Reply::Addresses(vec![])));
        assert_eq!(reply(&answer(&question, [0x83, 0x80], &[])), Some(Reply::Truncated));
        assert_eq!(reply(&answer(&question, [0x81, 0x83], &[])), Some(Reply::Code(3)));
        let mut other = sound.clone();
        other[1] = 8;
        assert_eq!(reply(&other), None, "another id");
        assert_eq!(reply(&sound.to_ascii_lowercase()[..]), reply(&sound), "names have no case");
        let mut other = sound.clone();
        other[13] = b'x';
        assert_eq!(reply(&other), None, "another name");
        assert_eq!(reply(&question), None, "our own question");
        for end in 0..sound.len() {
            assert_eq!(reply(&sound[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn names_that_cannot_be_asked_for() {
        for name in ["", ".", "a..b", ".a", &"x".repeat(64), &"abcdefg.".repeat(40)] {
            assert_eq!(question(1, name, Family::V6), None, "{name}");
        }
    }
}
