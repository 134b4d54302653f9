//! `/`: a snapshot as a page for people. It holds everything that it needs: no script, and nothing
//! from elsewhere, so that it works on a network without any.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::outcomes::Outcome;
use super::snapshot::{Counts, IncidentSnapshot, Phase, RoutePart, RouteSnapshot, Snapshot};
use super::status::{self, State, age};
use crate::limits::{PAGE_NAMES_MAX, PAGE_NAMES_SHORT, PAGE_REFRESH_INTERVAL, PAGE_ROUTES_SHORT};
use crate::order;
use crate::version;

/// What a browser may do with the page: show it, with its own style and its own sign.
pub(crate) const SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// The query that shows all names of events and functions, not only the busiest. It is part of the
/// address, so that it outlasts the refresh.
pub(crate) const ALL: &str = "all";

const STYLE: &str = include_str!("page.css");

/// How good news is: the name of its colours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tone {
    Bad,
    Wait,
    Good,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Tone::Bad => "bad",
            Tone::Wait => "wait",
            Tone::Good => "good",
        }
    }

    /// The colour of the sign in the browser's tab.
    fn color(self) -> &'static str {
        match self {
            Tone::Bad => "d43c3c",
            Tone::Wait => "d99a1c",
            Tone::Good => "2a9d57",
        }
    }

    fn of(route: &RouteSnapshot) -> Tone {
        match status::state(route).0 {
            State::Running => Tone::Good,
            State::Connecting | State::CatchingUp => Tone::Wait,
            State::Disconnected | State::Stalled | State::Held | State::Failing => Tone::Bad,
        }
    }
}

/// The page; `all` names or only the busiest.
pub(crate) fn html(snapshot: &Snapshot, all: bool) -> String {
    let mut out = String::with_capacity(8192);
    head(&mut out, snapshot);
    for line in status::hangs(snapshot) {
        let _ = writeln!(out, "<div class=\"trouble bad\">{}</div>", escaped(&line));
    }
    // Whoever comes because something is wrong sees it first.
    let of = |tone| snapshot.routes.iter().filter(move |route| Tone::of(route) == tone);
    let routes: Vec<&RouteSnapshot> = [Tone::Bad, Tone::Wait, Tone::Good].into_iter().flat_map(of).collect();
    if let Some(cluster) = &snapshot.cluster {
        cluster.html(&mut out, escaped);
    }
    if PAGE_ROUTES_SHORT < routes.len() {
        overview(&mut out, &routes);
    }
    for route in routes {
        section(&mut out, route, snapshot.now, all);
    }
    foot(&mut out, snapshot);
    out
}

// Writing to a string cannot fail, here and below.
fn head(out: &mut String, snapshot: &Snapshot) {
    let (tone, word) = match (snapshot.phase, status::obstacles(snapshot).len()) {
        (Phase::Starting, _) => (Tone::Wait, "starting".to_string()),
        (Phase::Stopping, _) => (Tone::Wait, "stopping".to_string()),
        (Phase::Running, 0) => (Tone::Good, "ready".to_string()),
        (Phase::Running, 1) => (Tone::Bad, "1 problem".to_string()),
        (Phase::Running, many) => (Tone::Bad, format!("{many} problems")),
    };
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"{refresh}\">\
         <link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'\
         %3E%3Ccircle cx='4.5' cy='4.5' r='4' fill='%23{color}'/%3E%3C/svg%3E\">\
         <title>{word} - event router</title><style>\n{STYLE}</style></head><body><main>\n\
         <header><h1>Event router</h1><span class=\"badge {class}\">{word}</span>\
         <span class=\"soft end\">version {version}, up {up}</span></header>\n",
        refresh = PAGE_REFRESH_INTERVAL.as_secs(),
        color = tone.color(),
        class = tone.class(),
        version = version::VERSION,
        up = long(age(snapshot.now, snapshot.process.started))
    );
}

