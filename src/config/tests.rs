use std::path::Path;

use super::file::Overrides;
use super::secret::Secret;
use super::*;
use crate::kinds::{Config, load, parse};
use crate::source::vcenter::settings::VcenterConfig;
use crate::testing::{folder, settings};

mod example;
mod schema;

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
            "router.toml:7: source.vc01.tls: `insecure` accepts every certificate: `ca_file`, `pin_sha256` and `server_name` decide nothing",
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
            "10: \"a b\": not a known key; known here: state_dir, shutdown_grace, source, processor, route, cluster, metrics, log",
        ),
        ("[metrics]", "10: metrics.bind: is missing: write bind = \"127.0.0.1:8082\""),
        (
            "[metrics]\nbind = 'localhost'",
            "11: metrics.bind: \"localhost\" has no port, expected \"HOST:PORT\" such as \"127.0.0.1:8082\"",
        ),
        (
            "[metrics]\nbind = ':8082'",
            "11: metrics.bind: \":8082\" has no host: write \"0.0.0.0:8082\" for all addresses, or \"127.0.0.1:8082\"",
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
            "11: log.level: expected \"error\", \"warn\", \"info\", \"debug\", \"trace\", found an integer: write it in quotes",
        ),
        (
            "[log]\nlevel = 'inf'",
            "11: log.level: \"inf\" is not known, did you mean \"info\"? known: \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ),
        ("[log]\nformat = 'xml'", "11: log.format: \"xml\" is not known, known: \"text\", \"json\""),
        ("[[log]]", "10: log: [[log]] makes a list: write [log]"),
        ("[source]\nvc02 = 5", "11: source.vc02: expected a table, found an integer"),
        // Types of sources and processors.
        (
            "[source.b]",
            "10: source.b.type: is missing: write type = \"vcenter\" or \"vcsim\" or \"horizon\" or \"webhook\" or \"self\"",
        ),
        (
            "[source.b]\ntype = 'syslog'\nbind = 'a'",
            "11: source.b.type: \"syslog\" is not known, known: \"vcenter\", \"vcsim\", \"horizon\", \"webhook\", \"self\"",
        ),
        (
            "[processor.b]\ntype = 'kantive'",
            "11: processor.b.type: \"kantive\" is not known, did you mean \"knative\"? known: \"knative\", \"openfaas\", \"eventbridge\", \"http\", \"stdout\"",
        ),
        (
            "[processor.b]\ntype = true",
            "11: processor.b.type: expected \"knative\", \"openfaas\", \"eventbridge\", \"http\", \"stdout\", found a boolean: write it in quotes",
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
        (
            "[processor.b]\ntype = 'knative'",
            "10: processor.b.uri: is missing: write uri = \"http://HOST/PATH\"",
        ),
        (
            "[processor.b]\ntype = 'openfaas'",
            "10: processor.b.address: is missing: write address = \"https://HOST\"",
        ),
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
            "12: processor.b.uri: has no host: write https://HOST",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://u:p@a'",
            "12: processor.b.uri: must not hold a user or password: leave it out",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'ftp://a'",
            "12: processor.b.uri: not an http or https URL: write http:// or https:// in place of ftp://",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = 30",
            "13: processor.b.timeout: expected a time such as \"200ms\", \"30s\", \"5m\", \"12h\" or \"7d\", found an integer: write it in quotes, with its unit",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = '0s'",
            "13: processor.b.timeout: \"0s\" is too short, the shortest is \"1ms\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = '30'",
            "13: processor.b.timeout: \"30\" has no unit: write \"30s\" for seconds; others are ms, m, h and d",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntimeout = '9999d'",
            "13: processor.b.timeout: \"9999d\" is too long, the longest is \"3650d\"",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\nproxy = 'socks5://u:p@a'",
            "13: processor.b.proxy: not an http or https URL: write http:// or https:// in place of socks5://; expected a proxy such as \"http://user:password@proxy:3128\"",
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
            "13: processor.b.tls.pin_sha256[0]: \"AA:BB\" is not a SHA-256, expected 32 bytes such as \"AA:BB:..:FF\", as `openssl x509 -noout -fingerprint -sha256 -in FILE` prints them",
        ),
        (
            "[processor.b]\ntype = 'knative'\nuri = 'http://a'\ntls.pin_sha256 = 'AA'",
            "13: processor.b.tls.pin_sha256: expected an array of SHA-256 values, found a string: write it in brackets, [\"A\", \"B\"]",
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
            "13: processor.b.tls.ca_file: read ca_file /dev/null: is a device and no file",
        ),
        // Sources.
        (
            "[source.b]\ntype = 'vcenter'",
            "10: source.b.address: is missing: write address = \"https://HOST\"\n10: source.b.username: is missing: write username = \"NAME\"\n10: source.b.password: is missing: write password = { file = \"PATH\" }",
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
            "15: source.b.checkpoint: expected true or false, found a string: write true, without quotes",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 'p'\nreplay_max = 'never'",
            "15: source.b.replay_max: \"never\" is not a time, expected a time such as \"200ms\", \"30s\", \"5m\", \"12h\" or \"7d\"",
        ),
        // Secrets.
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = 12345",
            "14: source.b.password: expected a string, { file = \"PATH\" } or { env = \"NAME\" }, found an integer: write it in quotes",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = ''",
            "14: source.b.password: is empty",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = {}",
            "14: source.b.password: holds nothing, expected { file = \"PATH\" } or { env = \"NAME\" }",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { file = 'a', env = 'b' }",
            "14: source.b.password: holds both `file` and `env`, expected one of them",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { path = 'a' }",
            "14: source.b.password.path: not a known key, did you mean `file`?",
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
            "14: source.b.password: read secret file /dev/null: is a device and no file",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { env = 'NO_SUCH' }",
            "14: source.b.password: environment variable NO_SUCH is not set or not UTF-8: set it where the router is started",
        ),
        (
            "[source.b]\ntype = 'vcenter'\naddress = 'a'\nusername = 'u'\npassword = { env = 'EMPTY' }",
            "14: source.b.password: environment variable EMPTY is empty: set it to the secret",
        ),
        // Routes.
        (
            "[route.r]\nfrom = 'vc01'",
            "10: route.r.to: is missing: write to = \"NAME\", that of a [processor.NAME]",
        ),
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
            "[route.r]\nfrom = 'vc01'\nto = 'screen'\nworkers = 'many'",
            "13: route.r.workers: \"many\" is not known, known: \"auto\"",
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
            "13: route.r.dead_letters.max_size: expected a size such as \"512KiB\", \"64MiB\" or \"1GiB\", found an integer: write it in quotes, with its unit",
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
        ("[route.r]\nfrom = vc01", "11:8: a text stands in quotes: write from = \"vc01\""),
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
        "router.toml:4: source.a.address: expected a string, found an integer: write it in quotes",
        "router.toml:6: source.a.passwort: not a known key, did you mean `password`?",
        "router.toml:8: route.r.from: no [source.b] in this file; there is: a",
        "router.toml:10: processor.c.uri: is missing: write uri = \"http://HOST/PATH\"",
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
    assert_eq!(large.unwrap_err()[0].to_string(), format!("{file}: cannot be read: is larger than 1024 KiB"));
    assert_eq!(
        missing.unwrap_err()[0].to_string(),
        format!("{file}: cannot be read: no such file or directory")
    );
}
