//! Which topic is on which channel.
//!
//! Responsible for spreading topics over channels and for saying which channels have to be told. Refuses more than 1,000
//! topics on a channel; what finds no room is left out and said. Invariant: a topic that is placed stays where it is as
//! long as it is wanted.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::topic::combined;

/// Most topics of a channel.
///
/// # Source
/// Genesys Cloud: 1,000; a request with more is refused with 400.
pub const MAX_TOPICS: usize = 1_000;

/// What a channel's set of topics has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Number of the channel, from 0; the same as long as it has topics.
    pub channel: usize,
    /// The whole set; empty: nobody needs the channel.
    pub topics: BTreeSet<String>,
    /// What is new in it.
    pub added: Vec<String>,
    /// What is no longer in it.
    pub removed: Vec<String>,
}

/// What an assignment has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The channels whose set is another one than before, by their number.
    pub channels: Vec<Change>,
    /// Topics that found no room, in the order in which they were wanted.
    pub left_out: Vec<String>,
}

/// Topics on their channels.
#[derive(Clone, Debug)]
pub struct Spread {
    max_channels: usize,
    channels: Vec<BTreeSet<String>>,
    place: HashMap<String, usize>,
}

impl Spread {
    /// Starts without a topic; there will never be more than `max_channels` channels.
    #[must_use]
    pub fn new(max_channels: usize) -> Self {
        Self {
            max_channels,
            channels: Vec::new(),
            place: HashMap::new(),
        }
    }

    /// The topics of a channel.
    #[must_use]
    pub fn channel(&self, channel: usize) -> Option<&BTreeSet<String>> {
        self.channels.get(channel)
    }

