//! PEM certificates that the configuration names, or that others hand to the router.

use std::io::Read;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Context, Error, Result, io_text};
use crate::limits::CA_FILE_BYTES_MAX;

/// The content of a bundle.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn read_bundle(path: &Path) -> Result<Vec<u8>> {
    let intent = || format!("read ca_file {}", path.display());
    let file = std::fs::File::open(path).map_err(|error| io_text(&error)).context(intent)?;
    let mut bundle = Vec::new();
    file.take(CA_FILE_BYTES_MAX).read_to_end(&mut bundle).map_err(|error| io_text(&error)).context(intent)?;
    Ok(bundle)
}

/// The certificates of a bundle that was read from `path`: at least one.
///
/// # Errors
/// When it is not PEM, or holds no certificate.
pub(crate) fn certificates(path: &Path, bundle: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    certificates_of(bundle).context(|| format!("read ca_file {}", path.display()))
}

/// The certificates of a PEM text: at least one.
///
/// # Errors
/// When it is not PEM, or holds no certificate.
pub(crate) fn certificates_of(text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| Error::new(error.to_string()))?;
    if found.is_empty() {
        return Err(Error::new("it holds no PEM certificate"));
    }
    Ok(found)
}
