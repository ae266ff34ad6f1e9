//! The plan against the platform: names, topics, permissions, the quota of channels and the clock of the API.

use serde_json::{Value, json};
use simulator::{NotificationOptions, Options};
use support::stranger::Stranger;
use support::{Rig, free_port};

use crate::seen::{Checked, check, check_json};

const CONVERSATIONS: &str = "conversation:communication:view";

/// A rig over notification channels, with a small contact centre that says nothing by itself.
fn rig(faults: &[&str], change: impl FnOnce(&mut NotificationOptions)) -> Rig {
    let mut options = Options {
        faults: faults.iter().map(|text| text.parse().unwrap()).collect(),
        ..Options::default()
    };
    (options.notifications.queues, options.notifications.users) = (2, 4);
    options.notifications.updates_per_s = 0;
    change(&mut options.notifications);
    Rig::new(options).over_notifications().set("delivery.to", "lines")
}

fn lacking(permission: &str) -> Rig {
    rig(&[], |options| {
        options.missing_permissions = vec![permission.to_owned()]
    })
}

/// Rows of the plugin behind the login, and what they come to; a check neither makes a channel nor logs in twice.
fn found(rig: &Rig) -> (Vec<String>, Option<i32>) {
    let checked = check(rig, &[], &[]);
    assert_eq!(rig.simulator().counters().logins, 1);
    (told(&checked), checked.code)
}

fn told(checked: &Checked) -> Vec<String> {
    let titles = ["plan", "topic", "history", "channels"];
    titles.iter().flat_map(|title| checked.rows(title)).collect()
}

#[test]
fn the_whole_table_shows_plan_topics_permissions_and_channels_and_makes_none() {
    let rig = rig(&[], |_| {})
        .set(
            "source.config.subscription.events",
            json!(["conversations", "presence", "statistics"]),
        )
        .set("source.config.subscription.detail_events", true);
    let checked = check(&rig, &[], &[]);
    let detail = |kind: &str| {
        format!(
            "✓ topic                 v2.detail.events.conversation.{{id}}.{kind}: for each conversation that is followed, and \
             the OAuth client has analytics:conversationDetail:view"
        )
    };
    let kinds = [
        "acd.end",
        "acd.start",
        "acw",
        "attributes",
        "contact",
        "customer.end",
        "customer.start",
        "flow.end",
        "flow.outcome",
        "flow.start",
        "outbound",
        "user.end",
        "user.start",
        "voicemail.end",
        "voicemail.start",
        "wrapup",
    ];
    let before = [
        "✓ configuration         FOLDER/genesys-kafka.toml",
        "✓ plugin                PLUGIN, version VERSION, ABI 1.0",
        "✓ source configuration  the plugin takes it",
        "✓ login                 credentials accepted, a token lives 86400 s",
        "✓ plan                  nothing is named, so every queue that the OAuth client may read: 2 queues, 4 users, 8 topics on \
         1 channel",
        "✓ topic                 v2.analytics.queues.{id}.observations: 2 topics, and the OAuth client has \
         analytics:queueObservation:view",
    ];
    let after = [
        "✓ topic                 v2.routing.queues.{id}.conversations: 2 topics, and the OAuth client has \
         conversation:communication:view",
        "✓ topic                 v2.users.{id}.presence: 4 topics, which needs no permission",
        "✓ channels              0 of 20 are in use by this OAuth client, and the plan opens 1",
        "✓ dead-letter file      genesys-dead-letters.jsonl can be written",
        "✓ clock                 NOW",
        "✓ clock against others  agrees with login service and API",
        "ready: 28 checks hold",
    ];
    let lines = before.map(str::to_owned).into_iter();
    let lines = lines.chain(kinds.map(detail)).chain(after.map(str::to_owned));
    assert_eq!(checked.lines, lines.collect::<Vec<_>>());
    assert_eq!(checked.code, Some(0));
    assert_eq!(rig.simulator().channels().len(), 0);
    let counters = rig.simulator().counters();
    assert_eq!((counters.logins, counters.connects), (1, 0));
}

