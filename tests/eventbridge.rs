//! The processor eventbridge against a simulated AWS that checks signatures and rights, and its
//! signatures against those of AWS's own library.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use event_router::aws::keys::Credentials;
use event_router::aws::sign::{Scope, signed_headers};
use serde_json::{Value, json};

use crate::support::aws::{Aws, botocore_signs};
use crate::support::peers::Vcsim;
use crate::support::random::Random;
use crate::support::{SOON, Test, wait_for};

/// Requests that are signed and compared.
const SIGNATURES: usize = 1200;

/// `[processor.NAME]` that sends to a bus of the simulated AWS.
fn processor(aws: &Aws, name: &str, bus: &str, keys: &str) -> String {
    format!(
        "[processor.{name}]\ntype = \"eventbridge\"\nregion = \"eu-central-1\"\nevent_bus = \"{bus}\"\n\
         endpoint = \"{}\"\n{keys}\n",
        aws.url
    )
}

fn keys(aws: &Aws, user: &str) -> String {
    let (id, secret) = aws.keys(user);
    format!("access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"")
}

fn subjects(events: &[Value]) -> BTreeSet<&str> {
    events.iter().map(|event| event["detail"]["subject"].as_str().unwrap()).collect()
}

#[test]
#[ignore = "needs vcsim and moto: run tests/run"]
fn events_arrive_signed_with_every_kind_of_credentials() {
    let test = Test::new("buses");
    let (aws, vcsim) = (Aws::start(), Vcsim::start(1, false));
    let (id, secret) = aws.keys("router");
    let (assumer, assumer_secret) = aws.keys("assumer");
    test.write("token", "the token of a web identity\n");
    test.write(
        "credentials",
        &format!(
            "[plain]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n\
             [assumer]\naws_access_key_id = {assumer}\naws_secret_access_key = {assumer_secret}\n"
        ),
    );
    let role = &aws.role;
    let token = test.path("token").display().to_string();
    test.write(
        "config",
        &format!(
            "[profile role]\nrole_arn = {role}\nsource_profile = assumer\n\
             [profile web]\nrole_arn = {role}\nweb_identity_token_file = {token}\n"
        ),
    );
    let buses = [
        ("keys", keys(&aws, "router")),
        ("profile", "profile = \"plain\"".to_string()),
        ("role", "profile = \"role\"".to_string()),
        ("web", "profile = \"web\"".to_string()),
    ];
    let processors: String = buses.iter().map(|(bus, keys)| processor(&aws, bus, bus, keys)).collect();
    test.write("router.toml", &(vcsim.source("vc01") + &processors));
    let (config, credentials) = (test.path("config"), test.path("credentials"));
    let variables = [
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
        ("AWS_ENDPOINT_URL_STS", aws.url.as_str()),
    ];
    let check = test.start_with(&["check", "-c", "router.toml"], &variables).wait_exit(SOON);
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    let mut router = test.start_with(&["run", "-c", "router.toml"], &variables);
    for (bus, _) in &buses {
        router.log_line(&[&format!("vc01-{bus}"), "reading"]);
    }
    let machines = vcsim.machines();
    let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
    vcsim.power(false, &machines);
    let expected: Vec<(i64, String)> = vcsim
        .events()
        .into_iter()
        .filter(|event| event.ty.starts_with("VmPoweredOff"))
        .map(|event| (event.key, event.ty))
        .collect();
    assert_eq!(expected.len(), machines.len());
    for (bus, _) in &buses {
        let mut got = Vec::new();
        wait_for(&format!("events on bus {bus}"), SOON, || {
            got.extend(aws.received(bus));
            let power = |event: &&Value| event["detail-type"] == "VmPoweredOffEvent";
            let found: BTreeSet<i64> = got
                .iter()
                .filter(power)
                .map(|event| event["detail"]["data"]["Key"].as_i64().unwrap())
                .collect();
            (found == expected.iter().map(|(key, _)| *key).collect()).then_some(())
        });
        for event in &got {
            assert_eq!(event["source"], event["detail"]["source"]);
            assert_eq!(event["detail-type"], event["detail"]["subject"]);
            assert_eq!(event["detail"]["specversion"], "1.0");
        }
    }
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));
    for secret in [secret, assumer_secret, "the token of"] {
        assert!(!exit.stderr.contains(secret), "a secret is in the log:\n{}", exit.stderr);
    }
}

#[test]
#[ignore = "needs vcsim and moto: run tests/run"]
fn refusals_are_one_clear_line() {
    let test = Test::new("refusals-aws");
    let (aws, vcsim) = (Aws::start(), Vcsim::start(0, false));
    let (id, secret) = aws.keys("router");
    let static_keys = |id: &str, secret: &str, token: &str| {
        format!("access_key_id = \"{id}\"\nsecret_access_key = \"{secret}\"\n{token}")
    };
    for (name, keys, words) in [
        ("secret", static_keys(id, "wrong", ""), ["SignatureDoesNotMatch", "is secret_access_key right"]),
        (
            "unknown",
            static_keys("AKIAXXXXXXXXXXXXXXXX", secret, ""),
            ["InvalidClientTokenId", "does the access key exist"],
        ),
        ("right", self::keys(&aws, "nobody"), ["AccessDenied", "events:PutEvents"]),
        ("nothing", String::new(), ["no AWS credentials", "access_key_id"]),
    ] {
        test.write("router.toml", &(vcsim.source("vc01") + &processor(&aws, name, "keys", &keys)));
        let variables = [("AWS_EC2_METADATA_DISABLED", "true")];
        let exit = test.start_with(&["check", "-c", "router.toml"], &variables).wait_exit(SOON);
        assert_eq!(exit.code, Some(1), "{name}: {}{}", exit.stdout, exit.stderr);
        let lines: Vec<&str> =
            exit.stdout.lines().filter(|line| words.iter().all(|word| line.contains(word))).collect();
        assert_eq!(lines.len(), 1, "{name}: {}", exit.stdout);
        assert!(!exit.stdout.contains(secret));
    }
}

