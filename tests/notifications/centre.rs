//! A contact centre that plays conversations: what a user writes by name becomes topics, and their snapshots events.

use std::collections::{BTreeMap, BTreeSet};

use genesys_source::record::Kind;
use serde_json::{Value, json};
use support::host::Host;

use crate::scene::Scene;

fn until_subscribed(host: &mut Host) {
    host.until("subscribed", |host| {
        host.statistics()["session"]["subscribed"] == Value::Bool(true)
    });
}

/// The entities that the events are about, by the first of their topic's ids.
fn queues_of(host: &Host) -> BTreeSet<String> {
    host.of_kind(Kind::Event)
        .map(|record| {
            let topic = record.body["origin"]["topic"].as_str().unwrap();
            topic.split('.').nth(3).unwrap().to_owned()
        })
        .collect()
}

#[test]
fn a_queue_that_is_named_is_listened_to_and_no_other() {
    let scene = Scene::start(|settings| settings.updates_per_s = 200);
    let queue = scene.simulator.queues().remove(2);
    let mut host = Host::open(&scene.config(&json!({"queues": [queue.name]})));
    host.until("a hundred events", |host| host.count(Kind::Event) >= 100);
    host.drain();
    assert_eq!(queues_of(&host), BTreeSet::from([queue.id]));
    for record in host.of_kind(Kind::Event) {
        let body = &record.body;
        assert_eq!(body["eventType"], "v2.routing.queues.{id}.conversations");
        assert_eq!(body["conversationId"], record.key.as_str());
        assert_eq!(body["origin"]["transport"], "notifications");
    }
}

#[test]
fn without_a_subscription_every_queue_is_listened_to() {
    let scene = Scene::start(|settings| settings.updates_per_s = 400);
    let all: BTreeSet<String> = scene
        .simulator
        .queues()
        .into_iter()
        .map(|queue| queue.id)
        .collect();
    let mut host = Host::open(&scene.config(&json!({})));
    host.until("events of every queue", |host| queues_of(host) == all);
    host.drain();
}

#[test]
fn a_snapshot_in_both_layouts_gives_the_same_participants_direction_and_duration() {
    const MEDIA: [&str; 5] = ["calls", "chats", "messages", "emails", "callbacks"];
    let scene = Scene::start(|settings| settings.updates_per_s = 400);
    let media: String = MEDIA
        .iter()
        .map(|medium| format!("&conversations.{medium}"))
        .collect();
    let queues = scene.simulator.queues().into_iter();
    let topics: Vec<String> = queues
        .map(|queue| format!("v2.routing.queues.{}?conversations{media}", queue.id))
        .collect();
    let mut host = Host::open(&scene.config(&json!({"topics": topics})));
    host.until("a thousand events", |host| host.count(Kind::Event) >= 1_000);
    host.drain();
    // By correlation and queue: what is said of the snapshot, but for the agents' names, which flat ones lack.
    let mut nested: BTreeMap<(String, String), Value> = BTreeMap::new();
    let (mut pairs, mut seen) = (0, BTreeSet::new());
    for record in host.of_kind(Kind::Event) {
        let (body, mut payload) = (&record.body, record.body["payload"].clone());
        for participant in payload["participants"].as_array_mut().unwrap() {
            assert!(
                participant["mediaType"].is_string() && participant["id"].is_string(),
                "{body}"
            );
            assert_eq!(
                participant["purpose"] == "agent",
                participant["userId"].is_string(),
                "{body}"
            );
            if participant["purpose"] == "agent" {
                participant["name"] = Value::Null;
            }
        }
        let facts = json!([payload["participants"], payload["direction"], payload["duration"]]);
        let topic = body["origin"]["topic"].as_str().unwrap();
        let correlation = body["origin"]["correlationId"].as_str().unwrap().to_owned();
        let queue = topic.split('.').nth(3).unwrap().to_owned();
        match topic.rsplit_once(".conversations.") {
            None => {
                nested.insert((correlation, queue), facts);
            }
            Some((_, medium)) => {
                let Some(same) = nested.remove(&(correlation, queue)) else {
                    continue;
                };
                assert_eq!(facts, same, "{topic}");
                assert_eq!(payload["direction"].is_null(), medium == "chats");
                pairs += 1;
                seen.insert(medium.to_owned());
            }
        }
    }
    assert!(pairs > 300, "{pairs}");
    assert_eq!(seen, MEDIA.map(str::to_owned).into());
}

