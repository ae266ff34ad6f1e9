//! Holds the committed example file against the types: every key, every default, a comment for each.

use serde_json::{Map, Value, json};

use super::origin::Merged;
use super::raw::Raw;
use super::{Draft, Inputs, Setting, file};

const EXAMPLE: &str = include_str!("../../../genesys-kafka.example.toml");

fn parsed(text: &str) -> Value {
    let mut merged = Merged::default();
    assert!(file::parse("example.toml".as_ref(), text, &mut merged).is_empty());
    Value::Object(merged.value)
}

/// The example with every key set that it shows as not set.
fn uncommented() -> String {
    let shown = |line: &str| {
        line.strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|first: char| !first.is_whitespace()))
    };
    EXAMPLE
        .lines()
        .map(|line| {
            if shown(line) {
                line.trim_start_matches('#')
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every key that a value has, as paths.
fn keys(path: &str, value: &Map<String, Value>, into: &mut Vec<String>) {
    for (key, inner) in value {
        let path = config_faults::child(path, key);
        match inner {
            // The keys of these two maps are not the adapter's.
            Value::Object(_) if path == "source.config" || path == "kafka.librdkafka" => into.push(path),
            Value::Object(inner) => keys(&path, inner, into),
            _ => into.push(path),
        }
    }
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, inner| !inner.is_null());
        map.values_mut().for_each(without_nulls);
    }
}

#[test]
fn what_the_example_sets_are_the_defaults() {
    let mut defaults = serde_json::to_value(Raw::default()).unwrap();
    without_nulls(&mut defaults);
    assert_eq!(parsed(EXAMPLE), defaults);
}

#[test]
fn the_example_shows_every_key_and_no_other() {
    let (mut expected, mut shown) = (Vec::new(), Vec::new());
    keys(
        "",
        serde_json::to_value(Raw::default()).unwrap().as_object().unwrap(),
        &mut expected,
    );
    keys("", parsed(&uncommented()).as_object().unwrap(), &mut shown);
    expected.sort();
    shown.sort();
    assert_eq!(shown, expected);
}

#[test]
fn every_key_of_the_example_has_a_comment_above_it() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        let (above, line) = (pair[0], pair[1]);
        let is_setting = line
            .trim_start_matches('#')
            .split_once(" = ")
            .is_some_and(|(key, _)| !key.contains(' '));
        let explained = above.starts_with("# ")
            || above == "#client_id = { env = \"OAUTH_CLIENT_ID\" }"
            || above == "[kafka.librdkafka]";
        assert!(!is_setting || explained, "{line}");
    }
}

#[test]
fn the_example_can_be_run_with_every_key_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, uncommented()).unwrap();
    Draft::read(&Inputs {
        file: Some(path.clone()),
        ..Inputs::default()
    })
    .build()
    .unwrap();
    // As it is committed it lacks the one key that has no default.
    std::fs::write(&path, EXAMPLE).unwrap();
    let faults = Draft::read(&Inputs {
        file: Some(path.clone()),
        ..Inputs::default()
    })
    .build()
    .unwrap_err();
    assert_eq!(faults.faults.len(), 1);
    assert_eq!(faults.faults[0].fault.path, "kafka.bootstrap_servers");
    let to_lines = Setting {
        flag: "--to",
        key: "delivery.to",
        value: json!("lines"),
    };
    Draft::read(&Inputs {
        file: Some(path),
        flags: vec![to_lines],
        ..Inputs::default()
    })
    .build()
    .unwrap();
}
