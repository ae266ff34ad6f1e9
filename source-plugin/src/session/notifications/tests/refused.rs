//! Subscribe requests that are refused, under each reading of what the platform may mean, and topics that are.

use serde_json::json;
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
async fn refused_topics_are_asked_for_again_after_a_while_and_a_granted_one_ends_its_gap() {
    with(Options::default(), |mut rig| async move {
        rig.reject("t2", "missing permission routing:queue:view");
        rig.start();
        rig.until(|status| status.subscribed).await;
        assert_eq!(gaps(&rig.pull()), pair("topic_rejected")[..1]);
        sleep(1000 * SECOND).await;
        let asked = rig.subscriptions().len();
        assert!((4..=5).contains(&asked), "{asked} times in a quarter of an hour");
        assert_eq!(gaps(&rig.pull()), [], "the same refusal is said once");
        rig.permit_all();
        // one that fails is sent again as every other
        rig.refuse_topics("c1", failing());
        sleep(310 * SECOND).await;
        assert_eq!(gaps(&rig.pull()), pair("topic_rejected")[1..]);
        let asked = rig.subscriptions();
        assert!(
            asked
                .iter()
                .all(|request| *request == ("c1".to_owned(), vec!["t1".to_owned(), "t2".to_owned()]))
        );
        sleep(1000 * SECOND).await;
        assert_eq!(
            rig.subscriptions().len(),
            asked.len(),
            "nothing is refused any more"
        );
        assert_eq!(rig.connections(), ["c1"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn topics_without_room_are_a_gap_of_theirs_as_long_as_they_have_none() {
    with(Options::default(), |mut rig| async move {
        rig.leave_out(&["t8", "t9"]);
        rig.start();
        rig.until(|status| status.subscribed).await;
        let records = rig.pull();
        assert_eq!(gaps(&records), pair("over_quota")[..1]);
        assert_eq!(records[0].2["topics"], json!(["t8", "t9"]));
        // looked at again, and the same
        sleep(400 * SECOND).await;
        assert_eq!(gaps(&rig.pull()), []);
        rig.say("c1", Say::Vanish);
        rig.until(|status| status.reconnects_total == 1 && status.subscribed)
            .await;
        assert_eq!(gaps(&rig.pull()), pair("reconnect"), "its end is none of theirs");
        rig.leave_out(&["t9"]);
        sleep(300 * SECOND).await;
        let records = rig.pull();
        assert_eq!(
            gaps(&records),
            [pair("over_quota")[1].clone(), pair("over_quota")[0].clone()]
        );
        assert_eq!(records[1].2["topics"], json!(["t9"]));
        rig.leave_out(&[]);
        sleep(300 * SECOND).await;
        assert_eq!(gaps(&rig.pull()), pair("over_quota")[1..]);
        assert_eq!(rig.snapshot().gaps_open, 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_of_which_every_topic_is_refused_costs_the_others_nothing_and_is_a_gap_of_its_topics() {
    let options = || Options {
        shares: vec![vec!["t1"], vec!["t2", "t3"]],
        ..Options::default()
    };
    with(options(), |mut rig| async move {
        for topic in ["t2", "t3"] {
            rig.reject(topic, "missing permission routing:queue:view");
        }
        rig.start();
        rig.until(|status| status.subscribed).await;
        let records = rig.pull();
        assert_eq!(gaps(&records), pair("topic_rejected")[..1]);
        assert_eq!(records[0].2["topics"], json!(["t2", "t3"]));
        rig.broadcast("t1", 1);
        sleep(100 * SECOND).await;
        assert_eq!(bodies(&rig.pull()), [1]);
        assert_eq!(rig.connections().len(), 2);
        rig.permit_all();
        sleep(310 * SECOND).await;
        rig.broadcast("t2", 2);
        sleep(SECOND).await;
        let records = rig.pull();
        assert_eq!(
            (bodies(&records), gaps(&records)),
            (vec![2], pair("topic_rejected")[1..].to_vec())
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_source_of_several_channels_ends_where_no_topic_of_any_is_permitted() {
    let options = Options {
        shares: vec![vec!["t1"], vec!["t2", "t3"]],
        ..Options::default()
    };
    with(options, |mut rig| async move {
        for topic in ["t1", "t2", "t3"] {
            rig.reject(topic, "missing permission routing:queue:view");
        }
        rig.start();
        let ending = tokio::time::timeout(900 * SECOND, rig.ending()).await;
        let (status, told) = ending.expect("the source ends");
        assert_eq!(status, plugin_abi::status::AUTH);
        assert!(told.contains("none of the topics is permitted"), "{told}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_every_conversation_is_refused_is_one_gap_of_its_kind_while_conversations_come_and_go() {
    let (acw, wrapup) = (
        "v2.detail.events.conversation.{id}.acw",
        "v2.detail.events.conversation.{id}.wrapup",
    );
    with(Options::default(), |mut rig| async move {
        let of = [
            "v2.detail.events.conversation.1?acw&wrapup",
            "v2.detail.events.conversation.2?acw&wrapup",
        ];
        for topic in of {
            rig.reject(topic, "missing permission analytics:conversationDetail:view");
        }
        rig.start();
        rig.until(|status| status.subscribed).await;
        for topics in [vec!["t1", of[0]], vec!["t1", of[0], of[1]], vec!["t1", of[1]]] {
            rig.wish(&[topics]);
            sleep(310 * SECOND).await;
        }
        let records = rig.pull();
        assert_eq!(gaps(&records), pair("topic_rejected")[..1]);
        assert_eq!(records[0].2["topics"], json!([acw, wrapup]));
        rig.wish(&[vec!["t1"]]);
        sleep(310 * SECOND).await;
        assert_eq!(gaps(&rig.pull()), pair("topic_rejected")[1..]);
    })
    .await;
}
