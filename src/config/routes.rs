//! The routes of a file: those it names, or every source to every processor.

use toml::de::DeValue;

use super::nearest::nearest;
use super::reader::{Document, Table, Value};
use super::sections::WAIT_MIN;
use super::{Format, Order, RetryConfig, RouteConfig};
use crate::limits;
use crate::order;

/// The names of a file's sources or processors, those with problems included.
pub(super) struct Names<'a> {
    /// `source` or `processor`.
    pub(super) section: &'static str,
    /// In the order of the file.
    pub(super) names: Vec<&'a str>,
    /// Whether a section has no name, so that nobody can say which are meant.
    pub(super) unnamed: bool,
}

/// `[route.NAME]`.
pub(super) fn route(
    name: &str,
    table: &Table<'_>,
    sources: &Names<'_>,
    processors: &Names<'_>,
) -> Option<RouteConfig> {
    let is_of = |key: &str, names: &Names<'_>| {
        table.entry(key).is_some_and(
            |entry| matches!(entry.get_ref(), DeValue::String(text) if names.names.contains(&text.as_ref())),
        )
    };
    let is_swapped = is_of("from", processors)
        && is_of("to", sources)
        && !is_of("from", sources)
        && !is_of("to", processors);
    let from = table.required("from", |value| match is_swapped {
        true => value.refuse("names a processor, and `to` a source: write each in the other's place"),
        false => reference(value, sources),
    });
    let to = table.required("to", |value| if is_swapped { None } else { reference(value, processors) });
    let types = table.get("types", event_names);
    let pattern = table.get("pattern", Value::pattern);
    let order = table.get("order", |value| {
        value.one_of(&[("entity", Order::Entity), ("strict", Order::Strict), ("none", Order::None)])
    });
    let order = order.unwrap_or_default();
    let workers = table.get("workers", |value| workers(value, order));
    let format = table.get("format", |value| {
        value.one_of(&[("router", Format::Router), ("vspheresource", Format::Vspheresource)])
    });
    let retry = table.get("retry", |value| value.table(retry));
    let dead_letters = table.get("dead_letters", |value| {
        value.table(|table| table.get("max_size", |value| value.size(limits::DEAD_LETTER_BYTES_MIN)))
    });
    Some(RouteConfig {
        types: types.unwrap_or_default(),
        pattern,
        order,
        workers: workers.unwrap_or(workers_default(order)),
        format: format.unwrap_or_default(),
        retry: retry.unwrap_or_default(),
        dead_letter_bytes_max: dead_letters.unwrap_or(limits::DEAD_LETTER_BYTES_DEFAULT),
        ..default_route(name.to_string(), from?, to?)
    })
}

/// Every source to every processor, for a file without routes.
///
/// A route is called `SOURCE-PROCESSOR` even if there is only one, because its name is the name of
/// its state: a second processor must not make the first one forget where it stood. For the same
/// reason a `[route.SOURCE-PROCESSOR]` that is written later goes on where the default stood.
pub(super) fn default_routes(
    document: &Document<'_>,
    sources: &Names<'_>,
    processors: &Names<'_>,
) -> Vec<RouteConfig> {
    let mut routes: Vec<RouteConfig> = Vec::new();
    for from in &sources.names {
        for to in &processors.names {
            let name = format!("{from}-{to}");
            if let Some(other) = routes.iter().find(|route| route.name == name) {
                document.problem_of_file(format!(
                    "the routes from `{}` to `{}` and from `{from}` to `{to}` would have one name, `{name}`; \
                     write a [route.NAME] for each",
                    other.from, other.to
                ));
            }
            routes.push(default_route(name, from.to_string(), to.to_string()));
        }
    }
    routes
}

