//! One fault table for the configuration, and what a sound one becomes.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Config, OnFull};

fn environment() -> BTreeMap<String, String> {
    [
        ("GENESYS_ENV", "us-east-1"),
        ("OAUTH_CLIENT_ID", "id"),
        ("OAUTH_CLIENT_SECRET", "secret"),
        ("HOME", "/home/genesys"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn faults(value: &Value) -> Vec<(String, String)> {
    faults_in(value, &environment())
}

fn faults_in(value: &Value, environment: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let faults = Config::parse(&value.to_string(), environment).unwrap_err();
    faults
        .into_iter()
        .map(|fault| (fault.path, fault.message))
        .collect()
}

#[test]
fn three_environment_variables_are_enough() {
    let config = Config::parse("", &environment()).unwrap();
    assert_eq!(
        config.endpoints.token.as_str(),
        "https://login.mypurecloud.com/oauth/token"
    );
    assert_eq!(
        config.endpoints.api.unwrap().as_str(),
        "https://api.mypurecloud.com/api/v2"
    );
    assert_eq!(
        config.endpoints.events.as_ref().unwrap().as_str(),
        "wss://us-east-1.mypurecloud.com/api/v2/analytics/conversations/events/ws"
    );
    assert!(config.wishes.unwrap().every_queue());
    assert_eq!(config.subscription.events, ["interaction", "participant"]);
    assert_eq!(config.subscription_interval, Duration::from_secs(2));
    assert_eq!(
        (config.dedup.window_ms, config.dedup.max_ids),
        (900_000, 1_000_000)
    );
    assert_eq!(config.max_frame_bytes, 4 * 1024 * 1024);
    assert_eq!(
        (config.queue.max_records, config.queue.max_bytes),
        (10_000, 32 * 1024 * 1024)
    );
    assert_eq!(
        (config.queue.on_full, config.queue.stall),
        (OnFull::Stop, Duration::from_secs(10))
    );
    assert_eq!(config.reconnect.max_attempts, None);
}

#[test]
fn each_fault_is_found_at_its_path() {
    let table = [
        (json!({"region": "us-east-9"}), "region", "known are us-east-1"),
        (json!({"domain": "https://x"}), "domain", "not a domain name"),
        (
            json!({"domain": "a.b", "region": "us-east-1"}),
            "domain",
            "both region and domain",
        ),
        (
            json!({"transport": "events", "backfill": "conversations"}),
            "backfill",
            "history of conversations",
        ),
        (
            json!({"client_id": {"env": "NOPE"}}),
            "client_id",
            "environment variable NOPE is not set",
        ),
        (
            json!({"client_secret": {"file": "/nonexistent/s"}}),
            "client_secret",
            "cannot read /nonexistent/s",
        ),
        (
            json!({"client_id": {"env": "A", "file": "b"}}),
            "client_id",
            "both env and file",
        ),
        (
            json!({"transport": "events", "endpoints": {"events": "ws://example.com/"}}),
            "endpoints.events",
            "loopback only",
        ),
        (
            json!({"endpoints": {"login": "http://example.com"}}),
            "endpoints.login",
            "loopback only",
        ),
        (
            json!({"endpoints": {"streaming": "https://example.com"}}),
            "endpoints.streaming",
            "scheme must be",
        ),
        (
            json!({"transport": "events", "subscription": {"events": []}}),
            "subscription.events",
            "names 0 events",
        ),
        (
            json!({"transport": "events", "subscription": {"events": ["a","b","c","d","e","f","g","h","i","j","k"]}}),
            "subscription.events",
            "names 11 events",
        ),
        (
            json!({"transport": "events", "subscription": {"filters": {"q": "x".repeat(9000)}}}),
            "subscription",
            "limit is 8192",
        ),
        (
            json!({"reconnect": {"min_ms": 10, "max_ms": 5}}),
            "reconnect.min_ms",
            "above reconnect.max_ms",
        ),
        (
            json!({"keep_alive": {"ping_ms": 100, "silence_ms": 100}}),
            "keep_alive.silence_ms",
            "no time for the answer",
        ),
    ];
    for (value, path, part) in table {
        let found = faults(&value);
        assert_eq!(found.len(), 1, "{value}: {found:?}");
        assert_eq!(found[0].0, path, "{found:?}");
        assert!(found[0].1.contains(part), "{found:?}");
    }
}

#[test]
fn shape_faults_and_checks_across_keys_come_in_one_pass() {
    let value = json!({
        "regoin": "us-east-1",
        "max_frame_bytes": "large",
        "reconnect": {"min_ms": 0},
        "transport": "notifications",
        "client_id": {"env": "NOPE"},
    });
    let paths: Vec<String> = faults(&value).into_iter().map(|(path, _)| path).collect();
    for path in ["regoin", "max_frame_bytes", "reconnect.min_ms", "client_id"] {
        assert!(paths.iter().any(|found| found == path), "{path} in {paths:?}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let faults = Config::parse(r#"{"max_frame_byte": 4096}"#, &environment()).unwrap_err();
    assert_eq!(faults[0].nearest.as_deref(), Some("max_frame_bytes"));
}

#[test]
fn without_a_region_the_endpoints_must_be_given() {
    let mut environment = environment();
    environment.remove("GENESYS_ENV");
    for (value, is) in [(None, "not set"), (Some(" "), "empty")] {
        if let Some(value) = value {
            environment.insert("GENESYS_ENV".to_owned(), value.to_owned());
        }
        let said = format!("no region is set, and environment variable GENESYS_ENV is {is}");
        assert_eq!(faults_in(&json!({}), &environment), [("region".to_owned(), said)]);
    }
    let local = json!({"transport": "events", "endpoints": {"login": "http://127.0.0.1:1", "events": "ws://127.0.0.1:2/x"}});
    let config = Config::parse(&local.to_string(), &environment).unwrap();
    assert_eq!(config.endpoints.token.as_str(), "http://127.0.0.1:1/oauth/token");
    assert!(config.endpoints.api.is_none());
}

#[test]
fn every_missing_credential_is_named_at_once() {
    let mut environment = environment();
    environment.retain(|name, _| !name.starts_with("OAUTH"));
    let found = faults_in(&json!({}), &environment);
    let messages: Vec<&str> = found.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "environment variable OAUTH_CLIENT_ID is not set",
            "environment variable OAUTH_CLIENT_SECRET is not set"
        ]
    );
}

#[test]
fn the_schema_describes_every_key_and_accepts_the_defaults() {
    let schema = Config::schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&json!({})));
    assert!(!validator.is_valid(&json!({"queue": {"max_records": 0}})));
    let properties = schema["properties"].as_object().unwrap();
    assert_eq!(properties.len(), 20);
    for (key, property) in properties {
        assert!(property["description"].is_string(), "{key} has no description");
    }
}

#[test]
fn text_that_is_not_json_is_one_fault() {
    let faults = Config::parse("{", &environment()).unwrap_err();
    assert!(faults.len() == 1 && faults[0].message.starts_with("configuration is not JSON"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_panics_and_a_refusal_has_a_fault(text in ".{0,80}", key in "[a-z_]{1,20}", number in any::<i64>()) {
        if let Err(faults) = Config::parse(&text, &environment()) {
            prop_assert!(!faults.is_empty());
        }
        let value = json!({key.clone(): number}).to_string();
        let faults = Config::parse(&value, &environment());
        prop_assert!(faults.is_ok() || !faults.unwrap_err().is_empty());
    }
}
