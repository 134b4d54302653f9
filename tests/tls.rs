//! Whom the router believes, on both ends: certificates that OpenSSL made, presented by OpenSSL.

use std::net::TcpStream;
use std::process::Command;

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};

use crate::support::front::Front;
use crate::support::peers::Receiver;
use crate::support::process::Process;
use crate::support::scripted::{Answer, Scripted};
use crate::support::{SOON, Test, closed_port, wait_for};

/// Makes certificates in the folder of a test, with RSA keys as vCenter's own authority has them.
struct Maker<'a>(&'a Test);

impl Maker<'_> {
    fn openssl(&self, arguments: &str) -> String {
        let folder = self.0.path("");
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
        let output = output.expect("run openssl");
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A self-signed certificate as `openssl req -x509` makes it: with CA:TRUE. `NAME.pem` and
    /// `NAME.key`.
    fn self_signed(&self, name: &str, subject: &str, more: &str) {
        self.openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem -days 30 -subj {subject}{more}"
        ));
    }

    /// A certificate that the authority `by` signed, with `extensions`; valid for `days` from now.
    fn signed(&self, name: &str, by: &str, days: i32, extensions: &str) {
        self.request(name);
        self.0.write("extensions", extensions);
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days {days} -extfile extensions \
             -out {name}.pem"
        ));
    }

    /// A self-signed certificate of X.509 version 1.
    fn version_1(&self, name: &str) {
        self.request(name);
        self.openssl(&format!("x509 -req -in {name}.csr -signkey {name}.key -days 30 -out {name}.pem"));
        let text = self.openssl(&format!("x509 -in {name}.pem -noout -text"));
        assert!(text.contains("Version: 1 "), "{text}");
    }

    fn request(&self, name: &str) {
        self.openssl(&format!(
            "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /O=Corp/CN={name}"
        ));
    }

    /// A certificate for `NAME.key`, which is there, that the authority `by` signed.
    fn for_key(&self, name: &str, by: &str) {
        self.openssl(&format!("req -new -key {name}.key -out {name}.csr -subj /O=Corp/CN={name}"));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 30 -out {name}.pem"
        ));
    }

    fn fingerprint(&self, name: &str) -> String {
        let printed = self.openssl(&format!("x509 -in {name}.pem -noout -fingerprint -sha256"));
        printed.trim().split('=').nth(1).unwrap().to_string()
    }

    /// A server that presents `NAME.pem`.
    fn serve(&self, name: &str, more: &[&str]) -> Receiver {
        let [certificate, key] = ["pem", "key"].map(|kind| format!("{name}.{kind}"));
        let paths = [certificate, key].map(|file| self.0.path(&file).to_str().unwrap().to_string());
        let options = ["--certificate", &paths[0], "--key", &paths[1]];
        Receiver::start(self.0, "events", &[&options[..], more].concat())
    }
}

/// What `router check` says about a source and a sink at `url`, both with the table `tls`.
fn check(test: &Test, url: &str, tls: &str, variables: &[(&str, &str)]) -> [String; 2] {
    let text = format!(
        "[source.vc01]\ntype = \"vcenter\"\naddress = \"{url}sdk\"\nusername = \"a\"\npassword = \"b\"\n\
         [source.vc01.tls]\n{tls}\n[processor.sink]\ntype = \"knative\"\nuri = \"{url}\"\n[processor.sink.tls]\n{tls}\n"
    );
    test.write("router.toml", &text);
    let exit = test.start_with(&["check"], variables).wait_exit(crate::support::SOON);
    ["source vc01", "processor sink"].map(|subject| {
        let lines = exit.stdout.lines().filter(|line| line.contains(subject));
        lines.map(|line| format!("{line}\n")).collect()
    })
}

#[track_caller]
fn accepted(what: &str, said: [String; 2]) {
    let [source, sink] = said;
    assert!(sink.starts_with("ok   processor sink: https://") && sink.contains("answers"), "{what}: {sink}");
    // It is no vCenter; that is found out behind TLS.
    assert!(!source.is_empty() && !source.contains("certificate refused"), "{what}: {source}");
}

