//! `docs/embedding.md` against the contract: its statuses, its sizes, its code.
#![allow(
    clippy::unwrap_used,
    reason = "a test reports a broken environment by panicking"
)]

use std::collections::BTreeSet;

use plugin_abi::{
    EspAttribute, EspBatch, EspError, EspLimits, EspOpenArgs, EspRecord, EspStr, EspText, status,
};
use serde_json::Value;
use support::c::{Language, compile};
use support::{plugin, workspace_root};

fn embedding() -> String {
    std::fs::read_to_string(workspace_root().join("docs/embedding.md")).unwrap()
}

/// The code blocks of a language in the document.
fn snippets<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    let after = document.split(&opening).skip(1);
    after.map(|text| text.split("```").next().unwrap()).collect()
}

#[test]
fn the_document_on_embedding_says_what_to_do_on_every_status() {
    let document = embedding();
    let rows: Vec<Vec<&str>> = document
        .lines()
        .skip_while(|line| !line.starts_with("| status | number |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let stated: Vec<(String, &str, &str)> = rows
        .iter()
        .map(|row| {
            assert!(
                row.len() == 5 && row.iter().all(|cell| !cell.is_empty()),
                "{row:?}"
            );
            (row[0].replace('`', ""), row[1], row[3])
        })
        .collect();
    let numbers = status::ALL.map(|(code, ..)| code.to_string());
    let contract: Vec<(String, &str, &str)> = status::ALL
        .iter()
        .zip(&numbers)
        .map(|((_, name, retryable), number)| {
            let retry = if *retryable { "yes" } else { "no" };
            ((*name).to_owned(), number.as_str(), retry)
        })
        .collect();
    assert_eq!(stated, contract);
}

#[test]
fn the_document_on_embedding_states_the_sizes_of_the_contract() {
    let document = embedding().replace('\n', " ");
    for (name, size) in [
        ("esp_str", size_of::<EspStr>()),
        ("esp_text", size_of::<EspText>()),
        ("esp_error", size_of::<EspError>()),
        ("esp_limits", size_of::<EspLimits>()),
        ("esp_attribute", size_of::<EspAttribute>()),
        ("esp_record", size_of::<EspRecord>()),
        ("esp_batch", size_of::<EspBatch>()),
        ("esp_open_args", size_of::<EspOpenArgs>()),
    ] {
        assert!(document.contains(&format!("`{name}` {size}")), "{name} {size}");
    }
}

#[test]
fn the_code_in_the_document_on_embedding_compiles() {
    let document = embedding();
    let c = snippets(&document, "c");
    assert_eq!(c.len(), 1);
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("snippet.c");
    std::fs::write(&source, c[0]).unwrap();
    compile(
        Language::C11,
        &source,
        &folder.path().join("snippet.so"),
        &["-shared", "-fPIC"],
    );

    let compiled = include_str!("support/embedded.rs");
    let rust = snippets(&document, "rust");
    assert_eq!(rust.len(), 2);
    for snippet in rust {
        assert!(
            compiled.contains(snippet),
            "not in tests/support/embedded.rs:\n{snippet}"
        );
    }
}

#[test]
fn the_smallest_host_in_rust_gets_every_event_once_and_the_gap_of_its_drain() {
    let simulator = plugin::simulator(|options| options.events = Some(40));
    let folder = tempfile::tempdir().unwrap();
    let config = plugin::config(&simulator, folder.path()).to_string();
    let (mut events, mut last) = (Vec::new(), Value::Null);
    support::embedded::pull(&plugin::library(), &config, |kind, body| {
        last = serde_json::from_slice(body).unwrap();
        if kind == plugin_abi::types::ESP_KIND_EVENT {
            events.push(last["eventId"].as_str().unwrap().to_owned());
        }
        events.len() == 40
    })
    .unwrap();
    assert_eq!(events.len(), 40);
    let sent: BTreeSet<String> = simulator.truth().into_iter().filter_map(|line| line.id).collect();
    assert_eq!(events.into_iter().collect::<BTreeSet<_>>(), sent);
    assert_eq!(last["cause"], "stopped");

    let refused = support::embedded::pull(&plugin::library(), "{\"regoin\": 1}", |_, _| true).unwrap_err();
    assert!(
        refused.to_string().starts_with("CONFIG: regoin: unknown key"),
        "{refused}"
    );
}
