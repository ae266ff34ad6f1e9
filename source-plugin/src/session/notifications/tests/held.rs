//! What a hand-over holds when the source stops or dies.

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::rig::{Options, Rig, Say, with};
use super::{SECOND, bodies, gaps, pair};
use crate::rest::RestError;
use crate::session::Command;
use crate::spool::storage::faulty::FaultyStorage;

/// Life of a channel; its successor is made after half to seven tenths of it.
const LIFE_S: u32 = 100;

/// Waits for the second channel of a hand-over, and until it delivers.
async fn standby(rig: &Rig) {
    rig.until(|status| status.subscribed).await;
    rig.until(|_| rig.connections().len() == 2 && rig.subscriptions().len() == 2)
        .await;
    sleep(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_in_a_handover_resolves_what_is_held_even_without_room() {
    for max_records in [3, 100_000] {
        let options = Options {
            max_records,
            ..Options::living(LIFE_S * SECOND)
        };
        with(options, |mut rig| async move {
            let _session = rig.start();
            standby(&rig).await;
            rig.broadcast("t1", 1);
            rig.broadcast("t1", 2);
            rig.say("c2", Say::event("t1", 3));
            rig.say("c2", Say::event("t1", 4));
            sleep(SECOND / 10).await;
            assert_eq!((rig.counts().held, rig.counts().events), (4, 2));
            rig.command(Command::Drain);
            let ending = rig.ending().await;
            assert_eq!(ending.0, plugin_abi::status::END);
            assert_eq!(bodies(&rig.taken()), [1, 2, 3, 4]);
            let counts = rig.counts();
            assert_eq!(
                (counts.held, counts.subtracted, counts.events, rig.law()),
                (0, 2, 4, 0)
            );
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_in_a_handover_leaves_its_own_gap_alone_from_what_is_certain_of_the_old_channel() {
    for is_subscribed in [true, false] {
        with(Options::living(LIFE_S * SECOND), |mut rig| async move {
            let _session = rig.start();
            rig.until(|status| status.subscribed).await;
            rig.until(|_| rig.connections().len() == 2).await;
            // From here on nothing is known of what it reads and sends.
            rig.say("c1", Say::Hang);
            let certain = Instant::now();
            if is_subscribed {
                rig.until(|_| rig.subscriptions().len() == 2).await;
                sleep(2 * SECOND).await;
            } else {
                sleep(SECOND / 100).await;
                assert_eq!(rig.subscriptions().len(), 1, "the answer is under way");
            }
            let apart_ms = certain.elapsed().as_millis();
            rig.command(Command::Drain);
            rig.ending().await;
            let records = rig.taken();
            let opened: Vec<&Value> = records
                .iter()
                .filter(|(_, name, _)| name == "gap_opened")
                .map(|(_, _, body)| body)
                .collect();
            let [stopped] = opened[..] else {
                panic!("{opened:#?}");
            };
            assert_eq!(stopped["cause"], "stopped");
            let (from_ms, told_ms) = (
                since_the_beginning_ms(&stopped["from"]),
                since_the_beginning_ms(&stopped["detectedAt"]),
            );
            assert!(
                u128::from(told_ms - from_ms) >= apart_ms,
                "{from_ms} to {told_ms}, hung for {apart_ms} ms"
            );
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_death_while_the_old_channel_closes_leaves_what_is_held_inside_the_gap() {
    let storage = FaultyStorage::default();
    let spooled = || Options {
        storage: Some(storage.clone()),
        ..Options::living(LIFE_S * SECOND)
    };
    let begun = Instant::now();
    with(spooled(), |mut rig| async move {
        let session = rig.start();
        standby(&rig).await;
        // The overlap of two seconds has begun; the close behind it is not answered.
        rig.say("c1", Say::Hang);
        sleep(3 * SECOND).await;
        rig.say("c2", Say::event("t1", 1));
        sleep(2 * SECOND).await;
        assert_eq!((rig.counts().held, rig.snapshot().handovers_total), (1, 0));
        rig.sync();
        session.abort();
        rig.die();
    })
    .await;
    let sent_ms = (begun.elapsed() - 2 * SECOND).as_millis();
    with(spooled(), |mut rig| async move {
        // The clock of this life begins anew, and must have passed the death.
        sleep(2 * LIFE_S * SECOND).await;
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        let records = rig.pull();
        assert_eq!(bodies(&records), Vec::<i64>::new(), "it was in no log");
        let opened = records.iter().find(|(_, name, _)| name == "gap_opened").unwrap();
        assert_eq!(opened.2["cause"], "crash");
        let from_ms = since_the_beginning_ms(&opened.2["from"]);
        assert!(
            u128::from(from_ms) < sent_ms,
            "from {from_ms} ms, sent at {sent_ms} ms"
        );
    })
    .await;
}

/// What the service says of a channel's end.
fn system(topic: &str) -> Say {
    Say::Text(json!({"topicName": topic, "version": "2", "eventBody": {"channelId": "c2"}, "metadata": {}}))
}

#[tokio::test(start_paused = true)]
async fn what_a_successor_is_told_while_the_old_channel_closes_counts_once_it_has_taken_over() {
    for (topic, cause) in [
        ("v2.system.token_revoked.c2", Some("token_revoked")),
        ("v2.system.no_longer_subscribed.c2", Some("reconnect")),
        ("v2.system.socket_closing", None),
    ] {
        with(Options::living(LIFE_S * SECOND), |mut rig| async move {
            let _session = rig.start();
            standby(&rig).await;
            // The overlap of two seconds has begun; the close behind it is not answered for five.
            rig.say("c1", Say::Hang);
            sleep(3 * SECOND).await;
            rig.say("c2", system(topic));
            if cause.is_some() {
                // The close behind it says nothing of its own.
                rig.say("c2", Say::Vanish);
            }
            let told = Instant::now();
            rig.until(|_| rig.connections().len() >= 3).await;
            rig.until(|status| status.subscribed).await;
            assert_eq!(rig.connections(), ["c1", "c2", "c3"], "{topic}");
            // Long before the end of its life would have it replaced.
            assert!(told.elapsed() < 20 * SECOND, "{topic}: {:?}", told.elapsed());
            let records = rig.pull();
            let opened = records.iter().filter(|(_, name, _)| name == "gap_opened");
            let causes: Vec<&str> = opened.filter_map(|(_, _, body)| body["cause"].as_str()).collect();
            assert_eq!(causes, cause.into_iter().collect::<Vec<_>>(), "{topic}");
        })
        .await;
    }
}

/// Milliseconds from the instant at which the paused clock of each life begins.
fn since_the_beginning_ms(time: &Value) -> u64 {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    let begin: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    u64::try_from(time.as_millisecond() - begin.as_millisecond()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_successor_whose_topics_are_refused_while_the_old_channel_closes_asks_for_them_again() {
    with(Options::living(LIFE_S * SECOND), |mut rig| async move {
        let _session = rig.start();
        rig.until(|status| status.subscribed).await;
        rig.refuse_topics("c2", unavailable());
        rig.until(|_| rig.connections().len() == 2).await;
        // More than may be held, before the request for topics is answered; the close behind it is not answered for five
        // seconds.
        rig.say("c1", Say::Hang);
        for number in 0..20 {
            rig.say("c2", large(number));
        }
        rig.until(|status| status.handovers_total == 1).await;
        let begun = Instant::now();
        rig.until(|status| status.subscribed).await;
        assert!(begun.elapsed() < 120 * SECOND, "{:?}", begun.elapsed());
        rig.broadcast("t1", 100);
        sleep(SECOND).await;
        let records = rig.pull();
        assert_eq!(bodies(&records).last(), Some(&100));
        assert_eq!(gaps(&records), pair("reconnect"));
    })
    .await;
}

/// An event of 60 KiB.
fn large(number: i64) -> Say {
    let text = "x".repeat(60 << 10);
    Say::Text(json!({
        "topicName": "t1", "version": "2", "eventBody": {"number": number, "id": "e", "text": text}, "metadata": {},
    }))
}

fn unavailable() -> RestError {
    RestError::Answer {
        call: "PUT /api/v2/notifications/channels/{id}/subscriptions at api.example.com".to_owned(),
        status: 503,
        code: None,
        retry_after: None,
    }
}
