//! What people write wrong, and what they are told: one line, with the place, the cause and the cure.
//!
//! `tests/mistakes/lines.txt` holds mistakes of a line; here are those of whole files, of what the
//! configuration names, and of addresses that something else answers at.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use event_router::demo::simulator::{Settings, Simulator};

use crate::support::process::{Exit, Process};
use crate::support::{SOON, Test, closed_port, router_command};

const BASE: &str = include_str!("mistakes/base.toml");
const OK: &str = "ok   config: router.toml: 1 source, 1 processor, ";

/// A folder with what the base file names.
fn folder(name: &str) -> Test {
    let test = Test::new(name);
    let certificate = rcgen::generate_simple_self_signed(["ca".to_string()]).unwrap();
    test.write("vmca.pem", &certificate.cert.pem());
    write(&test, "vc01.password", b"pass\n");
    test
}

/// A file that nobody else can read.
fn write(test: &Test, name: &str, bytes: &[u8]) {
    std::fs::write(test.path(name), bytes).unwrap();
    std::fs::set_permissions(test.path(name), PermissionsExt::from_mode(0o600)).unwrap();
}

/// Runs `check --offline` on a file.
fn check(test: &Test, text: &[u8], variables: &[(&str, &str)]) -> Exit {
    write(test, "router.toml", text);
    check_file(test, "router.toml", variables)
}

fn check_file(test: &Test, path: &str, variables: &[(&str, &str)]) -> Exit {
    let exit = test.start_with(&["check", "--offline", "-c", path], variables).wait_exit(SOON);
    if let Some(folder) = std::env::var_os("ROUTER_MISTAKES") {
        keep(Path::new(&folder), test, path, variables, &exit);
    }
    exit
}

/// For `packaging/check-unit`, which tries the installed program: each row is a folder with its files, what
/// runs it, and what was said.
fn keep(folder: &Path, test: &Test, path: &str, variables: &[(&str, &str)], exit: &Exit) {
    static ROWS: AtomicUsize = AtomicUsize::new(0);
    let row = folder.join(format!("{:04}", ROWS.fetch_add(1, Ordering::Relaxed)));
    assert!(Command::new("cp").arg("-a").arg(test.path(".")).arg(&row).status().unwrap().success());
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let variables: Vec<String> =
        variables.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
    let run =
        format!("exec env -i {} /usr/bin/router check --offline -c {}\n", variables.join(" "), quoted(path));
    for (name, text) in [("run", &run), ("said", &exit.stdout), ("code", &exit.code.unwrap().to_string())] {
        std::fs::write(row.join(name), text).unwrap();
    }
}

/// The exit code, and the one line that is said behind the name of the file.
fn said(exit: &Exit) -> String {
    assert_eq!(exit.stderr, "");
    let lines: Vec<&str> = exit.stdout.lines().filter(|line| !line.starts_with(OK)).collect();
    assert!(lines.len() <= 1, "more than one line: {lines:#?}");
    let line = lines.first().copied().unwrap_or_default();
    let (kind, told) = line.split_once(" config: router.toml").unwrap_or_default();
    let code = exit.code.expect("an exit code");
    assert_eq!((kind == "FAIL", code), (code == 2, if kind == "FAIL" { 2 } else { 0 }), "{line}");
    format!("{code} {told}").trim_end().to_string()
}

/// The base file with another text in place of a line, or at its end.
fn with_line(number: usize, text: &str) -> String {
    let mut lines: Vec<&str> = BASE.lines().collect();
    if number <= lines.len() {
        lines[number - 1] = text;
    } else {
        lines.push(text);
    }
    format!("{}\n", lines.join("\n"))
}

/// Without the lists of kinds and keys: they grow.
fn without_lists(line: &str) -> String {
    for mark in ["known here: ", "type: is missing: write type = "] {
        if let Some((told, _)) = line.split_once(mark) {
            return format!("{told}{mark}...");
        }
    }
    let Some((told, list)) = line.split_once(".type: ") else { return line.to_string() };
    match (list.split_once("known: "), list.split_once("expected ")) {
        (Some((said, _)), _) => format!("{told}.type: {said}known: ..."),
        (_, Some((said, rest))) => {
            format!("{told}.type: {said}expected ...{}", &rest[rest.find(", found").unwrap_or(0)..])
        }
        _ => line.to_string(),
    }
}

