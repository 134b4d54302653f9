//! How the owner of a route replaces its record. Pure: it tells what to ask of the engine next, and is told
//! what came of it.

use super::lease::{Call, Kept, Record, Reply, Version};

/// The record of a route that this process has sealed.
pub(crate) struct Saving {
    sealed: Record,
    version: Option<Version>,
    // The record is to be read before it is written.
    doubt: bool,
}

/// How far saving has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// The record is what it is to be.
    Done,
    /// There is more to ask.
    Again,
    /// Nobody knows; it can be tried again, with this text or a later one.
    Unknown,
    /// Another holder has sealed it.
    Lost(String),
}

impl Saving {
    /// Of the record that was sealed.
    pub(crate) fn new(sealed: &Kept<Record>) -> Saving {
        let sealed_as = Record { text: None, ..sealed.value.clone() };
        Saving { sealed: sealed_as, version: Some(sealed.version.clone()), doubt: false }
    }

    /// What is to be asked so that the record tells this text.
    pub(crate) fn next(&self, text: &str) -> Call {
        if self.doubt {
            return Call::ReadRecord;
        }
        let record = Record { text: Some(text.to_string()), ..self.sealed.clone() };
        Call::WriteRecord(self.version.clone(), record)
    }

    /// What came of it.
    pub(crate) fn answered(&mut self, text: &str, reply: Reply) -> Saved {
        match reply {
            Reply::Written(version) => {
                self.version = Some(version);
                Saved::Done
            }
            Reply::Changed => {
                self.doubt = true;
                Saved::Again
            }
            Reply::Record(Some(Kept { version, value })) => {
                if (&value.holder, value.term) != (&self.sealed.holder, self.sealed.term) {
                    return Saved::Lost(value.holder);
                }
                self.doubt = false;
                self.version = Some(version);
                // An own write had arrived whose answer had not.
                if value.text.as_deref() == Some(text) { Saved::Done } else { Saved::Again }
            }
            Reply::Record(None) => {
                // Somebody removed it: it is made again of what is known here.
                self.doubt = false;
                self.version = None;
                Saved::Again
            }
            Reply::Failed(_) | Reply::Lease(_) => {
                self.doubt = true;
                Saved::Unknown
            }
        }
    }
}
