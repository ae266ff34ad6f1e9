//! What makes two frames the same event, and what an event is called downstream.
//!
//! Responsible for identity keys, their hash and the `eventId`. Refuses to take a conversation's id for an event's: a
//! conversation has many events. Invariant: the bytes of a key are unambiguous (each part is preceded by its length),
//! and the same key gives the same hash and the same id in every run.

use std::borrow::Cow;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

/// Namespace of the UUIDv5 ids that are made from natural keys.
///
/// # Source
/// Drawn once at random for this project; part of the contract, since consumers see the ids made with it.
pub const NATURAL_KEY_NAMESPACE: Uuid = Uuid::from_u128(0x7b0f_6a3e_52c4_4d19_9a86_1f0c_e3d7_5b28);

/// Namespace of the UUIDv5 ids that are made from the ids of dead letters.
///
/// # Source
/// Drawn once at random for this project; part of the contract, since consumers see the ids made with it.
pub const LETTER_NAMESPACE: Uuid = Uuid::from_u128(0x2c9d_41b7_0e8a_4f36_b1d5_93c0_6a7e_f482);

/// Returns the id of an event without a key that comes from a dead letter: the same at each replay.
#[must_use]
pub fn id_of_letter(letter_id: &str) -> Uuid {
    Uuid::new_v5(&LETTER_NAMESPACE, letter_id.as_bytes())
}

/// How an event is known; the bytes of its key stand in the [`KeyBuilder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// By an id that the source gave it.
    Source(Cow<'a, str>),
    /// By fields that together are unique.
    Natural,
    /// By nothing: identical bodies may be different events, so it is never a duplicate.
    None,
}

/// Builds the bytes of one key at a time.
#[derive(Debug, Default)]
pub struct KeyBuilder {
    bytes: Vec<u8>,
}

impl KeyBuilder {
    /// Starts a key of the given family.
    pub fn start(&mut self, family: &str) {
        self.bytes.clear();
        self.part(family);
    }

    /// Appends one part.
    pub fn part(&mut self, part: &str) {
        self.bytes
            .extend_from_slice(itoa::Buffer::new().format(part.len()).as_bytes());
        self.bytes.push(b':');
        self.bytes.extend_from_slice(part.as_bytes());
    }

    /// Returns the hash under which the window knows the key.
    #[must_use]
    pub fn hash(&self) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&self.bytes)
    }

    /// Returns the id of the event that has this key.
    #[must_use]
    pub fn natural_id(&self) -> Uuid {
        Uuid::new_v5(&NATURAL_KEY_NAMESPACE, &self.bytes)
    }
}

/// Draws ids for what has no key: UUIDv7, so that they sort by time.
#[derive(Debug)]
pub struct IdSource {
    random: SmallRng,
}

impl IdSource {
    /// Makes a source seeded by the operating system.
    #[must_use]
    pub fn from_system() -> Self {
        let mut seed = [0; 32];
        let (first, second) = seed.split_at_mut(16);
        first.copy_from_slice(Uuid::new_v4().as_bytes());
        second.copy_from_slice(Uuid::new_v4().as_bytes());
        Self {
            random: SmallRng::from_seed(seed),
        }
    }

    /// Makes a source that draws the same ids each time, for tests.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self {
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// Draws one id.
    ///
    /// # Units
    /// `time_us`: microseconds since 1970-01-01T00:00:00Z; the id keeps milliseconds.
    pub fn draw(&mut self, time_us: i64) -> Uuid {
        let mut random = [0; 10];
        self.random.fill_bytes(&mut random);
        let ms = u64::try_from(time_us / 1000).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::{IdSource, KeyBuilder, id_of_letter};
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn key(parts: &[String]) -> KeyBuilder {
        let mut key = KeyBuilder::default();
        key.start("f");
        for part in parts {
            key.part(part);
        }
        key
    }

    #[test]
    fn the_id_of_a_natural_key_never_changes() {
        let id = key(&["a".into(), "b".into()]).natural_id();
        assert_eq!(id.get_version_num(), 5);
        assert_eq!(id, key(&["a".into(), "b".into()]).natural_id());
        // Written down: consumers have stored ids made with this namespace and this layout.
        assert_eq!(id.to_string(), PINNED);
    }

    const PINNED: &str = "f0faf7ac-d804-5a18-a59c-742083ea285d";

    #[test]
    fn drawn_ids_differ_and_carry_their_millisecond() {
        let mut ids = IdSource::from_seed(7);
        let drawn: HashSet<_> = (0..1000).map(|_| ids.draw(1_649_237_444_949_123)).collect();
        assert_eq!(drawn.len(), 1000);
        for id in drawn {
            assert_eq!(
                (id.get_version_num(), (id.as_u128() >> 80) as u64),
                (7, 1_649_237_444_949)
            );
        }
    }

    #[test]
    fn the_id_that_hangs_on_a_dead_letter_never_changes() {
        let id = id_of_letter("0195510a-7c00-7000-8000-00000000000a");
        // Written down: consumers have stored ids made with this namespace.
        assert_eq!(id.to_string(), PINNED_LETTER);
    }

    const PINNED_LETTER: &str = "54737b7b-6496-587b-8d02-87e9685f4903";

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn different_parts_give_different_keys(
            left in prop::collection::vec("[a:0-9]{0,3}", 0..4),
            right in prop::collection::vec("[a:0-9]{0,3}", 0..4),
        ) {
            prop_assert_eq!(key(&left).hash() == key(&right).hash(), left == right);
            prop_assert_eq!(key(&left).natural_id() == key(&right).natural_id(), left == right);
        }

        #[test]
        fn the_id_of_a_letter_hangs_on_its_id_and_on_nothing_else(left in "[a-c]{0,3}", right in "[a-c]{0,3}") {
            prop_assert_eq!(id_of_letter(&left) == id_of_letter(&right), left == right);
            prop_assert_eq!(id_of_letter(&left).get_version_num(), 5);
            let mut key = KeyBuilder::default();
            key.start(&right);
            prop_assert_ne!(id_of_letter(&left), key.natural_id());
        }
    }
}
