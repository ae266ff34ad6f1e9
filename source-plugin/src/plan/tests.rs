use std::time::Duration;

use serde_json::{Value, json};

use super::{Call, Directory, List, MAX_TOPICS, Members, Plan, calls, members, pinned, plan, reads, replan};
use crate::config::{Config, Wishes};

/// What a `subscription` of the notifications transport wishes for.
pub(super) fn wishes(subscription: &Value) -> Wishes {
    let config = json!({"transport": "notifications", "subscription": subscription});
    Config::wishes(&config.to_string()).unwrap()
}

fn directory() -> Directory {
    let directory = json!({
        "queues": [
            {"id": "q1", "name": "Support", "division_id": "d1"},
            {"id": "q2", "name": "Billing", "division_id": "d2"},
            {"id": "q3", "name": "Sales", "division_id": "d2"},
        ],
        "users": [{"id": "u1", "name": "Ada"}, {"id": "u2", "name": "Bram"}, {"id": "u3", "name": "Chidi"}],
        "groups": [{"id": "g1", "name": "Team"}],
        "divisions": [{"id": "d1", "name": "Home"}, {"id": "d2", "name": "Branch"}, {"id": "d3", "name": "Empty"}],
        "queue_members": {"q1": ["u1", "u2"], "q2": [], "q3": ["u3"]},
        "group_members": {"g1": ["u2", "u3"]},
    });
    Directory::parse(&directory.to_string()).unwrap()
}

fn topics(subscription: &Value) -> Vec<String> {
    plan(&wishes(subscription), &directory()).unwrap().topics
}

fn said(subscription: &Value) -> Vec<String> {
    let faults = plan(&wishes(subscription), &directory()).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn without_a_word_each_queue_has_its_topic() {
    let plan = plan(&wishes(&json!({})), &directory()).unwrap();
    assert_eq!(
        plan,
        Plan {
            topics: ["q1", "q2", "q3"]
                .map(|id| format!("v2.routing.queues.{id}.conversations"))
                .to_vec(),
            capacity: 19 * MAX_TOPICS,
            queues: 3,
            users: 0,
            every_queue: true,
        }
    );
    assert_eq!(
        (plan.channels(), plan.room(), plan.left_out().len()),
        (1, 18_997, 0)
    );
}

#[test]
fn names_ids_media_and_kinds_become_topics() {
    #[rustfmt::skip]
    let table: [(Value, &[&str]); 8] = [
        (json!({"queues": ["Support", "q2", "q1"]}), &["v2.routing.queues.q1.conversations", "v2.routing.queues.q2.conversations"]),
        (json!({"queues": ["Support"], "media": ["messages", "calls"]}), &["v2.routing.queues.q1?conversations.calls&conversations.messages"]),
        (json!({"divisions": ["Branch"]}), &["v2.routing.queues.q2.conversations", "v2.routing.queues.q3.conversations"]),
        (json!({"users": ["Ada"]}), &["v2.users.u1.conversations"]),
        (json!({"groups": ["Team"], "users": ["u2"]}), &["v2.users.u2.conversations", "v2.users.u3.conversations"]),
        // what exists by user alone comes from a queue's members, conversations from the queue
        (json!({"queues": ["Support"], "events": ["conversations", "presence", "agent_state"]}), &[
            "v2.routing.queues.q1.conversations",
            "v2.detail.events.agent.u1.state", "v2.detail.events.agent.u2.state", "v2.users.u1.presence", "v2.users.u2.presence",
        ]),
        (json!({"queues": ["Support"], "users": ["Ada"], "events": ["conversations", "presence", "statistics", "members", "queue_activity"]}), &[
            "v2.routing.queues.q1?conversations&users", "v2.users.u1?conversations&presence",
            "v2.analytics.queues.q1?activity&observations",
            "v2.users.u2.presence",
        ]),
        // a topic as it stands is joined with others of its id and none comes twice
        (json!({"queues": ["Support"], "topics": ["v2.operations.events.o", "v2.users.u1?presence&station", "v2.routing.queues.q1.conversations"]}), &[
            "v2.operations.events.o", "v2.routing.queues.q1.conversations", "v2.users.u1?presence&station",
        ]),
    ];
    for (subscription, expected) in table {
        assert_eq!(topics(&subscription), expected, "{subscription}");
    }
    assert_eq!(
        topics(&json!({"topics": ["v2.operations.events.o"]})),
        ["v2.operations.events.o"]
    );
}

#[test]
fn each_fault_names_its_place_and_its_mend() {
    #[rustfmt::skip]
    let table: [(Value, &[&str]); 4] = [
        (json!({"queues": ["Support", "Biling"], "users": ["Adda"], "groups": ["xyz"]}), &[
            "subscription.queues[1]: no queue that the OAuth client may read is called \"Biling\"; did you mean `Billing`? write its name as Genesys Cloud shows it, or its id",
            "subscription.groups[0]: no group that the OAuth client may read is called \"xyz\"; write its name as Genesys Cloud shows it, or its id",
            "subscription.users[0]: no user that the OAuth client may read is called \"Adda\"; did you mean `Ada`? write its name as Genesys Cloud shows it, or its id",
        ]),
        (json!({"divisions": ["Home", "Hom"]}), &[
            "subscription.divisions[1]: no division that the OAuth client may read is called \"Hom\"; did you mean `Home`? write its name as Genesys Cloud shows it, or its id",
        ]),
        (json!({"divisions": ["Empty"]}), &[
            "subscription.divisions[0]: no queue that the OAuth client may read is in division \"Empty\"; leave it out, or give the client's role that division",
        ]),
        (json!({"queues": ["q2"], "events": ["presence"]}), &[
            "subscription: what is named has no topic: it stands for no queue and no user; name something else, or grant the client's role the permission to view what is meant",
        ]),
    ];
    for (subscription, expected) in table {
        assert_eq!(said(&subscription), expected, "{subscription}");
    }
    let faults = plan(&wishes(&json!({})), &Directory::default()).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "subscription: no queue is there that the OAuth client may read; name something else, or grant the client's role the \
         permission to view what is meant"
    );
    let mut unread = directory();
    unread.queue_members.remove("q3");
    let faults = plan(&wishes(&json!({"events": ["presence"]})), &unread).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "subscription: the members of queue \"Sales\" (q3) were not read; read the directory again, with the permission to view \
         them"
    );
}

