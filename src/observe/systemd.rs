//! What systemd wants to know of a service of `Type=notify`: that it is ready, how it is, that it
//! still turns, and that it stops (sd_notify(3), sd_watchdog_enabled(3)).
//!
//! A message is one datagram of lines to the socket that `NOTIFY_SOCKET` names: a path, or a name
//! in Linux's abstract namespace when it begins with `@`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::snapshot::{Counts, Phase, Snapshot};
use super::status;
use crate::error::{Error, Result, io_text};
use crate::limits::{
    NOTIFY_INTERVAL, NOTIFY_START_INTERVAL, NOTIFY_STATUS_CHARS_MAX, NOTIFY_WAIT_MAX, SUMMARY_INTERVAL,
};

const TARGET: &str = "systemd";

/// The service manager that started this process, if it listens.
pub(crate) struct ServiceManager {
    channel: Option<Channel>,
    news: News,
    interval: Duration,
    is_failing: bool,
}

impl ServiceManager {
    /// Nobody listens.
    pub(crate) fn none() -> ServiceManager {
        ServiceManager { channel: None, news: News::default(), interval: SUMMARY_INTERVAL, is_failing: false }
    }

    /// The one that the environment of this process tells of.
    pub(crate) fn from_environment() -> ServiceManager {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return ServiceManager::none() };
        match Channel::open(&name) {
            Ok(channel) => {
                let number = |name: &str| std::env::var(name).ok()?.parse().ok();
                let watchdog = watchdog(number("WATCHDOG_USEC"), number("WATCHDOG_PID"), std::process::id());
                ServiceManager {
                    channel: Some(channel),
                    news: News { feeds: watchdog.is_some(), ..News::default() },
                    // Twice in its time would do; once may be late.
                    interval: watchdog.map_or(NOTIFY_INTERVAL, |time| NOTIFY_INTERVAL.min(time / 4)),
                    is_failing: false,
                }
            }
            Err(error) => {
                log::warn!(target: TARGET, "{error}; it learns nothing of this process");
                ServiceManager::none()
            }
        }
    }

    /// How often it wants to hear something.
    pub(crate) fn interval(&self) -> Duration {
        match (&self.channel, self.news.is_ready) {
            (Some(_), false) => NOTIFY_START_INTERVAL.min(self.interval),
            _ => self.interval,
        }
    }

    /// Tells how the process is.
    pub(crate) fn tell(&mut self, snapshot: impl FnOnce() -> Snapshot) {
        if self.channel.is_some() {
            let message = self.news.of(&snapshot());
            self.send(&message);
        }
    }

    /// Tells that the process stops, and how long that may take.
    pub(crate) fn stopping(&mut self, longest: Duration) {
        self.send(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={}\n", longest.as_micros()));
    }

    fn send(&mut self, message: &str) {
        let Some(channel) = self.channel.as_ref().filter(|_| !message.is_empty()) else { return };
        match channel.send(message) {
            Ok(()) => self.is_failing = false,
            Err(error) if self.is_failing => log::debug!(target: TARGET, "{error}"),
            Err(error) => {
                log::warn!(target: TARGET, "{error}");
                self.is_failing = true;
            }
        }
    }
}

/// The time within which the watchdog wants to be fed; none if it is not for this process.
fn watchdog(microseconds: Option<u64>, pid: Option<u64>, own_pid: u32) -> Option<Duration> {
    let time = microseconds.filter(|microseconds| 0 < *microseconds).map(Duration::from_micros)?;
    pid.is_none_or(|pid| pid == u64::from(own_pid)).then_some(time)
}

/// What was told, and so what is news.
#[derive(Default)]
struct News {
    /// There is a watchdog.
    feeds: bool,
    is_ready: bool,
    status: String,
}

impl News {
    fn of(&mut self, snapshot: &Snapshot) -> String {
        let mut message = String::new();
        if !self.is_ready && has_read(snapshot) {
            self.is_ready = true;
            message.push_str("READY=1\n");
        }
        let hangs = status::hangs(snapshot);
        if self.feeds && hangs.is_empty() {
            message.push_str("WATCHDOG=1\n");
        }
        let status = status_line(snapshot, &hangs);
        if self.status != status {
            message.push_str(&format!("STATUS={status}\n"));
            self.status = status;
        }
        message
    }
}

/// A route has read from its source: names resolve, TLS and the account are right. That all
/// routes do would be too much to ask: one dead source must not keep the service from starting.
fn has_read(snapshot: &Snapshot) -> bool {
    snapshot.phase == Phase::Running && snapshot.routes.iter().any(|route| 0 < route.counts.pages)
}

