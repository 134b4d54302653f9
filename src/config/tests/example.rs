//! What the README shows is what is read, and damage to it is refused.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::sections::SinkAuth;
use crate::processor::knative::settings::{Destination, Encoding, KnativeConfig};
use crate::processor::openfaas::settings::OpenfaasConfig;
use crate::testing::Random;

/// The example of the README, reduced to what is read without files.
const EXAMPLE: &str = r#"
state_dir = "/var/lib/event-router"

[source.vc01]
type = "vcenter"
address = "https://vc01.corp.local/sdk"
username = "svc-router@vsphere.local"
password = { env = "VC01_PASSWORD" }
checkpoint = true
replay_max = "12h"
page_size = 500
proxy = "http://user:pass@proxy:3128"
[source.vc01.tls]
pin_sha256 = ["000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f"]
server_name = "vc01"

[source.lab]
type = "vcsim"
address = "127.0.0.1:8989"
username = "user"
password = "pass"
tls = { insecure = true }

[processor.broker]
type = "knative"
uri = "http://broker-ingress.knative-eventing.svc.cluster.local/default/default"
encoding = "structured"
timeout = "5s"

[processor.functions]
type = "openfaas"
address = "http://127.0.0.1:8080/"
async = true
username = "admin"
password = "pass"
refresh = "1m"
callback_url = "http://127.0.0.1:8080/function/done"

[processor.screen]
type = "stdout"

[route.power]
from = "vc01"
to = "broker"
types = ["VmPoweredOnEvent", "com.vmware.vc.*"]
pattern = { data = { Vm = { Name = [{ prefix = "web-" }, { suffix = '"' }] }, Key = [7, 1.5, true] } }
order = "strict"
format = "vspheresource"
retry = { first = "1s", max = "1m", give_up_after = "1h" }
dead_letters = { max_size = "1MiB" }

[route.rest]
from = "lab"
to = "screen"
workers = 64

[route.functions]
from = "lab"
to = "functions"

[metrics]
bind = "127.0.0.1:8082"
username = "prometheus"
password = { env = "METRICS_PASSWORD" }

[cluster]
engine = "kubernetes"
identity = "router-0"

[log]
level = "warn"
format = "json"
"#;

/// Sources of the other kinds.
const SOURCES: &str = r#"
[source.hook]
type = "webhook"
bind = "127.0.0.1:0"
signature = { header = "X-Signature", key = "k" }
tls = { cert_file = "c", key_file = "k" }
[source.pod]
type = "horizon"
address = "https://cs1.corp.local"
domain = "corp"
username = "u"
password = "p"
"#;

