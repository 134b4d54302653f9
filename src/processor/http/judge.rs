//! What an answer means. Pure.

use std::ops::RangeInclusive;

use crate::http::answer::{self, StatusClass};

/// How answers are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// What acknowledges.
    pub(crate) success: Codes,
    /// What is tried again, and nothing else; without it what the common table says.
    pub(crate) retry_on: Option<Codes>,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { success: Codes(vec![200..=299]), retry_on: None }
    }
}

/// A set of statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Codes(pub(crate) Vec<RangeInclusive<u16>>);

impl Codes {
    pub(super) fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// What a status means for the events of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Acknowledged.
    Delivered,
    /// Not now.
    Later,
    /// Not from us, or not there.
    Sender,
    /// Never: the same will be refused again.
    Never,
}

impl Rules {
    /// The class of a status: what the configuration says, then the common table, then what is usual
    /// where nothing is known about the receiver. An address that leads nowhere is no fault of an event.
    pub(super) fn class(&self, status: u16) -> Class {
        if self.success.contains(status) {
            return Class::Delivered;
        }
        if let Some(retry_on) = &self.retry_on
            && retry_on.contains(status)
        {
            return Class::Later;
        }
        match (answer::class_of(status), status) {
            (StatusClass::Event, _) => Class::Never,
            // A 2xx that is no success here comes from somebody else, such as a page for guests.
            (StatusClass::Sender | StatusClass::Accepted, _) | (_, 404 | 410) => Class::Sender,
            _ if self.retry_on.is_some() => Class::Never,
            (_, 408 | 425 | 429) => Class::Later,
            (_, 100..=499) => Class::Never,
            _ => Class::Later,
        }
    }

    /// What to do about a refusal of the sender or the address.
    pub(super) fn cure(&self, status: u16) -> &'static str {
        match status {
            200..=299 => "is this the receiver's address? `success` does not name this status",
            404 | 410 => "correct the address: nothing is there",
            _ => answer::sender_cure(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_class() {
        let plain = Rules::default();
        for status in 0..=u16::MAX {
            let expected = match status {
                200..300 => Class::Delivered,
                408 | 425 | 429 | 500..=u16::MAX => Class::Later,
                300..400 | 401..=407 | 410 | 421 | 426 => Class::Sender,
                100..500 => Class::Never,
                _ => Class::Later,
            };
            assert_eq!(plain.class(status), expected, "{status}");
        }
    }

    #[test]
    fn the_configuration_goes_before_the_table() {
        let rules = Rules {
            success: Codes(vec![200..=200, 409..=409]),
            retry_on: Some(Codes(vec![429..=429, 413..=413])),
        };
        for (status, class) in [
            (200, Class::Delivered),
            (409, Class::Delivered),
            (202, Class::Sender),
            (413, Class::Later),
            (429, Class::Later),
            (400, Class::Never),
            (401, Class::Sender),
            (404, Class::Sender),
            (408, Class::Never),
            (500, Class::Never),
            (503, Class::Never),
        ] {
            assert_eq!(rules.class(status), class, "{status}");
        }
    }
}
