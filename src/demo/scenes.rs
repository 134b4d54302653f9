//! What happens in the data centre of the demo: each scene as the events that a vCenter records.

use jiff::Timestamp;
use quick_xml::escape::escape;
use std::collections::VecDeque;

use super::inventory::{Inventory, LEVELS};
use super::random::Random;
use super::record::{Draft, Object, Place};

/// Events that belong together.
pub(super) struct Scene {
    pub(super) drafts: VecDeque<Draft>,
    /// The machines that it is about: no other scene touches them meanwhile.
    pub(super) vms: Vec<usize>,
    /// Key of its first event, when that has happened.
    pub(super) chain: Option<i32>,
}

/// Stands in the members of a draft for the key of its scene's first event.
pub(super) const CHAIN: &str = "{chain}";

/// The data centre as it is.
pub(super) struct World {
    pub(super) random: Random,
    inventory: Inventory,
    tasks: u32,
    time: Timestamp,
}

const ADMINISTRATOR: &str = "VSPHERE.LOCAL\\Administrator";
const USERS: [&str; 4] = [ADMINISTRATOR, "CORP\\a.meier", "CORP\\j.okafor", "CORP\\l.santos"];
const BACKUP_USER: &str = "CORP\\svc-backup";
/// A member of all events about virtual machines.
const NO_TEMPLATE: &str = "<template>false</template>";

impl World {
    pub(super) fn new(mut random: Random) -> World {
        let inventory = Inventory::new(&mut random);
        World { random, inventory, tasks: 20_301, time: Timestamp::UNIX_EPOCH }
    }

    /// Lets something happen to machines other than those.
    pub(super) fn play(&mut self, taken: &[usize], time: Timestamp) -> Scene {
        self.time = time;
        let free: Vec<usize> = (0..self.inventory.vms.len()).filter(|vm| !taken.contains(vm)).collect();
        let vm = free[self.random.below(free.len())];
        let is_on = self.inventory.vms[vm].is_on;
        match self.random.below(100) {
            0..30 if is_on => self.power_off(vm),
            0..30 => self.power_on(vm),
            30..48 if is_on => self.migrate(vm),
            30..58 => self.reconfigure(vm),
            58..74 => self.vm_alarm(vm),
            74..78 => self.host_alarm(),
            78..86 => self.session(),
            86..89 => self.login_failure(),
            89..94 => self.backup(vm),
            94..97 => self.delete_file(vm),
            97..99 => self.host_shell(),
            _ => self.host_failure(taken),
        }
    }

    fn power_on(&mut self, vm: usize) -> Scene {
        self.inventory.vms[vm].is_on = true;
        let user = self.user();
        let (name, host) = self.names(vm);
        scene(
            &[vm],
            [
                self.task(vm, &user, "PowerOnVM_Task", "VirtualMachine.powerOn"),
                self.vm_event("VmStartingEvent", vm, &user, format!("{name} is starting on {host}")),
                self.vm_event("VmPoweredOnEvent", vm, &user, format!("{name} on {host} is powered on")),
            ],
        )
    }

    fn power_off(&mut self, vm: usize) -> Scene {
        let user = self.user();
        let (name, host) = self.names(vm);
        if self.random.below(3) == 0 {
            let reboot = format!("the guest of {name} on {host} restarts");
            return scene(&[vm], [self.vm_event("VmGuestRebootEvent", vm, &user, reboot)]);
        }
        self.inventory.vms[vm].is_on = false;
        scene(
            &[vm],
            [
                self.task(vm, &user, "ShutdownGuest", "VirtualMachine.shutdownGuest"),
                self.vm_event(
                    "VmGuestShutdownEvent",
                    vm,
                    &user,
                    format!("the guest of {name} on {host} shuts down"),
                ),
                self.vm_event("VmPoweredOffEvent", vm, "", format!("{name} on {host} is powered off")),
            ],
        )
    }

