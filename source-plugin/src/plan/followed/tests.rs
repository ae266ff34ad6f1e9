use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Follow, Followed, IDLE_MS};
use crate::plan::tests::wishes;
use crate::plan::{Plan, Standing};
use serde_json::json;

/// Time after the end, unless something else is configured.
const LINGER_MS: i64 = 300_000;

/// Follows detail events, two topics each, with room for so many conversations.
fn followed(most: usize) -> Followed {
    let plan = Plan {
        capacity: 2 * most,
        ..Plan::default()
    };
    Followed::new(&wishes(&json!({"detail_events": true})), &plan)
}

#[test]
fn a_conversation_has_a_topic_for_each_kind_combined_into_two() {
    let id = "c0ffee00-0000-4000-8000-000000000010";
    let topics = followed(1).topics_of(id);
    let prefix = format!("v2.detail.events.conversation.{id}");
    assert_eq!(
        topics,
        [
            format!(
                "{prefix}?acd.end&acd.start&acw&attributes&contact&customer.end&customer.start&flow.end&flow.outcome&flow.start&\
                 outbound&user.end&user.start"
            ),
            format!("{prefix}?voicemail.end&voicemail.start&wrapup"),
        ]
    );
    let wishes = wishes(&json!({"events": ["conversations", "transcription", "speech"]}));
    let spoken = Followed::new(&wishes, &Plan::default()).topics_of("c");
    assert_eq!(
        spoken,
        [
            "v2.conversations.c.transcription",
            "v2.speechandtextanalytics.conversation.c?empathy&sentiment&topics",
            "v2.speechandtextanalytics.conversations.c.categories",
        ]
    );
}

#[test]
fn a_conversation_is_followed_until_some_time_after_its_end() {
    let mut followed = followed(10);
    assert_eq!(followed.seen("c1", Standing::Open, 0), Follow::Added);
    assert_eq!(followed.seen("c1", Standing::Ended, 1_000), Follow::Unchanged);
    // what comes behind the end neither prolongs nor shortens it
    followed.seen("c1", Standing::Ended, 2_000);
    followed.seen("c1", Standing::Unsaid, 3_000);
    assert_eq!(followed.expire(1_000 + LINGER_MS - 1), 0);
    assert_eq!(followed.expire(1_000 + LINGER_MS), 1);
    assert_eq!((followed.len(), followed.topics()), (0, BTreeSet::new()));
}

#[test]
fn a_conversation_that_goes_on_after_all_is_followed_on() {
    let mut followed = followed(10);
    followed.seen("c1", Standing::Open, 0);
    followed.seen("c1", Standing::Ended, 1_000);
    followed.seen("c1", Standing::Open, 2_000);
    assert_eq!(followed.expire(1_000 + LINGER_MS), 0);
    assert_eq!(followed.len(), 1);
}

#[test]
fn one_of_which_nothing_is_seen_for_a_day_is_let_go() {
    let mut followed = followed(10);
    followed.seen("c1", Standing::Open, 0);
    followed.seen("c2", Standing::Open, 0);
    followed.seen("c2", Standing::Unsaid, IDLE_MS - 1);
    assert_eq!(followed.expire(IDLE_MS), 1);
    assert_eq!(followed.seen("c2", Standing::Open, IDLE_MS), Follow::Unchanged);
}

#[test]
fn without_room_the_oldest_end_gives_way_and_without_an_end_the_new_one_is_left_out() {
    let mut followed = followed(2);
    followed.seen("c1", Standing::Open, 0);
    followed.seen("c2", Standing::Open, 0);
    assert_eq!(followed.seen("c3", Standing::Open, 1), Follow::LeftOut);
    followed.seen("c2", Standing::Ended, 2);
    followed.seen("c1", Standing::Ended, 3);
    assert_eq!(followed.seen("c3", Standing::Open, 4), Follow::Added);
    let left: BTreeSet<String> = ["c1", "c3"]
        .iter()
        .flat_map(|id| followed.topics_of(id))
        .collect();
    assert_eq!(followed.topics(), left);
    assert_eq!((followed.len(), followed.left_out()), (2, 1));
}

#[test]
fn what_begins_with_its_end_is_not_followed() {
    let mut followed = followed(2);
    for standing in [Standing::Ended, Standing::Unsaid] {
        assert_eq!(followed.seen("c1", standing, 0), Follow::Unchanged);
    }
    assert!(followed.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn never_more_than_the_bound_and_nobody_is_kept_for_ever(
        most in 0_usize..6,
        steps in prop::collection::vec((0_usize..12, 0_usize..3, 0_i64..400_000), 0..200),
    ) {
        let mut followed = followed(most);
        let mut now_ms = 0;
        for (id, standing, later_ms) in steps {
            now_ms += later_ms;
            let standing = [Standing::Open, Standing::Ended, Standing::Unsaid][standing];
            followed.seen(&format!("c{id}"), standing, now_ms);
            prop_assert!(followed.len() <= most);
            prop_assert_eq!(followed.len(), followed.open.len() + followed.ended.len());
            followed.expire(now_ms);
        }
        followed.expire(now_ms + IDLE_MS);
        prop_assert!(followed.is_empty() && followed.open.is_empty() && followed.ended.is_empty());
    }
}
