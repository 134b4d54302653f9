//! A route in one process for tests: a scripted source and a scripted processor, real threads, real
//! files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use jiff::Timestamp;

use super::*;
use crate::config::{Order, RetryConfig};
use crate::event::Position;
use crate::limits::OVERLAP_DEFAULT;
use crate::observe::registry::Watched;
use crate::position::file::{CheckpointFile, FilePositions};
use crate::position::record::Checkpoint;
use crate::position::tenure::Unshared;
use crate::processor::{Delivery, Failure, Retry, Verdict};
use crate::source::{Item, Opened, Page, SourceError};
use crate::temporary::TemporaryFolder;
use crate::testing::{event, folder, route_config};
use crate::vim::json::BrokenEvent;

pub(crate) const START: i64 = 1_700_000_000;

/// A history of events: one per second from `START` on, about ten objects in turn.
pub(crate) struct History {
    pub(crate) events: i64,
    pub(crate) page: usize,
    pub(crate) next: i64,
    pub(crate) opened: Arc<Mutex<Vec<Option<Timestamp>>>>,
    // Reading fails once before this key.
    pub(crate) lost_before: Option<i64>,
    pub(crate) broken: Option<i64>,
    // At its end it shows its last events again and again.
    pub(crate) repeats: bool,
    // Further bytes of each event.
    pub(crate) padding: usize,
    // Left out by the source, behind its last event.
    pub(crate) passed: Option<Position>,
}

pub(crate) fn nth(key: i64) -> Event {
    let mut event = event(key, &format!("vm-{}", key % 10));
    event.position.time = Timestamp::from_second(START + key).unwrap();
    event
}

impl Source for History {
    fn open(&mut self, begin: Option<Timestamp>) -> std::result::Result<Opened, SourceError> {
        self.opened.lock().unwrap().push(begin);
        let begin = begin.unwrap_or(Timestamp::from_second(START).unwrap());
        self.next = (begin.as_second() - START).max(0);
        let description = "a test history".to_string();
        Ok(Opened {
            identity: "one".to_string(),
            begin,
            now: Timestamp::now(),
            description,
            is_purged: false,
        })
    }

    fn read(&mut self) -> std::result::Result<Page, SourceError> {
        let mut page = Page::default();
        while page.items.len() < self.page && self.next < self.events {
            if self.lost_before == Some(self.next) {
                self.lost_before = None;
                return Err(SourceError::lost(Error::new("the session is gone")));
            }
            page.items.push(match self.broken == Some(self.next) {
                true => Item::Broken(BrokenEvent {
                    key: Some(nth(self.next).position.key),
                    created: Some(nth(self.next).position.time),
                    raw: b"<odd/>".to_vec(),
                    reason: "odd".to_string(),
                }),
                false => {
                    let mut event = nth(self.next);
                    event.ce.data.resize(event.ce.data.len() + self.padding, b' ');
                    Item::Event(event)
                }
            });
            self.next += 1;
        }
        if page.items.is_empty() && self.repeats {
            page.items.extend((self.events - 5..self.events).map(|key| Item::Event(nth(key))));
        }
        page.more = self.next < self.events || self.repeats;
        Ok(page)
    }

    fn passed(&mut self) -> Option<Position> {
        self.passed.take_if(|_| self.next == self.events)
    }

    fn wait(&mut self, stop: &Stop, longest: Duration) -> std::result::Result<(), SourceError> {
        stop.wait(longest);
        Ok(())
    }

    fn close(&mut self) {}
}

pub(crate) type Answer = dyn Fn(&Delivery) -> Verdict + Send + Sync;

/// Records what it acknowledges.
pub(crate) struct Sink {
    pub(crate) acknowledged: Mutex<Vec<i64>>,
    pub(crate) answer: Box<Answer>,
    pub(crate) credential_changes: AtomicU64,
}

impl Processor for Sink {
    fn deliver(&self, batch: &[Delivery], verdicts: &mut Vec<Verdict>) {
        for delivery in batch {
            let verdict = (self.answer)(delivery);
            if verdict.failures.is_empty() {
                self.acknowledged.lock().unwrap().push(delivery.event.position.key);
            }
            verdicts.push(verdict);
        }
    }

    fn credential_changes(&self) -> u64 {
        self.credential_changes.load(Ordering::SeqCst)
    }
}

pub(crate) struct Bench {
    pub(crate) folder: TemporaryFolder,
    pub(crate) opened: Arc<Mutex<Vec<Option<Timestamp>>>>,
    pub(crate) history: History,
    pub(crate) config: RouteConfig,
    pub(crate) at_least_once: bool,
    pub(crate) tenure: Arc<dyn Tenure>,
}

