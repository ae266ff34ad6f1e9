//! Who has landed, by key: what a repeated record overtook is then a look-up and not a walk over the window.
//!
//! Responsible for counting the later records of a key that were there first. Refuses to be kept while nothing is
//! repeated, since it costs a little at each landing. Invariant: it holds exactly the landed entries of the window
//! that have a key.

use std::collections::{HashMap, VecDeque};

use crate::sink::Route;

/// Numbers of landed entries, in hand-out order, by route and hash of the key.
#[derive(Debug, Default)]
pub(super) struct Landings {
    by_key: HashMap<(Route, u64), VecDeque<u64>>,
}

impl Landings {
    /// Adds an entry that has landed, wherever its place among the others is.
    pub(super) fn add(&mut self, route: Route, key: u64, number: u64) {
        let numbers = self.by_key.entry((route, key)).or_default();
        let place = numbers.partition_point(|other| *other < number);
        numbers.insert(place, number);
    }

    /// Forgets an entry that leaves the window, which is the first of its key by then.
    pub(super) fn remove(&mut self, route: Route, key: u64, number: u64) {
        if let Some(numbers) = self.by_key.get_mut(&(route, key)) {
            if numbers.front() == Some(&number) {
                numbers.pop_front();
            }
            if numbers.is_empty() {
                self.by_key.remove(&(route, key));
            }
        }
    }

    /// Number of landed entries that come after `number` in hand-out order.
    pub(super) fn after(&self, route: Route, key: u64, number: u64) -> u64 {
        self.by_key.get(&(route, key)).map_or(0, |numbers| {
            let place = numbers.partition_point(|other| *other <= number);
            (numbers.len() - place) as u64
        })
    }
}
