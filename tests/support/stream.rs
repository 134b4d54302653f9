//! A stream of events that a test can disturb anywhere: a simulated vCenter, a sink that does as it
//! is told, and a folder for the router between them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_router::demo::faults::{self, Step};
use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};
use event_router::http::server::{Answer, Reply, Server, ServerSettings};

use jiff::SignedDuration;

use super::process::Process;
use super::{SOON, Test, wait_for};

/// vCenter and sink, and what the sink has accepted.
pub struct Stream {
    /// The router's folder, with its `router.toml`.
    pub test: Test,
    /// The vCenter.
    pub simulator: Simulator,
    sink: Option<Server>,
    sink_address: String,
    answer: Arc<AtomicU16>,
    received: Arc<Mutex<BTreeMap<i64, u32>>>,
}

/// Instead of a status: the sink never answers.
pub const HANG: u16 = 0;

impl Stream {
    /// A stream whose sink accepts everything.
    pub fn new(name: &str, settings: Settings) -> Stream {
        Stream::with(name, settings, "", "")
    }

    /// The same with more lines at the top of `router.toml` and in its source.
    pub fn with(name: &str, settings: Settings, top: &str, source: &str) -> Stream {
        let simulator = Simulator::start(settings).unwrap();
        let mut stream = Stream {
            test: Test::new(name),
            simulator,
            sink: None,
            sink_address: "127.0.0.1:0".to_string(),
            answer: Arc::new(AtomicU16::new(202)),
            received: Arc::default(),
        };
        stream.sink_up();
        let simulator = &stream.simulator;
        let text = format!(
            "{top}\n[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\n\
             page_size = 50\n{source}\n[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n",
            simulator.url(),
            simulator.username(),
            simulator.password(),
            stream.sink_address
        );
        stream.test.write("router.toml", &text);
        stream
    }

    /// The router, reading.
    pub fn start(&self) -> Process {
        let mut router = self.test.start(&["run"]);
        router.log_line(&["reading VMware"]);
        router
    }

    /// What the sink answers from now on: a status, or [`HANG`].
    pub fn sink_answers(&self, status: u16) {
        self.answer.store(status, Ordering::Relaxed);
    }

    /// Nobody listens at the sink's address any more.
    pub fn sink_down(&mut self) {
        self.sink = None;
    }

    /// The sink listens (again).
    pub fn sink_up(&mut self) {
        let (received, answer) = (self.received.clone(), self.answer.clone());
        let sink = Server::start(&self.sink_address, ServerSettings::default(), move |request| {
            let status = answer.load(Ordering::Relaxed);
            if status == HANG {
                return faults::reply(vec![Step::Pause(None)]);
            }
            if status < 300 {
                let data: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
                *received.lock().unwrap().entry(data["Key"].as_i64().expect("a key")).or_default() += 1;
            }
            Reply::Answer(Answer::text(status, "as told"))
        })
        .unwrap();
        self.sink_address = sink.address().to_string();
        self.sink = Some(sink);
    }

    /// Records `count` events about nine machines; their keys.
    pub fn push(&self, count: usize) -> Vec<i64> {
        let machine =
            |n: usize| Draft::vm("VmPoweredOnEvent", &format!("web-{}", n % 9), &format!("vm-{}", n % 9));
        self.simulator.push_many((0..count).map(machine)).into_iter().map(i64::from).collect()
    }

    /// Records one event that is dated so far from vCenter's present; its key.
    pub fn push_dated(&self, ahead: SignedDuration) -> Vec<i64> {
        let time = self.simulator.now().checked_add(ahead).unwrap();
        let draft = Draft { time: Some(time), ..Draft::vm("VmPoweredOnEvent", "web-1", "vm-1") };
        self.simulator.push_many([draft]).into_iter().map(i64::from).collect()
    }

    /// Waits until all `keys` have come, however often.
    #[track_caller]
    pub fn expect_all(&self, what: &str, keys: &[i64]) {
        wait_for(what, SOON, || {
            let received = self.received.lock().unwrap();
            keys.iter().all(|key| received.contains_key(key)).then_some(())
        });
    }

    /// How many events the sink has accepted.
    pub fn accepted(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    /// Forgets what the sink has accepted.
    pub fn forget(&self) {
        self.received.lock().unwrap().clear();
    }

    /// Waits until all `keys` have come; none may have come twice.
    #[track_caller]
    pub fn expect(&self, what: &str, keys: &[i64]) {
        self.expect_within(what, SOON, keys);
    }

    /// The same with another patience.
    #[track_caller]
    pub fn expect_within(&self, what: &str, longest: Duration, keys: &[i64]) {
        wait_for(what, longest, || {
            let received = self.received.lock().unwrap();
            keys.iter().all(|key| received.contains_key(key)).then_some(())
        });
        let received = self.received.lock().unwrap();
        let repeated: Vec<_> = received.iter().filter(|(_, times)| 1 < **times).collect();
        assert!(repeated.is_empty(), "{what}: repeated: {repeated:?}");
    }

    /// Stops the router; the server must hold nothing of it. Gives the log.
    #[track_caller]
    pub fn stop(&self, what: &str, router: Process) -> String {
        let exit = router.end_by("TERM");
        assert_eq!(exit.code, Some(0), "{what}: {}", exit.stderr);
        assert!(self.simulator.wait_until(SOON, |vc| vc.open_sessions() == 0), "{what}: a session is left");
        exit.stderr
    }
}
