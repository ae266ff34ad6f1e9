//! Each fault of the script that concerns channels and REST requests, seen from the client.

#![allow(
    clippy::unwrap_used,
    reason = "outside the test functions too, a failed step has to fail the test"
)]

mod client;

use std::time::{Duration, Instant};

use client::*;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use simulator::{Kind, Options, Simulator};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

const B: &str = "v2.users.b.presence";

/// A simulator with these faults, and a channel that listens to user a.
async fn listening(texts: &[&str]) -> (Simulator, String, Channel, Socket) {
    let simulator = with_faults(texts);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    put(&simulator, &token, &channel, &[A]);
    let socket = listen(&channel).await;
    await_sockets(&simulator, 1);
    (simulator, token, channel, socket)
}

#[tokio::test]
async fn a_drop_comes_after_exactly_so_many_notifications_and_the_rest_is_unheard() {
    let (simulator, _, channel, mut socket) = listening(&["channel=1:3 drop"]).await;
    publish(&simulator, 1..=5);
    let (texts, end) = read_to_end(&mut socket).await;
    assert_eq!(numbers(&texts), [1, 2, 3]);
    assert!(
        matches!(
            end,
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))
        ),
        "{end:?}"
    );
    assert!(simulator.wait_until(SOON, |counters| counters.closed == 1));
    assert_eq!(unheard(&simulator), [4, 5]);
    // the channel lives on
    let mut socket = listen(&channel).await;
    await_sockets(&simulator, 1);
    publish(&simulator, 6..=6);
    assert_eq!(numbers(&read_texts(&mut socket, 1).await), [6]);
}

