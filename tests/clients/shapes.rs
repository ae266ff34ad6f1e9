//! What the contact centre sends, read by the classes that the vendor generated from its own schemas.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simulator::Kind;
use support::wait_until;

use crate::scene::{PATIENCE, Scene, printed};

/// Updates of conversations in all: every medium, and every way a leg can end.
const UPDATES: u64 = 3_000;

#[test]
fn every_frame_of_the_contact_centre_fits_the_classes_that_the_vendor_generated() {
    let Some(scene) = Scene::start(|options| {
        let centre = &mut options.notifications;
        (centre.updates_per_s, centre.updates) = (200, Some(UPDATES));
        (centre.queues, centre.users, centre.conversations) = (2, 6, 20);
        centre.membership_every = 50;
        // detail topics of ended conversations stay
        centre.topics_per_channel = 100_000;
    }) else {
        return;
    };
    let mut topics = vec!["v2.users.nobody.presence".to_owned()];
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
    let arguments = ["hear"].into_iter().chain(topics.iter().map(String::as_str));
    let client = scene.script("listen.py", arguments).start();
    wait_until(PATIENCE, "the contact centre has played", || {
        scene.simulator.counters().updates_done
    });
    scene.simulator.publish(&topics[0], &json!({"last": true}));
    printed(client);

    let lines = scene.simulator.truth().into_iter();
    let sent =
        lines.filter(|line| line.kind == Kind::Notification && line.topic.as_ref() != Some(&topics[0]));
    let sent: Vec<String> = sent.filter_map(|line| line.frame).collect();
    let mut script = scene.script("shapes.py", []).stdin(sent.join("\n")).start();
    script.wait(PATIENCE);
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
    assert_eq!(total, sent.len() as u64);
    let classes: BTreeSet<&str> = counts.keys().map(String::as_str).collect();
    // all but one: detail topics are subscribed once the customer is there, so that the customer's start is missed
    assert_eq!(classes.len(), 26, "{counts:?}");
}
