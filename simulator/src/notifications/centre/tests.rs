//! What the contact centre publishes: the same for a seed, on known topics, of one story, in the shapes that are known.

mod shape;
mod story;

use std::collections::HashMap;

use super::*;

fn play(seed: u64, updates: usize) -> Vec<Publication> {
    let mut options = Options {
        seed,
        ..Options::default()
    };
    options.notifications.wall_clock = false;
    options.notifications.conversations = 5;
    let (mut org, mut centre) = (Org::new(&options), Centre::new(&options));
    (0..updates).for_each(|_| centre.update(&mut org));
    centre.take_publications()
}

fn texts(publications: &[Publication]) -> Vec<String> {
    publications
        .iter()
        .map(|one| format!("{} {} {}", one.topic, one.correlation, one.body))
        .collect()
}

#[test]
fn the_same_seed_gives_the_same_publications() {
    assert_eq!(texts(&play(7, 300)), texts(&play(7, 300)));
    assert_ne!(texts(&play(7, 300)), texts(&play(8, 300)));
}

#[test]
fn every_family_and_medium_happens_on_a_topic_that_is_known() {
    let published = play(1, 3_000);
    for publication in &published {
        assert!(
            crate::notifications::topic::permission_of(&publication.topic).is_some(),
            "{}",
            publication.topic
        );
    }
    for end in [
        ".conversations",
        ".conversations.calls",
        ".conversations.chats",
        ".conversations.messages",
        ".conversations.emails",
        ".conversations.callbacks",
        ".customer.start",
        ".customer.end",
        ".acd.start",
        ".acd.end",
        ".user.start",
        ".user.end",
        ".flow.start",
        ".flow.end",
        ".flow.outcome",
        ".attributes",
        ".state",
        ".station",
        ".outofoffice",
        ".aggregates",
        ".acw",
        ".wrapup",
        ".transcription",
        ".presence",
        ".activity",
        ".routingStatus",
        ".conversationsummary",
        ".observations",
    ] {
        assert!(published.iter().any(|one| one.topic.ends_with(end)), "{end}");
    }
}

#[test]
fn mute_unmute_mute_gives_identical_bodies_with_another_between() {
    let mut bodies: HashMap<String, Vec<String>> = HashMap::new();
    for publication in play(1, 3_000) {
        if publication.topic.starts_with("v2.routing.queues.")
            && publication.topic.ends_with(".conversations.calls")
        {
            let key = publication.body["id"].as_str().unwrap().to_owned();
            bodies.entry(key).or_default().push(publication.body.to_string());
        }
    }
    let again = |texts: &Vec<String>| {
        texts
            .windows(3)
            .any(|three| three[0] == three[2] && three[0] != three[1])
    };
    assert!(bodies.values().filter(|texts| again(texts)).count() > 10);
}

#[test]
fn snapshots_and_detail_events_tell_of_the_same_participants_and_times() {
    let published = play(3, 2_000);
    let mut seen = 0;
    for event in published
        .iter()
        .filter(|one| one.topic.ends_with(".customer.end"))
    {
        let id = event.body["conversationId"].as_str().unwrap();
        let snapshot = published
            .iter()
            .filter(|one| {
                one.topic.starts_with("v2.routing.queues.") && one.topic.ends_with(".conversations")
            })
            .find(|one| one.body["id"] == id && one.correlation == event.correlation);
        let Some(snapshot) = snapshot else { continue };
        let customer = snapshot.body["participants"]
            .as_array()
            .unwrap()
            .iter()
            .find(|participant| participant["purpose"] == "customer")
            .unwrap();
        assert_eq!(customer["id"], event.body["participantId"]);
        assert_eq!(
            customer["endTime"],
            iso(event.body["eventTime"].as_i64().unwrap())
        );
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn statistics_of_a_queue_and_medium_are_a_second_apart() {
    let mut last: HashMap<String, i64> = HashMap::new();
    let mut options = Options::default();
    options.notifications.wall_clock = false;
    let (mut org, mut centre) = (Org::new(&options), Centre::new(&options));
    let mut seen = 0;
    for _ in 0..3_000 {
        centre.update(&mut org);
        let now_ms = centre.last_ms;
        for one in centre
            .take_publications()
            .iter()
            .filter(|one| one.topic.ends_with(".observations"))
        {
            let key = one.body["group"].to_string();
            assert!(
                last.insert(key, now_ms)
                    .is_none_or(|before| now_ms - before >= 1_000)
            );
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
