//! The clock of AWS where it differs from ours: it refuses signatures of another time, and says its own
//! in each answer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};

use crate::http::client::Response;
use crate::observe::logger::Logger;

/// Differences of clocks below this are no reason for a refusal.
const SKEW_SECONDS_MIN: i64 = 5;

/// Seconds that the clock of AWS is ahead of ours, once it has complained. Whoever signs shares it.
#[derive(Debug)]
pub(crate) struct AwsClock {
    logger: Logger,
    skew: AtomicI64,
}

impl AwsClock {
    /// Nothing is known against ours.
    pub(crate) fn new(logger: &Logger) -> AwsClock {
        AwsClock { logger: logger.clone(), skew: AtomicI64::new(0) }
    }

    /// Seconds that it is ahead of ours, as far as is known.
    pub(crate) fn skew(&self) -> i64 {
        self.skew.load(Ordering::Relaxed)
    }

    /// Its present.
    pub(crate) fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(SignedDuration::from_secs(self.skew())).unwrap_or(now)
    }

    /// Takes over the time of an answer; false when it is what the request was signed with.
    pub(crate) fn correct(&self, answer: &Response, signed_with: i64) -> bool {
        let date =
            answer.header("date").and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
        let Some(date) = date else { return false };
        let skew = date.as_second() - Timestamp::now().as_second();
        let before = self.skew.swap(skew, Ordering::Relaxed);
        // Another thread may have been told the same a moment ago.
        if SKEW_SECONDS_MIN <= (skew - before).abs() {
            log::warn!(target: &self.logger, "this machine's clock differs from that of AWS by {skew} s: requests are signed with theirs; correct the clock");
        }
        SKEW_SECONDS_MIN <= (skew - signed_with).abs()
    }
}

/// What a request is signed with: our present by a clock that is so many seconds ahead.
pub(crate) fn time_of_signing(skew: i64) -> SystemTime {
    let (now, shift) = (SystemTime::now(), Duration::from_secs(skew.unsigned_abs()));
    let shifted = if skew < 0 { now.checked_sub(shift) } else { now.checked_add(shift) };
    shifted.unwrap_or(now)
}

/// Whether a refusal is about the time of the signature.
pub(crate) fn is_complaint(code: &str, message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    match code {
        "RequestExpired" | "RequestTimeTooSkewed" => true,
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            ["expired", "not yet current", "skew"].iter().any(|word| message.contains(word))
        }
        _ => false,
    }
}
