//! Horizon as a kind of sources: what the table of kinds needs of it.

use std::ops::Range;

use super::settings::HorizonConfig;
use super::{Horizon, audit};
use crate::config::{Format, RouteConfig};
use crate::error::Result;
use crate::finding::{Finding, Tell};
use crate::source::{Source, SourceSettings};

impl SourceSettings for HorizonConfig {
    fn address(&self) -> &str {
        &self.address
    }

    fn product(&self) -> &'static str {
        "Horizon"
    }

    fn make(&self, name: &str, route: &RouteConfig) -> Result<Box<dyn Source>> {
        Ok(Box::new(Horizon::new(name, self, route.format)?))
    }

    /// Each connection server by itself: the others stand in for the first without a word.
    fn probe(&self, tell: Tell<'_>) {
        for address in std::iter::once(&self.address).chain(&self.fallback) {
            let alone = HorizonConfig { address: address.clone(), fallback: Vec::new(), ..self.clone() };
            tell(match try_out(&alone) {
                Ok(text) => Finding::Good(format!("{address}: {text}")),
                Err(error) => Finding::Failed(error.to_string()),
            });
        }
    }

    fn name_in_type(&self, ty: &str) -> Option<Range<usize>> {
        audit::name_in_type(ty)
    }
}

fn try_out(config: &HorizonConfig) -> Result<String> {
    let mut horizon = Horizon::new("check", config, Format::Router)?;
    let opened = horizon.open(None).map_err(|error| error.error)?;
    let read = horizon.read().map_err(|error| error.error);
    horizon.close();
    read?;
    Ok(format!("logged in, audit events can be read, its clock shows {}", opened.now))
}
