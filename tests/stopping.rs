//! How the router ends, whatever it is doing.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use event_router::demo::record::Draft;
use event_router::demo::script::{Effect, Rule};
use event_router::demo::simulator::{Settings, Simulator};

use crate::support::process::Process;
use crate::support::stream::{HANG, Stream};
use crate::support::{SOON, Test, wait_for};

/// Far more than a test waits: the router must end without using it up.
const LONG_GRACE: &str = "shutdown_grace = \"10m\"";
/// Soon over: where something hangs, the router must end by it.
const SHORT_GRACE: &str = "shutdown_grace = \"1s\"";
/// The short grace, and what a loaded machine may add to it.
const SHORT_GRACE_LOADED: Duration = Duration::from_secs(10);

/// Of an event that fills the queue soon.
const EVENT_BYTES: usize = 16 * 1024;

/// A router in the middle of a delivery to a sink that never answers.
struct Stuck {
    router: Process,
    simulator: Simulator,
    _connection: TcpStream,
    _test: Test,
}

fn stuck(grace: &str) -> Stuck {
    let test = Test::new("stopping");
    let simulator = Simulator::start(Settings::default()).unwrap();
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    test.write(
        "router.toml",
        &format!(
            "shutdown_grace = \"{grace}\"\n[source.vc]\ntype = \"vcenter\"\naddress = \"{}\"\n\
             username = \"{}\"\npassword = \"{}\"\n[processor.sink]\ntype = \"knative\"\nuri = \"http://{}/\"\n",
            simulator.url(),
            simulator.username(),
            simulator.password(),
            sink.local_addr().unwrap()
        ),
    );
    let mut router = test.start(&["run"]);
    router.log_line(&["reading"]);
    simulator.push_many([Draft::vm("VmPoweredOnEvent", "web-1", "vm-1")]);
    let (connection, _) = sink.accept().unwrap();
    Stuck { router, simulator, _connection: connection, _test: test }
}

#[test]
fn grace_ends_the_wait_for_a_sink_and_the_session_is_closed() {
    // Two at once are one wish: `timeout` signals the process and its group.
    let Stuck { router, simulator, .. } = &mut stuck("1s");
    router.signal("TERM INT");
    router.log_line(&["stopping"]);
    let code = wait_for("the end", SOON, || router.has_ended());
    assert_eq!(code, Some(0), "{:?}", router.stderr());
    router.log_line(&["the time of grace is over"]);
    assert_eq!(simulator.open_sessions(), 0);
}

#[test]
fn later_signal_ends_at_once() {
    let Stuck { router, .. } = &mut stuck("10m");
    router.signal("TERM");
    router.log_line(&["stopping"]);
    let code = wait_for("the end", SOON, || {
        let ended = router.has_ended();
        if ended.is_none() {
            router.signal("TERM");
        }
        ended
    });
    assert_eq!(code, Some(1), "{:?}", router.stderr());
    router.log_line(&["second signal"]);
}

#[test]
fn idle_router_ends_at_once() {
    let stream = Stream::with("idle", Settings::default(), LONG_GRACE, "");
    let router = stream.start();
    assert!(stream.simulator.wait_until(SOON, |vc| 0 < vc.calls("WaitForUpdatesEx")), "no long poll");
    stream.stop("long poll", router);
    assert_eq!(stream.simulator.counts().logouts, 1);
}

#[test]
fn waiting_for_vcenter_ends_at_once() {
    let mut stream = Stream::with("back-off", Settings::default(), LONG_GRACE, "");
    stream.simulator.take_down();
    let mut router = stream.test.start(&["run"]);
    router.log_line(&["trying again in"]);
    stream.stop("back-off", router);
}

#[test]
fn refused_login_ends_at_once() {
    let stream = Stream::with("refused", Settings::default(), LONG_GRACE, "");
    stream.simulator.set_password("another");
    let mut router = stream.test.start(&["run"]);
    router.log_line(&["InvalidLogin", "trying again in 180 s"]);
    stream.stop("login refused", router);
}

#[test]
fn waiting_retries_end_at_once_and_nothing_is_lost() {
    let stream = Stream::with("retrying", Settings::default(), LONG_GRACE, "");
    stream.sink_answers(503);
    let mut router = stream.start();
    let keys = stream.push(30);
    router.log_line(&["status 503", "trying again, next in"]);
    stream.stop("retrying", router);
    stream.sink_answers(202);
    let router = stream.start();
    stream.expect("after the restart", &keys);
    stream.stop("delivered", router);
}

