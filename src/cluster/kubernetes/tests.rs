//! What an API server may answer, and what becomes of it.

use std::time::Duration;

use super::super::lease::Record;
use super::*;
use crate::http::server::{Answer, Reply as Told, Server, ServerSettings};
use crate::testing::folder;

/// An engine whose server gives every request this answer.
fn engine(answer: Answer) -> (KubernetesEngine, Server) {
    let folder = folder("engine-answers");
    let told = move |_: &_| Told::Answer(answer.clone());
    let server = Server::start("127.0.0.1:0", ServerSettings::default(), told).unwrap();
    let path = folder.path().join("kubeconfig");
    let text = format!(
        "clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, namespace: n}}}}]\n\
         current-context: c\n",
        server.address()
    );
    std::fs::write(&path, text).unwrap();
    let access = kubeconfig::read(&path).unwrap();
    let engine = KubernetesEngine {
        cluster: Cluster::with_connections(&access, CLUSTER_CONNECTIONS_MAX).unwrap(),
        namespace: access.namespace,
        names: Names { cluster: "default".to_string() },
        wait: CLUSTER_CALL_WAIT_MAX,
        listed: Mutex::default(),
    };
    (engine, server)
}

fn status(status: u16) -> Answer {
    let body = format!(r#"{{"kind":"Status","code":{status},"message":"of {status}"}}"#);
    Answer::new(status, "application/json", body)
}

/// Every call on a route: reading and writing its lease and its record, with a version and without.
fn calls() -> Vec<Call> {
    let version = Some(Version { uid: "u".into(), number: "9".into() });
    let lease = Lease { holder: "a".into(), lasts: Duration::from_secs(15), term: 1 };
    let record = Record { holder: "a".into(), term: 1, lasts: Duration::from_secs(15), text: None };
    vec![
        Call::ReadLease,
        Call::ReadRecord,
        Call::WriteLease(None, lease.clone()),
        Call::WriteLease(version.clone(), lease),
        Call::WriteRecord(None, record.clone()),
        Call::WriteRecord(version, record),
    ]
}

#[test]
fn a_server_that_has_too_much_to_do_is_not_asked_before_the_time_it_names() {
    for code in [429, 503] {
        for (header, seconds) in [("7", 7), ("", 0), ("soon", 0), ("-1", 0), ("99999999999999999999", 0)] {
            let (engine, _server) = engine(status(code).header("retry-after", header));
            for call in calls() {
                let trouble = engine.ask(&Subject::Route("r".into()), &call).unwrap_err();
                let text = trouble.error.to_string();
                assert_eq!(trouble.wait, Duration::from_secs(seconds), "{header:?}: {text}");
                assert_eq!(trouble.reason, code.to_string());
                assert!(text.ends_with(&format!("status {code}: of {code}")), "{text}");
            }
            let trouble = engine.list().unwrap_err();
            assert_eq!((trouble.reason, trouble.wait.as_secs()), (code.to_string().as_str(), seconds));
        }
    }
}

#[test]
fn a_refusal_tells_nothing_of_what_is_stored() {
    for code in [400, 401, 403, 405, 410, 422, 500, 502, 504] {
        let (engine, _server) = engine(status(code));
        for call in calls() {
            let trouble = engine.ask(&Subject::Route("r".into()), &call).unwrap_err();
            assert_eq!(trouble.reason, code.to_string(), "{call:?}");
            let hint = "the role of the router's account in n must allow it";
            assert_eq!(trouble.error.to_string().contains(hint), code == 403, "{}", trouble.error);
        }
        assert!(engine.list().is_err(), "{code}");
    }
}

#[test]
fn only_404_and_409_say_that_the_state_is_another() {
    let (gone, _server) = engine(status(404));
    let (changed, _other) = engine(status(409));
    for call in calls() {
        let ask = |engine: &KubernetesEngine| engine.ask(&Subject::Route("r".into()), &call);
        let expected = match &call {
            Call::ReadLease => Some(Reply::Lease(None)),
            Call::ReadRecord => Some(Reply::Record(None)),
            // There is no namespace.
            Call::WriteLease(None, _) | Call::WriteRecord(None, _) => None,
            Call::WriteLease(Some(_), _) | Call::WriteRecord(Some(_), _) => Some(Reply::Changed),
        };
        assert_eq!(ask(&gone).ok(), expected, "{call:?}");
        let is_write = matches!(call, Call::WriteLease(..) | Call::WriteRecord(..));
        match ask(&changed) {
            Ok(reply) => assert!(is_write && reply == Reply::Changed, "{call:?}"),
            Err(trouble) => assert!(!is_write && trouble.reason == "malformed", "{call:?}"),
        }
    }
}
