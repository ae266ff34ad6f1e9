//! Channels that are connected again: which way of failing decides what, and when the API is asked.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::rig::{Options, Rig, Say, with};
use super::{SECOND, bodies, gaps, pair};
use crate::session::{Failure, FailureKind};

/// Loses the first channel's socket; `refusals` attempts to connect it again fail.
async fn lose(rig: &mut Rig, refusals: usize) {
    rig.start();
    rig.until(|status| status.subscribed).await;
    for _ in 0..refusals {
        rig.fail_connection("c1");
    }
    rig.say("c1", Say::Vanish);
    rig.until(|status| !status.subscribed).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_fails_twice_without_a_word_is_asked_about_and_given_up_if_it_is_gone() {
    with(Options::default(), |mut rig| async move {
        rig.says_of("c1", Some(Ok(false)));
        lose(&mut rig, 1000).await;
        rig.until(|status| status.subscribed).await;
        assert_eq!(rig.questions(), ["c1"]);
        assert_eq!(rig.connections(), ["c1", "c2"]);
        assert_eq!(
            rig.snapshot().failed_attempts_total,
            3,
            "the loss and two attempts"
        );
        assert_eq!(gaps(&rig.pull()), pair("reconnect"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_costs_no_question() {
    with(Options::default(), |mut rig| async move {
        lose(&mut rig, 1).await;
        rig.until(|status| status.subscribed).await;
        assert_eq!((rig.questions().len(), rig.connections().len()), (0, 2));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_lives_is_tried_again_ten_times_and_asked_about_after_every_second() {
    with(Options::default(), |mut rig| async move {
        lose(&mut rig, 1000).await;
        rig.until(|status| status.subscribed).await;
        assert_eq!(rig.questions().len(), 4, "behind 2, 4, 6 and 8 of 10 attempts");
        assert_eq!(rig.snapshot().failed_attempts_total, 11);
        assert_eq!(rig.connections(), ["c1", "c2"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_tried_again_where_the_api_does_not_answer_in_time_or_only_with_a_failure() {
    for answer in [
        None,
        Some(Err(Failure::refused(503, "HTTP 503".to_owned(), None))),
    ] {
        with(Options::default(), |mut rig| async move {
            rig.says_of("c1", answer);
            lose(&mut rig, 3).await;
            let lost = Instant::now();
            rig.until(|status| status.subscribed).await;
            assert_eq!(rig.questions(), ["c1"]);
            assert_eq!(rig.connections(), ["c1", "c1"]);
            assert!(lost.elapsed() < 10 * SECOND, "{:?}", lost.elapsed());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn sockets_that_end_before_their_topics_are_answered_are_doubts_and_answered_topics_are_none() {
    with(Options::default(), |mut rig| async move {
        rig.says_of("c1", Some(Ok(false)));
        rig.start();
        rig.until(|status| status.subscribed).await;
        for _ in 0..4 {
            rig.say("c1", Say::Vanish);
            rig.until(|status| !status.subscribed).await;
            rig.until(|status| status.subscribed).await;
        }
        assert_eq!(rig.questions(), [""; 0], "the API answered its topics each time");
        for attempt in 1..=2 {
            rig.say("c1", Say::Vanish);
            rig.until(|_| rig.connections().len() == 5 + attempt).await;
        }
        rig.say("c1", Say::Vanish);
        rig.until(|status| status.subscribed).await;
        assert_eq!(rig.questions(), ["c1"]);
        assert_eq!(rig.connections().last().unwrap(), "c2");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_says_404_ends_the_channel_and_its_gap_says_so() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.say("c1", Say::Text(json!({"result": "400", "status": "error"})));
        rig.say("c1", Say::event("t1", 1));
        sleep(SECOND).await;
        assert_eq!(
            rig.connections(),
            ["c1"],
            "another refusal is none of the channel"
        );
        rig.say(
            "c1",
            Say::Text(json!({"correlationId": "x", "topics": [], "result": "404", "status": "error"})),
        );
        rig.until(|status| status.connects_total == 2 && status.subscribed)
            .await;
        assert_eq!(rig.connections(), ["c1", "c2"]);
        let records = rig.pull();
        assert_eq!(bodies(&records), [1]);
        assert_eq!(gaps(&records), pair("reconnect"));
        assert_eq!(records[1].2["detail"]["closeReason"], "channel gone");
        assert_eq!(records[1].2["detail"]["kind"], "refused");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_decides_costs_no_question() {
    with(Options::default(), |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        rig.refuse_connection(
            "c1",
            Failure {
                kind: FailureKind::ChannelGone,
                ..Failure::refused(404, "HTTP 404".to_owned(), None)
            },
        );
        rig.say("c1", Say::Vanish);
        rig.until(|status| status.connects_total == 2 && status.subscribed)
            .await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!((rig.questions().len(), rig.connections().len()), (0, 2));
    })
    .await;
}
