//! Shows the registry over HTTP. Everything is answered from memory: it makes no difference to an
//! answer whether sources and sinks hang.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::registry::Registry;
use super::snapshot::Snapshot;
use super::status::Detail;
use super::{expvar, metrics, page, status};
use crate::config::MetricsConfig;
use crate::error::{Context, Error, Result};
use crate::http::server::guard::{Guard, ServerAuth};
use crate::http::server::{Answer, InRequest, Reply, Server, ServerSettings};
use crate::limits::{
    BIND_RETRY_INTERVAL, OBSERVE_BODY_BYTES_MAX, OBSERVE_CONNECTIONS_MAX, OBSERVE_HEADER_BYTES_MAX,
    OBSERVE_WAIT_MAX,
};

const TARGET: &str = "metrics";

/// The query of `/readyz` that leaves the routes out, in the words of Kubernetes' own servers.
const EXCLUDE_ROUTES: &str = "exclude=routes";

/// A server that listens. Dropping it stops it.
pub struct ObserveServer {
    server: Server,
}

impl ObserveServer {
    /// Listens and shows the registry.
    ///
    /// # Errors
    /// When the address cannot be listened on, or the credentials cannot be read.
    pub fn start(config: &MetricsConfig, registry: Arc<Registry>) -> Result<ObserveServer> {
        let guard =
            config.auth.clone().map(ServerAuth::Basic).map(Guard::new).transpose().context(|| "metrics")?;
        let settings = ServerSettings {
            connections_max: OBSERVE_CONNECTIONS_MAX,
            header_bytes_max: OBSERVE_HEADER_BYTES_MAX,
            body_bytes_max: OBSERVE_BODY_BYTES_MAX,
            head_wait_max: OBSERVE_WAIT_MAX,
            body_wait_max: OBSERVE_WAIT_MAX,
            write_wait_max: OBSERVE_WAIT_MAX,
            ..ServerSettings::default()
        };
        let handler = move |request: &InRequest| {
            let asked = Asked {
                method: &request.method,
                path: request.path(),
                query: request.query(),
                authorization: request.header("authorization"),
            };
            Reply::Answer(answer(&asked, guard.as_ref(), || registry.snapshot()))
        };
        let server = Server::start(&config.bind, settings, handler)
            .map_err(|error| Error::new(format!("{error}: set another `bind`, or stop what uses this one")))
            .context(|| "[metrics]")?;
        Ok(ObserveServer { server })
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.server.address()
    }
}

/// The server of a configuration, listening as soon as its address can be listened on: one that is in
/// use, or not there yet at boot, is no reason to keep events waiting.
pub(crate) struct PageServer {
    config: MetricsConfig,
    registry: Arc<Registry>,
    server: Option<ObserveServer>,
    due: Instant,
}

impl PageServer {
    /// Tries to listen.
    pub(crate) fn start(config: MetricsConfig, registry: Arc<Registry>) -> PageServer {
        let mut page = PageServer { config, registry, server: None, due: Instant::now() };
        if let Err(error) = page.listen() {
            let seconds = BIND_RETRY_INTERVAL.as_secs();
            log::error!(target: TARGET, "{error}; the routes run without it, trying again every {seconds} s");
        }
        page
    }

    /// Tries again where that is due; the first failure was said.
    pub(crate) fn retry(&mut self) {
        if self.server.is_none()
            && self.due <= Instant::now()
            && let Err(error) = self.listen()
        {
            log::debug!(target: TARGET, "{error}");
        }
    }

    /// How long until that is due; none when it listens.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.server.is_none().then(|| self.due.saturating_duration_since(Instant::now()))
    }

    fn listen(&mut self) -> Result<()> {
        self.due = Instant::now() + BIND_RETRY_INTERVAL;
        let server = ObserveServer::start(&self.config, self.registry.clone())?;
        log::info!(target: TARGET, "starting metrics server, listening on http://{}/", server.address());
        self.server = Some(server);
        Ok(())
    }
}

/// What matters of a request.
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    authorization: Option<&'a str>,
}

