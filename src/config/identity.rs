//! `client_cert` and `client_key` of a `tls` section: the certificate with which the router shows who
//! it is.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::TlsIdentity;
use super::reader::{Table, Value};
use super::secret::Secret;
use super::values::{is_absent, refuse_table};
use crate::error::Result;
use crate::identity;
use crate::pem;

/// Both keys, or neither; none when a problem was noted.
pub(super) fn of_table(table: &Table<'_>) -> Option<Option<TlsIdentity>> {
    let certificate = table.get("client_cert", Value::client_certificate);
    let key = table.get("client_key", |value| value.client_key(certificate.as_ref()));
    match (table.has("client_cert"), table.has("client_key")) {
        (false, false) => Some(None),
        (true, true) => {
            let certificate = Secret::File(certificate?.path);
            Some(Some(TlsIdentity { certificate, key: Secret::File(key?) }))
        }
        (true, false) => refuse_table(table, "holds `client_cert` without `client_key`, the file of its key"),
        (false, true) => {
            refuse_table(table, "holds `client_key` without `client_cert`, the file of its certificate")
        }
    }
}

/// The file of a client certificate, and what it holds where the command uses it.
struct Shown {
    path: PathBuf,
    chain: Option<Vec<CertificateDer<'static>>>,
}

impl Value<'_> {
    fn client_certificate(&self) -> Option<Shown> {
        let path = self.secret_path()?;
        if !self.is_file_used(&path) {
            return Some(Shown { path, chain: None });
        }
        let read = |file: &str| pem::certificates_in(&pem::read_file(&path)?, file);
        let chain = self.read_or_refuse(&path, read)?;
        if let Some(doubt) = identity::doubt(&chain, jiff::Timestamp::now()) {
            self.warning(format!("the certificate in {}: {doubt}", path.display()));
        }
        Some(Shown { path, chain: Some(chain) })
    }

    fn client_key(&self, certificate: Option<&Shown>) -> Option<PathBuf> {
        let path = self.secret_path()?;
        if !self.is_file_used(&path) {
            return Some(path);
        }
        self.warn_about_mode(&path);
        self.read_or_refuse(&path, |file| {
            let key = pem::private_key(&pem::read_file(&path)?, file)?;
            let Some(Shown { path, chain: Some(chain) }) = certificate else { return Ok(()) };
            identity::pair(chain.clone(), key, &path.display().to_string()).map(|_| ())
        })?;
        Some(path)
    }

    fn read_or_refuse<T>(&self, path: &Path, read: impl FnOnce(&str) -> Result<T>) -> Option<T> {
        let file = path.display().to_string();
        match read(&file) {
            Ok(read) => Some(read),
            Err(error) => {
                let hint = if is_absent(path) { self.document().relative_hint() } else { String::new() };
                self.refuse(format!("read {file}: {error}{hint}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use crate::config::file::Overrides;
    use crate::config::secret::{Secret, SecretUse};
    use crate::kinds::{Config, parse};
    use crate::processor::eventbridge::settings::EventbridgeConfig;
    use crate::processor::http::settings::HttpConfig;
    use crate::processor::knative::settings::KnativeConfig;
    use crate::processor::openfaas::settings::OpenfaasConfig;
    use crate::source::vcenter::settings::VcenterConfig;
    use crate::temporary::TemporaryFolder;
    use crate::testing::{folder, settings};

    /// A folder with `own.pem`, its `own.key`, and another certificate and key.
    fn files() -> TemporaryFolder {
        let folder = folder("identity");
        for name in ["own", "other"] {
            let key = KeyPair::generate().unwrap();
            let certificate =
                CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
            let write = |kind: &str, text: &str| {
                std::fs::write(folder.path().join(format!("{name}.{kind}")), text).unwrap();
            };
            write("pem", &certificate.pem());
            write("key", &key.serialize_pem());
            write("locked", &key.serialize_pem().replace("PRIVATE", "ENCRYPTED PRIVATE"));
        }
        folder
    }

    const FILE: &str = "[source.vc]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 'p'\nTLS\n\
        [processor.k]\ntype = 'knative'\nuri = 'https://a'\nTLS\n\
        [processor.o]\ntype = 'openfaas'\naddress = 'https://a'\nTLS\n\
        [processor.e]\ntype = 'eventbridge'\nregion = 'eu-central-1'\nTLS\n\
        [processor.h]\ntype = 'http'\nuri = 'https://a'\nTLS\n";

    fn read(folder: &TemporaryFolder, text: &str, secrets: SecretUse) -> Result<Config, Vec<String>> {
        let overrides = Overrides { secrets, ..Overrides::default() };
        let parsed = parse(text, &folder.path().join("router.toml"), &overrides, &|_| None);
        parsed.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    /// What is said about one source with these keys, without the folder's name.
    fn said(folder: &TemporaryFolder, tls: &str, secrets: SecretUse) -> String {
        let text = FILE.replacen("TLS", tls, 1).replace("TLS\n", "");
        let place = format!("{}/", folder.path().display());
        let said = match read(folder, &text, secrets) {
            Ok(config) => config.warnings.iter().map(ToString::to_string).collect(),
            Err(problems) => problems,
        };
        let said = said.iter().filter(|line| !line.contains("can be read by every user"));
        said.map(|line| line.replace(&place, "")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_endpoint_takes_a_client_certificate() {
        let folder = files();
        let tls = "tls = { client_cert = 'own.pem', client_key = 'own.key' }";
        let config = read(&folder, &FILE.replace("TLS", tls), SecretUse::Needed).unwrap();
        let vcenter: &VcenterConfig = settings(&*config.sources[0].settings);
        let [knative, openfaas, eventbridge, http] = &*config.processors else { panic!("{config:?}") };
        let knative: &KnativeConfig = settings(&*knative.settings);
        let openfaas: &OpenfaasConfig = settings(&*openfaas.settings);
        let eventbridge: &EventbridgeConfig = settings(&*eventbridge.settings);
        let http: &HttpConfig = settings(&*http.settings);
        for connection in [
            &vcenter.connection,
            &knative.connection,
            &openfaas.connection,
            &eventbridge.connection,
            &http.connection,
        ] {
            let identity = connection.tls.identity.as_ref().unwrap();
            assert_eq!(identity.certificate, Secret::File(folder.path().join("own.pem")));
            assert_eq!(identity.key, Secret::File(folder.path().join("own.key")));
        }
    }

    #[test]
    fn a_wrong_pair_is_named_with_its_file() {
        let folder = files();
        for (tls, expected) in [
            ("client_cert = 'own.pem'", "tls: holds `client_cert` without `client_key`, the file of its key"),
            (
                "client_key = 'own.key'",
                "tls: holds `client_key` without `client_cert`, the file of its certificate",
            ),
            (
                "client_cert = 'own.pem', client_key = 'other.key'",
                "tls.client_key: read other.key: it is not the key of the certificate in own.pem (subject CN=rcgen \
                 self signed cert)",
            ),
            (
                "client_cert = 'own.pem', client_key = 'own.locked'",
                "tls.client_key: read own.locked: it is protected by a passphrase, which a service cannot be asked \
                 for: take it off: openssl pkey -in own.locked -out own.locked.plain",
            ),
            (
                "client_cert = 'own.key', client_key = 'own.key'",
                "tls.client_cert: read own.key: it holds a private key and no certificate: name the file of the \
                 certificate",
            ),
            (
                "client_cert = 'own.pem', client_key = 'own.pem'",
                "tls.client_key: read own.pem: it holds a certificate and no private key: name the file of the key",
            ),
            (
                "client_cert = 'none.pem', client_key = 'own.key'",
                "tls.client_cert: read none.pem: no such file or directory",
            ),
            (
                "client_cert = 'own.pem', client_key = 5",
                "tls.client_key: expected a path, found an integer: write it in quotes",
            ),
        ] {
            let said = said(&folder, &format!("tls = {{ {tls} }}"), SecretUse::Needed);
            assert_eq!(said, format!("router.toml:6: source.vc.{expected}"));
        }
        let misplaced = said(&folder, "client_cert = 'own.pem'", SecretUse::Needed);
        assert!(
            misplaced.ends_with("write tls.client_cert, or client_cert below [source.vc.tls]"),
            "{misplaced}"
        );
    }

    #[test]
    fn a_command_that_needs_no_secret_needs_no_key() {
        let folder = files();
        let absent = "tls = { client_cert = 'own.pem', client_key = '$CREDENTIALS_DIRECTORY/router.key' }";
        assert_eq!(said(&folder, absent, SecretUse::Unused), "");
        assert!(said(&folder, absent, SecretUse::Checked).contains("$CREDENTIALS_DIRECTORY is not set"));
        assert!(said(&folder, absent, SecretUse::Needed).contains("$CREDENTIALS_DIRECTORY is not set"));
        let wrong = "tls = { client_cert = 'own.pem', client_key = 'other.key' }";
        assert!(said(&folder, wrong, SecretUse::Checked).contains("it is not the key"));
        assert_eq!(said(&folder, wrong, SecretUse::Unused), "");
    }
}
