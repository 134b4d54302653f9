use super::*;
use crate::limits::{RECOVERY_SPREAD, TARGET_DOUBT_MAX};
use crate::processor::{Failure, Retry};
use crate::testing::event;

const WORKERS: usize = 8;

struct Bench {
    rooms: Rooms,
    now: Instant,
}

impl Bench {
    fn new(give_up_after: Option<Duration>) -> Bench {
        let mut rooms = Rooms::new(give_up_after);
        rooms.set_workers(WORKERS);
        Bench { rooms, now: Instant::now() }
    }

    /// An event that these targets failed to take, and that is due again after `wait`.
    fn fail(&mut self, key: u64, object: &str, targets: &[&str], wait: Duration) {
        let pause = self.now + wait;
        let failed = targets.iter().map(|target| Failed { failure: failure(target), pause }).collect();
        self.rooms.hear(&Answers { failed, is_new: true, ..Answers::default() }, false, self.now);
        self.owe(key, object, targets, Some(pause));
    }

    /// An event that these targets were not called for.
    fn withhold(&mut self, key: u64, object: &str, targets: &[&str]) {
        self.owe(key, object, targets, None);
    }

    fn owe(&mut self, key: u64, object: &str, targets: &[&str], due: Option<Instant>) {
        let event = event(key as i64, object);
        let owing = targets.iter().map(|target| Owing {
            target: (*target).into(),
            attempts: u32::from(due.is_some()),
            failing_since: due.map(|_| self.now),
            refused_since: None,
            due,
        });
        let place = (Sequence(key), event.lane);
        self.rooms.split(place, Carried::Own(event), owing.collect(), false, self.now);
    }

    /// What can be taken now, by key and target.
    fn take(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.rooms.take(self.now)).collect()
    }

    fn accept(&mut self, part: Delivery) -> Option<Sequence> {
        let accepted = vec![part.owing().unwrap().clone()];
        self.rooms.hear(&Answers { accepted, ..Answers::default() }, true, self.now);
        self.rooms.finish(part, false, self.now).map(|(sequence, _)| sequence)
    }

    /// A part fails again.
    fn fail_again(&mut self, part: Delivery, wait: Duration) {
        let pause = self.now + wait;
        let failed = vec![Failed { failure: failure(part.owing().unwrap()), pause }];
        let is_new = part.attempts == 0;
        self.rooms.hear(&Answers { failed, is_new, ..Answers::default() }, true, self.now);
        self.rooms.put_back(part, pause, self.now);
    }

    fn withheld(&self, object: &str) -> Vec<Target> {
        self.rooms.withheld(event(0, object).lane)
    }
}

fn failure(target: &str) -> Failure {
    let retry = Retry::Later { after: None, unsent: false };
    Failure { target: target.to_string(), retry, reason: "500", detail: "status 500".to_string() }
}

