//! What must hold for a route, whatever happens.

use crate::cluster::lease::Record;

/// What happened to a route, seen from outside.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) at_least_once: bool,
    // How often each event was delivered.
    deliveries: Vec<u8>,
    start: Option<u64>,
    position: u64,
    term: u64,
    // After the record was another's.
    pub(super) late: usize,
    // Tenancies that ended without being left.
    pub(super) lost: usize,
    pub(super) repeats: usize,
    pub(super) faults: Vec<String>,
}

impl Truth {
    pub(super) fn new(at_least_once: bool) -> Truth {
        Truth {
            at_least_once,
            deliveries: Vec::new(),
            start: None,
            position: 0,
            term: 0,
            late: 0,
            lost: 0,
            repeats: 0,
            faults: Vec::new(),
        }
    }

    pub(super) fn is_started(&self) -> bool {
        self.start.is_some()
    }

    fn count(&self, event: u64) -> u8 {
        self.deliveries.get(event as usize).copied().unwrap_or_default()
    }

    pub(super) fn delivered(&mut self, event: u64, is_late: bool) {
        let index = event as usize;
        if self.deliveries.len() <= index {
            self.deliveries.resize(index + 1, 0);
        }
        self.deliveries[index] = self.deliveries[index].saturating_add(1);
        self.late += usize::from(is_late);
        if 1 < self.deliveries[index] {
            self.repeats += 1;
            if !self.at_least_once {
                self.faults.push(format!("event {event} was delivered twice"));
            }
        }
    }

    pub(super) fn written(&mut self, record: &Record) {
        if record.term < self.term {
            self.faults.push(format!("term {} after {}", record.term, self.term));
        }
        self.term = record.term;
        let Some(text) = &record.text else { return };
        let position: u64 = text.parse().unwrap();
        let start = *self.start.get_or_insert(position);
        if position < self.position {
            self.faults.push(format!("the position went back from {} to {position}", self.position));
        }
        let missing = (self.position.max(start)..position).find(|event| self.count(*event) == 0);
        if let Some(missing) = missing {
            self.faults.push(format!("the position {position} passes {missing}, which nobody delivered"));
        }
        self.position = position;
    }

    /// Everything up to this event must have been delivered.
    pub(super) fn complete(&mut self, end: u64) {
        let Some(start) = self.start.filter(|_| self.at_least_once) else { return };
        let missing = (start..end).filter(|event| self.count(*event) == 0);
        if let Some(first) = missing.clone().next() {
            let (position, count) = (self.position, missing.count());
            self.faults
                .push(format!("{count} events are missing from {first} on, position {position}, end {end}"));
        }
    }

    /// Events that were delivered.
    pub(super) fn total(&self) -> usize {
        self.deliveries.iter().filter(|count| 0 < **count).count()
    }
}
