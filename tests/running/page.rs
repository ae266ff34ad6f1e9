//! `docs/when-something-goes-wrong.md` against the code: its states are those that are tested, its words those of the log.

use std::fs;
use std::path::Path;

use support::workspace_root;

/// Every state, and the module here, or the test elsewhere, that holds it.
const STATES: [(&str, &str); 45] = [
    ("broker gone", "running/broker.rs"),
    (
        "too few replicas in sync (`min.insync.replicas`), a partition without leader, no coordinator of transactions",
        "cluster/leaders.rs",
    ),
    ("topic deleted", "running/broker.rs"),
    (
        "right to write taken away",
        "../kafka-adapter/src/sink/kafka/meaning.rs",
    ),
    (
        "right on the transactional id or to read positions lacking, with `exactly_once`",
        "check/rights.rs",
    ),
    (
        "disk full where dead letters, audit or control records go",
        "running/disk.rs",
    ),
    ("disk full where standard output goes", "delivery/lines.rs"),
    ("webhook down", "running/webhook.rs"),
    (
        "webhook wrong or forbidden (3xx, 401, 403, 404, 405, 410)",
        "running/webhook.rs",
    ),
    ("one record refused", "running/disk.rs"),
    (
        "transaction fails, with `exactly_once`",
        "exactly_once/refused.rs",
    ),
    ("producer dies", "delivery/poison.rs"),
    (
        "second process of a shard, with `exactly_once`",
        "exactly_once/fencing.rs",
    ),
    (
        "a law of conservation is not 0",
        "../kafka-adapter/tests/plugin.rs",
    ),
    ("spool filled to 80 %", "running/spool.rs"),
    ("429 at each login", "running/login.rs"),
    ("token revoked, credentials refused", "running/login.rs"),
    ("login never answered, or a byte at a time", "running/login.rs"),
    ("upgrade never answered, or a byte at a time", "running/server.rs"),
    (
        "upgrade answered with an extension that was not asked for",
        "running/server.rs",
    ),
    ("frame of 100 MiB", "running/server.rs"),
    ("frame over 64 times `max_frame_bytes`", "running/server.rs"),
    ("frame announced and never sent", "running/server.rs"),
    ("a byte a second of a frame", "running/server.rs"),
    ("fragments without end", "running/server.rs"),
    ("compressed frames that were not negotiated", "running/server.rs"),
    ("fragmented control frames", "running/server.rs"),
    ("invalid UTF-8", "running/server.rs"),
    ("masked server frames", "running/server.rs"),
    (
        "long control frames, reserved opcodes, a continuation of nothing, messages between fragments, half a close code",
        "running/server.rs",
    ),
    ("a close code that must not be sent", "running/server.rs"),
    ("queue full for `spool.stall_ms`", "delivery/outage.rs"),
    (
        "a channel nears its end, its token is to be renewed, or the service closes it for maintenance",
        "notifications/handovers.rs",
    ),
    (
        "its successor cannot be made, or breaks",
        "../source-plugin/src/session/notifications/tests.rs",
    ),
    (
        "another program takes the channel: the 21st of the OAuth client, or a second socket on it",
        "notifications/limits.rs",
    ),
    (
        "a channel has gone and its socket does not say so",
        "notifications/channels.rs",
    ),
    (
        "the OAuth client has more channels than it may",
        "running/channels.rs",
    ),
    ("a channel is left without topics", "notifications/channels.rs"),
    ("the API limits the rate of calls", "notifications/losses.rs"),
    ("a topic is refused", "notifications/centre.rs"),
    (
        "other topics are refused or not answered on a channel that is listened to",
        "../source-plugin/src/session/notifications/tests/refused.rs",
    ),
    (
        "more topics than the quota has room for",
        "notifications/following.rs",
    ),
    (
        "queues, users or members cannot be looked up again, or a name is gone",
        "../source-plugin/src/lookup.rs",
    ),
    (
        "the history cannot be read, with `backfill`",
        "notifications/backfill.rs",
    ),
    ("clock jump", "running/clock.rs"),
];

fn page() -> String {
    fs::read_to_string(workspace_root().join("docs/when-something-goes-wrong.md")).unwrap()
}

/// The rows of the page's tables, as cells.
fn rows() -> Vec<Vec<String>> {
    page()
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| state "))
        .map(|line| {
            let line = line.trim_matches('|');
            line.split('|').map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// What stands between back quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// All product source below a folder, tests at the bottom of files included.
fn source(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, into);
        } else {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

fn product() -> String {
    let mut text = String::new();
    for package in ["source-plugin", "kafka-adapter"] {
        source(&workspace_root().join(package).join("src"), &mut text);
    }
    text
}

#[test]
fn the_page_lists_the_states_that_are_tested_and_says_all_of_each() {
    let rows = rows();
    let states: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(states, STATES.map(|(state, _)| state));
    for row in &rows {
        assert_eq!(row.len(), 5, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    for (state, file) in STATES {
        let path = workspace_root().join("tests").join(file);
        assert!(path.is_file(), "{state}: no {}", path.display());
    }
}

#[test]
fn the_page_speaks_the_words_of_the_log() {
    let product = product();
    let page = page();
    let prose = page
        .split("## Towards Genesys Cloud")
        .nth(1)
        .and_then(|text| text.split("| state").next())
        .unwrap();
    let logged: Vec<String> = rows().iter().map(|row| row[1].clone()).collect();
    let mut messages = 0;
    for text in logged.iter().map(String::as_str).chain([prose]) {
        // a message has spaces, a setting or a counter has none
        for message in quoted(text).filter(|quoted| quoted.contains(' ')) {
            // the queue and the spool share their lines
            let shared = message.split_once(' ').map_or("", |(_what, rest)| rest);
            let known = [message, &format!("{{what}} {shared}"), &format!("{{}} {shared}")]
                .iter()
                .any(|line| product.contains(&format!("\"{line}\"")));
            assert!(known, "nothing logs {message:?}");
            messages += 1;
        }
    }
    assert!(messages > 25, "{messages}");
}

#[test]
fn the_page_names_counters_that_there_are() {
    let product = product();
    let mut counters = 0;
    for row in rows() {
        for counter in quoted(&row[2]).filter(|name| *name != "Retry-After") {
            let known = [
                format!("\"{counter}\""),
                format!("{counter} ="),
                format!("pub {counter}:"),
            ];
            assert!(
                known.iter().any(|text| product.contains(text)),
                "nothing counts {counter}"
            );
            counters += 1;
        }
    }
    assert!(counters > 20, "{counters}");
}

#[test]
fn the_readme_points_to_the_page() {
    let readme = fs::read_to_string(workspace_root().join("README.md")).unwrap();
    assert!(readme.contains("(docs/when-something-goes-wrong.md)"));
}
