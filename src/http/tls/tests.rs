//! The client against TLS servers with certificates of every kind.

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, ServerConfig, SupportedProtocolVersion};

use super::words::SPEAKS;
use super::*;
use crate::config::secret::Secret;
use crate::config::{ConnectionConfig, TlsIdentity};
use crate::http::client::{Client, ClientSettings, Request, Response, SendError, SendErrorKind};
use crate::http::testing::{TestServer, read_request, serve, serve_tls, until_closed};
use crate::temporary::TemporaryFolder;
use crate::testing::folder;

const OK: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// An authority whose certificates the tests trust or not.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority { certificate: params.self_signed(&key).unwrap(), issuer: Issuer::new(params, key) }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut full = DistinguishedName::new();
    full.push(DnType::CountryName, "DE");
    full.push(DnType::CommonName, name);
    full
}

/// What a server presents, and the key it signs with.
struct Identity {
    der: Vec<u8>,
    key: Vec<u8>,
}

/// A request for a certificate that is good for 127.0.0.1 and `vc01.test`.
fn good() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["vc01.test".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
    params.distinguished_name = common_name("vc01");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 2, 3);
    params
}

impl Authority {
    fn sign(&self, params: CertificateParams) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { der: certificate.der().to_vec(), key: key.serialize_der() }
    }
}

/// As appliances make them: self-signed and marked as an authority.
fn self_signed_authority(mut params: CertificateParams) -> (Identity, Certificate) {
    let key = KeyPair::generate().unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    (Identity { der: certificate.der().to_vec(), key: key.serialize_der() }, certificate)
}

/// Gives out one certificate without asking whether it fits its key.
#[derive(Debug)]
struct Presents(Arc<CertifiedKey>);

impl ResolvesServerCert for Presents {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
const ONLY_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

fn server_config(identity: &Identity, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
    let key = default_provider().key_provider.load_private_key(key).unwrap();
    let certified = CertifiedKey::new(vec![identity.der.clone().into()], key);
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Presents(Arc::new(certified))))
}

fn serve_identity(identity: &Identity) -> TestServer {
    serve_config(server_config(identity, BOTH))
}

fn serve_config(config: ServerConfig) -> TestServer {
    serve_tls(config, |_, stream| {
        while read_request(stream).is_some() {
            stream.write_all(OK).unwrap();
        }
    })
}

fn client(tls: TlsConfig) -> Client {
    let connection = ConnectionConfig { proxy: None, tls };
    Client::new(&ClientSettings { connection: &connection, connections_max: 4 }).unwrap()
}

fn send_to(client: &Client, url: &str) -> Result<Response, SendError> {
    client.send(&Request {
        method: "POST",
        url,
        headers: &[],
        body: b"x",
        timeout: Duration::from_secs(20),
        body_bytes_max: 1000,
        repeat_if_stale: false,
        head_suffices: false,
    })
}

fn url(server: &TestServer) -> String {
    format!("https://{}/", server.address)
}

fn accepts(tls: &TlsConfig, identity: &Identity) {
    let server = serve_identity(identity);
    let answer = send_to(&client(tls.clone()), &url(&server));
    assert_eq!(answer.map(|answer| answer.status).map_err(|error| error.to_string()), Ok(204));
}

/// The text of the refusal, without request and peer.
fn refusal(tls: &TlsConfig, identity: &Identity) -> String {
    let server = serve_identity(identity);
    let error = send_to(&client(tls.clone()), &url(&server)).unwrap_err();
    assert_eq!((error.kind, error.unsent), (SendErrorKind::Tls, true), "{error}");
    let intent = format!("POST {}: TLS: ", url(&server));
    error.to_string().strip_prefix(&intent).unwrap().to_owned()
}

fn hash(der: &[u8]) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, der).as_ref().try_into().unwrap()
}

fn offered(identity: &Identity, subject: &str, issuer: &str, until: &str) -> String {
    let hash: Vec<_> = hash(&identity.der).iter().map(|byte| format!("{byte:02X}")).collect();
    format!("(offered: subject {subject}, issuer {issuer}, valid until {until}, SHA-256 {})", hash.join(":"))
}

