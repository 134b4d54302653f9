//! Where credentials come from: the first place that is set up wins, and its failure is said rather
//! than passed over. The order is that of AWS's SDKs.

use std::sync::Arc;

use super::environment::{Environment, read_token};
use super::profile::{Profile, Profiles};
use super::sts::Role;
use super::{metadata, sts};
use crate::aws::clock::{AwsClock, is_complaint, time_of_signing};
use crate::aws::keys::AwsKeys;
use crate::aws::keys::Credentials;
use crate::aws::refusal::code_and_message;
use crate::aws::sign::{Scope, signed_headers};
use crate::config::secret::Secret;
use crate::error::{Context, Error, Result};
use crate::fingerprint::fingerprint;
use crate::http::client::{Client, Request, Response};
use crate::limits::{CREDENTIALS_BYTES_MAX, CREDENTIALS_PROFILES_MAX, STS_CALL_WAIT_MAX};

/// All places, and what it takes to ask them.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Keys of the configuration; nothing else is asked then.
    pub(crate) keys: Option<AwsKeys>,
    /// `profile` of the configuration; it goes before the environment.
    pub(crate) profile: Option<String>,
    pub(crate) environment: Environment,
    /// The time of AWS.
    pub(crate) clock: Arc<AwsClock>,
    /// The region whose token service is asked.
    pub(crate) region: String,
    /// Address of the token service.
    pub(crate) sts_url: String,
    /// Reaches the token service.
    pub(crate) sts: Client,
    /// Reaches the endpoints of container and instance: without proxy.
    pub(crate) local: Client,
}

/// Names the sessions of assumed roles where nothing else does.
const SESSION: &str = "event-router";
/// Begins the origin of credentials that stand in a shared file.
const FILE_ORIGIN: &str = "the profile ";

impl Chain {
    /// Whether the configuration holds the keys: they are read for each request and never renewed.
    pub(crate) fn is_configured(&self) -> bool {
        self.keys.is_some()
    }

    /// Whether the credentials stand in a file, which may change.
    pub(crate) fn is_file(&self, credentials: &Credentials) -> bool {
        credentials.origin.starts_with(FILE_ORIGIN)
    }

    /// What the files say that hold keys or tokens: another number when they say something else.
    pub(crate) fn files(&self) -> u64 {
        let named = self.profile.clone().or_else(|| self.environment.get("AWS_PROFILE"));
        let profiles = self.profiles();
        let token_file = profiles.as_ref().ok().and_then(|profiles| {
            profiles.get(named.as_deref().unwrap_or("default"))?.get("web_identity_token_file").cloned()
        });
        let variables = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
        let token_files = variables.iter().filter_map(|name| self.environment.get(name)).chain(token_file);
        let tokens: Vec<_> =
            token_files.map(|file| read_token(&file).map_err(|error| error.to_string())).collect();
        fingerprint(profiles.map(|profiles| (profiles, tokens)))
    }

    /// Asks all places in turn.
    ///
    /// # Errors
    /// Why the first place that is set up gives none, or that none is set up.
    pub(crate) fn resolve(&self) -> Result<Credentials> {
        if let Some(keys) = &self.keys {
            return configured(keys);
        }
        if self.profile.is_none()
            && let Some(found) = self.of_environment()?
        {
            return Ok(found);
        }
        if let Some(found) = self.of_profile()? {
            return Ok(found);
        }
        if let Some(found) = self.of_web_identity()? {
            return Ok(found);
        }
        if let Some(found) = metadata::container(&self.local, &self.environment)? {
            return Ok(found);
        }
        if let Some(found) = metadata::instance(&self.local, &self.environment)? {
            return Ok(found);
        }
        Err(Error::new(
            "no AWS credentials: write access_key_id and secret_access_key into the configuration, or \
             provide a profile, AWS_ACCESS_KEY_ID, a web identity, or a role of the container or instance",
        ))
    }

    fn of_environment(&self) -> Result<Option<Credentials>> {
        let first = |names: &[&str]| names.iter().find_map(|name| self.environment.get(name));
        let access_key_id = first(&["AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"]);
        let secret = first(&["AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY", "AWS_SECRET_KEY"]);
        match (access_key_id, secret) {
            (Some(access_key_id), Some(secret_access_key)) => Ok(Some(Credentials {
                access_key_id,
                secret_access_key,
                session_token: self.environment.get("AWS_SESSION_TOKEN"),
                expires: None,
                origin: "the environment".to_string(),
            })),
            (None, None) => Ok(None),
            _ => Err(Error::new(
                "only one of the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set",
            )),
        }
    }

    /// The profile that is asked for, or else the default one, if there is one.
    fn of_profile(&self) -> Result<Option<Credentials>> {
        let named = self.profile.clone().or_else(|| self.environment.get("AWS_PROFILE"));
        let profiles = self.profiles()?;
        let name = named.as_deref().unwrap_or("default");
        if profiles.get(name).is_none() {
            return match named {
                Some(name) => Err(Error::new(format!("there is no AWS profile {name} in the shared files"))),
                None => Ok(None),
            };
        }
        let found = self.profile_credentials(&profiles, name, CREDENTIALS_PROFILES_MAX)?;
        if found.is_none() && named.is_some() {
            return Err(Error::new(format!("the AWS profile {name} has no credentials")));
        }
        Ok(found)
    }

    fn profiles(&self) -> Result<Profiles> {
        Profiles::read(&|name| self.environment.get(name))
    }

