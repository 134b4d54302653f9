use std::time::Instant;

use super::*;
use crate::finding::Finding;
use crate::observe::registry::Watched;
use crate::observe::systemd::ServiceManager;
use crate::router::Router;
use crate::stop::stop_signal;

mod sample;

/// The table with one row more.
const TABLE: Kinds<Arc<dyn SourceSettings>, Arc<dyn ProcessorSettings>> = Kinds {
    sources: &[SourceKind {
        word: "sample",
        at_least_once: false,
        has_history: true,
        read: |table| source(sample::read(table)),
    }],
    processors: KINDS.processors,
};

#[test]
fn a_source_is_one_file_and_one_row() {
    let parse = |keys: &str| {
        let text = format!("[source.a]\ntype = 'sample'\n{keys}\n[processor.b]\ntype = 'stdout'\n");
        file::parse(&text, Path::new("router.toml"), &Overrides::default(), &|_| None, &TABLE)
    };
    assert!(parse("count = 0").unwrap_err()[0].to_string().contains("from 1 to 1000"));
    let config = parse("count = 5").unwrap();
    assert!(!config.sources[0].checkpoint, "what its row promises");
    let mut found = Vec::new();
    config.sources[0].settings.probe(&mut |finding| found.push(finding));
    assert_eq!(found, [Finding::Good("counts to 5".to_string())]);
    let router = Router::start(&Arc::new(config)).unwrap();
    let view = router.views().remove(0);
    let end = Instant::now() + std::time::Duration::from_secs(30);
    while view.snapshot().counts.delivered < 5 {
        assert!(Instant::now() < end, "{:?}", view.snapshot());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let (source, stop) = stop_signal();
    source.stop();
    router.run(&stop, ServiceManager::none()).unwrap();
}
