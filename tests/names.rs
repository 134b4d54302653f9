//! Names are found whatever a name server does to one family, one search domain or one server. The
//! router runs in a network of its own, in which the name server is scripted.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use event_router::demo::simulator::{Settings, Simulator};

use crate::support::{Test, router_command};

const A: u8 = 1;
const AAAA: u8 = 28;
const SERVFAIL: Answer = Answer::Code(2);
const NXDOMAIN: Answer = Answer::Code(3);

#[derive(Clone, Debug)]
enum Answer {
    Code(u8),
    Addresses(&'static [&'static str]),
    Silence,
    /// By UDP only that there is more; by TCP these.
    Long(&'static [&'static str]),
    /// With another id than asked for.
    Forged(&'static [&'static str]),
}

/// Answers of the name server: name and kind, in the order of looking; what is in none is NXDOMAIN.
type Script = Arc<Mutex<Vec<(&'static str, u8, Answer)>>>;

struct Case {
    about: &'static str,
    resolv: &'static str,
    script: Vec<(&'static str, u8, Answer)>,
    /// What `check` says of the source, beside `ok` or `FAIL`.
    expected: Result<(), &'static [&'static str]>,
}

fn cases() -> Vec<Case> {
    let plain = "nameserver 127.0.0.53\n";
    let cluster = "nameserver 127.0.0.53\nsearch ns.svc.cluster.test svc.cluster.test\noptions ndots:5\n";
    let vc = "vc.example.test";
    let good = Answer::Addresses(&["127.0.0.1"]);
    let ok = |about, resolv, script| Case { about, resolv, script, expected: Ok(()) };
    vec![
        ok("no AAAA", plain, vec![(vc, A, good.clone()), (vc, AAAA, Answer::Addresses(&[]))]),
        ok("AAAA is NXDOMAIN", plain, vec![(vc, A, good.clone()), (vc, AAAA, NXDOMAIN)]),
        ok("AAAA is SERVFAIL", plain, vec![(vc, A, good.clone()), (vc, AAAA, SERVFAIL)]),
        ok("AAAA is REFUSED", plain, vec![(vc, A, good.clone()), (vc, AAAA, Answer::Code(5))]),
        ok("AAAA is NOTIMP", plain, vec![(vc, A, good.clone()), (vc, AAAA, Answer::Code(4))]),
        ok("AAAA has no answer", plain, vec![(vc, A, good.clone()), (vc, AAAA, Answer::Silence)]),
        ok(
            "a dead IPv6 address",
            plain,
            vec![(vc, A, good.clone()), (vc, AAAA, Answer::Addresses(&["2001:db8::1", "::1"]))],
        ),
        ok("a dead IPv4 address first", plain, vec![(vc, A, Answer::Addresses(&["192.0.2.1", "127.0.0.1"]))]),
        ok("a long answer", plain, vec![(vc, A, Answer::Long(&["127.0.0.1"])), (vc, AAAA, SERVFAIL)]),
        ok(
            "a search domain fails",
            cluster,
            vec![
                ("vc.example.test.ns.svc.cluster.test", A, SERVFAIL),
                ("vc.example.test.ns.svc.cluster.test", AAAA, SERVFAIL),
                (vc, A, good.clone()),
            ],
        ),
        ok(
            "a search domain hangs",
            cluster,
            vec![
                ("vc.example.test.svc.cluster.test", A, Answer::Silence),
                ("vc.example.test.svc.cluster.test", AAAA, Answer::Silence),
                (vc, A, good.clone()),
            ],
        ),
        ok("found in a search domain", cluster, vec![("vc.example.test.svc.cluster.test", A, good.clone())]),
        ok("the first server is dead", "nameserver 127.0.0.54\nnameserver 127.0.0.53\n", vec![(vc, A, good)]),
        Case {
            about: "nobody knows it",
            resolv: plain,
            script: vec![],
            expected: Err(&["resolve vc.example.test: name server 127.0.0.53 answers NXDOMAIN for \
                             vc.example.test (AAAA, A)"]),
        },
        Case {
            about: "both fail",
            resolv: "nameserver 127.0.0.54\nnameserver 127.0.0.53\n",
            script: vec![(vc, A, SERVFAIL), (vc, AAAA, NXDOMAIN)],
            expected: Err(&[
                "name server 127.0.0.54 cannot be asked (connection refused)",
                "name server 127.0.0.53 answers SERVFAIL for vc.example.test (A)",
                "name server 127.0.0.53 answers NXDOMAIN for vc.example.test (AAAA)",
            ]),
        },
        Case {
            about: "a forged answer is none",
            resolv: "nameserver 127.0.0.53\noptions timeout:1 attempts:1\n",
            script: vec![(vc, A, Answer::Forged(&["127.0.0.1"]))],
            expected: Err(&["name server 127.0.0.53 does not answer for vc.example.test (A)"]),
        },
    ]
}

/// The test starts itself once more in namespaces of its own.
#[test]
fn one_usable_address_is_enough() {
    const INSIDE: &str = "ROUTER_TEST_NAMES_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return run_cases();
    }
    let possible = Command::new("unshare").args(["-rnm", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine lets no user make a network of their own");
        return;
    }
    let test = Test::new("names");
    test.write("resolv.conf", "");
    test.write("hosts", "127.0.0.1 localhost\n127.0.0.1 known.test\n");
    let script = "ip link set lo up && mount --bind \"$1/resolv.conf\" /etc/resolv.conf && \
                  mount --bind \"$1/hosts\" /etc/hosts && shift && exec \"$@\"";
    let mut inside = Command::new("unshare");
    inside.args(["-rnm", "sh", "-c", script, "sh"]).arg(test.path("")).arg(std::env::current_exe().unwrap());
    inside.args(["--exact", "names::one_usable_address_is_enough", "--nocapture"]).env(INSIDE, "1");
    let output = inside.output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("case ok: ").count(), cases().len() + 3, "{text}");
}

