//! What a schema cannot say: rules between keys.
//!
//! Responsible for the faults that depend on two values or on librdkafka. Refuses nothing that the schema already
//! refuses, so that one mistake is one fault. Invariant: it works on values that the schema may have refused.

use std::collections::BTreeMap;
use std::path::Path;

use config_faults::{Fault, child};
use serde_json::{Map, Value};

use super::listen::Listen;
use super::owned;
use crate::same_file;

/// Smallest limit on the size of an audit file, in bytes: some hundred records, so that files are not made faster than a
/// folder can be synced.
const LEAST_FILE_BYTES: u64 = 64 * 1024;

/// Checks the rules between keys; `set` is what was set, without the defaults.
pub(super) fn check(set: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let text = |path: &str| at(set, path).and_then(Value::as_str);
    let to = text("delivery.to").unwrap_or("kafka");
    let audit_to = text("audit.to").unwrap_or(to);
    if at(set, "kafka.bootstrap_servers").is_none() && to_kafka(set) {
        let because = if to == "kafka" {
            "delivery.to is `kafka`"
        } else {
            "audit.to is `kafka`"
        };
        faults.push(
            Fault::new(
                "kafka.bootstrap_servers",
                format!("is required, but missing: {because}"),
            )
            .with_mend("set it to host:port, or run with --to lines"),
        );
    }
    if let Some(servers) = text("kafka.bootstrap_servers") {
        faults.extend(bootstrap_servers(servers));
    }
    if audit_to == "file" && at(set, "audit.path").is_none() {
        faults.push(
            Fault::new("audit.path", "is required, but missing: audit.to is `file`")
                .with_mend("set it to a file"),
        );
    }
    if audit_to == "file" {
        faults.extend(shared_audit_file(set));
    }
    if at(set, "kafka.replication_factor") == Some(&Value::from(0)) {
        faults.push(Fault::new(
            "kafka.replication_factor",
            "must be at least 1, or -1 to leave it to the broker, found 0",
        ));
    }
    if let Some(bytes) = at(set, "audit.max_file_bytes").and_then(Value::as_u64)
        && (1..LEAST_FILE_BYTES).contains(&bytes)
    {
        faults.push(
            Fault::new(
                "audit.max_file_bytes",
                format!("must be at least {LEAST_FILE_BYTES}, found {bytes}"),
            )
            .with_mend("set it to 0 for one file that only grows"),
        );
    }
    if let Some(listen) = text("operations.listen")
        && !listen.is_empty()
        && let Err(error) = Listen::parse(listen)
    {
        faults.push(
            Fault::new("operations.listen", error.to_string()).with_mend("write `127.0.0.1:9464` or `9464`"),
        );
    }
    faults.extend(exactly_once(set, to, audit_to));
    faults.extend(topics(set));
    if let Some(Value::Object(properties)) = at(set, "kafka.librdkafka") {
        faults.extend(owned::check(properties));
    }
    faults
}

/// An address list that librdkafka would only log about, at run time.
fn bootstrap_servers(servers: &str) -> Option<Fault> {
    if servers.contains('@') {
        return Some(
            Fault::new("kafka.bootstrap_servers", "carries a user name or password").with_mend(
                "leave them out, and set \"sasl.username\" and \"sasl.password\" in [kafka.librdkafka]",
            ),
        );
    }
    let wrong = servers.split(',').map(str::trim).any(|server| {
        let bare = server.rsplit_once("://").map_or(server, |(_, bare)| bare);
        bare.is_empty()
            || bare.contains(char::is_whitespace)
            || bare.rsplit_once(':').is_some_and(|(host, port)| {
                host.is_empty()
                    || (!port.ends_with(']') && port.parse::<u16>().map_or(true, |port| port == 0))
            })
    });
    wrong.then(|| {
        Fault::new(
            "kafka.bootstrap_servers",
            "expected a comma-separated list of host:port",
        )
        .with_mend("write `broker-1:9092,broker-2:9092`")
    })
}

/// A transaction holds an event, its audit record and the position, so all of them have to be in Kafka.
fn exactly_once(set: &Value, to: &str, audit_to: &str) -> Vec<Fault> {
    if at(set, "delivery.guarantee") != Some(&Value::from("exactly_once")) {
        return Vec::new();
    }
    let mend = "set it to `kafka`, or use `at_least_once`";
    let fault = |path: &str, key: &str, found: &str| {
        let message = format!("`exactly_once` needs {key} = \"kafka\", found `{found}`");
        Fault::new(path, message).with_mend(mend)
    };
    match (to, audit_to) {
        ("webhook" | "lines", _) => vec![fault("delivery.to", "delivery.to", to)],
        ("kafka", "file" | "lines") => vec![fault("audit.to", "audit.to", audit_to)],
        _ => Vec::new(),
    }
}

