//! The configuration as it is written: every key, its default, its range.
//!
//! Responsible for the one place where a key, its default and its limits are defined; the JSON Schema comes from
//! here. Refuses unknown keys. Invariant: the defaults pass the schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::types::{AuditTo, Destination, Envelope, Guarantee, WebhookEnvelope};

/// Configuration of genesys-kafka.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Raw {
    pub(crate) source: Source,
    pub(crate) delivery: Delivery,
    pub(crate) kafka: Kafka,
    pub(crate) webhook: Webhook,
    pub(crate) audit: Audit,
    pub(crate) dead_letter: DeadLetter,
    pub(crate) control: Control,
    pub(crate) operations: Operations,
}

/// Which plugin is loaded and what it is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Source {
    /// The plugin: a path, or a bare name that is looked for beside the executable, then in ../lib.
    #[schemars(length(min = 1))]
    pub(crate) library: String,
    /// Name of the shard: one process, one source.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub(crate) name: String,
    /// The plugin's own configuration; its keys are the plugin's.
    pub(crate) config: Map<String, Value>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            library: "libgenesys_source.so".to_owned(),
            name: "main".to_owned(),
            config: Map::new(),
        }
    }
}

/// Where records go and how many may be under way.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Delivery {
    /// The sink: Kafka topics, requests to a webhook, or lines on stdout.
    pub(crate) to: Destination,
    /// What is promised about each record.
    pub(crate) guarantee: Guarantee,
    /// Most records handed to the sink and not yet resolved.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) max_in_flight_records: u64,
    /// Most bytes of such records.
    #[schemars(range(min = 65_536, max = 17_179_869_184_u64))]
    pub(crate) max_in_flight_bytes: u64,
    /// How long a drain may take before what is left is given up, in milliseconds.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub(crate) drain_ms: u64,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            to: Destination::Kafka,
            guarantee: Guarantee::AtLeastOnce,
            max_in_flight_records: 10_000,
            max_in_flight_bytes: 64 * 1024 * 1024,
            // Below the 30 s that Kubernetes gives a pod between SIGTERM and SIGKILL.
            drain_ms: 25_000,
        }
    }
}

/// The Kafka cluster, its topics and the producer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kafka {
    /// Comma-separated host:port list; required where anything goes to Kafka.
    #[schemars(length(min = 1))]
    pub(crate) bootstrap_servers: Option<String>,
    /// How an event is wrapped: CloudEvents in headers, as a JSON object, or not at all.
    pub(crate) envelope: Envelope,
    /// Largest record that is sent, in bytes; match the topics' max.message.bytes.
    #[schemars(range(min = 1_000, max = 1_000_000_000))]
    pub(crate) message_max_bytes: u32,
    /// How long the start waits for the cluster and its topics, in milliseconds.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub(crate) start_timeout_ms: u64,
    /// Create missing topics at start.
    pub(crate) create_topics: bool,
    /// Partitions of a topic that is created.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) partitions: i32,
    /// Replication factor of a topic that is created; -1 leaves it to the broker.
    #[schemars(range(min = -1, max = 100))]
    pub(crate) replication_factor: i32,
    /// How long a broker keeps a transaction open that nobody ends, in milliseconds; at most the broker's
    /// transaction.max.timeout.ms. Used where delivery.guarantee is "exactly_once".
    #[schemars(range(min = 1_000, max = 900_000))]
    pub(crate) transaction_timeout_ms: u64,
    /// How long a run that another process has fenced waits before it ends, in milliseconds, so that two supervisors
    /// that start it again do not fence each other in a loop.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub(crate) fenced_pause_ms: u64,
    /// Names of the topics.
    pub(crate) topics: Topics,
    /// Further librdkafka properties, passed through.
    pub(crate) librdkafka: BTreeMap<String, Property>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: None,
            envelope: Envelope::Binary,
            // The default of librdkafka, just below the 1,048,588 of a topic.
            message_max_bytes: 1_000_000,
            start_timeout_ms: 10_000,
            create_topics: false,
            partitions: 6,
            replication_factor: -1,
            // The default of librdkafka and of the Java client.
            transaction_timeout_ms: 60_000,
            fenced_pause_ms: 30_000,
            topics: Topics::default(),
            librdkafka: BTreeMap::new(),
        }
    }
}

/// Names of the topics.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Topics {
    /// Normalized events.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,249}$"))]
    pub(crate) events: String,
    /// Audit records.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,249}$"))]
    pub(crate) audit: String,
    /// Frames that are no usable event, and records that the broker refused.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,249}$"))]
    pub(crate) dead_letter: String,
    /// News of the source itself, such as gaps.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,249}$"))]
    pub(crate) control: String,
    /// How far each shard is, where delivery.guarantee is "exactly_once"; compacted.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,249}$"))]
    pub(crate) positions: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            events: "genesys.events".to_owned(),
            audit: "genesys.audit".to_owned(),
            dead_letter: "genesys.dead-letter".to_owned(),
            control: "genesys.control".to_owned(),
            positions: "genesys.positions".to_owned(),
        }
    }
}

/// Value of a librdkafka property.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Property {
    Text(String),
    Number(serde_json::Number),
    Flag(bool),
}

impl Property {
    /// The text that librdkafka takes.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
        }
    }
}