#[test]
fn a_permission_that_is_missing_is_named_with_the_topics_that_need_it_and_ends_with_77() {
    let rig = lacking(CONVERSATIONS).set(
        "source.config.subscription.events",
        json!(["conversations", "presence"]),
    );
    let (rows, code) = found(&rig);
    assert_eq!(
        rows[1..4],
        [
            "✗ v2.routing.queues.{id}.conversations: 2 topics, and the OAuth client lacks conversation:communication:view",
            "mend: add conversation:communication:view to a role of the OAuth client, in the divisions concerned",
            "✓ v2.users.{id}.presence: 4 topics, which needs no permission",
        ]
    );
    assert_eq!(code, Some(77));
    let (code, document) = check_json(&rig, &[]);
    let row = |id: &str, outcome: &str, detail: &str, mend: Value| json!({"id": id, "outcome": outcome, "detail": detail, "mend": mend});
    assert_eq!((code, &document["ready"]), (Some(77), &json!(false)));
    assert_eq!(
        document["checks"].as_array().unwrap()[4..8],
        [
            row(
                "plugin.plan",
                "ok",
                "nothing is named, so every queue that the OAuth client may read: 2 queues, 4 users, 6 topics on 1 channel",
                Value::Null
            ),
            row(
                "plugin.topic",
                "failed",
                rows[1].trim_start_matches("✗ "),
                json!(rows[2].trim_start_matches("mend: "))
            ),
            row(
                "plugin.topic",
                "ok",
                rows[3].trim_start_matches("✓ "),
                Value::Null
            ),
            row(
                "plugin.channels",
                "ok",
                "0 of 20 are in use by this OAuth client, and the plan opens 1",
                Value::Null
            ),
        ]
    );
}

#[test]
fn a_list_that_the_client_may_not_read_leaves_no_plan_and_ends_with_77() {
    let rig = lacking("routing:queue:view");
    let (rows, code) = found(&rig);
    assert_eq!(
        rows,
        [
            "✗ GET /api/v2/routing/queues at LOGIN: missing permission routing:queue:view",
            "mend: add it to a role of the OAuth client, in the divisions concerned",
            "– there is no plan",
            "✓ 0 of 20 are in use by this OAuth client",
        ]
    );
    assert_eq!(code, Some(77));
}

#[test]
fn each_name_that_nobody_has_is_a_row_with_its_key_and_ends_with_78() {
    let rig = rig(&[], |_| {});
    let queue = rig.simulator().queues()[0].name.clone();
    let near = format!("{queue}x");
    let rig = rig.set(
        "source.config.subscription.queues",
        json!([queue, near, "Nobody at all"]),
    );
    let (rows, code) = found(&rig);
    let at = |place: u8, name: &str| {
        format!(
            "✗ source.config.subscription.queues[{place}]: no queue that the OAuth client may read is called \"{name}\""
        )
    };
    assert_eq!(
        (rows[0].as_str(), rows[2].as_str()),
        (&*at(1, &near), &*at(2, "Nobody at all"))
    );
    assert!(
        rows[1].starts_with(&format!("mend: did you mean `{queue}`? ")),
        "{rows:?}"
    );
    assert_eq!(
        rows[4..],
        ["– there is no plan", "✓ 0 of 20 are in use by this OAuth client"]
    );
    assert_eq!(code, Some(78));
}

#[test]
fn a_topic_that_the_platform_does_not_offer_ends_with_78() {
    let rig = rig(&[], |_| {}).set(
        "source.config.subscription.topics",
        json!(["v2.users.5e2b0f5e-0000-4000-8000-000000000002.shoesize"]),
    );
    let (rows, code) = found(&rig);
    assert_eq!(
        rows[1..3],
        [
            "✗ the platform offers no topic v2.users.5e2b0f5e-0000-4000-8000-000000000002.shoesize",
            "mend: leave it out, or correct it: subscription.topics, subscription.events and subscription.media",
        ]
    );
    assert_eq!(code, Some(78));
}

#[test]
fn channels_that_a_start_would_end_are_a_warning() {
    let rig = rig(&[], |_| {});
    let stranger = Stranger::log_in(rig.simulator());
    for _ in 0..20 {
        stranger.create_channel();
    }
    let checked = check(&rig, &[], &[]);
    assert_eq!(
        checked.rows("channels"),
        [
            "! 20 of 20 are in use by this OAuth client, and the plan opens 1: more than there may be end the ones used longest \
             ago, those without a listener first",
            "mend: stop what else listens with this OAuth client, give this source a client of its own, or lower \
             subscription.max_channels; what an earlier run has left ends by itself within 24 hours, or first",
        ]
    );
    assert_eq!((checked.code, rig.simulator().channels().len()), (Some(0), 20));
}

