use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::{KINDS, Kind, Medium, Scope, Wishes};
use crate::config::Config;
use crate::topic::{Family, Topic};

fn parse(subscription: &Value) -> Result<Wishes, Vec<String>> {
    let config = json!({"transport": "notifications", "subscription": subscription});
    Config::wishes(&config.to_string()).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn without_a_word_every_queue_is_meant_with_its_conversations() {
    let wishes = parse(&json!({})).unwrap();
    assert!(wishes.every_queue() && wishes.wants_queues() && !wishes.follows());
    assert_eq!(
        wishes,
        Wishes {
            queues: vec![],
            users: vec![],
            groups: vec![],
            divisions: vec![],
            media: BTreeSet::new(),
            kinds: BTreeSet::from([Kind::Conversations]),
            topics: vec![],
            detail_events: false,
            follow_after_end: Duration::from_secs(300),
            refresh: Duration::from_secs(300),
            max_channels: 19,
        }
    );
}

#[test]
fn every_key_is_read() {
    let wishes = parse(&json!({
        "queues": ["Support"], "users": ["Ada"], "groups": ["Team"], "divisions": ["Home"],
        "media": ["calls", "cobrowseSessions"], "events": ["conversations", "presence", "speech"],
        "topics": ["v2.operations.events.o"], "detail_events": true, "follow_after_end_ms": 2000, "refresh_ms": 1000,
        "max_channels": 3,
    }))
    .unwrap();
    assert_eq!(
        wishes,
        Wishes {
            queues: vec!["Support".to_owned()],
            users: vec!["Ada".to_owned()],
            groups: vec!["Team".to_owned()],
            divisions: vec!["Home".to_owned()],
            media: BTreeSet::from([Medium::Calls, Medium::CobrowseSessions]),
            kinds: BTreeSet::from([Kind::Conversations, Kind::Presence, Kind::Speech]),
            topics: vec!["v2.operations.events.o".to_owned()],
            detail_events: true,
            follow_after_end: Duration::from_secs(2),
            refresh: Duration::from_secs(1),
            max_channels: 3,
        }
    );
}

/// The page that tells people what to write.
const PAGE: &str = include_str!("../../../../docs/topics.md");

#[test]
fn the_page_on_topics_shows_every_kind_with_its_topics() {
    for (name, kind) in KINDS {
        let (tells_of, topics) = match kind {
            Kind::Conversations => (
                "queues, users",
                "`v2.routing.queues.{id}.conversations`, `v2.users.{id}.conversations`".to_owned(),
            ),
            _ => {
                let topics = kind.topics().iter();
                let topics = topics.map(|(prefix, suffix)| format!("`{prefix}.{{id}}.{suffix}`"));
                let tells_of = match kind.scope() {
                    Scope::Queue => "queues",
                    Scope::User => "users",
                    Scope::Conversation => "conversations",
                };
                (tells_of, topics.collect::<Vec<_>>().join(", "))
            }
        };
        let row = format!("\n| `{name}` | {tells_of} | {topics} |\n");
        assert!(PAGE.contains(&row), "{row}");
    }
}

#[test]
fn the_page_on_topics_puts_each_topic_into_its_family() {
    let families = [
        ("snapshot", Family::Snapshot),
        ("detail", Family::Detail),
        ("agent state", Family::AgentState),
        ("audit", Family::Audit),
        ("conversation metrics", Family::ConversationMetrics),
        ("routing status", Family::RoutingStatus),
        ("activity", Family::Activity),
        ("other", Family::Other),
    ];
    for (name, family) in families {
        let rows: Vec<&str> = PAGE
            .lines()
            .filter(|line| line.starts_with(&format!("| {name} | ")))
            .collect();
        // one of keys and ids, one of times, directions and durations
        assert_eq!(rows.len(), 2, "{name}");
        let topics = rows[0].split(" | ").nth(1).unwrap().split('`').skip(1).step_by(2);
        for topic in topics {
            let mut event_type = String::new();
            Topic::parse(topic).write_event_type(&mut event_type);
            assert_eq!(
                (Topic::parse(topic).family, event_type.as_str()),
                (family, topic),
                "{name}"
            );
        }
    }
}

#[test]
fn each_wish_that_cannot_be_fulfilled_is_refused_with_its_mend() {
    let long = format!("v2.users.{}.presence", "x".repeat(182));
    #[rustfmt::skip]
    let table = [
        (json!({"filters": {}}), "subscription.filters: belongs to transport = \"events\", and the transport is \"notifications\"; leave it out, or set transport = \"events\""),
        (json!({"events": []}), "subscription.events: names nothing; leave it out for conversations, or name what is wanted"),
        (json!({"events": ["presense"]}), "subscription.events[0]: \"presense\" is nothing that the notifications transport has; did you mean `presence`? known are conversations, presence, routing_status, activity, station, out_of_office, conversation_summary, agent_state, agent_statistics, members, statistics, queue_activity, transcription, speech"),
        (json!({"events": ["conversations", "detail"]}), "subscription.events[1]: \"detail\" is nothing that the notifications transport has; set subscription.detail_events = true"),
        (json!({"media": ["calls"], "events": ["presence"]}), "subscription.media: narrows conversations, and subscription.events names none; add \"conversations\" to subscription.events, or leave media out"),
        (json!({"detail_events": true, "events": ["presence"]}), "subscription.detail_events: needs conversations to be seen first, and no topic shows any; add \"conversations\" to subscription.events"),
        (json!({"events": ["transcription"]}), "subscription.events: needs conversations to be seen first, and no topic shows any; add \"conversations\" to subscription.events"),
        (json!({"events": ["presence"], "topics": ["v2.operations.events.o"]}), "subscription.events: tells of queues and users, and beside subscription.topics none is named; name queues, users, groups or divisions, or leave events out"),
        (json!({"events": ["statistics"], "users": ["Ada"]}), "subscription.events: members, statistics and queue_activity tell of queues, and none is named; name queues or divisions, or leave these out"),
        (json!({"topics": [long]}), "subscription.topics[0]: has 200 characters, at most 199 are taken; split a combined topic in two"),
        (json!({"topics": ["v2.users.*.presence"]}), "subscription.topics[0]: \"v2.users.*.presence\" names no single entity; name each id; there are no wild cards over a channel"),
        (json!({"topics": ["channel.metadata"]}), "subscription.topics[0]: \"channel.metadata\" arrives without being asked for; leave it out"),
        (json!({"topics": ["v2.users.u?presence&"]}), "subscription.topics[0]: \"v2.users.u?presence&\" is not a topic; write it as v2.users.ID.presence, or combined as v2.users.ID?presence&routingStatus"),
        (json!({"max_channels": 20}), "subscription.max_channels: must be at most 19, found 20"),
    ];
    for (subscription, said) in table {
        assert_eq!(parse(&subscription), Err(vec![said.to_owned()]), "{subscription}");
    }
}

#[test]
fn what_another_transport_asks_for_has_no_plan_and_its_keys_are_refused() {
    let config =
        json!({"transport": "events", "subscription": {"queues": ["Support"], "detail_events": true}});
    let faults = Config::wishes(&config.to_string()).unwrap_err();
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let belongs = "belongs to transport = \"notifications\", and the transport is \"events\"; leave it out, or set transport = \
                   \"notifications\"";
    assert_eq!(
        said,
        [
            format!("subscription.queues: {belongs}"),
            format!("subscription.detail_events: {belongs}"),
            "transport: only the notifications transport has a plan; set transport = \"notifications\""
                .to_owned(),
        ]
    );
}
