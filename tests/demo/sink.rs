//! The way out that the demo shows: Kafka or a webhook.
//!
//! Responsible for reading the choice. Refuses every other word. Invariant: without a word it is Kafka.

use std::str::FromStr;

/// Where the events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// librdkafka's mock cluster.
    Kafka,
    /// A receiver of HTTP requests.
    Webhook,
}

impl FromStr for Sink {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        match word {
            "kafka" => Ok(Self::Kafka),
            "webhook" => Ok(Self::Webhook),
            other => anyhow::bail!("SINK is \"{other}\"; write SINK=kafka or SINK=webhook"),
        }
    }
}

impl Sink {
    /// The choice on the command line.
    ///
    /// # Errors
    /// A word that is neither; not retryable.
    pub(crate) fn chosen() -> anyhow::Result<Self> {
        std::env::args()
            .nth(1)
            .map_or(Ok(Self::Kafka), |word| word.parse())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use support::Launch;

    use super::*;

    #[test]
    fn a_word_that_is_no_sink_is_refused_before_anything_is_built() {
        let finished = Launch::program(&support::workspace_root().join("scripts/demo"))
            .env("SINK", "fax")
            .run(Duration::from_secs(30));
        assert_eq!(finished.status.code(), Some(64));
        assert_eq!(finished.stdout, [""; 0]);
        let line = "SINK is \"fax\"; write SINK=kafka or SINK=webhook";
        assert_eq!(finished.stderr, [format!("demo: {line}")]);
        // and by the program alone
        assert_eq!("fax".parse::<Sink>().unwrap_err().to_string(), line);
    }
}
