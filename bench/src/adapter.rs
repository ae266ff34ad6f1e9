//! The real `genesys-kafka` writing into a real broker.
//!
//! Responsible for its topics and for noticing when everything is in them. It refuses an adapter that ends early.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::drain::Keep;
use crate::records::Topics;
use crate::running::Running;

/// Partitions of the topics, the adapter's default.
pub(crate) const PARTITIONS: i32 = 6;
/// Longest wait for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(30);
/// Pause between two looks at the end of a topic.
const POLL: Duration = Duration::from_millis(10);
/// The same while records are still on their way: each look costs the broker a dozen requests.
const PATIENT_POLL: Duration = Duration::from_millis(50);
/// Silence after which the last record is taken to be visible; a transaction lasts a fraction of it.
const STILL: Duration = Duration::from_secs(2);

/// How the adapter wraps events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// CloudEvents in headers, the default.
    Binary,
    /// No headers.
    None,
}

/// What the adapter promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guarantee {
    /// The default.
    AtLeastOnce,
    /// Transactions.
    ExactlyOnce,
}

/// How an adapter is set up; everything else is its default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    /// How it wraps events.
    pub(crate) envelope: Envelope,
    /// What it promises.
    pub(crate) guarantee: Guarantee,
    /// Where its source keeps records.
    pub(crate) keep: Keep<'a>,
}

impl Setup<'_> {
    /// At least once, out of memory.
    pub(crate) fn in_memory(envelope: Envelope) -> Self {
        Self {
            envelope,
            guarantee: Guarantee::AtLeastOnce,
            keep: Keep::Memory,
        }
    }
}

/// When the audit topic showed what to a reader of committed records; times to 50 ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visible {
    /// When its first records had become visible.
    pub(crate) first: Instant,
    /// How many there were then, ends of transactions counted.
    pub(crate) at_first: u64,
    /// When the last ones had.
    pub(crate) last: Instant,
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
        setup: Setup<'_>,
    ) -> anyhow::Result<Self> {
        let topics = Topics::unique();
        let guarantee = match setup.guarantee {
            Guarantee::AtLeastOnce => "at_least_once",
            Guarantee::ExactlyOnce => "exactly_once",
        };
        let envelope = match setup.envelope {
            Envelope::Binary => "binary",
            Envelope::None => "none",
        };
        let delivery = serde_json::json!({
            "delivery": {"to": "kafka", "guarantee": guarantee},
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
                    "positions": support::unique_topic("bench.positions"),
                },
            },
        });
        let running = Running::start(login, events, setup.keep, delivery)?;
        let ends = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .set("isolation.level", "read_committed")
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

    /// Waits until the audit topic shows `count` records to a reader of committed ones, and then nothing more for a
    /// while; says when it showed them.
    pub(crate) fn wait_until_visible(&mut self, count: u64, timeout: Duration) -> anyhow::Result<Visible> {
        let deadline = Instant::now() + timeout;
        let mut visible: Option<Visible> = None;
        let mut held = 0;
        loop {
            // there is no topic before the adapter has made it
            let now_held = self.count(&self.topics.audit).unwrap_or(held);
            let now = Instant::now();
            if now_held > held {
                held = now_held;
                let seen = visible.get_or_insert(Visible {
                    first: now,
                    at_first: held,
                    last: now,
                });
                seen.last = now;
            }
            if let Some(visible) = visible.filter(|visible| held >= count && now - visible.last >= STILL) {
                return Ok(visible);
            }
            ensure!(
                !self.running.has_ended() && now < deadline,
                "{held} of {count} audit records after {timeout:?}: {}",
                self.running.last_words()
            );
            std::thread::sleep(PATIENT_POLL);
        }
    }

    /// Offsets taken in a topic of the adapter: its records, and the ends of transactions.
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
