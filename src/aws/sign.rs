//! Signature Version 4 over one request, by AWS's own crate. Pure: the time is a value.

use std::time::SystemTime;

use aws_credential_types::Credentials as SigningCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime_api::client::identity::Identity;

use super::keys::Credentials;
use crate::error::{Context, Result};

/// What is signed beside the request itself.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// `events` or `sts`.
    pub service: &'a str,
    /// The region of the endpoint.
    pub region: &'a str,
    /// Now, by the clock of AWS.
    pub time: SystemTime,
}

/// The headers that make a POST a signed one, beside `headers`, which it must carry too: date,
/// signature, and the token of temporary credentials.
///
/// # Errors
/// When the address or a header is not valid.
pub fn signed_headers(
    credentials: &Credentials,
    scope: Scope<'_>,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Vec<(String, String)>> {
    let identity: Identity = SigningCredentials::new(
        credentials.access_key_id.as_str(),
        credentials.secret_access_key.as_str(),
        credentials.session_token.clone(),
        None,
        "event-router",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.time)
        .settings(SigningSettings::default())
        .build()
        .context(|| "sign a request")?
        .into();
    let request = SignableRequest::new("POST", url, headers.iter().copied(), SignableBody::Bytes(body))
        .context(|| "sign a request")?;
    let (instructions, _) = sign(request, &params).context(|| "sign a request")?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_string(), value.to_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn known_signature() {
        let credentials = Credentials {
            access_key_id: "AKIDEXAMPLE".to_string(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_string(),
            session_token: Some("TOKEN".to_string()),
            expires: None,
            origin: "test".to_string(),
        };
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
        let scope = Scope { service: "events", region: "us-west-1", time };
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "AWSEvents.PutEvents")];
        let url = "https://events.us-west-1.amazonaws.com/";
        let signed = signed_headers(&credentials, scope, url, &headers, b"{}").unwrap();
        let header = |name: &str| &signed.iter().find(|(other, _)| other == name).expect(name).1;
        assert_eq!(header("x-amz-date"), "20150830T123600Z");
        assert_eq!(header("x-amz-security-token"), "TOKEN");
        assert_eq!(
            header("authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-west-1/events/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, \
             Signature=b63463641307905e1465e980c7a92c98b8a0775920aa2168af9598e6858bb1d4"
        );
    }
}