/// Reports routes that would deliver every event twice.
pub(super) fn check_duplicates(routes: &[(RouteConfig, Value<'_>)]) {
    for (at, (route, value)) in routes.iter().enumerate() {
        let same = |other: &RouteConfig| {
            let sorted = |route: &RouteConfig| {
                let mut types = route.types.clone();
                order::sort(&mut types);
                types
            };
            let pattern =
                |route: &RouteConfig| route.pattern.as_ref().map(|pattern| pattern.text().to_string());
            (&other.from, &other.to, other.format, sorted(other), pattern(other))
                == (&route.from, &route.to, route.format, sorted(route), pattern(route))
        };
        if let Some((other, _)) = routes[..at].iter().find(|(other, _)| same(other)) {
            value.problem(format!(
                "the same as route `{}`: every event would be delivered twice; remove one or give them different `types` or `pattern`",
                other.name
            ));
        }
    }
}

fn default_route(name: String, from: String, to: String) -> RouteConfig {
    RouteConfig {
        name,
        from,
        to,
        types: Vec::new(),
        pattern: None,
        order: Order::default(),
        workers: workers_default(Order::default()),
        format: Format::default(),
        retry: RetryConfig::default(),
        dead_letter_bytes_max: limits::DEAD_LETTER_BYTES_DEFAULT,
    }
}

fn workers_default(order: Order) -> Option<usize> {
    (order == Order::Strict).then_some(1)
}

// None of the inner is "auto".
fn workers(value: &Value<'_>, order: Order) -> Option<Option<usize>> {
    if let DeValue::String(text) = value.get_ref()
        && text.parse::<usize>().is_err()
    {
        return value.one_of(&[("auto", workers_default(order))]);
    }
    let workers = value.integer(1..=limits::WORKERS_MAX)?;
    if order == Order::Strict && workers != 1 {
        return value
            .refuse("`order = \"strict\"` delivers one event at a time, so workers is 1 or left out");
    }
    Some(Some(workers))
}

/// The name of a source or processor of the file.
fn reference(value: &Value<'_>, names: &Names<'_>) -> Option<String> {
    let name = value.string()?;
    if names.unnamed || names.names.contains(&name) {
        return Some(name.to_string());
    }
    let section = names.section;
    if let Some(bare) = name.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
        && names.names.contains(&bare)
    {
        return value.refuse(format!("is the name alone: write \"{bare}\""));
    }
    match nearest(name, names.names.iter().copied()) {
        Some(near) => value.refuse(format!("no [{section}.{name}] in this file, did you mean `{near}`?")),
        None if names.names.is_empty() => value.refuse(format!("no [{section}.{name}] in this file")),
        None => {
            let known = names.names.join(", ");
            value.refuse(format!("no [{section}.{name}] in this file; there is: {known}"))
        }
    }
}

fn event_names(value: &Value<'_>) -> Option<Vec<String>> {
    let is_sign = |c: char| !(c.is_ascii_alphanumeric() || "._-*".contains(c));
    let types = value.list("an array of event names", |value| match value.string()? {
        text if text.contains(',') => value.refuse("holds more than one name: write each in quotes of its own"),
        text if !text.is_empty() && text.trim() == text && text.contains(is_sign) => value.refuse(format!(
            "{text:?} is not the name of an event: it holds letters, digits, `.`, `-` and `_`, and `*` stands for any text"
        )),
        text if text.is_empty() || text.trim() != text => value.refuse(format!(
            "{text:?} is not the name of an event, expected one such as \"VmPoweredOnEvent\" or \"com.vmware.vc.*\""
        )),
        text => Some(text.to_string()),
    })?;
    if types.is_empty() {
        return value.refuse("is empty, so that no event would match; leave it out for all events");
    }
    Some(types)
}

fn retry(table: &Table<'_>) -> Option<RetryConfig> {
    let default = RetryConfig::default();
    let first = table.get("first", |value| value.duration(WAIT_MIN));
    let max = table.get("max", |value| value.duration(WAIT_MIN));
    let give_up_after = table.get("give_up_after", |value| value.duration_or_never(WAIT_MIN));
    let retry = RetryConfig {
        first: first.unwrap_or(default.first),
        max: max.unwrap_or(default.max),
        give_up_after: give_up_after.unwrap_or(default.give_up_after),
    };
    if retry.first > retry.max {
        let (first, max) = (retry.first.as_millis(), retry.max.as_millis());
        table.problem(format!("`first` ({first} ms) is longer than `max` ({max} ms)"));
    }
    Some(retry)
}
