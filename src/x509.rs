//! What a person needs to know about a certificate, read leniently: a certificate that strict
//! readers refuse (version 1, odd extensions) is just the one that must be described.
//!
//! The fields are those of RFC 5280 section 4.1 in their order. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;

/// The readable part of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate<'a> {
    issuer: String,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) not_after: Option<Timestamp>,
    pub(crate) subject: String,
    /// The whole element SubjectPublicKeyInfo.
    pub(crate) public_key_info: &'a [u8],
    /// The object identifier of how it is signed.
    signed_with: &'a [u8],
    /// The elements of its extensions.
    extensions: &'a [u8],
}

/// The kind of a key, as people call it: `RSA 2048`, `P-256`, `Ed25519`; of a SubjectPublicKeyInfo.
pub(crate) fn key_kind(info: &[u8]) -> Option<String> {
    let (algorithm, key) = public_key(info)?;
    let mut algorithm = Reader(algorithm);
    let kind = match algorithm.take(OBJECT_ID)? {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1 | 10] => {
            let modulus = Reader(Reader(key).take(SEQUENCE)?).take(INTEGER)?;
            let digits = modulus.iter().skip_while(|byte| **byte == 0).count();
            return Some(format!("RSA {}", digits * 8));
        }
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1] => match algorithm.take(OBJECT_ID) {
            Some([0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]) => "P-256",
            Some([0x2b, 0x81, 4, 0, 34]) => "P-384",
            Some([0x2b, 0x81, 4, 0, 35]) => "P-521",
            Some([0x2b, 0x81, 4, 0, 10]) => "secp256k1",
            _ => "of another elliptic curve",
        },
        [0x2b, 0x65, 112] => "Ed25519",
        [0x2b, 0x65, 113] => "Ed448",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1] => "DSA",
        _ => "of another kind",
    };
    Some(kind.to_owned())
}

/// The algorithm identifier (contents) and the key bits of a SubjectPublicKeyInfo.
pub(crate) fn public_key(info: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut info = Reader(Reader(info).take(SEQUENCE)?);
    let algorithm = info.take(SEQUENCE)?;
    // The first byte counts unused bits: none in a key.
    let (0, key) = info.take(BIT_STRING)?.split_first().map(|(unused, key)| (*unused, key))? else {
        return None;
    };
    Some((algorithm, key))
}

impl<'a> Certificate<'a> {
    /// Whose it is, who signed it, and until when it is valid.
    pub(crate) fn description(&self) -> String {
        let end = self.not_after.map_or("unknown".into(), |end| end.to_string());
        format!("subject {}, issuer {}, valid until {end}", self.subject, self.issuer)
    }

    /// None if it is not a certificate at all.
    pub(crate) fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        let mut tbs = Reader(Reader(Reader(der).take(SEQUENCE)?).take(SEQUENCE)?);
        let _version = tbs.take(CONTEXT_0);
        let _serial = tbs.take(INTEGER)?;
        let signed_with = Reader(tbs.take(SEQUENCE)?).take(OBJECT_ID)?;
        let issuer = name(tbs.take(SEQUENCE)?)?;
        let mut validity = Reader(tbs.take(SEQUENCE)?);
        let not_before = validity.element().and_then(|(tag, value, _)| time(tag, value));
        let not_after = validity.element().and_then(|(tag, value, _)| time(tag, value));
        let subject = name(tbs.take(SEQUENCE)?)?;
        let (_, _, public_key_info) = tbs.element()?;
        let _unique_ids = (tbs.take(CONTEXT_1), tbs.take(CONTEXT_2));
        let extensions = tbs.take(CONTEXT_3).and_then(|body| Reader(body).take(SEQUENCE)).unwrap_or_default();
        Some(Certificate { issuer, not_before, not_after, subject, public_key_info, signed_with, extensions })
    }

    /// The host names and addresses that it is for: those of its subjectAltName.
    pub(crate) fn names(&self) -> Vec<String> {
        const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
        const DNS_NAME: u8 = 0x82;
        const IP_ADDRESS: u8 = 0x87;
        let (mut extensions, mut names) = (Reader(self.extensions), Vec::new());
        while let Some(extension) = extensions.take(SEQUENCE) {
            let mut extension = Reader(extension);
            let kind = extension.take(OBJECT_ID);
            let _critical = extension.take(BOOLEAN);
            let Some(value) = extension.take(OCTET_STRING).filter(|_| kind == Some(SUBJECT_ALT_NAME)) else {
                continue;
            };
            let mut list = Reader(Reader(value).take(SEQUENCE).unwrap_or_default());
            while let Some((tag, value, _)) = list.element() {
                match (tag, value.len()) {
                    (DNS_NAME, _) => names.push(text(tag, value)),
                    (IP_ADDRESS, 4) => {
                        names.extend(value.first_chunk::<4>().map(|ip| Ipv4Addr::from(*ip).to_string()))
                    }
                    (IP_ADDRESS, 16) => {
                        names.extend(value.first_chunk::<16>().map(|ip| Ipv6Addr::from(*ip).to_string()));
                    }
                    _ => {}
                }
            }
        }
        names
    }

    /// How it is signed, if that is a way that the router does not verify.
    pub(crate) fn unusual_signature(&self) -> Option<&'static str> {
        Some(match self.signed_with {
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] => "SHA-1",
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4] => "MD5",
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1] | [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14] => {
                "SHA-224"
            }
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => "ECDSA and SHA-512, as with keys of P-521",
            [0x2b, 0x65, 113] => "Ed448",
            [0x2a, 0x86, 0x48, 0xce, 0x38, 4, ..] | [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 1..=8] => "DSA",
            _ => return None,
        })
    }
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0x81;
const CONTEXT_2: u8 = 0x82;
const CONTEXT_3: u8 = 0xa3;

