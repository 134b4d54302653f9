//! vCenter as a kind of sources: what the table of kinds needs of it.

use std::ops::Range;

use jiff::Timestamp;

use super::probe::Outcome;
use super::settings::VcenterConfig;
use super::{Vcenter, convert, event_types, paths, probe, sample};
use crate::config::{Format, RouteConfig};
use crate::error::Result;
use crate::event::{Event, EventType};
use crate::finding::{Finding, Tell};
use crate::limits::SERVER_FILTER_TYPES_MAX;
use crate::source::{Source, SourceSettings};

impl SourceSettings for VcenterConfig {
    fn address(&self) -> &str {
        &self.address
    }

    fn product(&self) -> &'static str {
        "vCenter"
    }

    fn make(&self, name: &str, route: &RouteConfig) -> Result<Box<dyn Source>> {
        let reader = Vcenter::new(name, self, route.format)?;
        // Names alone are for vCenter to filter, which then sends nothing else.
        let is_plain = !route.types.iter().any(|name| name.contains('*'));
        let fits = route.types.len() <= SERVER_FILTER_TYPES_MAX;
        let types = if is_plain && fits { route.types.as_slice() } else { &[] };
        Ok(Box::new(reader.with_types(types).with_names(&route.types)))
    }

    fn probe(&self, tell: Tell<'_>) {
        probe::probe(self, &mut |step| {
            let what = step.what;
            tell(match step.outcome {
                Outcome::Good(text) => Finding::Good(format!("{what}: {text}")),
                Outcome::Doubtful(text) => Finding::Doubtful(format!("{what}: {text}")),
                Outcome::Failed(error) => Finding::Failed(format!("{what}: {error}")),
            });
        });
    }

    fn event_types(&self) -> Result<Vec<EventType>> {
        event_types::event_types(self)
    }

    fn present(&self) -> Result<Option<Timestamp>> {
        probe::present(self).map(Some)
    }

    fn missing_path(&self, path: &str) -> Option<String> {
        paths::missing(path)
    }

    fn sample(&self, name: &str, format: Format, key: i32, time: &str) -> Result<Event> {
        sample::sample(name, &self.address, format, key, time)
    }

    fn name_in_type(&self, ty: &str) -> Option<Range<usize>> {
        convert::name_in_type(ty)
    }
}
