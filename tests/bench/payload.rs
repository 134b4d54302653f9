//! Microseconds per event for XML to JSON, beside a plain scan of the same page by quick-xml:
//! `cargo bench --bench payload [-- PAGE...]`.
//!
//! The promise: at most 3 times the scan and 5 µs an event, whatever the classes. The pages are
//! made as vcsim writes them when virtual machines are created and switched on (1.4 KB an event);
//! more pages, recorded from a vCenter, can be given as files.

mod scan;

use std::hint::black_box;
use std::time::{Duration, Instant};

use event_router::vim::json::{PageEntry, convert_page};
use scan::scan;

// As the program ships: musl's own allocator would be measured otherwise.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Of so many rounds the median counts.
const ROUNDS: usize = 31;
/// How long a round takes at least.
const ROUND: Duration = Duration::from_millis(20);

fn main() {
    println!(
        "{:<24} {:>7} {:>8} {:>9} {:>12} {:>6}",
        "page", "events", "B/event", "scan µs", "to JSON µs", "ratio"
    );
    row("like vcsim, 100", &page(100));
    row("like vcsim, 1000", &page(1000));
    for class in ["VmPoweredOnEvent", "VmBeingCreatedEvent"] {
        row(&format!("{class}, 1000"), &page_of(1000, |number| event(class, number)));
    }
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with("--")) {
        match std::fs::read(&path) {
            Ok(page) => row(&path, &page),
            Err(error) => eprintln!("{path}: {error}"),
        }
    }
}

fn row(name: &str, page: &[u8]) {
    let entries = convert_page(page).expect("a page of events");
    assert!(
        entries.iter().all(|entry| matches!(entry, PageEntry::Event(event) if event.anomalies.is_empty()))
    );
    let (mut scans, mut conversions) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        scans.push(microseconds(|| scan(black_box(page))));
        conversions.push(microseconds(|| convert_page(black_box(page)).map_or(0, |entries| entries.len())));
    }
    let events = entries.len() as f64;
    let (scan, conversion) = (median(scans) / events, median(conversions) / events);
    println!(
        "{name:<24} {:>7} {:>8} {scan:>9.2} {conversion:>12.2} {:>6.2}",
        entries.len(),
        page.len() / entries.len(),
        conversion / scan
    );
}

/// Processor time of one run, from enough of them.
fn microseconds(run: impl Fn() -> usize) -> f64 {
    let begin = Instant::now();
    let begin_processor = processor_time(begin);
    let mut runs = 0;
    while begin.elapsed() < ROUND {
        black_box(run());
        runs += 1;
    }
    (processor_time(begin) - begin_processor).as_secs_f64() * 1e6 / f64::from(runs)
}

/// What this thread has used, so that a busy machine does not count; where the system does not tell,
/// the time since `begin`.
fn processor_time(begin: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|text| text.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| begin.elapsed(), Duration::from_nanos)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What vcsim records of each new machine, over and over.
const CLASSES: [&str; 6] = [
    "VmBeingCreatedEvent",
    "VmInstanceUuidAssignedEvent",
    "VmUuidAssignedEvent",
    "VmCreatedEvent",
    "VmStartingEvent",
    "VmPoweredOnEvent",
];

fn page(events: usize) -> Vec<u8> {
    page_of(events, |number| event(CLASSES[number % CLASSES.len()], number))
}

fn page_of(events: usize, event: impl Fn(usize) -> String) -> Vec<u8> {
    let events: String = (0..events).map(event).collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope \
         xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\" \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>\
         <ReadNextEventsResponse xmlns=\"urn:vim25\">{events}</ReadNextEventsResponse>\
         </soapenv:Body></soapenv:Envelope>\n"
    )
    .into_bytes()
}

