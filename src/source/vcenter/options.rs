//! What vCenter's own settings mean for the delivery of its events, for `router check`: how long it keeps
//! them, what it records, how many collectors a session may hold, and what the account may see.
//!
//! Nothing of this is a failure: an account needs no right to read settings.

use super::connection::CallOptions;
use super::fault::CallError;
use super::session::Session;
use super::soap;
use crate::finding::Finding;

/// Event collectors that a route holds at a time: the one that it reads, and one to look again.
const COLLECTORS_MIN: u32 = 2;
/// Events that are kept for less are gone after a router that was down over the holidays.
const DAYS_MIN: u32 = 14;
/// What an account needs on the root folder, and below it, to see all events.
const PRIVILEGES: [&str; 2] = ["System.View", "System.Read"];

/// Looks at each of them and tells what was found.
pub(super) fn look(session: &Session, tell: &mut dyn FnMut(&'static str, Finding)) {
    let mut told = |what, found: Result<Finding, CallError>| {
        tell(
            what,
            found.unwrap_or_else(|error| match error.is_fault("NoPermission") {
                true => Finding::Good("not shown to this account".into()),
                false => Finding::Doubtful(format!("not shown: {}", session.connection.explain(&error))),
            }),
        );
    };
    told("retention", retention(session));
    told("burst filter", burst_filter(session));
    told("collectors", collectors(session));
    told("rights", rights(session));
}

fn retention(session: &Session) -> Result<Finding, CallError> {
    let events = kept(session, "event.maxAge", "event.maxAgeEnabled")?;
    let tasks = kept(session, "task.maxAge", "task.maxAgeEnabled")?;
    let words = |days: Option<u32>| match days {
        None => "without end".to_string(),
        Some(days) => format!("{days} days"),
    };
    let tasks = tasks.map_or(String::new(), |days| format!(", tasks {}", words(days)));
    Ok(match events {
        None => Finding::Good("not told by this server".into()),
        Some(None) => Finding::Good(format!("events are kept without end{tasks}")),
        Some(Some(days)) => {
            let text = format!(
                "events are kept {}{tasks}: what a route has not read by then is lost, and told as a gap",
                words(Some(days))
            );
            match days < DAYS_MIN {
                true => Finding::Doubtful(format!("{text}; set event.maxAge to 30 or more")),
                false => Finding::Good(text),
            }
        }
    })
}

/// Days for which something is kept: none if the server does not tell, or it is kept without end.
fn kept(session: &Session, days: &str, enabled: &str) -> Result<Option<Option<u32>>, CallError> {
    if option(session, enabled)?.is_some_and(|text| text.eq_ignore_ascii_case("false")) {
        return Ok(Some(None));
    }
    Ok(option(session, days)?.and_then(|text| text.parse().ok()).map(Some))
}

fn burst_filter(session: &Session) -> Result<Finding, CallError> {
    let is_on = |name: &str| -> Result<Option<bool>, CallError> {
        let text = option(session, &format!("vpxd.event.burstFilter.{name}"))?;
        Ok(text.map(|text| text.eq_ignore_ascii_case("true")))
    };
    let syslog = match is_on("compressToSyslog")? {
        None => "",
        Some(true) => "; what goes to syslog is cut in the same way",
        Some(false) => "; syslog gets each of them",
    };
    Ok(Finding::Good(match is_on("compressToDb")? {
        None => "not told by this server".to_string(),
        Some(false) => format!("off: each event is recorded, and delivered{syslog}"),
        Some(true) => format!(
            "on: of the same event more than 30 times in 30 s vCenter records only a part, and no more is \
             delivered; vpxd.event.burstFilter.compressToDb = false records each{syslog}"
        ),
    }))
}

fn collectors(session: &Session) -> Result<Finding, CallError> {
    let content = &session.content;
    let envelope =
        soap::retrieve_property(&content.property_collector, &content.event_manager, "maxCollector");
    let most = session.connection.get::<_, CallError>(&envelope, CallOptions::QUICK, |answer| {
        Ok(soap::property(answer)?.and_then(|value| value.text.trim().parse::<u32>().ok()))
    })?;
    Ok(match most {
        None => Finding::Good("not told by this server".into()),
        Some(most) if most < COLLECTORS_MIN => Finding::Doubtful(format!(
            "a session may hold {most}, a route needs {COLLECTORS_MIN} to get past a stall: raise \
             event.maxCollectors"
        )),
        Some(most) => Finding::Good(format!(
            "a session may hold {most}; each route is a session of its own and needs {COLLECTORS_MIN} at most"
        )),
    })
}

fn rights(session: &Session) -> Result<Finding, CallError> {
    let content = &session.content;
    let Some(manager) = &content.authorization_manager else {
        return Ok(Finding::Good("not told by this server".into()));
    };
    let own =
        soap::retrieve_property(&content.property_collector, &content.session_manager, "currentSession");
    let quick = CallOptions::QUICK;
    let key = session.connection.get::<_, CallError>(&own, quick, |answer| {
        Ok(soap::property(answer)?.map(|own| own.child_text("key").to_string()).unwrap_or_default())
    })?;
    let envelope = soap::has_privileges(manager, &content.root_folder, &key, &PRIVILEGES);
    let lacking = session.connection.get::<_, CallError>(&envelope, quick, |answer| {
        let all = answer.all("returnval").flat_map(|entity| entity.all("privAvailability"));
        let lacking = all.filter(|one| one.child_text("isGranted") == "false");
        Ok(lacking.map(|one| one.child_text("privId").to_string()).collect::<Vec<_>>().join(" and "))
    })?;
    Ok(match lacking.as_str() {
        "" => Finding::Good(format!("{} on the root folder", PRIVILEGES.join(" and "))),
        lacking => Finding::Doubtful(format!(
            "the account lacks {lacking} on the root folder: events of objects that it does not see are not \
             delivered; give it the role Read-only there, propagated to its children"
        )),
    })
}

/// A setting of the server; none where it does not have it.
fn option(session: &Session, key: &str) -> Result<Option<String>, CallError> {
    let Some(manager) = &session.content.setting else { return Ok(None) };
    let found = session.connection.ask(&soap::query_options(manager, key), CallOptions::QUICK);
    match found {
        Ok(answer) => {
            // A server may tell those below it too.
            let mut all = answer.all("returnval");
            Ok(all.find(|one| one.child_text("key") == key).map(|one| one.child_text("value").to_string()))
        }
        Err(error) if error.is_fault("InvalidName") => Ok(None),
        Err(error) => Err(error),
    }
}
