//! Extension attributes that the events of a sink get: the same for all, or from each event.

use std::borrow::Cow;
use std::sync::Arc;

use toml::de::DeValue;

use crate::cloudevents::{ATTRIBUTE_NAME_BYTES_MAX, CloudEvent, is_string, valid_extension_name};
use crate::config::reader::{Table, Value};
use crate::template::Lookup;

/// Names and values of attributes.
pub(crate) type Attributes<'a> = Cow<'a, [(Arc<str>, Arc<str>)]>;

/// The extension that a Broker on Kafka orders by (CloudEvents extension "Partitioning").
const PARTITION_KEY: &str = "partitionkey";
/// Where an event has the reference of the object that it is about, the telling ones first: what
/// keeps events in order in the router.
const ENTITY: [&str; 8] = [
    "$.data.Vm.Vm.Value",
    "$.data.Host.Host.Value",
    "$.data.Ds.Datastore.Value",
    "$.data.Net.Network.Value",
    "$.data.Dvs.Dvs.Value",
    "$.data.ComputeResource.ComputeResource.Value",
    "$.data.Datacenter.Datacenter.Value",
    "$.data.ObjectId",
];
/// The key of events about no object: they are in order among themselves.
const NO_ENTITY: &str = "common";

/// Which attributes events get, in place of their own of the same name.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// The same for all.
    pub(crate) fixed: Vec<(Arc<str>, Arc<str>)>,
    from_event: Vec<FromEvent>,
}

#[derive(Clone, Debug)]
struct FromEvent {
    name: Arc<str>,
    value: Lookup,
    /// The value where the event has none.
    otherwise: Option<Arc<str>>,
}

/// The reference of the object that an event is about, if it is about one.
pub(crate) fn entity_of(ce: &CloudEvent) -> Option<Cow<'_, str>> {
    Lookup::first_of(&ENTITY).ok()?.text(ce)
}

impl Extensions {
    /// The attributes for an event. One without a value is left out, and so are characters that an
    /// attribute cannot hold.
    pub(crate) fn of(&self, ce: &CloudEvent) -> Attributes<'_> {
        if self.from_event.is_empty() {
            return Cow::Borrowed(&self.fixed);
        }
        let mut attributes = self.fixed.clone();
        for FromEvent { name, value, otherwise } in &self.from_event {
            let text = value.text(ce).map(|text| match is_string(&text) {
                true => Arc::from(&*text),
                false => {
                    text.chars().filter(|c| is_string(c.encode_utf8(&mut [0; 4]))).collect::<String>().into()
                }
            });
            let text: Option<Arc<str>> =
                text.filter(|text: &Arc<str>| !text.is_empty()).or_else(|| otherwise.clone());
            attributes.extend(text.map(|text| (name.clone(), text)));
        }
        Cow::Owned(attributes)
    }

    /// Sets one that is the same for all.
    pub(crate) fn set(&mut self, name: Arc<str>, value: Arc<str>) {
        self.fixed.retain(|(own, _)| *own != name);
        self.from_event.retain(|own| own.name != name);
        self.fixed.push((name, value));
    }
}

/// The keys `extensions` and `partition_key`.
pub(crate) fn read(table: &Table<'_>) -> Extensions {
    let mut read = table.get("extensions", |value| value.table(extensions)).unwrap_or_default();
    if let Some(key) = table.get("partition_key", partition_key) {
        let has_own = read.fixed.iter().any(|(name, _)| &**name == PARTITION_KEY)
            || read.from_event.iter().any(|own| &*own.name == PARTITION_KEY);
        if has_own {
            table.problem("`partition_key` sets the extension `partitionkey`, which `extensions` sets too");
        }
        read.from_event.push(key);
    }
    read
}

fn extensions(table: &Table<'_>) -> Option<Extensions> {
    let mut read = Extensions::default();
    for entry in table.entries() {
        let DeValue::String(text) = entry.get_ref() else {
            entry.wrong_type("a string");
            continue;
        };
        if let Err(problem) = check(entry.name(), text) {
            entry.problem(problem);
            continue;
        }
        if ATTRIBUTE_NAME_BYTES_MAX < entry.name().len() {
            entry.warning(format!(
                "is longer than {ATTRIBUTE_NAME_BYTES_MAX} characters, which not every receiver takes"
            ));
        }
        let name = Arc::from(entry.name());
        if !text.starts_with("$.") {
            read.fixed.push((name, text.as_ref().into()));
            continue;
        }
        match Lookup::first_of(&[text]) {
            Ok(value) => read.from_event.push(FromEvent { name, value, otherwise: None }),
            Err(error) => entry.problem(error.to_string()),
        }
    }
    Some(read)
}

