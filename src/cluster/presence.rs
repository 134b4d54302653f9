//! How this member shows the others that it lives. Pure: it tells what to ask of the engine next, and is
//! told what came of it.

use std::time::Duration;

use super::lease::{Call, Kept, Lease, Reply, Rules, Version};

/// The lease of this member.
pub(crate) struct Presence {
    me: String,
    rules: Rules,
    version: Option<Version>,
    // The lease is to be read before it is written.
    doubt: bool,
}

impl Presence {
    /// Not written yet.
    pub(crate) fn new(rules: Rules, me: &str) -> Presence {
        Presence { me: me.to_string(), rules, version: None, doubt: true }
    }

    /// What is to be asked, so that it tells that the member lives; or, when it leaves, that it does not.
    pub(crate) fn next(&self, leaves: bool) -> Call {
        if self.doubt {
            return Call::ReadLease;
        }
        let (holder, lasts) = match leaves {
            true => (String::new(), Duration::from_secs(1)),
            false => (self.me.clone(), self.rules.lease),
        };
        Call::WriteLease(self.version.clone(), Lease { holder, lasts, term: 0 })
    }

    /// What came of it. True when there is more to ask.
    pub(crate) fn answered(&mut self, reply: Reply) -> bool {
        match reply {
            Reply::Written(version) => {
                self.version = Some(version);
                false
            }
            Reply::Lease(found) => {
                self.version = found.map(|Kept { version, .. }| version);
                self.doubt = false;
                true
            }
            Reply::Changed => {
                self.doubt = true;
                true
            }
            Reply::Failed(_) | Reply::Record(_) => {
                self.doubt = true;
                false
            }
        }
    }
}
