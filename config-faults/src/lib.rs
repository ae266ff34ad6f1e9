//! What both sides ask of a configuration: where it is written, every fault against its JSON Schema, secrets, authorities.
//!
//! Responsible for turning validation errors into lines that a person can act on: the path of the place, what is
//! wrong there, the nearest known key or word. Refuses to echo what may be a secret: a message names types, limits
//! and the schema's own words, and repeats a value of the configuration only where it is a short word or number at
//! a path that does not look like a secret's. Invariant: [`check`] gives no fault exactly when the schema accepts.

pub mod authorities;
mod branch;
mod fault;
mod known;
pub mod layers;
mod path;
mod pipe;
mod secret;
mod translate;

use serde_json::Value;

pub use fault::Fault;
pub use known::{nearest, types_at};
pub use path::{child, entry, is_secret, join};
pub use pipe::instead_of_file;
pub use secret::{Exposure, SecretError, SecretPlace, shown_path, shown_variable};

pub use translate::type_name;

use path::Step;

/// Holds `value` against `schema` and returns every fault, ordered by path (array entries by number).
///
/// A schema that is no JSON Schema itself is one fault at the empty path, so that it can never pass for "all well".
#[must_use]
pub fn check(schema: &Value, value: &Value) -> Vec<Fault> {
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => {
            return vec![Fault::new(
                "",
                format!("the schema is not a usable JSON Schema: {}", error.masked()),
            )];
        }
    };
    let translate = translate::Translate { schema, value };
    let mut found: Vec<(Vec<Step>, Fault)> = validator
        .iter_errors(value)
        .flat_map(|error| translate.faults(&error))
        .collect();
    found.sort_by(|(left, a), (right, b)| (left, &a.message).cmp(&(right, &b.message)));
    found.dedup();
    // A known key whose value is wrong inside an `allOf` also counts as not evaluated; its own fault says it better.
    let blamed: Vec<Vec<Step>> = found
        .iter()
        .filter(|(_, fault)| fault.message != translate::UNKNOWN_KEY)
        .map(|(steps, _)| steps.clone())
        .collect();
    found.retain(|(steps, fault)| {
        fault.message != translate::UNKNOWN_KEY || !blamed.iter().any(|other| other.starts_with(steps))
    });
    found.into_iter().map(|(_, fault)| fault).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::check;

    /// In the shape that schemars gives: `$defs`, documented enums as `oneOf` of constants, options as `anyOf`.
    fn schema() -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "additionalProperties": false,
            "required": ["library"],
            "properties": {
                "library": {"type": "string", "minLength": 1},
                "delivery": {"$ref": "#/$defs/Delivery"},
                "events": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "string", "enum": ["call", "chat"]}},
                "client_secret": {"anyOf": [{"$ref": "#/$defs/Secret"}, {"type": "null"}]},
                "access": {"$ref": "#/$defs/Place", "examples": [{"env": "ACCESS"}]},
                "other": {"$ref": "#/$defs/Place"},
                "signing_key": {"type": "string", "enum": ["a", "b"]},
                "spool": {"anyOf": [{"$ref": "#/$defs/Spool"}, {"type": "null"}]},
                "free": {"type": "object"}
            },
            "$defs": {
                "Delivery": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "to": {"oneOf": [
                            {"const": "kafka", "type": "string", "description": "topics"},
                            {"const": "lines", "type": "string", "description": "stdout"}
                        ]},
                        "max_in_flight_records": {"type": "integer", "minimum": 1, "maximum": 1000000},
                        "drain_ms": {"type": ["integer", "null"], "minimum": 0}
                    }
                },
                "Place": {"type": "object", "additionalProperties": false,
                    "properties": {"env": {"type": "string"}, "file": {"type": "string"}}},
                "Secret": {"oneOf": [
                    {"type": "object", "additionalProperties": false, "required": ["env"], "properties": {"env": {"type": "string"}}},
                    {"type": "object", "additionalProperties": false, "required": ["file"], "properties": {"file": {"type": "string"}}}
                ]},
                "Spool": {
                    "allOf": [
                        {"properties": {"dir": {"type": "string"}}},
                        {"properties": {"max_bytes": {"type": "integer", "minimum": 1048576}}}
                    ],
                    "type": "object",
                    "unevaluatedProperties": false
                }
            }
        })
    }

    fn lines(value: &Value) -> Vec<String> {
        check(&schema(), value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_valid_value_has_no_fault() {
        let all = json!({"library": "x.so", "delivery": {"to": "kafka", "drain_ms": null}, "events": ["call"],
            "client_secret": {"env": "S"}, "spool": {"dir": "d", "max_bytes": 1048576}, "free": {"any": [1]}});
        assert_eq!(lines(&all), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_fault_reads_as_one_line() {
        let table = [
            (json!({}), "library: is required, but missing"),
            (json!({"library": 1}), "library: expected string, found integer"),
            (
                json!({"library": ""}),
                "library: must have at least 1 character, has 0",
            ),
            (
                json!({"library": "x", "delivery": {"too": 1}}),
                "delivery.too: unknown key; did you mean `to`? known keys here: `drain_ms`, `max_in_flight_records`, `to`",
            ),
            (
                json!({"library": "x", "delivery": {"max-in-flight-records": 1}}),
                "delivery.max-in-flight-records: unknown key; did you mean `max_in_flight_records`? known keys here: `drain_ms`, `max_in_flight_records`, `to`",
            ),
            (
                json!({"library": "x", "delivery": {"zzzzzzzzzz": 1}}),
                "delivery.zzzzzzzzzz: unknown key; known keys here: `drain_ms`, `max_in_flight_records`, `to`",
            ),
            (
                json!({"library": "x", "delivery": {"to": "kafak"}}),
                "delivery.to: expected one of `kafka`, `lines`, found `kafak`; did you mean `kafka`?",
            ),
            (
                json!({"library": "x", "delivery": {"to": 3}}),
                "delivery.to: expected one of `kafka`, `lines`, found 3",
            ),
            (
                json!({"library": "x", "delivery": {"max_in_flight_records": 0}}),
                "delivery.max_in_flight_records: must be at least 1, found 0",
            ),
            (
                json!({"library": "x", "delivery": {"max_in_flight_records": 1.5}}),
                "delivery.max_in_flight_records: expected integer, found number",
            ),
            (
                json!({"library": "x", "delivery": {"max_in_flight_records": 2000000}}),
                "delivery.max_in_flight_records: must be at most 1000000, found 2000000",
            ),
            (
                json!({"library": "x", "delivery": {"drain_ms": "25 s"}}),
                "delivery.drain_ms: expected integer, found string",
            ),
            (
                json!({"library": "x", "events": ["call", "cat"]}),
                "events[1]: expected one of `call`, `chat`, found `cat`; did you mean `chat`?",
            ),
            (
                json!({"library": "x", "events": []}),
                "events: must have at least 1 entry, has 0",
            ),
            (
                json!({"library": "x", "client_secret": "hunter2"}),
                "client_secret: expected table with `env` or table with `file`, found string",
            ),
            (
                json!({"library": "x", "client_secret": {"envv": "hunter2"}}),
                "client_secret.envv: unknown key; did you mean `env`? expected table with `env` or table with `file`",
            ),
            (
                json!({"library": "x", "client_secret": {"env": 3}}),
                "client_secret.env: expected string, found integer",
            ),
            (
                json!({"library": "x", "client_secret": {"env": "A", "file": "b"}}),
                "client_secret: expected table with `env` or table with `file`, but not both",
            ),
            (
                json!({"library": "x", "client_secret": {}}),
                "client_secret: expected table with `env` or table with `file`",
            ),
            (
                json!({"library": "x", "signing_key": "hunter2"}),
                "signing_key: expected one of `a`, `b`, found string",
            ),
            (
                json!({"library": "x", "spool": {"max_byte": 1}}),
                "spool.max_byte: unknown key; did you mean `max_bytes`? known keys here: `dir`, `max_bytes`",
            ),
            (
                json!({"library": "x", "spool": {"max_bytes": 1}}),
                "spool.max_bytes: must be at least 1048576, found 1",
            ),
            (
                json!({"library": "x", "access": "hunter2"}),
                "access: a credential is never written here, only where it is; write { env = \"ACCESS\" }, or { file = \"…\" } to a file that holds it",
            ),
            (
                json!({"library": "x", "other": 7}),
                "other: a credential is never written here, only where it is; write { env = \"…\" }, or { file = \"…\" } to a file that holds it",
            ),
            (json!([]), "expected table, found array"),
        ];
        for (value, expected) in table {
            assert_eq!(lines(&value), [expected], "{value}");
        }
    }

    #[test]
    fn every_fault_is_reported_in_the_order_of_the_paths() {
        let value =
            json!({"events": ["call", "x", "y"], "delivery": {"to": 1, "b": 1, "a": 2}, "librari": "x"});
        let paths: Vec<String> = check(&schema(), &value)
            .into_iter()
            .map(|fault| fault.path)
            .collect();
        let expected = [
            "delivery.a",
            "delivery.b",
            "delivery.to",
            "events[1]",
            "events[2]",
            "librari",
            "library",
        ];
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_key_that_is_not_a_plain_word_is_quoted_and_escaped() {
        let faults = check(
            &schema(),
            &json!({"library": "x", "delivery": {"a.b\u{1b}[31m": 1}}),
        );
        assert_eq!(faults[0].path, "delivery.\"a.b\\u{1b}[31m\"");
    }

    #[test]
    fn a_schema_that_is_none_is_a_fault() {
        assert_eq!(check(&json!({"type": 3}), &json!({})).len(), 1);
    }

    /// A value that a leaf may have: right and wrong types, words inside and outside the enums.
    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2i64..2_000_000).prop_map(Value::from),
            any::<f64>().prop_map(|number| json!(number)),
            prop::sample::select(vec![
                "",
                "kafka",
                "lines",
                "call",
                "chat",
                "a",
                "hunter2-never-shown"
            ])
            .prop_map(Value::from),
        ]
    }

    fn key() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "library",
            "delivery",
            "events",
            "client_secret",
            "signing_key",
            "spool",
            "free",
            "to",
            "drain_ms",
            "max_in_flight_records",
            "env",
            "file",
            "dir",
            "max_bytes",
            "unknown",
            "0",
        ])
        .prop_map(str::to_owned)
    }

    /// A schema-shaped start, so that valid values turn up, with any subtree replaced by a random one.
    fn value() -> impl Strategy<Value = Value> {
        let tree = leaf().prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map(key(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        let start = json!({"library": "x.so", "delivery": {"to": "kafka"}, "events": ["call"],
            "client_secret": {"env": "S"}, "spool": {"dir": "d"}});
        (
            prop::option::of((key(), key(), tree.clone())),
            any::<bool>(),
            tree,
        )
            .prop_map(move |(change, whole, other)| {
                if whole {
                    return other;
                }
                let mut value = start.clone();
                if let Some((outer, inner, tree)) = change {
                    match value.get_mut(&outer).and_then(Value::as_object_mut) {
                        Some(object) => object.insert(inner, tree),
                        None => value.as_object_mut().unwrap().insert(outer, tree),
                    };
                }
                value
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn there_is_no_fault_exactly_when_the_schema_accepts(value in value()) {
            let accepts = jsonschema::is_valid(&schema(), &value);
            prop_assert_eq!(check(&schema(), &value).is_empty(), accepts, "{:?}", check(&schema(), &value));
        }

        #[test]
        fn a_secret_is_never_echoed_and_the_report_is_stable(secret in "[A-Za-z0-9]{12,60}", at in 0usize..6) {
            let value = match at {
                0 => json!({"client_secret": &secret}),
                1 => json!({"client_secret": {"env": [&secret]}}),
                2 => json!({"client_secret": {"other": &secret}}),
                3 => json!({"signing_key": &secret}),
                4 => json!({"delivery": &secret, "library": [&secret]}),
                _ => json!({"free": &secret, "spool": {"dir": {"password": &secret}}}),
            };
            let report = check(&schema(), &value);
            prop_assert!(!report.is_empty());
            prop_assert_eq!(&report, &check(&schema(), &value));
            for fault in report {
                prop_assert!(!fault.to_string().contains(&secret), "{}", fault);
            }
        }
    }
}
