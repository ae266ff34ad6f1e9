//! Runs that are hashed with a key: what is said with the key, without it, with another; and what a forger without it can do.

use config_faults::SecretPlace;

use super::*;

/// A key, and its id in the words of a report.
fn key(letter: &str) -> (AuditKey, String) {
    let place = SecretPlace::Variable("AUDIT_KEY".to_owned());
    let key = AuditKey::read(&place, &|_| Some(letter.repeat(32))).unwrap();
    let id = key.id().to_string();
    (key, id)
}

fn with_keys(keys: &[&AuditKey]) -> Demand {
    Demand {
        keys: keys.iter().map(|key| (*key).clone()).collect(),
        ..Demand::default()
    }
}

fn said(records: &[Vec<u8>], demand: &Demand) -> (bool, Vec<String>) {
    let report = judged(records, demand);
    let lines = report.to_string().lines().map(str::to_owned).collect();
    (report.is_whole(), lines)
}

const TIMES: &str = "5 records, 2026-11-23T21:00:00.000Z to 2026-11-23T21:00:00.004Z";

#[test]
fn a_keyed_run_is_authenticated_by_its_key_among_others() {
    let ((key, id), (other, _)) = (key("k"), key("o"));
    assert_eq!(
        said(&run_with(RUN, 3, Some(&key)), &with_keys(&[&other, &key])),
        (
            true,
            vec![
                format!("run {RUN}: {TIMES}, authenticated with key {id}, closed"),
                "5 records of 1 runs: consistent, authenticated".to_owned(),
            ]
        )
    );
}

#[test]
fn without_its_key_the_first_record_is_named_and_what_to_pass() {
    let ((key, id), (other, other_id)) = (key("k"), key("o"));
    let records = run_with(RUN, 3, Some(&key));
    for (demand, given) in [
        (Demand::default(), String::new()),
        (with_keys(&[&other]), format!(" (given: {other_id})")),
    ] {
        assert_eq!(
            said(&records, &demand),
            (
                false,
                vec![
                    format!("run {RUN}: {TIMES}, closed"),
                    format!(
                        "  NOT VERIFIED at a.jsonl:1: record 1 is hashed with key {id}, which was not given{given}; pass \
                         it with --key-env or --key-file"
                    ),
                    "5 records of 1 runs: NOT VERIFIED, 1 runs are hashed with a key that was not given"
                        .to_owned(),
                ]
            )
        );
    }
    // the links are seen without the key
    let mut holed = records;
    holed.remove(2);
    let (is_whole, lines) = said(&holed, &Demand::default());
    assert!(!is_whole);
    assert_eq!(
        lines[1],
        "  BROKEN at a.jsonl:3: record 3 is missing: this is the next one that is there"
    );
    assert_eq!(
        lines[3],
        "4 records of 1 runs: BROKEN, 1 runs do not fit their chain, 1 runs are hashed with a key that was not given"
    );
}

#[test]
fn a_run_without_a_key_is_not_enough_for_one_who_has_a_key_unless_he_says_so() {
    let ((key, id), first) = (key("k"), run(RUN, 3));
    let trail = [first.clone(), run_with(OTHER_RUN, 3, Some(&key))].concat();
    let mut demand = with_keys(&[&key]);
    let of_runs = [
        format!("run {RUN}: {TIMES}, not authenticated, closed"),
        format!("run {OTHER_RUN}: {TIMES}, authenticated with key {id}, closed"),
    ];
    let with_verdict = |verdict: &str| [&of_runs[..], &[verdict.to_owned()]].concat();
    assert_eq!(
        said(&trail, &demand),
        (
            false,
            with_verdict(
                "10 records of 2 runs: consistent, NOT AUTHENTICATED: the hashes of 1 runs carry no key, so that whoever \
                 can write there can make them; --accept-unkeyed if they are from before audit.key was set"
            )
        )
    );
    demand.accept_unkeyed = true;
    assert_eq!(
        said(&trail, &demand),
        (
            true,
            with_verdict(
                "10 records of 2 runs: consistent, not authenticated (the hashes of 1 runs carry no key)"
            )
        )
    );
    assert_eq!(
        said(&first, &demand).1[1],
        "5 records of 1 runs: consistent, not authenticated (the hashes carry no key)"
    );
}

#[test]
fn each_run_has_a_key_of_its_own_where_it_was_changed_between_them() {
    let ((old, old_id), (new, new_id)) = (key("k"), key("o"));
    let trail = [run_with(RUN, 3, Some(&old)), run_with(OTHER_RUN, 3, Some(&new))].concat();
    let (is_whole, lines) = said(&trail, &with_keys(&[&new, &old]));
    assert!(is_whole, "{lines:#?}");
    assert!(
        lines[0].contains(&format!(", authenticated with key {old_id}, closed")),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains(&format!(", authenticated with key {new_id}, closed")),
        "{lines:#?}"
    );
    assert_eq!(lines[2], "10 records of 2 runs: consistent, authenticated");
}

#[test]
fn a_keyed_record_that_was_altered_is_named_also_if_it_was_hashed_anew_without_the_key() {
    let (key, id) = key("k");
    let demand = with_keys(&[&key]);
    let whole = run_with(RUN, 3, Some(&key));
    let said_of = |records: &[Vec<u8>]| {
        let (is_whole, lines) = said(records, &demand);
        assert!(!is_whole, "{lines:#?}");
        lines[1].clone()
    };
    let altered = "  BROKEN at a.jsonl:4: record 4 was altered: its bytes do not give its hash";
    let mut records = whole.clone();
    let text = String::from_utf8(records[3].clone()).unwrap();
    records[3] = text.replace("event-3", "event-9").into_bytes();
    assert_eq!(said_of(&records), altered);
    records[3] = changed(&whole[3], "event-3", "event-9");
    assert_eq!(said_of(&records), format!("{altered} (the first of 2 breaks)"));
    // the last record of a run that was killed: nothing after it cites it
    let mut killed = whole;
    killed.truncate(4);
    assert!(said(&killed, &demand).0);
    killed[3] = changed(&killed[3], &format!(",\"keyId\":\"{id}\""), "");
    assert_eq!(
        said_of(&killed),
        "  BROKEN at a.jsonl:4: record 4 names another key than the one before it, or one of them names none: one of the \
         two was added"
    );
}
