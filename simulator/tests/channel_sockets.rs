//! A channel's socket as a client sees it: what is sent and in what order, how it ends, and the ground truth.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use std::collections::HashSet;

use client::*;
use futures_util::SinkExt as _;
use serde_json::json;
use simulator::{Kind, Options, TruthLine};
use tokio_tungstenite::tungstenite::{Error, Message};

const B: &str = "v2.users.b.presence";

#[tokio::test]
async fn a_second_socket_ends_the_first_after_what_it_was_given() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    put(&simulator, &token, &channel, &[A]);
    let mut first = listen(&channel).await;
    await_sockets(&simulator, 1);
    simulator.publish(A, &json!({ "n": 1 }));
    let mut second = listen(&channel).await;
    assert!(simulator.wait_until(SOON, |counters| counters.closed == 1));
    simulator.publish(A, &json!({ "n": 2 }));
    let (texts, end) = read_to_end(&mut first).await;
    assert_eq!((texts.len(), close_code(end)), (1, 1001));
    assert!(texts[0].contains(r#""eventBody":{"n":1}"#), "{}", texts[0]);
    assert_eq!(next_json(&mut second).await["eventBody"], json!({ "n": 2 }));
    assert_eq!(lines(&simulator, Kind::Unheard), []);
}

#[tokio::test]
async fn a_ping_is_answered_and_heartbeats_come_without_a_subscription() {
    let simulator = quiet(|settings| settings.heartbeat_ms = 3_000);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let mut socket = listen(&channel).await;
    let heartbeat =
        json!({ "topicName": "channel.metadata", "eventBody": { "message": "WebSocket Heartbeat" } });
    for _ in 0..2 {
        assert_eq!(next_json(&mut socket).await, heartbeat);
    }
    socket.send(Message::text(r#"{"message":"ping"}"#)).await.unwrap();
    // the vendor's command line sends such things, and they are let pass
    socket.send(Message::text("12:00:00")).await.unwrap();
    let pong = json!({ "topicName": "channel.metadata", "eventBody": { "message": "pong" } });
    loop {
        let frame = next_json(&mut socket).await;
        if frame == pong {
            break;
        }
        assert_eq!(frame, heartbeat);
    }
    assert!(
        lines(&simulator, Kind::System)
            .iter()
            .all(|line| line.topic.as_deref() == Some("channel.metadata"))
    );
}

#[tokio::test]
async fn topics_can_be_set_over_the_socket() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let mut socket = listen(&channel).await;
    let say = |wanted: &str| json!({ "message": wanted, "topics": [A], "correlationId": "c1" }).to_string();
    socket.send(Message::text(say("subscribe"))).await.unwrap();
    let answer = next_json(&mut socket).await;
    assert_eq!(
        answer,
        json!({ "correlationId": "c1", "topics": [A], "result": "200", "status": "subscribed" })
    );
    simulator.publish(A, &json!({ "n": 1 }));
    assert_eq!(next_json(&mut socket).await["topicName"], A);
    socket.send(Message::text(say("unsubscribe"))).await.unwrap();
    assert_eq!(next_json(&mut socket).await["status"], "unsubscribed");
    assert_eq!(simulator.channels()[0].topics, Vec::<String>::new());
}

#[tokio::test]
async fn the_truth_tells_what_each_channel_was_sent_and_what_nobody_heard() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let (first, second) = (create(&simulator, &token), create(&simulator, &token));
    put(
        &simulator,
        &token,
        &first,
        &[A, "v2.users.c?presence&conversations"],
    );
    put(&simulator, &token, &second, &[A]);
    let mut socket = listen(&first).await;
    await_sockets(&simulator, 1);
    simulator.publish(A, &json!({ "n": 1 }));
    simulator.publish(
        "v2.users.c.conversations",
        &json!({ "id": "k", "participants": [] }),
    );
    simulator.publish("v2.users.z.presence", &json!({ "n": 2 }));
    let texts = read_texts(&mut socket, 2).await;
    assert!(simulator.wait_until(SOON, |counters| counters.notifications_sent == 2));
    let heard = lines(&simulator, Kind::Notification);
    let facts = |line: &TruthLine| {
        (
            line.channel.clone().unwrap(),
            line.topic.clone().unwrap(),
            line.conversation_id.clone(),
        )
    };
    assert_eq!(
        heard.iter().map(facts).collect::<Vec<_>>(),
        [
            (first.id.clone(), A.to_owned(), None),
            (
                first.id.clone(),
                "v2.users.c.conversations".to_owned(),
                Some("k".to_owned())
            ),
        ]
    );
    assert_eq!(
        heard
            .iter()
            .map(|line| line.frame.clone().unwrap())
            .collect::<Vec<_>>(),
        texts
    );
    assert!(
        heard
            .iter()
            .all(|line| line.sent_us.is_some() && line.connection == 1)
    );
    // the second channel has the topic but no socket; nobody ever asked for user z
    let unheard = lines(&simulator, Kind::Unheard);
    assert_eq!(
        unheard.iter().map(facts).collect::<Vec<_>>(),
        [(second.id, A.to_owned(), None)]
    );
    assert_eq!(unheard[0].detail.as_deref(), Some("the channel has no socket"));
    // once asked for and left again
    put(&simulator, &token, &first, &[B]);
    simulator.publish("v2.users.c.presence", &json!({}));
    let last = lines(&simulator, Kind::Unheard).pop().unwrap();
    assert_eq!(
        (last.channel, last.detail.as_deref()),
        (None, Some("no channel is subscribed"))
    );
}

#[tokio::test]
async fn what_happens_between_two_sockets_is_lost_and_the_topics_stay() {
    let simulator = quiet(|_| {});
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    put(&simulator, &token, &channel, &[A]);
    let mut socket = listen(&channel).await;
    await_sockets(&simulator, 1);
    socket.close(None).await.unwrap();
    assert!(simulator.wait_until(SOON, |counters| counters.closed == 1));
    simulator.publish(A, &json!({ "n": 1 }));
    let mut socket = listen(&channel).await;
    await_sockets(&simulator, 1);
    simulator.publish(A, &json!({ "n": 2 }));
    assert_eq!(next_json(&mut socket).await["eventBody"]["n"], 2);
    assert_eq!(simulator.counters().unheard, 1);
}

#[tokio::test]
async fn a_channel_ends_with_its_life_and_new_topics_give_it_another() {
    let simulator = quiet(|settings| settings.channel_life_ms = 2_500);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let expires =
        || get(&simulator, &token, "notifications/channels").body["entities"][0]["expires"].to_string();
    let before = expires();
    let mut socket = listen(&channel).await;
    put(&simulator, &token, &channel, &[A]);
    assert!(expires() > before, "{} {before}", expires());
    let (texts, end) = read_to_end(&mut socket).await;
    assert_eq!((texts.len(), close_code(end)), (0, 1001));
    assert_eq!(put(&simulator, &token, &channel, &[A]).status, 404);
    match tokio_tungstenite::connect_async(&channel.uri).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), 404),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        lines(&simulator, Kind::ChannelEnded)[0].detail.as_deref(),
        Some("expired")
    );
}

