//! Overrides from the environment: `GENESYS_KAFKA__SECTION__KEY`.
//!
//! Responsible for turning a variable into a path and its text into the type that the schema has there. Refuses
//! names that lead nowhere and values that are not UTF-8. Invariant: an empty variable counts as not set, since that
//! is how container tools pass on what nobody gave.

use std::ffi::OsString;

use crate::{Fault, types_at};
use serde_json::Value;
use toml::de::DeValue;

use super::file::json;
use super::origin::{Located, Merged, Origin};

/// What the name of an overriding variable begins with.
pub const PREFIX: &str = "GENESYS_KAFKA__";

/// Takes every override into `merged`, ordered by name; gives the faults. `schema` is that of the whole configuration; inside
/// `source.config` no type of it counts.
#[must_use]
pub fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    schema: &Value,
    merged: &mut Merged,
) -> Vec<Located> {
    let mut ours: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .collect();
    ours.sort();
    let mut faults = Vec::new();
    for (name, value) in ours {
        let origin = Origin::Environment(name.clone());
        let mut refuse = |message: &str, mend: &str| {
            let fault = Fault::new("", message).with_mend(mend);
            faults.push(Located {
                fault,
                origin: Some(origin.clone()),
            });
        };
        let Ok(text) = value.into_string() else {
            refuse("the value is not UTF-8", "set it to text");
            continue;
        };
        let Some(keys) = keys(&name) else {
            refuse("the name leads to no key", "write GENESYS_KAFKA__SECTION__KEY");
            continue;
        };
        let value = typed(&keys, text, schema);
        merged.set(&keys, value, &origin);
    }
    faults
}

/// The path that a variable stands for. librdkafka's own names are dotted: `LINGER_MS` there is `linger.ms`.
fn keys(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?.to_lowercase();
    let mut keys: Vec<String> = rest.split("__").map(str::to_owned).collect();
    if keys.iter().any(String::is_empty) {
        return None;
    }
    if let [section, map, property] = keys.as_mut_slice()
        && section == "kafka"
        && map == "librdkafka"
    {
        *property = property.replace('_', ".");
    }
    Some(keys)
}

/// The text as the type that the schema has at this path; text where it does not fit, so that the check says so.
fn typed(keys: &[String], text: String, schema: &Value) -> Value {
    if matches!(keys, [source, config, ..] if source == "source" && config == "config") {
        return toml_value(&text).unwrap_or(Value::String(text));
    }
    let types = types_at(schema, keys);
    let allows = |name: &str| types.iter().any(|one| one == name);
    if allows("string") {
        return Value::String(text);
    }
    let trimmed = text.trim();
    if allows("integer")
        && let Ok(number) = trimmed.parse::<i64>()
    {
        return Value::from(number);
    }
    if allows("boolean")
        && let Ok(flag) = trimmed.parse::<bool>()
    {
        return Value::from(flag);
    }
    if (allows("object") || allows("array"))
        && let Some(value) = toml_value(trimmed)
    {
        return value;
    }
    Value::String(text)
}

