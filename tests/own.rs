//! What the router tells about itself, at a sink like a chat, by the sample that ships.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::simulator::Simulator;
use event_router::http::server::{Answer, Reply, Server, ServerSettings};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::api::{push, vcenter};
use crate::support::forwarder::Forwarder;
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

/// Keeps the router's own events, each once; what comes again has the same id.
struct News {
    server: Server,
    status: Arc<AtomicU16>,
    events: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl News {
    fn start() -> News {
        let (status, events) =
            (Arc::new(AtomicU16::new(202)), Arc::<Mutex<BTreeMap<String, Value>>>::default());
        let (answers, keeps) = (status.clone(), events.clone());
        let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
            let status = answers.load(Ordering::SeqCst);
            if status == 202 {
                let event: Value = serde_json::from_slice(&request.body).unwrap();
                keeps.lock().unwrap().insert(event["id"].as_str().unwrap().to_string(), event);
            }
            Reply::Answer(Answer::text(status, "ok"))
        });
        News { server: server.unwrap(), status, events }
    }

    /// The data of the events with this subject.
    fn all(&self, subject: &str) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        events
            .values()
            .filter(|event| event["subject"] == subject)
            .map(|event| event["data"].clone())
            .collect()
    }

    /// The data of the only event with this subject, when it has come.
    fn wait(&self, subject: &str, longest: Duration) -> Value {
        let found = wait_for(subject, longest, || Some(self.all(subject)).filter(|found| !found.is_empty()));
        assert_eq!(found.len(), 1, "told twice: {found:?}");
        found.into_iter().next().unwrap()
    }
}

/// A route from a vCenter at that address to a sink, and one that tells the news of it.
fn watched(simulator: &Simulator, address: &str, sink: &Sink, news: &News) -> String {
    format!(
        "[source.vc]\ntype = \"vcenter\"\naddress = \"{address}\"\nusername = \"{}\"\npassword = \"{}\"\n\
         [source.router]\ntype = \"self\"\n{}[processor.news]\ntype = \"http\"\nuri = \"http://{}/\"\n\
         [route.events]\nfrom = \"vc\"\nto = \"sink\"\n[route.news]\nfrom = \"router\"\nto = \"news\"\n",
        simulator.username(),
        simulator.password(),
        sink.processor("sink"),
        news.server.address(),
    )
}

#[test]
fn a_lost_vcenter_is_told_once_and_its_return_once_though_the_router_is_killed_in_between() {
    let (test, sink, news) = (Test::new("own-lost"), Sink::start(), News::start());
    let (simulator, _) = vcenter();
    let network = Forwarder::start(simulator.url().split('/').nth(2).unwrap());
    let address = format!("http://{}/sdk", network.address);
    test.write("router.toml", &watched(&simulator, &address, &sink, &news));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    network.take_down();
    let lost = news.wait("SourceLost", SOON);
    assert_eq!(
        (&lost["Route"], &lost["Source"], &lost["Processor"]),
        (&json!("events"), &json!("vc"), &json!("sink"))
    );
    assert!(lost["Reason"].as_str().unwrap().contains(&network.address), "{lost}");
    assert_eq!(router.end_by("KILL").code, None);
    network.bring_up();
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    push(&simulator, 1);
    let back = news.wait("SourceRecovered", SOON);
    assert_eq!(back["Begin"], lost["Since"], "{back}");
    assert!(back["End"].as_str().unwrap() > lost["Since"].as_str().unwrap(), "{back}");
    wait_for("both starts", SOON, || (news.all("Started").len() == 2).then_some(()));
    assert_eq!((news.all("SourceLost").len(), news.all("SourceStalled").len()), (1, 0));
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn a_gap_is_told_once_with_its_begin_and_end_though_the_router_is_killed_in_between() {
    let (test, sink, news) = (Test::new("own-gap"), Sink::start(), News::start());
    let (simulator, _) = vcenter();
    test.write("router.toml", &watched(&simulator, &simulator.url(), &sink, &news));
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let ago = [0, 1, 2, 3, 4, 5].map(|hours| now - SignedDuration::from_hours(hours));
    let machine = || Draft::vm("VmPoweredOnEvent", "web-1", "vm-1");
    simulator.push(machine().at(ago[5]));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    news.wait("Started", SOON);
    assert_eq!(router.end_by("TERM").code, Some(0));
    let moved = test.router(&["checkpoint", "set", "--route", "events", &ago[5].to_string()]);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    simulator.push_many([4, 2, 1].map(|hours| machine().at(ago[hours])));
    simulator.forget_before(ago[3]);
    // Nobody hears of it, and the router is killed.
    news.status.store(503, Ordering::SeqCst);
    let router = test.start(&["run"]);
    wait_for("a gap in the journal", SOON, || {
        let text = std::fs::read_to_string(test.path("state/self.events.jsonl")).unwrap();
        text.contains("\"Gap\"").then_some(())
    });
    assert_eq!(router.end_by("KILL").code, None);
    // As if it had been killed before the position was saved: the same gap is found again.
    test.router(&["checkpoint", "set", "--route", "events", &ago[5].to_string()]);
    news.status.store(202, Ordering::SeqCst);
    let mut router = test.start(&["run"]);
    router.log_line(&["gap: the source no longer has its events"]);
    let gap = news.wait("Gap", SOON);
    assert_eq!(
        (&gap["Begin"], &gap["End"]),
        (&json!(ago[5].to_string()), &json!(ago[2].to_string())),
        "{gap}"
    );
    assert_eq!((&gap["Route"], &gap["Source"], &gap["Count"]), (&json!("events"), &json!("vc"), &json!(1)));
    // What happens later comes behind it.
    assert_eq!(router.end_by("TERM").code, Some(0));
    let router = test.start(&["run"]);
    wait_for("both stops", SOON, || (news.all("Stopping").len() == 2).then_some(()));
    assert_eq!(news.all("Gap").len(), 1);
    assert_eq!(router.end_by("TERM").code, Some(0));
}

#[test]
fn a_vcenter_that_hides_events_is_told_once_and_its_return_once() {
    let (test, sink, news) = (Test::new("own-stall"), Sink::start(), News::start());
    let (simulator, _) = vcenter();
    test.write("router.toml", &watched(&simulator, &simulator.url(), &sink, &news));
    let mut router = test.start(&["run"]);
    router.log_line(&["reading VMware"]);
    simulator.script(|script| script.pages_stay_empty = true);
    push(&simulator, 1);
    // It is declared after two minutes.
    let stalled = news.wait("SourceStalled", 8 * SOON);
    assert!(stalled["Cure"].as_str().unwrap().contains("Read-only"), "{stalled}");
    simulator.script(|script| script.pages_stay_empty = false);
    let back = news.wait("SourceRecovered", 4 * SOON);
    assert_eq!((&back["Begin"], &back["Route"]), (&stalled["Since"], &json!("events")), "{back}");
    assert_eq!((news.all("SourceStalled").len(), news.all("SourceLost").len()), (1, 0));
    assert_eq!(router.end_by("TERM").code, Some(0));
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
