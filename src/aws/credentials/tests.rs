//! The places where credentials come from, each scripted.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::environment::Environment;
use super::*;
use crate::aws::clock::AwsClock;
use crate::aws::keys::AwsKeys;
use crate::config::ConnectionConfig;
use crate::config::secret::Secret;
use crate::http::client::{Client, ClientSettings};
use crate::http::testing::{RawRequest, TestServer, read_request, serve};
use crate::observe::logger::Logger;
use crate::testing::folder;

/// A chain that finds these variables, and a token service at `sts`.
fn chain(variables: &[(&'static str, String)], sts: &str) -> Chain {
    let client =
        || Client::new(&ClientSettings { connection: &ConnectionConfig::default(), connections_max: 1 });
    let variables: Vec<(&str, String)> = variables.to_vec();
    let find =
        move |name: &str| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
    Chain {
        keys: None,
        profile: None,
        environment: Environment::new(find),
        clock: Arc::new(AwsClock::new(&Logger::processor("bus"))),
        region: "eu-central-1".to_string(),
        sts_url: sts.to_string(),
        sts: client().unwrap(),
        local: client().unwrap(),
    }
}

fn off() -> (&'static str, String) {
    ("AWS_EC2_METADATA_DISABLED", "true".to_string())
}

fn serve_by(answer: impl Fn(&RawRequest) -> (u16, String) + Send + Sync + 'static) -> TestServer {
    serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let (status, body) = answer(&request);
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).unwrap();
        }
    })
}

fn sts_answer(key: &str, end: Timestamp) -> String {
    format!(
        "<R><Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
         <SessionToken>t</SessionToken><Expiration>{end}</Expiration></Credentials></R>"
    )
}

fn json_answer(key: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{key}","SecretAccessKey":"s","Token":"t","Expiration":"2050-01-01T00:00:00Z"}}"#
    )
}

fn in_an_hour() -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::from_hours(1)
}

#[test]
fn keys_of_the_configuration_are_read_for_each_request() {
    let folder = folder("keys");
    let file = folder.path().join("secret");
    std::fs::write(&file, "one\n").unwrap();
    let keys = AwsKeys {
        access_key_id: Secret::Literal("AKID".to_string()),
        secret_access_key: Secret::File(file.clone()),
        session_token: None,
    };
    let environment =
        [("AWS_ACCESS_KEY_ID", "other".to_string()), ("AWS_SECRET_ACCESS_KEY", "x".to_string())];
    let store = Store::start("bus", Chain { keys: Some(keys), ..chain(&environment, "") }).unwrap();
    assert_eq!(store.current().unwrap().secret_access_key, "one");
    std::fs::write(&file, "two\n").unwrap();
    assert_eq!(store.current().unwrap().secret_access_key, "two");
    std::fs::remove_file(&file).unwrap();
    assert!(store.current().unwrap_err().to_string().starts_with("secret_access_key: read secret file"));
}

#[test]
fn the_environment_goes_first_and_blanks_count_as_unset() {
    let pair = |id: &str, secret: &str| {
        [("AWS_ACCESS_KEY_ID", id.to_string()), ("AWS_SECRET_ACCESS_KEY", secret.to_string()), off()]
    };
    let found = chain(&pair("AKID", "secret"), "").resolve().unwrap();
    assert_eq!(
        (&*found.access_key_id, found.session_token, &*found.origin),
        ("AKID", None, "the environment")
    );
    assert!(chain(&pair("AKID", " "), "").resolve().unwrap_err().to_string().contains("only one of"));
    let error = chain(&pair(" ", ""), "").resolve().unwrap_err().to_string();
    assert!(error.starts_with("no AWS credentials"), "{error}");
}

