use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::Overrides;
use super::secret::Secret;
use super::*;
use crate::kinds::{Config, load, parse};
use crate::processor::eventbridge::settings::EventbridgeConfig;
use crate::processor::knative::settings::{Destination, Encoding, KnativeConfig};
use crate::processor::openfaas::settings::{GatewayAuth, OpenfaasConfig};
use crate::source::vcenter::settings::VcenterConfig;
use crate::testing::{Random, folder, settings};

mod schema;

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

[log]
level = "warn"
format = "json"
"#;

const VCENTER: &str = r#"
[source.vc01]
type = "vcenter"
address = "vc01"
username = "u"
password = "p"
"#;

const STDOUT: &str = r#"
[processor.screen]
type = "stdout"
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "VC01_PASSWORD" => Some("secret".to_string()),
        "METRICS_PASSWORD" => Some("secret".to_string()),
        "EMPTY" => Some(String::new()),
        "CREDENTIALS_DIRECTORY" => Some("/proc/nonexistent/credentials".to_string()),
        _ => None,
    }
}

fn parsed(text: &str) -> Result<Config, String> {
    let path = Path::new("router.toml");
    parse(text, path, &Overrides::default(), &environment)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

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
    assert!(openfaas.asynchronous && matches!(openfaas.auth, GatewayAuth::Basic { .. }));
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
    assert_eq!((power.order, power.workers, power.format), (Order::Strict, 1, Format::Vspheresource));
    let hour = Some(Duration::from_secs(3600));
    let retry =
        RetryConfig { first: Duration::from_secs(1), max: Duration::from_secs(60), give_up_after: hour };
    assert_eq!((power.retry, power.dead_letter_bytes_max), (retry, 1 << 20));
    assert_eq!((rest.order, rest.workers, rest.retry), (Order::Entity, 64, RetryConfig::default()));
}

#[test]
fn every_source_goes_to_every_processor_without_routes() {
    let one = parsed(&format!("{VCENTER}{STDOUT}")).unwrap();
    let names = |config: &Config| config.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&one), ["vc01-screen"]);
    assert_eq!((one.routes[0].order, one.routes[0].workers), (Order::Entity, 8));

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

const BUS: &str = "[processor.screen]\ntype = 'eventbridge'\n";

#[test]
fn buses_of_aws() {
    let bus = |keys: &str| {
        let config = parsed(&format!("{VCENTER}{BUS}{keys}")).unwrap();
        let bus: &EventbridgeConfig = settings(&*config.processors[0].settings);
        bus.clone()
    };
    let plain = bus("region = 'eu-central-1'");
    assert_eq!((plain.event_bus, plain.bytes_max, plain.refresh.as_secs()), (None, 1_000_000, 300));
    assert!(plain.keys.is_none() && plain.rule.is_none() && plain.endpoint.is_none());
    assert_eq!(bus("region = 'cn-north-1'").bytes_max, 262_144);
    let arn = "arn:aws:events:us-east-1:123456789012:rule/vm/forward";
    let keys = "access_key_id = 'a'\nsecret_access_key = 'b'\nsession_token = 'c'";
    let full = bus(&format!(
        "rule_arn = '{arn}'\n{keys}\nevent_bus = 'arn:aws:events:us-east-1:1:event-bus/vm'\nfips = true\nmax_size = '256KiB'"
    ));
    assert_eq!((full.region.as_str(), full.rule.unwrap().name.as_str()), ("us-east-1", "forward"));
    assert!(full.keys.unwrap().session_token.is_some() && full.fips);
    assert_eq!(full.bytes_max, 262_144);
    for (keys, problem) in [
        ("", "7: processor.screen: needs `region`, such as \"eu-central-1\""),
        ("region = 'EU'", "9: processor.screen.region: \"EU\" is not a region such as \"eu-central-1\""),
        (
            "region = 'a'\nrule_arn = 'forward'",
            "10: processor.screen.rule_arn: \"forward\" is not the ARN of a rule, expected one such as \"arn:aws:events:eu-central-1:123456789012:rule/bus/name\"",
        ),
        (
            "region = 'a'\naccess_key_id = 'x'",
            "7: processor.screen: needs both `access_key_id` and `secret_access_key`, or neither for the AWS credential chain",
        ),
        (
            &format!("region = 'eu-west-1'\nrule_arn = '{arn}'"),
            "7: processor.screen: `region` is eu-west-1, and the rule is in us-east-1",
        ),
        (
            &format!("event_bus = 'other'\nrule_arn = '{arn}'"),
            "7: processor.screen: the rule is one of the bus `vm`, and events go to `other`",
        ),
    ] {
        let found = parsed(&format!("{VCENTER}{BUS}{keys}")).unwrap_err();
        assert_eq!(found.trim_end(), format!("router.toml:{problem}"));
    }
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

#[test]
fn odd_files_are_warned_about() {
    let text = format!(
        "{VCENTER}tls = {{ insecure = true, server_name = \"a\" }}\n{STDOUT}{}\
         [route.r]\nfrom = \"vc01\"\nto = \"screen\"\npattern = {{ detail = {{ a = [1] }} }}\n",
        STDOUT.replace("screen", "idle")
    );
    let warnings: Vec<String> = parsed(&text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "router.toml:7: source.vc01.tls: `insecure` accepts every certificate, the other keys have no effect",
            "router.toml:12: processor.idle: no route uses it",
            "router.toml:17: route.r.pattern: `detail` is no attribute of a CloudEvent; members of the event stand below `data`",
        ]
    );
}

