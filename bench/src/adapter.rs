//! The real `genesys-kafka` writing into a real broker.
//!
//! Responsible for its topics and for noticing when everything is in them. It refuses an adapter that ends early.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::records::Topics;
use crate::running::Running;

/// Partitions of the topics, the adapter's default.
pub(crate) const PARTITIONS: i32 = 6;
/// Longest wait for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(30);
/// Pause between two looks at the end of a topic.
const POLL: Duration = Duration::from_millis(10);

/// How the adapter wraps events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// CloudEvents in headers, the default.
    Binary,
    /// No headers.
    None,
}

/// A running adapter.
pub(crate) struct Adapter {
    running: Running,
    topics: Topics,
    ends: BaseConsumer,
}

impl Adapter {
    /// Starts an adapter between a source and a broker; it creates its topics.
    pub(crate) fn start(
        bootstrap_servers: &str,
        login: &str,
        events: &str,
        envelope: Envelope,
    ) -> anyhow::Result<Self> {
        let topics = Topics::unique();
        let envelope = match envelope {
            Envelope::Binary => "binary",
            Envelope::None => "none",
        };
        let delivery = serde_json::json!({
            "delivery": {"to": "kafka"},
            "kafka": {
                "bootstrap_servers": bootstrap_servers,
                "envelope": envelope,
                "create_topics": true,
                "partitions": PARTITIONS,
                "topics": {
                    "events": topics.events,
                    "audit": topics.audit,
                    "dead_letter": support::unique_topic("bench.dead-letter"),
                    "control": support::unique_topic("bench.control"),
                },
            },
        });
        let running = Running::start(login, events, delivery)?;
        let ends = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .create()?;
        Ok(Self {
            running,
            topics,
            ends,
        })
    }

    /// The topics that it writes.
    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The most memory that the process has held, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.running.peak_mib()
    }

    /// CPU time of the process so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        self.running.cpu()
    }

    /// Waits until the audit topic holds `count` records and gives the time at which it did.
    pub(crate) fn wait_for_audit(&mut self, count: u64, timeout: Duration) -> anyhow::Result<Instant> {
        let deadline = Instant::now() + timeout;
        loop {
            let held = self.count(&self.topics.audit)?;
            let now = Instant::now();
            if held >= count {
                return Ok(now);
            }
            ensure!(
                !self.running.has_ended() && now < deadline,
                "{held} of {count} audit records after {timeout:?}: {}",
                self.running.last_words()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Records in a topic of the adapter.
    pub(crate) fn count(&self, topic: &str) -> anyhow::Result<u64> {
        let mut total = 0;
        for partition in 0..PARTITIONS {
            let (_, end) = self
                .ends
                .fetch_watermarks(topic, partition, ANSWER)
                .context("no end offset")?;
            total += u64::try_from(end)?;
        }
        Ok(total)
    }

    /// Ends the adapter as an operator would, with SIGTERM.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.running.stop()
    }
}
