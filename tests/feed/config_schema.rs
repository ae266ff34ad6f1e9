//! The plugin's configuration: its committed schema is what the types generate, and its samples mean what they say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use genesys_source::config::Config;
use serde_json::{Value, json};
use support::tls::Certificate;

fn folder() -> PathBuf {
    support::workspace_root().join("schemas")
}

/// Samples of one kind, by name.
fn samples(kind: &str) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(folder().join("samples/source-config").join(kind)).unwrap();
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
    ])
}

#[test]
fn committed_schema_is_what_the_types_generate() {
    let path = folder().join("source-config.schema.json");
    let generated = format!("{:#}\n", Config::schema());
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "schemas/source-config.schema.json is stale: run `UPDATE_GENERATED=1 cargo test -p integration-tests --test feed config_schema`"
    );
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
    for (name, sample) in samples("valid") {
        // the file that a sample names is on no machine that runs this
        let sample = sample.replace("/etc/ssl/proxy.pem", authority.to_str().unwrap());
        if let Err(faults) = Config::parse(&sample, &environment()) {
            panic!("valid/{name}: {faults:?}");
        }
    }
    let reasons = std::fs::read_to_string(folder().join("samples/source-config/reasons.json")).unwrap();
    let reasons: Value = serde_json::from_str(&reasons).unwrap();
    for (name, sample) in samples("invalid") {
        let faults = Config::parse(&sample, &environment()).unwrap_err();
        let pointer = reasons[&name]["path"].as_str().unwrap();
        let place = pointer.trim_start_matches('/').replace('/', ".");
        assert!(
            faults.iter().any(|fault| fault.path.starts_with(&place)),
            "invalid/{name}: {faults:?}"
        );
    }
}

#[test]
fn every_default_stands_in_the_schema() {
    let schema = Config::schema();
    for (pointer, default) in [
        ("/properties/max_frame_bytes/default", json!(4 << 20)),
        ("/properties/reconnect/default/max_attempts", json!(0)),
        ("/properties/dedup/default/window_ms", json!(900_000)),
        ("/properties/subscription/default/max_bytes", json!(8192)),
        ("/properties/subscription/default/min_interval_ms", json!(2000)),
    ] {
        assert_eq!(schema.pointer(pointer), Some(&default), "{pointer}");
    }
}