/// The text as one TOML value, if it is one.
fn toml_value(text: &str) -> Option<Value> {
    json(DeValue::parse(text.trim()).ok()?.get_ref()).ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use serde_json::{Value, json};

    use super::read;
    use crate::layers::{Merged, Origin};

    /// A part of the adapter's.
    fn schema() -> Value {
        let text = json!({"type": "string"});
        json!({"type": "object", "properties": {
            "delivery": {"$ref": "#/$defs/Delivery"},
            "kafka": {"type": "object", "properties": {
                "create_topics": {"type": "boolean"}, "partitions": {"type": ["integer", "null"]},
                "topics": {"type": "object", "properties": {"dead_letter": text}},
                "librdkafka": {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}},
            }},
            "audit": {"type": "object"},
            "control": {"type": "object", "properties": {"path": text}},
        }, "$defs": {"Delivery": {"type": "object", "properties": {"to": text, "drain_ms": {"type": "integer"}}}}})
    }

    fn merged(variables: &[(&str, &str)]) -> (Merged, Vec<String>) {
        let mut merged = Merged::default();
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let faults = read(variables, &schema(), &mut merged);
        (merged, faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_variable_takes_the_type_that_the_schema_has_at_its_path() {
        let (merged, faults) = merged(&[
            ("GENESYS_KAFKA__DELIVERY__TO", "lines"),
            ("GENESYS_KAFKA__DELIVERY__DRAIN_MS", " 5000 "),
            ("GENESYS_KAFKA__KAFKA__CREATE_TOPICS", "true"),
            ("GENESYS_KAFKA__KAFKA__TOPICS__DEAD_LETTER", "1234"),
            ("GENESYS_KAFKA__KAFKA__LIBRDKAFKA__LINGER_MS", "7"),
            ("GENESYS_KAFKA__KAFKA__PARTITIONS", "many"),
            ("GENESYS_KAFKA__AUDIT", "{ to = \"file\" }"),
            ("GENESYS_KAFKA__CONTROL__PATH", ""),
            ("PATH", "/bin"),
        ]);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(
            Value::Object(merged.value.clone()),
            json!({
                "delivery": {"to": "lines", "drain_ms": 5000},
                "kafka": {"create_topics": true, "topics": {"dead_letter": "1234"}, "librdkafka": {"linger.ms": "7"},
                    "partitions": "many"},
                "audit": {"to": "file"}
            })
        );
        assert_eq!(
            merged.origin("kafka.librdkafka.\"linger.ms\""),
            Some(&Origin::Environment(
                "GENESYS_KAFKA__KAFKA__LIBRDKAFKA__LINGER_MS".into()
            ))
        );
    }

    #[test]
    fn inside_the_plugins_own_configuration_a_toml_value_is_one_and_the_rest_is_text() {
        let (merged, _) = merged(&[
            ("GENESYS_KAFKA__SOURCE__CONFIG__REGION", "us-east-1"),
            ("GENESYS_KAFKA__SOURCE__CONFIG__RECONNECT__MAX_ATTEMPTS", "10"),
            ("GENESYS_KAFKA__SOURCE__CONFIG__ALLOW_INSECURE", "true"),
            (
                "GENESYS_KAFKA__SOURCE__CONFIG__SUBSCRIPTION__EVENTS",
                "[\"interaction\", \"participant\"]",
            ),
            ("GENESYS_KAFKA__SOURCE__CONFIG__CLIENT_SECRET", "{ env = \"X\" }"),
        ]);
        assert_eq!(
            Value::Object(merged.value),
            json!({"source": {"config": {
                "region": "us-east-1",
                "reconnect": {"max_attempts": 10},
                "allow_insecure": true,
                "subscription": {"events": ["interaction", "participant"]},
                "client_secret": {"env": "X"}
            }}})
        );
    }

    #[test]
    fn a_name_that_leads_nowhere_is_a_fault() {
        let (_, faults) = merged(&[("GENESYS_KAFKA__DELIVERY____TO", "x"), ("GENESYS_KAFKA__", "x")]);
        assert_eq!(
            faults,
            [
                "environment variable GENESYS_KAFKA__: the name leads to no key; write GENESYS_KAFKA__SECTION__KEY",
                "environment variable GENESYS_KAFKA__DELIVERY____TO: the name leads to no key; write \
                 GENESYS_KAFKA__SECTION__KEY"
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_is_a_fault() {
        use std::os::unix::ffi::OsStringExt;
        let variables = [(
            OsString::from("GENESYS_KAFKA__DELIVERY__TO"),
            OsString::from_vec(vec![0xff]),
        )];
        let faults = read(variables, &schema(), &mut Merged::default());
        assert_eq!(
            faults[0].to_string(),
            "environment variable GENESYS_KAFKA__DELIVERY__TO: the value is not UTF-8; set it to text"
        );
    }
}
