//! A diagnosis of one vCenter, step by step, for `router check`: what works, and for the first
//! thing that does not, the cure.

use jiff::Timestamp;

use super::connection::Acquaintance;
use super::options;
use super::session::Session;
use super::settings::VcenterConfig;
use crate::error::{Error, Result};
use crate::finding::Finding;
use crate::http::client::{Client, ClientSettings};
use crate::limits::{KEY_SUSPICIOUS, VCENTER_CONNECTIONS_MAX};
use crate::source::SourceError;
use crate::vim::json::{PageEntry, convert_page};

/// How far back the probe reads.
const HISTORY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// Events that the probe reads.
const EVENTS_MAX: usize = 10;
/// A clock that is further off than this is worth a look.
const CLOCK_SECONDS_MAX: f64 = 60.0;

/// The server's present.
///
/// # Errors
/// When the server cannot be reached, refuses the account, or does not answer.
pub(crate) fn present(config: &VcenterConfig) -> Result<Timestamp> {
    let settings =
        ClientSettings { connection: &config.connection, connections_max: VCENTER_CONNECTIONS_MAX };
    let client = Client::new(&settings)?;
    let mut session =
        Session::greet(&client, &config.address, &Acquaintance::default()).map_err(|e| e.error)?;
    let login = session.login(&config.username, &config.password);
    let present = login.and_then(|()| session.server_time()).map_err(|e| e.error);
    session.logout();
    present
}

/// One line of a diagnosis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeStep {
    /// What was looked at: `server`, `login`, `clock`, `events`, `event counter`, and vCenter's settings.
    pub(crate) what: &'static str,
    pub(crate) outcome: Outcome,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Well; what was found.
    Good(String),
    /// It works, but somebody should know.
    Doubtful(String),
    /// It does not work; why, and what to do.
    Failed(Error),
}

/// Connects, logs in, reads a few events, and leaves nothing behind. Each finding is told to
/// `on_step` as it is made; the first failure ends the diagnosis. True when nothing failed.
pub(crate) fn probe(config: &VcenterConfig, on_step: &mut dyn FnMut(ProbeStep)) -> bool {
    let mut tell = |what, outcome| on_step(ProbeStep { what, outcome });
    let settings =
        ClientSettings { connection: &config.connection, connections_max: VCENTER_CONNECTIONS_MAX };
    let greeted = Client::new(&settings)
        .map_err(SourceError::lost)
        .and_then(|client| Session::greet(&client, &config.address, &Acquaintance::default()));
    let mut session = match greeted {
        Ok(session) => session,
        Err(error) => {
            tell("server", Outcome::Failed(error.error));
            return false;
        }
    };
    let server = format!("{}, API {}, {}", session.content.full_name, session.version, config.address);
    let is_insecure = config.connection.tls.insecure && config.address.starts_with("https:");
    tell(
        "server",
        match (session.stranger(), is_insecure) {
            (Some(stranger), _) => Outcome::Doubtful(format!("{server}; {stranger}")),
            (None, true) => {
                Outcome::Doubtful(format!("{server}; insecure = true: anybody could be answering"))
            }
            (None, false) => Outcome::Good(server),
        },
    );
    let good = inside(&mut session, config, &mut tell);
    session.logout();
    good
}

fn inside(
    session: &mut Session,
    config: &VcenterConfig,
    tell: &mut dyn FnMut(&'static str, Outcome),
) -> bool {
    if let Err(error) = session.login(&config.username, &config.password) {
        tell("login", Outcome::Failed(error.error));
        return false;
    }
    tell("login", Outcome::Good("accepted".into()));
    let now = match session.server_time() {
        Ok(now) => now,
        Err(error) => {
            tell("clock", Outcome::Failed(error.error));
            return false;
        }
    };
    tell("clock", clock(now.duration_since(Timestamp::now()).as_secs_f64()));
    match events(session, now) {
        Ok(text) => tell("events", Outcome::Good(text)),
        Err(error) => {
            tell("events", Outcome::Failed(error));
            return false;
        }
    }
    match session.latest_event() {
        Ok(latest) => tell("event counter", counter(latest.map(|latest| latest.event.key))),
        Err(error) => {
            tell("event counter", Outcome::Failed(error.error));
            return false;
        }
    }
    options::look(session, &mut |what, finding| {
        tell(
            what,
            match finding {
                Finding::Good(text) => Outcome::Good(text),
                Finding::Doubtful(text) => Outcome::Doubtful(text),
                Finding::Failed(text) => Outcome::Failed(Error::new(text)),
            },
        );
    });
    true
}

fn clock(ahead_seconds: f64) -> Outcome {
    let side = if ahead_seconds < 0.0 { "behind" } else { "ahead of" };
    let text = format!("vCenter's is {:.1} s {side} ours", ahead_seconds.abs());
    if ahead_seconds.abs() <= CLOCK_SECONDS_MAX {
        return Outcome::Good(text);
    }
    Outcome::Doubtful(format!("{text}; only vCenter's is used, but times of logs and events differ"))
}

/// Makes a collector on the root folder, reads from it, and destroys it.
fn events(session: &Session, now: Timestamp) -> Result<String> {
    let begin = now.checked_sub(HISTORY).unwrap_or(now);
    let page = session.first_page(begin, None, &[], EVENTS_MAX).map_err(|error| error.error)?;
    let body = page.map_err(|error| session.connection.source_error("read events", &error).error)?;
    let entries = convert_page(&body)?;
    let broken = entries.iter().filter(|entry| matches!(entry, PageEntry::Broken(_))).count();
    Ok(match (entries.len(), broken) {
        (0, _) => "readable, but none in the last 24 hours: does the account see the inventory?".to_string(),
        (number, 0) => format!("readable: the first {number} of the last 24 hours"),
        (number, broken) => {
            format!("readable: the first {number} of the last 24 hours, {broken} of them broken")
        }
    })
}

fn counter(key: Option<i64>) -> Outcome {
    match key {
        None => Outcome::Good("not told by this server".into()),
        Some(key) if (0..=KEY_SUSPICIOUS).contains(&key) => Outcome::Good(format!("at {key}")),
        Some(key) => Outcome::Doubtful(format!(
            "at {key}: it ends at 2147483647, and then vCenter hides new events from every collector; open a \
             support request with VMware"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_are_said() {
        assert_eq!(clock(-0.24), Outcome::Good("vCenter's is 0.2 s behind ours".into()));
        assert!(
            matches!(clock(10_800.0), Outcome::Doubtful(text) if text.starts_with("vCenter's is 10800.0 s ahead"))
        );
        assert_eq!(counter(Some(4711)), Outcome::Good("at 4711".into()));
        assert!(matches!(counter(Some(-1)), Outcome::Doubtful(_)));
        assert!(matches!(counter(Some(2_100_000_000)), Outcome::Doubtful(_)));
    }
}