#[test]
fn a_wrong_line_is_told_in_one_line() {
    let test = folder("mistakes");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes/lines.txt");
    let table = std::fs::read_to_string(&path).unwrap();
    let (head, rows) = table.split_once("\n\n").unwrap();
    assert_eq!(said(&check(&test, BASE.as_bytes(), &[])), "0");
    let mut today = format!("{head}\n\n");
    let mut lines = rows.lines();
    while let (Some(mistake), Some(_)) = (lines.next(), lines.next()) {
        let (number, text) = mistake.split_once(' ').unwrap_or((mistake, ""));
        let text = with_line(number.parse().expect("a line"), &text.replace('⏎', "\n"));
        let exit = check(&test, text.as_bytes(), &[]);
        let line = std::panic::catch_unwind(|| said(&exit)).unwrap_or_else(|_| panic!("{mistake}"));
        let line = without_lists(&line);
        assert!(!line.contains("5ecret"), "a secret is told: {line}");
        writeln!(today, "{mistake}\n  -> {line}").unwrap();
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &today).unwrap();
    }
    let differs: Vec<_> =
        table.lines().zip(today.lines()).filter(|(wanted, found)| wanted != found).collect();
    assert!(differs.is_empty(), "wanted and found: {differs:#?}");
}

/// The base file as another editor writes it, and what is no configuration at all.
#[test]
fn a_file_that_is_no_text_or_no_toml_is_told_in_one_line() {
    let test = folder("mistakes-files");
    let utf_16 = |order: fn(u16) -> [u8; 2]| BASE.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let marked = |mark: &[u8], text: &[u8]| [mark, text].concat();
    let in_place = |from: &str, to: &str| BASE.replacen(from, to, 1).into_bytes();
    for (text, told) in [
        (in_place("\n", "\r\n"), "0"),
        (BASE.replace('\n', "\r\n").into_bytes(), "0"),
        (marked(b"\xef\xbb\xbf", BASE.replace('\n', "\r\n").as_bytes()), "0"),
        (BASE.replace("\ntype", "\n\ttype").into_bytes(), "0"),
        (in_place("type = ", "type\t=\t"), "0"),
        (
            BASE.replace('\n', "\r").into_bytes(),
            "2 :1:21: has a CR within the line, as the line ends of old Macs are: save it with LF or CR LF",
        ),
        (
            marked(b"\xff\xfe", &utf_16(u16::to_le_bytes)),
            "2 :1: is UTF-16 or holds NUL bytes: save it as UTF-8 text",
        ),
        (
            marked(b"\xfe\xff", &utf_16(u16::to_be_bytes)),
            "2 :1: is UTF-16 or holds NUL bytes: save it as UTF-8 text",
        ),
        (utf_16(u16::to_le_bytes), "2 :1: is UTF-16 or holds NUL bytes: save it as UTF-8 text"),
        (marked(BASE.as_bytes(), b"\0"), "2 :17: is UTF-16 or holds NUL bytes: save it as UTF-8 text"),
        (marked(BASE.as_bytes(), b"# B\xfcro\n"), "2 :17: is not UTF-8 text: save it as UTF-8"),
        (in_place("svc@", "svc\u{7}@"), "2 :6:16: holds a control character (U+0007): leave it out"),
        (
            in_place("type = ", "\u{a0}type = "),
            "2 :4:1: holds a blank that is none (U+00A0), as web pages have it: write a plain blank",
        ),
        (
            in_place("type = ", "type\u{200b} = "),
            "2 :4:5: holds a blank that is none (U+200B), as web pages have it: write a plain blank",
        ),
        (Vec::new(), "2 : no [source.NAME] and no [processor.NAME]: nothing to route"),
        (b"# nothing\n".to_vec(), "2 : no [source.NAME] and no [processor.NAME]: nothing to route"),
        (
            b"<config></config>\n".to_vec(),
            "2 :1:1: is XML or HTML and not TOML: a line is a [section] or key = value",
        ),
        (
            b"{\n  \"source\": { \"vc01\": { \"type\": \"vcenter\" } }\n}\n".to_vec(),
            "2 : has the keys of router.toml but is YAML or JSON: write TOML, sections as [source.NAME] and lines as \
             key = value",
        ),
        (
            b"source:\n  vc01:\n    type: vcenter\n".to_vec(),
            "2 : has the keys of router.toml but is YAML or JSON: write TOML, sections as [source.NAME] and lines as \
             key = value",
        ),
        (b"# ".repeat(600_000), "2 : cannot be read: is larger than 1024 KiB"),
    ] {
        assert_eq!(said(&check(&test, &text, &[])), told);
    }
}