/// Reads elements of DER, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: tag, contents, and the whole of it.
    fn element(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        let whole = &self.0[..self.0.len() - rest.len()];
        self.0 = rest;
        Some((tag, contents, whole))
    }

    /// The contents of the next element if it has this tag; otherwise it stays.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if *self.0.first()? != tag {
            return None;
        }
        self.element().map(|(_, contents, _)| contents)
    }
}

/// The element of a distinguished name as `C=US, O=Example, CN=host`.
pub(crate) fn distinguished_name(element: &[u8]) -> Option<String> {
    name(Reader(element).take(SEQUENCE)?)
}

/// A distinguished name as `C=US, O=Example, CN=host`.
fn name(contents: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    let mut sets = Reader(contents);
    while let Some(set) = sets.take(SET) {
        let mut attributes = Reader(set);
        while let Some(attribute) = attributes.take(SEQUENCE) {
            let mut attribute = Reader(attribute);
            let (_, oid, _) = attribute.element()?;
            let (tag, value, _) = attribute.element()?;
            parts.push(format!("{}={}", attribute_type(oid), text(tag, value)));
        }
    }
    Some(if parts.is_empty() { "(empty)".to_owned() } else { parts.join(", ") })
}

fn attribute_type(oid: &[u8]) -> &'static str {
    match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "emailAddress",
        _ => "other",
    }
}

/// A string of any of the types that names use, fit for a terminal.
fn text(tag: u8, value: &[u8]) -> String {
    const BMP_STRING: u8 = 0x1e;
    const T61_STRING: u8 = 0x14;
    let text = match tag {
        BMP_STRING => {
            let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        T61_STRING => value.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(value).into_owned(),
    };
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).take(200).collect()
}

/// UTCTime `YYMMDDhhmmssZ` (1950 to 2049) or GeneralizedTime `YYYYMMDDhhmmssZ`.
fn time(tag: u8, value: &[u8]) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    let digits = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let full = match tag {
        UTC_TIME if "50" <= digits => format!("19{digits}"),
        UTC_TIME => format!("20{digits}"),
        _ => digits.to_owned(),
    };
    if full.len() != 14 || !full.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (date, clock) = full.split_at(8);
    format!("{date}T{clock}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn certificate() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["vc01.test".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let names = &mut params.distinguished_name;
        names.push(rcgen::DnType::OrganizationName, "Söhne, Inc");
        let bmp = rcgen::string::BmpString::try_from("Käse").unwrap();
        names.push(rcgen::DnType::LocalityName, rcgen::DnValue::BmpString(bmp));
        names.push(rcgen::DnType::from_oid(&[2, 5, 4, 5]), "1234");
        names.push(rcgen::DnType::CommonName, "vc01");
        params.not_before = rcgen::date_time_ymd(1999, 12, 31);
        params.not_after = rcgen::date_time_ymd(2050, 1, 1);
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn fields_of_a_certificate() {
        let der = certificate();
        let read = Certificate::read(&der).unwrap();
        assert_eq!(read.subject, "O=Söhne, Inc, L=Käse, other=1234, CN=vc01");
        assert_eq!(read.issuer, read.subject);
        assert_eq!(read.not_before.unwrap().to_string(), "1999-12-31T00:00:00Z");
        assert_eq!(read.not_after.unwrap().to_string(), "2050-01-01T00:00:00Z");
        assert_eq!((read.names(), read.unusual_signature()), (vec!["vc01.test".to_owned()], None));
        assert_eq!(key_kind(read.public_key_info).as_deref(), Some("P-256"));
        let (algorithm, key) = public_key(read.public_key_info).unwrap();
        assert_eq!((algorithm[0], key[0], key.len()), (0x06, 4, 65));
    }

    #[test]
    fn damaged_certificates_are_survived() {
        let der = certificate();
        for length in 0..der.len() {
            assert_eq!(Certificate::read(&der[..length]), None, "{length}");
        }
        let mut random = Random::from_test("damaged_certificates_are_survived");
        for _ in 0..20_000 {
            let mut damaged = der.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(damaged.len());
                damaged[at] = random.bits() as u8;
            }
            if let Some(read) = Certificate::read(&damaged) {
                read.names();
                key_kind(read.public_key_info);
                assert!(!read.subject.chars().any(char::is_control));
                public_key(read.public_key_info);
            }
        }
    }

    #[test]
    fn times_that_are_none() {
        for (tag, value) in
            [(0x17, "991332000000Z"), (0x18, "99991231235959"), (0x17, "+90101000000Z"), (0x18, "Z")]
        {
            assert_eq!(time(tag, value.as_bytes()), None, "{value}");
        }
    }
}
