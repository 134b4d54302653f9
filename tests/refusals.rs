//! Addresses and accounts that are wrong: `check` says what is wrong and exits with 1; `run` says
//! the same in one line and goes on trying.

use std::time::{Duration, Instant};

use event_router::demo::simulator::{Settings, Simulator};

use crate::support::peers::{PASSWORD, USERNAME, Vcsim};
use crate::support::scripted::{Answer, Scripted};
use crate::support::{SOON, Test, closed_port, wait_for};

/// Well above what the router reads of an answer that describes the server.
const LONG_BYTES: usize = 20 << 20;

/// A configuration with one source, and events to standard output.
fn configuration(address: &str, password: &str) -> String {
    format!(
        "[source.vc01]\ntype = \"vcenter\"\naddress = \"{address}\"\nusername = \"{USERNAME}\"\n\
         password = {}\n[processor.screen]\ntype = \"stdout\"\n",
        // a JSON string is a TOML string too
        serde_json::Value::from(password)
    )
}

/// Both commands must say exactly `text` about the source; `step` is where `check` fails, `again`
/// when `run` tries again.
#[track_caller]
fn refused(address: &str, password: &str, step: &str, text: &str, again: &str) {
    let test = Test::new("refusals");
    test.write("router.toml", &configuration(address, password));
    let check = test.router(&["check"]);
    let line = check.stdout.lines().find(|line| line.starts_with("FAIL")).unwrap_or_default();
    assert_eq!((line, check.code), (format!("FAIL source vc01: {step}: {text}").as_str(), Some(1)));

    let mut router = test.start(&["run"]);
    let line = router.log_line(&["trying again in"]);
    let exit = router.end_by("TERM");
    assert_eq!(line.split_once("route vc01-screen: ").unwrap().1, format!("{text}; trying again in {again}"));
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(0), ""), "{exit:?}");
    assert!(!exit.stderr.contains(password) && !check.stdout.contains(password), "the password is printed");
}

/// `refused` by a server that answers every request the same.
#[track_caller]
fn answer_refused(answer: Answer, text: &str, again: &str) {
    let server = Scripted::start(answer);
    // A transport's message names the address itself.
    let text = match text.starts_with("GET URL") {
        true => format!("ask the server who it is: {}", text.replace("URL", &server.url)),
        false => format!("ask the server who it is at {}/sdk: {text}", server.url),
    };
    refused(&server.url, PASSWORD, "server", &text, again);
}

#[test]
fn page_for_people() {
    let page = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Hello</body></html>";
    answer_refused(
        Answer::Page("200 OK", "text/html", page.to_string()),
        "not a vCenter: it answered with an HTML page titled \"Welcome\"; \
         the address must be that of a vCenter, https://HOST/sdk",
        "60 s",
    );
    answer_refused(
        Answer::Page("404 Not Found", "text/html", page.to_string()),
        "HTTP 404 with an HTML page titled \"Welcome\"; this is no vCenter, or it is still starting",
        "1 s",
    );
}

#[test]
fn garbage() {
    answer_refused(
        Answer::Page("200 OK", "text/xml", "<soapenv:Envelope><<<".to_string()),
        "the answer cannot be read: not well-formed at byte 21: \
         syntax error: tag not closed: `>` not found before end of input",
        "1 s",
    );
}

#[test]
fn answer_cut_short() {
    answer_refused(
        Answer::Short("<?xml version=\"1.0\"?><soapenv:Envelope>"),
        "GET URL/sdk/vimServiceVersions.xml: the peer closed the connection in the middle of its answer",
        "1 s",
    );
}

#[test]
fn answer_without_end() {
    let text = "the answer is larger than 16 MiB";
    answer_refused(Answer::Long("<?xml version=\"1.0\"?>", LONG_BYTES), text, "1 s");
}

