//! The vendor's Python SDK: what it makes of logins, channels, topics, lists and the history of the simulator.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use simulator::Options;
use support::wait_until;

use crate::scene::{Scene, members};

/// What the SDK's classes put in place of a value that their enumerations do not have.
const UNKNOWN: &str = "outdated_sdk_version";

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

fn without_unknown(answer: &Value) {
    let text = answer.to_string();
    if let Some((before, _)) = text.split_once(UNKNOWN) {
        let member = before.rsplit(',').next();
        panic!(
            "a value that the SDK does not know: {}",
            member.unwrap_or_default()
        );
    }
}

#[test]
fn the_vendors_sdk_logs_in_and_finds_its_channels() {
    // the SDK asks again after what `Retry-After` says
    let throttled = |options: &mut Options| options.faults = vec!["api=1 refuse 429 1".parse().unwrap()];
    let Some(scene) = Scene::start(throttled) else {
        return;
    };
    let answer = scene.run("platform_sdk.py", ["channels"]);
    let truth = scene.simulator.truth();
    assert_eq!(truth.iter().filter(|line| line.code == Some(429)).count(), 1);
    assert_eq!(answer["wrongSecret"]["body"]["error"], "invalid_client");
    let created = &answer["created"];
    assert_eq!(&answer["listed"], created);
    assert_eq!(answer["expires"], "datetime");
    let channels = scene.simulator.channels();
    let ids: Vec<&str> = channels.iter().map(|channel| channel.id.as_str()).collect();
    assert_eq!(members(created, "id"), ids);
    for (uri, id) in members(created, "connectUri").iter().zip(ids) {
        assert!(
            uri.starts_with("wss://localhost:") && uri.ends_with(&format!("/channels/{id}")),
            "{uri}"
        );
    }
    // another token of the same client sees that they are there, but not which
    assert_eq!(answer["ofToken"], json!([]));
    assert_eq!(members(&answer["ofClient"], "id"), ["", ""]);
    assert_eq!(answer["gone"]["status"], 404);
    assert_eq!(answer["headers"]["inin-ratelimit-allowed"], "300");
    assert_eq!(answer["headers"]["inin-ratelimit-count"], "2");
    assert!(answer["headers"]["inin-correlation-id"].is_string(), "{answer}");
}

#[test]
fn the_vendors_sdk_sets_adds_reads_and_clears_the_topics_of_a_channel() {
    let lacked = "routing:queueMember:view";
    let Some(scene) = Scene::start(|options| {
        options.notifications.missing_permissions = vec![lacked.to_owned()];
    }) else {
        return;
    };
    let (allowed, further) = ("v2.users.a.presence", "v2.users.b.presence");
    let (forbidden, combined) = ("v2.routing.queues.q.users", "v2.users.c?presence&routingStatus");
    let answer = scene.run(
        "platform_sdk.py",
        ["topics", allowed, further, forbidden, combined],
    );
    let states = |list: &Value| -> Vec<(String, String)> {
        members(list, "id")
            .into_iter()
            .zip(members(list, "state"))
            .collect()
    };
    let permitted = |topic: &str| (topic.to_owned(), "Permitted".to_owned());
    assert_eq!(states(&answer["put"]), [permitted(allowed)]);
    assert!(
        states(&answer["posted"]).contains(&permitted(further)),
        "{answer}"
    );
    assert_eq!(answer["both"], json!([allowed, further]));
    // one forbidden topic fails the whole request, and nothing has changed
    let strict = &answer["strict"];
    assert_eq!(strict["status"], 403);
    assert_eq!(strict["body"]["code"], "missing.permissions");
    assert!(
        strict["body"]["message"].as_str().unwrap().contains(lacked),
        "{strict}"
    );
    assert_eq!(strict["correlated"], true);
    assert_eq!(answer["unchanged"], answer["both"]);
    // unless errors are to be ignored
    let rejected = (forbidden.to_owned(), "Rejected".to_owned());
    assert_eq!(
        states(&answer["lenient"]),
        [permitted(allowed), rejected, permitted(combined)]
    );
    assert_eq!(answer["lenient"][1]["missingPermissions"], json!([lacked]));
    assert_eq!(answer["replaced"], json!([allowed, combined]));
    assert_eq!(answer["cleared"], json!([]));
    assert_eq!(answer["gone"]["status"], 404);
    assert_eq!(answer["gone"]["body"]["code"], "not.found");

    let available = answer["available"].as_array().unwrap();
    without_unknown(&answer["available"]);
    let ids: BTreeSet<String> = members(&answer["available"], "id").into_iter().collect();
    assert_eq!(ids.len(), available.len(), "each topic once");
    let queue_users = available
        .iter()
        .find(|topic| topic["id"] == "v2.routing.queues.{id}.users");
    let queue_users = queue_users.unwrap();
    assert_eq!(queue_users["requiresPermissions"], json!([lacked]));
    assert_eq!(
        queue_users["permissionDetails"][0]["permissions"],
        json!([lacked])
    );
    for topic in available {
        for name in ["description", "enforced", "schema", "visibility", "transports"] {
            assert!(!topic[name].is_null(), "{name} of {topic}");
        }
    }
    let unexpanded = answer["unexpanded"].as_array().unwrap();
    assert_eq!(unexpanded.len(), available.len());
    assert!(
        unexpanded
            .iter()
            .all(|topic| topic.get("permissionDetails").is_none())
    );
}