fn foot(out: &mut String, snapshot: &Snapshot) {
    let memory = snapshot.process.resident_bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0));
    let _ = write!(
        out,
        "<footer>As of {}, memory {}; this page renews itself. For programs: <a href=\"status\">status</a>, \
         <a href=\"metrics\">metrics</a>, <a href=\"stats\">stats</a>, <a href=\"readyz\">readyz</a>, \
         <a href=\"livez\">livez</a>.</footer>\n</main></body></html>\n",
        time(snapshot.now),
        memory.as_deref().unwrap_or("unknown")
    );
}

/// Where there are many routes: all of them in a few lines.
fn overview(out: &mut String, routes: &[&RouteSnapshot]) {
    out.push_str("<nav>");
    for route in routes {
        let name = escaped(&route.about.route);
        let (state, class) = (status::state(route).0.name(), Tone::of(route).class());
        let _ = write!(out, "<a class=\"badge {class}\" href=\"#{name}\">{name}: {state}</a>");
    }
    out.push_str("</nav>\n");
}

fn section(out: &mut String, route: &RouteSnapshot, now: Timestamp, all: bool) {
    let (state, since) = status::state(route);
    let (about, name) = (&route.about, escaped(&route.about.route));
    let _ = write!(
        out,
        "<section id=\"{name}\" class=\"{tone}\"><h2>{name}<span class=\"badge {tone}\">{state}</span>\
         <span class=\"soft\">for {since}</span><span class=\"soft end\">{promise}</span></h2>\n\
         <div class=\"ends\"><div><b>{source}</b>{source_address}{description}</div><i>&rarr;</i>\
         <div><b>{processor}</b>{processor_address}</div></div>\n",
        tone = Tone::of(route).class(),
        state = state.name(),
        since = long(age(now, since)),
        promise = if about.at_least_once { "at least once" } else { "at most once" },
        source = escaped(&about.source),
        source_address = small(&about.source_address),
        description = small(&route.link.description),
        processor = escaped(&about.processor),
        processor_address = small(&about.processor_address),
    );
    for incident in &route.incidents {
        box_of(out, route, incident, now);
    }
    if let Some(text) = status::catching_up(route).filter(|_| state == State::CatchingUp) {
        let _ = writeln!(out, "<div class=\"trouble wait\"><b>Catching up</b> <span>{text}</span></div>");
    }
    numbers(out, route, now);
    let counts = &route.counts;
    table(out, "event", &counts.names, all);
    table(out, "function", &counts.targets, all);
    out.push_str("</section>\n");
}

/// What is wrong, since when, what the router does, and what a person can do.
fn box_of(out: &mut String, route: &RouteSnapshot, incident: &IncidentSnapshot, now: Timestamp) {
    let about = &route.about;
    let title = match incident.part {
        RoutePart::Source => format!("{} cannot be read", about.source),
        RoutePart::Stall => format!("{} holds events back", about.source),
        RoutePart::Checkpoint => "the position cannot be saved".to_string(),
        RoutePart::DeadLetters => "dead letters cannot be written".to_string(),
        RoutePart::Room => format!("too much waits for what {} does not take", about.processor),
        RoutePart::Delivery => format!("{} does not take events", about.processor),
        RoutePart::Clock => format!("the clock of {} is wrong", about.source),
        RoutePart::Repeats => format!("{} repeats its events", about.source),
        RoutePart::Filter => "the pattern cannot be judged".to_string(),
    };
    let doing = match incident.consequence.as_str() {
        "" => String::new(),
        consequence => format!("; {consequence}"),
    };
    let times =
        if 1 < incident.times { format!(", {} failures", grouped(incident.times)) } else { String::new() };
    let _ = writeln!(
        out,
        "<div class=\"trouble {}\"><b>{}</b> <span>for {}{times}{}</span><p>{}</p><p><b>What to do:</b> {}</p></div>",
        if matches!(incident.part, RoutePart::Clock | RoutePart::Repeats | RoutePart::Filter) {
            "wait"
        } else {
            "bad"
        },
        escaped(&title),
        long(age(now, incident.since)),
        escaped(&doing),
        escaped(&incident.detail),
        with_code(&status::cure(&about.route, incident))
    );
}

