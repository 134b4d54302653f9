//! Seeded random numbers for tests: the seed is printed, and `EVENT_ROUTER_SEED` repeats a run.

pub(crate) use crate::demo::random::Random;
use crate::temporary::TemporaryFolder;

impl Random {
    /// Starts from `EVENT_ROUTER_SEED`, else from a fixed seed, and prints it for the case of
    /// failure.
    pub(crate) fn from_test(name: &str) -> Random {
        let seed = std::env::var("EVENT_ROUTER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(4711);
        eprintln!("{name}: EVENT_ROUTER_SEED={seed}");
        Random::new(seed)
    }
}

/// An event with this key, one second per key after the epoch, about this object.
pub(crate) fn event(key: i64, object: &str) -> crate::event::Event {
    let position =
        crate::event::Position { key, time: jiff::Timestamp::from_second(key.max(0)).unwrap_or_default() };
    let ce = crate::cloudevents::CloudEvent {
        id: format!("id-{key}"),
        source: "https://vc01.corp.local/sdk".into(),
        ty: "com.vmware.event.router/event".into(),
        name_in_type: None,
        subject: Some("VmPoweredOnEvent".to_string()),
        time: Some(position.time.to_string()),
        datacontenttype: Some("application/json".into()),
        data: format!("{{\"Key\":{key}}}").into_bytes(),
        extensions: [].into(),
    };
    let lane = crate::event::Lane::of_object(object);
    crate::event::Event { position, lane, ce, anomalies: Vec::new(), receipt: None }
}

/// A route that takes all events.
pub(crate) fn route_config(order: crate::config::Order, workers: usize) -> crate::config::RouteConfig {
    crate::config::RouteConfig {
        name: "power".to_string(),
        from: "a".to_string(),
        to: "b".to_string(),
        types: Vec::new(),
        pattern: None,
        order,
        workers: Some(workers),
        format: crate::config::Format::Router,
        retry: crate::config::RetryConfig::default(),
        dead_letter_bytes_max: 1 << 20,
    }
}

/// Settings of this kind.
pub(crate) fn settings<T: std::any::Any>(settings: &dyn std::any::Any) -> &T {
    settings.downcast_ref().expect("settings of another kind")
}

/// A new empty folder whose name holds `name`, removed at the end.
pub(crate) fn folder(name: &str) -> TemporaryFolder {
    TemporaryFolder::new(name).unwrap()
}