#[test]
fn example_is_read() {
    let config = parsed(EXAMPLE).unwrap();
    assert_eq!(config.state_dir, PathBuf::from("/var/lib/event-router"));
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
    assert_eq!(config.warnings, []);
    assert_eq!(config.log, LogConfig { level: log::LevelFilter::Warn, format: LogFormat::Json });

    let metrics = config.metrics.unwrap();
    let auth = metrics.auth.unwrap();
    assert_eq!(
        (metrics.bind.as_str(), auth.username),
        ("127.0.0.1:8082", Secret::Literal("prometheus".into()))
    );
    assert_eq!(auth.password, Secret::Env("METRICS_PASSWORD".into()));
    assert!(parsed(&format!("{VCENTER}{STDOUT}")).unwrap().metrics.is_none(), "nothing listens by default");
    assert!(parsed(&format!("{VCENTER}{STDOUT}[metrics]\nbind = '[::]:0'")).is_ok());

    // In the file's order, which is not that of the alphabet.
    assert_eq!(config.sources.iter().map(|source| &source.name).collect::<Vec<_>>(), ["vc01", "lab"]);
    let [vc01, lab] = &config.sources[..] else { panic!("two sources") };
    assert!(vc01.checkpoint && !lab.checkpoint);
    assert_eq!(vc01.replay_max, Some(Duration::from_secs(12 * 3600)));
    let vcenter: &VcenterConfig = settings(&*vc01.settings);
    assert_eq!(vcenter.address, "https://vc01.corp.local/sdk");
    assert_eq!(vcenter.username, Secret::Literal("svc-router@vsphere.local".to_string()));
    assert_eq!(vcenter.password, Secret::Env("VC01_PASSWORD".to_string()));
    assert_eq!(vcenter.page_size, 500);
    assert_eq!(vcenter.connection.proxy.as_deref(), Some("http://user:pass@proxy:3128"));
    assert_eq!(vcenter.connection.tls.pin_sha256[0][31], 15);
    assert_eq!(vcenter.connection.tls.server_name.as_deref(), Some("vc01"));
    let vcenter: &VcenterConfig = settings(&*lab.settings);
    assert_eq!(vcenter.address, "https://127.0.0.1:8989/sdk");
    assert!(vcenter.connection.tls.insecure);

    let knative: &KnativeConfig = settings(&*config.processors[0].settings);
    let broker = "http://broker-ingress.knative-eventing.svc.cluster.local/default/default";
    assert_eq!(knative.destination, Destination::Uri(broker.to_string()));
    assert_eq!((knative.encoding, knative.timeout), (Encoding::Structured, Duration::from_secs(5)));

    let openfaas: &OpenfaasConfig = settings(&*config.processors[1].settings);
    assert_eq!(openfaas.address, "http://127.0.0.1:8080");
    assert!(openfaas.asynchronous && matches!(openfaas.auth, SinkAuth::Basic { .. }));
    assert_eq!((openfaas.timeout, openfaas.refresh), (Duration::from_secs(15), Duration::from_secs(60)));
    assert_eq!(openfaas.content_type, None);
    assert_eq!(openfaas.callback_url.as_deref(), Some("http://127.0.0.1:8080/function/done"));

    let [power, rest, _] = &config.routes[..] else { panic!("three routes") };
    assert_eq!((power.from.as_str(), power.to.as_str()), ("vc01", "broker"));
    assert_eq!(power.types, ["VmPoweredOnEvent", "com.vmware.vc.*"]);
    assert_eq!(
        power.pattern.as_ref().unwrap().text(),
        r#"{"data":{"Key":[7,1.5,true],"Vm":{"Name":[{"prefix":"web-"},{"suffix":"\""}]}}}"#
    );
    assert_eq!((power.order, power.workers, power.format), (Order::Strict, Some(1), Format::Vspheresource));
    let hour = Some(Duration::from_secs(3600));
    let retry =
        RetryConfig { first: Duration::from_secs(1), max: Duration::from_secs(60), give_up_after: hour };
    assert_eq!((power.retry, power.dead_letter_bytes_max), (retry, 1 << 20));
    assert_eq!((rest.order, rest.workers, rest.retry), (Order::Entity, Some(64), RetryConfig::default()));
}

#[test]
fn every_source_goes_to_every_processor_without_routes() {
    let one = parsed(&format!("{VCENTER}{STDOUT}")).unwrap();
    let names = |config: &Config| config.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&one), ["vc01-screen"]);
    assert_eq!((one.routes[0].order, one.routes[0].workers), (Order::Entity, None));

    // The names, and so the state, stay when the file grows.
    let other = STDOUT.replace("screen", "a");
    let more = VCENTER.replace("vc01]", "vc02]");
    let four = parsed(&format!("{VCENTER}{more}{STDOUT}{other}")).unwrap();
    assert_eq!(names(&four), ["vc01-screen", "vc01-a", "vc02-screen", "vc02-a"]);
}

#[test]
fn the_command_line_goes_before_the_file() {
    let (log_level, log_format) = (Some(log::LevelFilter::Trace), Some(LogFormat::Text));
    let overrides = Overrides { log_level, log_format, ..Overrides::default() };
    let config = parse(EXAMPLE, Path::new("router.toml"), &overrides, &environment).unwrap();
    assert_eq!(config.log, LogConfig { level: log::LevelFilter::Trace, format: LogFormat::Text });
}

