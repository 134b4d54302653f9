//! Configurations of the Go router: a corpus of every release, each beside what it becomes.
//!
//! `tests/legacy/good/NAME.toml` is what `convert` prints of `NAME.yaml` or `NAME.json`,
//! `tests/legacy/broken/NAME.txt` is what is said about the others; `UPDATE_GOLDEN=1` rewrites both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use event_router::config::file::Overrides;
use event_router::config::legacy::{self, Form, Surroundings};
use event_router::config::problem::Problem;
use event_router::kinds::{self, Config, Converted};

use serde_json::Value;

use crate::support::{Test, peers};

/// Stands in the files for the folder in which the router is started.
const START_FOLDER: &str = "/START-FOLDER";

#[test]
fn every_old_configuration_is_read_and_means_the_same_as_its_conversion() {
    let test = folder_with_certificates("legacy-good");
    let files = corpus("good");
    assert!(30 <= files.len(), "{}", files.len());
    for old in files {
        let converted = convert(&test, &old).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
        compare_golden(&old.with_extension("toml"), &from_folder(&test, &converted.toml));
        let path = Path::new(old.file_name().unwrap());
        let again = kinds::parse(&converted.toml, path, &Overrides::default(), &no_environment);
        match (converted.config, again) {
            (Ok(config), Ok(again)) => {
                assert_eq!(said(&config), said(&again), "{}", old.display());
                assert_eq!((config.sources.len(), config.processors.len(), config.routes.len()), (1, 1, 1));
            }
            // An object of a cluster can only be used by a pod of it.
            (Err(problems), Err(again)) => {
                let (problems, again) = (lines(&problems), lines(&again));
                assert!(
                    problems.contains("eventProcessor.knative: the Kubernetes API must be asked"),
                    "{problems}"
                );
                assert_eq!((problems.lines().count(), again.lines().count()), (1, 1), "{problems}{again}");
            }
            (config, again) => panic!("{}: {config:?}\n{again:?}", old.display()),
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_line_and_key() {
    let test = folder_with_certificates("legacy-broken");
    let files = corpus("broken");
    assert!(15 <= files.len(), "{}", files.len());
    for old in files {
        let problems = match convert(&test, &old) {
            Ok(converted) => converted.config.err().unwrap_or_default(),
            Err(problems) => problems,
        };
        assert!(!problems.is_empty(), "{} is not refused", old.display());
        for problem in &problems {
            let is_of_file = problem.text.starts_with("holds no entry");
            assert!(problem.line.is_some() || is_of_file, "{problem}");
        }
        compare_golden(&old.with_extension("txt"), &from_folder(&test, &lines(&problems)));
    }
}

#[test]
fn convert_prints_what_run_runs_on() {
    let test = folder_with_certificates("legacy-command");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy");
    // Whatever the file is called.
    let old = corpus.join("good/v0.6-checkpoint-folder-relative.yaml");
    test.write("config", &std::fs::read_to_string(&old).unwrap());
    let exit = test.router(&["convert", "config"]);
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(0), ""));
    let golden = std::fs::read_to_string(old.with_extension("toml")).unwrap();
    assert_eq!(from_folder(&test, &exit.stdout), golden);
    test.write("router.toml", &exit.stdout);
    for name in ["config", "router.toml"] {
        let exit = test.router(&["check", "--offline", "-config", name]);
        let line = format!("ok   config: {name}: 1 source, 1 processor, 1 route\n");
        assert_eq!(exit.code, Some(0));
        assert!(exit.stdout.ends_with(&line), "{}", exit.stdout);
    }

    std::fs::copy(corpus.join("broken/key-twice.yaml"), test.path("config")).unwrap();
    let message = std::fs::read_to_string(corpus.join("broken/key-twice.txt")).unwrap();
    let message = format!("router: {}", message.replace("key-twice.yaml", "config"));
    for arguments in [&["convert", "config"][..], &["-config=config", "-log-level=dpanic", "-log-json=true"]]
    {
        let exit = test.router(arguments);
        assert_eq!((exit.code, exit.stdout.as_str(), exit.stderr.as_str()), (Some(2), "", message.as_str()));
    }

    // The certificates of a container are not where the file is converted.
    std::fs::copy(corpus.join("broken/root-cas-absent.yaml"), test.path("config")).unwrap();
    let exit = test.router(&["convert", "config"]);
    assert_eq!(exit.code, Some(1), "{}", exit.stderr);
    assert!(exit.stdout.contains("absent.pem") && exit.stderr.contains("absent.pem"), "{}", exit.stderr);

    test.write("config", "[source.a]\n");
    let exit = test.router(&["convert", "config"]);
    assert_eq!((exit.code, exit.stdout.as_str()), (Some(2), ""));
    assert!(exit.stderr.contains("there is nothing to convert"), "{}", exit.stderr);
}

fn folder_with_certificates(name: &str) -> Test {
    let test = Test::new(name);
    for file in ["ca.pem", "other.pem"] {
        let certificate = rcgen::generate_simple_self_signed(["ca".to_string()]).unwrap();
        test.write(file, &certificate.cert.pem());
    }
    test
}

/// The old files of a part of the corpus.
fn corpus(part: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy").join(part);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_old =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "json");
    let mut files: Vec<PathBuf> = paths.filter(is_old).collect();
    files.sort();
    files
}

fn convert(test: &Test, old: &Path) -> Result<Converted, Vec<Problem>> {
    let text = std::fs::read_to_string(old).unwrap();
    let form = legacy::form_of(&text).unwrap_or_else(|| panic!("{} is not recognised", old.display()));
    let around = Surroundings {
        file: Path::new(old.file_name().unwrap()),
        folder: &test.path(""),
        environment: &no_environment,
    };
    kinds::convert(&text, form, &around, &Overrides::default())
}

fn no_environment(_: &str) -> Option<String> {
    None
}

/// All that a configuration says; the warnings have other places.
fn said(config: &Config) -> String {
    let text = format!("{config:#?}");
    text.split("\n    warnings: ").next().unwrap_or_default().to_string()
}

fn from_folder(test: &Test, text: &str) -> String {
    let folder = test.path("");
    let folder = folder.to_str().unwrap();
    text.replace(folder.trim_end_matches('/'), START_FOLDER)
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn compare_golden(path: &Path, text: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, text).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, golden, "{}: UPDATE_GOLDEN=1 rewrites it", path.display());
}

