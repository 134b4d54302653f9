//! Leases and records as objects of Kubernetes. Pure: values to JSON and back.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::lease::{Kept, Lease, Record, Subject, Version};

/// What the objects of one cluster are called.
pub(super) struct Names {
    /// The name of the cluster.
    pub(super) cluster: String,
}

const SLUG_BYTES_MAX: usize = 40;
const HOLDER: &str = "event-router/holder";
const TERM: &str = "event-router/term";
const LASTS: &str = "event-router/lease-seconds";
const CHECKPOINT: &str = "checkpoint.json";

impl Names {
    /// The name of the objects of a route or member: a DNS name that a person recognises, and a checksum of
    /// the true name, because names of routes may have capitals and `_`.
    pub(super) fn of(&self, subject: &Subject) -> String {
        let (kind, name) = match subject {
            Subject::Route(name) => ("", name),
            Subject::Member(name) => ("member-", name),
        };
        let readable = name.bytes().take(SLUG_BYTES_MAX).map(|byte| match byte.to_ascii_lowercase() {
            byte @ (b'a'..=b'z' | b'0'..=b'9') => char::from(byte),
            _ => '-',
        });
        let slug: String = readable.collect();
        format!("er-{}-{kind}{slug}-{:08x}", self.cluster, crc32fast::hash(name.as_bytes()))
    }

    /// What chooses the leases of the cluster, for a URL.
    pub(super) fn selector(&self) -> String {
        format!("event-router%2Fcluster%3D{}", self.cluster)
    }

    /// The lease as an object; in the place of a version, or new.
    pub(super) fn lease_object(
        &self,
        subject: &Subject,
        version: Option<&Version>,
        lease: &Lease,
        now: Timestamp,
    ) -> Value {
        let (kind, name) = kind_and_name(subject);
        let state = if lease.holder.is_empty() { "free" } else { "owned" };
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": self.metadata(subject, version, json!({"event-router/state": state, "event-router/kind": kind}), json!({"event-router/name": name})),
            "spec": {
                "holderIdentity": lease.holder,
                "leaseDurationSeconds": whole_seconds(lease.lasts),
                "leaseTransitions": lease.term,
                // For people, and so that each renewal is a change: Kubernetes wants six decimals.
                "renewTime": format!("{now:.6}"),
            },
        })
    }

    /// The record as an object; in the place of a version, or new.
    pub(super) fn record_object(
        &self,
        subject: &Subject,
        version: Option<&Version>,
        record: &Record,
    ) -> Value {
        let (_, name) = kind_and_name(subject);
        let annotations = json!({
            "event-router/name": name,
            HOLDER: record.holder,
            TERM: record.term.to_string(),
            LASTS: whole_seconds(record.lasts).to_string(),
        });
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": self.metadata(subject, version, json!({"event-router/kind": "position"}), annotations),
        });
        if let Some(text) = &record.text {
            object["data"] = json!({CHECKPOINT: text});
        }
        object
    }

    fn metadata(
        &self,
        subject: &Subject,
        version: Option<&Version>,
        mut labels: Value,
        annotations: Value,
    ) -> Value {
        labels["app.kubernetes.io/name"] = json!("event-router");
        labels["event-router/cluster"] = json!(self.cluster);
        let mut metadata = json!({"name": self.of(subject), "labels": labels, "annotations": annotations});
        if let Some(Version { uid, number }) = version {
            metadata["uid"] = json!(uid);
            metadata["resourceVersion"] = json!(number);
        }
        metadata
    }
}

/// Of what an object is a lease, if it is one of ours.
pub(super) fn subject(object: &Value) -> Option<Subject> {
    let metadata = &object["metadata"];
    let name = metadata["annotations"]["event-router/name"].as_str()?.to_string();
    match metadata["labels"]["event-router/kind"].as_str()? {
        "route" => Some(Subject::Route(name)),
        "member" => Some(Subject::Member(name)),
        _ => None,
    }
}

/// The lease that an object is; what a person left out of it is as if nobody had it.
pub(super) fn lease(object: &Value) -> Option<Kept<Lease>> {
    let spec = &object["spec"];
    let value = Lease {
        holder: spec["holderIdentity"].as_str().unwrap_or_default().to_string(),
        lasts: Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or_default()),
        term: spec["leaseTransitions"].as_u64().unwrap_or_default(),
    };
    Some(Kept { version: version(object)?, value })
}

