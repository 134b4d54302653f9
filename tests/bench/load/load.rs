//! What a measurement is made of, as its processes tell it each other on their command lines.

use std::path::PathBuf;
use std::time::Duration;

/// One load on the router.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Events that are there when it begins.
    pub(crate) events: u64,
    /// Bytes of one event as the source sends it, roughly.
    pub(crate) event_bytes: usize,
    /// Machines that the events are about.
    pub(crate) objects: u64,
    /// Events of a page.
    pub(crate) page: usize,
    /// Deliveries at a time, where the configuration says it.
    pub(crate) workers: Option<usize>,
    /// How long the sink takes for each.
    pub(crate) delay: Duration,
    /// Events of a request of the processor `http`; 0 is one each by Knative's.
    pub(crate) batch: usize,
    /// Where the sink writes the certificate that the router has to trust; none is plain HTTP.
    pub(crate) tls: Option<PathBuf>,
    /// After this long the run ends, however much was delivered.
    pub(crate) longest: Duration,
}

impl Default for Load {
    /// The load that the budgets speak of.
    fn default() -> Load {
        Load {
            events: 100_000,
            event_bytes: 1300,
            objects: 1000,
            page: 1000,
            workers: None,
            delay: Duration::ZERO,
            batch: 0,
            tls: None,
            longest: Duration::from_secs(400),
        }
    }
}

impl Load {
    /// As the arguments of a role.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let tls = self.tls.as_ref().map_or(String::new(), |path| path.display().to_string());
        let delay = self.delay.as_millis() as u64;
        let batch = self.batch as u64;
        let numbers = [self.events, self.event_bytes as u64, self.objects, delay, batch];
        numbers.iter().map(u64::to_string).chain([tls]).collect()
    }

    /// What a role was told; the rest is not its business.
    pub(crate) fn of_arguments(arguments: &[String]) -> Load {
        let number = |place: usize| arguments[place].parse().expect("a number");
        Load {
            events: number(0),
            event_bytes: number(1) as usize,
            objects: number(2),
            delay: Duration::from_millis(number(3)),
            batch: number(4) as usize,
            tls: Some(PathBuf::from(&arguments[5])).filter(|path| !path.as_os_str().is_empty()),
            ..Load::default()
        }
    }
}