/// What goccy/go-yaml understands of a file, in the version and the strictness of the Go router, is
/// what the converted one says.
#[test]
#[ignore = "needs routerconfig on goccy/go-yaml: run tests/run"]
fn the_go_routers_reader_understands_the_same() {
    let test = folder_with_certificates("legacy-oracle");
    let mut understood = 0;
    for old in corpus("good") {
        let text = std::fs::read_to_string(&old).unwrap();
        if legacy::form_of(&text) != Some(Form::Yaml) {
            continue;
        }
        let name = old.file_name().unwrap().to_str().unwrap();
        let go = match go_reads(&text) {
            Ok(go) => go,
            // This router takes it as well.
            Err(error) if name == "v0.8-uri-as-text.yaml" => {
                assert!(error.contains("string was used where mapping is expected"), "{error}");
                continue;
            }
            Err(error) => panic!("{name}: {error}"),
        };
        let ours: Value = toml::from_str(&convert(&test, &old).unwrap().toml).unwrap();
        let (mut ours, theirs) = (meaning_of_toml(&test, &ours), meaning_of_go(&go));
        if name == "v0.7-scalars-as-text.yaml" {
            // A number that Go printed in another way; it is warned about.
            assert_eq!(ours.insert("password of functions", "7".into()), Some("007".into()));
        }
        assert_eq!(ours, theirs, "{name}");
        understood += 1;
    }
    assert!(25 <= understood, "{understood}");
    for old in corpus("broken") {
        let text = std::fs::read_to_string(&old).unwrap();
        if legacy::form_of(&text) == Some(Form::Yaml) && go_reads(&text).is_err() {
            assert!(
                convert(&test, &old).and_then(|read| read.config).is_err(),
                "{}: as strict as the Go router",
                old.display()
            );
        }
    }
}

fn go_reads(text: &str) -> Result<Value, String> {
    peers::try_go("routerconfig", &[], text.as_bytes()).map(|output| serde_json::from_slice(&output).unwrap())
}

type Meaning = BTreeMap<&'static str, String>;

