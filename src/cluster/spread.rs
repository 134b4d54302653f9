//! Which routes this process takes and gives away, so that all have about as many. Pure: what is seen in,
//! what to do out. Nobody leads: each member decides for itself, of the same leases.

/// A route of this file, as this process sees it.
#[derive(Clone, Debug)]
pub(crate) struct Seat<'a> {
    /// Its name.
    pub(crate) route: &'a str,
    /// What this process has to do with it.
    pub(crate) stand: Stand,
    /// Its owner as the leases tell, if anybody.
    pub(crate) owner: Option<&'a str>,
}

/// What this process has to do with a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stand {
    /// It runs here.
    Mine,
    /// It is being taken.
    Taking,
    /// It is being given away.
    Giving,
    /// It may be taken; `long`: nobody has taken it for a while. `given`: this process gave it away lately.
    Open {
        /// Whoever sees it takes it, whatever it has.
        long: bool,
        /// It is meant for another.
        given: bool,
    },
    /// Another has it.
    Other,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Routes to take, by their place.
    pub(crate) take: Vec<usize>,
    /// The route to give away, by its place.
    pub(crate) give: Option<usize>,
}

/// Routes that are taken at the same time, at most: each takes a login.
const TAKING_MAX: usize = 4;

/// What this member does. `members`: all that live, by their holders, this one included. `is_quiet`: nobody
/// came or went for a while. `outstanding`: the events of a route of ours that are on their way; it is asked
/// only when one is given away.
pub(crate) fn plan(
    me: &str,
    members: &[&str],
    seats: &[Seat<'_>],
    is_quiet: bool,
    outstanding: &dyn Fn(usize) -> usize,
) -> Orders {
    let count = members.len().max(1);
    let (floor, ceiling) = (seats.len() / count, seats.len().div_ceil(count));
    let number = |wanted: fn(&Stand) -> bool| seats.iter().filter(|seat| wanted(&seat.stand)).count();
    let taking = number(|stand| *stand == Stand::Taking);
    let mine = number(|stand| matches!(stand, Stand::Mine | Stand::Taking));
    let mut orders = Orders::default();
    while taking + orders.take.len() < TAKING_MAX {
        let has_place = mine + orders.take.len() < ceiling;
        let is_for_me = |(place, seat): &(usize, &Seat<'_>)| match seat.stand {
            Stand::Open { long, given } => (long || has_place && !given) && !orders.take.contains(place),
            _ => false,
        };
        let open = seats.iter().enumerate().filter(is_for_me);
        let Some((place, _)) = open.min_by_key(|(_, seat)| weight(seat.route, me)) else { break };
        orders.take.push(place);
    }
    let is_settled = seats.iter().all(|seat| matches!(seat.stand, Stand::Mine | Stand::Other));
    let has_few = |member: &&str| seats.iter().filter(|seat| seat.owner == Some(member)).count() < floor;
    let others = || members.iter().copied().filter(|member| *member != me);
    if is_quiet && is_settled && (ceiling < mine || floor < mine && others().any(|member| has_few(&member))) {
        let own = (0..seats.len()).filter(|place| seats[*place].stand == Stand::Mine);
        orders.give = own.min_by_key(|place| outstanding(*place));
    }
    orders
}

/// Members try different routes first.
fn weight(route: &str, member: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(member.as_bytes());
    hasher.update(route.as_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats<'a>(stands: &[Stand], owners: &[Option<&'a str>]) -> Vec<Seat<'a>> {
        let names = ["r0", "r1", "r2", "r3", "r4", "r5"];
        let seat = |((route, stand), owner): ((&'a str, &Stand), &Option<&'a str>)| Seat {
            route,
            stand: *stand,
            owner: *owner,
        };
        names.into_iter().zip(stands).zip(owners).map(seat).collect()
    }

    #[test]
    fn a_member_takes_its_share_and_what_nobody_else_takes() {
        let open = |long, given| Stand::Open { long, given };
        let ask = |stands: &[Stand]| {
            let seats = seats(stands, &[None; 6][..stands.len()]);
            plan("a", &["a", "b"], &seats, false, &|_| 0).take.len()
        };
        assert_eq!(ask(&[open(false, false); 6]), 3);
        assert_eq!(ask(&[open(true, false); 6]), 4, "at most four logins at a time");
        assert_eq!(ask(&[Stand::Mine, Stand::Mine, Stand::Taking, open(false, false)]), 0);
        assert_eq!(ask(&[Stand::Other, open(false, true)]), 0, "it was given away for another");
        assert_eq!(ask(&[Stand::Other, open(true, true)]), 1);
    }

    #[test]
    fn a_member_gives_the_quietest_route_when_nobody_came_or_went_for_a_while() {
        let stands = [Stand::Mine, Stand::Mine, Stand::Mine, Stand::Other];
        let owners = [Some("a"), Some("a"), Some("a"), Some("b")];
        let seats = seats(&stands, &owners);
        let give = |is_quiet, members: &[&str]| {
            plan("a", members, &seats, is_quiet, &|place| [9, 2, 5, 0][place]).give
        };
        assert_eq!(give(false, &["a", "b"]), None);
        assert_eq!(give(true, &["a", "b"]), Some(1));
        assert_eq!(give(true, &["a"]), None);
    }

    #[test]
    fn one_above_the_least_is_given_to_who_has_less() {
        let stands = [Stand::Mine, Stand::Mine, Stand::Other, Stand::Other];
        let owners = [Some("a"), Some("a"), Some("b"), Some("b")];
        let seats = seats(&stands, &owners);
        assert_eq!(plan("a", &["a", "b", "c"], &seats, true, &|_| 0).give, Some(0));
        assert_eq!(plan("a", &["a", "b"], &seats, true, &|_| 0).give, None);
    }
}