#[track_caller]
fn refused(what: &str, said: [String; 2], words: &[&str]) {
    for text in said {
        assert!(text.contains("FAIL") && text.contains("certificate refused: "), "{what}: {text}");
        for word in words {
            assert!(text.contains(word), "{what}: without {word:?}: {text}");
        }
    }
}

#[test]
#[ignore = "needs Python's TLS and openssl: run tests/run"]
fn certificates_of_a_private_authority() {
    let test = Test::new("tls-private");
    let maker = Maker(&test);
    maker.self_signed("root", "/O=Corp/CN=root", "");
    maker.signed("between", "root", 30, "basicConstraints=critical,CA:TRUE\n");
    maker.signed("vc01", "between", 30, "subjectAltName=DNS:vc01.corp.test,DNS:localhost\n");
    let chain = ["vc01.pem", "between.pem"].map(|file| std::fs::read_to_string(test.path(file)).unwrap());
    test.write("chain.pem", &chain.concat());
    std::fs::copy(test.path("vc01.key"), test.path("chain.key")).unwrap();
    let server = maker.serve("chain", &[]);
    let by_name = server.url.replace("127.0.0.1", "localhost");
    let trusted = "ca_file = \"root.pem\"";

    accepted("private authority", check(&test, &by_name, trusted, &[]));
    let root = test.path("root.pem");
    let variables = [("SSL_CERT_FILE", root.to_str().unwrap())];
    accepted("the system's roots by SSL_CERT_FILE", check(&test, &by_name, "", &variables));
    let pin = maker.fingerprint("vc01");
    let said = check(&test, &by_name, "", &[("SSL_CERT_FILE", "/dev/null")]);
    let subject = "subject O=Corp, CN=vc01, issuer O=Corp, CN=between, valid until 20";
    refused("no authority", said, &[subject, &format!("SHA-256 {pin}"), "tls.ca_file", "tls.pin_sha256"]);

    let said = check(&test, &server.url, trusted, &[]);
    refused(
        "wrong host",
        said,
        &["not valid for 127.0.0.1, but for vc01.corp.test, localhost", "tls.server_name"],
    );
    let named = format!("{trusted}\nserver_name = \"vc01.corp.test\"");
    accepted("wrong host with server_name", check(&test, &server.url, &named, &[]));

    maker.signed("address", "root", 30, "subjectAltName=IP:127.0.0.1\n");
    let server = maker.serve("address", &[]);
    accepted("IP address", check(&test, &server.url, trusted, &[]));
    maker.signed("expired", "root", -1, "subjectAltName=IP:127.0.0.1\n");
    let server = maker.serve("expired", &[]);
    refused("expired", check(&test, &server.url, trusted, &[]), &["it has expired", "clock", "renew"]);
}

#[test]
#[ignore = "needs Python's TLS and openssl: run tests/run"]
fn certificates_that_only_a_pin_can_save() {
    let test = Test::new("tls-pins");
    let maker = Maker(&test);
    // as `openssl req -x509` makes it for somebody in a hurry: no name that counts, CA:TRUE
    maker.self_signed("hurry", "/CN=esx-lab", "");
    maker.version_1("old");
    for (name, reason) in [("hurry", ""), ("old", "its X.509 version is not 3")] {
        for options in [&[][..], &["--tls12"]] {
            let server = maker.serve(name, options);
            let pin = maker.fingerprint(name);
            let said = check(&test, &server.url, &format!("ca_file = \"{name}.pem\""), &[]);
            match name {
                "old" => refused(name, said, &[reason, &pin]),
                _ => refused(name, said, &["not valid for 127.0.0.1, but for no name at all", &pin]),
            }
            let said =
                check(&test, &server.url, &format!("pin_sha256 = [\"{}\"]", "00:".repeat(31) + "00"), &[]);
            refused(name, said, &["its SHA-256 is not in tls.pin_sha256", &pin]);
            // what `check` printed is what is to be pinned; others may stand beside it
            let pins = format!("pin_sha256 = [\"{}\", \"{pin}\"]", "11".repeat(32));
            accepted(name, check(&test, &server.url, &pins, &[]));
        }
    }
    maker.self_signed("lab", "/CN=lab", " -addext subjectAltName=IP:127.0.0.1");
    let server = maker.serve("lab", &[]);
    accepted("CA:TRUE by its own file", check(&test, &server.url, "ca_file = \"lab.pem\"", &[]));
}