#[test]
fn profiles_lead_to_keys_and_roles() {
    let folder = folder("profiles");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("token"), "web token\n").unwrap();
    std::fs::write(
        path("config"),
        format!(
            "[profile events]\nrole_arn = arn:aws:iam::1:role/outer\nsource_profile = middle\n\
             [profile middle]\nrole_arn = arn:aws:iam::1:role/inner\nsource_profile = base\nexternal_id = x y\n\
             [profile web]\nrole_arn = arn:aws:iam::1:role/web\nweb_identity_token_file = {}\n\
             [profile circle]\nrole_arn = r\nsource_profile = circle2\n\
             [profile circle2]\nrole_arn = r\nsource_profile = circle\n\
             [profile alone]\nrole_arn = r\n[profile process]\ncredential_process = x\n[profile empty]\n",
            path("token").display()
        ),
    )
    .unwrap();
    let keys = "\u{feff}[base]\r\naws_access_key_id=BASE\r\naws_secret_access_key=s\r\n";
    std::fs::write(path("credentials"), keys).unwrap();
    let sts = serve_by(|request| {
        let form = String::from_utf8(request.body.clone()).unwrap();
        let signer = request.header("authorization").unwrap_or("nobody").to_string();
        let key = match form.split('&').find_map(|pair| pair.strip_prefix("RoleArn=")) {
            Some(arn) if arn.ends_with("inner") && signer.contains("=BASE/") && form.contains("x%20y") => {
                "INNER"
            }
            Some(arn) if arn.ends_with("outer") && signer.contains("=INNER/") => "OUTER",
            Some(arn) if arn.ends_with("web") && signer == "nobody" && form.contains("web%20token") => "WEB",
            _ => {
                return (
                    403,
                    "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>".to_string(),
                );
            }
        };
        (200, sts_answer(key, "2050-01-01T00:00:00Z".parse().unwrap()))
    });
    let found = |name: &str| {
        let variables = [
            ("AWS_CONFIG_FILE", path("config").display().to_string()),
            ("AWS_SHARED_CREDENTIALS_FILE", path("credentials").display().to_string()),
            ("AWS_PROFILE", name.to_string()),
            off(),
        ];
        chain(&variables, &sts.url("/")).resolve()
    };
    let base = found("base").unwrap();
    assert_eq!((&*base.access_key_id, base.expires, &*base.origin), ("BASE", None, "the profile base"));
    let outer = found("events").unwrap();
    assert_eq!((&*outer.access_key_id, outer.session_token.as_deref()), ("OUTER", Some("t")));
    assert_eq!(outer.origin, "role arn:aws:iam::1:role/outer");
    assert_eq!(found("web").unwrap().access_key_id, "WEB");
    for (name, reason) in [
        ("circle", "too many profiles refer to each other"),
        ("alone", "role_arn needs source_profile"),
        ("process", "credential_process needs a program"),
        ("empty", "the AWS profile empty has no credentials"),
        ("nobody", "there is no AWS profile nobody"),
    ] {
        let error = found(name).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn web_identity_says_what_the_token_service_says() {
    let folder = folder("web");
    let token = folder.path().join("token");
    std::fs::write(&token, "tok3n").unwrap();
    let sts = serve_by(|_| {
        (
            400,
            "<Error><Code>InvalidIdentityToken</Code><Message>No OpenIDConnect provider</Message></Error>"
                .to_string(),
        )
    });
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r".to_string()),
        ("HOME", folder.path().display().to_string()),
    ];
    let error = chain(&variables, &sts.url("/")).resolve().unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "take on role arn:aws:iam::1:role/r by web identity: POST {}: status 400: InvalidIdentityToken: \
             No OpenIDConnect provider",
            sts.url("/")
        )
    );
}

#[test]
fn containers_and_instances() {
    let folder = folder("container");
    let token = folder.path().join("token");
    std::fs::write(&token, "Bearer x\n").unwrap();
    let container = serve_by(|request| match request.header("authorization") {
        Some("Bearer x") => (200, json_answer("POD")),
        _ => (401, String::new()),
    });
    let mut variables = vec![
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.url("/v1/credentials")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.display().to_string()),
    ];
    assert_eq!(chain(&variables, "").resolve().unwrap().access_key_id, "POD");
    variables.pop();
    let error = chain(&variables, "").resolve().unwrap_err().to_string();
    assert!(error.ends_with("answers 401"), "{error}");
    let far = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.1.2.3/".to_string())];
    assert!(chain(&far, "").resolve().unwrap_err().to_string().contains("carries a secret"));

    let instance = serve_by(|request| {
        let path = request.head.split(' ').nth(1).unwrap_or_default().to_string();
        let token = request.header("x-aws-ec2-metadata-token");
        match (path.as_str(), token) {
            ("/latest/api/token", None) if request.head.starts_with("PUT ") => (200, "tok".to_string()),
            ("/latest/meta-data/iam/security-credentials/", Some("tok")) => (200, "router\n".to_string()),
            ("/latest/meta-data/iam/security-credentials/router", Some("tok")) => {
                (200, json_answer("EC2").replace("2050", "2020"))
            }
            _ => (401, String::new()),
        }
    });
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.url("/"))];
    let found = chain(&variables, "").resolve().unwrap();
    assert_eq!((&*found.access_key_id, &*found.origin), ("EC2", "the instance's role router"));
    assert!(Timestamp::now() < found.expires.unwrap(), "ended credentials are used a while longer");
}

