//! The event types that the simulated vCenter describes.

use std::fmt::Write;

/// Whether the vCenter knows that class or `eventTypeId`.
pub(super) fn is_described(topic: &str) -> bool {
    DESCRIPTIONS.iter().any(|(known, ..)| *known == topic)
}

/// The category of that class or `eventTypeId`: `info` where it is not described.
pub(super) fn category(topic: &str) -> &'static str {
    DESCRIPTIONS.iter().find(|(known, ..)| *known == topic).map_or("info", |(_, _, category, _)| category)
}

/// The `EventDescriptionEventDetail` of all types, each as an element of that name.
pub(super) fn details(element: &str) -> String {
    let mut out = String::new();
    for (topic, class, category, format) in DESCRIPTIONS {
        // The id of an EventEx or ExtendedEvent stands in front of the format of its class.
        let full = if class == topic { (*format).to_string() } else { format!("{topic}|{format}") };
        let _ = write!(
            out,
            "<{element}><key>{class}</key><description>{topic}</description><category>{category}</category>\
             <formatOnDatacenter>{format}</formatOnDatacenter>\
             <formatOnComputeResource>{format}</formatOnComputeResource><formatOnHost>{format}</formatOnHost>\
             <formatOnVm>{format}</formatOnVm><fullFormat>{full}</fullFormat></{element}>",
        );
    }
    out
}

/// Topic, class, category, and how the message is made.
const DESCRIPTIONS: &[(&str, &str, &str, &str)] = &[
    class("AlarmStatusChangedEvent", "info", "Alarm '{alarm.name}' changed from {from.@enum} to {to.@enum}"),
    class("BadUsernameSessionEvent", "error", "Login of {userName} from {ipAddress} was refused"),
    class("DatastoreFileDeletedEvent", "info", "File {targetFile} was deleted"),
    class("DrsVmMigratedEvent", "info", "{vm.name} moved from {sourceHost.name} to {host.name}"),
    class("GeneralUserEvent", "user", "{message}"),
    class("HostConnectedEvent", "info", "Host {host.name} is connected again"),
    class("HostConnectionLostEvent", "error", "The connection to host {host.name} is lost"),
    class("TaskEvent", "info", "Task: {info.descriptionId}"),
    class("UserLoginSessionEvent", "info", "User {userName} logged in from {ipAddress}"),
    class("UserLogoutSessionEvent", "info", "User {userName} logged out from {ipAddress}"),
    class("VmBeingHotMigratedEvent", "info", "{vm.name} is moving to {destHost.name}"),
    class("VmGuestRebootEvent", "info", "the guest of {vm.name} restarts"),
    class("VmGuestShutdownEvent", "info", "the guest of {vm.name} shuts down"),
    class("VmMigratedEvent", "info", "{vm.name} moved from {sourceHost.name} to {host.name}"),
    class("VmPoweredOffEvent", "info", "{vm.name} is powered off"),
    class("VmPoweredOnEvent", "info", "{vm.name} is powered on"),
    class("VmReconfiguredEvent", "info", "{vm.name} was reconfigured"),
    class("VmStartingEvent", "info", "{vm.name} is starting"),
    ("com.example.backup.JobFinished", "ExtendedEvent", "info", "Backup of {vm.name} finished"),
    ("com.vmware.sso.LoginFailure", "EventEx", "error", "Login of {userName} from {userIp} failed"),
    (
        "com.vmware.vc.HA.HostStateChangedEvent",
        "EventEx",
        "warning",
        "The availability state of host {host.name} changed",
    ),
    ("com.vmware.vc.ha.VmRestartedByHAEvent", "EventEx", "warning", "High availability restarted {vm.name}"),
    ("esx.audit.ssh.disabled", "EventEx", "info", "SSH access was disabled on {host.name}"),
    ("esx.audit.ssh.enabled", "EventEx", "info", "SSH access was enabled on {host.name}"),
];

/// A type whose topic is its class.
const fn class(
    name: &'static str,
    category: &'static str,
    format: &'static str,
) -> (&'static str, &'static str, &'static str, &'static str) {
    (name, name, category, format)
}