#[test]
#[ignore = "needs the CloudEvents SDK and openssl: run tests/run"]
fn renewed_certificates_need_no_restart() {
    let test = Test::new("tls-renewed");
    let maker = Maker(&test);
    let name = "subjectAltName=IP:127.0.0.1\n";
    for root in ["root", "next"] {
        maker.self_signed(root, &format!("/CN={root}"), "");
    }
    for (certificate, by) in [("first", "root"), ("renewed", "root"), ("moved", "next")] {
        maker.signed(certificate, by, 30, name);
    }
    let simulator = Simulator::start(Settings::default()).unwrap();
    let mut server = maker.serve("first", &[]);
    let url = server.url.clone();
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap().to_string();
    test.write("trusted.pem", &std::fs::read_to_string(test.path("root.pem")).unwrap());
    let text = format!(
        "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
         [processor.sink]\ntype = \"knative\"\nuri = \"{url}\"\ntls = {{ ca_file = \"trusted.pem\" }}\n",
        simulator.url(),
        simulator.username(),
        simulator.password()
    );
    test.write("router.toml", &text);
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    for (round, certificate) in ["first", "renewed", "moved"].into_iter().enumerate() {
        if 0 < round {
            drop(server);
            server = maker.serve(certificate, &["--port", &port]);
        }
        if certificate == "moved" {
            let key = simulator.push(Draft::vm("VmPoweredOnEvent", "web-1", "vm-1"));
            router.log_line(&[
                "certificate refused",
                "no trusted authority signed it",
                &maker.fingerprint("moved"),
            ]);
            std::fs::copy(test.path("next.pem"), test.path("trusted.pem")).unwrap();
            server.wait("the event that was refused", |events| {
                events.iter().any(|e| e.key() == i64::from(key))
            });
        }
        let key = simulator.push(Draft::vm("VmPoweredOffEvent", "web-1", "vm-1"));
        server.wait(certificate, |events| events.iter().any(|event| event.key() == i64::from(key)));
    }
    assert_eq!(router.end_by("TERM").code, Some(0));
}

/// Authorities `root` and `clients`, a server's certificate `server`, and `router` for clients, all RSA.
fn with_clients(maker: &Maker<'_>) {
    maker.self_signed("root", "/O=Corp/CN=root", "");
    maker.self_signed("clients", "/O=Corp/CN=clients", "");
    maker.signed("server", "root", 30, "subjectAltName=IP:127.0.0.1\n");
    maker.signed("router", "clients", 30, "extendedKeyUsage=clientAuth\n");
}

fn shown(certificate: &str, key: &str) -> String {
    format!("ca_file = \"root.pem\"\nclient_cert = \"{certificate}\"\nclient_key = \"{key}\"")
}

#[test]
#[ignore = "needs Python's TLS and openssl: run tests/run"]
fn client_certificates_in_every_form_of_openssl() {
    let test = Test::new("tls-client");
    let maker = Maker(&test);
    with_clients(&maker);
    maker.openssl("rsa -in router.key -traditional -out pkcs1.key");
    maker.openssl("pkcs8 -topk8 -nocrypt -in router.key -outform DER -out der.key");
    maker.openssl("x509 -in router.pem -outform DER -out router.der");
    maker.openssl("ecparam -name prime256v1 -genkey -out sec1.key");
    maker.openssl("genpkey -algorithm ED25519 -out edwards.key");
    for name in ["sec1", "edwards"] {
        maker.for_key(name, "clients");
    }
    for kind in ["router", "pkcs1", "sec1"] {
        let text = std::fs::read_to_string(test.path(&format!("{kind}.key"))).unwrap();
        let label = if kind == "router" { "" } else { " EC RSA" };
        assert!(
            text.contains("-----BEGIN ") && (label.is_empty() || !text.contains("BEGIN PRIVATE")),
            "{text}"
        );
    }
    let both = ["router.key", "router.pem"].map(|file| std::fs::read_to_string(test.path(file)).unwrap());
    test.write("both.pem", &both.concat());
    let authority = test.path("clients.pem");
    let demand = ["--client-ca", authority.to_str().unwrap()];
    for more in [&[][..], &["--tls12"]] {
        let server = maker.serve("server", &[&demand[..], more].concat());
        for (certificate, key) in [
            ("router.pem", "router.key"),
            ("router.pem", "pkcs1.key"),
            ("router.pem", "der.key"),
            ("router.der", "router.key"),
            ("sec1.pem", "sec1.key"),
            ("edwards.pem", "edwards.key"),
            ("both.pem", "both.pem"),
        ] {
            accepted(key, check(&test, &server.url, &shown(certificate, key), &[]));
        }
        for text in check(&test, &server.url, "ca_file = \"root.pem\"", &[]) {
            let demands = "the server demands a client certificate: set tls.client_cert and tls.client_key";
            assert!(text.contains("FAIL") && text.contains(demands), "{more:?}: {text}");
        }
    }
}

