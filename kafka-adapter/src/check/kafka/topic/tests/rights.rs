//! What a user may do on a topic, by the whole row.

use super::*;

const GRANT: &str = "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:NAME";
const NAMED: &str = "with this user for NAME, and remove an ACL that denies it";

/// Exit, complaint behind the facts, and mend of a topic that is otherwise sound.
fn with_rights(topic: Topic, rights: &Rights) -> (Option<Exit>, String, String) {
    let mut state = sound();
    if let (Topic::Positions, Ok(told)) = (topic, &mut state.settings) {
        told.cleanup_policy = Some("compact".to_owned());
    }
    let item = item(&settings(), topic, 3, Some(&state), rights);
    let name = topic.plan(&settings()).name;
    let facts = facts(topic, &name, &state, rights);
    let complaint = item.detail.strip_prefix(&facts).unwrap().trim_start_matches("; ");
    (
        item.failure(),
        complaint.to_owned(),
        item.mend.unwrap_or_default(),
    )
}

#[test]
fn a_right_that_is_lacking_is_a_failure_with_the_command_that_grants_it() {
    let (events, positions) = (Topic::Of(Route::Event), Topic::Positions);
    let (read, write) = (Operation::Read, Operation::Write);
    let told = |rights: &[Operation]| Rights::Told(rights.to_vec());
    let sound = (None, String::new(), String::new());
    assert_eq!(with_rights(events, &told(&[write])), sound);
    assert_eq!(with_rights(positions, &told(&[write, read])), sound);
    for (topic, rights, lacking, operations) in [
        (events, told(&[]), "right Write", "--operation Write --topic e"),
        (
            events,
            told(&[read]),
            "right Write",
            "--operation Write --topic e",
        ),
        (
            positions,
            told(&[write]),
            "right Read",
            "--operation Read --topic genesys.positions",
        ),
        (
            positions,
            told(&[]),
            "rights Read and Write",
            "--operation Read --operation Write --topic genesys.positions",
        ),
    ] {
        assert_eq!(
            with_rights(topic, &rights),
            (
                Some(Exit::Config),
                format!("this user lacks the {lacking} on it"),
                format!("{GRANT} {operations}, {NAMED}")
            )
        );
    }
    // without Read a run delivers all the same, and its chain cites no other
    let audit = Topic::Of(Route::Audit);
    let uncited = "this user lacks the right Read on it, so that a run cites none before it, and verify cannot see that one is \
                   missing";
    for (rights, exit, complaint, operations) in [
        (told(&[write]), None, uncited.to_owned(), "--operation Read"),
        (
            told(&[]),
            Some(Exit::Config),
            format!("this user lacks the right Write on it; {uncited}"),
            "--operation Read --operation Write",
        ),
    ] {
        let mend = format!("{GRANT} {operations} --topic a, {NAMED}");
        assert_eq!(with_rights(audit, &rights), (exit, complaint, mend));
    }
}

#[test]
fn rights_are_shown_only_where_they_are_told_and_enough() {
    let shown = |topic, rights: &Rights| facts(topic, "a", &sound(), rights);
    let events = Topic::Of(Route::Event);
    assert!(shown(events, &enough()).contains("3 replicas, this user may write to it, cleanup.policy"));
    assert!(shown(Topic::Of(Route::Audit), &enough()).contains("this user may read it and write to it, "));
    assert!(shown(Topic::Positions, &enough()).contains("this user may read it and write to it, "));
    for rights in [
        Rights::Told(Vec::new()),
        Rights::Unseen,
        Rights::Untold(String::new()),
    ] {
        assert!(!shown(events, &rights).contains("this user"), "{rights:?}");
    }
}

#[test]
fn rights_that_are_not_told_are_a_warning_and_no_failure() {
    let untold = Rights::Untold("the brokers report no authorized operations".to_owned());
    assert_eq!(
        with_rights(Topic::Of(Route::Event), &untold),
        (
            None,
            "the rights on it are not told (the brokers report no authorized operations)".to_owned(),
            "see that this user may write to it: kafka-acls.sh --bootstrap-server b:9092 --list --topic e"
                .to_owned()
        )
    );
}

#[test]
fn a_topic_out_of_sight_is_a_failure_whoever_is_to_create_it() {
    for (create_topics, operations) in [
        (false, "--operation Write"),
        (true, "--operation Write --operation Create"),
    ] {
        let settings = KafkaSettings {
            create_topics,
            ..settings()
        };
        let item = item(&settings, Topic::Of(Route::Event), 3, None, &Rights::Unseen);
        assert_eq!(
            (item.failure(), item.detail, item.mend),
            (
                Some(Exit::Config),
                "e: this user lacks the right Describe on it, so that it may also be missing".to_owned(),
                Some(format!("{GRANT} {operations} --topic e, {NAMED}"))
            )
        );
    }
}
