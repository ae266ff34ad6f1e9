//! Where a spool comes to lie, and the bounds that let every record in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{DiskSpool, Spool, folder_name, least_max_bytes};
use crate::config::Config;
use crate::spool::Settings;

fn environment(set: &[(&str, &str)]) -> BTreeMap<String, String> {
    let credentials = [
        ("GENESYS_ENV", "us-east-1"),
        ("OAUTH_CLIENT_ID", "id"),
        ("OAUTH_CLIENT_SECRET", "secret"),
    ];
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    credentials.iter().chain(set).map(owned).collect()
}

/// Parses a configuration with a spool on disk; a fault as the line that the operator reads.
fn parsed(changes: Value, set: &[(&str, &str)]) -> Result<DiskSpool, Vec<String>> {
    let mut value = json!({"spool": {"mode": "disk"}});
    let Value::Object(changes) = changes else {
        panic!("{changes}")
    };
    for (key, change) in changes {
        match (key.as_str(), change) {
            ("spool", Value::Object(keys)) => value["spool"].as_object_mut().unwrap().extend(keys),
            (_, change) => value[key] = change,
        }
    }
    match Config::parse(&value.to_string(), &environment(set)) {
        Ok(config) => match config.spool {
            Spool::Disk(disk) => Ok(disk),
            Spool::Memory => panic!("in memory: {value}"),
        },
        Err(faults) => Err(faults.iter().map(ToString::to_string).collect()),
    }
}

fn dir(changes: Value, set: &[(&str, &str)]) -> PathBuf {
    parsed(changes, set).unwrap().dir
}

#[test]
fn the_defaults_are_those_of_the_design() {
    assert_eq!(
        parsed(json!({}), &[("HOME", "/home/genesys")]),
        Ok(DiskSpool {
            dir: "/home/genesys/.local/state/genesys-kafka/main".into(),
            sync: Duration::from_millis(20),
            settings: Settings::try_new(4 << 30).unwrap(),
        })
    );
}

#[test]
fn in_memory_mode_nothing_is_asked_of_directory_and_bounds() {
    let value = json!({
        "queue": {"on_full": "drop"},
        "spool": {"mode": "memory", "dir": "~/x", "max_bytes": 262_144},
    });
    let config = Config::parse(&value.to_string(), &environment(&[])).unwrap();
    assert_eq!(config.spool, Spool::Memory);
}

#[test]
fn the_state_directory_of_the_service_goes_before_that_of_the_user() {
    let service = ("STATE_DIRECTORY", "/var/lib/genesys-kafka:/var/lib/other");
    let (state, home) = (("XDG_STATE_HOME", "/state"), ("HOME", "/home/genesys"));
    assert_eq!(
        dir(json!({"name": "eu"}), &[service, state, home]),
        Path::new("/var/lib/genesys-kafka/eu")
    );
    assert_eq!(
        dir(json!({}), &[("STATE_DIRECTORY", "relative"), state, home]),
        Path::new("/state/genesys-kafka/main")
    );
    assert_eq!(
        dir(
            json!({}),
            &[("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "relative"), home]
        ),
        Path::new("/home/genesys/.local/state/genesys-kafka/main")
    );
}

#[test]
fn a_directory_that_is_set_goes_before_every_variable_and_is_taken_from_the_working_directory() {
    let service = [("STATE_DIRECTORY", "/var/lib/genesys-kafka")];
    assert_eq!(
        dir(json!({"spool": {"dir": "/data/spool"}}), &service),
        Path::new("/data/spool")
    );
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        dir(json!({"spool": {"dir": "data/spool"}}), &service),
        here.join("data/spool")
    );
}

/// Configuration, environment, the fault.
type Case<'a> = (Value, &'a [(&'a str, &'a str)], String);

