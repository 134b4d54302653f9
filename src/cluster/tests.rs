//! The protocol under all faults at once, by seeds. `EVENT_ROUTER_CLUSTER=RUNS,SECONDS` is the long form
//! (1000,1200), `EVENT_ROUTER_SEED` the first seed.

use self::world::{Mutant, World};

mod truth;
mod world;

const SECOND: u64 = 1_000_000;
const NODES: usize = 3;
/// At-least-once or not, one each.
const ROUTES: &[bool] = &[true, true, false, true];

#[derive(Default)]
struct Sum {
    faults: Vec<String>,
    takeovers: usize,
    events: usize,
    repeats: usize,
    late: usize,
}

fn simulate(seed: u64, seconds: u64, mutant: Mutant) -> Sum {
    let mut world = World::new(seed, NODES, ROUTES, mutant);
    let end = seconds * SECOND;
    let mut time = 20 * SECOND;
    while time < end {
        world.run(time);
        time += SECOND + world.random.below(20 * SECOND as usize) as u64;
        if !world.is_bare() {
            fail(&mut world);
        }
    }
    world.run(end);
    world.heal();
    // Then all is well soon, and stays so but for the time of a hand-over.
    let mut later = end + 130 * SECOND;
    world.run(later);
    while !is_well(&world) && later < end + 190 * SECOND {
        later += SECOND;
        world.run(later);
    }
    let mut sum = Sum { takeovers: world.takeovers, ..Sum::default() };
    if !is_well(&world) {
        sum.faults.push(format!("owners at the end: {:?}", world.owners()));
    }
    for (route, truth) in world.truths.iter_mut().enumerate() {
        truth.complete((later / SECOND - 10) * 4);
        sum.events += truth.total();
        sum.repeats += truth.repeats;
        sum.late += truth.late;
        // What was past the check when its process was stopped.
        if 2 * (truth.lost + world.takeovers) < truth.late {
            sum.faults.push(format!("route {route}: {} late deliveries", truth.late));
        }
        sum.faults.extend(truth.faults.drain(..).map(|fault| format!("route {route}: {fault}")));
    }
    sum
}

/// Each route has one owner, and all have about as many.
fn is_well(world: &World) -> bool {
    let mut owners = world.owners();
    owners.sort_by_key(|(_, route)| *route);
    let is_owned = owners.iter().map(|(_, route)| *route).eq(0..ROUTES.len());
    let counts = (0..NODES).map(|node| owners.iter().filter(|(owner, _)| *owner == node).count());
    let (least, most) = (counts.clone().min().unwrap_or_default(), counts.max().unwrap_or_default());
    is_owned && most <= least + 1
}

fn fail(world: &mut World) {
    let node = world.random.below(NODES);
    let time = world.random.below(40 * SECOND as usize) as u64;
    match world.random.below(20) {
        0..=6 => world.nodes[node].paused_until = world.now + time,
        7..=11 => world.nodes[node].parted_until = world.now + time,
        12 | 13 => world.fail_store(time * 3 / 2),
        14 | 15 => world.crash(node, 200_000 + time / 2),
        16 => world.terminate(node),
        17 | 18 => {
            let route = world.random.below(ROUTES.len());
            world.delete_lease(route);
        }
        _ => {
            let route = world.random.below(ROUTES.len());
            world.delete_record(route);
        }
    }
}

fn long_form() -> Option<(u64, u64)> {
    let text = std::env::var("EVENT_ROUTER_CLUSTER").ok()?;
    let (runs, seconds) = text.split_once(',')?;
    Some((runs.parse().ok()?, seconds.parse().ok()?))
}

fn first_seed() -> u64 {
    std::env::var("EVENT_ROUTER_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn no_event_is_missing_and_none_comes_twice_that_must_not() {
    let (runs, seconds) = long_form().unwrap_or((100, 120));
    let mut all = Sum::default();
    for seed in first_seed()..first_seed() + runs {
        let sum = simulate(seed, seconds, Mutant::None);
        assert!(
            sum.faults.is_empty(),
            "EVENT_ROUTER_SEED={seed}: {:#?}",
            &sum.faults[..sum.faults.len().min(5)]
        );
        all.takeovers += sum.takeovers;
        all.events += sum.events;
        all.repeats += sum.repeats;
        all.late += sum.late;
    }
    eprintln!(
        "{runs} runs of {seconds} s: {} events, {} takeovers, {} repeats, {} late",
        all.events, all.takeovers, all.repeats, all.late
    );
    assert!(runs as usize * 4 < all.takeovers, "{} takeovers", all.takeovers);
}

#[test]
fn what_the_protocol_rests_on_is_missed_when_it_is_left_out() {
    for mutant in [
        Mutant::NoCompareAndSwap,
        Mutant::NoSelfStop,
        Mutant::MissingMeansFree,
        Mutant::HoldFromTheAnswer,
        Mutant::OwnLease,
    ] {
        let caught = (1..200).find(|seed| !simulate(*seed, 120, mutant).faults.is_empty());
        assert!(caught.is_some(), "{mutant:?} was not noticed");
        eprintln!("{mutant:?} was noticed by seed {caught:?}");
    }
}