/// Files with one mistake each, as what is added to a good file, and all that is said about it.
#[test]
fn mistakes_are_named_with_place_and_cure() {
    // Source: lines 2 to 6, processor: lines 8 and 9, what is added: from line 10 on.
    let cases: &[(&str, &str)] = &[
        // Keys and types.
        ("colour = 1", "10: processor.screen.colour: not a known key; known here: type"),
        ("[source.vc01.tsl]", "10: source.vc01.tsl: not a known key, did you mean `tls`?"),
        ("[sources.vc02]", "10: sources: not a known key, did you mean `source`?"),
        (
            "['a b']",
            "10: \"a b\": not a known key; known here: state_dir, shutdown_grace, source, processor, route, metrics, log",
        ),
        ("[metrics]", "10: metrics.bind: is missing"),
        (
            "[metrics]\nbind = 'localhost'",
            "11: metrics.bind: \"localhost\" has no port, expected \"HOST:PORT\" such as \"127.0.0.1:8082\"",
        ),
        (
            "[metrics]\nbind = ':8082'",
            "11: metrics.bind: \":8082\" is not an address to listen on, expected \"HOST:PORT\" such as \"127.0.0.1:8082\"",
        ),
        (
            "[metrics]\nbind = '::1:8082'",
            "11: metrics.bind: an IPv6 address stands in brackets: write \"[::1]:8082\"",
        ),
        (
            "[metrics]\nbind = '[::1]:808200'",
            "11: metrics.bind: \"[::1]:808200\" is not an address to listen on, expected \"HOST:PORT\" such as \"127.0.0.1:8082\"",
        ),
        (
            "[metrics]\nbind = 'a:1'\npassword = 'p'",
            "10: metrics: holds only one of `username` and `password`, expected both",
        ),
        (
            "[log]\nlevel = 1",
            "11: log.level: expected \"error\", \"warn\", \"info\", \"debug\", \"trace\", found an integer",
        ),
        (
            "[log]\nlevel = 'inf'",
            "11: log.level: \"inf\" is not known, did you mean \"info\"? known: \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        ("[log]\nformat = 'xml'", "11: log.format: \"xml\" is not known, known: \"text\", \"json\""),
        ("[[log]]", "10: log: expected a table, found an array"),
        ("[source]\nvc02 = 5", "11: source.vc02: expected a table, found an integer"),
        // Types of sources and processors.
        ("[source.b]", "10: source.b.type: is missing"),
        (
            "[source.b]\ntype = 'webhook'\nbind = 'a'",
            "11: source.b.type: \"webhook\" is not known, known: \"vcenter\", \"vcsim\"",
        ),
        (
            "[processor.b]\ntype = 'kantive'",
            "11: processor.b.type: \"kantive\" is not known, did you mean \"knative\"? known: \"knative\", \"openfaas\", \"eventbridge\", \"stdout\"",
        ),
        (
            "[processor.b]\ntype = true",
            "11: processor.b.type: expected \"knative\", \"openfaas\", \"eventbridge\", \"stdout\", found a boolean",
        ),
        (
            "[processor.'a/b']\ntype = 'stdout'",
            "10: processor.\"a/b\": not a name: it begins with a letter or digit and holds at most 64 letters, digits, `-`, `_`, `.`",
        ),
        (
            "[processor.'..']\ntype = 'stdout'",
            "10: processor.\"..\": not a name: it begins with a letter or digit and holds at most 64 letters, digits, `-`, `_`, `.`",
        ),
        // Processors.
        ("[processor.b]\ntype = 'knative'", "10: processor.b.uri: is missing"),
        ("[processor.b]\ntype = 'openfaas'", "10: processor.b.address: is missing"),
        (
            "[processor.b]\ntype = 'openfaas'\naddress = 'http://u:p@a'",
            "12: processor.b.address: must not hold a user or password, write `username` and `password` instead",
        ),
        (
            "[processor.b]\ntype = 'openfaas'\naddress = 'http://a?b'",
            "12: processor.b.address: must not have a query",
        ),
        (
            "[processor.b]\ntype = 'openfaas'\naddress = 'http://a'\nusername = 'admin'",
            "10: processor.b: holds only one of `username` and `password`, expected both",
        ),
        (
            "[processor.b]\ntype = 'openfaas'\naddress = 'http://a'\nusername = 'admin'\ntoken = 't'",
            "10: processor.b: holds `token` beside `username` or `password`, expected either",
        ),
        (
            "[processor.b]\ntype = 'openfaas'\naddress = 'http://a'\ncallback_url = 'http://b'",
            "10: processor.b: `callback_url` needs `async = true`: only the gateway's queue calls back",
        ),
        (
            "[processor.b]\ntype = 'openfaas'\naddress = 'http://a'\ncontent_type = 'json'",
            "13: processor.b.content_type: \"json\" is not a media type such as \"application/json\"",
        ),
        (
            "[processor.b]\ntype = 'openfaas'\naddress = 'http://a'\nrefresh = '100ms'",
            "13: processor.b.refresh: \"100ms\" is too short, the shortest is \"1000ms\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = '/default'",
            "12: processor.b.uri: not an absolute URL, expected http://HOST or https://HOST",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://u:p@a'",
            "12: processor.b.uri: must not hold a user or password",
        ),
        ("[processor.b]\ntype = 'knative'\nuri = 'ftp://a'", "12: processor.b.uri: not an http or https URL"),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = 30",
            "13: processor.b.timeout: expected a time such as \"200ms\", \"30s\", \"5m\", \"12h\" or \"7d\", found an integer",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = '0s'",
            "13: processor.b.timeout: \"0s\" is too short, the shortest is \"1ms\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = '30'",
            "13: processor.b.timeout: \"30\" is not a time, expected a time such as \"200ms\", \"30s\", \"5m\", \"12h\" or \"7d\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = '9999d'",
            "13: processor.b.timeout: \"9999d\" is too long, the longest is \"3650d\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\nproxy = 'socks5://u:p@a'",
            "13: processor.b.proxy: not an http or https URL; expected a proxy such as \"http://user:password@proxy:3128\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\nproxy = 'https://p'",
            "13: processor.b.proxy: scheme is not http, expected a proxy such as \"http://user:password@proxy:3128\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\nproxy = 'http://p:1/a'",
            "13: processor.b.proxy: has a path, expected a proxy such as \"http://user:password@proxy:3128\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntls.pin_sha256 = ['AA:BB']",
            "13: processor.b.tls.pin_sha256[0]: \"AA:BB\" is not a SHA-256, expected 32 bytes such as \"AA:BB:..:FF\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntls.pin_sha256 = 'AA'",
            "13: processor.b.tls.pin_sha256: expected an array of SHA-256 values, found a string",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntls.server_name = 'a b'",
            "13: processor.b.tls.server_name: \"a b\" is not a host name",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntls.ca_file = '/proc/nonexistent'",
            "13: processor.b.tls.ca_file: read ca_file /proc/nonexistent: no such file or directory",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntls.ca_file = '/dev/null'",
            "13: processor.b.tls.ca_file: read ca_file /dev/null: it holds no PEM certificate",
        ),
        // Sources.
        (
            "[source.b]\ntype = 'vcenter'",
            "10: source.b.address: is missing\n10: source.b.username: is missing\n10: source.b.password: is missing",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npasword = 'p'",
            "14: source.b.pasword: not a known key, did you mean `password`?",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'https://u:p@a'\nusername = 'u'\npassword = 'p'",
            "12: source.b.address: must not hold a user or password, write `username` and `password` instead",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a?b=c'\nusername = 'u'\npassword = 'p'",
            "12: source.b.address: must not have a query",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a:0'\nusername = 'u'\npassword = 'p'",
            "12: source.b.address: not a port from 1 to 65535",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 'p'\npage_size = 1001",
            "15: source.b.page_size: expected a whole number from 1 to 1000, found 1001",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 'p'\npage_size = -1",
            "15: source.b.page_size: expected a whole number from 1 to 1000, found -1",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 'p'\ncheckpoint = 'yes'",
            "15: source.b.checkpoint: expected true or false, found a string",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 'p'\nreplay_max = 'never'",
            "15: source.b.replay_max: \"never\" is not a time, expected a time such as \"200ms\", \"30s\", \"5m\", \"12h\" or \"7d\"",
        ),
        // Secrets.
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 12345",
            "14: source.b.password: expected a string, { file = \"PATH\" } or { env = \"NAME\" }, found an integer",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = ''",
            "14: source.b.password: is empty",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = {}",
            "14: source.b.password: holds neither `file` nor `env`",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { file = 'a', env = 'b' }",
            "14: source.b.password: holds both `file` and `env`, expected one of them",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { path = 'a' }",
            "14: source.b.password: holds neither `file` nor `env`\n14: source.b.password.path: not a known key; known here: file, env",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { file = '/proc/nonexistent/a' }",
            "14: source.b.password: read secret file /proc/nonexistent/a: no such file or directory",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { file = '$CREDENTIALS_DIRECTORY/a' }",
            "14: source.b.password: read secret file /proc/nonexistent/credentials/a: no such file or directory",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { file = '/dev/null' }",
            "14: source.b.password: secret file /dev/null is empty",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { env = 'NO_SUCH' }",
            "14: source.b.password: environment variable NO_SUCH is not set or not UTF-8",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { env = 'EMPTY' }",
            "14: source.b.password: environment variable EMPTY is empty",
        ),
        // Routes.
        ("[route.r]\nfrom = 'vc01'", "10: route.r.to: is missing"),
        (
            "[route.r]\nfrom = 'vc1'\nto = 'screen'",
            "11: route.r.from: no [source.vc1] in this file, did you mean `vc01`?",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'functions'",
            "12: route.r.to: no [processor.functions] in this file; there is: screen",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\ntypes = []",
            "13: route.r.types: is empty, so that no event would match; leave it out for all events",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\ntypes = [\n'a',\n' b']",
            "15: route.r.types[1]: \" b\" is not the name of an event, expected one such as \"VmPoweredOnEvent\" or \"com.vmware.vc.*\"",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\npattern = 'x'",
            "13: route.r.pattern: event pattern: not JSON: expected value at line 1 column 1",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\npattern = { data = { Key = [{ prefx = 'a' }] } }",
            "13: route.r.pattern: event pattern: data.Key[0]: unknown operator \"prefx\"; known are prefix, suffix, \
             equals-ignore-case, wildcard, anything-but, numeric, cidr, exists",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\npattern = { time = [2026-05-04] }",
            "13: route.r.pattern: a date in a pattern must stand in quotes",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\nworkers = 0",
            "13: route.r.workers: expected a whole number from 1 to 1024, found 0",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\nworkers = 99999999999999999999",
            "13: route.r.workers: expected a whole number from 1 to 1024, found 99999999999999999999",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\nworkers = 2\norder = 'strict'",
            "13: route.r.workers: `order = \"strict\"` delivers one event at a time, so workers is 1 or left out",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\nretry = { first = '1m' }",
            "13: route.r.retry: `first` (60000 ms) is longer than `max` (30000 ms)",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\ndead_letters = { max_size = '1B' }",
            "13: route.r.dead_letters.max_size: \"1B\" is too small, the smallest is \"64KiB\"",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\ndead_letters = { max_size = 64 }",
            "13: route.r.dead_letters.max_size: expected a size such as \"512KiB\", \"64MiB\" or \"1GiB\", found an integer",
        ),
        (
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\nextra = {}",
            "13: route.r.extra: not a known key; known here: from, to, types, pattern, order, workers, format, retry, dead_letters",
        ),
        (
            "[route.a]\nfrom = 'vc01'\nto = 'screen'\n[route.b]\nfrom = 'vc01'\nto = 'screen'",
            "13: route.b: the same as route `a`: every event would be delivered twice; remove one or give them different `types` or `pattern`",
        ),
        // Syntax.
        ("[route.r", "10:9: the ] is missing: write [route.r]"),
        ("[route.r]\nfrom = vc01", "11:8: a text stands in quotes: write it in 'single quotes'"),
        (
            "[source.vc01]\n",
            "10:9: [source.vc01] is there twice, first in line 2: give one of them another name, or join them",
        ),
    ];
    let mut wrong = Vec::new();
    for (added, expected) in cases {
        let result = parsed(&format!("{VCENTER}{STDOUT}{added}\n"));
        let said = result.err().unwrap_or_default().replace("router.toml:", "");
        if said != *expected {
            wrong.push(format!("{added}\n  says: {said}\n  instead of: {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_file_without_a_route_says_what_is_missing() {
    for (text, expected) in [
        ("", "router.toml: no [source.NAME] and no [processor.NAME]: nothing to route"),
        (
            "# nothing\n[source]\n[log]",
            "router.toml: no [source.NAME] and no [processor.NAME]: nothing to route",
        ),
        (VCENTER, "router.toml: no [processor.NAME]: nothing to deliver events to"),
        (STDOUT, "router.toml: no [source.NAME]: nothing to read events from"),
    ] {
        assert_eq!(parsed(text).err().as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn default_names_must_differ() {
    let text = format!(
        "{}{}{}{}",
        VCENTER.replace("vc01]", "a]"),
        VCENTER.replace("vc01]", "a-b]"),
        STDOUT.replace("screen", "b-c"),
        STDOUT.replace("screen", "c")
    );
    assert_eq!(
        parsed(&text).err().unwrap(),
        "router.toml: the routes from `a` to `b-c` and from `a-b` to `c` would have one name, `a-b-c`; \
         write a [route.NAME] for each"
    );
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = "stat_dir = 'x'\n[source.a]\ntype = 'vcenter'\naddress = 5\nusername = 'u'\npasswort = 'p'\n\
                [route.r]\nfrom = 'b'\nto = 'c'\n[processor.c]\ntype = 'knative'\n";
    let expected = [
        "router.toml:1: stat_dir: not a known key, did you mean `state_dir`?",
        "router.toml:4: source.a.address: expected a string, found an integer",
        "router.toml:6: source.a.passwort: not a known key, did you mean `password`?",
        "router.toml:8: route.r.from: no [source.b] in this file; there is: a",
        "router.toml:10: processor.c.uri: is missing",
    ];
    assert_eq!(parsed(text).err().unwrap(), expected.join("\n"));
}

#[test]
fn problems_never_repeat_a_secret() {
    for text in [
        "password = hunter2",
        "password = 'hunter2",
        "password = { hunter2 }",
        "address = 'https://user:hunter2@vc'",
        "address = 'https://user:hunter2 @vc'",
        "proxy = 'http://user:hunter2@proxy:x'",
        "proxy = 'http//user:hunter2@proxy'",
        "password = ['hunter2']",
    ] {
        let said = parsed(&format!("[source.a]\ntype = 'vcenter'\n{text}")).err().unwrap();
        assert!(!said.contains("hunter2"), "{said}");
    }
}

/// The file's folder counts, not the one in which the router was started.
#[test]
fn relative_paths_and_secret_files() {
    let scratch = folder("config");
    let folder = scratch.path();
    std::fs::write(folder.join("password"), "geheim\n").unwrap();
    let text = VCENTER.replace("\"p\"", "{ file = \"password\" }");
    let file = folder.join("router.toml");
    std::fs::write(&file, format!("{text}{STDOUT}")).unwrap();
    let config = load(&file, &Overrides::default());
    std::fs::write(&file, b"a = 1\nb = '\xFF'").unwrap();
    let binary = load(&file, &Overrides::default());
    std::fs::write(&file, vec![b' '; 1024 * 1024 + 1]).unwrap();
    let large = load(&file, &Overrides::default());
    std::fs::remove_file(&file).unwrap();
    let missing = load(&file, &Overrides::default());

    let config = config.unwrap();
    assert_eq!(config.state_dir, folder.join("state"));
    let vcenter: &VcenterConfig = settings(&*config.sources[0].settings);
    assert_eq!(vcenter.password, Secret::File(folder.join("password")));
    let file = file.display();
    assert_eq!(binary.unwrap_err()[0].to_string(), format!("{file}:2: is not UTF-8 text: save it as UTF-8"));
    assert_eq!(large.unwrap_err()[0].to_string(), format!("{file}: is larger than 1024 KiB"));
    assert_eq!(
        missing.unwrap_err()[0].to_string(),
        format!("{file}: cannot be read: no such file or directory")
    );
}

const README: &str = include_str!("../../README.md");

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
    let lines = EXAMPLE.lines().map(|line| match line.starts_with('[') {
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
    // The file, two sources, a secret, their tls, three processors, three routes, retry, dead letters, metrics,
    // its secret, log.
    assert_eq!(sections, 17, "{said}");
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
