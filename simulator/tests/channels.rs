//! Notification channels as a client sees them: creation, topics and their verdicts, limits.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use client::*;
use serde_json::{Value, json};
use simulator::Kind;

const B: &str = "v2.users.b.presence";

#[test]
fn a_channel_is_created_listed_and_found_by_its_token() {
    let simulator = quiet(|_| {});
    let (first, second) = (token(&simulator), token(&simulator));
    let channel = create(&simulator, &first);
    assert!(
        channel.id.starts_with("streaming-4-") && channel.id.len() == 38,
        "{}",
        channel.id
    );
    assert_eq!(
        channel.uri,
        format!("ws://{}/channels/{}", simulator.address(), channel.id)
    );
    let of = |token: &str, query: &str| get(&simulator, token, &format!("notifications/channels{query}"));
    assert_eq!(of(&first, "").ids(), std::slice::from_ref(&channel.id));
    assert_eq!(of(&second, "").ids(), Vec::<String>::new());
    // another token's channel is counted, and hidden
    let all = of(&second, "?includechannels=oauthclient").body;
    assert_eq!(all["entities"].as_array().unwrap().len(), 1);
    assert_eq!(all["entities"][0].get("id"), None);
    let head = |id: &str| {
        rest(
            &simulator,
            &first,
            "HEAD",
            &format!("notifications/channels/{id}"),
            &Value::Null,
        )
    };
    assert_eq!(
        (head(&channel.id).status, head("streaming-4-none").status),
        (200, 404)
    );
    // and its topics are not another token's to set
    assert_eq!(put(&simulator, &second, &channel, &[A]).status, 404);
}

#[test]
fn topics_are_replaced_added_listed_and_cleared() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let path = format!("notifications/channels/{}/subscriptions", channel.id);
    assert_eq!(put(&simulator, &token, &channel, &[A]).ids(), [A]);
    assert_eq!(
        rest(&simulator, &token, "POST", &path, &topic_list(&[B])).ids(),
        [B]
    );
    assert_eq!(get(&simulator, &token, &path).ids(), [A, B]);
    assert_eq!(put(&simulator, &token, &channel, &[B]).status, 200);
    assert_eq!(get(&simulator, &token, &path).ids(), [B]);
    assert_eq!(
        rest(&simulator, &token, "DELETE", &path, &Value::Null).status,
        200
    );
    assert_eq!(get(&simulator, &token, &path).ids(), Vec::<String>::new());
    assert_eq!(
        rest(&simulator, &token, "PUT", &path, &json!({ "id": A })).status,
        400
    );
}

#[test]
fn one_forbidden_topic_fails_the_request_unless_errors_are_ignored() {
    let simulator = quiet(|settings| {
        settings.forbidden_topics = vec![B.to_owned()];
        settings.missing_permissions = vec!["analytics:conversationDetail:view".to_owned()];
    });
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let path = format!("notifications/channels/{}/subscriptions", channel.id);
    let detail = "v2.detail.events.conversation.c.acw";
    let refused = rest(&simulator, &token, "PUT", &path, &topic_list(&[A, detail]));
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (403, &"missing.permissions".into())
    );
    assert!(refused.body["message"].as_str().unwrap().contains(detail));
    assert_eq!(get(&simulator, &token, &path).ids(), Vec::<String>::new());
    let verdicts = put(
        &simulator,
        &token,
        &channel,
        &[A, B, detail, "v2.nothing", "v2.users.b?presence&station"],
    );
    let states: Vec<(&str, &str)> = verdicts.body["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entity| (entity["id"].as_str().unwrap(), entity["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        states,
        [
            (A, "Permitted"),
            (B, "Rejected"),
            (detail, "Rejected"),
            ("v2.nothing", "Rejected"),
            ("v2.users.b?presence&station", "Permitted"),
            (B, "Rejected"),
        ]
    );
    let missing = &verdicts.body["entities"][2]["missingPermissions"];
    assert_eq!(*missing, json!(["analytics:conversationDetail:view"]));
}

