//! Several sources and processors in one process: one that hangs holds up no other.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::support::Test;
use crate::support::peers::{Receiver, Vcsim};

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn sink_that_hangs_holds_up_no_other_route() {
    let test = Test::new("isolation");
    let vcenters = [Vcsim::start(1, false), Vcsim::start(1, true)];
    let hanging = Receiver::start(&test, "hanging", &["--hang"]);
    let good = Receiver::start(&test, "good", &[]);
    let file = [
        "shutdown_grace = \"1s\"\n".to_string(),
        vcenters[0].source("vc01"),
        vcenters[1].source("vc02"),
        hanging.processor("hanging", "binary"),
        good.processor("good", "structured"),
    ];
    test.write("router.toml", &file.concat());
    let mut router = test.start(&["run", "-c", "router.toml"]);
    for source in ["vc01", "vc02"] {
        for processor in ["hanging", "good"] {
            router.log_line(&["reading", source, processor]);
        }
    }

    for round in 0..4 {
        for vcsim in &vcenters {
            vcsim.power(round % 2 == 1, &[&vcsim.machines()[0]]);
        }
    }
    let urls: HashSet<&str> = vcenters.iter().map(|vcsim| vcsim.url.as_str()).collect();
    for url in urls {
        good.wait("all operations of both vCenters", |events| {
            let of_this = events.iter().filter(|event| event.source == url);
            4 <= of_this.filter(|event| event.subject.starts_with("VmPowered")).count()
        });
    }
    assert!(hanging.received().iter().any(|event| event.status == 0), "the other sink was tried");

    let begin = Instant::now();
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(8), "stopping took {:?}", begin.elapsed());
    for vcsim in &vcenters {
        assert_eq!(vcsim.session_agents(), [""; 0], "the router has logged out");
    }
}