#[tokio::test]
async fn a_socket_that_another_has_replaced_answers_no_ping() {
    let (simulator, _, channel, mut first) = listening(&["channel=1:1 stall 500"]).await;
    publish(&simulator, 1..=1);
    assert_eq!(numbers(&read_texts(&mut first, 1).await), [1]);
    let _second = listen(&channel).await;
    assert!(simulator.wait_until(SOON, |counters| counters.open == 2));
    first.send(Message::Ping("late".into())).await.unwrap();
    loop {
        let next = tokio::time::timeout(SOON, first.next()).await.unwrap();
        match next.unwrap().unwrap() {
            Message::Pong(late) => panic!("answered {late:?}"),
            Message::Close(Some(close)) => break assert_eq!(u16::from(close.code), 1001),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_close_and_a_reset_are_what_they_say() {
    let (simulator, _, channel, mut socket) =
        listening(&["channel=1:1 close 1012 restart", "channel=1:2 reset"]).await;
    publish(&simulator, 1..=1);
    match read_to_end(&mut socket).await.1.unwrap() {
        Message::Close(Some(close)) => {
            assert_eq!((u16::from(close.code), close.reason.as_str()), (1012, "restart"))
        }
        other => panic!("{other:?}"),
    }
    assert!(simulator.wait_until(SOON, |counters| counters.closed == 1));
    let mut socket = listen(&channel).await;
    await_sockets(&simulator, 1);
    publish(&simulator, 2..=2);
    match read_to_end(&mut socket).await.1 {
        Err(Error::Io(error)) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_frozen_channel_has_neither_heartbeats_nor_pongs_but_notifications() {
    let mut options = Options {
        faults: faults(&["channel=1:1 freeze"]),
        ..Options::default()
    };
    options.notifications.updates_per_s = 0;
    options.notifications.heartbeat_ms = 3_000;
    let simulator = start(options);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    put(&simulator, &token, &channel, &[A]);
    let mut socket = listen(&channel).await;
    assert_eq!(next_json(&mut socket).await["topicName"], "channel.metadata");
    publish(&simulator, 1..=1);
    while next_json(&mut socket).await["topicName"] != A {}
    assert!(simulator.wait_until(SOON, |counters| counters.notifications_sent == 1));
    let system = simulator.counters().system_sent;
    socket.send(Message::text(r#"{"message":"ping"}"#)).await.unwrap();
    // an answered ping of RFC 6455 shows that the text before it was heard
    socket.send(Message::Ping(vec![1].into())).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap(), Message::Pong(vec![1].into()));
    // longer than from one heartbeat to the next
    let nothing = tokio::time::timeout(Duration::from_millis(3_500), socket.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    publish(&simulator, 2..=2);
    assert_eq!(numbers(&read_texts(&mut socket, 1).await), [2]);
    assert_eq!(simulator.counters().system_sent, system);
}

#[tokio::test]
async fn a_freeze_ends_after_its_time() {
    let (simulator, _, _, mut socket) = listening(&["channel=1 freeze 100"]).await;
    let frozen = Instant::now();
    loop {
        socket.send(Message::text(r#"{"message":"ping"}"#)).await.unwrap();
        let pong = tokio::time::timeout(Duration::from_millis(20), next_json(&mut socket)).await;
        if let Ok(pong) = pong {
            assert_eq!(pong["eventBody"]["message"], "pong");
            break;
        }
        assert!(frozen.elapsed() < SOON);
    }
    assert!(simulator.wait_until(SOON, |counters| counters.system_sent >= 1));
}

#[tokio::test]
async fn socket_closing_is_told_before_the_close_and_notifications_go_on_between() {
    let (simulator, token, channel, mut socket) = listening(&["channel=1:1 closing 2000"]).await;
    publish(&simulator, 1..=1);
    let mut texts = read_texts(&mut socket, 2).await;
    let warning: Value = serde_json::from_str(&texts.pop().unwrap()).unwrap();
    assert_eq!(warning["topicName"], "v2.system.socket_closing");
    assert_eq!(warning["eventBody"]["channelId"], channel.id);
    publish(&simulator, 2..=3);
    let (rest, end) = read_to_end(&mut socket).await;
    assert_eq!(numbers(&rest), [2, 3]);
    assert!(matches!(end.unwrap(), Message::Close(Some(close)) if u16::from(close.code) == 1001));
    publish(&simulator, 4..=4);
    assert_eq!(unheard(&simulator), [4]);
    // the channel and its topics are still there
    assert_eq!(put(&simulator, &token, &channel, &[A]).status, 200);
}

#[tokio::test]
async fn silence_delays_notifications_and_loses_none() {
    let (simulator, _, _, mut socket) = listening(&["channel=1:1 silence 200"]).await;
    publish(&simulator, 1..=3);
    assert_eq!(numbers(&read_texts(&mut socket, 3).await), [1, 2, 3]);
}

#[tokio::test]
async fn duplicates_and_malformed_frames_are_told_apart_in_the_truth() {
    let (simulator, _, _, mut socket) = listening(&[
        "channel=1:2 duplicate 2",
        "channel=1:2 malformed text",
        "channel=1:3 oversized 70000",
    ])
    .await;
    publish(&simulator, 1..=3);
    let texts = read_texts(&mut socket, 6).await;
    assert_eq!(texts[2], texts[0]);
    assert_eq!(texts[3], "this is no JSON, malformed 1");
    assert_eq!(texts[5].len(), 70_000);
    assert!(simulator.wait_until(SOON, |counters| counters.frames_sent == 6));
    let kinds: Vec<Kind> = simulator
        .truth()
        .iter()
        .map(|line| line.kind)
        .filter(|kind| kind.is_frame())
        .collect();
    assert_eq!(
        kinds,
        [
            Kind::Notification,
            Kind::Notification,
            Kind::Duplicate,
            Kind::Malformed,
            Kind::Notification,
            Kind::Oversized
        ]
    );
}

#[tokio::test]
async fn a_stolen_an_expired_and_a_revoked_channel_are_gone_and_say_why() {
    let (simulator, token, first, mut socket) = listening(&[]).await;
    let others = [create(&simulator, &token), create(&simulator, &token)];
    let mut sockets = [listen(&others[0]).await, listen(&others[1]).await];
    await_sockets(&simulator, 3);
    for text in ["channel=1 steal", "channel=2 expire"] {
        simulator.inject(text.parse().unwrap()).unwrap();
    }
    let frame = next_json(&mut socket).await;
    assert_eq!(frame["eventBody"]["systemTopicType"], "no_longer_subscribed");
    let (texts, end) = read_to_end(&mut sockets[0]).await;
    assert_eq!(texts.len(), 0);
    assert!(matches!(end.unwrap(), Message::Close(Some(close)) if u16::from(close.code) == 1001));
    for channel in [&first, &others[0]] {
        assert_eq!(put(&simulator, &token, channel, &[A]).status, 404);
    }
    simulator.inject("channel=3 revoke".parse().unwrap()).unwrap();
    let frame = next_json(&mut sockets[1]).await;
    assert_eq!(frame["eventBody"]["reason"], "user_tokens_revoked");
    let refused = put(&simulator, &token, &others[1], &[A]);
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (401, &"bad.credentials".into())
    );
    assert_eq!(simulator.channels(), []);
    // a new token finds none of them either
    let token = client::token(&simulator);
    let path = format!("notifications/channels/{}", others[1].id);
    assert_eq!(rest(&simulator, &token, "HEAD", &path, &Value::Null).status, 404);
    assert_eq!(put(&simulator, &token, &others[1], &[A]).status, 404);
}

#[tokio::test]
async fn each_channel_is_closed_in_its_turn_and_only_the_one_named_is_touched() {
    let (simulator, token, _, mut first) = listening(&["each-channel=2 closing 0", "notified=3 drop"]).await;
    let other = create(&simulator, &token);
    put(&simulator, &token, &other, &[A]);
    let mut second = listen(&other).await;
    await_sockets(&simulator, 2);
    publish(&simulator, 1..=1);
    assert_eq!(numbers(&read_texts(&mut second, 1).await), [1]);
    // the third notification of all is the first channel's second
    publish(&simulator, 2..=2);
    let (texts, end) = read_to_end(&mut first).await;
    assert_eq!((numbers(&texts), end.is_err()), (vec![1, 2], true));
    let (texts, end) = read_to_end(&mut second).await;
    assert_eq!(numbers(&texts), [2]);
    assert!(end.is_ok(), "{end:?}");
}

#[tokio::test]
async fn a_topic_is_rejected_by_script_at_its_turn_only() {
    let simulator = with_faults(&["topics=2 reject v2.users.b.presence"]);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    let states = || -> Vec<String> {
        let answer = put(&simulator, &token, &channel, &[A, B]);
        answer.body["entities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entity| entity["state"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(states(), ["Permitted", "Permitted"]);
    assert_eq!(states(), ["Permitted", "Rejected"]);
    assert_eq!(simulator.channels()[0].topics, [A]);
    assert_eq!(states(), ["Permitted", "Permitted"]);
}

#[tokio::test]
async fn a_new_channel_is_sent_again_what_the_old_one_had_at_the_hand_over() {
    let (simulator, token, _, mut old) = listening(&["topics=2 echo 2"]).await;
    publish(&simulator, 1..=3);
    let had = read_texts(&mut old, 3).await;
    let next_channel = create(&simulator, &token);
    let mut new = listen(&next_channel).await;
    await_sockets(&simulator, 2);
    put(&simulator, &token, &next_channel, &[A]);
    publish(&simulator, 4..=4);
    let texts = read_texts(&mut new, 3).await;
    assert_eq!((&texts[..2], numbers(&texts)), (&had[1..], vec![2, 3, 4]));
    assert!(simulator.wait_until(SOON, |counters| counters.duplicates == 2));
}

#[test]
fn requests_fail_by_script() {
    let simulator = with_faults(&[
        "api=1-3 refuse 429 2",
        "api=4 refuse 429 400",
        "api=5 refuse 503",
        "api=6 slow 150",
        "create=2 refuse 500",
        "topics=1 refuse 403",
    ]);
    let token = token(&simulator);
    let ask = || get(&simulator, &token, "routing/queues");
    for wait in ["2", "2", "2", "400"] {
        let answer = ask();
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some(wait)));
        assert_eq!(answer.body["code"], "too.many.requests");
    }
    let answer = ask();
    assert_eq!(
        (answer.status, &answer.body["code"]),
        (503, &"service.unavailable".into())
    );
    let asked = Instant::now();
    assert_eq!(ask().status, 200);
    assert!(asked.elapsed() >= Duration::from_millis(150));
    let channel = create(&simulator, &token);
    let refused = rest(&simulator, &token, "POST", "notifications/channels", &Value::Null);
    assert_eq!((refused.status, simulator.channels().len()), (500, 1));
    assert_eq!(put(&simulator, &token, &channel, &[A]).status, 403);
    assert_eq!(put(&simulator, &token, &channel, &[A]).status, 200);
}

#[tokio::test]
async fn an_upgrade_of_a_channel_is_refused_by_script() {
    let simulator = with_faults(&[
        "connect=1 refuse 401",
        "connect=2 refuse 403",
        "connect=3 refuse 404",
        "connect=4 refuse 429 3",
    ]);
    let token = token(&simulator);
    let channel = create(&simulator, &token);
    for status in [401, 403, 404, 429] {
        match tokio_tungstenite::connect_async(&channel.uri).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status().as_u16(), status),
            other => panic!("{other:?}"),
        }
    }
    let _socket = listen(&channel).await;
    await_sockets(&simulator, 1);
}

#[tokio::test]
async fn two_notifications_change_places_and_none_is_lost() {
    let (simulator, _, _, mut socket) = listening(&["channel=1:1 swap"]).await;
    publish(&simulator, 1..=2);
    assert_eq!(numbers(&read_texts(&mut socket, 1).await), [1]);
    // the second waits for the third, a pong does not
    socket.send(Message::text(r#"{"message":"ping"}"#)).await.unwrap();
    assert_eq!(next_json(&mut socket).await["eventBody"]["message"], "pong");
    publish(&simulator, 3..=4);
    assert_eq!(numbers(&read_texts(&mut socket, 3).await), [3, 2, 4]);
}
