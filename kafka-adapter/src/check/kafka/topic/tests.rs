//! Each rule of the table, by the whole row.

mod rights;

use super::*;
use crate::config::{Envelope, Topics};
use crate::sink::TopicSettings;

fn settings() -> KafkaSettings {
    KafkaSettings {
        bootstrap_servers: "b:9092".to_owned(),
        topics: Topics {
            events: "e".to_owned(),
            audit: "a".to_owned(),
            dead_letter: "d".to_owned(),
            control: "c".to_owned(),
            positions: "genesys.positions".to_owned(),
        },
        envelope: Envelope::Binary,
        default_source: "main".to_owned(),
        message_max_bytes: 1_000_000,
        start_timeout_ms: 10_000,
        create_topics: false,
        partitions: 4,
        replication_factor: 3,
        librdkafka: std::collections::BTreeMap::new(),
        max_in_flight_records: 10_000,
        transactions: None,
    }
}

/// Three replicas in sync, two of which are enough.
fn sound() -> TopicState {
    TopicState {
        partitions: 4,
        leaderless: 0,
        replicas: 3,
        in_sync: 3,
        settings: Ok(TopicSettings {
            cleanup_policy: Some("delete".to_owned()),
            retention_ms: Some(-1),
            min_insync_replicas: Some(2),
            max_message_bytes: Some(1_048_588),
            own_max_message_bytes: false,
        }),
    }
}

/// The rights that a run needs, and one more.
fn enough() -> Rights {
    Rights::Told(vec![Operation::Read, Operation::Write])
}

fn judged(
    change: impl FnOnce(&mut TopicState, &mut TopicSettings),
) -> (Option<Exit>, &'static str, String, String) {
    let mut state = sound();
    let mut told = state.settings.clone().unwrap();
    change(&mut state, &mut told);
    if state.settings.is_ok() {
        state.settings = Ok(told);
    }
    let item = item(&settings(), Topic::Of(Route::Audit), 3, Some(&state), &enough());
    assert_eq!(item.id, "kafka.topic.audit");
    let facts = facts(Topic::Of(Route::Audit), "a", &state, &enough());
    let complaint = item.detail.strip_prefix(&facts).unwrap().trim_start_matches("; ");
    let mend = item.mend.clone().unwrap_or_default();
    let mend = mend.replace(
        "kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name a --add-config ",
        "SET ",
    );
    (item.failure(), item.outcome.word(), complaint.to_owned(), mend)
}

fn row(
    exit: Option<Exit>,
    word: &'static str,
    complaint: &str,
    mend: &str,
) -> (Option<Exit>, &'static str, String, String) {
    (exit, word, complaint.to_owned(), mend.to_owned())
}

#[test]
fn a_sound_topic_shows_what_was_looked_at() {
    assert_eq!(
        facts(
            Topic::Of(Route::Event),
            "a",
            &sound(),
            &Rights::Untold(String::new())
        ),
        "a: 4 partitions, 3 replicas, cleanup.policy = delete, retention.ms = -1, min.insync.replicas = 2, \
         max.message.bytes = 1048588"
    );
    assert_eq!(judged(|_, _| {}), row(None, "ok", "", ""));
}

#[test]
fn compaction_is_a_failure_in_every_form() {
    for policy in ["compact", "delete,compact", "compact, delete"] {
        assert_eq!(
            judged(|_, told| told.cleanup_policy = Some(policy.to_owned())),
            row(
                Some(Exit::Config),
                "failed",
                "compaction throws away all records of a key but the last",
                "SET cleanup.policy=delete"
            )
        );
    }
}

#[test]
fn replicas_are_held_against_those_that_must_be_in_sync() {
    let with = |replicas: usize, in_sync: usize, least: usize| {
        judged(|state, told| {
            (state.replicas, state.in_sync) = (replicas, in_sync);
            told.min_insync_replicas = Some(least);
        })
    };
    let fine = row(None, "ok", "", "");
    assert_eq!(with(1, 1, 1), fine);
    assert_eq!(with(2, 2, 1), fine);
    assert_eq!(with(3, 2, 2), fine);
    assert_eq!(
        with(1, 1, 2),
        row(
            Some(Exit::Config),
            "failed",
            "min.insync.replicas is above the replicas, so every record is refused",
            "SET min.insync.replicas=1"
        )
    );
    assert_eq!(
        with(3, 3, 3),
        row(
            None,
            "warning",
            "every record is refused while one of its brokers is away",
            "SET min.insync.replicas=2"
        )
    );
    assert_eq!(
        with(3, 3, 1),
        row(
            None,
            "warning",
            "a record that one broker alone has acknowledged is lost with it",
            "SET min.insync.replicas=2"
        )
    );
    assert_eq!(
        with(3, 1, 2),
        row(
            Some(Exit::Unavailable),
            "failed",
            "of a partition only 1 of 3 replicas are in sync, so its records are refused",
            "start the brokers that hold its replicas"
        )
    );
}