fn run_cases() {
    let script = Script::default();
    serve_names(&script);
    let simulator = Simulator::start(Settings::default()).unwrap();
    for case in cases() {
        std::fs::write("/etc/resolv.conf", case.resolv).unwrap();
        *script.lock().unwrap() = case.script;
        check(&simulator, "vc.example.test", case.about, &case.expected);
    }
    std::fs::write("/etc/resolv.conf", "nameserver 127.0.0.54\n").unwrap();
    for (host, about) in [("known.test", "hosts"), ("localhost", "localhost"), ("127.0.0.1", "a literal")] {
        check(&simulator, host, about, &Ok(()));
    }
}

fn check(simulator: &Simulator, host: &str, about: &str, expected: &Result<(), &[&str]>) {
    let test = Test::new("names-inside");
    let url = simulator.url().replace("127.0.0.1", host);
    let text = format!(
        "state_dir = \".\"\n[source.vc]\ntype = \"vcenter\"\naddress = \"{url}\"\nusername = \"{}\"\n\
         password = \"{}\"\n[processor.screen]\ntype = \"stdout\"\n",
        simulator.username(),
        simulator.password()
    );
    test.write("router.toml", &text);
    let begun = Instant::now();
    let output = router_command().arg("check").env_clear().current_dir(test.path("")).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let source = stdout.lines().find(|line| line.contains(" source vc: ")).unwrap_or_default();
    match expected {
        Ok(()) => assert!(source.starts_with("ok "), "{about}: {stdout}"),
        Err(words) => assert!(
            source.starts_with("FAIL ") && words.iter().all(|words| source.contains(words)),
            "{about}: {stdout}"
        ),
    }
    println!("case ok: {about}, {} ms", begun.elapsed().as_millis());
}

fn serve_names(script: &Script) {
    let address = (Ipv4Addr::new(127, 0, 0, 53), 53);
    let (udp, tcp) = (UdpSocket::bind(address).unwrap(), TcpListener::bind(address).unwrap());
    let by_udp = script.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
            if let Some(answer) = answer(&by_udp, &buffer[..length], true) {
                udp.send_to(&answer, peer).unwrap();
            }
        }
    });
    let by_tcp = script.clone();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let answer = answer(&by_tcp, &question, false).unwrap();
            stream.write_all(&[&(answer.len() as u16).to_be_bytes()[..], &answer].concat()).unwrap();
        }
    });
}

fn answer(script: &Script, question: &[u8], is_udp: bool) -> Option<Vec<u8>> {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] != 0 {
        let label = &question[at + 1..=at + usize::from(question[at])];
        name.push_str(if name.is_empty() { "" } else { "." });
        name.push_str(std::str::from_utf8(label).unwrap());
        at += 1 + label.len();
    }
    let kind = question[at + 2];
    let script = script.lock().unwrap();
    let found = script.iter().find(|(of, by, _)| *of == name && *by == kind).map(|(_, _, answer)| answer);
    let mut message = question.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    let addresses = match found.unwrap_or(&NXDOMAIN) {
        Answer::Silence => return None,
        Answer::Code(code) => {
            message[3] |= code;
            return Some(message);
        }
        Answer::Long(_) if is_udp => {
            message[2] |= 2;
            return Some(message);
        }
        Answer::Forged(addresses) => {
            message[0] ^= 1;
            addresses
        }
        Answer::Addresses(addresses) | Answer::Long(addresses) => addresses,
    };
    message[7] = addresses.len() as u8;
    for address in *addresses {
        let data = match kind {
            AAAA => address.parse::<Ipv6Addr>().unwrap().octets().to_vec(),
            _ => address.parse::<Ipv4Addr>().unwrap().octets().to_vec(),
        };
        message.extend_from_slice(&[0xc0, 0x0c, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        message.extend_from_slice(&data);
    }
    Some(message)
}
