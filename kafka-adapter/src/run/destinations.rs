//! What the configuration says of destinations, in the terms of their sinks.
//!
//! Responsible for the table of outlets and for the settings of Kafka and webhook. Refuses to connect to anything.
//! Invariant: a run and whoever looks at its destinations beforehand read the configuration the same way.

use crate::config::{AuditTo, Config, Destination};
use crate::sink::{KafkaSettings, Outlet, Rotation, Routing, WebhookSettings};
use crate::verify;

/// Says whether anything goes to Kafka.
pub(crate) fn uses_kafka(config: &Config) -> bool {
    config.delivery.to == Destination::Kafka || config.audit.to == AuditTo::Kafka
}

/// The hash of the last audit record of the run before, which its file holds.
pub(super) fn previous_hash(config: &Config) -> Option<[u8; 32]> {
    let path = config
        .audit
        .path
        .as_ref()
        .filter(|_| config.audit.to == AuditTo::File)?;
    verify::last_hash(path).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "audit file cannot be read, the run cites none before it");
        None
    })
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
    }
}

/// When a file of audit records is set aside, and how many of those are kept; `None` where it only grows.
pub(super) fn audit_rotation(config: &Config) -> Option<Rotation> {
    (config.audit.max_file_bytes > 0).then_some(Rotation {
        max_bytes: config.audit.max_file_bytes,
        keep_files: config.audit.keep_files,
    })
}