fn meaning(values: &[(&'static str, &Value)]) -> Meaning {
    let said = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    };
    values
        .iter()
        .map(|(name, value)| (*name, said(value)))
        .filter(|(_, said)| !said.is_empty() && said != "false")
        .collect()
}

fn meaning_of_toml(test: &Test, toml: &Value) -> Meaning {
    let only = |section: &str| toml[section].as_object().unwrap().values().next().unwrap().clone();
    let (source, processor, metrics) = (only("source"), only("processor"), &toml["metrics"]);
    let functions = if processor["type"] == "openfaas" { &processor } else { &Value::Null };
    // A path that Go took from the folder in which it was started.
    let folder = test.path("");
    let relative = |path: &Value| {
        let path = path.as_str().unwrap_or_default().replace(folder.to_str().unwrap(), "");
        Value::from(if path == "checkpoints" { "" } else { &path })
    };
    let files = match &source["tls"]["ca_file"] {
        Value::Array(files) => files.iter().map(relative).collect(),
        Value::Null => Value::Null,
        file => Value::Array(vec![relative(file)]),
    };
    meaning(&[
        ("type", &source["type"]),
        ("address", &source["address"]),
        ("domain", &source["domain"]),
        ("bind of the webhook", &source["bind"]),
        ("path of the webhook", &source["path"]),
        ("username", &source["username"]),
        ("password", &source["password"]),
        ("insecure", &source["tls"]["insecure"]),
        ("checkpoint", &source["checkpoint"]),
        ("folder", &relative(&toml["state_dir"])),
        ("root authorities", &files),
        ("address of functions", &functions["address"]),
        ("async", &functions["async"]),
        ("username of functions", &functions["username"]),
        ("password of functions", &functions["password"]),
        ("uri", &processor["uri"]),
        (
            "ref",
            &Value::Array(
                ["apiVersion", "kind", "name", "namespace"].map(|key| processor["ref"][key].clone()).into(),
            ),
        ),
        ("encoding", &processor["encoding"]),
        ("insecure sink", &processor["tls"]["insecure"]),
        ("region", &processor["region"]),
        ("bus", &processor["event_bus"]),
        ("rule", &processor["rule_arn"]),
        ("access key", &processor["access_key_id"]),
        ("secret key", &processor["secret_access_key"]),
        ("bind", &Value::from(metrics["bind"].as_str().unwrap().trim_start_matches("0.0.0.0"))),
        ("username of metrics", &metrics["username"]),
        ("password of metrics", &metrics["password"]),
    ])
}

fn meaning_of_go(go: &Value) -> Meaning {
    let (provider, processor) = (&go["config"]["EventProvider"], &go["config"]["EventProcessor"]);
    let names = [("vcenter", "VCenter"), ("vcsim", "VCSim"), ("webhook", "Webhook"), ("horizon", "Horizon")];
    let name = names.iter().find(|(ty, _)| provider["Type"] == *ty).unwrap().1;
    let source = &provider[name];
    let account = match name {
        "Horizon" => &source["Auth"]["ActiveDirectory"],
        _ => &source["Auth"]["BasicAuth"],
    };
    // It took slashes off at both ends, and capitals for small letters.
    let path = source["Path"].as_str().filter(|path| !path.is_empty());
    let path = path.map(|path| format!("/{}", path.trim_matches('/').to_lowercase()));
    // Sections of other types are read and mean nothing.
    let section =
        |name: &str, wanted: &str| if processor["Type"] == wanted { &processor[name] } else { &Value::Null };
    let functions = section("OpenFaaS", "openfaas");
    let (knative, bus) = (section("Knative", "knative"), section("EventBridge", "aws_event_bridge"));
    let metrics = &go["config"]["MetricsProvider"]["Default"];
    let reference = &knative["Destination"]["Ref"];
    meaning(&[
        ("type", &provider["Type"]),
        ("address", &source["Address"]),
        ("domain", &account["Domain"]),
        ("bind of the webhook", &source["BindAddress"]),
        ("path of the webhook", &Value::from(path)),
        ("username", &account["Username"]),
        ("password", &account["Password"]),
        ("insecure", &source["InsecureSSL"]),
        ("checkpoint", &source["Checkpoint"]),
        ("folder", &source["CheckpointDir"]),
        ("root authorities", &go["config"]["Certificates"]["RootCAs"]),
        ("address of functions", &functions["Address"]),
        ("async", &functions["Async"]),
        ("username of functions", &functions["Auth"]["BasicAuth"]["Username"]),
        ("password of functions", &functions["Auth"]["BasicAuth"]["Password"]),
        // No server ever sees what follows a #.
        ("uri", &Value::from(go["uri"].as_str().unwrap().split('#').next())),
        (
            "ref",
            &Value::Array(
                ["APIVersion", "Kind", "Name", "Namespace"].map(|key| reference[key].clone()).into(),
            ),
        ),
        ("encoding", &knative["Encoding"]),
        ("insecure sink", &knative["InsecureSSL"]),
        ("region", &bus["Region"]),
        ("bus", &bus["EventBus"]),
        ("rule", &bus["RuleARN"]),
        ("access key", &bus["Auth"]["AWSAccessKeyAuth"]["AccessKey"]),
        ("secret key", &bus["Auth"]["AWSAccessKeyAuth"]["SecretKey"]),
        ("bind", &Value::from(metrics["BindAddress"].as_str().unwrap().trim_start_matches("0.0.0.0"))),
        ("username of metrics", &metrics["Auth"]["BasicAuth"]["Username"]),
        ("password of metrics", &metrics["Auth"]["BasicAuth"]["Password"]),
    ])
}

/// Sources of Tanzu for Knative, and the values of the Go router's Helm chart.
#[test]
fn what_says_the_same_elsewhere_is_converted() {
    let test = folder_with_certificates("legacy-objects");
    for old in corpus("objects") {
        let converted = convert(&test, &old).unwrap_or_else(|problems| panic!("{}", lines(&problems)));
        compare_golden(&old.with_extension("toml"), &from_folder(&test, &converted.toml));
        // What lies in the cluster is not here: its Secrets and its objects.
        for problem in converted.config.err().unwrap_or_default() {
            let told = problem.to_string();
            let is_elsewhere = told.contains("read secret file /etc/event-router/")
                || told.contains("the Kubernetes API must be asked");
            assert!(is_elsewhere, "{}: {told}", old.display());
        }
    }
}

#[test]
fn a_secret_that_holds_the_old_file_is_the_old_file() {
    use base64::Engine;
    let test = folder_with_certificates("legacy-secret");
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy/good/v0.5-openfaas.yaml");
    let text = std::fs::read_to_string(&old).unwrap();
    let golden = std::fs::read_to_string(old.with_extension("toml")).unwrap();
    let data = base64::engine::general_purpose::STANDARD.encode(&text);
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let head = "apiVersion: v1\nmetadata:\n  name: event-router-config\nkind: ";
    for (what, body) in [
        ("Secret", format!("data:\n  other: aGVsbG8=\n  event-router-config.yaml: {data}\n")),
        ("Secret", format!("stringData:\n  config: |\n{indented}")),
        ("ConfigMap", format!("data:\n  config: |\n{indented}")),
    ] {
        test.write("old", &format!("{head}{what}\n{body}"));
        let exit = test.router(&["convert", "old"]);
        assert_eq!(
            (exit.code, from_folder(&test, &exit.stdout)),
            (Some(0), golden.clone()),
            "{}",
            exit.stderr
        );
    }
    for (text, words) in [
        (format!("{head}Secret\ndata:\n  a: aGVsbG8=\n"), "without a configuration of the router in it"),
        (format!("{head}Deployment\nspec:\n  replicas: 1\n"), "without a configuration of the router in it"),
        (format!("{head}VSphereSource\nspec:\n  address: https://a\n"), "spec.sink: is missing"),
        (format!("{head}HorizonSource\nspec:\n  sink: {{}}\n"), "needs `uri`"),
        ("eventrouter:\n  eventProvider: vcenter\n".into(), "eventProvider.vcenter.address: is missing"),
        ("eventrouter:\n  eventProcessor: kafka\n".into(), "\"kafka\" is not known"),
    ] {
        test.write("old", &text);
        let exit = test.router(&["convert", "old"]);
        assert!(exit.code == Some(2) && exit.stderr.contains(words), "{text}: {exit:?}");
    }
}
