//! `/`: a snapshot as a page for people. It holds everything that it needs: no script, and nothing
//! from elsewhere, so that it works on a network without any.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::outcomes::Outcome;
use super::snapshot::{Phase, RouteSnapshot, Snapshot};
use super::status::{self, State, age};
use crate::limits::{PAGE_NAMES_MAX, PAGE_REFRESH_INTERVAL};
use crate::version;

/// What a browser may do with the page: show it, with its own style.
pub const SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = include_str!("page.css");

/// The page.
pub fn html(snapshot: &Snapshot) -> String {
    let mut out = String::with_capacity(8192);
    let obstacles = status::obstacles(snapshot);
    let (class, word) = match (snapshot.phase, obstacles.len()) {
        (Phase::Starting, _) => ("wait", "starting".to_string()),
        (Phase::Stopping, _) => ("wait", "stopping".to_string()),
        (Phase::Running, 0) => ("good", "ready".to_string()),
        (Phase::Running, 1) => ("bad", "1 problem".to_string()),
        (Phase::Running, many) => ("bad", format!("{many} problems")),
    };
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"{}\">\
         <title>{word} - event router</title><style>\n{STYLE}</style></head><body><main>\n\
         <header><h1>Event router</h1><span class=\"badge {class}\">{word}</span>\
         <span class=\"soft\">version {}, up {}</span></header>\n",
        PAGE_REFRESH_INTERVAL.as_secs(),
        version::VERSION,
        long(age(snapshot.now, snapshot.process.started))
    );
    for line in status::hangs(snapshot) {
        let _ = writeln!(out, "<p class=\"trouble bad\">{}</p>", escaped(&line));
    }
    for route in &snapshot.routes {
        section(&mut out, route, snapshot.now);
    }
    let memory = snapshot.process.resident_bytes.map(|bytes| format!("{:.1} MiB", bytes as f64 / 1048576.0));
    let _ = write!(
        out,
        "<footer>As of {}, memory {}. For programs: <a href=\"status\">status</a>, \
         <a href=\"metrics\">metrics</a>, <a href=\"stats\">stats</a>, <a href=\"readyz\">readyz</a>, \
         <a href=\"livez\">livez</a>.</footer>\n</main></body></html>\n",
        time(snapshot.now),
        memory.as_deref().unwrap_or("unknown")
    );
    out
}

fn section(out: &mut String, route: &RouteSnapshot, now: Timestamp) {
    let (state, since) = status::state(route);
    let class = match state {
        State::Running => "good",
        State::Connecting => "wait",
        _ => "bad",
    };
    let about = &route.about;
    let _ = write!(
        out,
        "<section><h2>{}<span class=\"badge {class}\">{}</span><span class=\"soft\">for {}</span></h2>\n\
         <div class=\"ends\"><span>{} {}</span><span class=\"soft\">to</span><span>{} {}</span>\
         <span class=\"soft\">{}</span></div>\n",
        escaped(&about.route),
        state.name(),
        long(age(now, since)),
        escaped(&about.source),
        small(&about.source_address),
        escaped(&about.processor),
        small(&about.processor_address),
        if about.at_least_once { "at least once" } else { "at most once" }
    );
    for trouble in &route.troubles {
        let _ = writeln!(
            out,
            "<p class=\"trouble bad\"><b>{}</b> {}<small>{}since {}, {} failures</small></p>",
            trouble.part.name(),
            escaped(&trouble.detail),
            if trouble.consequence.is_empty() {
                String::new()
            } else {
                format!("{}; ", escaped(&trouble.consequence))
            },
            time(trouble.since),
            trouble.times
        );
    }
    numbers(out, route);
    let counts = &route.counts;
    table(out, "Types of events", "type", &counts.names);
    table(out, "Functions", "function", &counts.targets);
    out.push_str("</section>\n");
}

