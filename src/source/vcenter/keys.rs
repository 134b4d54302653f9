//! What the keys of vCenter's events tell about its event counter. Pure.

use crate::limits::KEY_SUSPICIOUS;
use crate::source::Item;

/// Warns, once in a source's life, of a counter that is about to overflow.
#[derive(Debug, Default)]
pub(super) struct KeyWatch {
    warned: bool,
}

impl KeyWatch {
    /// A notice about the first item whose key is suspicious.
    pub(super) fn notice(&mut self, items: &[Item]) -> Option<String> {
        if self.warned {
            return None;
        }
        let key_of = |item: &Item| item.position().map(|position| position.key);
        let is_suspicious = |key: &i64| !(0..=KEY_SUSPICIOUS).contains(key);
        let key = items.iter().filter_map(key_of).find(is_suspicious)?;
        self.warned = true;
        Some(format!(
            "event key {key}: vCenter's event counter is about to overflow or has; a known vCenter fault then \
             hides new events from collectors: open a support request with VMware"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::event;

    #[test]
    fn a_counter_near_its_end_is_told_once() {
        let items =
            |keys: &[i64]| keys.iter().map(|key| Item::Event(event(*key, "vm-1"))).collect::<Vec<_>>();
        let mut keys = KeyWatch::default();
        assert_eq!(keys.notice(&items(&[0, 1, KEY_SUSPICIOUS])), None);
        let notice = keys.notice(&items(&[1, KEY_SUSPICIOUS + 1, -2147483648])).unwrap();
        assert!(
            notice.starts_with("event key 2000000001: vCenter's event counter is about to overflow"),
            "{notice}"
        );
        assert_eq!(keys.notice(&items(&[-1])), None);
        assert!(KeyWatch::default().notice(&items(&[7, -1])).unwrap().starts_with("event key -1: "));
    }
}
