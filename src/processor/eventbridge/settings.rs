//! The settings of a bus of AWS EventBridge, and how its section is read.

use std::time::Duration;

use crate::aws::arn::RuleArn;
use crate::aws::credentials::profile;
use crate::aws::keys::AwsKeys;
use crate::config::ConnectionConfig;
use crate::config::reader::{Table, Value};
#[cfg(test)]
use crate::config::secret::Secret;
use crate::config::sections::{WAIT_MIN, connection};
use crate::config::values::refuse_table;
use crate::limits;

/// Settings of a bus of AWS EventBridge.
#[derive(Clone, Debug)]
pub(crate) struct EventbridgeConfig {
    pub(crate) region: String,
    /// Name or ARN of the bus; none means that of the rule, or the default bus.
    pub(crate) event_bus: Option<String>,
    /// Only what this rule matches is sent.
    pub(crate) rule: Option<RuleArn>,
    /// How often the rule is read again.
    pub(crate) refresh: Duration,
    /// Keys; none means the AWS credential chain.
    pub(crate) keys: Option<AwsKeys>,
    /// The profile of the shared files, in place of what the environment says.
    pub(crate) profile: Option<String>,
    /// Address in place of the region's.
    pub(crate) endpoint: Option<String>,
    /// Use the endpoint with FIPS 140 cryptography.
    pub(crate) fips: bool,
    /// Use the endpoint with IPv4 and IPv6.
    pub(crate) dual_stack: bool,
    /// Bytes of one request, as EventBridge counts them.
    pub(crate) bytes_max: u64,
    /// Deadline of one delivery.
    pub(crate) timeout: Duration,
    pub(crate) connection: ConnectionConfig,
}

#[cfg(test)]
impl EventbridgeConfig {
    /// A bus at this endpoint in place of the region's, with keys, and nothing else set.
    pub(crate) fn to(url: String) -> EventbridgeConfig {
        EventbridgeConfig {
            region: "eu-central-1".to_string(),
            event_bus: None,
            rule: None,
            refresh: Duration::from_secs(300),
            keys: Some(AwsKeys {
                access_key_id: Secret::Literal("AKID".to_string()),
                secret_access_key: Secret::Literal("s3cret".to_string()),
                session_token: None,
            }),
            profile: None,
            endpoint: Some(url),
            fips: false,
            dual_stack: false,
            bytes_max: 10_000,
            timeout: Duration::from_secs(20),
            connection: ConnectionConfig::default(),
        }
    }
}

/// Reads the keys of a section.
pub(crate) fn read(table: &Table<'_>) -> Option<EventbridgeConfig> {
    let rule = table.get("rule_arn", Value::rule_arn);
    let region = region(table, rule.as_ref());
    let event_bus = table.get("event_bus", Value::word);
    let refresh = table.get("refresh", |value| value.duration(limits::REFRESH_INTERVAL_MIN));
    let keys = aws_keys(table);
    let profile = table.get("profile", Value::word);
    let endpoint = table.get("endpoint", Value::http_url);
    let fips = table.get("fips", Value::boolean).unwrap_or_default();
    let dual_stack = table.get("dual_stack", Value::boolean).unwrap_or_default();
    let bytes_max = table.get("max_size", |value| value.size(1024));
    let timeout = table.get("timeout", |value| value.duration(WAIT_MIN));
    let connection = connection(table);
    if table.has("endpoint") && (fips || dual_stack) {
        table.warning("`endpoint` is used as it is: `fips` and `dual_stack` have no effect on it");
    }
    let bus_of =
        |bus: &str| bus.rsplit_once(":event-bus/").map_or(bus.to_string(), |(_, name)| name.to_string());
    if let (Some(rule), Some(bus)) = (&rule, &event_bus)
        && bus_of(bus) != rule.bus
    {
        table.problem(format!("the rule is one of the bus `{}`, and events go to `{bus}`", rule.bus));
    }
    let region = region?;
    let default = match region.starts_with("cn-") {
        true => limits::PUT_EVENTS_BYTES_CHINA_DEFAULT,
        false => limits::PUT_EVENTS_BYTES_DEFAULT,
    };
    Some(EventbridgeConfig {
        region,
        event_bus,
        rule,
        refresh: refresh.unwrap_or(limits::RULE_INTERVAL_DEFAULT),
        keys: keys?,
        profile,
        endpoint,
        fips,
        dual_stack,
        bytes_max: bytes_max.unwrap_or(default),
        timeout: timeout.unwrap_or(limits::DELIVERY_WAIT_MAX),
        connection,
    })
}

/// The region that the file names, or else the rule's, that of the environment, or that of the profile.
fn region(table: &Table<'_>, rule: Option<&RuleArn>) -> Option<String> {
    let written = table.get("region", Value::region);
    if table.has("region") {
        if let (Some(region), Some(rule)) = (&written, rule)
            && *region != rule.region
        {
            table.problem(format!("`region` is {region}, and the rule is in {}", rule.region));
        }
        return written;
    }
    let environment = || {
        let names = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        names.iter().find_map(|name| table.document().environment(name)).filter(|region| !region.is_empty())
    };
    // Like AWS's own tools: last of all the profile whose keys are used.
    let profile = || {
        let profile = table.get("profile", Value::word);
        profile::region(&|name| table.document().environment(name), profile.as_deref())
    };
    match rule.map(|rule| rule.region.clone()).or_else(environment).or_else(profile) {
        Some(region) => Some(region),
        None => refuse_table(table, "needs `region`, such as \"eu-central-1\""),
    }
}

/// `access_key_id`, `secret_access_key` and perhaps `session_token`, or none of them.
fn aws_keys(table: &Table<'_>) -> Option<Option<AwsKeys>> {
    let access_key_id = table.get("access_key_id", Value::secret);
    let secret_access_key = table.get("secret_access_key", Value::secret);
    let session_token = table.get("session_token", Value::secret);
    match (table.has("access_key_id"), table.has("secret_access_key"), table.has("session_token")) {
        (false, false, false) => Some(None),
        (true, true, false) => Some(Some(AwsKeys {
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?,
            session_token: None,
        })),
        (true, true, true) => Some(Some(AwsKeys {
            access_key_id: access_key_id?,
            secret_access_key: secret_access_key?,
            session_token: Some(session_token?),
        })),
        _ => refuse_table(
            table,
            "needs both `access_key_id` and `secret_access_key`, or neither for the AWS credential chain",
        ),
    }
}

impl Value<'_> {
    fn rule_arn(&self) -> Option<RuleArn> {
        match RuleArn::parse(self.string()?) {
            Ok(arn) => Some(arn),
            Err(error) => self.refuse(error.to_string()),
        }
    }

    /// The name of a region, such as `eu-central-1`: it becomes a part of host names.
    fn region(&self) -> Option<String> {
        let text = self.string()?;
        let fits = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if fits {
            Some(text.to_string())
        } else {
            self.refuse(format!("{text:?} is not a region such as \"eu-central-1\""))
        }
    }
}

#[cfg(test)]
mod tests;