    /// A live migration, mostly by DRS.
    fn migrate(&mut self, vm: usize) -> Scene {
        let source = self.inventory.vms[vm].host;
        let target = self.inventory.other_host(source, &mut self.random);
        let by_drs = self.random.below(4) != 0;
        let user = if by_drs { String::new() } else { self.user() };
        let (name, from) = self.names(vm);
        let datastore = self.inventory.datastore_of(vm).clone();
        let arguments = |prefix: &str, host: &Object, datacenter: &Object| {
            let mut out = String::from(NO_TEMPLATE);
            host.write(&mut out, &format!("{prefix}Host"), "host", "HostSystem");
            datacenter.write(&mut out, &format!("{prefix}Datacenter"), "datacenter", "Datacenter");
            datastore.write(&mut out, &format!("{prefix}Datastore"), "datastore", "Datastore");
            out
        };
        let [source_host, target_host] =
            [source, target].map(|host| self.inventory.hosts[host].object.clone());
        let datacenter = self.inventory.datacenter();
        let to = &target_host.name;
        let mut begin = self.vm_event(
            "VmBeingHotMigratedEvent",
            vm,
            &user,
            format!("{name} is moving from {from} to {to}"),
        );
        begin.members = arguments("dest", &target_host, &datacenter);
        let task = self.task(vm, &user, "MigrateVM_Task", "VirtualMachine.migrate");
        self.inventory.vms[vm].host = target;
        let class = if by_drs { "DrsVmMigratedEvent" } else { "VmMigratedEvent" };
        let mut end = self.vm_event(class, vm, &user, format!("{name} moved from {from} to {to}"));
        end.members = arguments("source", &source_host, &datacenter);
        scene(&[vm], [task, begin, end])
    }

    fn reconfigure(&mut self, vm: usize) -> Scene {
        let user = self.user();
        let task = self.task(vm, &user, "ReconfigVM_Task", "VirtualMachine.reconfigure");
        let (name, host) = self.names(vm);
        let datastore = self.inventory.datastore_of(vm).clone();
        let change = self.random.below(3);
        let machine = &mut self.inventory.vms[vm];
        let (spec, path, before, after) = match change {
            0 => {
                let before = std::mem::replace(&mut machine.memory_mb, 2048 << self.random.below(5));
                let spec = format!("<memoryMB>{}</memoryMB>", machine.memory_mb);
                (spec, "config.hardware.memoryMB", before.to_string(), machine.memory_mb.to_string())
            }
            1 => {
                let before = std::mem::replace(&mut machine.cpus, 1 << self.random.below(5));
                let spec = format!("<numCPUs>{}</numCPUs>", machine.cpus);
                (spec, "config.hardware.numCPU", before.to_string(), machine.cpus.to_string())
            }
            _ => {
                let before = machine.disk_gb;
                machine.disk_gb += 10;
                let spec = disk_spec(&name, &datastore, machine.disk_gb);
                let kb = |gb: u64| (gb << 20).to_string();
                (spec, "config.hardware.device(2000).capacityInKB", kb(before), kb(machine.disk_gb))
            }
        };
        let mut done =
            self.vm_event("VmReconfiguredEvent", vm, &user, format!("{name} on {host} was reconfigured"));
        done.members = format!(
            "{NO_TEMPLATE}<configSpec>{spec}</configSpec><configChanges><modified>{path}: {before} -&gt; {after}; \
             &#10;&#10;</modified><added></added><deleted></deleted></configChanges>"
        );
        scene(&[vm], [task, done])
    }

    fn vm_alarm(&mut self, vm: usize) -> Scene {
        let from = self.inventory.vms[vm].alarm;
        let to = (from + 1 + self.random.below(2)) % 3;
        self.inventory.vms[vm].alarm = to;
        let entity = ("VirtualMachine", self.inventory.vms[vm].object.clone());
        let alarm = Object::new("Virtual machine CPU usage", "alarm-6");
        scene(&[vm], [self.alarm(alarm, entity, self.inventory.place_of_vm(vm), from, to)])
    }