#[test]
fn a_place_without_metadata_service_is_left_quickly() {
    let silent = serve(|_, mut stream| {
        read_request(&mut stream);
        read_request(&mut stream);
    });
    let variables = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.url("/"))];
    let begun = Instant::now();
    let chain = chain(&variables, "");
    assert!(chain.resolve().unwrap_err().to_string().starts_with("no AWS credentials"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn credentials_are_kept_renewed_and_replaced_when_refused() {
    let folder = folder("store");
    let token = folder.path().join("token");
    std::fs::write(&token, "t").unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let calls = count.clone();
    let sts = serve_by(move |_| {
        let number = calls.fetch_add(1, Ordering::SeqCst);
        (200, sts_answer(&format!("KEY{number}"), in_an_hour()))
    });
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
        ("AWS_ROLE_ARN", "r".to_string()),
        ("HOME", folder.path().display().to_string()),
    ];
    let store = Store::start("bus", chain(&variables, &sts.url("/"))).unwrap();
    let first = store.current().unwrap();
    assert_eq!(store.current().unwrap(), first);
    let second = store.renew(&first).unwrap();
    assert_ne!(second, first);
    // Another thread whose request was refused with the old ones gets those that are there.
    assert_eq!(store.renew(&first).unwrap(), second);
    assert_eq!(store.current().unwrap(), second);
}

#[test]
fn a_thread_renews_ahead_and_a_failure_leaves_what_is_valid() {
    let folder = folder("ahead");
    let token = folder.path().join("token");
    std::fs::write(&token, "t").unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let calls = count.clone();
    // Of short ones half of the time is left when they are renewed.
    let end = Timestamp::now() + jiff::SignedDuration::from_secs(60);
    let sts = serve_by(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => (200, sts_answer("FIRST", Timestamp::now() + CREDENTIALS_RETRY_WAIT_MIN * 2)),
        1 => (200, sts_answer("SECOND", end)),
        _ => (500, String::new()),
    });
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.display().to_string()),
        ("AWS_ROLE_ARN", "r".to_string()),
        ("HOME", folder.path().display().to_string()),
    ];
    let store = Store::start("bus", chain(&variables, &sts.url("/"))).unwrap();
    let first = store.current().unwrap();
    assert_eq!(first.access_key_id, "FIRST");
    let limit = Instant::now() + Duration::from_secs(30);
    // Nobody asks for others: only what the thread has put there is seen here.
    while store.shared.lock().current.as_ref().is_some_and(|now| now.access_key_id == "FIRST") {
        assert!(Instant::now() < limit, "not renewed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Timestamp::now() < first.expires.unwrap(), "renewed before its end");
    let second = store.current().unwrap();
    assert_eq!(second.access_key_id, "SECOND");
    // AWS refuses them and no others can be had: the caller is told, and they stay for the next.
    assert!(store.renew(&second).is_err());
    assert_eq!(store.current().unwrap(), second);
}

#[test]
fn renewal_comes_before_the_end() {
    let now: Timestamp = "2026-05-04T10:00:00Z".parse().unwrap();
    let wait = |minutes: i64, is_file| {
        let expires = (minutes != 0).then(|| now + jiff::SignedDuration::from_mins(minutes));
        let credentials = Credentials {
            access_key_id: String::new(),
            secret_access_key: String::new(),
            session_token: None,
            expires,
            origin: String::new(),
        };
        renewal_wait(&credentials, is_file, now).map(|wait| wait.as_secs())
    };
    assert_eq!(wait(60, false), Some(55 * 60));
    assert_eq!(wait(6, false), Some(3 * 60));
    assert_eq!(wait(-1, false), Some(CREDENTIALS_RETRY_WAIT_MIN.as_secs()));
    assert_eq!((wait(0, false), wait(0, true)), (None, Some(CREDENTIALS_FILE_AGE_MAX.as_secs())));
}

#[test]
fn other_keys_are_noticed_after_the_old_ones_were_refused() {
    let folder = folder("changes");
    let file = folder.path().join("credentials");
    let write = |secret: &str| {
        let text = format!("[default]\naws_access_key_id = AKID\naws_secret_access_key = {secret}\n");
        std::fs::write(&file, text).unwrap();
    };
    let configured = AwsKeys {
        access_key_id: Secret::Literal("AKID".to_string()),
        secret_access_key: Secret::File(folder.path().join("key")),
        session_token: None,
    };
    let variables = [
        ("AWS_CONFIG_FILE", folder.path().join("none").display().to_string()),
        ("AWS_SHARED_CREDENTIALS_FILE", file.display().to_string()),
        off(),
    ];
    for keys in [None, Some(configured)] {
        let write = |secret: &str| match &keys {
            None => write(secret),
            Some(_) => std::fs::write(folder.path().join("key"), secret).unwrap(),
        };
        write("one");
        let store = Store::start("bus", Chain { keys: keys.clone(), ..chain(&variables, "") }).unwrap();
        let first = store.current().unwrap();
        write("two");
        assert_eq!(store.changes(), 0, "nothing was refused");
        store.refused(&first);
        assert_eq!((store.changes(), store.changes()), (1, 1));
        let second = store.current().unwrap();
        assert_eq!(second.secret_access_key, "two", "at once, although a file is read every five minutes");
        store.refused(&second);
        assert_eq!(store.changes(), 1);
        std::fs::remove_file(if keys.is_some() { folder.path().join("key") } else { file.clone() }).unwrap();
        write("three");
        // The thread may just have read the ones before: they are refused again then.
        let limit = Instant::now() + Duration::from_secs(30);
        while !store.current().is_ok_and(|keys| keys.secret_access_key == "three") {
            assert!(Instant::now() < limit, "the files are never read again");
            store.refused(&second);
            store.changes();
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn the_token_service_corrects_a_wrong_clock_too() {
    let folder = folder("clock");
    let config = folder.path().join("config");
    let text = "[default]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n\
        [profile base]\naws_access_key_id = BASE\naws_secret_access_key = s\n";
    std::fs::write(&config, text).unwrap();
    let end = "2050-05-04T11:11:12Z".parse().unwrap();
    let sts = serve(move |_, mut stream| {
        while let Some(request) = read_request(&mut stream) {
            let is_right = request.header("x-amz-date").is_some_and(|date| date.starts_with("20500504T10"));
            let refusal =
                "<Error><Code>SignatureDoesNotMatch</Code><Message>Signature expired: x</Message></Error>";
            let (status, body) =
                if is_right { (200, sts_answer("ROLE", end)) } else { (403, refusal.to_string()) };
            let head = format!("HTTP/1.1 {status} X\r\nDate: Wed, 04 May 2050 10:11:12 GMT\r\n");
            let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    let variables = [
        ("AWS_CONFIG_FILE", config.display().to_string()),
        ("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("none").display().to_string()),
        off(),
    ];
    let chain = chain(&variables, &sts.url("/"));
    assert_eq!(chain.resolve().unwrap().access_key_id, "ROLE");
    assert_eq!(sts.connections(), 1);
    let ahead = chain.clock.now().duration_since(Timestamp::now());
    assert!(jiff::SignedDuration::from_hours(24 * 365) < ahead, "it is known from now on: {ahead:?}");
}

#[test]
fn the_region_of_a_profile_is_known() {
    let folder = folder("region");
    let config = folder.path().join("config");
    std::fs::write(
        &config,
        "[default]\nregion = eu-central-1\n[profile us]\nregion = us-east-1\n[profile no]\n",
    )
    .unwrap();
    let region = |profile: Option<&str>, named: Option<&str>| {
        let environment = |name: &str| match name {
            "AWS_CONFIG_FILE" => Some(config.display().to_string()),
            "AWS_PROFILE" => named.map(str::to_string),
            _ => None,
        };
        super::profile::region(&environment, profile)
    };
    assert_eq!(region(None, None).as_deref(), Some("eu-central-1"));
    assert_eq!(region(None, Some("us")).as_deref(), Some("us-east-1"));
    assert_eq!(region(Some("us"), Some("default")).as_deref(), Some("us-east-1"));
    assert_eq!((region(Some("no"), None), region(Some("none"), None)), (None, None));
    assert_eq!(super::profile::region(&|_| None, None), None);
}
