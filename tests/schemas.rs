//! The JSON contracts in `schemas/`: every valid sample validates, every invalid one fails for its stated reason.
#![allow(clippy::unwrap_used, reason = "a test binary: a panic is a failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

const SUFFIX: &str = ".schema.json";

/// Why an invalid sample is invalid, as `reasons.json` states it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// JSON Pointer to the part of the sample that the validator must name.
    path: String,
    /// The schema keyword that the validator must name.
    keyword: String,
    /// The same for people.
    why: String,
}

fn folder() -> PathBuf {
    support::workspace_root().join("schemas")
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files of a folder by name.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect()
}

/// The name of each schema in the folder with its content.
fn schemas() -> Vec<(String, Value)> {
    files(&folder())
        .iter()
        .filter_map(|(name, path)| Some((name.strip_suffix(SUFFIX)?.to_owned(), json(path))))
        .collect()
}

fn samples(schema: &str) -> PathBuf {
    folder().join("samples").join(schema)
}

/// The errors as (JSON Pointer, keyword), sorted.
fn errors(schema: &Value, sample: &Value) -> Vec<(String, String)> {
    let validator = jsonschema::validator_for(schema).unwrap();
    let mut errors: Vec<_> = validator
        .iter_errors(sample)
        .map(|error| {
            (
                error.instance_path().to_string(),
                error.kind().keyword().to_owned(),
            )
        })
        .collect();
    errors.sort();
    errors
}

#[test]
fn every_schema_is_itself_valid_and_has_samples_of_both_kinds() {
    let schemas = schemas();
    let names: BTreeSet<&str> = schemas.iter().map(|(name, _)| name.as_str()).collect();
    for expected in [
        "audit",
        "check",
        "control",
        "dead-letter",
        "directory",
        "event",
        "position",
        "subscription",
    ] {
        assert!(names.contains(expected), "schemas/{expected}{SUFFIX} is missing");
    }
    for (name, schema) in &schemas {
        assert_eq!(
            schema["$schema"], "https://json-schema.org/draft/2020-12/schema",
            "{name}"
        );
        if let Err(error) = jsonschema::meta::validate(schema) {
            panic!("{name}{SUFFIX}: {error} at {}", error.instance_path());
        }
        assert!(
            !files(&samples(name).join("valid")).is_empty(),
            "{name} has no valid sample"
        );
        assert!(
            !files(&samples(name).join("invalid")).is_empty(),
            "{name} has no invalid sample"
        );
    }
    let of_samples = std::fs::read_dir(folder().join("samples")).unwrap();
    for entry in of_samples {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            names.contains(name.as_str()),
            "samples/{name} belongs to no schema"
        );
    }
}

#[test]
fn every_valid_sample_validates() {
    for (name, schema) in schemas() {
        for (file, path) in files(&samples(&name).join("valid")) {
            assert_eq!(errors(&schema, &json(&path)), [], "{name}/valid/{file}");
        }
    }
}

#[test]
fn every_invalid_sample_fails_for_its_stated_reason_and_no_other() {
    for (name, schema) in schemas() {
        let stated: BTreeMap<String, Reason> =
            serde_json::from_value(json(&samples(&name).join("reasons.json"))).unwrap();
        let found = files(&samples(&name).join("invalid"));
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            stated.keys().collect::<Vec<_>>(),
            "{name}"
        );
        for (file, reason) in &stated {
            let errors = errors(&schema, &json(&found[file]));
            let expected = [(reason.path.clone(), reason.keyword.clone())];
            assert_eq!(errors, expected, "{name}/invalid/{file}: {}", reason.why);
        }
    }
}

#[test]
fn every_member_stands_in_a_valid_sample() {
    for (name, schema) in schemas() {
        let valid: Vec<Value> = files(&samples(&name).join("valid"))
            .values()
            .map(|path| json(path))
            .collect();
        for pointer in members(&schema) {
            let used = valid.iter().any(|sample| sample.pointer(&pointer).is_some());
            assert!(used, "{name}: no valid sample shows {pointer}");
        }
    }
}

/// JSON Pointers of the members that a schema names, followed through `properties` of objects.
fn members(schema: &Value) -> Vec<String> {
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    properties
        .iter()
        .flat_map(|(name, property)| {
            let below = members(property)
                .into_iter()
                .map(move |pointer| format!("/{name}{pointer}"));
            below.chain([format!("/{name}")])
        })
        .collect()
}

#[test]
fn every_object_with_named_members_refuses_others() {
    for (name, schema) in schemas() {
        if schema["properties"]["schemaVersion"].is_null() && name != "subscription" {
            // generated from Rust types, whose own test holds them to the types
            continue;
        }
        assert_closed(&schema, &name);
    }
}

fn assert_closed(schema: &Value, at: &str) {
    match schema {
        Value::Object(members) => {
            if members.get("type").is_some_and(|kind| kind == "object") && members.contains_key("properties")
            {
                assert_eq!(
                    members.get("additionalProperties"),
                    Some(&Value::Bool(false)),
                    "{at}"
                );
            }
            for (name, member) in members {
                assert_closed(member, &format!("{at}/{name}"));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| assert_closed(item, at)),
        _ => {}
    }
}
