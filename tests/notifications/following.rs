//! Conversations that are seen and followed with their detail events, within the quota, and let go after their end.

use std::collections::BTreeSet;

use genesys_source::record::Kind;
use serde_json::{Value, json};
use support::host::{Host, inject, truth};

use crate::proofs::{frames, gaps};
use crate::scene::{Scene, topics};

/// What the topics of detail events begin with.
const DETAIL: &str = "v2.detail.events.conversation.";

/// The conversations whose detail topics are subscribed right now.
fn followed(scene: &Scene) -> BTreeSet<String> {
    let channels = scene.simulator.channels();
    let topics = channels.iter().flat_map(|channel| &channel.topics);
    topics
        .filter_map(|topic| Some(topic.strip_prefix(DETAIL)?.split(['.', '?']).next()?.to_owned()))
        .collect()
}

/// The event types of the detail events that came, without what they have in common.
fn kinds(host: &Host) -> BTreeSet<String> {
    let types = host
        .of_kind(Kind::Event)
        .map(|record| record.body["eventType"].as_str().unwrap().to_owned());
    types
        .filter_map(|name| Some(name.strip_prefix(&format!("{DETAIL}{{id}}."))?.to_owned()))
        .collect()
}

fn session(host: &Host, name: &str) -> u64 {
    host.statistics()["session"][name].as_u64().unwrap()
}

/// A live topic was never without its channel.
fn assert_nothing_dropped(scene: &Scene, host: &Host, live: &str) {
    let unheard = truth(&scene.simulator, simulator::Kind::Unheard);
    let lost = unheard
        .iter()
        .filter(|line| line.topic.as_deref().is_some_and(|topic| topic.contains(live)));
    assert_eq!(lost.count(), 0);
    assert_eq!(
        scene.simulator.counters().connects,
        1,
        "on the channel that was there"
    );
    let causes: Vec<String> = gaps(&host.records).into_iter().map(|gap| gap.cause).collect();
    assert_eq!(causes, ["stopped"]);
    assert_eq!(frames(host, "law"), 0);
}

#[test]
fn a_conversation_that_is_seen_brings_its_detail_events_and_is_let_go_after_its_end() {
    let scene = Scene::start(|settings| {
        settings.updates_per_s = 10;
        settings.conversations = 4;
    });
    let wanted = json!({"detail_events": true, "follow_after_end_ms": 1000});
    let mut host = Host::open(&scene.config(&wanted));
    host.until("a conversation is followed", |_| !followed(&scene).is_empty());
    let first = followed(&scene).pop_first().unwrap();
    host.until("its detail events", |host| {
        host.of_kind(Kind::Event).any(|record| {
            record.key == first && record.body["eventType"].as_str().unwrap().starts_with(DETAIL)
        })
    });
    host.until("it is let go", |_| !followed(&scene).contains(&first));
    host.until("others are followed", |_| !followed(&scene).is_empty());
    host.until("the end of a customer", |host| {
        kinds(host).contains("customer.end")
    });
    host.drain();
    let kinds = kinds(&host);
    assert!(
        !kinds.contains("customer.start"),
        "it has passed by construction: {kinds:?}"
    );
    assert!(session(&host, "conversations_followed") > 0);
    assert_eq!(session(&host, "conversations_left_out_total"), 0);
    assert_nothing_dropped(&scene, &host, "v2.routing.queues");
}

#[test]
fn beyond_the_quota_a_conversation_is_left_out_and_counted_and_live_topics_stay() {
    let scene = Scene::start(|settings| {
        settings.updates_per_s = 20;
        settings.conversations = 10;
    });
    let queue = scene.simulator.queues().remove(0);
    // With the queue's own topic room is left for the two of one conversation.
    let fixed = topics(997);
    let wanted = json!({
        "queues": [queue.name], "topics": fixed, "max_channels": 1, "detail_events": true, "follow_after_end_ms": 0,
    });
    let mut host = Host::open(&scene.config(&wanted));
    let mut seen = BTreeSet::new();
    host.until("three conversations, one after the other", |_| {
        let now = followed(&scene);
        assert!(now.len() <= 1, "{now:?}");
        for channel in scene.simulator.channels() {
            assert!(channel.topics.len() <= 1000);
            let is_kept = |topic: &String| channel.topics.contains(topic);
            assert!(
                channel.topics.is_empty() || fixed.iter().all(is_kept),
                "a live topic is gone"
            );
        }
        seen.extend(now);
        seen.len() >= 3
    });
    host.until("others were left out", |host| {
        session(host, "conversations_left_out_total") > 0
    });
    assert_eq!(host.statistics()["session"]["subscribed"], Value::Bool(true));
    host.drain();
    assert_nothing_dropped(&scene, &host, &queue.id);
}

#[test]
fn a_conversation_that_is_seen_while_a_plan_waits_for_the_rate_limit_is_followed_with_it() {
    let scene = Scene::quiet(|settings| (settings.queues, settings.users) = (1, 1));
    let simulator = &scene.simulator;
    let queue = simulator.queues().remove(0);
    assert!(simulator.set_member(0, 0, false));
    // With the queue's own topic a channel is full, and the first member needs another one.
    let wanted = json!({
        "queues": [queue.name], "topics": topics(999), "events": ["conversations", "presence"], "detail_events": true,
        "refresh_ms": 5000,
    });
    let mut host = Host::open(&scene.config(&wanted));
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == Value::Bool(true)
    });
    let requests = || simulator.counters().requests;
    let before = requests();
    // The next look takes one call for the queues and one for the members; channels are counted behind it.
    inject(simulator, &format!("api={} refuse 429 4", before + 3));
    assert!(simulator.set_member(0, 0, true));
    host.until("the channels are not told", |_| requests() >= before + 3);
    let conversation = "00000000-0000-4000-8000-0000000000c1";
    simulator.publish(
        &format!("v2.routing.queues.{}.conversations", queue.id),
        &json!({"id": conversation, "participants": [{
            "id": "00000000-0000-4000-8000-0000000000d1", "purpose": "customer",
            "calls": [{"id": "00000000-0000-4000-8000-0000000000e1", "state": "connected"}],
        }]}),
    );
    host.until("it is followed", |_| followed(&scene).contains(conversation));
    // The channels again, a new one, its topics, and perhaps those of the conversation behind; no further look.
    assert!(requests() <= before + 7, "{} requests", requests() - before);
    host.drain();
}
