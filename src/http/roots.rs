//! The operating system's trusted roots, wherever the distribution keeps them, or what
//! `SSL_CERT_FILE` and `SSL_CERT_DIR` name in their place.
//!
//! Distributions have a bundle, and beside it a folder with the same certificates one by one, under
//! several names. So each is read and forgotten before the next: all at once are a third of what an
//! idle router needs.

use std::collections::HashSet;
use std::fmt::Display;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};

/// The trusted roots of the system; read once.
pub(super) fn system_roots() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let (bundle, folders) = places();
        let (roots, ignored) = read(bundle.as_deref(), &folders);
        log::debug!("{} trusted certificates of the system, {ignored} not usable", roots.len());
        Arc::new(roots)
    })
}

/// The bundle and the folders to read.
fn places() -> (Option<PathBuf>, Vec<PathBuf>) {
    let bundle = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let folders = std::env::var_os("SSL_CERT_DIR").unwrap_or_default();
    let folders = std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty());
    let folders: Vec<PathBuf> = folders.collect();
    if bundle.is_some() || !folders.is_empty() {
        return (bundle, folders);
    }
    let found = openssl_probe::probe();
    (found.cert_file, found.cert_dir)
}

/// Every authority once, and how many certificates were none. What cannot be read is said.
fn read(bundle: Option<&Path>, folders: &[PathBuf]) -> (RootCertStore, usize) {
    let (mut roots, mut ignored) = (RootCertStore::empty(), 0);
    // Of files that were read: device and number.
    let mut seen = HashSet::new();
    for path in bundle.map(Path::to_owned).into_iter().chain(folders.iter().flat_map(|path| files(path))) {
        match std::fs::metadata(&path) {
            Ok(file) if !file.is_dir() && seen.insert((file.dev(), file.ino())) => {
                read_file(&path, &mut roots, &mut ignored);
            }
            Ok(_) => {}
            // A link that leads nowhere.
            Err(error) if error.kind() == ErrorKind::NotFound && bundle != Some(&path) => {}
            Err(error) => complain(&path, error),
        }
    }
    (roots, ignored)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(error) => {
            complain(folder, error);
            Vec::new()
        }
    }
}

fn read_file(path: &Path, roots: &mut RootCertStore, ignored: &mut usize) {
    let found = match CertificateDer::pem_file_iter(path) {
        Ok(found) => found,
        Err(error) => return complain(path, error),
    };
    for certificate in found {
        match certificate.map(|certificate| roots.add(certificate)) {
            Ok(Ok(())) => {
                if let Some((new, before)) = roots.roots.split_last()
                    && before.contains(new)
                {
                    roots.roots.pop();
                }
            }
            Ok(Err(_)) => *ignored += 1,
            Err(error) => {
                complain(path, &error);
                if matches!(error, PemError::Io(_)) {
                    return;
                }
            }
        }
    }
}

fn complain(path: &Path, error: impl Display) {
    log::warn!("read the system's trusted certificates: {}: {error}", path.display());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::folder;

    fn authority() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut of = rcgen::CertificateParams::default();
        of.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        of.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        of.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn each_authority_is_trusted_once_whatever_else_lies_there() {
        let test = folder("roots");
        let path = |name: &str| test.path().join(name);
        let [one, two, three] = [(); 3].map(|()| authority());
        std::fs::write(path("bundle.pem"), format!("# {one}{two}")).unwrap();
        let certs = path("certs");
        std::fs::create_dir_all(certs.join("folder")).unwrap();
        for (name, text) in [("1.pem", one), ("3.pem", format!("{three}{three}")), ("README", "x".into())] {
            std::fs::write(certs.join(name), text).unwrap();
        }
        std::fs::write(
            certs.join("bad.pem"),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        std::os::unix::fs::symlink(path("nowhere"), certs.join("0a775a30.0")).unwrap();
        std::os::unix::fs::symlink(certs.join("3.pem"), certs.join("3.0")).unwrap();

        let (roots, ignored) = read(Some(&path("bundle.pem")), std::slice::from_ref(&certs));
        assert_eq!((roots.len(), ignored), (3, 1));
        let (roots, _) = read(None, &[path("nowhere"), certs]);
        assert_eq!(roots.len(), 2);
        assert_eq!(read(Some(&path("nowhere")), &[]).0.len(), 0);
        assert_eq!(read(Some(Path::new("/dev/null")), &[]).0.len(), 0);
    }
}