/// Event types that the contact centre brings about, where their time comes from, and whether they tell of a conversation.
const FAMILIES: [(&str, &str, bool); 23] = [
    ("v2.routing.queues.{id}.conversations", "received", true),
    ("v2.detail.events.conversation.{id}.customer.end", "event", true),
    ("v2.detail.events.conversation.{id}.acd.start", "event", true),
    ("v2.detail.events.conversation.{id}.acd.end", "event", true),
    ("v2.detail.events.conversation.{id}.user.start", "event", true),
    ("v2.detail.events.conversation.{id}.user.end", "event", true),
    ("v2.detail.events.conversation.{id}.flow.end", "event", true),
    ("v2.detail.events.conversation.{id}.flow.outcome", "event", true),
    ("v2.detail.events.conversation.{id}.attributes", "event", true),
    ("v2.detail.events.conversation.{id}.acw", "event", true),
    ("v2.detail.events.conversation.{id}.wrapup", "event", true),
    ("v2.detail.events.agent.{id}.state", "event", true),
    ("v2.conversations.{id}.transcription", "event", true),
    ("v2.users.{id}.presence", "event", false),
    ("v2.users.{id}.routingStatus", "event", false),
    ("v2.users.{id}.activity", "event", false),
    ("v2.users.{id}.outofoffice", "event", false),
    ("v2.users.{id}.station", "received", false),
    ("v2.users.{id}.conversationsummary", "received", false),
    ("v2.analytics.users.{id}.aggregates", "received", false),
    ("v2.analytics.queues.{id}.observations", "received", false),
    ("v2.analytics.queues.{id}.activity", "received", false),
    ("v2.routing.queues.{id}.users", "received", false),
];

#[test]
fn everything_that_can_be_written_comes_and_each_family_is_normalized_as_the_page_says() {
    // What happens before a conversation is seen is missed by construction: flows and queues of its beginning.
    const MISSED: [&str; 4] = [".acd.start", ".flow.end", ".flow.outcome", ".attributes"];
    let scene = Scene::start(|settings| {
        settings.updates_per_s = 150;
        settings.conversations = 8;
        settings.membership_every = 20;
    });
    let events = [
        "conversations",
        "presence",
        "routing_status",
        "activity",
        "station",
        "out_of_office",
        "conversation_summary",
        "agent_state",
        "agent_statistics",
        "members",
        "statistics",
        "queue_activity",
        "transcription",
    ];
    let queues: Vec<String> = scene
        .simulator
        .queues()
        .into_iter()
        .map(|queue| queue.name)
        .collect();
    let mut host = Host::open(&scene.config(&json!({
        "queues": queues, "events": events, "detail_events": true,
    })));
    let missing = |host: &Host| -> Vec<&str> {
        let seen: BTreeSet<&str> = host
            .of_kind(Kind::Event)
            .map(|record| record.body["eventType"].as_str().unwrap())
            .collect();
        let names = FAMILIES.iter().map(|(name, ..)| *name);
        names
            .filter(|name| !seen.contains(name) && !MISSED.iter().any(|end| name.ends_with(end)))
            .collect()
    };
    host.until("an event of each family", |host| missing(host).is_empty());
    host.drain();
    for record in host.of_kind(Kind::Event) {
        let (body, payload) = (&record.body, &record.body["payload"]);
        let event_type = body["eventType"].as_str().unwrap();
        let Some((_, source, of_conversation)) = FAMILIES.iter().find(|(name, ..)| *name == event_type)
        else {
            panic!("{event_type} is no family that the centre plays")
        };
        assert_eq!(body["timestampSource"], *source, "{body}");
        assert_eq!(body["conversationId"].is_string(), *of_conversation, "{body}");
        let topic = body["origin"]["topic"].as_str().unwrap();
        let of_topic = topic.split('.').any(|part| body["analyticsId"] == part);
        assert!(
            of_topic || body["analyticsId"] == body["conversationId"],
            "{body}"
        );
        let extra = &payload["extra"];
        let (direction, duration) = match event_type.rsplit_once("{id}.").unwrap().1 {
            "customer.end" | "user.end" => ("direction", &extra["interactingDurationMs"]),
            "acd.end" | "flow.end" => ("direction", &extra["connectedDurationMs"]),
            "acw" | "wrapup" => ("direction", &extra["wrapupDurationMs"]),
            "acd.start" | "user.start" | "flow.outcome" => ("direction", &payload["duration"]),
            "state" => ("originatingDirection", &Value::Null),
            "conversations" => continue,
            _ => ("none", &Value::Null),
        };
        let said = extra[direction].as_str().map(str::to_lowercase);
        assert_eq!(payload["direction"].as_str(), said.as_deref(), "{body}");
        assert_eq!(&payload["duration"], duration, "{body}");
    }
}

