//! The checkpointer thread of a route: writes the checkpoint when the settled prefix has moved.

use crate::error::Error;
use crate::limits::CHECKPOINT_INTERVAL;
use crate::observe::stats::Pulse;
use crate::pipeline::Shared;
use crate::pipeline::checkpoint::{Checkpoint, CheckpointFile};
use crate::stop::Stop;

/// Records progress until `end`, then once more.
///
/// # Errors
/// When a record could not be written. Then nothing is known about what the disk holds: the process
/// must stop, and start again from the last good record.
pub(crate) fn run(
    shared: &Shared,
    file: &CheckpointFile,
    address: &str,
    end: &Stop,
    pulse: &Pulse,
) -> Result<(), Error> {
    loop {
        let ending = end.is_stopped();
        match shared.queue.wait_moved() {
            Some(snapshot) => {
                let time = snapshot.progress.time;
                let checkpoint = Checkpoint {
                    address: address.to_string(),
                    identity: snapshot.identity,
                    progress: snapshot.progress,
                };
                pulse.busy();
                file.write(&checkpoint)?;
                pulse.resting();
                shared.queue.recorded(snapshot.version);
                shared.stats.checkpointed_to(time);
                log::debug!(target: shared.who.as_str(), path:% = file.path().display(); "created checkpoint");
                end.wait(CHECKPOINT_INTERVAL);
            }
            None if ending => return Ok(()),
            None => {}
        }
    }
}
