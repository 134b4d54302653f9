//! What `check` tells of vCenter's settings.

use super::*;
use crate::demo::script::Script;
use crate::finding::Finding;
use crate::http::client::{Client, ClientSettings};
use crate::source::vcenter::connection::Acquaintance;
use crate::source::vcenter::options::look;
use crate::source::vcenter::session::Session;

/// The lines of a look at a vCenter like this one.
fn looked(simulator: &Simulator, change: impl FnOnce(&mut Script)) -> Vec<String> {
    simulator.script(change);
    let config = config(simulator);
    let settings = ClientSettings { connection: &config.connection, connections_max: 2 };
    let client = Client::new(&settings).unwrap();
    let mut session = Session::greet(&client, &config.address, &Acquaintance::default()).unwrap();
    session.login(&config.username, &config.password).unwrap();
    let mut lines = Vec::new();
    look(&session, &mut |what, outcome| {
        lines.push(match outcome {
            Finding::Good(text) => format!("good {what}: {text}"),
            Finding::Doubtful(text) => format!("doubtful {what}: {text}"),
            Finding::Failed(error) => format!("failed {what}: {error}"),
        });
    });
    session.logout();
    lines
}

#[test]
fn settings_are_told_with_what_they_mean() {
    let simulator = simulator();
    let lines = looked(&simulator, |_| {});
    for (line, words) in lines.iter().zip([
        "good retention: events are kept 30 days, tasks 30 days: what a route has not read by then is lost",
        "good burst filter: on: of the same event more than 30 times in 30 s vCenter records only a part",
        "good collectors: a session may hold ",
        "good rights: System.View and System.Read on the root folder",
    ]) {
        assert!(line.starts_with(words), "{line}");
    }
    assert!(lines[1].ends_with("; syslog gets each of them"), "{}", lines[1]);
    let lines = looked(&simulator, |script| {
        script.options = vec![
            ("event.maxAge", "3"),
            ("task.maxAgeEnabled", "false"),
            ("vpxd.event.burstFilter.compressToDb", "False"),
            ("vpxd.event.burstFilter.compressToSyslog", ""),
        ];
        script.denied = vec!["System.Read"];
    });
    assert!(lines[0].starts_with("doubtful retention: events are kept 3 days, tasks without end: "));
    assert!(lines[0].ends_with("set event.maxAge to 30 or more"), "{}", lines[0]);
    assert_eq!(lines[1], "good burst filter: off: each event is recorded, and delivered");
    assert!(lines[3].starts_with("doubtful rights: the account lacks System.Read on the root folder"));
    let lines = looked(&simulator, |script| script.options = vec![("event.maxAgeEnabled", "false")]);
    assert_eq!(lines[0], "good retention: events are kept without end, tasks 30 days");
    let none = ["event.maxAge", "event.maxAgeEnabled", "vpxd.event.burstFilter.compressToDb"];
    let lines = looked(&simulator, |script| script.options = none.map(|key| (key, "")).to_vec());
    assert_eq!(lines[0], "good retention: not told by this server");
    assert!(lines[1].starts_with("good burst filter: not told by this server"));
}

#[test]
fn what_the_account_may_not_read_is_no_failure() {
    let simulator = simulator();
    for call in ["QueryOptions", "HasPrivilegeOnEntities"] {
        simulator.set_fault(Rule::always(call, Effect::Fault(Fault::NoPermission)));
    }
    let lines = looked(&simulator, |_| {});
    for (place, what) in [(0, "retention"), (1, "burst filter"), (3, "rights")] {
        assert_eq!(lines[place], format!("good {what}: not shown to this account"));
    }
    simulator.clear_faults();
    simulator.set_fault(Rule::always("QueryOptions", Effect::Status(503)));
    let lines = looked(&simulator, |_| {});
    assert!(lines[0].starts_with("doubtful retention: not shown: "), "{}", lines[0]);
}
