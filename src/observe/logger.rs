//! Who speaks in a line of the log: a route, a source or a processor, under its name in the configuration.

use std::fmt::{Display, Formatter};
use std::ops::Deref;
use std::sync::Arc;

/// The target of a record: `target: &self.logger`. Everybody who speaks for the same shares it.
#[derive(Clone, Debug)]
pub struct Logger(Arc<str>);

impl Logger {
    /// Lines of a route.
    pub(crate) fn route(name: &str) -> Logger {
        Logger(format!("route {name}").into())
    }

    /// Lines of the cluster that this router is a member of.
    pub(crate) fn cluster() -> Logger {
        Logger("cluster".into())
    }

    /// Lines of a source.
    pub(crate) fn source(name: &str) -> Logger {
        Logger(format!("source {name}").into())
    }

    /// Lines of a processor.
    pub(crate) fn processor(name: &str) -> Logger {
        Logger(format!("processor {name}").into())
    }
}

impl Deref for Logger {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Display for Logger {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}
