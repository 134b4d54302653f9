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
    /// It runs here, with so many events on their way.
    Mine(usize),
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
/// came or went for a while.
pub(crate) fn plan(me: &str, members: &[&str], seats: &[Seat<'_>], is_quiet: bool) -> Orders {
    let count = members.len().max(1);
    let (floor, ceiling) = (seats.len() / count, seats.len().div_ceil(count));
    let number = |wanted: fn(&Stand) -> bool| seats.iter().filter(|seat| wanted(&seat.stand)).count();
    let taking = number(|stand| *stand == Stand::Taking);
    let mine = number(|stand| matches!(stand, Stand::Mine(_) | Stand::Taking));
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
    let is_settled = seats.iter().all(|seat| matches!(seat.stand, Stand::Mine(_) | Stand::Other));
    let has_few = |member: &&str| seats.iter().filter(|seat| seat.owner == Some(member)).count() < floor;
    let others = || members.iter().copied().filter(|member| *member != me);
    if is_quiet && is_settled && (ceiling < mine || floor < mine && others().any(|member| has_few(&member))) {
        let outstanding = |seat: &Seat<'_>| match seat.stand {
            Stand::Mine(outstanding) => Some(outstanding),
            _ => None,
        };
        let own = seats.iter().enumerate().filter_map(|(place, seat)| Some((outstanding(seat)?, place)));
        orders.give = own.min().map(|(_, place)| place);
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