    fn host_alarm(&mut self) -> Scene {
        let host = self.random.below(self.inventory.hosts.len());
        let from = self.inventory.hosts[host].alarm;
        let to = (from + 1 + self.random.below(2)) % 3;
        self.inventory.hosts[host].alarm = to;
        let entity = ("HostSystem", self.inventory.hosts[host].object.clone());
        let alarm = Object::new("Host memory usage", "alarm-7");
        scene(&[], [self.alarm(alarm, entity, self.inventory.place_of_host(host), from, to)])
    }

    fn alarm(&self, alarm: Object, entity: (&str, Object), place: Place, from: usize, to: usize) -> Draft {
        let (from, to) = (LEVELS[from], LEVELS[to]);
        let (ty, entity) = entity;
        let mut members = String::new();
        alarm.write(&mut members, "alarm", "alarm", "Alarm");
        Object::new("Datacenters", super::soap::ROOT_FOLDER).write(
            &mut members,
            "source",
            "entity",
            "Folder",
        );
        entity.write(&mut members, "entity", "entity", ty);
        members += &format!("<from>{from}</from><to>{to}</to>");
        let message = format!("Alarm '{}' on {} changed from {from} to {to}", alarm.name, entity.name);
        event("AlarmStatusChangedEvent", "", place, message, members)
    }

    /// Somebody logs in and out again.
    fn session(&mut self) -> Scene {
        let user = self.user();
        let address = self.address();
        let agent = self.random.one_of(&["VMware vim-java 1.0", "govc/0.54.0", "PowerCLI/13.3"]);
        let session = self.uuid();
        let calls = 1 + self.random.below(400);
        let login = format!(
            "<ipAddress>{address}</ipAddress><userAgent>{agent}</userAgent><locale>en</locale><sessionId>{session}</sessionId>"
        );
        let logout = format!(
            "<ipAddress>{address}</ipAddress><userAgent>{agent}</userAgent><callCount>{calls}</callCount>\
             <sessionId>{session}</sessionId><loginTime>{:.6}</loginTime>",
            self.time
        );
        let nowhere = Place::default;
        let [came, left] =
            ["logged in from", "logged out from"].map(|did| format!("User {user} {did} {address}"));
        scene(
            &[],
            [
                event("UserLoginSessionEvent", &user, nowhere(), came, login),
                event("UserLogoutSessionEvent", &user, nowhere(), left, logout),
            ],
        )
    }

    fn login_failure(&mut self) -> Scene {
        let address = self.address();
        let name = self.random.one_of(&["root", "admin", "administrator@vsphere.local", "test"]);
        let refused = format!("<ipAddress>{address}</ipAddress>");
        let bad = event(
            "BadUsernameSessionEvent",
            name,
            Place::default(),
            format!("Login of {name} from {address} was refused"),
            refused,
        );
        let arguments = [("userName", name), ("userIp", &address)];
        let message = format!("Login of {name} from {address} failed");
        let sso =
            event_ex("com.vmware.sso.LoginFailure", "error", Place::default(), message, &arguments, None);
        scene(&[], [sso, bad])
    }

    /// A backup product takes a snapshot, reports and removes it.
    fn backup(&mut self, vm: usize) -> Scene {
        let create = self.task(vm, BACKUP_USER, "CreateSnapshot_Task", "VirtualMachine.createSnapshot");
        let remove = self.task(vm, BACKUP_USER, "RemoveSnapshot_Task", "VirtualMachineSnapshot.remove");
        let (name, _) = self.names(vm);
        let machine = &self.inventory.vms[vm];
        let message = format!("Backup of {name} finished");
        let members = format!(
            "<message>{message}</message><eventTypeId>com.example.backup.JobFinished</eventTypeId>\
             <managedObject type=\"VirtualMachine\">{}</managedObject><data><key>transferredGb</key><value>{}</value></data>\
             <data><key>result</key><value>success</value></data>",
            machine.object.id,
            machine.disk_gb / 7
        );
        let place = self.inventory.place_of_vm(vm);
        let mut report = event("ExtendedEvent", BACKUP_USER, place, message, members);
        report.type_id = Some("com.example.backup.JobFinished".into());
        scene(&[vm], [create, report, remove])
    }

