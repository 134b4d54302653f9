//! Seeded random numbers for tests: the seed is printed, and `EVENT_ROUTER_SEED` repeats a run.

/// A small generator (xorshift64*): good enough to explore, always repeatable.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Starts from `seed`.
    pub(crate) fn new(seed: u64) -> Random {
        Random { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// Starts from `EVENT_ROUTER_SEED`, else from a fixed seed, and prints it for the case of
    /// failure.
    pub(crate) fn from_test(name: &str) -> Random {
        let seed = std::env::var("EVENT_ROUTER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(4711);
        eprintln!("{name}: EVENT_ROUTER_SEED={seed}");
        Random::new(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to `end`, `end` excluded; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.bits() % end as u64) as usize }
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
        subject: Some("VmPoweredOnEvent".to_string()),
        time: Some(position.time.to_string()),
        datacontenttype: Some("application/json".into()),
        data: format!("{{\"Key\":{key}}}").into_bytes(),
        extensions: Vec::new(),
    };
    crate::event::Event { position, lane: crate::event::Lane::of_object(object), ce }
}

/// A folder of its own, removed at the end.
pub(crate) struct Folder {
    path: std::path::PathBuf,
}

/// A new empty folder whose name holds `name`.
pub(crate) fn folder(name: &str) -> Folder {
    use std::sync::atomic::{AtomicU32, Ordering};
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("event-router-{name}-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    Folder { path }
}

impl Folder {
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
