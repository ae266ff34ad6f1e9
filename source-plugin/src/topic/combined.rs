//! Combined topics: one that stands for several of the same id, and so counts as one of a channel's 1,000.
//!
//! Refuses to join topics of different ids, which the platform has no form for. Invariant: [`combine`] stands for exactly
//! the names that it was given, each once, and [`expand`] gives them back.
//!
//! # Source
//! Genesys Cloud notifications documentation: `v2.users.ID?presence&routingStatus` brings events under the names
//! `v2.users.ID.presence` and `v2.users.ID.routingStatus`, and has at most 200 characters.

use std::collections::{BTreeMap, BTreeSet};

use super::Topic;

/// Longest topic that is asked for, in characters.
///
/// # Source
/// Genesys Cloud takes 200; the vendor's streaming client refuses 200 itself, so neither reading is broken.
pub const MAX_CHARACTERS: usize = 199;

/// Returns the names that a topic stands for: itself, or one for each part of a combined one.
#[must_use]
pub fn expand(topic: &str) -> Vec<String> {
    match topic.split_once('?') {
        None => vec![topic.to_owned()],
        Some((prefix, suffixes)) => suffixes
            .split('&')
            .map(|suffix| format!("{prefix}.{suffix}"))
            .collect(),
    }
}

/// Returns what stands before the part that can be combined, up to the id; the whole of a topic that has no such part.
#[must_use]
pub fn prefix(topic: &str) -> &str {
    match topic.split_once('?') {
        Some((prefix, _)) => prefix,
        None => split(topic).map_or(topic, |(prefix, _)| prefix),
    }
}

/// Joins names of the same id, each result with at most [`MAX_CHARACTERS`] unless a single name has more; sorted.
#[must_use]
pub fn combine<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut by_prefix: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut topics = BTreeSet::new();
    for name in names {
        match split(name) {
            Some((prefix, suffix)) => drop(by_prefix.entry(prefix).or_default().insert(suffix)),
            None => drop(topics.insert(name.to_owned())),
        }
    }
    for (prefix, suffixes) in by_prefix {
        let mut group: Vec<&str> = Vec::new();
        let mut characters = prefix.chars().count();
        for suffix in suffixes {
            // with the `?` or `&` before it
            let further = suffix.chars().count() + 1;
            if !group.is_empty() && characters + further > MAX_CHARACTERS {
                topics.insert(joined(prefix, &group));
                group.clear();
                characters = prefix.chars().count();
            }
            group.push(suffix);
            characters += further;
        }
        topics.insert(joined(prefix, &group));
    }
    topics.into_iter().collect()
}

/// A single name stays as it is: every platform and every reader knows that form.
fn joined(prefix: &str, suffixes: &[&str]) -> String {
    match suffixes {
        [only] => format!("{prefix}.{only}"),
        several => format!("{prefix}?{}", several.join("&")),
    }
}

/// Splits a name behind the id of a known family.
fn split(name: &str) -> Option<(&str, &str)> {
    let kind = Topic::parse(name).kind;
    if kind.is_empty() || name.contains(['?', '&']) {
        return None;
    }
    let prefix = name.strip_suffix(kind)?.strip_suffix('.')?;
    Some((prefix, kind))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{MAX_CHARACTERS, combine, expand, prefix};

    #[test]
    fn names_of_one_id_are_joined_and_a_single_one_stays_as_it_is() {
        let names = [
            "v2.users.u1.presence",
            "v2.users.u1.conversations.calls",
            "v2.users.u2.presence",
            "v2.operations.events.o",
            "v2.routing.queues.u1.conversations",
            "v2.users.u1.presence",
        ];
        assert_eq!(
            combine(names),
            [
                "v2.operations.events.o",
                "v2.routing.queues.u1.conversations",
                "v2.users.u1?conversations.calls&presence",
                "v2.users.u2.presence",
            ]
        );
        assert_eq!(prefix("v2.users.u1?conversations.calls&presence"), "v2.users.u1");
        assert_eq!(prefix("v2.users.u1.presence"), "v2.users.u1");
        assert_eq!(prefix("v2.operations.events.o"), "v2.operations.events.o");
    }

    #[test]
    fn what_does_not_fit_into_199_characters_becomes_a_second_topic() {
        let name = |id: &str, suffix: &str| format!("v2.users.{id}.{suffix}");
        // 9 and the id, then ?presence&station
        let id = "x".repeat(MAX_CHARACTERS - 9 - 17);
        let (presence, station) = (name(&id, "presence"), name(&id, "station"));
        let fits = combine([presence.as_str(), station.as_str()]);
        assert_eq!(fits, [format!("v2.users.{id}?presence&station")]);
        assert_eq!(fits[0].len(), MAX_CHARACTERS);
        let id = format!("{id}x");
        let (presence, station) = (name(&id, "presence"), name(&id, "station"));
        assert_eq!(
            combine([presence.as_str(), station.as_str()]),
            [presence.clone(), station.clone()]
        );
    }

    fn names() -> impl Strategy<Value = BTreeSet<String>> {
        let prefix = prop::sample::select(vec![
            "v2.users",
            "v2.routing.queues",
            "v2.detail.events.conversation",
            "v2.conversations",
            "v2.operations.events",
            "v3.things",
        ]);
        let suffix = prop::sample::select(vec![
            "",
            ".presence",
            ".conversations",
            ".conversations.calls",
            ".customer.start",
            ".a-rather-long-suffix-that-fills-topics",
        ]);
        let name = (prefix, "[a-d]{1,3}(-[a-d]{8,60})?", suffix)
            .prop_map(|(prefix, id, suffix)| format!("{prefix}.{id}{suffix}"));
        prop::collection::btree_set(name, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn combined_topics_stand_for_exactly_what_was_given_and_none_is_too_long(names in names()) {
            let topics = combine(names.iter().map(String::as_str));
            let mut back: Vec<String> = topics.iter().flat_map(|topic| expand(topic)).collect();
            back.sort();
            prop_assert_eq!(back, names.into_iter().collect::<Vec<_>>());
            prop_assert!(topics.iter().all(|topic| topic.chars().count() <= MAX_CHARACTERS), "{:?}", topics);
        }
    }
}
