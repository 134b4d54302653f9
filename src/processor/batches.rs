//! Many events into a few requests. Pure.

use std::ops::Range;

/// Cuts a sequence of sizes into requests, in order: as long as they fit within the events and the
/// bytes of one. A size over the limit stands alone.
pub(crate) fn requests(sizes: &[usize], events_max: usize, bytes_max: usize) -> Vec<Range<usize>> {
    let mut requests: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (index, size) in sizes.iter().enumerate() {
        match requests.last_mut() {
            Some(last) if last.len() < events_max && bytes + size <= bytes_max => {
                last.end = index + 1;
                bytes += size;
            }
            _ => {
                requests.push(index..index + 1);
                bytes = *size;
            }
        }
    }
    requests
}