#[test]
fn a_join_adds_and_a_leave_drops_and_the_rest_stays() {
    let wishes = wishes(&json!({"queues": ["Support"], "events": ["conversations", "presence"]}));
    let mut directory = directory();
    let mut spread = super::Spread::new(wishes.max_channels);
    spread.assign(&plan(&wishes, &directory).unwrap().topics);
    let members = directory.queue_members.get_mut("q1").unwrap();
    members.remove("u1");
    members.insert("u3".to_owned());
    let changes = spread.assign(&plan(&wishes, &directory).unwrap().topics);
    let told: Vec<(usize, Vec<String>, Vec<String>)> = changes
        .channels
        .into_iter()
        .map(|change| (change.channel, change.added, change.removed))
        .collect();
    let (joined, left) = (
        "v2.users.u3.presence".to_owned(),
        "v2.users.u1.presence".to_owned(),
    );
    assert_eq!(told, [(0, vec![joined], vec![left])]);
}

#[test]
fn a_queue_that_is_gone_does_not_cost_the_others_their_plan() {
    let mut directory = directory();
    directory.queues.remove(0);
    let (plan, faults) = replan(&wishes(&json!({"queues": ["Support", "Sales"]})), &directory);
    assert_eq!(plan.topics, ["v2.routing.queues.q3.conversations"]);
    assert_eq!(faults.len(), 1);
}

