//! The rule that decides which events are worth sending: read at the start and again and again, and
//! replaced as a whole. While it cannot be read, the last one stays in use.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::api::{Api, CallError};
use super::failure::Class;
use crate::config::aws::RuleArn;
use crate::error::{Context, Error, Result};
use crate::limits::{RULE_PAGES_MAX, RULE_RETRY_WAIT_MIN, THREAD_STACK_BYTES};
use crate::observe::trouble::Trouble;
use crate::pattern::Pattern;

/// A rule as EventBridge describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Rule {
    /// Its ARN.
    pub arn: String,
    /// Absent for rules on a schedule.
    pub event_pattern: Option<String>,
    /// `ENABLED`, `DISABLED` and others that begin with `ENABLED`.
    pub state: String,
}

impl Rule {
    /// Whether EventBridge applies it.
    pub fn is_enabled(&self) -> bool {
        self.state.starts_with("ENABLED")
    }

    /// Its pattern, compiled.
    ///
    /// # Errors
    /// When there is none, or it cannot be understood.
    pub fn pattern(&self) -> Result<Pattern> {
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
pub fn read(api: &Api, arn: &RuleArn, bus: &str) -> Result<Rule, CallError> {
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

fn find(api: &Api, arn: &RuleArn, bus: &str) -> Result<Rule, CallError> {
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
    Err(CallError { class: Class::Denied, reason: "missing", text, unsent: true, after: None })
}

fn call<T: for<'de> Deserialize<'de>>(
    api: &Api,
    operation: &'static str,
    request: &impl Serialize,
) -> Result<T, CallError> {
    let error = |text: String| CallError {
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

/// The pattern of a rule and the thread that renews it. Dropped, the thread ends; nobody waits.
pub struct Watch {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    who: String,
    api: Arc<Api>,
    arn: RuleArn,
    bus: String,
    refresh: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pattern: Option<Arc<Pattern>>,
    enabled: bool,
    /// Why there is no pattern yet.
    failure: Option<String>,
    stopped: bool,
}

impl Watch {
    /// Starts the thread, which reads the rule at once and then every `refresh`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &str, api: Arc<Api>, arn: RuleArn, bus: String, refresh: Duration) -> Result<Watch> {
        let who = format!("processor {name}");
        let state = Mutex::default();
        let shared = Arc::new(Shared { who, api, arn, bus, refresh, state, changed: Condvar::new() });
        let seen = shared.clone();
        let thread = std::thread::Builder::new()
            .name(format!("aws-rule:{name}"))
            .stack_size(THREAD_STACK_BYTES)
            .spawn(move || seen.run())
            .context(|| "start a thread")?;
        Ok(Watch { shared, thread })
    }

    /// Whether the thread is gone, which it must not be: a panic.
    pub fn is_dead(&self) -> bool {
        self.thread.is_finished()
    }

    /// The last pattern that could be read; waits for the first one, but not longer than `wait`.
    ///
    /// # Errors
    /// Why there is none yet.
    pub fn current(&self, wait: Duration) -> Result<Arc<Pattern>, String> {
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), wait, |state| {
            state.pattern.is_none() && state.failure.is_none()
        });
        let state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        match &state.pattern {
            Some(pattern) => Ok(pattern.clone()),
            None => Err(state.failure.clone().unwrap_or_else(|| "no answer yet".to_string())),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run(&self) {
        let trouble = Trouble::new(self.who.as_str());
        let mut after_failure = RULE_RETRY_WAIT_MIN;
        loop {
            let rule = read(&self.api, &self.arn, &self.bus).map_err(|error| (error.reason, error.text));
            let pattern = rule.and_then(|rule| match rule.pattern() {
                Ok(pattern) => Ok((rule, pattern)),
                Err(error) => Err(("pattern", format!("rule {}: {error}", self.arn.text))),
            });
            let wait = match pattern {
                Ok((rule, pattern)) => {
                    trouble.over();
                    after_failure = RULE_RETRY_WAIT_MIN;
                    self.replace(&rule, pattern);
                    self.refresh
                }
                Err((reason, text)) => {
                    let known = self.lock().pattern.is_some();
                    let consequence = if known {
                        "the pattern read last stays in use, asking again"
                    } else {
                        "events wait for the rule, asking again"
                    };
                    trouble.happened(reason, &text, consequence);
                    self.lock().failure = Some(text);
                    self.changed.notify_all();
                    let wait = after_failure.min(self.refresh);
                    after_failure = wait * 2;
                    wait
                }
            };
            let waited = self.changed.wait_timeout_while(self.lock(), wait, |state| !state.stopped);
            if waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0.stopped {
                return;
            }
        }
    }

    fn replace(&self, rule: &Rule, pattern: Pattern) {
        let (who, arn) = (self.who.as_str(), &self.arn.text);
        let mut state = self.lock();
        let is_new = state.pattern.as_ref().is_none_or(|before| before.text() != pattern.text());
        let (first, was_enabled) = (state.pattern.is_none(), state.enabled);
        if is_new {
            log::info!(target: who, "rule {arn} forwards what matches {}", pattern.text());
            state.pattern = Some(Arc::new(pattern));
        }
        state.enabled = rule.is_enabled();
        state.failure = None;
        drop(state);
        match (rule.is_enabled(), was_enabled) {
            (false, true) => {
                log::warn!(target: who, "rule {arn} is disabled: its targets get nothing; what matches it is sent to the bus all the same")
            }
            (false, false) if first => {
                log::warn!(target: who, "rule {arn} is disabled: its targets get nothing; what matches it is sent to the bus all the same")
            }
            (true, false) if !first => log::info!(target: who, "rule {arn} is enabled again"),
            _ => {}
        }
        self.changed.notify_all();
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