pub(crate) struct Running {
    pub(crate) route: Route,
    pub(crate) exits: Receiver<Exit>,
    pub(crate) sink: Arc<Sink>,
}

impl Bench {
    pub(crate) fn new(events: i64) -> Bench {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let history = History {
            events,
            page: 100,
            next: 0,
            opened: opened.clone(),
            lost_before: None,
            broken: None,
            repeats: false,
            padding: 0,
            passed: None,
        };
        let (first, max) = (Duration::from_millis(1), Duration::from_millis(5));
        let retry = RetryConfig { first, max, give_up_after: None };
        let config = RouteConfig { retry, ..route_config(Order::Entity, 4) };
        Bench {
            folder: folder("route"),
            opened,
            history,
            config,
            at_least_once: true,
            tenure: Arc::new(Unshared),
        }
    }

    pub(crate) fn start(&self, answer: impl Fn(&Delivery) -> Verdict + Send + Sync + 'static) -> Running {
        self.start_with(self.at_least_once.then(|| self.positions()), answer)
    }

    pub(crate) fn start_with(
        &self,
        positions: Option<Box<dyn Positions>>,
        answer: impl Fn(&Delivery) -> Verdict + Send + Sync + 'static,
    ) -> Running {
        let (parts, sink) = self.parts(answer);
        let parts = RouteParts { positions, ..parts };
        let (sender, exits) = bounded(Route::threads_max(&self.config));
        let route = Route::start(parts, &Exits::of_slot(0, 1, sender)).unwrap();
        Running { route, exits, sink }
    }

    pub(crate) fn parts(
        &self,
        answer: impl Fn(&Delivery) -> Verdict + Send + Sync + 'static,
    ) -> (RouteParts, Arc<Sink>) {
        let sink = Arc::new(Sink {
            acknowledged: Mutex::new(Vec::new()),
            answer: Box::new(answer),
            credential_changes: AtomicU64::new(0),
        });
        let history = History { opened: self.opened.clone(), ..self.history };
        let parts = RouteParts {
            config: self.config.clone(),
            source: Box::new(history),
            about: About {
                route: self.config.name.clone(),
                source_address: "test".to_string(),
                ..About::default()
            },
            replay_max: None,
            overlap: OVERLAP_DEFAULT,
            processor: sink.clone(),
            positions: self.at_least_once.then(|| self.positions()),
            tenure: self.tenure.clone(),
            staff: Arc::default(),
            letters_dir: self.at_least_once.then(|| self.folder.path().to_path_buf()),
        };
        (parts, sink)
    }

    pub(crate) fn positions(&self) -> Box<dyn Positions> {
        Box::new(FilePositions::new(self.folder.path(), &self.config.name, "test"))
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        let file = CheckpointFile::new(self.folder.path(), &self.config.name);
        file.read().unwrap().expect("a checkpoint").checkpoint
    }
}

impl Running {
    pub(crate) fn wait(&self, what: &str, mut condition: impl FnMut(&Running) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.route.view().snapshot());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn wait_acknowledged(&self, count: usize) {
        self.wait("acknowledged", |running| count <= running.sink.acknowledged.lock().unwrap().len());
    }

    pub(crate) fn stop(self) -> Vec<i64> {
        self.route.stop();
        while 0 < self.route.count(Role::Poller) + self.route.count(Role::Worker) {
            self.exits.recv_timeout(Duration::from_secs(30)).expect("a thread ends");
        }
        self.route.end_checkpointer();
        while 0 < self.route.count(Role::Checkpointer) {
            let exit = self.exits.recv_timeout(Duration::from_secs(30)).expect("the checkpointer ends");
            assert_eq!(exit.cause, ExitCause::Told);
        }
        self.sink.acknowledged.lock().unwrap().clone()
    }
}

pub(crate) fn later() -> Verdict {
    Verdict::failed(Failure {
        target: String::new(),
        retry: Retry::Later { after: None, unsent: false },
        reason: "503",
        detail: "POST test: status 503".to_string(),
    })
}

pub(crate) fn never() -> Verdict {
    let mut verdict = later();
    verdict.failures[0].retry = Retry::Never;
    verdict
}

pub(crate) fn refused() -> Verdict {
    let mut verdict = later();
    verdict.failures[0].retry = Retry::Sender { after: None };
    verdict
}

pub(crate) fn sorted(mut keys: Vec<i64>) -> Vec<i64> {
    keys.sort_unstable();
    keys
}
