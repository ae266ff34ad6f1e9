//! Why the Kafka sink cannot start, and what mends it.
//!
//! Responsible for the words. Refuses to show a secret: a property is named, and its value hidden where it may be one.

use super::{Obstacle, TopicPlan};

/// Why the Kafka sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong. Not retryable.
    #[error("[kafka] cannot be used: {0}")]
    Settings(String),
    /// No broker answered in time. Retryable, unless the reason is certain to stay.
    #[error(
        "no broker of kafka.bootstrap_servers = \"{servers}\" answered within {waited_ms} ms: {obstacle}"
    )]
    Unreachable {
        /// The addresses that were tried.
        servers: String,
        /// How long, in milliseconds.
        waited_ms: u64,
        /// Why, with the mend.
        obstacle: Obstacle,
    },
    /// Topics do not exist. Not retryable.
    #[error(
        "missing or invisible topics: {}; create them with `genesys-kafka run --create-topics`, or with: {}",
        names(.plans), commands(.plans, .servers)
    )]
    MissingTopics {
        /// The topics as they would be created.
        plans: Vec<TopicPlan>,
        /// The addresses of the brokers.
        servers: String,
    },
    /// The system gave no thread for the transactions. Retryable.
    #[error("no thread for the transactions: {0}; raise the limit on processes (ulimit -u), or end others")]
    Thread(std::io::Error),
    /// The brokers will have no transactions like these. Not retryable.
    #[error("no transactions: {0}")]
    Transactions(String),
    /// Topics could not be created. Not retryable.
    #[error(
        "topics cannot be created at \"{servers}\": {reason}; check the right to create topics, and that \
         kafka.replication_factor brokers are there"
    )]
    CreateTopics {
        /// The addresses of the brokers.
        servers: String,
        /// The broker's words.
        reason: String,
    },
}

impl StartError {
    /// Says whether the same start may succeed later without a change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { obstacle, .. } => !obstacle.is_certain(),
            Self::Thread(_) => true,
            Self::Settings(_)
            | Self::MissingTopics { .. }
            | Self::CreateTopics { .. }
            | Self::Transactions(_) => false,
        }
    }
}

fn names(plans: &[TopicPlan]) -> String {
    plans
        .iter()
        .map(|plan| plan.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn commands(plans: &[TopicPlan], servers: &str) -> String {
    plans
        .iter()
        .map(|plan| plan.command(servers))
        .collect::<Vec<_>>()
        .join(" && ")
}
