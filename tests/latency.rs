//! How long an event takes from vcsim to the receiver when nothing else happens.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::Test;
use crate::support::peers::{Receiver, Vcsim};

const OPERATIONS: usize = 100;
/// Far above what is promised: the machine may be busy with other tests.
const MEDIAN_SECONDS_MAX: f64 = 1.0;

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn single_operations_arrive_at_once() {
    let test = Test::new("latency");
    let vcsim = Vcsim::start(1, false);
    let receiver = Receiver::start(&test, "events", &[]);
    test.write("router.toml", &(vcsim.source("vc01") + &receiver.processor("sink", "binary")));
    let mut router = test.start(&["run", "-c", "router.toml"]);
    router.log_line(&["reading"]);

    let machine = &vcsim.machines()[0];
    let mut after_return = Vec::new();
    for operation in 1..=OPERATIONS {
        vcsim.power(operation % 2 == 0, &[machine]);
        let returned = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let powered = |subject: &str| subject.starts_with("VmPowered");
        let events = receiver.wait("the event of the operation", |events| {
            operation <= events.iter().filter(|event| powered(&event.subject)).count()
        });
        let event = events.iter().filter(|event| powered(&event.subject)).nth(operation - 1).unwrap();
        after_return.push(event.seconds - returned);
    }
    let created = receiver.accepted();
    let after_creation = created.iter().map(|event| event.seconds - event.created_seconds()).collect();
    assert_eq!(router.end_by("TERM").code, Some(0));

    let report = [("govc's return", after_return), ("the event's creation", after_creation)];
    for (since, mut seconds) in report {
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| seconds[((seconds.len() - 1) as f64 * share) as usize];
        // Not through the macros, whose output the test runner keeps to itself.
        let _ = writeln!(
            std::io::stderr(),
            "latency from {since} to the receiver, {} events: median {:.1} ms, p90 {:.1} ms, largest {:.1} ms",
            seconds.len(),
            at(0.5) * 1e3,
            at(0.9) * 1e3,
            at(1.0) * 1e3
        );
        assert!(at(0.5) < MEDIAN_SECONDS_MAX);
    }
}
