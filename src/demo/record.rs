//! An event as the simulated vCenter records it, and its XML.

use jiff::Timestamp;
use quick_xml::escape::escape;
use std::fmt::Write;

use super::descriptions;

/// A name and the reference of a managed object, such as `web-01` and `vm-21`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// What people call it.
    pub name: String,
    /// The value of its reference.
    pub id: String,
}

impl Object {
    /// An object by its name and its reference.
    pub(crate) fn new(name: &str, id: &str) -> Object {
        Object { name: name.to_string(), id: id.to_string() }
    }
}

/// Where something happened: the arguments that every event has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub(crate) datacenter: Option<Object>,
    /// `computeResource`: a cluster.
    pub(crate) cluster: Option<Object>,
    pub(crate) host: Option<Object>,
    /// `vm`.
    pub vm: Option<Object>,
    /// `ds`.
    pub(crate) datastore: Option<Object>,
    /// `net`.
    pub(crate) network: Option<Object>,
    /// `dvs`.
    pub(crate) switch: Option<Object>,
}

/// What happened, before the vCenter numbers and dates it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The class, such as `VmPoweredOnEvent`.
    pub class: String,
    /// The `eventTypeId` of an `EventEx` or `ExtendedEvent`, for filters. It must stand in `members`
    /// too.
    pub type_id: Option<String>,
    /// `key`; none lets the vCenter count.
    pub key: Option<i32>,
    /// `chainId`; none means the event's own key.
    pub chain_id: Option<i32>,
    /// `createdTime`; none means the vCenter's present.
    pub time: Option<Timestamp>,
    /// `userName`.
    pub user: String,
    /// Where it happened.
    pub place: Place,
    /// `fullFormattedMessage`.
    pub message: String,
    /// The members behind those of the class `Event`, as XML in the order of the schema. Not
    /// checked: tests put anything here.
    pub members: String,
    /// The account may not see it.
    pub invisible: bool,
}

/// An event in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The vCenter's number.
    pub key: i32,
    /// When the vCenter recorded it.
    pub time: Timestamp,
    /// What happened; its own `key` and `time` no longer count.
    pub draft: Draft,
}

impl Draft {
    /// An event of that class about a virtual machine.
    pub fn vm(class: &str, name: &str, id: &str) -> Draft {
        Draft {
            class: class.to_string(),
            user: "VSPHERE.LOCAL\\Administrator".into(),
            place: Place {
                datacenter: Some(Object::new("DC0", "datacenter-3")),
                cluster: Some(Object::new("Cluster01", "domain-c8")),
                host: Some(Object::new("esx01.corp.local", "host-12")),
                vm: Some(Object::new(name, id)),
                ..Place::default()
            },
            message: format!("{class} of {name}"),
            members: "<template>false</template>".into(),
            ..Draft::default()
        }
    }

    /// An `EventEx` of that `eventTypeId` about nothing in particular.
    pub fn event_ex(type_id: &str) -> Draft {
        Draft {
            class: "EventEx".into(),
            type_id: Some(type_id.to_string()),
            message: type_id.to_string(),
            members: format!("<eventTypeId>{}</eventTypeId><severity>info</severity>", escape(type_id)),
            ..Draft::default()
        }
    }

    /// The same, recorded at that time.
    #[must_use]
    pub fn at(self, time: Timestamp) -> Draft {
        Draft { time: Some(time), ..self }
    }

    /// The same, hidden from the account.
    #[must_use]
    pub fn invisible(self) -> Draft {
        Draft { invisible: true, ..self }
    }

    /// The severity that filters compare: an `EventEx` has its own, of others it is described.
    pub(super) fn category(&self) -> &str {
        let own = self.members.split_once("<severity>").and_then(|(_, rest)| rest.split('<').next());
        own.filter(|_| self.class == "EventEx").unwrap_or_else(|| descriptions::category(self.topic()))
    }

    /// What filters compare: the `eventTypeId`, else the class.
    pub fn topic(&self) -> &str {
        self.type_id.as_deref().unwrap_or(&self.class)
    }
}

impl Place {
    /// Whether any of the arguments is the object with that reference.
    pub(super) fn names(&self, id: &str) -> bool {
        [&self.datacenter, &self.cluster, &self.host, &self.vm, &self.datastore, &self.network, &self.switch]
            .into_iter()
            .flatten()
            .any(|object| object.id == id)
    }
}

impl Record {
    /// Appends the event as an element of that name.
    pub(super) fn write(&self, out: &mut String, element: &str) {
        let draft = &self.draft;
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            out,
            "<{element} xsi:type=\"{}\"><key>{}</key><chainId>{}</chainId><createdTime>{:.6}</createdTime>\
             <userName>{}</userName>",
            draft.class,
            self.key,
            draft.chain_id.unwrap_or(self.key),
            self.time,
            escape(&draft.user)
        );
        draft.place.write(out);
        if !draft.message.is_empty() {
            let _ = write!(out, "<fullFormattedMessage>{}</fullFormattedMessage>", escape(&draft.message));
        }
        let _ = write!(out, "{}</{element}>", draft.members);
    }
}

impl Place {
    fn write(&self, out: &mut String) {
        let arguments = [
            ("datacenter", "datacenter", "Datacenter", &self.datacenter),
            ("computeResource", "computeResource", "ClusterComputeResource", &self.cluster),
            ("host", "host", "HostSystem", &self.host),
            ("vm", "vm", "VirtualMachine", &self.vm),
            ("ds", "datastore", "Datastore", &self.datastore),
            ("net", "network", "Network", &self.network),
            ("dvs", "dvs", "VmwareDistributedVirtualSwitch", &self.switch),
        ];
        for (element, reference, ty, object) in arguments {
            if let Some(object) = object {
                object.write(out, element, reference, ty);
            }
        }
    }
}

impl Object {
    /// Appends an event argument: the name and, in an element of its own name, the reference.
    pub(super) fn write(&self, out: &mut String, element: &str, reference: &str, ty: &str) {
        let _ = write!(
            out,
            "<{element}><name>{}</name><{reference} type=\"{ty}\">{}</{reference}></{element}>",
            escape(&self.name),
            escape(&self.id)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_of_the_schema() {
        let time = "2021-03-10T05:21:22.4Z".parse().unwrap();
        let mut draft = Draft::vm("VmPoweredOnEvent", "a<b", "vm-56");
        draft.place.cluster = None;
        let mut xml = String::new();
        Record { key: -7, time, draft }.write(&mut xml, "returnval");
        assert_eq!(
            xml,
            "<returnval xsi:type=\"VmPoweredOnEvent\"><key>-7</key><chainId>-7</chainId>\
             <createdTime>2021-03-10T05:21:22.400000Z</createdTime>\
             <userName>VSPHERE.LOCAL\\Administrator</userName>\
             <datacenter><name>DC0</name><datacenter type=\"Datacenter\">datacenter-3</datacenter></datacenter>\
             <host><name>esx01.corp.local</name><host type=\"HostSystem\">host-12</host></host>\
             <vm><name>a&lt;b</name><vm type=\"VirtualMachine\">vm-56</vm></vm>\
             <fullFormattedMessage>VmPoweredOnEvent of a&lt;b</fullFormattedMessage>\
             <template>false</template></returnval>"
        );
    }
}
