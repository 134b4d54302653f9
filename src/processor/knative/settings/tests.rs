use super::*;
use crate::config::file;
use crate::kinds::{Config, parse};
use crate::testing::{folder, settings};

const SOURCE: &str = "[source.lab]\ntype = 'vcsim'\naddress = '127.0.0.1:1'\nusername = 'u'\npassword = 'p'\n[processor.b]\ntype = 'knative'\n";

/// A section's lines after `type`, under an environment.
fn config(lines: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let ask = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_string())
    };
    parse(&format!("{SOURCE}{lines}"), Path::new("router.toml"), &file::Overrides::default(), &ask)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn knative_of(lines: &str, environment: &[(&str, &str)]) -> KnativeConfig {
    let config = config(lines, environment).unwrap_or_else(|problems| panic!("{lines}: {problems}"));
    settings::<KnativeConfig>(&*config.processors[0].settings).clone()
}

fn problems(lines: &str, environment: &[(&str, &str)]) -> String {
    config(lines, environment).map(|config| config.processors).expect_err(lines)
}

fn authority_pem() -> String {
    rcgen::generate_simple_self_signed(["authority".to_string()]).unwrap().cert.pem()
}

fn pairs(extensions: &Extensions) -> Vec<(&str, &str)> {
    extensions.fixed.iter().map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn without_uri_and_ref_the_binding_says_it_all() {
    let pem = authority_pem();
    let knative = knative_of(
        "extensions = { datacenter = 'dc1', rack = 'r1' }",
        &[
            ("K_SINK", "https://broker/default"),
            ("K_CE_OVERRIDES", r#"{"extensions":{"datacenter":"dc2"},"other":1}"#),
            ("K_CA_CERTS", &pem),
            ("K_SINK_TIMEOUT", "7"),
            ("K_AUDIENCE", ""),
        ],
    );
    assert_eq!(knative.destination, Destination::Uri("https://broker/default".into()));
    assert_eq!(pairs(&knative.extensions), [("rack", "r1"), ("datacenter", "dc2")]);
    assert_eq!(knative.connection.tls.ca_text.as_deref(), Some(pem.as_str()));
    assert_eq!(knative.timeout, Duration::from_secs(7));
    assert!(knative.cluster.is_none());
    let bound = [("K_SINK", "http://b"), ("K_CE_OVERRIDES", ""), ("K_SINK_TIMEOUT", "-1")];
    let knative = knative_of("", &bound);
    assert_eq!((knative.timeout, knative.extensions.fixed.len()), (limits::DELIVERY_WAIT_MAX, 0));
    let knative = knative_of("timeout = '3s'", &[("K_SINK", "http://b"), ("K_SINK_TIMEOUT", "7")]);
    assert_eq!(knative.timeout, Duration::from_secs(3));
}

#[test]
fn what_is_written_in_the_file_is_not_the_bindings() {
    let environment = [
        ("K_SINK", "http://bound"),
        ("K_SINK_TIMEOUT", "7"),
        ("K_CE_OVERRIDES", r#"{"extensions":{"a":"b"}}"#),
    ];
    let knative = knative_of("uri = 'http://own'", &environment);
    assert_eq!(knative.destination, Destination::Uri("http://own".into()));
    assert_eq!((knative.timeout, knative.extensions.fixed.len()), (limits::DELIVERY_WAIT_MAX, 0));
}

#[test]
fn mistakes_of_the_environment_are_named() {
    for (name, value, expected) in [
        ("K_SINK", "broker", "K_SINK: not an absolute URL"),
        ("K_SINK", "http://u:secret@a", "K_SINK: must not hold a user or password"),
        ("K_CA_CERTS", "no PEM", "K_CA_CERTS: it holds no PEM certificate"),
        ("K_CE_OVERRIDES", "{", "K_CE_OVERRIDES: EOF"),
        (
            "K_CE_OVERRIDES",
            r#"{"extensions":{"Data-Center":"x"}}"#,
            "K_CE_OVERRIDES: \"Data-Center\" not the name",
        ),
        ("K_CE_OVERRIDES", r#"{"extensions":{"a":""}}"#, "K_CE_OVERRIDES: \"a\" is empty"),
        ("K_SINK_TIMEOUT", "7s", "K_SINK_TIMEOUT: \"7s\" is no number of seconds"),
    ] {
        let sink = if name == "K_SINK" { value } else { "http://b" };
        let found = problems("", &[("K_SINK", sink), (name, value)]);
        assert!(found.contains(expected) && !found.contains("secret"), "{found}");
    }
}

#[test]
fn refs_are_read_and_their_mistakes_named() {
    let place = folder("kubeconfig");
    let file = place.path().join("config");
    let written = r#"{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k", "namespace": "team"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://127.0.0.1:6443/"}}]}"#;
    std::fs::write(&file, written).unwrap();
    let cluster = format!("kubeconfig = '{}'\n", file.display());
    let knative = knative_of(
        &format!(
            "{cluster}ref = {{ apiVersion = 'eventing.knative.dev/v1', kind = 'Broker', name = 'default' }}\nuri = '/a?b'"
        ),
        &[("K_SINK", "http://not-this")],
    );
    let Destination::Ref { reference, uri } = &knative.destination else { panic!("ref") };
    assert_eq!(
        reference.to_string(),
        "eventing.knative.dev/v1 Broker team/default",
        "the context's namespace"
    );
    assert_eq!(uri.as_deref(), Some("/a?b"));
    assert_eq!(knative.cluster.unwrap().server, "https://127.0.0.1:6443");
    for (lines, expected) in [
        ("ref = { kind = 'Broker', name = 'a' }", "ref.apiVersion: is missing"),
        (
            "ref = { apiVersion = 'v1', kind = 'Service', name = '../a' }",
            "ref.name: \"../a\" cannot be a name",
        ),
        (
            "ref = { apiVersion = 'v1', kind = 'Service', name = 'a', namespace = 'A' }",
            "ref.namespace: \"A\"",
        ),
        ("ref = { apiVersion = 'v1/b/c', kind = 'Service', name = 'a' }", "is no version of an API"),
        ("ref = { apiVersion = 'v1', kind = 'service/x', name = 'a' }", "is no kind such as"),
        (
            "ref = { apiVersion = 'v1', kind = 'Service', name = 'a' }\nuri = 'http://b'",
            "relative to its address",
        ),
        ("ref = { apiVersion = 'v1', kind = 'Service', name = 'a' }\nuri = '//b'", "relative to its address"),
        ("ref = { apiVersion = 'v1', kind = 'Service', name = 'a' }\nuri = 'a b'", "not a relative URL"),
        ("ref = { apiversion = 'v1', kind = 'Service', name = 'a' }", "did you mean `apiVersion`?"),
    ] {
        let found = problems(&format!("{cluster}{lines}"), &[]);
        assert!(found.contains(expected), "{lines}: {found}");
    }
    let found = problems("ref = { apiVersion = 'v1', kind = 'Service', name = 'a' }", &[]);
    assert!(found.contains("this is no pod of a cluster"), "{found}");
}

#[test]
fn extensions_have_valid_names_and_values() {
    let knative = knative_of("uri = 'http://a'\nextensions = { datacenter = 'dc 1 \u{e4}\"%' }", &[]);
    assert_eq!(pairs(&knative.extensions), [("datacenter", "dc 1 \u{e4}\"%")]);
    for (extension, expected) in [
        ("Datacenter = 'a'", "extensions.Datacenter: not the name of an extension attribute"),
        ("data-center = 'a'", "extensions.data-center: not the name"),
        ("subject = 'a'", "extensions.subject: not the name"),
        ("data = 'a'", "extensions.data: not the name"),
        ("a = ''", "extensions.a: is empty"),
        ("a = \"b\\nc\"", "extensions.a: holds a character that CloudEvents do not allow"),
        ("a = 1", "extensions.a: expected a string, found an integer"),
    ] {
        let found = problems(&format!("uri = 'http://a'\nextensions = {{ {extension} }}"), &[]);
        assert!(found.contains(expected), "{found}");
    }
    let long = "uri = 'http://a'\nextensions = { aaaaaaaaaaaaaaaaaaaaa = 'a' }";
    let warnings = config(long, &[]).unwrap().warnings;
    assert!(warnings.iter().any(|warning| warning.to_string().contains("longer than 20")), "{warnings:?}");
}
