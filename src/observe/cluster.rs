//! What is shown of the routers that share routes: who has which, and whether that is seen.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// The cluster as this router sees it.
#[derive(Clone, Debug)]
pub(crate) struct ClusterSnapshot {
    /// What it is called.
    pub(crate) name: String,
    /// What this router is called in it.
    pub(crate) identity: String,
    /// Those that live, by what they are called; this router among them.
    pub(crate) members: Vec<String>,
    /// For how long it was not seen; none when it never was.
    pub(crate) unseen: Option<Duration>,
    /// How long a lease lasts.
    pub(crate) lease: Duration,
    /// The routes that are shared, in the order of the file.
    pub(crate) routes: Vec<SharedSnapshot>,
    /// What became of routes here, by a word.
    pub(crate) changes: Vec<(&'static str, u64)>,
    /// Calls of the engine: what for, how they ended, how many.
    pub(crate) calls: Vec<(&'static str, &'static str, u64)>,
}

/// A route that is shared.
#[derive(Clone, Debug)]
pub(crate) struct SharedSnapshot {
    /// Its name.
    pub(crate) route: String,
    /// What its owner is called, if it has one.
    pub(crate) owner: Option<String>,
    /// This router has it; how long ago its lease was renewed.
    pub(crate) renewed: Option<Duration>,
}

impl ClusterSnapshot {
    /// Why this router is no good member, if it is none.
    pub(crate) fn obstacle(&self) -> Option<String> {
        match self.unseen {
            None => Some("cluster: the other routers were not seen yet".to_string()),
            Some(time) if self.lease < time => {
                let seconds = time.as_secs();
                Some(format!("cluster: the other routers were not seen for {seconds} s"))
            }
            Some(_) => None,
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let route = |route: &SharedSnapshot| {
            json!({
                "name": route.route,
                "owner": route.owner,
                "renewed_seconds": route.renewed.map(|time| time.as_secs_f64()),
            })
        };
        json!({
            "name": self.name,
            "identity": self.identity,
            "members": self.members,
            "unseen_seconds": self.unseen.map(|time| time.as_secs_f64()),
            "routes": self.routes.iter().map(route).collect::<Vec<_>>(),
        })
    }

    /// For people; `escaped` makes text fit for HTML.
    pub(super) fn html(&self, out: &mut String, escaped: fn(&str) -> String) {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "<section id=\"cluster\"><h2>cluster {}<span class=\"soft end\">{} of {}</span></h2>\n<nav>",
            escaped(&self.name),
            escaped(&self.identity),
            escaped(&self.members.join(", "))
        );
        for SharedSnapshot { route, owner, renewed } in &self.routes {
            let class = match (owner, renewed) {
                (_, Some(_)) => "good",
                (Some(_), None) => "soft",
                (None, None) => "bad",
            };
            let owner = owner.as_deref().unwrap_or("nobody");
            let _ =
                write!(out, "<span class=\"badge {class}\">{}: {}</span>", escaped(route), escaped(owner));
        }
        out.push_str("</nav></section>\n");
    }
}