#[test]
fn each_fault_says_which_key_it_is_and_how_it_is_mended() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let file = file.path().to_str().unwrap();
    let home = [("HOME", "/home/genesys")];
    let no_home: &[(&str, &str)] = &[("HOME", "relative")];
    let table: [Case<'_>; 10] = [
        (
            json!({}),
            no_home,
            "spool.dir: it is not set, and none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is an absolute path; \
             set spool.dir, or spool.mode = \"memory\""
                .into(),
        ),
        (
            json!({"spool": {"dir": "~/spool"}}),
            &home,
            "spool.dir: \"~/spool\": a ~ is not expanded; write the directory in full, from /".into(),
        ),
        (
            json!({"spool": {"dir": ""}}),
            &home,
            "spool.dir: must have at least 1 character, has 0".into(),
        ),
        (
            json!({"spool": {"dir": file}}),
            &home,
            format!("spool.dir: {file} is not a directory; name a directory, or one that is still to be made"),
        ),
        (
            json!({"name": "ü".repeat(100)}),
            &home,
            "spool.dir: it is not set, and the name of the source makes one of 600 bytes, at most 255 are possible; \
             set spool.dir, or a shorter name"
                .into(),
        ),
        (
            json!({"queue": {"on_full": "drop"}}),
            &home,
            "queue.on_full: \"drop\" has no meaning with a spool on disk: while it is full nothing is read; \
             set queue.on_full = \"stop\", or spool.mode = \"memory\""
                .into(),
        ),
        (
            json!({"spool": {"sync_ms": 0}}),
            &home,
            "spool.sync_ms: must be at least 1, found 0".into(),
        ),
        (
            json!({"spool": {"max_bytes": 268_435_456}}),
            &home,
            "spool.max_bytes: 268435456 bytes take records of up to 8318928, and with max_frame_bytes = 4194304 one can have \
             25231360; set it to at least 810549248, or lower max_frame_bytes"
                .into(),
        ),
        (
            json!({"spool": {"max_bytes": 1_048_576}, "max_frame_bytes": 1024, "transport": "events", "subscription": {"max_bytes": 65_536}}),
            &home,
            "spool.max_bytes: 1048576 bytes take records of up to 24528, and with subscription.max_bytes = 65536 one can \
             have 131072; set it to at least 5242880, or lower subscription.max_bytes"
                .into(),
        ),
        (
            json!({"max_frame_bytes": 16_777_216}),
            &home,
            "max_frame_bytes: a frame of 16777216 bytes can make a record of 100728832, more than any spool on disk takes; \
             set it to at most 11162274, or spool.mode = \"memory\""
                .into(),
        ),
    ];
    for (changes, set, line) in table {
        assert_eq!(parsed(changes, set), Err(vec![line]));
    }
}

#[test]
fn what_a_fault_tells_to_set_is_accepted_and_the_next_lower_bound_is_not() {
    let home = [("HOME", "/home/genesys")];
    let bounded = |max_bytes: u64| json!({"spool": {"max_bytes": max_bytes}});
    let least_bytes = least_max_bytes(25_231_360).unwrap();
    assert!(parsed(bounded(least_bytes), &home).is_ok());
    assert!(parsed(bounded(least_bytes - (1 << 20)), &home).is_err());
    assert!(parsed(json!({"max_frame_bytes": 11_162_274}), &home).is_ok());
    assert!(parsed(json!({"max_frame_bytes": 11_162_275}), &home).is_err());
}

#[test]
fn a_name_that_is_no_folder_is_written_as_one() {
    for (name, folder) in [
        ("shard-7_b.2", "shard-7_b.2"),
        ("..", "%2E."),
        ("../main", "%2E.%2Fmain"),
        ("a b", "a%20b"),
        ("a%20b", "a%2520b"),
        ("ü", "%C3%BC"),
    ] {
        assert_eq!(folder_name(name), folder);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn two_names_never_share_a_folder(left in "[./%\0ü0-9A-F]{1,6}", right in "[./%\0ü0-9A-F]{1,6}") {
        prop_assert_eq!(folder_name(&left) == folder_name(&right), left == right);
        prop_assert!(!folder_name(&left).starts_with('.') && !folder_name(&left).contains(['/', '\0']));
    }
}
