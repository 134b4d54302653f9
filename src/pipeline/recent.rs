//! The events that were read last, by time, key and content. Pure data.
//!
//! What is read for the first time since the source was opened is new, whatever its key; only the
//! very same event is not. A source that shows its last page again would otherwise be delivered
//! again and again.

use std::collections::{HashSet, VecDeque};

use crate::event::Position;
use crate::limits::RECENT_EVENTS_MAX;
use crate::pipeline::mixed::Mixing;

/// What tells one event from all others, in the order of reading.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    known: HashSet<(Position, u32), Mixing>,
    order: VecDeque<(Position, u32)>,
}

impl Recent {
    /// Remembers an event. False when it is among the last ones already.
    pub(crate) fn insert(&mut self, position: Position, content: &[u8]) -> bool {
        let event = (position, crc32fast::hash(content));
        if !self.known.insert(event) {
            return false;
        }
        self.order.push_back(event);
        if RECENT_EVENTS_MAX < self.order.len()
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Another reading begins.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn the_same_event_is_known_and_another_one_with_its_key_is_not() {
        let at = |second| Position { key: 5, time: Timestamp::from_second(second).unwrap() };
        let mut recent = Recent::default();
        assert!(recent.insert(at(10), b"a"));
        assert!(!recent.insert(at(10), b"a"));
        assert!(recent.insert(at(10), b"b") && recent.insert(at(9), b"a"));
        (0..RECENT_EVENTS_MAX as i64).for_each(|key| assert!(recent.insert(Position { key, ..at(99) }, b"")));
        assert!(recent.insert(at(10), b"a"), "forgotten");
        assert!(recent.known.len() == RECENT_EVENTS_MAX && recent.order.len() == RECENT_EVENTS_MAX);
    }
}