/// Two routes on one topic could not be told apart.
fn topics(set: &Value) -> Vec<Fault> {
    let mut used: BTreeMap<String, &str> = BTreeMap::new();
    let mut faults = Vec::new();
    let defaults = serde_json::to_value(super::raw::Topics::default()).unwrap_or_default();
    for key in ["events", "audit", "dead_letter", "control", "positions"] {
        let path = child("kafka.topics", key);
        let Some(name) = at(set, &path)
            .or_else(|| defaults.get(key))
            .and_then(Value::as_str)
        else {
            continue;
        };
        if name == "." || name == ".." {
            faults.push(Fault::new(path, "Kafka does not allow this name for a topic"));
        } else if let Some(other) = used.insert(name.to_owned(), key) {
            faults.push(
                Fault::new(path, format!("is the same topic as kafka.topics.{other}"))
                    .with_mend("give each its own topic"),
            );
        }
    }
    faults
}

/// Other records in the file of the audit: what is deleted with a file set aside would be lost, and `verify` would not
/// know them.
fn shared_audit_file(set: &Value) -> Option<Fault> {
    let text = |path: &str| at(set, path).and_then(Value::as_str);
    let audit = text("audit.path")?;
    let default = super::raw::DeadLetter::default().path;
    let files = [
        (
            "dead_letter.path",
            // one of the wrong type is another fault, and no file
            at(set, "dead_letter.path").map_or(Some(default.as_str()), Value::as_str),
        ),
        ("control.path", text("control.path")),
    ];
    let (key, _) = files
        .into_iter()
        .find(|(_, file)| file.is_some_and(|file| same_file::is_same(Path::new(file), Path::new(audit))))?;
    let message =
        format!("names the same file as {key}, but an audit file is rotated and holds audit records alone");
    Some(Fault::new("audit.path", message).with_mend("give each its own"))
}

/// Says whether anything goes to Kafka, as far as it was written.
pub(super) fn to_kafka(set: &Value) -> bool {
    let text = |path: &str| at(set, path).and_then(Value::as_str);
    let to = text("delivery.to").unwrap_or("kafka");
    to == "kafka" || text("audit.to") == Some("kafka")
}