fn numbers(out: &mut String, route: &RouteSnapshot) {
    let counts = &route.counts;
    let position = |at: Option<Timestamp>| at.map_or_else(|| "none yet".to_string(), time);
    let last = route.last_read.map_or_else(
        || "none yet".to_string(),
        |position| format!("{}<br><span class=\"soft\">key {}</span>", time(position.time), position.key),
    );
    let mut pairs = vec![
        ("lag", format!("{:.1} s", route.lag_seconds)),
        ("not settled", route.outstanding.to_string()),
        ("read", counts.read.to_string()),
        ("delivered", counts.delivered.to_string()),
        ("filtered out", counts.filtered.to_string()),
        ("retried", counts.retried.iter().map(|(_, count)| count).sum::<u64>().to_string()),
        ("dead letters", counts.dead_lettered.to_string()),
        ("reconnects", counts.reconnects.to_string()),
    ];
    for (name, value) in [("unmatched", counts.unmatched), ("lost", counts.lost), ("gaps", counts.gaps)] {
        if 0 < value {
            pairs.push((name, value.to_string()));
        }
    }
    pairs.push(("last event read", last));
    pairs.push(("settled to", position(route.settled_to)));
    if route.about.at_least_once {
        pairs.push(("checkpoint", position(route.checkpoint)));
    }
    if !route.link.description.is_empty() {
        pairs.push(("source", escaped(&route.link.description)));
    }
    out.push_str("<dl>");
    for (name, value) in pairs {
        let _ = write!(out, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    out.push_str("</dl>\n");
}

/// The busiest names.
fn table(out: &mut String, title: &str, name: &str, outcomes: &[(String, Outcome)]) {
    if outcomes.is_empty() {
        return;
    }
    let mut sorted: Vec<_> = outcomes.iter().collect();
    sorted.sort_by_key(|(_, outcome)| std::cmp::Reverse(outcome.delivered + outcome.failed));
    let _ = write!(
        out,
        "<details><summary>{title} ({})</summary><div class=\"scroll\"><table>\
         <tr><th>{name}</th><th>delivered</th><th>failed attempts</th></tr>",
        outcomes.len()
    );
    for (name, outcome) in sorted.iter().take(PAGE_NAMES_MAX) {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(name),
            outcome.delivered,
            outcome.failed
        );
    }
    out.push_str("</table></div></details>\n");
}

fn small(text: &str) -> String {
    format!("<span class=\"soft\">{}</span>", escaped(text))
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
    use crate::observe::snapshot::{About, Part};
    use crate::observe::testing::{NOW, route, snapshot, trouble};

    #[test]
    fn it_shows_state_lag_last_event_errors_and_what_to_do() {
        let mut sick = route("rest");
        sick.troubles = vec![trouble(Part::Delivery, NOW - 3600)];
        let page = html(&snapshot(vec![route("power"), sick]));
        for text in [
            "<title>1 problem - event router</title>",
            "power<span class=\"badge good\">running</span><span class=\"soft\">for 8 min</span>",
            "rest<span class=\"badge bad\">failing</span><span class=\"soft\">for 60 min</span>",
            "<b>delivery</b> it failed: do this<small>trying again; since 2023-11-14 21:30:00 UTC, 3 failures</small>",
            "<dt>lag</dt><dd>1.5 s</dd>",
            "2023-11-14 22:13:22 UTC<br><span class=\"soft\">key 4711</span>",
            "<td>VmPoweredOnEvent</td><td>900</td><td>2</td>",
            "http-equiv=\"refresh\"",
        ] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert!(
            !page.contains("://vc01/sdk\"") && !page.contains("<script") && !page.contains("src="),
            "{page}"
        );
        assert!(html(&snapshot(Vec::new())).contains("badge good\">ready"));
    }

    #[test]
    fn what_others_name_cannot_become_markup() {
        let mut odd = route("a");
        let nasty = "<img src=x onerror='a'>&\"";
        odd.about = Arc::new(About { source_address: nasty.into(), ..(*odd.about).clone() });
        odd.link.description = nasty.into();
        odd.counts.names = vec![(nasty.into(), Outcome { delivered: 1, failed: 0 })];
        let mut bad = trouble(Part::Source, NOW);
        bad.detail = nasty.into();
        bad.consequence = nasty.into();
        odd.troubles = vec![bad];
        let page = html(&snapshot(vec![odd]));
        assert!(!page.contains("<img"), "{page}");
        assert_eq!(page.matches("&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;").count(), 5);
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