#[test]
fn an_api_that_is_away_hangs_or_throttles_ends_with_69_and_each_question_with_a_row() {
    let port = free_port();
    let away = rig(&[], |_| {}).set("source.config.endpoints.api", format!("http://127.0.0.1:{port}"));
    let (rows, code) = found(&away);
    let refused = |call: &str| {
        [
            format!("✗ GET {call} at 127.0.0.1:{port}: no answer: Connection refused (os error 111)"),
            "mend: check the network, region and endpoints.api".to_owned(),
        ]
    };
    let [plan, mend] = refused("/api/v2/routing/queues");
    let [channels, _] = refused("/api/v2/notifications/channels");
    assert_eq!(
        rows,
        [
            plan,
            mend.clone(),
            "– there is no plan".to_owned(),
            channels,
            mend
        ]
    );
    assert_eq!(code, Some(69));

    let hangs = rig(&["api=1-99 hang"], |_| {}).set("source.config.timeouts.login_ms", 300);
    let (rows, code) = found(&hangs);
    assert_eq!(
        (rows[0].as_str(), rows.len(), code),
        (
            "✗ GET /api/v2/routing/queues at LOGIN: no answer: operation timed out",
            5,
            Some(69)
        )
    );

    let throttles = rig(&["api=1-99 refuse 429 3600"], |_| {});
    let (rows, code) = found(&throttles);
    assert!(
        rows[0].starts_with(
            "✗ GET /api/v2/routing/queues at LOGIN: the API limits the rate of calls, the next one in "
        ),
        "{rows:?}"
    );
    assert_eq!((rows.len(), code), (5, Some(69)));
}

#[test]
fn a_clock_that_is_ten_minutes_off_that_of_the_api_is_a_warning() {
    for (ahead_ms, said) in [(600_000, "behind"), (-600_000, "ahead of")] {
        let mut options = Options {
            clock_ahead_ms: ahead_ms,
            ..Options::default()
        };
        options.notifications.updates_per_s = 0;
        let rig = Rig::new(options).over_notifications().set("delivery.to", "lines");
        let checked = check(&rig, &[], &[]);
        let rows = checked.rows("clock against others");
        let seconds: u64 = [format!("! {said} login service by "), format!("! {said} API by ")]
            .iter()
            .find_map(|before| rows[0].strip_prefix(before))
            .and_then(|rest| rest.strip_suffix(" s or more"))
            .unwrap_or_else(|| panic!("{rows:?}"))
            .parse()
            .unwrap();
        assert!((540..=660).contains(&seconds), "{rows:?}");
        assert_eq!(
            rows[1],
            "mend: synchronize this machine's clock, with chrony or systemd-timesyncd"
        );
        assert_eq!(checked.code, Some(0));
    }
}

#[test]
fn offline_nothing_is_asked() {
    let rig = rig(&["login=1 refuse 401"], |_| {});
    let checked = check(&rig, &["--offline"], &[]);
    assert_eq!(told(&checked), Vec::<String>::new());
    assert_eq!(checked.rows("login"), ["– offline"]);
    assert_eq!((rig.simulator().counters().logins, checked.code), (0, Some(0)));
}

#[test]
fn a_history_that_is_to_fill_gaps_and_may_not_be_read_is_a_warning() {
    let needed =
        "gaps are filled from it, which needs analytics:conversationDetail:view, and the OAuth client";
    let (rows, code) = found(&rig(&[], |_| {}).set("source.config.backfill", "conversations"));
    let expected = format!("✓ {needed} has it");
    assert!(rows.contains(&expected), "{rows:#?}");
    assert_eq!(code, Some(0));
    let (rows, code) =
        found(&lacking("analytics:conversationDetail:view").set("source.config.backfill", "conversations"));
    let row = rows.iter().find(|row| row.contains("gaps are filled")).unwrap();
    assert!(row.starts_with(&format!("! {needed} lacks it")), "{row}");
    let mend = "add analytics:conversationDetail:view to a role of the OAuth client, or leave backfill out";
    assert!(rows.iter().any(|row| row.contains(mend)), "{rows:#?}");
    assert_eq!(code, Some(0));
}