#[tokio::test]
async fn a_token_that_ends_takes_its_channels_along() {
    let mut options = Options {
        expires_in_s: 3,
        ..Options::default()
    };
    options.notifications.updates_per_s = 0;
    let simulator = start(options);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let mut socket = listen(&channel).await;
    let last = next_json(&mut socket).await;
    assert_eq!(last["eventBody"]["systemTopicType"], "token_revoked");
    assert_eq!(close_code(read_to_end(&mut socket).await.1), 1001);
    let refused = put(&simulator, &token, &channel, &[A]);
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (401, &"credentials.expired".into())
    );
}

#[tokio::test]
async fn two_channels_with_the_same_topics_get_the_same_frames_in_the_same_order() {
    let mut options = Options::default();
    options.notifications.updates_per_s = 2_000;
    options.notifications.updates = Some(1_500);
    options.pause_when_alone = true;
    let simulator = start(options);
    let token = token(&simulator);
    let topics: Vec<String> = simulator
        .queues()
        .iter()
        .flat_map(|queue| {
            ["conversations", "conversations.calls", "users"]
                .map(|end| format!("v2.routing.queues.{}.{end}", queue.id))
        })
        .collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let channels = [create(&simulator, &token), create(&simulator, &token)];
    let mut sockets = [listen(&channels[0]).await, listen(&channels[1]).await];
    await_sockets(&simulator, 2);
    put(&simulator, &token, &channels[0], &topics);
    put(&simulator, &token, &channels[1], &topics);
    let read = read_all(&simulator, &mut sockets).await;
    let sent: Vec<Vec<String>> = channels
        .iter()
        .map(|channel| {
            let lines = lines(&simulator, Kind::Notification).into_iter();
            let own = lines.filter(|line| line.channel.as_ref() == Some(&channel.id));
            own.map(|line| line.frame.unwrap()).collect()
        })
        .collect();
    assert!(sent[1].len() > 1_000, "{}", sent[1].len());
    assert_eq!(read, sent);
    // the first was subscribed a moment earlier
    assert!(sent[0].ends_with(&sent[1]), "{} {}", sent[0].len(), sent[1].len());
    assert_eq!(simulator.counters().updates, 1_500);
}

#[tokio::test]
async fn detail_events_come_for_the_conversations_that_were_subscribed() {
    let mut options = Options::default();
    options.notifications.updates_per_s = 300;
    options.notifications.conversations = 4;
    let simulator = start(options);
    let token = token(&simulator);
    let queues: Vec<String> = simulator
        .queues()
        .iter()
        .map(|queue| format!("v2.routing.queues.{}.conversations", queue.id))
        .collect();
    let queues: Vec<&str> = queues.iter().map(String::as_str).collect();
    let channel = create(&simulator, &token);
    let mut socket = listen(&channel).await;
    put(&simulator, &token, &channel, &queues);
    let seen = next_json(&mut socket).await["eventBody"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let topic = |end: &str| format!("v2.detail.events.conversation.{seen}.{end}");
    let ends = [
        "customer.end",
        "user.start",
        "user.end",
        "acd.end",
        "acw",
        "wrapup",
    ]
    .map(topic);
    let path = format!("notifications/channels/{}/subscriptions", channel.id);
    let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
    assert_eq!(
        rest(&simulator, &token, "POST", &path, &topic_list(&ends)).status,
        200
    );
    let mut missing: HashSet<String> = ["customer.end", "user.end", "acw"].map(topic).into();
    while !missing.is_empty() {
        let frame = next_json(&mut socket).await;
        let name = frame["topicName"].as_str().unwrap();
        if name.starts_with("v2.detail.events.") {
            assert_eq!(frame["eventBody"]["conversationId"], seen);
        }
        missing.remove(name);
    }
}