/// The webhook that events are sent to, one HTTP request each.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Where requests go, https://host/path; required where delivery.to is "webhook". Shown without path and query.
    #[schemars(length(min = 1))]
    pub(crate) url: Option<String>,
    /// What a body is: the event as CloudEvents JSON, or the event alone; signed bodies are CloudEvents.
    pub(crate) envelope: WebhookEnvelope,
    /// How long a request may take, its answer included, in milliseconds.
    #[schemars(range(min = 100, max = 60_000))]
    pub(crate) timeout_ms: u64,
    /// Most requests that are unanswered at once; those of one conversation follow each other in any case.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) max_in_flight: u64,
    /// Failed attempts after which an event is a dead letter, counted while other events are accepted.
    #[schemars(range(min = 1, max = 1_000))]
    pub(crate) max_attempts: u32,
    /// Authorities that are trusted beside those of the system, PEM.
    #[schemars(length(min = 1))]
    pub(crate) ca_file: Option<String>,
    /// Let private, loopback and link-local addresses be dialled.
    pub(crate) allow_private: bool,
    /// Signs each request after Standard Webhooks: where the secret is, whsec_ and base64; a file is read again in a run.
    #[schemars(extend("examples" = [{"env": "WEBHOOK_SECRET"}]))]
    pub(crate) secret: Secret,
    /// A second secret that signs as well, while receivers change from one to the other.
    #[schemars(extend("examples" = [{"env": "WEBHOOK_PREVIOUS_SECRET"}]))]
    pub(crate) previous_secret: Secret,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            url: None,
            envelope: WebhookEnvelope::Structured,
            timeout_ms: 3_000,
            max_in_flight: 5,
            max_attempts: 10,
            ca_file: None,
            allow_private: false,
            secret: Secret::default(),
            previous_secret: Secret::default(),
        }
    }
}

/// Where a secret is: one of the two, or neither where there is no secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Secret {
    /// Name of an environment variable.
    #[schemars(length(min = 1))]
    pub(crate) env: Option<String>,
    /// Path of a file.
    #[schemars(length(min = 1))]
    pub(crate) file: Option<String>,
}

/// Where audit records go.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// The sink of audit records; by default that of the events, and lines beside a webhook.
    pub(crate) to: Option<AuditTo>,
    /// The file, where `to` is "file".
    #[schemars(length(min = 1))]
    pub(crate) path: Option<String>,
    /// Text that every audit record carries.
    #[schemars(length(min = 1, max = 256))]
    pub(crate) compliance_tag: String,
    /// Where the key of the hashes is, 32 characters or more: each hash is then an HMAC. Read once, at the start of a run.
    #[schemars(extend("examples" = [{"env": "AUDIT_KEY"}]))]
    pub(crate) key: Secret,
    /// Size at which the file is set aside and a new one begun, in bytes; 0 never does.
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub(crate) max_file_bytes: u64,
    /// Files set aside that are kept, older ones being deleted; 0 keeps all.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) keep_files: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            to: None,
            path: None,
            compliance_tag: "data-governance-v1".to_owned(),
            key: Secret::default(),
            // some 200,000 audit records
            max_file_bytes: 100 * 1024 * 1024,
            // an audit trail loses nothing unless someone has asked for it
            keep_files: 0,
        }
    }
}

/// The last resort of a dead letter, and its home where there is no Kafka.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeadLetter {
    /// The file, one JSON object a line.
    #[schemars(length(min = 1))]
    pub(crate) path: String,
}

impl Default for DeadLetter {
    fn default() -> Self {
        Self {
            path: "genesys-dead-letters.jsonl".to_owned(),
        }
    }
}

/// The home of control records where there is no Kafka.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Control {
    /// The file; without one, control records are lines on stdout.
    #[schemars(length(min = 1))]
    pub(crate) path: Option<String>,
}

/// What an operator sees.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Operations {
    /// Interval of the metrics line, in milliseconds; 0 prints none, and the laws and the fill of the spool are still looked at.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub(crate) metrics_ms: u64,
    /// Where /healthz and /readyz are answered: host:port, or a port alone for this machine only; nowhere without it.
    #[schemars(length(min = 1))]
    pub(crate) listen: Option<String>,
    /// Age of the oldest unresolved record above which /readyz says no, in milliseconds; 0 sets no limit.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub(crate) max_lag_ms: u64,
}

impl Default for Operations {
    fn default() -> Self {
        Self {
            metrics_ms: 10_000,
            listen: None,
            max_lag_ms: 60_000,
        }
    }
}

/// The JSON Schema of the adapter's configuration.
///
/// # Panics
/// Never: a schema is JSON.
#[must_use]
pub fn schema() -> Value {
    schemars::schema_for!(Raw).to_value()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Raw, schema};

    const COMMITTED: &str = include_str!("../../../schemas/adapter-config.schema.json");

    #[test]
    fn the_defaults_pass_the_schema() {
        let defaults = serde_json::to_value(Raw::default()).unwrap();
        assert_eq!(config_faults::check(&schema(), &defaults), []);
    }

    #[test]
    fn the_committed_schema_is_made_from_these_types() {
        let committed: Value = serde_json::from_str(COMMITTED).unwrap();
        assert!(
            committed == schema(),
            "run: genesys-kafka schema --library ./none > schemas/adapter-config.schema.json"
        );
    }
}
