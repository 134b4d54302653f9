//! Certificates and keys that the configuration names, or that others hand to the router: PEM, or one
//! as DER.

use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
    read_file(path).context(|| format!("read ca_file {}", path.display()))
}

/// The content of a file of certificates or keys, as far as one can be long.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>> {
    plain_file::read(path, CA_FILE_BYTES_MAX).map_err(|error| Error::new(owned::access_text(&error, path)))
}

/// The certificates of a bundle that was read from `path`: at least one.
///
/// # Errors
/// When it holds no certificate; what it holds in place of one, and the command that makes PEM of it.
pub(crate) fn certificates(path: &Path, bundle: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let file = path.display().to_string();
    certificates_in(bundle, &file).context(|| format!("read ca_file {file}"))
}

/// The certificates of a text: at least one.
///
/// # Errors
/// When it holds no certificate.
pub(crate) fn certificates_of(text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    certificates_in(text, "FILE")
}

/// Certificates as PEM, or one as DER; `file` is its name in commands that help.
///
/// # Errors
/// When it holds no certificate.
pub(crate) fn certificates_in(bundle: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>> {
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
    let text = lines_of(bundle)?;
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| damaged(&text, "CERTIFICATE"))?;
    if !found.iter().all(|found| der_body(found).is_some_and(|body| body.first() == Some(&SEQUENCE))) {
        return Err(damaged(&text, "CERTIFICATE"));
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
        () if text.starts_with("MI") => unframed("CERTIFICATE"),
        () if text.is_empty() => Error::new("it is empty: name the file of a certificate"),
        () if text.starts_with('<') => {
            Error::new("it is a web page and no certificate: download the file itself, and look at it")
        }
        () => Error::new("it holds no PEM certificate: name a file with a line -----BEGIN CERTIFICATE-----"),
    })
}

/// The first private key of a PEM text, or the one of a file as DER: PKCS#8, PKCS#1 or SEC1.
///
/// # Errors
/// When it holds none that can be read without a passphrase; the command that helps.
pub(crate) fn private_key(bytes: &[u8], file: &str) -> Result<PrivateKeyDer<'static>> {
    const TAKE_OFF: &str =
        "it is protected by a passphrase, which a service cannot be asked for: take it off";
    match der_body(bytes) {
        // The version of PKCS#12.
        Some([0x02, 1, 3, ..]) => return Err(convert("PKCS#12", "pkcs12 -nodes", file)),
        // EncryptedPrivateKeyInfo (RFC 5958 section 3): how it is encrypted, which is short.
        Some([SEQUENCE, ..0x80, OBJECT, ..]) => {
            return Err(Error::new(format!(
                "{TAKE_OFF}: openssl pkcs8 -inform DER -in {file} -out {file}.pem"
            )));
        }
        Some([SEQUENCE, ..]) => return Err(Error::new("it holds no private key: name the file of the key")),
        _ => {}
    }
    if let Ok(key) = PrivateKeyDer::try_from(bytes.to_vec()) {
        return Ok(key);
    }
    let text = lines_of(bytes)?;
    let holds = |kind: &str| text.contains(&format!("-----BEGIN {kind}-----"));
    if holds("ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(Error::new(format!("{TAKE_OFF}: openssl pkey -in {file} -out {file}.plain")));
    }
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(key) => return Ok(key),
        Err(pem::Error::NoItemsFound) => {}
        Err(_) => return Err(damaged(&text, "PRIVATE KEY")),
    }
    Err(match () {
        () if holds("OPENSSH PRIVATE KEY") || text.starts_with("PuTTY-User-Key-File") => {
            Error::new("it is a key for SSH: name the file of the certificate's own key")
        }
        () if holds("DSA PRIVATE KEY") => Error::new("it is a DSA key, which TLS no longer uses"),
        () if text.contains("PUBLIC KEY-----") => {
            Error::new("it holds a public key: name the file of the private one")
        }
        () if text.contains("-----BEGIN CERTIFICATE") => {
            Error::new("it holds a certificate and no private key: name the file of the key")
        }
        () if text.starts_with("MI") => unframed("PRIVATE KEY"),
        () => Error::new("it holds no PEM private key"),
    })
}