#[test]
#[ignore = "needs vcsim and moto: run tests/run"]
fn the_rule_decides_and_may_change() {
    let test = Test::new("rule");
    let (aws, vcsim) = (Aws::start(), Vcsim::start(1, false));
    // This user may not describe rules: the rule is found on the second page of the list.
    let keys = format!("rule_arn = \"{}\"\nrefresh = \"1s\"\n{}", aws.rule, keys(&aws, "lister"));
    test.write("router.toml", &(vcsim.source("vc01") + &processor(&aws, "bus", "forward", &keys)));
    let mut router = test.start(&["run", "-c", "router.toml"]);
    router.log_line(&["reading"]);
    router.log_line(&["forwards what matches", "VmPoweredOnEvent"]);
    let machines = vcsim.machines();
    let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
    vcsim.power(false, &machines);
    vcsim.power(true, &machines);
    let mut got = Vec::new();
    let both = BTreeSet::from(["VmPoweredOffEvent", "VmPoweredOnEvent"]);
    wait_for("power events", SOON, || {
        got.extend(aws.received("forward"));
        (got.len() == 2 * machines.len()).then_some(())
    });
    assert_eq!(subjects(&got), both, "other events are not forwarded");

    aws.change_rule(r#"{"detail-type":["VmStoppingEvent"],"source":[{"suffix":"/sdk"}]}"#);
    router.log_line(&["forwards what matches", "VmStoppingEvent"]);
    vcsim.power(false, &machines);
    let mut got = Vec::new();
    wait_for("events of the changed rule", SOON, || {
        got.extend(aws.received("forward"));
        (got.len() == machines.len()).then_some(())
    });
    assert_eq!(subjects(&got), BTreeSet::from(["VmStoppingEvent"]));
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
}

#[test]
#[ignore = "needs botocore: run tests/run"]
fn signatures_are_those_of_botocore() {
    let mut random = Random::from_test("signatures_are_those_of_botocore");
    let mut text = |alphabet: &str, longest: usize| {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..1 + random.below(longest)).map(|_| alphabet[random.below(alphabet.len())]).collect::<String>()
    };
    const PLAIN: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let cases: Vec<Value> = (0..SIGNATURES)
        .map(|number| {
            let (region, host) = match number % 4 {
                0 => ("eu-central-1".to_string(), "events.eu-central-1.amazonaws.com".to_string()),
                1 => ("cn-north-1".to_string(), "vpce-0a1b.events.cn-north-1.vpce.amazonaws.com.cn".to_string()),
                2 => (text("abc-1", 12), format!("127.0.0.1:{}", 1024 + number)),
                _ => (text("xyz-2", 12), format!("{}.example", text("abc", 20))),
            };
            let scheme = if number % 3 == 0 { "http" } else { "https" };
            let token = if number % 2 == 0 { Value::Null } else { text(&format!("{PLAIN}+/="), 700).into() };
            let operation = ["PutEvents", "DescribeRule", "ListRules"][number % 3];
            json!({
                "id": text(PLAIN, 20), "secret": text(&format!("{PLAIN}+/"), 40), "token": token,
                "service": "events", "region": region, "url": format!("{scheme}://{host}/"),
                "time": 1_700_000_000 + 86_399 * number as u64,
                "headers": {
                    "content-type": "application/x-amz-json-1.1", "x-amz-target": format!("AWSEvents.{operation}")
                },
                "body": text(&format!("{PLAIN} {{}}[]\":,\\\n\t\u{e9}\u{65e5}\u{1f600}"), 2000),
            })
        })
        .collect();
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    let theirs = botocore_signs(&lines);
    assert_eq!(theirs.len(), cases.len());
    for (case, theirs) in cases.iter().zip(theirs) {
        let of = |name: &str| case[name].as_str().unwrap();
        let credentials = Credentials {
            access_key_id: of("id").to_string(),
            secret_access_key: of("secret").to_string(),
            session_token: case["token"].as_str().map(str::to_string),
            expires: None,
            origin: "test".to_string(),
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(case["time"].as_u64().unwrap());
        let scope = Scope { service: of("service"), region: of("region"), time };
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let ours = signed_headers(&credentials, scope, of("url"), &headers, of("body").as_bytes()).unwrap();
        assert!(ours.iter().any(|(name, _)| name == "authorization"));
        for (name, value) in ours {
            assert_eq!(theirs[&name], value, "{name} of {case}");
        }
    }
}
