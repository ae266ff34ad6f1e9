//! What the configuration says of destinations, in the terms of their sinks.
//!
//! Responsible for the table of outlets, for the settings of Kafka and webhook, and for the audit's key. Refuses to connect to anything.
//! Invariant: a run and whoever looks at its destinations beforehand read the configuration the same way.

use crate::audit::{AuditKey, Hash, KeyError};
use crate::config::{AuditTo, Config, Destination, Guarantee};
use crate::position::Position;
use crate::sink::{KafkaSettings, Outlet, Rotation, Routing, TransactionSettings, WebhookSettings};
use crate::verify::{self, Head};

/// Says whether anything goes to Kafka.
pub(crate) fn uses_kafka(config: &Config) -> bool {
    config.delivery.to == Destination::Kafka || config.audit.to == AuditTo::Kafka
}

/// The key of the audit's hashes, if one is configured.
///
/// # Errors
/// [`KeyError`].
pub(super) fn audit_key(config: &Config) -> Result<Option<AuditKey>, KeyError> {
    let place = config.audit.key.as_ref();
    place
        .map(|place| AuditKey::read(place, &|name| std::env::var(name).ok()))
        .transpose()
}

/// The hash of the last audit record of the run before, which its file, the topic or the shard's position holds; what is not
/// known is said. The position names it more surely, but for a run without transactions that came after the one that wrote it.
pub(super) fn previous_hash(
    config: &Config,
    key: Option<&AuditKey>,
    position: Option<&Position>,
) -> Option<Hash> {
    let named = position.and_then(Position::hash);
    match (config.audit.to, &config.audit.path) {
        (AuditTo::File, Some(path)) => verify::last_hash(path, key).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "audit file cannot be read, the run cites none before it");
            None
        }),
        (AuditTo::Kafka, _) => match verify::head_of_topic(&kafka_settings(config), &config.source.name, key) {
            Ok(Head::Is { run_id, hash }) => {
                let wrote_it = position.is_some_and(|position| position.run_id == run_id);
                named.filter(|_| wrote_it).or(Some(hash))
            }
            _ if named.is_some() => named,
            Ok(Head::Nothing) => None,
            Ok(Head::Unclear) => {
                tracing::warn!(
                    source = config.source.name,
                    "the end of the audit topic does not show the source's last record, the run cites none before it"
                );
                None
            }
            Err(error) => {
                tracing::warn!(%error, "audit topic cannot be read, the run cites none before it");
                None
            }
        },
        (AuditTo::File | AuditTo::Lines, _) => None,
    }
}

/// The outlet of each route.
pub(crate) fn routing(config: &Config) -> Routing {
    let audit = match (config.audit.to, &config.audit.path) {
        (AuditTo::Kafka, _) => Outlet::Kafka,
        (AuditTo::Lines, _) => Outlet::Lines,
        (AuditTo::File, Some(path)) => Outlet::File(path.clone()),
        (AuditTo::File, None) => Outlet::Absent,
    };
    match config.delivery.to {
        Destination::Kafka => Routing {
            events: Outlet::Kafka,
            dead_letters: Outlet::Kafka,
            control: Outlet::Kafka,
            audit,
            last_resort: Outlet::File(config.dead_letter.path.clone()),
        },
        Destination::Webhook => Routing {
            events: Outlet::Webhook,
            dead_letters: Outlet::File(config.dead_letter.path.clone()),
            control: config.control.path.clone().map_or(Outlet::Lines, Outlet::File),
            audit,
            last_resort: Outlet::File(config.dead_letter.path.clone()),
        },
        Destination::Lines => Routing {
            events: Outlet::Lines,
            dead_letters: Outlet::Lines,
            control: config.control.path.clone().map_or(Outlet::Lines, Outlet::File),
            audit,
            last_resort: Outlet::File(config.dead_letter.path.clone()),
        },
    }
}

/// The settings of the webhook, where events go there.
pub(super) fn webhook_settings(config: &Config) -> Option<WebhookSettings> {
    Some(WebhookSettings {
        webhook: config.webhook.clone()?,
        default_source: config.source.name.clone(),
        max_in_flight_records: config.delivery.max_in_flight_records,
    })
}

/// The settings of any client of the configured cluster.
#[must_use]
pub fn kafka_settings(config: &Config) -> KafkaSettings {
    let kafka = &config.kafka;
    KafkaSettings {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        topics: kafka.topics.clone(),
        envelope: kafka.envelope,
        default_source: config.source.name.clone(),
        message_max_bytes: kafka.message_max_bytes as usize,
        start_timeout_ms: kafka.start_timeout_ms,
        create_topics: kafka.create_topics,
        partitions: kafka.partitions,
        replication_factor: kafka.replication_factor,
        librdkafka: kafka.librdkafka.clone(),
        max_in_flight_records: config.delivery.max_in_flight_records,
        transactions: (config.delivery.guarantee == Guarantee::ExactlyOnce).then(|| TransactionSettings {
            shard: config.source.name.clone(),
            timeout_ms: kafka.transaction_timeout_ms,
        }),
    }
}

/// When a file of audit records is set aside, and how many of those are kept; `None` where it only grows.
pub(super) fn audit_rotation(config: &Config) -> Option<Rotation> {
    (config.audit.max_file_bytes > 0).then_some(Rotation {
        max_bytes: config.audit.max_file_bytes,
        keep_files: config.audit.keep_files,
    })
}