#[test]
#[ignore = "needs Python's TLS and openssl: run tests/run"]
fn wrong_client_certificates_are_told_with_the_cure() {
    let test = Test::new("tls-client-wrong");
    let maker = Maker(&test);
    with_clients(&maker);
    maker.signed("stranger", "root", 30, "extendedKeyUsage=clientAuth\n");
    maker.signed("expired", "clients", -1, "extendedKeyUsage=clientAuth\n");
    maker.openssl("rsa -aes128 -passout pass:secret -in router.key -out locked.key");
    maker.openssl("rsa -aes128 -traditional -passout pass:secret -in router.key -out old.key");
    maker.openssl("ecparam -name secp521r1 -genkey -noout -out p521.key");
    maker.for_key("p521", "clients");
    let authority = test.path("clients.pem");
    for more in [&[][..], &["--tls12"]] {
        let server =
            maker.serve("server", &[&["--client-ca", authority.to_str().unwrap()][..], more].concat());
        for (name, words) in [
            (
                "stranger",
                "the server does not know the authority that signed it (subject O=Corp, CN=stranger",
            ),
            ("expired", "it has expired at "),
        ] {
            let said = check(&test, &server.url, &shown(&format!("{name}.pem"), &format!("{name}.key")), &[]);
            for text in said {
                let refused = format!("the server refuses the client certificate: {words}");
                assert!(text.contains("FAIL") && text.contains(&refused), "{more:?} {name}: {text}");
            }
        }
    }
    let configured = |certificate: &str, key: &str| {
        check(&test, "https://127.0.0.1:1/", &shown(certificate, key), &[]);
        test.router(&["check"]).stdout
    };
    for (certificate, key, words) in [
        ("stranger.pem", "router.key", "it is not the key of the certificate in "),
        ("none.pem", "router.key", "none.pem: no such file or directory"),
        ("router.pem", "none.key", "none.key: no such file or directory"),
        (
            "p521.pem",
            "p521.key",
            "the router cannot sign with this key (P-521, it has to be RSA of 2048 to 4096 bits",
        ),
    ] {
        let said = configured(certificate, key);
        assert!(said.contains("FAIL config") && said.contains(words), "{said}");
    }
    // The command that the message tells takes the passphrase off.
    for key in ["locked.key", "old.key"] {
        let said = configured("router.pem", key);
        let command = said.split("take it off: openssl ").nth(1).unwrap_or_else(|| panic!("{said}"));
        let command = command.lines().next().unwrap();
        maker.openssl(&format!("{command} -passin pass:secret"));
        let made = command.rsplit('/').next().unwrap();
        let said = configured("router.pem", made);
        assert!(said.contains("ok   config"), "{said}");
    }
}

