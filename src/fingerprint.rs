//! Credentials that a sink refused, or that could not be read: others than these are worth an attempt at
//! once. Only fingerprints are kept.

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use crate::error::Result;

/// What was refused last, and how often something else came after it.
#[derive(Debug, Default)]
pub(crate) struct Refused {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refused: Option<u64>,
    changes: u64,
}

impl Refused {
    /// The sink refused these, or they could not be read.
    pub(crate) fn note(&self, credentials: u64) {
        crate::sync::lock(&self.state).refused = Some(credentials);
    }

    /// How often others came. `now` is asked only after a refusal.
    pub(crate) fn changes(&self, now: impl FnOnce() -> u64) -> u64 {
        let mut state = crate::sync::lock(&self.state);
        if state.refused.is_some_and(|refused| refused != now()) {
            state.refused = None;
            state.changes += 1;
        }
        state.changes
    }
}

/// A number that tells secrets apart, and the reasons why there is none.
pub(crate) fn fingerprint<T: Hash>(secret: Result<T, impl Display>) -> u64 {
    let mut hasher = DefaultHasher::new();
    secret.map_err(|error| error.to_string()).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_than_the_refused_ones_are_counted_once() {
        let of = |text: &str| fingerprint::<_>(Ok::<_, String>(text));
        let refused = Refused::default();
        assert_eq!(refused.changes(|| unreachable!("nothing was refused")), 0);
        refused.note(of("old"));
        assert_eq!(refused.changes(|| of("old")), 0);
        assert_eq!(refused.changes(|| of("new")), 1);
        assert_eq!(refused.changes(|| of("newer")), 1, "what came is not refused yet");
        refused.note(of("newer"));
        assert_eq!(refused.changes(|| fingerprint(Err::<&str, _>("newer"))), 2, "it cannot be read any more");
    }
}