    fn delete_file(&mut self, vm: usize) -> Scene {
        let user = self.user();
        let (name, _) = self.names(vm);
        let datastore = self.inventory.datastore_of(vm).clone();
        let file = format!("[{}] {name}/{name}-old.vmdk", datastore.name);
        let mut members = String::new();
        datastore.write(&mut members, "datastore", "datastore", "Datastore");
        members += &format!(
            "<targetFile>{file}</targetFile><sourceOfOperation>vCenter Server</sourceOfOperation><succeeded>true</succeeded>"
        );
        let place = Place {
            datacenter: Some(self.inventory.datacenter()),
            datastore: Some(datastore),
            ..Place::default()
        };
        let message = format!("File {file} was deleted");
        scene(&[], [event("DatastoreFileDeletedEvent", &user, place, message, members)])
    }

    fn host_shell(&mut self) -> Scene {
        let host = self.random.below(self.inventory.hosts.len());
        let object = self.inventory.hosts[host].object.clone();
        let place = || self.inventory.place_of_host(host);
        let on = format!("SSH access was enabled on {}", object.name);
        let off = format!("SSH access was disabled on {}", object.name);
        let about = Some(("HostSystem", &object));
        scene(
            &[],
            [
                event_ex("esx.audit.ssh.enabled", "info", place(), on, &[], about),
                event_ex("esx.audit.ssh.disabled", "info", place(), off, &[], about),
            ],
        )
    }

    /// A host is lost, high availability restarts a machine of it elsewhere, the host returns.
    fn host_failure(&mut self, taken: &[usize]) -> Scene {
        let host = self.random.below(self.inventory.hosts.len());
        let object = self.inventory.hosts[host].object.clone();
        let place = self.inventory.place_of_host(host);
        let name = &object.name;
        let lost = format!("The connection to host {name} is lost");
        let state = format!("The availability state of host {name} changed to unreachable");
        let arguments = [("newState", "hostFailed"), ("oldState", "connectedToMaster")];
        let mut drafts = vec![
            event("HostConnectionLostEvent", "", place.clone(), lost, String::new()),
            event_ex(
                "com.vmware.vc.HA.HostStateChangedEvent",
                "warning",
                place.clone(),
                state,
                &arguments,
                Some(("HostSystem", &object)),
            ),
        ];
        let victim = (0..self.inventory.vms.len()).find(|vm| {
            let machine = &self.inventory.vms[*vm];
            machine.host == host && machine.is_on && !taken.contains(vm)
        });
        if let Some(vm) = victim {
            self.inventory.vms[vm].host = self.inventory.other_host(host, &mut self.random);
            let (vm_name, new_host) = self.names(vm);
            let message = format!("High availability restarted {vm_name} on {new_host}");
            let about = self.inventory.vms[vm].object.clone();
            drafts.push(event_ex(
                "com.vmware.vc.ha.VmRestartedByHAEvent",
                "warning",
                self.inventory.place_of_vm(vm),
                message,
                &[("failedHost", name)],
                Some(("VirtualMachine", &about)),
            ));
        }
        let back = format!("Host {name} is connected again");
        drafts.push(event("HostConnectedEvent", "", place, back, String::new()));
        scene(victim.as_slice(), drafts)
    }

    fn vm_event(&self, class: &str, vm: usize, user: &str, message: String) -> Draft {
        event(class, user, self.inventory.place_of_vm(vm), message, NO_TEMPLATE.into())
    }