#[test]
fn a_secret_file_that_is_none_is_told_in_one_line() {
    let test = folder("mistakes-secrets");
    let file = |words: &str| format!(":7: source.vc01.password: secret file vc01.password{words}");
    for (secret, told) in [
        (&b"pass\r\n"[..], "0".to_string()),
        (b"\xef\xbb\xbfpass", "0".to_string()),
        (b"pass\n\n", "0".to_string()),
        (b"", format!("2 {}", file(" is empty: write the secret into it"))),
        (b"\n", format!("2 {}", file(" is empty: write the secret into it"))),
        (b"\xff\xfep\0", format!("2 {}", file(" is UTF-16 or holds NUL bytes: save it as UTF-8 text"))),
        (b"\0p\0a", format!("2 {}", file(" is UTF-16 or holds NUL bytes: save it as UTF-8 text"))),
        (b"pass\0", format!("2 {}", file(" is UTF-16 or holds NUL bytes: save it as UTF-8 text"))),
        (b"p\xe4ss", format!("2 {}", file(" is not UTF-8 text: save it as UTF-8"))),
        (b"pass\nword\n", format!("2 {}", file(" holds more than one line: leave only the secret"))),
        (b"pa\x08ss", format!("2 {}", file(" holds a control character: write the secret again"))),
        (b"pass \n", format!("2 {}", file(BLANK))),
        (b" pass\n", format!("2 {}", file(BLANK))),
        ("pass\u{a0}\n".as_bytes(), format!("2 {}", file(BLANK))),
        ("\u{200b}pass".as_bytes(), format!("2 {}", file(BLANK))),
        (b"\"pass\"\n", format!("0 {}", file(": stands in quotes, which are taken as a part of it"))),
        (
            b"password=pass\n",
            format!(
                "0 {}",
                file(
                    ": holds a key beside the secret, which is taken as a part of it: leave only the secret"
                )
            ),
        ),
        (b"<password>\n", format!("0 {}", file(": looks like a placeholder that nobody filled in"))),
        (
            b"${VC_PASSWORD}\n",
            format!(
                "0 {}",
                file(": looks like a variable and is taken as it is written: write { env = \"NAME\" }")
            ),
        ),
        (
            &[b'x'; 70_000],
            "2 :7: source.vc01.password: read secret file vc01.password: is larger than 64 KiB".to_string(),
        ),
    ] {
        write(&test, "vc01.password", secret);
        assert_eq!(said(&check(&test, BASE.as_bytes(), &[])), told);
    }
    write(&test, "vc01.password", b"pass\n");
    let readable = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(test.path("vc01.password"), readable.clone()).unwrap();
    // Whatever the umask is: what lies in a closed folder cannot be read.
    std::fs::set_permissions(test.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(
        said(&check(&test, BASE.as_bytes(), &[])),
        format!("0 {}", file(" can be read by every user (mode 644): chmod o= vc01.password"))
    );
    write(&test, "router.toml", with_line(7, "password = 'Top5ecret'").as_bytes());
    std::fs::set_permissions(test.path("router.toml"), readable).unwrap();
    assert_eq!(
        said(&check_file(&test, "router.toml", &[])),
        "0 :7: source.vc01.password: stands in a file that every user can read (mode 644): chmod o= router.toml"
    );
}

const BLANK: &str =
    " begins or ends with a blank: take it off (a secret that really has one can be given by `env`)";

#[test]
fn a_secret_of_the_environment_may_end_with_a_line_but_not_be_empty() {
    let test = folder("mistakes-variables");
    let text = with_line(7, "password = { env = 'PASSWORD' }");
    for (value, told) in [
        ("pass", "0"),
        ("pass\n", "0"),
        (" pass ", "0"),
        ("", "2 :7: source.vc01.password: environment variable PASSWORD is empty: set it to the secret"),
        ("\n", "2 :7: source.vc01.password: environment variable PASSWORD is empty: set it to the secret"),
    ] {
        assert_eq!(said(&check(&test, text.as_bytes(), &[("PASSWORD", value)])), told, "{value:?}");
    }
}

#[test]
fn a_file_of_certificates_that_holds_none_is_told_in_one_line() {
    let test = folder("mistakes-certificates");
    let pem = std::fs::read_to_string(test.path("vmca.pem")).unwrap();
    let marked = |kind: &str| pem.replace("CERTIFICATE", kind).into_bytes();
    for (bytes, told) in [
        (format!("\u{feff}{}", pem.replace('\n', "\r\n")).into_bytes(), None),
        (pem.replace('\n', " \t\r\n").into_bytes(), None),
        (
            format!("\u{feff}{pem}").encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Some("is UTF-16 or holds NUL bytes: save it as UTF-8 text"),
        ),
        (
            pem.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Some("is UTF-16 or holds NUL bytes: save it as UTF-8 text"),
        ),
        (Vec::new(), Some("it is empty: name the file of a certificate")),
        (
            b"<html>".to_vec(),
            Some("it is a web page and no certificate: download the file itself, and look at it"),
        ),
        (
            b"PK\x03\x04\x14\0".to_vec(),
            Some(
                "it is a ZIP archive, as vCenter's page offers it: unpack it and name the file of its folder certs/lin \
                 that ends with .0",
            ),
        ),
        (
            pem.replace("-----END", "").into_bytes(),
            Some("it is cut, a line -----END CERTIFICATE----- is missing: copy the file again"),
        ),
        (
            pem.replace('M', "!").into_bytes(),
            Some("the text of a certificate in it is damaged: copy the file again"),
        ),
        (
            marked("PRIVATE KEY"),
            Some("it holds a private key and no certificate: name the file of the certificate"),
        ),
        (
            marked("X509 CRL"),
            Some("it holds no PEM certificate: name a file with a line -----BEGIN CERTIFICATE-----"),
        ),
        (
            marked("PKCS7"),
            Some("it is PKCS#7, make PEM of it: openssl pkcs7 -print_certs -in vmca.pem -out vmca.pem.pem"),
        ),
    ] {
        write(&test, "vmca.pem", &bytes);
        let line = |told| format!("2 :8: source.vc01.tls.ca_file: read ca_file vmca.pem: {told}");
        let wanted = told.map_or("0".to_string(), line);
        assert_eq!(said(&check(&test, BASE.as_bytes(), &[])), wanted);
    }
}

/// A pipe would be waited for without end.
#[test]
fn what_is_no_file_is_named_and_not_waited_for() {
    let test = folder("mistakes-pipes");
    std::fs::create_dir(test.path("folder")).unwrap();
    assert!(Command::new("mkfifo").arg(test.path("pipe")).status().unwrap().success());
    std::os::unix::fs::symlink("loop", test.path("loop")).unwrap();
    for (path, told) in [
        ("pipe", "is a pipe and no file"),
        ("folder", "is a directory and no file"),
        ("/dev/zero", "is a device and no file"),
        ("loop", "too many levels of symbolic links"),
        ("vmca.pem/x", "not a directory"),
        ("none", "no such file or directory; a relative path begins at the folder of router.toml"),
        ("/none", "no such file or directory"),
    ] {
        let secret = with_line(7, &format!("password = {{ file = \"{path}\" }}"));
        let line = format!("2 :7: source.vc01.password: read secret file {path}: {told}");
        assert_eq!(said(&check(&test, secret.as_bytes(), &[])), line);
        let bundle = with_line(8, &format!("tls.ca_file = \"{path}\""));
        let line = format!("2 :8: source.vc01.tls.ca_file: read ca_file {path}: {told}");
        assert_eq!(said(&check(&test, bundle.as_bytes(), &[])), line);
        let told = told.split(';').next().unwrap();
        let exit = check_file(&test, path, &[]);
        assert_eq!(exit.stdout, format!("FAIL config: {path}: cannot be read: {told}\n"));
        assert_eq!(exit.code, Some(2));
    }
}

/// But a shell may hand over what another program writes.
#[test]
fn a_configuration_can_come_through_standard_input() {
    let test = folder("mistakes-stdin");
    let mut command = Command::new("sh");
    let router = router_command().get_program().to_string_lossy().into_owned();
    let text = BASE.replace("vc01.password", &test.path("vc01.password").display().to_string());
    write(
        &test,
        "in.toml",
        text.replace("vmca.pem", &test.path("vmca.pem").display().to_string()).as_bytes(),
    );
    command.arg("-c").arg(format!("cat in.toml | {router} check --offline -c /dev/stdin"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(test.path("."));
    let exit = Process::start("check of standard input", command).wait_exit(SOON);
    assert_eq!(
        (exit.code, exit.stdout.as_str()),
        (Some(0), "ok   config: /dev/stdin: 1 source, 1 processor, 1 route\n")
    );
}

/// The user whom no file of a test belongs to.
const NOBODY: u32 = 65_534;

#[test]
fn a_file_of_another_user_is_told_with_its_owner_and_whom_it_keeps_out() {
    let test = folder("mistakes-denied");
    write(&test, "router.toml", BASE.as_bytes());
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let run = || {
        let mut command = router_command();
        command.args(["check", "--offline", "-c", "router.toml"]).env_clear().current_dir(test.path("."));
        if is_root {
            command.uid(NOBODY).gid(NOBODY);
        }
        Process::start("check by nobody", command).wait_exit(SOON)
    };
    for (file, told) in [
        ("router.toml", "2 : cannot be read: permission denied: it belongs to user"),
        (
            "vc01.password",
            "2 :7: source.vc01.password: read secret file vc01.password: permission denied: it belongs to user",
        ),
        (
            "vmca.pem",
            "2 :8: source.vc01.tls.ca_file: read ca_file vmca.pem: permission denied: it belongs to user",
        ),
    ] {
        for name in ["router.toml", "vc01.password", "vmca.pem"] {
            let mode = if name == file { 0 } else { 0o604 };
            std::fs::set_permissions(test.path(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let lines = run().stdout.replace("warn config", "ok   config");
        let line =
            lines.lines().find(|line| line.starts_with("FAIL")).unwrap_or_else(|| panic!("{file}: {lines}"));
        let code_and_line = line.replacen("FAIL config: router.toml", "2 ", 1);
        assert!(code_and_line.starts_with(told), "{line}");
        assert!(
            line.contains("with mode 0: let user ") && line.ends_with("read it, by chmod or chown"),
            "{line}"
        );
    }
}

/// Somebody who answers the first bytes of each request with these.
fn answering(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(bytes);
        }
    });
    address
}

/// What answers is not what the file says.
#[test]
fn an_address_that_something_else_answers_at_is_told_with_the_cure() {
    let test = folder("mistakes-addresses");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let plain = simulator.url();
    let place = plain.trim_start_matches("http://").trim_end_matches("/sdk").to_string();
    let [silent, alert] = [&b""[..], b"\x15\x03\x01\0\x02\x02\x46"].map(answering);
    let port = closed_port();
    // Where the machine has no IPv6, it says so.
    let has_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let refused = if has_ipv6 { &["connection refused"] } else { &["cannot assign requested address"] };
    let account = format!("username = \"{}\"", simulator.username());
    let password = format!("password = \"{}\"", simulator.password());
    for (address, password, words) in [
        (
            format!("https://{place}"),
            &*password,
            &["the peer does not speak TLS on this port", "http://"][..],
        ),
        (format!("http://{silent}"), &password, &["is this port one for https://?"]),
        (format!("http://{alert}"), &password, &["the peer speaks TLS on this port: write https://"]),
        (format!("https://[::1]:{port}"), &password, refused),
        (plain.clone(), "password = \"other\"", &["InvalidLogin", "check username and password"]),
        (plain.clone(), &password, &[]),
    ] {
        let text = with_line(5, &format!("address = \"{address}\""))
            .replace("username = \"svc@vsphere.local\"", &account);
        let text = text.replace("password = { file = \"vc01.password\" }", password);
        let text = text.replace("http://broker.corp.local/default", &format!("http://127.0.0.1:{port}"));
        write(&test, "router.toml", text.as_bytes());
        let exit = test.router(&["check", "-c", "router.toml"]);
        let failed: Vec<&str> =
            exit.stdout.lines().filter(|line| line.starts_with("FAIL source vc01")).collect();
        assert_eq!(failed.len(), usize::from(!words.is_empty()), "{address}: {}", exit.stdout);
        for line in failed {
            assert!(words.iter().all(|word| line.contains(word)), "{address}: {line}");
        }
        assert_eq!(exit.code, Some(1), "the sink does not answer: {}", exit.stdout);
    }
}