    fn profile_credentials(
        &self,
        profiles: &Profiles,
        name: &str,
        left: usize,
    ) -> Result<Option<Credentials>> {
        let intent = || format!("AWS profile {name}");
        let profile = profiles.get(name).ok_or_else(|| Error::new("is not there").context(intent()))?;
        if left == 0 {
            return Err(Error::new("too many profiles refer to each other").context(intent()));
        }
        let keys = static_keys(profile, name);
        let Some(arn) = profile.get("role_arn") else {
            let foreign = ["credential_process", "sso_session", "sso_start_url"];
            return match foreign.iter().find(|key| keys.is_none() && profile.contains_key(**key)) {
                Some(key) => Err(Error::new(format!(
                    "{key} needs a program that the router does not run; use keys, a role or a web identity"
                ))
                .context(intent())),
                None => Ok(keys),
            };
        };
        let text = |key: &str| profile.get(key).cloned();
        let role = Role {
            arn: arn.clone(),
            session: text("role_session_name").unwrap_or_else(|| SESSION.to_string()),
            external_id: text("external_id"),
            seconds: text("duration_seconds"),
        };
        if let Some(file) = profile.get("web_identity_token_file") {
            return self.with_web_identity(&role, file).context(intent).map(Some);
        }
        let source = match (profile.get("source_profile"), profile.get("credential_source")) {
            (Some(source), _) if source == name => keys,
            (Some(source), _) => self.profile_credentials(profiles, source, left - 1).context(intent)?,
            (None, Some(source)) => match source.as_str() {
                "Environment" => self.of_environment()?,
                "EcsContainer" => metadata::container(&self.local, &self.environment)?,
                "Ec2InstanceMetadata" => metadata::instance(&self.local, &self.environment)?,
                other => {
                    return Err(Error::new(format!("unknown credential_source {other}")).context(intent()));
                }
            },
            (None, None) => {
                let text = "role_arn needs source_profile, credential_source or web_identity_token_file";
                return Err(Error::new(text).context(intent()));
            }
        };
        let source = source
            .ok_or_else(|| Error::new("the source of the role has no credentials").context(intent()))?;
        self.assume(&role, &source).context(intent).map(Some)
    }

    fn of_web_identity(&self) -> Result<Option<Credentials>> {
        let Some(file) = self.environment.get("AWS_WEB_IDENTITY_TOKEN_FILE") else { return Ok(None) };
        let arn = self.environment.get("AWS_ROLE_ARN").ok_or_else(|| {
            Error::new("AWS_WEB_IDENTITY_TOKEN_FILE is set without AWS_ROLE_ARN, the role to take on")
        })?;
        let session = self.environment.get("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| SESSION.to_string());
        let role = Role { arn, session, external_id: None, seconds: None };
        self.with_web_identity(&role, &file).map(Some)
    }

    fn with_web_identity(&self, role: &Role, token_file: &str) -> Result<Credentials> {
        let intent = || format!("take on role {} by web identity", role.arn);
        let token = read_token(token_file).context(intent)?;
        let form = role.form_with_token(&token);
        let answer = self.call_sts(&form, &[]).context(intent)?;
        self.read_sts(&answer, format!("role {} by web identity", role.arn)).context(intent)
    }

    fn assume(&self, role: &Role, source: &Credentials) -> Result<Credentials> {
        let intent = || format!("take on role {} with {source:?}", role.arn);
        let form = role.form();
        let ask = |skew| {
            let scope = Scope { service: "sts", region: &self.region, time: time_of_signing(skew) };
            let signed = signed_headers(source, scope, &self.sts_url, &[FORM_TYPE], form.as_bytes())?;
            let signed: Vec<(&str, &str)> = signed.iter().map(|(name, value)| (&**name, &**value)).collect();
            self.call_sts(&form, &signed)
        };
        let skew = self.clock.skew();
        let mut answer = ask(skew).context(intent)?;
        let (code, message) = code_and_message(None, &answer.body);
        if answer.status != 200 && is_complaint(&code, &message) && self.clock.correct(&answer, skew) {
            answer = ask(self.clock.skew()).context(intent)?;
        }
        self.read_sts(&answer, format!("role {}", role.arn)).context(intent)
    }

    fn call_sts(&self, form: &str, signed: &[(&str, &str)]) -> Result<Response> {
        let answer = self.sts.send(&Request {
            method: "POST",
            url: &self.sts_url,
            headers: &[&[FORM_TYPE], signed].concat(),
            body: form.as_bytes(),
            timeout: STS_CALL_WAIT_MAX,
            body_bytes_max: CREDENTIALS_BYTES_MAX,
            repeat_if_stale: true,
            head_suffices: false,
        });
        answer.map_err(|error| error.error)
    }

    fn read_sts(&self, answer: &Response, origin: String) -> Result<Credentials> {
        if answer.status != 200 {
            let (code, message) = code_and_message(None, &answer.body);
            let text = format!("POST {}: status {}: {code}: {message}", self.sts_url, answer.status);
            return Err(Error::new(text));
        }
        sts::credentials(&String::from_utf8_lossy(&answer.body), origin).map_err(Error::new)
    }
}

const FORM_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn configured(keys: &AwsKeys) -> Result<Credentials> {
    Ok(Credentials {
        access_key_id: keys.access_key_id.read().context(|| "access_key_id")?,
        secret_access_key: keys.secret_access_key.read().context(|| "secret_access_key")?,
        session_token: keys
            .session_token
            .as_ref()
            .map(Secret::read)
            .transpose()
            .context(|| "session_token")?,
        expires: None,
        origin: "the configuration".to_string(),
    })
}

fn static_keys(profile: &Profile, name: &str) -> Option<Credentials> {
    let text = |key: &str| profile.get(key).filter(|value| !value.is_empty()).cloned();
    Some(Credentials {
        access_key_id: text("aws_access_key_id")?,
        secret_access_key: text("aws_secret_access_key")?,
        session_token: text("aws_session_token"),
        expires: None,
        origin: format!("{FILE_ORIGIN}{name}"),
    })
}
