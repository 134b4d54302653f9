//! What a sink refuses for good is kept, and delivered with the same id by one command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};

use crate::support::{SOON, Test, wait_for};

const EVENTS: usize = 1000;

#[test]
fn one_in_a_thousand_is_refused_kept_and_redelivered() {
    let test = Test::new("dead-letters");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let accepted: Arc<Mutex<Vec<String>>> = Arc::default();
    let refused: Arc<Mutex<Option<String>>> = Arc::default();
    let mended = Arc::new(AtomicBool::new(false));
    let (seen, kept, is_mended) = (accepted.clone(), refused.clone(), mended.clone());
    let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |request| {
        let id = request.header("ce-id").unwrap_or_default().to_string();
        let data = String::from_utf8_lossy(&request.body).into_owned();
        if data.contains("\"web-666\"") && !is_mended.load(Ordering::SeqCst) {
            *kept.lock().unwrap() = Some(id);
            return Reply::Answer(Answer::text(400, "no such machine"));
        }
        seen.lock().unwrap().push(id);
        Reply::Answer(Answer::text(202, "ok"))
    })
    .unwrap();
    test.write(
        "router.toml",
        &format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
             [processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n",
            simulator.url(),
            simulator.username(),
            simulator.password(),
            server.address()
        ),
    );
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    simulator.push_many(
        (0..EVENTS).map(|n| Draft::vm("VmPoweredOnEvent", &format!("web-{n}"), &format!("vm-{n}"))),
    );
    let told = router.log_line(&["is a dead letter"]);
    assert!(told.contains("no such machine") && told.contains("vc-sink.dead-letters.jsonl"), "{told}");
    wait_for("the others", SOON, || (EVENTS - 1 <= accepted.lock().unwrap().len()).then_some(()));
    let id = refused.lock().unwrap().clone().expect("one was refused");

    let list = test.router(&["dead-letters", "list"]);
    assert_eq!((list.code, list.stdout.lines().count()), (Some(0), 1), "{list:?}");
    assert!(list.stdout.contains(&id) && list.stdout.contains("400"), "{list:?}");

    let again = test.router(&["dead-letters", "redeliver"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stdout.starts_with("FAILED"), "{again:?}");

    mended.store(true, Ordering::SeqCst);
    let again = test.router(&["dead-letters", "redeliver", "--route", "vc-sink"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(again.stdout, format!("delivered route vc-sink: VmPoweredOnEvent {id}\n"));
    assert_eq!(test.router(&["dead-letters", "list"]).stdout, "");

    assert_eq!(router.end_by("TERM").code, Some(0));
    let mut ids = accepted.lock().unwrap().clone();
    assert_eq!(ids.iter().filter(|accepted| **accepted == id).count(), 1);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), EVENTS);
    wait_for("logout", Duration::from_secs(10), || (simulator.open_sessions() == 0).then_some(()));
}

#[test]
fn a_signal_ends_a_redelivery_and_nothing_is_hidden() {
    let test = Test::new("dead-letters-signal");
    let (asked, go_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (has_asked, may_go_on) = (asked.clone(), go_on.clone());
    let server = Server::start("127.0.0.1:0", ServerSettings::default(), move |_| {
        has_asked.store(true, Ordering::SeqCst);
        wait_for("the signal", SOON, || may_go_on.load(Ordering::SeqCst).then_some(()));
        Reply::Answer(Answer::text(202, "ok"))
    })
    .unwrap();
    test.write(
        "router.toml",
        &format!(
            "[source.vc]\ntype = \"vcenter\"\naddress = \"127.0.0.1:9\"\nusername = \"u\"\npassword = \"p\"\n\
             [processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n",
            server.address()
        ),
    );
    let none = test.router(&["dead-letters", "list"]);
    assert!(none.code == Some(0) && none.stdout.is_empty(), "{none:?}");
    assert!(none.stderr.contains("no dead letters"), "{none:?}");

    let letter = |n: usize| {
        format!(
            "{{\"time\":\"2026-01-31T12:00:00Z\",\"route\":\"vc-sink\",\"reason\":\"400\",\"detail\":\"status 400\",\
             \"attempts\":1,\"event\":{{\"specversion\":\"1.0\",\"id\":\"id-{n}\",\"source\":\"https://vc/sdk\",\
             \"type\":\"com.vmware.event.router/event\",\"datacontenttype\":\"application/json\",\"data\":{{\"Key\":{n}}}}}}}\n"
        )
    };
    std::fs::create_dir_all(test.path("state")).unwrap();
    test.write("state/vc-sink.dead-letters.jsonl", &(1..=5).map(letter).collect::<String>());

    let mut redelivery = test.start(&["dead-letters", "redeliver"]);
    wait_for("the first letter", SOON, || asked.load(Ordering::SeqCst).then_some(()));
    let meanwhile = test.router(&["dead-letters", "list"]);
    assert_eq!(meanwhile.stdout.lines().count(), 5, "{meanwhile:?}");
    assert!(meanwhile.stderr.contains("5 dead letters: 5 by 400"), "{meanwhile:?}");

    redelivery.signal("INT");
    redelivery.log_line(&["SIGINT"]);
    go_on.store(true, Ordering::SeqCst);
    let exit = redelivery.wait_exit(SOON);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(exit.stderr.contains("4 dead letters not tried, kept in the file"), "{exit:?}");
    let left = test.router(&["dead-letters", "list"]);
    assert_eq!(left.stdout.lines().count(), 4, "{left:?}");
    let again = test.router(&["dead-letters", "redeliver"]);
    assert_eq!((again.code, again.stdout.lines().count()), (Some(0), 4), "{again:?}");
}
