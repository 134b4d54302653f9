//! The script of a vCenter in which nothing goes wrong: what the program has in place of the faults that
//! tests turn on.

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

use super::history::History;
use super::record::Record;

/// Says at each place where a fault could be that there is none.
#[derive(Clone, Debug, Default)]
pub struct Script {}

impl Script {
    pub(super) fn key_gap(&self) -> u32 {
        0
    }

    pub(super) fn record_time(&self) -> Option<Timestamp> {
        None
    }

    pub(super) fn latest_event(&self, history: &History) -> Option<Arc<Record>> {
        history.latest()
    }

    pub(super) fn newest_first(&self) -> bool {
        false
    }

    pub(super) fn option(&self, _: &str) -> Option<&'static str> {
        None
    }

    pub(super) fn is_denied(&self, _: &str) -> bool {
        false
    }

    pub(super) fn page_delay(&self) -> Duration {
        Duration::ZERO
    }

    pub(super) fn pages_stay_empty(&self) -> bool {
        false
    }

    pub(super) fn endless_end(&self) -> Option<Timestamp> {
        None
    }

    pub(super) fn updates_truncated(&self) -> bool {
        false
    }

    pub(super) fn unknown_types_refused(&self) -> bool {
        false
    }

    pub(super) fn unknown_versions_refused(&self) -> bool {
        false
    }
}
