//! The processor `knative`: posts CloudEvents to a Knative destination, or to any endpoint that
//! speaks the CloudEvents HTTP binding.
//!
//! Which answers are worth another attempt follows the data plane contract of Knative Eventing
//! (`specs/eventing/data-plane.md`). Answers in the body of a 2xx are replies; we ask for none.

use std::time::Duration;

use crate::cloudevents::{self, CloudEvent};
use crate::config::{Encoding, KnativeConfig};
use crate::error::Result;
use crate::http::client::{Client, ClientSettings, Request, Response, SendError};
use crate::limits::{SINK_BODY_BYTES_MAX, WORKERS_MAX};
use crate::processor::answer;
use crate::processor::{Delivery, Failure, Processor, Retry, Verdict};

/// Posts each event to one address.
#[derive(Debug)]
pub struct Knative {
    client: Client,
    uri: String,
    encoding: Encoding,
    timeout: Duration,
    at_least_once: bool,
}

/// What a status means for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The event was accepted.
    Delivered,
    /// Not now.
    Later,
    /// Never: the same request will be refused again.
    Never,
}

/// Judges a status by the delivery contract of Knative, which wants redirects neither followed nor
/// tried again, and recommends to retry what it does not name.
pub fn classify_status(status: u16) -> Class {
    match status {
        200..=299 => Class::Delivered,
        // 425 is not in the contract; the name of the status asks for a repetition.
        404 | 408 | 409 | 425 | 429 => Class::Later,
        100..=499 => Class::Never,
        _ => Class::Later,
    }
}

impl Knative {
    /// A sender that has not connected yet. `at_least_once` allows to send a second time when a kept
    /// connection turns out to be closed.
    ///
    /// # Errors
    ///
    /// A proxy or TLS setting that cannot be used.
    pub fn new(config: &KnativeConfig, at_least_once: bool) -> Result<Knative> {
        let settings = ClientSettings { connection: &config.connection, connections_max: WORKERS_MAX };
        Ok(Knative {
            client: Client::new(&settings)?,
            uri: config.uri.clone(),
            encoding: config.encoding,
            timeout: config.timeout,
            at_least_once,
        })
    }

    fn send(&self, ce: &CloudEvent) -> std::result::Result<Response, SendError> {
        match self.encoding {
            Encoding::Binary => {
                let headers = cloudevents::binary_headers(ce);
                let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
                self.post(&headers, &ce.data)
            }
            Encoding::Structured => {
                let mut body = Vec::with_capacity(ce.data.len() + 512);
                cloudevents::write_json(ce, &mut body);
                self.post(&[("content-type", "application/cloudevents+json; charset=utf-8")], &body)
            }
        }
    }

    fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> std::result::Result<Response, SendError> {
        self.client.send(&Request {
            method: "POST",
            url: &self.uri,
            headers,
            body,
            timeout: self.timeout,
            body_bytes_max: SINK_BODY_BYTES_MAX,
            repeat_if_stale: self.at_least_once,
        })
    }

    fn judge(&self, answer: std::result::Result<Response, SendError>) -> Verdict {
        let failed =
            |retry, reason, detail| Verdict::failed(Failure { target: String::new(), retry, reason, detail });
        let response = match answer {
            Ok(response) => response,
            Err(error) => {
                return failed(answer::retry_of(&error), error.kind.reason(), error.to_string());
            }
        };
        let retry = match classify_status(response.status) {
            Class::Delivered => return Verdict::delivered(),
            Class::Later => Retry::Later { after: answer::retry_after_of(&response), unsent: false },
            Class::Never => Retry::Never,
        };
        let detail = answer::refusal("POST", &self.uri, &response);
        failed(retry, answer::status_reason(response.status), detail)
    }
}

