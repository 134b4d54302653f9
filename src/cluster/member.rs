//! One router of a cluster: what it sees, and which routes it takes, holds and gives. Pure: the leases as
//! they were listed come in, what to do goes out.

use super::lease::{Kept, Lease, Moment, Rules, Subject, Version};
use super::sight::{Chance, Sight};
use super::spread::{self, Seat, Stand};

/// This router among its like.
pub(crate) struct Member {
    rules: Rules,
    me: String,
    routes: Vec<Subject>,
    places: Vec<Place>,
    sight: Sight,
}

#[derive(Clone)]
struct Place {
    stand: Own,
    // This process gave it away, and nobody has taken it yet.
    given: bool,
    // It is not tried before.
    not_before: Moment,
    // There was no lease, and the record was seen like this first.
    unclaimed: Option<(Version, Moment)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    Out,
    Taking,
    Running,
    Ending,
}

/// A route to take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Take {
    /// Its place in the file.
    pub(crate) route: usize,
    /// The lease to replace; none where there is none.
    pub(crate) over: Option<Kept<Lease>>,
    /// There was none, and the record had this version, for this time.
    pub(crate) unclaimed: Option<(Version, Moment)>,
}

impl Member {
    /// This holder, for these routes, of which it has none.
    pub(crate) fn new(rules: Rules, me: &str, routes: &[&str]) -> Member {
        let place = Place { stand: Own::Out, given: false, not_before: Moment::ZERO, unclaimed: None };
        Member {
            rules,
            me: me.to_string(),
            routes: routes.iter().map(|route| Subject::Route(route.to_string())).collect(),
            places: vec![place; routes.len()],
            sight: Sight::new(rules, me),
        }
    }

    /// All leases as they are listed; gives the routes to take and the one to give away. `outstanding`: the
    /// events of a route of ours that are on their way.
    pub(crate) fn look(
        &mut self,
        now: Moment,
        listed: Vec<(Subject, Kept<Lease>)>,
        outstanding: &dyn Fn(usize) -> usize,
    ) -> (Vec<Take>, Option<usize>) {
        self.sight.look(now, listed, &self.routes);
        let mut chances = Vec::with_capacity(self.routes.len());
        let mut seats = Vec::with_capacity(self.routes.len());
        for (subject, place) in self.routes.iter().zip(&mut self.places) {
            let (owner, age) = self.sight.owner(now, subject);
            let chance = match place.stand {
                Own::Out if place.not_before <= now => self.sight.chance(now, subject),
                _ => Chance::No,
            };
            place.given &= owner.is_none();
            let open_for = match &chance {
                Chance::Over(lease) if !lease.value.holder.is_empty() => {
                    age.saturating_sub(lease.value.lasts)
                }
                _ => age,
            };
            let stand = match place.stand {
                Own::Taking => Stand::Taking,
                Own::Running => Stand::Mine,
                Own::Ending => Stand::Giving,
                Own::Out if chance == Chance::No => Stand::Other,
                Own::Out => Stand::Open { long: self.rules.hold <= open_for, given: place.given },
            };
            let Subject::Route(route) = subject else { continue };
            seats.push(Seat { route, stand, owner });
            chances.push(chance);
        }
        let members = self.living();
        let is_quiet = self.rules.settle <= self.sight.quiet(now);
        let orders = spread::plan(&self.me, &members, &seats, is_quiet, outstanding);
        let take = |route: usize| match std::mem::replace(&mut chances[route], Chance::No) {
            Chance::No => None,
            Chance::Over(lease) => Some(Take { route, over: Some(lease), unclaimed: None }),
            Chance::Missing(since) => {
                let unclaimed = self.places[route].unclaimed.clone();
                let unclaimed = unclaimed.filter(|(_, seen)| since <= *seen);
                let aged = unclaimed.map(|(version, seen)| (version, now.saturating_sub(seen)));
                Some(Take { route, over: None, unclaimed: aged })
            }
        };
        let taken: Vec<Take> = orders.take.into_iter().filter_map(take).collect();
        taken.iter().for_each(|take| self.places[take.route].stand = Own::Taking);
        if let Some(route) = orders.give {
            (self.places[route].stand, self.places[route].given) = (Own::Ending, true);
        }
        (taken, orders.give)
    }

    /// A route that was taken runs.
    pub(crate) fn runs(&mut self, route: usize) {
        self.places[route].stand = Own::Running;
    }

    /// A route is no longer this process's; it is not tried again before this moment.
    pub(crate) fn ended(&mut self, route: usize, not_before: Moment) {
        let place = &mut self.places[route];
        (place.stand, place.not_before) = (Own::Out, not_before);
    }

    /// It was not taken: there was no lease, and this version of the record.
    pub(crate) fn unclaimed(&mut self, route: usize, version: Version, now: Moment) {
        let place = &mut self.places[route];
        place.stand = Own::Out;
        let since = match self.sight.chance(now, &self.routes[route]) {
            Chance::Missing(since) => since,
            _ => now,
        };
        let is_same = |(before, seen): &(Version, Moment)| *before == version && since <= *seen;
        if !place.unclaimed.as_ref().is_some_and(is_same) {
            place.unclaimed = Some((version, now));
        }
    }

    /// What was seen of the others.
    pub(crate) fn sight(&self) -> &Sight {
        &self.sight
    }

    /// The holders that live, this one among them.
    pub(crate) fn living(&self) -> Vec<&str> {
        let mut members: Vec<&str> = self.sight.members().iter().map(|(_, holder)| holder.as_str()).collect();
        if !members.contains(&self.me.as_str()) {
            members.push(&self.me);
        }
        members
    }
}
