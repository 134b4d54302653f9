//! Putting lists in order, for what is no part of an event's path.
//!
//! The standard library's sort is compiled again for each type that it sorts, 4 KB each time, a fiftieth of
//! the program in all. Here only places are sorted, once for all types, and the list follows.

use std::cmp::Ordering;

/// Puts a list in its order; what is equal stays as it was.
pub(crate) fn sort<T: Ord>(list: &mut Vec<T>) {
    sort_by(list, T::cmp);
}

/// The same by what `compare` says.
pub(crate) fn sort_by<T>(list: &mut Vec<T>, compare: impl Fn(&T, &T) -> Ordering) {
    let order = places(list.len(), &|a, b| compare(&list[a], &list[b]));
    let mut items: Vec<Option<T>> = std::mem::take(list).into_iter().map(Some).collect();
    list.extend(order.into_iter().filter_map(|place| items[place].take()));
}

/// The same by a part of each.
pub(crate) fn sort_by_key<T, K: Ord>(list: &mut Vec<T>, key: impl Fn(&T) -> K) {
    sort_by(list, |a, b| key(a).cmp(&key(b)));
}

fn places(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn it_sorts_as_the_standard_library_does() {
        let mut random = Random::from_test("order");
        for length in 0..200 {
            let mut list: Vec<(usize, usize)> = (0..length).map(|place| (random.below(20), place)).collect();
            let mut expected = list.clone();
            expected.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
            sort_by_key(&mut list, |(key, _)| std::cmp::Reverse(*key));
            assert_eq!(list, expected);
            expected.sort();
            sort(&mut list);
            assert_eq!(list, expected);
        }
    }
}
