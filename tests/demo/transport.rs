//! The way in that the demo shows: notification channels or the events of the vendor's tutorial.
//!
//! Responsible for reading the choice. Refuses every other word. Invariant: without a word it is notifications.

use std::str::FromStr;

/// How the events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Genesys Cloud's notification channels.
    Notifications,
    /// The protocol of the vendor's tutorial.
    Events,
}

impl FromStr for Transport {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> anyhow::Result<Self> {
        match word {
            "notifications" => Ok(Self::Notifications),
            "events" => Ok(Self::Events),
            other => {
                anyhow::bail!("TRANSPORT is \"{other}\"; write TRANSPORT=notifications or TRANSPORT=events")
            }
        }
    }
}

impl Transport {
    /// The choice on the command line.
    ///
    /// # Errors
    /// A word that is neither; not retryable.
    pub(crate) fn chosen() -> anyhow::Result<Self> {
        std::env::args()
            .nth(2)
            .map_or(Ok(Self::Notifications), |word| word.parse())
    }

    /// Its name in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Notifications => "notifications",
            Self::Events => "events",
        }
    }

    /// How the connection is lost in the scenario.
    pub(crate) fn loss(self) -> &'static str {
        match self {
            Self::Notifications => "drop",
            Self::Events => "reset",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use support::Launch;

    use super::*;

    #[test]
    fn a_word_that_is_no_transport_is_refused_before_anything_is_built() {
        let finished = Launch::program(&support::workspace_root().join("scripts/demo"))
            .env("TRANSPORT", "polling")
            .run(Duration::from_secs(30));
        assert_eq!(finished.status.code(), Some(64));
        assert_eq!(finished.stdout, [""; 0]);
        let line = "TRANSPORT is \"polling\"; write TRANSPORT=notifications or TRANSPORT=events";
        assert_eq!(finished.stderr, [format!("demo: {line}")]);
        // and by the program alone
        assert_eq!("polling".parse::<Transport>().unwrap_err().to_string(), line);
        for transport in [Transport::Notifications, Transport::Events] {
            assert_eq!(transport.name().parse::<Transport>().unwrap(), transport);
        }
    }
}