/// Whether the process lives and is ready may be asked by everybody: those who ask it, such as a
/// kubelet, often have no credentials. Why it is not ready is told in full to those who may see
/// everything else.
fn answer(asked: &Asked<'_>, guard: Option<&Guard>, snapshot: impl FnOnce() -> Snapshot) -> Answer {
    let answer = match asked.path {
        "/livez" | "/healthz" => verdict("alive", &status::hangs(&snapshot())),
        "/readyz" => {
            let is_stranger = guard.is_some_and(|guard| !guard.admits(asked.authorization));
            let detail = if is_stranger { Detail::Class } else { Detail::Full };
            let mut snapshot = snapshot();
            // For whom this router is a member that counts, however its sources and sinks are.
            if asked.query == EXCLUDE_ROUTES {
                snapshot.routes.clear();
            }
            match &status::obstacles_in(&snapshot, detail)[..] {
                [] => Answer::text(
                    200,
                    &[vec!["ready".to_string()], status::behind(&snapshot)].concat().join("\n"),
                ),
                problems => verdict("ready", problems),
            }
        }
        "/" | "/status" | "/metrics" | "/stats" => match guard {
            None => shown(asked, &snapshot()),
            Some(guard) => {
                let answer = match guard.admits(asked.authorization) {
                    true => shown(asked, &snapshot()),
                    false => Answer::new(401, "text/plain; charset=utf-8", "invalid credentials"),
                };
                // The Go router sent it with good answers too.
                answer.header("WWW-Authenticate", "Basic realm=\"Restricted\"")
            }
        },
        _ => Answer::text(404, "try /, /status, /metrics, /stats, /livez, /readyz or /healthz"),
    };
    // The Go router took any method for its statistics.
    if matches!(asked.method, "GET" | "HEAD") || asked.path == "/stats" {
        answer.header("Cache-Control", "no-store").header("X-Content-Type-Options", "nosniff")
    } else {
        Answer::text(405, "only GET and HEAD").header("Allow", "GET, HEAD")
    }
}

fn verdict(good: &str, problems: &[String]) -> Answer {
    if problems.is_empty() {
        return Answer::text(200, good);
    }
    Answer::text(503, &format!("not {good}\n{}", problems.join("\n")))
}

