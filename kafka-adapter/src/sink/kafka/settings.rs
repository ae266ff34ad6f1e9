//! The producer's settings: what the adapter fixes, what a user may add.
//!
//! Responsible for the librdkafka configuration. Refuses to let a user override what the guarantee rests on.
//! Invariant: whatever the user adds, the producer is idempotent, waits for all replicas and never gives up.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;

use super::super::Route;

pub use crate::config::{Envelope, Topics};

impl Topics {
    /// The topic of a route; the last resort has none and names the dead-letter topic that refused it.
    #[must_use]
    pub fn of(&self, route: Route) -> &str {
        match route {
            Route::Event => &self.events,
            Route::Audit => &self.audit,
            Route::DeadLetter | Route::LastResort => &self.dead_letter,
            Route::Control => &self.control,
        }
    }
}

/// `linger.ms` in transactions, unless the user has set it: enough for one hand-over of the pipeline to fill batches.
const TRANSACTION_LINGER_MS: &str = "1";

/// What transactions need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSettings {
    /// Name of the shard: key of its position, and end of its `transactional.id`.
    pub shard: String,
    /// How long a broker keeps a transaction open that nobody ends, in milliseconds.
    pub timeout_ms: u64,
}

impl TransactionSettings {
    /// The `transactional.id`: the same for every process of the shard, so that the younger fences the older.
    #[must_use]
    pub fn id(&self) -> String {
        format!("genesys-kafka-{}", self.shard)
    }
}

/// What the Kafka sink needs to know.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// Addresses to begin with.
    pub bootstrap_servers: String,
    /// Topics by route.
    pub topics: Topics,
    /// How a record becomes a message.
    pub envelope: Envelope,
    /// CloudEvents `source` of records that carry no attribute of that name.
    pub default_source: String,
    /// Largest message in bytes: key, headers, value and the batch around it.
    pub message_max_bytes: usize,
    /// How long to wait at start for the brokers and their topics, in milliseconds.
    pub start_timeout_ms: u64,
    /// Create the topics that are missing.
    pub create_topics: bool,
    /// Partitions of a topic that is created.
    pub partitions: i32,
    /// Replicas of a topic that is created.
    pub replication_factor: i32,
    /// Further librdkafka properties.
    pub librdkafka: BTreeMap<String, String>,
    /// Most parcels that can be unacknowledged at once; the queue of outcomes holds as many.
    pub max_in_flight_records: usize,
    /// Where what is delivered goes into transactions.
    pub transactions: Option<TransactionSettings>,
}

impl KafkaSettings {
    /// Says whether the user asked for one request in flight, and so for no inversion of a key, ever.
    #[must_use]
    pub fn one_request_in_flight(&self) -> bool {
        ["max.in.flight.requests.per.connection", "max.in.flight"]
            .iter()
            .any(|name| {
                self.librdkafka
                    .get(*name)
                    .is_some_and(|value| value.trim() == "1")
            })
    }

