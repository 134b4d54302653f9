//! A signature over the bytes of a body, by a key that both sides know (HMAC, RFC 2104). Pure.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

/// The hash below the signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// For receivers that know nothing else.
    Sha1,
    #[default]
    Sha256,
    Sha512,
}

/// How the signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SignatureFormat {
    #[default]
    Hex,
    Base64,
}

/// The value of the header: the prefix and the signature.
pub(super) fn signature(
    algorithm: Algorithm,
    format: SignatureFormat,
    prefix: &str,
    key: &str,
    body: &[u8],
) -> String {
    let algorithm = match algorithm {
        Algorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::Sha256 => hmac::HMAC_SHA256,
        Algorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let tag = hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), body);
    let mut text = prefix.to_string();
    match format {
        SignatureFormat::Base64 => text.push_str(&BASE64_STANDARD.encode(tag)),
        SignatureFormat::Hex => tag.as_ref().iter().for_each(|byte| {
            let _ = write!(text, "{byte:02x}");
        }),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 and RFC 2202, test case 2.
    #[test]
    fn signatures_are_those_of_the_standards() {
        let sign = |algorithm, format, prefix| {
            signature(algorithm, format, prefix, "Jefe", b"what do ya want for nothing?")
        };
        assert_eq!(
            sign(Algorithm::Sha256, SignatureFormat::Hex, "sha256="),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            sign(Algorithm::Sha256, SignatureFormat::Base64, ""),
            "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="
        );
        assert_eq!(
            sign(Algorithm::Sha1, SignatureFormat::Hex, ""),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        assert!(
            sign(Algorithm::Sha512, SignatureFormat::Hex, "")
                .starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd6")
        );
    }
}