fn event(class: &str, number: usize) -> String {
    let machine = format!("DC0_H0_VM{}", number / CLASSES.len());
    let object = |name: &str, kind: &str, id: usize| {
        format!("<{name}><name>DC0_{id}</name><{name} type=\"{kind}\">{name}-{id}</{name}></{name}>")
    };
    let own = match class {
        "VmBeingCreatedEvent" => config_spec(&machine),
        "VmInstanceUuidAssignedEvent" => {
            "<instanceUuid>57ed0e3b-2a9d-5a6c-9c5b-47b0cd1c0b9a</instanceUuid>".into()
        }
        "VmUuidAssignedEvent" => "<uuid>265104de-1472-547c-b873-6dc7883fb6cb</uuid>".into(),
        _ => String::new(),
    };
    format!(
        "<returnval xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:type=\"{class}\">\
         <key>{number}</key><chainId>{number}</chainId><createdTime>2026-05-04T10:11:12.{:06}Z</createdTime>\
         <userName>VSPHERE.LOCAL\\Administrator</userName>{}{}{}<vm><name>{machine}</name>\
         <vm type=\"VirtualMachine\">vm-{number}</vm></vm><ds><name>LocalDS_0</name>\
         <datastore type=\"Datastore\">datastore-59</datastore></ds>\
         <fullFormattedMessage>{machine} on host DC0_H0 in DC0: {class}</fullFormattedMessage>\
         <template>false</template>{own}</returnval>",
        number % 1_000_000,
        object("datacenter", "Datacenter", 1),
        object("computeResource", "ComputeResource", 24),
        object("host", "HostSystem", 21),
    )
}

fn config_spec(machine: &str) -> String {
    let device = |class: &str, members: &str| {
        format!(
            "<deviceChange i:type=\"VirtualDeviceConfigSpec\"><operation>add</operation>\
             <device i:type=\"{class}\"><key>204</key><deviceInfo i:type=\"Description\">\
             <label>{class}</label><summary>10,485,760 KB</summary></deviceInfo>{members}</device></deviceChange>"
        )
    };
    let connectable = "<connectable><startConnected>true</startConnected>\
        <allowGuestControl>true</allowGuestControl><connected>false</connected></connectable>";
    let cdrom = format!(
        "<backing i:type=\"VirtualCdromAtapiBackingInfo\"><deviceName>cdrom-1</deviceName>\
         <useAutoDetect>false</useAutoDetect></backing>{connectable}<controllerKey>202</controllerKey>\
         <unitNumber>0</unitNumber>"
    );
    let disk = format!(
        "<backing i:type=\"VirtualDiskFlatVer2BackingInfo\"><fileName>[LocalDS_0] {machine}/disk1.vmdk</fileName>\
         <datastore type=\"Datastore\">datastore-59</datastore><diskMode>persistent</diskMode><split>false</split>\
         <writeThrough>false</writeThrough><thinProvisioned>true</thinProvisioned>\
         <uuid>479057fd-d3c2-5069-8c95-dba5ae51b463</uuid></backing><controllerKey>202</controllerKey>\
         <unitNumber>0</unitNumber><capacityInKB>10485760</capacityInKB>\
         <capacityInBytes>10737418240</capacityInBytes><storageIOAllocation><limit>-1</limit></storageIOAllocation>"
    );
    let card = format!(
        "<backing i:type=\"VirtualEthernetCardDistributedVirtualPortBackingInfo\"><port>\
         <switchUuid>a86ec114-1915-5fba-b48e-5c2b06075be0</switchUuid><portgroupKey>dvportgroup-12</portgroupKey>\
         </port></backing>{connectable}<controllerKey>100</controllerKey><unitNumber>7</unitNumber>\
         <addressType>generated</addressType><macAddress>00:0c:29:64:61:62</macAddress>"
    );
    let controller = "<busNumber>0</busNumber><device>201</device><sharedBus>noSharing</sharedBus>";
    format!(
        "<configSpec><name>{machine}</name><guestId>otherGuest</guestId><files>\
         <vmPathName>[LocalDS_0] {machine}/{machine}.vmx</vmPathName></files>{}{}{}{}</configSpec>",
        device("ParaVirtualSCSIController", controller),
        device("VirtualCdrom", &cdrom),
        device("VirtualDisk", &disk),
        device("VirtualE1000", &card),
    )
}
