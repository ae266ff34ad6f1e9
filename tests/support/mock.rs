//! librdkafka's mock cluster inside the test process.
//!
//! Good for error injection and for runs without Java. It refuses what it cannot prove: it keeps 5 MiB a partition,
//! shows aborted records and fences nobody. Its topics exist before a client sees it, so nothing is auto-created
//! with a partition count that a test did not choose.
//!
//! # Source
//! `rdkafka_mock.c` of librdkafka 2.12.1.

use std::fmt;
use std::sync::PoisonError;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::child::FORKING;

/// A mock cluster that lives as long as this value; bound to the thread that made it.
pub struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    bootstrap_servers: String,
}

impl Mock {
    /// Starts a cluster with the given topics, each with its number of partitions, on one broker.
    pub fn start(topics: &[(&str, i32)]) -> Self {
        Self::with_brokers(1, topics)
    }

    /// Starts a cluster of several brokers with the given topics, each with its number of partitions.
    pub fn with_brokers(brokers: i32, topics: &[(&str, i32)]) -> Self {
        let cluster = MockCluster::new(brokers).expect("a mock cluster");
        let bootstrap_servers = cluster.bootstrap_servers();
        let mock = Self {
            cluster,
            bootstrap_servers,
        };
        for (topic, partitions) in topics {
            mock.create_topic(topic, *partitions);
        }
        mock
    }

    /// Creates a topic with a replica on every broker, at most three.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let brokers = self.bootstrap_servers.split(',').count().min(3);
        let replicas = i32::try_from(brokers).expect("at most three");
        self.cluster
            .create_topic(topic, partitions, replicas)
            .expect("a topic on the mock cluster");
    }

    /// Where clients find the cluster.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Takes a broker down. It closes its listener and binds another to the same port at once, which the kernel refuses,
    /// and librdkafka does not survive, while a child that was just forked still has the first.
    pub fn broker_down(&self, id: i32) {
        let _alone = FORKING.lock().unwrap_or_else(PoisonError::into_inner);
        self.cluster
            .broker_down(id)
            .expect("a broker of the mock cluster");
    }

    /// Brings a broker back.
    pub fn broker_up(&self, id: i32) {
        self.cluster.broker_up(id).expect("a broker of the mock cluster");
    }

    /// The cluster itself: error injection and latency.
    pub fn cluster(&self) -> &MockCluster<'static, DefaultProducerContext> {
        &self.cluster
    }
}

impl fmt::Debug for Mock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Mock")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .finish_non_exhaustive()
    }
}
