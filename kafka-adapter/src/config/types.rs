//! The checked configuration: what the pipeline runs on.
//!
//! Responsible for the types alone; `load` builds them. Refuses to show a secret: the `Debug` output of the
//! pass-through maps masks what may be one. Invariant: a value of these types has passed every rule, and every
//! default is in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use config_faults::SecretPlace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listen::Listen;
use super::mask;
use super::target::Target;

/// The whole checked configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which plugin is loaded and what it is told.
    pub source: Source,
    /// Where records go and how many may be under way.
    pub delivery: Delivery,
    /// The Kafka cluster, its topics and the producer.
    pub kafka: Kafka,
    /// The webhook; present where events go there.
    pub webhook: Option<Webhook>,
    /// Where audit records go.
    pub audit: Audit,
    /// The file of the records that no topic took.
    pub dead_letter: DeadLetter,
    /// The file of the control records where there is no Kafka.
    pub control: Control,
    /// What an operator sees.
    pub operations: Operations,
}

/// `[source]`: which plugin is loaded and what it is told.
#[derive(Clone, PartialEq)]
pub struct Source {
    /// The plugin: a path, or a bare name that is searched for beside the executable.
    pub library: PathBuf,
    /// Name of the shard: one process, one source.
    pub name: String,
    /// The plugin's own configuration, opaque here.
    pub config: serde_json::Value,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("library", &self.library)
            .field("name", &self.name)
            .field("config", &mask::tree("source.config", &self.config))
            .finish()
    }
}

/// `[delivery]`: where records go and how many may be under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The sink.
    pub to: Destination,
    /// What is promised about each record.
    pub guarantee: Guarantee,
    /// Most records handed to the sink and not yet resolved.
    pub max_in_flight_records: usize,
    /// Most bytes of such records.
    pub max_in_flight_bytes: u64,
    /// How long a drain may take before what is left is given up, in milliseconds.
    pub drain_ms: u64,
}

/// The sink that records go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// Kafka topics.
    Kafka,
    /// HTTP requests to a webhook.
    Webhook,
    /// Lines on stdout.
    Lines,
}

/// What is promised about each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Guarantee {
    /// Every record is delivered; one may be delivered again after a crash.
    AtLeastOnce,
    /// Every record is delivered, and who reads committed records alone sees each once.
    ExactlyOnce,
}

/// `[kafka]`: the cluster, its topics and the producer.
#[derive(Clone, PartialEq, Eq)]
pub struct Kafka {
    /// Comma-separated `host:port` list; empty only where nothing goes to Kafka.
    pub bootstrap_servers: String,
    /// How an event is wrapped.
    pub envelope: Envelope,
    /// Largest record that is sent, in bytes; a larger one is a dead letter.
    pub message_max_bytes: u32,
    /// How long the start waits for the cluster and its topics, in milliseconds.
    pub start_timeout_ms: u64,
    /// Create missing topics at start.
    pub create_topics: bool,
    /// Partitions of a topic that is created.
    pub partitions: i32,
    /// Replication factor of a topic that is created; -1 leaves it to the broker.
    pub replication_factor: i32,
    /// How long a broker keeps a transaction open that nobody ends, in milliseconds.
    pub transaction_timeout_ms: u64,
    /// How long a run that another process has fenced waits before it ends, in milliseconds.
    pub fenced_pause_ms: u64,
    /// Names of the topics.
    pub topics: Topics,
    /// Further librdkafka properties, none of which the adapter owns.
    pub librdkafka: BTreeMap<String, String>,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let librdkafka: BTreeMap<&str, &str> = self
            .librdkafka
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str(),
                    if mask::hides(name) {
                        mask::MASK
                    } else {
                        value.as_str()
                    },
                )
            })
            .collect();
        f.debug_struct("Kafka")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("envelope", &self.envelope)
            .field("message_max_bytes", &self.message_max_bytes)
            .field("start_timeout_ms", &self.start_timeout_ms)
            .field("create_topics", &self.create_topics)
            .field("partitions", &self.partitions)
            .field("replication_factor", &self.replication_factor)
            .field("transaction_timeout_ms", &self.transaction_timeout_ms)
            .field("fenced_pause_ms", &self.fenced_pause_ms)
            .field("topics", &self.topics)
            .field("librdkafka", &librdkafka)
            .finish()
    }
}