    /// The configuration of a consumer that only reads along: it joins no group and commits nothing, sees no record of
    /// an aborted transaction, and is told where a partition ends.
    #[must_use]
    pub fn reader_config(&self) -> ClientConfig {
        let mut config = self.client_config();
        for (name, value) in [
            // librdkafka assigns nothing without one
            ("group.id", "genesys-kafka-reader"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
        ] {
            config.set(name, value);
        }
        config
    }

    /// The configuration for any client of the cluster.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // defaults that a user may change
        config
            .set("client.id", "genesys-kafka")
            .set("compression.type", "lz4")
            .set("linger.ms", "10")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "131072")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true");
        for (name, value) in &self.librdkafka {
            config.set(name, value);
        }
        // what the guarantee rests on comes last
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // a record that times out leaves a hole in the order; there is nothing to gain by giving up
            .set("message.timeout.ms", "0")
            .set("message.max.bytes", self.message_max_bytes.to_string())
            // the same partition for the same key as Java producers
            .set("partitioner", "murmur2_random")
            .set("allow.auto.create.topics", "false")
            // a broker that is back shows in them, also while nothing is sent
            .set("statistics.interval.ms", "1000");
        config
    }

    /// The configuration of a transactional producer.
    pub(super) fn transactional_config(&self, transactions: &TransactionSettings) -> ClientConfig {
        let mut config = self.client_config();
        if !self.librdkafka.contains_key("linger.ms")
            && !self.librdkafka.contains_key("queue.buffering.max.ms")
        {
            // a transaction is a batch already, and each of its rounds would wait for company that cannot come
            config.set("linger.ms", TRANSACTION_LINGER_MS);
        }
        let timeout_ms = transactions.timeout_ms.to_string();
        config
            .set("transactional.id", transactions.id())
            .set("transaction.timeout.ms", &timeout_ms)
            // librdkafka takes no longer one; what times out is aborted and sent again, so that no hole is left
            .set("message.timeout.ms", &timeout_ms);
        config
    }

    /// The configuration for a client that only asks: one that is not idempotent wants no producer id, for which some
    /// clusters demand a right of their own.
    pub(super) fn admin_config(&self) -> ClientConfig {
        let mut config = self.client_config();
        config
            .set("enable.idempotence", "false")
            .set("statistics.interval.ms", "0");
        config
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings() -> KafkaSettings {
        KafkaSettings {
            bootstrap_servers: "localhost:9092".to_owned(),
            topics: Topics {
                events: "genesys.events".to_owned(),
                audit: "genesys.audit".to_owned(),
                dead_letter: "genesys.dead-letter".to_owned(),
                control: "genesys.control".to_owned(),
                positions: "genesys.positions".to_owned(),
            },
            envelope: Envelope::Binary,
            default_source: "main".to_owned(),
            message_max_bytes: 1_000_000,
            start_timeout_ms: 10_000,
            create_topics: false,
            partitions: 4,
            replication_factor: 1,
            librdkafka: BTreeMap::new(),
            max_in_flight_records: 10_000,
            transactions: None,
        }
    }

    #[test]
    fn a_transactional_producer_is_named_after_its_shard_and_times_out_with_its_transaction() {
        let transactions = TransactionSettings {
            shard: "east".to_owned(),
            timeout_ms: 7000,
        };
        let mut settings = settings();
        let config = settings.transactional_config(&transactions);
        assert_eq!(config.get("transactional.id"), Some("genesys-kafka-east"));
        assert_eq!(config.get("transaction.timeout.ms"), Some("7000"));
        assert_eq!(config.get("message.timeout.ms"), Some("7000"));
        assert_eq!(config.get("linger.ms"), Some("1"));
        settings
            .librdkafka
            .insert("linger.ms".to_owned(), "50".to_owned());
        let config = settings.transactional_config(&transactions);
        assert_eq!(config.get("linger.ms"), Some("50"));
    }

    #[test]
    fn a_user_may_add_properties_but_not_weaken_the_guarantee() {
        let mut settings = settings();
        settings
            .librdkafka
            .insert("linger.ms".to_owned(), "50".to_owned());
        for (name, weak) in [
            ("acks", "1"),
            ("message.timeout.ms", "5"),
            ("enable.idempotence", "false"),
        ] {
            settings.librdkafka.insert(name.to_owned(), weak.to_owned());
        }
        let config = settings.client_config();
        assert_eq!(config.get("linger.ms"), Some("50"));
        assert_eq!(config.get("acks"), Some("all"));
        assert_eq!(config.get("message.timeout.ms"), Some("0"));
        assert_eq!(config.get("enable.idempotence"), Some("true"));
        assert_eq!(config.get("partitioner"), Some("murmur2_random"));
    }

    #[test]
    fn every_property_set_last_is_declared_as_owned() {
        let transactions = TransactionSettings {
            shard: "main".to_owned(),
            timeout_ms: 1000,
        };
        for (name, _) in settings().transactional_config(&transactions).config_map() {
            let default = [
                "client.id",
                "compression.type",
                "linger.ms",
                "reconnect.backoff.max.ms",
            ]
            .contains(&name)
                || name.starts_with("queue.buffering")
                || name == "socket.keepalive.enable";
            let owned = crate::config::OWNED.iter().any(|owned| owned.property == name);
            assert!(default || owned, "{name}");
        }
    }

    #[test]
    fn one_request_in_flight_is_recognized_by_both_names() {
        let mut settings = settings();
        assert!(!settings.one_request_in_flight());
        settings
            .librdkafka
            .insert("max.in.flight".to_owned(), " 1".to_owned());
        assert!(settings.one_request_in_flight());
        settings
            .librdkafka
            .insert("max.in.flight".to_owned(), "2".to_owned());
        assert!(!settings.one_request_in_flight());
    }
}
