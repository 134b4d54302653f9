//! A believable stream of events, the same for the same seed.
//!
//! Things happen in scenes of a few events each (a machine is powered on: a task, it starts, it is
//! on). Some scenes run at the same time, as in a real vCenter, but never two about the same machine.

use jiff::{SignedDuration, Timestamp};

#[cfg(feature = "faults")]
use super::history::History;
use super::random::Random;
use super::record::{Draft, Record};
use super::scenes::{CHAIN, Scene, World};

/// Makes events one by one, without end.
pub struct Stream {
    world: World,
    running: Vec<Scene>,
    next_key: i32,
}

/// Scenes that run at the same time.
const SCENES_RUNNING: usize = 3;
/// Key of the first event: a vCenter that has been running for a while.
const FIRST_KEY: i32 = 48_211;
/// Events of a repeated history that differ.
#[cfg(feature = "faults")]
const REPEATED_EVENTS: u64 = 4096;
impl Stream {
    /// The stream of that seed.
    pub fn new(seed: u64) -> Stream {
        Stream { world: World::new(Random::new(seed)), running: Vec::new(), next_key: FIRST_KEY }
    }

    /// The next event, which happens at `time`. It brings its own key: pushed into a simulator, the
    /// keys go on as the stream counts.
    pub fn next(&mut self, time: Timestamp) -> Draft {
        while self.running.len() < SCENES_RUNNING {
            let taken: Vec<usize> = self.running.iter().flat_map(|scene| scene.vms.clone()).collect();
            let scene = self.world.play(&taken, time);
            self.running.push(scene);
        }
        let chosen = self.world.random.below(self.running.len());
        let scene = &mut self.running[chosen];
        // A scene has an event at least: it is taken off the list with its last one.
        let mut draft = scene.drafts.pop_front().unwrap_or_default();
        let key = self.next_key;
        let chain = *scene.chain.get_or_insert(key);
        if scene.drafts.is_empty() {
            self.running.swap_remove(chosen);
        }
        // Keys have gaps, because vCenter counts things that are no events too.
        self.next_key = key.wrapping_add(1 + i32::from(self.world.random.below(4) == 0));
        draft.members = draft.members.replace(CHAIN, &chain.to_string());
        Draft { key: Some(key), chain_id: Some(chain), time: Some(time), ..draft }
    }

    /// The next `count` events, one every `interval` on average, the last at `end`.
    pub fn backlog(&mut self, count: usize, interval: SignedDuration, end: Timestamp) -> Vec<Record> {
        let mean_us = interval.as_micros().max(1) as usize;
        let mut waits_us: Vec<usize> = (0..count).map(|_| self.world.random.below(2 * mean_us)).collect();
        waits_us.first_mut().into_iter().for_each(|first| *first = 0);
        let mut time = end - SignedDuration::from_micros(waits_us.iter().sum::<usize>() as i64);
        let mut records = Vec::with_capacity(count);
        for wait_us in waits_us {
            time += SignedDuration::from_micros(wait_us as i64);
            let draft = self.next(time);
            records.push(Record { key: draft.key.unwrap_or_default(), time, draft });
        }
        records
    }
}

/// A history of `count` events that is not held in memory: the first `REPEATED_EVENTS` of the stream
/// of that seed, over and over, with rising keys from 1 on and one `interval` from event to event.
#[cfg(feature = "faults")]
pub fn repeated(seed: u64, count: u64, begin: Timestamp, interval: SignedDuration) -> History {
    let mut stream = Stream::new(seed);
    let drafts: Vec<Draft> =
        (0..REPEATED_EVENTS).map(|_| Draft { chain_id: None, ..stream.next(begin) }).collect();
    let step_us = interval.as_micros() as i64;
    History::generated(count, move |place| {
        let passed = SignedDuration::from_micros(step_us.saturating_mul(place as i64));
        Record {
            // As vCenter's counter, it runs over to negative numbers.
            key: place.wrapping_add(1) as i32,
            time: begin.checked_add(passed).unwrap_or(Timestamp::MAX),
            draft: drafts[(place % REPEATED_EVENTS) as usize].clone(),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::super::{descriptions, soap};
    use super::*;
    use crate::vim::json::{PageEntry, convert_page};

    fn end() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn records(seed: u64) -> Vec<Record> {
        Stream::new(seed).backlog(2000, SignedDuration::from_millis(500), end())
    }

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        assert_eq!(records(1), records(1));
        assert_ne!(records(1), records(2));
    }

    #[test]
    fn keys_and_times_rise_and_chains_point_back() {
        let records = records(3);
        assert_eq!(records.last().unwrap().time, end());
        assert!(records.windows(2).all(|pair| pair[0].key < pair[1].key && pair[0].time <= pair[1].time));
        let keys: BTreeSet<i32> = records.iter().map(|record| record.key).collect();
        for record in &records {
            let chain = record.draft.chain_id.unwrap();
            assert!(chain <= record.key && keys.contains(&chain));
            assert!(!record.draft.members.contains(CHAIN));
        }
        assert!(records.iter().any(|record| record.draft.chain_id != Some(record.key)));
    }

    #[test]
    fn a_repeated_history_is_the_stream_again_and_again() {
        let history = repeated(3, 10_000_000_000, end(), SignedDuration::from_millis(1));
        let [first, again, late] = [0, 4096, i32::MAX as u64].map(|place| history.get(place).unwrap());
        assert_eq!((first.key, again.key, late.key), (1, 4097, i32::MIN));
        assert_eq!(first.draft, again.draft);
        assert_eq!(again.time.duration_since(first.time), SignedDuration::from_millis(4096));
    }

    #[test]
    fn machines_are_powered_and_moved_consistently() {
        let mut is_on: HashMap<String, bool> = HashMap::new();
        let mut host: HashMap<String, String> = HashMap::new();
        let mut switched = 0;
        for record in records(4) {
            let place = record.draft.place;
            let (Some(vm), Some(at)) = (place.vm, place.host) else { continue };
            let class = record.draft.class.as_str();
            let now_on = match class {
                "VmPoweredOnEvent" => Some(true),
                "VmPoweredOffEvent" => Some(false),
                _ => None,
            };
            if let Some(now_on) = now_on {
                assert_ne!(is_on.insert(vm.id.clone(), now_on), Some(now_on), "{} {}", vm.name, record.key);
                switched += 1;
            }
            let known = host.insert(vm.id.clone(), at.id.clone());
            let moves = class.ends_with("MigratedEvent") || record.draft.type_id.is_some();
            assert!(moves || known.is_none_or(|known| known == at.id), "{class} of {} moved it", vm.name);
        }
        assert!(100 < switched);
    }

    #[test]
    fn every_event_is_explained_by_the_schema_and_described() {
        let mut results = String::new();
        let mut topics = BTreeSet::new();
        for record in records(5) {
            assert!(!record.draft.message.is_empty());
            topics.insert(record.draft.topic().to_string());
            record.write(&mut results, "returnval");
        }
        let entries = convert_page(soap::answer("ReadNextEvents", &results).as_bytes()).unwrap();
        assert_eq!(entries.len(), 2000);
        for entry in entries {
            let PageEntry::Event(event) = entry else { panic!("broken: {entry:?}") };
            assert!(event.anomalies.is_empty(), "{}: {:?}", event.class, event.anomalies);
            assert!(
                event.object.is_some() || event.class.ends_with("SessionEvent") || event.class == "EventEx"
            );
        }
        assert!(20 <= topics.len(), "{topics:?}");
        let unknown: Vec<_> = topics.iter().filter(|topic| !descriptions::is_described(topic)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