#[test]
fn nobody_listens() {
    let address = format!("http://127.0.0.1:{}", closed_port());
    let host = address.trim_start_matches("http://");
    let text = format!(
        "ask the server who it is: GET {address}/sdk/vimServiceVersions.xml: connect {host}: connection refused"
    );
    refused(&address, PASSWORD, "server", &text, "1 s");
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn wrong_password() {
    let vcsim = Vcsim::start(1, false);
    let text = format!(
        "log in at {}: InvalidLogin \"Login failure\"; check username and password of the source, \
         and whether the account is locked or its password expired",
        vcsim.url
    );
    refused(&vcsim.url, "wr0ng-password", "login", &text, "180 s, or when the credentials change");
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn certificate_that_nobody_trusts() {
    let vcsim = Vcsim::start(1, true);
    let Vcsim { url, sha256, .. } = &vcsim;
    let bytes: Vec<&str> = (0..32).map(|byte| &sha256[2 * byte..2 * byte + 2]).collect();
    let text = format!(
        "ask the server who it is: GET {url}/vimServiceVersions.xml: TLS: certificate refused: \
         it is that of an authority (CA:TRUE), not of a server (offered: subject O=Acme Co, \
         issuer O=Acme Co, valid until 2084-01-29T16:00:00Z, SHA-256 {}): set tls.ca_file to this very \
         certificate, or set tls.pin_sha256 to this SHA-256 once you have compared it with the server's",
        bytes.join(":").to_uppercase()
    );
    refused(url, PASSWORD, "server", &text, "1 s");
}

#[test]
fn trying_goes_on() {
    let page = Answer::Page("503 Service Unavailable", "text/plain", "starting".to_string());
    let server = Scripted::start(page);
    let test = Test::new("trying");
    test.write("router.toml", &configuration(&server.url, PASSWORD));
    let mut router = test.start(&["run"]);
    router.log_line(&["trying again in"]);
    let first = server.requests();
    wait_for("a second attempt", SOON, || (first + 2 <= server.requests()).then_some(()));
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn vcenter_that_comes_later_is_read() {
    let port = closed_port();
    let test = Test::new("later");
    test.write("router.toml", &configuration(&format!("http://127.0.0.1:{port}"), PASSWORD));
    let mut router = test.start(&["run"]);
    router.log_line(&["connection refused", "trying again in"]);
    let vcsim = Vcsim::start_at(port, 1, false);
    router.log_line(&["works again"]);
    router.log_line(&["reading"]);
    let machine = &vcsim.machines()[0];
    vcsim.power(false, &[machine]);
    wait_for("the event on standard output", SOON, || {
        router.stdout().iter().any(|line| line.contains("VmPoweredOffEvent")).then_some(())
    });
    assert_eq!(router.end_by("TERM").code, Some(0));
    assert_eq!(vcsim.session_agents(), [""; 0]);
}

#[test]
fn a_corrected_password_file_lets_the_router_in_at_once() {
    let simulator = Simulator::start(Settings::default()).unwrap();
    let test = Test::new("corrected");
    test.write("password", "wr0ng\n");
    write_router(&test, &simulator);
    let mut router = test.start(&["run"]);
    router.log_line(&["InvalidLogin", "or when the credentials change"]);
    assert_eq!(simulator.counts().logins_refused, 1);
    test.write("password", &format!("{}\n", simulator.password()));
    router.log_line(&["the credentials have changed"]);
    router.log_line(&["reading"]);
    assert_eq!(simulator.counts().logins_refused, 1, "the account must not be locked");
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn a_password_file_that_can_be_read_again_lets_the_router_in_at_once() {
    let simulator = Simulator::start(Settings::default()).unwrap();
    let test = Test::new("readable-again");
    let good = format!("{}\n", simulator.password());
    test.write("password", &good);
    write_router(&test, &simulator);
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    for (spoilt, said) in [("", "is empty"), ("a\nb\n", "more than one line")] {
        test.write("password", spoilt);
        simulator.end_sessions();
        router.log_line(&[said, "trying again in"]);
        let before = router.stderr().iter().filter(|line| line.contains("reading VMware")).count();
        let repaired = Instant::now();
        test.write("password", &good);
        wait_for("the login", SOON, || {
            let lines = router.stderr();
            (before < lines.iter().filter(|line| line.contains("reading VMware")).count()).then_some(())
        });
        assert!(repaired.elapsed() < Duration::from_secs(8), "{said}: {:?}", repaired.elapsed());
    }
    router.log_line(&["the credentials have changed: logging in again"]);
    assert_eq!(simulator.counts().logins_refused, 0);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

/// A router that reads from the simulator, with its password in a file.
fn write_router(test: &Test, simulator: &Simulator) {
    test.write(
        "router.toml",
        &format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = {{ file = \"password\" }}\n\
             [processor.screen]\ntype = \"stdout\"\n",
            simulator.url(),
            simulator.username()
        ),
    );
}
