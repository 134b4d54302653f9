//! The vSphere API's types: XML of a page of events to JSON of each event.
//!
//! | Module | What it does |
//! | --- | --- |
//! | [`json`] | one page: finds the events, converts each, isolates a broken one |
//! | `object` | one element to JSON |
//! | `scalar` | the text of a value to JSON |
//! | `xml` | steps through the page, namespaces and references resolved |

pub mod json;
mod object;
mod scalar;
mod xml;