#[test]
#[ignore = "needs the CloudEvents SDK and openssl: run tests/run"]
fn a_renewed_client_certificate_needs_no_restart() {
    let test = Test::new("tls-client-renewed");
    let maker = Maker(&test);
    with_clients(&maker);
    maker.signed("ends", "clients", -1, "extendedKeyUsage=clientAuth\n");
    let authority = test.path("clients.pem");
    let server = maker.serve("server", &["--client-ca", authority.to_str().unwrap()]);
    let simulator = Simulator::start(Settings::default()).unwrap();
    let front =
        Front::start(&test.path("server.pem"), &test.path("server.key"), &authority, &simulator.url());
    let take = |name: &str| {
        for kind in ["pem", "key"] {
            std::fs::copy(test.path(&format!("{name}.{kind}")), test.path(&format!("own.{kind}"))).unwrap();
        }
    };
    take("ends");
    let text = format!(
        "[source.vc]\ntype = \"vcenter\"\naddress = \"{}/sdk\"\nusername = \"{}\"\npassword = \"{}\"\n\
         [source.vc.tls]\n{tls}\n[processor.sink]\ntype = \"knative\"\nuri = \"{}\"\n[processor.sink.tls]\n{tls}\n",
        front.url,
        simulator.username(),
        simulator.password(),
        server.url,
        tls = shown("own.pem", "own.key"),
    );
    test.write("router.toml", &text);
    let mut router = test.start(&["run"]);
    router.log_line(&["source.vc.tls.client_cert: the certificate in ", "own.pem: it has expired at "]);
    router.log_line(&["the server refuses the client certificate: it has expired at "]);
    take("router");
    router.log_line(&["reading VMware"]);
    let key = simulator.push(Draft::vm("VmPoweredOnEvent", "web-1", "vm-1"));
    server.wait("an event", |events| events.iter().any(|event| event.key() == i64::from(key)));
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "needs openssl: run tests/run"]
fn every_processor_shows_its_client_certificate() {
    let test = Test::new("tls-client-processors");
    let maker = Maker(&test);
    with_clients(&maker);
    let authority = test.path("clients.pem");
    for (settings, body, words) in [
        ("type = \"knative\"\nuri = \"URL/\"", "", "acknowledged"),
        ("type = \"http\"\nuri = \"URL/\"", "", "acknowledged"),
        ("type = \"openfaas\"\naddress = \"URL\"", "[]", "nobody wants VmPoweredOnEvent"),
        (
            "type = \"eventbridge\"\nregion = \"eu-central-1\"\nendpoint = \"URL\"\naccess_key_id = \"a\"\n\
             secret_access_key = \"b\"",
            r#"{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}"#,
            "acknowledged",
        ),
    ] {
        let server = Scripted::start(Answer::Page("200 OK", "application/json", body.to_string()));
        let front = Front::start(&test.path("server.pem"), &test.path("server.key"), &authority, &server.url);
        let source = "[source.vc]\ntype = \"vcenter\"\naddress = \"a\"\nusername = \"a\"\npassword = \"b\"\n";
        let processor =
            format!("[processor.it]\n{}\n[processor.it.tls]\n", settings.replace("URL", &front.url));
        let send = |tls: &str| {
            test.write("router.toml", &format!("{source}{processor}{tls}\n"));
            test.router(&["send"])
        };
        let sent = send(&shown("router.pem", "router.key"));
        let said = format!("{}{}", sent.stdout, sent.stderr);
        assert!(said.contains(words), "{settings}: {said}");
        let refused = send("ca_file = \"root.pem\"");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(
            refused.code == Some(1) && said.contains("the server demands a client certificate"),
            "{settings}: {said}"
        );
    }
}

