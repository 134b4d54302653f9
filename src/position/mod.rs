//! Where a route stands, kept beyond the end of the process.
//!
//! | Room | What it does |
//! | --- | --- |
//! | `window`, `progress` | which events are known near a time, and how far a route has come |
//! | `record` | the text of a record |
//! | `file`, `lock` | the records of a state folder, and the lock that keeps out a second router |
//! | `go` | the Go router's file, from which the first start takes over |
//! | `checkpointer` | the thread that writes a record when the route has moved |
//! | `tenure` | the right to a route, which may be lost |
//!
//! A route knows only [`Positions`]; what keeps them is chosen where the route is put together.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::observe::logger::Logger;
use crate::position::progress::Progress;

pub(crate) mod checkpointer;
pub mod file;
pub(crate) mod go;
pub(crate) mod lock;
pub(crate) mod progress;
pub(crate) mod record;
pub mod tenure;
pub mod window;

/// What keeps where one route stands. Only one process at a time may have it.
pub trait Positions: Send {
    /// Where the route stood, or none when it never ran. What was found is logged.
    ///
    /// # Errors
    /// When there is a record and none can be used: nothing is guessed.
    fn load(&mut self, logger: &Logger) -> Result<Option<Standing>>;

    /// Replaces the record; when this returns it survives a crash.
    ///
    /// # Errors
    /// What follows from it is the kind of the error.
    fn save(&mut self, standing: Standing) -> Result<(), SaveError>;

    /// The shortest time from one record to the next: how much is repeated after a crash.
    fn interval(&self) -> Duration;

    /// Where the record is, for people.
    fn place(&self) -> String;
}

/// A source, and how far a route has come in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The source's identity (vCenter's `instanceUuid`); empty where it was not known.
    pub(crate) identity: String,
    /// How far the route has come.
    pub(crate) progress: Progress,
}

/// Why a position was not saved, and what that means for the route.
#[derive(Debug)]
pub enum SaveError {
    /// There is no room for it. The record before it still stands: the route holds, and it is tried again.
    Later(Error),
    /// What keeps it does not answer. The record before it may still stand: it is tried again, and the
    /// route goes on as long as it has the right to.
    Unreached(Error),
    /// Nothing is known about what is kept now: the process must end, and start again from the last
    /// good record.
    Broken(Error),
    /// The right to the route is lost, and nothing was saved: the route must end.
    Lost,
}

impl From<SaveError> for Error {
    fn from(error: SaveError) -> Error {
        match error {
            SaveError::Later(error) | SaveError::Unreached(error) | SaveError::Broken(error) => error,
            SaveError::Lost => Error::new("the right to the route is lost"),
        }
    }
}
