//! The security token service: requests as forms, credentials from XML. Pure. Facts: the AWS STS API
//! reference, AssumeRole and AssumeRoleWithWebIdentity, version 2011-06-15.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::aws::keys::Credentials;
use crate::aws::refusal::element;

const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A role to take on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) arn: String,
    /// What the session is called in the logs of AWS.
    pub(super) session: String,
    /// What the owner of the role asks for.
    pub(super) external_id: Option<String>,
    /// How long the credentials shall be valid, as it stands in the file.
    pub(super) seconds: Option<String>,
}

impl Role {
    /// The form of AssumeRole.
    pub(super) fn form(&self) -> String {
        let mut pairs = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.arn),
            ("RoleSessionName", &self.session),
        ];
        pairs.extend(self.external_id.as_deref().map(|id| ("ExternalId", id)));
        pairs.extend(self.seconds.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        form(&pairs)
    }

    /// The form of AssumeRoleWithWebIdentity.
    pub(super) fn form_with_token(&self, token: &str) -> String {
        let mut pairs = vec![
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.arn),
            ("RoleSessionName", &self.session),
            ("WebIdentityToken", token),
        ];
        pairs.extend(self.seconds.as_deref().map(|seconds| ("DurationSeconds", seconds)));
        form(&pairs)
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, FORM));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// The credentials of an answer.
///
/// # Errors
/// What is missing.
pub(super) fn credentials(xml: &str, origin: String) -> Result<Credentials, String> {
    let needed = |name: &str| {
        element(xml, name).filter(|text| !text.is_empty()).ok_or_else(|| format!("the answer has no {name}"))
    };
    let end = needed("Expiration")?;
    Ok(Credentials {
        access_key_id: needed("AccessKeyId")?,
        secret_access_key: needed("SecretAccessKey")?,
        session_token: Some(needed("SessionToken")?),
        expires: Some(end.parse().map_err(|_| format!("Expiration {end:?} is not a time"))?),
        origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let role = Role {
            arn: "arn:aws:iam::1:role/a b".to_string(),
            session: "event-router".to_string(),
            external_id: Some("ü&=".to_string()),
            seconds: None,
        };
        assert_eq!(
            role.form(),
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fa%20b&\
             RoleSessionName=event-router&ExternalId=%C3%BC%26%3D"
        );
        let role = Role { external_id: None, seconds: Some("900".to_string()), ..role };
        let form = role.form_with_token("e.y-J_~");
        assert!(form.ends_with("&WebIdentityToken=e.y-J_~&DurationSeconds=900"), "{form}");
    }

    #[test]
    fn answers() {
        let xml = "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
            <Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey>\
            <SessionToken>t</SessionToken><Expiration>2026-05-04T10:11:12Z</Expiration></Credentials>\
            </AssumeRoleResult></AssumeRoleResponse>";
        let found = credentials(xml, "role r".to_string()).unwrap();
        assert_eq!((&*found.access_key_id, &*found.secret_access_key), ("ASIA", "s/+="));
        assert_eq!(found.session_token.as_deref(), Some("t"));
        assert_eq!(found.expires.unwrap().to_string(), "2026-05-04T10:11:12Z");
        assert!(!format!("{found:?}").contains("s/+="));
        for (cut, reason) in
            [("<SessionToken>t</SessionToken>", "no SessionToken"), ("2026-05", "not a time")]
        {
            let error = credentials(&xml.replace(cut, ""), String::new()).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
