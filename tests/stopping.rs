//! How the router ends when a sink does not answer.

use std::net::{TcpListener, TcpStream};

use event_router::demo::record::Draft;
use event_router::demo::simulator::{Settings, Simulator};

use crate::support::process::Process;
use crate::support::{SOON, Test, wait_for};

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
