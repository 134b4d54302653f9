//! What the poller tells of events that are odd: parts that nobody knows, keys that go back, a gap before
//! them.

use super::Poller;
use crate::event::{Event, Position};
use crate::limits::{ANOMALY_NAMES_MAX, KEY_DISORDER_MAX};

impl Poller<'_> {
    // Once per name; beyond the limit of names they are only counted.
    pub(super) fn tell_anomalies(&mut self, event: &Event) {
        for anomalies in &event.anomalies {
            self.shared.stats.anomalies.add(anomalies.kind.label());
            if ANOMALY_NAMES_MAX <= self.anomalies_told.len() || self.anomalies_told.contains(&anomalies.name)
            {
                continue;
            }
            self.anomalies_told.insert(anomalies.name.clone());
            log::info!(
                target: &self.shared.logger,
                "unknown {} {} in {}: delivered as it came, by its structure", anomalies.kind.label(), anomalies.name, event.ce.name()
            );
        }
    }

    pub(super) fn tell_gap(&mut self, first: Position) {
        let Some(begin) = self.purged_after.take() else { return };
        let end = first.time;
        // The first key that a source gives, or another source: its history began there.
        if self.has_changed || (0..=1).contains(&first.key) {
            log::warn!(target: &self.shared.logger, "the source is younger than the position {begin}: its history begins at {end}, and \
                 nothing of it is missing");
            return;
        }
        self.shared.stats.gap_found(begin, end);
        log::error!(target: &self.shared.logger, "gap: the source no longer has its events from {begin} to {end}: its retention is \
             shorter than the time that this route was away; they are lost");
    }

    // It is only said: keys tell events apart, and nothing is concluded from their order.
    pub(super) fn warn_about_key(&mut self, position: Position) {
        let key = position.key;
        let reuse = self.mark_reuse(position);
        let went_back = |last: i64| 0 <= key && key.saturating_add(KEY_DISORDER_MAX) < last;
        if let Some(last) = self.last_key.replace(key).filter(|last| reuse || went_back(*last)) {
            let line = format!(
                "the source's event keys went back from {last} to {key}: its database was restored or began anew; \
                 going on by time, some events may be repeated"
            );
            self.shared.keys_back.came("keys", line);
        }
    }
}
