//! Certificates that the configuration names, or that others hand to the router: PEM, or one as DER.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Context, Error, Result};
use crate::limits::CA_FILE_BYTES_MAX;
use crate::owned;
use crate::plain_file;
use crate::text_file::text_of;

/// The content of a bundle.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn read_bundle(path: &Path) -> Result<Vec<u8>> {
    let intent = || format!("read ca_file {}", path.display());
    plain_file::read(path, CA_FILE_BYTES_MAX)
        .map_err(|error| owned::access_text(&error, path))
        .context(intent)
}

/// The certificates of a bundle that was read from `path`: at least one.
///
/// # Errors
/// When it holds no certificate; what it holds in place of one, and the command that makes PEM of it.
pub(crate) fn certificates(path: &Path, bundle: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let file = path.display().to_string();
    read(bundle, &file).context(|| format!("read ca_file {file}"))
}

/// The certificates of a text: at least one.
///
/// # Errors
/// When it holds no certificate.
pub(crate) fn certificates_of(text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    read(text, "FILE")
}

/// Certificates as PEM, or one as DER.
fn read(bundle: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>> {
    if bundle.starts_with(b"PK\x03\x04") {
        return Err(Error::new(
            "it is a ZIP archive, as vCenter's page offers it: unpack it and name the file of its folder certs/lin that \
             ends with .0",
        ));
    }
    if let Some(body) = der_body(bundle) {
        return match body.first() {
            // A certificate begins with what is signed, PKCS#7 with its type, PKCS#12 with its version.
            Some(&SEQUENCE) => Ok(vec![CertificateDer::from(bundle.to_vec())]),
            Some(&OBJECT) => Err(convert("PKCS#7", "pkcs7 -inform DER -print_certs", file)),
            _ => Err(convert("PKCS#12 or another binary form", "pkcs12 -nokeys", file)),
        };
    }
    let text = text_of(bundle)?;
    // Blanks around a line, as they come with copies, are not PEM's.
    let lines = text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join("\n");
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| damaged(&text))?;
    if !found.iter().all(|found| der_body(found).is_some_and(|body| body.first() == Some(&SEQUENCE))) {
        return Err(damaged(&text));
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let holds = |kind: &str| text.contains(&format!("-----BEGIN {kind}-----"));
    Err(match () {
        () if holds("PKCS7") || holds("CMS") => convert("PKCS#7", "pkcs7 -print_certs", file),
        () if holds("TRUSTED CERTIFICATE") => convert("a trusted certificate of OpenSSL", "x509", file),
        () if text.contains("PRIVATE KEY-----") => {
            Error::new("it holds a private key and no certificate: name the file of the certificate")
        }
        () if text.contains("-----BEGIN CERTIFICATE REQUEST-----") => {
            Error::new("it holds a request and no certificate: name the file that the authority sent back")
        }
        () if text.starts_with("MI") => Error::new(
            "it holds no PEM certificate: put a line -----BEGIN CERTIFICATE----- before its text and a line \
             -----END CERTIFICATE----- behind it",
        ),
        () if text.is_empty() => Error::new("it is empty: name the file of a certificate"),
        () if text.starts_with('<') => {
            Error::new("it is a web page and no certificate: download the file itself, and look at it")
        }
        () => Error::new("it holds no PEM certificate: name a file with a line -----BEGIN CERTIFICATE-----"),
    })
}

/// A file of which a part is missing, or changed on its way.
fn damaged(text: &str) -> Error {
    let count = |mark: &str| text.matches(mark).count();
    Error::new(match count("-----BEGIN ") == count("-----END ") {
        true => "the text of a certificate in it is damaged: copy the file again",
        false => "it is cut, a line -----END CERTIFICATE----- is missing: copy the file again",
    })
}

fn convert(what: &str, command: &str, file: &str) -> Error {
    Error::new(format!("it is {what}, make PEM of it: openssl {command} -in {file} -out {file}.pem"))
}

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;

/// What a sequence of DER that is the whole of a file holds. Text never begins so.
fn der_body(bytes: &[u8]) -> Option<&[u8]> {
    let (SEQUENCE, rest) = bytes.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
    let (length, rest) = rest.split_first()?;
    let count = usize::from(length.checked_sub(0x80)?);
    // 0x80 alone stands for a length that the end tells.
    (count <= 4 && count < rest.len()).then(|| &rest[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> (String, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(["ca".to_string()]).unwrap();
        (made.cert.pem(), made.cert.der().to_vec())
    }

    #[test]
    fn certificates_come_as_any_system_writes_them() {
        let (pem, der) = certificate();
        let crlf = pem.replace('\n', "\r\n");
        let mac = pem.trim_end().replace('\n', "\r");
        let blanks = pem.replace('\n', " \n");
        for text in
            [&pem, &crlf, &mac, &blanks, &format!("\u{feff}{crlf}"), &format!("subject=CN = ca\n{pem}")]
        {
            assert_eq!(
                certificates_of(text.as_bytes()).unwrap(),
                [CertificateDer::from(der.clone())],
                "{text:?}"
            );
        }
        assert_eq!(certificates_of(pem.repeat(2).as_bytes()).unwrap().len(), 2);
        assert_eq!(certificates_of(&der).unwrap(), [CertificateDer::from(der.clone())]);
    }

    #[test]
    fn what_is_no_certificate_is_named_with_the_command_that_helps() {
        let (pem, _) = certificate();
        let utf_16: Vec<u8> =
            [0xff, 0xfe].into_iter().chain(pem.bytes().flat_map(|byte| [byte, 0])).collect();
        let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let labelled = |label: &str| pem.replace("CERTIFICATE", label).into_bytes();
        for (bytes, words) in [
            (utf_16, "UTF-16"),
            (bare.into_bytes(), "put a line -----BEGIN CERTIFICATE-----"),
            (labelled("PKCS7"), "openssl pkcs7 -print_certs -in FILE -out FILE.pem"),
            (labelled("PRIVATE KEY"), "private key"),
            (labelled("TRUSTED CERTIFICATE"), "openssl x509 -in FILE"),
            (labelled("CERTIFICATE REQUEST"), "a request"),
            (b"\x30\x82\x01\x00\x06\x09\x2a".to_vec(), "openssl pkcs7 -inform DER -print_certs -in FILE"),
            (b"\x30\x80\x06\x09\x2a".to_vec(), "openssl pkcs7 -inform DER -print_certs -in FILE"),
            (b"\x30\x82\x01\x00\x02\x01\x03".to_vec(), "openssl pkcs12 -nokeys -in FILE"),
            (b"# nothing\n".to_vec(), "it holds no PEM certificate: name a file with a line"),
            (b"".to_vec(), "it is empty"),
            (b"\n".to_vec(), "it is empty"),
            (b"<html>\n".to_vec(), "a web page"),
            (b"PK\x03\x04\x14\0".to_vec(), "a ZIP archive"),
            (pem.replace("-----END", "----END").into_bytes(), "it is cut"),
            (pem.replace("M", "!").into_bytes(), "is damaged"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_vec(), "is damaged"),
            (labelled("X509 CRL"), "it holds no PEM certificate"),
            (b"0".to_vec(), "it holds no PEM certificate"),
        ] {
            let error = certificates_of(&bytes).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
