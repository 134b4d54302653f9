//! Credentials that the place gives in which the router runs: the endpoint of a container (ECS, EKS
//! Pod Identity) and the metadata service of an EC2 instance (IMDSv2).

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::environment::{Environment, read_token};
use crate::aws::keys::Credentials;
use crate::error::{Context, Error, Result};
use crate::http::client::{Client, Request, Response};
use crate::limits::{CONTAINER_CALL_WAIT_MAX, CREDENTIALS_BYTES_MAX, INSTANCE_CALL_WAIT_MAX};

/// How much longer credentials are used that the metadata service hands out although they have
/// ended: it does so while its own source is down, and AWS tells to go on with them.
const ENDED_EXTENSION: SignedDuration = SignedDuration::from_mins(15);

/// The endpoint of a container, if the environment names one.
pub(super) fn container(client: &Client, environment: &Environment) -> Result<Option<Credentials>> {
    let url = match environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => format!("http://169.254.170.2{path}"),
        None => match environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(url) => url,
            None => return Ok(None),
        },
    };
    let intent = || "ask the credentials endpoint of the container";
    if !may_get_a_token(&url) {
        let error = Error::new(format!(
            "{url} is neither https nor an address of this machine, and the request carries a secret"
        ));
        return Err(error.context(intent()));
    }
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(file) => Some(read_token(&file).context(intent)?),
        None => environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    let headers: Vec<(&str, &str)> = token.iter().map(|token| ("authorization", token.as_str())).collect();
    let answer = client
        .send(&Request {
            method: "GET",
            url: &url,
            headers: &headers,
            body: b"",
            timeout: CONTAINER_CALL_WAIT_MAX,
            body_bytes_max: CREDENTIALS_BYTES_MAX,
            repeat_if_stale: true,
            head_suffices: false,
        })
        .context(intent)?;
    accept(&answer, &url)
        .and_then(|body| credentials(body, "the container's endpoint"))
        .context(intent)
        .map(Some)
}

/// A token may go to an https address, to this machine, and to the addresses that AWS reserves.
fn may_get_a_token(url: &str) -> bool {
    if url.starts_with("https://") {
        return true;
    }
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(host, "localhost" | "169.254.170.2" | "169.254.170.23" | "fd00:ec2::23")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The metadata service of an instance, unless it is switched off. None when nobody answers: then
/// this is no instance.
pub(super) fn instance(client: &Client, environment: &Environment) -> Result<Option<Credentials>> {
    if environment.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let mode = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").unwrap_or_default();
    let base = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(|| {
        let host = if mode.eq_ignore_ascii_case("ipv6") { "[fd00:ec2::254]" } else { "169.254.169.254" };
        format!("http://{host}")
    });
    let base = base.trim_end_matches('/');
    let call = |method: &'static str, path: &str, headers: &[(&str, &str)]| {
        client.send(&Request {
            method,
            url: &format!("{base}{path}"),
            headers,
            body: b"",
            timeout: INSTANCE_CALL_WAIT_MAX,
            body_bytes_max: CREDENTIALS_BYTES_MAX,
            repeat_if_stale: true,
            head_suffices: false,
        })
    };
    let intent = || "ask the metadata service of the instance";
    let ttl = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")];
    let Ok(answer) = call("PUT", "/latest/api/token", &ttl) else { return Ok(None) };
    let token = text(accept(&answer, "/latest/api/token").context(intent)?);
    let headers = [("x-aws-ec2-metadata-token", token.as_str())];
    let list = "/latest/meta-data/iam/security-credentials/";
    let answer = call("GET", list, &headers).context(intent)?;
    let roles = text(accept(&answer, list).context(intent)?);
    let role = roles.lines().next().unwrap_or_default().trim();
    let answer = call("GET", &format!("{list}{role}"), &headers).context(intent)?;
    let body = accept(&answer, &format!("{list}{role}")).context(intent)?;
    let mut found = credentials(body, &format!("the instance's role {role}")).context(intent)?;
    let now = Timestamp::now();
    if found.expires.is_some_and(|end| end <= now) {
        log::warn!(target: "AWS credentials", "the metadata service gives credentials that have ended; they are used all the same");
        found.expires = now.checked_add(ENDED_EXTENSION).ok();
    }
    Ok(Some(found))
}

fn accept<'a>(answer: &'a Response, what: &str) -> Result<&'a [u8]> {
    if answer.status != 200 {
        return Err(Error::new(format!("{what} answers {}", answer.status)));
    }
    Ok(&answer.body)
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim().to_string()
}

/// The JSON that both services answer.
fn credentials(body: &[u8], origin: &str) -> Result<Credentials> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        code: Option<String>,
        access_key_id: Option<String>,
        secret_access_key: Option<String>,
        token: Option<String>,
        expiration: Option<String>,
    }
    // The text is not repeated: it holds secrets.
    let answer: Answer = serde_json::from_slice(body).map_err(|error| {
        Error::new(format!("the answer cannot be read (line {}, column {})", error.line(), error.column()))
    })?;
    if let Some(code) = answer.code.filter(|code| code != "Success") {
        return Err(Error::new(format!("the answer says {code}")));
    }
    let expires = match answer.expiration {
        None => None,
        Some(end) => Some(end.parse().map_err(|_| Error::new(format!("Expiration {end:?} is not a time")))?),
    };
    match (answer.access_key_id, answer.secret_access_key) {
        (Some(access_key_id), Some(secret_access_key)) => Ok(Credentials {
            access_key_id,
            secret_access_key,
            session_token: answer.token,
            expires,
            origin: origin.to_string(),
        }),
        _ => Err(Error::new("the answer holds no keys")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_near() {
        for near in [
            "https://anywhere/x",
            "http://127.0.0.1:80/x",
            "http://localhost/",
            "http://[::1]:8080/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
        ] {
            assert!(may_get_a_token(near), "{near}");
        }
        for far in
            ["http://10.0.0.1/", "http://localhost.evil/", "http://169.254.170.2.evil/", "ftp://x", "http://"]
        {
            assert!(!may_get_a_token(far), "{far}");
        }
    }

    #[test]
    fn answers_are_judged_without_repeating_them() {
        let good = br#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"S","Token":"T",
            "Expiration":"2026-05-04T10:11:12Z"}"#;
        let found = credentials(good, "x").unwrap();
        assert_eq!((found.session_token.as_deref(), found.expires.is_some()), (Some("T"), true));
        for wrong in [r#"{"Code":"Failed"}"#, r#"{"AccessKeyId":"A"}"#, r#"{"SecretAccessKey":"S3cret""#, ""]
        {
            let error = credentials(wrong.as_bytes(), "x").unwrap_err().to_string();
            assert!(!error.contains("S3cret"), "{error}");
        }
    }
}
