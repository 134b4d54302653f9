//! The checkpointer thread of a route: saves its position when the settled prefix has moved.

use jiff::Timestamp;

use crate::error::Error;
use crate::limits::CHECKPOINT_HOLD;
use crate::observe::logger::Logger;
use crate::observe::stats::Pulse;
use crate::position::tenure::Tenure;
use crate::position::{Positions, SaveError, Standing};
use crate::stop::Stop;

/// A route whose position is saved.
pub(crate) trait Moving {
    /// Waits until there is something new to save; when the route is ending, only for a moment. None
    /// when there is nothing.
    fn wait_moved(&self) -> Option<Unsaved>;

    /// This version was saved, which tells the position up to `time`.
    fn saved(&self, version: u64, time: Timestamp);

    /// There is no room for a record now: nothing more may be begun until one is saved.
    fn not_saved(&self, error: &Error);

    /// What keeps the records does not answer now.
    fn not_reached(&self, error: &Error);
}

/// What there is to save.
#[derive(Debug)]
pub(crate) struct Unsaved {
    /// Where the route stands.
    pub(crate) standing: Standing,
    /// To be handed back when it is saved.
    pub(crate) version: u64,
}

/// Saves until `end`, then once more.
///
/// # Errors
/// What the last record that could not be saved means.
pub(crate) fn run(
    route: &impl Moving,
    logger: &Logger,
    positions: &mut dyn Positions,
    tenure: &dyn Tenure,
    end: &Stop,
    pulse: &Pulse,
) -> Result<(), SaveError> {
    loop {
        let ending = end.is_stopped();
        match route.wait_moved() {
            Some(Unsaved { standing, version }) => {
                if !tenure.is_valid() {
                    return Err(SaveError::Lost);
                }
                let time = standing.progress.time;
                pulse.busy();
                let saved = positions.save(standing);
                pulse.resting();
                match saved {
                    Ok(()) => {}
                    Err(SaveError::Later(error)) if !ending => {
                        route.not_saved(&error);
                        end.wait(CHECKPOINT_HOLD);
                        continue;
                    }
                    // Who goes on from here finds an older record.
                    Err(SaveError::Unreached(_)) if ending => return Err(SaveError::Lost),
                    Err(SaveError::Unreached(error)) => {
                        route.not_reached(&error);
                        end.wait(CHECKPOINT_HOLD);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                route.saved(version, time);
                log::debug!(target: logger, path = positions.place(); "created checkpoint");
                end.wait(positions.interval());
            }
            None if ending => return Ok(()),
            None => {}
        }
    }
}