#[test]
fn what_has_another_name_or_a_namesake_by_now_keeps_its_topics_and_what_is_made_anew_takes_them_over() {
    let written = wishes(&json!({"queues": ["Support"], "users": ["Ada"]}));
    let mut directory = directory();
    let first = plan(&written, &directory).unwrap();
    let mut before = pinned(&written, &written, &directory);
    directory.queues[0].name = "Help".to_owned();
    directory.users[1].name = "Ada".to_owned();
    for _ in 0..2 {
        before = pinned(&written, &before, &directory);
        assert_eq!(replan(&before, &directory), (first.clone(), vec![]));
    }
    directory.queues[2].name = "Support".to_owned();
    let anew = replan(&pinned(&written, &before, &directory), &directory).0;
    assert!(
        anew.topics
            .contains(&"v2.routing.queues.q3.conversations".to_owned())
    );
    directory.queues.clear();
    let (_, faults) = replan(&pinned(&written, &before, &directory), &directory);
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn what_is_over_the_quota_is_left_out_the_least_important_first() {
    let mut directory = directory();
    directory
        .queue_members
        .insert("q1".to_owned(), (0..1_000).map(|n| format!("m{n:04}")).collect());
    let wishes = wishes(&json!({"queues": ["q1"], "max_channels": 1,
        "events": ["conversations", "statistics", "presence"], "topics": ["v2.operations.events.o"]}));
    let plan = plan(&wishes, &directory).unwrap();
    assert_eq!(
        plan.topics[..4],
        [
            "v2.operations.events.o",
            "v2.routing.queues.q1.conversations",
            "v2.analytics.queues.q1.observations",
            "v2.users.m0000.presence",
        ]
    );
    assert_eq!(
        plan.left_out(),
        [
            "v2.users.m0997.presence",
            "v2.users.m0998.presence",
            "v2.users.m0999.presence"
        ]
    );
    assert_eq!(
        (plan.planned().len(), plan.channels(), plan.room()),
        (1_000, 1, 0)
    );
}

#[test]
fn an_id_that_makes_a_topic_too_long_is_a_fault() {
    let mut directory = directory();
    directory.queues[0].id = "x".repeat(169);
    let faults = plan(&wishes(&json!({"queues": ["Support"]})), &directory).unwrap_err();
    let long = format!("v2.routing.queues.{}.conversations", "x".repeat(169));
    assert_eq!(
        faults[0].to_string(),
        format!(
            "subscription: topic {long:?} has more than 199 characters, which no channel takes; leave out what it belongs to"
        )
    );
}

#[test]
fn only_what_is_needed_is_read() {
    use List::{Divisions, Groups, Queues, Users};
    #[rustfmt::skip]
    let table: [(Value, &[List], bool, bool); 6] = [
        (json!({}), &[Queues], false, false),
        (json!({"topics": ["v2.operations.events.o"]}), &[], false, false),
        (json!({"users": ["Ada"], "events": ["presence"]}), &[Users], false, false),
        (json!({"divisions": ["Home"]}), &[Divisions, Queues], false, false),
        (json!({"groups": ["Team"], "events": ["presence"]}), &[Groups], false, true),
        (json!({"queues": ["Support"], "groups": ["Team"], "events": ["activity"]}), &[Queues, Groups], true, true),
    ];
    for (subscription, lists, queue_members, group_members) in table {
        let reads = reads(&wishes(&subscription));
        let lists = lists.iter().copied().collect();
        assert_eq!(
            (reads.lists, reads.queue_members, reads.group_members),
            (lists, queue_members, group_members),
            "{subscription}"
        );
    }
    let both = wishes(&json!({"queues": ["Support"], "groups": ["Team"], "events": ["activity"]}));
    let expected = Members {
        queues: vec!["q1".to_owned()],
        groups: vec!["g1".to_owned()],
    };
    assert_eq!(members(&both, &directory()), Ok(expected));
}

#[test]
fn calls_are_counted_page_by_page() {
    let mut directory = directory();
    directory
        .queue_members
        .insert("q1".to_owned(), (0..101).map(|n| format!("m{n:04}")).collect());
    let wishes = wishes(&json!({"events": ["conversations", "presence"], "refresh_ms": 60_000}));
    let plan = plan(&wishes, &directory).unwrap();
    let calls = calls(&wishes, &directory, &plan);
    let call = |method, path, count| Call { method, path, count };
    let refresh = [
        call("GET", "/api/v2/routing/queues", 1),
        call("GET", "/api/v2/routing/queues/{id}/members", 4),
    ];
    let opening = [
        call("GET", "/api/v2/notifications/channels", 1),
        call("POST", "/api/v2/notifications/channels", 1),
        call("PUT", "/api/v2/notifications/channels/{id}/subscriptions", 1),
    ];
    assert_eq!(calls.start, [&refresh[..], &opening[..]].concat());
    assert_eq!(calls.refresh, refresh);
    assert!((calls.a_minute(Duration::from_secs(60)) - 5.0).abs() < 1e-9);
}
