//! What was seen of all leases, and for how long: whether a route may be taken, and who lives. Pure: time
//! comes in as a value, and the clocks of others do not count.

use std::collections::HashMap;

use super::lease::{Kept, Lease, Moment, Rules, Subject, node_of};

/// The leases as they were listed last.
pub(crate) struct Sight {
    rules: Rules,
    me: String,
    looked: Moment,
    seen: HashMap<Subject, Seen>,
    // The members that live, by the names of their leases, and when that was seen first.
    members: Vec<(String, String)>,
    since: Moment,
}

struct Seen {
    // None: it is missing.
    lease: Option<Kept<Lease>>,
    // It was seen like this first.
    since: Moment,
}

/// Whether a route may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chance {
    /// It is held.
    No,
    /// This lease may be replaced.
    Over(Kept<Lease>),
    /// There is none, since this moment.
    Missing(Moment),
}

impl Sight {
    /// Nothing was seen yet, by this holder.
    pub(crate) fn new(rules: Rules, me: &str) -> Sight {
        Sight {
            rules,
            me: me.to_string(),
            looked: Moment::ZERO,
            seen: HashMap::new(),
            members: Vec::new(),
            since: Moment::ZERO,
        }
    }

    /// All leases as they were listed; `routes`: those that are this file's.
    pub(crate) fn look(&mut self, now: Moment, listed: Vec<(Subject, Kept<Lease>)>, routes: &[Subject]) {
        let mut before = std::mem::take(&mut self.seen);
        // What was missing twice may have been there in between, if that was long.
        let is_close = now.saturating_sub(self.looked) < self.rules.renewal * 2;
        self.looked = now;
        for (subject, lease) in listed {
            let same = before
                .remove(&subject)
                .filter(|seen| seen.lease.as_ref().is_some_and(|before| before.version == lease.version));
            let since = same.map_or(now, |seen| seen.since);
            self.seen.insert(subject, Seen { lease: Some(lease), since });
        }
        for subject in routes.iter().filter(|route| !self.seen.contains_key(route)).collect::<Vec<_>>() {
            let same = before.remove(subject).filter(|seen| seen.lease.is_none() && is_close);
            let since = same.map_or(now, |seen| seen.since);
            self.seen.insert(subject.clone(), Seen { lease: None, since });
        }
        let members = self.living(now);
        if members != self.members {
            (self.members, self.since) = (members, now);
        }
    }

    /// Whether a route may be taken, which this process does not hold.
    pub(crate) fn chance(&self, now: Moment, route: &Subject) -> Chance {
        let Some(Seen { lease, since }) = self.seen.get(route) else { return Chance::No };
        let age = now.saturating_sub(*since);
        match lease {
            None => Chance::Missing(*since),
            // The runs before on this state folder are over: this one has its lock.
            Some(lease)
                if lease.value.holder.is_empty()
                    || node_of(&lease.value.holder) == node_of(&self.me)
                    || lease.value.lasts <= age =>
            {
                Chance::Over(lease.clone())
            }
            Some(_) => Chance::No,
        }
    }

    /// Who holds a route, if anybody does, and for how long it has been like that.
    pub(crate) fn owner(&self, now: Moment, route: &Subject) -> (Option<&str>, Moment) {
        let Some(Seen { lease, since }) = self.seen.get(route) else { return (None, Moment::ZERO) };
        let age = now.saturating_sub(*since);
        let living = lease.as_ref().filter(|lease| age < lease.value.lasts);
        let holder = living.map(|lease| lease.value.holder.as_str()).filter(|holder| !holder.is_empty());
        (holder, age)
    }

    /// Those who live: the names of their leases and who holds them.
    pub(crate) fn members(&self) -> &[(String, String)] {
        &self.members
    }

    /// For how long these were the members.
    pub(crate) fn quiet(&self, now: Moment) -> Moment {
        now.saturating_sub(self.since)
    }

    /// Leases of members that did not change for so long.
    pub(crate) fn forgotten(&self, now: Moment, age: Moment) -> Vec<(Subject, Kept<Lease>)> {
        let is_old = |(subject, seen): &(&Subject, &Seen)| {
            matches!(subject, Subject::Member(_)) && age <= now.saturating_sub(seen.since)
        };
        let old = self.seen.iter().filter(is_old);
        old.filter_map(|(subject, seen)| Some((subject.clone(), seen.lease.clone()?))).collect()
    }

    fn living(&self, now: Moment) -> Vec<(String, String)> {
        let mut living: Vec<(String, String)> = Vec::new();
        for (subject, seen) in &self.seen {
            if let (Subject::Member(name), Some(lease)) = (subject, &seen.lease)
                && !lease.value.holder.is_empty()
                && now.saturating_sub(seen.since) < lease.value.lasts
            {
                // In order, so that two looks can be compared.
                let place = living.partition_point(|(before, _)| before < name);
                living.insert(place, (name.clone(), lease.value.holder.clone()));
            }
        }
        living
    }
}
