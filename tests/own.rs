//! What the router tells about itself, at a sink like a chat, by the sample that ships.

use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use serde_json::Value;

use crate::support::sender::Sender;
use crate::support::{SOON, Test, closed_port, wait_for};
use crate::webhook::Sink;

/// Takes messages, or refuses them.
struct Chat {
    server: Server,
    status: Arc<AtomicU16>,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Chat {
    fn start() -> Chat {
        let (status, messages) = (Arc::new(AtomicU16::new(200)), Arc::<Mutex<Vec<String>>>::default());
        let (answers, keeps) = (status.clone(), messages.clone());
        let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
            let status = answers.load(Ordering::SeqCst);
            if status == 200 {
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                keeps.lock().unwrap().push(body["text"].as_str().unwrap().to_string());
            }
            Reply::Answer(Answer::text(status, "ok"))
        });
        Chat { server: server.unwrap(), status, messages }
    }

    /// The message that has all of these words, when it has come; there is only one.
    fn wait(&self, words: &[&str]) -> String {
        let find = || {
            let messages = self.messages.lock().unwrap();
            let found: Vec<String> = messages
                .iter()
                .filter(|message| words.iter().all(|word| message.contains(word)))
                .cloned()
                .collect();
            assert!(found.len() <= 1, "told twice: {found:?}");
            found.into_iter().next()
        };
        wait_for(&format!("a message with {words:?}"), SOON, find)
    }
}

/// The shipped sample with a webhook in place of vCenter, a sink and a chat of the test.
fn configuration(sink: &Sink, chat: &Chat) -> String {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/config/samples/self-chat.toml");
    let sample = std::fs::read_to_string(sample).unwrap();
    let source = sample.find("[source.vc01]").unwrap()..sample.find("[source.router]").unwrap();
    let hook = "[source.vc01]\ntype = \"webhook\"\nbind = \"127.0.0.1:0\"\ntimeout = \"200ms\"\n";
    sample
        .replace(&sample[source], hook)
        .replace("/var/lib/event-router", "state")
        .replace(
            "{ file = \"$CREDENTIALS_DIRECTORY/chat.url\" }",
            &format!("\"http://{}/hook\"", chat.server.address()),
        )
        .replace(
            "http://broker-ingress.knative-eventing.svc.cluster.local/default/default",
            &format!("http://{}/", sink.server.address()),
        )
}

#[test]
fn a_chat_hears_once_what_happens_also_when_the_router_is_killed() {
    let (test, sink, chat) = (Test::new("own"), Sink::start(), Chat::start());
    test.write("router.toml", &configuration(&sink, &chat));
    let mut router = test.start(&["run"]);
    let sender = Sender::of(&mut router);
    chat.wait(&["Started: the router started"]);
    sink.answer(400);
    assert_eq!(sender.post("1", "{}").status, 200);
    chat.wait(&["DeadLettered: route events:", "dead letters (1)"]);
    sink.answer(503);
    assert_eq!(sender.post("2", "{}").status, 503);
    chat.wait(&["RouteFailing: route events: events cannot be delivered since", "503"]);
    sink.answer(202);
    wait_for("an acknowledgement", SOON, || (sender.post("2", "{}").status == 200).then_some(()));
    chat.wait(&["RouteRecovered: route events: it works again"]);

    // The chat is away while something happens, and the router is killed: it is told afterwards.
    chat.status.store(503, Ordering::SeqCst);
    sink.answer(500);
    assert_eq!(sender.post("3", "{}").status, 503);
    let journal = test.path("state/self.events.jsonl");
    wait_for("a second failure in the journal", SOON, || {
        let text = std::fs::read_to_string(&journal).unwrap();
        (text.matches("RouteFailing").count() == 2).then_some(())
    });
    assert_eq!(router.end_by("KILL").code, None);
    sink.answer(202);
    chat.messages.lock().unwrap().clear();
    chat.status.store(200, Ordering::SeqCst);
    let router = test.start(&["run"]);
    chat.wait(&["RouteFailing: route events", "500"]);
    chat.wait(&["Started: the router started; it was down from", "it was killed or crashed"]);
    assert_eq!(router.end_by("TERM").code, Some(0));
    chat.messages.lock().unwrap().clear();
    let router = test.start(&["run"]);
    chat.wait(&["Stopping: the router was told to stop"]);
    chat.wait(&["Started: ", "it had been told to stop"]);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let told = chat.messages.lock().unwrap().join("\n");
    assert!(!told.contains("route news"), "nothing about the route that carries it:\n{told}");
}

#[test]
fn a_source_that_is_lost_and_found_again_is_told() {
    let (test, sink, chat) = (Test::new("own-source"), Sink::start(), Chat::start());
    let port = closed_port();
    let horizon = format!(
        "[source.vc01]\ntype = \"horizon\"\naddress = \"http://127.0.0.1:{port}\"\ndomain = \"corp\"\nusername = \"svc\"\npassword = \"pass\"\n"
    );
    let file = configuration(&sink, &chat);
    let source = file.find("[source.vc01]").unwrap()..file.find("[source.router]").unwrap();
    test.write("router.toml", &file.replace(&file[source], &horizon));
    let router = test.start(&["run"]);
    chat.wait(&["SourceLost: route events: the source cannot be read since", &port.to_string()]);
    assert_eq!(router.end_by("TERM").code, Some(0));
}