/// The text without what is not PEM's: a mark at its begin, blanks around a line as they come with
/// copies, empty lines.
fn lines_of(bytes: &[u8]) -> Result<String> {
    let text = text_of(bytes)?;
    let lines = text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn unframed(kind: &str) -> Error {
    Error::new(format!(
        "it is base64 without its frame: put a line -----BEGIN {kind}----- before its text and a line \
         -----END {kind}----- behind it"
    ))
}

/// A file of which a part is missing, or changed on its way.
fn damaged(text: &str, kind: &str) -> Error {
    let count = |mark: &str| text.matches(mark).count();
    Error::new(match count("-----BEGIN ") == count("-----END ") {
        true => format!("the text of a {} in it is damaged: copy the file again", kind.to_lowercase()),
        false => format!("it is cut, a line -----END {kind}----- is missing: copy the file again"),
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

    #[test]
    fn keys_come_as_any_tool_writes_them() {
        let key = rcgen::KeyPair::generate().unwrap();
        let (pem, der) = (key.serialize_pem(), key.serialize_der());
        let (certificate, _) = certificate();
        for bytes in [
            pem.clone().into_bytes(),
            format!("\u{feff}{}", pem.replace('\n', "\r\n")).into_bytes(),
            format!("{certificate}{pem}").into_bytes(),
            format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{pem}")
                .into_bytes(),
            der.clone(),
        ] {
            let read = private_key(&bytes, "FILE").unwrap();
            assert_eq!(read.secret_der(), der);
        }
    }

    #[test]
    fn what_is_no_key_is_named_and_nothing_of_it_is_told() {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let secret = pem.lines().nth(1).unwrap().to_owned();
        let labelled = |label: &str| pem.replace("PRIVATE KEY", label).into_bytes();
        let bare: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let legacy = pem
            .replace(" PRIVATE", " RSA PRIVATE")
            .replace(&secret, &format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{secret}"));
        let broken_off = pem.split_once("-----END").unwrap().0.to_owned();
        let encrypted_der = [b"\x30\x82\x01\x00\x30\x57\x06\x09".as_slice(), &[7; 300]].concat();
        for (bytes, words) in [
            (labelled("ENCRYPTED PRIVATE KEY"), "openssl pkey -in FILE -out FILE.plain"),
            (legacy.into_bytes(), "openssl pkey -in FILE -out FILE.plain"),
            (encrypted_der, "openssl pkcs8 -inform DER -in FILE -out FILE.pem"),
            (b"\x30\x82\x01\x00\x02\x01\x03\x30".to_vec(), "openssl pkcs12 -nodes -in FILE"),
            (certificate().1, "it holds no private key"),
            (labelled("OPENSSH PRIVATE KEY"), "a key for SSH"),
            (labelled("DSA PRIVATE KEY"), "a DSA key"),
            (labelled("PUBLIC KEY"), "a public key"),
            (certificate().0.into_bytes(), "a certificate and no private key"),
            (bare.into_bytes(), "put a line -----BEGIN PRIVATE KEY-----"),
            (broken_off.into_bytes(), "it is cut"),
            (pem.replace(&secret, "%%%").into_bytes(), "is damaged: copy"),
            (pem.replace("KEY-----\n", "KEY\n").into_bytes(), "is damaged: copy"),
            (Vec::new(), "it holds no PEM private key"),
        ] {
            let error = private_key(&bytes, "FILE").unwrap_err().to_string();
            assert!(error.contains(words), "{error}, not {words}");
            assert!(!error.contains(&secret) && !error.contains('['), "{error}");
        }
    }
}
