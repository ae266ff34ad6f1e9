//! The librdkafka properties that the adapter owns, and the check of those that it passes through.
//!
//! Responsible for one table: property, why, the key to use instead. Refuses these in `[kafka.librdkafka]`, and any
//! property or value that librdkafka itself refuses. Invariant: what passes cannot weaken order or delivery.

use config_faults::{Fault, child, is_secret, nearest};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use serde_json::{Map, Value};

use super::properties::PROPERTIES;

/// A property of librdkafka that a user may not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The property.
    pub property: &'static str,
    /// Why the adapter sets it itself.
    pub reason: &'static str,
    /// The adapter's own key for the same matter, if there is one.
    pub instead: Option<&'static str>,
}

const fn owned(property: &'static str, reason: &'static str, instead: Option<&'static str>) -> Owned {
    Owned {
        property,
        reason,
        instead,
    }
}

const ORDER: &str = "order per key and no loss rest on the idempotent producer";
const NO_TIMEOUT: &str = "a record that times out leaves a hole in the order";
const CALLBACKS: &str = "every record's delivery report decides what is committed";

/// Where properties and their values are listed.
const MEND: &str = "see librdkafka's CONFIGURATION.md";

/// Every owned property.
///
/// # Source
/// librdkafka 2.12, `CONFIGURATION.md`.
pub const OWNED: [Owned; 25] = [
    owned(
        "bootstrap.servers",
        "the adapter has its own key",
        Some("kafka.bootstrap_servers"),
    ),
    owned(
        "metadata.broker.list",
        "the adapter has its own key",
        Some("kafka.bootstrap_servers"),
    ),
    owned(
        "message.max.bytes",
        "records are measured against it before they are sent",
        Some("kafka.message_max_bytes"),
    ),
    owned(
        "allow.auto.create.topics",
        "a typo must not create a topic",
        Some("kafka.create_topics"),
    ),
    owned(
        "queue.buffering.max.messages",
        "the pipeline bounds what is in flight",
        Some("delivery.max_in_flight_records"),
    ),
    owned(
        "queue.buffering.max.kbytes",
        "the pipeline bounds what is in flight",
        Some("delivery.max_in_flight_bytes"),
    ),
    owned(
        "statistics.interval.ms",
        "the metrics line reads the statistics",
        Some("operations.metrics_ms"),
    ),
    owned(
        "partitioner",
        "the same key must meet the partition that Java producers choose",
        None,
    ),
    owned("partitioner_cb", CALLBACKS, None),
    owned("enable.idempotence", ORDER, None),
    owned("enable.gapless.guarantee", ORDER, None),
    owned("acks", ORDER, None),
    owned("request.required.acks", ORDER, None),
    owned("retries", ORDER, None),
    owned("message.send.max.retries", ORDER, None),
    owned("queuing.strategy", ORDER, None),
    owned("delivery.timeout.ms", NO_TIMEOUT, None),
    owned("message.timeout.ms", NO_TIMEOUT, None),
    owned(
        "transactional.id",
        "the shard's name fences an older process",
        Some("source.name"),
    ),
    owned(
        "transaction.timeout.ms",
        "it belongs to transactions, which the adapter runs",
        Some("kafka.transaction_timeout_ms"),
    ),
    owned("delivery.report.only.error", CALLBACKS, None),
    owned("produce.offset.report", CALLBACKS, None),
    owned("dr_cb", CALLBACKS, None),
    owned("dr_msg_cb", CALLBACKS, None),
    owned(
        "log.queue",
        "librdkafka's log lines go to the adapter's log",
        None,
    ),
];

/// Holds the pass-through properties against the table and against librdkafka.
pub(super) fn check(properties: &Map<String, Value>) -> Vec<Fault> {
    properties
        .iter()
        .filter_map(|(name, value)| fault(name, value))
        .collect()
}