fn status_line(snapshot: &Snapshot, hangs: &[String]) -> String {
    let wrong = if hangs.is_empty() { status::obstacles(snapshot) } else { hangs.to_vec() };
    let text = match wrong.as_slice() {
        [] => {
            let sum = |of: fn(&Counts) -> u64| -> u64 {
                snapshot.routes.iter().map(|route| of(&route.counts)).sum()
            };
            format!(
                "ready; read {}, delivered {}, dead letters {}",
                sum(|counts| counts.read),
                sum(|counts| counts.delivered),
                sum(|counts| counts.dead_lettered)
            )
        }
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NOTIFY_STATUS_CHARS_MAX).collect()
}

struct Channel {
    name: OsString,
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Channel {
    fn open(name: &OsStr) -> Result<Channel> {
        let failed = |error: io::Error| Channel::error(name, &error);
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
            [b'/', ..] => SocketAddr::from_pathname(name),
            _ => {
                return Err(
                    Error::new("it is neither a path nor an abstract name").context(Channel::intent(name))
                );
            }
        };
        let address = address.map_err(failed)?;
        let socket = UnixDatagram::unbound().map_err(failed)?;
        socket.set_write_timeout(Some(NOTIFY_WAIT_MAX)).map_err(failed)?;
        Ok(Channel { name: name.to_owned(), socket, address })
    }

    fn send(&self, message: &str) -> Result<()> {
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.address);
        sent.map(|_| ()).map_err(|error| Channel::error(&self.name, &error))
    }

    fn error(name: &OsStr, error: &io::Error) -> Error {
        Error::new(io_text(error)).context(Channel::intent(name))
    }

    fn intent(name: &OsStr) -> String {
        format!("tell the service manager at NOTIFY_SOCKET={}", name.to_string_lossy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::snapshot::{Busy, RoutePart};
    use crate::observe::testing::{NOW, incident, route, snapshot};
    use crate::testing::folder;

    #[test]
    fn ready_is_said_once_after_the_first_page() {
        let mut news = News::default();
        let mut now = snapshot(vec![route("power"), route("audit")]);
        for route in &mut now.routes {
            route.counts.pages = 0;
            route.link.connected = false;
        }
        let waiting = news.of(&now);
        assert_eq!(
            waiting,
            "STATUS=route power: source vc01 is not connected yet to https://vc01/sdk (and 1 more)\n"
        );
        assert_eq!(news.of(&now), "", "the same is no news");

        now.routes[1].counts.pages = 1;
        assert_eq!(news.of(&now), "READY=1\n");
        now.routes = vec![route("power")];
        assert_eq!(news.of(&now), "STATUS=ready; read 1000, delivered 900, dead letters 3\n");
        now.routes[0].incidents = vec![incident(RoutePart::Source, NOW - 5)];
        assert!(news.of(&now).starts_with("STATUS=route power: source: it failed: do this"));
    }

    #[test]
    fn watchdog_is_fed_unless_a_thread_hangs() {
        let mut news = News { feeds: true, ..News::default() };
        let mut now = snapshot(vec![route("power"), route("audit")]);
        assert!(news.of(&now).contains("WATCHDOG=1\n"));
        assert_eq!(news.of(&now), "WATCHDOG=1\n", "a watchdog wants to be fed again");
        let time_max = now.routes[1].busy.time_max;
        now.routes[1].busy = Busy { role: "worker", time: time_max + Duration::from_secs(1), time_max };
        let hanging = news.of(&now);
        assert!(
            !hanging.contains("WATCHDOG") && hanging.contains("route audit: a worker has been"),
            "{hanging}"
        );

        let second = Some(1_000_000);
        assert_eq!(watchdog(second, Some(7), 7), Some(Duration::from_secs(1)));
        assert_eq!(watchdog(second, None, 7), Some(Duration::from_secs(1)));
        assert_eq!(watchdog(second, Some(8), 7), None, "it is that of another process");
        assert_eq!(watchdog(Some(0), Some(7), 7), None);
        assert_eq!(watchdog(None, Some(7), 7), None);
    }

    #[test]
    fn messages_reach_paths_and_abstract_names() {
        let folder = folder("notify");
        let path = folder.path().join("socket");
        let by_path = UnixDatagram::bind(&path).unwrap();
        let abstract_name = format!("event-router-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (socket, name) in
            [(by_path, path.into_os_string()), (by_name, format!("@{abstract_name}").into())]
        {
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            Channel::open(&name).unwrap().send("READY=1\n").unwrap();
            let mut bytes = [0; 64];
            let count = socket.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..count], b"READY=1\n");
        }
    }

    #[test]
    fn a_manager_that_is_gone_or_none_is_survived() {
        let folder = folder("notify-gone");
        let gone = folder.path().join("socket");
        let error = Channel::open(gone.as_os_str()).unwrap().send("READY=1\n").unwrap_err().to_string();
        assert!(error.starts_with("tell the service manager at NOTIFY_SOCKET=/"), "{error}");
        assert!(Channel::open(OsStr::new("vsock:2:1234")).is_err());
        let mut nobody = ServiceManager::none();
        nobody.tell(|| unreachable!("nobody listens"));
        assert_eq!(nobody.interval(), SUMMARY_INTERVAL);
    }
}
