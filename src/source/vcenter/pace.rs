//! How fast a long poll may call, and when its answers are of no use. Pure: moments come in.
//!
//! A long poll is paced by the server, and a server that answers at once, with nothing, with the same news
//! again and again, or with versions that it does not know, would be called thousands of times a second.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{
    LONG_POLL_BURST_CALLS_MAX, LONG_POLL_BURST_INTERVAL, LONG_POLL_PROMPT_MAX, LONG_POLL_USELESS_MAX,
};

/// The calls of one long poll.
#[derive(Debug, Default)]
pub(super) struct Pace {
    // When the last calls began, oldest first.
    begun: VecDeque<Instant>,
    // Answers in a row that came at once and told nothing.
    useless: u32,
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It came when it was to come: the long poll works.
    Waited,
    /// It came at once and told news, or nothing for the first few times.
    Prompt,
    /// It was one too many that came at once and told nothing.
    Useless,
}

impl Pace {
    /// How long to wait before the next call.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        match self.begun.front() {
            Some(first) if LONG_POLL_BURST_CALLS_MAX <= self.begun.len() => {
                (*first + LONG_POLL_BURST_INTERVAL).saturating_duration_since(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self, now: Instant) {
        if LONG_POLL_BURST_CALLS_MAX <= self.begun.len() {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
    }

    /// The call that began last is answered; `news`: with something that was not told before.
    pub(super) fn answered(&mut self, news: bool, now: Instant) -> Worth {
        let took = self.begun.back().map_or(Duration::ZERO, |begun| now.saturating_duration_since(*begun));
        let waited = LONG_POLL_PROMPT_MAX <= took;
        self.useless = if waited || news { 0 } else { self.useless + 1 };
        match () {
            () if waited => Worth::Waited,
            () if self.useless < LONG_POLL_USELESS_MAX => Worth::Prompt,
            () => Worth::Useless,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls as fast as it may for 10 seconds, each answered after `took`: when each began, in ms, and what
    /// the answers were worth.
    fn calls(took: Duration, news: bool) -> (Vec<u64>, Vec<Worth>) {
        let begin = Instant::now();
        let (mut pace, mut at) = (Pace::default(), Duration::ZERO);
        let (mut begun, mut worth) = (Vec::new(), Vec::new());
        while at < Duration::from_secs(10) {
            at += pace.wait(begin + at);
            pace.begin(begin + at);
            begun.push(at.as_millis() as u64);
            at += took;
            worth.push(pace.answered(news, begin + at));
        }
        (begun, worth)
    }

    #[test]
    fn no_second_has_more_than_twenty_calls() {
        for took in [Duration::ZERO, Duration::from_micros(100), Duration::from_millis(20)] {
            for news in [false, true] {
                let (begun, _) = calls(took, news);
                let most = begun
                    .iter()
                    .map(|from| begun.iter().filter(|at| (*from..from + 1000).contains(at)).count())
                    .max();
                assert_eq!(most, Some(20), "{took:?}");
                assert_eq!(begun[..10].iter().max(), Some(&(took.as_millis() as u64 * 9)), "a few at once");
            }
        }
    }

    #[test]
    fn answers_at_once_without_news_are_of_no_use_after_a_while() {
        let (_, worth) = calls(Duration::from_millis(1), false);
        let prompt = worth.iter().take_while(|worth| **worth == Worth::Prompt).count();
        assert_eq!(prompt, LONG_POLL_USELESS_MAX as usize - 1);
        assert!(worth[prompt..].iter().all(|worth| *worth == Worth::Useless));
        let (_, worth) = calls(Duration::from_millis(1), true);
        assert!(worth.iter().all(|worth| *worth == Worth::Prompt), "a busy server");
        let (_, worth) = calls(LONG_POLL_PROMPT_MAX, false);
        assert!(worth.iter().all(|worth| *worth == Worth::Waited), "a quiet one");
    }
}