fn fault(name: &str, value: &Value) -> Option<Fault> {
    let path = child("kafka.librdkafka", name);
    if let Some(owned) = OWNED.iter().find(|owned| owned.property == name) {
        let mend = match owned.instead {
            Some(key) => format!("use `{key}` instead"),
            None => "leave it out".to_owned(),
        };
        return Some(Fault::new(path, format!("is set by the adapter: {}", owned.reason)).with_mend(mend));
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        // TOML reads `linger.ms = 5` as a table `linger`.
        Value::Object(_) => {
            return Some(
                Fault::new(path, "a dotted property must be quoted").with_mend(format!(
                    "write \"{name}.…\" = value, with the whole name in quotes"
                )),
            );
        }
        // The schema names the types.
        Value::Null | Value::Array(_) => return None,
    };
    let mut config = ClientConfig::new();
    // librdkafka would log the refusal to stderr on top of our own line.
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config.set(name, text);
    match config.create_native_config() {
        Ok(_) => None,
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => Some(
            Fault::new(path, "librdkafka has no such property")
                .with_nearest(nearest(name, PROPERTIES))
                .with_mend(MEND),
        ),
        // librdkafka's own sentence repeats the value, which may be a secret.
        Err(KafkaError::ClientConfig(_, said, ..)) if !is_secret(name) => {
            let said = said.lines().next().unwrap_or_default().replace('"', "`");
            Some(Fault::new(path, format!("librdkafka refuses the value: {said}")).with_mend(MEND))
        }
        Err(_) => Some(Fault::new(path, "librdkafka refuses the value").with_mend(MEND)),
    }
}

/// Says whether librdkafka has a property.
#[cfg(test)]
pub(super) fn is_known(property: &str) -> bool {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config.set(property, "1");
    !matches!(
        config.create_native_config(),
        Err(KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN,
            ..
        ))
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{OWNED, check, is_known};

    fn lines(properties: &Value) -> Vec<String> {
        let map: Map<String, Value> = properties.as_object().unwrap().clone();
        check(&map).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_owned_property_names_the_adapters_own_key_or_the_reason() {
        assert_eq!(
            lines(&json!({"bootstrap.servers": "x:1", "acks": 1})),
            [
                "kafka.librdkafka.\"acks\": is set by the adapter: order per key and no loss rest on the idempotent \
                 producer; leave it out"
                    .replace("\"acks\"", "acks"),
                "kafka.librdkafka.\"bootstrap.servers\": is set by the adapter: the adapter has its own key; use \
                 `kafka.bootstrap_servers` instead"
                    .to_owned(),
            ]
        );
    }

    #[test]
    fn every_owned_property_is_refused_and_its_key_exists() {
        let defaults = serde_json::to_value(crate::config::raw::Raw::default()).unwrap();
        for owned in OWNED {
            assert_eq!(
                lines(&json!({owned.property: "1"})).len(),
                1,
                "{}",
                owned.property
            );
            if let Some(key) = owned.instead {
                let pointer = format!("/{}", key.replace('.', "/"));
                assert!(defaults.pointer(&pointer).is_some(), "{key}");
            }
        }
    }

    #[test]
    fn every_owned_property_is_one_of_librdkafka() {
        for owned in OWNED {
            assert!(is_known(owned.property), "{}", owned.property);
        }
    }

    #[test]
    fn what_librdkafka_refuses_is_a_fault_and_a_secret_is_not_repeated() {
        assert_eq!(
            lines(&json!({"linger.msec": 1})),
            [
                "kafka.librdkafka.\"linger.msec\": librdkafka has no such property; did you mean `linger.ms`? \
                 see librdkafka's CONFIGURATION.md"
            ]
        );
        assert_eq!(
            lines(&json!({"compression.type": "brotli"})),
            [
                "kafka.librdkafka.\"compression.type\": librdkafka refuses the value: Invalid value `brotli` for configuration \
                 property `compression.codec`; see librdkafka's CONFIGURATION.md"
            ]
        );
        assert_eq!(lines(&json!({"linger": {"ms": 5}})).len(), 1);
        assert!(
            lines(&json!({"linger.ms": 5, "socket.keepalive.enable": true, "sasl.password": "hunter2"}))
                .is_empty()
        );
    }
}