fn pinned(ders: &[&[u8]]) -> TlsConfig {
    TlsConfig { pin_sha256: ders.iter().map(|der| hash(der)).collect(), ..TlsConfig::default() }
}

const PIN_CURE: &str = "set tls.pin_sha256 to this SHA-256 once you have compared it with the server's";

/// A CA file in a folder of its own.
struct Bundle {
    _folder: TemporaryFolder,
    path: PathBuf,
}

fn bundle(pem: &str) -> Bundle {
    let folder = folder("tls");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, pem).unwrap();
    Bundle { _folder: folder, path }
}

impl Bundle {
    fn trusted(&self) -> TlsConfig {
        TlsConfig { ca_files: vec![self.path.clone()], ..TlsConfig::default() }
    }
}

#[test]
fn private_authority_by_its_file() {
    let (one, two) = (authority("One CA"), authority("Two CA"));
    let both = bundle(&format!("# ours\n{}\n{}", two.certificate.pem(), one.certificate.pem()));
    accepts(&both.trusted(), &one.sign(good()));

    let identity = one.sign(good());
    let unknown = |tls: &TlsConfig| {
        let expected = format!(
            "certificate refused: no trusted authority signed it {}: set tls.ca_file to the certificate of its \
             authority, or {PIN_CURE}",
            offered(&identity, "C=DE, CN=vc01", "C=DE, CN=One CA", "2100-02-03T00:00:00Z")
        );
        assert_eq!(refusal(tls, &identity), expected);
    };
    unknown(&bundle(&two.certificate.pem()).trusted());
}

#[test]
fn wrong_host_is_cured_by_server_name() {
    let authority = authority("Test CA");
    let ca = bundle(&authority.certificate.pem());
    let mut params = good();
    params.subject_alt_names = vec![
        SanType::DnsName("vc.test".try_into().unwrap()),
        SanType::DnsName("*.lab.test".try_into().unwrap()),
    ];
    let identity = authority.sign(params);
    let expected = format!(
        "certificate refused: it is not valid for 127.0.0.1, but for vc.test, *.lab.test {}: use one of these names \
         as the address, or set tls.server_name = \"vc.test\"",
        offered(&identity, "C=DE, CN=vc01", "C=DE, CN=Test CA", "2100-02-03T00:00:00Z")
    );
    assert_eq!(refusal(&ca.trusted(), &identity), expected);
    for name in ["vc.test", "any.lab.test"] {
        accepts(&TlsConfig { server_name: Some(name.to_owned()), ..ca.trusted() }, &identity);
    }
    let wrong = TlsConfig { server_name: Some("a.b.test".to_owned()), ..ca.trusted() };
    assert!(refusal(&wrong, &identity).contains("it is not valid for a.b.test, but for vc.test"));
}

#[test]
fn expired_and_not_yet_valid() {
    let authority = authority("Test CA");
    let ca = bundle(&authority.certificate.pem());
    let mut params = good();
    params.not_after = date_time_ymd(2021, 2, 3);
    let identity = authority.sign(params);
    let text = refusal(&ca.trusted(), &identity);
    let offered = offered(&identity, "C=DE, CN=vc01", "C=DE, CN=Test CA", "2021-02-03T00:00:00Z");
    let begin =
        format!("certificate refused: it has expired {offered}: renew it, correct this machine's clock (20");
    assert!(text.starts_with(&begin), "{text}");
    assert!(text.ends_with(&format!(", or {PIN_CURE}")), "{text}");
    accepts(&pinned(&[&identity.der]), &identity);

    let mut params = good();
    params.not_before = date_time_ymd(2099, 1, 1);
    let text = refusal(&ca.trusted(), &authority.sign(params));
    assert!(text.contains("it is not valid yet"), "{text}");
}

#[test]
fn self_signed_authority_as_a_server() {
    let (identity, certificate) = self_signed_authority(good());
    let other = bundle(&authority("Other CA").certificate.pem());
    let text = refusal(&other.trusted(), &identity);
    assert!(text.contains("certificate refused: "), "{text}");
    accepts(&pinned(&[&identity.der]), &identity);

    // In the file it is believed as the server's own, for its name and its time.
    let own = bundle(&certificate.pem());
    accepts(&own.trusted(), &identity);
    let elsewhere = TlsConfig { server_name: Some("vc02.test".to_owned()), ..own.trusted() };
    assert!(refusal(&elsewhere, &identity).contains("it is not valid for vc02.test, but for vc01.test"));
    let mut params = good();
    params.not_after = date_time_ymd(2021, 1, 1);
    let (expired, certificate) = self_signed_authority(params);
    assert!(refusal(&bundle(&certificate.pem()).trusted(), &expired).contains("it has expired"));
}

