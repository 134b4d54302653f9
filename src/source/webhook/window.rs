//! Which events of a route are on their way, and which were settled lately: an event that comes again
//! is not delivered again, and whoever sent it waits for the same settling.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use ring::digest::{Context, SHA256};

use crate::event::Receipt;

/// What tells events apart: a digest of `source` and `id`, so that nobody can make two the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 16]);

impl Key {
    /// Of the event with these attributes.
    pub(super) fn of(source: &str, id: impl AsRef<[u8]>) -> Key {
        let mut digest = Context::new(&SHA256);
        digest.update(&(source.len() as u64).to_le_bytes());
        digest.update(source.as_bytes());
        digest.update(id.as_ref());
        let mut key = [0; 16];
        key.copy_from_slice(&digest.finish().as_ref()[..16]);
        Key(key)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A request that waits until all of its events are settled.
#[derive(Debug)]
pub(super) struct Waiter {
    // One more than the settlings that it waits for, until it knows them all.
    left: AtomicUsize,
    done: Sender<bool>,
}

impl Waiter {
    /// It waits for nothing yet. The receiver hears true when all is settled, false when one of them is
    /// lost.
    pub(super) fn new() -> (Arc<Waiter>, Receiver<bool>) {
        let (done, is_done) = bounded(1);
        (Arc::new(Waiter { left: AtomicUsize::new(1), done }), is_done)
    }

    /// One settling less is to come, or it knows them all now.
    pub(super) fn count_down(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.done.try_send(true);
        }
    }

    fn fail(&self) {
        let _ = self.done.try_send(false);
    }
}

/// What the route knows of the events that were sent to it.
#[derive(Debug)]
pub(super) struct Window {
    state: Mutex<State>,
    settled_max: usize,
    settled_age_max: Duration,
}

#[derive(Debug, Default)]
struct State {
    events: HashMap<Key, Known>,
    // The settled ones, oldest first.
    settled: VecDeque<(Instant, Key)>,
}

#[derive(Debug)]
enum Known {
    // Those who wait for it. Who has waited in vain is gone.
    OnItsWay(Vec<Weak<Waiter>>),
    Settled,
}

impl Window {
    /// Remembers at most so many settled events, and each for so long.
    pub(super) fn new(settled_max: usize, settled_age_max: Duration) -> Arc<Window> {
        Arc::new(Window { state: Mutex::default(), settled_max, settled_age_max })
    }

    /// Has `waiter` wait for the event, unless it is settled. True when it is new and to be delivered.
    pub(super) fn enter(&self, key: Key, waiter: &Arc<Waiter>) -> bool {
        let mut state = self.lock();
        state.forget(self.settled_max, self.settled_age_max);
        match state.events.get_mut(&key) {
            Some(Known::Settled) => return false,
            Some(Known::OnItsWay(waiters)) => {
                waiter.left.fetch_add(1, Ordering::AcqRel);
                waiters.retain(|other| 0 < other.strong_count());
                waiters.push(Arc::downgrade(waiter));
                return false;
            }
            None => {}
        }
        waiter.left.fetch_add(1, Ordering::AcqRel);
        state.events.insert(key, Known::OnItsWay(vec![Arc::downgrade(waiter)]));
        true
    }

    /// The event was not handed over: whoever sends it again finds it new.
    pub(super) fn give_up(&self, key: Key) {
        self.lock().events.remove(&key);
    }

    /// What the event on its way carries.
    pub(super) fn receipt(self: &Arc<Window>, key: Key) -> Arc<dyn Receipt> {
        Arc::new(OnItsWay { window: self.clone(), key, is_lost: AtomicBool::new(false) })
    }

    fn settle(&self, key: Key) {
        let mut state = self.lock();
        let known = state.events.insert(key, Known::Settled);
        state.settled.push_back((Instant::now(), key));
        drop(state);
        let Some(Known::OnItsWay(waiters)) = known else { return };
        waiters.iter().filter_map(Weak::upgrade).for_each(|waiter| waiter.count_down());
    }

    fn lose(&self, key: Key) {
        let known = self.lock().events.remove(&key);
        let Some(Known::OnItsWay(waiters)) = known else { return };
        waiters.iter().filter_map(Weak::upgrade).for_each(|waiter| waiter.fail());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.state)
    }
}

