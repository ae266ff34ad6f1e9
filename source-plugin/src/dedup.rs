//! The window of identities seen lately.
//!
//! Responsible for saying that an identity was accepted within the window, and how long ago. Refuses to grow: it is
//! bounded by time and by count, and the oldest leaves first. Invariant: the table holds exactly the identities of the
//! queue that were not withdrawn; expiry takes from the queue's front, O(1) amortised.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// Upper bounds of the buckets of duplicate ages; one more bucket counts what is older than the last.
///
/// # Units
/// Milliseconds, inclusive. 60,000 is the tutorial's window, 900,000 the default one.
pub const AGE_BOUNDS_MS: [u64; 8] = [10, 100, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000];

/// Bounds of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long an identity is remembered, in milliseconds; 0 turns de-duplication off.
    pub window_ms: u64,
    /// How many identities are remembered at most; 0 turns de-duplication off.
    pub max_ids: usize,
}

impl Default for Settings {
    /// 15 minutes and one million identities, the design's defaults.
    fn default() -> Self {
        Self {
            window_ms: 900_000,
            max_ids: 1_000_000,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    // Two halves instead of one u128, which would be aligned to 16 bytes and cost 32.
    hash: [u64; 2],
    time_ms: i64,
}

/// The window; see the module.
#[derive(Debug)]
pub struct Window {
    settings: Settings,
    queue: VecDeque<Entry>,
    /// Positions in the queue, counted from the first entry ever and wrapping; `base` is that of the front.
    table: HashTable<u32>,
    base: u32,
    now_ms: i64,
    ages: [u64; AGE_BOUNDS_MS.len() + 1],
}

impl Window {
    /// Makes an empty window; memory is taken as it fills.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        // Positions are 32 bits wide; a window of four billion identities would not fit into memory anyway.
        let max_ids = settings.max_ids.min(u32::MAX as usize / 2);
        Self {
            settings: Settings { max_ids, ..settings },
            queue: VecDeque::new(),
            table: HashTable::new(),
            base: 0,
            now_ms: i64::MIN,
            ages: [0; AGE_BOUNDS_MS.len() + 1],
        }
    }

    /// Returns how long ago, in milliseconds, the identity was remembered, if it still is; counts the age.
    ///
    /// The clock never runs backwards in here: a `now_ms` before the last one counts as the last one.
    pub fn seen(&mut self, hash: u128, now_ms: i64) -> Option<u64> {
        self.expire(now_ms);
        let position = *self.table.find(low(hash), |position| self.is(*position, hash))?;
        let entry = self.queue.get(position.wrapping_sub(self.base) as usize)?;
        let age_ms = self.now_ms.abs_diff(entry.time_ms);
        let bucket = AGE_BOUNDS_MS
            .iter()
            .position(|bound| age_ms <= *bound)
            .unwrap_or(AGE_BOUNDS_MS.len());
        self.ages[bucket] += 1;
        Some(age_ms)
    }

    /// Remembers an identity that is not in the window; the oldest leaves if the window is full.
    pub fn remember(&mut self, hash: u128, now_ms: i64) {
        self.expire(now_ms);
        if self.settings.max_ids == 0 || self.settings.window_ms == 0 {
            return;
        }
        if self.queue.len() >= self.settings.max_ids {
            self.forget_oldest();
        }
        if self.queue.len() == self.queue.capacity() {
            // Doubling, but never beyond the bound.
            let more = self
                .queue
                .len()
                .max(64)
                .min(self.settings.max_ids - self.queue.len());
            self.queue.reserve_exact(more);
        }
        let position = self.base.wrapping_add(self.queue.len() as u32);
        self.queue.push_back(Entry {
            hash: [low(hash), high(hash)],
            time_ms: self.now_ms,
        });
        let (queue, base) = (&self.queue, self.base);
        self.table.insert_unique(low(hash), position, |position| {
            queue
                .get(position.wrapping_sub(base) as usize)
                .map_or(0, |entry| entry.hash[0])
        });
    }

    /// Remembers an identity that was accepted earlier, in the order in which that happened, without counting an age;
    /// one that is still remembered stays as it is.
    pub fn recall(&mut self, hash: u128, seen_ms: i64) {
        self.expire(seen_ms);
        let is_known = self.table.find(low(hash), |position| self.is(*position, hash));
        if is_known.is_none() {
            self.remember(hash, seen_ms);
        }
    }

    /// Forgets an identity whose record could not be kept after all; returns whether it was there.
    pub fn withdraw(&mut self, hash: u128) -> bool {
        let (queue, base) = (&self.queue, self.base);
        let found = self
            .table
            .find_entry(low(hash), |position| holds(queue, base, *position, hash));
        match found {
            Ok(entry) => {
                // The queue's entry stays until it expires; without the table it means nothing.
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Returns how many identities are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Says whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Returns how many duplicates were seen per bucket of age, see [`AGE_BOUNDS_MS`].
    #[must_use]
    pub fn ages(&self) -> [u64; AGE_BOUNDS_MS.len() + 1] {
        self.ages
    }

    /// Returns the bytes held by queue and table.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Entry>() + self.table.allocation_size()
    }

    fn expire(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        while let Some(oldest) = self.queue.front() {
            if self.now_ms.abs_diff(oldest.time_ms) <= self.settings.window_ms {
                break;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.queue.front() else { return };
        let base = self.base;
        if let Ok(entry) = self
            .table
            .find_entry(oldest.hash[0], |position| *position == base)
        {
            entry.remove();
        }
        self.queue.pop_front();
        self.base = self.base.wrapping_add(1);
    }

    fn is(&self, position: u32, hash: u128) -> bool {
        holds(&self.queue, self.base, position, hash)
    }
}

fn holds(queue: &VecDeque<Entry>, base: u32, position: u32, hash: u128) -> bool {
    queue
        .get(position.wrapping_sub(base) as usize)
        .is_some_and(|entry| entry.hash == [low(hash), high(hash)])
}

fn low(hash: u128) -> u64 {
    hash as u64
}

fn high(hash: u128) -> u64 {
    (hash >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::{Settings, Window};
    use proptest::prelude::*;

    fn spread(id: u64) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&id.to_le_bytes())
    }

    #[test]
    fn a_million_identities_cost_at_most_forty_bytes_each() {
        let mut window = Window::new(Settings::default());
        for id in 0..1_000_000 {
            window.remember(spread(id), 0);
        }
        assert_eq!(window.len(), 1_000_000);
        let bytes_per_id = window.allocated_bytes() as f64 / 1e6;
        assert!(bytes_per_id <= 40.0, "{bytes_per_id}");
        window.remember(spread(1_000_000), 1);
        assert_eq!(
            (window.len(), window.seen(spread(0), 1), window.seen(spread(1), 1)),
            (1_000_000, None, Some(1))
        );
    }

    #[test]
    fn ages_fall_into_their_buckets() {
        let mut window = Window::new(Settings {
            window_ms: 2_000_000,
            max_ids: 10,
        });
        window.remember(1, 0);
        for now_ms in [0, 10, 11, 900_000, 900_001] {
            assert_eq!(window.seen(1, now_ms), Some(now_ms as u64));
        }
        assert_eq!(window.ages(), [2, 1, 0, 0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn a_clock_that_steps_back_keeps_the_window() {
        let mut window = Window::new(Settings {
            window_ms: 100,
            max_ids: 10,
        });
        window.remember(1, 1_000);
        assert_eq!(window.seen(1, 500), Some(0));
        window.remember(2, 500);
        assert_eq!((window.seen(2, 1_100), window.seen(2, 1_101)), (Some(100), None));
    }

    #[test]
    fn nothing_is_remembered_when_a_bound_is_zero() {
        for settings in [
            Settings {
                window_ms: 0,
                max_ids: 9,
            },
            Settings {
                window_ms: 9,
                max_ids: 0,
            },
        ] {
            let mut window = Window::new(settings);
            window.remember(1, 0);
            assert_eq!(window.seen(1, 0), None);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Offer(u8),
        Withdraw(u8),
        Wait(i64),
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_window_agrees_with_a_list(
            steps in prop::collection::vec(
                prop_oneof![
                    6 => (0..24_u8).prop_map(Step::Offer),
                    1 => (0..24_u8).prop_map(Step::Withdraw),
                    3 => (-5..40_i64).prop_map(Step::Wait),
                ],
                0..300,
            ),
            max_ids in 1..12_usize,
            start in any::<u32>(),
        ) {
            let mut window = Window::new(Settings { window_ms: 50, max_ids });
            window.base = start;
            // The model: slots in order; a withdrawn one keeps its slot until it expires.
            let mut list: Vec<(Option<u8>, i64)> = Vec::new();
            let (mut clock, mut latest) = (0_i64, i64::MIN);
            for step in steps {
                match step {
                    Step::Wait(ms) => clock += ms,
                    Step::Withdraw(id) => {
                        let slot = list.iter_mut().find(|slot| slot.0 == Some(id));
                        prop_assert_eq!(window.withdraw(spread(id.into())), slot.is_some());
                        if let Some(slot) = slot {
                            slot.0 = None;
                        }
                    }
                    Step::Offer(id) => {
                        latest = latest.max(clock);
                        list.retain(|slot| latest - slot.1 <= 50);
                        let known = list.iter().find(|slot| slot.0 == Some(id)).map(|slot| (latest - slot.1) as u64);
                        prop_assert_eq!(window.seen(spread(id.into()), clock), known);
                        if known.is_none() {
                            window.remember(spread(id.into()), clock);
                            if list.len() >= max_ids {
                                list.remove(0);
                            }
                            list.push((Some(id), latest));
                        }
                    }
                }
                prop_assert_eq!(window.len(), list.iter().filter(|slot| slot.0.is_some()).count());
            }
        }
    }
}
