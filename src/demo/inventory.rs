//! A small data centre: what the events of the demo are about.

use super::random::Random;
use super::record::{Object, Place};

/// Everything that can have events.
pub(super) struct Inventory {
    pub(super) hosts: Vec<Host>,
    pub(super) vms: Vec<Vm>,
    datastores: Vec<Object>,
    clusters: Vec<Object>,
}

pub(super) struct Host {
    pub(super) object: Object,
    cluster: usize,
    pub(super) alarm: usize,
}

pub(super) struct Vm {
    pub(super) object: Object,
    /// Index of the host that it is registered on.
    pub(super) host: usize,
    pub(super) is_on: bool,
    datastore: usize,
    pub(super) cpus: u32,
    pub(super) memory_mb: u32,
    pub(super) disk_gb: u64,
    /// Index into [`LEVELS`].
    pub(super) alarm: usize,
}

/// The levels of an alarm.
pub(super) const LEVELS: [&str; 3] = ["green", "yellow", "red"];

const CLUSTERS: [(&str, usize); 2] = [("Production", 4), ("Development", 2)];
const ROLES: [(&str, usize); 9] = [
    ("web", 8),
    ("app", 8),
    ("db", 6),
    ("cache", 3),
    ("queue", 3),
    ("metrics", 2),
    ("dns", 2),
    ("build", 4),
    ("test", 4),
];

impl Inventory {
    /// Two clusters with six hosts and forty virtual machines, most of them on.
    pub(super) fn new(random: &mut Random) -> Inventory {
        let mut hosts = Vec::new();
        let mut clusters = Vec::new();
        for (cluster, (name, count)) in CLUSTERS.into_iter().enumerate() {
            clusters.push(object(name.to_string(), "domain-c", 8 + 20 * cluster));
            for _ in 0..count {
                let number = hosts.len() + 1;
                let name = format!("esx{number:02}.corp.example");
                hosts.push(Host { object: object(name, "host-", 10 + 3 * number), cluster, alarm: 0 });
            }
        }
        let datastores =
            (1..=4).map(|number| object(format!("san-{number:02}"), "datastore-", 30 + number)).collect();
        let mut vms = Vec::new();
        for (role, count) in ROLES {
            for number in 1..=count {
                let produces = role != "build" && role != "test";
                let host = if produces { random.below(4) } else { 4 + random.below(2) };
                vms.push(Vm {
                    object: object(format!("{role}-{number:02}"), "vm-", 1001 + 2 * vms.len()),
                    host,
                    is_on: random.below(5) != 0,
                    datastore: random.below(4),
                    cpus: 1 << (1 + random.below(3)),
                    memory_mb: 2048 << random.below(4),
                    disk_gb: 20 + 10 * random.below(9) as u64,
                    alarm: 0,
                });
            }
        }
        Inventory { hosts, vms, datastores, clusters }
    }

    /// Where a virtual machine is.
    pub(super) fn place_of_vm(&self, vm: usize) -> Place {
        let vm = &self.vms[vm];
        Place { vm: Some(vm.object.clone()), ..self.place_of_host(vm.host) }
    }

    /// Where a host is.
    pub(super) fn place_of_host(&self, host: usize) -> Place {
        let host = &self.hosts[host];
        Place {
            datacenter: Some(self.datacenter()),
            cluster: Some(self.clusters[host.cluster].clone()),
            host: Some(host.object.clone()),
            ..Place::default()
        }
    }

    pub(super) fn datacenter(&self) -> Object {
        Object::new("Frankfurt", "datacenter-3")
    }

    pub(super) fn datastore_of(&self, vm: usize) -> &Object {
        &self.datastores[self.vms[vm].datastore]
    }

    /// Another host of the same cluster.
    pub(super) fn other_host(&self, host: usize, random: &mut Random) -> usize {
        let cluster = self.hosts[host].cluster;
        let others: Vec<usize> = (0..self.hosts.len())
            .filter(|other| *other != host && self.hosts[*other].cluster == cluster)
            .collect();
        others[random.below(others.len())]
    }
}

fn object(name: String, prefix: &str, number: usize) -> Object {
    Object { name, id: format!("{prefix}{number}") }
}