#[test]
fn the_vendors_sdk_reads_queues_their_members_and_users_page_by_page() {
    let Some(scene) = Scene::start(|options| options.notifications.queues = 7) else {
        return;
    };
    let answer = scene.run("platform_sdk.py", ["directory", "3"]);
    without_unknown(&answer);
    let queues = scene.simulator.queues();
    let names = queues.iter().map(|queue| queue.name.clone()).collect();
    // the SDK's documentation of the call: "results are sorted by name"
    assert_eq!(members(&answer["queues"], "name"), sorted(names));
    assert_eq!(answer["queuePages"], 3);
    let mut descending = members(&answer["descending"], "name");
    descending.reverse();
    assert_eq!(descending, members(&answer["queues"], "name"));
    assert!(members(&answer["queues"], "id").iter().all(|id| !id.is_empty()));
    assert_eq!(answer["named"].as_array().unwrap().len(), 1);
    assert_eq!(answer["named"][0], answer["queues"][0]);
    assert_eq!(answer["one"], answer["queues"][0]);
    assert!(!answer["one"]["division"]["id"].as_str().unwrap().is_empty());

    let users = scene.simulator.users();
    let mut seen = 0;
    for (queue, listed) in answer["members"].as_object().unwrap() {
        let names = members(listed, "name");
        assert_eq!(names, sorted(names.clone()), "members of {queue}");
        for member in listed.as_array().unwrap() {
            assert_eq!(member["id"], member["user"]["id"]);
            assert_eq!(member["joined"], true);
            let known = users.iter().find(|user| member["id"] == user.id.as_str());
            assert_eq!(member["name"], known.unwrap().name.as_str());
            seen += 1;
        }
    }
    assert_eq!(seen, 2 * users.len(), "each user is a member of two queues");
    let listed: BTreeSet<String> = members(&answer["users"], "id").into_iter().collect();
    assert_eq!(listed, users.into_iter().map(|user| user.id).collect());
    assert_eq!(answer["userTotal"], listed.len());
    assert_eq!(answer["me"]["status"], 400);
    assert_eq!(answer["noQueue"]["body"]["code"], "not.found");
    assert_eq!(answer["pageTooLarge"]["status"], 400);
}

#[test]
fn the_vendors_sdk_reads_the_details_of_conversations_that_were() {
    let Some(scene) = Scene::start(|options| {
        let centre = &mut options.notifications;
        (centre.updates_per_s, centre.updates) = (4_000, Some(4_000));
        centre.conversations = 40;
    }) else {
        return;
    };
    let queue = scene.simulator.queues().remove(1).id;
    // the contact centre plays once somebody listens
    let topic = "v2.users.nobody.presence";
    let heard = scene.script("listen.py", ["hear", topic]).start();
    wait_until(Duration::from_secs(120), "the contact centre has played", || {
        scene.simulator.counters().updates == 4_000
    });
    scene.ended(heard, topic);

    let answer = scene.run(
        "platform_sdk.py",
        [
            "history",
            "2020-01-01T00:00:00.000Z/2100-01-01T00:00:00.000Z",
            &queue,
        ],
    );
    let conversations = answer["conversations"].as_array().unwrap();
    assert!(conversations.len() > 100, "{} conversations", conversations.len());
    assert_eq!(answer["totalHits"], conversations.len());
    assert_eq!(answer["starts"], json!(["datetime"]));
    without_unknown(&answer);
    let ids: BTreeSet<String> = members(&answer["conversations"], "conversationId")
        .into_iter()
        .collect();
    assert_eq!(ids.len(), conversations.len(), "each conversation once");
    let mut ends = BTreeSet::new();
    for conversation in conversations {
        let participants = conversation["participants"].as_array().unwrap();
        // an agent begins those that go out
        let begun_by = participants[0]["purpose"].as_str().unwrap();
        let outbound = conversation["originatingDirection"] == "outbound";
        assert_eq!(
            begun_by,
            if outbound { "agent" } else { "customer" },
            "{conversation}"
        );
        for participant in participants {
            let session = &participant["sessions"][0];
            assert!(
                session["mediaType"].is_string() && session["sessionId"].is_string(),
                "{session}"
            );
            let segments = session["segments"].as_array().unwrap();
            ends.extend(
                segments
                    .iter()
                    .filter_map(|segment| segment["disconnectType"].as_str()),
            );
        }
    }
    // as the history spells them, unlike the notifications (transfer.consult) and the detail events (CONSULT_TRANSFER)
    let spelled = [
        "consultTransfer",
        "endpoint",
        "noAnswerTransfer",
        "peer",
        "transfer",
    ];
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), spelled);
    let of_queue = answer["ofQueue"].as_array().unwrap();
    assert!(!of_queue.is_empty() && of_queue.len() <= conversations.len());
    for conversation in of_queue {
        assert!(conversation.to_string().contains(&queue), "{conversation}");
    }
    assert_eq!(answer["tooMany"]["body"]["code"], "paging.invalid");
}