/// The value at a path of plain keys.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |here, key| {
        here.as_object().and_then(|map: &Map<String, Value>| map.get(key))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::check;

    fn lines(set: &Value) -> Vec<String> {
        check(set).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_between_keys_has_its_line() {
        let table = [
            (
                json!({}),
                "kafka.bootstrap_servers: is required, but missing: delivery.to is `kafka`; set it to host:port, or run with --to lines",
            ),
            (
                json!({"delivery": {"to": "lines"}, "audit": {"to": "kafka"}}),
                "kafka.bootstrap_servers: is required, but missing: audit.to is `kafka`; set it to host:port, or run with --to lines",
            ),
            (
                json!({"delivery": {"to": "lines"}, "audit": {"to": "file"}}),
                "audit.path: is required, but missing: audit.to is `file`; set it to a file",
            ),
            (
                json!({"kafka": {"bootstrap_servers": "a:9092", "replication_factor": 0}}),
                "kafka.replication_factor: must be at least 1, or -1 to leave it to the broker, found 0",
            ),
            (
                json!({"kafka": {"bootstrap_servers": "a:9092", "topics": {"audit": "genesys.events"}}}),
                "kafka.topics.audit: is the same topic as kafka.topics.events; give each its own topic",
            ),
            (
                json!({"kafka": {"bootstrap_servers": "a:9092", "topics": {"audit": ".."}}}),
                "kafka.topics.audit: Kafka does not allow this name for a topic",
            ),
            (
                json!({"kafka": {"bootstrap_servers": "a:9092", "topics": {"positions": "genesys.control"}}}),
                "kafka.topics.positions: is the same topic as kafka.topics.control; give each its own topic",
            ),
            (
                json!({"delivery": {"to": "lines", "guarantee": "exactly_once"}}),
                "delivery.to: `exactly_once` needs delivery.to = \"kafka\", found `lines`; set it to `kafka`, or use \
                 `at_least_once`",
            ),
            (
                json!({
                    "delivery": {"guarantee": "exactly_once"}, "audit": {"to": "lines"},
                    "kafka": {"bootstrap_servers": "a:9092"}
                }),
                "audit.to: `exactly_once` needs audit.to = \"kafka\", found `lines`; set it to `kafka`, or use \
                 `at_least_once`",
            ),
            (
                json!({"kafka": {"bootstrap_servers": "a:9092", "librdkafka": {"transactional.id": "mine"}}}),
                "kafka.librdkafka.\"transactional.id\": is set by the adapter: the shard's name fences an older process; use \
                 `source.name` instead",
            ),
            (
                json!({"kafka": {"bootstrap_servers": "a:9092", "librdkafka": {"acks": "1"}}}),
                "kafka.librdkafka.acks: is set by the adapter: order per key and no loss rest on the idempotent producer; leave it out",
            ),
            (
                json!({"delivery": {"to": "lines"}, "audit": {"max_file_bytes": 65_535}}),
                "audit.max_file_bytes: must be at least 65536, found 65535; set it to 0 for one file that only grows",
            ),
            (
                json!({"delivery": {"to": "lines"}, "operations": {"listen": "http://127.0.0.1:9464"}}),
                "operations.listen: expected host:port, or a port alone, which means this machine only; \
                 write `127.0.0.1:9464` or `9464`",
            ),
        ];
        for (set, expected) in table {
            assert_eq!(lines(&set), [expected], "{set}");
        }
        for bytes in [0, 65_536] {
            let set = json!({"delivery": {"to": "lines"}, "audit": {"max_file_bytes": bytes}});
            assert!(lines(&set).is_empty(), "{set}");
        }
        assert!(lines(&json!({"delivery": {"to": "lines"}})).is_empty());
        let exactly =
            json!({"delivery": {"guarantee": "exactly_once"}, "kafka": {"bootstrap_servers": "a:9092"}});
        assert!(lines(&exactly).is_empty());
    }

    #[test]
    fn the_file_of_the_audit_is_nobody_elses_under_any_spelling() {
        let lines_to = |audit: &Value, files: &Value| {
            let mut set = json!({"delivery": {"to": "lines"}, "audit": audit});
            for (key, path) in files.as_object().unwrap() {
                set[key] = json!({"path": path});
            }
            lines(&set)
        };
        let to_file = json!({"to": "file", "path": "same.jsonl"});
        let shared = |key: &str| {
            format!(
                "audit.path: names the same file as {key}, but an audit file is rotated and holds audit records alone; \
                 give each its own"
            )
        };
        for (audit, files, key) in [
            (&to_file, json!({"dead_letter": "same.jsonl"}), "dead_letter.path"),
            (
                &to_file,
                json!({"dead_letter": "./same.jsonl"}),
                "dead_letter.path",
            ),
            (
                &to_file,
                json!({"dead_letter": "src/../same.jsonl"}),
                "dead_letter.path",
            ),
            (&to_file, json!({"control": "./same.jsonl"}), "control.path"),
            (
                &json!({"to": "file", "path": "./genesys-dead-letters.jsonl"}),
                json!({}),
                "dead_letter.path",
            ),
        ] {
            assert_eq!(lines_to(audit, &files), [shared(key)], "{files}");
        }
        let apart = json!({"dead_letter": "src/same.jsonl", "control": "src/./same.jsonl"});
        assert!(lines_to(&to_file, &apart).is_empty());
        let not_written = json!({"to": "lines", "path": "same.jsonl"});
        assert!(lines_to(&not_written, &json!({"dead_letter": "same.jsonl"})).is_empty());
    }

    #[test]
    fn an_address_list_is_checked_before_librdkafka_sees_it() {
        for good in [
            "a",
            "a:1",
            "a:9092, b:9092",
            "PLAINTEXT://a:9092",
            "[::1]:9092",
            "[::1]",
        ] {
            assert!(
                lines(&json!({"kafka": {"bootstrap_servers": good}})).is_empty(),
                "{good}"
            );
        }
        for bad in ["", "a:", ":9092", "a:0", "a:99999", "a:x", "a:1,,b:1", "a b:1"] {
            assert_eq!(
                lines(&json!({"kafka": {"bootstrap_servers": bad}})).len(),
                1,
                "{bad}"
            );
        }
    }

    #[test]
    fn values_of_the_wrong_type_are_left_to_the_schema() {
        assert!(lines(&json!({"delivery": {"to": 3}, "kafka": {"bootstrap_servers": 4, "topics": [], "librdkafka": "x"}})).is_empty());
        assert!(lines(&json!({"delivery": {"to": "lines"}, "operations": {"listen": 9464}, "audit": {"max_file_bytes": "x"}})).is_empty());
        assert!(lines(&json!({"delivery": {"to": "lines"}, "operations": {"listen": ""}})).is_empty());
        assert!(lines(&json!({"delivery": [], "kafka": {"bootstrap_servers": "a"}})).is_empty());
    }
}
