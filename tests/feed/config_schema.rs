//! The plugin's configuration and the saved directory: the committed schemas are what the types generate, and the samples mean
//! what they say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use genesys_source::config::Config;
use genesys_source::plan::Directory;
use serde_json::{Value, json};
use support::tls::Certificate;

fn folder() -> PathBuf {
    support::workspace_root().join("schemas")
}

/// Samples of one kind, by name.
fn samples(schema: &str, kind: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder().join("samples").join(schema).join(kind)).unwrap();
    let read = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    };
    entries.map(read).collect()
}

fn environment() -> BTreeMap<String, String> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    BTreeMap::from([
        pair("GENESYS_ENV", "us-east-1"),
        pair("OAUTH_CLIENT_ID", "id"),
        pair("OAUTH_CLIENT_SECRET", "secret"),
        pair("HOME", "/home/genesys"),
    ])
}

#[test]
fn committed_schema_is_what_the_types_generate() {
    for (name, schema) in [
        ("source-config", Config::schema()),
        ("directory", Directory::schema()),
    ] {
        let path = folder().join(format!("{name}.schema.json"));
        let generated = format!("{schema:#}\n");
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "schemas/{name}.schema.json is stale: run `UPDATE_GENERATED=1 cargo test -p integration-tests --test feed config_schema`"
        );
    }
}

#[test]
fn the_library_hands_out_the_same_schema() {
    let description: Value = serde_json::from_str(&genesys_source::source::description()).unwrap();
    assert_eq!(description["config_schema"], Config::schema());
}

#[test]
fn the_plugin_takes_every_valid_sample_and_refuses_every_invalid_one_at_its_place() {
    let folder_of_authority = tempfile::tempdir().unwrap();
    let authority = folder_of_authority.path().join("proxy.pem");
    std::fs::write(&authority, Certificate::for_localhost().authority).unwrap();
    for (name, sample) in samples("source-config", "valid") {
        // the files that samples name are on no machine that runs this
        let sample = sample.replace("/etc/ssl/proxy.pem", authority.to_str().unwrap());
        let sample = sample.replace(
            "/var/lib/genesys-kafka/letters.jsonl",
            authority.to_str().unwrap(),
        );
        let taken = Config::parse(&sample, &environment());
        if let Err(faults) = taken {
            panic!("valid/{name}: {faults:?}");
        }
    }
    let reasons = std::fs::read_to_string(folder().join("samples/source-config/reasons.json")).unwrap();
    let reasons: Value = serde_json::from_str(&reasons).unwrap();
    for (name, sample) in samples("source-config", "invalid") {
        let faults = Config::parse(&sample, &environment()).unwrap_err();
        let pointer = reasons[&name]["path"].as_str().unwrap();
        let place = pointer.split('/').skip(1).fold(String::new(), |place, step| {
            if step.bytes().all(|byte| byte.is_ascii_digit()) {
                format!("{place}[{step}]")
            } else if place.is_empty() {
                step.to_owned()
            } else {
                format!("{place}.{step}")
            }
        });
        assert!(
            faults.iter().any(|fault| fault.path.starts_with(&place)),
            "invalid/{name}: {faults:?}"
        );
    }
}

#[test]
fn a_directory_is_taken_or_refused_as_its_samples_say() {
    for (name, sample) in samples("directory", "valid") {
        if let Err(faults) = Directory::parse(&sample) {
            panic!("valid/{name}: {faults:?}");
        }
    }
    for (name, sample) in samples("directory", "invalid") {
        assert!(Directory::parse(&sample).is_err(), "invalid/{name}");
    }
}

#[test]
fn every_default_stands_in_the_schema() {
    let schema = Config::schema();
    for (pointer, default) in [
        ("/properties/max_frame_bytes/default", json!(4 << 20)),
        ("/properties/spool/default/mode", json!("disk")),
        ("/properties/reconnect/default/max_attempts", json!(0)),
        ("/properties/dedup/default/window_ms", json!(900_000)),
        // what belongs to one transport has its default in its description, so that it is seen whether it was set
        ("/properties/subscription/default", json!({})),
    ] {
        assert_eq!(schema.pointer(pointer), Some(&default), "{pointer}");
    }
    for (key, default) in [
        ("events", "interaction and participant"),
        ("max_events", "10"),
        ("max_bytes", "8192"),
        ("min_interval_ms", "2000"),
        ("refresh_ms", "300000"),
        ("max_channels", "19"),
    ] {
        let description = &schema["$defs"]["RawSubscription"]["properties"][key]["description"];
        let said = format!("efault: {default}");
        assert!(
            description.as_str().unwrap().contains(&said),
            "{key}: {description}"
        );
    }
}
