use std::path::Path;

use super::*;
use crate::config::secret::Secret;
use crate::kinds::{Converted, convert};
use crate::processor::openfaas::settings::OpenfaasConfig;
use crate::source::vcenter::settings::VcenterConfig;
use crate::testing::{Random, settings};

const OLD: &str = r#"eventProvider:
  type: vcenter
  vcenter:
    address: https://vc01/sdk
    auth: {type: basic_auth, basicAuth: {username: user, password: "PASSWORD"}}
eventProcessor:
  type: openfaas
  openfaas: {address: "http://gateway:8080", async: true}
metricsProvider:
  type: default
  default: {bindAddress: "0.0.0.0:8082"}
"#;

fn of(text: &str) -> Result<Converted, Vec<Problem>> {
    let form = form_of(text).expect("an old form");
    let around =
        Surroundings { file: Path::new("old"), folder: Path::new("/start"), environment: &|_: &str| None };
    convert(text, form, &around, &Overrides::default())
}

#[test]
fn the_form_is_known_by_the_content() {
    for (text, form) in [
        ("apiVersion: x\n", Some(Form::Yaml)),
        ("\u{feff}# comment\r\n\r\n\"kind\": RouterConfig\r\n", Some(Form::Yaml)),
        ("---\neventProvider:\n", Some(Form::Yaml)),
        ("%YAML 1.2\n---\n", Some(Form::Yaml)),
        ("{\"eventProvider\": {}}", Some(Form::Yaml)),
        (" \n[{\"type\": \"stream\"}]", Some(Form::Json)),
        ("[\n\t{", Some(Form::Json)),
        ("[]", Some(Form::Json)),
        ("", None),
        ("# only: a comment\n", None),
        ("[source.vc01]\n", None),
        ("[[source]]\n", None),
        ("[\"source\".vc01]\n", None),
        ("state_dir = \"a: b\"\n", None),
        ("a.b = {c = \": \"}\n", None),
        ("\"https://x\" = 1\n", None),
    ] {
        assert_eq!(form_of(text), form, "{text}");
    }
}

#[test]
fn every_character_of_a_secret_arrives() {
    let mut random = Random::from_test("legacy-secret");
    for round in 0..300 {
        let mut secret: String = (0..1 + random.below(20))
            .map(|_| match random.below(3) {
                0 => char::from(random.below(128) as u8),
                1 => ['ü', '"', '\\', '\'', '\u{7f}', '\n', '\u{1f600}', '\u{2028}'][random.below(8)],
                _ => char::from(b' ' + random.below(95) as u8),
            })
            .collect();
        if round == 0 {
            secret = (0..=127).map(char::from).collect();
        }
        let quoted = serde_json::Value::from(secret.as_str()).to_string();
        // Of JSON's escapes the Go router's YAML knew some only.
        let escaped = |c: char| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_ascii_control() => format!("\\x{:02x}", c as u32),
            c => c.to_string(),
        };
        let in_yaml = format!("\"{}\"", secret.chars().map(escaped).collect::<String>());
        let json = format!(
            r#"[{{"type": "stream", "provider": "vmware_vcenter", "address": "vc01", "auth": {{"method": "user_password",
            "secret": {{"username": "user", "password": {quoted}}}}}}}, {{"type": "processor", "provider": "openfaas",
            "address": "http://gw", "auth": {{"method": "basic_auth", "secret": {{"username": "", "password": ""}}}}}},
            {{"type": "metrics", "address": "0.0.0.0:8080", "auth": {{"method": "none"}}}}]"#
        );
        for text in [OLD.replace("\"PASSWORD\"", &in_yaml), json] {
            let config = of(&text).and_then(|converted| converted.config);
            let config = config.unwrap_or_else(|problems| panic!("{secret:?}: {}", problems[0]));
            let vcenter: &VcenterConfig = settings(&*config.sources[0].settings);
            assert_eq!(vcenter.password, Secret::Literal(secret.clone()), "{secret:?}");
        }
    }
}

#[test]
fn no_message_holds_a_secret() {
    for (change, to) in [
        ("basic_auth", "digest"),
        ("https://vc01/sdk", "https://u:Top5ecret@vc01"),
        ("password: ", "pass_word: "),
        ("username: user, ", ""),
        ("\"PASSWORD\"", "[PASSWORD]"),
        ("\"PASSWORD\"", "{PASSWORD: x}"),
        ("\"PASSWORD\"", "@PASSWORD"),
        ("\"PASSWORD\"", "\"PASSWORD"),
        ("\"PASSWORD\"", "0PASSWORD"),
        ("async: true", "async: PASSWORD"),
    ] {
        let text = OLD.replace(change, to).replace("PASSWORD", "Top5ecret");
        let told = match of(&text) {
            Ok(converted) => {
                let mut told = converted.warnings;
                told.extend(converted.config.err().unwrap_or_default());
                told
            }
            Err(problems) => problems,
        };
        for problem in told {
            assert!(!problem.to_string().contains("Top5ecret"), "{problem}");
        }
    }
}

#[test]
fn numbers_that_the_go_router_rewrote_are_warned_about() {
    let converted = of(&OLD.replace("\"PASSWORD\"", "0123")).unwrap();
    let warnings: Vec<String> = converted.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("old:5: password: is a number"), "{warnings:?}");
    let config = converted.config.unwrap();
    let vcenter: &VcenterConfig = settings(&*config.sources[0].settings);
    assert_eq!(vcenter.password, Secret::Literal("0123".to_string()));
    assert!(settings::<OpenfaasConfig>(&*config.processors[0].settings).asynchronous);
}

#[test]
fn damaged_text_never_panics() {
    let mut random = Random::from_test("legacy-damage");
    for _ in 0..3000 {
        let mut bytes = OLD.as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len());
            match random.below(3) {
                _ if bytes.len() < 2 => {}
                0 => bytes[at] = b":-[]{}&*#'\"\n\t |>!%@,?"[random.below(21)],
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if form_of(&text).is_some() {
            let _ = of(&text);
        }
    }
}
