//! What the contact centre sends, read by the classes that the vendor generated from its own schemas.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simulator::Kind;
use support::wait_until;

use crate::scene::{PATIENCE, Scene, printed};

/// Updates of conversations in all: every medium, and every way a leg can end.
const UPDATES: u64 = 1_500;
/// Updates in which the first conversations begin.
const FIRST_UPDATES: u64 = 100;
/// The topic that ends a script.
const LAST: &str = "v2.users.nobody.presence";

/// A contact centre of few people, the same at each start.
fn contact_centre(updates: u64) -> Option<Scene> {
    Scene::start(|options| {
        let centre = &mut options.notifications;
        (centre.updates_per_s, centre.updates) = (200, Some(updates));
        (centre.queues, centre.users, centre.conversations) = (2, 6, 20);
        centre.membership_every = 50;
        // detail topics of ended conversations stay
        centre.topics_per_channel = 100_000;
    })
}

/// Lets the independent client listen until the contact centre has played; the frames, and the conversations they were
/// about.
fn played(scene: &Scene, topics: &[String]) -> (Vec<String>, BTreeSet<String>) {
    let arguments = ["hear", LAST]
        .into_iter()
        .chain(topics.iter().map(String::as_str));
    let client = scene.script("listen.py", arguments).start();
    wait_until(PATIENCE, "the contact centre has played", || {
        scene.simulator.counters().updates_done
    });
    scene.ended(client, LAST);
    let lines = scene.simulator.truth().into_iter();
    let sent = lines.filter(|line| line.kind == Kind::Notification && line.topic.as_deref() != Some(LAST));
    let (mut frames, mut conversations) = (Vec::new(), BTreeSet::new());
    for line in sent {
        frames.extend(line.frame);
        conversations.extend(line.conversation_id);
    }
    (frames, conversations)
}

#[test]
fn every_frame_of_the_contact_centre_fits_the_classes_that_the_vendor_generated() {
    let Some(scene) = contact_centre(UPDATES) else {
        return;
    };
    let mut topics = Vec::new();
    let media = ["", ".calls", ".callbacks", ".chats", ".emails", ".messages"];
    for queue in scene.simulator.queues() {
        topics.extend(media.map(|medium| format!("v2.routing.queues.{}.conversations{medium}", queue.id)));
        topics.push(format!("v2.routing.queues.{}.users", queue.id));
        topics.push(format!("v2.analytics.queues.{}.observations", queue.id));
    }
    for user in scene.simulator.users() {
        topics.extend(media.map(|medium| format!("v2.users.{}.conversations{medium}", user.id)));
        let states = ["presence", "routingStatus", "conversationsummary"];
        topics.extend(states.map(|state| format!("v2.users.{}.{state}", user.id)));
    }
    let (mut frames, conversations) = played(&scene, &topics);
    // what stands at a conversation's begin is over when its first snapshot tells its id: those ids in a second run
    let first = ["customer.start", "flow.start", "flow.end", "acd.start"];
    let detail = |id: &String| first.map(|event| format!("v2.detail.events.conversation.{id}.{event}"));
    let topics: Vec<String> = conversations.iter().flat_map(detail).collect();
    let Some(again) = contact_centre(FIRST_UPDATES) else {
        return;
    };
    frames.extend(played(&again, &topics).0);

    let script = scene.script("shapes.py", []).stdin(frames.join("\n")).start();
    let read = printed(script);
    assert_eq!(read["topics"], json!([]), "topics that no class was named for");
    assert_eq!(
        read["members"],
        json!([]),
        "members that the vendor's classes do not have"
    );
    assert_eq!(
        read["values"],
        json!([]),
        "values that the vendor's enumerations do not have"
    );
    let counts = read["counts"].as_object().unwrap();
    let total: u64 = counts.values().filter_map(Value::as_u64).sum();
    assert_eq!(total, frames.len() as u64);
    assert_eq!(read["unused"], json!([]), "classes that read nothing: {counts:?}");
}