fn shown(asked: &Asked<'_>, snapshot: &Snapshot) -> Answer {
    match asked.path {
        "/metrics" => Answer::new(200, metrics::CONTENT_TYPE, metrics::text(snapshot)),
        "/stats" => Answer::new(200, expvar::CONTENT_TYPE, expvar::text(snapshot)),
        "/status" => Answer::new(200, "application/json", status::json(snapshot)),
        _ => Answer::new(200, "text/html; charset=utf-8", page::html(snapshot, asked.query == page::ALL))
            .header("Content-Security-Policy", page::SECURITY_POLICY),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::config::BasicAuth;
    use crate::config::secret::Secret;
    use crate::observe::snapshot::{Phase, RoutePart};
    use crate::observe::testing::{NOW, incident, route, snapshot};
    use crate::testing::folder;

    fn ask(method: &str, path: &str, guard: Option<&Guard>, authorization: Option<&str>) -> Answer {
        let mut snapshot = snapshot(vec![route("power")]);
        snapshot.routes[0].incidents = vec![incident(RoutePart::Source, NOW - 5)];
        answer(&Asked { method, path, query: "", authorization }, guard, || snapshot)
    }

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn every_address_answers_in_its_form() {
        for (path, status, ty, begin) in [
            ("/", 200, "text/html; charset=utf-8", "<!DOCTYPE html>"),
            ("/status", 200, "application/json", "{\n  \"state\": \"not ready\""),
            ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", "# HELP router_events_read_total"),
            ("/stats", 200, "application/json; charset=utf-8", "{\n\"cmdline\": "),
            ("/livez", 200, "text/plain; charset=utf-8", "alive\n"),
            ("/healthz", 200, "text/plain; charset=utf-8", "alive\n"),
            (
                "/readyz",
                503,
                "text/plain; charset=utf-8",
                "not ready\nroute power: source: it failed: do this",
            ),
            ("/metricsx", 404, "text/plain; charset=utf-8", "try /"),
        ] {
            let answer = ask("GET", path, None, None);
            let body = String::from_utf8(answer.body.clone()).unwrap();
            assert_eq!((answer.status, header(&answer, "Content-Type")), (status, Some(ty)), "{path}");
            assert!(body.starts_with(begin), "{path}: {body}");
            assert_eq!(header(&answer, "Cache-Control"), Some("no-store"));
            assert_eq!(header(&answer, "WWW-Authenticate"), None);
        }
        assert!(header(&ask("GET", "/", None, None), "Content-Security-Policy").is_some());
        assert_eq!(ask("HEAD", "/metrics", None, None).status, 200);
        assert_eq!(ask("POST", "/metrics", None, None).status, 405);
        assert_eq!(ask("POST", "/stats", None, None).status, 200);
    }

    #[test]
    fn a_member_is_ready_as_long_as_it_sees_the_others() {
        let ask = |query, path, unseen| {
            let mut snapshot = snapshot(vec![route("power")]);
            snapshot.routes[0].incidents = vec![incident(RoutePart::Source, NOW - 5)];
            snapshot.cluster = Some(crate::observe::testing::cluster());
            snapshot.cluster.as_mut().unwrap().unseen = unseen;
            let answer =
                answer(&Asked { method: "GET", path, query, authorization: None }, None, || snapshot);
            (answer.status, String::from_utf8(answer.body).unwrap())
        };
        let second = Duration::from_secs(1);
        assert_eq!(ask("exclude=routes", "/readyz", Some(second)).0, 200);
        assert_eq!(ask("", "/readyz", Some(second)).0, 503);
        let (status, text) = ask("exclude=routes", "/readyz", Some(second * 16));
        assert_eq!((status, &*text), (503, "not ready\ncluster: the other routers were not seen for 16 s\n"));
        assert!(ask("exclude=routes", "/readyz", None).1.contains("were not seen yet"));
        assert!(ask("", "/", Some(second)).1.contains("<span class=\"badge good\">a: r-0</span>"));
        let status: serde_json::Value = serde_json::from_str(&ask("", "/status", Some(second)).1).unwrap();
        assert_eq!(status["cluster"]["routes"][1]["owner"], "r-1");
    }

    #[test]
    fn ready_before_the_routes_run_and_while_they_stop_is_no() {
        for (phase, text) in
            [(Phase::Starting, "not ready\nstarting\n"), (Phase::Stopping, "not ready\nstopping\n")]
        {
            let mut snapshot = snapshot(Vec::new());
            snapshot.phase = phase;
            let asked = Asked { method: "GET", path: "/readyz", query: "", authorization: None };
            let answer = answer(&asked, None, || snapshot);
            assert_eq!((answer.status, answer.body.as_slice()), (503, text.as_bytes()));
        }
    }

    #[test]
    fn the_account_is_asked_for_what_is_not_for_everybody() {
        let folder = folder("guard");
        let path = folder.path().join("password");
        std::fs::write(&path, "a:b\n").unwrap();
        let auth = BasicAuth {
            username: Secret::Literal("prometheus".into()),
            password: Secret::File(path.clone()),
        };
        let guard = Guard::new(ServerAuth::Basic(auth)).unwrap();
        let with = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let status = |path, authorization: Option<&str>| ask("GET", path, Some(&guard), authorization).status;
        let good = with("prometheus:a:b");
        for path in ["/", "/status", "/metrics", "/stats"] {
            assert_eq!(status(path, Some(&good)), 200);
            for bad in ["prometheus:a:", "prometheus", "", "Prometheus:a:b", "prometheus:a:b\n"] {
                assert_eq!(status(path, Some(&with(bad))), 401, "{bad}");
            }
            for bad in ["Basic", "Basic %", "Bearer cHJvbWV0aGV1czphOmI=", ""] {
                assert_eq!(status(path, Some(bad)), 401, "{bad}");
            }
            let refused = ask("GET", path, Some(&guard), None);
            assert_eq!(refused.body, b"invalid credentials");
            assert_eq!(header(&refused, "WWW-Authenticate"), Some("Basic realm=\"Restricted\""));
        }
        assert_eq!(status("/livez", None), 200);
        assert_eq!(status("/readyz", None), 503);
        let reasons = |authorization| {
            String::from_utf8(ask("GET", "/readyz", Some(&guard), authorization).body).unwrap()
        };
        let wrong = with("prometheus:a");
        for stranger in [None, Some("Basic %"), Some(&wrong)] {
            assert_eq!(reasons(stranger), "not ready\nroute power: source: 503\n");
        }
        assert!(reasons(Some(&good)).starts_with("not ready\nroute power: source: it failed: do this; "));

        std::fs::write(&path, "new").unwrap();
        assert_eq!(status("/metrics", Some(&good)), 401, "a rotated secret is good at once");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(status("/metrics", Some(&with("prometheus:new"))), 200, "the last good one stays");
    }
}
