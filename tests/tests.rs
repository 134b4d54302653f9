//! The integration tests: one module per subject.
//!
//! `cargo test` runs those that need nothing but this repository; `tests/run` installs the peers
//! and runs all.

// Nothing of a test binary can be reached from outside, so that `pub` here means "of a module".
#![allow(unreachable_pub)]

mod support;

// The checkpoint as an operator meets it.
mod checkpoints;
// The command line and the configuration file.
mod cli;
// Several routers share routes through a real API server.
mod cluster;
// vCenter's clock is set, or an event is dated ahead of it.
mod clock;
// Nothing is lost, whatever happens.
mod conservation;
// Killed before any system call, or with a disk that fails, nothing is missing.
mod crash_points;
// What is refused for good is kept, and redelivered by one command.
mod dead_letters;
// What vcsim recorded, the CloudEvents SDK receives.
mod delivery;
// The demo, from the simulated vCenter to standard output.
mod demo;
// In the Go router's place: its manifests, files and checkpoints.
mod drop_in;
// Every fault between router and vCenter, one at a time.
mod faults;
// One function that fails holds up no other function.
mod consumers;
// One sink that hangs holds up no other route.
mod isolation;
// Events on a bus of a simulated AWS.
mod eventbridge;
// The same with an endpoint that fails as it is told.
mod eventbridge_faults;
// Any HTTP API.
mod http_api;
// Real receivers take what the samples send.
mod http_receivers;
// A sample for each receiver that people have.
mod http_samples;
// Three CloudEvents SDKs understand every event, in both encodings and formats.
mod knative;
// Destinations in a real Kubernetes API: found, lost, moved.
mod kubernetes;
// Configurations of the Go router, of every release.
mod legacy;
// What is told of a route that is behind, or of which nobody can know.
mod lag;
// From the operation to the receiver, on an idle stream.
mod latency;
// What people write wrong, and what they are told.
mod mistakes;
// What the log tells, and what signals change of it.
mod logs;
// Commands that look at a vCenter, or go back in its history.
mod looking;
// What lies in packaging/kubernetes, before a real API server.
mod manifests;
// Metrics, status and health, whatever vCenter does.
mod observe;
// Audit events of Horizon, whatever its connection servers do.
mod horizon;
// Functions get what they subscribe to, whatever the gateway answers.
mod openfaas;
// The same with OpenFaaS's own gateway, proxy and queue.
mod openfaas_gateway;
// Names, whatever the name server does.
mod names;
// Who owns what lies in the state folder.
mod state_owner;
// The payload of events beside what the Go router printed.
mod payload;
// Event patterns against AWS's own engine.
mod pattern;
// Whether the peers themselves do what the tests take for granted.
mod peers;
// Wrong addresses and accounts.
mod refusals;
// Stopped or killed in mid-stream, nothing is missing.
mod restart;
// What others do to its session at vcsim, and what it leaves behind.
mod sessions;
// How the router ends, whatever it is doing.
mod stopping;
// One sample event, without a vCenter.
mod send;
// The document of the Go router's statistics.
mod stats;
// What the router tells about itself.
mod own;
// Whatever strangers send to the address where the router is watched.
mod strangers;
// Templates beside EventBridge's input transformer as LocalStack has it.
mod template;
// What vCenter filters by names, and what the router does.
mod types;
// Events that others post, whatever they and the sink do.
mod webhook;
// Plain JSON of tools.
mod webhook_plain;
// The same with CloudEvents SDKs, with senders that repeat, with strangers, and in the Go router's place.
mod webhook_senders;
// House rules of the source code.
mod tidy;
// Whom the router believes.
mod tls;
// Names that mean nothing are told.
mod typos;
// Every answer of a sink, and when the next attempt comes.
mod waits;