#[test]
fn addresses_are_completed() {
    for (address, full) in [
        ("vc01", "https://vc01/sdk"),
        ("vc01:8443", "https://vc01:8443/sdk"),
        ("https://vc01/", "https://vc01/sdk"),
        ("https://vc01/sdk/", "https://vc01/sdk"),
        ("http://127.0.0.1:8989/sdk", "http://127.0.0.1:8989/sdk"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]/sdk"),
        ("https://proxy/vcenter/sdk", "https://proxy/vcenter/sdk"),
    ] {
        let text = VCENTER.replace("\"vc01\"", &format!("{address:?}"));
        let config = parsed(&format!("{text}{STDOUT}")).unwrap();
        let vcenter: &VcenterConfig = settings(&*config.sources[0].settings);
        assert_eq!(vcenter.address, full, "{address}");
    }
}

const README: &str = include_str!("../../../README.md");

#[test]
fn every_configuration_of_the_readme_is_right() {
    let blocks: Vec<&str> =
        README.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        // The files of the reader are not here.
        let text = block.lines().map(|line| match line.split_once("{ file =") {
            Some((key, _)) => format!("{key}\"secret\"\n"),
            None => format!("{line}\n"),
        });
        assert_eq!(parsed(&text.collect::<String>()).err(), None, "{block}");
    }
}

/// What a file can hold is what its reader asks for: an unknown key in every section makes it tell.
#[test]
fn the_readme_names_every_key() {
    let unknown = "zzzz = 1\n";
    let lines = EXAMPLE.lines().chain(SOURCES.lines()).map(|line| match line.starts_with('[') {
        true => format!("{line}\n{unknown}"),
        false => format!("{}\n", line.replace("= {", "= { zzzz = 1,")),
    });
    let text: String = lines.collect();
    let said = parsed(&format!("{unknown}{text}")).err().unwrap();
    let mut sections = 0;
    for list in said.lines().filter_map(|line| line.split("zzzz: not a known key; known here: ").nth(1)) {
        sections += 1;
        for key in list.split(", ") {
            let named =
                ["`KEY`", "`KEY =", "{ KEY =", ", KEY =", "[KEY"].map(|form| form.replace("KEY", key));
            assert!(named.iter().any(|name| README.contains(name)), "the README does not name `{key}`");
        }
    }
    // The file, four sources, a signature, a secret, their tls (three), three processors, three routes, retry, dead letters, metrics,
    // its secret, cluster, log.
    assert_eq!(sections, 22, "{said}");
}

/// Random damage to a good file: it is read or refused, and each problem lies inside the file.
#[test]
fn damaged_files_never_end_the_reader() {
    let mut random = Random::from_test("damaged_files_never_end_the_reader");
    let syntax = b"[]{}\"'=.,#\n\r\t \\u_-+0xbein\xC3\xA4\0\xEF\xBB\xBF";
    let (mut good, mut bad) = (0, 0);
    for _ in 0..4000 {
        let mut bytes = EXAMPLE.as_bytes().to_vec();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = syntax[random.below(syntax.len())],
                1 => bytes.insert(at, syntax[random.below(syntax.len())]),
                2 => drop(bytes.remove(at)),
                _ => {
                    let (from, length) = (random.below(bytes.len()), random.below(40));
                    let piece = bytes[from..(from + length).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.split('\n').count();
        match parse(&text, Path::new("router.toml"), &Overrides::default(), &environment) {
            Ok(_) => good += 1,
            Err(problems) => {
                bad += 1;
                assert!(!problems.is_empty(), "{text}");
                for problem in problems {
                    assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem}\n{text}");
                }
            }
        }
    }
    assert!(good > 100 && bad > 1000, "{good} good, {bad} bad: the damage is too light or too heavy");
}
