//! The position of a route that this process owns, kept in the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::engine::Engine;
use super::lease::{Kept, Record, Reply, Subject};
use super::right::Right;
use super::saving::{Saved, Saving};
use crate::error::Error;
use crate::limits::{CLUSTER_RECORD_BYTES_MAX, CLUSTER_RECORD_BYTES_PER_SECOND, CLUSTER_WRITE_INTERVAL};
use crate::observe::logger::Logger;
use crate::position::record::{Checkpoint, encode};
use crate::position::window::Window;
use crate::position::{Positions, SaveError, Standing};

/// What its owner has sealed.
pub(crate) struct RecordPositions {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) subject: Subject,
    pub(crate) right: Arc<Right>,
    pub(crate) address: String,
    // Until it is loaded.
    pub(crate) standing: Option<Standing>,
    pub(crate) saving: Saving,
    pub(crate) interval: Duration,
    // Of all routes of this process: they share what may be written in a second.
    pub(crate) owned: Arc<AtomicUsize>,
    pub(crate) bytes: usize,
}

impl RecordPositions {
    fn text(&self, standing: Standing) -> Result<String, SaveError> {
        let Standing { identity, progress } = standing;
        let mut checkpoint = Checkpoint { address: self.address.clone(), identity, progress };
        loop {
            let text = encode(&checkpoint).map_err(SaveError::Broken)?;
            let known = &checkpoint.progress.settled;
            let count = known.spans().count();
            if text.len() <= CLUSTER_RECORD_BYTES_MAX || count == 0 {
                return Ok(text);
            }
            // What is no longer known to be settled is delivered again after a take-over.
            let is_held = known.is_held();
            let newest = Some(checkpoint.progress.time);
            let mut settled = Window::restore(newest, known.spans().skip(count.div_ceil(2)));
            if is_held {
                settled.hold();
            }
            checkpoint.progress.settled = settled;
        }
    }
}

impl Positions for RecordPositions {
    fn load(&mut self, logger: &Logger) -> Result<Option<Standing>, Error> {
        let place = self.place();
        let standing = self.standing.take();
        match &standing {
            None => log::info!(target: logger, path = place; "no valid checkpoint found"),
            Some(Standing { progress, .. }) => {
                let resume = progress.resume();
                log::info!(target: logger, path = place; "found existing and valid checkpoint, resuming at {resume}");
            }
        }
        Ok(standing)
    }

    fn save(&mut self, standing: Standing) -> Result<(), SaveError> {
        let text = self.text(standing)?;
        self.bytes = text.len();
        loop {
            let asked = self.engine.ask(&self.subject, &self.saving.next(&text));
            let (reply, error) = match asked {
                Ok(reply) => (reply, None),
                Err(trouble) => (Reply::Failed(trouble.wait), Some(trouble.error)),
            };
            match self.saving.answered(&text, reply) {
                Saved::Done => return Ok(()),
                Saved::Again => {}
                Saved::Unknown => {
                    return Err(SaveError::Unreached(error.unwrap_or_else(|| Error::new("no answer"))));
                }
                Saved::Lost(by) => {
                    self.right.fence(by);
                    return Err(SaveError::Lost);
                }
            }
        }
    }

    fn interval(&self) -> Duration {
        let owned = u32::try_from(self.owned.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        let size = Duration::from_secs_f64(self.bytes as f64 / CLUSTER_RECORD_BYTES_PER_SECOND);
        self.interval.max(CLUSTER_WRITE_INTERVAL.saturating_mul(owned)).max(size)
    }

    fn place(&self) -> String {
        self.engine.place(&self.subject)
    }
}

/// The position that a record tells, if any.
///
/// # Errors
/// When there is one and it cannot be used.
pub(crate) fn standing_of(sealed: &Kept<Record>) -> Result<Option<Standing>, Error> {
    let Some(text) = &sealed.value.text else { return Ok(None) };
    let Checkpoint { identity, progress, .. } = crate::position::record::decode(text.as_bytes())?;
    Ok(Some(Standing { identity, progress }))
}