impl State {
    fn forget(&mut self, most: usize, age_max: Duration) {
        while let Some((since, key)) = self.settled.front()
            && (most < self.settled.len() || age_max < since.elapsed())
        {
            self.events.remove(key);
            self.settled.pop_front();
        }
    }
}

/// An event on its way.
#[derive(Debug)]
struct OnItsWay {
    window: Arc<Window>,
    key: Key,
    // Who sends it again finds it new, and it is another one.
    is_lost: AtomicBool,
}

impl Receipt for OnItsWay {
    fn settled(&self) {
        if !self.is_lost.load(Ordering::Acquire) {
            self.window.settle(self.key);
        }
    }

    fn lost(&self) {
        self.is_lost.store(true, Ordering::Release);
        self.window.lose(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn who_sends_it_again_waits_for_the_same_settling() {
        let window = Window::new(10, LONG);
        let key = Key::of("/s", "1");
        let (first, first_done) = Waiter::new();
        let (second, second_done) = Waiter::new();
        assert!(window.enter(key, &first));
        assert!(!window.enter(key, &second));
        for waiter in [&first, &second] {
            waiter.count_down();
        }
        assert!(first_done.try_recv().is_err() && second_done.try_recv().is_err());
        window.receipt(key).settled();
        assert!(first_done.try_recv().is_ok() && second_done.try_recv().is_ok());
        let (third, third_done) = Waiter::new();
        assert!(!window.enter(key, &third), "it is settled");
        third.count_down();
        assert!(third_done.try_recv().is_ok(), "nothing is to wait for");
    }

    #[test]
    fn who_waited_in_vain_costs_nothing_when_it_is_sent_again() {
        let window = Window::new(10, LONG);
        let key = Key::of("/s", "1");
        let (first, _done) = Waiter::new();
        assert!(window.enter(key, &first));
        for _ in 0..1000 {
            let (again, _done) = Waiter::new();
            assert!(!window.enter(key, &again));
        }
        let state = window.lock();
        let Some(Known::OnItsWay(waiters)) = state.events.get(&key) else { panic!() };
        assert_eq!(waiters.len(), 2);
    }

    #[test]
    fn what_was_settled_long_ago_or_is_too_much_is_forgotten() {
        let window = Window::new(2, LONG);
        let keys: Vec<Key> = (0..5).map(|id| Key::of("/s", id.to_string())).collect();
        let (waiter, _done) = Waiter::new();
        for key in &keys {
            assert!(window.enter(*key, &waiter));
            window.receipt(*key).settled();
        }
        assert!(!window.enter(keys[4], &waiter) && !window.enter(keys[3], &waiter));
        assert!(window.enter(keys[2], &waiter), "the oldest is forgotten");
        assert_eq!(window.lock().events.len(), 3);
        let none = Window::new(10, Duration::ZERO);
        assert!(none.enter(keys[0], &waiter));
        none.receipt(keys[0]).settled();
        std::thread::sleep(Duration::from_millis(1));
        assert!(none.enter(keys[0], &waiter));
        none.give_up(keys[0]);
        assert!(none.enter(keys[0], &waiter), "it was not handed over");
    }

    #[test]
    fn what_is_lost_is_new_when_it_is_sent_again() {
        let window = Window::new(10, LONG);
        let key = Key::of("/s", "1");
        let (first, done) = Waiter::new();
        assert!(window.enter(key, &first));
        let receipt = window.receipt(key);
        receipt.lost();
        assert_eq!(done.try_recv(), Ok(false));
        let (second, done) = Waiter::new();
        assert!(window.enter(key, &second));
        receipt.settled();
        second.count_down();
        assert!(done.try_recv().is_err(), "that was the other one");
        window.receipt(key).settled();
        assert_eq!(done.try_recv(), Ok(true));
    }

    #[test]
    fn parts_of_a_name_do_not_change_places() {
        assert_ne!(Key::of("a", "bc"), Key::of("ab", "c"));
        assert_eq!(Key::of("a", "b"), Key::of("a", "b"));
    }
}