#[test]
fn full_queue_ends_at_once_and_nothing_is_lost() {
    let stream = Stream::with("full", Settings::default(), LONG_GRACE, "");
    stream.sink_answers(503);
    let router = stream.start();
    // Many times the bytes that may wait.
    let large = |n: usize| {
        let mut draft = Draft::vm("VmPoweredOnEvent", &format!("web-{}", n % 9), &format!("vm-{}", n % 9));
        draft.message = "x".repeat(EVENT_BYTES);
        draft
    };
    let keys: Vec<i64> =
        stream.simulator.push_many((0..1000).map(large)).into_iter().map(i64::from).collect();
    let mut read = 0;
    wait_for("a pause in reading", SOON, || {
        std::thread::sleep(Duration::from_millis(300));
        let before = std::mem::replace(&mut read, stream.simulator.counts().events_read);
        (0 < read && before == read).then_some(())
    });
    let queued = (event_router::limits::QUEUE_BYTES_MAX / EVENT_BYTES / 2) as u64;
    assert!((queued..1000).contains(&read), "{read} events were read: the queue is not full");
    stream.stop("full queue", router);
    stream.sink_answers(202);
    let router = stream.start();
    stream.expect("after the restart", &keys);
    stream.stop("delivered", router);
}

#[test]
fn hanging_sink_holds_only_for_the_time_of_grace() {
    let stream = Stream::with("hanging", Settings::default(), SHORT_GRACE, "");
    stream.sink_answers(HANG);
    let router = stream.start();
    let keys = stream.push(100);
    assert!(stream.simulator.wait_until(SOON, |vc| 100 <= vc.counts().events_read), "nothing was read");
    ends_by_grace("hanging sink", router);
    stream.sink_answers(202);
    let router = stream.start();
    stream.expect("after the restart", &keys);
    stream.stop("delivered", router);
}

#[test]
fn hanging_vcenter_holds_only_for_the_time_of_grace() {
    for call in ["RetrieveServiceContent", "Login", "CreateCollectorForEvents", "ReadNextEvents"] {
        let stream = Stream::with("hanging", Settings::default(), SHORT_GRACE, "");
        stream.simulator.set_fault(Rule::always(call, Effect::Hang(None)));
        let router = stream.test.start(&["run"]);
        assert!(stream.simulator.wait_until(SOON, |vc| 0 < vc.calls(call)), "no {call}");
        ends_by_grace(call, router);
    }
}

#[test]
fn black_hole_holds_only_for_the_time_of_grace() {
    // Nobody accepts, and the backlog is full: a further SYN gets no answer.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(connection) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
        fill.push(connection);
        assert!(fill.len() < 100, "this backlog never fills");
    }
    let mut stream = Stream::with("hole", Settings::default(), SHORT_GRACE, "");
    stream.simulator.take_down();
    let configuration = std::fs::read_to_string(stream.test.path("router.toml")).unwrap();
    let url = format!("http://{address}/sdk");
    stream.test.write("router.toml", &configuration.replace(&stream.simulator.url(), &url));
    let mut router = stream.test.start(&["run"]);
    router.log_line(&["started: 1 route"]);
    ends_by_grace("black hole", router);
}

/// SIGTERM, and the end within the short time of grace and what a loaded machine adds.
#[track_caller]
fn ends_by_grace(what: &str, router: Process) {
    let begun = Instant::now();
    let exit = router.end_by("TERM");
    let taken = begun.elapsed();
    assert_eq!(exit.code, Some(0), "{what}: {}", exit.stderr);
    assert!(taken < SHORT_GRACE_LOADED, "{what}: it took {taken:?}: {}", exit.stderr);
}

/// It may only be that the first has not quite ended: the service manager is to try again.
#[test]
fn a_second_router_on_the_same_state_ends_with_1() {
    let stream = Stream::new("second-router", Settings::default());
    let router = stream.start();
    let second = stream.test.router(&["run"]);
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(second.stderr.contains("another router is running on it"), "{}", second.stderr);
    stream.stop("the first router", router);
}
