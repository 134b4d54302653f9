//! The vSphere API's types: XML of a page of events to JSON of each event.

pub mod json;