#[test]
fn a_queue_that_does_not_exist_ends_the_source_and_names_the_nearest() {
    let scene = Scene::quiet(|_| {});
    let known = scene.simulator.queues().remove(0).name;
    let mut wrong = known.clone();
    wrong.pop();
    let mut host = Host::open(&scene.config(&json!({"queues": [wrong]})));
    let ending = host.ending();
    assert_eq!(ending.status, plugin_abi::status::CONFIG);
    assert!(ending.message.contains(&known), "{}", ending.message);
}

#[test]
fn a_topic_without_its_permission_is_a_gap_and_the_others_are_listened_to() {
    let scene = Scene::quiet(|_| {});
    let queues = scene.simulator.queues();
    let topic = |at: usize| format!("v2.routing.queues.{}.conversations", queues[at].id);
    // A right of another division is missing: only this topic is refused.
    let scene_topics = [topic(0), topic(1)];
    let forbidden = scene_topics[1].clone();
    drop(scene);
    let scene = Scene::quiet(|settings| settings.forbidden_topics = vec![forbidden.clone()]);
    let mut host = Host::open(&scene.config(&json!({"topics": scene_topics})));
    until_subscribed(&mut host);
    host.until("the gap of the topic", |host| host.count(Kind::Control) >= 1);
    let gap = host.of_kind(Kind::Control).next().unwrap();
    assert_eq!(gap.body["cause"], "topic_rejected");
    assert_eq!(gap.body["topics"], json!([forbidden]));
    scene
        .simulator
        .publish(&scene_topics[0], &json!({"id": "c", "n": 1}));
    host.until("the event of the other", |host| host.count(Kind::Event) == 1);
    host.drain();
}

#[test]
fn members_who_join_and_leave_change_the_topics_of_a_live_channel() {
    let scene = Scene::quiet(|_| {});
    let queue = scene.simulator.queues().remove(0).name;
    let wanted = json!({"queues": [queue], "events": ["presence"], "refresh_ms": 1000});
    let mut host = Host::open(&scene.config(&wanted));
    until_subscribed(&mut host);
    let user = (0..scene.simulator.users().len())
        .find(|user| scene.simulator.set_member(0, *user, true))
        .unwrap();
    let id = scene.simulator.users().remove(user).id;
    let topic = format!("v2.users.{id}.presence");
    let is_subscribed = |simulator: &simulator::Simulator| {
        let channels = simulator.channels();
        channels
            .iter()
            .any(|channel| channel.topics.iter().any(|subscribed| subscribed.contains(&id)))
    };
    host.until("the topic of the one who joined", |_| {
        is_subscribed(&scene.simulator)
    });
    scene.simulator.publish(&topic, &json!({"n": 1}));
    host.until("an event of the one who joined", |host| {
        host.count(Kind::Event) == 1
    });
    assert!(scene.simulator.set_member(0, user, false));
    host.until("no topic of the one who left", |_| {
        !is_subscribed(&scene.simulator)
    });
    assert_eq!(
        scene.simulator.counters().connects,
        1,
        "on the channel that was there"
    );
    host.drain();
}