#[test]
fn pins_decide_alone_or_beside_a_file() {
    let authority = authority("Test CA");
    let (old, new) = (authority.sign(good()), authority.sign(good()));
    accepts(&pinned(&[&old.der, &new.der]), &old);
    accepts(&pinned(&[&old.der, &new.der]), &new);
    let expected = format!(
        "certificate refused: its SHA-256 is not in tls.pin_sha256 {}: {PIN_CURE}",
        offered(&new, "C=DE, CN=vc01", "C=DE, CN=Test CA", "2100-02-03T00:00:00Z")
    );
    assert_eq!(refusal(&pinned(&[&old.der]), &new), expected);
    let ca = bundle(&authority.certificate.pem());
    accepts(&TlsConfig { ca_files: ca.trusted().ca_files, ..pinned(&[&old.der]) }, &new);
}

#[test]
fn insecure_accepts_what_nothing_else_does() {
    let mut params = good();
    params.not_after = date_time_ymd(2021, 1, 1);
    params.subject_alt_names = Vec::new();
    let (identity, _) = self_signed_authority(params);
    accepts(&TlsConfig { insecure: true, ..TlsConfig::default() }, &identity);
}

/// A certificate of X.509 version 1, which has no version field and no extensions; its own signature
/// is nonsense, as nobody needs it.
fn version_1(key: &KeyPair) -> Identity {
    fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        let length = contents.len() as u8;
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        [&head, contents].concat()
    }
    let algorithm = element(0x30, &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]); // ecdsa-with-SHA256
    let name = |text: &[u8]| {
        let attribute = [vec![0x06, 3, 0x55, 4, 3], element(0x0c, text)].concat();
        element(0x30, &element(0x31, &element(0x30, &attribute)))
    };
    let times = [element(0x17, b"990101000000Z"), element(0x18, b"20990101000000Z")].concat();
    let to_be_signed = [
        element(0x02, &[1]),
        algorithm.clone(),
        name(b"old \x1b[2J CA"),
        element(0x30, &times),
        name("vc ä".as_bytes()),
        rcgen::PublicKeyData::subject_public_key_info(key),
    ];
    let der = [element(0x30, &to_be_signed.concat()), algorithm, element(0x03, &[0, 1, 2, 3])];
    Identity { der: element(0x30, &der.concat()), key: key.serialize_der() }
}

#[test]
fn version_1_by_pin_only() {
    let identity = version_1(&KeyPair::generate().unwrap());
    for versions in [BOTH, ONLY_12] {
        let server = serve_config(server_config(&identity, versions));
        let answer = send_to(&client(pinned(&[&identity.der])), &url(&server));
        assert_eq!(answer.unwrap().status, 204);
    }
    let ca = bundle(&authority("Test CA").certificate.pem());
    let expected = format!(
        "certificate refused: its X.509 version is not 3 {}: {PIN_CURE}",
        offered(&identity, "CN=vc ä", "CN=old \u{fffd}[2J CA", "2099-01-01T00:00:00Z")
    );
    assert_eq!(refusal(&ca.trusted(), &identity), expected);
}

#[test]
fn certificate_without_its_key_is_never_accepted() {
    let stolen_with_version_1 = version_1(&KeyPair::generate().unwrap());
    let stolen = authority("Test CA").sign(good());
    for mut identity in [stolen, stolen_with_version_1] {
        identity.key = KeyPair::generate().unwrap().serialize_der();
        for tls in [pinned(&[&identity.der]), TlsConfig { insecure: true, ..TlsConfig::default() }] {
            for versions in [BOTH, ONLY_12] {
                let server = serve_config(server_config(&identity, versions));
                let error = send_to(&client(tls.clone()), &url(&server)).unwrap_err();
                assert_eq!((error.kind, error.unsent), (SendErrorKind::Tls, true), "{error}");
                assert!(error.to_string().contains("does not prove that it holds the key"), "{error}");
            }
        }
    }
}