fn named(parts: &[Delivery]) -> Vec<(u64, &str)> {
    parts.iter().map(|part| (part.ticket.sequence.0, &**part.owing().unwrap())).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_event_is_settled_when_all_its_parts_are() {
    let mut bench = Bench::new(None);
    bench.fail(1, "a", &["p", "q"], SECOND);
    assert_eq!((bench.withheld("a").len(), bench.withheld("b").len()), (2, 0));
    assert!(bench.take().is_empty());
    assert_eq!(bench.rooms.next_due(), Some(bench.now + SECOND));
    bench.now += SECOND;
    let mut parts = bench.take();
    assert_eq!(named(&parts), [(1, "p"), (1, "q")]);
    assert_eq!(bench.accept(parts.pop().unwrap()), None);
    assert_eq!(bench.withheld("a"), ["p".into()], "the other one goes on");
    let bytes = event(1, "a").bytes();
    assert_eq!((bench.rooms.bytes(), bench.rooms.completed()), (bytes + PART_BYTES, 0));
    assert_eq!(bench.accept(parts.pop().unwrap()), Some(Sequence(1)));
    assert_eq!((bench.rooms.bytes(), bench.rooms.completed()), (0, 1));
    assert!(bench.rooms.is_empty(), "nothing is left of a room that is empty");
    // Of what became a dead letter, not all was taken.
    bench.fail(2, "a", &["p"], SECOND);
    bench.now += SECOND;
    let part = bench.take().remove(0);
    let settled = bench.rooms.finish(part, true, bench.now).map(|(sequence, _)| sequence);
    assert_eq!((settled, bench.rooms.completed()), (Some(Sequence(2)), 1));
}

#[test]
fn a_lane_of_a_target_keeps_its_order_and_others_pass_it() {
    let mut bench = Bench::new(None);
    bench.fail(1, "a", &["p"], SECOND);
    bench.withhold(2, "a", &["p"]);
    bench.fail(3, "b", &["p"], 2 * SECOND);
    bench.now += SECOND;
    let mut parts = bench.take();
    assert_eq!(named(&parts), [(1, "p")]);
    bench.fail_again(parts.remove(0), 3 * SECOND);
    bench.now += SECOND;
    let parts = bench.take();
    assert_eq!(named(&parts), [(3, "p")]);
    // The end of the outage: the others come at once, in their order.
    parts.into_iter().for_each(|part| {
        bench.accept(part);
    });
    bench.now += RECOVERY_SPREAD;
    let parts = bench.take();
    assert_eq!(named(&parts), [(1, "p")]);
    parts.into_iter().for_each(|part| {
        bench.accept(part);
    });
    assert_eq!(named(&bench.take()), [(2, "p")]);
}

#[test]
fn a_target_that_is_down_is_tried_by_one_and_trusted_again_after_a_run_of_successes() {
    let mut bench = Bench::new(None);
    let objects: Vec<String> = (0..60).map(|n| format!("vm-{n}")).collect();
    for (key, object) in objects.iter().enumerate().take(3) {
        bench.fail(key as u64, object, &["p"], SECOND);
    }
    assert!(bench.withheld("other").is_empty(), "it may be these events");
    bench.fail(3, &objects[3], &["p"], SECOND);
    assert_eq!(bench.withheld("other"), ["p".into()], "whatever the event");
    for (key, object) in objects.iter().enumerate().skip(4) {
        bench.withhold(key as u64, object, &["p"]);
    }
    assert_eq!(bench.rooms.next_due(), Some(bench.now + SECOND), "there is a pause");
    bench.now += SECOND;
    let mut parts = bench.take();
    assert_eq!((parts.len(), parts[0].ticket.misses), (1, 0), "the pauses begin with the shortest");
    bench.fail_again(parts.remove(0), 8 * SECOND);
    assert_eq!(bench.rooms.next_due(), Some(bench.now + 8 * SECOND));
    bench.now += 8 * SECOND;
    let mut parts = bench.take();
    assert_eq!(parts[0].ticket.misses, 1);
    bench.fail_again(parts.remove(0), SECOND);
    bench.now += SECOND;
    let mut done = 0;
    while !bench.withheld("other").is_empty() {
        let parts = bench.take();
        assert_eq!(parts.len(), if done == 0 { 1 } else { WORKERS / 2 });
        for part in parts {
            bench.accept(part);
            done += 1;
        }
        bench.now += RECOVERY_SPREAD;
    }
    let trusted = TARGET_DOUBT_MAX as usize;
    assert!((trusted..trusted + WORKERS / 2).contains(&done), "{done}");
    assert_eq!(bench.rooms.owed_to("p").0, objects.len() - done);
}

#[test]
fn one_event_that_fails_again_and_again_is_no_target_that_is_down() {
    let mut bench = Bench::new(None);
    bench.fail(1, "a", &["p"], Duration::ZERO);
    for _ in 0..100 {
        let part = bench.take().remove(0);
        bench.fail_again(Delivery { attempts: 1, ..part }, Duration::ZERO);
    }
    assert_eq!((bench.withheld("a").len(), bench.withheld("b").len()), (1, 0));
}

#[test]
fn targets_take_turns() {
    let mut bench = Bench::new(None);
    for key in 0..40 {
        bench.fail(key, &format!("vm-{key}"), &["p"], Duration::ZERO);
    }
    bench.fail(40, "vm-40", &["q"], Duration::ZERO);
    bench.fail(41, "vm-41", &["r"], Duration::ZERO);
    // One attempt shows that the first is still down; the others have theirs all the same.
    assert_eq!(named(&bench.take()), [(0, "p"), (40, "q"), (41, "r")]);
}

#[test]
fn what_waits_too_long_for_a_target_that_is_down_is_given_up_untried() {
    let mut bench = Bench::new(Some(10 * SECOND));
    for key in 0..4 {
        bench.fail(key, &format!("vm-{key}"), &["p"], SECOND);
    }
    bench.now += SECOND;
    bench.withhold(4, "vm-0", &["p"]);
    let part = bench.take().remove(0);
    assert!(part.ticket.expired.is_none());
    bench.fail_again(part, 100 * SECOND);
    assert_eq!(bench.rooms.next_due(), Some(bench.now + 9 * SECOND));
    bench.now += 9 * SECOND;
    let mut given_up = Vec::new();
    while let Some(part) = bench.rooms.take(bench.now) {
        assert_eq!(part.ticket.expired.as_ref().map(|failure| failure.reason), Some("500"));
        given_up.push(part.ticket.sequence.0);
        bench.rooms.finish(part, true, bench.now);
    }
    // The last one came a second later.
    assert_eq!(given_up, [0, 1, 2, 3]);
    assert_eq!(bench.rooms.next_due(), Some(bench.now + SECOND));
    // While dead letters cannot be kept, nothing is given up.
    bench.now += SECOND;
    let part = bench.rooms.take(bench.now).unwrap();
    bench.rooms.put_back(part, bench.now + 5 * SECOND, bench.now);
    assert_eq!(bench.rooms.next_due(), Some(bench.now + 5 * SECOND));
}

#[test]
fn a_full_room_is_named() {
    let mut bench = Bench::new(None);
    bench.fail(0, "a", &["q"], SECOND);
    let mut key = 0;
    while bench.rooms.has_room() {
        key += 1;
        let mut event = event(key as i64, "a");
        event.ce.data = vec![b' '; 100_000];
        let owing =
            Owing { target: "p".into(), attempts: 0, failing_since: None, refused_since: None, due: None };
        let place = (Sequence(key), event.lane);
        bench.rooms.split(place, Carried::Own(event), vec![owing], false, bench.now);
    }
    assert_eq!(bench.rooms.fullest(), Some(("p".into(), key as usize)));
    assert!(ROOMS_BYTES_MAX <= bench.rooms.bytes() && bench.rooms.bytes() < ROOMS_BYTES_MAX + 110_000);
}