/// `openssl s_server` with `NAME.pem`, and its URL.
fn openssl_server(test: &Test, name: &str, options: &str) -> (Process, String) {
    let port = closed_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-www"]).current_dir(test.path(""));
    command
        .args(["-cert", &format!("{name}.pem"), "-key", &format!("{name}.key")])
        .args(options.split_whitespace());
    let process = Process::start("openssl s_server", command);
    wait_for("openssl s_server", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
    (process, format!("https://127.0.0.1:{port}/"))
}

#[test]
#[ignore = "needs openssl: run tests/run"]
fn a_refused_handshake_tells_what_the_server_offers() {
    let test = Test::new("tls-offers");
    let maker = Maker(&test);
    maker.self_signed("root", "/O=Corp/CN=root", "");
    maker.signed("rsa", "root", 30, "subjectAltName=IP:127.0.0.1\n");
    maker.openssl("ecparam -name secp521r1 -genkey -noout -out p521.key");
    maker.for_key("p521", "root");
    let pin = maker.fingerprint("p521");
    let speaks = "TLS 1.2 with ECDHE and AES-GCM or ChaCha20, and TLS 1.3";
    for (name, options, words) in [
        (
            "rsa",
            "-tls1 -cipher DEFAULT@SECLEVEL=0",
            "; the server offers TLS 1.0 with ECDHE-RSA-AES256-SHA on ",
        ),
        (
            "rsa",
            "-tls1_1 -cipher DEFAULT@SECLEVEL=0",
            "; the server offers TLS 1.1 with ECDHE-RSA-AES256-SHA on ",
        ),
        (
            "rsa",
            "-tls1_2 -cipher AES128-SHA",
            "; the server offers TLS 1.2 with AES128-SHA, its certificate has a key RSA 2048",
        ),
        (
            "rsa",
            "-tls1_2 -cipher DHE-RSA-AES256-GCM-SHA384",
            "; the server offers TLS 1.2 with DHE-RSA-AES256-GCM-SHA384",
        ),
        (
            "rsa",
            "-tls1_2 -groups P-521",
            "; the server offers TLS 1.2 with ECDHE-RSA-AES256-GCM-SHA384 on P-521",
        ),
        ("p521", "-tls1_2", "its certificate has a key P-521, which the router does not verify"),
        ("p521", "-tls1_3", "; the server offers nothing older than TLS 1.3"),
    ] {
        let (_server, url) = openssl_server(&test, name, options);
        for text in check(&test, &url, &format!("pin_sha256 = [\"{pin}\"]"), &[]) {
            assert!(
                text.contains("FAIL") && text.contains(speaks) && text.contains(words),
                "{options}: {text}"
            );
        }
    }
}

#[test]
#[ignore = "needs Python's TLS and openssl: run tests/run"]
fn chains_that_are_signed_in_old_or_unusual_ways() {
    let test = Test::new("tls-unusual");
    let maker = Maker(&test);
    maker.self_signed("root", "/O=Corp/CN=root", "");
    maker.openssl("ecparam -name secp521r1 -genkey -noout -out long.key");
    maker.openssl("req -x509 -key long.key -out long.pem -days 30 -subj /CN=long");
    let name = "subjectAltName=IP:127.0.0.1\n";
    let sign = |leaf: &str, by: &str, digest: &str| {
        maker.request(leaf);
        test.write("extensions", name);
        maker.openssl(&format!(
            "x509 -req -in {leaf}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 30 -extfile extensions {digest} \
             -out {leaf}.pem"
        ));
    };
    sign("old", "root", "-sha1");
    sign("under-long", "long", "-sha512");
    for (leaf, by, words) in [
        (
            "old",
            "root",
            "certificate refused: it is signed with SHA-1, which the router does not verify (offered: ",
        ),
        (
            "under-long",
            "long",
            "certificate refused: it is signed with ECDSA and SHA-512, as with keys of P-521, which ",
        ),
    ] {
        for options in [&[][..], &["--tls12"]] {
            let server = maker.serve(leaf, options);
            let pin = maker.fingerprint(leaf);
            let said = check(&test, &server.url, &format!("ca_file = \"{by}.pem\""), &[]);
            refused(leaf, said, &[words, &pin]);
            // Named by itself it is believed, by pin and by file.
            for tls in [format!("pin_sha256 = [\"{pin}\"]"), format!("ca_file = \"{leaf}.pem\"")] {
                accepted(leaf, check(&test, &server.url, &tls, &[]));
            }
        }
    }
    // A key that is too short to prove anything with is told, pinned or not.
    maker.openssl(
        "req -x509 -newkey rsa:1024 -nodes -keyout short.key -out short.pem -days 30 -subj /CN=short",
    );
    let server = maker.serve("short", &[]);
    let pin = maker.fingerprint("short");
    let words = ["its chain has a key RSA 1024, and the router verifies RSA of 2048 bits or more"];
    refused("short", check(&test, &server.url, &format!("pin_sha256 = [\"{pin}\"]"), &[]), &words);
}
