//! Listeners against a scripted service over in-memory pipes, under paused time, with the real admission and queue.

mod backfill;
mod held;
mod idle;
mod refused;
mod reuse;
mod rig;
mod service;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::rig::{Options, Say, with};
use crate::record::Kind;
use crate::session::{Command, Failure, FailureKind};

const SECOND: Duration = Duration::from_secs(1);

fn gaps(records: &[(Kind, String, Value)]) -> Vec<(String, String)> {
    records
        .iter()
        .filter(|(kind, ..)| *kind == Kind::Control)
        .map(|(_, name, body)| (name.clone(), body["cause"].as_str().unwrap_or("").to_owned()))
        .collect()
}

fn bodies(records: &[(Kind, String, Value)]) -> Vec<i64> {
    records
        .iter()
        .filter(|(kind, ..)| *kind == Kind::Event)
        .map(|(_, _, body)| body["payload"]["extra"]["number"].as_i64().unwrap())
        .collect()
}

fn pair(cause: &str) -> [(String, String); 2] {
    ["gap_opened", "gap_closed"].map(|name| (name.to_owned(), cause.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn what_a_channel_delivers_becomes_records_and_pings_keep_it() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        assert_eq!(
            rig.subscriptions(),
            [("c1".to_owned(), vec!["t1".to_owned(), "t2".to_owned()])]
        );
        for number in 0..3 {
            rig.say("c1", Say::event("t1", number));
        }
        sleep(120 * SECOND).await;
        assert_eq!(bodies(&rig.pull()), [0, 1, 2]);
        assert_eq!(rig.connections(), ["c1"]);
        assert!(rig.asked("c1") > 8, "asked {} times", rig.asked("c1"));
        assert_eq!(rig.law(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_socket_is_opened_again_on_its_channel_and_the_hole_is_a_gap_of_its_topics() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.say("c1", Say::event("t1", 1));
        sleep(SECOND).await;
        rig.say("c1", Say::Vanish);
        rig.until(|status| status.reconnects_total == 1 && status.subscribed)
            .await;
        rig.say("c1", Say::event("t1", 2));
        sleep(SECOND).await;
        let records = rig.pull();
        assert_eq!(bodies(&records), [1, 2]);
        assert_eq!(gaps(&records), pair("reconnect"));
        let opened = &records[1].2;
        assert_eq!(opened["topics"], json!(["t1", "t2"]));
        assert_eq!(opened["detail"]["kind"], "eof");
        assert_eq!(rig.connections(), ["c1", "c1"]);
        assert_eq!(rig.subscriptions().len(), 2, "asked for its topics again");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_gone_or_has_lost_its_topics_is_followed_by_a_new_one() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.refuse_connection("c1", Failure {
            kind: FailureKind::ChannelGone,
            ..Failure::refused(404, "HTTP 404".to_owned(), None)
        });
        rig.say("c1", Say::Vanish);
        rig.until(|status| status.connects_total == 2 && status.subscribed)
            .await;
        rig.say(
            "c2",
            Say::Text(json!({"topicName": "v2.system.no_longer_subscribed.c2", "version": "2", "eventBody": {"channelId": "c2"}})),
        );
        rig.until(|status| status.connects_total == 3 && status.subscribed)
            .await;
        assert_eq!(rig.connections(), ["c1", "c2", "c3"]);
        let records = rig.pull();
        assert_eq!(gaps(&records), [pair("reconnect"), pair("reconnect")].concat());
        assert_eq!(records[2].2["detail"]["closeReason"], "no longer subscribed");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_discarded_and_named_as_the_cause() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.say(
            "c1",
            Say::Text(json!({"topicName": "v2.system.token_revoked.x", "eventBody": {"channelId": "c1"}})),
        );
        rig.until(|status| status.connects_total == 2 && status.subscribed)
            .await;
        assert_eq!(rig.discarded_tokens(), 1);
        assert_eq!(gaps(&rig.pull()), pair("token_revoked"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_answers_no_ping_of_the_service_is_dead_though_it_sends() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.say("c1", Say::Deafen);
        for number in 0..60 {
            rig.say("c1", Say::event("t1", number));
            sleep(SECOND).await;
        }
        rig.until(|status| status.connects_total == 2).await;
        let records = rig.pull();
        let opened = records.iter().find(|(_, name, _)| name == "gap_opened").unwrap();
        assert_eq!(
            opened.2["detail"]["closeReason"],
            "no answer to the ping of the service"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_planned_end_hands_over_without_a_gap_or_a_duplicate() {
    with(Options::living(100 * SECOND), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        let mut number = 0;
        let begun = Instant::now();
        while begun.elapsed() < 1000 * SECOND {
            number += 1;
            rig.broadcast("t1", number);
            sleep(SECOND / 4).await;
        }
        sleep(5 * SECOND).await;
        let records = rig.pull();
        assert!(rig.connections().len() >= 10, "{:?}", rig.connections());
        assert_eq!(gaps(&records), []);
        assert_eq!(bodies(&records), (1..=number).collect::<Vec<i64>>());
        let counts = rig.counts();
        assert_eq!((counts.handover_ambiguous, counts.held), (0, 0));
        assert!(counts.subtracted > 9, "{counts:?}");
        assert_eq!(rig.law(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_warning_of_maintenance_hands_over_before_the_socket_closes() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.say(
            "c1",
            Say::Text(json!({"topicName": "v2.system.socket_closing", "eventBody": {"channelId": "c1"}})),
        );
        for number in 0..80 {
            rig.broadcast("t1", number);
            sleep(SECOND / 4).await;
        }
        let records = rig.pull();
        assert_eq!(gaps(&records), []);
        assert_eq!(bodies(&records), (0..80).collect::<Vec<i64>>());
        assert_eq!(rig.connections(), ["c1", "c2"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_channel_that_dies_in_a_hand_over_is_succeeded_at_once() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        sleep(SECOND).await;
        rig.say(
            "c1",
            Say::Text(json!({"topicName": "v2.system.socket_closing", "eventBody": {"channelId": "c1"}})),
        );
        rig.until(|_| rig.subscriptions().len() == 2).await;
        rig.broadcast("t1", 1);
        sleep(SECOND / 10).await;
        rig.broadcast("t1", 2);
        rig.say("c1", Say::Vanish);
        sleep(SECOND / 10).await;
        rig.broadcast("t1", 3);
        sleep(5 * SECOND).await;
        let records = rig.pull();
        assert_eq!(bodies(&records), [1, 2, 3]);
        assert_eq!(rig.connections(), ["c1", "c2"]);
        assert_eq!(rig.law(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_fails_costs_nothing_and_another_is_made() {
    with(Options::living(100 * SECOND), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.refuse_connection("c2", Failure::refused(503, "HTTP 503".to_owned(), None));
        let mut number = 0;
        let mut is_dropped = false;
        let begun = Instant::now();
        while begun.elapsed() < 150 * SECOND {
            number += 1;
            rig.broadcast("t1", number);
            if !is_dropped && rig.subscriptions().iter().any(|(channel, _)| channel == "c3") {
                is_dropped = true;
                sleep(SECOND).await;
                rig.say("c3", Say::Vanish);
            }
            sleep(SECOND / 4).await;
        }
        let records = rig.pull();
        assert!(is_dropped);
        assert_eq!(gaps(&records), []);
        assert_eq!(bodies(&records), (1..=number).collect::<Vec<i64>>());
        assert_eq!(rig.law(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_channel_has_gaps_of_its_own_and_the_others_go_on() {
    let options = Options {
        shares: vec![vec!["t1"], vec!["t2"], vec!["t3"]],
        ..Options::default()
    };
    with(options, |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.say(&rig.channel_of("t2"), Say::Vanish);
        rig.until(|status| !status.subscribed).await;
        rig.broadcast("t1", 1);
        rig.broadcast("t3", 3);
        rig.until(|status| status.subscribed).await;
        let records = rig.pull();
        assert_eq!(bodies(&records), [1, 3]);
        let opened = records.iter().find(|(_, name, _)| name == "gap_opened").unwrap();
        assert_eq!(opened.2["topics"], json!(["t2"]));
        assert_eq!(rig.connections().len(), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_topic_is_a_gap_that_names_the_permission_and_ends_with_it() {
    with(Options::default(), |mut rig| async move {
        let reason = "missing permission routing:queue:view";
        rig.reject("t2", reason);
        rig.start();
        rig.until(|status| status.subscribed).await;
        let records = rig.pull();
        assert_eq!(gaps(&records), pair("topic_rejected")[..1]);
        assert_eq!(records[0].2["topics"], json!(["t2"]));
        assert_eq!(records[0].2["detail"]["closeReason"], reason);
        rig.permit_all();
        rig.say("c1", Say::Vanish);
        rig.until(|status| status.connects_total == 2 && status.subscribed)
            .await;
        let causes: Vec<String> = gaps(&rig.pull())
            .into_iter()
            .map(|(name, cause)| format!("{name} {cause}"))
            .collect();
        assert_eq!(
            causes,
            [
                "gap_opened reconnect",
                "gap_closed topic_rejected",
                "gap_closed reconnect"
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_source_none_of_whose_topics_is_permitted_ends_and_says_which_permission_is_missing() {
    with(Options::default(), |mut rig| async move {
        rig.reject("t1", "missing permission a");
        rig.reject("t2", "missing permission b");
        rig.start();
        let ending = rig.ending().await;
        assert_eq!(
            (ending.0, ending.1.as_str()),
            (
                plugin_abi::status::AUTH,
                "none of the topics is permitted; the first: missing permission a; add what is missing to a role of the OAuth \
                 client, in the divisions concerned"
            )
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn other_topics_are_asked_for_on_the_live_channel() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.wish(&[vec!["t1", "t3"]]);
        rig.until(|_| rig.subscriptions().len() == 2).await;
        assert_eq!(
            rig.subscriptions()[1],
            ("c1".to_owned(), vec!["t1".to_owned(), "t3".to_owned()])
        );
        rig.broadcast("t3", 3);
        sleep(SECOND).await;
        let records = rig.pull();
        assert_eq!((bodies(&records), gaps(&records)), (vec![3], vec![]));
        assert_eq!(rig.connections(), ["c1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_hands_out_what_was_read_and_ends_with_the_gap_of_the_stop() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.say("c1", Say::event("t1", 1));
        sleep(SECOND).await;
        rig.command(Command::Drain);
        let ending = rig.ending().await;
        assert_eq!(ending.0, plugin_abi::status::END);
        let records = rig.taken();
        assert_eq!(bodies(&records), [1]);
        assert_eq!(gaps(&records), pair("stopped")[..1]);
        rig.until(|_| rig.closed("c1") == Some(1000)).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_stops_the_reader_and_nothing_is_lost() {
    let options = Options {
        max_records: 3,
        ..Options::default()
    };
    with(options, |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        for number in 0..10 {
            rig.say("c1", Say::event("t1", number));
        }
        rig.until(|status| status.stalls_total > 0).await;
        let mut seen = Vec::new();
        while seen.len() < 10 {
            seen.extend(bodies(&rig.pull()));
            sleep(SECOND / 100).await;
        }
        assert_eq!(seen, (0..10).collect::<Vec<i64>>());
        assert_eq!(rig.law(), 0);
    })
    .await;
}