#[test]
fn a_thousand_topics_fit_and_one_more_changes_nothing() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let topics: Vec<String> = (0..1001).map(|n| format!("v2.users.{n:036}.presence")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    assert_eq!(put(&simulator, &token, &channel, &topics).status, 400);
    assert_eq!(put(&simulator, &token, &channel, &topics[..1000]).status, 200);
    let path = format!(
        "notifications/channels/{}/subscriptions?ignoreErrors=true",
        channel.id
    );
    assert_eq!(
        rest(&simulator, &token, "POST", &path, &topic_list(&topics[1000..])).status,
        400
    );
    // the same topic again is none more
    assert_eq!(
        rest(&simulator, &token, "POST", &path, &topic_list(&topics[..1])).status,
        200
    );
    assert_eq!(simulator.channels()[0].topics.len(), 1000);
}

#[tokio::test]
async fn a_channel_over_the_limit_ends_the_oldest_without_a_socket_and_then_the_oldest() {
    let simulator = quiet(|settings| settings.channel_limit = 2);
    let token = token(&simulator);
    let (first, second) = (create(&simulator, &token), create(&simulator, &token));
    let mut socket = listen(&first).await;
    await_sockets(&simulator, 1);
    let third = create(&simulator, &token);
    let live = || -> Vec<String> {
        simulator
            .channels()
            .into_iter()
            .map(|channel| channel.id)
            .collect()
    };
    assert_eq!(live(), [first.id.clone(), third.id.clone()]);
    assert_eq!(put(&simulator, &token, &second, &[A]).status, 404);
    let mut other = listen(&third).await;
    await_sockets(&simulator, 2);
    let fourth = create(&simulator, &token);
    assert_eq!(live(), [third.id, fourth.id]);
    let last = next_json(&mut socket).await;
    assert_eq!(
        last["topicName"],
        format!("v2.system.no_longer_subscribed.{}", first.id)
    );
    assert_eq!(last["eventBody"]["reason"], "another_channel_subscribed");
    let (texts, end) = read_to_end(&mut socket).await;
    assert_eq!((texts.len(), close_code(end)), (0, 1001));
    other.close(None).await.unwrap();
    let details = lines(&simulator, Kind::ChannelEnded);
    assert!(
        details
            .iter()
            .all(|line| line.detail.as_deref() == Some("evicted")),
        "{details:?}"
    );
    assert_eq!(details.len(), 2);
}

#[tokio::test]
async fn the_twenty_first_channel_ends_the_one_used_longest_ago_and_its_creator_hears_nothing_of_it() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let channels: Vec<Channel> = (0..20).map(|_| create(&simulator, &token)).collect();
    // the first one is used again
    put(&simulator, &token, &channels[0], &[A]);
    let answer = rest(&simulator, &token, "POST", "notifications/channels", &Value::Null);
    assert_eq!((answer.status, answer.body.get("errors")), (200, None));
    let live: Vec<u64> = simulator
        .channels()
        .iter()
        .map(|channel| channel.number)
        .collect();
    assert_eq!(live, [vec![1], (3..=21).collect()].concat());
}

#[tokio::test]
async fn what_happened_before_a_topic_was_subscribed_is_never_delivered() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let mut socket = listen(&channel).await;
    await_sockets(&simulator, 1);
    simulator.publish(A, &json!({ "n": 1 }));
    put(&simulator, &token, &channel, &[B]);
    simulator.publish(A, &json!({ "n": 2 }));
    put(&simulator, &token, &channel, &[A, B]);
    simulator.publish(A, &json!({ "n": 3 }));
    assert_eq!(next_json(&mut socket).await["eventBody"]["n"], 3);
}

#[test]
fn a_partly_forbidden_combined_topic_fails_the_whole_request_unless_errors_are_ignored() {
    let simulator = quiet(|settings| settings.forbidden_topics = vec![B.to_owned()]);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let path = format!("notifications/channels/{}/subscriptions", channel.id);
    let topics = topic_list(&[A, "v2.users.b?presence&station"]);
    for method in ["POST", "PUT"] {
        let refused = rest(&simulator, &token, method, &path, &topics);
        assert_eq!(refused.status, 403);
        assert_eq!(refused.body["details"][0]["entityId"], B);
    }
    assert_eq!(simulator.channels()[0].topics, Vec::<String>::new());
}
