//! Servers that demand a certificate of the router, and such that have nothing in common with it.

use super::*;

/// A server that demands a certificate of `theirs`; what it was shown comes out of the channel.
fn demanding(
    ours: &Authority,
    theirs: &[&Authority],
    versions: &[&'static SupportedProtocolVersion],
) -> (TestServer, mpsc::Receiver<Vec<u8>>) {
    let (sender, seen) = mpsc::channel();
    let mut roots = RootCertStore::empty();
    theirs.iter().for_each(|authority| roots.add(authority.certificate.der().clone()).unwrap());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::new(default_provider()),
    );
    let identity = ours.sign(good());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![identity.der.clone().into()], key)
        .unwrap();
    let server = serve_tls(config, move |_, stream| {
        if read_request(stream).is_some() {
            let shown = stream.conn.peer_certificates().map(|chain| chain[0].to_vec());
            sender.send(shown.unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    (server, seen)
}

/// The files of a client certificate.
struct Own {
    folder: TemporaryFolder,
    ours: String,
}

impl Own {
    fn new(ours: &Authority) -> Own {
        Own { folder: folder("client-certificate"), ours: ours.certificate.pem() }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Writes a certificate that `by` signed, and its key; gives the certificate.
    fn renew(&self, by: &Authority, until: i32) -> Vec<u8> {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["router".to_owned()]).unwrap();
        params.distinguished_name = common_name("router");
        params.not_after = date_time_ymd(until, 2, 3);
        let signed = params.signed_by(&pair, &by.issuer).unwrap();
        self.write("tls.crt", &signed.pem());
        self.write("tls.key", &pair.serialize_pem());
        signed.der().to_vec()
    }

    fn setting(&self) -> TlsConfig {
        let secret = |name: &str| Secret::File(self.folder.path().join(name));
        let identity = TlsIdentity { certificate: secret("tls.crt"), key: secret("tls.key") };
        TlsConfig { identity: Some(identity), ..self.without() }
    }

    fn without(&self) -> TlsConfig {
        TlsConfig { ca_text: Some(self.ours.as_str().into()), ..TlsConfig::default() }
    }
}

#[test]
fn client_certificates_are_shown_and_renewed_from_disk() {
    let (ours, theirs) = (authority("Server CA"), authority("Client CA"));
    let (server, seen) = demanding(&ours, &[&theirs], BOTH);
    let own = Own::new(&ours);
    let first = own.renew(&theirs, 2100);
    let client = client(own.setting());
    let shown = || {
        assert_eq!(send_to(&client, &url(&server)).unwrap().status, 204);
        seen.recv().unwrap()
    };
    assert_eq!(shown(), first);
    let second = own.renew(&theirs, 2100);
    assert_eq!(shown(), second);
    // A certificate whose key is not there yet, half a key, none at all: the last good pair stays.
    let key = std::fs::read_to_string(own.folder.path().join("tls.key")).unwrap();
    own.renew(&theirs, 2100);
    for broken in [&key, &key[..key.len() / 2], ""] {
        own.write("tls.key", broken);
        assert_eq!(shown(), second, "{broken:?}");
    }
    std::fs::remove_file(own.folder.path().join("tls.crt")).unwrap();
    assert_eq!(shown(), second);
    let third = own.renew(&theirs, 2100);
    assert_eq!(shown(), third);
}

#[test]
fn a_server_that_demands_a_certificate_says_so_in_words() {
    let (ours, theirs, others) = (authority("Server CA"), authority("Client CA"), authority("Other CA"));
    let more: Vec<Authority> = (0..4).map(|number| authority(&format!("CA {number}"))).collect();
    for versions in [BOTH, ONLY_12] {
        let (server, _seen) = demanding(&ours, &[&theirs], versions);
        let own = Own::new(&ours);
        let said = |tls: TlsConfig, server: &TestServer| {
            let error = send_to(&client(tls), &url(server)).unwrap_err();
            assert_eq!((error.kind, error.unsent), (SendErrorKind::Tls, true), "{error}");
            error.to_string()
        };
        let text = said(own.without(), &server);
        let demand = "the server demands a client certificate: set tls.client_cert and tls.client_key; it accepts \
                      those of C=DE, CN=Client CA";
        assert!(text.ends_with(demand), "{text}");
        own.renew(&others, 2100);
        let text = said(own.setting(), &server);
        let description =
            "subject C=DE, CN=router, issuer C=DE, CN=Other CA, valid until 2100-02-03T00:00:00Z";
        let refused = "the server refuses the client certificate: ";
        assert!(text.contains(refused) && text.contains(description), "{text}");
        assert!(text.ends_with("; it accepts those of C=DE, CN=Client CA)"), "{text}");
        own.renew(&theirs, 2021);
        let text = said(own.setting(), &server);
        assert!(text.contains(&format!("{refused}it has expired at 2021-02-03T00:00:00Z (")), "{text}");

        let all: Vec<&Authority> = more.iter().collect();
        let (server, _seen) = demanding(&ours, &all, versions);
        let text = said(own.without(), &server);
        assert!(text.contains("or C=DE, CN=CA 2 or 1 others"), "{text}");
    }
}

#[test]
fn what_a_server_offers_is_told_when_nothing_is_in_common() {
    // TLS 1.0 with AES128-SHA, then the end of what it says first.
    let hello = [&[2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let stream = [hello, vec![14, 0, 0, 0]].concat();
    let answer = [&[22, 3, 1, 0, stream.len() as u8][..], &stream].concat();
    let alert = |number: u8| vec![21, 3, 1, 0, 2, 2, number];
    let offers = "; the server offers TLS 1.0 with AES128-SHA";
    for (first, second, words) in [
        (alert(70), answer.clone(), format!("the server refuses the versions of TLS that the router speaks: {SPEAKS}{offers}")),
        (
            alert(40),
            answer.clone(),
            format!("the server refuses the handshake (alert \"handshake failure\"): the router speaks {SPEAKS}{offers}"),
        ),
        (
            answer.clone(),
            answer.clone(),
            format!("the server and the router have no version of TLS in common: the router speaks {SPEAKS}{offers}"),
        ),
        (Vec::new(), answer.clone(), format!("the peer closed the connection during the handshake{offers}")),
        (
            alert(40),
            alert(70),
            format!(
                "the server refuses the handshake (alert \"handshake failure\"): the router speaks {SPEAKS}; the \
                 server offers nothing older than TLS 1.3"
            ),
        ),
        (
            alert(112),
            answer.clone(),
            "the server has no site of this name: correct the address, or set tls.server_name to a name that it has"
                .into(),
        ),
    ] {
        let server = serve(move |number, mut stream| {
            let mut head = [0; 5];
            if std::io::Read::read_exact(&mut stream, &mut head).is_ok() {
                let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
                std::io::Read::read_exact(&mut stream, &mut body).unwrap();
                stream.write_all(if number == 0 { &first } else { &second }).unwrap();
            }
        });
        let client = client(TlsConfig { insecure: true, ..TlsConfig::default() });
        let error = send_to(&client, &url(&server)).unwrap_err();
        assert_eq!((error.kind, error.unsent), (SendErrorKind::Tls, true), "{error}");
        assert_eq!(error.to_string(), format!("POST {}: TLS: {words}", url(&server)));
    }
}

#[test]
fn the_reason_stands_early_and_names_of_other_kinds_are_left_out() {
    let authority = authority("Test CA");
    let ca = bundle(&authority.certificate.pem());
    let mut params = good();
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    params.subject_alt_names = vec![SanType::Rfc822Name("a@vc.test".try_into().unwrap()), dns("*.vc.test")];
    let text = refusal(&ca.trusted(), &authority.sign(params.clone()));
    assert!(
        text.starts_with("certificate refused: it is not valid for 127.0.0.1, but for *.vc.test (offered")
    );
    assert!(!text.contains("server_name") && !text.contains("Unsupported"), "{text}");
    params.subject_alt_names = vec![SanType::Rfc822Name("a@vc.test".try_into().unwrap())];
    let text = refusal(&ca.trusted(), &authority.sign(params.clone()));
    assert!(
        text.starts_with(
            "certificate refused: it is not valid for 127.0.0.1, but for no name at all (offered"
        )
    );
    params.subject_alt_names = (0..40).map(|number| dns(&format!("vc{number:02}.test"))).collect();
    params.subject_alt_names.push(SanType::IpAddress([10, 1, 2, 3].into()));
    let text = refusal(&ca.trusted(), &authority.sign(params));
    assert!(
        text.contains("but for vc00.test, vc01.test, vc02.test, vc03.test, vc04.test and 36 others (offered")
    );
    assert!(text.find(" (offered").unwrap() < 160, "{text}");
    assert!(text.ends_with("or set tls.server_name = \"vc00.test\""), "{text}");
}
