//! The certificate with which the router shows who it is, and its key. Pure.

use jiff::Timestamp;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::error::{Error, Result};
use crate::x509::{Certificate, key_kind, public_key};

/// The kinds of keys that the router signs with, for messages.
const KINDS: &str = "RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519";

/// The certificate of `chain`, which was read from `file`, that belongs to the key, and behind it the
/// others.
///
/// # Errors
/// A key that the router cannot sign with, or that is none of the certificates'.
pub(crate) fn pair(
    mut chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    file: &str,
) -> Result<CertifiedKey> {
    let first = chain.first().and_then(|first| Certificate::read(first));
    let first = first.ok_or_else(|| Error::new("its certificate cannot be read"))?;
    let Ok(key) = default_provider().key_provider.load_private_key(key) else {
        let kind = key_kind(first.public_key_info).map_or_else(String::new, |kind| format!("{kind}, "));
        return Err(Error::new(format!("the router cannot sign with this key ({kind}it has to be {KINDS})")));
    };
    let public = key.public_key();
    let own = public.as_ref().and_then(|info| public_key(info)).map(|(_, bits)| bits);
    let belongs = |certificate: &CertificateDer<'_>| {
        let read = Certificate::read(certificate);
        let bits = read.and_then(|read| public_key(read.public_key_info)).map(|(_, bits)| bits);
        own.zip(bits).is_some_and(|(own, bits)| is_same_key(own, bits))
    };
    let Some(place) = chain.iter().position(belongs) else {
        let subject = &first.subject;
        return Err(Error::new(format!(
            "it is not the key of the certificate in {file} (subject {subject})"
        )));
    };
    let own = chain.remove(place);
    chain.insert(0, own);
    Ok(CertifiedKey::new(chain, key))
}

/// What keeps a server from believing the first certificate of a chain, whatever signed it.
pub(crate) fn doubt(chain: &[CertificateDer<'_>], now: Timestamp) -> Option<String> {
    let read = Certificate::read(chain.first()?)?;
    match (read.not_before, read.not_after) {
        (_, Some(end)) if end < now => Some(format!("it has expired at {end}")),
        (Some(begin), _) if now < begin => Some(format!("it is not valid before {begin}")),
        _ => None,
    }
}

/// Whether two texts of bits are one public key; a point of a curve may be written short in the second.
fn is_same_key(own: &[u8], bits: &[u8]) -> bool {
    match (own, bits) {
        ([4, own @ ..], [2 | 3, bits @ ..]) => own.len() == 2 * bits.len() && own.starts_with(bits),
        _ => own == bits,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivatePkcs8KeyDer;

    use super::*;

    fn signed_by_itself(key: &KeyPair) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["router".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        params.self_signed(key).unwrap().der().clone()
    }

    fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(key.serialize_der()).into()
    }

    #[test]
    fn the_certificate_of_the_key_stands_first() {
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let (own, other) = (KeyPair::generate_for(algorithm).unwrap(), KeyPair::generate().unwrap());
            let chain = [signed_by_itself(&other), signed_by_itself(&own)];
            let paired = pair(chain.to_vec(), private(&own), "FILE").unwrap();
            assert_eq!(paired.cert, [chain[1].clone(), chain[0].clone()]);
            let error = pair(chain[..1].to_vec(), private(&own), "FILE").unwrap_err().to_string();
            let expected = "it is not the key of the certificate in FILE (subject CN=rcgen self signed cert)";
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn what_cannot_sign_is_said() {
        let key = PrivatePkcs8KeyDer::from(vec![0x30, 0]);
        let certificate = signed_by_itself(&KeyPair::generate().unwrap());
        let error = pair(vec![certificate], key.into(), "FILE").unwrap_err().to_string();
        assert_eq!(error, format!("the router cannot sign with this key (P-256, it has to be {KINDS})"));
        let key = private(&KeyPair::generate().unwrap());
        let error = pair(vec![vec![0x30, 0].into()], key, "FILE").unwrap_err().to_string();
        assert_eq!(error, "its certificate cannot be read");
    }

    #[test]
    fn time_makes_a_certificate_doubtful() {
        let chain = [signed_by_itself(&KeyPair::generate().unwrap())];
        let at = |time: &str| doubt(&chain, time.parse().unwrap());
        assert_eq!(at("2020-06-01T00:00:00Z"), None);
        assert_eq!(at("2021-06-01T00:00:00Z").unwrap(), "it has expired at 2021-01-01T00:00:00Z");
        assert_eq!(at("2019-06-01T00:00:00Z").unwrap(), "it is not valid before 2020-01-01T00:00:00Z");
        assert_eq!(doubt(&[], "2019-06-01T00:00:00Z".parse().unwrap()), None);
    }

    #[test]
    fn a_point_may_be_written_short() {
        assert!(is_same_key(&[4, 1, 2, 3, 4], &[3, 1, 2]));
        assert!(!is_same_key(&[4, 1, 2, 3, 4], &[3, 3, 4]));
        assert!(!is_same_key(&[4, 1, 2, 3, 4], &[3]));
        assert!(!is_same_key(&[4, 1], &[4, 2]));
    }
}
