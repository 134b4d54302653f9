//! Snapshots for the tests of what is made of them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::cluster::{ClusterSnapshot, SharedSnapshot};
use super::outcomes::Outcome;
use super::snapshot::*;
use super::stats::Link;
use crate::event::Position;

/// When the snapshots were taken, in seconds of Unix time.
pub(crate) const NOW: i64 = 1_700_001_000;

/// A process whose routes run.
pub(crate) fn snapshot(routes: Vec<RouteSnapshot>) -> Snapshot {
    Snapshot {
        now: at(NOW),
        phase: Phase::Running,
        process: Process {
            arguments: vec!["/usr/bin/router".into(), "-c".into(), "router.toml".into()],
            started: at(1_700_000_000),
            resident_bytes: Some(4 << 20),
            virtual_bytes: Some(20 << 20),
            cpu_seconds: Some(1.25),
            open_files: Some(12),
            load: [0.5, 0.25, 1.0],
        },
        routes,
        cluster: None,
    }
}

/// A router that has one of two routes.
pub(crate) fn cluster() -> ClusterSnapshot {
    let second = Duration::from_secs(1);
    let shared = |route: &str, owner: &str, renewed| SharedSnapshot {
        route: route.to_string(),
        owner: Some(owner.to_string()),
        renewed,
    };
    ClusterSnapshot {
        name: "default".to_string(),
        identity: "r-0".to_string(),
        members: vec!["r-0".to_string(), "r-1".to_string()],
        unseen: Some(second),
        lease: second * 15,
        routes: vec![shared("a", "r-0", Some(second * 2)), shared("b", "r-1", None)],
        changes: vec![("acquired", 3)],
        calls: vec![("read", "ok", 7)],
    }
}

/// A route that is well.
pub(crate) fn route(name: &str) -> RouteSnapshot {
    RouteSnapshot {
        about: Arc::new(About {
            route: name.into(),
            source: "vc01".into(),
            source_type: "vcenter",
            source_product: "vCenter",
            source_address: "https://vc01/sdk".into(),
            processor: "broker".into(),
            processor_type: "knative",
            processor_product: Some("Knative"),
            processor_address: "http://broker/default".into(),
            at_least_once: true,
        }),
        started: at(1_700_000_000),
        link: Link {
            connected: true,
            since: Some(at(NOW - 500)),
            description: "VMware vCenter Server 8.0.3, API 8.0.3.0".into(),
        },
        incidents: Vec::new(),
        incident_ended: None,
        stall_tried: "",
        busy: Busy { role: "worker", time: Duration::from_secs(1), time_max: Duration::from_secs(270) },
        outstanding: 7,
        waiting: 5,
        settled_to: Some(at(1_700_000_001)),
        checkpoint: Some(Timestamp::from_millisecond(1_700_000_000_250).unwrap()),
        last_read: Some(Position { key: 4711, time: at(1_700_000_002) }),
        lag_seconds: Some(1.5),
        catching_up: None,
        gap: None,
        counts: Counts {
            read: 1000,
            delivered: 900,
            filtered: 50,
            unmatched: 40,
            dead_lettered: 3,
            lost: 2,
            gaps: 1,
            pages: 30,
            reconnects: 4,
            retried: vec![("503", 6), ("timeout", 4)],
            source_failures: vec![("lost", 4)],
            anomalies: vec![("class", 1)],
            delivery_buckets: vec![1, 2, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5],
            delivery_seconds: 0.75,
            names: vec![("VmPoweredOnEvent".into(), Outcome { delivered: 900, failed: 2 })],
            targets: Vec::new(),
        },
    }
}

/// Something that is wrong since a second of Unix time.
pub(crate) fn incident(part: RoutePart, since: i64) -> IncidentSnapshot {
    IncidentSnapshot {
        part,
        reason: "503".into(),
        detail: "it failed: do this".into(),
        consequence: "trying again".into(),
        cure: "",
        since: at(since),
        times: 3,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}
