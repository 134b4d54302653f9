//! The source of a measurement, in a process of its own: a simulated vCenter whose events are made
//! page by page when they are read, so that a million of them need no memory.
//!
//! Its first line on standard output is its address. `push` on standard input records one event now.

use std::io::BufRead;

use event_router::demo::history::History;
use event_router::demo::record::{Draft, Object, Record};
use event_router::demo::simulator::{Settings, Simulator};
use event_router::demo::stream::Stream;
use jiff::{SignedDuration, Timestamp};

use crate::load::Load;

/// Different events; after them the same come again with other keys, times and machines.
const DRAFTS: usize = 4096;
/// From event to event in the history: a busy vCenter.
const INTERVAL: SignedDuration = SignedDuration::from_millis(10);

/// Serves until standard input ends.
pub(crate) fn serve(load: &Load) {
    let begin = begin_of(load.events);
    let simulator = Simulator::start(Settings { history: history(load, begin), ..Settings::default() })
        .expect("listen on loopback");
    println!("{} {begin}", simulator.url());
    let mut stream = Stream::new(2);
    for line in std::io::stdin().lock().lines() {
        if line.is_ok_and(|line| line == "push") {
            let now = simulator.now();
            simulator.push(Draft { key: None, chain_id: None, ..stream.next(now) });
            println!("pushed");
        }
    }
}

/// The newest event happened just now.
fn begin_of(events: u64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(1) - INTERVAL * i32::try_from(events).expect("fewer events")
}

fn history(load: &Load, begin: Timestamp) -> History {
    let mut stream = Stream::new(1);
    let drafts: Vec<Draft> = (0..DRAFTS).map(|_| sized(stream.next(begin), load.event_bytes)).collect();
    let objects = load.objects;
    History::generated(load.events, move |place| {
        let mut draft = drafts[place as usize % DRAFTS].clone();
        draft.chain_id = None;
        // The inventory of the stream is small; the order of events is kept for each machine.
        let number = place % objects;
        draft.place.vm = Some(Object { name: format!("vm{number:04}"), id: format!("vm-{number}") });
        Record { key: place as i32 + 1, time: begin + INTERVAL * place as i32, draft }
    })
}

/// The event, about as large as asked for: vcsim's events are of 0.45 to 3.8 KB, 1.3 KB on average,
/// and a reconfiguration that lists all that was set can be of 50 KB and more.
fn sized(draft: Draft, bytes: usize) -> Draft {
    // Envelope, key, time and places of an event.
    let plain = 800 + draft.members.len();
    if bytes <= plain {
        return Draft { members: "<template>false</template>".into(), message: String::new(), ..draft };
    }
    let option = |number| {
        format!(
            "<extraConfig xsi:type=\"OptionValue\"><key>guestinfo.setting.{number}</key>\
             <value xsi:type=\"xsd:string\">value of it, number {number}</value></extraConfig>"
        )
    };
    let mut options = String::new();
    for number in 0.. {
        if bytes <= plain + options.len() {
            break;
        }
        options.push_str(&option(number));
    }
    Draft {
        class: "VmReconfiguredEvent".into(),
        type_id: None,
        members: format!("<template>false</template><configSpec>{options}</configSpec>"),
        ..draft
    }
}