#[test]
fn a_partition_without_leader_is_a_failure_that_brokers_mend() {
    assert_eq!(
        judged(|state, _| (state.leaderless, state.in_sync) = (2, 0)),
        row(
            Some(Exit::Unavailable),
            "failed",
            "2 of its partitions have no leader and take no record",
            "start the brokers that hold its partitions"
        )
    );
}

#[test]
fn a_limit_below_ours_is_a_failure_and_says_whose_it_is() {
    for (own, whose) in [(true, "the topic"), (false, "the broker")] {
        let complaint =
            format!("{whose} refuses batches over 999999 bytes, and kafka.message_max_bytes = 1000000");
        assert_eq!(
            judged(|_, told| (told.max_message_bytes, told.own_max_message_bytes) = (Some(999_999), own)),
            row(
                Some(Exit::Config),
                "failed",
                &complaint,
                "SET max.message.bytes=1000000, or for the size set kafka.message_max_bytes = 999999"
            )
        );
    }
    assert_eq!(judged(|_, told| told.max_message_bytes = Some(1_000_000)).1, "ok");
}

#[test]
fn one_command_mends_everything_that_settings_can() {
    let (exit, _, complaint, mend) = judged(|_, told| {
        told.cleanup_policy = Some("compact".to_owned());
        told.min_insync_replicas = Some(1);
    });
    assert_eq!(exit, Some(Exit::Config));
    assert_eq!(complaint.matches("; ").count(), 1);
    assert_eq!(mend, "SET cleanup.policy=delete,min.insync.replicas=2");
}

#[test]
fn settings_that_are_not_told_are_a_warning() {
    assert_eq!(
        judged(|state, _| state.settings = Err("Broker: Topic authorization failed".to_owned())),
        row(
            None,
            "warning",
            "its settings are not told (Broker: Topic authorization failed)",
            "give this user the right DescribeConfigs on topic a, or look at them yourself"
        )
    );
}

#[test]
fn an_absent_topic_depends_on_who_is_to_create_it() {
    let absent = |create_topics, brokers| {
        let settings = KafkaSettings {
            create_topics,
            ..settings()
        };
        let untold = Rights::Untold("Broker: Unknown topic or partition".to_owned());
        let item = item(&settings, Topic::Of(Route::Event), brokers, None, &untold);
        (item.failure(), item.detail, item.mend.unwrap())
    };
    let command = TopicPlan::of(&settings(), Route::Event).command("b:9092");
    assert_eq!(
        absent(false, 3),
        (
            Some(Exit::Config),
            "e is missing or invisible".to_owned(),
            format!("start with --create-topics, or run: {command}")
        )
    );
    assert_eq!(
        absent(true, 3),
        (
            None,
            "e is missing or invisible, a run will create it".to_owned(),
            format!("nothing to do, or choose its settings yourself: {command}")
        )
    );
    assert_eq!(
        absent(true, 1),
        (
            Some(Exit::Config),
            "e is missing, and 3 replicas cannot be created: the number of brokers is 1".to_owned(),
            "lower kafka.replication_factor, or add brokers".to_owned()
        )
    );
}

#[test]
fn the_positions_topic_is_compacted_and_never_deleted_from() {
    let of = |policy: &str| {
        let mut state = sound();
        if let Ok(told) = &mut state.settings {
            told.cleanup_policy = Some(policy.to_owned());
        }
        let item = item(&settings(), Topic::Positions, 3, Some(&state), &enough());
        (item.id.to_string(), item.failure(), item.mend)
    };
    assert_eq!(of("compact"), ("kafka.topic.positions".to_owned(), None, None));
    for policy in ["delete", "compact,delete"] {
        assert_eq!(
            of(policy),
            (
                "kafka.topic.positions".to_owned(),
                Some(Exit::Config),
                Some(
                    "kafka-configs.sh --bootstrap-server b:9092 --alter --entity-type topics --entity-name \
                     genesys.positions --add-config cleanup.policy=compact"
                        .to_owned()
                )
            ),
            "{policy}"
        );
    }
}
