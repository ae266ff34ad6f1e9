//! Holds the committed example file against the types: every key, every default, a comment for each.
//!
//! The plugin's keys are held against its committed schema, which the plugin's own tests hold against its types: this
//! package must not depend on the plugin.

use serde_json::{Map, Value, json};

use super::raw::Raw;
use super::{Draft, Inputs, Merged, Setting, file};

const EXAMPLE: &str = include_str!("../../../genesys-kafka.example.toml");
const PLUGIN_SCHEMA: &str = include_str!("../../../schemas/source-config.schema.json");

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

/// Every key of the plugin by its path below `source.config`, with its default if it has one.
fn plugin_keys() -> Vec<(String, Option<Value>)> {
    fn visit(path: &str, object: &Value, definitions: &Value, into: &mut Vec<(String, Option<Value>)>) {
        for (name, key) in object["properties"].as_object().unwrap() {
            let path = config_faults::child(path, name);
            let definition = key["$ref"]
                .as_str()
                .map_or(key, |name| &definitions[name.rsplit('/').next().unwrap()]);
            if definition["properties"].is_object() {
                visit(&path, definition, definitions, into);
            } else {
                let default = key.get("default").filter(|default| !default.is_null());
                into.push((path, default.cloned()));
            }
        }
    }
    let schema: Value = serde_json::from_str(PLUGIN_SCHEMA).unwrap();
    let mut keys = Vec::new();
    visit("", &schema, &schema["$defs"], &mut keys);
    assert!(keys.len() > 20, "{keys:?}");
    keys
}

/// What stands at a dotted path.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, key| value.get(key))
}

/// Takes the plugin's configuration out.
fn take_plugin_config(value: &mut Value) -> Value {
    value["source"].as_object_mut().unwrap().remove("config").unwrap()
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
    take_plugin_config(&mut defaults);
    let mut set = parsed(EXAMPLE);
    take_plugin_config(&mut set);
    assert_eq!(set, defaults);
}

#[test]
fn what_the_example_sets_for_the_plugin_are_its_defaults() {
    let set = take_plugin_config(&mut parsed(EXAMPLE));
    for (path, default) in plugin_keys() {
        // by default the plugin is told the adapter's own `source.name`, which a name set here would hide
        let expected = default.filter(|_| path != "name");
        assert_eq!(at(&set, &path), expected.as_ref(), "source.config.{path}");
    }
}

#[test]
fn the_example_shows_every_key_of_the_plugin_and_no_other() {
    let shown = take_plugin_config(&mut parsed(&uncommented()));
    let absent: Vec<String> = plugin_keys()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| at(&shown, path).is_none())
        .collect();
    // each credential comes from one of the two, so the example shows one of each
    assert_eq!(absent, ["client_id.file", "client_secret.env"]);
    let schema = serde_json::from_str(PLUGIN_SCHEMA).unwrap();
    let faults: Vec<String> = config_faults::check(&schema, &shown)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
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
    let environment = vec![("AUDIT_KEY".into(), "0123456789abcdef0123456789abcdef".into())];
    let faults = Draft::read(&Inputs {
        file: Some(path.clone()),
        environment,
        ..Inputs::default()
    })
    .build()
    .unwrap_err();
    // the one thing that is shown and cannot be run: both of the places that exclude each other
    let paths: Vec<&str> = faults
        .faults
        .iter()
        .map(|located| located.fault.path.as_str())
        .collect();
    assert_eq!(paths, ["audit.key"]);
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
