//! The rule that decides which events are worth sending: read at the start and again and again, and
//! replaced as a whole. While it cannot be read, the last one stays in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::api::{Api, AwsError};
use super::failure::Class;
use crate::aws::arn::RuleArn;
use crate::error::{Error, Result};
use crate::limits::RULE_PAGES_MAX;
use crate::observe::logger::Logger;
use crate::pattern::Pattern;
use crate::processor::refreshed::{Refresh, RefreshError, Refreshed};

/// A rule as EventBridge describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Rule {
    arn: String,
    /// Absent for rules on a schedule.
    event_pattern: Option<String>,
    /// `ENABLED`, `DISABLED` and others that begin with `ENABLED`.
    state: String,
}

impl Rule {
    /// Whether EventBridge applies it.
    pub(crate) fn is_enabled(&self) -> bool {
        self.state.starts_with("ENABLED")
    }

    /// Its pattern, compiled.
    ///
    /// # Errors
    /// When there is none, or it cannot be understood.
    pub(crate) fn pattern(&self) -> Result<Pattern> {
        let text = self.event_pattern.as_deref().filter(|text| !text.is_empty());
        let text =
            text.ok_or_else(|| Error::new("the rule has no event pattern: it is one on a schedule"))?;
        Pattern::of_rule(text)
    }
}

/// Reads the rule by DescribeRule, or where that is not allowed by ListRules.
///
/// # Errors
/// When it cannot be read, or is not there.
pub(crate) fn read(api: &Api, arn: &RuleArn, bus: &str) -> Result<Rule, AwsError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct DescribeRule<'a> {
        name: &'a str,
        event_bus_name: &'a str,
    }
    let refused = match call(api, "DescribeRule", &DescribeRule { name: &arn.name, event_bus_name: bus }) {
        Ok(rule) => return Ok(rule),
        Err(error) => error,
    };
    // The Go router needed only the right to list rules.
    match (refused.class, refused.reason) {
        (Class::Denied, "denied") => find(api, arn, bus),
        _ => Err(refused),
    }
}

fn find(api: &Api, arn: &RuleArn, bus: &str) -> Result<Rule, AwsError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct ListRules<'a> {
        event_bus_name: &'a str,
        name_prefix: &'a str,
        limit: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_token: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Page {
        rules: Vec<Rule>,
        next_token: Option<String>,
    }
    let mut next_token = None;
    for _ in 0..RULE_PAGES_MAX {
        let request = ListRules { event_bus_name: bus, name_prefix: &arn.name, limit: 100, next_token };
        let page: Page = call(api, "ListRules", &request)?;
        if let Some(rule) = page.rules.into_iter().find(|rule| rule.arn == arn.text) {
            return Ok(rule);
        }
        next_token = page.next_token.filter(|token| !token.is_empty());
        if next_token.is_none() {
            break;
        }
    }
    let text = format!("ListRules at {}: there is no rule {}", api.url, arn.text);
    Err(AwsError { class: Class::Denied, reason: "missing", text, unsent: true, after: None })
}

fn call<T: for<'de> Deserialize<'de>>(
    api: &Api,
    operation: &'static str,
    request: &impl Serialize,
) -> Result<T, AwsError> {
    let error = |text: String| AwsError {
        class: Class::Later,
        reason: "malformed",
        text: format!("{operation} at {}: {text}", api.url),
        unsent: true,
        after: None,
    };
    let body = serde_json::to_vec(request).map_err(|cause| error(cause.to_string()))?;
    let answer = api.call(operation, &body, Instant::now() + api.timeout)?;
    serde_json::from_slice(&answer).map_err(|cause| error(format!("the answer cannot be read: {cause}")))
}

/// Starts the thread that reads the rule at once and then every `refresh`; `name` is the processor's.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn follow(
    name: &str,
    api: Arc<Api>,
    arn: RuleArn,
    bus: String,
    refresh: Duration,
) -> Result<Refreshed<Followed>> {
    let logger = Logger::processor(name);
    Refreshed::start(
        format!("aws-rule:{name}"),
        &logger,
        Follower { logger: logger.clone(), api, arn, bus, refresh },
    )
}

/// What of a rule decides about events.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) pattern: Pattern,
    is_enabled: bool,
}

struct Follower {
    logger: Logger,
    api: Arc<Api>,
    arn: RuleArn,
    bus: String,
    refresh: Duration,
}

impl Refresh for Follower {
    type Value = Followed;
    const STALE_TEXT: &'static str = "the pattern read last stays in use";
    const EMPTY_TEXT: &'static str = "events wait for the rule";

    fn refresh(
        &self,
        last: Option<&Followed>,
        _: &dyn Fn() -> bool,
    ) -> Result<(Followed, Duration), RefreshError> {
        let failure = |reason, text| RefreshError { reason, text, gone: false };
        let rule =
            read(&self.api, &self.arn, &self.bus).map_err(|error| failure(error.reason, error.text))?;
        let pattern =
            rule.pattern().map_err(|error| failure("pattern", format!("rule {}: {error}", self.arn.text)))?;
        let now = Followed { pattern, is_enabled: rule.is_enabled() };
        self.say_change(last, &now);
        Ok((now, self.refresh))
    }

    fn credential_changes(&self) -> u64 {
        self.api.credentials.changes()
    }

    fn retry_wait_max(&self) -> Duration {
        self.refresh
    }
}

impl Follower {
    fn say_change(&self, before: Option<&Followed>, now: &Followed) {
        let (logger, arn) = (&self.logger, &self.arn.text);
        if before.is_none_or(|before| before.pattern.text() != now.pattern.text()) {
            log::info!(target: logger, "rule {arn} forwards what matches {}", now.pattern.text());
        }
        match (before.is_none_or(|before| before.is_enabled), now.is_enabled) {
            (true, false) => {
                log::warn!(target: logger, "rule {arn} is disabled: its targets get nothing; what matches it is sent to the bus all the same")
            }
            (false, true) => log::info!(target: logger, "rule {arn} is enabled again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_without_a_usable_pattern_are_refused() {
        let rule = |pattern: Option<&str>, state: &str| Rule {
            arn: "a".to_string(),
            event_pattern: pattern.map(str::to_string),
            state: state.to_string(),
        };
        assert!(rule(Some(r#"{"detail":{"subject":["VmPoweredOnEvent"]}}"#), "ENABLED").pattern().is_ok());
        assert!(rule(None, "").pattern().unwrap_err().to_string().contains("schedule"));
        assert!(rule(Some(r#"{"detail":{"subject":[{"shellstyle":"Vm*"}]}}"#), "").pattern().is_err());
        assert!(rule(None, "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS").is_enabled());
        assert!(!rule(None, "DISABLED").is_enabled());
    }
}
