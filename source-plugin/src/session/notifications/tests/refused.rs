//! Subscribe requests that are refused, under each reading of what the platform may mean, and channels without topics.

use tokio::time::sleep;

use super::rig::{Options, Say, with};
use super::{SECOND, bodies, gaps, pair};
use crate::rest::RestError;

fn call() -> String {
    "PUT /api/v2/notifications/channels/{id}/subscriptions at api.example.com".to_owned()
}

fn forbidden() -> RestError {
    RestError::Forbidden {
        call: call(),
        missing_permissions: Vec::new(),
        message: "not the channel's token".to_owned(),
    }
}

fn wrong() -> RestError {
    RestError::BadRequest {
        call: call(),
        status: 400,
        code: "bad.request".to_owned(),
        message: "no such topic".to_owned(),
    }
}

fn failing() -> RestError {
    RestError::Answer {
        call: call(),
        status: 503,
        code: None,
        retry_after: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_connected_again_and_refused_its_topics_gives_way_to_a_new_one() {
    for refused in [forbidden, wrong] {
        with(Options::default(), |mut rig| async move {
            rig.start();
            rig.until(|status| status.subscribed).await;
            rig.refuse_topics("c1", refused());
            rig.say("c1", Say::Vanish);
            rig.until(|status| status.connects_total == 3 && status.subscribed)
                .await;
            assert_eq!(rig.connections(), ["c1", "c1", "c2"]);
            assert_eq!(gaps(&rig.pull()), pair("reconnect"));
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn other_topics_that_are_refused_cost_a_live_channel_nothing_and_are_asked_for_again() {
    for refused in [forbidden, wrong, failing] {
        with(Options::default(), |mut rig| async move {
            rig.start();
            rig.until(|status| status.subscribed).await;
            rig.refuse_topics("c1", refused());
            rig.wish(&[vec!["t1", "t3"]]);
            rig.until(|_| rig.subscriptions().len() == 2).await;
            sleep(SECOND).await;
            rig.broadcast("t1", 1);
            rig.until(|_| rig.subscriptions().len() == 3).await;
            sleep(SECOND).await;
            rig.broadcast("t3", 3);
            sleep(SECOND).await;
            let records = rig.pull();
            assert_eq!((bodies(&records), gaps(&records)), (vec![1, 3], vec![]));
            assert_eq!(rig.connections(), ["c1"]);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_topics_are_called_wrong_on_a_new_channel_ends_and_says_so() {
    with(Options::default(), |mut rig| async move {
        rig.refuse_topics("c1", wrong());
        rig.start();
        let (status, told) = rig.ending().await;
        assert_eq!(status, plugin_abi::status::CONFIG);
        assert!(told.ends_with("check the configured ids and topics"), "{told}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_left_without_topics_leaves_no_gap_when_it_breaks() {
    let options = Options {
        shares: vec![vec!["t1"], vec!["t2"]],
        ..Options::default()
    };
    with(options, |mut rig| async move {
        rig.start();
        rig.until(|status| status.subscribed).await;
        let emptied = rig.channel_of("t2");
        rig.wish(&[vec!["t1"], vec![]]);
        rig.until(|_| rig.subscriptions().contains(&(emptied.clone(), vec![])))
            .await;
        sleep(SECOND).await;
        rig.say(&emptied, Say::Vanish);
        rig.until(|status| status.reconnects_total == 1 && status.subscribed)
            .await;
        assert_eq!(gaps(&rig.pull()), []);
    })
    .await;
}