/// How an event is wrapped on its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// CloudEvents 1.0 in headers, the event as the value.
    Binary,
    /// CloudEvents 1.0 as a JSON object around the event.
    Structured,
    /// No envelope: the event alone.
    None,
}

/// `[kafka.topics]`: names of the topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Normalized events.
    pub events: String,
    /// Audit records.
    pub audit: String,
    /// Frames that are no usable event, and records that the broker refused.
    pub dead_letter: String,
    /// News of the source itself, such as gaps.
    pub control: String,
    /// How far each shard is, where the guarantee is [`Guarantee::ExactlyOnce`]; compacted.
    pub positions: String,
}

/// `[webhook]`: the receiver of the events, one HTTP request each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where requests go; its path and query may be secret.
    pub target: Target,
    /// What a request's body is.
    pub envelope: WebhookEnvelope,
    /// The secrets that sign each request, the present one first; none signs nothing.
    pub secrets: Vec<SecretPlace>,
    /// How long a request may take, its answer included, in milliseconds.
    pub timeout_ms: u64,
    /// Most requests that are unanswered at once.
    pub max_in_flight: usize,
    /// Failed attempts after which an event is a dead letter, counted while other events are accepted.
    pub max_attempts: u32,
    /// Authorities that are trusted beside those of the system, PEM.
    pub ca_file: Option<PathBuf>,
    /// Private, loopback and link-local addresses may be dialled.
    pub allow_private: bool,
}

/// What the body of a webhook request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookEnvelope {
    /// CloudEvents 1.0 as a JSON object around the event.
    Structured,
    /// The event alone.
    Plain,
}

/// `[audit]`: where audit records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The sink of audit records; by default that of the events, and lines beside a webhook.
    pub to: AuditTo,
    /// The file, present where `to` is [`AuditTo::File`].
    pub path: Option<PathBuf>,
    /// Text that every audit record carries.
    pub compliance_tag: String,
    /// Where the key of the hashes is; without one they carry none.
    pub key: Option<SecretPlace>,
    /// Size at which the file is set aside and a new one begun, in bytes; 0 never does.
    pub max_file_bytes: u64,
    /// Files set aside that are kept, the youngest ones; 0 keeps all.
    pub keep_files: usize,
}

/// The sink of audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditTo {
    /// The audit topic.
    Kafka,
    /// A file of lines.
    File,
    /// Lines on stdout.
    Lines,
}

/// `[dead_letter]`: the file of the records that no topic took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The file, one JSON object a line.
    pub path: PathBuf,
}

/// `[control]`: the file of the control records where there is no Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The file; without one, control records are lines on stdout.
    pub path: Option<PathBuf>,
}

/// `[operations]`: what an operator sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operations {
    /// Interval of the metrics line, in milliseconds; 0 prints none, and the laws and the fill of the spool are still looked at.
    pub metrics_ms: u64,
    /// Where `/healthz` and `/readyz` are answered; nowhere without it.
    pub listen: Option<Listen>,
    /// Age of the oldest unresolved record above which the run is not ready, in milliseconds; 0 sets no limit.
    pub max_lag_ms: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Envelope, Kafka, Source, Topics};

    #[test]
    fn debug_output_holds_no_secret() {
        let source = Source {
            library: "x.so".into(),
            name: "main".into(),
            config: json!({"client_secret": "hunter2", "region": "us-east-1"}),
        };
        let topics = Topics {
            events: "e".into(),
            audit: "a".into(),
            dead_letter: "d".into(),
            control: "c".into(),
            positions: "p".into(),
        };
        let kafka = Kafka {
            bootstrap_servers: "broker:9092".into(),
            envelope: Envelope::Binary,
            message_max_bytes: 1,
            start_timeout_ms: 1,
            create_topics: false,
            partitions: 1,
            replication_factor: 1,
            transaction_timeout_ms: 1,
            fenced_pause_ms: 1,
            topics,
            librdkafka: BTreeMap::from([
                ("sasl.password".to_owned(), "hunter2".to_owned()),
                ("linger.ms".to_owned(), "7".to_owned()),
            ]),
        };
        let text = format!("{source:?} {kafka:?}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("us-east-1") && text.contains("linger.ms"), "{text}");
    }
}