    /// Channels that have, or had, topics.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Makes `topics`, the most important first, what is spread. A new topic goes where one of the same id has just been
    /// taken from, so that one request exchanges both, else to the channel with the fewest topics.
    pub fn assign<'a>(&mut self, topics: impl IntoIterator<Item = &'a String>) -> Changes {
        let mut wanted: HashSet<&str> = HashSet::new();
        let topics: Vec<&String> = topics.into_iter().filter(|topic| wanted.insert(topic)).collect();
        let mut changed: Vec<(Vec<String>, Vec<String>)> = vec![Default::default(); self.channels.len()];
        let mut heirs: HashMap<String, usize> = HashMap::new();
        for (at, channel) in self.channels.iter_mut().enumerate() {
            let gone: Vec<String> = channel
                .iter()
                .filter(|topic| !wanted.contains(topic.as_str()))
                .cloned()
                .collect();
            for topic in gone {
                channel.remove(&topic);
                self.place.remove(&topic);
                heirs.insert(combined::prefix(&topic).to_owned(), at);
                changed[at].1.push(topic);
            }
        }
        let mut left_out = Vec::new();
        for topic in topics {
            if self.place.contains_key(topic) {
                continue;
            }
            let heir = heirs.get(combined::prefix(topic)).copied();
            let Some(at) = heir.filter(|at| self.has_room(*at)).or_else(|| self.emptiest()) else {
                left_out.push(topic.clone());
                continue;
            };
            if at == self.channels.len() {
                self.channels.push(BTreeSet::new());
                changed.push(Default::default());
            }
            self.channels[at].insert(topic.clone());
            self.place.insert(topic.clone(), at);
            changed[at].0.push(topic.clone());
        }
        let channels = changed
            .into_iter()
            .enumerate()
            .filter(|(_, (added, removed))| !added.is_empty() || !removed.is_empty())
            .map(|(channel, (added, removed))| Change {
                channel,
                topics: self.channels[channel].clone(),
                added,
                removed,
            })
            .collect();
        Changes { channels, left_out }
    }

    fn has_room(&self, channel: usize) -> bool {
        self.channels[channel].len() < MAX_TOPICS
    }

    /// The channel with the fewest topics, but a further one only if all are full: each costs one of the client's 20.
    fn emptiest(&self) -> Option<usize> {
        let in_use =
            (0..self.channels.len()).filter(|at| !self.channels[*at].is_empty() && self.has_room(*at));
        let unused = || (0..self.channels.len()).find(|at| self.channels[*at].is_empty());
        let further = || (self.channels.len() < self.max_channels).then_some(self.channels.len());
        in_use
            .min_by_key(|at| self.channels[*at].len())
            .or_else(unused)
            .or_else(further)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::prelude::*;

    use super::{Change, Changes, MAX_TOPICS, Spread};

    fn users(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
        numbers
            .into_iter()
            .map(|number| format!("v2.users.u{number:05}.presence"))
            .collect()
    }

    fn sizes(spread: &Spread) -> Vec<usize> {
        (0..)
            .map_while(|at| spread.channel(at))
            .map(BTreeSet::len)
            .collect()
    }

    #[test]
    fn two_and_a_half_thousand_topics_take_three_channels_and_a_new_one_goes_to_the_emptiest() {
        let mut spread = Spread::new(19);
        spread.assign(&users(0..2_500));
        assert_eq!(sizes(&spread), [1_000, 1_000, 500]);
        let changes = spread.assign(&users(1..2_501));
        let new = "v2.users.u02500.presence".to_owned();
        let told: Vec<(usize, &[String], &[String])> = changes
            .channels
            .iter()
            .map(|change| (change.channel, &change.added[..], &change.removed[..]))
            .collect();
        assert_eq!(
            told,
            [
                (0, &[][..], &["v2.users.u00000.presence".to_owned()][..]),
                (2, &[new.clone()][..], &[][..]),
            ]
        );
        assert_eq!(spread.assign(&users(1..2_501)), Changes::default());
    }

    #[test]
    fn what_finds_no_room_is_left_out_in_order_and_comes_in_once_there_is_some() {
        let mut spread = Spread::new(1);
        let mut wanted: Vec<String> = users(0..1_002).into_iter().collect();
        let changes = spread.assign(&wanted);
        assert_eq!(changes.left_out, wanted[1_000..]);
        wanted.remove(0);
        let changes = spread.assign(&wanted);
        assert_eq!(changes.channels[0].added, ["v2.users.u01000.presence"]);
        assert_eq!(changes.left_out, ["v2.users.u01001.presence"]);
    }

    #[test]
    fn another_combination_of_the_same_id_takes_the_place_of_the_one_before() {
        let mut spread = Spread::new(2);
        spread.assign(&users(0..1_001));
        let mut wanted = users(1..1_001);
        wanted.insert("v2.users.u00000?conversations&presence".to_owned());
        let changes = spread.assign(&wanted);
        let topics = spread.channel(0).unwrap().clone();
        assert_eq!(
            changes.channels,
            [Change {
                channel: 0,
                topics,
                added: vec!["v2.users.u00000?conversations&presence".to_owned()],
                removed: vec!["v2.users.u00000.presence".to_owned()],
            }]
        );
    }

    #[test]
    fn a_channel_without_topics_is_told_and_its_number_used_again() {
        let mut spread = Spread::new(19);
        spread.assign(&users(0..1_500));
        let changes = spread.assign(&users(0..1_000));
        let told: Vec<(usize, usize)> = changes
            .channels
            .iter()
            .map(|change| (change.channel, change.topics.len()))
            .collect();
        assert_eq!(told, [(1, 0)]);
        spread.assign(&users(0..1_001));
        assert_eq!(sizes(&spread), [1_000, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_topic_stays_no_channel_has_too_many_and_all_that_is_wanted_is_there(
            steps in prop::collection::vec((0_usize..4_000, 0_usize..2_600), 1..8),
            max_channels in 1_usize..4,
        ) {
            let mut spread = Spread::new(max_channels);
            let mut before: HashMap<String, usize> = HashMap::new();
            let mut known: Vec<BTreeSet<String>> = Vec::new();
            for (from, count) in steps {
                let wanted = users(from..from + count);
                let changes = spread.assign(&wanted);
                let mut now: HashMap<String, usize> = HashMap::new();
                for (at, channel) in (0..).map_while(|at| spread.channel(at).map(|channel| (at, channel))) {
                    prop_assert!(channel.len() <= MAX_TOPICS && at < max_channels);
                    for topic in channel {
                        prop_assert_eq!(now.insert(topic.clone(), at), None, "twice");
                    }
                }
                for (topic, at) in &before {
                    if wanted.contains(topic) {
                        prop_assert_eq!(now.get(topic), Some(at));
                    }
                }
                let mut all: BTreeSet<String> = now.keys().cloned().collect();
                prop_assert!(changes.left_out.is_empty() || all.len() == max_channels * MAX_TOPICS);
                all.extend(changes.left_out.iter().cloned());
                prop_assert_eq!(&all, &wanted);
                // who applies what is told, and nothing else, has the same sets
                for change in changes.channels {
                    known.resize(known.len().max(change.channel + 1), BTreeSet::new());
                    known[change.channel].extend(change.added);
                    for topic in change.removed {
                        known[change.channel].remove(&topic);
                    }
                    prop_assert_eq!(&known[change.channel], &change.topics);
                }
                for (at, told) in known.iter().enumerate() {
                    prop_assert_eq!(Some(told), spread.channel(at));
                }
                before = now;
            }
        }
    }
}