fn numbers(out: &mut String, route: &RouteSnapshot, now: Timestamp) {
    let counts = &route.counts;
    let moment = |at: Option<Timestamp>| at.map_or_else(|| "none yet".to_string(), time);
    let last = route.last_read.map_or_else(
        || "none yet".to_string(),
        |last| {
            let ago = long(age(now, last.time));
            format!("{ago} ago<small>{}, key {}</small>", time(last.time), last.key)
        },
    );
    let lag = match route.lag_seconds {
        None => "unknown".to_string(),
        Some(lag) if lag < 10.0 => format!("{lag:.1} s"),
        Some(lag) => long(Duration::try_from_secs_f64(lag).unwrap_or_default()),
    };
    let mut position = format!("settled to {}", moment(route.settled_to));
    if route.about.at_least_once {
        position = format!("checkpoint {}", moment(route.checkpoint));
    }
    let _ = writeln!(
        out,
        "<dl><div><dt>lag</dt><dd>{lag}<small>{position}</small></dd></div>\
         <div><dt>last event</dt><dd>{last}</dd></div>\
         <div><dt>delivered</dt><dd>{}</dd></div><div><dt>waiting</dt><dd>{}</dd></div></dl>",
        grouped(counts.delivered),
        grouped(route.outstanding as u64)
    );
    tally(out, counts);
}

/// The other counters. Those that tell of loss stand out, and are silent while there is none.
fn tally(out: &mut String, counts: &Counts) {
    let retried = counts.retried.iter().map(|(_, count)| count).sum::<u64>();
    let anomalies = counts.anomalies.iter().map(|(_, count)| count).sum::<u64>();
    out.push_str("<p class=\"tally\">");
    for (word, count, tone, is_shown_at_zero) in [
        ("read", counts.read, "", true),
        ("filtered out", counts.filtered, "", true),
        ("without subscriber", counts.unmatched, "", false),
        ("retried", retried, "", true),
        ("dead letters", counts.dead_lettered, "bad", true),
        ("lost", counts.lost, "bad", false),
        ("gaps", counts.gaps, "bad", false),
        ("unknown parts", anomalies, "", false),
        ("reconnects", counts.reconnects, "", true),
    ] {
        if 0 < count || is_shown_at_zero {
            let class = if 0 < count { tone } else { "" };
            let _ = write!(out, "<span class=\"{class}\"><b>{}</b> {word}</span>", grouped(count));
        }
    }
    out.push_str("</p>\n");
}

/// The busiest names.
fn table(out: &mut String, what: &str, outcomes: &[(String, Outcome)], all: bool) {
    if outcomes.is_empty() {
        return;
    }
    let mut sorted: Vec<_> = outcomes.iter().collect();
    let calls = |outcome: &Outcome| outcome.delivered + outcome.failed;
    order::sort_by(&mut sorted, |a, b| calls(&b.1).cmp(&calls(&a.1)).then(a.0.cmp(&b.0)));
    let shown = if all { PAGE_NAMES_MAX } else { PAGE_NAMES_SHORT };
    let _ = write!(out, "<table><tr><th>{what}</th><th>delivered</th><th>failed</th></tr>",);
    for (name, outcome) in sorted.iter().take(shown) {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"{}\">{}</td></tr>",
            escaped(name),
            grouped(outcome.delivered),
            if 0 < outcome.failed { "alarm" } else { "" },
            grouped(outcome.failed)
        );
    }
    out.push_str("</table>\n");
    match (all, outcomes.len().checked_sub(shown)) {
        (true, _) => out.push_str("<a class=\"more\" href=\"?\">only the busiest</a>\n"),
        (false, Some(more @ 1..)) => {
            let _ = writeln!(out, "<a class=\"more\" href=\"?{ALL}\">{more} more</a>");
        }
        (false, _) => {}
    }
}

fn small(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("<small>{}</small>", escaped(text)) }
}

/// What stands between backticks is for the keyboard.
fn with_code(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let part = |(at, part): (usize, &str)| match at % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    parts.map(part).collect()
}

/// A number that people can read: groups of three, with a narrow space that does not break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (at, digit) in digits.chars().enumerate() {
        if 0 < at && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Text as it may stand in an element or between quotes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// To the second, with a space that lets a narrow screen break the line.
fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A span of time as people say it.
fn long(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::snapshot::{About, CatchingUp, RoutePart};
    use crate::observe::testing::{NOW, incident, route, snapshot};

    #[test]
    fn it_shows_state_lag_last_event_errors_and_what_to_do() {
        let mut sick = route("rest");
        sick.incidents = vec![incident(RoutePart::Delivery, NOW - 3600)];
        let mut away = route("away");
        (away.link.connected, away.outstanding, away.lag_seconds) = (false, 0, None);
        let page = html(&snapshot(vec![route("power"), sick, away]), false);
        for text in [
            "<title>2 problems - event router</title>",
            "power<span class=\"badge good\">running</span><span class=\"soft\">for 8 min</span>",
            "rest<span class=\"badge bad\">failing</span><span class=\"soft\">for 60 min</span>",
            "<b>broker does not take events</b> <span>for 60 min, 3 failures; trying again</span>\
             <p>it failed: do this</p><p><b>What to do:</b> look ",
            "with <code>router send --route rest</code>; ",
            "<dt>lag</dt><dd>unknown<small>",
            "<dt>lag</dt><dd>1.5 s<small>checkpoint 2023-11-14 22:13:20 UTC</small></dd>",
            "<dd>16 min ago<small>2023-11-14 22:13:22 UTC, key 4711</small></dd>",
            "<td>VmPoweredOnEvent</td><td>900</td><td class=\"alarm\">2</td>",
            "<span class=\"bad\"><b>3</b> dead letters</span>",
            "http-equiv=\"refresh\"",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(page.find("id=\"rest\"") < page.find("id=\"power\""), "what is wrong comes first: {page}");
        assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("url("), "{page}");
        assert!(html(&snapshot(Vec::new()), false).contains("badge good\">ready"));
    }

    #[test]
    fn a_route_that_catches_up_says_how_far_it_is() {
        let mut late = route("late");
        let end = Some(Duration::from_secs(90));
        late.catching_up = Some(CatchingUp { backlog: 138, is_reading: false, events_per_second: 45.0, end });
        let page = html(&snapshot(vec![late]), false);
        for text in [
            "late<span class=\"badge wait\">catching up</span>",
            "<b>Catching up</b> <span>138 events behind, 45.0/s, done in about 90 s</span>",
            "<title>ready - event router</title>",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
    }

    #[test]
    fn many_routes_and_names_are_short_first() {
        let mut busy = route("busy");
        let name = |n: u64| (format!("com.example.E{n}"), Outcome { delivered: n, failed: 0 });
        busy.counts.names = (0..30).map(name).collect();
        let page = html(&snapshot(vec![busy.clone()]), false);
        assert!(page.contains("com.example.E29") && !page.contains("com.example.E0<"), "{page}");
        assert!(
            page.contains("<a class=\"more\" href=\"?all\">22 more</a>") && !page.contains("<nav>"),
            "{page}"
        );
        assert!(html(&snapshot(vec![busy]), true).contains("com.example.E0<"));
        let routes = ["a", "b", "c", "d", "e"].map(route).to_vec();
        let page = html(&snapshot(routes), false);
        assert!(page.contains("<a class=\"badge good\" href=\"#e\">e: running</a></nav>"), "{page}");
    }

    #[test]
    fn what_others_name_cannot_become_markup() {
        let mut anomalies = route("a");
        let nasty = "<img src=x onerror='a'>&\"";
        anomalies.about = Arc::new(About { source_address: nasty.into(), ..(*anomalies.about).clone() });
        anomalies.link.description = nasty.into();
        anomalies.counts.names = vec![(nasty.into(), Outcome { delivered: 1, failed: 0 })];
        let mut bad = incident(RoutePart::Source, NOW);
        bad.detail = nasty.into();
        bad.consequence = nasty.into();
        anomalies.incidents = vec![bad];
        let page = html(&snapshot(vec![anomalies]), false);
        assert!(!page.contains("<img"), "{page}");
        assert_eq!(page.matches("&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;").count(), 5);
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (12_345_678, "12 345 678")] {
            assert_eq!(grouped(number), text.replace(' ', "\u{202f}"));
        }
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 days")]
        {
            assert_eq!(long(Duration::from_secs(seconds)), text);
        }
    }
}