    /// A task on a machine is queued.
    fn task(&mut self, vm: usize, user: &str, name: &str, description: &str) -> Draft {
        self.tasks += 1;
        let task = format!("task-{}", self.tasks);
        let object = &self.inventory.vms[vm].object;
        let reason = if user.is_empty() {
            "<reason xsi:type=\"TaskReasonSystem\"></reason>".to_string()
        } else {
            format!("<reason xsi:type=\"TaskReasonUser\"><userName>{}</userName></reason>", escape(user))
        };
        let members = format!(
            "<info><key>{task}</key><task type=\"Task\">{task}</task><name>{name}</name>\
             <descriptionId>{description}</descriptionId><entity type=\"VirtualMachine\">{}</entity>\
             <entityName>{}</entityName><state>queued</state><cancelled>false</cancelled>\
             <cancelable>false</cancelable>{reason}<queueTime>{:.6}</queueTime><eventChainId>{CHAIN}</eventChainId></info>",
            object.id, object.name, self.time
        );
        let message = format!("Task: {} of {}", description, object.name);
        event("TaskEvent", user, self.inventory.place_of_vm(vm), message, members)
    }

    /// The machine's name and its host's.
    fn names(&self, vm: usize) -> (String, String) {
        let machine = &self.inventory.vms[vm];
        (machine.object.name.clone(), self.inventory.hosts[machine.host].object.name.clone())
    }

    fn user(&mut self) -> String {
        self.random.one_of(&USERS).to_string()
    }

    fn address(&mut self) -> String {
        format!("10.20.{}.{}", 1 + self.random.below(4), 10 + self.random.below(200))
    }

    fn uuid(&mut self) -> String {
        uuid::Uuid::from_u64_pair(self.random.bits(), self.random.bits()).to_string()
    }
}

fn scene(vms: &[usize], drafts: impl IntoIterator<Item = Draft>) -> Scene {
    Scene { drafts: drafts.into_iter().collect(), vms: vms.to_vec(), chain: None }
}

fn event(class: &str, user: &str, place: Place, message: String, members: String) -> Draft {
    Draft { class: class.to_string(), user: user.to_string(), place, message, members, ..Draft::default() }
}

/// An `EventEx`; `about` is the type and the object that it names itself.
fn event_ex(
    type_id: &str,
    severity: &str,
    place: Place,
    message: String,
    arguments: &[(&str, &str)],
    about: Option<(&str, &Object)>,
) -> Draft {
    let mut members =
        format!("<eventTypeId>{type_id}</eventTypeId><severity>{severity}</severity><message></message>");
    for (key, value) in arguments {
        let value = escape(*value);
        members +=
            &format!("<arguments><key>{key}</key><value xsi:type=\"xsd:string\">{value}</value></arguments>");
    }
    if let Some((ty, object)) = about {
        members += &format!(
            "<objectId>{}</objectId><objectType>{ty}</objectType><objectName>{}</objectName>",
            object.id, object.name
        );
    }
    Draft { type_id: Some(type_id.to_string()), ..event("EventEx", "", place, message, members) }
}

/// The part of a `VirtualMachineConfigSpec` that makes the first disk larger.
fn disk_spec(vm: &str, datastore: &Object, gb: u64) -> String {
    format!(
        "<deviceChange><operation>edit</operation><device xsi:type=\"VirtualDisk\"><key>2000</key>\
         <deviceInfo xsi:type=\"Description\"><label>Hard disk 1</label><summary>{kb} KB</summary></deviceInfo>\
         <backing xsi:type=\"VirtualDiskFlatVer2BackingInfo\"><fileName>[{ds}] {vm}/{vm}.vmdk</fileName>\
         <datastore type=\"Datastore\">{id}</datastore><diskMode>persistent</diskMode>\
         <thinProvisioned>true</thinProvisioned></backing><controllerKey>1000</controllerKey><unitNumber>0</unitNumber>\
         <capacityInKB>{kb}</capacityInKB><capacityInBytes>{bytes}</capacityInBytes></device></deviceChange>",
        kb = gb << 20,
        bytes = gb << 30,
        ds = datastore.name,
        id = datastore.id,
    )
}