#[test]
fn authority_renewed_on_disk_while_running() {
    let (old, new) = (authority("Old CA"), authority("New CA"));
    let (before, after) = (serve_identity(&old.sign(good())), serve_identity(&new.sign(good())));
    let file = bundle(&old.certificate.pem());
    let client = client(file.trusted());
    let status = |server: &TestServer| send_to(&client, &url(server)).map(|answer| answer.status).ok();
    assert_eq!((status(&before), status(&after)), (Some(204), None));
    std::fs::write(&file.path, new.certificate.pem()).unwrap();
    assert_eq!(status(&after), Some(204));
    // Half a file is not taken, and what was believed last still is.
    let third = serve_identity(&new.sign(good()));
    for broken in ["", "-----BEGIN CERTIFICATE-----\nMIIB", "# nothing"] {
        std::fs::write(&file.path, broken).unwrap();
        assert!(client.send(&fresh(&url(&third))).is_ok(), "{broken:?}");
    }
    std::fs::remove_file(&file.path).unwrap();
    assert!(client.send(&fresh(&url(&third))).is_ok());
    // What was taken back is refused, also for a session that could be resumed.
    std::fs::write(&file.path, old.certificate.pem()).unwrap();
    assert!(client.send(&fresh(&url(&third))).is_err());
}

/// A request after which the connection is closed.
fn fresh(url: &str) -> Request<'_> {
    Request {
        method: "POST",
        url,
        headers: &[("connection", "close")],
        body: b"x",
        timeout: Duration::from_secs(20),
        body_bytes_max: 1000,
        repeat_if_stale: false,
        head_suffices: false,
    }
}

#[test]
fn files_that_are_no_bundle() {
    for (content, text) in [
        (Some(""), "it is empty: name the file of a certificate"),
        (Some("-----BEGIN CERTIFICATE-----\nMIIB"), ""),
        (None, "no such file or directory"),
    ] {
        let file = bundle(content.unwrap_or_default());
        if content.is_none() {
            std::fs::remove_file(&file.path).unwrap();
        }
        let connection = ConnectionConfig { proxy: None, tls: file.trusted() };
        let error = Client::new(&ClientSettings { connection: &connection, connections_max: 1 }).unwrap_err();
        let begin = format!("read ca_file {}: {text}", file.path.display());
        assert!(error.to_string().starts_with(&begin), "{error}");
    }
}

#[test]
fn sessions_are_resumed_and_not_with_other_trust() {
    for versions in [BOTH, ONLY_12] {
        let authority = authority("Test CA");
        let (sender, kinds) = mpsc::channel();
        let config = server_config(&authority.sign(good()), versions);
        let server = serve_tls(config, move |_, stream| {
            sender.send(stream.conn.handshake_kind().unwrap()).unwrap();
            while read_request(stream).is_some() {
                stream.write_all(OK).unwrap();
            }
        });
        let file = bundle(&authority.certificate.pem());
        let client = client(file.trusted());
        let url = url(&server);
        let kind = || {
            client.send(&fresh(&url)).unwrap();
            kinds.recv().unwrap()
        };
        assert_eq!([kind(), kind()], [HandshakeKind::Full, HandshakeKind::Resumed]);
        std::fs::write(&file.path, format!("# changed\n{}", authority.certificate.pem())).unwrap();
        assert_eq!([kind(), kind()], [HandshakeKind::Full, HandshakeKind::Resumed]);
    }
}

#[test]
fn peers_that_do_not_speak_tls() {
    let http = serve(|_, mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        until_closed(&mut stream);
    });
    let closed = serve(|_, _| {});
    for (server, text) in [
        (&http, "the peer does not speak TLS on this port: is it one for http://?"),
        (&closed, "the peer closed the connection during the handshake"),
    ] {
        let error =
            send_to(&client(TlsConfig { insecure: true, ..TlsConfig::default() }), &url(server)).unwrap_err();
        assert_eq!((error.kind, error.unsent), (SendErrorKind::Tls, true), "{error}");
        let expected = format!("POST {}: TLS: {text}", url(server));
        // A reset may overtake the end.
        let reset = format!("POST {}: TLS: connection reset by peer", url(server));
        assert!(error.to_string() == expected || error.to_string() == reset, "{error}");
    }
}

