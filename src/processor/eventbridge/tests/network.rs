//! AWS as a closed network shows it: behind a proxy that asks for a password and opens TLS, so that
//! every certificate comes from an authority of the house.

use std::io::Write;
use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::super::*;
use crate::http::testing::{RawRequest, TestServer, read_request, serve};
use crate::temporary::TemporaryFolder;
use crate::testing::folder;

/// A proxy, what it was asked, and the authority in a file.
struct House {
    proxy: TestServer,
    /// The heads of CONNECT.
    tunnels: Arc<Mutex<Vec<String>>>,
    folder: TemporaryFolder,
}

impl House {
    /// `answer` speaks for all hosts.
    fn new(answer: impl Fn(&RawRequest) -> String + Send + Sync + 'static) -> House {
        let folder = folder("house");
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let tunnels = Arc::new(Mutex::new(Vec::new()));
        let seen = tunnels.clone();
        let proxy = serve(move |_, mut stream| {
            let head = read_request(&mut stream).unwrap().head;
            let host = head.strip_prefix("CONNECT ").unwrap().split(':').next().unwrap().to_string();
            seen.lock().unwrap().push(head);
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let connection = ServerConnection::new(Arc::new(certificate(&issuer, host))).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            // A peer that does not trust the certificate sends nothing.
            while let Some(request) = read_request(&mut stream) {
                let body = answer(&request);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        House { proxy, tunnels, folder }
    }

    fn config(&self, trusted: bool) -> EventbridgeConfig {
        let ca_files = Vec::from_iter(trusted.then(|| self.folder.path().join("ca.pem")));
        let tls = TlsConfig { ca_files, ..TlsConfig::default() };
        let proxy = Some(format!("http://me:pr0xy@{}", self.proxy.address));
        let connection = ConnectionConfig { proxy, tls };
        EventbridgeConfig { keys: None, endpoint: None, connection, ..EventbridgeConfig::to(String::new()) }
    }

    /// The hosts that were asked for.
    fn hosts(&self) -> Vec<String> {
        let tunnels = self.tunnels.lock().unwrap();
        assert!(tunnels.iter().all(|head| head.contains("Proxy-Authorization: Basic bWU6cHIweHk=")));
        tunnels.iter().map(|head| head.split(' ').nth(1).unwrap().to_string()).collect()
    }
}

fn certificate(issuer: &Issuer<'static, KeyPair>, host: String) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![host]).unwrap().signed_by(&key, issuer).unwrap();
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap()
}

/// The token service gives keys for a web identity, and the bus takes one entry signed with them.
fn aws(request: &RawRequest) -> String {
    if request.header("x-amz-target").is_none() {
        return "<R><AccessKeyId>WEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t\
            </SessionToken><Expiration>2050-01-01T00:00:00Z</Expiration></R>"
            .to_string();
    }
    assert!(request.header("authorization").unwrap().contains("Credential=WEB/"));
    r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#.to_string()
}

#[test]
fn bus_and_token_service_are_reached_through_a_proxy_with_a_private_authority() {
    let house = House::new(aws);
    let token = house.folder.path().join("token");
    std::fs::write(&token, "t").unwrap();
    let (token, home) = (token.display().to_string(), house.folder.path().display().to_string());
    let environment = Environment::new(move |name| match name {
        "AWS_WEB_IDENTITY_TOKEN_FILE" => Some(token.clone()),
        "AWS_ROLE_ARN" => Some("arn:aws:iam::1:role/r".to_string()),
        "HOME" => Some(home.clone()),
        // The proxy comes from the configuration alone.
        "HTTPS_PROXY" | "https_proxy" => Some("http://127.0.0.1:1".to_string()),
        _ => None,
    });
    let deadline = || Instant::now() + Duration::from_secs(20);
    let trusting = api("bus", &house.config(true), &environment, true).unwrap();
    let answer = trusting.call("PutEvents", b"{}", deadline()).unwrap();
    assert_eq!(request::outcomes(&answer, 1).unwrap(), [None]);
    assert_eq!(
        house.hosts(),
        ["sts.eu-central-1.amazonaws.com:443", "events.eu-central-1.amazonaws.com:443"]
    );

    let doubting = api("bus", &house.config(false), &environment, true).unwrap();
    let error = doubting.call("PutEvents", b"{}", deadline()).unwrap_err();
    assert!(error.unsent && error.class == Class::Credentials, "{error:?}");
    assert!(
        error.text.contains("sts.eu-central-1.amazonaws.com") && error.text.contains("ca_file"),
        "{error:?}"
    );
    assert!(!error.text.contains("pr0xy"), "{error:?}");
}
