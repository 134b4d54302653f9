//! The whole path against real peers: what vcsim recorded, the CloudEvents SDK receives.

use std::collections::{HashMap, HashSet};

use crate::support::Test;
use crate::support::peers::{Received, Receiver, Recorded, Vcsim};

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn power_operations_arrive_binary_over_http() {
    power_operations_arrive("binary", false);
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn power_operations_arrive_binary_over_https() {
    power_operations_arrive("binary", true);
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn power_operations_arrive_structured_over_http() {
    power_operations_arrive("structured", false);
}

#[test]
#[ignore = "needs vcsim and the CloudEvents SDK: run tests/run"]
fn power_operations_arrive_structured_over_https() {
    power_operations_arrive("structured", true);
}

/// Every virtual machine goes off and on three times.
fn power_operations_arrive(encoding: &str, tls: bool) {
    let test = Test::new("delivery");
    let vcsim = Vcsim::start(3, tls);
    let receiver = Receiver::start(&test, "events", if tls { &["--tls"] } else { &[] });
    test.write("router.toml", &(vcsim.source("vc01") + &receiver.processor("sink", encoding)));
    let mut router = test.start(&["run", "-c", "router.toml"]);
    router.log_line(&["reading"]);

    let machines = vcsim.machines();
    let machines: Vec<&str> = machines.iter().map(String::as_str).collect();
    assert_eq!(machines.len(), 6);
    for _ in 0..3 {
        vcsim.power(false, &machines);
        machines.iter().for_each(|machine| vcsim.power(true, &[machine]));
    }
    let (recorded, accepted) = receiver.wait_for_all(&vcsim);
    let exit = router.end_by("TERM");
    assert_eq!(exit.code, Some(0));

    let powered = accepted.iter().filter(|event| event.subject.starts_with("VmPowered")).count();
    assert_eq!(powered, 36, "every operation made its event");
    assert!(accepted.iter().all(|event| event.mode == encoding));
    none_missing_or_repeated(&recorded, &receiver.received());
    in_order_per_machine(&accepted);
    same_as_recorded(&recorded, &accepted);
    let warned = exit.stderr.contains("insecure = true");
    assert_eq!(warned, tls, "a warning about the certificate that is not verified");
    assert_eq!(vcsim.session_agents(), [""; 0], "the router has logged out");
}

/// Every recorded event was received exactly once. Between reading the record and the end of the
/// router more may have come: the logout of the reader itself.
fn none_missing_or_repeated(recorded: &[Recorded], received: &[Received]) {
    let keys: Vec<i64> = received.iter().map(Received::key).collect();
    let unique: HashSet<i64> = keys.iter().copied().collect();
    assert_eq!(keys.len(), unique.len(), "repeated: {keys:?}");
    let ids: HashSet<&str> = received.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), keys.len(), "ids are unique");
    let missing: Vec<_> = recorded.iter().filter(|event| !unique.contains(&event.key)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    let last = recorded.last().unwrap().key;
    let recorded: HashSet<i64> = recorded.iter().map(|event| event.key).collect();
    let invented: Vec<_> = unique.iter().filter(|key| **key <= last && !recorded.contains(key)).collect();
    assert!(invented.is_empty(), "not recorded: {invented:?}");
}

fn in_order_per_machine(accepted: &[Received]) {
    let mut last: HashMap<&str, i64> = HashMap::new();
    for event in accepted {
        let Some(machine) = event.vm() else { continue };
        let before = last.insert(machine, event.key());
        assert!(before < Some(event.key()), "{machine}: {} after {before:?}", event.key());
    }
    assert_eq!(last.len(), 6, "events of every machine: {last:?}");
}

/// The CloudEvents say what pyvmomi says.
fn same_as_recorded(recorded: &[Recorded], accepted: &[Received]) {
    for event in recorded {
        let found = accepted.iter().find(|found| found.key() == event.key).unwrap();
        assert_eq!((&found.subject, found.vm()), (&event.ty, event.vm.as_deref()));
    }
}