/// The record that an object is.
pub(super) fn record(object: &Value) -> Option<Kept<Record>> {
    let annotation = |name: &str| object["metadata"]["annotations"][name].as_str().unwrap_or_default();
    let number = |name: &str| annotation(name).parse().unwrap_or_default();
    let value = Record {
        holder: annotation(HOLDER).to_string(),
        term: number(TERM),
        lasts: Duration::from_secs(number(LASTS)),
        text: object["data"][CHECKPOINT].as_str().map(str::to_string),
    };
    Some(Kept { version: version(object)?, value })
}

/// The state of an object.
pub(super) fn version(object: &Value) -> Option<Version> {
    let metadata = &object["metadata"];
    let text = |name: &str| metadata[name].as_str().filter(|text| !text.is_empty()).map(str::to_string);
    Some(Version { uid: text("uid")?, number: text("resourceVersion")? })
}

/// Removes an object only in this state.
pub(super) fn preconditions(version: &Version) -> Value {
    json!({"preconditions": {"uid": version.uid, "resourceVersion": version.number}})
}

fn kind_and_name(subject: &Subject) -> (&'static str, &str) {
    match subject {
        Subject::Route(name) => ("route", name),
        Subject::Member(name) => ("member", name),
    }
}

// Others wait rather longer than too short.
fn whole_seconds(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000).max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: fn() -> Names = || Names { cluster: "default".to_string() };

    fn version_of(number: &str) -> Version {
        Version { uid: "u".to_string(), number: number.to_string() }
    }

    #[test]
    fn names_are_dns_names_and_differ_where_routes_do() {
        let name = |route: &str| NAMES().of(&Subject::Route(route.to_string()));
        assert!(name("VC01_Broker").starts_with("er-default-vc01-broker-"), "{}", name("VC01_Broker"));
        assert_ne!(name("VC01_Broker"), name("vc01-broker"));
        let long = name(&"x".repeat(64));
        assert!(long.len() < 64 && crate::kubernetes::reference::is_subdomain(&long), "{long}");
        let member = NAMES().of(&Subject::Member("a_1".to_string()));
        assert!(member.starts_with("er-default-member-a-1-"), "{member}");
    }

    #[test]
    fn leases_come_back_as_they_were() {
        let lease = Lease { holder: "a_1_2".into(), lasts: Duration::from_millis(6500), term: 7 };
        let now = Timestamp::from_millisecond(1_700_000_000_250).unwrap();
        for subject in [Subject::Route("Power".into()), Subject::Member("a_1".into())] {
            let object = NAMES().lease_object(&subject, Some(&version_of("9")), &lease, now);
            let read = super::lease(&object).unwrap();
            let whole = Lease { lasts: Duration::from_secs(7), ..lease.clone() };
            assert_eq!(read, Kept { version: version_of("9"), value: whole });
            assert_eq!(super::subject(&object), Some(subject));
            assert_eq!(object["spec"]["renewTime"], "2023-11-14T22:13:20.250000Z");
            assert_eq!(object["metadata"]["labels"]["event-router/state"], "owned");
        }
        let free = Lease { holder: String::new(), lasts: Duration::ZERO, term: 7 };
        let object = NAMES().lease_object(&Subject::Route("a".into()), None, &free, now);
        assert_eq!(object["metadata"]["labels"]["event-router/state"], "free");
        assert_eq!(object["spec"]["leaseDurationSeconds"], 1, "0 is refused");
        assert_eq!(super::lease(&object), None, "nothing is done with an object without a version");
    }

    #[test]
    fn a_write_in_the_place_of_an_object_names_its_state() {
        let record =
            Record { holder: "a".into(), term: 3, lasts: Duration::from_secs(15), text: Some("{}".into()) };
        let subject = Subject::Route("a".into());
        let object = NAMES().record_object(&subject, Some(&version_of("9")), &record);
        assert_eq!(object["metadata"]["uid"], "u");
        assert_eq!(object["metadata"]["resourceVersion"], "9");
        assert_eq!(super::record(&object), Some(Kept { version: version_of("9"), value: record.clone() }));
        let bare = NAMES().record_object(&subject, None, &Record { text: None, ..record });
        assert!(bare.get("data").is_none() && bare["metadata"].get("uid").is_none());
    }
}