#[test]
fn silent_handshake_ends_at_the_timeout() {
    let server = serve(|_, mut stream| until_closed(&mut stream));
    let url = url(&server);
    let request = Request { timeout: Duration::from_millis(300), ..fresh(&url) };
    let error = client(TlsConfig { insecure: true, ..TlsConfig::default() }).send(&request).unwrap_err();
    assert_eq!((error.kind, error.unsent), (SendErrorKind::Timeout, true));
    let expected = format!("POST {url}: TLS: no answer within 300ms");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn refusal_of_a_large_body_is_read_over_tls_too() {
    let authority = authority("Test CA");
    let server = serve_tls(server_config(&authority.sign(good()), BOTH), |_, stream| {
        std::io::Read::read_exact(stream, &mut [0; 20]).unwrap();
        stream
            .write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            .unwrap();
    });
    let ca = bundle(&authority.certificate.pem());
    let body = vec![b'x'; 8 * 1024 * 1024];
    let url = url(&server);
    let answer = client(ca.trusted()).send(&Request { body: &body, ..fresh(&url) }).unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (413, &b"big"[..]));
}

#[test]
fn large_bodies_and_kept_connections() {
    let authority = authority("Test CA");
    let server = serve_tls(server_config(&authority.sign(good()), BOTH), |_, stream| {
        while let Some(request) = read_request(stream) {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", request.body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&request.body).unwrap();
        }
    });
    let ca = bundle(&authority.certificate.pem());
    let client = client(ca.trusted());
    let url = url(&server);
    for size in [1, 20_000, 300_000] {
        let body: Vec<u8> = (0..size).map(|n: u32| n as u8).collect();
        let request = Request { headers: &[], body: &body, body_bytes_max: 1_000_000, ..fresh(&url) };
        assert!(client.send(&request).unwrap().body == body, "{size}");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn through_a_proxy_the_target_is_verified() {
    let authority = authority("Test CA");
    let target = serve_identity(&authority.sign(good()));
    let address = target.address;
    let proxy = serve(move |_, mut stream| {
        let head = read_request(&mut stream).unwrap().head;
        assert!(head.starts_with("CONNECT vc01.test:443 HTTP/1.1\r\n"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let upstream = std::net::TcpStream::connect(address).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), upstream.try_clone().unwrap());
        let there = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let _ = std::io::copy(&mut &upstream, &mut stream);
        let _ = stream.shutdown(std::net::Shutdown::Both);
        there.join().unwrap();
    });
    let ca = bundle(&authority.certificate.pem());
    let connection = ConnectionConfig { proxy: Some(format!("http://{}", proxy.address)), tls: ca.trusted() };
    let client = Client::new(&ClientSettings { connection: &connection, connections_max: 1 }).unwrap();
    assert_eq!(send_to(&client, "https://vc01.test/").unwrap().status, 204);
}

#[test]
fn authorities_that_others_hand_over_are_trusted_too() {
    let (one, two) = (authority("One CA"), authority("Two CA"));
    let handed = |text: &str| TlsConfig { ca_text: Some(text.into()), ..TlsConfig::default() };
    accepts(&handed(&one.certificate.pem()), &one.sign(good()));
    let beside =
        TlsConfig { ca_text: Some(one.certificate.pem().into()), ..bundle(&two.certificate.pem()).trusted() };
    assert!(
        refusal(&handed(&two.certificate.pem()), &one.sign(good()))
            .contains("no trusted authority signed it")
    );
    let both = bundle(&two.certificate.pem());
    let beside = TlsConfig { ca_files: both.trusted().ca_files, ..beside };
    accepts(&beside, &one.sign(good()));
    accepts(&beside, &two.sign(good()));
    // Without the system's roots there may be none at all.
    let private = TlsConfig { private: true, ..TlsConfig::default() };
    assert!(refusal(&private, &one.sign(good())).starts_with("certificate refused: "));
}

mod demands;