impl Processor for Knative {
    fn deliver_wait_max(&self) -> Duration {
        self.timeout
    }

    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        for delivery in batch {
            verdicts.push(self.judge(self.send(&delivery.event.ce)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::mpsc;

    use super::*;
    use crate::config::ConnectionConfig;
    use crate::event::{Event, Lane, Position};
    use crate::http::testing::{TestServer, read_request, serve, serve_answer};

    fn knative(uri: String, encoding: Encoding, at_least_once: bool) -> Knative {
        let timeout = Duration::from_secs(20);
        let config = KnativeConfig { uri, encoding, timeout, connection: ConnectionConfig::default() };
        Knative::new(&config, at_least_once).unwrap()
    }

    fn delivery() -> Delivery {
        let ce = CloudEvent {
            id: "1".into(),
            source: "https://vc/sdk".into(),
            ty: "com.vmware.event.router/event".into(),
            subject: Some("Vm \u{e4}\"%".into()),
            time: Some("2026-01-02T03:04:05Z".into()),
            datacontenttype: Some("application/json".into()),
            data: br#"{"Key":1}"#.to_vec(),
            extensions: vec![("vsphereapiversion".into(), "8.0.3.0".into())],
        };
        let position = Position { key: 1, time: "2026-01-02T03:04:05Z".parse().unwrap() };
        Delivery {
            event: Event { position, lane: Lane::COMMON, ce, oddities: Vec::new() },
            attempts: 0,
            pending: Vec::new(),
        }
    }

    fn deliver(knative: &Knative) -> Verdict {
        let mut verdicts = Vec::new();
        knative.deliver(&[delivery()], &mut verdicts);
        assert_eq!(verdicts.len(), 1);
        verdicts.remove(0)
    }

    fn failure(knative: &Knative) -> Failure {
        let mut failures = deliver(knative).failures;
        assert_eq!(failures.len(), 1);
        failures.remove(0)
    }

    #[test]
    fn every_status_by_the_contract() {
        for status in 0..=u16::MAX {
            let expected = match status {
                200..300 => Class::Delivered,
                404 | 408 | 409 | 425 | 429 | 500..600 => Class::Later,
                100..200 | 300..500 => Class::Never,
                _ => Class::Later,
            };
            assert_eq!(classify_status(status), expected, "{status}");
        }
    }

    #[test]
    fn binary_request_on_the_wire() {
        let (sender, requests) = mpsc::channel();
        let server = serve(move |_, mut stream| {
            sender.send(read_request(&mut stream).unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 202 Accepted\r\n\r\n").unwrap();
        });
        let knative = knative(server.url("/ns/broker"), Encoding::Binary, true);
        assert_eq!(deliver(&knative), Verdict::delivered());
        let request = requests.recv().unwrap();
        assert!(request.head.starts_with("POST /ns/broker HTTP/1.1\r\n"), "{}", request.head);
        for (name, value) in [
            ("ce-specversion", Some("1.0")),
            ("ce-id", Some("1")),
            ("ce-source", Some("https://vc/sdk")),
            ("ce-type", Some("com.vmware.event.router/event")),
            ("ce-subject", Some("Vm%20%C3%A4%22%25")),
            ("ce-time", Some("2026-01-02T03:04:05Z")),
            ("ce-vsphereapiversion", Some("8.0.3.0")),
            ("content-type", Some("application/json")),
            ("ce-datacontenttype", None),
        ] {
            assert_eq!(request.header(name), value, "{name}");
        }
        assert_eq!(request.body, br#"{"Key":1}"#);
    }

    #[test]
    fn structured_request_on_the_wire() {
        let (sender, requests) = mpsc::channel();
        let server = serve(move |_, mut stream| {
            sender.send(read_request(&mut stream).unwrap()).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nreply").unwrap();
        });
        let knative = knative(server.url("/"), Encoding::Structured, true);
        assert_eq!(deliver(&knative), Verdict::delivered());
        let request = requests.recv().unwrap();
        assert_eq!(request.header("content-type"), Some("application/cloudevents+json; charset=utf-8"));
        assert_eq!(request.header("ce-id"), None);
        let mut expected = Vec::new();
        cloudevents::write_json(&delivery().event.ce, &mut expected);
        assert_eq!(request.body, expected);
    }

    #[test]
    fn refusals_carry_what_the_sink_said() {
        let later = |seconds| Retry::Later { after: Some(Duration::from_secs(seconds)), unsent: false };
        for (head, retry, reason, text) in [
            ("429 Slow\r\nRetry-After: 7", later(7), "429", "status 429: no such broker"),
            (
                "503 X\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT",
                later(0),
                "503",
                "status 503: no such broker",
            ),
            ("500 X", Retry::Later { after: None, unsent: false }, "500", "status 500: no such broker"),
            ("400 X", Retry::Never, "400", "status 400: no such broker"),
            (
                "307 X\r\nLocation: https://u:secret@login/x?token=secret",
                Retry::Never,
                "3xx",
                "status 307: no such broker (redirects to https://login/x?...; redirects are not followed)",
            ),
        ] {
            let server =
                serve_answer(format!("HTTP/1.1 {head}\r\nContent-Length: 15\r\n\r\nno such\r\nbroker"));
            let failure = failure(&knative(server.url("/b?token=secret"), Encoding::Binary, true));
            assert_eq!((failure.retry, failure.reason), (retry, reason));
            assert_eq!(failure.detail, format!("POST {}: {text}", server.url("/b?...")));
        }
    }

    #[test]
    fn without_an_answer_the_event_waits() {
        let closed = serve(|_, mut stream| {
            read_request(&mut stream);
        });
        let first = failure(&knative(closed.url("/"), Encoding::Binary, true));
        assert_eq!((first.retry, first.reason), (Retry::Later { after: None, unsent: false }, "broken"));
        let url = closed.url("/");
        drop(closed);
        let second = failure(&knative(url, Encoding::Binary, true));
        assert_eq!((second.retry, second.reason), (Retry::Later { after: None, unsent: true }, "connect"));
    }

    /// Connection 0 closes after reading its second request.
    fn stale_server() -> TestServer {
        serve(|number, mut stream| {
            read_request(&mut stream);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            while read_request(&mut stream).is_some() && 0 < number {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            }
        })
    }

    #[test]
    fn stale_connection_is_no_failure_at_least_once_and_is_one_at_most_once() {
        for at_least_once in [true, false] {
            let server = stale_server();
            let knative = knative(server.url("/"), Encoding::Binary, at_least_once);
            assert_eq!(deliver(&knative), Verdict::delivered());
            assert_eq!(deliver(&knative).failures.is_empty(), at_least_once);
            assert_eq!(deliver(&knative), Verdict::delivered());
            assert_eq!(server.connections(), 2);
        }
    }
}
