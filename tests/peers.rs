//! The peers themselves: if one of them misleads, every other test does.

use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::Test;
use crate::support::peers::{Receiver, Vcsim, validate};

#[test]
#[ignore = "needs vcsim: run tests/run"]
fn govc_changes_what_pyvmomi_reads() {
    for tls in [false, true] {
        let vcsim = Vcsim::start(1, tls);
        let machines = vcsim.machines();
        assert_eq!(machines, ["/DC0/vm/DC0_H0_VM0", "/DC0/vm/DC0_C0_RP0_VM0"]);
        let before = vcsim.events().last().expect("the inventory made events").key;
        vcsim.power(false, &[&machines[0]]);
        let new: Vec<String> = vcsim
            .events()
            .into_iter()
            .filter(|event| before < event.key && event.vm.is_some())
            .map(|event| format!("{} {}", event.ty, event.vm.unwrap()))
            .collect();
        assert_eq!(new, ["VmStoppingEvent DC0_H0_VM0", "VmPoweredOffEvent DC0_H0_VM0"]);
        assert_eq!(vcsim.session_agents(), [""; 0], "govc and pyvmomi log out");
        assert_eq!(vcsim.sha256.len(), if tls { 64 } else { 0 });
    }
}

#[test]
#[ignore = "needs the CloudEvents SDK: run tests/run"]
fn receiver_parses_and_answers_as_told() {
    let test = Test::new("receiver");
    let receiver = Receiver::start(&test, "events", &["--status", "503,200"]);
    let event = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"Key": 7}});
    let structured = "Content-Type: application/cloudevents+json\r\n";
    assert!(post(&receiver.url, structured, &event.to_string()).contains(" 503 "));
    assert!(post(&receiver.url, structured, &event.to_string()).contains(" 200 "));
    let binary = "Content-Type: application/json\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\n\
        ce-type: t\r\nce-subject: a%20b\r\n";
    assert!(post(&receiver.url, binary, "{\"Key\":8}").contains(" 204 "));
    let received = receiver.received();
    assert_eq!(received.iter().map(|event| event.key()).collect::<Vec<_>>(), [7, 7, 8]);
    assert_eq!(received[2].subject, "a b");
    assert_eq!(
        received.iter().map(|event| event.mode.as_str()).collect::<Vec<_>>(),
        ["structured", "structured", "binary"]
    );
    assert_eq!(receiver.accepted().len(), 2);
}

#[test]
#[ignore = "needs the CloudEvents SDK: run tests/run"]
fn event_without_id_is_refused() {
    let event = "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}\n";
    assert_eq!(validate(&event.repeat(2)), Ok(2));
    let refused = validate(&event.replace("\"id\":\"1\",", "")).unwrap_err();
    assert!(refused.starts_with("line 1: ValueError: required attributes not sent: ['id']"), "{refused}");
}

/// Posts to an `http://host:port/` and gives the status line.
fn post(url: &str, headers: &str, body: &str) -> String {
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_string()
}
