//! Three nodes of one cluster: every topic has a replica on each, and takes a record once two have it.
//!
//! Responsible for starting them side by side and for telling who leads what. Refuses to decide who is killed when. A node
//! is stopped, killed and started again as a [`Broker`] of its own; the others are there meanwhile, but two together hold
//! no election, since a majority of the three controllers is gone with them.

use std::thread;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::Broker;
use super::node::Beside;

/// Number of nodes: the least of which one may be away while a majority acknowledges.
const NODES: i32 = 3;
/// Longest wait for one answer about the cluster.
const ANSWER: Duration = Duration::from_secs(2);
/// The internal topic whose partitions hold the state of the transactions.
const TRANSACTION_STATE: &str = "__transaction_state";

/// Three Apache Kafka nodes.
pub struct Cluster {
    brokers: Vec<Broker>,
    /// Asked who leads what.
    client: BaseConsumer,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Cluster").field(&self.brokers).finish()
    }
}

impl Cluster {
    /// A cluster for the tests of one binary, which take turns on it; `None` if none can be run here.
    pub fn own() -> Option<Self> {
        Broker::available().then(|| {
            let brokers = Broker::start_all(NODES, &[], &Beside::Nothing);
            let client = ClientConfig::new()
                .set("bootstrap.servers", brokers[0].bootstrap_servers())
                .set("reconnect.backoff.ms", "50")
                .set("reconnect.backoff.max.ms", "100")
                .create()
                .expect("a client");
            Self { brokers, client }
        })
    }

    /// Where clients find the nodes.
    pub fn bootstrap_servers(&self) -> &str {
        self.brokers[0].bootstrap_servers()
    }

    /// The nodes with their ids, which count from 1.
    pub fn nodes(&self) -> impl Iterator<Item = (i32, &Broker)> {
        (1..).zip(&self.brokers)
    }

    /// The node of an id.
    ///
    /// # Panics
    /// If there is none.
    pub fn node(&self, id: i32) -> &Broker {
        let node = self.nodes().find(|(other, _)| *other == id);
        node.unwrap_or_else(|| panic!("no node {id}")).1
    }

    /// The node that leads a partition, as far as a node that answers knows.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<i32> {
        let metadata = self.client.fetch_metadata(Some(topic), ANSWER).ok()?;
        let topic = metadata.topics().first()?;
        let found = topic.partitions().iter().find(|found| found.id() == partition)?;
        (found.leader() > 0).then(|| found.leader())
    }

    /// The node that coordinates the transactions of an id: it leads the partition of their state that the id belongs to.
    ///
    /// # Source
    /// `TransactionStateManager.partitionFor`, Kafka 4.x: `Utils.abs(transactionalId.hashCode) % partitions`.
    pub fn coordinator(&self, transactional_id: &str) -> Option<i32> {
        let metadata = self.client.fetch_metadata(Some(TRANSACTION_STATE), ANSWER).ok()?;
        let partitions = metadata.topics().first()?.partitions().len();
        let partitions = i32::try_from(partitions)
            .ok()
            .filter(|partitions| *partitions > 0)?;
        let hash = java_hash(transactional_id).checked_abs().unwrap_or(0);
        self.leader(TRANSACTION_STATE, hash % partitions)
    }

    /// Whether every partition of every topic has a leader and so many replicas in sync, as far as a node that answers
    /// knows.
    pub fn has_in_sync(&self, replicas: usize) -> bool {
        let Ok(metadata) = self.client.fetch_metadata(None, ANSWER) else {
            return false;
        };
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        partitions.all(|partition| partition.leader() > 0 && partition.isr().len() == replicas)
    }

    /// Starts the nodes that are down, side by side, and waits until each replica of each topic is in sync.
    ///
    /// # Panics
    /// If that takes longer than `deadline`.
    pub fn heal(&self, deadline: Duration) {
        thread::scope(|scope| {
            for node in self.brokers.iter().filter(|node| node.id().is_none()) {
                scope.spawn(|| node.restart());
            }
        });
        crate::wait_until(deadline, "every replica of every topic is in sync", || {
            self.has_in_sync(self.brokers.len())
        });
    }
}

/// `String.hashCode` of Java.
fn java_hash(text: &str) -> i32 {
    let units = text.encode_utf16();
    units.fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::java_hash;

    /// Of the documentation of `java.util.List` and of any JVM: "Ab" and "BC" are the textbook's collision.
    #[test]
    fn a_text_has_the_hash_that_java_gives_it() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("Aa"), 2112);
        assert_eq!(java_hash("BB"), 2112);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
    }
}