/// `"entity"`, or a path.
fn partition_key(value: &Value<'_>) -> Option<FromEvent> {
    let name = PARTITION_KEY.into();
    match value.string()? {
        "entity" => {
            let found = Lookup::first_of(&ENTITY).ok()?;
            Some(FromEvent { name, value: found, otherwise: Some(NO_ENTITY.into()) })
        }
        text if text.starts_with('$') => match Lookup::first_of(&[text]) {
            Ok(found) => Some(FromEvent { name, value: found, otherwise: None }),
            Err(error) => value.refuse(error.to_string()),
        },
        text => value.refuse(format!(
            "{text:?} is not known, expected \"entity\" or a path such as \"$.data.Vm.Name\""
        )),
    }
}

/// Whether an attribute can have this name and this value.
///
/// # Errors
/// Why not.
pub(crate) fn check(name: &str, value: &str) -> Result<(), String> {
    if !valid_extension_name(name) {
        return Err("not the name of an extension attribute: it consists of lower-case letters and digits, \
                    and is none of CloudEvents' own"
            .to_string());
    }
    match value {
        "" => Err("is empty, and an attribute must not be".to_string()),
        _ if !is_string(value) => Err("holds a character that CloudEvents do not allow".to_string()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::file::Overrides;
    use crate::kinds::parse;
    use crate::processor::knative::settings::KnativeConfig;

    fn read(keys: &str) -> Result<Extensions, String> {
        let source = "[source.a]\ntype = 'vcenter'\naddress = 'https://vc'\nusername = 'u'\npassword = 'p'\n";
        let text = format!("{source}[processor.b]\ntype = 'knative'\nuri = 'http://a'\n{keys}\n");
        let parsed = parse(&text, Path::new("router.toml"), &Overrides::default(), &|_| None);
        let config =
            parsed.map_err(|problems| problems.iter().map(ToString::to_string).collect::<String>())?;
        let knative: &KnativeConfig = crate::testing::settings(&*config.processors[0].settings);
        Ok(knative.extensions.clone())
    }

    fn of(keys: &str, data: &str) -> Vec<(String, String)> {
        let mut ce = crate::testing::event(7, "vm-1").ce;
        ce.data = data.as_bytes().to_vec();
        let extensions = read(keys).unwrap();
        extensions.of(&ce).iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn values_come_from_the_event_beside_fixed_ones() {
        let keys = "extensions = { dc = 'dc1', vmname = '$.data.Vm.Name', key = '$.data.Key', none = '$.data.Host' }";
        let got = of(keys, r#"{"Key":7,"Vm":{"Name":"web\n-\u00e9"},"Host":null}"#);
        let pairs = |list: &[(&str, &str)]| {
            list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect::<Vec<_>>()
        };
        let mut sorted = got;
        sorted.sort();
        assert_eq!(sorted, pairs(&[("dc", "dc1"), ("key", "7"), ("vmname", "web-\u{e9}")]));
        assert_eq!(of(keys, "{}"), pairs(&[("dc", "dc1")]));
    }

    #[test]
    fn the_partition_key_is_the_object_that_keeps_events_in_order() {
        let key = |data: &str| of("partition_key = 'entity'", data);
        let of_one = |value: &str| vec![("partitionkey".to_string(), value.to_string())];
        let host = r#""Host":{"Name":"h","Host":{"Type":"HostSystem","Value":"host-16"}}"#;
        assert_eq!(key(&format!("{{{host}}}")), of_one("host-16"));
        let vm = r#""Vm":{"Name":"v","Vm":{"Type":"VirtualMachine","Value":"vm-5"}}"#;
        assert_eq!(key(&format!("{{{host},{vm}}}")), of_one("vm-5"));
        assert_eq!(key("{\"Vm\":null}"), of_one("common"));
        assert_eq!(of("partition_key = '$.data.Vm.Name'", &format!("{{{vm}}}")), of_one("v"));
        assert_eq!(of("partition_key = '$.data.Vm.Name'", "{}"), []);
    }

    #[test]
    fn mistakes_are_named() {
        for (keys, words) in [
            ("extensions = { a = '$.data..b' }", "extensions.a: \"$.data..b\" is no path"),
            ("partition_key = 'vm'", "expected \"entity\" or a path"),
            ("partition_key = '$.'", "is no path"),
            ("partition_key = 'entity'\nextensions = { partitionkey = 'a' }", "which `extensions` sets too"),
        ] {
            let error = read(keys).expect_err(keys);
            assert!(error.contains(words), "{keys}: {error}");
        }
    }
}
